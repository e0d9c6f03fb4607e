//! The head file: which records count, with what digests, and how many writes there have been.
//!
//! One line, `etdi-approvals 1 GENERATION DIGEST`, over a body of JSON; the digest covers
//! all that stands before it in the line, and the body.

use serde::{Deserialize, Serialize};

use super::Records;
use super::disk::Disk;
use crate::approval::StoreError;
use crate::digest::{Digest, Hasher};

pub(super) const NAME: &str = "head";
/// 16,384 records at about 200 bytes, with room to spare.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// No first line is longer.
pub(super) const LINE_BYTES: usize = 128;
const FORMAT: &str = "etdi-approvals 1";

/// A record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) generation: u64,
    pub(super) digest: Digest,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    pub(super) generation: u64,
    pub(super) records: Records,
    /// The first line with its line end as it was read; empty in a head that was not.
    line: String,
}

impl Head {
    /// Whether a file that starts with these bytes is the one that this was read from.
    pub(super) fn is_still(&self, bytes: &[u8]) -> bool {
        !self.line.is_empty() && bytes.starts_with(self.line.as_bytes())
    }

    /// Whether it was made and not read.
    pub(super) fn is_new(&self) -> bool {
        self.line.is_empty()
    }

    pub(super) fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let body = super::encode(&self.records)?;
        let mut bytes = line(self.generation, &body).into_bytes();
        bytes.extend_from_slice(&body);
        if bytes.len() > MAX_BYTES {
            return Err(StoreError::Full { what: "approvals" });
        }
        Ok(bytes)
    }

    /// Reads a head, or says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const BROKEN: &str = "its head is not what was written";
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(BROKEN)?;
        let (first, body) = bytes.split_at_checked(end + 1).ok_or(BROKEN)?;
        let first = core::str::from_utf8(first).map_err(|_| BROKEN)?;
        let rest = first.strip_prefix(FORMAT).ok_or(BROKEN)?;
        let generation = rest.split(' ').nth(1).and_then(|number| number.parse().ok());
        let generation = generation.ok_or(BROKEN)?;
        // One spelling: what we would have written, to the byte.
        if line(generation, body) != first {
            return Err(BROKEN);
        }
        let records: Records = serde_json::from_slice(body).map_err(|_| BROKEN)?;
        if records.values().any(|entry| entry.generation > generation) {
            return Err("its head names a record from the future");
        }
        Ok(Self { generation, records, line: first.to_owned() })
    }
}

fn line(generation: u64, body: &[u8]) -> String {
    let start = format!("{FORMAT} {generation} ");
    let mut hasher = Hasher::new();
    hasher.update(start.as_bytes());
    hasher.update(body);
    format!("{start}{}\n", hasher.finish())
}

/// A fault of the whole store.
pub(super) fn damaged(disk: &Disk, what: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!(
            "in `{}`, {what}; move the directory away and approve again",
            disk.directory().display()
        ),
    }
}
