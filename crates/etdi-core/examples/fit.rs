//! Fits the weights of the scanner to `tests/corpus`, and says what they are worth on definitions
//! whose authors they have not seen.
//!
//! ```text
//! cargo run --release -p etdi-core --example fit            # measures
//! cargo run --release -p etdi-core --example fit -- --write # and writes weights.txt
//! ```
//!
//! Everything is deterministic: the folds are the authors of the malicious part, and servers fall into
//! them by a hash of who published them.

#![allow(
    clippy::indexing_slicing,
    reason = "arithmetic over lists of one length, in a program of authors"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use etdi_core::analyze::{Kind, KnownTool, Model, SecurityAnalyzer};
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
    /// The signals of all utterances, and of those that are the poison; both without repetition.
    signals: Vec<u64>,
    poison: Vec<u64>,
}

const FOLDS: usize = 18;

fn main() -> Result<(), Box<dyn Error>> {
    let write = std::env::args().any(|argument| argument == "--write");
    let verbose = std::env::args().any(|argument| argument == "--errors");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus: PathBuf = match std::env::var_os("CORPUS") {
        Some(folder) => folder.into(),
        None => root.join("../../tests/corpus"),
    };
    let cases = read(&corpus)?;
    speed(&cases);

    let mut risks = vec![0.0; cases.len()];
    let mut caught = Tally::default();
    for fold in 0..FOLDS {
        let model = fit(&cases, |case| case.fold != fold);
        let analyzer = SecurityAnalyzer::new().with_model(model);
        let score = |case: &Case| risk(&analyzer, case);
        let trained: Vec<f64> = (cases.iter())
            .filter(|case| {
                case.fold != fold && matches!(case.part, Part::Ordinary | Part::HardReal)
            })
            .map(score)
            .collect();
        let limits = [quantile(&trained, 0.01), quantile(&trained, 0.005)];
        for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.fold == fold) {
            let risk = score(case);
            risks[at] = risk;
            caught.count(case, limits.map(|limit| risk > limit));
        }
    }
    println!("each author held out, threshold from the others:");
    caught.print();
    pooled(&cases, &risks);
    let model = fit(&cases, |_| true);
    if verbose {
        errors(&cases, &risks, &model);
    }
    by_language(&cases);

    let table = table(&model);
    let mut risks: Vec<f64> = Vec::new();
    let analyzer = SecurityAnalyzer::new().with_model(model);
    for case in cases.iter().filter(|case| matches!(case.part, Part::Ordinary | Part::HardReal)) {
        risks.push(risk(&analyzer, case));
    }
    println!("thresholds of all: {:.4} {:.4}", quantile(&risks, 0.01), quantile(&risks, 0.005));
    match write {
        true => fs::write(root.join("src/analyze/weights.txt"), table)?,
        false if verbose => println!("{table}"),
        false => {}
    }
    Ok(())
}

fn read(corpus: &Path) -> Result<Vec<Case>, Box<dyn Error>> {
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
            cases.push((line.source.clone(), case(line, part)));
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
    Ok(cases.into_iter().map(|(_, case)| case).collect())
}

