//! A strict reader for I-JSON (RFC 7493): what two honest readers could understand differently is
//! refused before anything is hashed or verified.
//!
//! [`Document::parse`] takes a text and gives a value that has exactly one meaning. Beyond what JSON
//! (RFC 8259) forbids, it refuses
//!
//! - two members of one object with the same name, compared after unescaping;
//! - lone surrogates and noncharacters in strings and names (RFC 7493, section 2.1);
//! - integers beyond ±(2^53-1), however they are written up to 10^21, and other numbers whose digits are not those of a double: the
//!   shortest ones that name it, or all seventeen (RFC 7493, section 2.2);
//! - whatever exceeds the [`Limits`]: bytes, depth, number of values.
//!
//! Nothing is coerced. An error names the member and says what to write instead.
//!
//! ```
//! use etdi_core::ijson::{Document, Limits};
//!
//! let text = r#"{"name":"pay","inputSchema":{"maximum":9007199254740993}}"#;
//! let error = Document::parse(text, Limits::DEFINITION).unwrap_err();
//! assert_eq!(error.path(), "inputSchema.maximum");
//!
//! let error = Document::parse(r#"{"a":1,"\u0061":2}"#, Limits::DEFINITION).unwrap_err();
//! assert!(error.to_string().contains("twice"));
//!
//! let document = Document::parse(r#"{"a":[1,"b"]}"#, Limits::DEFINITION)?;
//! let list = document.root().get("a").and_then(|a| a.as_array());
//! assert_eq!(list.and_then(|mut list| list.nth(1)?.as_str()), Some("b"));
//! # Ok::<(), etdi_core::ijson::IjsonError>(())
//! ```

use core::cmp::Ordering;
use core::fmt;

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

/// A JSON text with one meaning. Made by [`Document::parse`] alone, so that it always has a
/// canonical form.
///
/// All values stand in one list, children of a container side by side; strings are ranges of the
/// text, or of one buffer where they were written with escapes. So reading allocates three times,
/// however many values there are.
#[derive(Clone)]
pub struct Document<'a> {
    text: &'a str,
    unescaped: String,
    slots: Vec<Slot>,
    root: Node,
}

/// A member of an object, or an element of a list, whose name is empty.
#[derive(Clone, Copy)]
struct Slot {
    name: Text,
    node: Node,
}

#[derive(Clone, Copy)]
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    String(Text),
    Array(Range),
    /// In the order of RFC 8785, with different names.
    Object(Range),
}

/// A part of a list or text.
#[derive(Clone, Copy)]
struct Range {
    start: u32,
    length: u32,
}

/// Characters of a string: without lone surrogates and noncharacters.
#[derive(Clone, Copy)]
struct Text {
    range: Range,
    /// Whether they stand in the text without escapes. They then hold no quote, backslash or
    /// control character, since JSON lets none of them stand plain, and are written by copying.
    plain: bool,
}

impl Range {
    /// The limits keep texts and lists below 2^32.
    fn new(start: usize, length: usize) -> Self {
        Self { start: start as u32, length: length as u32 }
    }

    fn within(self) -> core::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }
}

impl<'a> Document<'a> {
    /// Reads exactly one value.
    ///
    /// # Errors
    ///
    /// When the text is not I-JSON or exceeds `limits`; the error names the member.
    pub fn parse(text: &'a str, limits: Limits) -> Result<Self, IjsonError> {
        reader::read(text, limits)
    }

    /// The value.
    pub fn root(&self) -> Value<'_> {
        Value { document: self, node: self.root }
    }

    /// Takes a member out, which `path` names from the root on. Says whether it was there.
    pub(crate) fn remove(&mut self, path: &[&str]) -> bool {
        let Some((name, parents)) = path.split_last() else { return false };
        let mut place = None;
        let mut node = self.root;
        for parent in parents {
            place = self.position(node, parent);
            match place.and_then(|place| self.slots.get(place)) {
                Some(slot) => node = slot.node,
                None => return false,
            }
        }
        let (Node::Object(range), Some(at)) = (node, self.position(node, name)) else {
            return false;
        };
        self.slots.copy_within(at + 1..range.within().end, at);
        let shorter = Node::Object(Range { length: range.length - 1, ..range });
        match place.and_then(|place| self.slots.get_mut(place)) {
            Some(slot) => slot.node = shorter,
            None => self.root = shorter,
        }
        true
    }

    fn slots(&self, range: Range) -> &[Slot] {
        self.slots.get(range.within()).unwrap_or_default()
    }

    fn text(&self, text: Text) -> &str {
        let source = if text.plain { self.text } else { &self.unescaped };
        source.get(text.range.within()).unwrap_or_default()
    }

    /// Where a member stands among all values.
    fn position(&self, node: Node, name: &str) -> Option<usize> {
        let Node::Object(range) = node else { return None };
        let members = self.slots(range);
        let order = |slot: &Slot| utf16_order(self.text(slot.name).as_bytes(), name.as_bytes());
        Some(range.start as usize + members.binary_search_by(order).ok()?)
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::canonical::of(self.root()))
    }
}

