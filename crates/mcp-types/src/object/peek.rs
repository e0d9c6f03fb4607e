//! A look into the text of an object for what tells its type.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{DecodeError, RawText};

/// Looks into the text of an object for what tells its type.
pub(crate) struct Peek<'a> {
    text: &'a str,
    tag: Option<Cow<'a, str>>,
}

impl<'a> Peek<'a> {
    /// Reads the member `tag`, if it is a string; refuses what is no object.
    pub(crate) fn new(text: &'a RawText, tag: &str) -> Result<Self, DecodeError> {
        if !text.is_object() {
            return Err(DecodeError::new("", super::NO_OBJECT));
        }
        let text = text.get();
        let tag = member(text, tag).and_then(string);
        Ok(Self { text, tag })
    }

    /// Whether the tag is one of `tags` and each of `members` is there; no tags means any tag.
    /// A tag of `""` stands for an absent one.
    pub(crate) fn fits(&self, tags: &[&str], members: &[&str]) -> bool {
        let tag = self.tag.as_deref().unwrap_or_default();
        (tags.is_empty() || tags.contains(&tag))
            && members.iter().all(|name| member(self.text, name).is_some())
    }
}

fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    match serde_json::from_str::<&str>(text) {
        Ok(plain) => Some(Cow::Borrowed(plain)),
        Err(_) => serde_json::from_str::<String>(text).ok().map(Cow::Owned),
    }
}

/// The first member `name` of the object `text`.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a RawValue> {
    struct Find<'n>(&'n str);

    impl<'de> DeserializeSeed<'de> for Find<'_> {
        type Value = bool;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
            deserializer.deserialize_str(self)
        }
    }

    impl Visitor<'_> for Find<'_> {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a member name")
        }

        fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
            Ok(name == self.0)
        }
    }

    struct Scan<'n>(&'n str);

    impl<'de> Visitor<'de> for Scan<'_> {
        type Value = Option<&'de RawValue>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(hit) = map.next_key_seed(Find(self.0))? {
                match hit && found.is_none() {
                    true => found = Some(map.next_value()?),
                    false => {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
            }
            Ok(found)
        }
    }

    serde_json::Deserializer::from_str(text).deserialize_map(Scan(name)).ok().flatten()
}
