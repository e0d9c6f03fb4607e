//! Reading JSON: one entry that keeps ranges of the message, and errors that name the place.

use std::cell::RefCell;
use std::fmt;

use bytestring::ByteString;
use serde::de::{DeserializeOwned, DeserializeSeed};

use crate::object::NO_OBJECT;
use crate::place;
use crate::schema::NO_SCHEMA;

thread_local! {
    /// The message that is being decoded on this thread, so that a `RawText` can be a range of it.
    static SOURCE: RefCell<Option<ByteString>> = const { RefCell::new(None) };
}

/// Reads `text` as a `T`; every [`RawText`](crate::RawText) in it becomes a range of `text`.
///
/// # Errors
///
/// When the text is not JSON or not a `T`. The error names the path of the member that does not
/// fit; finding it costs a second look, which only a wrong message pays for.
pub fn decode<T: DeserializeOwned>(text: &ByteString) -> Result<T, DecodeError> {
    let _restore = Restore(SOURCE.replace(Some(text.clone())));
    read(text)
}

/// As [`decode`], with a reader of its own.
pub(crate) fn decode_seed<T, S>(text: &ByteString, seed: S) -> Result<T, DecodeError>
where
    S: for<'de> DeserializeSeed<'de, Value = T>,
{
    let _restore = Restore(SOURCE.replace(Some(text.clone())));
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| DecodeError::within_text(text, error))
}

/// Reads `text` as a `T` that keeps nothing of it.
pub(crate) fn decode_copying<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    let _restore = Restore(SOURCE.replace(None));
    read(text)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|error| DecodeError::within_text(text, error))
}

/// Whether a message is being decoded on this thread.
pub(crate) fn has_source() -> bool {
    SOURCE.with_borrow(Option::is_some)
}

/// `part` as a range of the message that is being decoded, if it lies in it.
pub(crate) fn slice_of_source(part: &str) -> Option<ByteString> {
    SOURCE.with_borrow(|source| {
        let source = source.as_ref()?;
        let (start, part_start) = (source.as_ptr() as usize, part.as_ptr() as usize);
        let within = part_start >= start && part_start + part.len() <= start + source.len();
        within.then(|| source.slice_ref(part))
    })
}

/// Puts the outer message back, also when reading panics.
struct Restore(Option<ByteString>);

impl Drop for Restore {
    fn drop(&mut self) {
        SOURCE.set(self.0.take());
    }
}

/// Why a text could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DecodeError {
    /// The path of the member that does not fit, such as `tools[3].name`; empty for the whole.
    pub path: String,
    /// What was wrong there, in lower case and without a final stop.
    pub message: String,
    /// Whether the text is no JSON at all (JSON-RPC: parse error) rather than of another shape.
    pub syntax: bool,
}

impl DecodeError {
    /// An error at `path` (empty for the whole value).
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), syntax: false }
    }

    /// The same error seen from an object that holds the value under `prefix`.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => prefix.to_owned(),
            inner if inner.starts_with('[') => format!("{prefix}{inner}"),
            inner => format!("{prefix}.{inner}"),
        };
        self
    }

    /// The error with the path of the member where reading stopped.
    #[cold]
    fn within_text(text: &str, error: serde_json::Error) -> Self {
        let path = match error.is_data() {
            true => {
                let behind = place::offset(text, error.line(), error.column());
                // The last member of an object is told from behind that object's end.
                let last =
                    [NO_OBJECT, NO_SCHEMA].iter().any(|why| error.to_string().starts_with(why))
                        && text.get(..behind).is_some_and(|read| read.ends_with('}'));
                place::path_at(text, behind - usize::from(last))
            }
            false => String::new(),
        };
        Self { path, ..Self::from_json(error) }
    }

    pub(crate) fn from_json(error: serde_json::Error) -> Self {
        let syntax = !error.is_data();
        let mut message = error.to_string();
        // The line is always 1 and the column counts bytes of one long line: the path says more.
        if !syntax && let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        Self { path: String::new(), message, syntax }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "`{path}`: {}", self.message),
        }
    }
}

impl std::error::Error for DecodeError {}
