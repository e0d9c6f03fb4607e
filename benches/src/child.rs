//! Drives a server in a child process, one call after the other, over its standard streams.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Which form of the protocol the calls have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `initialize` first, then short calls.
    Handshake,
    /// Each call with its envelope.
    Envelope,
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
