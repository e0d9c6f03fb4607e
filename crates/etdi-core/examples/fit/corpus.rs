//! The corpus as a fit sees it, and what is learned from a part of it.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::fs;
use std::path::Path;

use etdi_core::analyze::{Kind, KnownTool, Model, Said, SecurityAnalyzer};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::learn::{self, Learned, Lesson, Tells, Vocabulary, Window};
use super::whole::{self, Text};

/// A line of the corpus.
#[derive(Deserialize)]
struct Line {
    source: String,
    #[serde(default)]
    author: Option<String>,
    kind: String,
    #[serde(default)]
    family: Option<String>,
    #[serde(default)]
    lang: Option<String>,
    #[serde(default)]
    hard: bool,
    #[serde(default)]
    contested: bool,
    #[serde(default, rename = "where")]
    place: Option<String>,
    #[serde(default)]
    also: Vec<String>,
    /// Which bytes of which strings are the attack itself.
    #[serde(default)]
    poison: Vec<(String, usize, usize)>,
    #[serde(default)]
    beside: Vec<String>,
    #[serde(default)]
    note: String,
    definition: Box<RawValue>,
}

/// What a definition is in the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Ordinary,
    /// Of a published server, and reads like an attack.
    HardReal,
    /// Written here to read like one.
    HardOwn,
    Malicious,
}

pub(crate) struct Case {
    pub(crate) part: Part,
    pub(crate) fold: usize,
    pub(crate) family: String,
    pub(crate) lang: String,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Tools that are known while it is looked at, of those in [`Corpus::beside`].
    pub(crate) known: Vec<KnownTool>,
    /// What is said beside the poison, or in all of it where there is none: each sentence, and each with
    /// the next; and the sentences that are the poison. All without repetition.
    pub(crate) innocent: Vec<Window>,
    pub(crate) poison: Vec<Window>,
    /// Sentences of the poison that stand side by side.
    pub(crate) pairs: Vec<Window>,
    /// What it is about, in order.
    pub(crate) topics: Vec<u32>,
    /// All its words and pairs, each once, where it is in English.
    pub(crate) words: Option<Vec<u32>>,
    /// The number of its server or author.
    pub(crate) who: usize,
    /// How many words its texts have.
    pub(crate) length: usize,
    /// The attack itself, as it stands there.
    pub(crate) attack: String,
}

pub(crate) struct Corpus {
    pub(crate) cases: Vec<Case>,
    pub(crate) vocabulary: Vocabulary,
}

pub(crate) const FOLDS: usize = 22;

/// What an honest sentence counts for, by where it stands; one of an attack counts for one.
const ORDINARY: f64 = 3.0;
const HARD_REAL: f64 = 14.0;
const HARD_OWN: f64 = 4.5;
const BESIDE: f64 = 0.5;

pub(crate) fn read(corpus: &Path) -> Result<Corpus, Box<dyn Error>> {
    let mut reader = Reader::default();
    let mut cases = Vec::new();
    let mut beside = Vec::new();
    // What each honest source says, to know its own tools from others'.
    let mut honest = BTreeMap::<String, String>::new();
    for file in ["ordinary.jsonl", "hard.jsonl", "malicious.jsonl"] {
        for line in fs::read_to_string(corpus.join(file))?.lines() {
            let line: Line = serde_json::from_str(line)?;
            if line.contested {
                continue;
            }
            let part = match (file, line.hard) {
                ("malicious.jsonl", _) => Part::Malicious,
                ("hard.jsonl", _) => Part::HardOwn,
                (_, true) => Part::HardReal,
                _ => Part::Ordinary,
            };
            beside.extend(line.beside.iter().cloned());
            if part != Part::Malicious {
                honest.entry(line.source.clone()).or_default().push_str(line.definition.get());
            }
            cases.push((line.source.clone(), reader.case(line, part)));
        }
    }
    beside.sort_unstable();
    beside.dedup();
    // The same tools are known beside each definition, but for those that an honest server offers
    // itself: a listing that speaks of its own tools is no finding.
    for (source, case) in &mut cases {
        let own = honest.get(source).filter(|_| case.part != Part::Malicious);
        let others = beside.iter().filter(|name| !own.is_some_and(|text| text.contains(&***name)));
        case.known = others.map(|name| KnownTool::new(name.as_str(), "beside")).collect();
    }
    let cases = cases.into_iter().map(|(_, case)| case).collect();
    Ok(Corpus { cases, vocabulary: reader.vocabulary })
}

