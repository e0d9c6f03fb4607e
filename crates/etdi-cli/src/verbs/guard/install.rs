//! `etdi guard install` and `uninstall`: a guard before each server of a client's configuration, and
//! away again.

use etdi::core::change::visible;
use etdi_clients::{Client, Config, Launch, Program, RemoteServer, Scope, Server, Unresolved};
use serde_json::{Value, json};

use crate::args::{GuardCommand, GuardInstallArguments};
use crate::arguments::nearest;
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{Output, Report};
use crate::targets;
use crate::targets::Ours;
use crate::targets::guarded::{self, ours, this};
use crate::verbs::discover;
use crate::verbs::target::quoted;
use crate::verbs::uninstall::{broken, guards_go, write};

/// Changes the configurations of the clients that are named.
///
/// # Errors
///
/// When a client is not known, a file cannot be read or changed, or nothing fits. Nothing is written then.
pub(super) fn run(command: &GuardCommand, home: &Home, output: Output) -> Result<Report, Failure> {
    let (clients, only, dry_run, verb) = match command {
        GuardCommand::Install(one) => (&one.clients, &one.name, one.dry_run, "guard install"),
        GuardCommand::Uninstall(one) => (&one.clients, &one.name, one.dry_run, "guard uninstall"),
    };
    let whose = clients.join(", ");
    let clients: Vec<&'static Client> =
        clients.iter().map(|name| targets::client(name)).collect::<Result<_, _>>()?;
    let guard = match command {
        GuardCommand::Install(arguments) => Some(Guard::new(arguments)?),
        GuardCommand::Uninstall(_) => None,
    };
    let trusts_first =
        matches!(command, GuardCommand::Install(arguments) if arguments.trust_first_use);
    let mut there = Vec::new();
    let (mut configs, mut names) = (Vec::new(), Vec::new());
    let (mut next, mut idle) = (Vec::new(), Vec::new());
    let (mut left_out, mut notes) = (Vec::new(), Vec::new());
    for file in targets::files_of(&clients, &targets::places()) {
        let mut config = Config::open(&file).map_err(|error| broken(&error))?;
        let changed = config.rewrite_each(|server| {
            there.push(server.name.clone());
            if only.as_ref().is_some_and(|name| *name != server.name) {
                return None;
            }
            let changed = match (&server.launch, &guard) {
                (Ok(launch), Some(guard)) => guard.before(launch).map_err(str::to_owned),
                (Ok(launch), None) => unguarded(launch),
                (Err(error), _) => Err(format!("cannot be read, {error}: it stays as it is")),
            };
            let name = || visible(&server.target()).into_owned();
            match changed {
                Ok(Some(launch)) => {
                    notes.extend(
                        lost(&server.launch, &launch).map(|what| format!("`{}` {what}", name())),
                    );
                    match discover::cannot_start(server) {
                        true => idle.push(format!("etdi doctor -- {}", quoted(&name()))),
                        false => next.push(approves(server)),
                    }
                    Some(launch)
                }
                Ok(None) => None,
                Err(why) => {
                    left_out.push(format!("`{}` {why}", name()));
                    None
                }
            }
        });
        names.extend(changed.map_err(|error| broken(&error))?.iter().map(Server::target));
        if config.is_changed() {
            configs.push(config);
        }
    }
    for line in left_out.iter().chain(&notes) {
        output.warn(line);
    }
    if let Some(name) = only.as_ref().filter(|name| !there.contains(name)) {
        there.sort();
        there.dedup();
        let all: Vec<_> = there.iter().map(|name| format!("`{}`", visible(name))).collect();
        let meant = match nearest(name, there.iter().map(String::as_str)) {
            _ if there.is_empty() => "there is none at all".to_owned(),
            Some(near) => format!("did you mean `{}`? There are {}", visible(near), all.join(", ")),
            None => format!("there are {}", all.join(", ")),
        };
        let message = format!(
            "there is no server `{}` in what {} has: {meant}",
            visible(name),
            visible(&whose)
        );
        return Err(Failure::usage(message, "etdi discover").with_code("NO_SUCH_SERVER"));
    }
    if configs.is_empty() && guard.is_some() && !there.is_empty() && left_out.is_empty() {
        // That is what was asked for.
        let data = json!({ "servers": [], "left_out": [], "next": [] });
        return Ok(Report::new(data, "every server is behind a guard already"));
    }
    if configs.is_empty() && !left_out.is_empty() {
        let what = if guard.is_some() { "put before" } else { "taken away from" };
        let message = format!("no guard was {what} a server: {}", left_out.join("; "));
        return Err(Failure::usage(message, "etdi discover")
            .with_code("LEFT_OUT")
            .with_details(json!({ "left_out": left_out }), ""));
    }
    if configs.is_empty() {
        let message = match &guard {
            Some(_) => "there is no server to put a guard before",
            None => "there is no server behind a guard",
        };
        return Err(Failure::usage(message, "etdi discover").with_code("NO_SUCH_SERVER"));
    }
    if let GuardCommand::Uninstall(arguments) = command
        && !dry_run
    {
        let only = only.as_ref().map(|name| format!(" --name {}", quoted(name)));
        let words: Vec<_> = arguments.clients.iter().map(|client| quoted(client)).collect();
        let next = format!("etdi guard uninstall {}{}", words.join(" "), only.unwrap_or_default());
        guards_go(names.clone(), arguments.yes, home, output, next)?;
    }
    let shared = |config: &Config| config.file().scope == Scope::Project;
    if guard.is_some() && configs.iter().any(shared) {
        output.warn(SHARED);
    }
    let mut report = write(verb, configs, dry_run, home)?;
    let names: Vec<_> = names.iter().map(|name| visible(name).into_owned()).collect();
    if let Value::Object(data) = &mut report.data {
        data.insert("servers".to_owned(), json!(names));
        data.insert("left_out".to_owned(), json!(left_out));
    }
    report.text = format!("{}\n{}", names.join("\n"), report.text);
    if guard.is_some() && !trusts_first {
        if !next.is_empty() {
            report.text.push_str(&format!(
                "\n\nwhat was not approved yet is not listed to the client; read and approve:\n  {}",
                next.join("\n  ")
            ));
        }
        if !idle.is_empty() {
            let idle = idle.join("\n  ");
            report.text.push_str(&format!("\n\nwhat cannot start as it is:\n  {idle}"));
        }
        next.extend(idle);
        if let Value::Object(data) = &mut report.data {
            data.insert("next".to_owned(), json!(next));
        }
    }
    Ok(report)
}

