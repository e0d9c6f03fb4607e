//! The gates: each count beside its limit; fails when one is over.

use std::alloc::System;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::Context;
use benches::child::{Form, drive, flood};
use benches::{Figure, decode};
use mcp_server::{server, tool};
use mcp_transport::LimitsLayer;
use mcp_types::{JsonSchema, Tool};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
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
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", &tools.to_string()]);
    let printed = drive(command, form, calls)?;
    let count = printed.lines().find_map(|line| line.strip_prefix("allocations "));
    count.context("the server did not print its count")?.parse().context("not a count")
}

fn flood_memory() -> anyhow::Result<f64> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "2"]);
    Ok(flood(command, 60_000)? as f64)
}

fn echo_instructions(form: Form, tools: u32, calls: u32) -> anyhow::Result<u64> {
    let counts = std::env::temp_dir().join(format!("gates-{}.callgrind", std::process::id()));
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe()?)
        .args(["serve", &tools.to_string()]);
    drive(command, form, calls).context("is valgrind installed?")?;
    let total = instructions(&counts);
    std::fs::remove_file(&counts)?;
    total
}

fn instructions(counts: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(counts)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind wrote no totals")?;
    total.trim().parse().context("callgrind's totals are not a number")
}

/// Says the same.
#[tool]
async fn echo(message: String) -> String {
    message
}

fn serve(tools: u32) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut server = server!().tool::<echo>();
        for number in 1..tools {
            let definition = Tool::new(format!("filler_{number}"), JsonSchema::empty_object());
            server = server.tool_fn(definition, |_, _| async { "filler" });
        }
        let service = LimitsLayer::new().layer(server.build()?);
        mcp_transport::serve(service, mcp_transport::stdio()?).await?;
        anyhow::Ok(())
    })?;
    eprintln!("allocations {}", allocations());
    Ok(())
}
