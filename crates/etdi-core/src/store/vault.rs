//! Records in a directory: written whole or not at all, under one head, sealed where there is a
//! key. What a record means is its owner's affair.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ring::rand::{SecureRandom, SystemRandom};

use super::disk::{Disk, Files, LOCK};
use super::head::{self, Body, Entry, Head, Kind, Line, Place, Sealing};
use super::pack::Pack;
use super::{Anchor, Records, anchored};
use crate::approval::{MAX_RECORDS, StoreError, is_back};
use crate::base64url;
use crate::digest::Digest;
use crate::secret::{KEY_MAX_BYTES, Protection, ProtectionError, SealingKey, Secret, WrappedKey};
use crate::time::UnixTime;

mod opening;

/// How a directory of records is opened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) protection: Option<Protection>,
    pub(crate) anchor: Option<Arc<dyn Anchor>>,
    /// Take the store as it is, also when it is older than its mark says.
    pub(crate) accept_restored: bool,
}

#[derive(Debug)]
pub(crate) struct Vault {
    files: Box<dyn Files>,
    kind: Kind,
    protection: Mutex<Option<Protection>>,
    anchor: Option<Arc<dyn Anchor>>,
    /// Writers of this process queue here; the lock on the file is for other processes.
    writer: Mutex<()>,
    seen: Mutex<Option<Arc<Head>>>,
}

/// A head in the making, and the records that are to be written with it.
pub(crate) struct Draft {
    pub(super) body: Body,
    new: Vec<(String, Secret)>,
}

impl Draft {
    /// The generation of a record.
    pub(crate) fn generation(&self, name: &str) -> Option<u64> {
        self.body.records.get(name).map(|entry| entry.generation)
    }

    /// Puts a record in place of the one of that name. The bytes are cleared once they are sealed.
    pub(crate) fn put(&mut self, name: String, bytes: Vec<u8>) {
        self.new.push((name, Secret::new(bytes)));
    }

    /// Takes a record away, and says whether there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.body.records.remove(name).is_some()
    }
}

/// A definition may be half a mebibyte, and an approval may hold two.
pub(crate) const MAX_RECORD_BYTES: usize = 4 << 20;
/// At least so much time passes between two notes of the time alone.
const CLOCK_STEP: u64 = 3_600;
const SEALED: &str = ".sealed";
const PLAIN: &str = ".json";
/// How the name of a file of several records starts.
const SEVERAL: &str = "several.";

impl Vault {
    pub(crate) fn open(directory: &Path, kind: Kind, options: Options) -> Result<Self, StoreError> {
        Self::over(Box::new(Disk::open(directory)?), kind, options)
    }

    /// Whether a directory holds a store of any kind.
    pub(super) fn is_in(directory: &Path) -> Result<bool, StoreError> {
        Ok(Disk::open(directory)?.read_start(head::NAME, 1)?.is_some())
    }

    pub(super) fn over(
        files: Box<dyn Files>,
        kind: Kind,
        options: Options,
    ) -> Result<Self, StoreError> {
        let Options { protection, anchor, accept_restored } = options;
        let vault = Self {
            files,
            kind,
            protection: Mutex::new(protection),
            anchor,
            writer: Mutex::default(),
            seen: Mutex::default(),
        };
        if vault.files.read_start(head::NAME, 1)?.is_none() {
            vault.found(accept_restored)?;
        }
        vault.join(accept_restored)?;
        Ok(vault)
    }

    pub(crate) fn directory(&self) -> &Path {
        self.files.directory()
    }

    #[cfg(test)]
    pub(super) fn files(&self) -> &dyn Files {
        &*self.files
    }

    pub(crate) fn present_protection(&self) -> Option<Protection> {
        self.protection().clone()
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.protection().is_some()
    }

    /// What lies in the directory and belongs to nothing.
    pub(crate) fn strangers(&self) -> Result<Vec<PathBuf>, StoreError> {
        let head = self.head()?;
        let mut ours: Vec<String> = vec![head::NAME.to_owned(), LOCK.to_owned()];
        ours.extend(head.sealing.as_ref().map(|sealing| key_file(sealing.generation)));
        for (name, entry) in &head.body.records {
            ours.push(file(head.sealing.as_ref(), name, entry));
        }
        ours.sort_unstable();
        let names = self.files.names()?.into_iter();
        let strange = names.filter(|name| ours.binary_search(name).is_err());
        Ok(strange.map(|name| self.files.path(&name)).collect())
    }

