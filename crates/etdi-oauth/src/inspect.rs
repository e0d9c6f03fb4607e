//! What a person asks who looks for a fault: is this token sound, is this provider set up rightly?
//!
//! [`TokenDebugger`] takes a token apart and says what is wrong with it; [`OAuthValidator`] asks a
//! provider step by step and says which step fails and whose fault that is. Both report, and let
//! nobody in: that is a [`VerifyToken`](crate::VerifyToken)'s business. What they say has a stable
//! code, a severity, what was found and what to do.

mod compare;
#[cfg(feature = "client")]
mod provider;
mod token;

use serde::Serialize;

pub use compare::{Change, TokenDifference};
#[cfg(feature = "client")]
pub use provider::{OAuthValidator, Outcome, ProviderReport, Step, Whose};
pub use token::{TokenDebugger, TokenReport};

/// How much something matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Could be better.
    Low,
    /// Makes a theft or a mistake worse.
    Medium,
    /// Does not work, or can be abused.
    High,
    /// Proves nothing, or is open to everybody.
    Critical,
}

impl Severity {
    /// The word that reports have for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Issue {
    /// A word that stays the same, for programs.
    pub code: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What was found, in a sentence. What comes from a peer is escaped in it.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Issue {
    fn new(
        code: &'static str,
        severity: Severity,
        what: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self { code, severity, what: what.into(), advice }
    }
}
