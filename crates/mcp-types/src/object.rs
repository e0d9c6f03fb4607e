//! What generated types are made of: tables of members become structs with written-out readers.
//!
//! [`object!`] makes a struct from a table of its members, [`string_enum!`] an enum of strings,
//! [`union!`] an enum of objects, [`methods!`] and [`results!`] the enums of the method table.
//! The hot path decides their shape: one pass over the text, no intermediate tree, no allocation
//! besides the typed values. Members that a type does not know are kept as text, in order.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use bytestring::ByteString;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Error as _, SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::envelope::Envelope;
use crate::members::Name;
use crate::{DecodeError, Members, Meta, RawText, json};

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
                self.meta = Some(map.next_value()?);
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

/// Lifts `_meta` alone: the other members of an unknown method are its own affair.
struct MetaOnly(Option<Envelope>);

impl Lift for MetaOnly {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, map: &mut A) -> Result<bool, A::Error> {
        if name != "_meta" {
            return Ok(false);
        }
        if self.0.is_some() {
            return Err(twice(name));
        }
        self.0 = Some(map.next_value()?);
        Ok(true)
    }
}

/// Parameters together with what was lifted from them.
pub(crate) struct WithLifted<T>(pub(crate) T, pub(crate) Lifted);

impl<'de, T: Object> Deserialize<'de> for WithLifted<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut lifted = Lifted::default();
        let params = deserializer.deserialize_map(Reader::new(&mut lifted))?;
        Ok(Self(params, lifted))
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

/// Refuses unknown members of the same name; sorted where there are many, so that a hostile
/// message costs no square of its length.
pub(crate) fn distinct<E: serde::de::Error>(members: &Members) -> Result<(), E> {
    if members.len() < 2 {
        return Ok(());
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    match names.iter().zip(names.iter().skip(1)).find(|(one, next)| one == next) {
        Some((name, _)) => Err(twice(name)),
        None => Ok(()),
    }
}

/// Reads a free JSON object as text, and refuses what is none.
pub(crate) struct FreeObject(pub(crate) RawText);

impl<'de> Deserialize<'de> for FreeObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = RawText::deserialize(deserializer)?;
        match text.is_object() {
            true => Ok(Self(text)),
            false => Err(D::Error::custom("expected an object")),
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

/// What is written into an object besides its own members.
///
/// A codec adds the envelope and its bookkeeping in this way: in the one pass that writes the
/// value, without changing it. Only the outermost object is stamped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stamp<'a> {
    /// Members written first; a member of that name which the type does not know is left out.
    pub(crate) first: &'a [(&'a str, StampValue<'a>)],
    /// Values for members that the type knows and the object lacks.
    pub(crate) defaults: &'a [(&'a str, StampValue<'a>)],
    /// The `_meta` of an object whose type has none (request parameters).
    pub(crate) base_meta: Option<&'a Meta>,
    /// Members of `_meta`; they replace what stands there.
    pub(crate) meta: &'a [(&'a str, StampValue<'a>)],
    /// Members that are not written.
    pub(crate) omit: &'a [&'a str],
}

/// A value that a [`Stamp`] writes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum StampValue<'a> {
    Text(&'a str),
    Number(u64),
    Raw(&'a RawText),
    Id(&'a crate::RequestId),
    Members(&'a Members),
}

impl Serialize for StampValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Raw(text) => text.serialize(serializer),
            Self::Id(id) => id.serialize(serializer),
            Self::Members(members) => members.serialize(serializer),
        }
    }
}

