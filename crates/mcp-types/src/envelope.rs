//! `_meta` of a request, read once: the envelope's own keys apart from all others.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use crate::jsonrpc::ProgressToken;
use crate::members::keys;
use crate::object::{Key, Keys, twice};
use crate::{LoggingLevel, Meta, ProtocolVersion, RawText};

/// The keys that the protocol reserves on a request, and the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Envelope {
    pub(crate) version: Option<Revision>,
    pub(crate) client_info: Option<RawText>,
    pub(crate) client_capabilities: Option<RawText>,
    pub(crate) log_level: Option<LoggingLevel>,
    pub(crate) progress_token: Option<ProgressToken>,
    pub(crate) rest: Meta,
}

/// The revision that a request names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Revision {
    Known(ProtocolVersion),
    /// Whatever else stands there.
    Other(RawText),
}

impl<'de> Deserialize<'de> for Revision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Told from its text as it stands, of which nothing need be kept then.
        let known = |text: &str| ProtocolVersion::parse(text.strip_prefix('"')?.strip_suffix('"')?);
        Ok(match RawText::unless(deserializer, known)? {
            Ok(version) => Self::Known(version),
            Err(text) => Self::Other(text),
        })
    }
}

/// The keys of the envelope itself.
enum Own {
    Version,
    ClientInfo,
    Capabilities,
    LogLevel,
    ProgressToken,
}

fn known(name: &str) -> Option<Own> {
    Some(match name {
        keys::PROTOCOL_VERSION => Own::Version,
        keys::CLIENT_INFO => Own::ClientInfo,
        keys::CLIENT_CAPABILITIES => Own::Capabilities,
        keys::LOG_LEVEL => Own::LogLevel,
        keys::PROGRESS_TOKEN => Own::ProgressToken,
        _ => return None,
    })
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut envelope = Self::default();
        envelope.deserialize(deserializer)?;
        Ok(envelope)
    }
}

/// Reads into an envelope that stands where it will be used.
impl<'de> DeserializeSeed<'de> for &mut Envelope {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        struct EnvelopeVisitor<'a>(&'a mut Envelope);

        impl<'de> Visitor<'de> for EnvelopeVisitor<'_> {
            type Value = ();

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
                let envelope = self.0;
                while let Some(key) = map.next_key_seed(Keys(known))? {
                    let (first, key) = match key {
                        Key::Known(Own::Version) => (
                            envelope.version.replace(map.next_value()?).is_none(),
                            keys::PROTOCOL_VERSION,
                        ),
                        Key::Known(Own::ClientInfo) => (
                            envelope.client_info.replace(map.next_value()?).is_none(),
                            keys::CLIENT_INFO,
                        ),
                        Key::Known(Own::Capabilities) => (
                            envelope.client_capabilities.replace(map.next_value()?).is_none(),
                            keys::CLIENT_CAPABILITIES,
                        ),
                        Key::Known(Own::LogLevel) => (
                            envelope.log_level.replace(map.next_value()?).is_none(),
                            keys::LOG_LEVEL,
                        ),
                        Key::Known(Own::ProgressToken) => {
                            // Some peers write `null` for what the schema wants to be absent.
                            let token: Option<ProgressToken> = map.next_value()?;
                            let first = token.is_none_or(|token| {
                                envelope.progress_token.replace(token).is_none()
                            });
                            (first, keys::PROGRESS_TOKEN)
                        }
                        Key::Unknown(key) => {
                            envelope.rest.push(key, map.next_value()?);
                            continue;
                        }
                    };
                    if !first {
                        return Err(twice(key));
                    }
                }
                crate::object::distinct::<A::Error>(&envelope.rest)
            }
        }

        deserializer.deserialize_map(EnvelopeVisitor(self))
    }
}
