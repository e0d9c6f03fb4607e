//! Approvals in a directory of files.
//!
//! Each approval, and what is remembered of each server, is a file of its own; approvals that are
//! given together, as those of one listing, share one. The file `head` lists them with their digests and is the one point of commitment: a record that it does not
//! name does not count, and one that is not exactly what it names is an error. So two files that
//! are swapped, cut, edited or put back from an older copy approve nothing, and a crash in the
//! middle of a write leaves the state from before it.
//!
//! # Encrypted, and not
//!
//! Under a [`Protection`] the head, every record and the names of the files are sealed as
//! [`crate::secret`] says, so whoever can write the directory and has not the key can neither read
//! nor make an approval. [`FileStore::in_the_clear`] does without, open to their owner only: who may
//! write the whole directory can then also write a matching head. A plain
//! store is never taken for an encrypted one; [`FileStore::encrypt`] turns it into one on purpose.
//!
//! # Old copies
//!
//! An old record put back is found out by its generation, always. An old copy of *all* files is
//! found out by a process that has seen the newer one, and by any process that is given an
//! [`Anchor`], a mark outside the directory. Without an anchor, or when an old mark is put back
//! together with the old copy, nobody can know; the system's keyring is the place where that is
//! hardest.
//!
//! The files are small and are read and written in place, on the thread that polls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::approval::{
    Approval, ApprovalKey, ApprovalStore, Listing, Seen, SeenManifest, ServerMemory, StoreError,
    tagged,
};
use crate::secret::{Protection, ProtectionKind};
use crate::time::UnixTime;

mod anchor;
mod anchored;
mod backup;
mod bundle;
mod config;
pub(crate) mod disk;
mod head;
#[cfg(test)]
mod memory_files;
mod pack;
pub(crate) mod vault;

pub use anchor::{Anchor, FileAnchor, KeychainAnchor};
pub use bundle::{Bundle, Imported};
pub use config::{StorageConfig, StorageType};
use head::Entry;
pub(crate) use head::Kind;
use vault::{Draft, Options, Vault};

/// A store in a directory that belongs to one user. Several processes may share it.
///
/// ```
/// # use core::{pin::pin, task::{Context, Poll, Waker}};
/// # fn now<T>(future: impl Future<Output = T>) -> T {
/// #     match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
/// #         Poll::Ready(value) => value,
/// #         Poll::Pending => unreachable!(),
/// #     }
/// # }
/// # let directory = std::env::temp_dir().join(format!("etdi-doc-{}", std::process::id()));
/// use etdi_core::approval::{ApprovalKey, ApprovalStore};
/// use etdi_core::secret::{Protection, SealingKey};
/// use etdi_core::store::FileStore;
///
/// let protection = Protection::key(SealingKey::generate()?);
/// let store = FileStore::open(&directory, protection)?;
/// let key = ApprovalKey::new("https://mcp.acme.example/mcp", None, "search");
/// assert_eq!(now(store.get(&key))?, None);
///
/// // Nobody opens it without the key, and a head that someone touched approves nothing.
/// assert!(FileStore::in_the_clear(&directory).is_err());
/// std::fs::write(directory.join("head"), "nothing is approved")?;
/// assert!(now(store.get(&key)).is_err());
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileStore {
    vault: Vault,
}

/// How a [`FileStore`] is opened.
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is opened yet"]
pub struct FileStoreOptions {
    options: Options,
    in_the_clear: bool,
}

/// What a directory holds, as far as can be seen without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreState {
    /// No store yet.
    Absent,
    /// A store in the clear, which anybody who writes the directory could have made.
    Clear,
    /// A sealed store. What opens it, it says itself; nobody vouches for that before it is open.
    Sealed(ProtectionKind),
}

impl FileStoreOptions {
    /// Encrypts the store, or opens one that was encrypted so.
    pub fn protection(mut self, protection: Protection) -> Self {
        self.options.protection = Some(protection);
        self
    }

    /// Keeps the store in the clear: whoever can write its directory decides what is approved.
    pub fn in_the_clear(mut self) -> Self {
        (self.in_the_clear, self.options.protection) = (true, None);
        self
    }

