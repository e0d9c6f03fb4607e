//! A guard of ours before a server, and what is behind it.
//!
//! A guard shows nothing that it blocks, so whoever judges a server must not ask the guard. Words that
//! lead to one therefore lead to the server behind it, with what the guard was told to ask of it.

use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use etdi::core::change::visible;
use etdi_clients::{Launch, Program};

use super::{Found, cargo, find, resolve_within, source};
use crate::args::{Arguments, BuildArguments, Command, GuardArguments, Target};
use crate::exit::Failure;
use crate::home::Home;
use crate::verbs::target::quoted;

/// So many guards may stand before each other.
const DEPTH: u8 = 4;

/// What sets where `etdi` keeps things, and how strict it is.
const PLACES: [&str; 5] =
    ["ETDI_HOME", "XDG_DATA_HOME", "HOME", "ETDI_CONFIG_PATH", "ETDI_SECURITY_LEVEL"];

/// A guard of ours, as the command line of an entry has it.
#[derive(Clone)]
pub struct Guarded {
    /// What it is told.
    pub arguments: Arc<GuardArguments>,
    /// How it is started itself.
    pub program: Program,
}

/// Something of ours in the place of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ours {
    /// `etdi guard`, before one server.
    Guard,
    /// `etdi gateway`, before those of a file.
    Gateway,
    /// A guard within another command, such as that of a shell, which nothing can take apart for sure.
    Wrapped,
}

/// What of ours a launch starts, if it does.
pub fn ours(launch: &Launch) -> Option<Ours> {
    let Launch::Program(program) = launch else { return None };
    let verb = program.args.iter().find(|word| *word != "--json").map(String::as_str);
    if is_etdi(&program.command) {
        return match verb {
            Some("guard") => Some(Ours::Guard),
            Some("gateway") => Some(Ours::Gateway),
            _ => None,
        };
    }
    let words: Vec<&str> = program.args.iter().flat_map(|word| word.split_whitespace()).collect();
    let is_one = words.windows(2).any(|two| match two {
        [command, verb] => {
            is_etdi(command.trim_start_matches(['\'', '"'])) && matches!(*verb, "guard" | "gateway")
        }
        _ => false,
    });
    is_one.then_some(Ours::Wrapped)
}

/// Whether a command is this program, wherever it lies.
pub fn is_etdi(command: &str) -> bool {
    let name = command.rsplit(['/', '\\']).next().unwrap_or_default();
    let this = || std::env::current_exe().is_ok_and(|this| this == Path::new(command));
    name == "etdi" || name == "etdi.exe" || this()
}

/// What is behind a guard of ours; the same where there is none.
///
/// # Errors
///
/// When the guard's command line is none that this version reads, or its server cannot be found: asked
/// instead of the server, a guard would pass for one with nothing to hide.
pub(super) fn behind(found: Found, depth: u8) -> Result<Found, Failure> {
    let shown = || match &found.entry {
        Some(entry) => format!("`{}`", visible(entry)),
        None => format!("`{}`", visible(&found.words().join(" "))),
    };
    let unfit = |why: String| {
        let message = format!("{}: {why}", shown());
        Failure::usage(message, "etdi guard --help").with_code("GUARD_UNREADABLE")
    };
    let Some(kind) = ours(&found.launch) else { return Ok(found) };
    let Launch::Program(program) = &found.launch else { return Ok(found) };
    match kind {
        Ours::Guard => {}
        Ours::Gateway => {
            let file =
                program.args.iter().find(|word| !word.starts_with('-') && *word != "gateway");
            let file = file.map_or("FILE", String::as_str);
            let message = format!(
                "{} is a gateway of ours, which shows nothing that is blocked: name a server of its \
                 file, `{}:NAME`",
                shown(),
                visible(file)
            );
            let next = format!("etdi gateway {} --check", quoted(file));
            return Err(Failure::usage(message, next).with_code("GATEWAY"));
        }
        Ours::Wrapped => {
            return Err(unfit(
                "a guard of ours is started by another command there, and shows nothing that is \
                 blocked: name the server itself after `--`"
                    .to_owned(),
            ));
        }
    }
    if depth >= DEPTH {
        return Err(unfit(format!("more than {DEPTH} guards stand before each other there")));
    }
    let arguments = read(program).map_err(|why| {
        unfit(format!(
            "the guard before it has a command line that this `etdi` ({}) cannot read, so nobody knows \
             which server is behind it: {why}",
            env!("CARGO_PKG_VERSION")
        ))
    })?;
    let words = &arguments.target.command;
    let is_elsewhere = program
        .cwd
        .as_deref()
        .is_some_and(|cwd| std::env::current_dir().ok().is_none_or(|here| here != Path::new(cwd)));
    let first = words.first().map_or("", String::as_str);
    let is_relative = cargo::Wanted::read(first)?.is_some() || source::is_file_nearby(first);
    if let (true, true, Some(cwd)) = (is_elsewhere, is_relative, &program.cwd) {
        let message = format!("{}: `{}` is meant in another directory", shown(), visible(first));
        let next = format!("cd {}", quoted(cwd));
        return Err(Failure::usage(message, next).with_code("GUARD_UNREADABLE"));
    }
    let inner = resolve_within(words, &BuildArguments::default(), depth + 1)?;
    let launch = match inner.launch {
        Launch::Remote(remote) => Launch::Remote(remote),
        Launch::Program(inner) => {
            let mut env = program.env.clone();
            env.retain(|(name, _)| !inner.env.iter().any(|(other, _)| other == name));
            env.extend(inner.env);
            Launch::Program(Program { env, cwd: inner.cwd.or(program.cwd.clone()), ..inner })
        }
    };
    let arguments = match &inner.guard {
        Some(other) => filled(&arguments, &other.arguments),
        None => arguments,
    };
    let guard = Guarded { arguments: Arc::new(arguments), program: program.clone() };
    Ok(Found { launch, guard: Some(guard), ..found })
}

