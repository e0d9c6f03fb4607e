//! What opens something that is encrypted, where nobody is asked: a key file, a file descriptor, the
//! environment. Never the command line, which other users can read.

use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use etdi_core::secret::{Protection, SealingKey, Secret};

use super::ConfigError;

/// The variable with the passphrase itself.
pub const PASSPHRASE: &str = "ETDI_PASSPHRASE";
/// The variable with the number of a file descriptor from which one line is read.
pub const PASSPHRASE_FD: &str = "ETDI_PASSPHRASE_FD";
/// The variable that names a file with a key of 32 bytes, as they are or in base64, which the user
/// keeps elsewhere.
pub const KEY_FILE: &str = "ETDI_KEY_FILE";

const MAX_BYTES: u64 = 4 << 10;

/// What the user chose by the environment: a key file, else a passphrase. `None` when neither.
/// Programs that are started as servers do not see these variables.
///
/// # Errors
///
/// When something was chosen and cannot be read, or is open to other users.
pub fn chosen(
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Protection>, ConfigError> {
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(path) = set(KEY_FILE) {
        return key_file(Path::new(&path)).map(|key| Some(Protection::key(key)));
    }
    let passphrase = match environment(PASSPHRASE_FD) {
        Some(number) => Some(from_descriptor(&number)?),
        None => set(PASSPHRASE).map(Secret::from),
    };
    Ok(passphrase.map(Protection::passphrase))
}

fn key_file(path: &Path) -> Result<SealingKey, ConfigError> {
    let refused = |why: String| {
        let message = format!("the key file `{}`: {why}", path.display());
        ConfigError::Value { path: KEY_FILE.to_owned(), message }
    };
    if super::key::is_exposed(path) {
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

/// The passphrase of a file descriptor: its first line.
///
/// # Errors
///
/// When the number is none, the descriptor cannot be read, or the line is empty.
pub fn from_descriptor(number: &str) -> Result<Secret, ConfigError> {
    let refused = |message: String| ConfigError::Value { path: PASSPHRASE_FD.to_owned(), message };
    let digits = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    if !digits || number.len() > 6 {
        return Err(refused("it is no number of a file descriptor".to_owned()));
    }
    // It can be read once, and a process may open more than one thing.
    let mut known = FROM_DESCRIPTOR.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, secret)) = known.as_ref().filter(|(of, _)| of == number) {
        return Ok(secret.clone());
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
    *known = Some((number.to_owned(), secret.clone()));
    Ok(secret)
}

static FROM_DESCRIPTOR: Mutex<Option<(String, Secret)>> = Mutex::new(None);
