//! The fit itself: logistic regression over the worst sentence of each definition.

use std::collections::HashMap;

use etdi_core::analyze::{Model, Said};

use super::whole::Whole;

/// One sentence with the next one, as a fit sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Window {
    signals: u64,
    features: Vec<u32>,
    words: usize,
}

/// Numbers for words and pairs.
#[derive(Default)]
pub(crate) struct Vocabulary {
    numbers: HashMap<String, u32>,
    texts: Vec<String>,
}

impl Vocabulary {
    /// A sentence, with its words or without.
    pub(crate) fn window(&mut self, said: &Said, spoken: bool) -> Window {
        let features = if spoken && !said.name { self.words(said) } else { Vec::new() };
        Window { signals: said.signals, features, words: said.words }
    }

    /// The words and pairs of a sentence that may tell something.
    pub(crate) fn words(&mut self, said: &Said) -> Vec<u32> {
        said.features.iter().filter(|text| tells(text)).map(|text| self.number(text)).collect()
    }

    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = self.texts.len() as u32;
        self.numbers.insert(text.to_owned(), number);
        self.texts.push(text.to_owned());
        number
    }

    /// How many there are, and one of them.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    pub(crate) fn text(&self, number: u32) -> &str {
        &self.texts[number as usize]
    }
}

/// Hosts that are reserved for examples tell our own corpus from others, not good from bad; so does how
/// often one is named at all.
fn tells(text: &str) -> bool {
    const HOSTS: [&str; 10] =
        ["example", "test", "invalid", "localhost", "http", "https", "www", ".", "//", "@"];
    !text.split(' ').any(|word| HOSTS.contains(&word))
}

/// A definition to learn from.
pub(crate) struct Lesson<'a> {
    pub(crate) windows: &'a [Window],
    pub(crate) malicious: bool,
    pub(crate) weight: f64,
    /// Whose it is: a word has to be used by several.
    pub(crate) who: usize,
}

/// What was learned: the signals, and the words with their weights.
pub(crate) struct Learned {
    pub(crate) model: Model,
    pub(crate) words: Vec<(String, f64)>,
    pub(crate) whole: Whole,
}

impl Learned {
    /// The risk of one sentence by itself.
    pub(crate) fn risk(&self, vocabulary: &Vocabulary, window: &Window) -> f64 {
        let weights: HashMap<&str, f64> =
            self.words.iter().map(|(text, weight)| (&**text, *weight)).collect();
        let sum = window
            .features
            .iter()
            .filter_map(|word| weights.get(&*vocabulary.texts[*word as usize]))
            .sum();
        self.model.risk(window.signals, Model::reckoned(sum, window.words))
    }
}

const STEPS: usize = 500;
const NEAR: f64 = 2.5;
const FAR: f64 = 0.25;
/// How strongly weights are held to where they begin: those of signals, and those of words.
const SMALL: f64 = 0.001;
const SMALL_WORDS: f64 = 0.001;
/// By how many servers or authors a word has to be used, and how many words are kept.
const USED_BY: usize = 4;
const KEPT: usize = 3_000;

/// Windows in one list, with only the words that are learned.
struct Flat {
    /// Where the windows of each lesson begin, and an end.
    lessons: Vec<usize>,
    signals: Vec<u64>,
    share: Vec<f64>,
    /// Where the words of each window begin, and an end.
    starts: Vec<usize>,
    words: Vec<u32>,
}

