//! Hints that what the tool does contradicts (T3).
//!
//! A hint is a claim by whoever wrote the definition, and clients show or hide questions by it. Here
//! it is held against the verbs of name and description, the values that parameters take, and the
//! permissions that the tool asks for. How grave a contradiction is depends on what is done: a query
//! that is called read-only is nothing, a deletion is.

use super::Severity;
use super::declared;
use super::finding::{Code, Family};
use super::report::Report;
use super::subject::{Kind, Piece, Role, Subject};
use super::tree::Node;
use super::words::{self, Act};
use crate::safe::SafeText;

pub(super) static CODES: [&Code; 5] =
    [&READ_ONLY, &NOT_DESTRUCTIVE, &CLOSED_WORLD, &IDEMPOTENT, &CONTRADICTORY];

static READ_ONLY: Code = Code {
    name: "hints/read-only",
    family: Family::Hints,
    severity: Severity::High,
    title: "called read-only, and changes things",
    why: "Clients run tools with `readOnlyHint` without asking; name, description, values or permissions \
          say that this one changes something.",
    advice: "Do not approve it as read-only; have its author correct the hint.",
};

static NOT_DESTRUCTIVE: Code = Code {
    name: "hints/not-destructive",
    family: Family::Hints,
    severity: Severity::High,
    title: "called harmless, and destroys things",
    why: "Clients ask with less emphasis where `destructiveHint` is false; what this tool does cannot be \
          undone.",
    advice: "Treat it as destructive; have its author correct the hint.",
};

static CLOSED_WORLD: Code = Code {
    name: "hints/closed-world",
    family: Family::Hints,
    severity: Severity::Medium,
    title: "called closed, and reaches anything",
    why: "Where `openWorldHint` is false, clients take what goes in and comes out as their own; this tool \
          sends to or fetches from wherever it is told.",
    advice: "Treat what it returns as untrusted, and what it is given as leaving the machine.",
};

static IDEMPOTENT: Code = Code {
    name: "hints/idempotent",
    family: Family::Hints,
    severity: Severity::Low,
    title: "called repeatable, and adds something each time",
    why: "Clients repeat tools with `idempotentHint` after an error; this one would do it twice.",
    advice: "Do not repeat its calls.",
};

static CONTRADICTORY: Code = Code {
    name: "hints/contradictory",
    family: Family::Hints,
    severity: Severity::Low,
    title: "hints that contradict each other",
    why: "A tool cannot be read-only and destructive; clients differ in which of the two they believe.",
    advice: "Treat it as destructive; have its author correct the hints.",
};

pub(super) fn look(subject: &Subject<'_>, report: &mut Report<'_, '_>) {
    let Some(annotations) = subject.root.get("annotations").filter(|_| subject.kind == Kind::Tool)
    else {
        return;
    };
    let hint = |name| annotations.get(name).and_then(Node::bool);
    let read_only = hint("readOnlyHint") == Some(true);
    if read_only && hint("destructiveHint") == Some(true) {
        let what = "it is called both read-only and destructive";
        report.of(&CONTRADICTORY, "/annotations", 0.05, what);
    }
    let acts = Acts::of(subject);
    if read_only && let Some((risk, what)) = acts.changes() {
        report.of(&READ_ONLY, "/annotations/readOnlyHint", risk, what);
    }
    if !read_only
        && hint("destructiveHint") == Some(false)
        && let Some((risk, what)) = acts.destroys()
    {
        report.of(&NOT_DESTRUCTIVE, "/annotations/destructiveHint", risk, what);
    }
    if hint("openWorldHint") == Some(false)
        && let Some((risk, what)) = acts.reaches()
    {
        report.of(&CLOSED_WORLD, "/annotations/openWorldHint", risk, what);
    }
    if hint("idempotentHint") == Some(true)
        && !read_only
        && let Some((Act::Add | Act::Send, word)) = &acts.named
    {
        let what = format!("its name says `{word}`, which does something anew each time");
        report.of(&IDEMPOTENT, "/annotations/idempotentHint", 0.02, what);
    }
}

/// What a tool says that it does.
struct Acts<'a> {
    /// The gravest verb of the name, where it is what the name is about.
    named: Option<(Act, String)>,
    /// The gravest act that the description tells as the tool's own, and whether it begins with it.
    told: Option<(Act, String, bool)>,
    /// Words that say that there is no way back.
    final_word: Option<&'static str>,
    /// The gravest value that a parameter can take.
    value: Option<(Act, String, Option<&'a str>)>,
    /// The gravest permission.
    scope: Option<(Act, String)>,
    parameters: Vec<&'a str>,
    addresses: bool,
    name: &'a str,
}

