//! The words themselves, beside the signals: which words and pairs of neighbours attacks have that
//! honest definitions have not, each with a weight. They stand in `wording.txt`, which the fit writes,
//! and can be read there.
//!
//! Signals know what somebody thought of. The words also see the way in which it is said, and are one
//! voice among others: what they take off has a floor, so that harmless words beside an order are no
//! cover for it.

use std::collections::{BTreeSet, HashMap};

use super::apart::{self, NUMBERS, beginning};

/// The most that harmless words take off.
const FLOOR: f64 = -2.5;

/// From how many words on each of them counts for less.
const SHORT: f64 = 20.0;

pub(super) const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The words and pairs of a sentence, as their hashes, each once, and how many words there were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) features: Vec<u64>,
    /// How many there were, repeated ones counted.
    pub(super) words: usize,
    /// What it is about: the beginnings of its longer words, each once.
    pub(super) topics: Vec<u64>,
}

/// The weights of words and of pairs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Wording {
    weights: HashMap<u64, f64>,
    /// Those of the numbers for what stands apart.
    apart: [f64; 3],
}

/// What a token is: letters and digits, a character of a script without spaces, or a sign.
pub(super) fn tokens(text: &str, mut with: impl FnMut(&str)) {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '_' => 0,
            _ if is_wide(first) => first.len_utf8(),
            _ if is_letter(first) => rest.find(|c| !is_letter(c)).unwrap_or(rest.len()),
            '<' | '@' | '`' => 1,
            '~' | '/' | '.' | '$' => {
                let end = rest.find(|c| !matches!(c, '~' | '/' | '.' | '$')).unwrap_or(rest.len());
                let before_word = rest.get(end..).and_then(|text| text.chars().next());
                match before_word.is_some_and(is_letter) && end <= 3 {
                    true => end,
                    false => 0,
                }
            }
            _ => 0,
        };
        let Some((token, after)) = rest.split_at_checked(length) else { return };
        match token.is_empty() {
            true => rest = rest.get(first.len_utf8()..).unwrap_or(""),
            false => {
                let number = token.bytes().all(|byte| byte.is_ascii_digit());
                with(if number { "0" } else { token });
                rest = after;
            }
        }
    }
}

pub(super) fn is_wide(c: char) -> bool {
    ('\u{2e80}'..'\u{fb00}').contains(&c) && c.is_alphanumeric()
}

fn is_letter(c: char) -> bool {
    (c.is_alphanumeric() || c == '\'') && !is_wide(c)
}

/// All words and pairs of a normalised sentence as text: what a fit learns from.
pub(super) fn features(text: &str) -> BTreeSet<String> {
    let mut last = String::new();
    let mut all = BTreeSet::new();
    tokens(text, |token| {
        if !last.is_empty() {
            all.insert(format!("{last} {token}"));
        }
        all.insert(token.to_owned());
        token.clone_into(&mut last);
    });
    all
}

/// The number of words of a normalised sentence.
pub(super) fn count(text: &str) -> usize {
    let mut count = 0;
    tokens(text, |_| count += 1);
    count
}

pub(super) fn hash(state: u64, text: &str) -> u64 {
    text.bytes().fold(state, |state, byte| (state ^ u64::from(byte)).wrapping_mul(PRIME))
}

impl Spoken {
    /// Of a sentence that is normalised.
    pub(super) fn new(text: &str) -> Self {
        let (mut spoken, mut last) = (Self::default(), None);
        tokens(text, |token| {
            let alone = hash(OFFSET, token);
            spoken.features.push(alone);
            spoken.features.extend(last.map(|last| hash(hash(last, " "), token)));
            last = Some(alone);
            spoken.words += 1;
            spoken.topics.extend(beginning(token).map(|one| hash(OFFSET, one)));
        });
        for list in [&mut spoken.features, &mut spoken.topics] {
            list.sort_unstable();
            list.dedup();
        }
        spoken
    }
}

