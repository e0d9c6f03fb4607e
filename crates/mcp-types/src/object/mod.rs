//! What generated types are made of: tables of members become structs with written-out readers.
//!
//! [`object!`] makes a struct from a table of its members, [`string_enum!`] an enum of strings,
//! [`union!`] an enum of objects, [`methods!`] and [`results!`] the enums of the method table.
//! The hot path decides their shape: one pass over the text, no intermediate tree, no allocation
//! besides the typed values. Members that a type does not know are kept as text, in order.
use std::fmt;
use std::marker::PhantomData;

use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::SerializeMap;

use crate::envelope::Envelope;
use crate::members::Name;
use crate::{DecodeError, Members, RawText, json};

mod kinds;
mod peek;
mod stamp;
mod tables;

pub use kinds::OneOrMany;
pub(crate) use kinds::{FreeObject, NO_OBJECT, Number, Unsorted, Word, not_one_of};
pub(crate) use peek::Peek;
pub(crate) use stamp::{Stamp, StampValue, Stamped, write_object};
pub(crate) use tables::{methods, object, results, string_enum, union};

/// A struct of the protocol: it reads itself from the members of an object and writes them.
pub(crate) trait Object: Sized + Write {
    /// Reads the members; those that `lift` wants go to it.
    fn read<'de, A: MapAccess<'de>, L: Lift>(map: A, lift: &mut L) -> Result<Self, A::Error>;
}

/// What can be written as the members of an object, with members stamped on from outside.
pub(crate) trait Write {
    /// Writes the members, and what `stamp` adds.
    fn write<M: SerializeMap>(&self, map: &mut M, stamp: &Stamp<'_>) -> Result<(), M::Error>;

    /// Whether there is no member to write.
    fn is_blank(&self) -> bool;
}

/// Takes members out of an object before its type sees them.
pub(crate) trait Lift {
    /// Reads the value of the member `name` if it is wanted; says whether it was.
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error>;
}

/// Lifts nothing.
pub(crate) struct Keep;

impl Lift for Keep {
    fn take<'de, A: MapAccess<'de>>(&mut self, _: &str, _: &mut A) -> Result<bool, A::Error> {
        Ok(false)
    }
}

/// The members of a request's parameters that belong to its envelope, as text.
///
/// They are read in the same pass as the parameters, and never appear in a parameter struct.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lifted {
    /// `_meta`, the envelope's reserved keys apart from the rest.
    pub(crate) meta: Option<Envelope>,
    /// `inputResponses`: answers to what an earlier attempt asked for.
    pub(crate) input_responses: Option<RawText>,
    /// `requestState`: what an earlier attempt wanted back.
    pub(crate) request_state: Option<RawText>,
}

impl Lift for Lifted {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        let place = match name {
            "_meta" if self.meta.is_some() => return Err(twice(name)),
            "_meta" => {
                map.next_value_seed(self.meta.insert(Envelope::default()))?;
                return Ok(true);
            }
            "inputResponses" => &mut self.input_responses,
            "requestState" => &mut self.request_state,
            _ => return Ok(false),
        };
        if place.is_some() {
            return Err(twice(name));
        }
        *place = Some(map.next_value()?);
        Ok(true)
    }
}

impl<T: Object> Object for Box<T> {
    fn read<'de, A: MapAccess<'de>, L: Lift>(map: A, lift: &mut L) -> Result<Self, A::Error> {
        T::read(map, lift).map(Box::new)
    }
}

/// Reads an object of type `T`.
pub(crate) struct Reader<'l, T, L> {
    lift: &'l mut L,
    object: PhantomData<T>,
}

impl<'l, T, L> Reader<'l, T, L> {
    pub(crate) fn new(lift: &'l mut L) -> Self {
        Self { lift, object: PhantomData }
    }
}

impl<'de, T: Object, L: Lift> DeserializeSeed<'de> for Reader<'_, T, L> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: Object, L: Lift> Visitor<'de> for Reader<'_, T, L> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::read(map, self.lift)
    }
}

/// The name of a member: one that the type knows, or the name itself.
pub(crate) enum Key<F> {
    Known(F),
    Unknown(ByteString),
}

/// Reads a [`Key`]; the function sorts the names that the type knows.
pub(crate) struct Keys<F>(pub(crate) fn(&str) -> Option<F>);

