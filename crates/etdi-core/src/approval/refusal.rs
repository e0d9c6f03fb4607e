//! Why a tool may not be called, as an error.

use core::fmt;

use super::{ApprovalKey, Reason, StoreError};
use crate::change::{Changes, visible};
use crate::digest::Digest;

/// A tool that may not be called, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct Refusal {
    /// The tool.
    pub key: ApprovalKey,
    /// Why.
    pub reason: Reason,
    /// A person can still approve it: nobody was asked, or the answer was no.
    pub can_be_approved: bool,
    /// A person was asked, and the answer was no.
    pub declined: bool,
    /// An honest publisher does not do this.
    pub alarm: bool,
    /// The digest of the definition at hand.
    pub digest: Digest,
    /// The digest of the definition that was approved before.
    pub previous: Option<Digest>,
    /// What changed since.
    pub changes: Changes,
    /// What the store or the audit trail said, where it failed.
    pub source: Option<StoreError>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tool, server) = (visible(&self.key.tool), visible(&self.key.server));
        write!(f, "tool `{tool}` of `{server}` is refused: {}", self.reason.describe())?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        match (self.can_be_approved, self.declined) {
            (_, true) => write!(f, ", and the approval was declined"),
            (true, false) => write!(f, ", review and approve it to go on"),
            (false, false) => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
