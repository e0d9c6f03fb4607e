//! Definitions that cost, or that two readers understand differently (T17, T18).

use super::Severity;
use super::finding::{Code, Family};
use super::report::Report;
use super::subject::Subject;
use crate::ijson::{Document, IjsonError, Limits, Problem};

pub(super) static CODES: [&Code; 3] = [&UNREADABLE, &NOT_I_JSON, &IMPRECISE];

static UNREADABLE: Code = Code {
    name: "schema/unreadable",
    family: Family::Schema,
    severity: Severity::High,
    title: "cannot be read",
    why: "What a scanner cannot read a client may still show to its model.",
    advice: "Do not use the definition; have its author publish valid JSON within the limits.",
};

static NOT_I_JSON: Code = Code {
    name: "schema/not-i-json",
    family: Family::Schema,
    severity: Severity::High,
    title: "two readers understand it differently",
    why: "A member that stands twice, or a text that is no Unicode, is read one way by who approves it \
          and another way by who uses it (RFC 7493).",
    advice: "Do not approve it; have its author publish each member once, in valid Unicode.",
};

static IMPRECISE: Code = Code {
    name: "schema/imprecise-number",
    family: Family::Schema,
    severity: Severity::Low,
    title: "a number that not every reader keeps",
    why: "Integers beyond 2^53-1 lose digits in many readers (RFC 7493, section 2.2), so that no digest \
          of the definition is certain; ETDI refuses it.",
    advice: "Write the bound as a smaller number or leave it out.",
};

/// What a text is that cannot be taken apart.
pub(super) fn unreadable(why: &str, report: &mut Report<'_, '_>) {
    report.of(&UNREADABLE, "", 1.0, format!("the definition cannot be read: {why}"));
}

pub(super) fn look(_subject: &Subject<'_>, text: &str, report: &mut Report<'_, '_>) {
    if let Err(error) = Document::parse(text, Limits::DEFINITION) {
        ambiguous(&error, report);
    }
}

fn ambiguous(error: &IjsonError, report: &mut Report<'_, '_>) {
    let (code, risk) = match error.problem() {
        Problem::IntegerTooLarge | Problem::NotRoundTrip => (&IMPRECISE, 0.0),
        _ => (&NOT_I_JSON, 0.7),
    };
    report.of(code, "", risk, error.to_string());
}
