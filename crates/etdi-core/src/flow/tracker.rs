//! Where all servers of a client meet: what came in, and what may go out.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::index::{HEAD, Index};
use super::sieve::Sieve;
use super::text::{Base, CERTAIN, Normal, PIECE, TOKEN, strings};
use super::{
    Confidentiality, Finding, Findings, FlowDenied, FlowRules, Form, Label, On, Origin, Why, decode,
};
use crate::key::KeyError;
use crate::random;

/// Labels what comes in, and refuses what must not go out. Cheap to clone; clones share what they
/// know.
///
/// One tracker is for one conversation over any number of servers. A host with several
/// conversations has a tracker for each, or text of one is found in the other.
#[derive(Clone)]
pub struct FlowTracker(Arc<Inner>);

struct Inner {
    rules: FlowRules,
    limits: FlowLimits,
    base: Base,
    powers: Vec<u64>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    servers: BTreeMap<String, Index>,
    /// The hashes of all servers together.
    sieve: Sieve,
    /// All labels of what came in, in order.
    seen: Arc<[Label]>,
}

/// How much is kept and looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowLimits {
    /// How many hashes are kept of each server at least; at most twice as many. Five bytes of
    /// text take about one, and one takes about forty bytes of memory.
    pub hashes: usize,
    /// How many bytes of one result are looked at. More than that counts as lost.
    pub observed: usize,
    /// How many bytes of one request are looked at. One that has more is refused.
    pub inspected: usize,
}

impl Default for FlowLimits {
    /// Some 600 KB of text a server, 4 MiB of a result, 1 MiB of a request.
    fn default() -> Self {
        Self { hashes: 1 << 17, observed: 4 << 20, inspected: 1 << 20 }
    }
}

/// The most labels of what came in; beyond, they are told without their source.
const MAX_SEEN: usize = 4_096;

/// The most findings of one request.
const MAX_FINDINGS: usize = 64;

