//! Which servers a yes without a person may be the first to: those of which the store knows nothing,
//! under this name or under another.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use etdi::core::approval::{ApprovalStore, Facts, Pin};
use etdi_core::store::FileStore;

use crate::exit::Failure;
use crate::locked::failed;

/// What the store knew when the command began: also what was withdrawn, has expired or was imported.
#[derive(Debug, Default)]
pub struct Before {
    servers: HashSet<String>,
    pins: Vec<Pin>,
    /// Something could not be read, and may be about any server.
    has_faults: bool,
}

impl Before {
    /// What a store knows.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn of(store: &FileStore) -> Result<Self, Failure> {
        let listing = store.list().await.map_err(failed)?;
        let has_faults = !listing.faults.is_empty();
        let servers = listing.approvals.iter().map(|one| one.key.server.clone()).collect();
        let pins = listing.approvals.into_iter().filter_map(|one| one.pin).collect();
        Ok(Self { servers, pins, has_faults })
    }

    /// Whether a tool is of a server that is known: by its name, or by a program that was approved under
    /// another name or in another spelling.
    pub fn knows(&self, facts: &Facts<'_>) -> bool {
        let is_known = |pin: &Pin| self.pins.iter().any(|other| is_same_place(pin, other));
        self.has_faults || self.servers.contains(facts.server) || facts.pin.is_some_and(is_known)
    }
}

/// Whether two pins are of the same files, given the same arguments but for how files are spelled.
pub fn is_same(one: &Pin, other: &Pin) -> bool {
    one.executable == other.executable
        && one.digest == other.digest
        && one.files.values().eq(other.files.values())
        && words(one).eq(words(other))
}

/// The same where the program may have been moved, or written anew, since.
fn is_same_place(one: &Pin, other: &Pin) -> bool {
    // What an argument names in the directory of then is not known.
    let places = |pin: &Pin| -> Option<Vec<PathBuf>> {
        let files = pin.files.keys().map(Path::new);
        let place = |path: &Path| path.is_absolute().then(|| fs::canonicalize(path).ok()).flatten();
        let mut places = files.map(place).collect::<Option<Vec<_>>>()?;
        places.sort();
        Some(places)
    };
    (one.executable == other.executable || one.digest == other.digest)
        && (one.files.values().eq(other.files.values())
            || places(one).is_some_and(|own| places(other) == Some(own)))
        && words(one).eq(words(other))
}

/// The arguments that name no file.
fn words(pin: &Pin) -> impl Iterator<Item = &String> {
    pin.argv.iter().skip(1).filter(|word| !pin.files.contains_key(*word))
}