/// What a guard's command line says.
fn read(program: &Program) -> Result<GuardArguments, String> {
    let words = std::iter::once("etdi").chain(program.args.iter().map(String::as_str));
    let read = Arguments::try_parse_from(words).map_err(|error| {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    })?;
    match read.command {
        Command::Guard(arguments) if arguments.command.is_none() => {
            match arguments.target.command.is_empty() {
                true => Err("it names no server after `--`".to_owned()),
                false => Ok(placed(arguments, program.cwd.as_deref())),
            }
        }
        _ => Err("it guards nothing".to_owned()),
    }
}

/// The files that it names, from where it is started.
fn placed(mut arguments: GuardArguments, cwd: Option<&str>) -> GuardArguments {
    let Some(cwd) = cwd.map(Path::new) else { return arguments };
    for path in [&mut arguments.policy, &mut arguments.flows].into_iter().flatten() {
        *path = cwd.join(&*path);
    }
    for source in &mut arguments.target.trust {
        *source = match source.split_once('=') {
            Some((origin, file)) => format!("{origin}={}", cwd.join(file).display()),
            None => cwd.join(&*source).display().to_string(),
        };
    }
    arguments
}

/// What one guard is told, and where that says nothing, another behind it.
pub fn filled(one: &GuardArguments, other: &GuardArguments) -> GuardArguments {
    let with_policy = if one.policy.is_some() { one } else { other };
    let limits = [one.calls_per_minute, other.calls_per_minute];
    GuardArguments {
        command: None,
        trust_first_use: one.trust_first_use,
        no_elicitation: one.no_elicitation,
        policy: with_policy.policy.clone(),
        user: one.user.clone().or_else(|| other.user.clone()),
        flows: one.flows.clone().or_else(|| other.flows.clone()),
        calls_per_minute: limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(0),
        recheck_after: one.recheck_after.or(other.recheck_after),
        http: one.http,
        target: asked_for(&one.target, &other.target),
    }
}

/// A target as it was typed, and where that says nothing, what the guard before it is told.
pub fn asked_for(typed: &Target, guard: &Target) -> Target {
    let trust = if typed.trust.is_empty() { &guard.trust } else { &typed.trust };
    Target {
        level: typed.level.or(guard.level),
        server: typed.server.clone().or_else(|| guard.server.clone()),
        trust: trust.clone(),
        online: typed.online || guard.online,
        command: typed.command.clone(),
    }
}