/// The command that approves a server, with what only its client knows left to be filled in: a reference
/// to that stands as it is written.
fn approves(server: &Server) -> String {
    let by_name = format!("etdi approve {}", quoted(&visible(&server.target())));
    match (server.resolved(&|name| std::env::var(name).ok()), &server.launch) {
        (Some(Err(Unresolved::NotSet(name))), _) => format!("{name}=VALUE {by_name}"),
        (Some(Err(Unresolved::OfClient(_))), Ok(Launch::Program(program))) => {
            let is_asked = |(_, value): &&(String, String)| value.contains("${");
            let mut words: Vec<_> = match &program.cwd {
                Some(cwd) => vec![format!("cd {} &&", quoted(&visible(cwd)))],
                None => Vec::new(),
            };
            let asked = program.env.iter().filter(is_asked);
            words.extend(asked.map(|(name, _)| format!("{}=VALUE", visible(name))));
            words.push("etdi approve --".to_owned());
            let command = std::iter::once(&program.command).chain(&program.args);
            words.extend(command.map(|word| quoted(&visible(word))));
            words.join(" ")
        }
        _ => by_name,
    }
}

/// What is said of a file that a team shares.
const SHARED: &str = "a file of a project names this `etdi` by its path on this computer: whoever shares the file \
                      needs it there, or writes `etdi` in its place where all have it in their `PATH`";

/// The words that stand before a server's.
struct Guard {
    program: String,
    words: Vec<String>,
}

impl Guard {
    fn new(arguments: &GuardInstallArguments) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| {
            let message = format!("the system does not say where `etdi` is: {error}");
            Failure::usage(message, "which etdi")
        })?;
        let mut words = vec![VERB.to_owned()];
        if arguments.trust_first_use {
            words.push("--trust-first-use".to_owned());
        }
        if let Some(level) = arguments.level {
            words.extend(["--level".to_owned(), level.to_string()]);
        }
        words.push(DASHES.to_owned());
        Ok(Self { program: program.to_string_lossy().into_owned(), words })
    }

    /// How a server is started behind the guard; nothing where it is behind one, and why not where it
    /// cannot be.
    fn before(&self, launch: &Launch) -> Result<Option<Launch>, &'static str> {
        match ours(launch) {
            None => {}
            Some(Ours::Guard) if is_this(launch) => return Ok(None),
            Some(Ours::Guard) => {
                return Err(
                    "starts what is called as this program is, and is another: it stays as it is",
                );
            }
            Some(Ours::Gateway) => {
                return Err(
                    "is a gateway of ours, which guards each of its servers: it stays as it is",
                );
            }
            Some(Ours::Wrapped) => {
                return Err("starts a guard of ours by another command: it stays as it is");
            }
        }
        let (tail, env, cwd) = match launch {
            Launch::Program(program) => {
                let mut tail = vec![program.command.clone()];
                tail.extend(program.args.iter().cloned());
                (tail, program.env.clone(), program.cwd.clone())
            }
            Launch::Remote(remote) if !remote.headers.is_empty() => {
                return Err("sends headers, which a command line must not hold: it stays as it is");
            }
            Launch::Remote(remote) => (vec![remote.url.clone()], Vec::new(), None),
        };
        let args = self.words.iter().cloned().chain(tail).collect();
        Ok(Some(Launch::Program(Program { command: self.program.clone(), args, env, cwd })))
    }
}

