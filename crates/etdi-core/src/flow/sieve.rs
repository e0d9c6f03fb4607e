//! Whether any server may have said a piece: one look, where each server's hashes would take several.

/// A Bloom filter over the hashes of all servers, each with two bits of one word. It never says no
/// to a hash that was added; what it lets through is looked up.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    words: Vec<u64>,
    added: usize,
}

/// The least number of words; a power of two, as every number of words.
const LEAST: usize = 1 << 10;

/// How many hashes a word has room for: at sixteen bits each, one of some sixty others passes.
const ROOM: usize = 4;

impl Sieve {
    /// An empty one with room for twice as many hashes.
    pub(super) fn with_room(hashes: usize) -> Self {
        let words = (2 * hashes / ROOM).next_power_of_two().max(LEAST);
        Self { words: vec![0; words], added: 0 }
    }

    pub(super) fn add(&mut self, hash: u64) {
        if self.words.is_empty() {
            *self = Self::with_room(0);
        }
        let (at, bits) = self.place(hash);
        if let Some(word) = self.words.get_mut(at) {
            self.added += usize::from(*word & bits != bits);
            *word |= bits;
        }
    }

    /// Whether a hash may have been added.
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let (at, bits) = self.place(hash);
        self.words.get(at).is_some_and(|word| *word & bits == bits)
    }

    /// Whether so much was added that it lets too much through.
    pub(super) fn is_full(&self) -> bool {
        self.added > ROOM * self.words.len()
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let at = (mixed >> 32) as usize & self.words.len().wrapping_sub(1);
        (at, 1 << (mixed & 63) | 1 << (mixed >> 6 & 63))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(seed: u64) -> impl Iterator<Item = u64> {
        let mut state = seed;
        std::iter::from_fn(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            Some(state >> 3)
        })
    }

    #[test]
    fn what_was_added_always_passes_and_little_else_does() {
        let mut sieve = Sieve::default();
        assert!(!sieve.may_have(7));
        let known: Vec<u64> = numbers(1).take(ROOM * LEAST).collect();
        for number in &known {
            sieve.add(*number);
        }
        assert!(known.iter().all(|number| sieve.may_have(*number)));
        let passed = numbers(2).take(100_000).filter(|number| sieve.may_have(*number)).count();
        assert!(passed < 4_000, "{passed}");
        assert!(!sieve.is_full());
        numbers(3).take(ROOM * LEAST).for_each(|number| sieve.add(number));
        assert!(sieve.is_full());
        let mut roomy = Sieve::with_room(2 * ROOM * LEAST);
        numbers(3).take(2 * ROOM * LEAST).for_each(|number| roomy.add(number));
        assert!(!roomy.is_full());
    }
}