/// A value of a [`Document`].
#[derive(Clone, Copy)]
pub struct Value<'d> {
    document: &'d Document<'d>,
    node: Node,
}

/// A value as the canonical writer sees it.
pub(crate) enum Shape<'d> {
    Null,
    Bool(bool),
    Number(Number),
    /// Characters, and whether they are written by copying.
    String(&'d str, bool),
    Array,
    Object,
}

impl<'d> Value<'d> {
    /// The member `name`, if this is an object that has it.
    pub fn get(self, name: &str) -> Option<Value<'d>> {
        let place = self.document.position(self.node, name)?;
        Some(Self { node: self.document.slots.get(place)?.node, ..self })
    }

    /// The members in canonical order, if this is an object.
    pub fn as_object(self) -> Option<impl ExactSizeIterator<Item = (&'d str, Value<'d>)>> {
        let Node::Object(range) = self.node else { return None };
        let named =
            move |slot: &Slot| (self.document.text(slot.name), Self { node: slot.node, ..self });
        Some(self.document.slots(range).iter().map(named))
    }

    /// The elements, if this is a list.
    pub fn as_array(self) -> Option<impl ExactSizeIterator<Item = Value<'d>>> {
        let Node::Array(range) = self.node else { return None };
        let element = move |slot: &Slot| Self { node: slot.node, ..self };
        Some(self.document.slots(range).iter().map(element))
    }

    /// The characters, if this is a string.
    pub fn as_str(self) -> Option<&'d str> {
        match self.node {
            Node::String(text) => Some(self.document.text(text)),
            _ => None,
        }
    }

    /// The number, if this is one.
    pub fn as_number(self) -> Option<Number> {
        match self.node {
            Node::Number(number) => Some(number),
            _ => None,
        }
    }

    /// Whether this is an object.
    pub fn is_object(self) -> bool {
        matches!(self.node, Node::Object(_))
    }

    pub(crate) fn shape(self) -> Shape<'d> {
        match self.node {
            Node::Null => Shape::Null,
            Node::Bool(value) => Shape::Bool(value),
            Node::Number(number) => Shape::Number(number),
            Node::String(text) => Shape::String(self.document.text(text), text.plain),
            Node::Array(_) => Shape::Array,
            Node::Object(_) => Shape::Object,
        }
    }

    /// The children with their names, which are empty in a list, and whether a name is plain.
    pub(crate) fn children(self) -> impl Iterator<Item = (&'d str, bool, Value<'d>)> {
        let range = match self.node {
            Node::Array(range) | Node::Object(range) => range,
            _ => Range { start: 0, length: 0 },
        };
        self.document.slots(range).iter().map(move |slot| {
            (self.document.text(slot.name), slot.name.plain, Self { node: slot.node, ..self })
        })
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::canonical::of(*self))
    }
}

/// Compares by UTF-16 code units (RFC 8785, section 3.2.3) without converting.
///
/// UTF-8 sorts by code point. The two orders differ in one place: characters beyond U+FFFF, whose
/// surrogates begin with D8, come before U+E000 to U+FFFF. The first byte that differs decides,
/// and it is a leading byte whenever two such characters meet.
fn utf16_order(left: &[u8], right: &[u8]) -> Ordering {
    if left.is_ascii() && right.is_ascii() {
        return left.cmp(right);
    }
    let weight = |byte: u8| if matches!(byte, 0xEE | 0xEF) { byte + 0x10 } else { byte };
    let mut pairs = left.iter().zip(right);
    match pairs.find(|(left, right)| left != right) {
        Some((left, right)) => weight(*left).cmp(&weight(*right)),
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
                assert_eq!(
                    utf16_order(left.as_bytes(), right.as_bytes()),
                    units,
                    "{left:?} {right:?}"
                );
            }
        }
        let ascending = |pair: &[&str]| utf16_order(pair[0].as_bytes(), pair[1].as_bytes()).is_lt();
        assert!(names.windows(2).all(ascending));
    }

    #[test]
    fn members_are_found_and_taken() {
        let text = r#"{"b":1,"a":{"x":[],"y":{"z":0}},"😀":true,"\uffee":false}"#;
        let mut document = Document::parse(text, Limits::DEFINITION).unwrap();
        let a = document.root().get("a").unwrap();
        assert_eq!(a.get("x").and_then(Value::as_array).map(|list| list.len()), Some(0));
        assert!(document.root().get("c").is_none() && a.get("x").unwrap().get("x").is_none());
        for (path, there) in [
            (&["\u{ffee}"][..], true),
            (&["\u{ffee}"], false),
            (&["a", "y", "z"], true),
            (&["a", "y", "z"], false),
            (&["a", "x", "z"], false),
            (&["a", "x"], true),
            (&["c", "x"], false),
            (&[], false),
        ] {
            assert_eq!(document.remove(path), there, "{path:?}");
        }
        assert_eq!(format!("{document:?}"), r#"{"a":{"y":{}},"b":1,"😀":true}"#);
        assert!(document.remove(&["a"]));
        let names: Vec<_> = document.root().as_object().unwrap().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "😀"]);
    }
}
