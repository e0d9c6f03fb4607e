//! The approval store that settings name, opened as the command opens it: sealed, with the same mark
//! against old copies in the same place, and by the same key.

use std::path::Path;
use std::sync::Arc;

use etdi_core::approval::ApprovalStore;
use etdi_core::secret::Protection;

use super::home::Home;
use super::place::{ApprovalPlace, NAME, Taken, resolved};
use super::{ConfigError, StorageConfig, StorageType};
use crate::system_time;

/// Opens the store, and says what seals it; one that the host must give itself is an error.
/// `given` is the host's protection; without it the user's choice, or the store's own.
pub(super) fn open(
    storage: &StorageConfig,
    home: &Home,
    given: Option<Protection>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Arc<dyn ApprovalStore>, Option<Protection>), ConfigError> {
    if storage.storage_type != StorageType::File {
        let store = storage.open(Path::new(""), given.clone(), None, system_time())?;
        return Ok((store, given));
    }
    let place = place(storage, home)?;
    let directory = place.directory();
    if !storage.encryption_enabled {
        // A store in the clear has no mark. Where there is one, an encrypted store was.
        if place.was_sealed()? {
            return Err(ConfigError::WasEncrypted { path: directory.display().to_string() });
        }
        return Ok((storage.open(directory, given, None, system_time())?, None));
    }
    let chosen = match given {
        Some(given) => Some(given),
        None => super::unlock::chosen(environment)?,
    };
    let sealed = place.seal(chosen, Taken::Checked)?;
    let protection = Some(sealed.protection);
    let store = storage.open(directory, protection.clone(), sealed.anchor, system_time())?;
    Ok((store, protection))
}

fn place(storage: &StorageConfig, home: &Home) -> Result<ApprovalPlace, ConfigError> {
    let state = home.state().map(Path::to_owned);
    let Some(path) = &storage.storage_path else {
        home.inside(NAME)?;
        let place = ApprovalPlace::of_command(home.path()?, state);
        return Ok(place.prefer_keyring(home.is_standard()));
    };
    let is_usual = home.path().is_ok_and(|home| resolved(&home.join(NAME)) == resolved(path));
    let place = match is_usual {
        true => ApprovalPlace::of_command(home.path()?, state).also_named(path),
        false => ApprovalPlace::new(path.clone(), state),
    };
    Ok(place.prefer_keyring(home.is_standard()))
}
