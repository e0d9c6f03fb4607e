//! What `etdi guard` costs: `cargo build --release -p etdi-cli --bin etdi`, then
//! `cargo run --release -p etdi-cli --example guard_cost -- target/release/etdi SERVER...`, where the server
//! has a tool `echo` that takes a `message`, such as `examples/interop_server`.
//!
//! Prints, for a client with a handshake: the median time of a call without and with the guard, the time to
//! the answer of `initialize`, and the memory of the guard.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const CALLS: usize = 5_000;

type Failed = Box<dyn std::error::Error>;

fn main() -> Result<(), Failed> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (etdi, server) = words.split_first().ok_or("say where etdi is, and then the server")?;
    let home = std::env::temp_dir().join(format!("etdi-cost-{}", std::process::id()));
    let guard = [etdi.as_str(), "guard", "--trust-first-use", "--"].map(str::to_owned);
    let guarded: Vec<String> = guard.into_iter().chain(server.iter().cloned()).collect();
    // The first start approves.
    Client::start(&guarded, &home)?.run(10)?;
    for (name, words) in [("without", server), ("with", &guarded)] {
        let (start, median, memory) = Client::start(words, &home)?.run(CALLS)?;
        println!("{name:8} start {start:>9.1?}, a call {median:>8.1?}, memory {memory}");
    }
    std::fs::remove_dir_all(&home)?;
    Ok(())
}

struct Client {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    began: Instant,
    last: u64,
}

impl Client {
    fn start(words: &[String], home: &std::path::Path) -> Result<Self, Failed> {
        let (program, arguments) = words.split_first().ok_or("an empty command")?;
        let mut command = Command::new(program);
        command.args(arguments).env("ETDI_HOME", home).stderr(Stdio::null());
        let began = Instant::now();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?);
        Ok(Self { child, input, lines, began, last: 0 })
    }

    fn ask(&mut self, method: &str, params: &str) -> Result<(), Failed> {
        self.last += 1;
        let id = format!("\"id\":{}", self.last);
        let line =
            format!("{{\"jsonrpc\":\"2.0\",{id},\"method\":\"{method}\",\"params\":{params}}}\n");
        self.input.write_all(line.as_bytes())?;
        let mut answer = String::new();
        while !answer.contains(&id) {
            answer.clear();
            if self.lines.read_line(&mut answer)? == 0 {
                return Err("the server has gone".into());
            }
        }
        Ok(())
    }

    fn run(mut self, calls: usize) -> Result<(Duration, Duration, String), Failed> {
        let version = mcp_types::ProtocolVersion::NEWEST_LEGACY;
        let rest = r#""capabilities":{},"clientInfo":{"name":"c","version":"1"}"#;
        let params = format!("{{\"protocolVersion\":\"{version}\",{rest}}}");
        self.ask("initialize", &params)?;
        let start = self.began.elapsed();
        self.input
            .write_all(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n")?;
        self.ask("tools/list", "{}")?;
        let mut times = Vec::with_capacity(calls);
        for _ in 0..calls {
            let began = Instant::now();
            self.ask("tools/call", r#"{"name":"echo","arguments":{"message":"hi"}}"#)?;
            times.push(began.elapsed());
        }
        times.sort_unstable();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let memory = memory.unwrap_or("unknown").trim().to_owned();
        drop(self.input);
        self.child.wait()?;
        Ok((start, median, memory))
    }
}
