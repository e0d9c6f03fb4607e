//! `etdi install`: a server into the configurations of clients, started once as they would start it.

use std::path::Path;
use std::time::Duration;

use etdi::core::binding::runs_other_code;
use etdi::core::change::visible;
use etdi_clients::{
    Client, Config, ConfigError, Launch, Places, Program, RemoteServer, Scope, Server, Unfit,
    known, looks_secret,
};
use serde_json::{Value, json};

use crate::args::InstallArguments;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report, style};
use crate::targets::start::{self, Answer};
use crate::targets::{self, Found, Ours, find, name};
use crate::verbs::target::{block_on, quoted, shown_path};
use crate::verbs::uninstall::{broken, write};

/// Installs a server.
///
/// # Errors
///
/// When a client or the server is not known, the server does not start as the client would start it,
/// another server has its name, or a file cannot be changed. Nothing is written then.
pub fn run(arguments: &InstallArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let (clients, words) = split(arguments)?;
    let places = targets::places();
    let mut found = targets::resolve_built(&words, &arguments.build)?;
    let name = match &arguments.name {
        Some(name) => checked(name)?.to_owned(),
        None => called(&words, &found),
    };
    let variables = variables(arguments)?;
    let named: Vec<String> = variables.iter().map(|(name, _)| name.clone()).collect();
    if let Some((Launch::Program(written), _)) = &mut found.written {
        written.env.retain(|(name, _)| !named.contains(name));
    }
    settle(&mut found.launch, variables)?;
    let scope = Scope::from(arguments.scope);
    let mut chosen = Chosen::default();
    for client in clients {
        let mut launch = referring(&found, client);
        if !client.terminal {
            reach_interpreter(&mut launch);
        }
        chosen.add(client, &name, &launch, scope, &places, arguments)?;
    }
    let Chosen { configs, left_out } = chosen;
    if configs.is_empty() {
        let message = match left_out.is_empty() {
            true => "no client is on this computer".to_owned(),
            false => left_out.join("; "),
        };
        return Err(Failure::usage(message, "etdi configs --all").with_code("NOT_INSTALLED"));
    }
    for text in &left_out {
        output.warn(text);
    }
    warn_of_secrets(&configs, &found, output);
    let desktop = configs.iter().any(|config| !config.file().client.terminal);
    let answer = match arguments.dry_run || arguments.no_start {
        true => None,
        false => Some(started(&found, desktop, arguments, output)?),
    };
    let first = configs.first().map(|config| config.file().client.id);
    if let (Some(bad), Some(client)) = (answer.as_ref().map(|one| &one.suspicious), first)
        && !bad.is_empty()
    {
        let bad: Vec<_> = bad.iter().take(8).map(|tool| format!("`{tool}`")).collect();
        let entry = quoted(&format!("{client}:{name}"));
        output.warn(&format!(
            "the scanner holds {} for malicious: read what `etdi scan {entry}` shows, and take it out by \
             `etdi uninstall {client} {}`, or let a guard hold it back by `etdi guard install {client} \
             --name {}`",
            bad.join(", "),
            quoted(&name),
            quoted(&name)
        ));
    }
    let report = write("install", configs, arguments.dry_run, home)?;
    Ok(told(report, &name, answer, &left_out))
}

/// The clients and the words of the target.
fn split(arguments: &InstallArguments) -> Result<(Vec<&'static Client>, Vec<String>), Failure> {
    let (names, target) = match (arguments.command.as_slice(), arguments.words.split_last()) {
        ([], Some((last, names))) if Client::find(last).is_none() => {
            (names, vec![targets::placed(last.clone())])
        }
        ([], _) => return Err(Failure::usage(targets::NO_TARGET, "etdi install --help")),
        (command, _) => (arguments.words.as_slice(), command.to_vec()),
    };
    if arguments.all {
        if let Some(name) = names.first() {
            let message = format!("`{}` beside `--all` says nothing, leave one out", visible(name));
            return Err(Failure::usage(message, "etdi install --help"));
        }
        let places = targets::places();
        let present = known(places.system()).filter(|client| client.is_present(&places));
        return Ok((present.collect(), target));
    }
    let mut clients: Vec<&'static Client> = Vec::new();
    for name in names {
        let client = targets::client(name)?;
        if !clients.iter().any(|one| one.id == client.id) {
            clients.push(client);
        }
    }
    match clients.is_empty() {
        true => Err(Failure::usage(
            "no client is named: write one or more before the server, or `--all`",
            format!("etdi install cursor {}", words_again(&target)),
        )),
        false => Ok((clients, target)),
    }
}