impl Wording {
    /// From words or pairs with their weights, and the numbers for what stands apart with theirs.
    pub(super) fn new<'a>(weights: impl IntoIterator<Item = (&'a str, f64)>) -> Self {
        let mut wording = Self::default();
        for (text, weight) in weights {
            match NUMBERS.iter().zip(&mut wording.apart).find(|(name, _)| **name == text) {
                Some((_, place)) => *place = weight,
                None => _ = wording.weights.insert(hash(OFFSET, text), weight),
            }
        }
        wording
    }

    /// From a table: a weight, and a word or a pair, a line; other lines are passed over.
    pub(super) fn read(table: &str) -> Self {
        let lines = table.lines().filter_map(|line| line.split_once(' '));
        Self::new(lines.filter_map(|(weight, text)| Some((text, weight.parse().ok()?))))
    }

    /// What it adds that so much of a sentence stands apart.
    pub(super) fn apart(&self, numbers: [f64; 3]) -> f64 {
        apart::sum(numbers, self.apart)
    }

    /// What the words of one sentence, or of it and the next, add.
    pub(super) fn sum(&self, one: &Spoken, next: Option<&Spoken>) -> f64 {
        if self.weights.is_empty() {
            return 0.0;
        }
        let of = |feature: &u64| self.weights.get(feature).copied().unwrap_or(0.0);
        let mut sum: f64 = one.features.iter().map(of).sum();
        let mut words = one.words;
        if let Some(next) = next {
            let fresh = |feature: &&u64| one.features.binary_search(feature).is_err();
            sum += next.features.iter().filter(fresh).map(of).sum::<f64>();
            words += next.words;
        }
        floored(sum * share(words))
    }

    /// The words of a sentence that speak against it most, the heaviest first, no more than three, of
    /// those that say something to a person: `it` and `them` may weigh, and explain nothing.
    pub(super) fn reasons(&self, text: &str) -> Vec<String> {
        let weight = |text: &String| self.weights.get(&hash(OFFSET, text)).copied().unwrap_or(0.0);
        let weighed = features(text).into_iter().map(|one| (weight(&one), one));
        let mut heavy: Vec<(f64, String)> =
            weighed.filter(|(weight, one)| *weight > 0.15 && is_telling(one)).collect();
        heavy.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        heavy.into_iter().take(3).map(|(_, text)| text).collect()
    }
}

/// Whether a word of some length, or one of a script that has short ones, is among these.
fn is_telling(words: &str) -> bool {
    const FILL: [&str; 12] = [
        "them", "this", "that", "these", "those", "with", "from", "they", "their", "have", "will",
        "your",
    ];
    let telling =
        |word: &str| word.contains(is_wide) || word.chars().count() >= 4 && !FILL.contains(&word);
    words.split(' ').any(telling)
}

/// What each word of so many counts for.
pub(super) fn share(words: usize) -> f64 {
    (SHORT / (words as f64).max(SHORT)).sqrt()
}

pub(super) fn floored(sum: f64) -> f64 {
    sum.max(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        tokens(text, |token| all.push(token.to_owned()));
        all
    }

    #[test]
    fn words_signs_and_wide_characters_are_tokens() {
        assert_eq!(
            all("don't read ~/.ssh/id_rsa: 42%"),
            ["don't", "read", "~/.", "ssh", "/", "id", "rsa", "0"]
        );
        assert_eq!(all("读取key。"), ["读", "取", "key"]);
        assert_eq!(all("...; '' __ <a@b.c>"), ["<", "a", "@", "b", ".", "c"]);
    }

    #[test]
    fn what_is_hashed_is_what_is_written() {
        let text = "send it to the send it";
        let mut hashed: Vec<u64> = features(text).iter().map(|f| hash(OFFSET, f)).collect();
        hashed.sort_unstable();
        assert_eq!(Spoken::new(text).features, hashed);
        assert_eq!(Spoken::new(text).words, count(text));
    }

    #[test]
    fn a_word_counts_once_and_harmless_ones_have_a_floor() {
        let wording = Wording::read("# none\n1.5 secretly send\n-0.5 returns\n");
        let spoken = |text: &str| Spoken::new(text);
        let sum = |text: &str| wording.sum(&spoken(text), None);
        assert_eq!(sum("secretly send it, secretly send it"), 1.5);
        assert_eq!(wording.sum(&spoken("secretly send"), Some(&spoken("secretly send"))), 1.5);
        assert_eq!(wording.sum(&spoken("returns"), Some(&spoken("secretly send"))), 1.0);
        assert_eq!(sum("send secretly"), 0.0);
        assert!(sum(&format!("secretly send {}", "a ".repeat(78))) == 0.75);
        let harmless = Wording::new([("a", -9.0)]);
        assert_eq!(harmless.sum(&spoken("a"), None), FLOOR);
        assert_eq!(wording.reasons("it will secretly send returns"), ["secretly send"]);
    }
}
