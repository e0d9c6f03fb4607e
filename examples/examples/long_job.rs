//! A tool that takes longer than a request should: calls become tasks, which are asked for, asked
//! by, cancelled, and found again after a restart of either end.
//!
//! - `long_job serve [--http ADDRESS] [--keep FILE]` serves, on standard streams or over HTTP. With
//!   `--keep`, tasks are in that file: stop the server in the middle, start it again, and `follow`.
//! - `long_job start URL PAGES` begins a print job and prints its ticket.
//! - `long_job follow URL TICKET` tells how the job stands until it is over.
//! - `long_job cancel URL TICKET` stops it.

use std::io::{BufRead as _, Write as _, stderr, stdin};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use mcp_client::task::{Started, TaskHandle};
use mcp_client::types::tasks::DetailedTask;
use mcp_client::types::{Implementation, Runtime};
use mcp_client::{Client, InputLayer, Inputs, text_of};
use mcp_server::task::{MemoryTaskStore, RedbTaskStore, Tasks};
use mcp_server::{Context, Elicited, Server, ToolError, data, server, tool};
use mcp_transport::TokioRuntime;
use mcp_transport::http::server::HttpServer;
use mcp_transport::http::{HttpConnection, connect_http};
use serde_json::json;

#[data]
struct Paper {
    /// Which paper is in the tray?
    paper: String,
}

/// Prints pages, one after the other.
// It may begin anew after a restart, which is what `idempotent` promises.
#[tool(task, annotations(idempotent))]
async fn print(cx: Context, pages: u32) -> Result<String, ToolError> {
    let answer = cx.elicit::<Paper>("paper", format!("{pages} pages are to be printed"))?;
    let Elicited::Accepted(Paper { paper }) = answer else {
        return Err("nobody says which paper is in the tray, so nothing is printed".into());
    };
    for page in 1..=pages {
        tokio::time::sleep(Duration::from_millis(500)).await;
        cx.progress_with(page, f64::from(pages), format!("on {paper}")).await;
    }
    Ok(format!("printed {pages} pages on {paper}"))
}

fn printer(keep: Option<&str>) -> anyhow::Result<Server> {
    let tasks = match keep {
        Some(path) => Tasks::new(RedbTaskStore::open(path)?.runtime(runtime())),
        None => Tasks::new(MemoryTaskStore::new()),
    };
    Ok(server!().tasks(tasks.poll_interval(Duration::from_millis(250))).tool::<print>().build()?)
}

/// A client that asks at the terminal.
fn client(url: &str) -> anyhow::Result<(Client<HttpConnection>, InputLayer)> {
    let connection = connect_http(url, Implementation::new("long_job", env!("CARGO_PKG_VERSION")))?;
    let inputs = Inputs::new().elicit(async |form| {
        let (mut line, message) = (String::new(), form.message().to_owned());
        let read = tokio::task::spawn_blocking(move || {
            let asked = write!(stderr(), "{message}. Which paper is in the tray? ").is_ok();
            (asked && stdin().lock().read_line(&mut line).is_ok()).then_some(line)
        });
        match read.await {
            Ok(Some(line)) if !line.trim().is_empty() => {
                form.accept(&json!({"paper": line.trim()}))
            }
            _ => Ok(form.decline()),
        }
    });
    Ok((Client::new(connection), InputLayer::new(inputs)))
}

async fn start(url: &str, pages: u32) -> anyhow::Result<()> {
    let (client, inputs) = client(url)?;
    // The layer says that this client can be asked; the questions come to whoever follows the task.
    let client = client.layer(inputs);
    match client.call_tool_as_task("print", &json!({ "pages": pages }), runtime()).await? {
        Started::Task(task) => println!("{}", serde_json::to_string(task.ticket())?),
        Started::Done(result) => println!("{}", text_of(&result)),
    }
    Ok(())
}

async fn follow(url: &str, ticket: &str) -> anyhow::Result<()> {
    let mut states = task(url, ticket)?.states();
    while let Some(state) = states.next().await {
        match state? {
            DetailedTask::Working(task) => println!("{}", task.status_message.unwrap_or_default()),
            DetailedTask::Completed(task) => println!("{}", text_of(&task.result.parse()?)),
            DetailedTask::Failed(task) => bail!("{}", task.error),
            DetailedTask::Cancelled(_) => bail!("the job was cancelled"),
            // The handle answers.
            _ => {}
        }
    }
    Ok(())
}

fn task(url: &str, ticket: &str) -> anyhow::Result<TaskHandle<HttpConnection>> {
    let (client, inputs) = client(url)?;
    let ticket = serde_json::from_str(ticket).context("the ticket is what `start` printed")?;
    Ok(client.task(ticket, runtime()).answering(inputs))
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", options @ ..] => {
            let option = |name: &str| options.chunks(2).find(|pair| pair.first() == Some(&name));
            let value = |name: &str| option(name).and_then(|pair| pair.get(1)).copied();
            let server = printer(value("--keep"))?;
            match value("--http") {
                Some(address) => Ok(HttpServer::new(server).listen(address).await?),
                None => Ok(mcp_transport::serve(server, mcp_transport::stdio()?).await?),
            }
        }
        ["start", url, pages] => start(url, pages.parse().context("`PAGES` is a number")?).await,
        ["follow", url, ticket] => follow(url, ticket).await,
        ["cancel", url, ticket] => Ok(task(url, ticket)?.cancel().await?),
        _ => bail!("use `long_job serve`, `start`, `follow` or `cancel`; the source says how"),
    }
}
