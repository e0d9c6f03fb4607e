//! Revocation: what an issuer takes back (`etdi-revocations+jwt`), and how fresh that is known.
//!
//! An issuer publishes one signed list with a number that only grows, the time of the next one, and
//! what counts no more: a key, a statement by its id, a definition by its digest, or all of itself.
//! Revoked now is invalid now, whenever it was signed. A list with a lower number than one that was
//! seen is refused, and so is another list with the same number. No number is higher than the time
//! at which its list was made, in seconds since 1970: whoever steals a key can publish a list that an
//! issuer's next one still follows, but none that is the last for ever.
//!
//! [`Revocations`] holds the lists, asks a [`RevocationSource`] for them, and is asked by the
//! [`Verifier`](crate::verify::Verifier), which demands as much freshness as the
//! [`Policy`](crate::level::Policy) says. An issuer that is known by its key alone has no place to
//! publish a list: what is taken back of it stands in the configuration. A source need not be a
//! network: [`FileLists`] reads what an operator keeps in files. Several sources are one by [`AllOf`]: the
//! newest list counts, and what any of them revokes.
//!
//! ```
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::revocation::{Revoked, Revocations, RevocationList};
//! use etdi_core::time::UnixTime;
//! use etdi_core::trust::TrustAnchors;
//!
//! let (key, stolen) = (SigningKey::generate(Algorithm::EdDsa)?, SigningKey::generate(Algorithm::EdDsa)?);
//! let acme = "https://acme.example".parse::<etdi_core::identity::ProviderId>()?;
//! let now = UnixTime(1_767_323_045);
//! let mut anchors = TrustAnchors::new();
//! anchors.trust(acme.clone(), key.verifying_key().clone());
//!
//! let list = |seq| RevocationList::new(acme.clone(), seq, now);
//! let second = list(2).revoke(Revoked::Key(stolen.id())).sign(&key)?;
//! let revocations = Revocations::new();
//! revocations.accept(&second, &acme, &anchors, now)?;
//!
//! // An older list, in which the key still counts, is refused, however well it is signed.
//! let first = list(1).sign(&key)?;
//! let refused = revocations.accept(&first, &acme, &anchors, now).unwrap_err();
//! assert!(refused.to_string().contains("older"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::SystemTime;

use mcp_types::BoxFuture;

use crate::approval::StoreError;
use crate::identity::ProviderId;
use crate::level::Revocation;
use crate::proof::ProofVerifier;
use crate::store::Anchor;
use crate::store::disk::{Disk, Files};
use crate::time::UnixTime;
use crate::verify::VerifyError;
use crate::wire::{RevocationEntry, RevocationsClaims, StatementType};

mod check;
mod contract;
mod file;
mod fresh;
mod heard;
mod known;
mod list;
mod mark;
mod shared;

pub(crate) use check::Statement;
pub use contract::revocation_store_contract;
pub use file::{AllOf, FileLists};
use known::{FILE, MAX_FILE, MAX_STRANGE, State, too_long};
pub use list::{RevocationList, Revoked};
pub use shared::{KeptRevocations, MemoryRevocationStore, RevocationStore};

/// How old a list may be that counts as fetched now, in seconds.
pub const FRESH: u64 = 60;

/// For how many seconds a list holds, unless something else is said: a day.
pub const LIFETIME: u64 = 86_400;

/// The most entries of one list.
pub const MAX_ENTRIES: usize = 4_096;

/// The most issuers whose lists are kept, beside those that the host names.
const MAX_ISSUERS: usize = 1_024;

/// Fetches the list of an issuer. Object safe.
pub trait RevocationSource: Send + Sync {
    /// The signed list as it is published now, `None` of an issuer that says of itself that it
    /// publishes none.
    ///
    /// # Errors
    ///
    /// What failed, in words. That an issuer has no list must not be concluded from a failure.
    fn list<'a>(
        &'a self,
        issuer: &'a ProviderId,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, String>>;

