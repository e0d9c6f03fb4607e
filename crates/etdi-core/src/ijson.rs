//! A strict reader for I-JSON (RFC 7493): what two honest readers could understand differently is
//! refused before anything is hashed or verified.
//!
//! [`Value::parse`] takes a text and gives a value that has exactly one meaning. Beyond what JSON
//! (RFC 8259) forbids, it refuses
//!
//! - two members of one object with the same name, compared after unescaping;
//! - lone surrogates and noncharacters in strings and names (RFC 7493, section 2.1);
//! - integers beyond ±(2^53-1), and other numbers whose digits are not those of a double: the
//!   shortest ones that name it, or all seventeen (RFC 7493, section 2.2);
//! - whatever exceeds the [`Limits`]: bytes, depth, number of values.
//!
//! Nothing is coerced. An error names the member and says what to write instead.
//!
//! ```
//! use etdi_core::ijson::{Limits, Value};
//!
//! let text = r#"{"name":"pay","inputSchema":{"maximum":9007199254740993}}"#;
//! let error = Value::parse(text, Limits::DEFINITION).unwrap_err();
//! assert_eq!(error.path(), "inputSchema.maximum");
//!
//! let error = Value::parse(r#"{"a":1,"\u0061":2}"#, Limits::DEFINITION).unwrap_err();
//! assert!(error.to_string().contains("twice"));
//! ```

use core::cmp::Ordering;
use core::fmt;
use std::borrow::Cow;

mod error;
mod number;
mod reader;

pub use error::{IjsonError, Problem};
pub use number::Number;
pub(crate) use reader::plain_length;

/// How large a text may be before it is refused unread.
///
/// Any value is valid; a depth beyond [`Limits::MAX_DEPTH`] counts as that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the text.
    pub bytes: usize,
    /// Arrays and objects inside each other.
    pub depth: usize,
    /// Values, members and elements together.
    pub values: usize,
}

impl Limits {
    /// The depth at which every reader stops, that of serde_json.
    pub const MAX_DEPTH: usize = 127;

    /// For one tool definition: 512 KiB, 64 levels, 32,768 values.
    pub const DEFINITION: Self = Self { bytes: 512 << 10, depth: 64, values: 32_768 };

    /// For arguments and results: 16 MiB, all levels, a million values.
    pub const MESSAGE: Self = Self { bytes: 16 << 20, depth: Self::MAX_DEPTH, values: 1 << 20 };

    /// For headers and payloads of signed statements: 256 KiB, 16 levels, 16,384 values.
    pub const STATEMENT: Self = Self { bytes: 256 << 10, depth: 16, values: 16_384 };
}

/// A JSON value with one meaning. Made by [`Value::parse`] alone, so that it always has a
/// canonical form; borrows what the text spells without escapes.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number that every reader of doubles understands alike.
    Number(Number),
    /// A string, unescaped.
    String(Text<'a>),
    /// A list.
    Array(Vec<Value<'a>>),
    /// Members with different names.
    Object(Object<'a>),
}

impl<'a> Value<'a> {
    /// Reads exactly one value.
    ///
    /// # Errors
    ///
    /// When the text is not I-JSON or exceeds `limits`; the error names the member.
    pub fn parse(text: &'a str, limits: Limits) -> Result<Self, IjsonError> {
        reader::read(text, limits)
    }

    /// The members, if this is an object.
    pub fn as_object(&self) -> Option<&Object<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The characters, if this is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The elements, if this is a list.
    pub fn as_array(&self) -> Option<&[Value<'a>]> {
        match self {
            Self::Array(list) => Some(list),
            _ => None,
        }
    }

    /// The member `name`, if this is an object that has it.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        self.as_object()?.get(name)
    }

    /// What kind of value it is, for messages: `a string`, `an object`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

/// The characters of a string, unescaped: without lone surrogates and noncharacters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the text stands in the source without escapes. It then holds no quote, backslash
    /// or control character, since JSON lets none of them stand plain, and is written by copying.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Members with different names, held in the order of RFC 8785: by UTF-16 code units.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<'a> {
    members: Vec<(Text<'a>, Value<'a>)>,
}

impl<'a> Object<'a> {
    /// The member `name`.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let at = self.position(name)?;
        self.members.get(at).map(|(_, value)| value)
    }

    /// Takes the member `name` out.
    pub fn remove(&mut self, name: &str) -> Option<Value<'a>> {
        let at = self.position(name)?;
        Some(self.members.remove(at).1)
    }

    /// The member `name`, to take members out of it.
    pub(crate) fn object_mut(&mut self, name: &str) -> Option<&mut Object<'a>> {
        let at = self.position(name)?;
        match self.members.get_mut(at) {
            Some((_, Value::Object(object))) => Some(object),
            _ => None,
        }
    }

    /// The members in canonical order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        self.members.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn members(&self) -> &[(Text<'a>, Value<'a>)] {
        &self.members
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.members.binary_search_by(|(other, _)| utf16_order(other.as_str(), name)).ok()
    }
}

/// Compares by UTF-16 code units (RFC 8785, section 3.2.3) without converting.
///
/// UTF-8 sorts by code point. The two orders differ in one place: characters beyond U+FFFF, whose
/// surrogates begin with D8, come before U+E000 to U+FFFF. The first byte that differs decides,
/// and it is a leading byte whenever two such characters meet.
pub(crate) fn utf16_order(left: &str, right: &str) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        return left.cmp(right);
    }
    let weight = |byte: u8| if matches!(byte, 0xEE | 0xEF) { byte + 0x10 } else { byte };
    let mut pairs = left.bytes().zip(right.bytes());
    match pairs.find(|(left, right)| left != right) {
        Some((left, right)) => weight(left).cmp(&weight(right)),
        None => left.len().cmp(&right.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_utf16() {
        let names = [
            "",
            "\r",
            "1",
            "a",
            "aa",
            "b",
            "\u{80}",
            "ö",
            "€",
            "\u{d7ff}",
            "😀",
            "😀z",
            "\u{10ffff}",
            "\u{e000}",
            "\u{fb33}",
            "\u{fb33}a",
            "\u{ffee}",
        ];
        for left in names {
            for right in names {
                let units = left.encode_utf16().cmp(right.encode_utf16());
                assert_eq!(utf16_order(left, right), units, "{left:?} {right:?}");
            }
        }
        assert!(names.windows(2).all(|pair| utf16_order(pair[0], pair[1]).is_lt()));
    }

    #[test]
    fn members_are_found_and_taken() {
        let text = r#"{"b":1,"a":{"x":[]},"😀":true,"\uffee":false}"#;
        let mut value = Value::parse(text, Limits::DEFINITION).unwrap();
        assert_eq!(
            value.get("a").and_then(|a| a.get("x")).and_then(Value::as_array),
            Some(&[][..])
        );
        assert_eq!(value.get("c"), None);
        let Value::Object(object) = &mut value else { panic!("{value:?}") };
        assert_eq!(object.remove("\u{ffee}"), Some(Value::Bool(false)));
        assert!(object.object_mut("a").unwrap().remove("x").is_some());
        let names: Vec<_> = object.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "😀"]);
    }
}
