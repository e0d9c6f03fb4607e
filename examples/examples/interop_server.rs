//! What `tests/interop/README.md` asks of every server; others' clients are run against it.
//!
//! On standard streams, behind `http://127.0.0.1:PORT/mcp` with `--http PORT`, or behind HTTP+SSE at
//! `http://127.0.0.1:PORT/sse` with `--sse PORT`. `interop_server --node` is one of several that
//! `examples/cluster` starts, with its stores on Redis.

use std::time::Duration;

use anyhow::{Context as _, bail};
use mcp_server::{
    Context, Elicited, ServerBuilder, ToolError, data, prompt, resource, server, tool,
};
use mcp_transport::http::server::{HttpServer, SseServer};
use tokio::net::TcpListener;

/// Gives its message back.
#[tool]
async fn echo(
    /// What to give back.
    message: String,
) -> String {
    format!("echo: {message}")
}

/// Counts its steps, one progress notification each.
#[tool]
async fn slow(
    cx: Context,
    /// How many steps.
    #[arg(default = 3)]
    steps: u32,
    /// How long to wait after each step.
    #[arg(default = 20)]
    delay_ms: u64,
) -> String {
    for step in 1..=steps {
        cx.progress_with(step, f64::from(steps), format!("step {step}")).await;
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
    }
    format!("slow done: {steps}")
}

/// Who is asked.
#[data]
struct Person {
    name: String,
}

/// Asks the user for a name.
#[tool]
async fn ask(cx: Context) -> Result<String, ToolError> {
    Ok(match cx.elicit::<Person>("name", "What is your name?")? {
        Elicited::Accepted(person) => format!("hello {}", person.name),
        Elicited::Declined => "ask decline".into(),
        Elicited::Cancelled => "ask cancel".into(),
    })
}

/// A text that never changes.
#[resource("interop://static", mime_type = "text/plain")]
async fn fixed() -> &'static str {
    "static text"
}

/// A greeting for each name.
#[resource("interop://greeting/{name}", mime_type = "text/plain")]
async fn greeting(name: String) -> String {
    format!("greeting for {name}")
}

/// Asks to greet somebody.
#[prompt]
async fn greet(
    /// Whom to greet.
    name: String,
) -> String {
    format!("Please greet {name}")
}

fn offers() -> ServerBuilder {
    server!()
        .tool::<echo>()
        .tool::<slow>()
        .tool::<ask>()
        .resource::<fixed>()
        .resource::<greeting>()
        .prompt::<greet>()
}

async fn node() -> anyhow::Result<()> {
    let stores = examples::node::stores()?.connect().await?;
    let server = offers().seal_state(stores.state_sealer()?).build()?;
    let _link = stores.link(&server.changes()).await?;
    examples::node::serve(server.clone(), server, &stores).await
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let server = offers().build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?),
        ["--http", port] => {
            Ok(HttpServer::new(server).listen(("127.0.0.1", number(port)?)).await?)
        }
        ["--sse", port] => {
            let listener = TcpListener::bind(("127.0.0.1", number(port)?)).await?;
            let router = axum::Router::new().fallback_service(SseServer::new(server));
            Ok(axum::serve(listener, router).await?)
        }
        ["--node"] => node().await,
        _ => bail!("use `interop_server`, `interop_server --http PORT`, `--sse PORT` or `--node`"),
    }
}

fn number(port: &str) -> anyhow::Result<u16> {
    port.parse().context("the port is no number")
}
