//! Fits the weights of the scanner to `tests/corpus`, and says what they are worth on definitions
//! whose authors they have not seen.
//!
//! ```text
//! cargo run --release -p etdi-core --example fit            # measures
//! cargo run --release -p etdi-core --example fit -- --write # and writes weights.txt and wording.txt
//! ```
//!
//! Everything is deterministic: the folds are the authors of the malicious part, and servers fall into
//! them by a hash of who published them.

#![allow(
    clippy::indexing_slicing,
    reason = "arithmetic over lists of one length, in a program of authors"
)]

mod learn;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use etdi_core::analyze::{Kind, KnownTool, Model, Said, SecurityAnalyzer};
use learn::{Learned, Lesson, Vocabulary, Window, each, quantile};
use serde::Deserialize;
use serde_json::value::RawValue;

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
    #[serde(default)]
    beside: Vec<String>,
    #[serde(default)]
    note: String,
    definition: Box<RawValue>,
}

/// What a definition is in the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Ordinary,
    /// Of a published server, and reads like an attack.
    HardReal,
    /// Written here to read like one.
    HardOwn,
    Malicious,
}

struct Case {
    part: Part,
    fold: usize,
    family: String,
    lang: String,
    label: String,
    kind: Kind,
    text: String,
    /// Tools that are known while it is looked at, of those in [`Corpus::beside`].
    known: Vec<KnownTool>,
    /// What is said in all of it, and in what is the poison; both without repetition.
    windows: Vec<Window>,
    poison: Vec<Window>,
    /// The number of its server or author.
    who: usize,
}

struct Corpus {
    cases: Vec<Case>,
    vocabulary: Vocabulary,
}

const FOLDS: usize = 22;

fn main() -> Result<(), Box<dyn Error>> {
    let write = std::env::args().any(|argument| argument == "--write");
    let verbose = std::env::args().any(|argument| argument == "--errors");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus: PathBuf = match std::env::var_os("CORPUS") {
        Some(folder) => folder.into(),
        None => root.join("../../tests/corpus"),
    };
    let corpus = read(&corpus)?;
    let cases = &corpus.cases;
    speed(cases);

    // Each is judged by a model that has not seen its fold.
    let mut risks = vec![0.0; cases.len()];
    for fold in 0..FOLDS {
        let model = learn(&corpus, |case| case.fold != fold).model;
        let analyzer = SecurityAnalyzer::new().with_model(model);
        for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.fold == fold) {
            risks[at] = risk(&analyzer, case);
        }
    }
    // And by a threshold that has not seen it either: of real tools of the other folds, each of which was
    // judged by a model that had not seen it. Those that a model was fitted on would lie too low.
    let mut caught = Tally::default();
    for fold in 0..FOLDS {
        let others = cases.iter().zip(&risks).filter(|(case, _)| {
            case.fold != fold && matches!(case.part, Part::Ordinary | Part::HardReal)
        });
        let others: Vec<f64> = others.map(|(_, risk)| *risk).collect();
        let limits = [quantile(&others, 0.01), quantile(&others, 0.005)];
        for (case, risk) in cases.iter().zip(&risks).filter(|(case, _)| case.fold == fold) {
            caught.count(case, limits.map(|limit| *risk > limit));
        }
    }
    println!("each author held out, threshold from the others:");
    caught.print();
    pooled(cases, &risks);
    let learned = learn(&corpus, |_| true);
    if verbose {
        errors(cases, &risks, &learned);
    }
    by_language(&corpus);

    let table = table(&learned.model);
    match write {
        true => {
            fs::write(root.join("src/analyze/weights.txt"), table)?;
            fs::write(root.join("src/analyze/wording.txt"), list(&learned.words))?;
        }
        false if verbose => println!("{table}"),
        false => {}
    }
    Ok(())
}

fn read(corpus: &Path) -> Result<Corpus, Box<dyn Error>> {
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
        let (mut windows, mut poison) = (Vec::new(), Vec::new());
        for said in &all {
            let window = self.vocabulary.window(said, spoken);
            if places.iter().any(|one| said.path.starts_with(one)) {
                poison.push(window.clone());
            }
            windows.push(window);
        }
        for list in [&mut windows, &mut poison] {
            list.sort_unstable();
            list.dedup();
        }
        let next = self.sources.len();
        let source = line.source.rsplit_once('@').map_or(&*line.source, |(name, _)| name);
        let who = line.author.as_deref().unwrap_or(source);
        let who = *self.sources.entry(who.to_owned()).or_insert(next);
        let family = line.family.unwrap_or_default();
        let lang = line.lang.unwrap_or_default();
        let label = format!("{} {} {lang} {}", line.source, family, line.note);
        let known = Vec::new();
        Case { part, fold, family, lang, label, kind, text, known, windows, poison, who }
    }
}

