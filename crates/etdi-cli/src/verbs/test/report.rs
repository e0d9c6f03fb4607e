//! What came of the steps: for people, for programs, as JUnit writes it, and as GitHub shows it.

use std::fmt::Write as _;
use std::path::Path;

use etdi::core::change::visible;
use serde_json::{Value, json};

use crate::output::style;
use crate::verbs::test::take::Run;

/// How many steps failed, in all runs.
pub fn failed(runs: &[Run]) -> usize {
    runs.iter().flat_map(|run| &run.steps).filter(|step| !step.failures.is_empty()).count()
}

/// For programs.
pub fn data(runs: &[Run]) -> Value {
    let run = |run: &Run| {
        let steps = run.steps.iter().map(|step| {
            json!({
                "name": step.name, "ok": step.failures.is_empty(),
                "ms": u64::try_from(step.took.as_millis()).unwrap_or(u64::MAX),
                "failures": step.failures,
            })
        });
        json!({ "revision": run.revision, "steps": steps.collect::<Vec<_>>() })
    };
    let failed = failed(runs);
    let all: usize = runs.iter().map(|run| run.steps.len()).sum();
    json!({
        "passed": all - failed, "failed": failed,
        "runs": runs.iter().map(run).collect::<Vec<_>>(),
    })
}

/// For people.
pub fn text(runs: &[Run]) -> String {
    let (good, bad, bold) = (style::GOOD, style::BAD, style::BOLD);
    let mut text = String::new();
    for run in runs {
        let _ = writeln!(text, "{bold}{}{bold:#}", run.revision);
        for step in &run.steps {
            let mark = match step.failures.is_empty() {
                true => format!("{good}ok{good:#}    "),
                false => format!("{bad}failed{bad:#}"),
            };
            let (name, took) = (visible(&step.name), step.took.as_millis());
            let _ = writeln!(text, "  {mark} {name} ({took} ms)");
            for failure in &step.failures {
                let _ = writeln!(text, "         {}", visible(failure));
            }
        }
    }
    let failed = failed(runs);
    let all: usize = runs.iter().map(|run| run.steps.len()).sum();
    let _ = write!(text, "{} of {all} steps as expected", all - failed);
    text
}

/// As JUnit writes it: a suite for each revision.
pub fn junit(file: &Path, runs: &[Run]) -> String {
    let file = file.display().to_string();
    let all: usize = runs.iter().map(|run| run.steps.len()).sum();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"{}\" tests=\"{all}\" \
         failures=\"{}\">\n",
        attribute(&file),
        failed(runs)
    );
    for run in runs {
        let failures = failed(std::slice::from_ref(run));
        let name = attribute(&format!("{file} {}", run.revision));
        let tests = run.steps.len();
        let _ = writeln!(
            text,
            "  <testsuite name=\"{name}\" tests=\"{tests}\" failures=\"{failures}\">"
        );
        for step in &run.steps {
            let case = attribute(&step.name);
            let took = step.took.as_secs_f64();
            let head = format!("<testcase classname=\"{name}\" name=\"{case}\" time=\"{took:.3}\"");
            if step.failures.is_empty() {
                let _ = writeln!(text, "    {head}/>");
                continue;
            }
            let _ = writeln!(text, "    {head}>");
            for failure in &step.failures {
                let _ = writeln!(text, "      <failure message=\"{}\"/>", attribute(failure));
            }
            text.push_str("    </testcase>\n");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A text between the quotes of an attribute; what cannot stand in XML is shown.
fn attribute(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// One annotation for each thing that is not as expected.
pub fn github(file: &Path, runs: &[Run]) -> Vec<String> {
    let path = file.to_string_lossy();
    let mut lines = Vec::new();
    for run in runs {
        for step in &run.steps {
            for failure in &step.failures {
                lines.push(format!(
                    "::error file={},title={}::{}",
                    property(&path),
                    property(&format!("{} ({})", step.name, run.revision)),
                    message(failure)
                ));
            }
        }
    }
    lines
}

/// A text in a command of GitHub's runner; one that a server chose must not become a second command.
fn message(text: &str) -> String {
    visible(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::verbs::test::take::Taken;

    #[test]
    fn what_a_server_says_stays_in_its_place() {
        let failures = vec!["lacks `x`: \"><evil/>\n::set-env name=PATH::/tmp%0A".to_owned()];
        let step = Taken { name: "a,b: \u{1b}[2K".to_owned(), took: Duration::ZERO, failures };
        let runs = [Run { revision: "r".to_owned(), steps: vec![step] }];
        let junit = junit(Path::new("t.json"), &runs);
        assert!(!junit.contains("<evil/>") && !junit.contains('\u{1b}'), "{junit}");
        assert_eq!(junit.matches("<failure ").count(), 1);
        let lines = github(Path::new("t.json"), &runs);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("::error file=t.json,title=a%2Cb%3A "), "{}", lines[0]);
        assert!(!lines[0].contains('\n') && lines[0].ends_with("/tmp%250A"), "{}", lines[0]);
    }
}
