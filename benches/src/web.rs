//! Drives a server behind HTTP in a child process, one call after the other over one connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail, ensure};

/// Which form of the protocol the calls have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebForm {
    /// A revision with a handshake, without one: each call stands alone.
    Stateless,
    /// A revision with a handshake, in a session.
    Session,
    /// Each call with its envelope and the headers that repeat it.
    Envelope,
}

impl WebForm {
    /// The argument that starts a server for this form.
    pub fn door(self) -> &'static str {
        match self {
            Self::Stateless => "serve-stateless",
            Self::Session | Self::Envelope => "serve-web",
        }
    }

    /// The most allocations that an echo may take, all that reads and writes HTTP included.
    pub fn allocations(self) -> f64 {
        match self {
            Self::Stateless => 30.0,
            Self::Session => 40.0,
            Self::Envelope => 25.0,
        }
    }

    /// The most instructions.
    pub fn instructions(self) -> f64 {
        match self {
            Self::Stateless => 40_000.0,
            Self::Session => 55_000.0,
            Self::Envelope => 38_000.0,
        }
    }
}

/// A server under way; it prints `listening ADDRESS` first, and ends with its input.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no standard output")?).read_line(&mut line)?;
        let address =
            line.trim().strip_prefix("listening ").context("the server does not listen")?;
        Ok(Self { address: address.to_owned(), child })
    }

    fn end(mut self) -> anyhow::Result<String> {
        drop(self.child.stdin.take());
        let mut printed = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut printed)?;
        }
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}: {printed}");
        Ok(printed)
    }
}

/// Runs `command`, makes `calls` echo calls, ends it, and gives what it printed to stderr.
///
/// # Errors
///
/// When the server does not start, or answers wrongly.
pub fn drive_web(command: Command, form: WebForm, calls: u32) -> anyhow::Result<String> {
    let running = Running::start(command)?;
    Connection::open(&running.address, form)?.echo(calls)?;
    running.end()
}

/// Opens `sessions` sessions and leaves them alone; gives what each of them holds, in bytes.
///
/// # Errors
///
/// When a session is refused, or the system does not tell a process's memory.
pub fn idle_sessions(command: Command, sessions: u32) -> anyhow::Result<f64> {
    let running = Running::start(command)?;
    // What the first sessions cost once is no session's.
    let warm = 500;
    let mut connection = Connection::open(&running.address, WebForm::Session)?;
    for _ in 0..warm {
        connection.handshake()?;
    }
    let before = resident(&running.child)?;
    for _ in 0..sessions {
        connection.handshake()?;
    }
    let after = resident(&running.child)?;
    drop(connection);
    running.end()?;
    Ok((after.saturating_sub(before) * 1024) as f64 / f64::from(sessions))
}

/// The memory that a process holds now, in kilobytes.
fn resident(child: &Child) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|text| text.trim().strip_suffix(" kB")?.trim().parse().ok());
    kilobytes.context("the system does not tell a process's memory")
}

struct Connection {
    stream: BufReader<TcpStream>,
    form: WebForm,
    session: String,
    host: String,
}

impl Connection {
    fn open(address: &str, form: WebForm) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (stream, host) = (BufReader::new(stream), address.to_owned());
        let mut connection = Self { stream, form, session: String::new(), host };
        if form == WebForm::Session {
            connection.handshake()?;
        }
        Ok(connection)
    }

    fn handshake(&mut self) -> anyhow::Result<()> {
        self.session.clear();
        let hello = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}"#;
        let (head, _) = self.post("", hello)?;
        let id = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("mcp-session-id").then(|| value.trim().to_owned())
        });
        let id = id.with_context(|| format!("no session was opened: {head}"))?;
        self.session = format!("Mcp-Session-Id: {id}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
        self.post("", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#)?;
        Ok(())
    }

    fn echo(&mut self, calls: u32) -> anyhow::Result<()> {
        let message = "x".repeat(100);
        let (headers, meta) = match self.form {
            WebForm::Stateless => ("MCP-Protocol-Version: 2025-11-25\r\n", ""),
            WebForm::Session => ("", ""),
            WebForm::Envelope => (
                "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: echo\r\n",
                r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}},"#,
            ),
        };
        for id in 1..=calls {
            let call = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{{meta}"name":"echo","arguments":{{"message":"{message}"}}}}}}"#
            );
            let (head, body) = self.post(headers, &call)?;
            ensure!(body.contains(&message), "asked {call}, got {head}{body}");
        }
        Ok(())
    }

    /// Sends one message; gives the head and the body of the answer.
    fn post(&mut self, headers: &str, body: &str) -> anyhow::Result<(String, String)> {
        let request = format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Accept: application/json, text/event-stream\r\n{}{headers}Content-Length: {}\r\n\r\n{body}",
            self.host,
            self.session,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut head, mut length, mut chunked) = (String::new(), 0, false);
        loop {
            let start = head.len();
            if self.stream.read_line(&mut head)? == 0 {
                bail!("the server closed the connection after {request}: {head}");
            }
            let line = head.get(start..).unwrap_or_default().trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= line.starts_with("transfer-encoding:") && line.ends_with("chunked");
        }
        ensure!(head.starts_with("HTTP/1.1 2"), "asked {request}, got {head}");
        let mut body = Vec::new();
        while chunked {
            let mut size = String::new();
            self.stream.read_line(&mut size)?;
            let size = usize::from_str_radix(size.trim(), 16)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk)?;
            body.extend_from_slice(chunk.get(..size).unwrap_or_default());
            chunked = size > 0;
        }
        let start = body.len();
        body.resize(start + length, 0);
        self.stream.read_exact(body.get_mut(start..).unwrap_or_default())?;
        Ok((head, String::from_utf8(body)?))
    }
}
