//! What is looked at, as a tree: read as leniently as JSON can be, within a budget.
//!
//! [`Document`](crate::ijson::Document) refuses what two readers could understand differently. A
//! scanner has to look into exactly that: here a member that stands twice is there twice, and any
//! number is one. Whether the strict reader would refuse the text is a finding of its own.

use core::fmt;
use std::borrow::Cow;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most values of one definition: members, elements and what they hold.
pub(super) const MOST_VALUES: usize = 1 << 16;

/// One value.
#[derive(Clone, Debug)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    /// In the order in which they stand, one that stands twice twice.
    Members(Vec<(Cow<'a, str>, Node<'a>)>),
}

impl<'a> Node<'a> {
    /// Reads a text: any JSON of at most [`MOST_VALUES`] values, nested at most 127 deep.
    pub(super) fn read(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut left = MOST_VALUES;
        let mut reader = serde_json::Deserializer::from_str(text);
        let node = Reader { left: &mut left }.deserialize(&mut reader)?;
        reader.end()?;
        Ok(node)
    }

    /// The member of that name that stands last, as most readers take it.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().rev().find_map(|(key, value)| (key == name).then_some(value))
    }

    pub(super) fn members(&self) -> &[(Cow<'a, str>, Self)] {
        match self {
            Self::Members(members) => members,
            _ => &[],
        }
    }

    pub(super) fn list(&self) -> &[Self] {
        match self {
            Self::List(list) => list,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

struct Reader<'l> {
    left: &'l mut usize,
}

impl Reader<'_> {
    fn again(&mut self) -> Reader<'_> {
        Reader { left: self.left }
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        *self.left = self.left.checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Node::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Node::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Node::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Node::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = from.next_element_seed(self.again())? {
            list.push(value);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut from: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(name) = from.next_key_seed(Name)? {
            members.push((name, from.next_value_seed(self.again())?));
        }
        Ok(Node::Members(members))
    }
}

/// A name, borrowed where it stands without escapes.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::Node;

    #[test]
    fn what_a_strict_reader_refuses_is_looked_at() {
        let text = r#"{"a":1,"a":"tw\u006f","n":9223372036854775807,"l":[null,true,1e2]}"#;
        let node = Node::read(text).unwrap();
        assert_eq!(node.members().len(), 4);
        assert_eq!(node.get("a").and_then(Node::text), Some("two"), "the last one");
        assert_eq!(node.get("l").map(|list| list.list().len()), Some(3));
    }

    #[test]
    fn the_budget_holds() {
        let wide = format!("[{}0]", "0,".repeat(super::MOST_VALUES));
        assert!(Node::read(&wide).is_err());
        assert!(Node::read(&"[".repeat(200_000)).is_err());
        assert!(Node::read("{} {}").is_err());
    }
}
