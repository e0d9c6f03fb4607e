//! Entries of a listing: each beside the exact text that stands for it on the wire.

use std::ops::Deref;
use std::sync::Arc;

use serde::de::{DeserializeOwned, Deserializer, SeqAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use crate::{DecodeError, RawText};

/// A `T` together with the exact text that it has on the wire.
///
/// The two cannot drift: the typed view is read-only, and a changed entry is a new one. A listing
/// is written by copying these texts, and what signs or verifies an entry reads the text, so that
/// a member which the typed view does not show cannot hide.
///
/// ```
/// use mcp_types::{JsonSchema, Listed, Tool};
///
/// let tool = Listed::new(Tool::new("search", JsonSchema::empty_object()))?;
/// assert_eq!(tool.name, "search");
/// assert!(tool.text().get().contains(r#""name":"search""#));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Listed<T> {
    view: T,
    text: RawText,
}

impl<T: Serialize> Listed<T> {
    /// Writes `view` once.
    ///
    /// # Errors
    ///
    /// When `view` has no JSON form.
    pub fn new(view: T) -> Result<Self, serde_json::Error> {
        let text = RawText::of(&view)?;
        Ok(Self { view, text })
    }
}

impl<T> Listed<T> {
    /// The text of the entry, as it arrived or as it will leave.
    pub fn text(&self) -> &RawText {
        &self.text
    }

    /// The typed view, to be changed and listed anew.
    pub fn into_inner(self) -> T {
        self.view
    }
}

impl<T: DeserializeOwned> Listed<T> {
    /// Reads an entry from the text that stands for it.
    ///
    /// # Errors
    ///
    /// When the text is not a `T`, with the path of the member that does not fit.
    pub fn from_text(text: RawText) -> Result<Self, DecodeError> {
        Ok(Self { view: text.parse()?, text })
    }
}

impl<T> Deref for Listed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.view
    }
}

impl<T> Serialize for Listed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.text.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Listed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_text(RawText::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The entries of a listing result, with those set aside that could not be read.
///
/// One bad entry does not lose the list: it stands in [`Items::bad`] with the path of what was
/// wrong, and is not written back.
#[derive(Debug, Clone, PartialEq)]
pub struct Items<T> {
    good: Vec<Arc<Listed<T>>>,
    bad: Vec<BadItem>,
}

impl<T> Items<T> {
    /// The entries that could not be read.
    pub fn bad(&self) -> &[BadItem] {
        &self.bad
    }

    /// Sets aside the entries that `check` refuses, beside those that could not be read.
    pub fn set_aside(&mut self, mut check: impl FnMut(&Listed<T>) -> Result<(), DecodeError>) {
        let mut unreadable = std::mem::take(&mut self.bad).into_iter().peekable();
        let mut index = 0;
        self.good.retain(|entry| {
            // Entries were counted with those that had been set aside before.
            while let Some(bad) = unreadable.next_if(|bad| bad.index == index) {
                self.bad.push(bad);
                index += 1;
            }
            let refused = check(entry).err();
            let text = entry.text().clone();
            let keep = refused.is_none();
            self.bad.extend(refused.map(|error| BadItem { index, error, text }));
            index += 1;
            keep
        });
        self.bad.extend(unreadable);
    }

    /// The entries that could be read, as an owned list.
    pub fn into_vec(self) -> Vec<Arc<Listed<T>>> {
        self.good
    }
}

/// An entry of a listing that could not be read.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct BadItem {
    /// Its place in the list, from 0.
    pub index: usize,
    /// What was wrong, and where in the entry.
    pub error: DecodeError,
    /// The entry as it arrived.
    pub text: RawText,
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { good: Vec::new(), bad: Vec::new() }
    }
}

impl<T> From<Vec<Arc<Listed<T>>>> for Items<T> {
    fn from(good: Vec<Arc<Listed<T>>>) -> Self {
        Self { good, bad: Vec::new() }
    }
}

impl<T> FromIterator<Arc<Listed<T>>> for Items<T> {
    fn from_iter<I: IntoIterator<Item = Arc<Listed<T>>>>(entries: I) -> Self {
        Vec::from_iter(entries).into()
    }
}

impl<T> Deref for Items<T> {
    type Target = [Arc<Listed<T>>];

    fn deref(&self) -> &[Arc<Listed<T>>] {
        &self.good
    }
}

impl<T> Serialize for Items<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.good.len()))?;
        for entry in &self.good {
            list.serialize_element(&**entry)?;
        }
        list.end()
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor<T>(std::marker::PhantomData<T>);

        impl<'de, T: DeserializeOwned> Visitor<'de> for ItemsVisitor<T> {
            type Value = Items<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<T>, A::Error> {
                let mut items = Items::default();
                let mut index = 0;
                while let Some(text) = list.next_element::<RawText>()? {
                    match Listed::from_text(text.clone()) {
                        Ok(entry) => items.good.push(Arc::new(entry)),
                        Err(error) => items.bad.push(BadItem { index, error, text }),
                    }
                    index += 1;
                }
                Ok(items)
            }
        }

        deserializer.deserialize_seq(ItemsVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_set_aside_keeps_its_place() {
        let mut items: Items<u8> = serde_json::from_str(r#"[1,"a",2,3,"b","c",4]"#).unwrap();
        items.set_aside(|entry| match **entry {
            2 | 4 => Err(DecodeError::new("", "even")),
            _ => Ok(()),
        });
        let bad: Vec<_> = items.bad().iter().map(|bad| (bad.index, bad.text.get())).collect();
        assert_eq!(bad, [(1, "\"a\""), (2, "2"), (4, "\"b\""), (5, "\"c\""), (6, "4")]);
        assert_eq!(items.iter().map(|entry| ***entry).collect::<Vec<_>>(), [1, 3]);
    }
}
