//! `cargo xtask ci`: every check that needs nothing but the compiler.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Crates that people import one by one; each must build alone.
const ALONE: &[&str] = &[
    "mcp-types",
    "mcp-transport",
    "mcp-server",
    "mcp-client",
    "mcp-macros",
    "etdi-core",
    "etdi-oauth",
    "etdi",
    "etdi-cli",
];

/// Runs all checks, one after the other; each says how long it took.
///
/// # Errors
///
/// The first check that failed, with the command to run it alone.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    step(root, &["fmt", "--all", "--check"], &[])?;
    timed("tidy", || crate::tidy::run(root))?;
    timed("corpus", || crate::corpus::run(root))?;
    timed("codegen --check", || crate::codegen::run(root, true))?;
    let everything = ["clippy", "--workspace", "--all-targets", "--all-features", "--quiet"];
    step(root, &[&everything[..], &["--", "-D", "warnings"]].concat(), &[])?;
    for name in ALONE {
        step(root, &["check", "--quiet", "-p", name], &[])?;
        step(root, &["check", "--quiet", "-p", name, "--no-default-features"], &[])?;
        for feature in features(root, name)? {
            let only = ["check", "--quiet", "-p", name, "--no-default-features", "--features"];
            step(root, &[&only[..], &[&feature]].concat(), &[])?;
        }
    }
    let docs = ["doc", "--workspace", "--no-deps", "--all-features", "--quiet"];
    step(root, &docs, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// The features of a crate of ours, but `default`; each must build without the others.
fn features(root: &Path, name: &str) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--format-version", "1"];
    let output = Command::new(cargo).current_dir(root).args(arguments).output();
    let output = output.map_err(|error| format!("`cargo metadata` cannot run: {error}"))?;
    let found: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`cargo metadata` printed no JSON: {error}"))?;
    let packages = found
        .get("packages")
        .and_then(|all| all.as_array())
        .ok_or("`cargo metadata` names no packages")?;
    let package = packages.iter().find(|package| package.get("name").is_some_and(|it| it == name));
    let features = package.and_then(|package| package.get("features")?.as_object());
    let features = features.ok_or_else(|| format!("there is no package `{name}`"))?;
    Ok(features.keys().filter(|feature| *feature != "default").cloned().collect())
}

/// Runs one cargo command.
pub(crate) fn step(
    root: &Path,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), String> {
    let shown = format!("cargo {}", arguments.join(" "));
    timed(&shown, || {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.current_dir(root).args(arguments).envs(environment.iter().copied());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("`{shown}` ended with {status}")),
            Err(error) => Err(format!("`{shown}` cannot run: {error}")),
        }
    })
}

pub(crate) fn timed(name: &str, check: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let start = Instant::now();
    println!("ci: {name}");
    check()?;
    println!("ci: {name}: ok in {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