impl FlowTracker {
    /// A tracker with these rules, and the default limits.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn new(rules: FlowRules) -> Result<Self, KeyError> {
        Self::with_limits(rules, FlowLimits::default())
    }

    /// A tracker with these rules and limits.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn with_limits(rules: FlowRules, limits: FlowLimits) -> Result<Self, KeyError> {
        let base = Base::new(random::number()?);
        let powers = base.powers(PIECE.max(*TOKEN.end()));
        let state = Mutex::default();
        Ok(Self(Arc::new(Inner { rules, limits, base, powers, state })))
    }

    /// The rules.
    pub fn rules(&self) -> &FlowRules {
        &self.0.rules
    }

    /// Begins another conversation: nothing has come in.
    pub fn forget(&self) {
        *self.state() = State::default();
    }

    /// Labels a text that came in.
    pub fn observe(&self, label: Label, text: &str) {
        self.keep(label, [text], "");
    }

    /// What a label is by the rules.
    pub fn label(&self, origin: Origin) -> Label {
        self.0.rules.label(origin)
    }

    /// Makes a canary: a token that means nothing, and belongs to `origin`, for a host to put
    /// where only that origin's content is. Wherever it turns up, text of the origin went there.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn plant(&self, origin: Origin) -> Result<String, KeyError> {
        let letters = |digit: u64| char::from(b'a' + (digit % 26) as u8);
        let (mut number, mut canary) = (random::number()?, String::from("c7"));
        for _ in 0..12 {
            canary.push(letters(number));
            number /= 26;
        }
        let mut label = self.label(origin);
        label.confidentiality = label.confidentiality.max(Confidentiality::Private);
        self.observe(label, &canary);
        Ok(canary)
    }

    /// Keeps the texts of an origin, but for what of them it was told just before.
    pub(super) fn keep<'a>(
        &self,
        label: Label,
        texts: impl IntoIterator<Item = &'a str>,
        told: &str,
    ) {
        let Inner { base, powers, limits, .. } = &*self.0;
        let echo = Normal::new(told, *base);
        let mut left = limits.observed;
        let mut lost = false;
        let mut read = Vec::new();
        for text in texts {
            let end = floor(text, left);
            lost |= end < text.len();
            left -= end;
            let text = text.get(..end).unwrap_or_default();
            read.push((text, Normal::new(text, *base)));
        }
        let mut state = self.state();
        state.see(&label);
        let State { servers, sieve, .. } = &mut *state;
        let index = servers.entry(label.origin.server.clone()).or_default();
        index.lost |= lost;
        for (text, normal) in read {
            index.keep(sieve, &label, (text, &normal), &echo, (*base, powers), limits.hashes);
        }
        if sieve.is_full() {
            *sieve = Sieve::with_room(servers.values().map(Index::size).sum());
            servers.values().flat_map(Index::hashes).for_each(|hash| sieve.add(hash));
        }
    }

    /// Looks through what is about to be sent to a source of a server, as JSON: whose text is in
    /// it, and whether a rule forbids that.
    ///
    /// # Errors
    ///
    /// When a rule forbids it, or it cannot be looked through.
    pub fn inspect(
        &self,
        server: &str,
        source: &str,
        json: &str,
    ) -> Result<Findings, Box<FlowDenied>> {
        let denied = |rule: &str, reason: Option<&String>, why| {
            Box::new(FlowDenied {
                rule: rule.to_owned(),
                reason: reason.cloned(),
                server: server.to_owned(),
                source: source.to_owned(),
                why,
            })
        };
        let limit = self.0.limits.inspected;
        let state = self.state();
        if !state.servers.keys().any(|known| known != server) {
            return Ok(Findings::new(Vec::new(), state.seen.clone()));
        }
        let rules = &self.0.rules.rules;
        for rule in rules.iter().filter(|rule| rule.on == On::Seen) {
            if let Some(label) = state.seen.iter().find(|seen| rule.forbids(seen, server, source)) {
                return Err(denied(&rule.id, rule.reason.as_ref(), Why::Seen(label.clone())));
            }
        }
        for rule in rules.iter().filter(|rule| rule.on == On::Text) {
            let lost = state.seen.iter().find(|seen| {
                rule.forbids(seen, server, source)
                    && state.servers.get(&seen.origin.server).is_some_and(|index| index.lost)
            });
            if let Some(label) = lost {
                return Err(denied(&rule.id, rule.reason.as_ref(), Why::Lost(label.clone())));
            }
        }
        if json.len() > limit {
            return Err(denied("", None, Why::TooBig { limit }));
        }
        let sent = Sent::read(json).map_err(|_| denied("", None, Why::Unreadable))?;
        let findings = self.find(&state, server, &sent);
        for rule in rules.iter().filter(|rule| rule.on == On::Text) {
            if let Some(found) =
                findings.iter().find(|found| rule.forbids(&found.label, server, source))
            {
                return Err(denied(&rule.id, rule.reason.as_ref(), Why::Text(found.clone())));
            }
        }
        Ok(Findings::new(findings, state.seen.clone()))
    }

    fn find(&self, state: &State, server: &str, sent: &Sent) -> Vec<Finding> {
        let Inner { base, powers, limits, .. } = &*self.0;
        let own = state.servers.get(server);
        let mut findings = Vec::new();
        for (form, text) in decode::readings(&sent.text, 4 * limits.inspected) {
            let normal = Normal::new(&text, *base);
            let marks = Mark::all(&normal, &state.sieve, powers);
            if marks.is_empty() {
                continue;
            }
            for (_, index) in state.servers.iter().filter(|(known, _)| *known != server) {
                let runs = runs(index, own, &normal, &marks, powers);
                for (label, start, end) in runs {
                    let Some(label) = index.label_of(label) else { continue };
                    if findings.len() >= MAX_FINDINGS {
                        return findings;
                    }
                    findings.push(sent.finding(label, form, &text, &normal, start, end));
                }
            }
        }
        findings
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn see(&mut self, label: &Label) {
        if self.seen.contains(label) {
            return;
        }
        let mut label = label.clone();
        if self.seen.len() >= MAX_SEEN {
            label.origin.source = "*".to_owned();
            label.origin.digest = None;
            if self.seen.contains(&label) {
                return;
            }
        }
        self.seen = self.seen.iter().cloned().chain([label]).collect();
    }
}

