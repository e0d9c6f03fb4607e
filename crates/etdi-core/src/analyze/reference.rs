//! Text about another publisher's tool (T5).
//!
//! A tool has no business with what another publisher's tool does: it need not even be called to
//! change how the other one is used, its description is enough. A known name counts as spoken of where
//! it stands as a name: with a sign or a capital within it, quoted, or beside a word such as `tool`.
//! Tools of the same server, or of the same publisher, may speak of each other.

use core::ops::Range;

use serde::Serialize;

use super::Severity;
use super::finding::{Code, Family};
use super::known::{Known, KnownTool, Origin};
use super::report::Report;
use super::subject::{Piece, Role, Subject};

pub(super) static CODES: [&Code; 2] = [&MENTION, &CONTROL];

static MENTION: Code = Code {
    name: "reference/mention",
    family: Family::Reference,
    severity: Severity::Medium,
    title: "it speaks of another publisher's tool",
    why: "A description reaches the model with every request, whether its tool is called or not; what it \
          says of other tools changes how these are used.",
    advice: "Read what it says of the other tool; a tool can be described without.",
};

static CONTROL: Code = Code {
    name: "reference/control",
    family: Family::Reference,
    severity: Severity::High,
    title: "it says how another publisher's tool is to be used",
    why: "Orders, arguments or recipients for another publisher's tool are how one server takes over \
          another one (tool shadowing).",
    advice: "Do not approve it; tell the publisher of the tool that it speaks of.",
};

/// Who speaks of whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Reference {
    /// The server whose definition speaks.
    pub from_server: String,
    /// The definition.
    pub from: String,
    /// The server that is spoken of.
    pub to_server: String,
    /// Its tool.
    pub to: String,
    /// Where: a JSON pointer into the definition.
    pub path: String,
    /// How likely the definition is malicious by this alone.
    pub risk: f64,
}

/// A known tool that a piece speaks of.
pub(super) struct Mention<'s, 'a, 'k> {
    pub(super) piece: &'s Piece<'a>,
    pub(super) span: Range<usize>,
    pub(super) tool: &'k KnownTool,
    pub(super) risk: f64,
    controls: bool,
}

/// The most mentions of one definition, the most words that are tried, and the longest piece that is
/// read.
const MOST: usize = 32;
const TRIES: usize = 512;
const LONGEST: usize = 1 << 16;

pub(super) fn look(mentions: &[Mention<'_, '_, '_>], report: &mut Report<'_, '_>) {
    for mention in mentions {
        let tool = mention.tool;
        let (code, does) = match mention.controls {
            true => (&CONTROL, "says how it is used"),
            false => (&MENTION, "speaks of it"),
        };
        let what = format!(
            "{} is a tool of {}, and this {does}",
            report.shown(&tool.name),
            report.shown(&tool.server)
        );
        report.at(code, mention.piece, Some(mention.span.clone()), mention.risk, what);
    }
}

/// The tools of others that a definition speaks of, each once for each piece.
pub(super) fn mentions<'s, 'a, 'k>(
    subject: &'s Subject<'a>,
    known: &'k Known,
    origin: &Origin<'_>,
) -> Vec<Mention<'s, 'a, 'k>> {
    let mut mentions: Vec<Mention<'s, 'a, 'k>> = Vec::new();
    if known.tools.is_empty() {
        return mentions;
    }
    let mut tries = 0;
    for piece in &subject.pieces {
        if matches!(piece.role, Role::Name | Role::Statement | Role::Pattern | Role::Keyword)
            || piece.text.len() > LONGEST
        {
            continue;
        }
        for (span, name) in names(piece) {
            let foreign = |tool: &&KnownTool| !origin.is_of(tool);
            let Some(tool) = known.named(name).find(foreign) else { continue };
            tries += 1;
            if tries > TRIES {
                return mentions;
            }
            if name == subject.name || known.has_sibling(name, origin) {
                continue;
            }
            let seen =
                |one: &&Mention<'_, '_, '_>| one.tool == tool && core::ptr::eq(one.piece, piece);
            if mentions.iter().any(|one| seen(&one)) || !is_meant(subject, piece, &span, name) {
                continue;
            }
            let (risk, controls) = grade(piece, &span);
            mentions.push(Mention { piece, span, tool, risk, controls });
            if mentions.len() >= MOST {
                return mentions;
            }
        }
    }
    mentions
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')
}

