//! Our client on a server that somebody else wrote.
//!
//! `interop_client [--era legacy|modern|both|auto] [--server contract|everything|filesystem]
//! (--url URL | -- COMMAND ARGS...)` connects to the server or starts it (`auto` takes whatever era
//! the two agree on), takes every step, prints one JSON object with the evidence and
//! `N passed, M failed`, and exits 0 only when nothing failed.

mod contract;
mod offers;
mod published;
mod report;

use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use mcp_client::Client;
use mcp_client::types::{
    ClientCapabilitiesElicitation, ExchangeService, Implementation, ProtocolVersion,
};
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};
use mcp_transport::process::Command;
use mcp_transport::{ConnectOptions, Connection, Era};
use serde_json::{Map, Value, json};

use crate::report::Report;

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
    println!("{}", json!({ "client": client, "eras": eras }));
    println!("{passed} passed, {failed} failed");
    Ok(if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One connection from its opening to its end.
async fn run(arguments: &Arguments, era: Option<Era>) -> Report {
    let mut report = Report::default();
    let refused = match &arguments.target {
        Target::Url(url) => match reach(url, era) {
            Ok(connection) => {
                let client = Client::new(connection.clone());
                take_steps(arguments, client, era, || connection.version(), &mut report).await;
                report.step("connection", closed(connection.close())).await;
                return report;
            }
            Err(error) => error,
        },
        Target::Command { program, arguments: words } => match start(program, words, era) {
            Ok(connection) => {
                let client = Client::new(connection.clone());
                take_steps(arguments, client, era, || connection.version(), &mut report).await;
                report.step("connection", closed(connection.close())).await;
                return report;
            }
            Err(error) => error,
        },
    };
    report.step("connection", async { Err(refused) }).await;
    report
}

async fn take_steps<S: ExchangeService>(
    arguments: &Arguments,
    client: Client<S>,
    era: Option<Era>,
    version: impl Fn() -> Option<ProtocolVersion>,
    report: &mut Report,
) {
    report.step("negotiate", negotiate(&client, era, version)).await;
    match arguments.server {
        Server::Contract => contract::run(&client, report).await,
        Server::Everything => published::everything(&client, report).await,
        Server::Filesystem => published::filesystem(&client, report).await,
    }
}

async fn closed(closing: impl Future<Output = ()>) -> anyhow::Result<Value> {
    closing.await;
    Ok("opened and closed".into())
}

fn us() -> Implementation {
    Implementation::new("interop_client", env!("CARGO_PKG_VERSION"))
}

fn start(program: &str, words: &[String], era: Option<Era>) -> anyhow::Result<Connection> {
    let mut options = ConnectOptions::new(us());
    // The modern era is what a client of ours finds by itself.
    options.config.era = era.filter(|era| *era == Era::Legacy);
    options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
    let server = Command::new(program).args(words).spawn()?;
    Ok(mcp_transport::connect_with(server, options))
}

fn reach(url: &str, era: Option<Era>) -> anyhow::Result<HttpConnection> {
    let mut options = HttpConnectOptions::new(us());
    options.config.era = era.filter(|era| *era == Era::Legacy);
    options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
    Ok(connect_http_with(url, options)?)
}

async fn negotiate<S: ExchangeService>(
    client: &Client<S>,
    era: Option<Era>,
    version: impl Fn() -> Option<ProtocolVersion>,
) -> anyhow::Result<Value> {
    let discovered = client.discover().await?;
    let version = version().context("no revision was negotiated")?;
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
    target: Target,
}

/// Where the server is.
enum Target {
    Url(String),
    Command { program: String, arguments: Vec<String> },
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
        let mut url = None;
        while url.is_none() {
            let word = words.next().context(USAGE)?;
            match word.as_str() {
                "--era" => era = words.next().context(USAGE)?,
                "--server" => server = words.next().context(USAGE)?.parse()?,
                "--url" => url = Some(words.next().context(USAGE)?),
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
        let target = match url {
            Some(url) => Target::Url(url),
            None => {
                let program = words.next().context(USAGE)?;
                Target::Command { program, arguments: words.collect() }
            }
        };
        Ok(Self { eras, server, target })
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
[--server contract|everything|filesystem] (--url URL | -- COMMAND ARGS...)";
