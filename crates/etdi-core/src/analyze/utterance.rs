//! A text as utterances: its sentences, in lower case, each with what is said in it.
//!
//! An utterance is judged by what it does, not by which words it uses: whether it orders or describes,
//! whom it addresses, what it is about, and whether it keeps that from the user. A word that is negated
//! counts for the opposite: "never pass a password" asks for none.

use core::ops::Range;

use super::apart::{Common, Topics};
use super::lexicon::{self, Class, Classes, Hit};
use super::subject::{Piece, Role, Subject};
use super::wording::Spoken;

/// The most bytes of one utterance; what is longer is more than one.
const LONGEST: usize = 1_000;

/// What an utterance is about besides the phrases of the lexicon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    /// An address of mail.
    pub(super) email: bool,
    /// An address of the web, and one with a place to be filled in.
    pub(super) url: bool,
    pub(super) template: bool,
    /// A numeric address that is not of this host or network.
    pub(super) number: bool,
    /// A parameter of the tool itself.
    pub(super) own: bool,
    /// A name that looks like another tool's, whether it has nothing in common with this one's, and
    /// whether that tool gives or takes things.
    pub(super) other: bool,
    pub(super) stranger: bool,
    pub(super) source: bool,
    pub(super) sink: bool,
    /// A tag that is none of a page's.
    pub(super) tag: bool,
    /// A word of capital letters that wants attention.
    pub(super) shout: bool,
}

/// What is said in one sentence.
#[derive(Clone, Debug)]
pub(super) struct Utterance {
    /// Which piece of the subject, and which bytes of it.
    pub(super) piece: usize,
    pub(super) span: Range<usize>,
    /// What it does, with what is negated left out.
    pub(super) says: Classes,
    /// What it does not, or forbids.
    pub(super) denies: Classes,
    pub(super) marks: Marks,
    /// Whether it is how a description begins: with what the tool does.
    pub(super) opens: bool,
    /// How many words it has, about.
    pub(super) words: usize,
    /// Its words, and pairs of them.
    pub(super) spoken: Spoken,
    /// Whether it is a name: in a sentence its words are left to the signals.
    pub(super) name: bool,
}

/// What a definition calls its own, in order: parameters, and the values that they take.
struct Own<'a> {
    parameters: Vec<&'a str>,
    values: Vec<&'a str>,
}

/// Everything that is said in a definition, in the order in which it stands.
pub(super) struct Utterances {
    pub(super) list: Vec<Utterance>,
    /// What the name of the thing says that it is about.
    pub(super) business: Classes,
}

impl Utterances {
    pub(super) fn new(subject: &Subject<'_>) -> Self {
        let mut reader = Reader::default();
        let mut own: Vec<&str> = subject.parameters().map(|piece| piece.text).collect();
        own.sort_unstable();
        let mut values: Vec<&str> = subject.values().map(|piece| piece.text).collect();
        values.sort_unstable();
        let own = Own { parameters: own, values };
        let mut list = Vec::new();
        let mut business = Classes::default();
        for (number, piece) in subject.pieces.iter().enumerate() {
            if matches!(piece.role, Role::Statement | Role::Keyword) {
                continue;
            }
            let from = list.len();
            reader.read(number, piece, subject, &own, &mut list);
            if piece.role == Role::Name {
                list.iter().skip(from).for_each(|one: &Utterance| business.add(one.says));
            }
        }
        Self { list, business }
    }
}

impl Utterances {
    /// What it is about, and where.
    pub(super) fn topics<'a>(&self, common: &'a Common) -> Topics<'a> {
        Topics::new(common, self.list.iter().map(|one| &one.spoken))
    }

    /// How many words there are in sentences.
    pub(super) fn words(&self) -> usize {
        self.list.iter().filter(|one| !one.name).map(|one| one.spoken.words).sum()
    }

    /// Whether the next utterance stands in the same text.
    pub(super) fn follows(&self, at: usize) -> bool {
        let pair = self.list.get(at + 1).zip(self.list.get(at));
        pair.is_some_and(|(next, one)| next.piece == one.piece)
    }
}

/// A sentence or a name as it is judged, from how it stands in its piece.
pub(super) fn normalized(text: &str, name: bool) -> String {
    let mut reader = Reader::default();
    match name {
        true => reader.spell(text),
        false => reader.normalize(text),
    }
    reader.text
}

/// Whether it is read as a name, not as sentences.
fn is_name(role: Role) -> bool {
    matches!(role, Role::Name | Role::ParameterName | Role::Key)
}