/// How much each beginning of a word tells, by how many of these published tools have it; those that few
/// have are not among them. The least first.
pub(crate) fn common(corpus: &Corpus, of: impl Fn(&Case) -> bool) -> Vec<(&str, u32, f64)> {
    let (mut tools, mut having) = (0_usize, BTreeMap::<u32, usize>::new());
    let real = |case: &&Case| matches!(case.part, Part::Ordinary | Part::HardReal) && of(case);
    for case in corpus.cases.iter().filter(real) {
        case.topics.iter().for_each(|topic| *having.entry(*topic).or_default() += 1);
        tools += 1;
    }
    let tells = |having: usize| (10.0 * ((tools + 1) as f64 / having as f64).ln()).round() / 10.0;
    let word = |topic: u32| corpus.vocabulary.text(topic).trim_start_matches('=');
    let told = having.into_iter().filter(|(_, having)| *having > FEW);
    let told = told.map(|(topic, having)| (word(topic), topic, tells(having)));
    let mut common: Vec<(&str, u32, f64)> = told.collect();
    common.sort_by(|(one, _, a), (other, _, b)| a.total_cmp(b).then(one.cmp(other)));
    common
}

/// A word that no more published tools have than so many tells as much as one that none has.
const FEW: usize = 3;

/// Reads lines, and gives numbers to words and sources.
#[derive(Default)]
struct Reader {
    analyzer: SecurityAnalyzer,
    vocabulary: Vocabulary,
    sources: BTreeMap<String, usize>,
}

