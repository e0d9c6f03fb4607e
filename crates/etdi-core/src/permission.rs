//! Permissions: what a tool says it needs, in a grammar that has an order.
//!
//! A [`Scope`] is two to eight segments joined by `:`, each of `a-z`, `0-9`, `_`, `.` and `-`;
//! the last one may be `*`, which stands for one or more segments and counts as broad. At most
//! 128 characters. Scopes are compared as they are written, without folding of any kind.
//!
//! `tests/grammar/permission.txt` is the grammar as a table of cases.
//!
//! ```
//! use etdi_core::permission::{Scope, widened};
//!
//! let read: Scope = "notes:read".parse()?;
//! let all: Scope = "notes:*".parse()?;
//! assert!(all.covers(&read) && !read.covers(&all) && all.is_broad());
//!
//! // An update that asks for more is found by what it adds.
//! assert_eq!(widened(&[read], std::slice::from_ref(&all)), [&all]);
//!
//! assert!("notes".parse::<Scope>().is_err());
//! assert!("Notes:Read".parse::<Scope>().is_err());
//! # Ok::<(), etdi_core::permission::ScopeError>(())
//! ```

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

mod risk;

pub use risk::{Risk, RiskKind, RiskLexicon};

/// One permission scope, such as `notes:read`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Box<str>);

impl Scope {
    /// The most characters of a scope.
    pub const MAX_LENGTH: usize = 128;

    /// The most segments of a scope.
    pub const MAX_SEGMENTS: usize = 8;

    /// The scope as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split(':')
    }

    /// Whether it ends in `*`.
    pub fn is_broad(&self) -> bool {
        self.0.ends_with('*')
    }

    /// Whether whoever holds `self` also holds `other`: they are the same, or `self` ends in `*`
    /// and `other` begins with the segments before it.
    pub fn covers(&self, other: &Self) -> bool {
        match self.0.strip_suffix('*') {
            // The colon stays on the prefix, so that `a:b:*` does not cover `a:bc`.
            Some(prefix) => other.0.len() > prefix.len() && other.0.starts_with(prefix),
            None => self == other,
        }
    }

    /// Checks the grammar without making a scope.
    ///
    /// # Errors
    ///
    /// When `text` is no scope, with the rule that it breaks.
    pub fn check(text: &str) -> Result<(), ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        if text.len() > Self::MAX_LENGTH {
            return Err(ScopeError::TooLong);
        }
        for character in text.chars() {
            match character {
                'a'..='z' | '0'..='9' | '_' | '.' | '-' | ':' | '*' => {}
                'A'..='Z' => return Err(ScopeError::Uppercase),
                other => return Err(ScopeError::Character(other)),
            }
        }
        let mut segments = text.split(':').peekable();
        let mut count = 0;
        while let Some(segment) = segments.next() {
            count += 1;
            let last = segments.peek().is_none();
            if segment.is_empty() {
                return Err(ScopeError::EmptySegment);
            }
            if segment.contains('*') && !(last && segment == "*") {
                return Err(ScopeError::StarNotLast);
            }
        }
        match count {
            1 => Err(ScopeError::OneSegment),
            2..=Self::MAX_SEGMENTS => Ok(()),
            _ => Err(ScopeError::TooManySegments),
        }
    }
}

/// The rule of the grammar that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScopeError {
    /// There is no text.
    #[error("a permission is empty, write at least two segments such as `notes:read`")]
    Empty,
    /// No colon.
    #[error("a permission has one segment, write at least two such as `notes:read`")]
    OneSegment,
    /// Nothing before, between or behind colons.
    #[error("a permission has an empty segment, write something on both sides of each `:`")]
    EmptySegment,
    /// A capital letter.
    #[error("a permission has a capital letter, write it in lower case")]
    Uppercase,
    /// A character that no segment has.
    #[error(
        "a permission has the character `{}`, use `a-z`, `0-9`, `_`, `.`, `-` and `:`",
        .0.escape_default()
    )]
    Character(char),
    /// A star that is not the whole last segment.
    #[error("a permission has `*` elsewhere than as its whole last segment, name what is meant")]
    StarNotLast,
    /// More than [`Scope::MAX_SEGMENTS`].
    #[error("a permission has more than 8 segments, use fewer")]
    TooManySegments,
    /// More than [`Scope::MAX_LENGTH`].
    #[error("a permission is longer than 128 characters, shorten it")]
    TooLong,
}

