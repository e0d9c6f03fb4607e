//! `etdi uninstall` and `etdi undo`: servers out of configurations, and changes taken back.

use etdi::core::change::visible;
use etdi::system_time;
use etdi_clients::{Client, Config, ConfigFile, Journal, Record, Scope, Undone, WriteError};
use serde_json::json;

use crate::args::{UndoArguments, UninstallArguments};
use crate::arguments::nearest;
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{Output, Report, table};
use crate::targets;
use crate::targets::guarded::ours;
use crate::unattended::{self, Act};
use crate::verbs::target::{quoted, shown_path};

/// Takes a server out of the files of clients.
///
/// # Errors
///
/// When no client has it, or a file cannot be changed.
pub fn run(arguments: &UninstallArguments, home: &Home) -> Result<Report, Failure> {
    let (name, clients) = match arguments.words.split_last() {
        Some((name, clients)) if arguments.all || !clients.is_empty() => (name, clients),
        _ => {
            let message = "name the clients and the server, or `--all` and the server";
            return Err(Failure::usage(message, "etdi uninstall --help"));
        }
    };
    // `etdi uninstall cursor:github` and its like.
    let clients: Vec<&'static Client> =
        clients.iter().map(|name| targets::client(name)).collect::<Result<_, _>>()?;
    let places = targets::places();
    let scope = arguments.scope.map(Scope::from);
    let (mut configs, mut known) = (Vec::new(), Vec::new());
    for file in targets::files_of(&clients, &places) {
        if scope.is_some_and(|scope| scope != file.scope) {
            continue;
        }
        let mut config = match Config::open(&file) {
            Ok(config) => config,
            // A file that somebody else broke is no reason, unless it was asked for.
            Err(_) if clients.is_empty() => continue,
            Err(error) => return Err(broken(&error)),
        };
        let servers = config.servers();
        let own = |server: &&etdi_clients::Server| {
            server.name == *name
                && server.project.as_deref().is_none_or(|project| project == places.project())
        };
        let paths: Vec<_> = servers.iter().filter(own).map(|one| one.path.clone()).collect();
        known.extend(servers.into_iter().map(|server| server.name));
        for path in &paths {
            config.remove_at(path).map_err(|error| broken(&error))?;
        }
        if config.is_changed() {
            configs.push(config);
        }
    }
    if configs.is_empty() {
        let meant = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!(", did you mean `{}`?", visible(near)),
            None => String::new(),
        };
        let message = format!("no server `{}` is configured there{meant}", visible(name));
        return Err(Failure::usage(message, "etdi discover").with_code("NO_SUCH_SERVER"));
    }
    write("uninstall", configs, arguments.dry_run, home)
}

/// A file that cannot be read or changed.
pub(crate) fn broken(error: &etdi_clients::ConfigError) -> Failure {
    Failure::usage(error.to_string(), "etdi configs").with_code("CONFIG_BROKEN")
}

/// Writes changed files, or shows what would change.
///
/// # Errors
///
/// When they cannot be written; what was written is taken back then.
pub(crate) fn write(
    verb: &str,
    configs: Vec<Config>,
    dry_run: bool,
    home: &Home,
) -> Result<Report, Failure> {
    let files: Vec<_> = configs
        .iter()
        .map(|config| {
            let file = config.file();
            json!({
                "client": file.client.id, "scope": file.scope.word(),
                "file": visible(&file.path.to_string_lossy()), "diff": visible_lines(&config.diff()),
                "changed": config.is_changed(), "rewritten_by_client": file.client.rewrites(file.scope),
            })
        })
        .collect();
    if dry_run {
        let diffs: Vec<_> = configs.iter().map(|config| visible_lines(&config.diff())).collect();
        let text = format!("{}\nnothing was written", diffs.join("\n").trim_end());
        return Ok(Report::new(json!({ "change": null, "files": files, "dry_run": true }), text));
    }
    let journal = journal(home)?;
    let change =
        journal.commit(verb, system_time().0, &configs).map_err(|error| unwritten(&error))?;
    let lines: Vec<_> = configs
        .iter()
        .map(|config| {
            let file = config.file();
            let done = if config.is_changed() { "changed" } else { "was so already" };
            let busy = match config.is_changed() && file.client.rewrites(file.scope) {
                true => " (a running one may write it anew: end its sessions, and look again)",
                false => "",
            };
            format!("{}  {} {done}{busy}", file.client.title, shown_path(&file.path))
        })
        .collect();
    let back = if change.is_some() { "\n\ntake it back: etdi undo" } else { "" };
    let data = json!({ "change": change, "files": files, "dry_run": false });
    Ok(Report::new(data, format!("{}{back}", lines.join("\n"))))
}

/// A diff whose lines cannot drive a terminal.
fn visible_lines(text: &str) -> String {
    text.lines().map(|line| visible(line).into_owned()).collect::<Vec<_>>().join("\n")
}

fn journal(home: &Home) -> Result<Journal, Failure> {
    Journal::open(home.directory("clients")?).map_err(|error| unwritten(&error))
}