/// The words that enough sources use, and the windows with those alone.
fn flat(lessons: &[Lesson<'_>], vocabulary: &Vocabulary) -> (Vec<u32>, Flat) {
    let size = vocabulary.texts.len();
    let (mut last, mut used) = (vec![usize::MAX; size], vec![0_usize; size]);
    let mut order: Vec<&Lesson<'_>> = lessons.iter().collect();
    order.sort_by_key(|lesson| lesson.who);
    for lesson in order {
        for word in lesson.windows.iter().flat_map(|window| &window.features) {
            let word = *word as usize;
            if last[word] != lesson.who {
                (last[word], used[word]) = (lesson.who, used[word] + 1);
            }
        }
    }
    let kept: Vec<u32> = (0..size as u32).filter(|word| used[*word as usize] >= USED_BY).collect();
    let mut local = vec![u32::MAX; size];
    kept.iter().enumerate().for_each(|(at, word)| local[*word as usize] = at as u32);
    let mut flat = Flat {
        lessons: vec![0],
        signals: Vec::new(),
        share: Vec::new(),
        starts: vec![0],
        words: Vec::new(),
    };
    for lesson in lessons {
        for window in lesson.windows {
            let words = window.features.iter().map(|word| local[*word as usize]);
            flat.words.extend(words.filter(|word| *word != u32::MAX));
            flat.starts.push(flat.words.len());
            flat.signals.push(window.signals);
            flat.share.push(Model::reckoned(1.0, window.words));
        }
        flat.lessons.push(flat.signals.len());
    }
    (kept, flat)
}

impl Flat {
    fn words(&self, window: usize) -> &[u32] {
        &self.words[self.starts[window]..self.starts[window + 1]]
    }
}

/// The weights that tell malicious from honest definitions best, small, and of the sign that each signal
/// has to have.
pub(crate) fn fit(lessons: &[Lesson<'_>], whole: Whole, vocabulary: &Vocabulary) -> Learned {
    let (kept, flat) = flat(lessons, vocabulary);
    let total: f64 = lessons.iter().map(|lesson| lesson.weight).sum();
    let priors: Vec<f64> = Model::priors().collect();
    let count = priors.len();
    let floor = Model::reckoned(f64::MIN, 1);
    // Signals, words, and the constant.
    let size = count + kept.len() + 1;
    let mut weights = vec![0.0; size];
    weights[..count].copy_from_slice(&priors);
    weights[size - 1] = -3.0;
    let (mut mean, mut square) = (vec![0.0; size], vec![0.0; size]);
    let mut scores = vec![(0.0, None); lessons.len()];
    for step in 1..=STEPS {
        for (at, score) in scores.iter_mut().enumerate() {
            *score = (weights[size - 1], None);
            let mut worst = f64::MIN;
            for window in flat.lessons[at]..flat.lessons[at + 1] {
                let words: f64 =
                    flat.words(window).iter().map(|word| weights[count + *word as usize]).sum();
                let words = words * flat.share[window];
                let mut sum = weights[size - 1] + words.max(floor);
                each(flat.signals[window], |signal| sum += weights[signal]);
                if sum > worst {
                    worst = sum;
                    *score = (sum, Some((window, words > floor)));
                }
            }
        }
        // First all definitions count alike. Then those do that lie near the threshold: what no text
        // gives away would otherwise make single words suspicious.
        let honest = lessons.iter().zip(&scores).filter(|(lesson, _)| !lesson.malicious);
        let limit = quantile(&honest.map(|(_, (score, _))| *score).collect::<Vec<f64>>(), 0.01);
        let near = |score: f64| match step > STEPS / 3 {
            true => FAR + 4.0 * logistic((score - limit) / NEAR) * logistic((limit - score) / NEAR),
            false => 1.0,
        };
        let mut slope: Vec<f64> = weights.iter().map(|weight| SMALL_WORDS * weight).collect();
        for (at, prior) in priors.iter().enumerate() {
            slope[at] = SMALL * (weights[at] - prior);
        }
        slope[size - 1] = 0.0;
        for (lesson, (score, worst)) in lessons.iter().zip(&scores) {
            let label = f64::from(u8::from(lesson.malicious));
            let weight = match lesson.malicious {
                true => lesson.weight * near(*score),
                false => lesson.weight,
            };
            let error = weight * (logistic(*score) - label) / total;
            slope[size - 1] += error;
            let Some((window, free)) = *worst else { continue };
            each(flat.signals[window], |signal| slope[signal] += error);
            if free {
                let error = error * flat.share[window];
                flat.words(window).iter().for_each(|word| slope[count + *word as usize] += error);
            }
        }
        let rate = 0.1 / (1.0 + step as f64 / 150.0);
        for at in 0..size {
            mean[at] = 0.9 * mean[at] + 0.1 * slope[at];
            square[at] = 0.999 * square[at] + 0.001 * slope[at] * slope[at];
            let (mean, square) = (
                mean[at] / (1.0 - 0.9_f64.powi(step as i32)),
                square[at] / (1.0 - 0.999_f64.powi(step as i32)),
            );
            weights[at] -= rate * mean / (square.sqrt() + 1e-9);
            match priors.get(at) {
                Some(prior) if *prior > 0.0 => weights[at] = weights[at].max(0.0),
                Some(prior) if *prior < 0.0 => weights[at] = weights[at].min(0.0),
                _ => {}
            }
        }
    }
    let weighed = kept.iter().zip(&weights[count..]).map(|(word, weight)| {
        (vocabulary.texts[*word as usize].clone(), (weight * 100.0).round() / 100.0)
    });
    let mut words: Vec<(String, f64)> = weighed.filter(|(_, weight)| *weight != 0.0).collect();
    words.sort_by(|(one, a), (other, b)| b.abs().total_cmp(&a.abs()).then(one.cmp(other)));
    words.truncate(KEPT);
    words.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(one.cmp(other)));
    let model = Model::new(weights[size - 1], &weights[..count]);
    let model = model.wording(words.iter().map(|(text, weight)| (text.as_str(), *weight)));
    Learned { model: whole.with(model), words, whole }
}

pub(crate) fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

/// The signals of a mask.
pub(crate) fn each(mut signals: u64, mut with: impl FnMut(usize)) {
    while signals != 0 {
        with(signals.trailing_zeros() as usize);
        signals &= signals - 1;
    }
}

/// The value that this part of them lies above.
pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(|one, other| other.total_cmp(one));
    let at = (values.len() as f64 * part) as usize;
    values.get(at).copied().unwrap_or(1.0)
}
