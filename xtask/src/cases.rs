//! What an ordinary test run does in small: property tests with 100,000 cases, ten million canonical
//! numbers, a million steps of the approval store beside its model, 5,000 damaged definitions, three nodes
//! on Redis, and each fuzz target for a minute.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::ci::{step, timed};

/// The tests that heed the two variables, by the start of their names.
const FILTERS: [&str; 5] =
    ["canonical::", "permission::", "change::tests::properties", "chain::", "store::tests::model"];

/// Runs the property tests and the numbers of `etdi-core` at their full length, and what damaged definitions
/// cost.
///
/// # Errors
///
/// When one of them fails.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let test = ["test", "--release", "-p", "etdi-core", "--lib", "--"];
    let variables = [("PROPTEST_CASES", "100000"), ("ETDI_LONG", "1")];
    step(root, &[&test[..], &FILTERS].concat(), &variables)?;
    let cost = ["test", "--release", "-p", "etdi-core", "--test", "cost", "--", "--nocapture"];
    step(root, &cost, &variables)
}

/// Has three nodes on Redis take the same signed call at once 10,000 times, and one of them die during a
/// thousand calls, tasks and streams.
///
/// # Errors
///
/// When one of the tests fails; there has to be a `redis-server`.
pub(crate) fn nodes(root: &Path) -> Result<(), String> {
    step(root, &["build", "--release", "-p", "examples", "--example", "cluster"], &[])?;
    // One after the other, so that what they print is what a node takes by itself.
    let test = ["test", "--release", "-p", "examples", "--test", "cluster", "--"];
    let words = ["--nocapture", "--test-threads", "1"];
    step(root, &[&test[..], &words].concat(), &[("ETDI_LONG", "1")])
}

/// Gives each fuzz target so many seconds.
///
/// # Errors
///
/// When there is no `cargo fuzz`, or a target found something: the file that it names makes it
/// happen again, and belongs into `fuzz/seeds` once it is mended.
pub(crate) fn fuzz(root: &Path, seconds: u32) -> Result<(), String> {
    let fuzz = root.join("fuzz");
    let failed = |error: std::io::Error| format!("`{}`: {error}", fuzz.display());
    let mut names = Vec::new();
    for file in fs::read_dir(fuzz.join("seeds")).map_err(failed)? {
        names.push(file.map_err(failed)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    for name in names {
        let (corpus, seeds) = (format!("corpus/{name}"), format!("seeds/{name}"));
        fs::create_dir_all(fuzz.join(&corpus)).map_err(failed)?;
        timed(&format!("cargo fuzz run {name}"), || {
            let mut cargo = Command::new("cargo");
            // Lets the compiler of the workspace take libFuzzer's flags.
            cargo.current_dir(&fuzz).env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["fuzz", "run", "-s", "none", "--features", "libfuzzer"]);
            cargo.args([name.as_str(), &corpus, &seeds, "--", "-timeout=10"]);
            match cargo.arg(format!("-max_total_time={seconds}")).status() {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(format!(
                    "`{name}` ended with {status}; `cargo install cargo-fuzz` if there is none"
                )),
                Err(error) => Err(format!("`cargo` cannot run: {error}")),
            }
        })?;
    }
    Ok(())
}
