//! Texts as they are compared: letters and digits alone, and the hashes of their pieces.

use core::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// How long a piece is, in bytes of letters and digits.
pub(super) const PIECE: usize = 24;

/// From which length on a common run is always found. Of each window of pieces that begin this
/// close together, one is kept.
pub(super) const CERTAIN: usize = 32;

/// The least and the most of what is kept as a token.
pub(super) const TOKEN: core::ops::RangeInclusive<usize> = 8..=31;

/// From which length on a value is kept as a token whatever it looks like.
pub(super) const VALUE: usize = 16;

const PRIME: u64 = (1 << 61) - 1;

/// A text as it is compared, with where each byte of it stood.
#[derive(Clone, Debug, Default)]
pub(super) struct Normal {
    pub(super) bytes: Vec<u8>,
    /// Where the character of each byte began.
    pub(super) places: Vec<u32>,
    /// The hash of the bytes before each place, and of all of them.
    sums: Vec<u64>,
}

/// The base of a tracker's hashes: unknown to whoever writes the texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base(u64);

impl Base {
    pub(super) fn new(random: u64) -> Self {
        // Away from the small ones, where short texts would not mix.
        Self((random % (PRIME - (1 << 32))) + (1 << 32))
    }

    pub(super) fn powers(self, most: usize) -> Vec<u64> {
        let mut powers = Vec::with_capacity(most + 1);
        let mut power = 1;
        for _ in 0..=most {
            powers.push(power);
            power = times(power, self.0);
        }
        powers
    }
}

fn times(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    let sum = (product as u64 & PRIME) + (product >> 61) as u64;
    if sum >= PRIME { sum - PRIME } else { sum }
}

impl Normal {
    pub(super) fn new(text: &str, base: Base) -> Self {
        let mut normal = Self {
            bytes: Vec::with_capacity(text.len()),
            places: Vec::with_capacity(text.len()),
            sums: Vec::new(),
        };
        for (at, character) in text.char_indices() {
            if character.is_ascii_alphanumeric() {
                normal.bytes.push(character.to_ascii_lowercase() as u8);
                normal.places.push(at as u32);
            } else if !character.is_ascii() && character.is_alphanumeric() {
                let mut buffer = [0; 4];
                for lower in character.to_lowercase() {
                    let bytes = lower.encode_utf8(&mut buffer).as_bytes();
                    normal.bytes.extend_from_slice(bytes);
                    normal.places.extend(bytes.iter().map(|_| at as u32));
                }
            }
        }
        let mut sum = 0;
        normal.sums.reserve(normal.bytes.len() + 1);
        normal.sums.push(0);
        for byte in &normal.bytes {
            sum = times(sum, base.0) + u64::from(*byte) + 1;
            sum = if sum >= PRIME { sum - PRIME } else { sum };
            normal.sums.push(sum);
        }
        normal
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The hash of `length` bytes from `start` on, if there are that many.
    pub(super) fn hash(&self, start: usize, length: usize, powers: &[u64]) -> Option<u64> {
        let (before, after) = (self.sums.get(start)?, self.sums.get(start + length)?);
        let shifted = times(*before, *powers.get(length)?);
        Some(if *after >= shifted { after - shifted } else { after + PRIME - shifted })
    }

    /// The hashes of all pieces.
    pub(super) fn pieces<'a>(&'a self, powers: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
        let count = (self.len() + 1).saturating_sub(PIECE);
        (0..count).filter_map(|start| self.hash(start, PIECE, powers))
    }

    /// The hashes of the pieces that are kept: the least of each window, so that any run of
    /// [`CERTAIN`] bytes has one of them (winnowing).
    pub(super) fn kept(&self, powers: &[u64]) -> Vec<u64> {
        const WINDOW: usize = CERTAIN - PIECE + 1;
        let pieces: Vec<u64> = self.pieces(powers).collect();
        let mut kept: Vec<u64> = Vec::with_capacity(pieces.len() / 4);
        if pieces.len() < WINDOW {
            kept.extend(pieces.iter().min());
            return kept;
        }
        for window in pieces.windows(WINDOW) {
            if let Some(least) = window.iter().min()
                && kept.last() != Some(least)
            {
                kept.push(*least);
            }
        }
        kept
    }
}

/// The parts of a text that look like a key, a number, an address: what is worth knowing again
/// though it is short.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let ends = |character: char| !(character.is_alphanumeric() || "@._-+".contains(character));
    text.split(ends)
        .map(|token| token.trim_matches(['.', '-', '_', '+', '@']))
        .filter(|token| looks_secret(token))
}

/// Groups of digits and letters that belong together, such as those of a card's number.
pub(super) fn groups(text: &str) -> Vec<String> {
    let mut groups = Vec::new();
    let (mut group, mut parts) = (String::new(), 0);
    for word in text.split(' ').chain([""]) {
        let numbered = word.len() <= 6
            && word.bytes().any(|byte| byte.is_ascii_digit())
            && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if numbered {
            group.push_str(word);
            parts += 1;
        } else {
            if parts > 1 {
                groups.push(std::mem::take(&mut group));
            }
            group.clear();
            parts = 0;
        }
    }
    groups
}

fn looks_secret(token: &str) -> bool {
    if token.len() < *TOKEN.start() || token.len() > 4 * *TOKEN.end() {
        return false;
    }
    let digits = token.bytes().filter(u8::is_ascii_digit).count();
    let letters = token.chars().any(char::is_alphabetic);
    if is_date(token) {
        return false;
    }
    digits >= 7 || (digits > 0 && letters) || token.contains('@')
}

/// Dates and times are everywhere: knowing one again says nothing.
fn is_date(token: &str) -> bool {
    let year = token.get(..5).is_some_and(|year| {
        year.ends_with('-') && year.bytes().take(4).all(|byte| byte.is_ascii_digit())
    });
    year && token.bytes().all(|byte| byte.is_ascii_digit() || b"-TZ.+".contains(&byte))
}

/// A string of a JSON text.
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    /// The member of the outermost object that it belongs to.
    pub(super) member: Option<&'a str>,
    /// Whether it is the name of a member.
    pub(super) is_name: bool,
}

/// Calls `found` with each string of a JSON text, with names of members too, and with numbers as
/// they are written.
pub(super) fn strings(
    json: &str,
    found: &mut dyn FnMut(Said<'_>),
) -> Result<(), serde_json::Error> {
    let mut reader = serde_json::Deserializer::from_str(json);
    Strings { top: None, outermost: true, found }.deserialize(&mut reader)?;
    reader.end()
}

struct Strings<'f> {
    top: Option<String>,
    outermost: bool,
    found: &'f mut dyn FnMut(Said<'_>),
}

impl Strings<'_> {
    fn value(self, text: &str) {
        (self.found)(Said { text, member: self.top.as_deref(), is_name: false });
    }
}

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.value(text);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.value(&number.to_string());
        Ok(())
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.value(&number.to_string());
        Ok(())
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.value(&number.to_string());
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { top, found, .. } = self;
        while list
            .next_element_seed(Strings { top: top.clone(), outermost: false, found: &mut *found })?
            .is_some()
        {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { top, outermost, found } = self;
        while let Some(name) = map.next_key_seed(Name)? {
            let top = if outermost { Some(name.clone()) } else { top.clone() };
            found(Said { text: &name, member: top.as_deref(), is_name: true });
            map.next_value_seed(Strings { top, outermost: false, found: &mut *found })?;
        }
        Ok(())
    }
}

struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        String::deserialize(deserializer)
    }
}
