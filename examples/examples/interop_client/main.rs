//! Our client on a server that somebody else wrote.
//!
//! `interop_client [--era legacy|modern|both|auto] [--server contract|everything|filesystem] --
//! COMMAND ARGS...` starts the server (`auto` takes whatever era the two agree on), takes every step, prints one JSON object with the evidence and
//! `N passed, M failed`, and exits 0 only when nothing failed.

mod contract;
mod published;
mod report;

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use mcp_client::Client;
use mcp_client::types::{ClientCapabilitiesElicitation, Implementation};
use mcp_transport::process::Command;
use mcp_transport::{ConnectOptions, Connection, Era};
use serde_json::{Map, Value, json};

use crate::report::Report;

/// Features that are not there yet: named here, never passed over in silence.
const LATER: [&str; 2] = ["resources", "prompts"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::read()?;
    let (mut eras, mut passed, mut failed) = (Map::new(), 0, 0);
    for (name, era) in &arguments.eras {
        let report = run(&arguments, *era).await;
        passed += report.passed;
        failed += report.failed;
        eras.insert((*name).to_owned(), report.into_json());
    }
    let client = format!("mcp-client {}", env!("CARGO_PKG_VERSION"));
    println!("{}", json!({ "client": client, "eras": eras, "later": LATER }));
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One connection from its opening to its end.
async fn run(arguments: &Arguments, era: Option<Era>) -> Report {
    let mut report = Report::default();
    let connection = match connect(arguments, era) {
        Ok(connection) => connection,
        Err(error) => {
            report.step("connection", async { Err(error) }).await;
            return report;
        }
    };
    let client = Client::new(connection.clone());
    report.step("negotiate", negotiate(&client, era)).await;
    match arguments.server {
        Server::Contract => contract::run(&client, &mut report).await,
        Server::Everything => published::everything(&client, &mut report).await,
        Server::Filesystem => published::filesystem(&client, &mut report).await,
    }
    let closing = async {
        connection.close().await;
        Ok("opened and closed".into())
    };
    report.step("connection", closing).await;
    report
}

fn connect(arguments: &Arguments, era: Option<Era>) -> anyhow::Result<Connection> {
    let mut options =
        ConnectOptions::new(Implementation::new("interop_client", env!("CARGO_PKG_VERSION")));
    // The modern era is what a client of ours finds by itself.
    options.config.era = era.filter(|era| *era == Era::Legacy);
    options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
    let server = Command::new(&arguments.program).args(&arguments.arguments).spawn()?;
    Ok(mcp_transport::connect_with(server, options))
}

async fn negotiate(client: &Client<Connection>, era: Option<Era>) -> anyhow::Result<Value> {
    let discovered = client.discover().await?;
    let version = client.service().version().context("no revision was negotiated")?;
    ensure!(era.is_none_or(|era| version.era() == era), "negotiated {version}");
    let server = discovered.server_info().context("the server does not say who it is")?;
    Ok(
        json!({ "revision": version.to_string(), "server": format!("{} {}", server.name, server.version) }),
    )
}

/// The command line, read.
struct Arguments {
    eras: Vec<(&'static str, Option<Era>)>,
    server: Server,
    program: String,
    arguments: Vec<String>,
}

/// What the server offers.
#[derive(Clone, Copy)]
enum Server {
    Contract,
    Everything,
    Filesystem,
}

impl Arguments {
    fn read() -> anyhow::Result<Self> {
        let mut words = std::env::args().skip(1);
        let (mut era, mut server) = ("both".to_owned(), Server::Contract);
        loop {
            let word = words.next().context(USAGE)?;
            match word.as_str() {
                "--era" => era = words.next().context(USAGE)?,
                "--server" => server = words.next().context(USAGE)?.parse()?,
                "--" => break,
                other => bail!("unknown argument `{other}`; {USAGE}"),
            }
        }
        let (legacy, modern) = (("legacy", Some(Era::Legacy)), ("modern", Some(Era::Modern)));
        let eras = match era.as_str() {
            "legacy" => vec![legacy],
            "modern" => vec![modern],
            "both" => vec![legacy, modern],
            "auto" => vec![("auto", None)],
            other => bail!("unknown era `{other}`; {USAGE}"),
        };
        let program = words.next().context(USAGE)?;
        Ok(Self { eras, server, program, arguments: words.collect() })
    }
}

impl FromStr for Server {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> anyhow::Result<Self> {
        match name {
            "contract" => Ok(Self::Contract),
            "everything" => Ok(Self::Everything),
            "filesystem" => Ok(Self::Filesystem),
            other => bail!("unknown server `{other}`; {USAGE}"),
        }
    }
}

const USAGE: &str = "usage: interop_client [--era legacy|modern|both|auto] \
[--server contract|everything|filesystem] -- COMMAND ARGS...";
