//! Our own programs, built for what tries them from outside.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::finish;

/// How the programs are built.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As users have them.
    Release,
    /// As `cargo test --workspace --all-features` builds them, after which nothing is left to build.
    Debug,
}

/// The folder where programs that were built lie.
pub(crate) struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Builds programs of `examples`, and `etdi` if `command` says so.
    ///
    /// # Errors
    ///
    /// That they do not build.
    pub(crate) fn build(
        root: &Path,
        profile: Profile,
        examples: &[&str],
        command: bool,
    ) -> Result<Programs, String> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let build = |arguments: &[&str], words: &[&str]| {
            let mut build = Command::new(&cargo);
            finish(build.current_dir(root).args(["build", "--quiet"]).args(arguments).args(words))
        };
        let named: Vec<&str> = examples.iter().flat_map(|one| ["--example", one]).collect();
        let etdi: &[&str] = if command { &["--bin", "etdi"] } else { &[] };
        let folder = match profile {
            Profile::Release => {
                if !named.is_empty() {
                    build(&["--release", "-p", "examples"], &named)?;
                }
                if command {
                    build(&["--release", "-p", "etdi-cli"], etdi)?;
                }
                "release"
            }
            Profile::Debug => {
                // Chosen from all packages at once, so that features are those of the tests.
                build(&["--workspace", "--all-features"], &[&named[..], etdi].concat())?;
                "debug"
            }
        };
        Ok(Programs { folder: target(root).join(folder) })
    }

    /// The command `etdi`.
    pub(crate) fn etdi(&self) -> PathBuf {
        self.folder.join("etdi")
    }

    /// A program of `examples`.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        self.folder.join("examples").join(name)
    }
}

/// Where cargo puts what it builds.
pub(crate) fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir))
}
