//! A server to be measured: `bench_server --stdio` or `bench_server --http ADDRESS`.
//!
//! It has as many tools as `--tools` says (2 if not given) on one page: `echo`, `add`, and others that only fill the
//! list. With `--stateless` it serves older clients without sessions.

use anyhow::{Context as _, bail};
use mcp_server::types::{CallToolResult, JsonSchema, Tool};
use mcp_server::{server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer};
use schemars::JsonSchema as Schema;
use serde::Serialize;
use tower_layer::Layer as _;

/// Gives its message back.
#[tool]
async fn echo(message: String) -> String {
    message
}

/// The result of `add`.
#[derive(Serialize, Schema)]
struct Sum {
    sum: f64,
}

/// Adds two numbers.
#[tool]
async fn add(a: f64, b: f64) -> Sum {
    Sum { sum: a + b }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { tools, http, stateless } = arguments()?;
    let mut server = server!().page_size(tools).tool::<echo>().tool::<add>();
    for number in 3..=tools {
        let filler = Tool::new(format!("filler_{number}"), JsonSchema::empty_object());
        server = server.tool_fn(filler, |_, _| async { CallToolResult::text("filler") });
    }
    let service = LimitsLayer::new().layer(server.build()?);
    match http {
        Some(address) => {
            let mut options = HttpOptions::default();
            options.stateless = stateless;
            Ok(HttpServer::with(service, options).listen(address).await?)
        }
        None => Ok(mcp_transport::serve(service, mcp_transport::stdio()?).await?),
    }
}

struct Arguments {
    tools: usize,
    http: Option<String>,
    stateless: bool,
}

fn arguments() -> anyhow::Result<Arguments> {
    let (mut tools, mut stdio, mut http, mut stateless) = (2, false, None, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--stdio" => stdio = true,
            "--stateless" => stateless = true,
            "--tools" => tools = words.next().context("`--tools` needs a number")?.parse()?,
            "--http" => http = Some(words.next().context("`--http` needs an address")?),
            other => bail!("unknown argument `{other}`; use `--stdio` or `--http`, `--tools N`"),
        }
    }
    if stdio == http.is_some() {
        bail!("say where to serve: `--stdio`, or `--http 127.0.0.1:8000`");
    }
    Ok(Arguments { tools, http, stateless })
}
