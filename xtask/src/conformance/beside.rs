//! The suite's server scenarios through `etdi guard`, and on several nodes: a server loses no mark by either.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::Command;

use super::judge::{self, Verdict};
use crate::process::Listening;

/// Starts a guard before the server at `port`. It has seen nothing before, and what it says stands
/// in `results`.
pub(super) fn guard(etdi: &Path, port: u16, results: &Path) -> Result<Listening, String> {
    let log = File::create(results.join("guard.log")).map_err(|error| error.to_string())?;
    Listening::start(|own| {
        let mut command = Command::new(etdi);
        command.args(["guard", "--trust-first-use", "--http", &format!("127.0.0.1:{own}"), "--"]);
        command.arg(format!("http://127.0.0.1:{port}/mcp"));
        command.env("ETDI_HOME", results.join("home")).stderr(log);
        command
    })
}

/// Adds to each verdict which checks succeed more often at the server alone, whose results are in `bare`,
/// than here.
pub(super) fn compare(verdicts: &mut [Verdict], bare: &Path, here: &Path) {
    for verdict in verdicts {
        let marks = |results| judge::succeeded(&verdict.scenario, results);
        verdict.why.extend(lost(&marks(bare), &marks(here)));
    }
}

/// What is there more often in `before` than in `after`.
fn lost(before: &BTreeMap<String, usize>, after: &BTreeMap<String, usize>) -> Vec<String> {
    let left = |check| after.get(check).copied().unwrap_or_default();
    let missing = before.iter().filter(|&(check, times)| left(check) < *times);
    let said = missing.map(|(check, times)| {
        let left = left(check);
        format!("LOST {check}: it succeeds {times} times at the server alone, {left} here")
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_that_is_lost_is_told() {
        let marks = |marks: &[(&str, usize)]| {
            marks.iter().map(|&(check, times)| (check.to_owned(), times)).collect()
        };
        let bare = marks(&[("a", 2), ("b", 1)]);
        assert_eq!(lost(&bare, &bare), [""; 0]);
        assert_eq!(lost(&bare, &marks(&[("a", 3), ("b", 1), ("c", 1)])), [""; 0]);
        let said = lost(&bare, &marks(&[("a", 1)]));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("LOST a: it succeeds 2 times at the server alone, 1 here"));
        assert!(said[1].contains("LOST b"));
    }
}