fn words_again(words: &[String]) -> String {
    match words {
        [word] => quoted(word),
        words => {
            format!("-- {}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "))
        }
    }
}

fn checked(name: &str) -> Result<&str, Failure> {
    let fits = !name.trim().is_empty() && name.len() <= 64 && !name.chars().any(char::is_control);
    match fits {
        true => Ok(name),
        false => {
            let message =
                format!("`{}` is no name: 1 to 64 characters that can be seen", visible(name));
            Err(Failure::usage(message, "etdi install --help"))
        }
    }
}

/// A launch as one client is to have it: what refers to a variable where it comes from does so here,
/// in the client's own spelling, so that no secret gets into a file by being copied.
fn referring(found: &Found, client: &Client) -> Launch {
    let mut launch = found.launch.clone();
    let Some((written, from)) = &found.written else { return launch };
    let one = |value: &mut String, old: &str| {
        if let Some(written) = from.rewritten(old, client) {
            *value = written;
        }
    };
    let again = |pairs: &mut Vec<(String, String)>, written: &[(String, String)]| {
        for (name, value) in pairs {
            if let Some((_, old)) = written.iter().find(|(other, _)| other == name) {
                one(value, old);
            }
        }
    };
    match (&mut launch, written) {
        (Launch::Program(new), Launch::Program(old)) => {
            again(&mut new.env, &old.env);
            new.args.iter_mut().zip(&old.args).for_each(|(value, old)| one(value, old));
        }
        (Launch::Remote(new), Launch::Remote(old)) => {
            again(&mut new.headers, &old.headers);
            one(&mut new.url, &old.url);
        }
        _ => {}
    }
    launch
}

/// Whether a value stands in an argument or a URL that was a reference where it comes from.
fn spells_out(found: &Found, client: &Client) -> bool {
    let Some((written, from)) = &found.written else { return false };
    let texts: Vec<&String> = match written {
        Launch::Program(program) => program.args.iter().collect(),
        Launch::Remote(remote) => vec![&remote.url],
    };
    texts.into_iter().any(|text| from.refers(text) && from.rewritten(text, client).is_none())
}

/// The name of a server that was given none.
fn called(words: &[String], found: &Found) -> String {
    let entry = found.entry.as_deref().and_then(|entry| entry.split_once(':'));
    entry.map_or_else(
        || {
            let folder = words.first().map(Path::new).filter(|path| path.is_dir());
            let folder = folder.and_then(|path| {
                targets::absolute(path).file_name()?.to_str().map(ToOwned::to_owned)
            });
            folder.unwrap_or_else(|| name::of_launch(&found.launch))
        },
        |(_, name)| name.to_owned(),
    )
}

/// The variables of a file, and over them those of the command line.
fn variables(arguments: &InstallArguments) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    if let Some(path) = &arguments.env_file {
        let unfit = |what: String| {
            let message = format!("`{}`: {what}", path.display());
            Failure::usage(message, format!("ls -l {}", shown_path(path)))
        };
        let text = std::fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
        for (at, line) in text.lines().enumerate() {
            match assignment(line) {
                Ok(pair) => all.extend(pair),
                Err(()) => {
                    return Err(unfit(format!("line {} is no `NAME=VALUE`, mend it", at + 1)));
                }
            }
        }
    }
    for text in &arguments.variables {
        let pair = text.split_once('=').filter(|(name, _)| is_variable(name)).ok_or_else(|| {
            // Not the text itself, which may be a secret without its name.
            Failure::usage("a variable is written as `-v NAME=VALUE`", "etdi install --help")
        })?;
        all.push((pair.0.to_owned(), pair.1.to_owned()));
    }
    let mut last: Vec<(String, String)> = Vec::new();
    for (name, value) in all {
        last.retain(|(other, _)| *other != name);
        last.push((name, value));
    }
    Ok(last)
}