impl fmt::Debug for FlowTracker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowTracker")
            .field("rules", &self.0.rules.rules.len())
            .finish_non_exhaustive()
    }
}

/// A place of a text at which some server may have said what follows.
struct Mark {
    start: usize,
    piece: Option<u64>,
    /// How a token would begin.
    head: Option<u64>,
}

impl Mark {
    fn all(normal: &Normal, sieve: &Sieve, powers: &[u64]) -> Vec<Self> {
        let known = |start: usize, length: usize| {
            normal.hash(start, length, powers).filter(|hash| sieve.may_have(*hash))
        };
        let mark = |start| Self { start, piece: known(start, PIECE), head: known(start, HEAD) };
        let marks = (0..normal.len()).map(mark);
        marks.filter(|mark| mark.piece.is_some() || mark.head.is_some()).collect()
    }
}

/// The runs of a text that another server has said, each with its label, where it begins and
/// where it ends. What the destination has said itself is no news to it.
fn runs(
    index: &Index,
    own: Option<&Index>,
    normal: &Normal,
    marks: &[Mark],
    powers: &[u64],
) -> Vec<(u16, usize, usize)> {
    let found = |hash| match own.is_some_and(|own| own.find(hash).is_some()) {
        true => None,
        false => index.find(hash),
    };
    let mut runs: Vec<(u16, usize, usize)> = Vec::new();
    let mut add = |label: u16, start: usize, end: usize| match runs.last_mut() {
        // Kept pieces of one run are at most this far apart.
        Some(last) if last.0 == label && start <= last.2.max(last.1 + CERTAIN) => {
            last.2 = last.2.max(end);
        }
        _ => runs.push((label, start, end)),
    };
    for &Mark { start, piece, head } in marks {
        if let Some(label) = piece.and_then(found) {
            add(label, start, start + PIECE);
        }
        let lengths = head.map_or(0, |head| index.lengths(head));
        for length in TOKEN.filter(|length| lengths & (1 << length) != 0) {
            if let Some(label) = normal.hash(start, length, powers).and_then(found) {
                add(label, start, start + length);
            }
        }
    }
    runs
}

/// The strings of what is about to be sent, one behind the other.
struct Sent {
    text: String,
    /// From where on the text belongs to which argument.
    arguments: Vec<(usize, Option<String>)>,
}

impl Sent {
    fn read(json: &str) -> Result<Self, serde_json::Error> {
        let mut sent = Self { text: String::with_capacity(json.len()), arguments: Vec::new() };
        let mut names = Vec::new();
        strings(json, &mut |said| match said.is_name {
            // Between the values they would cut a text that is spread over several.
            true => names.push((said.member.map(str::to_owned), said.text.to_owned())),
            false => sent.push(said.member, said.text),
        })?;
        for (member, name) in names {
            sent.push(member.as_deref(), &name);
        }
        Ok(sent)
    }

    fn push(&mut self, argument: Option<&str>, text: &str) {
        if self.arguments.last().map(|(_, last)| last.as_deref()) != Some(argument) {
            self.arguments.push((self.text.len(), argument.map(str::to_owned)));
        }
        self.text.push_str(text);
        self.text.push(' ');
    }

    fn finding(
        &self,
        label: &Label,
        form: Form,
        text: &str,
        normal: &Normal,
        start: usize,
        end: usize,
    ) -> Finding {
        let place = |at: usize| normal.places.get(at).map_or(text.len(), |place| *place as usize);
        let (from, until) = (place(start), place(end));
        let argument = match form {
            Form::Plain => {
                let before = self.arguments.iter().take_while(|(begin, _)| *begin <= from);
                before.last().and_then(|(_, argument)| argument.clone())
            }
            // Places in a decoded text are not those of the arguments.
            Form::Encoded => match self.arguments.as_slice() {
                [(_, only)] => only.clone(),
                _ => None,
            },
        };
        let excerpt = text.get(from..until).unwrap_or_default();
        let excerpt = excerpt.trim_end().chars().take(Finding::MAX_EXCERPT).collect();
        let length = end.saturating_sub(start);
        Finding { label: label.clone(), argument, length, form, excerpt }
    }
}

/// The last place at or before `at` where a character begins.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
