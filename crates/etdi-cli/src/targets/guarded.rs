//! A guard of ours before a server, and what is behind it.
//!
//! A guard shows nothing that it blocks, so whoever judges a server must not ask the guard. Words that
//! lead to one therefore lead to the server behind it, with what the guard was told to ask of it.

use std::path::Path;
use std::sync::Arc;

use clap::Parser as _;
use etdi::config::EtdiClientConfig;
use etdi::core::change::visible;
use etdi::core::level::SecurityLevel;
use etdi_clients::{Launch, Program};

use super::{Found, Packages, cargo, resolve_within, source};
use crate::args::{Arguments, Command, GuardArguments, Target};
use crate::exit::Failure;
use crate::home::Home;
use crate::verbs::target::quoted;

pub mod this;

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
    let is_etdi = is_etdi(program);
    let verb = program.args.iter().find(|word| !word.starts_with('-')).map(String::as_str);
    match verb {
        Some("guard") if is_etdi => return Some(Ours::Guard),
        Some("gateway") if is_etdi => return Some(Ours::Gateway),
        _ => {}
    }
    // A shell takes away quotes, and what stands between its commands.
    let ends = |c: char| c.is_whitespace() || ";&|()<>$`".contains(c);
    let command = (!is_etdi).then_some(&program.command);
    let words = command.into_iter().chain(&program.args).flat_map(|word| word.split(ends));
    let mut words = words.map(|word| word.trim_matches(['\'', '"']));
    let is_one =
        words.any(this::is_called_so) && words.any(|word| matches!(word, "guard" | "gateway"));
    is_one.then_some(Ours::Wrapped)
}

/// Whether a program is this one, or is called so.
pub fn is_etdi(program: &Program) -> bool {
    this::is_called_so(&program.command)
        || this::file(program).is_some_and(|file| this::is_this(&file))
}

/// What is behind a guard of ours; the same where there is none.
///
/// # Errors
///
/// When the guard's command line is none that this version reads, or its server cannot be found: asked
/// instead of the server, a guard would pass for one with nothing to hide.
pub(super) fn behind(found: Found, packages: Packages<'_>, depth: u8) -> Result<Found, Failure> {
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
    // What is only called as this program is may start anything, whatever it is told.
    let file = this::file(program);
    if !file.as_deref().is_some_and(this::is_this) {
        let what = match &file {
            Some(_) => "is called as this program is, and is another",
            None => "is not there",
        };
        let path = file.unwrap_or_else(|| program.command.clone().into()).display().to_string();
        let own = std::env::current_exe().unwrap_or_else(|_| "etdi".into()).display().to_string();
        let message = format!(
            "{}: what stands there for a guard, `{}`, {what}, so nobody knows what it starts: put `{}` \
             there, or name the server itself, `-- COMMAND`",
            shown(),
            visible(&path),
            visible(&own)
        );
        let next = format!("ls -l {}", quoted(&path));
        return Err(Failure::usage(message, next).with_code("GUARD_UNREADABLE"));
    }
    let words = &arguments.target.command;
    let is_elsewhere = program
        .cwd
        .as_deref()
        .is_some_and(|cwd| std::env::current_dir().ok().is_none_or(|here| here != Path::new(cwd)));
    let first = words.first().map_or("", String::as_str);
    let is_relative = cargo::Wanted::read(first)?.is_some() || source::is_nearby(first);
    if let (true, true, Some(cwd)) = (is_elsewhere, is_relative, &program.cwd) {
        let message = format!("{}: `{}` is meant in another directory", shown(), visible(first));
        let next = format!("cd {}", quoted(cwd));
        return Err(Failure::usage(message, next).with_code("GUARD_UNREADABLE"));
    }
    let inner = resolve_within(words, packages, depth + 1, this::path(program))?;
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
        Some(other) => filled(&arguments, &other.arguments)?,
        None => arguments,
    };
    let guard = Guarded { arguments: Arc::new(arguments), program: program.clone() };
    Ok(Found { launch, guard: Some(guard), ..found })
}