/// What is used again from piece to piece.
#[derive(Default)]
struct Reader {
    text: String,
    /// For each byte of `text`, where it comes from.
    origin: Vec<u32>,
    cuts: Vec<usize>,
    hits: Vec<Hit>,
}

impl Reader {
    fn read(
        &mut self,
        number: usize,
        piece: &Piece<'_>,
        subject: &Subject<'_>,
        own: &Own<'_>,
        list: &mut Vec<Utterance>,
    ) {
        let name = is_name(piece.role);
        match name {
            true => self.spell(piece.text),
            false => self.normalize(piece.text),
        }
        let mut start = 0;
        for cut in 0..self.cuts.len() {
            let Some(&end) = self.cuts.get(cut) else { break };
            let Some(sentence) = self.text.get(start..end) else { break };
            if sentence.bytes().any(|byte| byte.is_ascii_alphanumeric() || byte >= 0x80) {
                lexicon::find(sentence, &mut self.hits);
                let (says, denies) = weigh(sentence, &self.hits);
                let from = self.origin.get(start).map_or(0, |at| *at as usize);
                let to = self.origin.get(end).map_or(piece.text.len(), |at| *at as usize);
                let original = piece.text.get(from..to).unwrap_or("");
                let marks = match piece.role {
                    Role::Name | Role::ParameterName | Role::Key => Marks::default(),
                    _ => marks(original, subject, own, piece.role),
                };
                let words = sentence.split(' ').filter(|word| !word.is_empty()).count();
                let wide = sentence.chars().filter(|c| *c >= '\u{2e80}').count();
                let opening = Classes::of(&[
                    Class::Read,
                    Class::Put,
                    Class::Send,
                    Class::Run,
                    Class::Change,
                    Class::Destroy,
                    Class::Third,
                ]);
                let opens = piece.role == Role::Description
                    && from == 0
                    && self.hits.iter().any(|hit| hit.start == 0 && hit.classes.any(opening));
                list.push(Utterance {
                    opens,
                    piece: number,
                    span: from..to,
                    says,
                    denies,
                    marks,
                    words: words + wide / 2,
                    spoken: Spoken::new(sentence),
                    name,
                });
            }
            start = end;
        }
    }

    fn clear(&mut self) {
        self.text.clear();
        self.origin.clear();
        self.cuts.clear();
    }

    fn push(&mut self, c: char, at: usize) {
        self.text.push(c);
        let at = u32::try_from(at).unwrap_or(u32::MAX);
        self.origin.resize(self.text.len(), at);
    }

    /// A name as words: `userName`, `user_name` and `user-name` are "user name".
    fn spell(&mut self, text: &str) {
        self.clear();
        let mut lower = false;
        for (at, c) in text.char_indices() {
            if c.is_uppercase() && lower {
                self.push(' ', at);
            }
            lower = c.is_lowercase();
            match c {
                '_' | '-' | '.' | '/' | ':' if at > 0 => self.push(' ', at),
                c => c.to_lowercase().take(1).for_each(|c| self.push(c, at)),
            }
        }
        self.cuts.push(self.text.len());
    }

    /// Lower case, each run of space one space, quotes and apostrophes as in ASCII, without what
    /// does not show; cut into sentences.
    fn normalize(&mut self, text: &str) {
        self.clear();
        let mut last = ' ';
        let mut start = 0;
        let mut characters = text.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            let c = match c {
                '\u{2018}' | '\u{2019}' | '\u{2bc}' => '\'',
                '\u{201c}' | '\u{201d}' => '"',
                '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                    continue;
                }
                '\u{fe00}'..='\u{fe0f}' | '\u{e0000}'..='\u{e0fff}' => continue,
                '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
                c => c,
            };
            if c == '\n' || c == '\r' || c == '\u{2028}' {
                self.end(&mut start);
                last = ' ';
                continue;
            }
            if c.is_whitespace() || c.is_control() {
                if last != ' ' {
                    self.push(' ', at);
                }
                last = ' ';
                continue;
            }
            match c.is_ascii() {
                true => self.push(c.to_ascii_lowercase(), at),
                false => c.to_lowercase().take(1).for_each(|c| self.push(c, at)),
            }
            let next = characters.peek().map_or(' ', |(_, next)| *next);
            let ends = match c {
                '.' => next.is_whitespace() && !last.is_ascii_digit() && !self.is_short(),
                '!' | '?' | ';' => next.is_whitespace() || next >= '\u{2e80}',
                '。' | '！' | '？' | '；' | '।' => true,
                _ => false,
            };
            last = c;
            if ends || self.text.len() - start > LONGEST && next.is_whitespace() {
                self.end(&mut start);
                last = ' ';
            }
        }
        self.end(&mut start);
    }

    /// Whether what stands before the full stop is an abbreviation.
    fn is_short(&self) -> bool {
        [" e.g.", " i.e.", " etc.", " vs.", " z.b.", " bzw.", " ca.", " no."]
            .iter()
            .any(|short| self.text.ends_with(short))
    }

    fn end(&mut self, start: &mut usize) {
        if self.text.len() > *start {
            *start = self.text.len();
            self.cuts.push(*start);
        }
    }
}

