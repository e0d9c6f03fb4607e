//! Where a user's approvals lie, and what opens them: the same for the command and for settings.
//!
//! A store is sealed, whoever opens it. By what, the user may choose: a passphrase, a key of their
//! own, the system's keyring. Where nobody chose, it is the keyring where there is one that works,
//! else a random key in a file of the state directory ([`KeyFile`]), so that a program without a
//! terminal opens it as well. Each sealed store has a mark in the state directory, or in the keyring
//! where its key is there, by which an old copy and another store in its place are found out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use etdi_core::approval::StoreError;
use etdi_core::digest::Digest;
use etdi_core::revocation::Revocations;
use etdi_core::secret::{KeyFile, Keychain, Protection, ProtectionKind};
use etdi_core::store::{
    Anchor, FileAnchor, FileStore, FileStoreOptions, KeychainAnchor, StoreState,
};

use super::ConfigError;
use crate::keyring::{SystemKeyring, works};

/// The name of the command's own store, and of its mark.
pub(super) const NAME: &str = "approvals";
/// The name of the key file.
const KEY: &str = "store";

/// What stands where a mark was, or could be: whatever is held against it is refused.
const IN_KEYRING: &str = "moved to the keyring";
const IN_FILES: &str = "moved to the state directory";
const ELSEWHERE: &str = "moved to where the link leads";

/// A place for approvals.
#[derive(Debug)]
pub struct ApprovalPlace {
    directory: PathBuf,
    state: Option<PathBuf>,
    mark: String,
    mark_in_keyring: String,
    /// The place as it was named. A link at it leads the names of the marks elsewhere, and says
    /// nothing of what lay here.
    named: Vec<PathBuf>,
    keyring: Arc<dyn Keychain>,
    /// The same, which waits for nobody.
    probe: Arc<dyn Keychain>,
    prefers_keyring: bool,
}

/// How a store is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Taken {
    /// As its mark says.
    Checked,
    /// As it is, because the user says so: also an old copy, or one in the clear.
    AsItIs,
}

/// A place whose store is sealed, or is not there yet.
#[derive(Debug)]
#[non_exhaustive]
pub struct Sealed {
    /// What opens the store.
    pub protection: Protection,
    /// The mark against old copies; none where there is no place for one.
    pub anchor: Option<Arc<dyn Anchor>>,
    /// How many approvals lay there in the clear and were taken over, this once. Whoever could write
    /// the directory before may have made some of them.
    pub taken_over: Option<usize>,
}

impl Sealed {
    /// How to open the store.
    pub fn options(&self, taken: Taken) -> FileStoreOptions {
        let mut options = FileStore::options().protection(self.protection.clone());
        if let Some(anchor) = &self.anchor {
            options = options.anchor(anchor.clone());
        }
        match taken {
            Taken::Checked => options,
            Taken::AsItIs => options.accept_restored(),
        }
    }
}

impl ApprovalPlace {
    /// A directory for approvals of its own, with the directory of the user's state, in which its
    /// mark and the key file are.
    pub fn new(directory: impl Into<PathBuf>, state: Option<PathBuf>) -> Self {
        let directory = directory.into();
        let resolved = resolved(&directory);
        let (mark, mark_in_keyring) = names(&resolved);
        let named = named(&directory).filter(|named| *named != resolved).into_iter().collect();
        let keyring = Arc::new(SystemKeyring::new());
        let probe = Arc::new(SystemKeyring::impatient());
        let prefers_keyring = false;
        Self { directory, state, mark, mark_in_keyring, named, keyring, probe, prefers_keyring }
    }

    /// The approvals of the command `etdi` in its home.
    pub fn of_command(home: &Path, state: Option<PathBuf>) -> Self {
        let mark_in_keyring = format!("{NAME} in {}", home.display());
        let place = Self::new(home.join(NAME), state);
        Self { mark: NAME.to_owned(), mark_in_keyring, named: Vec::new(), ..place }
    }

