//! Digests: SHA-256 with the purpose in front, so that one can never stand for another.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::base64url;
use crate::canonical::canonicalize;
use crate::ijson::{IjsonError, Limits};

/// A SHA-256 digest. Prints as `sha-256:` and 43 characters of base64url without padding.
///
/// ```
/// use etdi_core::digest::{Digest, Purpose};
///
/// let digest = Digest::of_json(Purpose::Arguments, r#"{"b":1,"a":2}"#)?;
/// assert_eq!(digest, Digest::of_json(Purpose::Arguments, r#"{ "a": 2, "b": 1.0 }"#)?);
/// assert_ne!(digest, Digest::of_json(Purpose::Result, r#"{"b":1,"a":2}"#)?);
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// # Ok::<(), etdi_core::ijson::IjsonError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

/// What a digest of a JSON value stands for; its tag is hashed in front of the canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// A tool definition, `etdi-tool-v1`.
    Tool,
    /// The arguments of a call, `etdi-args-v1`.
    Arguments,
    /// Input responses and request state of a retried call, `etdi-mrtr-v1`.
    Inputs,
    /// The result of a call, `etdi-result-v1`.
    Result,
    /// The contents of a manifest, `etdi-manifest-v1`.
    Manifest,
    /// A prompt as it is listed, `etdi-prompt-v1`.
    Prompt,
    /// A resource template as it is listed, `etdi-template-v1`.
    ResourceTemplate,
    /// The instructions of a server, `etdi-instructions-v1`.
    Instructions,
    /// The schemas of a tool, `etdi-schema-v1`.
    Schema,
    /// The exact command line of a server, `etdi-command-v1`.
    Command,
}

impl Purpose {
    /// The tag that is hashed in front, before a zero byte.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Tool => "etdi-tool-v1",
            Self::Arguments => "etdi-args-v1",
            Self::Inputs => "etdi-mrtr-v1",
            Self::Result => "etdi-result-v1",
            Self::Manifest => "etdi-manifest-v1",
            Self::Prompt => "etdi-prompt-v1",
            Self::ResourceTemplate => "etdi-template-v1",
            Self::Instructions => "etdi-instructions-v1",
            Self::Schema => "etdi-schema-v1",
            Self::Command => "etdi-command-v1",
        }
    }
}

const PREFIX: &str = "sha-256:";

impl Digest {
    /// The digest of bytes as they are, for files.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(bytes);
        hasher.finish()
    }

    /// `SHA-256(tag || 0x00 || JCS(value))` of a text.
    ///
    /// # Errors
    ///
    /// When the text is not I-JSON, see [`crate::ijson`].
    pub fn of_json(purpose: Purpose, text: &str) -> Result<Self, IjsonError> {
        Ok(Self::of_canonical(purpose, &canonicalize(text, Limits::MESSAGE)?))
    }

    /// The same of a text that is its own canonical form.
    pub(crate) fn of_canonical(purpose: Purpose, canonical: &str) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(purpose.tag().as_bytes());
        hasher.update(&[0]);
        hasher.update(canonical.as_bytes());
        hasher.finish()
    }

    /// As it prints, written into a place that the caller has.
    pub(crate) fn text<'a>(&self, room: &'a mut Text) -> &'a str {
        base64url::encode_32(&self.0, &mut room.0)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Room for a digest as it prints.
pub(crate) struct Text([u8; PREFIX.len() + base64url::TEXT_OF_32]);

impl Default for Text {
    fn default() -> Self {
        let mut room = [0; PREFIX.len() + base64url::TEXT_OF_32];
        for (to, from) in room.iter_mut().zip(PREFIX.bytes()) {
            *to = from;
        }
        Self(room)
    }
}

/// Hashes bytes that come in parts, such as a file.
pub struct Hasher(ring::digest::Context);

impl Hasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self(ring::digest::Context::new(&ring::digest::SHA256))
    }

    /// Adds a part.
    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    /// The digest of all parts.
    pub fn finish(self) -> Digest {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(self.0.finish().as_ref()) {
            *to = *from;
        }
        Digest(bytes)
    }
}

impl Default for Hasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut Text::default()))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a digest, expected `sha-256:` and 43 characters of base64url without padding")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let encoded =
            text.strip_prefix(PREFIX).filter(|rest| rest.len() == 43).ok_or(NotADigest)?;
        let bytes = base64url::decode(encoded).ok_or(NotADigest)?;
        bytes.try_into().map(Self).map_err(|_| NotADigest)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut Text::default()))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads() {
        // SHA-256 of the empty text, FIPS 180-4.
        let empty = Digest::of_bytes(b"");
        assert_eq!(empty.to_string(), "sha-256:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        assert_eq!(empty.to_string().parse(), Ok(empty));
        let text = empty.to_string();
        for bad in [
            "".to_owned(),
            "sha-256:".to_owned(),
            text.replace("sha-256", "sha256"),
            text.replace("sha-256", "SHA-256"),
            format!("{text}="),
            format!("{text}A"),
            // The last character carries two bits too many.
            text.replace("FU", "FV"),
            text.replace('-', "+"),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(NotADigest), "{bad}");
        }
    }

    /// Computed with another implementation: printf 'etdi-args-v1\0{"a":1}' | openssl dgst -sha256
    #[test]
    fn the_tag_comes_first() {
        let tagged = Digest::of_json(Purpose::Arguments, r#"{ "a": 1 }"#).unwrap();
        assert_eq!(tagged, Digest::of_bytes(b"etdi-args-v1\0{\"a\":1}"));
    }
}
