//! Fits the weights of the scanner to `tests/corpus`, and says what they are worth on definitions
//! whose authors they have not seen.
//!
//! ```text
//! cargo run --release -p etdi-core --example fit                 # measures
//! cargo run --release -p etdi-core --example fit -- --write      # and writes the tables of the scanner
//! cargo run --release -p etdi-core --example fit -- --tables     # writes them, and measures nothing
//! cargo run --release -p etdi-core --example fit -- --judge FILE # and judges other definitions
//! ```
//!
//! Everything is deterministic: the folds are the authors of the malicious part, and servers fall into
//! them by a hash of who published them.

#![allow(
    clippy::indexing_slicing,
    reason = "arithmetic over lists of one length, in a program of authors"
)]

mod corpus;
mod figures;
mod learn;
mod minimum;
mod whole;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use corpus::{Case, Corpus, FOLDS, Part, common, is_of_texts, learn, read};
use etdi_core::analyze::{Kind, Model, Said, SecurityAnalyzer};
use figures::{Tally, look, pooled};
use learn::{Learned, each, quantile};
use serde_json::value::RawValue;

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
    if std::env::args().any(|argument| argument == "--tables") {
        return written(&corpus, &learn(&corpus, |_| true));
    }
    speed(cases);

    // Each is judged by a model that has not seen its fold.
    let mut risks = vec![0.0; cases.len()];
    let mut evident = vec![0.0; cases.len()];
    let mut alone = vec![0.0; cases.len()];
    let mut inserted = vec![[0.0; 2]; cases.len()];
    for fold in 0..FOLDS {
        let learned = learn(&corpus, |case| case.fold != fold);
        let weights = learned.weights();
        for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.fold == fold) {
            let poison = case.poison.iter().chain(&case.pairs);
            let length = (Model::length(case.length), learned.tells.is_foreign(&case.topics));
            let risk = |window| learned.risk(&weights, &corpus.vocabulary, window, length);
            let risks = poison.map(risk);
            alone[at] = risks.fold(0.0, f64::max);
        }
        let model = learned.model;
        let analyzer = SecurityAnalyzer::new().with_model(model);
        for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.fold == fold) {
            let found = look(&analyzer, case);
            (risks[at], evident[at]) = (found.risk, found.evident);
            if let Some(text) = inserted_into(cases, at) {
                let found = analyzer.analyze(Kind::Tool, &text);
                inserted[at] = [found.risk, found.evident];
            }
        }
    }
    // And by a threshold that has not seen it either: of real tools of the other folds, each of which was
    // judged by a model that had not seen it. Those that a model was fitted on would lie too low.
    let mut caught = Tally::default();
    for fold in 0..FOLDS {
        let limits = |risks: &[f64]| {
            let others = cases.iter().zip(risks).filter(|(case, _)| {
                case.fold != fold && matches!(case.part, Part::Ordinary | Part::HardReal)
            });
            let others: Vec<f64> = others.map(|(_, risk)| *risk).collect();
            [quantile(&others, 0.01), quantile(&others, 0.005)]
        };
        let (limits, shown) = (limits(&risks), limits(&evident));
        for (at, case) in cases.iter().enumerate().filter(|(_, case)| case.fold == fold) {
            caught.count(
                case,
                limits.map(|limit| risks[at] > limit),
                shown.map(|limit| evident[at] > limit),
                shown.map(|limit| alone[at] > limit),
            );
            if case.part == Part::Malicious && is_of_texts(&case.family) {
                let [risk, evident] = inserted[at];
                caught
                    .inserted(limits.map(|limit| risk > limit), shown.map(|limit| evident > limit));
            }
        }
    }
    println!("each author held out, threshold from the others:");
    caught.print();
    pooled("risk", cases, &risks);
    pooled("evident", cases, &evident);
    let learned = learn(&corpus, |_| true);
    if let Some(file) = std::env::args().skip_while(|argument| argument != "--judge").nth(1) {
        judge(&learned.model, Path::new(&file))?;
    }
    if verbose {
        errors(cases, &risks, &learned);
    }

    match write {
        true => written(&corpus, &learned)?,
        false if verbose => println!("{}", table(&learned.model)),
        false => {}
    }
    by_language(&corpus);
    Ok(())
}

