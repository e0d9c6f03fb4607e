//! What the author sees and types: lines on standard error, or a prompt below them.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use etdi::core::change::visible;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::MemHistory;
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter, Helper};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::status::Status;
use crate::exit::Failure;
use crate::output::Output;
use crate::signals::on_end;

/// What can be typed at the prompt.
pub(super) const COMMANDS: [&str; 8] =
    ["tools", "call", "reload", "status", "values", "inspector", "help", "quit"];

/// Where lines go. A clone is the same.
#[derive(Clone, Default)]
pub(super) struct Screen(Option<Arc<Mutex<dyn ExternalPrinter + Send>>>);

impl Screen {
    /// Whether a prompt stands below the lines.
    pub(super) fn has_prompt(&self) -> bool {
        self.0.is_some()
    }

    /// A line of ours.
    pub(super) fn say(&self, line: &str) {
        match self.has_prompt() {
            true => self.line(line),
            false => self.line(&format!("etdi dev: {line}")),
        }
    }

    /// A line as it is; may hold styles.
    pub(super) fn line(&self, line: &str) {
        let Some(printer) = &self.0 else {
            // Nobody is harmed when a remark does not get out.
            let _ = writeln!(anstream::stderr(), "{line}");
            return;
        };
        let plain =
            anstream::AutoStream::choice(&std::io::stdout()) == anstream::ColorChoice::Never;
        let line = match plain {
            true => anstream::adapter::strip_str(line).to_string(),
            false => line.to_owned(),
        };
        let mut printer = printer.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = printer.print(format!("{line}\n"));
    }
}

/// The lines that are typed; none is the end. The terminal is as it was once this is dropped.
pub(super) struct Keyboard {
    pub(super) lines: UnboundedReceiver<String>,
    before: Option<Termios>,
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Opens a prompt where a person sits.
///
/// # Errors
///
/// When the terminal cannot be used.
pub(super) fn open(output: Output, status: &Status) -> Result<Option<(Screen, Keyboard)>, Failure> {
    if !output.can_ask() || !std::io::stdout().is_terminal() {
        return Ok(None);
    }
    let unusable = |error: ReadlineError| {
        let message = format!("lines cannot be edited at this terminal: {error}");
        Failure::usage(message, "etdi dev --http --no-ui")
    };
    let before = tcgetattr(std::io::stdin()).ok();
    if let Some(before) = before.clone() {
        // A signal can end the command while the editor has the terminal to itself.
        on_end(move || _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &before));
    }
    let config = Config::builder().completion_type(CompletionType::List).build();
    let mut editor: Editor<Completing, MemHistory> =
        Editor::with_history(config, MemHistory::new()).map_err(unusable)?;
    editor.set_helper(Some(Completing(status.clone())));
    let printer = editor.create_external_printer().map_err(unusable)?;
    let (typed, lines) = unbounded_channel();
    // Not one of the runtime's threads, which would wait for a key at the end.
    let thread = std::thread::Builder::new().name("etdi-keyboard".to_owned());
    let thread = thread.spawn(move || read(editor, &typed));
    thread.map_err(|error| {
        Failure::usage(format!("the system gives no thread: {error}"), "etdi dev --http --no-ui")
    })?;
    Ok(Some((Screen(Some(Arc::new(Mutex::new(printer)))), Keyboard { lines, before })))
}

fn read(mut editor: Editor<Completing, MemHistory>, typed: &UnboundedSender<String>) {
    while let Ok(line) = editor.readline("dev> ") {
        // Who forgets a line types it again.
        let _ = editor.add_history_entry(line.as_str());
        let is_last = matches!(line.trim(), "quit" | "exit" | "q");
        if is_last || typed.send(line).is_err() {
            return;
        }
    }
}

/// Completes commands, the names of tools and of their arguments.
struct Completing(Status);

impl Helper for Completing {}
impl Highlighter for Completing {}
impl Validator for Completing {}

impl Hinter for Completing {
    type Hint = String;
}

impl Completer for Completing {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..position).unwrap_or(line);
        let start = typed.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        let word = typed.get(start..).unwrap_or_default();
        let before: Vec<&str> = typed.get(..start).unwrap_or_default().split_whitespace().collect();
        let all = match before.as_slice() {
            [] => COMMANDS.map(|command| format!("{command} ")).to_vec(),
            ["call"] => self.0.tools().iter().map(|(name, _)| format!("{name} ")).collect(),
            ["call", tool, ..] => {
                self.0.arguments(tool).iter().map(|name| format!("{name}=")).collect()
            }
            _ => Vec::new(),
        };
        // A name that would drive the terminal is not offered.
        let fits = |text: &String| text.starts_with(word) && !text.contains(char::is_control);
        let pair = |text: String| Pair {
            display: visible(text.trim_end()).into_owned(),
            replacement: text,
        };
        Ok((start, all.into_iter().filter(fits).map(pair).collect()))
    }
}
