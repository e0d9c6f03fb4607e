//! Counts instructions: the same on a busy machine as on a quiet one.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// How many instructions this program takes with `arguments`, which `run` starts.
///
/// # Errors
///
/// `valgrind` cannot run, the program failed, or no count was written.
pub fn instructions(
    arguments: &[&str],
    run: impl FnOnce(Command) -> anyhow::Result<String>,
) -> anyhow::Result<u64> {
    let counts = std::env::temp_dir().join(format!("count-{}.callgrind", std::process::id()));
    let mut command = Command::new("valgrind");
    command
        .arg("--tool=callgrind")
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(std::env::current_exe()?)
        .args(arguments);
    run(command).context("is valgrind installed?")?;
    let total = total(&counts);
    std::fs::remove_file(&counts)?;
    total
}

fn total(counts: &Path) -> anyhow::Result<u64> {
    let text = std::fs::read_to_string(counts)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    let total = total.context("callgrind wrote no totals")?;
    total.trim().parse().context("callgrind's totals are not a number")
}
