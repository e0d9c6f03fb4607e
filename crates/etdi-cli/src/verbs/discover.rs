//! `etdi discover`: every server that is configured on this computer, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::Path;

use etdi::core::binding::runs_other_code;
use etdi::core::change::visible;
use etdi::core::identity::ServerIdentity;
use etdi_clients::{Client, Config, ConfigFile, Launch, Program, Scope, Server, System};
use serde_json::json;

use crate::args::DiscoverArguments;
use crate::exit::{Exit, Failure};
use crate::home::is_exposed;
use crate::output::{Report, style};
use crate::targets::{self, Ours, find, start::desktop_path};
use crate::verbs::configs::State;
use crate::verbs::target::quoted;

/// Something wrong with an entry.
struct Problem {
    code: &'static str,
    message: String,
}

fn problem(code: &'static str, message: impl Into<String>) -> Problem {
    Problem { code, message: message.into() }
}

/// Looks into all files of the clients; nothing is started.
///
/// # Errors
///
/// When a client is not known.
pub fn run(arguments: &DiscoverArguments) -> Result<Report, Failure> {
    let clients: Vec<&'static Client> =
        arguments.clients.iter().map(|name| targets::client(name)).collect::<Result<_, _>>()?;
    let places = targets::places();
    let mut files = Vec::new();
    let mut servers = Vec::new();
    for file in targets::files_of(&clients, &places) {
        let state = State::of(&file);
        if let Ok(config) = Config::open(&file) {
            servers.extend(config.servers());
        }
        files.push((file, state));
    }
    let same = duplicates(&servers);
    let looked: Vec<(&Server, Vec<Problem>)> = servers
        .iter()
        .enumerate()
        .map(|(at, server)| {
            let mut problems = problems(server);
            problems.extend(same.get(&at).map(|other| {
                problem("DUPLICATE", format!("the same server as {}", visible(other)))
            }));
            problems.extend(hidden(server, &servers));
            (server, problems)
        })
        .filter(|(_, problems)| !arguments.problems || !problems.is_empty())
        .collect();
    let broken = files.iter().filter(|(_, state)| state.error().is_some()).count();
    let wrong = looked.iter().filter(|(_, problems)| !problems.is_empty()).count();
    let data = json!({
        "servers": looked.iter().map(|(server, problems)| data(server, problems)).collect::<Vec<_>>(),
        "files": files.iter().map(|(file, state)| json!({
            "client": file.client.id, "scope": file.scope.word(), "file": shown_path(&file.path),
            "line": state.line(), "error": state.error(), "note": state.note(),
        })).collect::<Vec<_>>(),
        "of": servers.len(), "with_problems": wrong, "broken_files": broken,
    });
    let text = text(&files, &looked, servers.len(), (wrong, broken));
    let exit = if arguments.problems && wrong + broken > 0 { Exit::Refused } else { Exit::Done };
    Ok(Report::new(data, text).ending(exit))
}

fn shown_path(path: &Path) -> String {
    visible(&path.to_string_lossy()).into_owned()
}

