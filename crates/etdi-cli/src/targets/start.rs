//! A server, started once as a client would start it, to see whether it works there.

use std::sync::Arc;
use std::time::Duration;

use etdi::core::change::visible;
use etdi::core::definition::RawTool;
use etdi_clients::{Launch, System};
use mcp_client::Client;
use mcp_transport::http::http_status;
use mcp_transport::process::Command;
use mcp_types::{ExchangeService, Implementation, Listed, Tool};
use tokio::time::timeout;

use super::Found;
use crate::ask::{server_says, while_opening};
use crate::exit::{Exit, Failure};
use crate::inspector::suspicious;
use crate::verbs::ended;

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The names of its tools; None where it wants a login first.
    pub tools: Option<Vec<String>>,
    /// Those of them that the scanner holds for malicious.
    pub suspicious: Vec<String>,
}

/// The `PATH` of programs that are started from the desktop.
pub fn desktop_path(system: System) -> &'static str {
    match system {
        System::Mac => "/usr/bin:/bin:/usr/sbin:/sbin",
        _ => "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
}

/// The variables that programs of the desktop have besides.
const KEPT: [&str; 9] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
];

/// Starts a server, asks it for its tools, and ends it. With `desktop` it gets what a program of the
/// desktop hands on: few variables, a short `PATH`, another directory.
///
/// # Errors
///
/// When it cannot be started, does not answer in time, or is no server.
pub async fn once(found: &Found, desktop: bool, patience: Duration) -> Result<Answer, Failure> {
    let info = Implementation::new("etdi", env!("CARGO_PKG_VERSION"));
    let Some(command) = process(found, desktop) else {
        let connection = found.dial(info)?;
        let client = Client::new(connection);
        let answer = asked(&client, patience).await;
        client.service().close().await;
        return answer;
    };
    let io = command.on_stderr(server_says).spawn();
    let io = io.map_err(|error| unreachable(error.to_string()))?;
    let client = Client::new(mcp_transport::connect(io, info));
    // It may be started a second time, because of a question that only newer servers know.
    let answer = while_opening(asked(&client, patience)).await;
    client.service().close().await;
    answer
}

fn process(found: &Found, desktop: bool) -> Option<Command> {
    let Launch::Program(program) = &found.launch else { return None };
    if !desktop {
        return found.process();
    }
    let mut command = Command::new(&program.command).args(&program.args).env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command = command.env(name, value);
        }
    }
    command = command.env("PATH", desktop_path(System::here()));
    for (name, value) in &program.env {
        command = command.env(name, value);
    }
    Some(command.current_dir(program.cwd.as_deref().unwrap_or("/")))
}

fn unreachable(what: String) -> Failure {
    Failure::new(Exit::Unreachable, what, "etdi doctor --help").with_code("NOT_STARTED")
}

async fn asked<S: ExchangeService>(
    client: &Client<S>,
    patience: Duration,
) -> Result<Answer, Failure> {
    let tools = match timeout(patience, client.all_tools()).await {
        Ok(tools) => tools,
        Err(_) => {
            let seconds = patience.as_secs();
            return Err(unreachable(format!("it did not answer within {seconds} seconds")));
        }
    };
    match tools {
        Ok(tools) => {
            let names = tools.iter().map(|tool| visible(&tool.name).into_owned()).collect();
            let is_bad = |tool: &&Arc<Listed<Tool>>| {
                let read = RawTool::read(tool.text().get());
                read.is_ok_and(|tool| !suspicious(tool.definition()).is_empty())
            };
            let bad = tools.iter().filter(is_bad);
            let bad = bad.map(|tool| visible(&tool.name).into_owned()).collect();
            Ok(Answer { tools: Some(names), suspicious: bad })
        }
        Err(mcp_client::Error::Connection(error)) if http_status(&error) == Some(401) => {
            Ok(Answer { tools: None, suspicious: Vec::new() })
        }
        // A server may have prompts or resources alone.
        Err(mcp_client::Error::Refused(_)) => {
            Ok(Answer { tools: Some(Vec::new()), suspicious: Vec::new() })
        }
        Err(error) => Err(unreachable(ended::plainly(&error, "it"))),
    }
}