/// Writes the tables of the scanner.
fn written(corpus: &Corpus, learned: &Learned) -> Result<(), Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/analyze");
    fs::write(folder.join("weights.txt"), table(&learned.model))?;
    fs::write(folder.join("common.txt"), common_table(corpus))?;
    fs::write(folder.join("wording.txt"), list(&learned.words))?;
    let mut words = learned.whole.words.clone();
    words.insert(0, ("=".to_owned(), learned.whole.constant));
    Ok(fs::write(folder.join("whole.txt"), list(&words))?)
}

/// What the weights say of definitions outside of the corpus: a file beside it, with a risk a line.
fn judge(model: &Model, file: &Path) -> Result<(), Box<dyn Error>> {
    let analyzer = SecurityAnalyzer::new().with_model(model.clone());
    let mut risks = String::new();
    for line in fs::read_to_string(file)?.lines() {
        let line: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line)?;
        let definition = line.get("definition").ok_or("a line has no `definition`")?;
        risks.push_str(&format!("{}\n", analyzer.analyze(Kind::Tool, definition.get()).risk));
    }
    Ok(fs::write(file.with_extension("risks"), risks)?)
}

/// A published tool of the same fold with the attack in its description: at its end, but for two in five
/// at its beginning or behind its first sentence. `None` where nothing can be put there.
fn inserted_into(cases: &[Case], at: usize) -> Option<String> {
    let case = &cases[at];
    let hosts: Vec<&Case> = (cases.iter())
        .filter(|host| {
            host.fold == case.fold && host.part == Part::Ordinary && host.kind == Kind::Tool
        })
        .collect();
    if case.attack.is_empty() || hosts.is_empty() {
        return None;
    }
    let host = hosts[at * 7_919 % hosts.len()];
    let mut tool: BTreeMap<String, serde_json::Value> = serde_json::from_str(&host.text).ok()?;
    let text = tool.get("description").and_then(|text| text.as_str()).unwrap_or("").to_owned();
    let attack = &case.attack;
    let text = match (at % 5, text.split_once(". ")) {
        (0, _) => format!("{attack} {text}"),
        (1, Some((first, rest))) => format!("{first}. {attack} {rest}"),
        _ => format!("{text} {attack}"),
    };
    tool.insert("description".to_owned(), text.into());
    serde_json::to_string(&tool).ok()
}

fn errors(cases: &[Case], risks: &[f64], Learned { model, words, .. }: &Learned) {
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

/// A look at languages that have enough of them: each one's malicious definitions judged by weights fitted
/// without them.
fn by_language(corpus: &Corpus) {
    let cases = &corpus.cases;
    let mut langs: Vec<&str> =
        cases.iter().map(|case| &*case.lang).filter(|one| !one.is_empty()).collect();
    langs.sort_unstable();
    langs.dedup();
    let many = |lang: &str| cases.iter().filter(|case| case.lang == lang).count() >= ENOUGH;
    langs.retain(|lang| many(lang));
    for lang in langs {
        let model = learn(corpus, |case| case.lang != lang || case.part != Part::Malicious).model;
        let analyzer = SecurityAnalyzer::new().with_model(model);
        let risk = |case: &Case| look(&analyzer, case).risk;
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

const ENOUGH: usize = 40;

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

fn common_table(corpus: &Corpus) -> String {
    let mut list =
        String::from("# written by `cargo run --release -p etdi-core --example fit -- --write`\n");
    let words = common(corpus, |_| true);
    words.iter().for_each(|(text, _, tells)| list.push_str(&format!("{tells:.1} {text}\n")));
    list
}

fn list(words: &[(String, f64)]) -> String {
    let mut list =
        String::from("# written by `cargo run --release -p etdi-core --example fit -- --write`\n");
    words.iter().for_each(|(text, weight)| list.push_str(&format!("{weight:.2} {text}\n")));
    list
}