/// Whether a launch starts this very program.
fn is_this(launch: &Launch) -> bool {
    let Launch::Program(program) = launch else { return false };
    this::file(program).is_some_and(|file| this::is_this(&file))
}

/// The server behind a guard, as it was before; nothing where there is none, and why not where nobody but the
/// guard finds it.
fn unguarded(launch: &Launch) -> Result<Option<Launch>, String> {
    let Launch::Program(program) = launch else { return Ok(None) };
    if ours(launch) != Some(Ours::Guard) {
        return Ok(None);
    }
    let told = guarded::read(program)
        .map_err(|why| format!("has a guard that cannot be read, {why}: it stays as it is"))?;
    let Some((command, args)) = told.target.command.split_first() else { return Ok(None) };
    let begins = |word: &&str| command.starts_with(*word);
    let is_ours = targets::is_entry(command)
        || ["cargo:", "example:"].iter().any(begins)
        || std::path::Path::new(command).is_dir();
    Ok(Some(match command.contains("://") && args.is_empty() {
        true => Launch::Remote(RemoteServer { url: command.clone(), ..RemoteServer::default() }),
        false if is_ours => {
            return Err(format!(
                "is `{}` behind the guard, which only `etdi` finds: it stays as it is",
                visible(command)
            ));
        }
        false => Launch::Program(Program {
            command: command.clone(),
            args: args.to_vec(),
            env: program.env.clone(),
            cwd: program.cwd.clone(),
        }),
    }))
}

/// What of an entry its new form does not say.
fn lost<E>(old: &Result<Launch, E>, new: &Launch) -> Option<&'static str> {
    match (old, new) {
        (Ok(Launch::Remote(old)), Launch::Program(_)) if old.sse => Some(
            "is reached by the older HTTP with a stream of its own (`sse`), which `guard uninstall` does not \
             write again; `etdi undo` does",
        ),
        (Ok(Launch::Program(old)), Launch::Remote(_)) if !old.env.is_empty() => {
            Some("is a URL, so that the variables of its guard are gone")
        }
        _ => None,
    }
}

const VERB: &str = "guard";
const DASHES: &str = "--";

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        let words = [VERB, "--trust-first-use", DASHES].map(str::to_owned).to_vec();
        Guard { program: std::env::current_exe().unwrap().display().to_string(), words }
    }

    fn program(words: &[&str]) -> Launch {
        let mut words = words.iter().map(|word| (*word).to_owned());
        let command = words.next().unwrap();
        let env = vec![("KEY".to_owned(), "${input:key}".to_owned())];
        let args = words.collect();
        Launch::Program(Program { command, args, env, cwd: Some("/work".to_owned()) })
    }

    #[test]
    fn what_is_put_before_a_server_comes_off_again() {
        let remote = |url: &str| {
            Launch::Remote(RemoteServer { url: url.to_owned(), ..RemoteServer::default() })
        };
        for launch in
            [program(&["notes", "--", "-x"]), program(&["notes"]), remote("https://a.example/mcp")]
        {
            let guarded = guard().before(&launch).unwrap().unwrap();
            assert_eq!(unguarded(&guarded), Ok(Some(launch.clone())));
            assert_eq!(guard().before(&guarded), Ok(None), "one guard is enough");
        }
        assert_eq!(unguarded(&program(&["etdi", "run", "--", "notes"])), Ok(None));
        // By its option, too; and nothing that no client can start.
        let url = program(&["etdi", "guard", "--url", "https://a.example/mcp"]);
        assert_eq!(unguarded(&url), Ok(Some(remote("https://a.example/mcp"))));
        for words in
            [&["--"][..], &["--of-tomorrow", "--", "x"], &["--", "cursor:opt"], &["--", "cargo:x"]]
        {
            let other = program(&[&["etdi", "guard"], words].concat());
            assert!(unguarded(&other).is_err(), "{other:?}");
        }
    }

    #[test]
    fn headers_do_not_get_into_a_command_line() {
        let headers = vec![("Authorization".to_owned(), "Bearer x".to_owned())];
        let url = "https://a.example/mcp".to_owned();
        let launch = Launch::Remote(RemoteServer { url, headers, sse: false });
        assert!(guard().before(&launch).is_err());
    }
}
