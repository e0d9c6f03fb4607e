//! The `etdi` command: sign, verify, approve and call the tools of MCP servers.
//!
//! The binary is [`run`] and nothing else. Each verb is a function from its arguments to a
//! [`Report`] or a [`Failure`], so that `--json`, the exit codes
//! and the next command to try are the same everywhere. What it does is done by the crate `etdi`;
//! here is only what a terminal needs.

pub mod args;
pub mod arguments;
pub mod ask;
pub mod changes;
pub mod demo;
pub mod doctor;
pub mod exit;
pub mod first_use;
pub mod home;
pub mod inspector;
pub mod keyring;
pub mod locked;
pub mod login;
pub mod output;
pub mod passphrase;
pub mod shell;
pub mod signals;
pub mod talk;
pub mod targets;
pub mod unattended;
pub mod verbs;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use crate::args::{Arguments, Command};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report};

/// Runs one command line, the program's name first, and gives the exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let dashes = arguments.iter().any(|word| *word == "--");
    // What a client starts in place of a server has the protocol on its standard output.
    let mut words =
        arguments.iter().skip(1).filter(|word| !word.to_string_lossy().starts_with('-'));
    let speaks = words.next().is_some_and(|verb| {
        let changes = |word: &OsString| *word == "install" || *word == "uninstall";
        let guards = *verb == "guard" && !words.next().is_some_and(changes);
        guards || *verb == "gateway" || *verb == "run"
    });
    let mut arguments = match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let output = Output::new(json).beside_the_protocol(speaks);
            return misused(&error, (!dashes, &typed_verbs(&arguments)), output);
        }
    };
    arguments.command.settle();
    if let Command::DemoServer(server) = &arguments.command {
        return match demo::servers::run(server) {
            Ok(()) => Exit::Done.code(),
            Err(error) => {
                eprintln!("{error}");
                Exit::Usage.code()
            }
        };
    }
    let output = Output::new(arguments.json);
    let output = output.beside_the_protocol(arguments.command.speaks());
    output.finish(arguments.command.name(), dispatch(&arguments.command, output))
}

/// A command line that cannot be read, or one that asks for help.
fn misused(error: &clap::Error, (dashless, typed): (bool, &str), output: Output) -> u8 {
    let text = error.render().to_string();
    // An option that is wrong is no server.
    let is_option = text.lines().next().is_some_and(|line| line.contains("'-"));
    let targetless = dashless && text.contains("-- <COMMAND>") && !is_option;
    let shown = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if shown || !output.is_json() {
        // Where neither stream can be written, there is nobody to tell.
        let _ = error.print();
        if targetless && !shown {
            eprintln!("\n{TARGET}: etdi list -- ./my-server");
        }
        if let Some(meant) = elsewhere(error) {
            eprintln!("\n{meant}");
        }
        return if shown { Exit::Done.code() } else { Exit::Usage.code() };
    }
    let line = text.lines().next().unwrap_or_default();
    let message = line.strip_prefix("error: ").unwrap_or(line);
    // What is wanting stands below, a line each.
    let below = text.lines().skip(1).take_while(|line| line.starts_with("  ")).map(str::trim);
    let message = match message.strip_suffix(':') {
        Some(_) => format!("{message} {}", below.collect::<Vec<_>>().join(", ")),
        None => message.to_owned(),
    };
    let message = match elsewhere(error) {
        Some(meant) => format!("{message}; {meant}"),
        None => message,
    };
    let (message, next) = match targetless {
        true => (format!("{message}; {TARGET}"), "etdi list -- ./my-server"),
        false => (message, ""),
    };
    let next = match next {
        "" if text.contains("Usage: ") => format!("{} --help", verbs(&text)),
        "" => format!("{typed} --help"),
        next => next.to_owned(),
    };
    output.finish("etdi", Err(Failure::usage(message, next)))
}

/// Where a verb is to be found that is none by itself, such as `revoke`.
fn elsewhere(error: &clap::Error) -> Option<String> {
    use clap::error::{ContextKind, ContextValue};
    let Some(ContextValue::String(word)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let all = Arguments::command();
    let mut open = vec![("etdi".to_owned(), &all)];
    let mut found = Vec::new();
    while let Some((path, command)) = open.pop() {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            let path = format!("{path} {}", inner.get_name());
            if inner.get_name() == word {
                found.push(format!("`{path}`"));
            }
            open.push((path, inner));
        }
    }
    found.sort();
    (!found.is_empty()).then(|| format!("there is {}", found.join(", ")))
}

