//! A server as a package, or an example, that Cargo builds.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etdi::core::change::visible;
use serde_json::Value;

use crate::arguments::nearest;
use crate::exit::{Exit, Failure};
use crate::verbs::target::quoted;

/// What is to be built.
#[derive(Debug, PartialEq)]
pub(super) enum Wanted {
    /// The binary of the package in a folder, which is named where there are several.
    Folder(PathBuf, Option<String>),
    /// A package of the workspace here, and its binary.
    Package(String, Option<String>),
    /// An example of the package here.
    Example(String),
}

impl Wanted {
    /// Reads `cargo:PACKAGE`, `cargo:PACKAGE/BINARY`, `example:NAME`, or a folder with a `Cargo.toml`.
    pub(super) fn read(word: &str) -> Result<Option<Self>, Failure> {
        let named = |name: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            match !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
                true => Ok(name.to_owned()),
                false => {
                    let message = format!("`{}` is no name that Cargo knows", visible(name));
                    Err(Failure::usage(message, "cargo metadata --no-deps"))
                }
            }
        };
        if let Some(name) = word.strip_prefix("example:") {
            return Ok(Some(Self::Example(named(name)?)));
        }
        if let Some(name) = word.strip_prefix("cargo:") {
            let (package, binary) = match name.split_once('/') {
                Some((package, binary)) => (package, Some(named(binary)?)),
                None => (name, None),
            };
            return Ok(Some(Self::Package(named(package)?, binary)));
        }
        let path = Path::new(word);
        let folder = match path.file_name().is_some_and(|name| name == "Cargo.toml") {
            true => path.parent().unwrap_or(Path::new("")),
            false => path,
        };
        let is_folder = folder.join("Cargo.toml").is_file() && (path.is_dir() || path.is_file());
        Ok(is_folder.then(|| Self::Folder(super::absolute(folder), None)))
    }

    /// Builds it, and gives the path of the program. What Cargo has to say goes to standard error.
    ///
    /// # Errors
    ///
    /// When there is no Cargo, it does not build, or there are several programs.
    pub(super) fn build(&self) -> Result<String, Failure> {
        let mut command = Command::new("cargo");
        command.args(["build", "--message-format=json-render-diagnostics"]);
        let (place, binary) = match self {
            Self::Folder(folder, binary) => {
                command.arg("--manifest-path").arg(folder.join("Cargo.toml"));
                (folder.display().to_string(), binary)
            }
            Self::Package(package, binary) => {
                command.args(["--package", package]);
                (package.clone(), binary)
            }
            Self::Example(name) => {
                command.args(["--example", name]);
                (name.clone(), &None)
            }
        };
        if let Some(binary) = binary {
            command.args(["--bin", binary]);
        }
        let words: Vec<_> =
            command.get_args().map(|word| quoted(&word.to_string_lossy())).collect();
        let again = format!(
            "cargo {}",
            words.join(" ").replace(" --message-format=json-render-diagnostics", "")
        );
        let failed = |what: String| {
            let message = format!("`{}` {what}", visible(&place));
            Failure::new(Exit::Unreachable, message, again.clone()).with_code("NOT_BUILT")
        };
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output =
            command.output().map_err(|error| failed(format!("cannot be built: {error}")))?;
        if !output.status.success() {
            return Err(failed("does not build: see what Cargo says above".to_owned()));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let wants_example = matches!(self, Self::Example(_));
        let mut built = executables(&text, wants_example);
        let folder = match self {
            Self::Folder(folder, _) => Some(folder.as_path()),
            _ => None,
        };
        if built.len() > 1
            && let Some(name) = folder.and_then(Path::file_name).and_then(|name| name.to_str())
            && built.iter().any(|(binary, _)| binary == name)
        {
            built.retain(|(binary, _)| binary == name);
        }
        match built.as_slice() {
            [(_, path)] => Ok(path.clone()),
            [] => Err(failed("has no program, only a library".to_owned())),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                let hint = nearest(&place, names.iter().copied()).unwrap_or("BINARY");
                let what = format!(
                    "has several programs, {}: name one as `cargo:PACKAGE/{hint}`",
                    names.join(", ")
                );
                Err(failed(what))
            }
        }
    }
}

/// The programs of the packages that were asked for: what Cargo says it made, one object a line.
fn executables(text: &str, example: bool) -> Vec<(String, String)> {
    let kind = if example { "example" } else { "bin" };
    let made = text.lines().filter_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let target = line.get("target")?;
        let kinds = target.get("kind")?.as_array()?;
        let is_one =
            line.get("reason")? == "compiler-artifact" && kinds.iter().any(|one| one == kind);
        let path = line.get("executable")?.as_str().filter(|_| is_one)?;
        Some((target.get("name")?.as_str()?.to_owned(), path.to_owned()))
    });
    made.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_examples_are_named() {
        let read = |word: &str| Wanted::read(word);
        let package = |name: &str, binary: Option<&str>| {
            Some(Wanted::Package(name.to_owned(), binary.map(ToOwned::to_owned)))
        };
        assert_eq!(read("cargo:notes").unwrap(), package("notes", None));
        assert_eq!(read("cargo:notes/serve").unwrap(), package("notes", Some("serve")));
        assert_eq!(read("example:signed").unwrap(), Some(Wanted::Example("signed".to_owned())));
        assert!(read("cargo:--config=x").is_err());
        assert_eq!(read("npx").unwrap(), None);
        let here = read(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert!(matches!(here, Some(Wanted::Folder(folder, None)) if folder.ends_with("etdi-cli")));
    }

    #[test]
    fn what_was_built_is_found() {
        let line = |kind: &str, name: &str, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"kind":["{kind}"],"name":"{name}"}},"executable":{executable}}}"#
            )
        };
        let text = [
            line("lib", "a", "null"),
            "warning: not JSON".to_owned(),
            line("bin", "b", r#""/t/b""#),
            line("example", "c", r#""/t/c""#),
        ]
        .join("\n");
        assert_eq!(executables(&text, false), [("b".to_owned(), "/t/b".to_owned())]);
        assert_eq!(executables(&text, true), [("c".to_owned(), "/t/c".to_owned())]);
    }
}
