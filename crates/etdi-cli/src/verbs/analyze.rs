//! `etdi analyze`: what definitions say, and whether it is said to the user or against them.

use std::io::{BufReader, IsTerminal, Read, Write};

use etdi_core::analyze::{Analysis, Code, Listing, SecurityAnalyzer};
use etdi_core::change::visible;
use serde_json::{Value, json};

use crate::args::{AnalyzeArguments, Forms};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::inspector::found::{Counts, Looked};
use crate::inspector::listing::Server;
use crate::inspector::region::Lines;
use crate::inspector::sarif::Sarif;
use crate::inspector::{github, lines, read, shown};
use crate::output::{Output, Report};
use crate::verbs::scan;
use crate::verbs::target::quoted;

const NEXT: &str = "etdi analyze --help";

/// The most bytes of a file that is not read line by line.
const MOST: u64 = 64 << 20;

/// Looks into a file, standard input, or a server.
///
/// # Errors
///
/// When there is nothing to read, or a server cannot be asked.
pub fn run(arguments: &AnalyzeArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    arguments.forms.check(output)?;
    if let Some(name) = &arguments.explain {
        return explain(name);
    }
    if let Some(file) = &arguments.jsonl {
        return stream(file, &arguments.forms, output);
    }
    let target = match &arguments.input {
        Some(input) if input.contains("://") => vec![input.clone()],
        _ => arguments.command.clone(),
    };
    if !target.is_empty() {
        let servers = vec![Server::of(&target)?];
        return scan::servers(servers, arguments.timeout, &arguments.forms, home, output);
    }
    let file = match &arguments.input {
        Some(file) => file.as_str(),
        None if std::io::stdin().is_terminal() => {
            let message = "there is nothing to look into: name a file, `-`, or a server after `--`";
            return Err(Failure::usage(message, NEXT));
        }
        None => "-",
    };
    Ok(report(&looked_at(file, &arguments.forms.analyzer())?, &[], &arguments.forms))
}

/// What a file or standard input defines, and what was found in it.
///
/// # Errors
///
/// When it cannot be read.
pub fn looked_at(file: &str, analyzer: &SecurityAnalyzer) -> Result<Vec<Looked>, Failure> {
    let text = read_file(file)?;
    let lines = Lines::new(&text, 1);
    let file = (file != "-").then(|| file.to_owned());
    let items = read::items(&text);
    // What one server lists is looked into together: two tools of one name are found so.
    let fit = |item: &read::Item<'_>| item.kind.filter(|_| item.unfit().is_none());
    let kinds = items.iter().map(|item| Some((fit(item)?, &*item.text)));
    let kinds: Option<Vec<_>> = kinds.collect();
    let together = kinds.map(|definitions| {
        let listing = Listing::new(file.as_deref().unwrap_or("-"), definitions);
        let found = analyzer.analyze_servers(&[listing]).servers;
        found.into_iter().flat_map(|one| one.analyses).collect()
    });
    let alone = || items.iter().map(|item| lines::analysis(analyzer, item)).collect();
    let analyses: Vec<Analysis> = together.unwrap_or_else(alone);
    let looked = items.iter().zip(analyses).map(|(item, analysis)| Looked {
        file: file.clone(),
        ..lines::looked(item, analysis, Some(&lines))
    });
    Ok(looked.collect())
}

/// The text of a file or of standard input.
///
/// # Errors
///
/// When it cannot be read, is empty, too long, or no UTF-8.
fn read_file(file: &str) -> Result<String, Failure> {
    let shown = visible(file);
    let failed = |why: String| Failure::usage(format!("`{shown}` cannot be read: {why}"), NEXT);
    let mut bytes = Vec::new();
    let read = match file {
        "-" => std::io::stdin().take(MOST + 1).read_to_end(&mut bytes),
        path => {
            std::fs::File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes))
        }
    };
    read.map_err(|error| failed(error.to_string()))?;
    if bytes.len() as u64 > MOST {
        let next = format!("etdi analyze --jsonl {}", quoted(file));
        let message = format!("`{shown}` has more than {MOST} bytes, put one definition on a line");
        return Err(Failure::usage(message, next));
    }
    let text = String::from_utf8(bytes).map_err(|error| failed(error.to_string()))?;
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    match text.trim().is_empty() {
        true => Err(failed("it is empty".to_owned())),
        false => Ok(text),
    }
}

