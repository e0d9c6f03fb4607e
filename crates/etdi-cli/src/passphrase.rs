//! Where passphrases and keys come from: a file descriptor, the environment, a key file, a prompt.
//! Never the command line, which other users can read.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use etdi::config::ConfigError;
use etdi::config::unlock::{self, KEY_FILE, PASSPHRASE_FD};
use etdi_core::secret::{Protection, Secret};

use crate::exit::Failure;
use crate::verbs::target::quoted;

pub use etdi::config::unlock::PASSPHRASE;

/// The passphrase to come, where one is changed.
pub const NEW_PASSPHRASE: &str = "ETDI_NEW_PASSPHRASE";

/// What the user chose without being asked: a key file or a passphrase. `None` when neither.
///
/// # Errors
///
/// When something was chosen and cannot be read.
pub fn chosen() -> Result<Option<Protection>, Failure> {
    for variable in [KEY_FILE, PASSPHRASE_FD, PASSPHRASE] {
        text(variable)?;
    }
    unlock::chosen(&|name| text(name).ok().flatten()).map_err(|error| refused(&error))
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
        let secret = unlock::from_descriptor(&descriptor.to_string_lossy());
        return secret.map(Some).map_err(|error| refused(&error));
    }
    Ok(text(variable)?.filter(|text| !text.is_empty()).map(Secret::from))
}

/// A variable, as it is set.
fn text(variable: &str) -> Result<Option<String>, Failure> {
    match std::env::var(variable) {
        Ok(text) => Ok(Some(text)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            Err(Failure::usage(format!("`{variable}` is no text"), format!("unset {variable}")))
        }
    }
}

fn refused(error: &ConfigError) -> Failure {
    Failure::usage(
        error.to_string(),
        format!("{PASSPHRASE_FD}=3 etdi approvals list 3< ./passphrase"),
    )
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