impl Guarded {
    /// Fails where the guard keeps its approvals elsewhere than this command does, or reads other
    /// settings: what is approved here would not be what it asks for.
    ///
    /// # Errors
    ///
    /// Then, with the command that keeps them in the same place.
    pub fn same_home(&self, home: &Home, entry: &str) -> Result<(), Failure> {
        let of_entry = |name: &str| {
            let set = self.program.env.iter().find(|(other, _)| other == name);
            set.map(|(_, value)| value.clone()).filter(|value| !value.is_empty())
        };
        let own = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let there = Home::of(&|name| of_entry(name).or_else(|| own(name)).map(Into::into));
        let mut other: Vec<(&str, String)> = Vec::new();
        if let Some(there) = there.filter(|there| there.path() != home.path()) {
            other.push(("ETDI_HOME", there.path().display().to_string()));
        }
        for name in ["ETDI_CONFIG_PATH", "ETDI_SECURITY_LEVEL"] {
            let set = of_entry(name).filter(|value| own(name).as_ref() != Some(value));
            other.extend(set.map(|value| (name, value)));
        }
        if other.is_empty() || !self.program.env.iter().any(|(name, _)| PLACES.contains(&&**name)) {
            return Ok(());
        }
        let set: Vec<_> =
            other.iter().map(|(name, value)| format!("{name}={}", quoted(value))).collect();
        let names: Vec<_> = other.iter().map(|(name, _)| format!("`{name}`")).collect();
        let message = format!(
            "the guard before `{}` is started with another {}, so that what is approved here does not \
             count there: set the same",
            visible(entry),
            names.join(" and ")
        );
        let next = format!("{} etdi list -- {}", set.join(" "), quoted(entry));
        Err(Failure::usage(message, next).with_code("GUARD_ELSEWHERE"))
    }

    /// Whether the program that guards is there.
    pub fn is_there(&self) -> bool {
        let path = self.program.env.iter().find(|(name, _)| name == "PATH");
        find(&self.program.command, path.map(|(_, path)| path.as_ref())).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Found {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Found::command(&words)
    }

    #[test]
    fn what_is_behind_a_guard_is_found_with_what_the_guard_is_told() {
        let guarded =
            found(&["/opt/bin/etdi", "guard", "--level", "strict", "--server", "pkg:cargo/notes"]);
        let mut guarded = guarded;
        let Launch::Program(program) = &mut guarded.launch else { panic!("a program") };
        program.args.extend(["--", "/bin/notes", "--", "-x"].map(str::to_owned));
        program.env = vec![("KEY".to_owned(), "1".to_owned())];
        program.cwd = Some("/work".to_owned());
        let found = behind(guarded, 0).unwrap();
        assert_eq!(found.words(), ["/bin/notes", "--", "-x"]);
        let Launch::Program(program) = &found.launch else { panic!("a program") };
        assert_eq!(program.env, [("KEY".to_owned(), "1".to_owned())]);
        assert_eq!(program.cwd.as_deref(), Some("/work"));
        let guard = found.guard.unwrap();
        assert_eq!(guard.arguments.target.server.as_deref(), Some("pkg:cargo/notes"));
        assert!(guard.arguments.target.level.is_some());
    }

    #[test]
    fn urls_and_guards_before_guards_are_looked_through() {
        let url = behind(found(&["etdi", "guard", "--", "https://a.example/mcp"]), 0).unwrap();
        assert_eq!(url.url(), Some("https://a.example/mcp"));
        let words = ["etdi", "guard", "--calls-per-minute", "9", "--", "etdi.exe", "guard"];
        let words =
            [&words[..], &["--calls-per-minute", "3", "--level", "strict", "--", "/x"]].concat();
        let two = behind(found(&words), 0).unwrap();
        assert_eq!(two.words(), ["/x"]);
        let arguments = two.guard.unwrap().arguments;
        assert_eq!(arguments.calls_per_minute, 3, "the tighter of the two holds");
        assert!(arguments.target.level.is_some(), "what only the inner one is told holds");
    }

    #[test]
    fn a_guard_that_cannot_be_read_is_never_asked_in_the_place_of_its_server() {
        for (words, code) in [
            (&["etdi", "guard", "--of-tomorrow", "--", "/x"][..], "GUARD_UNREADABLE"),
            (&["etdi", "guard", "--"], "GUARD_UNREADABLE"),
            (&["etdi", "guard", "install", "cursor"], "GUARD_UNREADABLE"),
            (&["sh", "-c", "exec /opt/etdi guard -- notes"], "GUARD_UNREADABLE"),
            (&["env", "A=1", "etdi", "guard", "--", "/x"], "GUARD_UNREADABLE"),
            (&["etdi", "gateway", "servers.json"], "GATEWAY"),
        ] {
            assert_eq!(behind(found(words), 0).unwrap_err().code, code, "{words:?}");
        }
        for words in [&["etdi", "run", "--", "notes"][..], &["/x", "guard"], &["notes"]] {
            assert!(behind(found(words), 0).unwrap().guard.is_none(), "{words:?}");
        }
    }
}
