//! The approval store that settings name, opened as the command opens it: with the same mark
//! against old copies, in the same place, and by the same key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etdi_core::approval::{ApprovalStore, StoreError};
use etdi_core::digest::Digest;
use etdi_core::secret::Protection;
use etdi_core::store::{Anchor, FileAnchor, FileStore, KeychainAnchor};

use super::home::Home;
use super::{ConfigError, StorageConfig, StorageType};
use crate::system_time;

/// The name of the command's own store, and of its mark.
const NAME: &str = "approvals";

/// Opens the store; one that the host must give itself is an error.
pub(super) fn open(
    storage: &StorageConfig,
    home: &Home,
    protection: Option<Protection>,
) -> Result<Arc<dyn ApprovalStore>, ConfigError> {
    let open = |directory: &Path, anchor| {
        Ok(storage.open(directory, protection.clone(), anchor, system_time())?)
    };
    match storage.storage_type {
        StorageType::File => {}
        _ => return open(Path::new(""), None),
    }
    let directory = match &storage.storage_path {
        Some(path) => path.clone(),
        None => home.inside(NAME)?,
    };
    let is_usual = home.path().is_ok_and(|home| same(&home.join(NAME), &directory));
    let name = match is_usual {
        true => NAME.to_owned(),
        false => name_of(&directory),
    };
    let mark = home.state().map(|state| FileAnchor::open(state, &name)).transpose()?;
    let Some(sealing) = protection.as_ref().filter(|_| storage.encryption_enabled) else {
        // A store in the clear has no mark. Where there is one, an encrypted store was.
        if let Some(mark) = mark
            && !storage.encryption_enabled
            && mark.read()?.is_some()
        {
            return Err(ConfigError::WasEncrypted { path: directory.display().to_string() });
        }
        return open(&directory, None);
    };
    let anchor: Option<Arc<dyn Anchor>> = match sealing.keyring() {
        None => mark.map(|mark| Arc::new(mark) as _),
        Some(keyring) => {
            // That there is a file says that the store is encrypted.
            if let Some(mark) = mark
                && mark.read()?.is_none()
            {
                mark.write("the mark is in the keyring")?;
            }
            let name = in_keyring(&directory, is_usual, home)?;
            Some(Arc::new(KeychainAnchor::new(keyring.clone(), &name)))
        }
    };
    open(&directory, anchor)
}

/// What opens the store where the host gave nothing: what the user chose by the environment.
pub(super) fn found(
    storage: &StorageConfig,
    home: &Home,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Protection>, ConfigError> {
    if storage.storage_type != StorageType::File || !storage.encryption_enabled {
        return Ok(None);
    }
    if let Some(chosen) = super::unlock::chosen(environment)? {
        return Ok(Some(chosen));
    }
    let directory = match &storage.storage_path {
        Some(path) => path.clone(),
        None => home.inside(NAME)?,
    };
    let by = match directory.is_dir().then(|| FileStore::open(&directory)) {
        Some(Err(StoreError::Encrypted { by, .. })) => Some(by),
        _ => None,
    };
    Err(ConfigError::Locked { path: directory.display().to_string(), by })
}

/// The name of the mark of a store at a place of its own.
fn name_of(directory: &Path) -> String {
    let digest = Digest::of_bytes(resolved(directory).as_os_str().as_encoded_bytes());
    format!("{NAME}-{digest}").chars().filter(|c| *c != ':').collect()
}

/// The name of the mark in a keyring; for the command's own store it is the command's.
fn in_keyring(directory: &Path, is_usual: bool, home: &Home) -> Result<String, ConfigError> {
    let of = if is_usual { home.path()?.to_owned() } else { resolved(directory) };
    Ok(format!("{NAME} in {}", of.display()))
}

fn same(left: &Path, right: &Path) -> bool {
    resolved(left) == resolved(right)
}

/// A path without links, also of a directory that is still to be made.
fn resolved(path: &Path) -> PathBuf {
    if let Ok(whole) = path.canonicalize() {
        return whole;
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            resolved(parent).join(name)
        }
        _ => path.to_owned(),
    }
}
