//! Where lines come from: an editor on a terminal, or whatever standard input is.

use std::io::{BufRead as _, IsTerminal as _};
use std::path::PathBuf;
use std::sync::Arc;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use tokio::runtime::Handle;

use super::complete::Completing;
use super::known::Known;
use crate::exit::Failure;
use crate::output::Output;
use crate::signals::on_end;
use crate::talk::Talk;

/// The commands of the shell.
pub(super) const VERBS: [&str; 8] =
    ["list", "call", "read", "get", "complete", "inspect", "help", "exit"];

/// What was typed.
pub(super) enum Typed {
    /// A line.
    Line(String),
    /// The line was given up.
    Interrupted,
    /// There is no more.
    End,
}

/// The source of lines.
pub(super) enum Lines {
    /// An editor, and where its history is kept.
    Edited(Box<Editor<Completing, FileHistory>>, PathBuf),
    /// Standard input as it comes.
    Plain,
}

/// How many lines are remembered.
const MOST_REMEMBERED: usize = 1_000;

impl Lines {
    /// Opens the editor where a person sits.
    pub(super) fn open(
        output: Output,
        history: PathBuf,
        known: Known,
        talk: Arc<Talk>,
    ) -> Result<Self, Failure> {
        if !output.can_ask() || !std::io::stdout().is_terminal() {
            return Ok(Self::Plain);
        }
        let unusable = |error: ReadlineError| {
            let message = format!("lines cannot be edited at this terminal: {error}");
            Failure::usage(message, "etdi shell --help")
        };
        // A signal can end the command while the editor has the terminal to itself.
        if let Ok(before) = rustix::termios::tcgetattr(std::io::stdin()) {
            on_end(move || {
                let now = rustix::termios::OptionalActions::Now;
                let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &before);
            });
        }
        let config = Config::builder()
            .max_history_size(MOST_REMEMBERED)
            .and_then(|config| config.history_ignore_dups(true))
            .map_err(unusable)?
            .history_ignore_space(true)
            .completion_type(CompletionType::List)
            .build();
        let mut editor: Editor<Completing, FileHistory> =
            Editor::with_config(config).map_err(unusable)?;
        editor.set_helper(Some(Completing { known, talk, runtime: Handle::current() }));
        // The first time there is none.
        let _ = editor.load_history(&history);
        Ok(Self::Edited(Box::new(editor), history))
    }

    /// Whether a person edits them.
    pub(super) fn is_edited(&self) -> bool {
        matches!(self, Self::Edited(..))
    }

    /// The next line, and the source back.
    pub(super) async fn next(self) -> Result<(Typed, Self), Failure> {
        let read = tokio::task::spawn_blocking(move || self.read()).await;
        read.map_err(|error| {
            Failure::usage(format!("standard input cannot be read: {error}"), "etdi shell --help")
        })
    }

    fn read(self) -> (Typed, Self) {
        match self {
            Self::Edited(mut editor, history) => {
                let typed = match editor.readline("etdi> ") {
                    Ok(line) => {
                        // Who forgets a line types it again.
                        let _ = editor.add_history_entry(line.as_str());
                        Typed::Line(line)
                    }
                    Err(ReadlineError::Interrupted) => Typed::Interrupted,
                    Err(_) => Typed::End,
                };
                (typed, Self::Edited(editor, history))
            }
            Self::Plain => {
                let mut line = String::new();
                let typed = match std::io::stdin().lock().read_line(&mut line) {
                    Ok(read) if read > 0 => Typed::Line(line),
                    _ => Typed::End,
                };
                (typed, Self::Plain)
            }
        }
    }

    /// Keeps what is to be remembered.
    pub(super) fn close(self) {
        if let Self::Edited(mut editor, history) = self {
            let _ = editor.save_history(&history);
        }
    }
}