/// What could be a tool's name in a piece: its words, with and without what stands before a dot or
/// slash; of the name of a member also the words within.
fn names<'t>(piece: &Piece<'t>) -> Vec<(Range<usize>, &'t str)> {
    let text = piece.text;
    let mut names = Vec::new();
    let mut start = None;
    let ends = text.char_indices().map(|(at, c)| (at, is_name(c))).chain([(text.len(), false)]);
    for (at, within) in ends {
        match (start, within) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                start = None;
                let raw = text.get(from..at).unwrap_or_default();
                let word = raw.trim_matches(['.', '-', '/']);
                let from = from + raw.len() - raw.trim_start_matches(['.', '-', '/']).len();
                add(&mut names, from, word);
                let identifier = matches!(piece.role, Role::ParameterName | Role::Key);
                if identifier || word.matches('_').count() > 3 {
                    within_name(&mut names, from, word);
                }
            }
            _ => {}
        }
    }
    names
}

fn add<'t>(names: &mut Vec<(Range<usize>, &'t str)>, from: usize, word: &'t str) {
    if word.len() < 3 || word.len() > super::known::LONGEST {
        return;
    }
    names.push((from..from + word.len(), word));
    let last = [word.rfind('/'), word.rfind('.'), word.rfind("__").map(|at| at + 1)];
    for at in last.into_iter().flatten() {
        if let Some(tail) = word.get(at + 1..).filter(|tail| tail.len() > 2) {
            names.push((from + at + 1..from + word.len(), tail));
        }
    }
}

/// Two to five words of a longer name, in a row.
fn within_name<'t>(names: &mut Vec<(Range<usize>, &'t str)>, from: usize, word: &'t str) {
    let mut starts: Vec<usize> = vec![0];
    starts.extend(word.match_indices(['_', '-', '.']).map(|(at, _)| at + 1));
    starts.truncate(32);
    for (number, start) in starts.iter().enumerate() {
        for end in starts.iter().skip(number + 2).take(4).map(|end| end - 1).chain([word.len()]) {
            let part = word.get(*start..end).unwrap_or_default();
            if part.contains(['_', '-', '.']) && part.len() < word.len() {
                names.push((from + start..from + end, part));
            }
        }
    }
}

/// Whether a word stands as the name of a tool, and not as a word of the language or of the definition.
fn is_meant(subject: &Subject<'_>, piece: &Piece<'_>, span: &Range<usize>, name: &str) -> bool {
    let whole = span.len() == piece.text.len();
    match piece.role {
        Role::ParameterName => return !whole && tells(piece.text, name),
        Role::Key if whole => {
            return name.contains(['_', '.']) && subject.pointer(piece).starts_with("/_meta/");
        }
        Role::Key => return tells(piece.text, name),
        Role::Value if whole => return false,
        _ => {}
    }
    let own =
        |one: &&Piece<'_>| matches!(one.role, Role::Value | Role::ParameterName | Role::Title);
    if subject.pieces.iter().filter(own).any(|one| one.text == name) {
        return false;
    }
    let mut inner = name.chars().skip(1);
    let signed = name.contains(['_', '.']) || name.contains('-') && name.matches('-').count() > 1;
    if signed || inner.any(char::is_uppercase) && !name.chars().all(char::is_uppercase) {
        return true;
    }
    // A word of the language is a name where it is quoted beside what only tools are called.
    let before = piece.text.get(..span.start).unwrap_or_default();
    let after = piece.text.get(span.end..).unwrap_or_default();
    let quote = |c: char| matches!(c, '`' | '"' | '\'' | '“' | '«' | '„' | '「' | '‘');
    let quoted = before.ends_with(quote)
        && after.starts_with(|c: char| quote(c) || matches!(c, '”' | '»' | '」' | '’'));
    let near = |words: &str| {
        let word = words.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        word.ends_with("mcp")
            || matches!(
                &*word,
                "tool" | "tools" | "server" | "connector" | "calls" | "werkzeug" | "outil"
            )
    };
    let next = after.split_whitespace().take(3).any(near);
    let previous = before.rsplit(char::is_whitespace).take(4).any(near);
    quoted && (next || previous)
}