    /// Keeps a mark of the newest generation outside the directory, so that an old copy of all of
    /// it is found out. From then on the store does not open without it.
    pub fn anchor(mut self, anchor: Arc<dyn Anchor>) -> Self {
        self.options.anchor = Some(anchor);
        self
    }

    /// Takes the store as it is, also when it is older than its mark says or the mark is gone: an
    /// operator's act, after a backup was put back on purpose.
    pub fn accept_restored(mut self) -> Self {
        self.options.accept_restored = true;
        self
    }

    /// Opens the store, which is created, open to its owner only, when it is not there. With a
    /// passphrase this takes a tenth of a second or more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Setting`] when nothing was said about encryption, [`StoreError::Exposed`] when
    /// others may enter the directory, [`StoreError::Corrupt`] when it holds records without a valid head, [`StoreError::Encrypted`],
    /// [`StoreError::NotEncrypted`] or [`StoreError::Protection`] when it is not encrypted as was
    /// said, [`StoreError::RolledBack`] or [`StoreError::Anchor`] when it is not what its mark
    /// says. Nothing in it counts then, and it is left as it is.
    pub fn open(self, directory: impl AsRef<Path>) -> Result<FileStore, StoreError> {
        if self.options.protection.is_none() && !self.in_the_clear {
            return Err(StoreError::Setting {
                what: "a store is sealed: give its options a `Protection`, or say `in_the_clear`",
            });
        }
        let vault = Vault::open(directory.as_ref(), Kind::Approvals, self.options)?;
        Ok(FileStore { vault })
    }
}

/// A record of an approval, as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalRecord {
    v: u32,
    approval: Approval,
}

/// A record of what is remembered of a server, as it stands in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerRecord {
    v: u32,
    generation: u64,
    memory: ServerMemory,
}

/// The format of the records.
const VERSION: u32 = 1;
const APPROVAL: &str = "approval-";
const SERVER: &str = "server-";

fn approval_name(key: &ApprovalKey) -> String {
    format!("{APPROVAL}{}", hex(key.digest().as_bytes()))
}

