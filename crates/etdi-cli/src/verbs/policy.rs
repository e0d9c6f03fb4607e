//! `etdi policy`: what policies in Cedar can name, whether they are right, and how they decide.

use std::path::Path;

use etdi::core::change::visible;
use etdi::core::policy::{Decision, Request, Resource, Status};
use etdi::system_time;
use etdi_policy::{CedarEngine, LoadError, schema_of};
use serde_json::{Map, Value, json};

use crate::args::{Described, PolicyCommand};
use crate::exit::{Exit, Failure};
use crate::output::{Output, Report};
use crate::targets;
use crate::verbs::offered::Offered;
use crate::verbs::target::{block_on, named_twice, program_name, shown_path};

/// Runs one of them.
///
/// # Errors
///
/// When the server cannot be listed, or the policies are wrong or deny.
pub fn run(command: &PolicyCommand, output: Output) -> Result<Report, Failure> {
    match command {
        PolicyCommand::Schema(server) => {
            let (name, offered) = listed(server, output)?;
            let schema = schema_of(offered.tools.iter().map(|tool| (&*name, tool.definition())));
            Ok(Report::new(json!({ "server": name, "schema": schema }), schema.trim_end()))
        }
        PolicyCommand::Check { folder, server } => check(folder, server, output),
        PolicyCommand::Test { folder, tool, args, user, agent, server } => {
            let (name, offered) = listed(server, output)?;
            let engine = load(folder)?;
            let found = offered.tools.iter().find(|one| one.definition().name() == tool);
            let definition = found.map(|one| one.definition()).ok_or_else(|| {
                let message = format!("the server lists no tool `{}`", visible(tool));
                Failure::usage(message, "etdi policy schema --help")
            })?;
            // As if a trusted publisher vouched for it: what the policies say beyond that.
            let resource = Resource::of(&name, definition, Status::Verified);
            let mut request = Request::call(resource, system_time());
            request.context.arguments = Some(args);
            request.subject.user = user.as_deref();
            request.subject.agent = agent.as_deref();
            decided(&engine.decide(&request))
        }
    }
}

fn check(folder: &Path, server: &Described, output: Output) -> Result<Report, Failure> {
    let engine = load(folder)?;
    let (name, offered) = listed(server, output)?;
    let tools = offered.tools.iter().map(|tool| (&*name, tool.definition()));
    let problems = engine.check(tools).map_err(|error| wrong(&error, folder))?;
    let policies = engine.policies();
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let data = json!({ "server": name, "policies": policies, "problems": lines });
    if problems.is_empty() {
        let text = {
            let counted = |count: usize, one: &str, more: &str| {
                format!("{count} {}", if count == 1 { one } else { more })
            };
            let policies = counted(policies.len(), "policy fits", "policies fit");
            format!("{policies} {}", counted(offered.tools.len(), "tool", "tools"))
        };
        return Ok(Report::new(data, text));
    }
    let message = format!("{} problems in the policies", problems.len());
    Err(Failure::new(Exit::Refused, message, "etdi policy schema --help")
        .with_code("POLICY_INVALID")
        .with_details(data, lines.join("\n")))
}

fn decided(decision: &Decision) -> Result<Report, Failure> {
    let obligations: Vec<String> = decision.obligations.iter().map(ToString::to_string).collect();
    let data = json!({
        "allow": decision.allow, "policies": decision.policies,
        "obligations": obligations, "reasons": decision.reasons,
    });
    let mut lines = vec![match decision.policies.as_slice() {
        [] => "by default: no policy permits it".to_owned(),
        ids => format!("by {}", ids.join(", ")),
    }];
    lines.extend(decision.reasons.iter().map(|reason| format!("  {}", visible(reason))));
    lines.extend(obligations.iter().map(|name| format!("  must {name}")));
    match decision.allow {
        true => Ok(Report::new(data, format!("allowed {}", lines.join("\n")))),
        false => Err(Failure::new(
            Exit::Refused,
            "the policies deny the call",
            "etdi policy check --help",
        )
        .with_code("POLICY_DENIED")
        .with_details(data, format!("denied {}", lines.join("\n")))),
    }
}

fn listed(server: &Described, output: Output) -> Result<(String, Offered), Failure> {
    let found = targets::resolve(&server.command)?;
    let name = match (found.url(), &server.server) {
        (Some(url), None) => url.to_owned(),
        (Some(url), Some(_)) => return Err(named_twice(url)),
        (None, Some(name)) => program_name(name, &server.command)?.to_string(),
        (None, None) => found.program().identity().to_string(),
    };
    Ok((name, block_on(Offered::list(&server.command, output))?))
}

/// Reads the policies of a folder.
///
/// # Errors
///
/// When they cannot be read, or one is no policy.
pub fn load(folder: &Path) -> Result<CedarEngine, Failure> {
    CedarEngine::from_folder(folder).map_err(|error| wrong(&error, folder))
}

/// An object with the members of another, for whoever knows what they are in a call.
pub fn to_be_filled_in(members: Option<&Map<String, Value>>) -> String {
    let names = members.into_iter().flat_map(|members| members.keys().take(MOST_NAMED));
    let names: Vec<_> = names.map(|name| format!("{}: ...", Value::from(name.as_str()))).collect();
    format!("{{{}}}", names.join(", "))
}

/// So many arguments of a tool are named.
const MOST_NAMED: usize = 16;

fn wrong(error: &LoadError, folder: &Path) -> Failure {
    Failure::usage(error.to_string(), format!("ls {}", shown_path(folder)))
        .with_code("POLICY_INVALID")
}