/// The report on what was looked at, in the form that is asked for, and on what could not be.
pub fn report(looked: &[Looked], missed: &[String], forms: &Forms) -> Report {
    let mut counts = Counts::default();
    looked.iter().for_each(|one| counts.add(&one.analysis));
    let refused = looked.iter().any(|one| forms.fail_on.is_met(&one.analysis));
    let exit = if refused { Exit::Refused } else { Exit::Done };
    let at = forms.at.as_deref();
    let text = if forms.sarif {
        let mut sarif = Sarif::new(forms.at.clone());
        looked.iter().for_each(|one| sarif.add(one));
        missed.iter().for_each(|line| sarif.note(line));
        sarif.document()
    } else if forms.github {
        let found = looked.iter().map(|one| github::annotations(one, at));
        found.chain(missed.iter().map(|line| github::missed(line))).collect()
    } else {
        shown::report(looked, missed, forms.all)
    };
    let definitions: Vec<Value> = looked.iter().map(Looked::data).collect();
    let data = json!({ "definitions": definitions, "summary": counts.data() });
    Report::new(data, text).ending(exit)
}

fn explain(name: &str) -> Result<Report, Failure> {
    let Some(code) = Code::named(name) else {
        let near = Code::all().map(|code| code.name).max_by(|one, other| {
            let near = |code: &str| strsim::jaro_winkler(code, name);
            near(one).total_cmp(&near(other))
        });
        let next = near.map_or(NEXT.to_owned(), |near| format!("etdi analyze --explain {near}"));
        let message = format!("no finding has the code `{}`", visible(name));
        return Err(Failure::usage(message, next));
    };
    let data = json!({
        "code": code.name, "family": code.family, "severity": code.severity,
        "title": code.title, "why": code.why, "advice": code.advice,
    });
    Ok(Report::new(data, shown::explained(code)))
}

/// Line by line: one line of output for each, as soon as it is known.
fn stream(file: &str, forms: &Forms, output: Output) -> Result<Report, Failure> {
    let failed = |error: std::io::Error| {
        Failure::usage(format!("`{}` cannot be read: {error}", visible(file)), NEXT)
    };
    let input: Box<dyn Read> = match file {
        "-" => Box::new(std::io::stdin().lock()),
        path => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let input = BufReader::with_capacity(64 << 10, input);
    let name = (file != "-").then_some(file);
    let mut out = std::io::BufWriter::new(anstream::stdout());
    let (mut refused, mut gone) = (false, false);
    let mut sarif = forms.sarif.then(|| Sarif::new(forms.at.clone()));
    let analyzer = forms.analyzer();
    let regions = forms.sarif || forms.github;
    let read = lines::each_line(input, &analyzer, name, regions, |looked, waits| {
        refused |= forms.fail_on.is_met(&looked.analysis);
        let written = match &mut sarif {
            Some(sarif) => {
                sarif.add(&looked);
                Ok(())
            }
            None => write(&mut out, &looked, forms, output, waits),
        };
        gone |= written.is_err();
        written
    });
    if let (Some(sarif), Ok(())) = (sarif, &read) {
        gone |= writeln!(out, "{}", sarif.document()).is_err();
    }
    gone |= out.flush().is_err();
    match read {
        // Whoever read our output has gone; there is nobody left to tell.
        _ if gone => Ok(Report::printed(Exit::Usage)),
        Err(error) => Err(failed(error)),
        Ok(()) => Ok(Report::printed(if refused { Exit::Refused } else { Exit::Done })),
    }
}

fn write(
    out: &mut impl Write,
    looked: &Looked,
    forms: &Forms,
    output: Output,
    waits: bool,
) -> std::io::Result<()> {
    if output.is_json() {
        serde_json::to_writer(&mut *out, &looked.analysis)?;
        out.write_all(b"\n")?;
    } else if forms.github {
        out.write_all(github::annotations(looked, forms.at.as_deref()).as_bytes())?;
    } else {
        writeln!(out, "{}", shown::line(looked))?;
    }
    if waits { out.flush() } else { Ok(()) }
}
