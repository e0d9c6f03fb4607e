//! What a codec writes into an object besides its own members, in the pass that writes it.

use serde::Serialize;
use serde::ser::{Error as _, SerializeMap, Serializer};

use super::Write;
use crate::{Members, Meta, RawText};

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
    /// The same as text, for an object without `_meta`.
    pub(crate) meta_text: Option<&'a RawText>,
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
        Stamp { first: &[], defaults: &[], base_meta: None, meta: &[], meta_text: None, omit: &[] };

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
        if let (None, None, Some(text)) = (own, self.base_meta, self.meta_text) {
            return map.serialize_entry("_meta", text);
        }
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
