//! What the weights are worth, by part, family, author and language.

use std::collections::BTreeMap;

use etdi_core::analyze::{Analysis, SecurityAnalyzer};

use super::corpus::{Case, Part, is_of_texts};
use super::learn::quantile;

/// How many of each row lie above the two thresholds.
#[derive(Default)]
pub(crate) struct Tally {
    rows: BTreeMap<String, (usize, [usize; 2])>,
}

impl Tally {
    /// A case, whether all of it was caught, whether by what can be pointed at, and whether its poison
    /// would be by itself.
    pub(crate) fn count(
        &mut self,
        case: &Case,
        caught: [bool; 2],
        evident: [bool; 2],
        alone: [bool; 2],
    ) {
        let mut rows = vec![format!("{:?}", case.part)];
        if case.part == Part::HardOwn {
            let english = matches!(&*case.lang, "" | "en");
            rows.push(format!("HardOwn, in English: {english}"));
        }
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
        let part = match (case.part, is_of_texts(&case.family)) {
            (Part::Malicious, false) => None,
            (part, _) => Some((format!("evident {part:?}"), evident)),
        };
        let rows = rows.into_iter().map(|row| (row, caught)).chain(part);
        let poison = is_of_texts(&case.family) && case.part == Part::Malicious;
        let poison = poison.then(|| ("  poison by itself".to_owned(), alone));
        for (row, caught) in rows.chain(poison) {
            let (all, counts) = self.rows.entry(row).or_default();
            *all += 1;
            for (count, caught) in counts.iter_mut().zip(caught) {
                *count += usize::from(caught);
            }
        }
    }

    /// An attack in somebody else's tool, by all and by what can be pointed at.
    pub(crate) fn inserted(&mut self, caught: [bool; 2], evident: [bool; 2]) {
        for (row, caught) in [("inserted", caught), ("evident inserted", evident)] {
            let (all, counts) = self.rows.entry(row.to_owned()).or_default();
            *all += 1;
            for (count, caught) in counts.iter_mut().zip(caught) {
                *count += usize::from(caught);
            }
        }
    }

    pub(crate) fn print(&self) {
        for (row, (all, [one, half])) in &self.rows {
            let part = |count: &usize| 100.0 * *count as f64 / *all as f64;
            let (one, half) = (part(one), part(half));
            println!("{row:28} {all:5}  at 1 %: {one:5.1} %  at 0.5 %: {half:5.1} %");
            let name = match row.trim() {
                "Malicious" => "recall-all",
                "all that texts give away" => "recall-texts",
                "plain attacks" => "recall-plain",
                "poison by itself" => "recall-alone",
                "Ordinary" => "alarms-ordinary",
                "HardReal" => "alarms-hard-real",
                "HardOwn" => "alarms-hard-own",
                "inserted" => "recall-inserted",
                "evident inserted" => "recall-evident-inserted",
                "evident Malicious" => "recall-evident",
                "evident Ordinary" => "alarms-evident-ordinary",
                "evident HardReal" => "alarms-evident-hard-real",
                "evident HardOwn" => "alarms-evident-hard-own",
                _ => continue,
            };
            println!("figure {name}-1 {one:.1}\nfigure {name}-0.5 {half:.1}");
        }
    }
}

/// What is found in a case, beside the tools that are known.
pub(crate) fn look(analyzer: &SecurityAnalyzer, case: &Case) -> Analysis {
    analyzer.clone().knowing(case.known.iter().cloned()).analyze(case.kind, &case.text)
}

/// The authors of attacks in plain words.
const PLAIN: [&str; 6] = ["own:a13 ", "own:a14 ", "own:a15 ", "own:a16 ", "own:a17 ", "own:a18 "];

/// The same with one threshold over all held-out ones.
pub(crate) fn pooled(name: &str, cases: &[Case], risks: &[f64]) {
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
            "{name}, {:.1} % of real tools above {limit:.4}: malicious {:.1} %, hard real {:.1} %, hard own {:.1} %",
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
    println!("{name}, area under the curve: {:.4}", sum / bad.len() as f64);
}
