//! A server as a child process, talked to over its standard streams.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mcp_types::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};
use tokio::task::JoinHandle;
use tokio::time::timeout;

mod brief;

pub use brief::ask;

use crate::io::Attached;
use crate::{Error, Io};

/// How a server is started: program, arguments, directory, environment.
///
/// No shell is involved. The child leads a process group of its own, so that what it starts ends
/// with it. What it writes to standard error is passed on to ours, line by line and with control
/// characters made visible; its last lines are part of the error when it dies.
///
/// ```no_run
/// use mcp_transport::{connect, process::Command};
/// use mcp_types::Implementation;
///
/// # async fn example() -> Result<(), mcp_transport::Error> {
/// let server = Command::new("notes-server").args(["--stdio"]).env("NOTES", "/srv/notes").spawn()?;
/// let connection = connect(server, Implementation::new("example", "1.0.0"));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Command {
    command: std::process::Command,
    grace: Duration,
    stderr: Stderr,
}

/// Takes the lines that a child writes to standard error.
type TakeLine = Box<dyn FnMut(&str) + Send>;

enum Stderr {
    PassOn,
    Take(TakeLine),
}

impl std::fmt::Debug for Stderr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stderr")
    }
}

impl Command {
    /// Starts `program`, which is looked up in the `PATH` if it is a bare name.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        let command = std::process::Command::new(program);
        Self { command, grace: Duration::from_secs(2), stderr: Stderr::PassOn }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets the working directory; ours by default.
    #[must_use]
    pub fn current_dir(mut self, directory: impl AsRef<Path>) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// Sets a variable; all of ours are inherited by default.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Leaves a variable out.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Inherits no variable of ours.
    #[must_use]
    pub fn env_clear(mut self) -> Self {
        self.command.env_clear();
        self
    }

    /// How long each step of the shutdown may take; two seconds by default.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Gives each line of the child's standard error to `take` instead of passing it on.
    #[must_use]
    pub fn on_stderr(mut self, take: impl FnMut(&str) + Send + 'static) -> Self {
        self.stderr = Stderr::Take(Box::new(take));
        self
    }

    /// Starts the server.
    ///
    /// A server of an older revision that dies of the first message, which asks for its revision,
    /// is started once more and gets a handshake.
    ///
    /// When its connection is closed it ends in steps: its input ends, then it gets a grace period,
    /// then its process group a `SIGTERM`, another period, a `SIGKILL`. If the runtime goes away
    /// before that, the group is killed at once.
    ///
    /// # Errors
    ///
    /// When the program cannot be started; the error names it.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with I/O.
    pub fn spawn(self) -> Result<Io, Error> {
        let Self { mut command, grace, stderr } = self;
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        let recipe = Recipe { command, grace, stderr: Arc::new(Mutex::new(stderr)) };
        recipe.start(true)
    }
}

/// Everything that it takes to start the server.
struct Recipe {
    command: tokio::process::Command,
    grace: Duration,
    stderr: Arc<Mutex<Stderr>>,
}

impl Recipe {
    fn start(mut self, may_again: bool) -> Result<Io, Error> {
        let program: OsString = self.command.as_std().get_program().to_owned();
        let failed = |source| Error::Spawn { program: program.to_string_lossy().into(), source };
        let mut child = self.command.spawn().map_err(failed)?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = streams else {
            return Err(failed(io::Error::other("its standard streams are missing")));
        };
        let words = Arc::new(LastWords::default());
        let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let listening = Some(tokio::spawn(listen(errors, self.stderr.clone(), words.clone())));
        let (grace, recipe) = (self.grace, may_again.then_some(self));
        let attached = ChildServer { child, group, grace, words, listening, recipe };
        Ok(Io { attached: Some(Box::new(attached)), ..Io::new(output, input) })
    }
}

struct ChildServer {
    child: Child,
    group: Option<Pid>,
    grace: Duration,
    words: Arc<LastWords>,
    listening: Option<JoinHandle<()>>,
    /// For a second start, if there may be one.
    recipe: Option<Recipe>,
}

