//! `_meta` of a request, read once: the envelope's own keys apart from all others.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use crate::jsonrpc::ProgressToken;
use crate::members::{Name, keys};
use crate::{LoggingLevel, Meta, RawText};

/// The keys that the protocol reserves on a request, and the rest.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Envelope {
    pub(crate) version: Option<RawText>,
    pub(crate) client_info: Option<RawText>,
    pub(crate) client_capabilities: Option<RawText>,
    pub(crate) log_level: Option<LoggingLevel>,
    pub(crate) progress_token: Option<ProgressToken>,
    pub(crate) rest: Meta,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EnvelopeVisitor;

        impl<'de> Visitor<'de> for EnvelopeVisitor {
            type Value = Envelope;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
                let mut envelope = Envelope::default();
                while let Some(key) = map.next_key_seed(Name)? {
                    let first = match &*key {
                        keys::PROTOCOL_VERSION => {
                            envelope.version.replace(map.next_value()?).is_none()
                        }
                        keys::CLIENT_INFO => {
                            envelope.client_info.replace(map.next_value()?).is_none()
                        }
                        keys::CLIENT_CAPABILITIES => {
                            envelope.client_capabilities.replace(map.next_value()?).is_none()
                        }
                        keys::LOG_LEVEL => envelope.log_level.replace(map.next_value()?).is_none(),
                        keys::PROGRESS_TOKEN => {
                            // Some peers write `null` for what the schema wants to be absent.
                            let token: Option<ProgressToken> = map.next_value()?;
                            token.is_none_or(|token| {
                                envelope.progress_token.replace(token).is_none()
                            })
                        }
                        _ => {
                            envelope.rest.push(key, map.next_value()?);
                            continue;
                        }
                    };
                    if !first {
                        return Err(serde::de::Error::custom(format!("duplicate member `{key}`")));
                    }
                }
                crate::object::distinct::<A::Error>(&envelope.rest)?;
                Ok(envelope)
            }
        }

        deserializer.deserialize_map(EnvelopeVisitor)
    }
}
