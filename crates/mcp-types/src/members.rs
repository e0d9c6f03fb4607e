//! Members that a type does not know, and the `_meta` object.

use std::ops::{Deref, DerefMut};

use bytestring::ByteString;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::RawText;
use crate::json;

/// Members of an object in the order in which they arrived, each value as text.
///
/// Nothing that a peer sends is lost: what a type does not know stands here and is written back.
/// Look-up is linear, because such lists are short.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Members(Vec<(ByteString, RawText)>);

impl Members {
    /// No members; allocates nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// The value of the member `name`.
    pub fn get(&self, name: &str) -> Option<&RawText> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Sets the member `name` in its place, or at the end; gives the value that stood there.
    pub fn insert(&mut self, name: impl Into<ByteString>, value: RawText) -> Option<RawText> {
        let name = name.into();
        match self.0.iter_mut().find(|(key, _)| *key == name) {
            Some((_, place)) => Some(std::mem::replace(place, value)),
            None => {
                self.0.push((name, value));
                None
            }
        }
    }

    /// Takes the member `name` out.
    pub fn remove(&mut self, name: &str) -> Option<RawText> {
        let at = self.0.iter().position(|(key, _)| *key == name)?;
        Some(self.0.remove(at).1)
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawText)> {
        self.0.iter().map(|(key, value)| (&**key, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends without looking for an earlier member of that name; for readers that have checked.
    pub(crate) fn push(&mut self, name: ByteString, value: RawText) {
        self.0.push((name, value));
    }
}

impl<K: Into<ByteString>> FromIterator<(K, RawText)> for Members {
    fn from_iter<I: IntoIterator<Item = (K, RawText)>>(members: I) -> Self {
        let mut all = Self::new();
        for (name, value) in members {
            all.insert(name, value);
        }
        all
    }
}

impl Serialize for Members {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::new();
                while let Some(name) = map.next_key_seed(Name)? {
                    members.push(name, map.next_value()?);
                }
                crate::object::distinct::<A::Error>(&members)?;
                Ok(members)
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Reads a member's name, as a range of the message where it can be one.
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = ByteString;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<ByteString, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = ByteString;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<ByteString, E> {
        Ok(json::slice_of_source(name).unwrap_or_else(|| ByteString::from(name)))
    }
}

/// The `_meta` object of the protocol: metadata under prefixed keys.
///
/// It dereferences to [`Members`]. The keys that the protocol itself reserves are in [`keys`].
/// See the specification, "General fields", `_meta`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta(pub Members);

impl Meta {
    /// An empty object; allocates nothing.
    pub const fn new() -> Self {
        Self(Members::new())
    }
}

impl Deref for Meta {
    type Target = Members;

    fn deref(&self) -> &Members {
        &self.0
    }
}

impl DerefMut for Meta {
    fn deref_mut(&mut self) -> &mut Members {
        &mut self.0
    }
}

/// The reserved keys of `_meta`.
pub mod keys {
    /// Opaque token under which progress of a request is reported.
    pub const PROGRESS_TOKEN: &str = "progressToken";
    /// Protocol revision of one request.
    pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
    /// Name and version of the client.
    pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
    /// What the client can do, for one request.
    pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
    /// From which level on the client wants log messages, for one request.
    pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
    /// Name and version of the server, on a result.
    pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
    /// The subscription to which a notification belongs.
    pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";
}