/// The command that was typed, and the command within it, as far as there are such.
fn typed_verbs(arguments: &[OsString]) -> String {
    let mut all = Arguments::command();
    let mut said = "etdi".to_owned();
    let words = arguments.iter().skip(1).map(|word| word.to_string_lossy());
    for word in words.filter(|word| !word.starts_with('-')) {
        let Some(found) = all.find_subcommand(&*word).cloned() else { break };
        said = format!("{said} {}", found.get_name());
        all = found;
    }
    said
}

/// The command, and the command within it, that a complaint is about.
fn verbs(text: &str) -> String {
    let usage = text.lines().find_map(|line| line.strip_prefix("Usage: ")).unwrap_or("etdi");
    let plain = |word: &&str| !word.starts_with(['[', '<', '-']);
    usage.split(' ').take_while(plain).take(3).collect::<Vec<_>>().join(" ")
}

/// What those overlook who put the server where a word of `etdi` goes.
const TARGET: &str = "the server is the command that starts it, after `--`";

fn dispatch(command: &Command, output: Output) -> Result<Report, Failure> {
    if let Command::Demo(arguments) = command {
        return demo::run(arguments, output);
    }
    match command {
        Command::Completions { shell } => return verbs::manual::completions(*shell),
        Command::Man { out } => return verbs::manual::man(out.as_deref()),
        _ => {}
    }
    let home = Home::find()?;
    match command {
        Command::List(arguments) => verbs::list::list(&arguments.target, &home, output),
        Command::Verify(arguments) => verbs::list::verify(&arguments.target, &home, output),
        Command::Call(arguments) => verbs::call::run(arguments, &home, output),
        Command::Inspect(arguments) => verbs::inspect::run(arguments, &home, output),
        Command::Read(arguments) => verbs::read::run(arguments, &home, output),
        Command::Get(arguments) => verbs::get::run(arguments, &home, output),
        Command::Complete(arguments) => verbs::complete::run(arguments, &home, output),
        Command::Shell(arguments) => shell::run(arguments, &home, output),
        Command::Doctor(arguments) => doctor::run(arguments, &home, output),
        Command::Discover(arguments) => verbs::discover::run(arguments),
        Command::Install(arguments) => verbs::install::run(arguments, &home, output),
        Command::Uninstall(arguments) => verbs::uninstall::run(arguments, &home),
        Command::Undo(arguments) => verbs::uninstall::undo(arguments, &home, output),
        Command::Configs(arguments) => verbs::configs::run(arguments),
        Command::New(arguments) => verbs::new::run(arguments),
        Command::Run(arguments) => verbs::run::run(arguments, output),
        Command::Dev(arguments) => verbs::dev::run(arguments, output),
        Command::Test(arguments) => verbs::test::run(arguments, output),
        Command::Diff(arguments) => verbs::diff::run(arguments, output),
        Command::Init(arguments) => verbs::init::run(arguments),
        Command::Keys(command) => verbs::keys::run(command, &home, output),
        Command::Manifest(arguments) => verbs::manifest::run(arguments, output),
        Command::Lock(arguments) => verbs::lock::run(arguments, output),
        Command::Migrate(arguments) => verbs::migrate::run(arguments, output),
        Command::Sign(arguments) => verbs::sign::run(arguments, &home, output),
        Command::Approve(arguments) => verbs::approve::approve(arguments, &home, output),
        Command::Guard(arguments) => verbs::guard::run(arguments, &home, output),
        Command::Gateway(arguments) => verbs::gateway::run(arguments, &home, output),
        Command::Approvals(command) => verbs::approvals::run(command, &home, output),
        Command::Audit(command) => verbs::audit::run(command, &home),
        Command::Auth(command) => verbs::auth::run(command, &home, output),
        Command::Analyze(arguments) => verbs::analyze::run(arguments, &home, output),
        Command::Scan(arguments) => verbs::scan::run(arguments, &home, output),
        Command::AnalyzeTool(arguments) => verbs::analyze_tool::run(arguments, &home, output),
        Command::DebugToken(arguments) => verbs::debug_token::run(arguments),
        Command::ValidateOauth(arguments) => verbs::validate_oauth::run(arguments, output),
        Command::Policy(command) => verbs::policy::run(command, output),
        Command::Demo(arguments) => demo::run(arguments, output),
        Command::Completions { shell } => verbs::manual::completions(*shell),
        Command::Man { out } => verbs::manual::man(out.as_deref()),
        Command::DemoServer(_) => Err(Failure::usage("a server of the demo serves", "etdi demo")),
    }
}