impl Stamp<'_> {
    /// Adds nothing.
    pub(crate) const NONE: Stamp<'static> =
        Stamp { first: &[], defaults: &[], base_meta: None, meta: &[], omit: &[] };

    fn omits(&self, name: &str) -> bool {
        self.omit.contains(&name)
    }

    /// Whether nothing would be written of the stamp itself.
    fn is_blank(&self) -> bool {
        self.first.is_empty() && self.meta.is_empty() && self.base_meta.is_none_or(|m| m.is_empty())
    }

    /// Writes what comes first.
    pub(crate) fn begin<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        self.first.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))
    }

    /// Writes a member that the object has.
    pub(crate) fn present<M, T>(&self, map: &mut M, name: &str, value: &T) -> Result<(), M::Error>
    where
        M: SerializeMap,
        T: Serialize + ?Sized,
    {
        if self.omits(name) {
            return Ok(());
        }
        map.serialize_entry(name, value)
    }

    /// Writes a member that the object may have.
    pub(crate) fn optional<M, T>(
        &self,
        map: &mut M,
        name: &str,
        value: Option<&T>,
    ) -> Result<(), M::Error>
    where
        M: SerializeMap,
        T: Serialize + ?Sized,
    {
        if let Some(value) = value {
            return self.present(map, name, value);
        }
        match self.defaults.iter().find(|(member, _)| *member == name) {
            Some((_, value)) => map.serialize_entry(name, value),
            None => Ok(()),
        }
    }

    /// Writes `_meta`, merged from what the object and the stamp have.
    pub(crate) fn meta<M: SerializeMap>(
        &self,
        map: &mut M,
        own: Option<&Meta>,
    ) -> Result<(), M::Error> {
        match (own, self.base_meta, self.meta) {
            (None, None, []) => Ok(()),
            (Some(own), None, []) => self.present(map, "_meta", own),
            (own, base, stamped) => map.serialize_entry("_meta", &Merged { own, base, stamped }),
        }
    }

    /// Writes the members that the type does not know, and `_meta` where the type has none.
    pub(crate) fn end<M: SerializeMap>(
        &self,
        map: &mut M,
        extra: &Members,
        known: impl Fn(&str) -> bool,
    ) -> Result<(), M::Error> {
        if !known("_meta") && extra.get("_meta").is_none() {
            self.meta(map, None)?;
        }
        for (name, value) in extra.iter() {
            let stamped = self.first.iter().any(|(first, _)| *first == name);
            // An unknown member named like a known one would make the object ambiguous.
            if known(name) || stamped || self.omits(name) {
                continue;
            }
            if name == "_meta" && !self.is_blank() {
                let own = value.parse::<Meta>().map_err(M::Error::custom)?;
                self.meta(map, Some(&own))?;
                continue;
            }
            map.serialize_entry(name, value)?;
        }
        Ok(())
    }
}

/// The `_meta` that an object and its stamp make together.
struct Merged<'a> {
    own: Option<&'a Meta>,
    base: Option<&'a Meta>,
    stamped: &'a [(&'a str, StampValue<'a>)],
}

impl Serialize for Merged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.stamped {
            map.serialize_entry(name, value)?;
        }
        let stamped = |name: &str| self.stamped.iter().any(|(stamped, _)| *stamped == name);
        for (name, value) in self.own.into_iter().flat_map(|own| own.iter()) {
            if !stamped(name) {
                map.serialize_entry(name, value)?;
            }
        }
        for (name, value) in self.base.into_iter().flat_map(|base| base.iter()) {
            let own = self.own.is_some_and(|own| own.get(name).is_some());
            if !own && !stamped(name) {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

/// A value with its stamp, ready to be written.
pub(crate) struct Stamped<'a, T> {
    pub(crate) value: &'a T,
    pub(crate) stamp: Stamp<'a>,
}

impl<T: Write> Serialize for Stamped<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_object(self.value, &self.stamp, serializer)
    }
}

/// Writes `value` as an object.
pub(crate) fn write_object<T: Write, S: Serializer>(
    value: &T,
    stamp: &Stamp<'_>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    stamp.begin(&mut map)?;
    value.write(&mut map, stamp)?;
    map.end()
}

/// The text of an extension's object: written member by member, since a stamp may add to it.
impl Write for RawText {
    fn write<M: SerializeMap>(&self, map: &mut M, stamp: &Stamp<'_>) -> Result<(), M::Error> {
        let members = self.parse::<Members>().map_err(M::Error::custom)?;
        stamp.end(map, &members, |_| false)
    }

    fn is_blank(&self) -> bool {
        self.parse::<Members>().is_ok_and(|members| members.is_empty())
    }
}

impl<T: Write> Write for Option<T> {
    fn write<M: SerializeMap>(&self, map: &mut M, stamp: &Stamp<'_>) -> Result<(), M::Error> {
        match self {
            Some(value) => value.write(map, stamp),
            None => stamp.end(map, &Members::new(), |_| false),
        }
    }

    fn is_blank(&self) -> bool {
        self.as_ref().is_none_or(Write::is_blank)
    }
}

impl<T: Write> Write for Box<T> {
    fn write<M: SerializeMap>(&self, map: &mut M, stamp: &Stamp<'_>) -> Result<(), M::Error> {
        (**self).write(map, stamp)
    }

