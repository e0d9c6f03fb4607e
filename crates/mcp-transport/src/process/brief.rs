//! A program that is asked one thing and ends.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How often it is looked whether the program has ended.
const LOOK: Duration = Duration::from_millis(5);

/// Starts `program` with these words, gives it `input` on its standard input, and takes what it
/// prints until it has ended. It blocks; what it prints must fit into a pipe, which is 64 KiB at
/// least. No shell is involved.
///
/// ```
/// # #[cfg(unix)] {
/// use std::time::Duration;
///
/// let said = mcp_transport::process::ask("cat", &[], b"hello", Duration::from_secs(60))?;
/// assert_eq!((said.status.success(), &said.stdout[..]), (true, &b"hello"[..]));
///
/// let late = mcp_transport::process::ask("sleep", &["60"], b"", Duration::from_millis(50));
/// assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
/// # }
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
///
/// When it cannot be started or does not read, and [`io::ErrorKind::TimedOut`] when it has not ended
/// within `patience`; it is killed then.
pub fn ask(
    program: impl AsRef<OsStr>,
    words: &[&str],
    input: &[u8],
    patience: Duration,
) -> io::Result<Output> {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input));
    let end = Instant::now().checked_add(patience);
    while child.try_wait()?.is_none() {
        if end.is_some_and(|end| Instant::now() >= end) {
            child.kill()?;
            child.wait()?;
            let message = format!("it did not end within {} seconds", patience.as_secs_f32());
            return Err(io::Error::new(io::ErrorKind::TimedOut, message));
        }
        std::thread::sleep(LOOK);
    }
    let output = child.wait_with_output()?;
    // One that has failed need not have read what it was given; what it said tells more.
    match output.status.success() {
        true => written.map(|()| output),
        false => Ok(output),
    }
}
