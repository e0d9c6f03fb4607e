//! `etdi scan`: all that servers list, looked into together.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use etdi_clients::Places;
use etdi_core::analyze::{Listing, Reference, SecurityAnalyzer};
use etdi_core::change::visible;
use serde_json::{Value, json};

use crate::args::{Forms, ScanArguments};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::inspector::found::Looked;
use crate::inspector::lines::certain;
use crate::inspector::listing::{self, Asked, Server, ask};
use crate::inspector::region::Region;
use crate::inspector::words::words;
use crate::output::{Output, Report};
use crate::targets;
use crate::verbs::analyze;
use crate::verbs::target::{block_on, quoted};

/// Asks servers and looks into what they list.
///
/// # Errors
///
/// When no server is named, or none can be asked.
pub fn run(arguments: &ScanArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    arguments.forms.check(output)?;
    if let Some(report) = files(arguments)? {
        return Ok(report);
    }
    let mut servers = named(&arguments.targets, &arguments.command)?;
    let mut faults = Vec::new();
    if arguments.all_clients {
        let found = configured(output)?;
        servers.extend(found.0);
        faults = found.1;
    }
    if servers.is_empty() && !arguments.all_clients {
        let message = "no server is named: name URLs, commands in quotes, one command after `--`, or \
                       `--all-clients`";
        return Err(Failure::usage(message, "etdi scan --all-clients"));
    }
    let is_idle = servers.is_empty() && faults.is_empty();
    let mut report = self::servers(servers, arguments.timeout, &arguments.forms, home, output)?;
    if let (false, Some(members)) = (faults.is_empty(), report.data.as_object_mut()) {
        members.insert("not_read".to_owned(), json!(faults));
        // Whatever is configured there was not looked into.
        report.exit = if report.exit == Exit::Done { Exit::Unreachable } else { report.exit };
    }
    if is_idle && !arguments.forms.sarif && !arguments.forms.github {
        report.text =
            "no client on this computer has a server, so that nothing was looked into".to_owned();
    }
    Ok(report)
}

/// What files define that are named where servers are, as `etdi analyze` looks into it; nothing where
/// none is named.
///
/// # Errors
///
/// When one cannot be read or is a client's configuration, and when servers are named beside them.
fn files(arguments: &ScanArguments) -> Result<Option<Report>, Failure> {
    let mut named = Vec::new();
    for word in arguments.targets.iter().filter(|word| holds_json(word)) {
        let text = std::fs::read_to_string(word).unwrap_or_default();
        let members = serde_json::from_str::<Value>(&text).unwrap_or_default();
        let is_there = |name: &&str| members.get(name).is_some_and(Value::is_object);
        if let Some(key) = ["mcpServers", "servers"].iter().copied().find(is_there) {
            let first =
                members.get(key).and_then(Value::as_object).and_then(|all| all.keys().next());
            let first = first.map_or("NAME", String::as_str);
            let message = format!(
                "`{}` holds servers of a client: name those that are to be asked, as FILE:NAME",
                visible(word)
            );
            let next = format!("etdi scan {}", quoted(&format!("{word}:{first}")));
            return Err(Failure::usage(message, next));
        }
        named.push(word);
    }
    let Some(first) = named.first() else { return Ok(None) };
    let is_all = named.len() == arguments.targets.len();
    if !is_all || arguments.all_clients || !arguments.command.is_empty() {
        let message = format!("`{}` is a file, which is looked into by itself", visible(first));
        return Err(Failure::usage(message, format!("etdi analyze {}", quoted(first))));
    }
    let mut looked = Vec::new();
    for file in named {
        looked.extend(analyze::looked_at(file, &arguments.forms.analyzer())?);
    }
    Ok(Some(analyze::report(&looked, &[], &arguments.forms)))
}

