//! `etdi audit chains`: which chains of calls ran, and which would be refused now.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use etdi::core::audit::{Filter, read_trail};
use etdi::core::chain::{CallStackPolicy, CallStackVerifier, Member, TracedCall};
use etdi::core::change::visible;
use etdi::core::definition::RawTool;
use serde_json::json;

use super::broken;
use crate::args::ChainsArguments;
use crate::exit::{Exit, Failure};
use crate::inspector::read::{Members, items};
use crate::output::{Report, table};
use crate::verbs::target::shown_path;

const NEXT: &str = "etdi audit chains --help";

/// The longest line of a trace.
const LINE: u64 = 64 << 10;

/// The most bytes of a file with declarations or a policy.
const FILE: u64 = 16 << 20;

/// Judges the calls of a trail or a trace.
///
/// # Errors
///
/// When a file cannot be read, or a line of it is no call.
pub(super) fn run(file: &Path, arguments: &ChainsArguments) -> Result<Report, Failure> {
    let policy = match &arguments.policy {
        Some(path) => serde_json::from_str(&text(path)?).map_err(|error| {
            let message = format!("`{}` is no policy of call chains: {error}", path.display());
            Failure::usage(message, NEXT)
        })?,
        None => CallStackPolicy::from(arguments.level),
    };
    let mut verifier = CallStackVerifier::new(&*arguments.server, policy);
    for source in &arguments.tools {
        declare(&mut verifier, source)?;
    }
    let mut calls = 0_u64;
    let mut judge = |call: &TracedCall| {
        calls += 1;
        verifier.verify(call);
    };
    match is_trail(file)? {
        true => read_trail(file, &Filter::default(), |_, entry| {
            if let Some(call) = TracedCall::of_event(&entry.event, entry.at) {
                judge(&call);
            }
        })
        .map_err(|error| broken(&error))?,
        false => trace(file, judge)?,
    }
    Ok(report(&verifier, calls))
}

fn report(verifier: &CallStackVerifier, calls: u64) -> Report {
    let chains = verifier.chains();
    let refused: u64 = chains.iter().map(|chain| chain.would_be_refused).sum();
    let data = json!({
        "calls": calls, "would_be_refused": refused, "chains": chains, "beyond": verifier.beyond(),
    });
    let rows = chains.iter().map(|chain| {
        let names: Vec<_> = chain.chain.iter().map(|name| visible(name)).collect();
        let why = match (&chain.reason, chain.declared) {
            (Some(reason), _) => visible(reason).into_owned(),
            (None, true) => String::new(),
            (None, false) => {
                "fine, if it declares nothing: what it declares is not known".to_owned()
            }
        };
        let kind = chain.kind.map_or("", |kind| kind.name());
        [
            names.join(" > "),
            chain.calls.to_string(),
            chain.was_refused.to_string(),
            chain.would_be_refused.to_string(),
            kind.to_owned(),
            why,
        ]
    });
    let head = ["chain", "calls", "were refused", "would be", "kind", "why"];
    let mut text = match chains.is_empty() {
        true => "no call is noted".to_owned(),
        false => table(head, rows.collect()),
    };
    if verifier.beyond() > 0 {
        text.push_str(&format!("\n{} calls were of chains beyond these", verifier.beyond()));
    }
    text.push_str(&format!("\n\n{calls} calls, of which {refused} would be refused"));
    let exit = if refused > 0 { Exit::Refused } else { Exit::Done };
    Report::new(data, text).ending(exit)
}

/// Takes in what the tools of a file declare.
fn declare(verifier: &mut CallStackVerifier, source: &str) -> Result<(), Failure> {
    let (server, file) = match source.split_once('=') {
        Some((server, file)) => (Some(server), file),
        None => (None, source),
    };
    let text = text(Path::new(file))?;
    for item in items(&text) {
        let tool = RawTool::read(&item.text).map_err(|error| {
            let message = format!("`{}`{}: {error}", visible(file), item.pointer);
            Failure::usage(message, NEXT)
        })?;
        match server {
            Some(server) => verifier.declare(Member::of(server, tool.definition())),
            None => verifier.declare_anywhere(tool.definition()),
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let message = format!("`{}` cannot be read: {error}", path.display());
    Failure::usage(message, format!("ls -l {}", shown_path(path)))
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let file = File::open(path).and_then(|file| file.take(FILE).read_to_string(&mut text));
    file.map_err(|error| unreadable(path, &error)).map(|_| text)
}

/// Whether a file is an audit trail: its first line says that it continues another.
fn is_trail(path: &Path) -> Result<bool, Failure> {
    let mut first = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = BufReader::new(file.take(2 * LINE));
    reader.read_until(b'\n', &mut first).map_err(|error| unreadable(path, &error))?;
    let line = String::from_utf8_lossy(&first);
    let Some(Members(members)) = Members::read(line.trim()) else { return Ok(false) };
    Ok(["prev", "entry"].iter().all(|name| members.iter().any(|(member, _)| member == name)))
}

/// The calls of a trace, one object a line.
fn trace(path: &Path, mut take: impl FnMut(&TracedCall)) -> Result<(), Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let mut reader = BufReader::new(file);
    let (mut line, mut number) = (Vec::new(), 0_u64);
    loop {
        line.clear();
        let mut limited = reader.by_ref().take(LINE + 1);
        let count = limited.read_until(b'\n', &mut line);
        if count.map_err(|error| unreadable(path, &error))? == 0 {
            return Ok(());
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let call = match line.len() as u64 > LINE {
            true => Err("it is too long".to_owned()),
            false => serde_json::from_slice(&line).map_err(|error| error.to_string()),
        };
        let call = call.map_err(|why| {
            let message = format!(
                "line {number} of `{}` is no call: {why}; write `{{\"callee\": …}}`, with `caller` or \
                 `parent`, `depth`, `session` and `at` where they are known",
                path.display()
            );
            Failure::usage(message, NEXT)
        })?;
        take(&call);
    }
}
