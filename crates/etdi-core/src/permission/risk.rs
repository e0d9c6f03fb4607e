//! Scopes that deserve a second look: a list of words, applied to what a tool asks for anew.
//!
//! ```
//! use etdi_core::permission::{Permission, RiskLexicon, Scope};
//!
//! let scope = |text: &str| text.parse::<Scope>();
//! let asked = [Permission::new(scope("notes:admin")?), Permission::new(scope("notes:read")?)];
//! let lexicon = RiskLexicon::default();
//! assert_eq!(lexicon.added(&[], &asked).len(), 1);
//! // What was approved before is no news, and words count as whole segments only.
//! assert!(lexicon.added(&[scope("notes:*")?], &asked).is_empty());
//! assert!(lexicon.added(&[], &[Permission::new(scope("notes:administrative")?)]).is_empty());
//! # Ok::<(), etdi_core::permission::ScopeError>(())
//! ```

use core::fmt;

use serde::{Deserialize, Serialize};

use super::{Permission, Scope};

/// Words that make a scope dangerous or broad. Each is one segment of a scope or several, joined by
/// `:`, which stand in it one after another.
///
/// A hint for whoever is asked: it neither admits nor refuses anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RiskLexicon {
    /// What gives power over the system or over others.
    pub dangerous: Vec<String>,
    /// What has no bounds.
    pub broad: Vec<String>,
}

impl Default for RiskLexicon {
    fn default() -> Self {
        let list = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        Self {
            dangerous: list(&[
                "admin",
                "root",
                "system",
                "file:write",
                "network:unrestricted",
                "exec",
                "shell",
                "sudo",
                "privilege",
                "escalate",
            ]),
            broad: list(&["*", "all", "any", "unrestricted"]),
        }
    }
}

/// A scope that a tool asks for anew, and the word in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Risk {
    /// The scope.
    pub scope: Scope,
    /// The word of the list.
    pub word: String,
    /// What the word stands for.
    pub kind: RiskKind,
}

/// What a word of the list stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RiskKind {
    /// Power over the system or over others.
    Dangerous,
    /// No bounds.
    Broad,
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            RiskKind::Dangerous => "dangerous",
            RiskKind::Broad => "broad",
        };
        write!(f, "{}: `{}` is on the list of what is {kind}", self.scope, self.word.escape_debug())
    }
}

impl RiskLexicon {
    /// A list without words.
    pub fn empty() -> Self {
        Self { dangerous: Vec::new(), broad: Vec::new() }
    }

    /// The scopes with a word of the list, among those that `approved` does not cover. For a tool
    /// that was never approved these are all that it asks for.
    pub fn added(&self, approved: &[Scope], asked: &[Permission]) -> Vec<Risk> {
        let scopes = asked.iter().map(|permission| &permission.scope);
        let new = scopes.filter(|scope| !approved.iter().any(|held| held.covers(scope)));
        new.flat_map(|scope| {
            let of = |words: &[String], kind| {
                let word = words.iter().find(|word| has(scope, word))?;
                Some(Risk { scope: scope.clone(), word: word.clone(), kind })
            };
            [of(&self.dangerous, RiskKind::Dangerous), of(&self.broad, RiskKind::Broad)]
        })
        .flatten()
        .collect()
    }
}

/// Whether the segments of a word stand in a scope, one after another.
fn has(scope: &Scope, word: &str) -> bool {
    let segments: Vec<&str> = scope.segments().collect();
    let word: Vec<&str> = word.split(':').collect();
    segments.windows(word.len()).any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_whole_segments_of_what_is_new() {
        let lexicon = RiskLexicon::default();
        let table: [(&str, &[&str], &[&str]); 12] = [
            ("notes:admin", &[], &["admin"]),
            ("admin:notes", &[], &["admin"]),
            ("badminton:read", &[], &[]),
            ("file:write", &[], &["file:write"]),
            ("tool:file:write:home", &[], &["file:write"]),
            ("file:writer", &[], &[]),
            ("write:file", &[], &[]),
            ("file:read:write", &[], &[]),
            ("network:unrestricted", &[], &["network:unrestricted", "unrestricted"]),
            ("notes:*", &[], &["*"]),
            ("notes:admin", &["notes:admin"], &[]),
            ("notes:*", &["notes:read"], &["*"]),
        ];
        for (asked, approved, expected) in table {
            let approved: Vec<Scope> = approved.iter().map(|one| one.parse().unwrap()).collect();
            let found = lexicon.added(&approved, &[Permission::new(asked.parse().unwrap())]);
            let words: Vec<&str> = found.iter().map(|risk| &*risk.word).collect();
            assert_eq!(words, expected, "{asked} {approved:?}");
        }
        let asked = [Permission::new("notes:admin".parse().unwrap())];
        assert!(RiskLexicon::empty().added(&[], &asked).is_empty());
    }
}