/// Whether the name of a member says something about a tool, beside naming it.
fn tells(member: &str, name: &str) -> bool {
    let rest = member.replacen(name, "", 1).to_lowercase();
    let words: Vec<&str> = rest.split(['_', '-', '.']).filter(|word| !word.is_empty()).collect();
    let tells = |word: &&str| {
        ORDERS.contains(word)
            || matches!(
                *word,
                "to" | "with" | "when" | "also" | "wo" | "no" | "le" | "la" | "para" | "mit"
            )
    };
    words.len() > 1 && words.iter().any(tells)
}

/// How grave a mention is, and whether it says how the tool is to be used.
fn grade(piece: &Piece<'_>, span: &Range<usize>) -> (f64, bool) {
    if matches!(piece.role, Role::ParameterName | Role::Key) && span.len() < piece.text.len() {
        return (0.8, true);
    }
    let ends = |c: char| matches!(c, '!' | '?' | '\n' | '。' | '！' | '？');
    // A stop within a name or an address ends no sentence.
    let before = piece.text.get(..span.start).unwrap_or_default();
    let start = before.rfind(ends).into_iter().chain(before.rfind(". ")).max();
    let before = before.get(start.map_or(0, |at| at + 1)..).unwrap_or(before);
    let after = piece.text.get(span.end..).unwrap_or_default();
    let end = after.find(ends).into_iter().chain(after.find(". ")).min();
    // What is to be done may stand in the next sentence.
    let rest = after.get(end.unwrap_or(after.len())..).unwrap_or_default();
    let next = rest.get(1..).and_then(|rest| rest.find(ends).and_then(|at| rest.get(..at)));
    let after = after.get(..end.unwrap_or(after.len())).unwrap_or_default();
    let sentence = format!("{before} {after} {}", next.unwrap_or(rest)).to_lowercase();
    let letters = sentence.chars().filter(|c| c.is_alphabetic()).count();
    let other = sentence.chars().filter(|c| c.is_alphabetic() && u32::from(*c) > 0x24f).count();
    let words = || sentence.split(|c: char| !c.is_alphanumeric() && c != '\'');
    let orders = words().any(|word| ORDERS.contains(&word));
    let values = sentence.contains(['=', '@']) || sentence.contains("://");
    match () {
        () if orders && values => (0.9, true),
        () if orders || values => (0.75, true),
        () if other * 3 > letters => (0.7, true),
        () => (0.35, false),
    }
}

/// Words by which something is asked for, or said to be so whatever is asked.
const ORDERS: [&str; 110] = [
    "add",
    "added",
    "addressed",
    "adds",
    "adjust",
    "ajouter",
    "always",
    "anstelle",
    "append",
    "appended",
    "approved",
    "argument",
    "arguments",
    "asked",
    "avoid",
    "añadir",
    "bcc",
    "before",
    "begin",
    "belong",
    "belongs",
    "benötigen",
    "call",
    "called",
    "calls",
    "carry",
    "cc",
    "copy",
    "debe",
    "deben",
    "deposit",
    "deposited",
    "deve",
    "devem",
    "directed",
    "doit",
    "doivent",
    "effective",
    "einzusetzen",
    "employé",
    "expects",
    "faut",
    "first",
    "give",
    "given",
    "ha",
    "has",
    "have",
    "hold",
    "ignore",
    "immer",
    "include",
    "included",
    "instead",
    "invoked",
    "ist",
    "jamais",
    "llevar",
    "lower",
    "merci",
    "muss",
    "must",
    "müssen",
    "need",
    "needs",
    "never",
    "nie",
    "niemals",
    "nunca",
    "only",
    "parameter",
    "parameters",
    "pass",
    "passed",
    "pedir",
    "prefixed",
    "put",
    "raise",
    "recipient",
    "recipients",
    "remplacer",
    "remplacée",
    "replace",
    "replaced",
    "replaces",
    "required",
    "rewrite",
    "rewritten",
    "say",
    "says",
    "sempre",
    "set",
    "sets",
    "shall",
    "should",
    "siempre",
    "skip",
    "soll",
    "sollen",
    "statt",
    "stets",
    "toujours",
    "unless",
    "usar",
    "use",
    "used",
    "uses",
    "using",
    "verwenden",
    "veuillez",
];