    /// What each place says that this source asks, none where it has nothing to say of the issuer.
    /// One that asks a single place, as most do, needs not write this.
    ///
    /// The newest list counts, and what any of them revokes is revoked.
    fn lists<'a>(
        &'a self,
        issuer: &'a ProviderId,
        now: UnixTime,
    ) -> BoxFuture<'a, Vec<Result<Option<String>, String>>> {
        Box::pin(async move { vec![self.list(issuer, now).await] })
    }

    /// What is at hand of an issuer without asking anybody, such as in a file. It is heard before
    /// anybody is asked, so that whoever keeps the others from answering hides nothing of it; it is
    /// part of [`RevocationSource::lists`] as well. Nothing by default.
    fn at_hand(&self, issuer: &ProviderId) -> Vec<Result<Option<String>, String>> {
        _ = issuer;
        Vec::new()
    }

    /// A number that is another one once what is at hand of an issuer here has changed, such as a
    /// file; `None` where only asking tells, as by default. It is looked at for every listing, and
    /// whoever has another one than before is asked, however young the last answer is.
    fn version(&self, issuer: &ProviderId) -> Option<u64> {
        _ = issuer;
        None
    }
}

/// Why a list is not taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// It is not verifiably the issuer's.
    #[error("the revocation list is not valid: {0}")]
    Proof(#[from] VerifyError),
    /// It is somebody else's.
    #[error("the revocation list is by {0}, not by the issuer that was asked")]
    Issuer(ProviderId),
    /// It does not say what it must.
    #[error("the revocation list is not valid: {0}")]
    Claims(String),
    /// An older one than was seen.
    #[error(
        "the revocation list has number {found}, older than number {seen} that was seen before, it was rolled back"
    )]
    Rollback {
        /// Its number.
        found: u64,
        /// The highest number that was seen.
        seen: u64,
    },
    /// Another one of the same number.
    #[error("there are two revocation lists with number {0}, ask the issuer which one is right")]
    Fork(u64),
    /// What was revoked on this host is not all there any more.
    #[error(
        "what was revoked here, {count} in all as `{mark}` says, is not all in `{path}` any more, so \
         nothing is taken to be sound: put it back; `etdi approvals accept-restored` takes it as it is"
    )]
    TakenAway {
        /// The file.
        path: String,
        /// The mark.
        mark: String,
        /// How many there were.
        count: usize,
    },
    /// It cannot be kept.
    #[error("revocation lists cannot be kept: {0}")]
    Store(String),
}

