//! A server as a package, or an example, that Cargo builds.

mod metadata;
mod shadow;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use etdi::core::change::visible;
use serde_json::Value;

use self::metadata::Metadata;
use self::shadow::Shadow;
use crate::args::BuildArguments;
use crate::arguments::nearest;
use crate::exit::{Exit, Failure};
use crate::verbs::target::quoted;

/// What is to be built.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    place: Place,
    pick: Pick,
}

/// Where the package is.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    Folder(PathBuf),
    /// A package of the workspace here.
    Package(String),
    Here,
}

/// Which program of the package is meant.
#[derive(Clone, Debug, PartialEq)]
enum Pick {
    Any,
    Binary(String),
    Example(String),
}

/// The program that finds packages and builds them.
fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

impl Wanted {
    /// Reads `cargo:PACKAGE`, `cargo:PACKAGE/BINARY`, `example:NAME`, or a folder with a `Cargo.toml`;
    /// None for what is no package.
    ///
    /// # Errors
    ///
    /// When a name is none that Cargo knows.
    pub fn read(word: &str) -> Result<Option<Self>, Failure> {
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
            return Ok(Some(Self { place: Place::Here, pick: Pick::Example(named(name)?) }));
        }
        if let Some(name) = word.strip_prefix("cargo:") {
            let (package, pick) = match name.split_once('/') {
                Some((package, binary)) => (package, Pick::Binary(named(binary)?)),
                None => (name, Pick::Any),
            };
            return Ok(Some(Self { place: Place::Package(named(package)?), pick }));
        }
        let path = Path::new(word);
        let folder = match path.file_name().is_some_and(|name| name == "Cargo.toml") {
            true => path.parent().unwrap_or(Path::new("")),
            false => path,
        };
        let is_folder = folder.join("Cargo.toml").is_file() && (path.is_dir() || path.is_file());
        Ok(is_folder.then(|| Self::folder(folder)))
    }

    /// The package in a folder.
    pub fn folder(folder: &Path) -> Self {
        Self { place: Place::Folder(super::absolute(folder)), pick: Pick::Any }
    }

    /// One binary, or one example, of several; the same without either.
    #[must_use]
    pub fn only(mut self, binary: Option<&str>, example: Option<&str>) -> Self {
        match (binary, example) {
            (Some(binary), _) => self.pick = Pick::Binary(binary.to_owned()),
            (None, Some(example)) => self.pick = Pick::Example(example.to_owned()),
            (None, None) => {}
        }
        self
    }

    /// Where its sources are.
    pub fn sources(&self) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => folder.clone(),
            Place::Package(_) | Place::Here => PathBuf::from("."),
        }
    }

    /// Makes all ready for a build.
    ///
    /// # Errors
    ///
    /// When what is to be added cannot be.
    pub fn prepare(&self, how: &BuildArguments) -> Result<Build, Failure> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(OsString::from));
        add(&["build"]);
        if how.release {
            add(&["--release"]);
        }
        match &self.pick {
            Pick::Any => {}
            Pick::Binary(name) => add(&["--bin", name]),
            Pick::Example(name) => add(&["--example", name]),
        }
        if how.changes() {
            let metadata = Metadata::read(&self.place)?;
            let package = metadata.package(&self.place, &self.pick)?;
            let shadow = Shadow::make(&metadata, package, how)?;
            arguments.extend(shadow.arguments());
        } else {
            match &self.place {
                Place::Folder(folder) => {
                    arguments.push("--manifest-path".into());
                    arguments.push(folder.join("Cargo.toml").into());
                }
                Place::Package(package) => {
                    arguments.extend(["--package".into(), package.into()]);
                }
                Place::Here => {}
            }
        }
        Ok(Build { wanted: self.clone(), arguments })
    }

    /// Builds it, and gives the path of the program. What Cargo has to say goes to standard error.
    ///
    /// # Errors
    ///
    /// When there is no Cargo, it does not build, or there are several programs.
    pub(super) fn build(&self, how: &BuildArguments) -> Result<String, Failure> {
        let build = self.prepare(how)?;
        let mut command = build.command();
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        let output = command.output();
        let output = output.map_err(|error| build.failed(&format!("cannot be built: {error}")))?;
        match output.status.success() {
            true => build.program(&String::from_utf8_lossy(&output.stdout)),
            false => Err(build.failed("does not build: see what Cargo says above")),
        }
    }

    /// What it is called where it fails.
    fn shown(&self) -> String {
        match (&self.place, &self.pick) {
            (Place::Folder(folder), _) => folder.display().to_string(),
            (Place::Package(package), _) => package.clone(),
            (Place::Here, Pick::Example(name) | Pick::Binary(name)) => name.clone(),
            (Place::Here, Pick::Any) => "the package here".to_owned(),
        }
    }
}

