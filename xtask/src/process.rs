//! Runs programs: bounded and with their output kept, or in the open.

use std::ffi::OsStr;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::programs::Programs;

/// The last part of a long text.
pub(crate) fn clip(text: &str) -> String {
    let kept: Vec<char> = text.trim().chars().rev().take(4000).collect();
    kept.into_iter().rev().collect()
}

/// What came of a program.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a program to its end, at most [`PATIENCE`]; `etdi` keeps what it learns under `home`.
pub(crate) fn capture(command: &[PathBuf], home: &Path) -> Result<Ended, String> {
    let (program, arguments) = command.split_first().ok_or("an empty command")?;
    let mut child = Command::new(program)
        .args(arguments)
        .env("ETDI_HOME", home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start `{}`: {error}", program.display()))?;
    let (stdout, stderr) = (drain(child.stdout.take()), drain(child.stderr.take()));
    let deadline = Instant::now() + PATIENCE;
    let code = loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => break status.code(),
            None if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            None => {
                child.kill().map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                return Err(format!(
                    "    `{}` did not end within {} s",
                    program.display(),
                    PATIENCE.as_secs()
                ));
            }
        }
    };
    Ok(Ended {
        code,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// A server that listens on a port of this machine; it ends with this value.
pub(crate) struct Listening {
    child: Child,
    /// Whether it is asked to end before it is made to, because it has started others.
    asked: bool,
    pub(crate) port: u16,
}

impl Listening {
    /// Starts what `command` makes of a free port, and waits until it listens.
    pub(crate) fn start(command: impl FnOnce(u16) -> Command) -> Result<Listening, String> {
        let address = free_address()?;
        let mut command = command(address.port());
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start `{program}`: {error}"))?;
        let mut listening = Listening { child, asked: false, port: address.port() };
        let deadline = Instant::now() + START;
        while TcpStream::connect(address).is_err() {
            listening.still_there().map_err(|why| format!("`{program}` {why}"))?;
            if Instant::now() > deadline {
                return Err(format!("`{program}` does not listen on {address}"));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(listening)
    }

    /// Has it end by being interrupted, because it has started others.
    pub(crate) fn interrupted(mut self) -> Listening {
        self.asked = true;
        self
    }

    /// An error when the server has ended by itself.
    pub(crate) fn still_there(&mut self) -> Result<(), String> {
        match self.child.try_wait().map_err(|error| error.to_string())? {
            Some(status) => Err(format!("ended by itself ({status})")),
            None => Ok(()),
        }
    }
}

/// An address on which nothing listens. Its port is below those that systems give out by themselves:
/// servers that are started at the same time take such ones, and so does every connection.
fn free_address() -> Result<SocketAddr, String> {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS.len() {
        // Each process begins elsewhere, and gives no port twice.
        let number =
            std::process::id().wrapping_mul(97).wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(number % u32::from(PORTS.end - PORTS.start)).unwrap_or_default();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS.start + port));
        if TcpListener::bind(address).is_ok() {
            return Ok(address);
        }
    }
    Err("there is no free port".to_owned())
}

const PORTS: Range<u16> = 20_000..32_000;

impl Drop for Listening {
    fn drop(&mut self) {
        if self.asked {
            let id = self.child.id().to_string();
            // Where this cannot be said, it ends as all others do.
            let _ = Command::new("kill").args(["-INT", &id]).stderr(Stdio::null()).status();
            let end = Instant::now() + FAREWELL;
            while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
                thread::sleep(Duration::from_millis(20));
            }
        }
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Three nodes of a program, and Redis, behind a balancer that hands each request to the next node: to be
/// started with `--port` and a port.
pub(crate) fn cluster(programs: &Programs, program: &str) -> Command {
    let mut command = Command::new(programs.example("cluster"));
    command.args(["--each-request", "--node"]).arg(programs.example(program));
    command
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before a broken pipe is still evidence.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Runs a program whose output the person at the terminal may see.
pub(crate) fn finish(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
    let shown = format!("{program} {}", arguments.join(" "));
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("cannot start `{program}`: {error}; install it, or leave these tests out with MCP_INTEROP=skip"))?;
    if status.success() { Ok(()) } else { Err(format!("`{shown}` failed ({status})")) }
}

/// Longer than the slowest suite on a busy machine, the Inspector's.
const PATIENCE: Duration = Duration::from_secs(240);

/// How long a server may take to end once it is asked to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long a server may take until it listens; interpreters are slow on a busy machine.
const START: Duration = Duration::from_secs(60);