/// Families that a single definition's texts can give away.
fn is_of_texts(family: &str) -> bool {
    !matches!(family, "smuggling" | "hints" | "names" | "schema" | "permissions")
}

/// What one learns from these of the cases.
fn learn(corpus: &Corpus, of: impl Fn(&Case) -> bool) -> Learned {
    let lessons: Vec<Lesson<'_>> = (corpus.cases.iter())
        .filter(|case| of(case))
        .filter(|case| case.part != Part::Malicious || is_of_texts(&case.family))
        .map(|case| {
            let (windows, weight) = match case.part {
                Part::Malicious if case.poison.is_empty() => (&case.windows, 1.0),
                Part::Malicious => (&case.poison, 1.0),
                Part::HardOwn | Part::HardReal => (&case.windows, 2.0),
                Part::Ordinary => (&case.windows, 1.0),
            };
            Lesson { windows, malicious: case.part == Part::Malicious, weight, who: case.who }
        })
        .collect();
    learn::fit(&lessons, &corpus.vocabulary)
}

#[derive(Default)]
struct Tally {
    rows: BTreeMap<String, (usize, [usize; 2])>,
}

impl Tally {
    fn count(&mut self, case: &Case, caught: [bool; 2]) {
        let mut rows = vec![format!("{:?}", case.part)];
        if case.part == Part::Malicious {
            rows.push(format!("  family {}", case.family));
            rows.push(format!("  author {}", case.label.split(' ').next().unwrap_or("")));
            rows.push(format!("  lang {}", case.lang));
            if is_of_texts(&case.family) {
                rows.push("  all that texts give away".to_owned());
                // Attacks as most of them are published: short, and in plain words.
                if PLAIN.iter().any(|author| case.label.starts_with(author)) {
                    rows.push("  plain attacks".to_owned());
                }
            }
        }
        for row in rows {
            let (all, counts) = self.rows.entry(row).or_default();
            *all += 1;
            for (count, caught) in counts.iter_mut().zip(caught) {
                *count += usize::from(caught);
            }
        }
    }

    fn print(&self) {
        for (row, (all, [one, half])) in &self.rows {
            let part = |count: &usize| 100.0 * *count as f64 / *all as f64;
            let (one, half) = (part(one), part(half));
            println!("{row:28} {all:5}  at 1 %: {one:5.1} %  at 0.5 %: {half:5.1} %");
            let name = match row.trim() {
                "Malicious" => "recall-all",
                "all that texts give away" => "recall-texts",
                "plain attacks" => "recall-plain",
                "Ordinary" => "alarms-ordinary",
                "HardReal" => "alarms-hard-real",
                "HardOwn" => "alarms-hard-own",
                _ => continue,
            };
            println!("figure {name}-1 {one:.1}\nfigure {name}-0.5 {half:.1}");
        }
    }
}

/// How likely a case is malicious, beside the tools that are known.
fn risk(analyzer: &SecurityAnalyzer, case: &Case) -> f64 {
    analyzer.clone().knowing(case.known.iter().cloned()).analyze(case.kind, &case.text).risk
}

/// The authors of attacks in plain words.
const PLAIN: [&str; 6] = ["own:a13 ", "own:a14 ", "own:a15 ", "own:a16 ", "own:a17 ", "own:a18 "];

/// The same with one threshold over all held-out ones.
fn pooled(cases: &[Case], risks: &[f64]) {
    let of = |parts: &[Part]| -> Vec<f64> {
        let mine = cases.iter().zip(risks).filter(|(case, _)| parts.contains(&case.part));
        mine.map(|(_, risk)| *risk).collect()
    };
    let real = of(&[Part::Ordinary, Part::HardReal]);
    for part in [0.01, 0.005] {
        let limit = quantile(&real, part);
        let above = |parts: &[Part]| {
            let risks = of(parts);
            100.0 * risks.iter().filter(|risk| **risk > limit).count() as f64 / risks.len() as f64
        };
        println!(
            "pooled, {:.1} % of real tools above {limit:.4}: malicious {:.1} %, hard real {:.1} %, hard own {:.1} %",
            part * 100.0,
            above(&[Part::Malicious]),
            above(&[Part::HardReal]),
            above(&[Part::HardOwn]),
        );
    }
    let bad = of(&[Part::Malicious]);
    let mut sum = 0.0;
    for risk in &bad {
        let below = real.iter().filter(|one| *one < risk).count() as f64;
        let same = real.iter().filter(|one| *one == risk).count() as f64;
        sum += (below + same / 2.0) / real.len() as f64;
    }
    println!("area under the curve: {:.4}", sum / bad.len() as f64);
}

