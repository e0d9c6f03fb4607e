//! The gates: each count beside its limit; fails when one is over.

use std::alloc::System;
use std::io::Read as _;
use std::process::{Command, ExitCode};

use anyhow::Context;
use benches::child::{Form, drive, flood};
use benches::web::{WebForm, drive_web, idle_sessions};
use benches::{Figure, callgrind, decode};
use mcp_server::{server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use mcp_types::{JsonSchema, Tool};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::net::TcpListener;
use tower_layer::Layer as _;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations so far; a block that grows in place of another counts as one.
fn allocations() -> usize {
    let stats = ALLOCATOR.stats();
    stats.allocations + stats.reallocations
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["serve", tools] => serve(tools.parse()?).map(|()| ExitCode::SUCCESS),
        ["serve-web", tools] => serve_web(tools.parse()?, false).map(|()| ExitCode::SUCCESS),
        ["serve-stateless", tools] => serve_web(tools.parse()?, true).map(|()| ExitCode::SUCCESS),
        [] => gates(),
        other => anyhow::bail!("unknown arguments {other:?}; run it without any"),
    }
}

fn gates() -> anyhow::Result<ExitCode> {
    let mut figures = vec![decode_allocations()?];
    for form in [Form::Handshake, Form::Envelope] {
        for tools in [2, 10_000] {
            figures.push(Figure {
                name: format!("stdio echo, {form:?}, {tools} tools: allocations"),
                count: per_call(|calls| echo_allocations(form, tools, calls))?,
                limit: 14.0,
            });
        }
        for tools in [2, 10_000] {
            figures.push(Figure {
                name: format!("stdio echo, {form:?}, {tools} tools: instructions"),
                count: per_call(|calls| echo_instructions(form, tools, calls))?,
                limit: form.instructions(),
            });
        }
    }
    for form in [WebForm::Stateless, WebForm::Session, WebForm::Envelope] {
        for tools in [2, 10_000] {
            figures.push(Figure {
                name: format!("HTTP echo, {form:?}, {tools} tools: allocations"),
                count: per_call(|calls| web_allocations(form, tools, calls))?,
                limit: form.allocations(),
            });
            figures.push(Figure {
                name: format!("HTTP echo, {form:?}, {tools} tools: instructions"),
                count: per_call(|calls| web_instructions(form, tools, calls))?,
                limit: form.instructions(),
            });
        }
    }
    figures.push(Figure {
        name: "10,000 idle sessions: bytes each".to_owned(),
        count: idle_sessions(this(&["serve-web", "2"])?, 10_000)?,
        limit: 2_048.0,
    });
    figures.push(Figure {
        name: "60,000 calls pushed at once: most memory, in kilobytes".to_owned(),
        count: flood_memory()?,
        limit: 20_000.0,
    });
    for figure in &figures {
        println!("{figure}");
    }
    let over = figures.iter().filter(|figure| !figure.holds()).count();
    println!("{} passed, {over} failed", figures.len() - over);
    Ok(if over == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cost of one call: what a long run costs more than a short one, start-up left out.
fn per_call(measure: impl Fn(u32) -> anyhow::Result<u64>) -> anyhow::Result<f64> {
    const SHORT: u32 = 500;
    const LONG: u32 = 2_500;
    let (short, long) = (measure(SHORT)?, measure(LONG)?);
    Ok((long as f64 - short as f64) / f64::from(LONG - SHORT))
}

fn decode_allocations() -> anyhow::Result<Figure> {
    let text = mcp_types::ByteString::from(decode::CALL.trim());
    drop(decode::decode(&text)?);
    let before = allocations();
    let exchange = decode::decode(&text)?;
    let count = allocations() - before;
    drop(exchange);
    let name = "decode of a 2026-07-28 tools/call: allocations".to_owned();
    Ok(Figure { name, count: count as f64, limit: 3.0 })
}

fn echo_allocations(form: Form, tools: u32, calls: u32) -> anyhow::Result<u64> {
    counted(&drive(this(&["serve", &tools.to_string()])?, form, calls)?)
}

/// This program with other arguments.
fn this(arguments: &[&str]) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

fn web_allocations(form: WebForm, tools: u32, calls: u32) -> anyhow::Result<u64> {
    counted(&drive_web(this(&[form.door(), &tools.to_string()])?, form, calls)?)
}

/// Reads `allocations N`.
fn counted(printed: &str) -> anyhow::Result<u64> {
    let count = printed.lines().find_map(|line| line.strip_prefix("allocations "));
    count.context("the server did not print its count")?.parse().context("not a count")
}

fn flood_memory() -> anyhow::Result<f64> {
    Ok(flood(this(&["serve", "2"])?, 60_000)? as f64)
}

fn echo_instructions(form: Form, tools: u32, calls: u32) -> anyhow::Result<u64> {
    callgrind::instructions(&["serve", &tools.to_string()], |command| drive(command, form, calls))
}

fn web_instructions(form: WebForm, tools: u32, calls: u32) -> anyhow::Result<u64> {
    callgrind::instructions(&[form.door(), &tools.to_string()], |command| {
        drive_web(command, form, calls)
    })
}

/// Says the same.
#[tool]
async fn echo(message: String) -> String {
    message
}

fn server(tools: u32) -> anyhow::Result<impl mcp_types::ExchangeService> {
    let mut server = server!().tool::<echo>();
    for number in 1..tools {
        let definition = Tool::new(format!("filler_{number}"), JsonSchema::empty_object());
        server = server.tool_fn(definition, |_, _| async { "filler" });
    }
    Ok(LimitsLayer::new().layer(server.build()?))
}

fn serve(tools: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        mcp_transport::serve(server(tools)?, mcp_transport::stdio()?).await?;
        anyhow::Ok(())
    })?;
    eprintln!("allocations {}", allocations());
    Ok(())
}

/// Serves behind HTTP until the standard input ends.
fn serve_web(tools: u32, stateless: bool) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening {}", listener.local_addr()?);
        let (end, ended) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let _ = std::io::stdin().read(&mut [0]);
            let _ = end.send(());
        });
        let ended = async { _ = ended.await };
        let mut options = HttpOptions::default();
        options.stateless = stateless;
        serve_http(HttpServer::with(server(tools)?, options), listener, ended).await?;
        anyhow::Ok(())
    })?;
    eprintln!("allocations {}", allocations());
    Ok(())
}
