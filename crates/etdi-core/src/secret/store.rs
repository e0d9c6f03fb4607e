//! Named secrets in a directory.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Protection, Secret};
use crate::approval::{StoreError, tagged};
use crate::base64url;
use crate::store::vault::{Options, Vault};
use crate::store::{Anchor, Kind, hex};

/// An encrypted store for secrets that a program must keep: upstream tokens, client secrets,
/// private keys. Several processes may share it.
///
/// Everything blocks: the files are small, and only opening with a passphrase is slow. What cannot
/// be read for certain is an error, never an absence.
#[derive(Debug)]
pub struct SecretStore {
    vault: Vault,
}

/// A record of a secret, as it is sealed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretRecord {
    v: u32,
    name: String,
    secret: Zeroizing<String>,
}

const VERSION: u32 = 1;
/// The largest secret, in bytes.
pub const MAX_SECRET_BYTES: usize = 1 << 20;
const MAX_NAME_BYTES: usize = 512;

impl SecretStore {
    /// Opens the store in a directory, which is created, open to its owner only, when it is not
    /// there.
    ///
    /// # Errors
    ///
    /// When others may enter the directory, the protection does not open it, or it holds something
    /// else.
    pub fn open(directory: impl AsRef<Path>, protection: Protection) -> Result<Self, StoreError> {
        Self::with(
            directory.as_ref(),
            Options { protection: Some(protection), ..Options::default() },
        )
    }

    /// The same, with a mark outside the directory by which an old copy of all of it is found out.
    ///
    /// # Errors
    ///
    /// As [`SecretStore::open`], and when the mark says that the store is an old copy.
    pub fn open_anchored(
        directory: impl AsRef<Path>,
        protection: Protection,
        anchor: Arc<dyn Anchor>,
    ) -> Result<Self, StoreError> {
        let (protection, anchor) = (Some(protection), Some(anchor));
        Self::with(directory.as_ref(), Options { protection, anchor, ..Options::default() })
    }

    fn with(directory: &Path, options: Options) -> Result<Self, StoreError> {
        Ok(Self { vault: Vault::open(directory, Kind::Secrets, options)? })
    }

    /// Keeps a secret under a name, in place of what was there. The name is kept as secret as the
    /// secret.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] for a secret beyond [`MAX_SECRET_BYTES`] or a name beyond 512 bytes;
    /// others when it was not written: the old secret is there then.
    pub fn put(&self, name: &str, secret: &Secret) -> Result<(), StoreError> {
        if secret.len() > MAX_SECRET_BYTES {
            return Err(StoreError::Full { what: "bytes in one secret" });
        }
        if name.len() > MAX_NAME_BYTES {
            return Err(StoreError::Full { what: "bytes in a name" });
        }
        let record = SecretRecord {
            v: VERSION,
            name: name.to_owned(),
            secret: Zeroizing::new(base64url::encode(secret.reveal())),
        };
        // A buffer that grows leaves what it held behind; no text takes more than this as JSON.
        let most = record.secret.len().saturating_add(6 * MAX_NAME_BYTES).saturating_add(64);
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        serde_json::to_writer(&mut *bytes, &record)
            .map_err(|error| StoreError::Other { message: error.to_string() })?;
        self.vault.write(|_, draft| {
            draft.put(record_name(name), std::mem::take(&mut *bytes));
            Ok(())
        })
    }

    /// The secret under a name, `None` when there is none.
    ///
    /// # Errors
    ///
    /// When it cannot be read or decrypted.
    pub fn get(&self, name: &str) -> Result<Option<Secret>, StoreError> {
        Ok(self.read(&record_name(name))?.map(|(_, secret)| secret))
    }

    /// Takes a secret away, and says whether there was one. Its file is deleted, not shredded; it
    /// was encrypted under a key of its own, which [`SecretStore::rotate_key`] makes worthless.
    ///
    /// # Errors
    ///
    /// When it is still there.
    pub fn delete(&self, name: &str) -> Result<bool, StoreError> {
        self.vault.write(|_, draft| Ok(draft.remove(&record_name(name))))
    }

    /// The names, in order.
    ///
    /// # Errors
    ///
    /// When one cannot be read.
    pub fn list(&self) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for record in self.vault.names()? {
            names.extend(self.read(&record)?.map(|(name, _)| name));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Makes a new data key and seals everything anew.
    ///
    /// # Errors
    ///
    /// When something cannot be read or written: the old key is in force then.
    pub fn rotate_key(&self) -> Result<(), StoreError> {
        self.vault.rotate(None)
    }

    /// Protects the store in another way, such as by another passphrase, with a new data key: what
    /// opened it before opens nothing that is written from now on.
    ///
    /// # Errors
    ///
    /// When it cannot be written: the old protection is in force then.
    pub fn protect(&self, protection: Protection) -> Result<(), StoreError> {
        self.vault.rotate(Some(protection))
    }

    fn read(&self, record: &str) -> Result<Option<(String, Secret)>, StoreError> {
        let Some((_, text)) = self.vault.record(record)? else { return Ok(None) };
        let damaged = || self.vault.fault(record, "cannot be read");
        let found: SecretRecord = serde_json::from_slice(text.reveal()).map_err(|_| damaged())?;
        if found.v != VERSION || record_name(&found.name) != record {
            return Err(damaged());
        }
        let secret = base64url::decode(&found.secret).ok_or_else(damaged)?;
        Ok(Some((found.name, Secret::new(secret))))
    }
}

fn record_name(name: &str) -> String {
    format!("secret-{}", hex(tagged("etdi-secret-v1", &[Some(name)]).as_bytes()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
