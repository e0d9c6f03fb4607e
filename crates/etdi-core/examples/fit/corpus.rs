//! The corpus as a fit sees it, and what is learned from a part of it.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;

use etdi_core::analyze::{Kind, KnownTool, Said, SecurityAnalyzer};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::learn::{self, Learned, Lesson, Vocabulary, Window};
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
    /// What is said in all of it, in the poison, and beside the poison; all without repetition.
    pub(crate) windows: Vec<Window>,
    pub(crate) poison: Vec<Window>,
    pub(crate) innocent: Vec<Window>,
    /// All its words and pairs, each once, where it is in English.
    pub(crate) words: Option<Vec<u32>>,
    /// The number of its server or author.
    pub(crate) who: usize,
}

pub(crate) struct Corpus {
    pub(crate) cases: Vec<Case>,
    pub(crate) vocabulary: Vocabulary,
}

pub(crate) const FOLDS: usize = 22;

/// What the harmless part of a malicious definition counts for.
const INNOCENT: f64 = 0.5;

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

/// Reads lines, and gives numbers to words and sources.
#[derive(Default)]
struct Reader {
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
        let all = SecurityAnalyzer::new().said(Some(kind), &text);
        let places: Vec<&str> = line.place.iter().chain(&line.also).map(String::as_str).collect();
        // Honest servers are in English nearly all: the words of another language would tell nothing else.
        let spoken = matches!(line.lang.as_deref(), None | Some("en"));
        let mut parts = [Vec::new(), Vec::new(), Vec::new()];
        let is_poison = |said: &Said| {
            let inside = |(path, from, to): &(String, usize, usize)| {
                said.path == *path && said.at < *to && said.at + said.text.len() > *from
            };
            match line.poison.is_empty() {
                true => places.iter().any(|one| said.path.starts_with(one)),
                false => line.poison.iter().any(inside),
            }
        };
        for (at, said) in all.iter().enumerate() {
            let window = self.vocabulary.window(said, spoken);
            let next = all.get(at + 1).filter(|next| next.path == said.path);
            if is_poison(said) {
                parts[1].push(window.clone());
            } else if !next.is_some_and(is_poison) {
                parts[2].push(window.clone());
            }
            parts[0].push(window);
        }
        for list in &mut parts {
            list.sort_unstable();
            list.dedup();
        }
        let [windows, poison, innocent] = parts;
        let words = spoken.then(|| {
            let mut words: Vec<u32> =
                all.iter().flat_map(|said| self.vocabulary.words(said)).collect();
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
        Case {
            part,
            fold,
            family,
            lang,
            label,
            kind,
            text,
            known,
            windows,
            poison,
            innocent,
            words,
            who,
        }
    }
}

/// Families that a single definition's texts can give away.
pub(crate) fn is_of_texts(family: &str) -> bool {
    !matches!(family, "smuggling" | "hints" | "names" | "schema" | "permissions")
}

/// What one learns from these of the cases.
pub(crate) fn learn(corpus: &Corpus, of: impl Fn(&Case) -> bool) -> Learned {
    let mut lessons = Vec::new();
    for case in corpus.cases.iter().filter(|case| of(case)) {
        let malicious = case.part == Part::Malicious;
        if malicious && !is_of_texts(&case.family) {
            continue;
        }
        let (windows, weight) = match case.part {
            Part::Malicious if case.poison.is_empty() => (&case.windows, 1.0),
            Part::Malicious => (&case.poison, 1.0),
            Part::HardOwn | Part::HardReal => (&case.windows, 2.0),
            Part::Ordinary => (&case.windows, 1.0),
        };
        lessons.push(Lesson { windows, malicious, weight, who: case.who });
        if malicious && !case.poison.is_empty() && !case.innocent.is_empty() {
            // What stands beside the poison is worded by the same hand.
            let (windows, weight) = (&case.innocent, INNOCENT);
            lessons.push(Lesson { windows, malicious: false, weight, who: case.who });
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
    learn::fit(&lessons, whole::fit(&texts, &corpus.vocabulary), &corpus.vocabulary)
}
