//! The settings of a store by the names that configuration files use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Anchor, FileStore};
use crate::approval::{ApprovalStore, MemoryStore, StoreError};
use crate::secret::Protection;
use crate::time::UnixTime;

/// Where and how approvals are kept. Every field does something, and an unknown one is an error.
///
/// ```
/// use etdi_core::store::{StorageConfig, StorageType};
///
/// let config: StorageConfig = serde_json::from_str(r#"{"retention_days": 30}"#)?;
/// assert_eq!(config.storage_type, StorageType::File);
/// assert!(config.encryption_enabled && config.backup_enabled);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StorageConfig {
    /// In files, in memory, or in a database of the host's.
    pub storage_type: StorageType,
    /// The directory, in full; the host's default when it is not set.
    pub storage_path: Option<PathBuf>,
    /// Whether files are encrypted. On by default, and then a protection must be given.
    pub encryption_enabled: bool,
    /// Whether a copy is made once a day when the store is opened, in the directory of the same
    /// name that ends in `.backup`.
    pub backup_enabled: bool,
    /// For how many days withdrawn and expired approvals, and backups, are kept.
    pub retention_days: u32,
}

/// What a store keeps approvals in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StorageType {
    /// A directory of files.
    #[default]
    File,
    /// Nothing that outlives the process.
    Memory,
    /// A store of the host's own: an [`ApprovalStore`] that it gives to the client itself.
    Database,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            storage_type: StorageType::File,
            storage_path: None,
            encryption_enabled: true,
            backup_enabled: true,
            retention_days: 365,
        }
    }
}

impl StorageConfig {
    /// The settings that nobody changed: files, encrypted, with backups, for a year.
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the store, clears away what is too old, and makes the backup of the day.
    ///
    /// `default` is the directory where none is set. The protection is used where
    /// `encryption_enabled` is on, the anchor for files. A store in the clear that holds nothing yet
    /// is encrypted; one that holds approvals is refused.
    ///
    /// # Errors
    ///
    /// [`StoreError::Setting`] when the settings ask for what was not given, and as
    /// [`FileStoreOptions::open`](super::FileStoreOptions::open) and
    /// [`FileStore::backup`].
    pub fn open(
        &self,
        default: &Path,
        protection: Option<Protection>,
        anchor: Option<Arc<dyn Anchor>>,
        now: UnixTime,
    ) -> Result<Arc<dyn ApprovalStore>, StoreError> {
        match self.storage_type {
            StorageType::File => Ok(Arc::new(self.open_files(default, protection, anchor, now)?)),
            StorageType::Memory if self.storage_path.is_some() => Err(StoreError::Setting {
                what: "`storage_path` means nothing in memory, leave it out or set `storage_type` \
                       to `file`",
            }),
            StorageType::Memory => Ok(Arc::new(MemoryStore::new())),
            StorageType::Database => Err(StoreError::Setting {
                what: "`storage_type` `database` is a store of the host's own, give the client \
                       an `ApprovalStore` or set it to `file`",
            }),
        }
    }

    fn open_files(
        &self,
        default: &Path,
        protection: Option<Protection>,
        anchor: Option<Arc<dyn Anchor>>,
        now: UnixTime,
    ) -> Result<FileStore, StoreError> {
        let path = self.storage_path.as_deref().unwrap_or(default);
        if path.starts_with("~") {
            return Err(StoreError::Setting {
                what: "`storage_path` starts with `~`, which is a directory of that name here; \
                       write it in full",
            });
        }
        let mut options = FileStore::options();
        let mut sealing = None;
        match (self.encryption_enabled, protection) {
            (true, None) => {
                return Err(StoreError::Setting {
                    what: "`encryption_enabled` wants a key: give a passphrase or the system's \
                           keyring, or set it to `false`",
                });
            }
            (true, Some(protection)) => {
                sealing = Some(protection.clone());
                options = options.protection(protection);
            }
            (false, _) => options = options.in_the_clear(),
        }
        if let Some(anchor) = anchor {
            options = options.anchor(anchor);
        }
        let store = match options.clone().open(path) {
            // There is nothing in it that anybody could have put there.
            Err(StoreError::NotEncrypted { .. })
                if FileStore::in_the_clear(path)?.is_empty()? =>
            {
                if let Some(protection) = sealing {
                    FileStore::in_the_clear(path)?.encrypt(protection)?;
                }
                options.open(path)?
            }
            opened => opened?,
        };
        let days = u64::from(self.retention_days);
        store.retire(days, now)?;
        if self.backup_enabled {
            store.backup(beside(path), days, now)?;
        }
        Ok(store)
    }
}

/// The directory of the same name that ends in `.backup`. A path may end in a slash, and the backups
/// are beside the store all the same, not in it.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.components().as_path().as_os_str().to_owned();
    name.push(".backup");
    PathBuf::from(name)
}
