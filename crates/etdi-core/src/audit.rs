//! The audit trail: append-only JSON lines in which each line vouches for the one before it.
//!
//! A line is `{"v":1,"seq":N,"prev":"…","entry":{"at":…,"event":{…}},"digest":"…"}`. The digest is
//! taken over a tag, the number, the previous digest and the exact text of `entry`; `v` says how
//! and stands outside of what is hashed. [`verify_chain`] finds a line that was changed, removed,
//! repeated or moved. Lines cut off the end are found against a [`ChainHead`] that was kept
//! elsewhere: a chain alone cannot know that it was longer.

use std::collections::VecDeque;
use std::io::BufRead;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::{Digest, Hasher};
use crate::event::Event;
use crate::level::AuditMode;
use crate::time::UnixTime;

mod file;

pub use file::{AuditFile, Durability};

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

/// The end of a chain: keep it elsewhere to notice that lines were cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ChainHead {
    /// How many lines there are.
    pub entries: u64,
    /// The digest of the last one.
    pub digest: Digest,
}

impl ChainHead {
    /// The end of a chain without lines.
    pub fn start() -> Self {
        Self { entries: 0, digest: Digest::of_bytes(TAG) }
    }

    /// The digest of the line that follows with this entry.
    fn next(&self, entry: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(TAG);
        hasher.update(&[0]);
        hasher.update(&self.entries.to_be_bytes());
        hasher.update(self.digest.as_bytes());
        hasher.update(entry.as_bytes());
        Self { entries: self.entries.saturating_add(1), digest: hasher.finish() }
    }

    /// The line that follows with this entry, without its end, and the head after it.
    fn line(&self, entry: &str) -> (String, Self) {
        let next = self.next(entry);
        let line = format!(
            r#"{{"v":{FORMAT},"seq":{},"prev":"{}","entry":{entry},"digest":"{}"}}"#,
            self.entries, self.digest, next.digest
        );
        (line, next)
    }
}

const TAG: &[u8] = b"etdi-audit-v1";
const FORMAT: u32 = 1;
/// No line that this crate writes is longer.
const MAX_LINE: usize = 64 * 1024;

/// What a line notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entry {
    /// When it happened.
    pub at: UnixTime,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// An event that happened at `at`.
    pub fn new(event: Event, at: UnixTime) -> Self {
        Self { at, event }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    v: u32,
    seq: u64,
    prev: Digest,
    #[serde(borrow)]
    entry: &'a RawValue,
    digest: Digest,
}

/// What is wrong with a chain, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of the audit trail {fault}")]
#[non_exhaustive]
pub struct ChainError {
    /// The line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub fault: ChainFault,
}