    /// Says that it goes by this path as well.
    pub(super) fn also_named(mut self, path: &Path) -> Self {
        self.named.extend(named(path).filter(|path| *path != self.directory));
        self
    }

    /// Says whether a store that is made here is protected by the keyring, where that works and
    /// nobody chose anything else; no. A home that was set by hand keeps all of itself in files.
    #[must_use]
    pub fn prefer_keyring(mut self, prefers: bool) -> Self {
        self.prefers_keyring = prefers;
        self
    }

    /// Uses another keyring than the system's.
    #[must_use]
    pub fn keyring(mut self, keyring: Arc<dyn Keychain>) -> Self {
        (self.keyring, self.probe) = (keyring.clone(), keyring);
        self
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What opens the store that is there; `None` where none is, or one in the clear.
    ///
    /// # Errors
    ///
    /// When others may enter the directory, or what is there is no whole store.
    pub fn sealed_by(&self) -> Result<Option<ProtectionKind>, ConfigError> {
        Ok(match FileStore::state_of(&self.directory)? {
            StoreState::Sealed(by) => Some(by),
            _ => None,
        })
    }

    /// Sees to it that what is there is sealed, and says what opens it. `chosen` is what the user
    /// chose; without it the store's own protection, or that of a new one.
    ///
    /// A store in the clear that was here before stores were sealed is taken over, once: sealed with
    /// what is in it. Where a sealed store was, one in the clear is refused, whatever is in it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Locked`], [`ConfigError::KeyGone`] and [`ConfigError::OtherwiseSealed`] when
    /// it is sealed and nothing here opens it, [`ConfigError::Replaced`] when one in the clear stands
    /// where a sealed one was, [`ConfigError::Store`] when it cannot be used.
    pub fn seal(&self, chosen: Option<Protection>, taken: Taken) -> Result<Sealed, ConfigError> {
        match FileStore::state_of(&self.directory)? {
            StoreState::Sealed(by) => self.with(self.opened_by(by, chosen)?, None),
            StoreState::Clear => self.take_over(chosen, taken),
            _ => self.with(self.for_new(chosen)?, None),
        }
    }

    /// Protects the store in another way, by a new data key, and moves its mark to where that belongs.
    /// What opened it before opens it no more, also not with files of before put back.
    ///
    /// # Errors
    ///
    /// When it does not open with what protects it now, or cannot be written.
    pub fn protect(&self, now: &Sealed, next: Protection) -> Result<Sealed, ConfigError> {
        now.options(Taken::Checked).open(&self.directory)?.protect(next.clone())?;
        let sealed = self.with(next, None)?;
        sealed.options(Taken::AsItIs).open(&self.directory)?;
        let is_in_keyring = |sealed: &Sealed| sealed.protection.keyring().is_some();
        if let Some(left) = &now.anchor
            && is_in_keyring(now) != is_in_keyring(&sealed)
        {
            left.write(if is_in_keyring(&sealed) { IN_KEYRING } else { IN_FILES })?;
        }
        Ok(sealed)
    }

    /// The protection of the store's own: that which nobody had to choose.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Locked`] for a passphrase, which only the user knows, or without a directory for
    /// state, [`ConfigError::KeyGone`] when the key file is not there.
    pub fn own(&self, by: ProtectionKind) -> Result<Protection, ConfigError> {
        match by {
            ProtectionKind::Keyring => Ok(Protection::keychain(self.keyring.clone())),
            ProtectionKind::HostKey => {
                let file = self.key_file()?.ok_or_else(|| self.locked(Some(by)))?;
                let gone = || ConfigError::KeyGone {
                    path: self.directory.display().to_string(),
                    key: file.path().display().to_string(),
                };
                Ok(Protection::key(file.key()?.ok_or_else(gone)?))
            }
            _ => Err(self.locked(Some(by))),
        }
    }

    /// The key file of the state directory as a protection; it is made where there is none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Locked`] without a directory for state, and when the key cannot be read or made.
    pub fn by_key_file(&self) -> Result<Protection, ConfigError> {
        let file = self.key_file()?.ok_or_else(|| self.locked(None))?;
        Ok(Protection::key(file.key_or_new()?))
    }

    /// Refuses what lies there in the clear, whoever takes it as it is.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Replaced`] where a sealed store was, else [`StoreError::NotEncrypted`].
    pub fn refuse_clear(&self) -> Result<(), ConfigError> {
        let path = || self.directory.display().to_string();
        match FileStore::state_of(&self.directory)? {
            StoreState::Clear if self.was_sealed()? => Err(ConfigError::Replaced { path: path() }),
            StoreState::Clear => Err(StoreError::NotEncrypted { path: path() }.into()),
            _ => Ok(()),
        }
    }

    /// Whether a sealed store was here: there is a mark of one, or a note under its name.
    pub(super) fn was_sealed(&self) -> Result<bool, ConfigError> {
        let mut marks: Vec<Box<dyn Anchor>> = Vec::new();
        marks.extend(self.file_mark()?.map(|mark| Box::new(mark) as _));
        marks.extend(self.file_notes()?.into_iter().map(|note| Box::new(note) as _));
        // The marks in files could have been removed together with the store.
        if self.uses_keyring() {
            marks.push(Box::new(self.keyring_mark(self.keyring.clone())));
            marks.extend(self.keyring_notes(&self.keyring).map(|note| Box::new(note) as _));
        }
        for mark in marks {
            if mark.read()?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn opened_by(
        &self,
        by: ProtectionKind,
        chosen: Option<Protection>,
    ) -> Result<Protection, ConfigError> {
        let Some(chosen) = chosen else { return self.own(by) };
        if chosen.kind() == by {
            return Ok(chosen);
        }
        // Whoever only looked before they chose has nothing to lose.
        let own = self.own(by).and_then(|own| self.with(own, None));
        if let Ok(own) = own
            && own.options(Taken::Checked).open(&self.directory)?.is_empty()?
        {
            return Ok(self.protect(&own, chosen)?.protection);
        }
        let (path, offered) = (self.directory.display().to_string(), chosen.kind());
        Err(ConfigError::OtherwiseSealed { path, by, offered })
    }

    fn for_new(&self, chosen: Option<Protection>) -> Result<Protection, ConfigError> {
        match chosen {
            Some(chosen) => Ok(chosen),
            None if self.uses_keyring() => Ok(Protection::keychain(self.keyring.clone())),
            None => self.by_key_file(),
        }
    }

    fn take_over(&self, chosen: Option<Protection>, taken: Taken) -> Result<Sealed, ConfigError> {
        let path = || self.directory.display().to_string();
        let plain = FileStore::in_the_clear(&self.directory)?;
        let is_empty = plain.is_empty()?;
        if taken == Taken::Checked && self.was_sealed()? {
            return Err(ConfigError::Replaced { path: path() });
        }
        // Who has a protection of their own has used it before, or is to look at what they seal.
        if taken == Taken::Checked && !is_empty && chosen.is_some() {
            return Err(StoreError::NotEncrypted { path: path() }.into());
        }
        let protection = self.for_new(chosen)?;
        let count = plain.export(crate::system_time())?.approvals.len();
        plain.encrypt(protection.clone())?;
        self.with(protection, Some(count).filter(|_| !is_empty))
    }

    fn with(
        &self,
        protection: Protection,
        taken_over: Option<usize>,
    ) -> Result<Sealed, ConfigError> {
        let file = self.file_mark()?;
        for note in self.file_notes()? {
            leave(&note, ELSEWHERE)?;
        }
        for note in protection.keyring().into_iter().flat_map(|to| self.keyring_notes(to)) {
            leave(&note, ELSEWHERE)?;
        }
        let anchor: Option<Arc<dyn Anchor>> = match protection.keyring() {
            None => file.map(|mark| Arc::new(mark) as _),
            Some(keyring) => {
                // That there is a file says that the store is sealed.
                if let Some(mark) = file {
                    leave(&mark, IN_KEYRING)?;
                }
                Some(Arc::new(self.keyring_mark(keyring.clone())))
            }
        };
        Ok(Sealed { protection, anchor, taken_over })
    }

    fn uses_keyring(&self) -> bool {
        self.prefers_keyring && works(&*self.probe)
    }

    fn keyring_mark(&self, keyring: Arc<dyn Keychain>) -> KeychainAnchor {
        KeychainAnchor::new(keyring, &self.mark_in_keyring)
    }

    fn keyring_notes(&self, keyring: &Arc<dyn Keychain>) -> impl Iterator<Item = KeychainAnchor> {
        self.named.iter().map(|path| KeychainAnchor::new(keyring.clone(), &names(path).1))
    }

    fn file_notes(&self) -> Result<Vec<FileAnchor>, ConfigError> {
        let Some(state) = &self.state else { return Ok(Vec::new()) };
        let notes = self.named.iter().map(|path| FileAnchor::open(state, &names(path).0));
        Ok(notes.collect::<Result<_, _>>()?)
    }

    fn file_mark(&self) -> Result<Option<FileAnchor>, ConfigError> {
        let state = self.state.as_ref();
        Ok(state.map(|state| FileAnchor::open(state, &self.mark)).transpose()?)
    }

    fn key_file(&self) -> Result<Option<KeyFile>, ConfigError> {
        let state = self.state.as_ref();
        Ok(state.map(|state| KeyFile::open(state, KEY)).transpose()?)
    }

    fn locked(&self, by: Option<ProtectionKind>) -> ConfigError {
        ConfigError::Locked { path: self.directory.display().to_string(), by }
    }
}

/// What was revoked on this host, kept in a directory, with its mark in the directory of the user's state:
/// whoever takes something out of the one without the other is found out.
///
/// # Errors
///
/// [`ConfigError::Revocations`] when something was taken out, or it cannot be read, and
/// [`ConfigError::Store`] when the mark has no place.
pub fn revocations(directory: &Path, state: Option<&Path>) -> Result<Revocations, ConfigError> {
    Ok(match state {
        Some(state) => {
            Revocations::open_marked(directory, Arc::new(revocations_mark(directory, state)?))?
        }
        None => Revocations::open(directory)?,
    })
}

/// Takes what is there for all that was revoked, and gives how many entries that are: the user says so.
///
/// # Errors
///
/// As [`revocations`], but for what was taken out.
pub fn revocations_as_they_are(directory: &Path, state: &Path) -> Result<usize, ConfigError> {
    Ok(Revocations::take_as_it_is(directory, &revocations_mark(directory, state)?)?)
}

/// By its path, so that several homes may have one directory for state.
fn revocations_mark(directory: &Path, state: &Path) -> Result<FileAnchor, ConfigError> {
    let path = resolved(directory);
    let digest = Digest::of_bytes(path.as_os_str().as_encoded_bytes());
    let name: String = format!("revocations-{digest}").chars().filter(|c| *c != ':').collect();
    Ok(FileAnchor::open(state, &name)?)
}

/// Leaves a note that a sealed store is here, where there is none and no mark.
fn leave(mark: &dyn Anchor, note: &str) -> Result<(), StoreError> {
    match mark.read()? {
        Some(_) => Ok(()),
        None => mark.write(note),
    }
}

/// How the mark of a path is called, in files and in the keyring.
fn names(path: &Path) -> (String, String) {
    let digest = Digest::of_bytes(path.as_os_str().as_encoded_bytes());
    let file = format!("{NAME}-{digest}").chars().filter(|c| *c != ':').collect();
    (file, format!("{NAME} in {}", path.display()))
}

/// A path in full as it was named, links and all.
fn named(path: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(path).ok()?;
    Some(whole.components().collect())
}

/// A path without links, also of a directory that is still to be made.
pub(super) fn resolved(path: &Path) -> PathBuf {
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
