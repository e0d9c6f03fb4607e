//! JSON Schemas as the protocol carries them.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{DecodeError, RawText};

/// A JSON Schema: the text of an object, kept as it is.
///
/// The protocol's default dialect is JSON Schema 2020-12 (SEP-1613). A schema is data to show and
/// to check against; this type promises only that it is an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonSchema(RawText);

impl JsonSchema {
    /// Takes the text of a schema; refuses what is not an object.
    pub fn new(text: RawText) -> Result<Self, DecodeError> {
        match text.is_object() {
            true => Ok(Self(text)),
            false => Err(DecodeError::new("", NO_SCHEMA)),
        }
    }

    /// The schema of an object without properties, and with nothing besides.
    pub fn empty_object() -> Self {
        Self(RawText::literal(r#"{"additionalProperties":false,"properties":{},"type":"object"}"#))
    }

    /// The text of the schema.
    pub fn text(&self) -> &RawText {
        &self.0
    }
}

/// What is wrong with a schema that is no object; seen once it was read, like
/// [`NO_OBJECT`](crate::object::NO_OBJECT).
pub(crate) const NO_SCHEMA: &str = r#"a schema is an object, such as {"type":"object"}"#;

impl<'de> Deserialize<'de> for JsonSchema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(RawText::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