impl<'de, F> DeserializeSeed<'de> for Keys<F> {
    type Value = Key<F>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key<F>, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<F> Visitor<'_> for Keys<F> {
    type Value = Key<F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key<F>, E> {
        match (self.0)(name) {
            Some(known) => Ok(Key::Known(known)),
            None => Name.visit_str(name).map(Key::Unknown),
        }
    }
}

/// A member stands in an object twice.
#[cold]
pub(crate) fn twice<E: serde::de::Error>(name: &str) -> E {
    E::custom(format_args!("duplicate member `{name}`"))
}

/// Refuses unknown members of the same name; a few are compared in place, many are sorted, so that
/// a hostile message costs no square of its length.
pub(crate) fn distinct<E: serde::de::Error>(members: &Members) -> Result<(), E> {
    if members.len() <= 16 {
        let mut names = members.iter().map(|(name, _)| name).enumerate();
        let repeated =
            names.find(|(at, name)| members.iter().take(*at).any(|(before, _)| before == *name));
        return repeated.map_or(Ok(()), |(_, name)| Err(twice(name)));
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    match names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
        Some((name, _)) => Err(twice(name)),
        None => Ok(()),
    }
}

/// Parameters that are absent read like an empty object.
pub(crate) fn read_params<T: serde::de::DeserializeOwned>(
    params: Option<&RawText>,
) -> Result<T, DecodeError> {
    match params {
        Some(params) => params.parse(),
        None => json::decode(&ByteString::from_static("{}")),
    }
}

/// The parameters of a request, less what is lifted from them.
pub(crate) fn read_lifting<T: Object>(
    params: Option<&RawText>,
    lifted: &mut Lifted,
) -> Result<T, DecodeError> {
    match params {
        Some(params) => params.read(|text| {
            // What a first look lifted is not from here.
            *lifted = Lifted::default();
            json::decode_seed(text, Reader::new(lifted))
        }),
        None => json::decode_seed(&ByteString::from_static("{}"), Reader::new(lifted)),
    }
}

/// Parameters of a method that is not in the table, parted from their `_meta`.
pub(crate) fn read_unknown_params(
    params: Option<&RawText>,
    lifted: &mut Lifted,
) -> Result<Option<RawText>, DecodeError> {
    let Some(text) = params else { return Ok(None) };
    let Unknown { members, meta } = text.parse()?;
    if meta.is_none() {
        return Ok(Some(text.settled()));
    }
    lifted.meta = meta;
    RawText::of(&members).map(Some).map_err(|error| DecodeError::new("", error.to_string()))
}

/// The parameters of an unknown method.
struct Unknown {
    members: Members,
    meta: Option<Envelope>,
}

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UnknownVisitor;

        impl<'de> Visitor<'de> for UnknownVisitor {
            type Value = Unknown;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unknown, A::Error> {
                let (mut members, mut meta) = (Members::new(), None);
                while let Some(name) = map.next_key_seed(Name)? {
                    match &*name {
                        "_meta" if meta.is_some() => return Err(twice(&name)),
                        "_meta" => meta = Some(map.next_value()?),
                        _ => members.push(name, map.next_value()?),
                    }
                }
                distinct::<A::Error>(&members)?;
                Ok(Unknown { members, meta })
            }
        }

        deserializer.deserialize_map(UnknownVisitor)
    }
}

/// A request or notification inside a result: `method` and `params`.
pub(crate) struct Call {
    pub(crate) method: ByteString,
    pub(crate) params: Option<RawText>,
}

impl<'de> Deserialize<'de> for Call {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CallVisitor;

        impl<'de> Visitor<'de> for CallVisitor {
            type Value = Call;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a `method`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Call, A::Error> {
                let (mut method, mut params) = (None, None);
                while let Some(name) = map.next_key_seed(Name)? {
                    match &*name {
                        "method" if method.is_none() => method = Some(map.next_value_seed(Name)?),
                        "params" if params.is_none() => params = Some(map.next_value()?),
                        "method" | "params" => return Err(twice(&name)),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                let method = method.ok_or_else(|| A::Error::missing_field("method"))?;
                Ok(Call { method, params })
            }
        }

        deserializer.deserialize_map(CallVisitor)
    }
}
