//! The official Inspector in front of the server, where Node is there.

use std::process::Stdio;

use etdi::core::change::visible;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::screen::Screen;
use crate::exit::Failure;
use crate::targets::find;

/// The Inspector, which ends with this.
pub(super) struct Inspector(Child);

/// Its package.
const PACKAGE: &str = "@modelcontextprotocol/inspector";

impl Inspector {
    /// Starts it before a URL, over a bridge of ours that speaks every revision. What it says, such as
    /// where a browser finds it, goes to the screen. It asks nothing.
    ///
    /// # Errors
    ///
    /// When there is no Node, or it cannot be started.
    pub(super) fn start(url: &str, screen: &Screen) -> Result<Self, Failure> {
        let npx = find("npx", None).ok_or_else(|| {
            let message = "the Inspector needs Node 22 or newer, and there is no `npx` in the PATH: \
                           install Node from https://nodejs.org, or do without it";
            Failure::usage(message, "etdi dev")
        })?;
        let unstarted = |error: std::io::Error| {
            Failure::usage(format!("the Inspector cannot be started: {error}"), "npx --version")
        };
        let this = std::env::current_exe().map_err(unstarted)?;
        let mut command = Command::new(npx);
        command.args(["--yes", PACKAGE]).arg(this).args(["run", url]);
        // `npx` starts others, which all end together.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(unstarted)?;
        if let Some(stdout) = child.stdout.take() {
            tokio::spawn(told(stdout, screen.clone()));
        }
        if let Some(stderr) = child.stderr.take() {
            tokio::spawn(told(stderr, screen.clone()));
        }
        screen.say("the Inspector is started; it says where a browser finds it");
        Ok(Self(child))
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        let group = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        if let Some(group) = group {
            // It may be gone already.
            let _ = kill_process_group(group, Signal::TERM);
        }
    }
}

/// The most of a line that is shown.
const MOST: usize = 2_000;

async fn told(stream: impl AsyncRead + Unpin, screen: Screen) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let line: String = line.chars().take(MOST).collect();
        screen.line(&format!("inspector: {}", visible(&line)));
    }
}