fn server_name(server: &str) -> String {
    format!("{SERVER}{}", hex(tagged("etdi-server-v1", &[Some(server)]).as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use core::fmt::Write;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl FileStore {
    /// Opens a sealed store, which is created, open to its owner only, when it is not there.
    ///
    /// # Errors
    ///
    /// As [`FileStoreOptions::open`].
    pub fn open(directory: impl AsRef<Path>, protection: Protection) -> Result<Self, StoreError> {
        Self::options().protection(protection).open(directory)
    }

    /// Opens a store that is not encrypted, which is created when it is not there. Whoever can write
    /// its directory decides what is approved, so this is for tests and for directories that are out
    /// of everybody's reach.
    ///
    /// # Errors
    ///
    /// As [`FileStoreOptions::open`].
    pub fn in_the_clear(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::options().in_the_clear().open(directory)
    }

    /// What is in a directory; nothing is made.
    ///
    /// # Errors
    ///
    /// When others may enter it, or what is there is no whole store.
    pub fn state_of(directory: impl AsRef<Path>) -> Result<StoreState, StoreError> {
        let directory = directory.as_ref();
        if !directory.exists() || !Vault::is_in(directory)? {
            return Ok(StoreState::Absent);
        }
        match Self::in_the_clear(directory) {
            Ok(_) => Ok(StoreState::Clear),
            Err(StoreError::Encrypted { by, .. }) => Ok(StoreState::Sealed(by)),
            Err(error) => Err(error),
        }
    }

    /// Opens a store with a protection, an anchor, or both.
    pub fn options() -> FileStoreOptions {
        FileStoreOptions::default()
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.vault.directory()
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.vault.is_encrypted()
    }

    /// Whether nothing is approved and nothing remembered.
    ///
    /// # Errors
    ///
    /// When the head cannot be read.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.vault.names()?.is_empty())
    }

    /// What lies in the directory and belongs to no approval: other people's files, and what a
    /// crash left. None of it counts.
    ///
    /// # Errors
    ///
    /// When the directory or its head cannot be read.
    pub fn strangers(&self) -> Result<Vec<PathBuf>, StoreError> {
        self.vault.strangers()
    }

    /// Takes an approval away whatever its file holds: the way out when a record is damaged. Says
    /// whether there was one.
    ///
    /// # Errors
    ///
    /// As any write.
    pub fn discard(&self, key: &ApprovalKey) -> Result<bool, StoreError> {
        self.vault.write(|_, draft| Ok(draft.remove(&approval_name(key))))
    }

    /// Encrypts a store that is not, with the approvals that are in it: whoever could write the
    /// directory may have made some of them, so look at them first. The unencrypted files are
    /// deleted, not shredded. An encrypted store gets a new data key.
    ///
    /// # Errors
    ///
    /// As any write, and when a record cannot be read: discard it first. The store stays as it was.
    pub fn encrypt(&self, protection: Protection) -> Result<(), StoreError> {
        self.vault.rotate(Some(protection))
    }

    /// Makes a new data key and seals everything anew, under the same protection.
    ///
    /// # Errors
    ///
    /// As [`FileStore::encrypt`]; [`StoreError::NotEncrypted`] when there is no key.
    pub fn rotate_key(&self) -> Result<(), StoreError> {
        self.vault.rotate(None)
    }

    /// Protects the store in another way, such as by another passphrase, with a new data key: what
    /// opened it before opens nothing that is written from now on, and makes nothing that counts. A
    /// key of the store's in a keyring is taken out of it. Whoever knows the old passphrase and has an
    /// old copy of the files can still read that copy.
    ///
    /// # Errors
    ///
    /// As any write.
    pub fn protect(&self, protection: Protection) -> Result<(), StoreError> {
        self.vault.rotate(Some(protection))
    }

    /// Takes a time for the latest, whatever was noted before: an operator's act, when the clock
    /// was wrong and is right now.
    ///
    /// # Errors
    ///
    /// As any write.
    pub fn set_clock(&self, now: UnixTime) -> Result<(), StoreError> {
        self.vault.set_clock(now)
    }

    /// The approval in a record.
    fn approval(&self, name: &str) -> Result<Option<Approval>, StoreError> {
        let Some((generation, text)) = self.vault.record(name)? else { return Ok(None) };
        let damaged = |what| self.vault.fault(name, what);
        let record: ApprovalRecord =
            serde_json::from_slice(text.reveal()).map_err(|_| damaged("cannot be read"))?;
        let mut approval = record.approval;
        // The digest in the head already binds the bytes to the name; this binds the name to the
        // key, whoever wrote the head. A record that was sealed anew has a later generation.
        let bound = record.v == VERSION
            && approval.generation <= generation
            && approval_name(&approval.key) == name;
        approval.generation = generation;
        if bound { Ok(Some(approval)) } else { Err(damaged("belongs to another approval")) }
    }

    fn server(&self, server: &str) -> Result<Option<ServerMemory>, StoreError> {
        self.server_record(&server_name(server))
    }

    fn server_record(&self, name: &str) -> Result<Option<ServerMemory>, StoreError> {
        let Some((generation, text)) = self.vault.record(name)? else { return Ok(None) };
        let damaged = |what| self.vault.fault(name, what);
        let record: ServerRecord =
            serde_json::from_slice(text.reveal()).map_err(|_| damaged("cannot be read"))?;
        let bound = record.v == VERSION
            && record.generation <= generation
            && server_name(&record.memory.server) == name;
        if bound { Ok(Some(record.memory)) } else { Err(damaged("belongs to another server")) }
    }

    fn put_now(
        &self,
        mut approval: Approval,
        expected: Option<u64>,
    ) -> Result<Approval, StoreError> {
        self.vault.write(|generation, draft| {
            let name = approval_name(&approval.key);
            compare(draft, &name, expected)?;
            approval.generation = generation;
            let record = ApprovalRecord { v: VERSION, approval };
            draft.put(name, encode(&record)?);
            Ok(record.approval)
        })
    }

    fn put_all_now(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> Result<Vec<Approval>, StoreError> {
        self.vault.write(|generation, draft| {
            let (mut names, mut stored) = (BTreeSet::new(), Vec::with_capacity(approvals.len()));
            for (mut approval, expected) in approvals {
                let name = approval_name(&approval.key);
                compare(draft, &name, expected)?;
                if !names.insert(name.clone()) {
                    return Err(StoreError::Conflict { current: Some(generation) });
                }
                approval.generation = generation;
                let record = ApprovalRecord { v: VERSION, approval };
                draft.put(name, encode(&record)?);
                stored.push(record.approval);
            }
            Ok(stored)
        })
    }

    fn remove_now(&self, key: &ApprovalKey, expected: u64) -> Result<(), StoreError> {
        self.vault.write(|_, draft| {
            let name = approval_name(key);
            compare(draft, &name, Some(expected))?;
            draft.remove(&name);
            Ok(())
        })
    }

    fn list_now(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for name in self.vault.names()?.iter().filter(|name| name.starts_with(APPROVAL)) {
            match self.approval(name) {
                Ok(approval) => listing.approvals.extend(approval),
                Err(fault) => listing.faults.push(fault),
            }
        }
        listing.approvals.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listing)
    }

    /// Adds to what is remembered of a server; `add` says whether anything was new.
    fn grow_now(
        &self,
        server: &str,
        add: impl Fn(&mut ServerMemory) -> Result<bool, StoreError>,
    ) -> Result<ServerMemory, StoreError> {
        let known = |memory: Option<ServerMemory>| {
            let mut memory = memory.unwrap_or_else(|| ServerMemory::new(server));
            add(&mut memory).map(|new| (memory, new))
        };
        // Most listings bring nothing new, and then nothing is locked.
        let (memory, new) = known(self.server(server)?)?;
        if !new {
            return Ok(memory);
        }
        self.vault.write(|generation, draft| {
            let (memory, new) = known(self.server(server)?)?;
            if !new {
                return Ok(memory);
            }
            let record = ServerRecord { v: VERSION, generation, memory };
            draft.put(server_name(server), encode(&record)?);
            Ok(record.memory)
        })
    }

    fn forget_now(&self, server: &str, tool: &str) -> Result<bool, StoreError> {
        self.vault.write(|generation, draft| {
            let Some(mut memory) = self.server(server)? else { return Ok(false) };
            if !memory.forget(tool) {
                return Ok(false);
            }
            if memory.is_empty() {
                draft.remove(&server_name(server));
                return Ok(true);
            }
            let record = ServerRecord { v: VERSION, generation, memory };
            draft.put(server_name(server), encode(&record)?);
            Ok(true)
        })
    }
}

fn compare(draft: &Draft, name: &str, expected: Option<u64>) -> Result<(), StoreError> {
    let current = draft.generation(name);
    if current == expected { Ok(()) } else { Err(StoreError::Conflict { current }) }
}

fn encode(record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| StoreError::Other { message: error.to_string() })
}

type Records = BTreeMap<String, Entry>;

impl ApprovalStore for FileStore {
    fn get<'a>(
        &'a self,
        key: &'a ApprovalKey,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>> {
        Box::pin(async move { self.approval(&approval_name(key)) })
    }

    fn put(
        &self,
        approval: Approval,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<Approval, StoreError>> {
        Box::pin(async move { self.put_now(approval, expected) })
    }

    fn put_all(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>> {
        Box::pin(async move { self.put_all_now(approvals) })
    }

    fn remove<'a>(
        &'a self,
        key: &'a ApprovalKey,
        expected: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.remove_now(key, expected) })
    }

    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move { self.list_now() })
    }

    fn memory<'a>(
        &'a self,
        server: &'a str,
    ) -> BoxFuture<'a, Result<Option<ServerMemory>, StoreError>> {
        Box::pin(async move { self.server(server) })
    }

    fn remember<'a>(
        &'a self,
        server: &'a str,
        seen: &'a [Seen],
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        Box::pin(async move { self.grow_now(server, |memory| memory.add(seen, now)) })
    }

    fn remember_manifest<'a>(
        &'a self,
        server: &'a str,
        seen: &'a SeenManifest,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        Box::pin(async move { self.grow_now(server, |memory| memory.add_manifest(seen)) })
    }

    fn forget<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { self.forget_now(server, tool) })
    }

    fn observe(&self, now: UnixTime, exact: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.vault.observe(now, exact) })
    }

    fn generation(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.vault.generation() })
    }

    fn observed(&self, now: UnixTime) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.vault.observed(now) })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
