//! What is approved while nobody sits at a terminal.
//!
//! Whoever reads a refusal may be a model with a shell. What it can type from there approves the first
//! use of a server, and overrides nothing: neither a change, nor an alarm, nor the scanner, nor a
//! withdrawal. More than that takes a person, at a terminal or beforehand in `unattended.json` of the
//! home, which `etdi approvals unattended` writes. No refusal names it.
//!
//! What this does not hold against is in `docs/approvals.md`: a program with the rights of its user can
//! open a pseudo-terminal and write that file.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::Path;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ask::{Asker, agreed};
use crate::exit::{Exit, Failure};
use crate::home::{Home, create_private_directory};
use crate::output::{Output, Report};
use crate::verbs::target::{block_on, shown_path};

/// What a yes approves that was said beforehand, where nobody can be asked.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Unattended {
    /// Nothing at all.
    Nothing,
    /// The tools of a server of which nothing is known, unless they are suspicious to the scanner.
    #[default]
    FirstUse,
    /// What a person at the terminal could approve, alarms by options of their own.
    Everything,
}

impl Unattended {
    fn word(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::FirstUse => "first-use",
            Self::Everything => "everything",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Nothing => {
                "without a terminal `--yes` and `--trust-first-use` approve nothing; a guard still asks by the \
                 forms of its client, unless `--no-elicitation` says otherwise"
            }
            Self::FirstUse => {
                "without a terminal `--yes` approves the tools of a server of which nothing is known, unless they \
                 look like another's or are suspicious to the scanner"
            }
            Self::Everything => {
                "without a terminal `--yes` approves as at one, and the options that override alarms count"
            }
        }
    }
}

/// The file, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Setting {
    approve: Unattended,
}

const FILE: &str = "unattended.json";

/// What counts for this process; `None` where a person sits at the terminal.
pub fn here(home: &Home, output: Output) -> Option<Unattended> {
    if output.can_ask() { None } else { Some(set(home, output)) }
}

/// What counts where nobody sits at a terminal. What cannot be read for certain allows nothing, and is
/// told.
pub fn set(home: &Home, output: Output) -> Unattended {
    read(home).unwrap_or_else(|fault| {
        output.warn(&format!("{}, so nothing is", fault.message));
        Unattended::Nothing
    })
}

/// Refuses what overrides a decision or a warning where nobody sits at a terminal and no person allowed
/// it beforehand.
///
/// # Errors
///
/// When that is so. `what` is the subject of the sentence, `next` what a
/// person may type.
pub fn needs_a_person(
    home: &Home,
    output: Output,
    what: &str,
    next: String,
) -> Result<(), Failure> {
    match here(home, output) {
        None | Some(Unattended::Everything) => Ok(()),
        Some(_) => Err(nobody(what, next)),
    }
}

/// An act that overrides a decision.
pub struct Act<'a> {
    /// The subject of the sentence that refuses it.
    pub what: &'a str,
    /// What a person is told before they say yes.
    pub text: String,
    /// The question.
    pub ask: &'static str,
    /// What a person may type.
    pub next: String,
}

/// The same as [`needs_a_person`], and a person who sits there is asked: that there is a terminal does not
/// say that somebody looks at it.
///
/// # Errors
///
/// When nobody sits there and it was not allowed beforehand, or the answer is no.
pub fn agreed_to(home: &Home, output: Output, act: Act<'_>) -> Result<(), Failure> {
    let Act { what, text, ask, next } = act;
    needs_a_person(home, output, what, next.clone())?;
    if !output.can_ask() {
        return Ok(());
    }
    match block_on(async { Ok(agreed(Asker::Terminal, text, ask).await) })? {
        true => Ok(()),
        false => Err(Failure::new(Exit::Refused, "it stays as it was", next)),
    }
}

/// The same, and who sits at the terminal may have said yes in the command.
///
/// # Errors
///
/// As [`agreed_to`].
pub fn agreed_unless(yes: bool, home: &Home, output: Output, act: Act<'_>) -> Result<(), Failure> {
    match yes && output.can_ask() {
        true => Ok(()),
        false => agreed_to(home, output, act),
    }
}

/// That a person has to come.
pub fn nobody(what: &str, next: String) -> Failure {
    let message = format!(
        "there is no terminal to ask on, and {what} takes a person, who types it in one of their own"
    );
    Failure::new(Exit::Refused, message, next).with_code("NOBODY_TO_ASK")
}

/// Shows the setting, or changes it.
///
/// # Errors
///
/// When it is to allow more and nobody sits at a terminal or the answer is no, or the file cannot be
/// written; without a wish, when it cannot be read. One that cannot be read allows nothing, and is replaced.
pub fn run(wanted: Option<Unattended>, home: &Home, output: Output) -> Result<Report, Failure> {
    let read = read(home);
    let is_unfit = read.is_err();
    let present = match (read, wanted) {
        (Err(fault), None) => return Err(fault),
        (read, _) => read.unwrap_or(Unattended::Nothing),
    };
    let now = match wanted {
        Some(wanted) if wanted != present || is_unfit => {
            if wanted > present {
                grow(wanted, output)?;
            }
            write(home, wanted)?;
            wanted
        }
        _ => present,
    };
    let data = json!({ "approve": now, "changed": now != present });
    Ok(Report::new(data, format!("{}: {}", now.word(), now.describe())))
}