fn shown_command(server: &Server) -> String {
    let words = server.launch.as_ref().map_or_else(|_| Vec::new(), Launch::shown);
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn data(server: &Server, problems: &[Problem]) -> serde_json::Value {
    let kind = match &server.launch {
        Ok(Launch::Program(_)) => Some("stdio"),
        Ok(Launch::Remote(remote)) => Some(if remote.sse { "sse" } else { "http" }),
        Err(_) => None,
    };
    let words = server.launch.as_ref().map_or_else(|_| Vec::new(), Launch::shown);
    let words: Vec<_> = words.iter().map(|word| visible(word).into_owned()).collect();
    json!({
        "target": visible(&server.target()), "name": visible(&server.name),
        "client": server.client().id, "scope": server.file.scope.word(),
        "project": server.project.as_deref().map(shown_path),
        "file": shown_path(&server.file.path), "line": server.line, "enabled": server.enabled,
        "transport": kind, "command": words, "guarded": is_guarded(server), "secrets": server.secrets(),
        "problems": problems.iter().map(|one| json!({"code": one.code, "message": one.message}))
            .collect::<Vec<_>>(),
    })
}

/// Whether an entry leads to no program: it is not there, nor its directory or its script.
pub(super) fn cannot_start(server: &Server) -> bool {
    let gone = ["NO_PROGRAM", "NO_DIRECTORY", "NO_SCRIPT"];
    problems(server).iter().any(|problem| gone.contains(&problem.code))
}

/// What is wrong with an entry by itself.
fn problems(server: &Server) -> Vec<Problem> {
    let mut problems = Vec::new();
    let secrets = server.secrets();
    if !secrets.is_empty() {
        let names = secrets.iter().map(|name| format!("`{}`", visible(name)));
        let names = names.collect::<Vec<_>>().join(", ");
        let others = match is_exposed(&server.file.path) {
            true => " of a file that others on this computer can read",
            false => "",
        };
        let way = server.client().reference("NAME");
        let way = way.map_or_else(String::new, |way| format!(", write `{way}` for a variable"));
        problems.push(problem(
            "SECRET_IN_CLEAR",
            format!("{names} holds a secret in clear{others}{way}"),
        ));
    }
    let variable = |name: &str| std::env::var(name).ok();
    let launch = match server.resolved(&variable) {
        None => {
            let why = server.launch.as_ref().err().map_or_else(String::new, ToString::to_string);
            problems.push(problem("UNREADABLE", why));
            return problems;
        }
        Some(Err(etdi_clients::Unresolved::NotSet(name))) => {
            let message = format!("the variable `{name}` is not set here");
            problems.push(problem("VARIABLE_NOT_SET", message));
            return problems;
        }
        // Only the client can look further.
        Some(Err(_)) => return problems,
        Some(Ok(launch)) => launch,
    };
    let launch = match behind(launch, server) {
        Ok(launch) => launch,
        Err(failure) => {
            problems.push(problem("GUARD_UNREADABLE", failure.message));
            return problems;
        }
    };
    match &launch {
        Launch::Program(program) => problems.extend(program_problems(server, program)),
        Launch::Remote(remote) => {
            match ServerIdentity::url(remote.url.split(['?', '#']).next().unwrap_or_default()) {
                Ok(identity) if identity.is_in_the_clear() => {
                    let message = "it is reached over plain http: whoever is on the way reads and changes all";
                    problems.push(problem("IN_THE_CLEAR", message));
                }
                Ok(_) => {}
                Err(_) => problems.push(problem("NO_URL", "its URL is none of http or https")),
            }
        }
    }
    problems
}

/// What is behind a guard of ours, where one stands before it; a gateway is a server like others.
fn behind(launch: Launch, server: &Server) -> Result<Launch, Failure> {
    match is_guard(&launch) {
        true => targets::behind_unbuilt(launch, server.target()).map(|found| found.launch),
        false => Ok(launch),
    }
}

fn is_guard(launch: &Launch) -> bool {
    targets::guarded::ours(launch) == Some(Ours::Guard)
}

/// Whether a guard of ours stands before a server.
fn is_guarded(server: &Server) -> bool {
    server.launch.as_ref().is_ok_and(is_guard)
}

fn program_problems(server: &Server, program: &Program) -> Option<Problem> {
    let shown = visible(&program.command).into_owned();
    if let Some(cwd) = program.cwd.as_deref().filter(|cwd| !Path::new(cwd).is_dir()) {
        let message = format!("its directory `{}` is not there", visible(cwd));
        return Some(problem("NO_DIRECTORY", message));
    }
    // What the guard builds is no program yet.
    if program.command.contains("${") || is_package(&program.command) {
        return None;
    }
    let own = program.env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_str());
    let in_folder = |command: &str| {
        let folder = program.cwd.as_deref().map(Path::new).unwrap_or(match server.file.scope {
            Scope::Project => server.file.path.parent().unwrap_or(Path::new(".")),
            _ => Path::new("/"),
        });
        folder.join(command)
    };
    let found = match program.command.contains('/') && Path::new(&program.command).is_relative() {
        true => find(&in_folder(&program.command).to_string_lossy(), None),
        false => find(&program.command, own.map(AsRef::as_ref)),
    };
    let Some(found) = found else {
        let place = if program.command.contains('/') { "" } else { " in the PATH" };
        return Some(problem("NO_PROGRAM", format!("there is no program `{shown}`{place}")));
    };
    let desktop = desktop_path(System::here());
    let is_bare = !program.command.contains('/');
    if is_bare
        && own.is_none()
        && !server.client().terminal
        && find(&program.command, Some(desktop.as_ref())).is_none()
    {
        let message = format!(
            "`{shown}` is in the PATH of your shell, at `{}`, which programs of the desktop do not \
             have: write the whole path",
            shown_path(&found)
        );
        return Some(problem("PATH_OF_SHELL", message));
    }
    // What an interpreter runs is the first argument that is no option.
    let script = program.args.iter().find(|word| !word.starts_with('-'));
    let script = script.filter(|word| Path::new(word).is_absolute() && runs_other_code(&found));
    let script = script.filter(|word| !Path::new(word).exists())?;
    Some(problem("NO_SCRIPT", format!("there is no file `{}`", visible(script))))
}

/// Whether a word stands for a package of Cargo, by its name or its folder.
fn is_package(word: &str) -> bool {
    matches!(targets::cargo::Wanted::read(word), Ok(Some(_)))
}

