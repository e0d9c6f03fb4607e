//! `etdi guard`: what a client starts in place of a server, and how clients come to start it.

mod install;

use std::io::Write;
use std::path::Path;

use etdi::core::flow::{FlowRules, FlowTracker};
use etdi::core::layer::AskWhen;
use etdi::{Guard, Program, Refused};
use mcp_transport::http::server::{HttpServer, serve_http};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::args::{GuardArguments, Target};
use crate::ask::{Asker, Grants, user};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::inspector::{noted, suspicious};
use crate::output::{Output, Report};
use crate::targets;
use crate::targets::guarded::{filled, is_etdi};
use crate::unattended::{self, Unattended};
use crate::verbs::policy;
use crate::verbs::target::{
    Opening, block_on, failure, next_after, policy_test, quoted, shown_command, shown_target,
};

/// Guards a server until its client, or the server, is gone.
///
/// # Errors
///
/// When a file of ours cannot be used, the server cannot be started, or a stream fails.
pub fn run(arguments: &GuardArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    if let Some(command) = &arguments.command {
        return install::run(command, home, output);
    }
    // A guard before a guard asks for the same twice: this one does what both are told.
    let words = &arguments.target.command;
    let is_ours = |first: &str| {
        is_etdi(&etdi_clients::Program { command: first.to_owned(), ..Default::default() })
    };
    let may_be = words.first().is_some_and(|first| targets::is_entry(first) || is_ours(first));
    let inner = if may_be { targets::resolve(words)?.guard } else { None };
    let filled = inner.map(|inner| filled(arguments, &inner.arguments)).transpose()?;
    // Whom that one trusts is not for it to say to this one, which says so in `Opening::prepare`.
    let filled = filled.map(|mut filled| {
        filled.target.trust = arguments.target.trust.clone();
        filled.target.online = arguments.target.online;
        filled
    });
    let arguments = filled.as_ref().unwrap_or(arguments);
    let target = &arguments.target;
    let flows = arguments.flows.as_deref().map(flows).transpose()?;
    block_on(async {
        let (guard, reached) = prepare(arguments, home, output, flows).await?;
        let fail = |error: etdi::Error| failure(&error, "", target);
        match arguments.http {
            None => {
                let io = mcp_transport::stdio().map_err(|error| fail(error.into()))?;
                // What runs as a task goes on when the server answers, without asking the system
                // first whether anything else has come.
                let served = tokio::spawn(guard.serve(reached, io)).await;
                let served = served.unwrap_or_else(|end| match end.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(etdi::Error::Ended),
                });
                served.map_err(fail)?;
            }
            Some(address) => {
                let guarded = guard.open(reached).await.map_err(fail)?;
                let unserved = |error: &dyn std::fmt::Display| {
                    let next = format!("etdi guard --http 127.0.0.1:0 {}", shown_target(target));
                    let message = format!("`{address}` cannot be served: {error}");
                    Failure::new(Exit::Unreachable, message, next).with_code("NOT_SERVED")
                };
                let listener =
                    TcpListener::bind(address).await.map_err(|error| unserved(&error))?;
                let place = listener.local_addr().map_err(|error| unserved(&error))?;
                if !place.ip().is_loopback() {
                    output.warn(&format!(
                        "`{}` can be reached from other computers, and nobody has to log in",
                        place.ip()
                    ));
                }
                say(&format!("http://{place}/mcp"));
                let server = HttpServer::new(guarded.clone());
                let over = guarded.clone();
                let served = serve_http(server, listener, async move { over.ended().await }).await;
                guarded.close().await;
                served.map_err(|error| unserved(&error))?;
                // Nothing but its end is waited for.
                return Err(fail(etdi::Error::Ended));
            }
        }
        // Standard output belongs to the protocol, so there is nothing to print.
        Ok(Report::new(json!({}), ""))
    })
}

