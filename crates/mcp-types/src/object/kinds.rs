//! Kinds of members that serde's own types do not cover.

use std::fmt;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::RawText;

/// What is wrong with a value that has to be an object. It is seen once the value was read, and told
/// from the place behind it.
pub(crate) const NO_OBJECT: &str = "expected an object";

/// Reads a free JSON object as text, and refuses what is none.
pub(crate) struct FreeObject(pub(crate) RawText);

impl<'de> Deserialize<'de> for FreeObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::deserialize(deserializer)?;
        match text.is_object() {
            true => Ok(Self(text)),
            false => Err(D::Error::custom(NO_OBJECT)),
        }
    }
}

/// Writes a number without a fraction as an integer, as it most likely came.
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        let whole = self.0.fract() == 0.0 && self.0.abs() <= EXACT;
        match whole && !(self.0 == 0.0 && self.0.is_sign_negative()) {
            true => serializer.serialize_i64(self.0 as i64),
            false => serializer.serialize_f64(self.0),
        }
    }
}

/// One value, or a list of them: some members may be written either way.
#[derive(Debug, Clone, PartialEq)]
pub enum OneOrMany<T> {
    /// A single value, written as itself.
    One(T),
    /// A list.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values, whichever way they were written.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

impl<T> From<T> for OneOrMany<T> {
    fn from(value: T) -> Self {
        Self::One(value)
    }
}

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(value) => value.serialize(serializer),
            Self::Many(values) => values.serialize(serializer),
        }
    }
}

impl<'de, T: serde::de::DeserializeOwned> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::deserialize(deserializer)?;
        let read = match text.get().starts_with('[') {
            true => text.parse().map(Self::Many),
            false => text.parse().map(Self::One),
        };
        read.map_err(D::Error::custom)
    }
}

/// Reads a string and sorts it, without a copy.
pub(crate) struct Word<T>(pub(crate) fn(&str) -> Result<T, Unsorted>);

/// Why a string is none of the values of an enum.
#[derive(Debug)]
pub(crate) struct Unsorted(String);

impl<T> Visitor<'_> for Word<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(|unsorted| E::custom(unsorted.0))
    }
}

/// The error of a closed enum.
#[cold]
pub(crate) fn not_one_of(text: &str, values: &[&str]) -> Unsorted {
    Unsorted(format!("unknown value `{text}`, expected one of `{}`", values.join("`, `")))
}
