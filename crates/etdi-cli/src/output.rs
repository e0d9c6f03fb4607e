//! What a command prints: one report, for people or as data.
//!
//! With `--json` standard output holds exactly one line, an envelope that every command shares:
//! `{"v":1,"command":…,"ok":…,"exit":…,"data":…}` or the same with `"error":{"code","message",
//! "next","details"}`. A command that speaks the protocol on standard output prints it on standard
//! error. What is on the way goes to standard error, and only to a terminal.

use std::io::{IsTerminal, Write};

use etdi::core::change::visible;
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};

/// The version of the envelope.
const ENVELOPE: u32 = 1;

/// What a command found out.
#[derive(Debug)]
pub struct Report {
    /// For programs.
    pub data: Value,
    /// For people; may hold styles, which are taken out where no terminal shows them.
    pub text: String,
    /// How the command ends; an error inside a report is one that has data to show.
    pub exit: Exit,
    /// Whether all is printed already.
    pub is_printed: bool,
}

impl Report {
    /// A report of a command that did what it was asked for.
    pub fn new(data: Value, text: impl Into<String>) -> Self {
        Self { data, text: text.into(), exit: Exit::Done, is_printed: false }
    }

    /// A report that was printed while it was made: nothing follows, no envelope either.
    pub fn printed(exit: Exit) -> Self {
        Self { data: Value::Null, text: String::new(), exit, is_printed: true }
    }

    /// Sets how the command ends.
    #[must_use]
    pub fn ending(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// Where a command prints.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
    beside: bool,
}

impl Output {
    /// For people, or as data.
    pub fn new(json: bool) -> Self {
        Self { json, beside: false }
    }

    /// The same for a command whose standard output belongs to the protocol: the envelope goes to
    /// standard error.
    #[must_use]
    pub fn beside_the_protocol(self, is_so: bool) -> Self {
        Self { beside: is_so, ..self }
    }

    /// Whether it prints data.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person sits there who can be asked.
    pub fn can_ask(self) -> bool {
        !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// Says what takes a while; only on a terminal.
    pub fn progress(self, text: &str) {
        if !self.json && std::io::stderr().is_terminal() {
            let mut stderr = anstream::stderr();
            let dim = style::DIM;
            // Nobody is harmed when a remark does not get out.
            let _ = writeln!(stderr, "{dim}{text}…{dim:#}");
        }
    }

    /// Says something that a person should know, whatever the command prints.
    pub fn warn(self, text: &str) {
        let mut stderr = anstream::stderr();
        let warn = style::WARN;
        let _ = writeln!(stderr, "{warn}note:{warn:#} {}", plain(text));
    }

    /// Prints part of a report for people while it is made; nothing with `--json`.
    pub fn line(self, text: &str) {
        if !self.json {
            let mut stdout = anstream::stdout();
            let _ = writeln!(stdout, "{text}");
            let _ = stdout.flush();
        }
    }

    /// Prints what came of a command, and gives the exit code.
    pub fn finish(self, command: &str, result: Result<Report, Failure>) -> u8 {
        let (exit, printed) = match result {
            Ok(report) if report.is_printed => (report.exit, Ok(())),
            Ok(report) if self.json => (report.exit, self.envelope(command, Ok(report))),
            Err(failure) if self.json => (failure.exit, self.envelope(command, Err(failure))),
            Ok(report) => {
                let text = report.text.trim_end();
                let mut stdout = anstream::stdout();
                let written =
                    if text.is_empty() { stdout.flush() } else { writeln!(stdout, "{text}") };
                (report.exit, written)
            }
            Err(failure) => (failure.exit, Self::complain(&failure)),
        };
        match printed {
            Ok(()) => exit.code(),
            // Whoever read our output has gone; there is nobody left to tell.
            Err(_) => exit.code().max(Exit::Usage.code()),
        }
    }

    fn envelope(self, command: &str, result: Result<Report, Failure>) -> std::io::Result<()> {
        let value = match result {
            Ok(report) => json!({
                "v": ENVELOPE, "command": command, "ok": report.exit == Exit::Done,
                "exit": report.exit.code(), "data": report.data,
            }),
            Err(failure) => json!({
                "v": ENVELOPE, "command": command, "ok": false, "exit": failure.exit.code(),
                "error": {
                    "code": failure.code, "message": failure.message, "next": failure.next,
                    "details": failure.details.map(|details| details.data),
                },
            }),
        };
        match self.beside {
            true => writeln!(std::io::stderr(), "{value}"),
            false => writeln!(std::io::stdout(), "{value}"),
        }
    }

    fn complain(failure: &Failure) -> std::io::Result<()> {
        let mut stderr = anstream::stderr();
        let (bad, bold) = (style::BAD, style::BOLD);
        writeln!(stderr, "{bad}error:{bad:#} {}", plain(&failure.message))?;
        if let Some(details) = &failure.details {
            for line in details.shown.lines() {
                writeln!(stderr, "  {line}")?;
            }
        }
        writeln!(stderr, "{bold}try:{bold:#}   {}", visible(&failure.next))
    }
}

/// What went wrong, as lines that cannot drive a terminal: names of files, what stands in them and what
/// servers say come from elsewhere. Every line but the first stands further in, so that none passes for
/// one of ours, such as what to try.
fn plain(text: &str) -> String {
    text.split('\n').map(visible).collect::<Vec<_>>().join("\n    ")
}

/// A table with aligned columns and without lines; empty for no rows.
pub fn table<const N: usize>(head: [&str; N], rows: Vec<[String; N]>) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header(head.map(str::to_uppercase));
    for row in rows {
        table.add_row(row);
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// The few styles of `etdi`.
pub mod style {
    use clap::builder::styling::{AnsiColor, Style};

    /// Something holds.
    pub const GOOD: Style = AnsiColor::Green.on_default().bold();
    /// Something is refused, or failed.
    pub const BAD: Style = AnsiColor::Red.on_default().bold();
    /// Something to look at.
    pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
    /// What matters.
    pub const BOLD: Style = Style::new().bold();
    /// What matters less.
    pub const DIM: Style = Style::new().dimmed();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_bare() {
        let rows = vec![["a".into(), "first".into()], ["longer".into(), "2".into()]];
        assert_eq!(table(["name", "what"], rows), " NAME    WHAT\n a       first\n longer  2");
        assert_eq!(table::<1>(["name"], Vec::new()), "");
    }
}