    fn is_blank(&self) -> bool {
        (**self).is_blank()
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

/// Parameters of a method that is not in the table, parted from their `_meta`.
pub(crate) fn read_unknown_params(
    params: Option<&RawText>,
) -> Result<(Option<RawText>, Lifted), DecodeError> {
    let Some(text) = params else { return Ok((None, Lifted::default())) };
    let Unknown { members, meta } = text.parse()?;
    if meta.is_none() {
        return Ok((Some(text.clone()), Lifted::default()));
    }
    let rest = RawText::of(&members).map_err(|error| DecodeError::new("", error.to_string()))?;
    Ok((Some(rest), Lifted { meta, ..Lifted::default() }))
}

/// The parameters of an unknown method.
struct Unknown {
    members: Members,
    meta: Option<Envelope>,
}

impl<'de> Deserialize<'de> for Unknown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut meta = MetaOnly(None);
        let params = deserializer.deserialize_map(Reader::<AnyObject, _>::new(&mut meta))?;
        Ok(Self { members: params.extra, meta: meta.0 })
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

/// Looks into the text of an object for what tells its type.
pub(crate) struct Peek<'a> {
    text: &'a str,
    tag: Option<Cow<'a, str>>,
}

impl<'a> Peek<'a> {
    /// Reads the member `tag`, if it is a string; refuses what is no object.
    pub(crate) fn new(text: &'a RawText, tag: &str) -> Result<Self, DecodeError> {
        if !text.is_object() {
            return Err(DecodeError::new("", "expected an object"));
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

/// The string that the member `name` of an object is, such as its `resultType`.
pub(crate) fn peek<'a>(text: &'a RawText, name: &str) -> Option<Cow<'a, str>> {
    member(text.get(), name).and_then(string)
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

/// Makes a struct from a table of members.
///
/// The word before a member says how it is read and written: `text` a required string, `req`
/// required, `num` a required number, `object` a required free object; `opt`, `optnum`,
/// `optobject` the same when absent is allowed (and `null` reads as absent), `any` an optional
/// value for which `null` is a value, `meta` the object's `_meta`. `consts` are written as they
/// stand and skipped when read, `skips` are skipped when read.
macro_rules! object {
    (
        $(#[$attr:meta])*
        pub struct $name:ident {
            $( $(#[$member_attr:meta])* $kind:ident $field:ident : $ty:ty = $wire:literal; )*
        }
        $(consts { $($const_name:literal = $const_value:literal),+ })?
        $(skips { $($skip_name:literal),+ })?
        new( $($arg:ident : $arg_ty:ty),* )
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        pub struct $name {
            $( $(#[$member_attr])* pub $field: $crate::object::object!(@type $kind $ty), )*
            /// Members that this version does not know, in order.
            pub extra: $crate::Members,
        }

        impl $name {
            #[doc = concat!("Takes what every `", stringify!($name), "` has; all else is absent.")]
            pub fn new($($arg: $arg_ty),*) -> Self {
                Self {
                    $( $field: $crate::object::object!(@init $kind $field), )*
                    extra: $crate::Members::new(),
                }
            }
        }

        const _: () = {
            #[allow(non_camel_case_types)]
            enum Member { $($field,)* Skip(#[allow(dead_code)] u32) }

            const SKIPPED: &[&str] = &[$($($const_name,)+)? $($($skip_name,)+)?];

            fn known(name: &str) -> Option<Member> {
                match name {
                    $( $wire => Some(Member::$field), )*
                    _ => (0..).zip(SKIPPED).find(|(_, skipped)| **skipped == name)
                        .map(|(at, _)| Member::Skip(at)),
                }
            }

            impl $crate::object::Object for $name {
                fn read<'de, A, L>(mut map: A, lift: &mut L) -> Result<Self, A::Error>
                where
                    A: ::serde::de::MapAccess<'de>,
                    L: $crate::object::Lift,
                {
                    #[allow(unused_imports)]
                    use $crate::object::{Key, Keys, object, twice};
                    $( let mut $field: Option<object!(@type $kind $ty)> = None; )*
                    let mut extra = $crate::Members::new();
                    let mut skipped = 0_u32;
                    while let Some(key) = map.next_key_seed(Keys(known))? {
                        match key {
                            $( Key::Known(Member::$field) => {
                                if $field.is_some() {
                                    return Err(twice($wire));
                                }
                                $field = Some(object!(@read $kind map));
                            } )*
                            Key::Known(Member::Skip(at)) => {
                                if skipped & (1 << at) != 0 {
                                    let name = SKIPPED.get(at as usize);
                                    return Err(twice(name.copied().unwrap_or_default()));
                                }
                                skipped |= 1 << at;
                                map.next_value::<::serde::de::IgnoredAny>()?;
                            }
                            Key::Unknown(name) => {
                                if !lift.take(&name, &mut map)? {
                                    extra.push(name, map.next_value()?);
                                }
                            }
                        }
                    }
                    $crate::object::distinct::<A::Error>(&extra)?;
                    Ok(Self { $( $field: object!(@done $kind $field $wire), )* extra })
                }
            }

            impl $crate::object::Write for $name {
                fn write<M: ::serde::ser::SerializeMap>(
                    &self,
                    map: &mut M,
                    stamp: &$crate::object::Stamp<'_>,
                ) -> Result<(), M::Error> {
                    $($( map.serialize_entry($const_name, $const_value)?; )+)?
                    $( $crate::object::object!(@write $kind self.$field, $wire, map, stamp); )*
                    stamp.end(map, &self.extra, |name| known(name).is_some())
                }

                fn is_blank(&self) -> bool {
                    SKIPPED.is_empty()
                        $( && $crate::object::object!(@blank $kind self.$field) )*
                        && self.extra.is_empty()
                }
            }
        };

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::object::write_object(self, &$crate::object::Stamp::NONE, serializer)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_map($crate::object::Reader::new(&mut $crate::object::Keep))
            }
        }
    };

    (@type text $ty:ty) => { $ty };
    (@type req $ty:ty) => { $ty };
    (@type num $ty:ty) => { $ty };
    (@type object $ty:ty) => { $ty };
    (@type $optional:ident $ty:ty) => { Option<$ty> };

    (@init text $field:ident) => { $field.into() };
    (@init req $field:ident) => { $field };
    (@init num $field:ident) => { $field };
    (@init object $field:ident) => { $field };
    (@init $optional:ident $field:ident) => { None };

    (@read object $map:ident) => { $map.next_value::<$crate::object::FreeObject>()?.0 };
    (@read optobject $map:ident) => {
        $map.next_value::<Option<$crate::object::FreeObject>>()?.map(|free| free.0)
    };
    (@read any $map:ident) => { Some($map.next_value()?) };
    (@read $kind:ident $map:ident) => { $map.next_value()? };

    (@done text $field:ident $wire:literal) => { $crate::object::object!(@done req $field $wire) };
    (@done num $field:ident $wire:literal) => { $crate::object::object!(@done req $field $wire) };
    (@done object $field:ident $wire:literal) => { $crate::object::object!(@done req $field $wire) };
    (@done req $field:ident $wire:literal) => {
        $field.ok_or_else(|| <A::Error as ::serde::de::Error>::missing_field($wire))?
    };
    (@done $optional:ident $field:ident $wire:literal) => { $field.flatten() };

    (@write text $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.present($map, $wire, &$this.$field)?
    };
    (@write req $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.present($map, $wire, &$this.$field)?
    };
    (@write object $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.present($map, $wire, &$this.$field)?
    };
    (@write num $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.present($map, $wire, &$crate::object::Number($this.$field))?
    };
    (@write optnum $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.optional($map, $wire, $this.$field.map($crate::object::Number).as_ref())?
    };
    (@write meta $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.meta($map, $this.$field.as_ref())?
    };
    (@write $optional:ident $this:ident.$field:ident, $wire:literal, $map:ident, $stamp:ident) => {
        $stamp.optional($map, $wire, $this.$field.as_ref())?
    };

    (@blank text $this:ident.$field:ident) => { false };
    (@blank req $this:ident.$field:ident) => { false };
    (@blank num $this:ident.$field:ident) => { false };
    (@blank object $this:ident.$field:ident) => { false };
    (@blank $optional:ident $this:ident.$field:ident) => { $this.$field.is_none() };
}

/// Makes an enum of strings: `open` ones keep what they do not know in `Other`, `closed` ones
/// refuse it and are ordered as they stand.
macro_rules! string_enum {
    (
        $(#[$attr:meta])*
        closed $name:ident { $( $(#[$variant_attr:meta])* $variant:ident = $wire:literal, )+ }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $( $(#[$variant_attr])* $variant, )+ }

        impl $name {
            /// The value as it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $wire, )+ }
            }
        }

        $crate::object::string_enum!(@serde $name);

        impl $name {
            fn from_wire(text: &str) -> Result<Self, $crate::object::Unsorted> {
                match text {
                    $( $wire => Ok(Self::$variant), )+
                    _ => Err($crate::object::not_one_of(text, &[$($wire),+])),
                }
            }
        }
    };
    (
        $(#[$attr:meta])*
        open $name:ident { $( $(#[$variant_attr:meta])* $variant:ident = $wire:literal, )+ }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_attr])* $variant, )+
            /// A value that this version does not know.
            Other(String),
        }

        impl $name {
            /// The value as it is written.
            pub fn as_str(&self) -> &str {
                match self { $( Self::$variant => $wire, )+ Self::Other(text) => text }
            }
        }

        $crate::object::string_enum!(@serde $name);

        impl $name {
            fn from_wire(text: &str) -> Result<Self, $crate::object::Unsorted> {
                Ok(match text {
                    $( $wire => Self::$variant, )+
                    _ => Self::Other(text.to_owned()),
                })
            }
        }
    };
    (@serde $name:ident) => {
        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::object::Word(Self::from_wire))
            }
        }
    };
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

/// Makes an enum of objects; the text of one that fits no rule is kept in `Other`.
///
/// A rule is `in` the values that the tag may have (`""` for an absent tag, none for any) and the
/// members that must be `with` it. Where several rules fit, the first that can be read wins.
macro_rules! union {
    (
        $(#[$attr:meta])*
        pub enum $name:ident by $tag:literal {
            $(
                $(#[$variant_attr:meta])*
                $variant:ident($ty:ty) in [$($value:literal),*] with [$($member:literal),*],
            )+
        }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant)]
        pub enum $name {
            $( $(#[$variant_attr])* $variant($ty), )+
            /// A kind that this version does not know, as it arrived.
            Other($crate::RawText),
        }

        $(
            impl From<$ty> for $name {
                fn from(value: $ty) -> Self {
                    Self::$variant(value)
                }
            }
        )+

        impl $crate::object::Write for $name {
            fn write<M: ::serde::ser::SerializeMap>(
                &self,
                map: &mut M,
                stamp: &$crate::object::Stamp<'_>,
            ) -> Result<(), M::Error> {
                match self {
                    $( Self::$variant(value) => value.write(map, stamp), )+
                    Self::Other(text) => text.write(map, stamp),
                }
            }

            fn is_blank(&self) -> bool {
                false
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self {
                    $( Self::$variant(value) => value.serialize(serializer), )+
                    Self::Other(text) => text.serialize(serializer),
                }
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                use ::serde::de::Error;
                let text = $crate::RawText::deserialize(deserializer)?;
                let peek = $crate::object::Peek::new(&text, $tag).map_err(D::Error::custom)?;
                let mut failed = None;
                $(
                    if peek.fits(&[$($value),*], &[$($member),*]) {
                        match text.parse::<$ty>() {
                            Ok(value) => return Ok(Self::$variant(value)),
                            Err(error) => failed = Some(error),
                        }
                    }
                )+
                match failed {
                    Some(error) => Err(D::Error::custom(error)),
                    None => Ok(Self::Other(text)),
                }
            }
        }
    };
}

/// Makes the enum of the methods of one direction, each with its parameters.
///
/// `lifting` ones are requests whose envelope is lifted from the parameters; `plain` ones are not.
macro_rules! methods {
    (
        $(#[$attr:meta])*
        $mode:ident $name:ident {
            $( $(#[$variant_attr:meta])* $variant:ident($ty:ty) = $method:literal, )+
        }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant)]
        pub enum $name {
            $( $(#[$variant_attr])* $variant($ty), )+
            /// A method outside this table: of an extension, or of a later revision.
            Extension {
                /// Its name.
                method: String,
                /// Its parameters, as they arrived.
                params: Option<$crate::RawText>,
            },
        }

        impl $name {
            /// The method's name.
            pub fn method(&self) -> &str {
                match self {
                    $( Self::$variant(_) => $method, )+
                    Self::Extension { method, .. } => method,
                }
            }

            $crate::object::methods!(@decode $mode { $($variant($ty) = $method,)+ });
        }

        impl $crate::object::Write for $name {
            fn write<M: ::serde::ser::SerializeMap>(
                &self,
                map: &mut M,
                stamp: &$crate::object::Stamp<'_>,
            ) -> Result<(), M::Error> {
                match self {
                    $( Self::$variant(params) => params.write(map, stamp), )+
                    Self::Extension { params, .. } => params.write(map, stamp),
                }
            }

            fn is_blank(&self) -> bool {
                match self {
                    $( Self::$variant(params) => params.is_blank(), )+
                    Self::Extension { params, .. } => params.is_blank(),
                }
            }
        }
    };
    (@decode lifting { $( $variant:ident($ty:ty) = $method:literal, )+ }) => {
        /// Reads the parameters of `method`, and what of them belongs to the envelope.
        ///
        /// # Errors
        ///
        /// When the parameters do not fit, with the path of the member that does not.
        pub fn decode(
            method: &str,
            params: Option<&$crate::RawText>,
        ) -> Result<(Self, $crate::object::Lifted), $crate::DecodeError> {
            match method {
                $( $method => {
                    let read = $crate::object::read_params(params)?;
                    let $crate::object::WithLifted(params, lifted) = read;
                    Ok((Self::$variant(params), lifted))
                } )+
                _ => {
                    let (params, lifted) = $crate::object::read_unknown_params(params)?;
                    Ok((Self::Extension { method: method.to_owned(), params }, lifted))
                }
            }
        }
    };
    (@decode plain { $( $variant:ident($ty:ty) = $method:literal, )+ }) => {
        /// Reads the parameters of `method`.
        ///
        /// # Errors
        ///
        /// When the parameters do not fit, with the path of the member that does not.
        pub fn decode(
            method: &str,
            params: Option<&$crate::RawText>,
        ) -> Result<Self, $crate::DecodeError> {
            match method {
                $( $method => $crate::object::read_params(params).map(Self::$variant), )+
                _ => {
                    let (method, params) = (method.to_owned(), params.cloned());
                    Ok(Self::Extension { method, params })
                }
            }
        }
    };
    (@inline $name:ident) => {
        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use ::serde::ser::SerializeMap;
                use $crate::object::{Stamp, Stamped, Write};
                let mut map = serializer.serialize_map(None)?;
                map.serialize_entry("method", self.method())?;
                if !self.is_blank() {
                    map.serialize_entry("params", &Stamped { value: self, stamp: Stamp::NONE })?;
                }
                map.end()
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let call = $crate::object::Call::deserialize(deserializer)?;
                Self::decode(&call.method, call.params.as_ref())
                    .map_err(|error| ::serde::de::Error::custom(error.within("params")))
            }
        }
    };
}

/// Makes the enum of the results of one direction, each with the methods that it answers.
macro_rules! results {
    (
        $(#[$attr:meta])*
        $name:ident {
            $( $(#[$variant_attr:meta])* $variant:ident($ty:ty) = $($method:literal)|+, )+
        }
    ) => {
        $(#[$attr])*
        #[derive(Debug, Clone, PartialEq)]
        #[non_exhaustive]
        #[allow(clippy::large_enum_variant)]
        pub enum $name {
            $( $(#[$variant_attr])* $variant($ty), )+
            /// The result of a method outside the table, as it arrived.
            Extension($crate::RawText),
        }

        impl $name {
            /// Reads the result of `method`.
            ///
            /// # Errors
            ///
            /// When the result does not fit, with the path of the member that does not.
            pub fn decode(
                method: &str,
                result: &$crate::RawText,
            ) -> Result<Self, $crate::DecodeError> {
                match method {
                    $( $($method)|+ => result.parse().map(Self::$variant), )+
                    _ => Ok(Self::Extension(result.clone())),
                }
            }
        }

        $(
            impl From<$ty> for $name {
                fn from(value: $ty) -> Self {
                    Self::$variant(value)
                }
            }
        )+

        impl $crate::object::Write for $name {
            fn write<M: ::serde::ser::SerializeMap>(
                &self,
                map: &mut M,
                stamp: &$crate::object::Stamp<'_>,
            ) -> Result<(), M::Error> {
                match self {
                    $( Self::$variant(result) => result.write(map, stamp), )+
                    Self::Extension(result) => result.write(map, stamp),
                }
            }

            fn is_blank(&self) -> bool {
                match self {
                    $( Self::$variant(result) => result.is_blank(), )+
                    Self::Extension(result) => result.is_blank(),
                }
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::object::write_object(self, &$crate::object::Stamp::NONE, serializer)
            }
        }
    };
}

pub(crate) use {methods, object, results, string_enum, union};

object! {
    /// An object of which nothing is known.
    #[derive(Default)]
    pub struct AnyObject {}
    new()
}
