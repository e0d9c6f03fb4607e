//! What is approved while nobody sits at a terminal.
//!
//! Whoever reads a refusal may be a model with a shell. What it can type from there approves what a
//! first use would, and overrides nothing: neither a change, nor an alarm, nor the scanner, nor a
//! withdrawal. More than that takes a person, at a terminal or beforehand in `unattended.json` of the
//! home, which `etdi approvals unattended` writes. No refusal names it.
//!
//! What this does not hold against is in `docs/approvals.md`: a program with the rights of its user can
//! open a pseudo-terminal and write that file.

use std::path::{Path, PathBuf};

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
    /// What was never approved, is no alarm, and is not suspicious to the scanner.
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
            Self::Nothing => "without a terminal nothing is approved",
            Self::FirstUse => {
                "without a terminal `--yes` approves what is seen for the first time, unless it is an alarm \
                 or suspicious to the scanner"
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
///
/// # Errors
///
/// When the setting cannot be read.
pub fn here(home: &Home, output: Output) -> Result<Option<Unattended>, Failure> {
    if output.can_ask() { Ok(None) } else { read(home).map(Some) }
}

/// Refuses what overrides a decision or a warning where nobody sits at a terminal and no person allowed
/// it beforehand.
///
/// # Errors
///
/// When that is so, or the setting cannot be read. `what` is the subject of the sentence, `next` what a
/// person may type.
pub fn needs_a_person(
    home: &Home,
    output: Output,
    what: &str,
    next: String,
) -> Result<(), Failure> {
    match here(home, output)? {
        None | Some(Unattended::Everything) => Ok(()),
        Some(_) => Err(nobody(what, next)),
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
/// read or written.
pub fn run(wanted: Option<Unattended>, home: &Home, output: Output) -> Result<Report, Failure> {
    let present = read(home)?;
    let now = match wanted {
        Some(wanted) if wanted != present => {
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
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Unattended::default());
        }
        Err(error) => return Err(unfit(&path, &error.to_string())),
    };
    if is_writable_by_others(&path) {
        return Err(unfit(&path, "others than its owner may write it"));
    }
    let setting: Setting =
        serde_json::from_str(&text).map_err(|error| unfit(&path, &error.to_string()))?;
    Ok(setting.approve)
}

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

/// Whether somebody else could have written a file.
fn is_writable_by_others(path: &PathBuf) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o022 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
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
    }
}