/// Classes whose meaning turns into its opposite by a negation.
const TURNS: Classes = Classes::of(&[
    Class::Order,
    Class::Read,
    Class::Put,
    Class::Send,
    Class::Run,
    Class::Change,
    Class::Destroy,
    Class::Tell,
    Class::Ask,
    Class::Bypass,
    Class::False,
    Class::Prefer,
    Class::Third,
]);

const PROTECTS: Classes = Classes::of(&[Class::Protect]);

/// Puts phrases together: what they say, and what they deny.
fn weigh(text: &str, hits: &[Hit]) -> (Classes, Classes) {
    let (mut says, mut denies) = (Classes::default(), Classes::default());
    let mut negation: Option<Hit> = None;
    let mut waiting: Option<(usize, Classes)> = None;
    for hit in hits {
        let turns = hit.classes.and(TURNS);
        let far = match text.get(hit.start..hit.end) {
            Some(phrase) if phrase.is_ascii() => 22,
            Some(phrase) if phrase.chars().any(|c| c >= '\u{2e80}') => 12,
            _ => 40,
        };
        let negated = negation.is_some_and(|no| no.end <= hit.start && hit.start - no.end <= far);
        let clear = negation.and_then(|no| text.get(no.end..hit.start));
        let negated = negated && clear.is_some_and(|text| !text.contains([',', ':', '(', ';']));
        match negated {
            true => {
                denies.add(turns);
                // Who is not to be asked or told is not protected.
                says.add(hit.classes.without(TURNS).without(PROTECTS));
            }
            false => says.add(hit.classes),
        }
        if hit.classes.has(Class::Negation) {
            negation = Some(*hit);
            // In Japanese, and in German main clauses, the negation comes last.
            if let Some((end, classes)) = waiting
                && hit.start >= end
                && hit.start - end <= 12
                && text.get(hit.start..).and_then(|text| text.chars().next()) >= Some('\u{2e80}')
            {
                denies.add(classes);
            }
        }
        if !turns.is_empty() {
            waiting = Some((hit.end, turns));
        }
    }
    (says, denies)
}

const SOURCES: [&str; 14] = [
    "read", "get", "list", "fetch", "search", "query", "load", "cat", "export", "dump", "open",
    "find", "select", "lookup",
];

const SINKS: [&str; 44] = [
    "send", "post", "upload", "share", "exec", "execute", "run", "write", "mail", "email",
    "transfer", "pay", "delete", "forward", "publish", "put", "set", "create", "add", "shell",
    "http", "message", "command", "push", "submit", "invite", "purge", "order", "sign", "grant",
    "deploy", "unlock", "call", "place", "save", "store", "update", "append", "request", "approve",
    "remove", "move", "book", "relay",
];

/// Words that a tool's name stands after.
const USES: [&str; 14] = [
    "with", "via", "through", "using", "call", "calls", "calling", "run", "runs", "invoke",
    "mittels", "über", "through", "tool",
];

/// Verbs of tools' names that neither give nor take.
const VERBS: [&str; 26] = [
    "check", "start", "stop", "init", "restart", "verify", "validate", "test", "scan", "describe",
    "use", "convert", "parse", "close", "connect", "enable", "disable", "reset", "invoke", "edit",
    "register", "ask", "play", "take", "download", "print",
];

/// Tags that a description has for its looks.
const LOOKS: [&str; 46] = [
    "a", "b", "i", "u", "p", "br", "hr", "em", "li", "ul", "ol", "h1", "h2", "h3", "h4", "td",
    "tr", "th", "tt", "pre", "code", "table", "tbody", "thead", "span", "div", "img", "strong",
    "details", "summary", "sub", "sup", "kbd", "example", "examples", "script", "style", "html",
    "head", "body", "link", "meta", "svg", "usecase", "returns", "notes",
];

