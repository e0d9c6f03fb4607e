//! The audit trail: append-only JSON lines in which each line vouches for the one before it.
//!
//! A line is `{"v":1,"seq":N,"prev":"…","entry":{"at":…,"event":{…}},"digest":"…"}`. The digest is
//! taken over a tag, the number, the previous digest and the exact text of `entry`; `v` says how
//! and stands outside of what is hashed. [`verify_chain`] finds a line that was changed, removed,
//! repeated or moved. Lines cut off the end are found against a [`ChainHead`] that was kept
//! elsewhere, or by the checkpoints that a [`Signer`](crate::proof::Signer) puts into the trail: a
//! chain alone cannot know that it was longer, or that all of it was written anew.
//!
//! Where lines cannot be written, such as on a full disk, the first that is written again says how many are
//! missing before it, and an operator hears of it from
//! [`AuditFileOptions::on_outage`].
//!
//! An [`AuditFile`] goes on in another file once it is long enough, and the chain goes on with it;
//! [`verify_trail`] and [`read_trail`] read them as one, [`export`] turns entries into what other
//! programs collect.

use crate::event::Event;
use crate::level::AuditMode;
use crate::proof::SignError;
use crate::time::UnixTime;

mod chain;
mod checkpoint;
mod file;
mod memory;
mod outage;
mod trail;

pub mod export;

pub use chain::{ChainError, ChainFault, ChainHead, Entry, verify_chain};
pub use file::{AuditFile, AuditFileOptions, Durability};
pub use memory::MemoryAuditor;
pub use outage::AuditOutage;
pub use trail::{Filter, TrailError, TrailReport, last_entries, read_trail, verify_trail};

/// Takes note of events.
///
/// Synchronous, because a policy may want the note before the act; a sink that must wait for a
/// network queues and says so. What comes in is already free of arguments and secrets.
pub trait Auditor: Send + Sync {
    /// Notes an event that happened at `at`.
    ///
    /// # Errors
    ///
    /// When the event is not kept; what happens then is the policy's affair.
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError>;

    /// Whether each line vouches for the one before it, so that a change would be found. A policy
    /// that wants a chain takes no other sink.
    fn is_chained(&self) -> bool {
        false
    }
}

impl<A: Auditor + ?Sized> Auditor for std::sync::Arc<A> {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        (**self).record(event, at)
    }

    fn is_chained(&self) -> bool {
        (**self).is_chained()
    }
}

/// Notes an event as `mode` wants it, and says whether it was kept.
///
/// # Errors
///
/// Only where the mode wants that to stop the act.
pub fn record(
    auditor: &dyn Auditor,
    event: &Event,
    at: UnixTime,
    mode: AuditMode,
) -> Result<bool, AuditError> {
    match mode {
        AuditMode::On => Ok(auditor.record(event, at).is_ok()),
        AuditMode::ChainedBeforeAct if !auditor.is_chained() => Err(AuditError::Unchained),
        AuditMode::ChainedBeforeAct => auditor.record(event, at).map(|()| true),
    }
}

/// Why an event was not kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file failed.
    #[error("cannot {action} the audit trail `{path}`: {source}; {}", remedy(.source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The last line is not what this crate writes, so no line can follow it.
    #[error("the audit trail `{path}` is damaged at its end, keep it and start another file")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: ChainError,
    },
    /// The file is shorter than it was.
    #[error("the audit trail `{path}` was cut, keep it and start another file")]
    Cut {
        /// The file.
        path: String,
    },
    /// Others may write where only the user may.
    #[error(
        "the audit trail `{path}` can be written by other users, take their rights away with `chmod 600`"
    )]
    Exposed {
        /// The file.
        path: String,
    },
    /// Another process holds the file.
    #[error("another process holds the audit trail, try again when it is done")]
    Busy,
    /// A checkpoint cannot be signed.
    #[error("the audit trail cannot be signed: {0}; give it a key that can sign, or none")]
    Sign(#[source] SignError),
    /// An event with texts that are longer than an event has, which no line holds.
    #[error("the event has {bytes} bytes, more than a line of the audit trail, shorten its texts")]
    TooLong {
        /// How long its line would be.
        bytes: usize,
    },
    /// The event has no JSON form.
    #[error("the event cannot be written")]
    Event(#[source] serde_json::Error),
    /// The sink keeps no chain, and the policy wants one.
    #[error("the audit sink keeps no hash chain, which the policy wants, give it an audit file")]
    Unchained,
    /// A sink that is no file failed.
    #[error("the audit sink failed: {message}")]
    Other {
        /// What it said.
        message: String,
    },
}

/// What to do about a file that failed.
fn remedy(error: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "make room on its disk, or keep it elsewhere"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "give this user the right to write it, or keep it elsewhere"
        }
        ErrorKind::NotFound => "make its directory",
        _ => "check its disk, or keep it elsewhere",
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