    /// The names of the records, in order.
    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        Ok(self.head()?.body.records.keys().cloned().collect())
    }

    /// A record, exactly as it was written, and its generation.
    pub(crate) fn record(&self, name: &str) -> Result<Option<(u64, Secret)>, StoreError> {
        let mut tried = None;
        loop {
            let head = self.head()?;
            let Some(entry) = head.body.records.get(name).copied() else { return Ok(None) };
            let sealing = head.sealing.as_ref();
            let file = file(sealing, name, &entry);
            let limit = MAX_RECORD_BYTES.saturating_add(1 << 10);
            let read = match entry.place {
                None => self.files.read(&file, limit)?,
                Some(place) => self.files.read_part(&file, place.from, place.length.min(limit))?,
            };
            let Some(bytes) = read else {
                // Another process may have replaced the record after the head was read.
                if tried == Some(entry) {
                    return Err(self.damaged_record(&file, "is gone"));
                }
                tried = Some(entry);
                continue;
            };
            if Digest::of_bytes(&bytes) != entry.digest {
                return Err(self.damaged_record(&file, "is not what was written"));
            }
            let text = match sealing {
                None => Secret::new(bytes),
                Some(sealing) => {
                    let about = self.about(&head.body.store, name);
                    let opened = sealing.key.open(&about, entry.generation, &bytes);
                    opened.map_err(|_| self.damaged_record(&file, "cannot be decrypted"))?
                }
            };
            return Ok(Some((entry.generation, text)));
        }
    }

    /// A fault of a record, as found by who reads it.
    pub(crate) fn fault(&self, name: &str, what: &str) -> StoreError {
        let head = match self.head() {
            Ok(head) => head,
            Err(error) => return error,
        };
        let entry = head.body.records.get(name);
        let file = entry.map(|entry| file(head.sealing.as_ref(), name, entry));
        self.damaged_record(file.as_deref().unwrap_or(name), what)
    }

    /// One write: `change` gets the generation to come and alters the draft. The head is written
    /// last; a draft that changes nothing writes nothing.
    pub(crate) fn write<T>(
        &self,
        change: impl FnOnce(u64, &mut Draft) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.write_above(0, change)
    }

    fn write_above<T>(
        &self,
        least: u64,
        change: impl FnOnce(u64, &mut Draft) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _writer = self.writer();
        let _lock = self.files.lock()?;
        let before = self.head()?;
        let generation = before.generation.max(least).saturating_add(1);
        let mut draft = Draft { body: before.body.clone(), new: Vec::new() };
        let value = change(generation, &mut draft)?;
        if draft.body.store.is_empty() {
            draft.body.store = new_id()?;
        }
        draft.body.former_mark_key = None;
        let sealing = before.sealing.as_ref();
        let mut pack = Pack::new(self.shares_files(&draft), generation);
        for (name, text) in std::mem::take(&mut draft.new) {
            let text = text.reveal();
            let bytes = self.seal(&draft.body.store, sealing, &name, generation, text)?;
            pack.add(&*self.files, sealing, name, &bytes)?;
        }
        draft.body.records.extend(pack.finish(&*self.files, sealing)?);
        if least == 0 && draft.body.without_id() == before.body.without_id() {
            return Ok(value);
        }
        self.commit(&before, generation, draft.body, sealing)?;
        Ok(value)
    }

    /// Whether the records of a write share files. Secrets never do: a file that holds a secret
    /// goes when the secret goes.
    fn shares_files(&self, draft: &Draft) -> bool {
        self.kind == Kind::Approvals && draft.new.len() > 1
    }

    /// The bytes of a record, as they are to stand in a file.
    fn seal<'a>(
        &self,
        store: &str,
        sealing: Option<&Sealing>,
        name: &str,
        generation: u64,
        text: &'a [u8],
    ) -> Result<Cow<'a, [u8]>, StoreError> {
        if text.len() > MAX_RECORD_BYTES {
            return Err(StoreError::Full { what: "bytes in one record" });
        }
        match sealing {
            None => Ok(Cow::Borrowed(text)),
            Some(sealing) => {
                Ok(Cow::Owned(sealing.key.seal(&self.about(store, name), generation, text)?))
            }
        }
    }

    /// The one point at which a write counts, and the clearing away after it.
    fn commit(
        &self,
        before: &Head,
        generation: u64,
        body: Body,
        sealing: Option<&Sealing>,
    ) -> Result<(), StoreError> {
        if body.records.len() > MAX_RECORDS {
            return Err(StoreError::Full { what: "records" });
        }
        self.files.write(head::NAME, &head::encode(self.kind, generation, &body, sealing)?)?;
        let head = self.head()?;
        if let Some(anchor) = &self.anchor {
            anchor.write(&anchored::mark(&head))?;
        }
        let key = |sealing: Option<&Sealing>| sealing.map(|sealing| sealing.generation);
        let (old, new) = (before.sealing.as_ref(), head.sealing.as_ref());
        // What counts no longer is deleted; when that fails it is a stranger.
        let replaced = |(name, entry): &(&String, &Entry)| {
            head.body.records.get(*name).is_none_or(|now| now != *entry)
        };
        let gone: BTreeSet<String> = before
            .body
            .records
            .iter()
            .filter(replaced)
            .map(|(name, entry)| file(old, name, entry))
            .collect();
        // A file of several records stays as long as one of them counts.
        let several = head.body.records.iter().filter(|(_, entry)| entry.place.is_some());
        let kept: BTreeSet<String> = several.map(|(name, entry)| file(new, name, entry)).collect();
        for file in gone.difference(&kept) {
            let _ = self.files.delete(file);
        }
        if let Some(gone) = key(old).filter(|_| key(old) != key(new)) {
            let _ = self.files.delete(&key_file(gone));
        }
        Ok(())
    }

    /// Wraps a new data key by `protection`, or by the present one, and seals everything anew: what
    /// the old key was wrapped by opens nothing that counts, wherever a copy of it lies.
    pub(crate) fn rotate(&self, protection: Option<Protection>) -> Result<(), StoreError> {
        self.rewrite(protection, true)
    }

    fn rewrite(&self, protection: Option<Protection>, fresh: bool) -> Result<(), StoreError> {
        let _writer = self.writer();
        let _lock = self.files.lock()?;
        let before = self.head()?;
        let protection = protection.or_else(|| self.protection().clone());
        let protection = protection.ok_or_else(|| StoreError::NotEncrypted {
            path: self.directory().display().to_string(),
        })?;
        let generation = before.generation.saturating_add(1);
        let mut body = before.body.clone();
        if body.store.is_empty() {
            body.store = new_id()?;
        }
        if fresh || body.mark_key.is_none() {
            // Whoever had the old data key knows what authenticated the mark as well.
            body.former_mark_key = body.mark_key.replace(new_id()?);
        }
        let kept = before.sealing.as_ref().filter(|_| !fresh).map(|sealing| sealing.key.clone());
        let anew = kept.is_none();
        let key = kept.map_or_else(SealingKey::generate, Ok)?;
        let sealing = self.wrap(&key, &body.store, generation, &protection)?;
        if anew {
            let together = self.kind == Kind::Approvals;
            let mut pack = Pack::new(together, generation);
            for name in before.body.records.keys() {
                let Some((_, text)) = self.record(name)? else { continue };
                let text = text.reveal();
                let bytes = self.seal(&body.store, Some(&sealing), name, generation, text)?;
                pack.add(&*self.files, Some(&sealing), name.clone(), &bytes)?;
            }
            body.records.extend(pack.finish(&*self.files, Some(&sealing))?);
        }
        // From here on the head that is read back is opened with the new protection.
        let old = self.protection().replace(protection.clone());
        let done = self.commit(&before, generation, body, Some(&sealing));
        if done.is_err() && !self.head_names_key(generation) {
            *self.protection() = old;
        } else if let Some(old) = old.filter(|_| done.is_ok()) {
            old.forget(&before.body.store, &protection);
        }
        done
    }

    fn head_names_key(&self, generation: u64) -> bool {
        let bytes = self.files.read(head::NAME, head::MAX_BYTES);
        let Ok(Some(bytes)) = bytes else { return false };
        Line::read(self.kind, &bytes).is_ok_and(|line| line.key == Some(generation))
    }

    /// Holds a time against the latest that was noted, and notes it.
    pub(crate) fn observe(&self, now: UnixTime, exact: bool) -> Result<(), StoreError> {
        let latest = self.head()?.body.latest;
        if is_back(latest, now) {
            return Err(StoreError::ClockBack { latest, now });
        }
        let step = if exact { 1 } else { CLOCK_STEP };
        if now < latest.plus(step) {
            return Ok(());
        }
        self.write(|_, draft| {
            draft.body.latest = draft.body.latest.max(now);
            Ok(())
        })
    }

    /// Both [`Self::observe`], within the hour, and [`Self::generation`], of one look at the head.
    pub(crate) fn observed(&self, now: UnixTime) -> Result<u64, StoreError> {
        let head = self.head()?;
        let latest = head.body.latest;
        if !is_back(latest, now) && now < latest.plus(CLOCK_STEP) {
            return Ok(head.generation);
        }
        self.observe(now, false)?;
        self.generation()
    }

    /// Takes a time for the latest, whatever was noted: an operator's act.
    pub(crate) fn set_clock(&self, now: UnixTime) -> Result<(), StoreError> {
        self.write(|_, draft| {
            draft.body.latest = now;
            Ok(())
        })
    }

    /// The number of writes, read without the records.
    pub(crate) fn generation(&self) -> Result<u64, StoreError> {
        Ok(self.head()?.generation)
    }

    /// The present head, checked against the newest that this process has seen.
    fn head(&self) -> Result<Arc<Head>, StoreError> {
        let known = self.seen().clone();
        if let Some(known) = &known {
            let start = self.files.read_again(head::NAME, head::LINE_BYTES)?;
            if start.is_some_and(|start| known.is_still(&start)) {
                return Ok(known.clone());
            }
        }
        let bytes = self.files.read(head::NAME, head::MAX_BYTES)?;
        let bytes = bytes.ok_or_else(|| self.damaged("its head is gone"))?;
        let line = Line::read(self.kind, &bytes).map_err(|what| self.damaged(what))?;
        let sealing = match line.key {
            Some(generation) => Some(self.sealing(generation, known.as_deref())?),
            None if self.protection().is_some() => {
                let path = self.directory().display().to_string();
                return Err(StoreError::NotEncrypted { path });
            }
            None => None,
        };
        let head = Head::of(line, self.kind, sealing).map_err(|what| self.damaged(what))?;
        let mut seen = self.seen();
        if let Some(newest) = &*seen {
            let (seen, found) = (newest.generation, head.generation);
            if found < seen {
                return Err(StoreError::RolledBack { seen, found });
            }
            if found == seen && !newest.is_still(&bytes) {
                return Err(self.damaged("its head changed without a new generation"));
            }
        }
        let head = Arc::new(head);
        *seen = Some(head.clone());
        Ok(head)
    }

    /// The data key of a generation: the one at hand, or unwrapped.
    fn sealing(&self, generation: u64, known: Option<&Head>) -> Result<Sealing, StoreError> {
        let known = known.and_then(|known| known.sealing.as_ref());
        if let Some(known) = known.filter(|known| known.generation == generation) {
            return Ok(known.clone());
        }
        let Some(protection) = self.protection().clone() else {
            let by = self.wrapped(generation)?.kind();
            return Err(StoreError::Encrypted { path: self.directory().display().to_string(), by });
        };
        let key = self.wrapped(generation)?.unwrap(&protection)?;
        Ok(Sealing { generation, key })
    }

    fn wrapped(&self, generation: u64) -> Result<WrappedKey, StoreError> {
        let bytes = self.files.read(&key_file(generation), KEY_MAX_BYTES)?;
        let bytes = bytes.ok_or(ProtectionError::Damaged { what: "is gone" })?;
        Ok(WrappedKey::decode(&bytes)?)
    }

    fn wrap(
        &self,
        key: &SealingKey,
        store: &str,
        generation: u64,
        protection: &Protection,
    ) -> Result<Sealing, StoreError> {
        let wrapped = WrappedKey::wrap(key, store, protection)?;
        self.files.write(&key_file(generation), &wrapped.encode()?)?;
        Ok(Sealing { generation, key: key.clone() })
    }

    fn about(&self, store: &str, name: &str) -> String {
        format!("record {} {store} {name}", self.kind.word())
    }

    fn damaged(&self, what: &str) -> StoreError {
        head::damaged(&*self.files, what)
    }

    fn damaged_record(&self, file: &str, what: &str) -> StoreError {
        let path = self.files.path(file);
        let again = match self.kind {
            Kind::Approvals => "discard it and approve the tool again",
            Kind::Secrets => "delete it and put the secret in again",
        };
        StoreError::Corrupt { what: format!("`{}` {what}; {again}", path.display()) }
    }

    fn writer(&self) -> MutexGuard<'_, ()> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, Option<Arc<Head>>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn protection(&self) -> MutexGuard<'_, Option<Protection>> {
        self.protection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body {
    fn without_id(&self) -> (UnixTime, bool, &Records) {
        (self.latest, self.anchored, &self.records)
    }
}

/// The file of a record. In an encrypted store its name says nothing.
pub(super) fn file(sealing: Option<&Sealing>, name: &str, entry: &Entry) -> String {
    let generation = entry.generation;
    match (entry.place, sealing) {
        (Some(Place { file, .. }), None) => format!("{SEVERAL}{generation}.{file}{PLAIN}"),
        (Some(Place { file, .. }), Some(_)) => format!("{SEVERAL}{generation}.{file}{SEALED}"),
        (None, None) => format!("{name}.{generation}{PLAIN}"),
        (None, Some(sealing)) => {
            let tag = sealing.key.mac("names", name.as_bytes());
            format!("{}.{generation}{SEALED}", super::hex(tag.as_ref()))
        }
    }
}

fn key_file(generation: u64) -> String {
    format!("key.{generation}")
}

fn is_record(name: &str) -> bool {
    name.ends_with(SEALED)
        || name.ends_with(PLAIN)
            && [super::APPROVAL, super::SERVER, SEVERAL].iter().any(|one| name.starts_with(one))
}

pub(super) fn new_id() -> Result<String, ProtectionError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| ProtectionError::Random)?;
    Ok(base64url::encode(&bytes))
}