/// What was taken back, by issuers and by the operator of this host.
pub struct Revocations {
    state: RwLock<State>,
    source: OnceLock<Arc<dyn RevocationSource>>,
    without_list: BTreeSet<ProviderId>,
    authorities: BTreeSet<ProviderId>,
    disk: Option<Disk>,
    /// What says outside the directory what was revoked here.
    mark: Option<Arc<dyn Anchor>>,
    /// What other nodes know.
    shared: Option<shared::Shared>,
    /// What the source had at hand of an issuer when it was asked last.
    heard: Mutex<BTreeMap<ProviderId, u64>>,
    /// The file as it was read last: when it was written, and how long it is.
    version: Mutex<Option<(SystemTime, u64)>>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl Revocations {
    /// Nothing is revoked, nobody is asked, nothing outlives the process.
    pub fn new() -> Self {
        Self {
            state: RwLock::new(State { v: 1, ..State::default() }),
            source: OnceLock::new(),
            without_list: BTreeSet::new(),
            authorities: BTreeSet::new(),
            disk: None,
            mark: None,
            shared: None,
            heard: Mutex::default(),
            version: Mutex::default(),
        }
    }

    /// Keeps what is known in a directory, so that no restart forgets a revocation or a number.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Store`] when it cannot be read, is damaged, or is open to other users.
    pub fn open(directory: &Path) -> Result<Self, RevocationError> {
        let disk = Disk::open(directory).map_err(store)?;
        let mut revocations = Self::new();
        if let Some(state) = State::read(&disk)? {
            revocations.state = RwLock::new(state);
        }
        revocations.disk = Some(disk);
        Ok(revocations)
    }

    /// Asks a source for the lists of issuers.
    #[must_use]
    pub fn source(mut self, source: Arc<dyn RevocationSource>) -> Self {
        self.source = OnceLock::from(source);
        self
    }

    /// Asks a source for the lists of issuers, where no other one was named. Says whether it is
    /// asked.
    pub fn source_if_none(&self, source: Arc<dyn RevocationSource>) -> bool {
        self.source.set(source).is_ok()
    }

    /// Says of an issuer that it publishes no list, so that none is demanded: the operator learns of
    /// revocations elsewhere.
    #[must_use]
    pub fn without_list(mut self, issuer: ProviderId) -> Self {
        self.without_list.insert(issuer);
        self
    }

    /// Lets the list of an issuer, such as a company's registry, revoke what others said.
    #[must_use]
    pub fn authority(mut self, issuer: ProviderId) -> Self {
        self.authorities.insert(issuer);
        self
    }

    /// Revokes something here, whoever said it.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Store`] when it cannot be written down; it is revoked all the same until
    /// the process ends.
    pub fn revoke(
        &self,
        revoked: Revoked,
        reason: Option<String>,
        now: UnixTime,
    ) -> Result<(), RevocationError> {
        let mut state = self.write();
        if state.revoked_here.insert(revoked.clone()) {
            let mut entry = RevocationEntry::from(revoked);
            (entry.at, entry.reason) = (Some(now.0), reason);
            state.here.push(entry);
        }
        self.save(&mut state, None)
    }

    /// What was revoked here.
    pub fn revoked_here(&self) -> Vec<RevocationEntry> {
        self.read().here.clone()
    }

    /// The newest list of an issuer.
    pub fn list_of(&self, issuer: &ProviderId) -> Option<RevocationsClaims> {
        self.read().issuers.get(issuer)?.list.clone()
    }

    /// Takes over a list of `issuer` that `proofs` verify. What others publish does not push it out.
    ///
    /// # Errors
    ///
    /// [`RevocationError`], one variant a cause; then what was known before still holds.
    pub fn accept(
        &self,
        text: &str,
        issuer: &ProviderId,
        proofs: &dyn ProofVerifier,
        now: UnixTime,
    ) -> Result<(), RevocationError> {
        let evidence = proofs.verify_proof(text, StatementType::Revocations, now)?;
        self.take_over(evidence, issuer, now)
    }

    /// Whether there is anybody to ask.
    pub(crate) fn asks(&self) -> bool {
        self.source.get().is_some()
    }

    /// Notes whom the host names, so that what strangers publish does not push out their lists.
    pub(crate) fn name(&self, issuers: BTreeSet<ProviderId>) {
        let issuers: Vec<ProviderId> =
            issuers.into_iter().filter(|issuer| !self.is_named(issuer)).collect();
        if issuers.is_empty() {
            return;
        }
        let mut state = self.write();
        for issuer in issuers {
            state.issuers.entry(issuer).or_default().named = true;
        }
    }

    fn is_named(&self, issuer: &ProviderId) -> bool {
        self.read().issuers.get(issuer).is_some_and(|known| known.named)
    }

    fn needs_none(&self, issuer: &ProviderId) -> bool {
        issuer.key().is_some() || self.without_list.contains(issuer)
    }

    /// Writes down what is known, of which there is more of `issuer` than before.
    fn save(&self, state: &mut State, issuer: Option<&ProviderId>) -> Result<(), RevocationError> {
        state.make_room(issuer, MAX_STRANGE);
        if let Some(shared) = &self.shared {
            shared.learned();
        }
        let Some(disk) = &self.disk else { return Ok(()) };
        let _lock = disk.lock().map_err(store)?;
        // Another process may have written since; what it learned is not undone.
        let mut merged = State::read(disk)?.unwrap_or_default().with(state);
        merged.make_room(issuer, MAX_STRANGE);
        let mut text = merged.text()?;
        if text.len() > MAX_FILE {
            merged.make_room(None, 0);
            text = merged.text()?;
        }
        if text.len() > MAX_FILE {
            return Err(too_long(disk));
        }
        self.holds(disk, &merged.here)?;
        disk.write(FILE, &text).map_err(store)?;
        self.mark(disk, &merged.here)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.read();
        f.debug_struct("Revocations")
            .field("issuers", &state.issuers.keys())
            .field("here", &state.here.len())
            .finish_non_exhaustive()
    }
}

/// What counts where nothing at all is known of revocations.
///
/// # Errors
///
/// [`VerifyError::RevocationUnknown`] where fresh knowledge is demanded of an issuer that has a place
/// to publish it. One that is known by its key alone has none.
pub(crate) fn without_source(issuer: &ProviderId, demand: &Revocation) -> Result<(), VerifyError> {
    if *demand != Revocation::Fresh || issuer.key().is_some() {
        return Ok(());
    }
    Err(VerifyError::RevocationUnknown { issuer: issuer.clone(), why: NO_SOURCE.to_owned() })
}

/// Why nothing fresh is known, and what to do.
pub(crate) const NO_SOURCE: &str = "no source of revocation lists is configured: name its list or the source \
                         that fetches it, or say that it publishes none";

fn store(error: StoreError) -> RevocationError {
    RevocationError::Store(error.to_string())
}

#[cfg(test)]
mod tests;
