//! Approvals in a directory of files.
//!
//! Each approval, and what is remembered of each server, is a file of its own, named after the
//! SHA-256 of its key and its generation. The file `head` lists them with their digests and is
//! the one point of commitment: a record that it does not name does not count, and one that is
//! not exactly what it names is an error. So two files that are swapped, cut, edited or put back
//! from an older copy approve nothing, and a crash in the middle of a write leaves the state from
//! before it.
//!
//! What this cannot do without a secret: whoever may write the whole directory can also write a
//! matching `head`, and whoever restores an old copy of *all* files brings the old state back,
//! except to a process that has already seen a newer one. The directory and the files are open to
//! their owner only; they are not encrypted yet.
//!
//! The files are small and are read and written in place, on the thread that polls.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::approval::{
    Approval, ApprovalKey, ApprovalStore, Listing, MAX_RECORDS, Seen, SeenManifest, ServerMemory,
    StoreError, tagged,
};
use crate::digest::Digest;
use crate::time::UnixTime;

pub(crate) mod disk;
mod head;

use disk::Disk;
use head::{Entry, Head};

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
/// use etdi_core::store::FileStore;
///
/// let store = FileStore::open(&directory)?;
/// let key = ApprovalKey::new("https://mcp.acme.example/mcp", None, "search");
/// assert_eq!(now(store.get(&key))?, None);
///
/// // A head that someone touched approves nothing, it is an error.
/// std::fs::write(directory.join("head"), "nothing is approved")?;
/// assert!(now(store.get(&key)).is_err());
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileStore {
    disk: Disk,
    /// Writers of this process queue here; the lock on the file is for other processes.
    writer: Mutex<()>,
    seen: Mutex<Head>,
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
    format!("{APPROVAL}{}", hex(&key.digest()))
}

fn server_name(server: &str) -> String {
    format!("{SERVER}{}", hex(&tagged("etdi-server-v1", &[Some(server)])))
}

