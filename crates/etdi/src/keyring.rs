//! The system's keyring, by the program that the system ships for it.
//!
//! On Linux this is `secret-tool` of libsecret, which speaks to GNOME Keyring, KWallet and others.
//! Secrets go through pipes and never stand on a command line. Elsewhere there is none yet.

use std::io::ErrorKind;
use std::process::Output;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::secret::{Keychain, KeychainError, SealingKey, Secret};
use mcp_transport::process::ask;

const PROGRAM: &str = "secret-tool";
const SERVICE: [&str; 2] = ["service", "etdi"];
/// A person may have to type the keyring's password.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(10);
const PROBE: &str = "etdi probe";

/// The keyring of this system, for [`Protection::keychain`](etdi_core::secret::Protection::keychain)
/// and whatever else takes a [`Keychain`]. Every call starts `secret-tool` and blocks.
///
/// ```no_run
/// use std::sync::Arc;
/// use etdi::core::secret::{Keychain, Protection, SecretStore};
/// use etdi::keyring::SystemKeyring;
///
/// let keyring: Arc<dyn Keychain> = Arc::new(SystemKeyring::new());
/// let store = SecretStore::open("secrets", Protection::keychain(keyring))?;
/// # Ok::<(), etdi::core::approval::StoreError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SystemKeyring {
    patience: Duration,
}

impl SystemKeyring {
    /// The keyring; that there is none shows when it is used.
    pub fn new() -> Self {
        Self { patience: PATIENCE }
    }

    /// One that gives a person ten seconds to unlock it, where another protection does as well.
    pub fn impatient() -> Self {
        Self { patience: LOOK }
    }

    fn run(&self, words: &[&str], account: &str, input: &[u8]) -> Result<Output, KeychainError> {
        let words = [words, &SERVICE, &["account", account]].concat();
        ask(PROGRAM, &words, input, self.patience).map_err(|error| {
            let what = match error.kind() {
                ErrorKind::TimedOut => "unlock it and try again",
                _ => "install libsecret's command, or use a passphrase",
            };
            KeychainError::new(format!("`{PROGRAM}` cannot be used: {error}; {what}"))
        })
    }

    fn refused(output: &Output) -> KeychainError {
        let said = String::from_utf8_lossy(&output.stderr);
        let line = said.lines().next().unwrap_or("it did not say why");
        let line = etdi_core::change::visible(line).into_owned();
        KeychainError::new(format!("`{PROGRAM}`: {line}; unlock the keyring and try again"))
    }
}

/// Whether a keyring works now: something that is put in comes out again.
pub fn works(keyring: &dyn Keychain) -> bool {
    let Ok(probe) = SealingKey::generate() else { return false };
    let probe = Secret::new(probe.reveal().to_vec());
    let kept = keyring.set(PROBE, &probe).and_then(|()| keyring.get(PROBE));
    let same = kept.is_ok_and(|kept| kept.is_some_and(|kept| kept.reveal() == probe.reveal()));
    same && keyring.delete(PROBE).is_ok()
}

impl Default for SystemKeyring {
    fn default() -> Self {
        Self::new()
    }
}

impl Keychain for SystemKeyring {
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
