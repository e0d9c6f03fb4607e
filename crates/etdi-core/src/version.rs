//! Versions of tools: Semantic Versioning 2.0.0.
//!
//! `tests/grammar/semver.txt` is the grammar as a table of cases.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::lock::Raise;

/// The version of a tool definition, such as `1.4.0`.
///
/// Ordered as Semantic Versioning orders; build metadata decides between versions that are
/// otherwise the same.
///
/// ```
/// use etdi_core::version::Version;
///
/// let old: Version = "1.4.0-rc.1".parse()?;
/// let new: Version = "1.4.0".parse()?;
/// assert!(new > old);
/// assert!("1.4".parse::<Version>().is_err());
/// # Ok::<(), etdi_core::version::VersionError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(semver::Version);

impl Version {
    /// The most characters of a version.
    pub const MAX_LENGTH: usize = 64;

    /// The first of the three numbers.
    pub fn major(&self) -> u64 {
        self.0.major
    }

    /// The second of the three numbers.
    pub fn minor(&self) -> u64 {
        self.0.minor
    }

    /// The third of the three numbers.
    pub fn patch(&self) -> u64 {
        self.0.patch
    }

    /// The lowest version in which this number is raised.
    pub(crate) fn raised(&self, raise: Raise) -> Self {
        let (major, minor, patch) = match raise {
            Raise::Major => (self.major().saturating_add(1), 0, 0),
            Raise::Minor => (self.major(), self.minor().saturating_add(1), 0),
            // A pre-release is followed by its release.
            Raise::Patch if !self.0.pre.is_empty() => (self.major(), self.minor(), self.patch()),
            Raise::Patch => (self.major(), self.minor(), self.patch().saturating_add(1)),
        };
        Self(semver::Version::new(major, minor, patch))
    }
}

/// The rule that a text breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// There is no text.
    #[error("a version is empty, write three numbers such as `1.0.0`")]
    Empty,
    /// More than [`Version::MAX_LENGTH`].
    #[error("a version is longer than 64 characters, shorten it")]
    TooLong,
    /// Not three parts.
    #[error("a version has not three parts, write three numbers such as `1.0.0`")]
    Parts,
    /// A number or a numeric identifier begins with a needless zero.
    #[error("a version has a number with a leading zero, leave the zero out")]
    LeadingZero,
    /// A part that is no number of 64 bits.
    #[error("a version has a part that is no number, write three numbers such as `1.0.0`")]
    Number,
    /// A pre-release or build identifier that is empty or has other characters.
    #[error(
        "a version has an identifier that is empty or holds other characters than `0-9A-Za-z-`, write such as `1.0.0-rc.1`"
    )]
    Identifier,
}

impl VersionError {
    /// A stable word for programs, as in the table of cases.
    pub fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLong => "too_long",
            Self::Parts => "parts",
            Self::LeadingZero => "leading_zero",
            Self::Number => "number",
            Self::Identifier => "identifier",
        }
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        if text.len() > Self::MAX_LENGTH {
            return Err(VersionError::TooLong);
        }
        semver::Version::parse(text).map(Self).map_err(|_| reason(text))
    }
}

/// Which rule a text breaks that is no version.
fn reason(text: &str) -> VersionError {
    if text.is_empty() {
        return VersionError::Empty;
    }
    let core_end = text.char_indices().skip(1).find(|(_, c)| matches!(c, '-' | '+'));
    let (core, tail) = text.split_at(core_end.map_or(text.len(), |(at, _)| at));
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() != 3 || parts.contains(&"") {
        return VersionError::Parts;
    }
    if parts.iter().any(|part| part.parse::<u64>().is_err() || part.starts_with('+')) {
        return VersionError::Number;
    }
    let zero = |part: &&str| part.len() > 1 && part.starts_with('0');
    if parts.iter().any(zero) {
        return VersionError::LeadingZero;
    }
    let pre = tail.split('+').next().unwrap_or_default().trim_start_matches('-');
    let numeric = |part: &&str| part.bytes().all(|byte| byte.is_ascii_digit());
    match pre.split('.').filter(numeric).any(|part| zero(&part)) {
        true => VersionError::LeadingZero,
        false => VersionError::Identifier,
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_cases() {
        let table = include_str!("../../../tests/grammar/semver.txt");
        for case in crate::grammar::cases(table) {
            let reason = case.text.parse::<Version>().err().map(VersionError::code);
            assert_eq!(reason, case.reason, "{:?}", case.text);
        }
    }
}