fn hex(digest: &Digest) -> String {
    use core::fmt::Write;
    digest.as_bytes().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl FileStore {
    /// Opens the store in a directory, which is created, open to its owner only, when it is not
    /// there.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exposed`] when others may enter the directory, [`StoreError::Corrupt`] when
    /// it holds records without a valid head: nothing in it counts then, and it is left as it is.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StoreError> {
        let disk = Disk::open(directory.as_ref())?;
        if disk.read(head::NAME, head::MAX_BYTES)?.is_none() {
            let _lock = disk.lock()?;
            // Another process may have been faster.
            if disk.read(head::NAME, head::MAX_BYTES)?.is_none() {
                if disk.names()?.iter().any(|name| is_record(name)) {
                    return Err(head::damaged(&disk, "it holds records and no head"));
                }
                disk.write(head::NAME, &Head::default().encode()?)?;
            }
        }
        let store = Self { disk, writer: Mutex::default(), seen: Mutex::default() };
        store.head()?;
        Ok(store)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        self.disk.directory()
    }

    /// What lies in the directory and belongs to no approval: other people's files, and what a
    /// crash left. None of it counts.
    ///
    /// # Errors
    ///
    /// When the directory or its head cannot be read.
    pub fn strangers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let head = self.head()?;
        let ours = |name: &String| {
            name == head::NAME
                || name == disk::LOCK
                || head
                    .records
                    .iter()
                    .any(|(record, entry)| *name == file(record, entry.generation))
        };
        let names = self.disk.names()?;
        Ok(names.into_iter().filter(|name| !ours(name)).map(|name| self.disk.path(&name)).collect())
    }

    /// Takes an approval away whatever its file holds: the way out when a record is damaged. Says
    /// whether there was one.
    ///
    /// # Errors
    ///
    /// As any write.
    pub fn discard(&self, key: &ApprovalKey) -> Result<bool, StoreError> {
        self.write(|_, head| Ok((head.records.remove(&approval_name(key)).is_some(), None)))
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Head> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present head, checked against the newest that this process has seen.
    fn head(&self) -> Result<Head, StoreError> {
        let bytes = self.disk.read(head::NAME, head::MAX_BYTES)?;
        let bytes = bytes.ok_or_else(|| head::damaged(&self.disk, "its head is gone"))?;
        let mut seen = self.seen();
        if seen.is_still(&bytes) {
            return Ok(seen.clone());
        }
        let head = Head::decode(&bytes).map_err(|what| head::damaged(&self.disk, what))?;
        if head.generation < seen.generation {
            return Err(StoreError::RolledBack { seen: seen.generation, found: head.generation });
        }
        if head.generation == seen.generation && !seen.is_new() {
            return Err(head::damaged(&self.disk, "its head changed without a new generation"));
        }
        seen.clone_from(&head);
        Ok(head)
    }

    /// The bytes of a record that are exactly what the head names.
    fn record(&self, name: &str) -> Result<Option<(Entry, Vec<u8>)>, StoreError> {
        let mut tried = None;
        loop {
            let head = self.head()?;
            let Some(entry) = head.records.get(name).copied() else { return Ok(None) };
            let file = file(name, entry.generation);
            let Some(bytes) = self.disk.read(&file, MAX_RECORD_BYTES)? else {
                // Another process may have replaced the record after the head was read.
                if tried == Some(entry) {
                    return Err(self.damaged(&file, "is gone"));
                }
                tried = Some(entry);
                continue;
            };
            if Digest::of_bytes(&bytes) != entry.digest {
                return Err(self.damaged(&file, "is not what was written"));
            }
            return Ok(Some((entry, bytes)));
        }
    }

    fn damaged(&self, file: &str, what: &str) -> StoreError {
        let path = self.disk.path(file);
        StoreError::Corrupt {
            what: format!("`{}` {what}; discard it and approve the tool again", path.display()),
        }
    }

    /// The approval in a record.
    fn approval(&self, name: &str) -> Result<Option<Approval>, StoreError> {
        let Some((entry, bytes)) = self.record(name)? else { return Ok(None) };
        let damaged = |what| self.damaged(&file(name, entry.generation), what);
        let record: ApprovalRecord =
            serde_json::from_slice(&bytes).map_err(|_| damaged("cannot be read"))?;
        let approval = record.approval;
        // The digest in the head already binds the bytes to the name; this binds the name to the
        // key, whoever wrote the head.
        let bound = record.v == VERSION
            && approval.generation == entry.generation
            && approval_name(&approval.key) == name;
        if bound { Ok(Some(approval)) } else { Err(damaged("belongs to another approval")) }
    }

    fn server(&self, server: &str) -> Result<Option<ServerMemory>, StoreError> {
        let name = server_name(server);
        let Some((entry, bytes)) = self.record(&name)? else { return Ok(None) };
        let damaged = |what| self.damaged(&file(&name, entry.generation), what);
        let record: ServerRecord =
            serde_json::from_slice(&bytes).map_err(|_| damaged("cannot be read"))?;
        let bound = record.v == VERSION
            && record.generation == entry.generation
            && record.memory.server == server;
        if bound { Ok(Some(record.memory)) } else { Err(damaged("belongs to another server")) }
    }

    /// One write: `change` gets the generation to come and the head, alters the head's list, and
    /// may give a record to write first. The head is written last.
    fn write<T>(
        &self,
        change: impl FnOnce(u64, &mut Head) -> Result<(T, Option<NewRecord>), StoreError>,
    ) -> Result<T, StoreError> {
        let _writer = self.writer();
        let _lock = self.disk.lock()?;
        let before = self.head()?;
        let mut head = before.clone();
        let generation = before.generation.saturating_add(1);
        let (value, record) = change(generation, &mut head)?;
        if let Some(NewRecord { name, bytes }) = record {
            if bytes.len() > MAX_RECORD_BYTES {
                return Err(StoreError::Full { what: "bytes in one record" });
            }
            self.disk.write(&file(&name, generation), &bytes)?;
            head.records.insert(name, Entry { generation, digest: Digest::of_bytes(&bytes) });
        }
        if head.records == before.records {
            return Ok(value);
        }
        if head.records.len() > MAX_RECORDS {
            return Err(StoreError::Full { what: "approvals" });
        }
        head.generation = generation;
        self.disk.write(head::NAME, &head.encode()?)?;
        self.head()?;
        for (name, entry) in &before.records {
            if head.records.get(name) != Some(entry) {
                // It counts no longer; when it cannot be deleted it is a stranger.
                let _ = self.disk.delete(&file(name, entry.generation));
            }
        }
        Ok(value)
    }

    fn put_now(
        &self,
        mut approval: Approval,
        expected: Option<u64>,
    ) -> Result<Approval, StoreError> {
        self.write(|generation, head| {
            let name = approval_name(&approval.key);
            compare(head, &name, expected)?;
            approval.generation = generation;
            let record = ApprovalRecord { v: VERSION, approval };
            let bytes = encode(&record)?;
            Ok((record.approval, Some(NewRecord { name, bytes })))
        })
    }

    fn remove_now(&self, key: &ApprovalKey, expected: u64) -> Result<(), StoreError> {
        self.write(|_, head| {
            let name = approval_name(key);
            compare(head, &name, Some(expected))?;
            head.records.remove(&name);
            Ok(((), None))
        })
    }

    fn list_now(&self) -> Result<Listing, StoreError> {
        let mut listing = Listing::default();
        for name in self.head()?.records.keys().filter(|name| name.starts_with(APPROVAL)) {
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
        self.write(|generation, _| {
            let (memory, new) = known(self.server(server)?)?;
            if !new {
                return Ok((memory, None));
            }
            let record = ServerRecord { v: VERSION, generation, memory };
            let bytes = encode(&record)?;
            Ok((record.memory, Some(NewRecord { name: server_name(server), bytes })))
        })
    }

    fn forget_now(&self, server: &str, tool: &str) -> Result<bool, StoreError> {
        self.write(|generation, head| {
            let Some(mut memory) = self.server(server)? else { return Ok((false, None)) };
            if !memory.forget(tool) {
                return Ok((false, None));
            }
            if memory.is_empty() {
                head.records.remove(&server_name(server));
                return Ok((true, None));
            }
            let record = ServerRecord { v: VERSION, generation, memory };
            let bytes = encode(&record)?;
            Ok((true, Some(NewRecord { name: server_name(server), bytes })))
        })
    }

    fn generation_now(&self) -> Result<u64, StoreError> {
        let start = self.disk.read_start(head::NAME, head::LINE_BYTES)?;
        let start = start.ok_or_else(|| head::damaged(&self.disk, "its head is gone"))?;
        if self.seen().is_still(&start) {
            return Ok(self.seen().generation);
        }
        self.head().map(|head| head.generation)
    }
}

/// A record that is to be written under the coming generation.
struct NewRecord {
    name: String,
    bytes: Vec<u8>,
}

/// A definition may be half a mebibyte, and an approval may hold two.
const MAX_RECORD_BYTES: usize = 4 << 20;

fn file(name: &str, generation: u64) -> String {
    format!("{name}.{generation}.json")
}

fn is_record(name: &str) -> bool {
    (name.starts_with(APPROVAL) || name.starts_with(SERVER)) && name.ends_with(".json")
}

fn compare(head: &Head, name: &str, expected: Option<u64>) -> Result<(), StoreError> {
    let current = head.records.get(name).map(|entry| entry.generation);
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

    fn generation(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { self.generation_now() })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