fn is_variable(name: &str) -> bool {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// A line of a file of variables: `NAME=VALUE`, `export` before it, quotes around the value.
fn assignment(line: &str) -> Result<Option<(String, String)>, ()> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=').ok_or(())?;
    let (name, value) = (name.trim(), value.trim());
    if !is_variable(name) {
        return Err(());
    }
    let inside = |quote: char| {
        let rest = value.strip_prefix(quote)?;
        Some(rest.split_once(quote)?.0)
    };
    let value = match (inside('"'), inside('\'')) {
        (Some(inside), _) => inside.replace("\\n", "\n").replace("\\\"", "\""),
        (_, Some(inside)) => inside.to_owned(),
        // A remark begins after a space.
        _ => value.split(" #").next().unwrap_or_default().trim_end().to_owned(),
    };
    Ok(Some((name.to_owned(), value)))
}

/// Makes a launch such that it means the same wherever it is started: whole paths, variables.
fn settle(launch: &mut Launch, variables: Vec<(String, String)>) -> Result<(), Failure> {
    let Launch::Program(program) = launch else {
        return match variables.is_empty() {
            true => Ok(()),
            false => Err(Failure::usage(
                "a server behind a URL has no variables of yours, leave them out",
                "etdi install --help",
            )),
        };
    };
    let shown = visible(&program.command).into_owned();
    let path = find(&program.command, None).ok_or_else(|| {
        let place = if program.command.contains('/') { "" } else { " in the PATH" };
        let is_file = program.command.contains('/') && Path::new(&program.command).is_file();
        let quoted = quoted(&program.command);
        let (message, next) = match is_file {
            true => {
                (format!("`{shown}` is a file that may not be run"), format!("chmod +x {quoted}"))
            }
            false => (format!("there is no program `{shown}`{place}"), format!("which {quoted}")),
        };
        Failure::new(Exit::Unreachable, message, next).with_code("NOT_STARTED")
    })?;
    let path = targets::absolute(&path);
    let runs = runs_other_code(&path);
    program.command = path.to_string_lossy().into_owned();
    for word in &mut program.args {
        let file = Path::new(word.as_str());
        let is_path = word.starts_with("./") || word.starts_with("../") || runs && file.is_file();
        if !word.starts_with('-') && file.is_relative() && is_path && file.exists() {
            *word = targets::absolute(file).to_string_lossy().into_owned();
        }
    }
    merge(&mut program.env, variables);
    Ok(())
}

/// Gives a script that looks its interpreter up, as `npx` and its like do, a `PATH` in which it finds
/// it: programs of the desktop have none of the folders that a shell adds.
fn reach_interpreter(launch: &mut Launch) {
    let Launch::Program(program) = launch else { return };
    let desktop = start::desktop_path(etdi_clients::System::here());
    let Some(interpreter) = interpreter(Path::new(&program.command)) else { return };
    if program.env.iter().any(|(name, _)| name == "PATH")
        || find(&interpreter, Some(desktop.as_ref())).is_some()
    {
        return;
    }
    let folder = find(&interpreter, None);
    let folder = folder.as_deref().map(targets::absolute);
    if let Some(folder) = folder.as_deref().and_then(Path::parent).and_then(Path::to_str) {
        program.env.push(("PATH".to_owned(), format!("{folder}:{desktop}")));
    }
}

/// What the first line of a script has `env` look up.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    let file = std::fs::File::open(script).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, 256), &mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let line = head.lines().next()?.strip_prefix("#!")?.trim();
    let mut words = line.split_whitespace();
    words.next().filter(|first| first.ends_with("/env"))?;
    words.find(|word| !word.starts_with('-')).map(ToOwned::to_owned)
}

fn merge(env: &mut Vec<(String, String)>, more: Vec<(String, String)>) {
    for (name, value) in more {
        match env.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => env.push((name, value)),
        }
    }
}

/// The files that are to be changed, and why clients were left out.
#[derive(Default)]
struct Chosen {
    configs: Vec<Config>,
    left_out: Vec<String>,
}

