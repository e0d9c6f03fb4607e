//! The system's keyring, by the program that the system ships for it.
//!
//! On Linux this is `secret-tool` of libsecret, which speaks to GNOME Keyring, KWallet and others.
//! Secrets go through pipes and never stand on a command line. Elsewhere there is none yet.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::secret::{Keychain, KeychainError, Protection, Secret};

use crate::exit::Failure;

const PROGRAM: &str = "secret-tool";
const SERVICE: [&str; 2] = ["service", "etdi"];

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
        Ok(_) => Ok(Arc::new(SecretTool)),
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

/// libsecret, by its command.
#[derive(Clone, Copy, Debug)]
struct SecretTool;

impl SecretTool {
    fn run(&self, words: &[&str], account: &str, input: &[u8]) -> Result<Output, KeychainError> {
        let failed = |error: std::io::Error| {
            KeychainError::new(format!("`{PROGRAM}` cannot be run: {error}, use a passphrase"))
        };
        let mut child = Command::new(PROGRAM)
            .args(words)
            .args(SERVICE)
            .args(["account", account])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input).map_err(failed)?;
        }
        child.wait_with_output().map_err(failed)
    }

    fn refused(output: &Output) -> KeychainError {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next().unwrap_or("it did not say why");
        let line = etdi_core::change::visible(line).into_owned();
        KeychainError::new(format!("`{PROGRAM}`: {line}; unlock the keyring and try again"))
    }
}

impl Keychain for SecretTool {
    fn get(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
        let output = self.run(&["lookup"], account, b"")?;
        if !output.status.success() {
            // It says nothing when there is nothing.
            let silent = output.stderr.is_empty() && output.status.code() == Some(1);
            return if silent { Ok(None) } else { Err(Self::refused(&output)) };
        }
        let text = Secret::new(output.stdout);
        let text = text.reveal_text().map(str::trim_end).unwrap_or_default();
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| {
            KeychainError::new(format!("the entry `{account}` is not one of ours, remove it"))
        })?;
        Ok(Some(Secret::new(bytes)))
    }

    fn set(&self, account: &str, secret: &Secret) -> Result<(), KeychainError> {
        let text = Secret::from(URL_SAFE_NO_PAD.encode(secret.reveal()));
        let label = format!("--label={account}");
        let output = self.run(&["store", &label], account, text.reveal())?;
        if output.status.success() { Ok(()) } else { Err(Self::refused(&output)) }
    }

    fn delete(&self, account: &str) -> Result<(), KeychainError> {
        let output = self.run(&["clear"], account, b"")?;
        let nothing = output.stderr.is_empty() && output.status.code() == Some(1);
        if output.status.success() || nothing { Ok(()) } else { Err(Self::refused(&output)) }
    }
}
