//! The standard streams of this process, as a server uses them.
//!
//! The protocol owns standard output: a stray `println!` in a tool would corrupt it. So the real
//! streams are taken away under other numbers, and what is left in their place is harmless:
//! standard input is empty, and standard output leads to standard error.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use mcp_types::BoxFuture;
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

use crate::io::{Attached, Reader, Writer};
use crate::{Error, Io};

mod threads;

/// Takes the standard streams of this process for [`serve`](crate::serve).
///
/// Afterwards `println!` writes to standard error, with one line of warning before the first, and
/// standard input reads as empty, for this process and for children that inherit it. Pipes and
/// sockets are watched without threads; files and terminals get a thread of their own each, which
/// does not keep the process from ending.
///
/// # Errors
///
/// When the streams are closed or were taken already.
///
/// # Panics
///
/// Outside a tokio runtime with I/O.
pub fn stdio() -> Result<Io, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::AcqRel) {
        let text = "they are being served already; a process has one pair of them";
        return Err(Error::StandardStreams(io::Error::new(io::ErrorKind::AlreadyExists, text)));
    }
    take().map_err(Error::StandardStreams)
}

fn take() -> io::Result<Io> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    let stray = StrayOutput::divert()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    let (reader, writer) = (reader(input)?, writer(output)?);
    Ok(Io { reader, writer, attached: Some(Box::new(stray)) })
}

/// Reads a descriptor without blocking the runtime, by whatever means its kind allows.
pub(crate) fn reader(descriptor: OwnedFd) -> io::Result<Reader> {
    let file = File::from(descriptor);
    let kind = file.metadata()?.file_type();
    if kind.is_fifo() {
        return Ok(Box::new(pipe::Receiver::from_file(file)?));
    }
    if kind.is_socket() {
        return Ok(Box::new(socket(file)?));
    }
    Ok(Box::new(threads::ThreadReader::start("mcp-stdin", file)?))
}

/// Writes a descriptor without blocking the runtime, by whatever means its kind allows.
pub(crate) fn writer(descriptor: OwnedFd) -> io::Result<Writer> {
    let file = File::from(descriptor);
    let kind = file.metadata()?.file_type();
    if kind.is_fifo() {
        return Ok(Box::new(pipe::Sender::from_file(file)?));
    }
    if kind.is_socket() {
        return Ok(Box::new(socket(file)?));
    }
    Ok(Box::new(threads::ThreadWriter::start("mcp-stdout", file)?))
}

/// Some clients start their servers on sockets instead of pipes.
fn socket(file: File) -> io::Result<UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(OwnedFd::from(file));
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// What is printed to standard output although the protocol owns it.
struct StrayOutput {
    passed_on: mpsc::Receiver<()>,
}

impl StrayOutput {
    fn divert() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let (done, passed_on) = mpsc::channel();
        let thread = std::thread::Builder::new().name("mcp-stray-output".into());
        thread.spawn(move || {
            pass_on(reader);
            drop(done);
        })?;
        rustix::stdio::dup2_stdout(writer)?;
        Ok(Self { passed_on })
    }
}

fn pass_on(mut stray: impl Read) {
    let mut chunk = vec![0; 4096];
    let mut warned = false;
    while let Ok(count) = stray.read(&mut chunk)
        && count > 0
    {
        let mut stderr = io::stderr().lock();
        if !std::mem::replace(&mut warned, true) {
            let _ = writeln!(
                stderr,
                "mcp: something was printed to standard output, which carries the protocol; it is \
                 passed on here, use `eprintln!` or the log instead"
            );
        }
        let _ = stderr.write_all(chunk.get(..count).unwrap_or_default());
    }
}

impl Attached for StrayOutput {
    fn end(self: Box<Self>) -> BoxFuture<'static, Option<String>> {
        Box::pin(async move {
            drop(self);
            None
        })
    }
}

impl Drop for StrayOutput {
    fn drop(&mut self) {
        // The thread sees the end once nobody can print into the pipe any more. A child that
        // inherited it could, and nobody waits for that.
        let _ = io::stdout().flush();
        if rustix::stdio::dup2_stdout(io::stderr()).is_ok() {
            let _ = self.passed_on.recv_timeout(Duration::from_millis(100));
        }
    }
}