fn unwritten(error: &WriteError) -> Failure {
    let next = match error {
        WriteError::Changed { .. } => "etdi configs".to_owned(),
        WriteError::DeadLink { path }
        | WriteError::Io { path, .. }
        | WriteError::Since { path, .. }
        | WriteError::Record { path } => format!("ls -l {}", shown_path(path)),
        _ => "etdi configs".to_owned(),
    };
    Failure::usage(error.to_string(), next).with_code("NOT_WRITTEN")
}

/// Takes the last change back, or lists those that can be taken back.
///
/// # Errors
///
/// When there is none, or a file was changed since at the same place; where it takes a guard away, when
/// nobody agrees to that.
pub fn undo(arguments: &UndoArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let journal = journal(home)?;
    let records = journal.records().map_err(|error| unwritten(&error))?;
    if arguments.list {
        let rows: Vec<_> = records
            .iter()
            .map(|one| {
                let path = visible(&one.path.to_string_lossy()).into_owned();
                [one.change.to_string(), one.verb.clone(), one.client.clone(), path]
            })
            .collect();
        let data: Vec<_> = records
            .iter()
            .map(|one| {
                json!({
                    "change": one.change, "verb": one.verb, "at": one.at, "client": one.client,
                    "file": visible(&one.path.to_string_lossy()),
                })
            })
            .collect();
        let text = match rows.is_empty() {
            true => "nothing can be taken back".to_owned(),
            false => table(["number", "what", "client", "file"], rows),
        };
        return Ok(Report::new(json!({ "changes": data }), text));
    }
    let last = records.first().map(|record| record.change);
    let known = |change: &u64| records.iter().any(|record| record.change == *change);
    let Some(change) = arguments.change.or(last).filter(known) else {
        let message = match arguments.change {
            Some(number) => format!("there is no change {number}, or it was taken back"),
            None => "there is nothing to take back".to_owned(),
        };
        return Err(Failure::usage(message, "etdi undo --list"));
    };
    let mut bare = Vec::new();
    for record in records.iter().filter(|record| record.change == change) {
        bare.extend(bared(&journal, record)?);
    }
    let next = format!("etdi undo {change}");
    guards_go(bare, arguments.yes, home, output, next)?;
    let undone = journal.undo(change).map_err(|error| unwritten(&error))?;
    let word = |done: &Undone| match done {
        Undone::Restored => "as it was",
        Undone::Deleted => "gone again, as it was not there before",
        Undone::Mended => "changed since; only what etdi changed is taken back",
        _ => "was so already",
    };
    let data: Vec<_> = undone
        .iter()
        .map(|(record, done)| {
            let file = visible(&record.path.to_string_lossy()).into_owned();
            json!({ "client": record.client, "file": file, "outcome": format!("{done:?}").to_lowercase() })
        })
        .collect();
    let lines: Vec<_> = undone
        .iter()
        .map(|(record, done)| format!("{}  {}", quoted(&record.path.to_string_lossy()), word(done)))
        .collect();
    Ok(Report::new(json!({ "change": change, "files": data }), lines.join("\n")))
}

/// The servers before which the change of a file put a guard or a gateway of ours: without it, they are
/// started as they were.
fn bared(journal: &Journal, record: &Record) -> Result<Vec<String>, Failure> {
    let Some(client) = Client::find(&record.client) else { return Ok(Vec::new()) };
    let (before, after) = journal.texts(record).map_err(|error| unwritten(&error))?;
    let file = ConfigFile { client, scope: Scope::User, path: record.path.clone() };
    let servers = |text: &str| Config::of_text(&file, text).map(|config| config.servers());
    // What was written was read before; what can be read no more is not written by `undo` either.
    let (Ok(before), Ok(after)) = (servers(&before), servers(&after)) else {
        return Ok(Vec::new());
    };
    let is_ours =
        |server: &etdi_clients::Server| server.launch.as_ref().ok().and_then(ours).is_some();
    let is_bare = |path: &[String]| before.iter().any(|one| one.path == path && !is_ours(one));
    let guarded = after.iter().filter(|server| is_ours(server) && is_bare(&server.path));
    Ok(guarded.map(etdi_clients::Server::target).collect())
}

/// Asks before servers are started without their guards: what takes these away is typed by whoever
/// would read what they hold back.
///
/// # Errors
///
/// When nobody sits at a terminal and it was not allowed beforehand, or the answer is no.
pub(crate) fn guards_go(
    servers: Vec<String>,
    yes: bool,
    home: &Home,
    output: Output,
    next: String,
) -> Result<(), Failure> {
    if servers.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = servers.iter().map(|name| visible(name)).collect();
    let text = format!(
        "\n{}\nwithout the guard nothing of it is verified, held back, limited or noted any more",
        names.join("\n")
    );
    let (what, ask) = ("to take a guard away", "take it away?");
    unattended::agreed_unless(yes, home, output, Act { what, text, ask, next })
}
