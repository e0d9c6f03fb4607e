//! `etdi lock`: writes what the tools of a server promise, or holds the server against it.

use std::path::Path;

use etdi::core::change::visible;
use etdi::core::definition::RawTool;
use etdi::core::lock::{Finding, Lock, State};
use serde_json::{Value, json};

use crate::args::LockArguments;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report};
use crate::verbs::offered::Offered;
use crate::verbs::target::{block_on, quoted, shown_path};

/// What `--check` says of tools without a version beside others that are as they are locked.
const UNHELD: &str = "a tool that declares no version is in no lock, so it was not checked";

/// Writes the lock, or checks it.
///
/// # Errors
///
/// When the server does not list, the lock cannot be read or written, a tool changed and its
/// version does not say so, or, with `--check`, anything is not as it is locked, which is also
/// so of each tool that cannot be locked, and where no tool is locked.
pub fn run(arguments: &LockArguments, output: Output) -> Result<Report, Failure> {
    let offered = block_on(Offered::list(&arguments.command, output))?;
    let definitions = || offered.tools.iter().map(RawTool::definition);
    let path = &arguments.file;
    let command: Vec<_> = arguments.command.iter().map(|word| quoted(word)).collect();
    let again = format!("etdi lock --file {} -- {}", shown_path(path), command.join(" "));
    let inspect = format!("etdi inspect -- {}", command.join(" "));
    let old = read(path)?;
    let findings = old.clone().unwrap_or_default().check(definitions());
    let unheld = |one: &&Finding| one.state == State::NoVersion;
    for finding in findings.iter().filter(unheld).filter(|_| !arguments.check) {
        output.warn(&finding.to_string());
    }
    if findings.iter().any(|one| one.state.is_broken()) {
        let broken = shown(&findings, |state| state.is_broken());
        let message = "a tool changed and its version does not say so";
        let failure = Failure::new(Exit::Refused, message, again).with_code("VERSION_RULE");
        return Err(failure.with_details(data(&findings), broken));
    }
    if arguments.check {
        if old.is_none() {
            let message = format!("there is no `{}`", path.display());
            return Err(Failure::new(Exit::Refused, message, again).with_code("LOCK_OUTDATED"));
        }
        // What declares no version is in no lock: nothing says that it is what it was.
        let fresh = |state: &State| matches!(state, State::Same);
        if findings.is_empty() || !findings.iter().all(|one| fresh(&one.state)) {
            let stale = shown(&findings, |state| !fresh(state));
            let mended =
                findings.iter().any(|one| !matches!(one.state, State::Same | State::NoVersion));
            let (message, next) = match mended {
                true => ("the server is not what is locked", again),
                // A new lock would hold none of them either.
                false if findings.iter().any(|one| fresh(&one.state)) => (UNHELD, inspect),
                false => ("0 tools are locked, nothing was checked", inspect),
            };
            let failure = Failure::new(Exit::Refused, message, next).with_code("LOCK_OUTDATED");
            return Err(failure.with_details(data(&findings), stale));
        }
        let text = format!("all {} tools are as they are locked", findings.len());
        return Ok(Report::new(data(&findings), text));
    }
    let lock = Lock::of(definitions());
    std::fs::write(path, lock.to_string()).map_err(|error| {
        let message = format!("cannot write `{}`: {error}", path.display());
        Failure::usage(message, format!("ls -ld {}", shown_path(path)))
    })?;
    let changed: String = findings.iter().filter_map(noted).collect();
    let count = lock.tools().len();
    let text = format!("locked {count} tools in `{}`\n{changed}", path.display());
    Ok(Report::new(data(&findings), text.trim_end().to_owned()))
}

fn read(path: &Path) -> Result<Option<Lock>, Failure> {
    let unfit = |why: String| {
        let message = format!("`{}`: {why}", path.display());
        Failure::usage(message, format!("git checkout -- {}", shown_path(path)))
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Lock::read(&text).map(Some).map_err(|error| unfit(error.to_string())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unfit(error.to_string())),
    }
}

fn shown(findings: &[Finding], which: impl Fn(&State) -> bool) -> String {
    let lines = findings.iter().filter(|one| which(&one.state)).map(|one| format!("  {one}\n"));
    lines.collect()
}

/// What was written down, where it is news.
fn noted(finding: &Finding) -> Option<String> {
    let tool = visible(&finding.tool);
    match (&finding.state, &finding.declared) {
        (State::Same | State::NoVersion, _) => None,
        (State::New, Some(version)) => Some(format!("  `{tool}` {version} is new\n")),
        (State::Gone, _) => Some(format!("  `{tool}` is gone\n")),
        _ => Some(format!("  {finding}\n")),
    }
}

fn data(findings: &[Finding]) -> Value {
    let word = |state: &State| match state {
        State::Same => "same",
        State::Raised => "raised",
        State::New => "new",
        State::Gone => "gone",
        State::NoVersion => "no_version",
        State::Undeclared => "undeclared",
        State::Needs(_) => "needs",
        State::Lowered => "lowered",
        _ => "other",
    };
    let tools = findings.iter().map(|one| {
        let needs = match &one.state {
            State::Needs(version) => Some(version),
            _ => None,
        };
        json!({
            "tool": one.tool, "locked": one.locked, "declared": one.declared,
            "changes": one.changes, "state": word(&one.state), "needs": needs,
        })
    });
    json!({ "tools": tools.collect::<Vec<_>>() })
}