fn marks(text: &str, subject: &Subject<'_>, own: &Own<'_>, role: Role) -> Marks {
    let mut marks = Marks::default();
    let mut shouted = 0;
    let mut before_last = "";
    let splits = |c: char| c.is_whitespace() || "\"'`,()[]|;“”‘’".contains(c);
    for token in text.split(splits) {
        if token.is_empty() {
            continue;
        }
        let used = USES.contains(&before_last);
        before_last = token;
        if token.contains("://") {
            marks.url = true;
            let query = token.split_once('?').map_or("", |(_, query)| query);
            let place = |text: &str| text.contains(['{', '<', '$', '%']);
            marks.template |= role != Role::Uri && (place(query) || token.ends_with('='));
        }
        if let Some((user, host)) = token.split_once('@') {
            let dotted = host.split('.').filter(|part| !part.is_empty()).count() > 1;
            marks.email |= !user.is_empty() && dotted && !token.contains("://");
        }
        marks.url |= is_host(token);
        marks.number |= token.split(|c: char| !c.is_ascii_digit() && c != '.').any(is_foreign);
        if token.contains('<') {
            marks.tag |= is_tag(token);
        }
        if token.len() > 3 && token.bytes().all(|byte| byte.is_ascii_uppercase()) {
            shouted += 1;
        }
        let at = (token.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let quoted = before.is_some_and(|c| "\"'`“‘".contains(c));
        identifier(token, quoted, used, subject, own, &mut marks);
    }
    marks.shout = shouted > 0;
    marks
}

/// Whether a word is the name of a host, written without a scheme.
fn is_host(token: &str) -> bool {
    const ENDS: [&str; 14] = [
        "com", "net", "org", "io", "dev", "app", "co", "xyz", "info", "example", "test", "ru",
        "cn", "site",
    ];
    let host = token.split(['/', ':', '?']).next().unwrap_or("").trim_end_matches('.');
    let mut labels = host.rsplit('.');
    let ends = labels.next().is_some_and(|last| ENDS.contains(&last));
    let plain = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    ends && host.contains('.') && labels.all(plain)
}

/// Whether a numeric address is one of another network.
fn is_foreign(text: &str) -> bool {
    let mut parts = text.trim_matches('.').split('.');
    let mut next = || parts.next().and_then(|part| part.parse::<u8>().ok());
    match (next(), next(), next(), next()) {
        (Some(first), Some(second), Some(_), Some(_)) => {
            parts.next().is_none()
                && ![0, 10, 127, 255].contains(&first)
                && (first, second) != (192, 168)
                && (first, second) != (169, 254)
                && !(first == 1 && second < 3)
        }
        _ => false,
    }
}

/// A name between angle brackets that is none of a page's and none of a place to be filled in.
fn is_tag(token: &str) -> bool {
    let Some((_, rest)) = token.split_once('<') else { return false };
    let closing = rest.starts_with('/');
    let name = rest.trim_start_matches('/');
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-');
    let name = name.get(..end.unwrap_or(name.len())).unwrap_or("");
    let loud = name.len() > 3 && name.bytes().all(|byte| byte.is_ascii_uppercase());
    name.len() > 1 && (closing || loud) && !LOOKS.iter().any(|look| look.eq_ignore_ascii_case(name))
}

fn identifier(
    token: &str,
    quoted: bool,
    used: bool,
    subject: &Subject<'_>,
    own: &Own<'_>,
    marks: &mut Marks,
) {
    let token = token.trim_matches(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let token = token.split(['=', ':', '.']).next().unwrap_or(token);
    if !(3..=64).contains(&token.len()) {
        return;
    }
    if own.parameters.binary_search(&token).is_ok() {
        marks.own |= quoted || token.contains('_');
        return;
    }
    // What it takes as a value is its own to speak of.
    if own.values.binary_search(&token).is_ok() {
        return;
    }
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if token == subject.name || !token.bytes().all(word) {
        return;
    }
    let inner = token.trim_matches('_');
    if !inner.contains('_') || !token.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return;
    }
    let acts =
        |part: &str| SOURCES.contains(&part) || SINKS.contains(&part) || VERBS.contains(&part);
    let mut parts = inner.split('_');
    let (first, last) = (parts.next().unwrap_or(""), parts.next_back().unwrap_or(""));
    if !acts(first) && !acts(last) && !used {
        return;
    }
    marks.other = true;
    let kin = inner.split('_').filter(|part| !acts(part)).any(|part| is_kin(part, subject.name));
    marks.stranger |= !kin;
    for part in inner.split('_') {
        marks.source |= SOURCES.contains(&part);
        marks.sink |= SINKS.contains(&part);
    }
}

/// Whether a word of another tool's name is one of this tool's, by how it begins.
fn is_kin(part: &str, name: &str) -> bool {
    let begin =
        |word: &str| word.bytes().take(4).map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>();
    let begins = begin(part);
    begins.len() > 1
        && name
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(|word| begin(word) == begins || word.to_ascii_lowercase().contains(part))
}