/// A build that is ready to be done, once or again and again.
#[derive(Clone, Debug)]
pub struct Build {
    wanted: Wanted,
    arguments: Vec<OsString>,
}

impl Build {
    /// The command that does it. Its standard output is for [`Build::program`].
    pub fn command(&self) -> Command {
        let mut command = cargo();
        command.args(&self.arguments).arg("--message-format=json-render-diagnostics");
        command
    }

    /// Why there is no program, and the command that shows it again.
    pub fn failed(&self, what: &str) -> Failure {
        let message = format!("`{}` {what}", visible(&self.wanted.shown()));
        let words = self.arguments.iter().map(|word| quoted(&word.to_string_lossy()));
        let again = format!("cargo {}", words.collect::<Vec<_>>().join(" "));
        Failure::new(Exit::Unreachable, message, again).with_code("NOT_BUILT")
    }

    /// The path of the program, from what the command printed.
    ///
    /// # Errors
    ///
    /// When there is none, or several of which none is named.
    pub fn program(&self, said: &str) -> Result<String, Failure> {
        let Wanted { place, pick } = &self.wanted;
        let mut built = executables(said, matches!(pick, Pick::Example(_)));
        let folder = match place {
            Place::Folder(folder) => folder.file_name().and_then(|name| name.to_str()),
            _ => None,
        };
        if built.len() > 1
            && let Some(name) = folder
            && built.iter().any(|(binary, _)| binary == name)
        {
            built.retain(|(binary, _)| binary == name);
        }
        match built.as_slice() {
            [(_, path)] => Ok(path.clone()),
            [] => Err(self.failed("has no program, only a library")),
            several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                let near = nearest(&self.wanted.shown(), names.iter().copied());
                let hint = near.unwrap_or("BINARY");
                let what = format!(
                    "has several programs, {}: name one as `cargo:PACKAGE/{hint}`",
                    names.join(", ")
                );
                Err(self.failed(&what))
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
        let package =
            |name: &str, pick| Some(Wanted { place: Place::Package(name.to_owned()), pick });
        let serve = Pick::Binary("serve".to_owned());
        assert_eq!(read("cargo:notes").unwrap(), package("notes", Pick::Any));
        assert_eq!(read("cargo:notes/serve").unwrap(), package("notes", serve));
        let signed = Wanted { place: Place::Here, pick: Pick::Example("signed".to_owned()) };
        assert_eq!(read("example:signed").unwrap(), Some(signed));
        assert!(read("cargo:--config=x").is_err());
        assert_eq!(read("npx").unwrap(), None);
        let here = read(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert_eq!(here, Some(Wanted::folder(Path::new(env!("CARGO_MANIFEST_DIR")))));
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
        let build = Wanted::folder(Path::new("/src/a")).prepare(&BuildArguments::default());
        let build = build.unwrap();
        assert_eq!(build.program(&text).unwrap(), "/t/b");
        assert!(build.program("").unwrap_err().message.contains("only a library"));
        let two = format!("{text}\n{}", line("bin", "d", r#""/t/d""#));
        assert!(build.program(&two).unwrap_err().message.contains("several programs, b, d"));
    }
}
