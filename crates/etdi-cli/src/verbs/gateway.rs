//! `etdi gateway`: many servers as one, each behind a guard, with a login in front.

mod file;
mod reader;
mod serve;

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use etdi::core::change::visible;
use etdi::core::flow::FlowTracker;
use etdi::gateway::Unreached;
use etdi::{Gateway, Guard};
use mcp_types::Implementation;
use serde_json::{Value, json};

use crate::args::GatewayArguments;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report};
use crate::targets;
use crate::verbs::guard;
use crate::verbs::target::{block_on, quoted, shown_path};
use file::{Behind, GatewayFile};

/// Serves the servers of a file until the client is gone, or for ever over HTTP.
///
/// # Errors
///
/// When the file is not what it must be, or nothing can be served where it says. A server that fails
/// is no error: it is left out until it does not.
pub fn run(arguments: &GatewayArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let mut file = GatewayFile::read(&arguments.file)?;
    let address = match arguments.stdio {
        true => None,
        false => arguments.http.or(file.http),
    };
    let resolve = match arguments.check {
        true => targets::resolve_unbuilt,
        false => targets::resolve,
    };
    let mut unfit = Vec::new();
    for server in &mut file.servers {
        server.guard.trust_first_use |= arguments.trust_first_use;
        // Whoever else is served must not approve for all.
        server.guard.no_elicitation = !server.forms.unwrap_or(address.is_none());
        // A reference that leads nowhere is found before anything is started.
        let found = match resolve(&server.guard.target.command) {
            Ok(found) => found,
            Err(failure) => {
                unfit.push((server.prefix.clone(), failure));
                continue;
            }
        };
        if let Some(inner) = &found.guard {
            server.behind(&inner.arguments, file.flows.is_some())?;
        }
        if let Some(folder) = &server.guard.policy {
            crate::verbs::policy::load(folder)?;
        }
    }
    file.leave_out(unfit, arguments.check)?;
    // Rules that cannot be read would let everything through.
    let flows = file.flows.clone();
    if let Some(path) = &flows {
        guard::flows(path)?;
    }
    let door = serve::Door::of(&file, address, home)?;
    if arguments.check {
        return Ok(shown(&file, &door, output));
    }
    let file = Arc::new(file);
    block_on(async {
        let mut gateway =
            Gateway::new(Implementation::new("etdi-gateway", env!("CARGO_PKG_VERSION")));
        gateway = gateway.on_note(say);
        if let Some(text) = &file.instructions {
            gateway = gateway.instructions(text.clone());
        }
        if file.idle_after > 0 {
            gateway = gateway.idle(Duration::from_secs(file.idle_after.into()));
        }
        if let Some(path) = flows {
            let first = guard::flows(&path)?;
            // Another one for each caller, by the rules as they were at the start.
            gateway = gateway.flows(move || guard::flows(&path).unwrap_or_else(|_| first.clone()));
        }
        for (at, server) in file.servers.iter().enumerate() {
            let (file, home) = (file.clone(), home.clone());
            gateway = gateway.server(server.prefix.clone(), move |flows| {
                let (file, home) = (file.clone(), home.clone());
                async move { reach(file.servers.get(at), &home, output, flows).await }
            });
        }
        door.serve(gateway, output).await?;
        // Standard output belongs to the protocol, so there is nothing to print.
        Ok(Report::new(json!({}), ""))
    })
}

/// The guard of a server, and where it is.
async fn reach(
    server: Option<&Behind>,
    home: &Home,
    output: Output,
    flows: Option<FlowTracker>,
) -> Result<(Guard, etdi::Target), Unreached> {
    let server = server.ok_or("there is no such server")?;
    let prepared = guard::prepare(&server.guard, home, output, flows).await;
    let (guard, target) = prepared.map_err(|failure| match failure.next.is_empty() {
        true => failure.message,
        false => format!("{}. {}", failure.message, guard::advice("", &failure.next)),
    })?;
    let (after, place) = (guard::after(&server.guard), place(server));
    let prefix = server.prefix.clone();
    let guard = guard
        .called(server.name.clone())
        .on_note(move |line| say(&format!("`{prefix}`: {line}")))
        .advice(move |refused| guard::advice(&place, &after(refused)));
    Ok((guard, target))
}

