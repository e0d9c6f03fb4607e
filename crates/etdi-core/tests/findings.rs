//! The pages on findings: each code has one that says what the code says, whose example fires it and
//! whose near miss does not.
//!
//! `UPDATE=1 cargo test -p etdi-core --test findings` writes what the codes say into the pages and the
//! index; examples are written by hand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use etdi_core::analyze::{Analysis, Code, Family, Kind, Listing, SecurityAnalyzer};
use etdi_core::time::UnixTime;
use serde_json::Value;

/// When the examples are looked at, for statements that hold for a time.
const NOW: UnixTime = UnixTime(1_767_323_045);

const FIRES: &str = "## Fires\n";
const NEAR: &str = "## Does not\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/findings")
}

fn updates() -> bool {
    std::env::var_os("UPDATE").is_some()
}

/// What a page says of its code.
fn head(code: &Code) -> String {
    format!(
        "# `{}`\n\n{}. Severity: {}. [All findings](../README.md)\n\n**Why it matters.** {}\n\n\
         **What to do.** {}\n\n",
        code.name,
        capital(code.title),
        code.severity.name(),
        code.why,
        code.advice
    )
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(char::to_uppercase);
    first.into_iter().flatten().chain(characters).collect()
}

/// The list of all codes.
fn index() -> String {
    let mut text = "# Findings\n\nWhat `etdi analyze`, `etdi scan` and the library can find, by family. Each \
        page has an example that fires and one that\nnearly does; `etdi analyze --explain CODE` says the same \
        at the terminal. [The inspector](../inspector.md) says how\nthey are used. The severity is that of \
        the rule; `risk` says how likely the definition is malicious.\n"
        .to_owned();
    let mut family = "";
    for code in Code::all() {
        let (own, _) = code.name.split_once('/').unwrap();
        if own != family {
            text.push_str(&format!("\n## {own}\n\n| code | severity | what |\n|---|---|---|\n"));
            family = own;
        }
        let severity = code.severity.name();
        text.push_str(&format!("| [`{0}`]({0}.md) | {severity} | {1} |\n", code.name, code.title));
    }
    text
}

/// The analyses of the fenced example behind a heading.
fn example(page: &str, heading: &str) -> Result<Vec<Analysis>, String> {
    let behind = page.split_once(heading).ok_or(format!("`{}` is missing", heading.trim()))?.1;
    let fence = behind.split_once("```").ok_or("there is no example")?.1;
    let (kind, rest) = fence.split_once('\n').ok_or("there is no example")?;
    let text = rest.split_once("\n```").ok_or("the example does not end")?.0;
    let analyzer = SecurityAnalyzer::new().at(NOW).expecting_etdi();
    let kind = kind.split_once(' ').map_or(kind, |(_, kind)| kind);
    if kind != "servers" {
        let kind = Kind::named(kind).ok_or(format!("`{kind}` is no kind"))?;
        return Ok(vec![analyzer.analyze(kind, text)]);
    }
    // `{"SERVER": [TOOL, …], …}`: tools of several servers.
    let servers: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let servers = servers.as_object().ok_or("servers are an object")?;
    let texts: Vec<(&String, Vec<String>)> = servers
        .iter()
        .map(|(name, tools)| {
            (name, tools.as_array().unwrap().iter().map(Value::to_string).collect())
        })
        .collect();
    let listings: Vec<Listing<'_>> = texts
        .iter()
        .map(|(name, tools)| {
            Listing::new(name, tools.iter().map(|tool| (Kind::Tool, tool.as_str())).collect())
        })
        .collect();
    let found = analyzer.analyze_servers(&listings).servers;
    Ok(found.into_iter().flat_map(|server| server.analyses).collect())
}

fn fires(analyses: &[Analysis], code: &Code) -> bool {
    analyses.iter().any(|one| one.findings.iter().any(|finding| finding.code.name == code.name))
}

/// Whether the example of a code is found, if need be under a neighbouring reason.
fn found_as(analyses: &[Analysis], code: &Code) -> bool {
    let texts = [Family::Directive, Family::Bias];
    let all = || analyses.iter().flat_map(|one| &one.findings);
    let neighbour = || all().any(|finding| texts.contains(&finding.code.family));
    fires(analyses, code) || (BY_STRONGEST.contains(&code.name) && neighbour())
}

/// Codes of sentences that say two things at once, of which the fit of the score names the stronger.
const BY_STRONGEST: [&str; 1] = ["bias/disparagement"];

fn check(code: &Code) -> Result<(), String> {
    let path = folder().join(format!("{}.md", code.name));
    let page = std::fs::read_to_string(&path).map_err(|_| "it has no page".to_owned())?;
    let (_, rest) = page.split_once(FIRES).ok_or("its page has no `## Fires`")?;
    let expected = head(code) + FIRES + rest;
    if updates() {
        std::fs::write(&path, &expected).unwrap();
    } else if page != expected {
        return Err("its page says something else than the code, run with UPDATE=1".to_owned());
    }
    let found = |analyses: &[Analysis]| {
        let all = analyses.iter().flat_map(|one| &one.findings);
        all.map(|finding| finding.code.name).collect::<BTreeSet<_>>()
    };
    let example_fires = example(&page, FIRES)?;
    if !found_as(&example_fires, code) {
        return Err(format!("its example does not fire, but {:?}", found(&example_fires)));
    }
    let near = example(&page, NEAR)?;
    match fires(&near, code) {
        true => Err("its near miss fires".to_owned()),
        false => Ok(()),
    }
}

#[test]
fn every_finding_has_a_page_whose_examples_hold() {
    let wrong: Vec<String> = Code::all()
        .filter_map(|code| Some(format!("{}: {}", code.name, check(code).err()?)))
        .collect();
    assert!(wrong.is_empty(), "{} codes:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_index_lists_all_and_no_page_is_about_nothing() {
    let path = folder().join("README.md");
    if updates() {
        std::fs::write(&path, index()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == index(), "docs/findings/README.md is of other codes, run with UPDATE=1");
    let codes: BTreeSet<String> = Code::all().map(|code| format!("{}.md", code.name)).collect();
    for family in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap()) {
        if !family.file_type().unwrap().is_dir() {
            continue;
        }
        for page in std::fs::read_dir(family.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let page = page.strip_prefix(folder()).unwrap().to_str().unwrap().to_owned();
            assert!(codes.contains(&page), "docs/findings/{page} is about no code");
        }
    }
}

#[test]
fn names_of_codes_are_regular_and_unique() {
    let mut seen = BTreeSet::new();
    for code in Code::all() {
        let family = serde_json::to_value(code.family).unwrap();
        let (own, what) = code.name.split_once('/').unwrap();
        assert_eq!(family, own, "{}", code.name);
        assert!(what.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{}", code.name);
        assert!(seen.insert(code.name), "{} stands twice", code.name);
        for text in [code.title, code.why, code.advice] {
            assert!(!text.is_empty() && !text.contains('\n'), "{}", code.name);
        }
    }
}