/// Whether a word names a file that begins as JSON does.
fn holds_json(word: &str) -> bool {
    if !is_file_name(word) {
        return false;
    }
    let path = Path::new(word);
    let mut start = Vec::new();
    let read = path.is_file().then(|| std::fs::File::open(path).ok()).flatten();
    let read = read.map(|file| file.take(64).read_to_end(&mut start));
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start);
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(read, Some(Ok(_))) && matches!(first, Some(b'{' | b'['))
}

/// Whether a word can name a file: it is written as one, by its end or as a path, and names nothing
/// else.
fn is_file_name(word: &str) -> bool {
    let is_path = ["./", "../", "/"].iter().any(|begin| word.starts_with(begin));
    (ends_as_file(word) || is_path) && !is_server(word)
}

fn ends_as_file(word: &str) -> bool {
    [".json", ".jsonl", ".jsonc"].iter().any(|end| word.ends_with(end))
}

/// Whether a word names a server or a command, so that no file is meant by it. Whoever puts a file into
/// a folder must not put it into the place of a server.
pub fn is_server(word: &str) -> bool {
    let is_found = |word: &str| targets::find(word, None).is_some();
    let is_program = (!word.contains('/') || !ends_as_file(word)) && is_found(word);
    let argv = words(word).unwrap_or_default();
    let is_command = matches!(argv.as_slice(), [first, _, ..] if is_found(first));
    word.contains(":/") || targets::is_entry(word) || is_program || is_command
}

/// The servers that words of a command line name.
///
/// # Errors
///
/// When one is no URL of HTTP, or a quote in it does not end.
pub fn named(targets: &[String], command: &[String]) -> Result<Vec<Server>, Failure> {
    let mut servers = Vec::new();
    for target in targets {
        let argv = words(target).filter(|argv| !argv.is_empty()).ok_or_else(|| {
            let message =
                format!("`{}` is no command: a quote in it does not end", visible(target));
            Failure::usage(message, "etdi scan --help")
        })?;
        servers.push(Server::of(&argv)?);
    }
    if !command.is_empty() {
        servers.push(Server::of(command)?);
    }
    // Two of one name would be taken for one, whose tools may speak of each other.
    for at in 1..servers.len() {
        let (before, rest) = servers.split_at_mut(at);
        if let Some(one) = rest.first_mut() {
            let same = before.iter().filter(|other| other.name.starts_with(&one.name)).count();
            if before.iter().any(|other| other.name == one.name) {
                one.name = format!("{} ({})", one.name, same + 1);
            }
        }
    }
    Ok(servers)
}

/// The servers that are named, or where none is, those that the clients on this computer have.
///
/// # Errors
///
/// As [`named`], and when there is no server at all.
pub fn named_or_configured(
    targets: &[String],
    command: &[String],
    output: Output,
) -> Result<Vec<Server>, Failure> {
    let servers = named(targets, command)?;
    let servers = if servers.is_empty() { configured(output)?.0 } else { servers };
    match servers.is_empty() {
        true => Err(Failure::usage(
            "no client on this computer has a server that could be asked, name one",
            "etdi scan -- ./my-server",
        )),
        false => Ok(servers),
    }
}

/// The servers of the clients on this computer, and what cannot be read there, which is told.
fn configured(output: Output) -> Result<(Vec<Server>, Vec<String>), Failure> {
    let here = std::env::current_dir().map_err(|error| {
        Failure::usage(format!("the working directory cannot be used: {error}"), "cd ~")
    })?;
    let (servers, faults) = listing::configured(&Places::here(here));
    faults.iter().for_each(|fault| output.warn(&visible(fault)));
    Ok((servers, faults))
}

