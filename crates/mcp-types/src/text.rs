//! The JSON text of one value, kept as it arrived or as it will leave.

use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{self, DecodeError};
use crate::outline;

/// The JSON text of exactly one value.
///
/// Values whose type only a tool knows (arguments, structured content, schemas, unknown members)
/// stay in this form until their own reader takes them, once. A clone costs a reference count.
/// While [`json::decode`] runs, each `RawText` is a range of the message's own buffer; anywhere
/// else it owns a copy.
///
/// Two texts are equal when they have the same characters; `{"a":1}` and `{ "a": 1 }` differ.
///
/// ```
/// use mcp_types::RawText;
///
/// let text = RawText::new(r#"{"a": [1, 2]}"#)?;
/// assert!(text.is_object());
/// let numbers: std::collections::BTreeMap<String, Vec<u8>> = text.parse()?;
/// assert_eq!(numbers["a"], [1, 2]);
/// assert!(RawText::new("{} {}").is_err(), "two values are refused");
/// # Ok::<(), mcp_types::DecodeError>(())
/// ```
#[derive(Clone)]
pub struct RawText(Repr);

/// A range of a message can be shared; a text of our own is ready to be copied out unread.
#[derive(Clone)]
enum Repr {
    Slice(ByteString),
    /// The `params` of a message and perhaps members behind it, which no reader has passed yet.
    Outlined(ByteString),
    Ready(Arc<RawValue>),
}

impl RawText {
    /// Takes the text of one JSON value, and refuses anything else.
    pub fn new(text: impl Into<String>) -> Result<Self, DecodeError> {
        let value = RawValue::from_string(text.into()).map_err(DecodeError::from_json)?;
        Ok(Self(Repr::Ready(Arc::from(value))))
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    ///
    /// When the value has no JSON form, such as a map whose keys are not strings.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(|raw| Self(Repr::Ready(Arc::from(raw))))
    }

    /// A literal of ours, known to be one JSON value.
    pub(crate) const fn literal(text: &'static str) -> Self {
        Self(Repr::Slice(ByteString::from_static(text)))
    }

    /// A range of a message that opens and closes like an object; its reader says whether it is one.
    pub(crate) fn outlined(text: ByteString) -> Self {
        Self(Repr::Outlined(text))
    }

    /// The text again, once it is known to be JSON.
    pub(crate) fn checked(&self) -> Result<Self, DecodeError> {
        self.parse::<serde::de::IgnoredAny>().map(|_| self.settled())
    }

    /// The text again, once a reader has passed it.
    pub(crate) fn settled(&self) -> Self {
        match &self.0 {
            Repr::Outlined(text) => Self(Repr::Slice(text.slice_ref(self.get()))),
            _ => self.clone(),
        }
    }

    /// What `read` makes of the text.
    pub(crate) fn read<T>(
        &self,
        mut read: impl FnMut(&ByteString) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match &self.0 {
            Repr::Slice(text) => read(text),
            Repr::Outlined(text) => read(text).or_else(|error| {
                let exact = if error.syntax { outline::exact(text) } else { None };
                exact.map_or(Err(error), |exact| read(&text.slice_ref(exact)))
            }),
            Repr::Ready(raw) => read(&ByteString::from(raw.get())),
        }
    }

    /// The text itself.
    pub fn get(&self) -> &str {
        match &self.0 {
            Repr::Slice(text) => text,
            Repr::Outlined(text) => outline::exact(text).unwrap_or(text),
            Repr::Ready(raw) => raw.get(),
        }
    }

    /// Reads the text as a `T`.
    ///
    /// # Errors
    ///
    /// When the value is not a `T`; the error names the path of the member that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        match &self.0 {
            Repr::Ready(raw) => json::decode_copying(raw.get()),
            _ => self.read(json::decode),
        }
    }

    /// Whether the value is an object.
    pub fn is_object(&self) -> bool {
        self.get().trim_start().starts_with('{')
    }

    /// Whether the value is `null`.
    pub fn is_null(&self) -> bool {
        self.get().trim() == "null"
    }
}

impl PartialEq for RawText {
    fn eq(&self, other: &Self) -> bool {
        self.get() == other.get()
    }
}

impl Eq for RawText {}

impl fmt::Debug for RawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl fmt::Display for RawText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

impl Serialize for RawText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Ready(raw) => raw.serialize(serializer),
            // Only a gateway sends on what it received, so only it pays for this second look.
            _ => serde_json::from_str::<&RawValue>(self.get())
                .map_err(serde::ser::Error::custom)?
                .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RawText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // What says nothing is common, and need not hold on to its message.
        let nothing = |text: &str| (text == "{}").then(|| Self::literal("{}"));
        let (Ok(text) | Err(text)) = Self::unless(deserializer, nothing)?;
        Ok(text)
    }
}

impl RawText {
    /// Reads a value: what `known` makes of its text, or else the text.
    pub(crate) fn unless<'de, D: Deserializer<'de>, T>(
        deserializer: D,
        known: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Result<T, Self>, D::Error> {
        if !json::has_source() {
            let owned = Box::<RawValue>::deserialize(deserializer)?;
            let known = known(owned.get());
            return Ok(known.ok_or_else(|| Self(Repr::Ready(Arc::from(owned)))));
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(known(raw.get()).ok_or_else(|| {
            Self(match json::slice_of_source(raw.get()) {
                Some(slice) => Repr::Slice(slice),
                None => Repr::Ready(Arc::from(raw.to_owned())),
            })
        }))
    }
}
