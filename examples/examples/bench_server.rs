//! A server to be measured: `bench_server --stdio [--tools N]`.
//!
//! It has `N` tools (2 if not given) on one page: `echo`, `add`, and others that only fill the
//! list.

use anyhow::{Context as _, bail};
use mcp_server::types::{CallToolResult, JsonSchema, Tool};
use mcp_server::{server, tool};
use mcp_transport::LimitsLayer;
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
    let tools = arguments()?;
    let mut server = server!().page_size(tools).tool::<echo>().tool::<add>();
    for number in 3..=tools {
        let filler = Tool::new(format!("filler_{number}"), JsonSchema::empty_object());
        server = server.tool_fn(filler, |_, _| async { CallToolResult::text("filler") });
    }
    let service = LimitsLayer::new().layer(server.build()?);
    Ok(mcp_transport::serve(service, mcp_transport::stdio()?).await?)
}

fn arguments() -> anyhow::Result<usize> {
    let (mut tools, mut stdio) = (2, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--stdio" => stdio = true,
            "--tools" => tools = words.next().context("`--tools` needs a number")?.parse()?,
            other => bail!("unknown argument `{other}`; use `--stdio [--tools N]`"),
        }
    }
    if !stdio {
        bail!("say where to serve: `--stdio`");
    }
    Ok(tools)
}
