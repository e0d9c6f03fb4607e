//! The chain itself: what a line is, and what vouches for what.

use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::{self, Digest, Hasher};
use crate::event::Event;
use crate::time::UnixTime;

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
    pub(super) fn next(&self, entry: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(TAG);
        hasher.update(&[0]);
        hasher.update(&self.entries.to_be_bytes());
        hasher.update(self.digest.as_bytes());
        hasher.update(entry);
        Self { entries: self.entries.saturating_add(1), digest: hasher.finish() }
    }

    /// Puts the line that follows with this entry into `line`, without its end, and gives the head
    /// after it. Nothing is copied twice: a line is written before each call.
    pub(super) fn line(
        &self,
        line: &mut Vec<u8>,
        entry: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>,
    ) -> serde_json::Result<Self> {
        let mut room = digest::Text::default();
        line.clear();
        // Writing to a vector cannot fail.
        let _ = write!(line, r#"{{"v":{FORMAT},"seq":{},"prev":""#, self.entries);
        line.extend_from_slice(self.digest.text(&mut room).as_bytes());
        line.extend_from_slice(br#"","entry":"#);
        let start = line.len();
        entry(line)?;
        let next = self.next(line.get(start..).unwrap_or_default());
        line.extend_from_slice(br#","digest":""#);
        line.extend_from_slice(next.digest.text(&mut room).as_bytes());
        line.extend_from_slice(br#""}"#);
        Ok(next)
    }

    /// The same of the text of an entry.
    #[cfg(test)]
    pub(super) fn line_of(&self, entry: &str) -> (String, Self) {
        let mut line = Vec::new();
        let next = self.line(&mut line, |to| {
            to.extend_from_slice(entry.as_bytes());
            Ok(())
        });
        (String::from_utf8(line).unwrap(), next.unwrap())
    }
}

const TAG: &[u8] = b"etdi-audit-v1";
const FORMAT: u32 = 1;
/// No line that this crate writes is longer.
pub(super) const MAX_LINE: usize = 64 * 1024;

/// What a line notes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Entry {
    /// When it happened.
    pub at: UnixTime,
    /// What happened.
    pub event: Event,
    /// The signed statement about the trail up to here, in a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// The number of the first entry that is still kept, where older files were removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_from: Option<u64>,
    /// How many entries of one process are missing before this one, because they could not be
    /// written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl Entry {
    /// An event that happened at `at`.
    pub fn new(event: Event, at: UnixTime) -> Self {
        Self { at, event, checkpoint: None, kept_from: None, lost: None }
    }
}

/// An [`Entry`] as it is written, of an event that its owner keeps.
#[derive(Serialize)]
pub(super) struct Noted<'a> {
    pub(super) at: UnixTime,
    pub(super) event: &'a Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) checkpoint: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kept_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) lost: Option<u64>,
}

impl<'a> Noted<'a> {
    pub(super) fn new(event: &'a Event, at: UnixTime) -> Self {
        Self { at, event, checkpoint: None, kept_from: None, lost: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    v: u32,
    pub(super) seq: u64,
    pub(super) prev: Digest,
    #[serde(borrow)]
    pub(super) entry: &'a RawValue,
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
    /// What a checkpoint says is not signed by a key that is known here, or not about this trail.
    #[error("holds a checkpoint that does not count: {0}")]
    Checkpoint(String),
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
pub fn verify_chain(trail: impl BufRead, kept: Option<ChainHead>) -> Result<ChainHead, ChainError> {
    let mut end = ChainHead::start();
    follow_lines(trail, &mut end, |_, before, after| match cut(kept, &after) {
        true => Err(ChainFault::Cut(before.entries.saturating_add(1))),
        false => Ok(()),
    })?;
    whole(&end, kept).map(|()| end)
}

/// Whether a kept head stands at this place of the chain, and is another one.
pub(super) fn cut(kept: Option<ChainHead>, head: &ChainHead) -> bool {
    kept.is_some_and(|kept| head.entries == kept.entries && head.digest != kept.digest)
}

/// A chain that ends before a kept head has lost its end.
pub(super) fn whole(end: &ChainHead, kept: Option<ChainHead>) -> Result<(), ChainError> {
    match kept {
        Some(kept) if kept.entries > end.entries => Err(ChainError {
            line: end.entries.saturating_add(1),
            fault: ChainFault::Cut(kept.entries),
        }),
        _ => Ok(()),
    }
}

/// Follows a chain through one reader, from `head` on. `visit` sees the text of each entry and the
/// heads before and after it.
pub(super) fn follow_lines(
    mut trail: impl BufRead,
    head: &mut ChainHead,
    mut visit: impl FnMut(&str, ChainHead, ChainHead) -> Result<(), ChainFault>,
) -> Result<(), ChainError> {
    let mut bytes = Vec::new();
    loop {
        let line = head.entries.saturating_add(1);
        let failed = |fault| ChainError { line, fault };
        bytes.clear();
        let mut limited = std::io::Read::take(&mut trail, MAX_LINE as u64 + 1);
        let count =
            limited.read_until(b'\n', &mut bytes).map_err(|error| failed(ChainFault::Io(error)))?;
        if count == 0 {
            return Ok(());
        }
        let (entry, after) = follow(&bytes, head).map_err(failed)?;
        visit(entry, *head, after).map_err(failed)?;
        *head = after;
    }
}

/// Checks that a line with its end follows a head, and gives its entry and the head after it.
fn follow<'a>(bytes: &'a [u8], head: &ChainHead) -> Result<(&'a str, ChainHead), ChainFault> {
    let (line, own) = read(bytes)?;
    let (expected, found) = (head.entries, line.seq);
    if found > expected {
        return Err(ChainFault::Missing { expected, found });
    }
    if found < expected {
        return Err(ChainFault::Moved { expected, found });
    }
    if line.prev != head.digest { Err(ChainFault::Forked) } else { Ok((line.entry.get(), own)) }
}

/// Reads a line with its end on its own: spelled as we spell it, and its digest its own.
pub(super) fn read(bytes: &[u8]) -> Result<(Line<'_>, ChainHead), ChainFault> {
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
    let mut spelled = Vec::with_capacity(text.len());
    let put = |to: &mut Vec<u8>| {
        to.extend_from_slice(line.entry.get().as_bytes());
        Ok(())
    };
    let after = before.line(&mut spelled, put).map_err(|_| ChainFault::Malformed)?;
    if after.digest != line.digest {
        return Err(ChainFault::Changed);
    }
    if spelled != text.as_bytes() {
        return Err(ChainFault::Malformed);
    }
    Ok((line, after))
}