/// A guard with these options but for their flow rules, and its server, which is not started yet.
///
/// # Errors
///
/// When a file of ours cannot be used, or the target is none.
pub(super) async fn prepare(
    arguments: &GuardArguments,
    home: &Home,
    output: Output,
    flows: Option<FlowTracker>,
) -> Result<(Guard, etdi::Target), Failure> {
    let policy = arguments.policy.as_deref().map(policy::load).transpose()?;
    let policy = policy.map(|engine| (engine, arguments.user.as_deref()));
    // Nobody sits at a guard: its client is asked, or whoever runs `etdi approve`.
    let (grants, ask) = (Grants::all(Asker::Nobody), AskWhen::Never);
    let target = &arguments.target;
    let opening = Opening::to_use((target, home, output), grants, ask, policy);
    let (mut builder, reached) = opening.prepare().await?;
    if arguments.user.is_none() {
        builder = builder.user(user());
    }
    if let Some(flows) = flows {
        builder = builder.flows(flows);
    }
    let guard = guard(builder.build().guard(), arguments);
    let is_first = arguments.trust_first_use && unattended::set(home, output) > Unattended::Nothing;
    if arguments.trust_first_use && !is_first {
        output.warn("`etdi approvals unattended` says `nothing`, so that `--trust-first-use` approves nothing");
    }
    Ok((guard.trust_first_use(is_first), reached))
}

fn guard(guard: Guard, arguments: &GuardArguments) -> Guard {
    let place = place(&arguments.target);
    let after = after(arguments);
    let guard = guard
        .called(shown_command(&arguments.target))
        .elicit(asks(arguments))
        .calls_per_minute(arguments.calls_per_minute)
        .advice(move |refused| advice(&place, &after(refused)))
        .on_note(say)
        .screen(suspicious)
        .remarks(noted);
    match arguments.recheck_after {
        Some(seconds) => guard.recheck_after(seconds),
        None => guard,
    }
}

/// Whether the client is asked by forms. Over HTTP it is whoever reaches the address, and a yes counts for
/// all.
fn asks(arguments: &GuardArguments) -> bool {
    !arguments.no_elicitation && (arguments.http.is_none() || arguments.elicitation)
}

/// What is to be typed after a refusal by a guard with these options.
pub(super) fn after(
    arguments: &GuardArguments,
) -> impl Fn(&Refused<'_>) -> String + Send + Sync + 'static {
    let (target, policy) = (arguments.target.clone(), arguments.policy.clone());
    let again = shown_target(&target);
    move |refused| match &policy {
        Some(folder) if refused.code == "POLICY_DENIED" => {
            let definition = refused.definition.map(|one| serde_json::from_str(one.canonical()));
            let definition: Value = definition.and_then(Result::ok).unwrap_or_default();
            let arguments =
                definition.pointer("/inputSchema/properties").and_then(Value::as_object);
            let call = (refused.tool, &*policy::to_be_filled_in(arguments));
            policy_test(folder, call, refused.user.as_deref(), &target)
        }
        _ => next_after(refused.code, refused.tool, &again),
    }
}

/// What a model is told to do about a refusal. What approves is for the person whom it works for.
pub(super) fn advice(place: &str, next: &str) -> String {
    match next.starts_with("etdi approve ") {
        true => format!(
            "Only a person can approve it: ask the person you work for to read it and type, in a terminal \
             of their own: {place}{next}"
        ),
        false if next.split(' ').nth(1) == Some("policy") => format!(
            "No approval changes that: who wrote the policies sees why by the call's arguments in {place}{next}"
        ),
        false => format!("To go on: {place}{next}"),
    }
}

/// Where the next command has to be typed: an interpreter or a package runner looks for what it runs
/// in the directory where it is started, so that the same words name another server elsewhere.
fn place(target: &Target) -> String {
    let here = Program::new(target.command.clone());
    let elsewhere = Program::new(target.command.clone()).current_dir("/");
    if target.server.is_some() || here.identity() == elsewhere.identity() {
        return String::new();
    }
    let directory = std::env::current_dir().unwrap_or_default();
    format!("cd {} && ", quoted(&directory.to_string_lossy()))
}

/// What the guard says goes to the client's log.
fn say(line: &str) {
    // Nobody is harmed when a remark does not get out.
    let _ = writeln!(std::io::stderr(), "etdi guard: {line}");
}

/// The flow rules of a file.
///
/// # Errors
///
/// When it cannot be read, or holds none.
pub(super) fn flows(path: &Path) -> Result<FlowTracker, Failure> {
    let unfit = |why: String| {
        let next = format!("cat {}", quoted(&path.to_string_lossy()));
        Failure::usage(format!("`{}` holds no flow rules: {why}", path.display()), next)
    };
    let text = std::fs::read_to_string(path).map_err(|error| unfit(error.to_string()))?;
    let rules: FlowRules = serde_json::from_str(&text).map_err(|error| unfit(error.to_string()))?;
    FlowTracker::new(rules).map_err(|error| unfit(error.to_string()))
}
