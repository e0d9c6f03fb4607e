//! What one server has said, as hashes.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::{HashMap, HashSet};

use super::sieve::Sieve;
use super::text::{Base, Normal, TOKEN, VALUE, groups, tokens};
use super::{Confidentiality, Integrity, Label};

/// The hashes of a server's texts. Two halves: when the young one is full it becomes the old one,
/// and the old one is lost.
#[derive(Debug, Default)]
pub(super) struct Index {
    young: Half,
    old: Half,
    labels: Vec<Label>,
    /// Whether something is no longer kept.
    pub(super) lost: bool,
}

#[derive(Debug, Default)]
struct Half {
    /// Pieces of long texts, and whole tokens: which label each has.
    hashes: Map<u16>,
    /// How tokens begin: which lengths there are, a bit for each.
    heads: Map<u32>,
}

impl Half {
    fn all(&self) -> impl Iterator<Item = u64> {
        self.hashes.keys().chain(self.heads.keys()).copied()
    }
}

/// What a server was told just before, by the hashes of its runs of each length that is asked for:
/// a server chooses how many tokens it answers with, so none may cost a search.
struct Told<'a> {
    echo: &'a Normal,
    lengths: HashMap<usize, HashSet<u64, BuildHasherDefault<Mixed>>>,
}

impl Told<'_> {
    fn has(&mut self, hash: u64, length: usize, powers: &[u64]) -> bool {
        let echo = self.echo;
        let hashes = self.lengths.entry(length).or_insert_with(|| {
            (0..echo.len()).map_while(|start| echo.hash(start, length, powers)).collect()
        });
        hashes.contains(&hash)
    }
}

type Map<V> = HashMap<u64, V, BuildHasherDefault<Mixed>>;

/// The keys are hashes already, with a base that nobody knows; they are only spread over 64 bits.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// The most labels of one server; further sources share the label of the last.
const MAX_LABELS: usize = 4_096;

/// How many bytes of a token its head is.
pub(super) const HEAD: usize = *TOKEN.start();

impl Index {
    /// Keeps what a text says, but for what is in `echo`: what the server was told just before is
    /// not its own. Each hash goes into the sieve of all servers as well.
    pub(super) fn keep(
        &mut self,
        sieve: &mut Sieve,
        label: &Label,
        (text, normal): (&str, &Normal),
        echo: &Normal,
        (base, powers): (Base, &[u64]),
        most: usize,
    ) {
        let label = self.label(label);
        let mut new: Vec<u64> = normal.kept(powers);
        if echo.len() > 0 && !new.is_empty() {
            let told: HashSet<u64, BuildHasherDefault<Mixed>> = echo.pieces(powers).collect();
            new.retain(|hash| !told.contains(hash));
        }
        for hash in new {
            self.put(hash, label, most);
            sieve.add(hash);
        }
        let mut told = Told { echo, lengths: HashMap::new() };
        let groups = groups(text);
        let whole = Some(text).filter(|_| normal.len() >= VALUE);
        for token in tokens(text).chain(groups.iter().map(String::as_str)).chain(whole) {
            let token = Normal::new(token, base);
            if !TOKEN.contains(&token.len()) {
                continue;
            }
            let (Some(head), Some(hash)) =
                (token.hash(0, HEAD, powers), token.hash(0, token.len(), powers))
            else {
                continue;
            };
            if told.has(hash, token.len(), powers) {
                continue;
            }
            self.put(hash, label, most);
            sieve.add(hash);
            sieve.add(head);
            *self.young.heads.entry(head).or_default() |= 1 << token.len();
        }
    }

    fn put(&mut self, hash: u64, label: u16, most: usize) {
        if self.young.hashes.len() >= most && !self.young.hashes.contains_key(&hash) {
            self.lost |= !self.old.hashes.is_empty();
            self.old = std::mem::take(&mut self.young);
        }
        // The same text from two sources has the label that forbids more.
        let stricter =
            self.young.hashes.get(&hash).copied().or(self.old.hashes.get(&hash).copied());
        let label = match stricter {
            Some(known) if self.strictness(known) >= self.strictness(label) => known,
            _ => label,
        };
        self.young.hashes.insert(hash, label);
    }

    fn strictness(&self, label: u16) -> (Confidentiality, core::cmp::Reverse<Integrity>) {
        let label = self.labels.get(usize::from(label));
        label.map_or((Confidentiality::Secret, core::cmp::Reverse(Integrity::Untrusted)), |label| {
            (label.confidentiality, core::cmp::Reverse(label.integrity))
        })
    }

    fn label(&mut self, label: &Label) -> u16 {
        let known = self.labels.iter().position(|known| known == label);
        let at = known.unwrap_or_else(|| {
            if self.labels.len() < MAX_LABELS {
                self.labels.push(label.clone());
            }
            self.labels.len().saturating_sub(1)
        });
        at as u16
    }

    /// The label of a piece or token.
    pub(super) fn find(&self, hash: u64) -> Option<u16> {
        self.young.hashes.get(&hash).or_else(|| self.old.hashes.get(&hash)).copied()
    }

    /// The lengths of the tokens that begin like this, a bit for each.
    pub(super) fn lengths(&self, head: u64) -> u32 {
        let of = |half: &Half| half.heads.get(&head).copied().unwrap_or_default();
        of(&self.young) | of(&self.old)
    }

    /// All hashes that are kept, and how tokens begin.
    pub(super) fn hashes(&self) -> impl Iterator<Item = u64> {
        [&self.young, &self.old].into_iter().flat_map(Half::all)
    }

    /// How many these are.
    pub(super) fn size(&self) -> usize {
        let of = |half: &Half| half.hashes.len() + half.heads.len();
        of(&self.young) + of(&self.old)
    }

    pub(super) fn label_of(&self, at: u16) -> Option<&Label> {
        self.labels.get(usize::from(at))
    }
}