impl Attached for ChildServer {
    fn end(mut self: Box<Self>) -> BoxFuture<'static, Option<String>> {
        Box::pin(async move {
            let status = self.climb_down().await;
            // Whatever the child started and left behind ends too, and so does its error output.
            self.kill_group();
            if let Some(listening) = self.listening.take() {
                let abort = listening.abort_handle();
                if timeout(Duration::from_millis(200), listening).await.is_err() {
                    abort.abort();
                }
            }
            self.words.report(status)
        })
    }

    fn again(&mut self) -> Option<Io> {
        self.recipe.take()?.start(false).ok()
    }
}

impl ChildServer {
    /// The steps of the shutdown; the child's input has ended already.
    async fn climb_down(&mut self) -> Option<ExitStatus> {
        for signal in [Some(Signal::TERM), Some(Signal::KILL), None] {
            if let Ok(status) = timeout(self.grace, self.child.wait()).await {
                return status.ok();
            }
            if let (Some(signal), Some(group)) = (signal, self.group) {
                let _ = kill_process_group(group, signal);
            }
        }
        None
    }

    fn kill_group(&mut self) {
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for ChildServer {
    fn drop(&mut self) {
        self.kill_group();
        if let Some(listening) = self.listening.take() {
            listening.abort();
        }
    }
}

/// The last lines of a child's standard error.
#[derive(Default)]
struct LastWords(Mutex<VecDeque<String>>);

impl LastWords {
    const MOST: usize = 10;

    fn add(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == Self::MOST {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(500).collect());
    }

    /// How the child ended, if that explains anything.
    fn report(&self, status: Option<ExitStatus>) -> Option<String> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let status = status.filter(|status| !status.success());
        if status.is_none() && lines.is_empty() {
            return None;
        }
        let mut report = String::new();
        if let Some(status) = status {
            let _ = write!(report, "it ended with {status}");
        }
        if !lines.is_empty() {
            let separator = if report.is_empty() { "" } else { "; " };
            let lines = Vec::from_iter(lines.iter().map(String::as_str)).join("\n  ");
            let _ = write!(report, "{separator}its last words were:\n  {lines}");
        }
        Some(report)
    }
}

/// A line longer than this is passed on in parts.
const LONGEST: usize = 8 << 10;

async fn listen(mut errors: ChildStderr, stderr: Arc<Mutex<Stderr>>, words: Arc<LastWords>) {
    let mut kept = Vec::new();
    let mut chunk = vec![0; 4096];
    while let Ok(count) = errors.read(&mut chunk).await
        && count > 0
    {
        kept.extend_from_slice(chunk.get(..count).unwrap_or_default());
        while let Some(end) =
            memchr::memchr(b'\n', &kept).or((kept.len() > LONGEST).then_some(LONGEST))
        {
            let line: Vec<u8> = kept.drain(..=end.min(kept.len() - 1)).collect();
            take_line(&line, &stderr, &words);
        }
    }
    if !kept.is_empty() {
        take_line(&kept, &stderr, &words);
    }
}

fn take_line(line: &[u8], stderr: &Mutex<Stderr>, words: &LastWords) {
    let line = harmless(String::from_utf8_lossy(line).trim_end());
    words.add(&line);
    match &mut *stderr.lock().unwrap_or_else(PoisonError::into_inner) {
        Stderr::PassOn => {
            let _ = writeln!(io::stderr(), "{line}");
        }
        Stderr::Take(take) => take(&line),
    }
}

/// The line with control characters made visible: a server must not drive our terminal.
fn harmless(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    for character in line.chars() {
        match character {
            '\t' => shown.push('\t'),
            hidden if hidden.is_control() => shown.extend(hidden.escape_default()),
            plain => shown.push(plain),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_child_says_cannot_drive_a_terminal() {
        assert_eq!(harmless("\u{1b}[2Jcleared\tü"), "\\u{1b}[2Jcleared\tü");
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let words = LastWords::default();
        assert_eq!(words.report(None), None);
        for n in 0..20 {
            words.add(&format!("line {n}"));
        }
        let report = words.report(None).unwrap();
        assert!(
            report.starts_with("its last words were:\n  line 10\n") && report.ends_with("line 19")
        );
    }
}