/// Which entries start the same as one before, by their place in the list.
fn duplicates(servers: &[Server]) -> BTreeMap<usize, String> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut same = BTreeMap::new();
    for (at, server) in servers.iter().enumerate() {
        let launch = server.launch.as_ref().ok().cloned().map(|launch| {
            // One that cannot be looked through is still the same as itself.
            behind(launch.clone(), server).unwrap_or(launch)
        });
        let key = match &launch {
            Some(Launch::Program(program)) => {
                let command = find(&program.command, None).map_or_else(
                    || program.command.clone(),
                    |path| path.to_string_lossy().into_owned(),
                );
                format!("{command:?}{:?}{:?}{:?}", program.args, program.env, program.cwd)
            }
            Some(Launch::Remote(remote)) => format!("{:?}{:?}", remote.url, remote.headers),
            None => continue,
        };
        // The same server in two clients is what users want; twice in one is loaded twice.
        let key = format!("{}:{key}", server.client().id);
        match first.get(&key) {
            Some(other) if servers.get(*other).is_some_and(|other| meets(other, server)) => {
                let other =
                    servers.get(*other).map(|one| format!("`{}`, line {}", one.name, one.line));
                same.insert(at, other.unwrap_or_default());
            }
            Some(_) => {}
            None => _ = first.insert(key, at),
        }
    }
    same
}

/// Whether two entries can count at the same time: those of two projects never do.
fn meets(one: &Server, other: &Server) -> bool {
    one.project.is_none() || other.project.is_none() || one.project == other.project
}

/// An entry of the user that one of this project has the name of.
fn hidden(server: &Server, servers: &[Server]) -> Option<Problem> {
    let hides = |other: &&Server| {
        other.client().id == server.client().id
            && other.name == server.name
            && other.file.scope == Scope::Project
            && server.file.scope == Scope::User
            && server.project.is_none()
            && other.entry != server.entry
    };
    let other = servers.iter().find(hides)?;
    let message =
        format!("`{}` has another of its name, which counts here", shown_path(&other.file.path));
    Some(problem("HIDDEN", message))
}

fn text(
    files: &[(ConfigFile, State)],
    looked: &[(&Server, Vec<Problem>)],
    count: usize,
    (wrong, broken): (usize, usize),
) -> String {
    let (bold, dim, warn, bad) = (style::BOLD, style::DIM, style::WARN, style::BAD);
    let mut text = String::new();
    for (file, state) in files {
        let own: Vec<_> = looked
            .iter()
            .filter(|(one, _)| one.file.path == file.path && one.client().id == file.client.id)
            .collect();
        if own.is_empty() && state.error().is_none() && state.note().is_none() {
            continue;
        }
        let path = shown_path(&file.path);
        text.push_str(&format!("{bold}{}{bold:#}  {dim}{path}{dim:#}\n", file.client.title));
        if let Some(error) = state.error() {
            let line = state.line().map_or_else(String::new, |line| format!("line {line}: "));
            text.push_str(&format!("  {bad}broken{bad:#} {line}{error}\n"));
        }
        if let Some(note) = state.note() {
            text.push_str(&format!("  {warn}note{warn:#} it holds {note}\n"));
        }
        for (server, problems) in own {
            let off = if server.enabled { "" } else { " (off)" };
            let project = server.project.as_deref();
            let project =
                project.map_or_else(String::new, |one| format!(" (in {})", shown_path(one)));
            text.push_str(&format!(
                "  {bold}{}{bold:#}{off}{project}  {}\n",
                visible(&server.target()),
                shown_command(server)
            ));
            for problem in problems {
                text.push_str(&format!("    {warn}{}{warn:#} {}\n", problem.code, problem.message));
            }
        }
    }
    if count == 0 && text.is_empty() {
        return "no client on this computer has a server\n\nput one there: etdi install --help"
            .to_owned();
    }
    // What only its client can look up, such as what it asks its user for, fails here for sure.
    let variable = |name: &str| std::env::var(name).ok();
    let can = |server: &Server| server.resolved(&variable).is_some_and(|launch| launch.is_ok());
    let can = || looked.iter().filter(|(server, _)| can(server));
    let first = can().find(|(_, problems)| problems.is_empty()).or_else(|| can().next());
    let first = first.map(|(server, _)| server.target());
    let servers = if count == 1 { "server" } else { "servers" };
    text.push_str(&format!("\n{count} {servers}, {wrong} with something wrong"));
    if broken > 0 {
        let files = if broken == 1 { "file" } else { "files" };
        text.push_str(&format!(", and {broken} {files} that cannot be read"));
    }
    if let Some(target) = first {
        text.push_str(&format!("\nask one: etdi list {}", quoted(&target)));
    }
    text
}
