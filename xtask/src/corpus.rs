//! `cargo xtask corpus`: whether the definitions that the scanner is to be measured on are fit for it.
//!
//! The corpus is data in `tests/corpus`: a line for each definition, its README says what the members
//! mean. A figure is worth as much as the set that it was measured on, so what would spoil one is a
//! fault here: a definition twice, a poison that nobody can point at, a licence that does not let us
//! keep it, a server that gives most of the set.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use serde_json::value::RawValue;

/// Licences under which what others published is kept.
const LICENCES: [&str; 6] =
    ["MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT OR Apache-2.0"];

/// The most tools of one server, and of one author here: the largest gave 273. An author is one fold whatever
/// they write about, since a hand is known by its words, so that none is split to come below less.
const MOST_OF_ONE: usize = 60;
const MOST_OF_OURS: usize = 280;

/// What a file has to be.
struct Part {
    file: &'static str,
    least: usize,
    /// From how many servers or authors at least.
    sources: usize,
    malicious: bool,
}

const PARTS: [Part; 3] = [
    Part { file: "ordinary.jsonl", least: 1_000, sources: 80, malicious: false },
    Part { file: "hard.jsonl", least: 150, sources: 12, malicious: false },
    Part { file: "malicious.jsonl", least: 400, sources: 12, malicious: true },
];

/// Checks all parts and prints what there is.
///
/// # Errors
///
/// Each fault, by file and line.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let folder = root.join("tests/corpus");
    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for part in &PARTS {
        let path = folder.join(part.file);
        let text = fs::read_to_string(&path).map_err(|e| format!("`{}`: {e}", path.display()))?;
        let mut sources = BTreeMap::<String, (usize, usize)>::new();
        let mut kinds = BTreeMap::<String, usize>::new();
        for (number, line) in text.lines().enumerate() {
            let place = format!("{}:{}", part.file, number + 1);
            match record(line, part) {
                Ok(record) => {
                    if let Some(other) = seen.insert(record.definition, place.clone()) {
                        faults.push(format!("{place}: the same definition is at {other}"));
                    }
                    let tools = usize::from(record.kind == "tool");
                    let (all, of_tools) = sources.entry(record.source).or_default();
                    (*all, *of_tools) = (*all + 1, *of_tools + tools);
                    *kinds.entry(record.kind).or_default() += 1;
                }
                Err(why) => faults.push(format!("{place}: {why}")),
            }
        }
        let all: usize = sources.values().map(|(all, _)| all).sum();
        if all < part.least || sources.len() < part.sources {
            let (least, from) = (part.least, part.sources);
            faults.push(format!(
                "{}: {least} definitions from {from} sources are expected",
                part.file
            ));
        }
        if !part.malicious {
            let most = |name: &str| match name.starts_with("own:") {
                true => MOST_OF_OURS,
                false => MOST_OF_ONE,
            };
            let many = sources.iter().filter(|(name, (_, tools))| *tools > most(name));
            faults
                .extend(many.map(|(name, (_, tools))| format!("{}: {tools} of {name}", part.file)));
        }
        println!(
            "corpus: {}: {all} definitions from {} sources: {kinds:?}",
            part.file,
            sources.len()
        );
    }
    match faults.is_empty() {
        true => Ok(()),
        false => Err(format!("corpus: {} faults\n{}", faults.len(), faults.join("\n"))),
    }
}

/// What is compared between lines.
struct Record {
    source: String,
    kind: String,
    definition: String,
}

fn record(line: &str, part: &Part) -> Result<Record, String> {
    let members: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(line).map_err(|error| error.to_string())?;
    let text = |name: &str| {
        let text = members.get(name).and_then(|text| serde_json::from_str(text.get()).ok());
        let text = text.filter(|text: &String| !text.is_empty());
        text.ok_or_else(|| format!("`{name}` is missing"))
    };
    let (source, kind) = (text("source")?, text("kind")?);
    if !["tool", "prompt", "template", "instructions", "result"].contains(&kind.as_str()) {
        return Err(format!("`{kind}` is no kind"));
    }
    let definition = members.get("definition").ok_or("`definition` is missing")?;
    if part.malicious {
        text("family")?;
        let mut places = vec![text("where")?];
        if let Some(also) = members.get("also") {
            let also: Vec<String> =
                serde_json::from_str(also.get()).map_err(|error| error.to_string())?;
            places.extend(also);
        }
        // One is nested too deep for this reader, and is there for that.
        if let Ok(value) = serde_json::from_str::<Value>(definition.get()) {
            let lost = places.iter().find(|place| value.pointer(place).is_none());
            if let Some(place) = lost {
                return Err(format!("nothing is at `{place}`"));
            }
        }
    } else if !source.starts_with("own:") && !LICENCES.contains(&text("licence")?.as_str()) {
        return Err("its licence is none of those that let us keep it".to_owned());
    }
    Ok(Record { source, kind, definition: definition.get().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_spoil_a_figure_is_a_fault() {
        let [ordinary, _, malicious] = &PARTS;
        let tool = r#""kind":"tool","definition":{"name":"a","description":"b"}"#;
        let fine = format!(r#"{{"source":"npm:a@1","licence":"MIT",{tool}}}"#);
        assert!(record(&fine, ordinary).is_ok());
        for (line, part) in [
            (fine.replace("MIT", "GPL-3.0"), ordinary),
            (fine.replace("tool", "toll"), ordinary),
            (fine.replace("npm:a@1", ""), ordinary),
            (fine.replace("definition", "defined"), ordinary),
            (fine.replace('}', ""), ordinary),
            (fine.clone(), malicious),
            (format!(r#"{{"source":"own:a","family":"bias","where":"/title",{tool}}}"#), malicious),
        ] {
            assert!(record(&line, part).is_err(), "{line}");
        }
        let poison =
            format!(r#"{{"source":"own:a","family":"bias","where":"/description",{tool}}}"#);
        assert!(record(&poison, malicious).is_ok());
    }
}
