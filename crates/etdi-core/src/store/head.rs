//! The head file: which records count, with what digests, and how many writes there have been.
//!
//! One line, `etdi-store 2 KIND GENERATION KEY DIGEST`, over a body. KEY is the generation of the
//! wrapped key, or `-`; the body is JSON, sealed where there is a key. The digest covers all that
//! stands before it in the line, and the body. Format 1, `etdi-approvals 1 GENERATION DIGEST` over
//! the records alone, is read and never written.

use serde::{Deserialize, Serialize};

use super::Records;
use super::disk::Files;
use crate::approval::StoreError;
use crate::digest::{Digest, Hasher};
use crate::secret::SealingKey;
use crate::time::UnixTime;

pub(super) const NAME: &str = "head";
/// 16,384 records at about 250 bytes, with room to spare.
pub(super) const MAX_BYTES: usize = 8 << 20;
/// No first line is longer.
pub(super) const LINE_BYTES: usize = 160;
const FORMAT: &str = "etdi-store 2";
const FORMER: &str = "etdi-approvals 1";

/// What a store holds. A directory of one kind is never taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Approvals,
    Secrets,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Approvals => "approvals",
            Self::Secrets => "secrets",
        }
    }
}

/// A record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) generation: u64,
    pub(super) digest: Digest,
    /// Where it stands in a file that it shares with others of its generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) place: Option<Place>,
}

/// A part of a file of several records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    /// Which file of its generation.
    pub(super) file: u32,
    pub(super) from: u64,
    pub(super) length: usize,
}

/// What stands below the line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Body {
    /// The id of the store, which it keeps for life.
    pub(super) store: String,
    /// The latest time that was noted.
    pub(super) latest: UnixTime,
    /// There is a mark of the newest generation outside the directory.
    pub(super) anchored: bool,
    /// What authenticates that mark, in an encrypted store; as old as the data key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mark_key: Option<String>,
    /// The one before, until the next write: a crash may have left a mark that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) former_mark_key: Option<String>,
    pub(super) records: Records,
}

/// The data key, and the generation of the file in which it is wrapped.
#[derive(Clone, Debug)]
pub(super) struct Sealing {
    pub(super) generation: u64,
    pub(super) key: SealingKey,
}

#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) generation: u64,
    pub(super) body: Body,
    pub(super) sealing: Option<Sealing>,
    /// The first line with its line end as it was read.
    line: String,
}

impl Head {
    /// Whether a file that starts with these bytes is the one that this was read from.
    pub(super) fn is_still(&self, bytes: &[u8]) -> bool {
        bytes.starts_with(self.line.as_bytes())
    }

    /// The digest of all of it, as its first line says.
    pub(super) fn digest(&self) -> &str {
        self.line.trim_end().rsplit(' ').next().unwrap_or_default()
    }

    /// Reads the body below a line that was read before, with the key that the line names.
    pub(super) fn of(
        line: Line<'_>,
        kind: Kind,
        sealing: Option<Sealing>,
    ) -> Result<Self, &'static str> {
        let Line { first, body, generation, key, former } = line;
        let body: Body = match (&sealing, former) {
            (None, true) => Body {
                records: serde_json::from_slice(body).map_err(|_| BROKEN)?,
                ..Body::default()
            },
            (None, false) => serde_json::from_slice(body).map_err(|_| BROKEN)?,
            (Some(sealing), _) => {
                let about = about(kind, key);
                let opened = sealing.key.open(&about, generation, body).map_err(|_| BROKEN)?;
                serde_json::from_slice(opened.reveal()).map_err(|_| BROKEN)?
            }
        };
        if body.records.values().any(|entry| entry.generation > generation) {
            return Err("its head names a record from the future");
        }
        Ok(Self { generation, body, sealing, line: first.to_owned() })
    }
}

/// The file of a head.
pub(super) fn encode(
    kind: Kind,
    generation: u64,
    body: &Body,
    sealing: Option<&Sealing>,
) -> Result<Vec<u8>, StoreError> {
    let mut text = super::encode(body)?;
    let key = sealing.map(|sealing| sealing.generation);
    if let Some(sealing) = sealing {
        text = sealing.key.seal(&about(kind, key), generation, &text)?;
    }
    let mut bytes = write_line(kind, generation, key, &text).into_bytes();
    bytes.extend_from_slice(&text);
    if bytes.len() > MAX_BYTES {
        return Err(StoreError::Full { what: "records" });
    }
    Ok(bytes)
}

const BROKEN: &str = "its head is not what was written";

/// The first line of a head that has been held against its digest, and what stands below.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    first: &'a str,
    body: &'a [u8],
    generation: u64,
    pub(super) key: Option<u64>,
    former: bool,
}

impl<'a> Line<'a> {
    pub(super) fn read(kind: Kind, bytes: &'a [u8]) -> Result<Self, &'static str> {
        let end = bytes.iter().position(|byte| *byte == b'\n').ok_or(BROKEN)?;
        let (first, body) = bytes.split_at_checked(end + 1).ok_or(BROKEN)?;
        let first = core::str::from_utf8(first).map_err(|_| BROKEN)?;
        let words: Vec<&str> = first.trim_end().split(' ').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| BROKEN);
        let (generation, key, former) = match words.as_slice() {
            ["etdi-approvals", "1", generation, _] if kind == Kind::Approvals => {
                (number(generation)?, None, true)
            }
            ["etdi-store", "2", word, ..] if *word != kind.word() => {
                return Err("it is a store of another kind");
            }
            ["etdi-store", "2", _, generation, "-", _] => (number(generation)?, None, false),
            ["etdi-store", "2", _, generation, key, _] => {
                (number(generation)?, Some(number(key)?), false)
            }
            _ => return Err(BROKEN),
        };
        // One spelling: what we would have written, to the byte.
        let written = match former {
            true => finish_line(format!("{FORMER} {generation} "), body),
            false => write_line(kind, generation, key, body),
        };
        if written != first {
            return Err(BROKEN);
        }
        Ok(Self { first, body, generation, key, former })
    }
}

fn write_line(kind: Kind, generation: u64, key: Option<u64>, body: &[u8]) -> String {
    let key = key.map_or_else(|| "-".to_owned(), |key| key.to_string());
    finish_line(format!("{FORMAT} {} {generation} {key} ", kind.word()), body)
}

fn finish_line(start: String, body: &[u8]) -> String {
    let mut hasher = Hasher::new();
    hasher.update(start.as_bytes());
    hasher.update(body);
    format!("{start}{}\n", hasher.finish())
}

fn about(kind: Kind, key: Option<u64>) -> String {
    format!("head {} {}", kind.word(), key.unwrap_or_default())
}

/// A fault of the whole store.
pub(super) fn damaged(files: &dyn Files, what: &str) -> StoreError {
    StoreError::Corrupt {
        what: format!(
            "in `{}`, {what}; move the directory away and begin anew",
            files.directory().display()
        ),
    }
}
