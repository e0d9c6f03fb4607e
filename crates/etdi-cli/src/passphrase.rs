//! Where passphrases and keys come from: a file descriptor, the environment, a key file, a prompt.
//! Never the command line, which other users can read.

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use etdi_core::secret::{Protection, SealingKey, Secret};

use crate::exit::Failure;
use crate::home::is_exposed;
use crate::verbs::target::{quoted, shown_path};

/// The passphrase itself.
pub const PASSPHRASE: &str = "ETDI_PASSPHRASE";
/// The number of a file descriptor from which one line is read.
pub const PASSPHRASE_FD: &str = "ETDI_PASSPHRASE_FD";
/// The passphrase to come, where one is changed.
pub const NEW_PASSPHRASE: &str = "ETDI_NEW_PASSPHRASE";
/// A file with a key of 32 bytes, as they are or in base64, which the user keeps elsewhere.
pub const KEY_FILE: &str = "ETDI_KEY_FILE";

const MAX_BYTES: u64 = 4 << 10;

/// What the user chose without being asked: a key file or a passphrase. `None` when neither.
///
/// # Errors
///
/// When something was chosen and cannot be read.
pub fn chosen() -> Result<Option<Protection>, Failure> {
    if let Some(path) = std::env::var_os(KEY_FILE).filter(|path| !path.is_empty()) {
        return key_file(&PathBuf::from(path)).map(|key| Some(Protection::key(key)));
    }
    Ok(given(PASSPHRASE)?.map(Protection::passphrase))
}

/// The passphrase of a variable, or of the file descriptor.
///
/// # Errors
///
/// When it is no text, or the file descriptor cannot be read.
pub fn given(variable: &str) -> Result<Option<Secret>, Failure> {
    if variable == PASSPHRASE
        && let Some(descriptor) = std::env::var_os(PASSPHRASE_FD)
    {
        return from_descriptor(&descriptor.to_string_lossy()).map(Some);
    }
    match std::env::var(variable) {
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => Ok(Some(Secret::from(text))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("`{variable}` is no text"), format!("unset {variable}")))
        }
    }
}

/// Asks at the terminal, without showing what is typed; twice for a new one. `None` where no
/// terminal is.
///
/// # Errors
///
/// When nothing or two different texts were typed.
pub fn ask(what: &str, twice: bool) -> Result<Option<Secret>, Failure> {
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Ok(None);
    }
    let typed = |prompt: String| {
        rpassword::prompt_password(prompt).map(Secret::from).map_err(|error| {
            Failure::usage(format!("the passphrase cannot be read: {error}"), "etdi approvals list")
        })
    };
    let first = typed(format!("{what}: "))?;
    if twice && typed(format!("{what}, again: "))?.reveal() != first.reveal() {
        return Err(Failure::usage("the two are not the same", "etdi approvals list"));
    }
    if first.is_empty() {
        return Err(Failure::usage("no passphrase was typed", "etdi approvals list"));
    }
    Ok(Some(first))
}

/// The passphrase of this command, asked for once.
static TYPED: Mutex<Option<Secret>> = Mutex::new(None);

/// What opens something that is encrypted: what was chosen, or what is typed now.
///
/// # Errors
///
/// As [`chosen`] and [`ask`], and where there is nobody to ask.
pub fn needed(what: &str) -> Result<Protection, Failure> {
    if let Some(chosen) = chosen()? {
        return Ok(chosen);
    }
    let mut typed = TYPED.lock().unwrap_or_else(PoisonError::into_inner);
    if typed.is_none() {
        *typed = ask(&format!("passphrase of {what}"), false)?;
    }
    typed.clone().map(Protection::passphrase).ok_or_else(|| {
        Failure::usage(
            format!(
                "{what} is encrypted: give its passphrase in `{PASSPHRASE}` or by \
                 `{PASSPHRASE_FD}`, its key by `{KEY_FILE}`, or run this on a terminal"
            ),
            by_descriptor(),
        )
        .with_code("LOCKED")
    })
}

/// What is to protect something from now on.
///
/// # Errors
///
/// As [`chosen`] and [`ask`], and where there is nobody to ask.
pub fn wanted(variable: &str) -> Result<Protection, Failure> {
    if variable == PASSPHRASE
        && let Some(chosen) = chosen()?
    {
        return Ok(chosen);
    }
    let given = match given(variable)? {
        Some(given) => Some(given),
        None => ask("new passphrase", true)?,
    };
    given.map(Protection::passphrase).ok_or_else(|| {
        Failure::usage(
            format!("there is no passphrase: set `{variable}`, or run this on a terminal"),
            match variable {
                PASSPHRASE => by_descriptor(),
                _ => "etdi approvals encrypt --help".to_owned(),
            },
        )
    })
}

/// This very command, with its passphrase from a file.
fn by_descriptor() -> String {
    let words = std::env::args().skip(1).map(|word| quoted(&word)).collect::<Vec<_>>();
    format!("{PASSPHRASE_FD}=3 etdi {} 3< ./passphrase", words.join(" "))
}

fn key_file(path: &Path) -> Result<SealingKey, Failure> {
    let refused = |why: String| {
        Failure::usage(
            format!("the key file `{}`: {why}", path.display()),
            format!("ls -l {}", shown_path(path)),
        )
    };
    if is_exposed(path) {
        return Err(refused("it is open to other users, use another key".to_owned()));
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| refused(error.to_string()))?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    let secret = Secret::new(bytes);
    if secret.len() == 32 {
        return SealingKey::from_slice(secret.reveal()).map_err(|error| refused(error.to_string()));
    }
    let text = secret.reveal_text().map(str::trim).unwrap_or_default();
    SealingKey::from_base64(text).map_err(|error| refused(error.to_string()))
}

fn from_descriptor(number: &str) -> Result<Secret, Failure> {
    let refused = |why: String| {
        Failure::usage(
            format!("`{PASSPHRASE_FD}`: {why}"),
            format!("{PASSPHRASE_FD}=3 etdi approvals list 3< ./passphrase"),
        )
    };
    let digits = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    if !digits || number.len() > 6 {
        return Err(refused("it is no number of a file descriptor".to_owned()));
    }
    // It can be read once, and a command may open more than one thing.
    let mut known = FROM_DESCRIPTOR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*known {
        return Ok(known.clone());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(format!("/dev/fd/{number}"));
    let file = file.map_err(|error| refused(error.to_string()))?;
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
    let all = Secret::new(bytes);
    let line = all.reveal().split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return Err(refused("its first line is empty".to_owned()));
    }
    let secret = Secret::new(line.to_vec());
    *known = Some(secret.clone());
    Ok(secret)
}

static FROM_DESCRIPTOR: Mutex<Option<Secret>> = Mutex::new(None);
