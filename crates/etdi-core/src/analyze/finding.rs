//! What was found, where, why it matters and what to do.

use core::ops::Range;

use serde::{Serialize, Serializer};

use crate::event::Severity;

/// What kind of thing a code is about. Each is a file beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Family {
    /// Text that tells the model what to do (T1, T2, T12).
    Directive,
    /// Text that wants a tool to be preferred to others (T7).
    Bias,
    /// Parameters that ask for what the tool does not need (T2).
    Harvest,
    /// What the model reads and a person does not see (T16).
    Smuggling,
    /// Names that are taken for others (T6).
    Names,
    /// Hints that what the tool does contradicts (T3).
    Hints,
    /// Schemas that cost, or that readers understand differently (T17, T18).
    Schema,
    /// Permissions that are broader than what is done with them.
    Permissions,
    /// Statements of ETDI that are missing or bad.
    Signing,
    /// Text about another publisher's tool (T5).
    Reference,
}

impl Family {
    /// Whether it is about what texts say, so that one score covers it.
    pub(super) fn reads_texts(self) -> bool {
        matches!(self, Self::Directive | Self::Bias | Self::Harvest)
    }
}

/// One kind of finding. Its name never changes its meaning.
#[derive(Debug, PartialEq, Eq)]
pub struct Code {
    /// The name: `family/what`, lower case with hyphens.
    pub name: &'static str,
    /// What it is about.
    pub family: Family,
    /// How much it matters as a rule.
    pub severity: Severity,
    /// What it says, in a few words.
    pub title: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub advice: &'static str,
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of thing.
    pub code: &'static Code,
    /// How much it matters here.
    pub severity: Severity,
    /// Where: a JSON pointer (RFC 6901) into what was looked at. A name is found at the member that
    /// has it.
    pub path: String,
    /// Which bytes of that text or name, where a part of it is the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span: Option<Range<usize>>,
    /// These bytes, for people: what does not show is escaped, and it is cut.
    pub evidence: String,
    /// What it says here, in a sentence.
    pub what: String,
    /// How likely a definition is malicious that has this and nothing else, 0 to 1.
    pub risk: f64,
}