impl Chosen {
    fn add(
        &mut self,
        client: &'static Client,
        name: &str,
        launch: &Launch,
        scope: Scope,
        places: &Places,
        arguments: &InstallArguments,
    ) -> Result<(), Failure> {
        let Some(file) = client.file(places, scope) else {
            let other = if scope == Scope::User { "project" } else { "user" };
            let message =
                format!("{} has no file for this scope, try `--scope {other}`", client.title);
            return self.leave(message, arguments.all, "etdi configs --all");
        };
        let mut config = match Config::open(&file) {
            Ok(config) => config,
            Err(error) if arguments.all => return self.leave(error.to_string(), true, ""),
            Err(error) => return Err(broken(&error)),
        };
        let mut launch = launch.clone();
        let path = config.path_of(name);
        if let Some(old) = config.servers().into_iter().find(|server| server.path == path) {
            if !arguments.replace && !is_same_program(old.launch.as_ref().ok(), &launch) {
                let message = format!(
                    "{} has another server `{}` already, line {} of `{}`: choose another `--name`, or \
                     `--replace` it",
                    client.title,
                    visible(name),
                    old.line,
                    file.path.display()
                );
                return self.leave(message, arguments.all, "etdi discover");
            }
            if takes_away(&old, &launch) {
                let message = format!(
                    "a guard stands before `{}` of {}, which this would take away or loosen: put the new server \
                     behind the same guard, or choose another `--name`",
                    visible(name),
                    client.title
                );
                let next = behind_the_same(&old, &launch, client, name);
                return self.leave(message, arguments.all, &next);
            }
            // Variables that are not named again stay.
            if let (Launch::Program(new), Ok(Launch::Program(Program { env, .. })), false) =
                (&mut launch, old.launch, arguments.replace)
            {
                let more = std::mem::replace(&mut new.env, env);
                merge(&mut new.env, more);
            }
        }
        match config.put(name, &launch) {
            Ok(()) => self.configs.push(config),
            Err(error @ ConfigError::Unfit(Unfit::Impossible { .. })) => {
                let message = format!("{error}: put a program in front of it, `etdi run URL`");
                return self.leave(message, arguments.all, "etdi run --help");
            }
            Err(error) => return Err(broken(&error)),
        }
        Ok(())
    }

    /// Goes on without a client where all were asked for, and fails else.
    fn leave(&mut self, why: String, goes_on: bool, next: &str) -> Result<(), Failure> {
        if !goes_on {
            return Err(Failure::usage(why, next).with_code("NOT_INSTALLED"));
        }
        self.left_out.push(why);
        Ok(())
    }
}

/// Whether an entry that something of ours stands before, or that may be one, would be replaced by one that
/// enforces less.
fn takes_away(old: &Server, new: &Launch) -> bool {
    let Ok(launch) = &old.launch else {
        // What cannot be read is no guard unless it names one.
        let text = format!("{:?}", old.entry);
        return ["guard", "gateway", "etdi"].iter().any(|word| text.contains(word));
    };
    match (targets::guarded::ours(launch), launch, new) {
        (None, _, _) => false,
        _ if is_same_program(Some(launch), new) => false,
        (Some(Ours::Guard), Launch::Program(old), Launch::Program(new)) => {
            targets::guarded::loses(new, old)
        }
        _ => true,
    }
}

/// The command that puts another server behind the guard of an entry.
fn behind_the_same(old: &Server, new: &Launch, client: &Client, name: &str) -> String {
    let Ok(Launch::Program(guard)) = &old.launch else { return "etdi discover".to_owned() };
    let dashes = guard.args.iter().position(|word| word == "--");
    let (Some(Ours::Guard), Some(dashes)) =
        (old.launch.as_ref().ok().and_then(targets::guarded::ours), dashes)
    else {
        return "etdi discover".to_owned();
    };
    let own =
        std::env::current_exe().map_or_else(|_| "etdi".into(), |own| own.display().to_string());
    let mut words = vec![own];
    words.extend(guard.args.iter().take(dashes + 1).cloned());
    match new {
        Launch::Program(program) => {
            words.push(program.command.clone());
            words.extend(program.args.iter().cloned());
        }
        Launch::Remote(remote) => words.push(remote.url.clone()),
    }
    let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
    format!("etdi install {} --name {} --replace -- {}", client.id, quoted(name), words.join(" "))
}

/// Whether two launches start the same program with the same arguments, or dial the same URL.
fn is_same_program(old: Option<&Launch>, new: &Launch) -> bool {
    match (old, new) {
        (Some(Launch::Program(old)), Launch::Program(new)) => {
            let old_command =
                find(&old.command, None).map(|path| path.to_string_lossy().into_owned());
            old_command.as_ref().unwrap_or(&old.command) == &new.command && old.args == new.args
        }
        (Some(Launch::Remote(old)), Launch::Remote(new)) => old.url == new.url,
        _ => false,
    }
}

