//! Drives a server in a child process, one call after the other, over its standard streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// Which form of the protocol the calls have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `initialize` first, then short calls.
    Handshake,
    /// Each call with its envelope.
    Envelope,
}

impl Form {
    /// The most instructions that an echo may take; with its envelope a call is twice as long.
    pub fn instructions(self) -> f64 {
        match self {
            Self::Handshake => 16_000.0,
            Self::Envelope => 20_000.0,
        }
    }
}

/// Runs `command`, makes `calls` echo calls, ends it, and gives what it printed to stderr.
///
/// # Errors
///
/// When the server does not start, or answers wrongly.
pub fn drive(mut command: Command, form: Form, calls: u32) -> anyhow::Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let result = talk(&mut child, form, calls);
    drop(child.stdin.take());
    let mut printed = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        stderr.read_to_string(&mut printed)?;
    }
    let status = child.wait()?;
    result.with_context(|| format!("the server said: {printed}"))?;
    ensure!(status.success(), "the server ended with {status}: {printed}");
    Ok(printed)
}

/// Pushes `calls` at once, reads no answer until the server stops reading, then reads them all;
/// gives the most memory that the server ever held, in kilobytes.
///
/// # Errors
///
/// When an answer is missing or wrong, or the system does not tell a process's memory.
pub fn flood(mut command: Command, calls: u32) -> anyhow::Result<u64> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    talk(&mut child, Form::Handshake, 1)?;
    let mut input = child.stdin.take().context("no standard input")?;
    let mut output = BufReader::new(child.stdout.take().context("no standard output")?);
    let pushed = Arc::new(AtomicU32::new(0));
    let counter = pushed.clone();
    let writer = std::thread::spawn(move || {
        for id in 2..=calls + 1 {
            let call = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"echo","arguments":{{"message":"flood"}}}}}}"#
            );
            if input.write_all(format!("{call}\n").as_bytes()).is_err() {
                break;
            }
            counter.fetch_add(1, Ordering::Relaxed);
        }
        // Kept open: a server that has ended tells no memory.
        input
    });
    // Until the server has not taken a call for a while: nobody reads its answers.
    let mut before = u32::MAX;
    while before != pushed.load(Ordering::Relaxed) {
        before = pushed.load(Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut seen = vec![false; calls as usize];
    let mut answer = String::new();
    for _ in 0..calls {
        answer.clear();
        ensure!(output.read_line(&mut answer)? > 0, "the server closed its output in the flood");
        ensure!(answer.contains("\"flood\""), "a wrong answer: {answer}");
        let id = answer.split("\"id\":").nth(1).and_then(|rest| rest.split(',').next());
        let at = id.and_then(|id| id.parse::<usize>().ok()).context("an answer without id")?;
        let place = seen.get_mut(at.wrapping_sub(2)).context("an answer to no call")?;
        ensure!(!std::mem::replace(place, true), "call {at} was answered twice");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok());
    drop(writer.join());
    child.wait()?;
    peak.context("the system does not tell a process's memory")
}

fn talk(child: &mut Child, form: Form, calls: u32) -> anyhow::Result<()> {
    let mut input = child.stdin.as_mut().context("no standard input")?;
    let mut output = BufReader::new(child.stdout.as_mut().context("no standard output")?);
    if form == Form::Handshake {
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        exchange(&mut input, &mut output, hello, "\"result\"")?;
        let done = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
        input.write_all(done.as_bytes())?;
    }
    let message = "x".repeat(100);
    for id in 1..=calls {
        let meta = match form {
            Form::Handshake => String::new(),
            Form::Envelope => r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}},"#.to_owned(),
        };
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{meta}"name":"echo","arguments":{{"message":"{message}"}}}}}}"#
        );
        exchange(&mut input, &mut output, &call, &message)?;
    }
    Ok(())
}

fn exchange(
    input: &mut &mut ChildStdin,
    output: &mut BufReader<&mut ChildStdout>,
    line: &str,
    expected: &str,
) -> anyhow::Result<()> {
    input.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    if output.read_line(&mut answer)? == 0 {
        bail!("the server closed its output after {line}");
    }
    ensure!(answer.contains(expected), "asked {line}, got {answer}");
    Ok(())
}