impl ScopeError {
    /// A stable word for programs, as in the table of cases.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::OneSegment => "one_segment",
            Self::EmptySegment => "empty_segment",
            Self::Uppercase => "uppercase",
            Self::Character(_) => "character",
            Self::StarNotLast => "star_not_last",
            Self::TooManySegments => "too_many_segments",
            Self::TooLong => "too_long",
        }
    }
}

/// The scopes of `new` that nothing in `old` covers: what an update adds.
pub fn widened<'a>(old: &[Scope], new: &'a [Scope]) -> Vec<&'a Scope> {
    new.iter().filter(|scope| !old.iter().any(|held| held.covers(scope))).collect()
}

/// Whether everything in `part` is covered by something in `whole`.
pub fn is_subset(part: &[Scope], whole: &[Scope]) -> bool {
    widened(whole, part).is_empty()
}

/// A permission as a tool declares it: the scope, and words for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Permission {
    /// What is asked for.
    pub scope: Scope,
    /// A short name; the scope with `_` for `:` where the author gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for, in the author's words. Shown as a claim, never trusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the tool cannot work without it.
    #[serde(default = "required")]
    pub required: bool,
}

fn required() -> bool {
    true
}

impl Permission {
    /// A required permission without words.
    pub fn new(scope: Scope) -> Self {
        Self { scope, name: None, description: None, required: true }
    }

    /// The name to show.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.scope.as_str().replace(':', "_"))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let optional = if self.required { "" } else { " (optional)" };
        let broad = if self.scope.is_broad() { " (broad)" } else { "" };
        write!(f, "{}{broad}{optional}", self.scope)
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        Self::check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_of_cases() {
        let table = include_str!("../../../tests/grammar/permission.txt");
        for case in crate::grammar::cases(table) {
            let reason = case.text.parse::<Scope>().err().map(ScopeError::code);
            assert_eq!(reason, case.reason, "{:?}", case.text);
        }
    }

    #[test]
    fn what_covers_what() {
        let scope = |text: &str| text.parse::<Scope>().unwrap();
        for (holds, asked, covered) in [
            ("a:b", "a:b", true),
            ("a:b", "a:b:c", false),
            ("a:b:c", "a:b", false),
            ("a:*", "a:b", true),
            ("a:*", "a:b:c", true),
            ("a:*", "a:*", true),
            ("a:*", "a:b:*", true),
            ("a:b:*", "a:b", false),
            ("a:b:*", "a:bc", false),
            ("a:b:*", "a:bc:d", false),
            ("a:b:*", "a:*", false),
            ("a:b", "a:*", false),
        ] {
            assert_eq!(scope(holds).covers(&scope(asked)), covered, "{holds} {asked}");
        }
    }

    fn any_scope() -> impl Strategy<Value = Scope> {
        "[ab]{1,2}(:[ab]{1,2}){1,3}(:\\*)?".prop_map(|text| text.parse().unwrap())
    }

    fn any_scopes() -> impl Strategy<Value = Vec<Scope>> {
        proptest::collection::vec(any_scope(), 0..4)
    }

    proptest! {
        #[test]
        fn covering_is_an_order(a in any_scope(), b in any_scope(), c in any_scope()) {
            prop_assert!(a.covers(&a));
            prop_assert!(!(a.covers(&b) && b.covers(&a)) || a == b);
            prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
        }

        #[test]
        fn subsets(a in any_scopes(), b in any_scopes(), c in any_scopes()) {
            prop_assert!(is_subset(&a, &a) && is_subset(&[], &a));
            prop_assert!(!(is_subset(&a, &b) && is_subset(&b, &c)) || is_subset(&a, &c));
            let both: Vec<_> = a.iter().chain(&b).cloned().collect();
            prop_assert!(is_subset(&a, &both) && is_subset(&b, &both));
            prop_assert_eq!(is_subset(&b, &a), widened(&a, &b).is_empty());
        }

        #[test]
        fn never_panics(text in "\\PC{0,200}") {
            if let Ok(scope) = text.parse::<Scope>() {
                prop_assert_eq!(scope.to_string(), text);
            }
        }
    }
}
