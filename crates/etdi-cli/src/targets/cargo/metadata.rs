//! What Cargo knows of a workspace.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use etdi::core::change::visible;
use serde::Deserialize;

use super::{Pick, Place, cargo};
use crate::exit::{Exit, Failure};
use crate::verbs::target::shown_path;

/// A workspace, as `cargo metadata` tells of it.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    /// The folder of its `Cargo.toml`.
    pub(super) workspace_root: PathBuf,
    /// Where it is built.
    pub(super) target_directory: PathBuf,
    /// Its members.
    pub(super) packages: Vec<Package>,
}

/// A member of a workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// Its `Cargo.toml`.
    pub(super) manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Metadata {
    /// Asks Cargo.
    pub(super) fn read(place: &Place) -> Result<Self, Failure> {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        let mut again = "cargo metadata --no-deps --format-version 1".to_owned();
        if let Place::Folder(folder) = place {
            let manifest = folder.join("Cargo.toml");
            command.arg("--manifest-path").arg(&manifest);
            again = format!("{again} --manifest-path {}", shown_path(&manifest));
        }
        let failed = |what: String| {
            Failure::new(Exit::Unreachable, what, again.as_str()).with_code("NOT_BUILT")
        };
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command
            .output()
            .map_err(|error| failed(format!("cargo cannot be started: {error}")))?;
        if !output.status.success() {
            return Err(failed("the package cannot be read: see what Cargo says above".to_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| {
            failed(format!("what Cargo says of the package is not known: {error}"))
        })
    }

    /// The package that is meant.
    pub(super) fn package(&self, place: &Place, pick: &Pick) -> Result<&Package, Failure> {
        let is_it = |package: &&Package| match (place, pick) {
            (Place::Folder(folder), _) => {
                is_same(&folder.join("Cargo.toml"), &package.manifest_path)
            }
            (Place::Package(name), _) => *name == package.name,
            (Place::Here, Pick::Example(name)) => package.has(name, "example"),
            (Place::Here, Pick::Binary(name)) => package.has(name, "bin"),
            (Place::Here, Pick::Any) => self.packages.len() == 1,
        };
        self.packages.iter().find(is_it).ok_or_else(|| {
            let names: Vec<_> = self.packages.iter().map(|one| visible(&one.name)).collect();
            let message = format!(
                "it is not clear to which package a dependency is to be added: write one as \
                 `cargo:PACKAGE`; there are {}",
                names.join(", ")
            );
            Failure::usage(message, "cargo metadata --no-deps")
        })
    }
}

impl Package {
    fn has(&self, name: &str, kind: &str) -> bool {
        let is_it =
            |target: &Target| target.name == name && target.kind.iter().any(|one| one == kind);
        self.targets.iter().any(is_it)
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    one == other
        || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}
