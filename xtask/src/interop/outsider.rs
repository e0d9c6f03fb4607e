//! The first server of the README, in a package outside the workspace, as a reader would make it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::finish;
use crate::tools::{copy, write};

/// The README's server as a package: its folder, and where it is built.
pub(crate) struct Outsider {
    package: PathBuf,
    target: PathBuf,
}

impl Outsider {
    /// Writes the package into `cache`.
    pub(crate) fn write(root: &Path, cache: &Path) -> Result<Self, String> {
        let readme = fs::read_to_string(root.join("README.md"))
            .map_err(|error| format!("README.md: {error}"))?;
        let program = block(&readme, "rust").ok_or("README.md has no program in Rust")?;
        let dependencies = block(&readme, "toml").ok_or("README.md has no dependencies in TOML")?;
        let package = cache.join("outsider");
        write(&package.join("Cargo.toml"), manifest(root, dependencies).as_bytes())?;
        write(&package.join("src/main.rs"), program.as_bytes())?;
        // The versions that we test with; cargo drops what the package does not need.
        copy(&root.join("Cargo.lock"), &package.join("Cargo.lock"))?;
        Ok(Self { target: package.join("target"), package })
    }

    /// Builds it with warnings denied; gives its executable.
    pub(crate) fn build(&self, cargo: &OsStr, release: bool) -> Result<PathBuf, String> {
        let profile = if release {
            ["build", "--quiet", "--release"].as_slice()
        } else {
            &["build", "--quiet"]
        };
        let mut build = Command::new(cargo);
        finish(
            build.current_dir(&self.package).args(profile).env("CARGO_TARGET_DIR", &self.target),
        )?;
        Ok(self.target.join(if release { "release" } else { "debug" }).join("outsider"))
    }

    /// The crates that end up in the program, a line each: name and version.
    pub(crate) fn crates(&self, cargo: &OsStr) -> Result<Vec<String>, String> {
        let tree = ["tree", "--quiet", "--edges", "normal", "--prefix", "none", "--format", "{p}"];
        let output = Command::new(cargo).current_dir(&self.package).args(tree).output();
        let output = output.map_err(|error| format!("cargo tree: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let name = |line: &str| Some(line.split(' ').take(2).collect::<Vec<_>>().join(" "));
        let mut crates: Vec<String> = text.lines().filter_map(name).collect();
        crates.sort();
        crates.dedup();
        Ok(crates)
    }
}

/// The first block of the README in a language, whatever else its fence says.
fn block<'a>(readme: &'a str, language: &str) -> Option<&'a str> {
    let (_, rest) = readme.split_once(&format!("\n```{language}"))?;
    let (_, body) = rest.split_once('\n')?;
    Some(body.split_once("\n```")?.0)
}

/// The README's dependencies, with this folder in the place of the reader's clone.
fn manifest(root: &Path, dependencies: &str) -> String {
    let dependencies = dependencies.replace("\"../etdi/", &format!("\"{}/", root.display()));
    format!("{HEAD}\n{dependencies}\n")
}

const HEAD: &str = r#"[package]
name = "outsider"
version = "1.0.0"
edition = "2024"

[workspace]

[lints.rust]
warnings = "deny"

[profile.release]
strip = true
"#;
