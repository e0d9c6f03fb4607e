//! Patterns of names, in which `*` stands for any run of characters.

use core::fmt;

use serde::{Deserialize, Serialize};

/// A name, or many: `*` stands for any run of characters, also for none. Nothing else is special,
/// and case counts.
///
/// ```
/// use etdi_core::policy::Pattern;
///
/// let pattern = Pattern::from("https://*.acme.example/*");
/// assert!(pattern.matches("https://mcp.acme.example/mcp"));
/// assert!(!pattern.matches("https://acme.example.evil/mcp"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// Whether the pattern stands for `name`.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let Some(rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
            return false;
        };
        let mut rest = rest;
        let mut pieces = pieces.peekable();
        if pieces.peek().is_none() {
            return rest.is_empty();
        }
        while let Some(piece) = pieces.next() {
            if pieces.peek().is_none() {
                return rest.ends_with(piece);
            }
            let Some(at) = rest.find(piece) else { return false };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        true
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a list of patterns has one for `name`. No list says nothing, so it has.
pub(crate) fn any(patterns: Option<&Vec<Pattern>>, name: &str) -> bool {
    patterns.is_none_or(|patterns| patterns.iter().any(|pattern| pattern.matches(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, name, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("ab", "ab", true),
            ("ab", "abc", false),
            ("ab*", "ab", true),
            ("ab*", "xab", false),
            ("*ab", "xxab", true),
            ("*ab", "abx", false),
            ("a*b*c", "a1b2c", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abc", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(Pattern::from(pattern).matches(name), expected, "{pattern} {name}");
        }
    }
}
