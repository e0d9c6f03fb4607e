//! The fit itself: logistic regression over the sentences of all definitions.

use std::collections::HashMap;

use etdi_core::analyze::{Model, Said};

use super::minimum::{Row, minimum};
use super::whole::Whole;

/// One sentence, or two that stand side by side, as a fit sees it.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    signals: u64,
    features: Vec<u32>,
    words: usize,
    /// What it is about, and the part of that which nothing else in its definition has.
    topics: Vec<u32>,
    apart: Vec<u32>,
}

/// What makes two windows the same: signals, words, and how many these are.
pub(crate) type Same<'a> = (u64, &'a [u32], usize);

impl Window {
    /// This one and the next, which stands in the same text; of both `apart` stands apart.
    pub(crate) fn with(&self, next: &Self, apart: Vec<u32>) -> Self {
        let both = |one: &[u32], other: &[u32]| {
            let mut both = [one, other].concat();
            both.sort_unstable();
            both.dedup();
            both
        };
        let features = both(&self.features, &next.features);
        let topics = both(&self.topics, &next.topics);
        let (signals, words) = (self.signals | next.signals, self.words + next.words);
        Self { signals, features, words, topics, apart }
    }

    pub(crate) fn same(&self) -> Same<'_> {
        (self.signals, &self.features, self.words)
    }

    /// The numbers for what stands apart, by how much each topic tells.
    fn numbers(&self, tells: &Tells, foreign: bool) -> [f64; 3] {
        if foreign {
            return [0.0; 3];
        }
        let sum = |topics: &[u32]| topics.iter().map(|one| tells.of(*one)).sum::<f64>();
        Model::numbers(self.topics.len(), sum(&self.topics), sum(&self.apart))
    }
}

/// How much topics tell that several published tools have, by their numbers.
#[derive(Default)]
pub(crate) struct Tells(pub(crate) HashMap<u32, f64>);

impl Tells {
    /// What is told by a topic that few tools have, as the score has it.
    pub(crate) const RARE: f64 = 6.8;

    fn of(&self, topic: u32) -> f64 {
        self.0.get(&topic).copied().unwrap_or(Self::RARE)
    }

    /// Whether too little of a definition about these is known for anything to stand apart.
    pub(crate) fn is_foreign(&self, topics: &[u32]) -> bool {
        let known = topics.iter().filter(|topic| self.0.contains_key(topic)).count();
        !Model::is_known(known, topics.len())
    }
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
        let (mut features, mut topics, mut apart) = (Vec::new(), Vec::new(), Vec::new());
        if spoken && !said.name {
            features = self.words(&said.features);
        }
        if !said.name {
            (topics, apart) = (self.topics(&said.topics), self.topics(&said.apart));
        }
        Window { signals: said.signals, features, words: said.words, topics, apart }
    }

    /// The numbers of topics, which are others than those of words.
    pub(crate) fn topics(&mut self, topics: &[String]) -> Vec<u32> {
        let mut topics: Vec<u32> =
            topics.iter().map(|one| self.number(&format!("={one}"))).collect();
        topics.sort_unstable();
        topics
    }

    /// The words and pairs of a sentence that may tell something.
    pub(crate) fn words(&mut self, features: &[String]) -> Vec<u32> {
        features.iter().filter(|text| tells(text)).map(|text| self.number(text)).collect()
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

/// A sentence to learn from.
pub(crate) struct Lesson<'a> {
    pub(crate) window: &'a Window,
    pub(crate) malicious: bool,
    pub(crate) weight: f64,
    /// Whose it is: a word has to be used by several.
    pub(crate) who: usize,
    /// The number of the published tool that it is of.
    pub(crate) published: Option<usize>,
    /// What the length of its definition takes off.
    pub(crate) length: f64,
    /// Whether nothing stands apart in its definition.
    pub(crate) foreign: bool,
}

/// What was learned: the signals, and the words with their weights.
pub(crate) struct Learned {
    pub(crate) model: Model,
    pub(crate) words: Vec<(String, f64)>,
    pub(crate) whole: Whole,
    pub(crate) apart: [f64; 3],
    pub(crate) tells: Tells,
}

impl Learned {
    /// The words by their text.
    pub(crate) fn weights(&self) -> HashMap<&str, f64> {
        self.words.iter().map(|(text, weight)| (&**text, *weight)).collect()
    }

    /// The risk of one sentence by itself.
    pub(crate) fn risk(
        &self,
        weights: &HashMap<&str, f64>,
        vocabulary: &Vocabulary,
        window: &Window,
        (length, foreign): (f64, bool),
    ) -> f64 {
        let known = window.features.iter();
        let sum = known.filter_map(|word| weights.get(vocabulary.text(*word))).sum();
        let apart = Model::apart(window.numbers(&self.tells, foreign), self.apart);
        self.model.risk(window.signals, Model::reckoned(sum, window.words) + apart + length)
    }
}

