//! Chains of calls looked into afterwards: from a trace or an audit trail, by a policy of today.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use super::{CallStack, CallStackPolicy, ChainError, Frame, Member, ViolationKind};
use crate::bounded::Bounded;
use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::event::{Event, EventKind};
use crate::time::UnixTime;
use crate::wire::CallConstraints;

/// One call of a trace. What is not known is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct TracedCall {
    /// What later calls name as their [`parent`](Self::parent).
    #[serde(default)]
    pub id: Option<String>,
    /// The id of the call within which this one was made.
    #[serde(default)]
    pub parent: Option<String>,
    /// When, for the rate; without it the rate is not judged.
    #[serde(default)]
    pub at: Option<UnixTime>,
    /// Who asked for it all.
    #[serde(default)]
    pub session: Option<String>,
    /// The server that the called tool is of.
    #[serde(default)]
    pub server: Option<String>,
    /// The tool that called: its name, and before it `SERVER#` if it is another server's. Without it
    /// the call came from outside, unless there is a parent.
    #[serde(default)]
    pub caller: Option<String>,
    /// The tool that was called.
    #[serde(alias = "tool")]
    pub callee: String,
    /// How many tools were under way, this one included.
    #[serde(default)]
    pub depth: Option<u32>,
    /// Whether a user had approved this very call of one tool by another.
    #[serde(default)]
    pub approved: bool,
    /// Whether it was refused when it happened.
    #[serde(default)]
    pub refused: bool,
}

impl TracedCall {
    /// A call of this tool from outside.
    pub fn new(callee: impl Into<String>) -> Self {
        Self { callee: callee.into(), ..Self::default() }
    }

    /// The same call, made by this tool.
    #[must_use]
    pub fn by(self, caller: impl Into<String>) -> Self {
        Self { caller: Some(caller.into()), ..self }
    }

    /// The call that an entry of the [audit trail](crate::audit) is about: one that was let through,
    /// or one that broke a rule of chains. Other events are about none.
    pub fn of_event(event: &Event, at: UnixTime) -> Option<Self> {
        let refused = match event.kind {
            EventKind::ToolInvoked => false,
            EventKind::CallStackViolation
            | EventKind::CallDepthExceeded
            | EventKind::CircularCallDetected
            | EventKind::PrivilegeEscalationDetected => true,
            _ => return None,
        };
        // What a policy only notes is followed by the call itself.
        if refused && event.detail.as_deref().is_some_and(|detail| detail.starts_with("noted")) {
            return None;
        }
        let callee = event.callee.as_ref().or(event.tool.as_ref())?;
        Some(Self {
            at: Some(at),
            session: event.session.clone(),
            server: event.server.clone(),
            caller: event.caller.clone(),
            callee: callee.clone(),
            depth: event.depth,
            refused,
            ..Self::default()
        })
    }
}

/// What is to be said of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JudgedCall {
    /// The tools under way, the outermost first and the called one last.
    pub chain: Vec<String>,
    /// Whether the declarations of the called tool are known; without them it is taken to declare
    /// neither constraints nor permissions.
    pub declared: bool,
    /// Whether it was refused when it happened.
    pub was_refused: bool,
    /// What would be noted, and not refused.
    pub noted: Vec<ChainError>,
    /// Why it would be refused; `None` if it would be let through.
    pub refusal: Option<ChainError>,
}

/// A chain that ran, and what would become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct JudgedChain {
    /// The tools, the outermost first.
    pub chain: Vec<String>,
    /// How often its last call was made.
    pub calls: u64,
    /// How often it was refused then.
    pub was_refused: u64,
    /// How often it would be refused.
    pub would_be_refused: u64,
    /// Whether the declarations of its last tool are known.
    pub declared: bool,
    /// Which rule refuses it, the first time that one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<ViolationKind>,
    /// The same, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Says of the calls of a trace, in the order in which they happened, which chains ran and which