fn case(line: Line, part: Part) -> Case {
    let who = line.author.as_deref().unwrap_or(&line.source);
    let fold = match line.source.strip_prefix("own:a").map(str::parse::<usize>) {
        Some(Ok(author)) => author % FOLDS,
        _ => who.bytes().fold(7_usize, |sum, byte| (sum * 31 + usize::from(byte)) % 9_973) % FOLDS,
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
    let unique = |mut signals: Vec<u64>| {
        signals.sort_unstable();
        signals.dedup();
        signals
    };
    let poison = all.iter().filter(|said| places.iter().any(|one| said.path.starts_with(one)));
    let poison = unique(poison.map(|said| said.signals).collect());
    let signals = unique(all.into_iter().map(|said| said.signals).collect());
    let family = line.family.unwrap_or_default();
    let lang = line.lang.unwrap_or_default();
    let label = format!("{} {} {lang} {}", line.source, family, line.note);
    let known = Vec::new();
    Case { part, fold, family, lang, label, kind, text, known, signals, poison }
}

/// Families that a single definition's texts can give away.
fn is_of_texts(family: &str) -> bool {
    !matches!(family, "smuggling" | "hints" | "names" | "schema" | "permissions")
}

/// Logistic regression over the worst utterance of each definition: the weights that tell malicious
/// from honest ones best, small, and of the sign that each signal has to have.
fn fit(cases: &[Case], of: impl Fn(&Case) -> bool) -> Model {
    const STEPS: usize = 900;
    const NEAR: f64 = 2.5;
    const FAR: f64 = 0.25;
    const SMALL: f64 = 0.001;
    let cases: Vec<(&[u64], f64, f64)> = cases
        .iter()
        .filter(|case| of(case))
        .filter(|case| case.part != Part::Malicious || is_of_texts(&case.family))
        .map(|case| match case.part {
            Part::Malicious if case.poison.is_empty() => (&*case.signals, 1.0, 1.0),
            Part::Malicious => (&*case.poison, 1.0, 1.0),
            Part::HardOwn => (&*case.signals, 0.0, 2.0),
            Part::HardReal => (&*case.signals, 0.0, 2.0),
            Part::Ordinary => (&*case.signals, 0.0, 1.0),
        })
        .collect();
    let total: f64 = cases.iter().map(|(_, _, weight)| weight).sum();
    let priors: Vec<f64> = Model::priors().collect();
    let count = priors.len();
    // The last is the constant.
    let mut weights = priors.clone();
    weights.push(-3.0);
    let (mut mean, mut square) = (vec![0.0; count + 1], vec![0.0; count + 1]);
    let mut scores = vec![(0.0, 0); cases.len()];
    for step in 1..=STEPS {
        for ((signals, _, _), score) in cases.iter().zip(&mut scores) {
            *score = signals
                .iter()
                .map(|signals| (add(&weights, *signals), *signals))
                .max_by(|(one, _), (other, _)| one.total_cmp(other))
                .unwrap_or((weights[count], 0));
        }
        // First all definitions count alike. Then those do that lie near the threshold: what no text
        // gives away would otherwise make single words suspicious.
        let honest = cases.iter().zip(&scores).filter(|((_, label, _), _)| *label == 0.0);
        let limit = quantile(&honest.map(|(_, (score, _))| *score).collect::<Vec<f64>>(), 0.01);
        let near = |score: f64| match step > STEPS / 3 {
            true => FAR + 4.0 * logistic((score - limit) / NEAR) * logistic((limit - score) / NEAR),
            false => 1.0,
        };
        let off = weights.iter().zip(&priors).map(|(weight, prior)| SMALL * (weight - prior));
        let mut slope: Vec<f64> = off.collect();
        slope.push(0.0);
        for ((_, label, weight), (score, worst)) in cases.iter().zip(&scores) {
            let weight = match *label == 1.0 {
                true => weight * near(*score),
                false => *weight,
            };
            let error = weight * (logistic(*score) - label) / total;
            each(*worst, |at| slope[at] += error);
            slope[count] += error;
        }
        let rate = 0.1 / (1.0 + step as f64 / 150.0);
        for at in 0..=count {
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
    Model::new(weights[count], &weights[..count])
}

fn logistic(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

fn add(weights: &[f64], signals: u64) -> f64 {
    let mut sum = weights[weights.len() - 1];
    each(signals, |at| sum += weights[at]);
    sum
}

fn each(mut signals: u64, mut with: impl FnMut(usize)) {
    while signals != 0 {
        with(signals.trailing_zeros() as usize);
        signals &= signals - 1;
    }
}

/// The value that this part of them lies above.
fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(|one, other| other.total_cmp(one));
    let at = (values.len() as f64 * part) as usize;
    values.get(at).copied().unwrap_or(1.0)
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

fn errors(cases: &[Case], risks: &[f64], model: &Model) {
    let mut order: Vec<(&Case, f64)> = cases.iter().zip(risks.iter().copied()).collect();
    order.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    let named = |case: &Case| {
        let analyzer = SecurityAnalyzer::new();
        let mut said = analyzer.said(Some(case.kind), &case.text);
        said.sort_by(|one, other| model.risk(other.signals).total_cmp(&model.risk(one.signals)));
        let names: Vec<&str> = Model::names().collect();
        let mut shown = String::new();
        for said in said.iter().take(1) {
            let text: String = said.text.chars().take(330).collect();
            shown.push_str(&format!("\n      {} {}\n     ", said.path, text.trim()));
            each(said.signals, |at| shown.push_str(&format!(" {}", names[at])));
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
fn by_language(cases: &[Case]) {
    let mut langs: Vec<&str> =
        cases.iter().map(|case| &*case.lang).filter(|one| !one.is_empty()).collect();
    langs.sort_unstable();
    langs.dedup();
    for lang in langs {
        let model = fit(cases, |case| case.lang != lang || case.part != Part::Malicious);
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