/// How much a sentence counts against what holds weights to where they begin.
const LOUD: f64 = 0.3;
/// By how many servers or authors a word has to be used, and how many words are kept.
const USED_BY: usize = 3;
const KEPT: usize = 6_000;
/// The part of published tools that lies above an even risk, of those that were learned from.
const EVEN: f64 = 0.01;

/// The weights that tell the sentences of attacks from honest ones best, small, and of the sign that each
/// signal has to have. Each sentence counts, not only the worst of a definition: what is harmless is
/// learned from all that honest servers say.
pub(crate) fn fit(
    lessons: &[Lesson<'_>],
    whole: Whole,
    tells: Tells,
    vocabulary: &Vocabulary,
) -> Learned {
    let kept = used(lessons, vocabulary.len());
    let mut local = vec![u32::MAX; vocabulary.len()];
    let mut priors: Vec<f64> = Model::priors().collect();
    let dense = priors.len();
    priors.extend([0.0; 3]);
    let count = priors.len();
    kept.iter().enumerate().for_each(|(at, word)| local[*word as usize] = (count + at) as u32);
    let rows: Vec<Row> = (lessons.iter())
        .map(|lesson| {
            let words = lesson.window.features.iter().map(|word| local[*word as usize]);
            let mut signals = Vec::new();
            each(lesson.window.signals, |signal| signals.push(signal as u32));
            Row {
                signals,
                words: words.filter(|word| *word != u32::MAX).collect(),
                share: Model::reckoned(1.0, lesson.window.words),
                apart: lesson.window.numbers(&tells, lesson.foreign),
                first: dense,
                malicious: lesson.malicious,
                weight: LOUD * lesson.weight,
            }
        })
        .collect();
    let mut weights = priors.clone();
    weights.resize(count + kept.len(), 0.0);
    let mut held = vec![false; weights.len()];
    let mut constant = minimum(&rows, &mut weights, &priors, &held, None);
    // What got the wrong sign says nothing, and the others are fitted without it.
    for (at, prior) in priors.iter().enumerate() {
        if *prior * weights[at] < 0.0 {
            (weights[at], held[at]) = (0.0, true);
        }
    }
    if held.contains(&true) {
        constant = minimum(&rows, &mut weights, &priors, &held, None);
    }
    // Harmless words and what is spoken of elsewhere take off no more than the floors: what is below one
    // weighs nothing, and the rest is fitted again from here.
    let constant = minimum(&rows, &mut weights, &priors, &held, Some(constant));
    let mut often = vec![0.0_f64; weights.len()];
    rows.iter().flat_map(|row| &row.words).for_each(|word| often[*word as usize] += 1.0);
    let tell = |at: usize| weights[count + at].abs() * often[count + at].sqrt();
    let mut order: Vec<usize> = (0..kept.len()).collect();
    order.sort_by(|one, other| tell(*other).total_cmp(&tell(*one)).then(one.cmp(other)));
    order.truncate(KEPT);
    let weighed = order.into_iter().map(|at| {
        let weight = (weights[count + at] * 100.0).round() / 100.0;
        (vocabulary.text(kept[at]).to_owned(), weight)
    });
    let mut words: Vec<(String, f64)> = weighed.filter(|(_, weight)| *weight != 0.0).collect();
    words.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(one.cmp(other)));
    let apart = [0, 1, 2].map(|at| (weights[dense + at] * 100.0).round() / 100.0);
    words.extend(Model::APART.iter().zip(apart).map(|(name, weight)| (name.to_string(), weight)));
    // Attacks are rarer here than they are where somebody is asked: an even risk is what so many published
    // tools exceed.
    let constant = constant - even(lessons, &rows, &weights, constant);
    let model = Model::new(constant, &weights[..dense]);
    let model = model.wording(words.iter().map(|(text, weight)| (text.as_str(), *weight)));
    Learned { model: whole.with(model), words, whole, apart, tells }
}

/// What one in so many published tools exceeds by its worst sentence.
fn even(lessons: &[Lesson<'_>], rows: &[Row], weights: &[f64], constant: f64) -> f64 {
    let mut worst = HashMap::<usize, f64>::new();
    for (lesson, row) in lessons.iter().zip(rows) {
        if let Some(tool) = lesson.published {
            let sum = constant + row.score(weights) + lesson.length;
            worst.entry(tool).and_modify(|worst| *worst = worst.max(sum)).or_insert(sum);
        }
    }
    quantile(&worst.into_values().collect::<Vec<f64>>(), EVEN)
}

/// The words that enough sources use.
fn used(lessons: &[Lesson<'_>], size: usize) -> Vec<u32> {
    let (mut last, mut used) = (vec![usize::MAX; size], vec![0_usize; size]);
    let mut order: Vec<&Lesson<'_>> = lessons.iter().collect();
    order.sort_by_key(|lesson| lesson.who);
    for lesson in order {
        for word in &lesson.window.features {
            let word = *word as usize;
            if last[word] != lesson.who {
                (last[word], used[word]) = (lesson.who, used[word] + 1);
            }
        }
    }
    (0..size as u32).filter(|word| used[*word as usize] >= USED_BY).collect()
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