/// Whether a guard enforces less than another that stands in its place: it is another program, or some of
/// what that one was told is missing. What cannot be read may have been anything.
pub fn loses(new: &Program, old: &Program) -> bool {
    let is_this = this::file(new).is_some_and(|file| this::is_this(&file));
    let (Ok(new), Ok(mut old)) = (read(new), read(old)) else { return true };
    old.target.command.clone_from(&new.target.command);
    let told = |arguments: &GuardArguments| format!("{arguments:?}");
    let is_all =
        told(&old) == told(&new) || filled(&new, &old).is_ok_and(|both| told(&both) == told(&new));
    !is_this || !is_all
}

/// What a guard's command line says.
///
/// # Errors
///
/// When this version does not read it, or it names no server.
pub fn read(program: &Program) -> Result<GuardArguments, String> {
    let words = std::iter::once("etdi").chain(program.args.iter().map(String::as_str));
    let mut read = Arguments::try_parse_from(words).map_err(|error| {
        let text = error.render().to_string();
        let line = text.lines().next().unwrap_or_default();
        line.strip_prefix("error: ").unwrap_or(line).to_owned()
    })?;
    read.command.settle();
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

/// What two guards before each other are told, so that one enforces no less than both.
///
/// # Errors
///
/// When both have a policy, or both have flow rules: one guard asks one.
pub fn filled(one: &GuardArguments, other: &GuardArguments) -> Result<GuardArguments, Failure> {
    let twice = |what: &str| {
        let message = format!(
            "two guards stand before each other, and each has {what} of its own, where one guard has \
             one: leave it out of one of them"
        );
        Failure::usage(message, "etdi guard --help").with_code("GUARD_TWICE")
    };
    if one.policy.is_some() && other.policy.is_some() {
        return Err(twice("a `--policy`"));
    }
    if one.flows.is_some() && other.flows.is_some() {
        return Err(twice("`--flows`"));
    }
    let limits = [one.calls_per_minute, other.calls_per_minute];
    let mut target = asked_for(&one.target, &other.target, true);
    target.level = stricter(one.target.level, other.target.level);
    // What a guard that is told nothing does.
    let usual = match target.level {
        Some(SecurityLevel::Strict) => 0,
        _ => RECHECK_AFTER,
    };
    let recheck_after = match (one.recheck_after, other.recheck_after) {
        (None, None) => None,
        (one, other) => Some(one.unwrap_or(usual).min(other.unwrap_or(usual))),
    };
    Ok(GuardArguments {
        command: None,
        trust_first_use: one.trust_first_use && other.trust_first_use,
        no_elicitation: one.no_elicitation || other.no_elicitation,
        elicitation: one.elicitation,
        policy: one.policy.clone().or_else(|| other.policy.clone()),
        user: one.user.clone().or_else(|| other.user.clone()),
        flows: one.flows.clone().or_else(|| other.flows.clone()),
        calls_per_minute: limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(0),
        recheck_after,
        http: one.http,
        url: None,
        target,
    })
}

/// After how many seconds a guard looks again that is told nothing, as [`etdi::Guard::recheck_after`]
/// has it.
const RECHECK_AFTER: u64 = 5;

/// The stricter of two levels. Who says none has the one of the settings.
fn stricter(one: Option<SecurityLevel>, other: Option<SecurityLevel>) -> Option<SecurityLevel> {
    let usual = || EtdiClientConfig::load().ok().map(|settings| settings.policy().level);
    match (one, other) {
        (None, None) => None,
        (one, other) => one.or_else(usual).max(other.or_else(usual)),
    }
}

/// A target as it was typed, with what the guard before it is told: what it is called, and whom to trust
/// where that is taken from it and was not typed. Its level is for [`crate::verbs::target`] to hold
/// against that of the settings.
pub fn asked_for(typed: &Target, guard: &Target, trusting: bool) -> Target {
    let trust = if typed.trust.is_empty() && trusting { &guard.trust } else { &typed.trust };
    Target {
        level: typed.level,
        server: typed.server.clone().or_else(|| guard.server.clone()),
        trust: trust.clone(),
        online: typed.online || (guard.online && trusting),
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(words: &[&str]) -> Found {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Found::command(&words)
    }

    /// What a guard is called that can be looked through: this program.
    fn me() -> String {
        std::env::current_exe().unwrap().display().to_string()
    }

    #[test]
    fn what_is_behind_a_guard_is_found_with_what_the_guard_is_told() {
        let guarded = found(&[&me(), "guard", "--level", "strict", "--server", "pkg:cargo/notes"]);
        let mut guarded = guarded;
        let Launch::Program(program) = &mut guarded.launch else { panic!("a program") };
        program.args.extend(["--", "/bin/notes", "--", "-x"].map(str::to_owned));
        program.env = vec![("KEY".to_owned(), "1".to_owned())];
        program.cwd = Some("/work".to_owned());
        let found = behind(guarded, Packages::Leave, 0).unwrap();
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
        let url =
            behind(found(&[&me(), "guard", "--", "https://a.example/mcp"]), Packages::Leave, 0)
                .unwrap();
        assert_eq!(url.url(), Some("https://a.example/mcp"));
        let me = me();
        let words = [&me, "guard", "--calls-per-minute", "9", "--", &me, "guard"];
        let told = ["--calls-per-minute", "3", "--level", "strict", "--no-elicitation", "--", "/x"];
        let words = [&words[..], &told].concat();
        let two = behind(found(&words), Packages::Leave, 0).unwrap();
        assert_eq!(two.words(), ["/x"]);
        let arguments = two.guard.unwrap().arguments;
        assert_eq!(arguments.calls_per_minute, 3, "the tighter of the two holds");
        assert!(arguments.target.level.is_some(), "what only the inner one is told holds");
        assert!(arguments.no_elicitation);
    }

    #[test]
    fn one_guard_enforces_what_two_did() {
        let told = |words: &[&str]| {
            let words = [&["guard"], words, &["--", "/x"]].concat();
            let args = words.into_iter().map(str::to_owned).collect();
            read(&Program { command: me(), args, ..Program::default() }).unwrap()
        };
        let both = |one: &[&str], other: &[&str]| filled(&told(one), &told(other));
        for (one, other) in [
            (&["--level", "basic"][..], &["--level", "strict"][..]),
            (&["--level", "strict"], &["--level", "basic"]),
        ] {
            assert_eq!(both(one, other).unwrap().target.level, Some(SecurityLevel::Strict));
        }
        for (one, other, after) in [
            (&["--recheck-after", "60"][..], &["--recheck-after", "0"][..], Some(0)),
            (&["--recheck-after", "60"], &[], Some(5)),
            (&[], &["--recheck-after", "2"], Some(2)),
            (&["--recheck-after", "60"], &["--level", "strict"], Some(0)),
            (&[], &[], None),
        ] {
            assert_eq!(both(one, other).unwrap().recheck_after, after, "{one:?} {other:?}");
        }
        let first = &["--trust-first-use"][..];
        assert!(!both(first, &[]).unwrap().trust_first_use);
        assert!(!both(&[], first).unwrap().trust_first_use);
        assert!(both(first, first).unwrap().trust_first_use);
        for option in ["--policy", "--flows"] {
            let (one, other) = ([option, "one"], [option, "other"]);
            assert_eq!(both(&one, &other).unwrap_err().code, "GUARD_TWICE");
            assert!(both(&one, &[]).is_ok() && both(&[], &other).is_ok());
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_only_called_as_this_program_is_not_looked_through() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display().to_string();
        let other = folder.path().join("etdi");
        std::fs::write(&other, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o755)).unwrap();
        let guard = |command: &str, env: &[(&str, &str)], cwd: Option<&str>| {
            let mut found = found(&[command, "guard", "--", "/x"]);
            let Launch::Program(program) = &mut found.launch else { panic!("a program") };
            program.env = env.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            program.cwd = cwd.map(str::to_owned);
            behind(found, Packages::Leave, 0)
        };
        for (command, env, cwd) in [
            (&*other.display().to_string(), &[][..], None),
            ("./etdi", &[], Some(&*place)),
            ("etdi", &[("PATH", &*place)], None),
            ("etdi", &[("PATH", ".")], Some(&*place)),
            ("/nowhere/etdi", &[], None),
        ] {
            let failure = guard(command, env, cwd).unwrap_err();
            assert_eq!(failure.code, "GUARD_UNREADABLE", "{command}");
            let place = if command.starts_with("/nowhere") { "/nowhere/etdi" } else { &*place };
            assert!(failure.message.contains(place), "{}", failure.message);
        }
        // One that is called otherwise and is this program is looked through, by a link or a copy.
        let (link, copy) = (folder.path().join("mine"), folder.path().join("copy"));
        std::os::unix::fs::symlink(me(), &link).unwrap();
        std::fs::copy(me(), &copy).unwrap();
        for name in ["./mine", "./copy"] {
            let found = guard(name, &[], Some(&place)).unwrap();
            assert_eq!(found.words(), ["/x"], "{name}");
        }
    }

    #[test]
    fn the_program_behind_a_guard_is_looked_for_where_the_guard_does() {
        // Neither is there, and only the folder of the guard's own settings is looked into.
        let mut guarded = found(&[&me(), "guard", "--", "claude-code:x"]);
        let Launch::Program(program) = &mut guarded.launch else { panic!("a program") };
        program.cwd = Some("/".to_owned());
        let failure = behind(guarded, Packages::Leave, 0).unwrap_err();
        assert_eq!((&*failure.code, &*failure.next), ("GUARD_UNREADABLE", "cd /"));
    }

    #[test]
    fn a_guard_that_cannot_be_read_is_never_asked_in_the_place_of_its_server() {
        for (words, code) in [
            (&["etdi", "guard", "--of-tomorrow", "--", "/x"][..], "GUARD_UNREADABLE"),
            (&["etdi", "guard", "--"], "GUARD_UNREADABLE"),
            (&["etdi", "guard", "install", "cursor"], "GUARD_UNREADABLE"),
            (&["sh", "-c", "exec /opt/etdi guard -- notes"], "GUARD_UNREADABLE"),
            (&["env", "A=1", "etdi", "guard", "--", "/x"], "GUARD_UNREADABLE"),
            (&["sh", "-c", "exec \"/opt/etdi\" guard -- x"], "GUARD_UNREADABLE"),
            (&["sh", "-c", "cd /;(/opt/etdi guard)&"], "GUARD_UNREADABLE"),
            (&["env", "etdi", "--json", "guard", "--", "/x"], "GUARD_UNREADABLE"),
            (&["env", "/opt/etdi-1.2", "gateway", "x.json"], "GUARD_UNREADABLE"),
            (&["/opt/etdi-1.2", "guard", "--", "/x"], "GUARD_UNREADABLE"),
            (&["etdi", "run", "--", "etdi", "guard", "--", "/x"], "GUARD_UNREADABLE"),
            (&["etdi", "gateway", "servers.json"], "GATEWAY"),
        ] {
            assert_eq!(
                behind(found(words), Packages::Leave, 0).unwrap_err().code,
                code,
                "{words:?}"
            );
        }
        for words in [
            &["etdi", "run", "--", "notes"][..],
            &["etdi", "run", "--", "notes", "guard"],
            &["/x", "guard"],
            &["/x", "guard", "etdi"],
            &["notes"],
        ] {
            assert!(behind(found(words), Packages::Leave, 0).unwrap().guard.is_none(), "{words:?}");
        }
    }
}
