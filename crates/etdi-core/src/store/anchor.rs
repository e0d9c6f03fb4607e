//! A mark outside a store's directory that shows its newest generation, so that an old copy of the
//! whole directory is found out.

use core::fmt;
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, Files};
use crate::approval::StoreError;
use crate::secret::{Keychain, ProtectionError, Secret};

/// Where the mark of a store's newest generation is kept.
///
/// The mark is authenticated where the store is encrypted, so whoever can write it cannot lower
/// it; whoever can put an old mark back *together with* an old copy of the directory is noticed by
/// nobody. So keep it where the store's backups do not go: in the system's keyring
/// ([`KeychainAnchor`]), or in a directory for state ([`FileAnchor`]).
pub trait Anchor: Send + Sync + fmt::Debug {
    /// The mark, `None` when there never was one.
    ///
    /// # Errors
    ///
    /// When it cannot be read: the store is not used then.
    fn read(&self) -> Result<Option<String>, StoreError>;

    /// Keeps a new mark in place of the old one. A text that starts with `moved` is none: whatever is
    /// opened with it is refused.
    ///
    /// # Errors
    ///
    /// When it was not kept.
    fn write(&self, mark: &str) -> Result<(), StoreError>;

    /// Where it is, for messages.
    fn place(&self) -> String;
}

/// A mark in a file of a directory that belongs to one user.
#[derive(Debug)]
pub struct FileAnchor {
    disk: Disk,
    name: String,
}

const MAX_BYTES: usize = 1 << 10;

impl FileAnchor {
    /// The mark of this name, a plain file name, in a directory that is created, open to its owner
    /// only, when it is not there.
    ///
    /// # Errors
    ///
    /// When the directory cannot be made, or others may enter it.
    pub fn open(directory: impl AsRef<Path>, name: &str) -> Result<Self, StoreError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if name.is_empty() || !name.chars().all(plain) {
            let message = "the name of an anchor has letters, digits, `-` and `_`".to_owned();
            return Err(StoreError::Other { message });
        }
        let disk = Disk::open(directory.as_ref())?;
        Ok(Self { disk, name: format!("{name}.anchor") })
    }
}

impl Anchor for FileAnchor {
    fn read(&self) -> Result<Option<String>, StoreError> {
        let bytes = self.disk.read(&self.name, MAX_BYTES)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    fn write(&self, mark: &str) -> Result<(), StoreError> {
        let _lock = self.disk.lock()?;
        self.disk.write(&self.name, mark.as_bytes())
    }

    fn place(&self) -> String {
        self.disk.path(&self.name).display().to_string()
    }
}

/// A mark in the system's keyring.
#[derive(Debug)]
pub struct KeychainAnchor {
    keychain: Arc<dyn Keychain>,
    account: String,
}

impl KeychainAnchor {
    /// The mark of a store that the host calls `name`.
    pub fn new(keychain: Arc<dyn Keychain>, name: &str) -> Self {
        Self { keychain, account: format!("etdi anchor {name}") }
    }
}

impl Anchor for KeychainAnchor {
    fn read(&self) -> Result<Option<String>, StoreError> {
        let mark = self.keychain.get(&self.account).map_err(ProtectionError::from)?;
        Ok(mark.map(|mark| String::from_utf8_lossy(mark.reveal()).into_owned()))
    }

    fn write(&self, mark: &str) -> Result<(), StoreError> {
        Ok(self.keychain.set(&self.account, &Secret::from(mark)).map_err(ProtectionError::from)?)
    }

    fn place(&self) -> String {
        self.account.clone()
    }
}
