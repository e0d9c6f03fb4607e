//! The fit of a definition as a whole: logistic regression over which words it has.

use etdi_core::analyze::Model;

use super::learn::{Vocabulary, logistic};

/// All words and pairs of a definition, each once.
pub(crate) struct Text<'a> {
    pub(crate) words: &'a [u32],
    pub(crate) malicious: bool,
    pub(crate) who: usize,
}

/// The constant, and the words with their weights, the heaviest first.
pub(crate) struct Whole {
    pub(crate) constant: f64,
    pub(crate) words: Vec<(String, f64)>,
}

const STEPS: usize = 300;
/// How strongly weights are held to nought.
const SMALL: f64 = 4e-5;
/// By how many servers or authors a word has to be used, and how many words are kept.
const USED_BY: usize = 2;
const KEPT: usize = 8_000;

/// The weights that tell malicious from honest definitions best, of the words that tell most.
pub(crate) fn fit(texts: &[Text<'_>], vocabulary: &Vocabulary) -> Whole {
    let mut used = vec![(usize::MAX, 0_usize); vocabulary.len()];
    let mut order: Vec<&Text<'_>> = texts.iter().collect();
    order.sort_by_key(|text| text.who);
    for text in order {
        for word in text.words {
            let (last, count) = &mut used[*word as usize];
            *count += usize::from(*last != text.who);
            *last = text.who;
        }
    }
    // How code is marked in a text is a habit of whoever wrote it.
    let habit = |word: &u32| vocabulary.text(*word).contains('`');
    let kept = |word: &u32| used[*word as usize].1 >= USED_BY && !habit(word);
    let all: Vec<u32> = (0..vocabulary.len() as u32).filter(kept).collect();
    let (_, weights) = regression(texts, &all, vocabulary.len());
    // Those that tell most, by weight and by how often they do, are fitted again by themselves.
    let mut often = vec![0.0_f64; vocabulary.len()];
    texts.iter().flat_map(|text| text.words).for_each(|word| often[*word as usize] += 1.0);
    let tells = |at: usize| weights[at].abs() * often[all[at] as usize].sqrt();
    let mut order: Vec<usize> = (0..all.len()).collect();
    order.sort_by(|one, other| tells(*other).total_cmp(&tells(*one)).then(one.cmp(other)));
    order.truncate(KEPT);
    let all: Vec<u32> = order.into_iter().map(|at| all[at]).collect();
    let (constant, weights) = regression(texts, &all, vocabulary.len());
    let two = |weight: f64| (weight * 100.0).round() / 100.0;
    let named = all.iter().zip(weights);
    let mut words: Vec<(String, f64)> =
        named.map(|(word, weight)| (vocabulary.text(*word).to_owned(), two(weight))).collect();
    words.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(one.cmp(other)));
    Whole { constant: two(constant), words }
}

/// The constant and a weight for each of these words; malicious and honest ones count alike as wholes.
fn regression(texts: &[Text<'_>], kept: &[u32], size: usize) -> (f64, Vec<f64>) {
    let mut local = vec![u32::MAX; size];
    kept.iter().enumerate().for_each(|(at, word)| local[*word as usize] = at as u32);
    let lines: Vec<Vec<u32>> = texts
        .iter()
        .map(|text| {
            let mine = text.words.iter().map(|word| local[*word as usize]);
            mine.filter(|at| *at != u32::MAX).collect()
        })
        .collect();
    let bad = texts.iter().filter(|text| text.malicious).count().max(1) as f64;
    let good = (texts.len() as f64 - bad).max(1.0);
    let mut weights = vec![0.0_f64; kept.len() + 1];
    let (mut mean, mut square) = (weights.clone(), weights.clone());
    for step in 1..=STEPS {
        let mut slope: Vec<f64> = weights.iter().map(|weight| SMALL * weight).collect();
        slope[kept.len()] = 0.0;
        for (text, line) in texts.iter().zip(&lines) {
            let share = Model::reckoned_whole(0.0, 1.0, line.len());
            let sum: f64 = line.iter().map(|at| weights[*at as usize]).sum();
            let label = f64::from(u8::from(text.malicious));
            let part = if text.malicious { bad } else { good };
            let error = 0.5 * (logistic(weights[kept.len()] + sum * share) - label) / part;
            slope[kept.len()] += error;
            line.iter().for_each(|at| slope[*at as usize] += error * share);
        }
        let rate = 0.2 / (1.0 + step as f64 / 100.0);
        let (early, late) = (1.0 - 0.9_f64.powi(step as i32), 1.0 - 0.999_f64.powi(step as i32));
        for (at, slope) in slope.iter().enumerate() {
            mean[at] = 0.9 * mean[at] + 0.1 * slope;
            square[at] = 0.999 * square[at] + 0.001 * slope * slope;
            weights[at] -= rate * (mean[at] / early) / ((square[at] / late).sqrt() + 1e-9);
        }
    }
    let constant = weights.pop().unwrap_or(0.0);
    (constant, weights)
}

impl Whole {
    /// The same weights with these.
    pub(crate) fn with(&self, model: Model) -> Model {
        model.whole(self.constant, self.words.iter().map(|(text, weight)| (&**text, *weight)))
    }
}