impl<'a> Acts<'a> {
    fn of(subject: &'a Subject<'_>) -> Self {
        let named = words::of_name(subject.name);
        let description = subject.root.get("description").and_then(Node::text).unwrap_or("");
        let told = words::of_description(description);
        let values = subject.pieces.iter().filter(|piece| is_value(piece));
        let offered = |piece: &&Piece<'_>| {
            let path = subject.pointer(piece);
            path.contains("/enum/") || path.ends_with("/const")
        };
        let value = values.filter_map(|piece| Some((words::of_name(piece.text)?, piece)));
        let value = value.filter(|(_, piece)| offered(piece));
        let value = value.map(|((act, word), piece)| (act, word, piece.parameter));
        let value = value.max_by_key(|(act, ..)| *act);
        let parameters: Vec<&str> = subject.parameters().map(|piece| piece.text).collect();
        let permissions = declared::permissions(subject).into_iter().map(|one| one.scope);
        let scopes = declared::scopes(subject).into_iter().map(|(scope, _)| scope);
        let scope = permissions.chain(scopes).take(256).filter_map(words::of_scope);
        let scope = scope.max_by_key(|(act, _)| *act);
        Self {
            named,
            told,
            final_word: words::final_word(description),
            value,
            scope,
            addresses: words::any_address(description),
            parameters,
            name: subject.name,
        }
    }

    /// How a read-only tool changes things after all.
    fn changes(&self) -> Option<(f64, String)> {
        let mut found: Vec<(f64, String)> = Vec::new();
        if let Some((act, word)) = &self.named {
            let risk = match act {
                Act::Destroy => 0.85,
                Act::Pay | Act::Grant => 0.8,
                Act::Send => 0.5,
                Act::Change => 0.45,
                Act::Add => 0.25,
                Act::Run => 0.02,
            };
            found.push((risk, format!("its name says `{word}`")));
        }
        if let Some((act, word, first)) = &self.told {
            let risk = match (act, first) {
                (Act::Destroy | Act::Pay | Act::Grant, true) => 0.85,
                (Act::Destroy | Act::Pay | Act::Grant, false) => 0.5,
                (Act::Send, true) => 0.5,
                (Act::Send | Act::Change, _) => 0.3,
                (Act::Add, _) => 0.08,
                (Act::Run, _) => 0.0,
            };
            found.push((risk, format!("its description says `{word}`")));
        }
        if let Some((act, word, parameter)) = &self.value {
            let risk = match act {
                Act::Destroy if is_soft(word) => 0.05,
                Act::Destroy | Act::Pay | Act::Grant => 0.5,
                _ => 0.0,
            };
            found.push((risk, format!("`{}` takes `{word}`", shown(parameter.unwrap_or("it")))));
        }
        if let Some((act, scope)) = &self.scope {
            let risk = if *act == Act::Run { 0.1 } else { 0.6 };
            found.push((risk, format!("it asks for `{}`", shown(scope))));
        }
        if let Some(word) = self.final_word {
            let acts = self.named.is_some() || self.told.is_some();
            found.push((if acts { 0.5 } else { 0.15 }, format!("its description says `{word}`")));
        }
        gravest(found)
    }

    /// How a tool that is not destructive destroys something.
    fn destroys(&self) -> Option<(f64, String)> {
        let mut found: Vec<(f64, String)> = Vec::new();
        if let Some((Act::Destroy, word)) = &self.named {
            let risk = if is_soft(word) { 0.08 } else { 0.5 };
            found.push((risk, format!("its name says `{word}`")));
        }
        if let Some((Act::Destroy, word, first)) = &self.told {
            let risk = match (is_soft(word), first) {
                (true, _) => 0.08,
                (false, true) => 0.55,
                (false, false) => 0.35,
            };
            found.push((risk, format!("its description says `{word}`")));
        }
        if let Some(word) = self.final_word {
            let grave = !found.is_empty()
                || matches!(self.told, Some((Act::Pay | Act::Grant | Act::Change, ..)));
            let risk = if grave { 0.65 } else { 0.15 };
            found.push((risk, format!("its description says `{word}`")));
        }
        if let Some((Act::Pay | Act::Grant, word, true)) = &self.told {
            found.push((0.2, format!("its description says `{word}`")));
        }
        if let Some((Act::Destroy, scope)) = &self.scope {
            found.push((0.55, format!("it asks for `{}`", shown(scope))));
        }
        gravest(found)
    }

    /// How a closed tool reaches further.
    fn reaches(&self) -> Option<(f64, String)> {
        let mut found: Vec<(f64, String)> = Vec::new();
        let address = self.parameters.iter().find(|name| words::is_address(name));
        let fetches = words::split(self.name).iter().any(|word| words::is_fetch(word));
        if let Some(name) = address
            && (self.addresses || fetches)
        {
            found.push((0.4, format!("it goes to whatever `{}` says", shown(name))));
        } else if self.addresses {
            found.push((0.3, "its description says that it goes to any address".to_owned()));
        }
        if let Some((Act::Send, word)) = &self.named {
            found.push((0.05, format!("its name says `{word}`")));
        }
        if matches!(self.named, Some((Act::Pay, _)))
            || matches!(self.told, Some((Act::Pay, _, true)))
        {
            found.push((0.2, "it pays or transfers".to_owned()));
        }
        gravest(found)
    }
}

/// A name of the peer's, for people.
fn shown(name: &str) -> SafeText {
    SafeText::within(name, 80)
}

/// Verbs that undo or take away without destroying, as often as not.
fn is_soft(word: &str) -> bool {
    const SOFT: [&str; 9] =
        ["remove", "cancel", "clear", "terminate", "reset", "kill", "drop", "unlink", "discard"];
    SOFT.contains(&word.strip_suffix('s').unwrap_or(word))
}

fn gravest(found: Vec<(f64, String)>) -> Option<(f64, String)> {
    let found = found.into_iter().filter(|(risk, _)| *risk > 0.0);
    found.max_by(|(one, _), (other, _)| one.total_cmp(other))
}

fn is_value(piece: &Piece<'_>) -> bool {
    piece.role == Role::Value && !piece.output && piece.text.len() < 64
}
