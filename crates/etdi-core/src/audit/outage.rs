//! What could not be written, until a line of the trail says so.

use core::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::AuditError;
use crate::time::UnixTime;

/// What is told of a trail that cannot be written; its text is a sentence for an operator's log.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuditOutage<'a> {
    /// An entry could not be written, and maybe none of those that follow.
    Begins(&'a AuditError),
    /// Entries are written again, after a line of the trail that says how many are missing.
    Ends {
        /// How many are missing since an end was told of before.
        lost: u64,
    },
}

impl fmt::Display for AuditOutage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins(error) => write!(f, "what happens is not noted: {error}"),
            Self::Ends { lost: 1 } => {
                f.write_str("the audit trail is written again, and 1 entry is missing in it")
            }
            Self::Ends { lost } => {
                write!(f, "the audit trail is written again, and {lost} entries are missing in it")
            }
        }
    }
}

/// Who is told.
pub(super) type Told = Arc<dyn Fn(&AuditOutage<'_>) + Send + Sync>;

/// The entries that are missing in a trail because of this process.
#[derive(Debug, Default)]
pub(super) struct Losses {
    /// How many no line tells of yet. Looked at for each entry, so without the lock.
    untold: AtomicU64,
    /// Whether a log says that the outage began, and none that it is over; written under the lock.
    is_open: AtomicBool,
    said: Mutex<Said>,
}

#[derive(Debug, Default)]
struct Said {
    /// When a log was last told of a beginning.
    last: Option<UnixTime>,
    /// How many are missing since a log was told of an end.
    lost: u64,
}

impl Losses {
    /// How many entries are missing of which no line tells.
    pub(super) fn untold(&self) -> u64 {
        self.untold.load(Ordering::Relaxed)
    }

    /// A line tells of so many.
    pub(super) fn told(&self, lost: u64) {
        self.untold.fetch_sub(lost, Ordering::Relaxed);
    }

    /// An entry is missing. Says whether a log is to be told.
    pub(super) fn failed(&self, at: UnixTime) -> bool {
        self.untold.fetch_add(1, Ordering::Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.lost = said.lost.saturating_add(1);
        // Where now one line has room and now another has not, the log must not fill the disk.
        let is_new = said.last.is_none_or(|last| at < last || at >= last.plus(APART));
        if self.is_open.load(Ordering::Relaxed) || !is_new {
            return false;
        }
        said.last = Some(at);
        self.is_open.store(true, Ordering::Relaxed);
        true
    }

    /// An entry was written, behind a line that tells what is missing. Gives how many a log is to be
    /// told of.
    pub(super) fn over(&self) -> Option<u64> {
        if !self.is_open.load(Ordering::Relaxed) {
            return None;
        }
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = self.is_open.swap(false, Ordering::Relaxed);
        was_open.then(|| std::mem::take(&mut said.lost))
    }
}

/// How many seconds are at least between two beginnings of which a log is told.
const APART: u64 = 60;
