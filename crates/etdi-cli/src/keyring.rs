//! The system's keyring at the terminal.

use std::process::{Command, Stdio};
use std::sync::Arc;

use etdi::keyring::SystemKeyring;
use etdi_core::secret::{Keychain, Protection};

use crate::exit::Failure;

const PROGRAM: &str = "secret-tool";

/// The keyring of this system.
///
/// # Errors
///
/// Where there is none that this program knows.
pub fn keychain() -> Result<Arc<dyn Keychain>, Failure> {
    let found = Command::new(PROGRAM)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match found {
        Ok(_) => Ok(Arc::new(SystemKeyring::new())),
        Err(error) => Err(Failure::usage(
            format!(
                "the system's keyring cannot be used, because `{PROGRAM}` (libsecret) cannot be \
                 started: {error}; install it, or use a passphrase"
            ),
            format!("{PROGRAM} --version"),
        )
        .with_code("NO_KEYRING")),
    }
}

/// A protection by that keyring.
///
/// # Errors
///
/// As [`keychain`].
pub fn protection() -> Result<Protection, Failure> {
    Ok(Protection::keychain(keychain()?))
}