/// Where the next command has to be typed: an entry without a directory of its own is started in the one
/// where the gateway was.
fn place(server: &Behind) -> String {
    let Ok(found) = targets::resolve(&server.guard.target.command) else { return String::new() };
    let is_placed = match &found.launch {
        etdi_clients::Launch::Program(program) => program.cwd.is_some(),
        etdi_clients::Launch::Remote(_) => true,
    };
    let elsewhere = found.program().current_dir("/");
    if is_placed || found.program().identity() == elsewhere.identity() {
        return String::new();
    }
    let directory = std::env::current_dir().unwrap_or_default();
    format!("cd {} && ", quoted(&directory.to_string_lossy()))
}

/// What the gateway says goes to standard error.
fn say(line: &str) {
    // Nobody is harmed when a remark does not get out.
    let _ = writeln!(std::io::stderr(), "etdi gateway: {}", visible(line));
}

/// What would be served.
fn shown(file: &GatewayFile, door: &serve::Door, output: Output) -> Report {
    let mut text = vec![door.shown()];
    let (mut servers, mut any_missing) = (Vec::new(), false);
    for server in &file.servers {
        let found = targets::resolve_unbuilt(&server.guard.target.command).ok();
        let program = found.as_ref().and_then(|found| match &found.launch {
            etdi_clients::Launch::Program(program) => Some(program),
            etdi_clients::Launch::Remote(_) => None,
        });
        let is_missing = program.is_some_and(is_missing);
        any_missing |= is_missing;
        if is_missing {
            let first = program.map_or("", |program| &program.command);
            let line = format!(
                "`{}`: there is no program `{}` here",
                visible(&server.name),
                visible(first)
            );
            output.warn(&line);
        }
        let options = options(server);
        let names: Vec<_> = options
            .iter()
            .map(|(name, value)| match value {
                Value::Bool(_) => (*name).to_owned(),
                value => format!(
                    "{name} {}",
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                ),
            })
            .collect();
        let names = match names.is_empty() {
            true => String::new(),
            false => format!("  ({})", names.join(", ")),
        };
        text.push(format!("  {}__…  {}{}", server.prefix, visible(&server.shown), visible(&names)));
        servers.push(json!({
            "name": server.name, "prefix": server.prefix, "line": server.line,
            "target": server.shown, "found": !is_missing,
            "options": options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<serde_json::Map<_, _>>(),
        }));
    }
    if !file.off.is_empty() {
        let names: Vec<_> = file.off.iter().map(|name| format!("`{}`", visible(name))).collect();
        text.push(format!("switched off: {}", names.join(", ")));
    }
    text.push("nothing was started".to_owned());
    let data = json!({
        "file": shown_path(&file.path), "door": door.data(), "servers": servers, "off": file.off,
        "flows": file.flows.as_ref().map(|path| path.display().to_string()),
    });
    let exit = if any_missing { Exit::Unreachable } else { Exit::Done };
    Report::new(data, text.join("\n")).ending(exit)
}

/// Whether there is no such program, by the directory and the `PATH` that its entry gives it. A package is
/// built.
fn is_missing(program: &etdi_clients::Program) -> bool {
    let command = &program.command;
    if matches!(targets::cargo::Wanted::read(command), Ok(Some(_))) {
        return false;
    }
    let own = program.env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| path.as_ref());
    match &program.cwd {
        Some(folder) if command.contains('/') => {
            let path = std::path::Path::new(folder).join(command);
            targets::find(&path.to_string_lossy(), None).is_none()
        }
        _ => targets::find(command, own).is_none(),
    }
}

/// What the guard of a server is told beyond what all are.
fn options(server: &Behind) -> Vec<(&'static str, Value)> {
    let guard = &server.guard;
    let mut options = Vec::new();
    let mut add = |name, value: Option<Value>| options.extend(value.map(|value| (name, value)));
    let yes = |is: bool| is.then_some(Value::Bool(true));
    add("trust_first_use", yes(guard.trust_first_use));
    add("elicitation", yes(!guard.no_elicitation));
    add("level", guard.target.level.map(|level| level.to_string().into()));
    add("server", guard.target.server.clone().map(Value::from));
    add("trust", Some(json!(guard.target.trust)).filter(|_| !guard.target.trust.is_empty()));
    add("online", yes(guard.target.online));
    add("policy", guard.policy.as_ref().map(|path| path.display().to_string().into()));
    add("user", guard.user.clone().map(Value::from));
    add(
        "calls_per_minute",
        Some(guard.calls_per_minute.into()).filter(|_| guard.calls_per_minute > 0),
    );
    add("recheck_after", guard.recheck_after.map(Value::from));
    options
}

/// Whether only this computer reaches an address.
fn is_local(address: &SocketAddr) -> bool {
    address.ip().is_loopback()
}