/// What can be wrong with a line of a chain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// It cannot be read at all.
    #[error("cannot be read")]
    Io(#[source] std::io::Error),
    /// It is no line of an audit trail, longer than one, or spelled otherwise.
    #[error("is no line of an audit trail")]
    Malformed,
    /// It is of a format that is not known here.
    #[error("has format {0}, which is not known here")]
    Format(u32),
    /// Its digest is not that of its content.
    #[error("was changed")]
    Changed,
    /// Lines are missing before it.
    #[error("has number {found} where {expected} follows: lines were removed or moved")]
    Missing {
        /// The number that should follow.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// It stands in the wrong place.
    #[error("has number {found} where {expected} follows: it was repeated or moved")]
    Moved {
        /// The number that should follow.
        expected: u64,
        /// The number that is there.
        found: u64,
    },
    /// It continues another history.
    #[error("does not continue the line before it")]
    Forked,
    /// It ends without a line end.
    #[error("is cut off in the middle")]
    Torn,
    /// The chain ends before the head that was kept, or has another line in its place.
    #[error("is where the trail ends or differs, {0} entries were expected")]
    Cut(u64),
}

/// Checks a whole chain, line by line, in bounded memory.
///
/// With `kept`, the end of the chain as it was at some earlier time, it also finds out whether
/// lines that were there then are gone now.
///
/// ```
/// use etdi_core::audit::{AuditFile, Durability, Auditor, verify_chain};
/// use etdi_core::event::{Event, EventKind};
/// use etdi_core::time::UnixTime;
///
/// # let path = std::env::temp_dir().join(format!("etdi-doc-audit-{}", std::process::id()));
/// let audit = AuditFile::open(&path, Durability::Written)?;
/// audit.record(&Event::new(EventKind::ToolApproved), UnixTime(1))?;
/// audit.record(&Event::new(EventKind::ToolInvoked), UnixTime(2))?;
/// let text = std::fs::read_to_string(&path)?;
/// let head = verify_chain(text.as_bytes(), None)?;
/// assert_eq!(head.entries, 2);
///
/// // A changed word and a line that is gone are found.
/// assert!(verify_chain(text.replace("approved", "declined").as_bytes(), None).is_err());
/// let first = text.lines().next().unwrap_or_default().to_owned() + "\n";
/// assert!(verify_chain(first.as_bytes(), Some(head)).is_err());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first line that is not what it should be.
pub fn verify_chain(
    mut trail: impl BufRead,
    kept: Option<ChainHead>,
) -> Result<ChainHead, ChainError> {
    let mut head = ChainHead::start();
    let mut bytes = Vec::new();
    let cut = |head: &ChainHead| {
        kept.is_some_and(|kept| head.entries == kept.entries && head.digest != kept.digest)
    };
    loop {
        let failed = |fault| ChainError { line: head.entries.saturating_add(1), fault };
        bytes.clear();
        let mut limited = std::io::Read::take(&mut trail, MAX_LINE as u64 + 1);
        let count =
            limited.read_until(b'\n', &mut bytes).map_err(|error| failed(ChainFault::Io(error)))?;
        if count == 0 {
            return match kept {
                Some(kept) if kept.entries > head.entries => {
                    Err(failed(ChainFault::Cut(kept.entries)))
                }
                _ => Ok(head),
            };
        }
        head = follow(&bytes, &head).map_err(failed)?;
        if cut(&head) {
            let entries = head.entries;
            return Err(ChainError { line: entries, fault: ChainFault::Cut(entries) });
        }
    }
}

/// Checks that a line with its end follows a head, and gives the head after it.
fn follow(bytes: &[u8], head: &ChainHead) -> Result<ChainHead, ChainFault> {
    let (line, own) = read(bytes)?;
    let (expected, found) = (head.entries, line.seq);
    if found > expected {
        return Err(ChainFault::Missing { expected, found });
    }
    if found < expected {
        return Err(ChainFault::Moved { expected, found });
    }
    if line.prev != head.digest { Err(ChainFault::Forked) } else { Ok(own) }
}

/// Reads a line with its end on its own: spelled as we spell it, and its digest its own.
fn read(bytes: &[u8]) -> Result<(Line<'_>, ChainHead), ChainFault> {
    if bytes.len() > MAX_LINE {
        return Err(ChainFault::Malformed);
    }
    let Some((b'\n', text)) = bytes.split_last() else { return Err(ChainFault::Torn) };
    let text = core::str::from_utf8(text).map_err(|_| ChainFault::Malformed)?;
    let line: Line<'_> = serde_json::from_str(text).map_err(|_| ChainFault::Malformed)?;
    if line.v != FORMAT {
        return Err(ChainFault::Format(line.v));
    }
    let before = ChainHead { entries: line.seq, digest: line.prev };
    let (spelled, after) = before.line(line.entry.get());
    if after.digest != line.digest {
        return Err(ChainFault::Changed);
    }
    if spelled != text {
        return Err(ChainFault::Malformed);
    }
    Ok((line, after))
}

/// Keeps the newest events in memory: for tests, and for hosts that show recent history.
#[derive(Debug)]
pub struct MemoryAuditor {
    kept: Mutex<Kept>,
    capacity: usize,
}

#[derive(Debug)]
struct Kept {
    entries: VecDeque<Entry>,
    head: ChainHead,
}

impl MemoryAuditor {
    /// Keeps the newest `capacity` events.
    pub fn new(capacity: usize) -> Self {
        let kept = Kept { entries: VecDeque::new(), head: ChainHead::start() };
        Self { kept: Mutex::new(kept), capacity }
    }

    /// What is kept, the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.iter().cloned().collect()
    }

    /// The end of the chain over all that was ever noted.
    pub fn head(&self) -> ChainHead {
        self.lock().head
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryAuditor {
    /// Keeps a thousand events.
    fn default() -> Self {
        Self::new(1_000)
    }
}

impl Auditor for MemoryAuditor {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        let entry = Entry { at, event: event.clone() };
        let text = serde_json::to_string(&entry).map_err(AuditError::Event)?;
        let mut kept = self.lock();
        (_, kept.head) = kept.head.line(&text);
        while kept.entries.len() >= self.capacity.max(1) {
            kept.entries.pop_front();
        }
        if self.capacity > 0 {
            kept.entries.push_back(entry);
        }
        Ok(())
    }

    fn is_chained(&self) -> bool {
        true
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