/// Asks these servers, and reports on them together.
///
/// # Errors
///
/// When there is only one and it cannot be asked, or the system gives no event loop.
pub fn servers(
    servers: Vec<Server>,
    seconds: u64,
    forms: &Forms,
    home: &Home,
    output: Output,
) -> Result<Report, Failure> {
    let asked = asked(servers, seconds, home, output)?;
    if let [Asked { server, listed: Err(why) }] = asked.as_slice() {
        let message = format!("`{}`: {}", visible(&server.name), why.message);
        return Err(Failure::new(why.exit, message, server.doctor()));
    }
    let missed: Vec<_> =
        asked.iter().filter_map(|one| Some((&one.server, one.listed.as_ref().err()?))).collect();
    let lines: Vec<String> = missed
        .iter()
        .map(|(server, why)| format!("{}: {}", visible(&server.name), why.message))
        .collect();
    let (looked, references) = look_into(&asked, &forms.analyzer());
    let mut report = analyze::report(&looked, &lines, forms);
    if let Some(members) = report.data.as_object_mut() {
        members.insert("servers".to_owned(), json!(told(&asked)));
        members.insert("references".to_owned(), json!(references));
    }
    let worst = missed.iter().map(|(_, why)| why.exit).find(|exit| *exit == Exit::Unreachable);
    let worst = worst.or(missed.first().map(|(_, why)| why.exit));
    if let (Exit::Done, Some(exit)) = (report.exit, worst) {
        report.exit = exit;
    }
    Ok(report)
}

/// Asks servers for what they list.
///
/// # Errors
///
/// When the system gives no event loop.
pub fn asked(
    servers: Vec<Server>,
    seconds: u64,
    home: &Home,
    output: Output,
) -> Result<Vec<Asked>, Failure> {
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    output.progress(&format!("asking {}", visible(&names.join(", "))));
    block_on(async { Ok(ask(servers, Duration::from_secs(seconds.max(1)), home).await) })
}

/// Looks into all that was listed, each server's tools held against those of the others; and who
/// speaks of whom.
pub fn look_into(asked: &[Asked], analyzer: &SecurityAnalyzer) -> (Vec<Looked>, Vec<Reference>) {
    let reached = || asked.iter().filter_map(|one| Some((&one.server, one.listed.as_ref().ok()?)));
    let listings: Vec<Listing<'_>> = reached()
        .map(|(server, entries)| {
            let definitions = entries.iter().map(|entry| (entry.kind, entry.text.as_str()));
            Listing::new(&server.name, definitions.collect())
        })
        .collect();
    let all = analyzer.analyze_servers(&listings);
    let mut looked = Vec::new();
    for ((server, entries), found) in reached().zip(all.servers) {
        for (entry, analysis) in entries.iter().zip(found.analyses) {
            // What is found is to be mended where the server is configured.
            let region = server.line.map(Region::at_line);
            let regions = region.map(|region| (region, vec![region; analysis.findings.len()]));
            looked.push(Looked {
                file: server.file.clone(),
                server: Some(server.name.clone()),
                pointer: entry.pointer.clone(),
                regions,
                analysis: certain(analysis),
            });
        }
    }
    (looked, all.references)
}

/// The servers for programs: how much each lists, or why it could not be asked.
fn told(asked: &[Asked]) -> Vec<Value> {
    let one = |Asked { server, listed }: &Asked| match listed {
        Ok(entries) => json!({
            "name": server.name, "file": server.file, "reached": true, "listed": entries.len(),
        }),
        Err(why) => json!({
            "name": server.name, "file": server.file, "reached": false,
            "error": { "code": why.exit.word(), "message": why.message },
        }),
    };
    asked.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_the_place_of_no_server() {
        for word in
            ["tools.json", "a/tools.jsonl", "./tools", "../t.jsonc", "/srv/t", "my tools.json"]
        {
            assert!(is_file_name(word), "{word}");
        }
        for word in [
            "cursor:github",
            "cursor:github.json",
            "notes-server",
            "https:/a.example/mcp",
            "https://a.example/tools.json",
            "./.mcp.json:notes",
            "sh",
            "/bin/sh",
            "sh server.json",
            "/bin/sh ./server.json",
        ] {
            assert!(!is_file_name(word), "{word}");
        }
    }
}
