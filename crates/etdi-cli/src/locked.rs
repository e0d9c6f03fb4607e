//! The user's approval store, opened with what protects it.

use std::path::PathBuf;
use std::sync::Arc;

use etdi_core::approval::StoreError;
use etdi_core::secret::{Protection, ProtectionKind};
use etdi_core::store::{Anchor, FileAnchor, FileStore, FileStoreOptions, KeychainAnchor};

use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::keyring;
use crate::passphrase;

/// How the store is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// As its mark says.
    Checked,
    /// As it is, because the user says so.
    AsItIs,
}

/// The approvals of the user: encrypted where they are, or where a passphrase or key was chosen
/// before the first.
///
/// # Errors
///
/// When they cannot be read; nothing counts as approved then.
pub fn approvals(home: &Home) -> Result<FileStore, Failure> {
    open(home, Taken::Checked)
}

/// The same, as it is to be taken.
///
/// # Errors
///
/// As [`approvals`].
pub fn open(home: &Home, taken: Taken) -> Result<FileStore, Failure> {
    let directory = home.directory("approvals")?;
    let protection = match FileStore::open(&directory) {
        Err(StoreError::Encrypted { by: ProtectionKind::Keyring, .. }) => keyring::protection()?,
        Err(StoreError::Encrypted { .. }) => passphrase::needed("the approval store")?,
        opened => match passphrase::chosen()? {
            Some(chosen) => chosen,
            None => return unencrypted(home, taken, opened.map_err(failed)?),
        },
    };
    let options = options(home, taken, &protection)?.protection(protection.clone());
    match options.clone().open(&directory) {
        // There is nothing in it that anybody could have put there.
        Err(StoreError::NotEncrypted { .. })
            if FileStore::open(&directory).and_then(|plain| plain.is_empty()).unwrap_or(false) =>
        {
            let plain = FileStore::open(&directory).map_err(failed)?;
            plain.encrypt(protection).map_err(failed)?;
            options.open(&directory).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

/// A store in the clear, unless it stands where an encrypted one was: whoever could write the
/// directory could have put it there, and nobody would be asked for a passphrase.
fn unencrypted(home: &Home, taken: Taken, store: FileStore) -> Result<FileStore, Failure> {
    let mark = state(home)?.join(format!("{NAME}.anchor"));
    if !mark.try_exists().unwrap_or(true) {
        return Ok(store);
    }
    let removed = match taken {
        Taken::Checked => None,
        Taken::AsItIs => std::fs::remove_file(&mark).ok(),
    };
    removed.map(|()| store).ok_or_else(|| {
        let message = "the approval store was encrypted and is not any more, so nothing in it \
                       counts: someone put another in its place; put the encrypted one back, or \
                       accept this one as it is";
        Failure::new(Exit::Refused, message, "etdi approvals accept-restored")
            .with_code("STORE_FAILED")
    })
}

/// The name of the mark.
const NAME: &str = "approvals";

/// Options with the mark against old copies: in the keyring where the key is.
///
/// # Errors
///
/// When there is no place for it.
pub fn options(
    home: &Home,
    taken: Taken,
    protection: &Protection,
) -> Result<FileStoreOptions, Failure> {
    let file = FileAnchor::open(state(home)?, NAME).map_err(failed)?;
    let anchor: Arc<dyn Anchor> = match protection.kind() {
        ProtectionKind::Keyring => {
            // That there is a file says that the store is encrypted, see `unencrypted`.
            if file.read().map_err(failed)?.is_none() {
                file.write("the mark is in the keyring").map_err(failed)?;
            }
            let name = format!("approvals in {}", home.path().display());
            Arc::new(KeychainAnchor::new(keyring::keychain()?, &name))
        }
        _ => Arc::new(file),
    };
    let options = FileStore::options().anchor(anchor);
    Ok(match taken {
        Taken::Checked => options,
        Taken::AsItIs => options.accept_restored(),
    })
}

/// The directory for state, which is not where the data is, because backups seldom go there:
/// `$ETDI_STATE`, else beside a home that was set by hand, else `etdi` in the XDG state directory.
fn state(home: &Home) -> Result<PathBuf, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(chosen) = set("ETDI_STATE") {
        return Ok(chosen);
    }
    let standard = || {
        let state = set("XDG_STATE_HOME").filter(|path| path.is_absolute());
        state.or_else(|| Some(set("HOME")?.join(".local/state"))).map(|path| path.join("etdi"))
    };
    match standard().filter(|_| home.is_standard()) {
        Some(path) => Ok(path),
        None => home.directory("state"),
    }
}

/// What a fault of the store means at the terminal.
pub fn failed(error: StoreError) -> Failure {
    let next = match &error {
        StoreError::RolledBack { .. } | StoreError::Anchor { .. } => {
            "etdi approvals accept-restored"
        }
        StoreError::ClockBack { .. } => "etdi approvals set-clock",
        StoreError::NotEncrypted { .. } => "etdi approvals encrypt",
        _ => "etdi approvals list",
    };
    let message = match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    Failure::new(Exit::Refused, message, next).with_code("STORE_FAILED")
}
