//! Building a cargo package without standing still: which program comes of it.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::screen::Screen;
use crate::targets::cargo::Build;

/// Builds, and gives the program. What the compiler says goes to a screen with a prompt, or to
/// standard error.
///
/// # Errors
///
/// Why there is none, as a sentence.
pub(super) async fn built(build: &Build, screen: Option<&Screen>) -> Result<String, String> {
    let mut command = build.command();
    if screen.is_some() {
        command.args(["--color", "always"]);
    }
    let mut command = Command::from(command);
    // One build does not outlive the command.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    command.stderr(if screen.is_some() { Stdio::piped() } else { Stdio::inherit() });
    let unstarted = |error: std::io::Error| format!("cargo cannot be started: {error}");
    // `output` would take standard error for itself.
    let mut building = command.spawn().map_err(unstarted)?;
    if let (Some(screen), Some(said)) = (screen.cloned(), building.stderr.take()) {
        tokio::spawn(async move {
            let mut lines = BufReader::new(said).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                screen.line(&line);
            }
        });
    }
    let built = building.wait_with_output().await.map_err(unstarted)?;
    if !built.status.success() {
        return Err("it does not build".to_owned());
    }
    let program = build.program(&String::from_utf8_lossy(&built.stdout));
    program.map_err(|failure| failure.message)
}