/// would be refused now: by a [`CallStackPolicy`] and by what the tools declare. It judges as
/// [`CallStack`] does, and calls nothing.
///
/// ```
/// use etdi_core::chain::{CallStackPolicy, CallStackVerifier, TracedCall, ViolationKind};
///
/// let mut verifier = CallStackVerifier::new("notes", CallStackPolicy::basic());
/// verifier.verify(&TracedCall::new("plan"));
/// assert_eq!(verifier.verify(&TracedCall::new("search").by("plan")).refusal, None);
///
/// // Who calls itself, by others, would be refused.
/// let again = verifier.verify(&TracedCall::new("plan").by("search"));
/// assert_eq!(again.chain, ["plan", "search", "plan"]);
/// assert_eq!(again.refusal.map(|why| why.kind()), Some(ViolationKind::CircularDependency));
/// ```
#[derive(Debug)]
pub struct CallStackVerifier {
    /// The server of calls that name none.
    server: String,
    stack: CallStack,
    /// The same policy without a rate, for calls whose time is not known.
    timeless: CallStack,
    declared: HashMap<String, Member>,
    /// Declarations for a tool of this name on whichever server.
    anywhere: HashMap<String, ToolDefinition>,
    by_id: Bounded<String, Frame, REMEMBERED>,
    newest: Bounded<Key, Frame, REMEMBERED>,
    chains: BTreeMap<Vec<String>, JudgedChain>,
    beyond: u64,
}

/// A session, a tool as it is named across servers, and its depth.
type Key = (Option<String>, String, u32);

/// How many calls a later one can have been made by.
const REMEMBERED: usize = 65_536;

/// How many chains are summed up.
const CHAINS: usize = 10_000;

/// What stands for a caller of whom nothing is known.
const UNKNOWN: &str = "(unknown)";

impl CallStackVerifier {
    /// Judges by `policy` the calls of a trace, in which calls that name no server are of `server`.
    pub fn new(server: impl Into<String>, policy: CallStackPolicy) -> Self {
        let timeless = CallStackPolicy { max_calls_per_minute: 0, ..policy.clone() };
        Self {
            server: server.into(),
            stack: CallStack::new(policy),
            timeless: CallStack::new(timeless),
            declared: HashMap::new(),
            anywhere: HashMap::new(),
            by_id: Bounded::default(),
            newest: Bounded::default(),
            chains: BTreeMap::new(),
            beyond: 0,
        }
    }

    /// Takes in what a tool declares now; of two of one server and name the later counts.
    pub fn declare(&mut self, member: Member) {
        self.declared.insert(member.name_on("").to_owned(), member);
    }

    /// Takes in what a tool declares that goes by this name on every server of the trace which has
    /// no declaration of its own.
    pub fn declare_anywhere(&mut self, definition: &ToolDefinition) {
        self.anywhere.insert(definition.name().to_owned(), definition.clone());
    }

    /// Judges the next call. Of the calls that it may have been made within, the parent counts, else
    /// the newest call of its caller at the depth above; one that the trace does not show is taken to
    /// have declared nothing.
    pub fn verify(&mut self, call: &TracedCall) -> JudgedCall {
        let server = call.server.as_deref().unwrap_or(&self.server).to_owned();
        let (callee, declared) = self.member(&call.callee, &server);
        let caller = self.caller(call, &server);
        let session = call.session.as_deref().unwrap_or_default();
        let (stack, now) = match call.at {
            Some(at) => (&self.stack, at),
            None => (&self.timeless, UnixTime::default()),
        };
        let mut noted = Vec::new();
        let judged =
            stack.enter_noting(caller.as_ref(), &callee, session, now, call.approved, |error| {
                noted.push(error)
            });
        let refusal = judged.as_ref().err().cloned();
        // It ran all the same, and so did what it called.
        let frame =
            judged.unwrap_or_else(|_| Frame::anew(caller.as_ref(), &callee, stack.policy()));
        let mut chain: Vec<String> =
            frame.frames().map(|frame| frame.member().name_on(&server).to_owned()).collect();
        chain.reverse();
        if !call.refused {
            let key = (call.session.clone(), callee.name_on("").to_owned(), frame.depth());
            self.newest.insert(key, frame.clone());
            if let Some(id) = &call.id {
                self.by_id.insert(id.clone(), frame);
            }
        }
        let judged = JudgedCall { chain, declared, was_refused: call.refused, noted, refusal };
        self.sum(&judged);
        judged
    }