impl Reader {
    fn case(&mut self, line: Line, part: Part) -> Case {
        let who = line.author.as_deref().unwrap_or(&line.source);
        let fold = match line.source.strip_prefix("own:a").map(str::parse::<usize>) {
            Some(Ok(author)) => author % FOLDS,
            _ => {
                who.bytes().fold(7_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 9_973)
                    % FOLDS
            }
        };
        let kind = match &*line.kind {
            "prompt" => Kind::Prompt,
            "template" => Kind::Template,
            "instructions" => Kind::Server,
            "result" => Kind::Result,
            _ => Kind::Tool,
        };
        let text = line.definition.get().to_owned();
        let all = self.analyzer.said(Some(kind), &text);
        let places: Vec<&str> = line.place.iter().chain(&line.also).map(String::as_str).collect();
        // Honest servers are in English nearly all: the words of another language would tell nothing else.
        let spoken = matches!(line.lang.as_deref(), None | Some("en"));
        let malicious = part == Part::Malicious;
        let is_poison = |said: &Said| {
            let inside = |(path, from, to): &(String, usize, usize)| {
                said.path == *path && said.at < *to && said.at + said.text.len() > *from
            };
            malicious
                && match line.poison.is_empty() {
                    true => places.iter().any(|one| said.path.starts_with(one)),
                    false => line.poison.iter().any(inside),
                }
        };
        let alone: Vec<Window> =
            all.iter().map(|said| self.vocabulary.window(said, spoken)).collect();
        let (mut innocent, mut poison, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for (at, said) in all.iter().enumerate() {
            let bad = is_poison(said);
            if bad { &mut poison } else { &mut innocent }.push(alone[at].clone());
            let next = all.get(at + 1).filter(|_| said.followed);
            match next.map(is_poison) {
                Some(other) if bad == other => {
                    let apart = self.vocabulary.topics(&said.apart_with_next);
                    let both = alone[at].with(&alone[at + 1], apart);
                    if bad { &mut pairs } else { &mut innocent }.push(both);
                }
                _ => {}
            }
        }
        let mut topics: Vec<u32> =
            all.iter().flat_map(|said| self.vocabulary.topics(&said.topics)).collect();
        topics.sort_unstable();
        topics.dedup();
        let words = spoken.then(|| {
            let mut words: Vec<u32> =
                all.iter().flat_map(|said| self.vocabulary.words(&said.features)).collect();
            words.sort_unstable();
            words.dedup();
            words
        });
        let next = self.sources.len();
        let source = line.source.rsplit_once('@').map_or(&*line.source, |(name, _)| name);
        let who = line.author.as_deref().unwrap_or(source);
        let who = *self.sources.entry(who.to_owned()).or_insert(next);
        let family = line.family.unwrap_or_default();
        let lang = line.lang.unwrap_or_default();
        let label = format!("{} {} {lang} {}", line.source, family, line.note);
        let known = Vec::new();
        let sentences = all.iter().filter(|said| !said.name);
        let length = sentences.clone().map(|said| said.words).sum();
        let attack: Vec<&str> =
            sentences.filter(|said| is_poison(said)).map(|said| said.text.trim()).collect();
        let attack = attack.join(" ");
        Case {
            part,
            fold,
            family,
            lang,
            label,
            kind,
            text,
            known,
            innocent,
            poison,
            pairs,
            topics,
            words,
            who,
            length,
            attack,
        }
    }
}

/// Families that a single definition's texts can give away.
pub(crate) fn is_of_texts(family: &str) -> bool {
    !matches!(family, "smuggling" | "hints" | "names" | "schema" | "permissions")
}

/// What one learns from these of the cases.
pub(crate) fn learn(corpus: &Corpus, of: impl Fn(&Case) -> bool) -> Learned {
    let common = common(corpus, &of);
    let tells = Tells(common.iter().map(|(_, topic, tells)| (*topic, *tells)).collect());
    let mut lessons = Vec::new();
    // A server that says the same in each of its tools says it once.
    let mut known = HashSet::new();
    for (number, case) in corpus.cases.iter().enumerate().filter(|(_, case)| of(case)) {
        let who = case.who;
        let malicious = case.part == Part::Malicious;
        if malicious && !is_of_texts(&case.family) {
            continue;
        }
        let length = Model::length(case.length);
        let foreign = tells.is_foreign(&case.topics);
        let published = (!malicious && case.part != Part::HardOwn).then_some(number);
        let weight = match case.part {
            Part::Malicious => BESIDE,
            Part::Ordinary => ORDINARY,
            Part::HardReal => HARD_REAL,
            Part::HardOwn => HARD_OWN,
        };
        for window in case.innocent.iter().filter(|one| known.insert((who, false, one.same()))) {
            lessons.push(Lesson {
                window,
                malicious: false,
                weight,
                who,
                published,
                length,
                foreign,
            });
        }
        let weight = 1.0 / (case.poison.len().max(1) as f64).sqrt();
        for window in case.poison.iter().filter(|one| known.insert((who, true, one.same()))) {
            lessons.push(Lesson {
                window,
                malicious: true,
                weight,
                who,
                published,
                length,
                foreign,
            });
        }
    }
    let texts: Vec<Text<'_>> = (corpus.cases.iter())
        .filter(|case| of(case))
        .filter(|case| case.part != Part::Malicious || is_of_texts(&case.family))
        .filter_map(|case| {
            let words = case.words.as_deref()?;
            Some(Text { words, malicious: case.part == Part::Malicious, who: case.who })
        })
        .collect();
    let whole = whole::fit(&texts, &corpus.vocabulary);
    let mut learned = learn::fit(&lessons, whole, tells, &corpus.vocabulary);
    learned.model = learned.model.common(common.iter().map(|(word, _, tells)| (*word, *tells)));
    learned
}
