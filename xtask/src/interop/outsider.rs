//! The first server of the README, in a package outside the workspace, as a reader would make it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::process::finish;
use super::tools::{copy, write};

/// Builds the server with warnings denied; gives its executable.
pub(super) fn build(root: &Path, cache: &Path, cargo: &OsStr) -> Result<PathBuf, String> {
    let readme = fs::read_to_string(root.join("README.md"))
        .map_err(|error| format!("README.md: {error}"))?;
    let program = block(&readme, "rust").ok_or("README.md has no program in Rust")?;
    let dependencies = block(&readme, "toml").ok_or("README.md has no dependencies in TOML")?;
    let package = cache.join("outsider");
    write(&package.join("Cargo.toml"), manifest(root, dependencies).as_bytes())?;
    write(&package.join("src/main.rs"), program.as_bytes())?;
    // The versions that we test with; cargo drops what the package does not need.
    copy(&root.join("Cargo.lock"), &package.join("Cargo.lock"))?;
    let target = package.join("target");
    let mut build = Command::new(cargo);
    finish(
        build.current_dir(&package).args(["build", "--quiet"]).env("CARGO_TARGET_DIR", &target),
    )?;
    Ok(target.join("debug/outsider"))
}

/// The first block of the README in a language, whatever else its fence says.
fn block<'a>(readme: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = readme.split_once(&format!("\n```{language}"))?;
    let (_, body) = rest.split_once('\n')?;
    Some(body.split_once("\n```")?.0)
}

/// The README's dependencies, those of ours from this folder instead of a registry.
fn manifest(root: &Path, dependencies: &str) -> String {
    let ours = [
        ("mcp-server", "crates/mcp-server"),
        ("mcp-transport", "crates/mcp-transport"),
        ("mcp-types", "crates/mcp-types"),
        ("mcp-macros", "macros"),
    ];
    let patches = ours.map(|(name, folder)| {
        format!("{name}.path = {:?}\n", root.join(folder).display().to_string())
    });
    format!("{HEAD}\n{dependencies}\n\n[patch.crates-io]\n{}", patches.concat())
}

const HEAD: &str = r#"[package]
name = "outsider"
version = "1.0.0"
edition = "2024"

[workspace]

[lints.rust]
warnings = "deny"
"#;
