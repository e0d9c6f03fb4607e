//! All words of a definition together: a third voice, beside the signals and the words of a sentence.
//!
//! Some attacks have no sentence that is worse than what honest servers write, but are short of what an
//! honest definition has, or full of what it has not. The voice adds to the risk of each sentence; what
//! it takes off has a floor, so that a long harmless text is no cover for an order in it. The words
//! stand in `whole.txt`, which the fit writes, and can be read there.

use std::collections::HashMap;

use super::wording::{OFFSET, Spoken, hash};

/// The most that a definition without a suspicious word takes off.
const FLOOR: f64 = -2.0;

/// What the voice counts for beside that of a sentence: it tells who wrote a definition more than what is
/// done there.
const COUNTS: f64 = 0.8;

/// The weights of words and of pairs in a definition, and what is added before any.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Whole {
    weights: HashMap<u64, f64>,
    constant: f64,
}

impl Whole {
    /// From words or pairs with their weights.
    pub(super) fn new<'a>(
        constant: f64,
        weights: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Self {
        let weights = weights.into_iter().map(|(text, weight)| (hash(OFFSET, text), weight));
        Self { weights: weights.collect(), constant }
    }

    /// From a table: a weight, and a word or a pair, a line; the constant's is `=`. Other lines are passed
    /// over.
    pub(super) fn read(table: &str) -> Self {
        let lines = table.lines().filter_map(|line| line.split_once(' '));
        let weighed = lines.filter_map(|(weight, text)| Some((text, weight.parse().ok()?)));
        let (constants, words): (Vec<_>, Vec<_>) = weighed.partition(|(text, _)| *text == "=");
        Self::new(constants.first().map_or(0.0, |(_, constant)| *constant), words)
    }

    /// What the sentences of a definition add, each word counted once.
    pub(super) fn sum<'a>(&self, spoken: impl Iterator<Item = &'a Spoken>) -> f64 {
        if self.weights.is_empty() {
            return 0.0;
        }
        let mut all: Vec<u64> = spoken.flat_map(|one| &one.features).copied().collect();
        all.sort_unstable();
        all.dedup();
        let known = all.iter().filter_map(|feature| self.weights.get(feature));
        let (sum, count) = known.fold((0.0, 0), |(sum, count), weight| (sum + weight, count + 1));
        COUNTS * reckoned(self.constant, sum, count)
    }
}

/// From how many known words on each of them counts for less.
const SHORT: usize = 12;

/// What so many known words add that weigh so much together: the more there are the less each counts.
pub(super) fn reckoned(constant: f64, sum: f64, known: usize) -> f64 {
    (constant + sum / (known.max(SHORT) as f64).sqrt()).max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_all_sentences_count_once_and_unknown_ones_not_at_all() {
        let whole = Whole::read("# none\n-1 =\n3 silently\n1 silently send\n-6 returns\n");
        let spoken: Vec<Spoken> =
            ["silently send it", "send it silently"].iter().map(|text| Spoken::new(text)).collect();
        let expected = COUNTS * (-1.0 + 4.0 / (SHORT as f64).sqrt());
        assert!((whole.sum(spoken.iter()) - expected).abs() < 1e-9);
        assert_eq!(whole.sum([Spoken::new("nothing known")].iter()), -COUNTS);
        assert_eq!(whole.sum([Spoken::new("returns")].iter()), COUNTS * FLOOR);
        assert_eq!(Whole::default().sum(spoken.iter()), 0.0);
    }
}