fn warn_of_secrets(configs: &[Config], found: &Found, output: Output) {
    for config in configs {
        let client = config.file().client;
        let launch = referring(found, client);
        if spells_out(found, client) {
            output.warn(&format!(
                "{} knows no references as they are written where the entry comes from: the values of \
                 variables in its arguments or URL stand in clear in {}",
                client.title,
                shown_path(&config.file().path)
            ));
        }
        let (Launch::Program(Program { env: pairs, .. })
        | Launch::Remote(RemoteServer { headers: pairs, .. })) = &launch;
        for (name, _) in pairs.iter().filter(|(name, value)| looks_secret(name, value)) {
            let own =
                matches!(launch, Launch::Program(_)).then(|| client.reference(name)).flatten();
            let instead = match own {
                Some(reference) => format!(
                    "; {} can take it from its own environment: -v {name}='{reference}'",
                    client.title
                ),
                None => String::new(),
            };
            output.warn(&format!(
                "`{name}` looks like a secret, and stands in clear in {}{instead}",
                shown_path(&config.file().path)
            ));
        }
    }
}

fn started(
    found: &Found,
    desktop: bool,
    arguments: &InstallArguments,
    output: Output,
) -> Result<Answer, Failure> {
    output.progress("starting it once as the client would");
    let mut resolved = found.clone();
    if desktop {
        reach_interpreter(&mut resolved.launch);
    }
    if let Launch::Program(program) = &mut resolved.launch {
        // What stands for a variable of the client's is one of ours here.
        for (name, value) in &mut program.env {
            if value.starts_with(['$', '{']) && value.ends_with('}') {
                *value = std::env::var(&*name).unwrap_or_default();
            }
        }
    }
    let patience = Duration::from_secs(arguments.timeout.max(1));
    let answer = block_on(start::once(&resolved, desktop, patience));
    answer.map_err(|mut failure| {
        let how = match desktop && matches!(found.launch, Launch::Program(_)) {
            true => "as a program of the desktop starts it, with few variables and a short PATH",
            false => "as the client starts it",
        };
        failure.message =
            format!("the server does not work {how}: {}; nothing was written", failure.message);
        failure.next = match (&found.launch, desktop) {
            (Launch::Program(_), true) => {
                "etdi install --help  # give it what it needs with -v, such as -v PATH=\"$PATH\""
                    .to_owned()
            }
            _ => format!("etdi doctor {}", words_again(&found.words())),
        };
        failure
    })
}

fn told(mut report: Report, name: &str, answer: Option<Answer>, left_out: &[String]) -> Report {
    let (good, bold) = (style::GOOD, style::BOLD);
    let shown = visible(name).into_owned();
    let (status, line) = match &answer {
        None => ("not_started", String::new()),
        Some(Answer { tools: None, .. }) => (
            "login_needed",
            format!("\n{bold}{shown}{bold:#} wants a login, which the client asks for"),
        ),
        Some(Answer { tools: Some(tools), .. }) => {
            let names = tools.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
            let more = if tools.len() > 8 { ", …" } else { "" };
            let count = match tools.len() {
                0 => "it has no tools".to_owned(),
                1 => format!("1 tool: {names}"),
                count => format!("{count} tools: {names}{more}"),
            };
            ("answered", format!("\n{good}{shown} works{good:#}, {count}"))
        }
    };
    if let Value::Object(data) = &mut report.data {
        data.insert("name".to_owned(), json!(shown));
        data.insert(
            "server".to_owned(),
            json!({
                "status": status, "tools": answer.and_then(|answer| answer.tools),
            }),
        );
        data.insert("left_out".to_owned(), json!(left_out));
    }
    match report.text.split_once("\n\n") {
        Some((files, back)) if !line.is_empty() => report.text = format!("{files}{line}\n\n{back}"),
        _ => report.text.push_str(&line),
    }
    report
}

#[cfg(test)]
mod tests {
    use super::assignment;

    #[test]
    fn a_file_of_variables_is_read_as_shells_do() {
        let read = |line: &str| {
            assignment(line).map(|pair| pair.map(|(name, value)| format!("{name}|{value}")))
        };
        for (line, expected) in [
            ("A=1", Some("A|1")),
            ("export A = b c # remark", Some("A|b c")),
            ("A=\"b # c\\n\" # remark", Some("A|b # c\n")),
            ("A='$B'", Some("A|$B")),
            ("A=", Some("A|")),
            ("  # remark", None),
            ("", None),
        ] {
            assert_eq!(read(line), Ok(expected.map(ToOwned::to_owned)), "{line}");
        }
        assert!(read("nothing").is_err() && read("1A=2").is_err());
    }
}