fn errors(cases: &[Case], risks: &[f64], Learned { model, words }: &Learned) {
    let mut order: Vec<(&Case, f64)> = cases.iter().zip(risks.iter().copied()).collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let named = |case: &Case| {
        let analyzer = SecurityAnalyzer::new();
        let mut said = analyzer.said(Some(case.kind), &case.text);
        let words: BTreeMap<&str, f64> = words.iter().map(|(text, sum)| (&**text, *sum)).collect();
        let adds = |said: &Said| {
            let sum = said.features.iter().filter_map(|text| words.get(&**text)).sum();
            Model::reckoned(sum, said.words)
        };
        let risk = |said: &Said| model.risk(said.signals, adds(said));
        said.sort_by(|one, other| risk(other).total_cmp(&risk(one)));
        let names: Vec<&str> = Model::names().collect();
        let mut shown = String::new();
        for said in said.iter().take(1) {
            let text: String = said.text.chars().take(330).collect();
            shown.push_str(&format!("\n      {} {}\n     ", said.path, text.trim()));
            each(said.signals, |at| shown.push_str(&format!(" {}", names[at])));
            shown.push_str(&format!(" words {:.2}", adds(said)));
        }
        shown
    };
    println!("\nhonest ones, the worst first:");
    for (case, risk) in order.iter().filter(|(case, _)| case.part != Part::Malicious).take(60) {
        println!("{risk:.3} {:?} {}{}", case.part, case.label, named(case));
    }
    println!("\nmalicious ones, the least first:");
    let missed = order.iter().rev().filter(|(case, _)| case.part == Part::Malicious);
    for (case, risk) in missed.filter(|(case, _)| is_of_texts(&case.family)).take(150) {
        println!("{risk:.3} {}{}", case.label, named(case));
    }
}

/// A look at languages: each one's malicious definitions judged by weights fitted without them.
fn by_language(corpus: &Corpus) {
    let cases = &corpus.cases;
    let mut langs: Vec<&str> =
        cases.iter().map(|case| &*case.lang).filter(|one| !one.is_empty()).collect();
    langs.sort_unstable();
    langs.dedup();
    for lang in langs {
        let model = learn(corpus, |case| case.lang != lang || case.part != Part::Malicious).model;
        let analyzer = SecurityAnalyzer::new().with_model(model);
        let risk = |case: &Case| risk(&analyzer, case);
        let real = cases.iter().filter(|case| matches!(case.part, Part::Ordinary | Part::HardReal));
        let limit = quantile(&real.map(risk).collect::<Vec<f64>>(), 0.01);
        let own = cases.iter().filter(|case| case.part == Part::Malicious && case.lang == lang);
        let own: Vec<f64> = own.map(risk).collect();
        if own.is_empty() {
            continue;
        }
        let caught = own.iter().filter(|risk| **risk > limit).count();
        println!("language {lang} held out: {caught} of {} at 1 %", own.len());
    }
}

/// Time for one definition, the median of all.
fn speed(cases: &[Case]) {
    let analyzer = SecurityAnalyzer::new();
    let begin = Instant::now();
    let mut times: Vec<u128> = Vec::with_capacity(cases.len());
    for case in cases {
        let start = Instant::now();
        std::hint::black_box(analyzer.analyze(case.kind, &case.text));
        times.push(start.elapsed().as_nanos() / 1_000);
    }
    let all = begin.elapsed();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 1_000).copied().unwrap_or(0);
    println!(
        "{} definitions in {} ms: median {} us, 99th percentile {} us",
        times.len(),
        all.as_millis(),
        at(500),
        at(990)
    );
}

fn table(model: &Model) -> String {
    let mut table =
        String::from("# written by `cargo run --release -p etdi-core --example fit -- --write`\n");
    table.push_str(&format!("constant {:.3}\n", model.constant()));
    for (name, weight) in Model::names().zip(model.weights()) {
        table.push_str(&format!("{name} {weight:.3}\n"));
    }
    table
}

fn list(words: &[(String, f64)]) -> String {
    let mut list =
        String::from("# written by `cargo run --release -p etdi-core --example fit -- --write`\n");
    words.iter().for_each(|(text, weight)| list.push_str(&format!("{weight:.2} {text}\n")));
    list
}