/// Asks whether more is allowed than before.
fn grow(wanted: Unattended, output: Output) -> Result<(), Failure> {
    let again = format!("etdi approvals unattended {}", wanted.word());
    if !output.can_ask() {
        return Err(nobody("to allow more without a terminal", again));
    }
    let text = format!(
        "\n{}\nwhatever runs as you can type that, a model with a shell too",
        wanted.describe()
    );
    match block_on(async { Ok(agreed(Asker::Terminal, text, "allow it?").await) })? {
        true => Ok(()),
        false => Err(Failure::new(Exit::Refused, "it stays as it was", again)),
    }
}

fn read(home: &Home) -> Result<Unattended, Failure> {
    let path = home.path().join(FILE);
    let found = match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Unattended::default());
        }
        found => found,
    };
    let text = found.map_err(|error| error.to_string()).and_then(|found| {
        // Neither a link, which leads to what somebody else wrote, nor what is read without an end.
        if !found.is_file() {
            return Err("it is no file".to_owned());
        }
        let file = File::open(&path).map_err(|error| error.to_string())?;
        let opened = file.metadata().map_err(|error| error.to_string())?;
        let folder = std::fs::metadata(home.path()).map_err(|error| error.to_string())?;
        is_ours(&found, &opened, &folder)?;
        let mut text = String::new();
        let read = file.take(MOST + 1).read_to_string(&mut text);
        match read.map_err(|error| error.to_string())? as u64 > MOST {
            true => Err("it is too long".to_owned()),
            false => Ok(text),
        }
    });
    let text = text.map_err(|why| unfit(&path, &why))?;
    let setting: Setting =
        serde_json::from_str(&text).map_err(|error| unfit(&path, &error.to_string()))?;
    Ok(setting.approve)
}

/// So many bytes the file has at most.
const MOST: u64 = 4096;

fn write(home: &Home, approve: Unattended) -> Result<(), Failure> {
    let path = home.path().join(FILE);
    let failed = |error: std::io::Error| unfit(&path, &error.to_string());
    create_private_directory(home.path()).map_err(failed)?;
    let mut file = tempfile::NamedTempFile::new_in(home.path()).map_err(failed)?;
    serde_json::to_writer(&mut file, &Setting { approve }).map_err(|error| failed(error.into()))?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn unfit(path: &Path, why: &str) -> Failure {
    let message =
        format!("`{}` does not say what is approved without a terminal: {why}", path.display());
    Failure::usage(message, format!("ls -l {}", shown_path(path))).with_code("SETTING_UNFIT")
}

/// Refuses a file that somebody else could have written, or put in its place: of another owner than who
/// runs this and the system's administrator, or in a folder that others may write.
#[cfg(unix)]
fn is_ours(found: &Metadata, opened: &Metadata, folder: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let is_another =
        |about: &Metadata| about.uid() != 0 && about.uid() != rustix::process::geteuid().as_raw();
    if (found.dev(), found.ino()) != (opened.dev(), opened.ino()) {
        return Err("it was replaced while it was read".to_owned());
    }
    for (about, what) in [(opened, "it"), (folder, "its folder")] {
        if about.mode() & 0o022 != 0 {
            return Err(format!("others than the owner of {what} may write there"));
        }
        if is_another(about) {
            return Err(format!("{what} belongs to another user"));
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn is_ours(_: &Metadata, _: &Metadata, _: &Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_read_for_certain_allows_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        assert_eq!(read(&home).ok(), Some(Unattended::FirstUse));
        for text in ["", "{}", r#"{"approve":"all"}"#, r#"{"approve":"everything","x":1}"#] {
            std::fs::write(folder.path().join(FILE), text).unwrap();
            assert!(read(&home).is_err(), "{text}");
        }
        for wanted in [Unattended::Everything, Unattended::Nothing] {
            write(&home, wanted).unwrap();
            assert_eq!(read(&home).ok(), Some(wanted));
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_setting_that_others_may_write_is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        write(&home, Unattended::Everything).unwrap();
        let mode = std::fs::Permissions::from_mode(0o622);
        std::fs::set_permissions(folder.path().join(FILE), mode).unwrap();
        assert!(read(&home).is_err());
        // Whoever may write the folder puts another in its place.
        write(&home, Unattended::Everything).unwrap();
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), mode(0o777)).unwrap();
        assert!(read(&home).is_err());
        std::fs::set_permissions(folder.path(), mode(0o700)).unwrap();
        assert_eq!(read(&home).ok(), Some(Unattended::Everything));
        // What lies elsewhere, and what has no end.
        let path = folder.path().join(FILE);
        std::fs::rename(&path, folder.path().join("other")).unwrap();
        std::os::unix::fs::symlink("other", &path).unwrap();
        assert!(read(&home).is_err());
        std::fs::remove_file(&path).unwrap();
        let long = format!(r#"{{"approve":"everything"}}{}"#, " ".repeat(5000));
        std::fs::write(&path, long).unwrap();
        assert!(read(&home).is_err());
        // It counts as `nothing`, and is mended by what takes no person.
        assert_eq!(set(&home, Output::new(true)), Unattended::Nothing);
        assert!(run(Some(Unattended::Everything), &home, Output::new(true)).is_err());
        assert!(run(Some(Unattended::Nothing), &home, Output::new(true)).is_ok());
        assert_eq!(read(&home).ok(), Some(Unattended::Nothing));
    }
}