    /// The chains so far, those that would be refused first; 10,000 at most.
    pub fn chains(&self) -> Vec<&JudgedChain> {
        let mut chains: Vec<_> = self.chains.values().collect();
        chains.sort_by_key(|chain| chain.would_be_refused == 0);
        chains
    }

    /// How many calls were of chains that are not among [`CallStackVerifier::chains`], because there
    /// are too many.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    fn sum(&mut self, judged: &JudgedCall) {
        if self.chains.len() >= CHAINS && !self.chains.contains_key(&judged.chain) {
            self.beyond += 1;
            return;
        }
        let chain = self.chains.entry(judged.chain.clone()).or_insert_with(|| JudgedChain {
            chain: judged.chain.clone(),
            calls: 0,
            was_refused: 0,
            would_be_refused: 0,
            declared: judged.declared,
            kind: None,
            reason: None,
        });
        chain.calls += 1;
        chain.was_refused += u64::from(judged.was_refused);
        if let Some(refusal) = &judged.refusal {
            chain.would_be_refused += 1;
            chain.kind.get_or_insert_with(|| refusal.kind());
            chain.reason.get_or_insert_with(|| refusal.to_string());
        }
    }

    /// The tool of a name as it is said on `server`, and whether its declarations are known.
    fn member(&self, name: &str, server: &str) -> (Member, bool) {
        let (server, tool) = name.rsplit_once('#').unwrap_or((server, name));
        if let Some(member) = self.declared.get(&format!("{server}#{tool}")) {
            return (member.clone(), true);
        }
        match self.anywhere.get(tool) {
            Some(definition) => (Member::of(server, definition), true),
            None => (undeclared(server, tool), false),
        }
    }

    /// The call within which a call was made.
    fn caller(&self, call: &TracedCall, server: &str) -> Option<Frame> {
        if let Some(frame) = call.parent.as_ref().and_then(|parent| self.by_id.get(parent)) {
            return Some(frame.clone());
        }
        let above = call.depth.map(|depth| depth.saturating_sub(1));
        let Some(name) = &call.caller else {
            let known = call.parent.is_none() && above.is_none_or(|above| above == 0);
            return (!known).then(|| self.unseen(&undeclared(server, UNKNOWN), above));
        };
        let (member, _) = self.member(name, server);
        let full = member.name_on("").to_owned();
        let most = self.stack.policy().max_call_depth.saturating_add(1).min(MOST_DEEP);
        // Where no depth is told, the innermost: it is the one whose chain says most.
        let depths = above.map_or(1..=most, |above| above..=above);
        // A call from outside is noted without its session.
        for session in [call.session.clone(), None] {
            for depth in depths.clone().rev() {
                let key = (session.clone(), full.clone(), depth);
                if let Some(frame) = self.newest.get(&key) {
                    return Some(frame.clone());
                }
            }
        }
        Some(self.unseen(&member, above))
    }

    /// A call that the trace does not show, at its depth.
    fn unseen(&self, member: &Member, depth: Option<u32>) -> Frame {
        let policy = self.stack.policy();
        let unknown = undeclared(member.server(), UNKNOWN);
        let mut outer = None;
        for _ in 1..depth.unwrap_or(1).min(MOST_DEEP) {
            outer = Some(Frame::anew(outer.as_ref(), &unknown, policy));
        }
        Frame::anew(outer.as_ref(), member, policy)
    }
}

/// No chain is followed further out.
const MOST_DEEP: u32 = 64;

fn undeclared(server: &str, tool: &str) -> Member {
    let nothing = Digest::of_bytes(b"");
    Member::new(server, tool, nothing, CallConstraints::default(), Vec::new())
}

#[cfg(test)]
mod tests;
