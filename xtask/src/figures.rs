//! `cargo xtask figures`: what a reader's first server weighs, and what a call costs, as gates.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use crate::interop::outsider::Outsider;
use crate::programs::target;

/// The most crates that a server of two tools may pull in.
const CRATES: usize = 70;
/// The most bytes of its stripped release binary.
const BYTES: u64 = 3_000_000;

/// The programs of `benches` that fail above their limits.
const GATES: &[(&str, &[&str])] =
    &[("gates", &[]), ("thousand", &["--gate"]), ("calls", &["--gate"])];

/// Measures the README's server, then runs the gates of `benches`.
///
/// # Errors
///
/// The figures that are over their limit.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let outsider = Outsider::write(root, &target(root).join("figures"))?;
    let crates = outsider.crates(&cargo)?;
    println!("figures: the README's server: {} crates (limit {CRATES})", crates.len());
    if crates.len() > CRATES {
        return Err(format!("too many crates:\n{}", crates.join("\n")));
    }
    if let Some(ring) = crates.iter().find(|name| name.starts_with("ring ")) {
        return Err(format!("`{ring}` is in the tree of a server that signs nothing"));
    }
    let program = outsider.build(&cargo, true)?;
    let bytes = fs::metadata(&program).map_err(|e| format!("{}: {e}", program.display()))?.len();
    println!("figures: the README's server: {bytes} bytes, release and stripped (limit {BYTES})");
    if bytes > BYTES {
        return Err(format!("{} is too large", program.display()));
    }
    for (bin, gate) in GATES {
        let run = ["run", "--release", "--quiet", "-p", "benches", "--bin", bin, "--"];
        match Command::new(&cargo).current_dir(root).args(run).args(*gate).status() {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("`{bin}` of `benches` ended with {status}")),
            Err(error) => return Err(format!("`{bin}` of `benches` cannot run: {error}")),
        }
    }
    Ok(())
}
