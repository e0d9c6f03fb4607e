//! How far a call is: one line of standard error that is written over, on a terminal alone.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use etdi::core::change::visible;
use mcp_types::ProgressNotificationParams;

use crate::ask::is_asking;
use crate::output::Output;

/// The line. A clone shows the same one; it is cleared with the last.
#[derive(Clone)]
pub struct Progress(Arc<Line>);

struct Line {
    shown: bool,
    width: Mutex<usize>,
}

/// The cells of a bar, and the longest message beside it.
const CELLS: usize = 24;
const MOST_MESSAGE: usize = 40;

impl Progress {
    /// A line that is shown where a person looks.
    pub fn new(output: Output) -> Self {
        let shown = !output.is_json() && std::io::stderr().is_terminal();
        Self(Arc::new(Line { shown, width: Mutex::new(0) }))
    }

    /// Shows a report in place of the one before.
    pub fn show(&self, report: &ProgressNotificationParams) {
        // A question has the terminal for itself.
        if self.0.shown && !is_asking() {
            self.0.write(&line(report));
        }
    }

    /// Takes the line away, for what is written next.
    pub fn clear(&self) {
        self.0.write("");
    }
}

impl Line {
    fn write(&self, text: &str) {
        let mut width = self.width.lock().unwrap_or_else(PoisonError::into_inner);
        if text.is_empty() && *width == 0 {
            return;
        }
        let mut stderr = std::io::stderr().lock();
        // Nobody is harmed when a remark does not get out.
        let _ = write!(stderr, "\r{:width$}\r{text}", "", width = *width);
        let _ = stderr.flush();
        *width = text.chars().count();
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.write("");
    }
}

fn line(report: &ProgressNotificationParams) -> String {
    let message: String =
        report.message.as_deref().unwrap_or_default().chars().take(MOST_MESSAGE).collect();
    let message = visible(&message).into_owned();
    let Some(total) = report.total.filter(|total| *total > 0.0) else {
        return format!("{} {message}", report.progress);
    };
    let part = (report.progress / total).clamp(0.0, 1.0);
    let full = (part * CELLS as f64) as usize;
    let (done, left) = ("#".repeat(full), "-".repeat(CELLS - full));
    format!("[{done}{left}] {:>3.0}% {message}", part * 100.0)
}

#[cfg(test)]
mod tests {
    use mcp_types::RequestId;

    use super::*;

    #[test]
    fn a_bar_where_the_end_is_known() {
        let report = |progress, total, message: Option<&str>| {
            let mut report = ProgressNotificationParams::new(progress, RequestId::Number(1));
            (report.total, report.message) = (total, message.map(str::to_owned));
            line(&report)
        };
        assert_eq!(
            report(1.0, Some(2.0), Some("a\u{1b}")),
            r"[############------------]  50% a\u{1b}"
        );
        assert_eq!(report(9.0, Some(2.0), None), "[########################] 100% ");
        assert_eq!(report(3.0, None, Some("pages")), "3 pages");
        assert_eq!(report(3.0, Some(0.0), None), "3 ");
        assert_eq!(report(f64::NAN, Some(2.0), None), "[------------------------] NaN% ");
    }
}
