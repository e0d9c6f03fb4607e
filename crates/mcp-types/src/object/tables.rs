//! The macros that turn tables of members into types.

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
            let mut lifted = $crate::object::Lifted::default();
            let request = Self::decode_lifting(method, params, &mut lifted)?;
            Ok((request, lifted))
        }

        /// As [`decode`](Self::decode); what belongs to the envelope is put where it is wanted.
        pub(crate) fn decode_lifting(
            method: &str,
            params: Option<&$crate::RawText>,
            lifted: &mut $crate::object::Lifted,
        ) -> Result<Self, $crate::DecodeError> {
            match method {
                $( $method => {
                    $crate::object::read_lifting(params, lifted).map(Self::$variant)
                } )+
                _ => {
                    let params = $crate::object::read_unknown_params(params, lifted)?;
                    Ok(Self::Extension { method: method.to_owned(), params })
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
                    let params = params.map($crate::RawText::checked).transpose()?;
                    Ok(Self::Extension { method: method.to_owned(), params })
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
