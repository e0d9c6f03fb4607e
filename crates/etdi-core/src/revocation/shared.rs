//! What was revoked, kept where several nodes find it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcp_types::BoxFuture;

use super::known::{MAX_FILE, MAX_STRANGE, State};
use super::{RevocationError, Revocations};
use crate::time::UnixTime;

/// Keeps one text for several nodes, under a version. Object safe.
///
/// [`revocation_store_contract`](super::revocation_store_contract) holds an implementation to this.
pub trait RevocationStore: Send + Sync {
    /// What is kept, with its text where it is of another version than `known`.
    ///
    /// # Errors
    ///
    /// What failed, in words. That nothing is kept must not be concluded from a failure.
    fn read(&self, known: u64) -> BoxFuture<'_, Result<KeptRevocations, String>>;

    /// Puts a text in the place of version `expected`, 0 where there is none: the new version, another
    /// one than any before, or `None` where somebody else was faster. Whoever hears no answer reads
    /// and writes again.
    ///
    /// # Errors
    ///
    /// What failed, in words; it may have been written.
    fn write(&self, expected: u64, text: Vec<u8>) -> BoxFuture<'_, Result<Option<u64>, String>>;
}

/// What a [`RevocationStore`] keeps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRevocations {
    /// Its version, 0 where nothing is kept.
    pub version: u64,
    /// The text, `None` where it is the one that was known, or there is none.
    pub text: Option<Vec<u8>>,
}

/// A [`RevocationStore`] for handles in one process.
#[derive(Debug, Default)]
pub struct MemoryRevocationStore(Mutex<(u64, Vec<u8>)>);

impl MemoryRevocationStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, (u64, Vec<u8>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RevocationStore for MemoryRevocationStore {
    fn read(&self, known: u64) -> BoxFuture<'_, Result<KeptRevocations, String>> {
        let kept = self.kept();
        let text = (kept.0 != known && kept.0 != 0).then(|| kept.1.clone());
        let kept = KeptRevocations { version: kept.0, text };
        Box::pin(std::future::ready(Ok(kept)))
    }

    fn write(&self, expected: u64, text: Vec<u8>) -> BoxFuture<'_, Result<Option<u64>, String>> {
        let mut kept = self.kept();
        let written = (kept.0 == expected).then(|| {
            *kept = (expected.saturating_add(1), text);
            kept.0
        });
        Box::pin(std::future::ready(Ok(written)))
    }
}

/// The store that this node shares with others, and how far it has read.
pub(super) struct Shared {
    store: Arc<dyn RevocationStore>,
    place: Mutex<Place>,
    /// Whether this node knows something that was not written yet.
    news: AtomicBool,
}

#[derive(Default)]
struct Place {
    version: u64,
    read: Option<UnixTime>,
    failed: Option<String>,
}

/// How often a write is made anew when others are faster.
const ATTEMPTS: usize = 16;

impl Shared {
    pub(super) fn new(store: Arc<dyn RevocationStore>) -> Self {
        Self { store, place: Mutex::default(), news: AtomicBool::new(false) }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn learned(&self) {
        self.news.store(true, Ordering::SeqCst);
    }

    /// Whether nothing is to be done: it was read in this second, and all is written.
    pub(super) fn is_settled(&self, now: UnixTime) -> bool {
        let place = self.place();
        place.read == Some(now) && !self.news.load(Ordering::SeqCst) && place.failed.is_none()
    }

    /// Why it is not known what other nodes revoked within `age` seconds.
    ///
    /// # Errors
    ///
    /// In words, where the store was not read since.
    pub(super) fn is_younger(&self, age: u64, now: UnixTime) -> Result<(), String> {
        let place = self.place();
        let young = |at: UnixTime| at <= now.plus(crate::verify::CLOCK_SKEW) && now <= at.plus(age);
        if place.read.is_some_and(young) {
            return Ok(());
        }
        let why = place.failed.clone().unwrap_or_else(|| "it was not read yet".to_owned());
        Err(format!("what other nodes revoked cannot be read: {why}"))
    }
}

impl Revocations {
    /// Shares all that is known with other nodes: what one of them revokes counts at all, and no list
    /// that one has seen is rolled back at another.
    ///
    /// The store is read before each listing is verified, at most once a second. Where it cannot be, what
    /// was read last counts for as long as the [`Policy`](crate::level::Policy) lets lists be old, and
    /// nothing is verified after that, unless it wants no more than best effort.
    ///
    /// Two nodes, and a revocation that an operator makes at one of them:
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use etdi_core::key::{Algorithm, SigningKey};
    /// use etdi_core::revocation::{MemoryRevocationStore, Revocations, Revoked};
    /// use etdi_core::time::UnixTime;
    ///
    /// # futures_executor::block_on(async {
    /// let (store, now) = (Arc::new(MemoryRevocationStore::new()), UnixTime(1_767_323_045));
    /// let (one, other) = (Revocations::new().shared(store.clone()), Revocations::new().shared(store));
    /// let stolen = SigningKey::generate(Algorithm::EdDsa)?.id();
    /// one.revoke(Revoked::Key(stolen), Some("stolen".to_owned()), now)?;
    /// one.share(now).await?;
    ///
    /// other.share(now).await?;
    /// assert_eq!(other.revoked_here(), one.revoked_here());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn shared(mut self, store: Arc<dyn RevocationStore>) -> Self {
        self.shared = Some(Shared::new(store));
        self
    }

    /// Reads what other nodes know, and writes what they do not. Whoever revokes something or takes
    /// over a list by hand calls this after it; else it goes along with the next listing that is verified.
    ///
    /// # Errors
    ///
    /// [`RevocationError::Store`] when the store fails, or others are faster again and again; what was
    /// known before still counts here.
    pub async fn share(&self, now: UnixTime) -> Result<(), RevocationError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let done = self.exchange(shared, now).await;
        shared.place().failed = done.as_ref().err().cloned();
        done.map_err(RevocationError::Store)
    }

    async fn exchange(&self, shared: &Shared, now: UnixTime) -> Result<(), String> {
        for _ in 0..ATTEMPTS {
            let known = shared.place().version;
            let kept = shared.store.read(known).await?;
            let lacks = match &kept.text {
                Some(text) => self.take_in(text)?,
                // Emptied under us: what this node knows is not lost.
                None => kept.version == 0 && !self.read().is_empty(),
            };
            {
                let mut place = shared.place();
                (place.version, place.read) = (kept.version, Some(now));
            }
            // What is learned from here on is news again.
            if !shared.news.swap(false, Ordering::SeqCst) && !lacks {
                return Ok(());
            }
            let text = self.read().text().map_err(|error| error.to_string());
            let written = match text {
                Ok(text) if text.len() > MAX_FILE => {
                    Err(format!("there is more than {MAX_FILE} bytes of it"))
                }
                Ok(text) => shared.store.write(kept.version, text).await,
                Err(error) => Err(error),
            };
            if let Ok(Some(version)) = written {
                shared.place().version = version;
                return Ok(());
            }
            shared.learned();
            written?;
        }
        Err("other nodes are faster again and again".to_owned())
    }

    /// Learns what is kept. Says whether that lacks something that is known here.
    fn take_in(&self, text: &[u8]) -> Result<bool, String> {
        let kept = State::from_bytes(text).map_err(|error| error.to_string())?;
        let mut state = self.write();
        let lacks = !kept.has_all_of(&state);
        *state = kept.with(&state);
        state.make_room(None, MAX_STRANGE);
        Ok(lacks)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("version", &self.place().version).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::identity::ProviderId;
    use crate::key::KeyId;
    use crate::level::Revocation;
    use crate::revocation::{Revoked, Statement};
    use crate::verify::VerifyError;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    /// A store that can be cut off.
    #[derive(Default)]
    struct Away(MemoryRevocationStore, AtomicBool);

    impl RevocationStore for Away {
        fn read(&self, known: u64) -> BoxFuture<'_, Result<KeptRevocations, String>> {
            match self.1.load(Ordering::SeqCst) {
                true => Box::pin(std::future::ready(Err("it is away".to_owned()))),
                false => self.0.read(known),
            }
        }

        fn write(
            &self,
            expected: u64,
            text: Vec<u8>,
        ) -> BoxFuture<'_, Result<Option<u64>, String>> {
            self.0.write(expected, text)
        }
    }

    fn check(of: &Revocations, demand: &Revocation, now: UnixTime) -> Result<(), VerifyError> {
        let key = KeyId::from_bytes([1; 32]);
        let issuer = ProviderId::of_key(key);
        let statement = Statement { issuer: &issuer, key, id: "1", definition: None };
        block_on(of.refresh([issuer.clone()].into(), demand, &[], now));
        of.check(statement, demand, now)
    }

    #[test]
    fn what_others_revoked_counts_and_what_cannot_be_read_is_no_absence() {
        let store = Arc::new(Away::default());
        let (one, other) =
            (Revocations::new().shared(store.clone()), Revocations::new().shared(store.clone()));
        let hour = Revocation::Cached { max_age_seconds: 3_600 };
        assert_eq!(check(&one, &hour, NOW), Ok(()));
        store.1.store(true, Ordering::SeqCst);
        // An hour long what was read counts; whoever wants it fresh hears sooner that it is not.
        assert_eq!(check(&one, &hour, NOW.plus(3_600)), Ok(()));
        let stale = check(&one, &Revocation::Fresh, NOW.plus(61)).unwrap_err();
        assert!(stale.to_string().contains("it is away"), "{stale}");
        assert!(check(&one, &hour, NOW.plus(3_601)).is_err());
        assert!(check(&other, &hour, NOW).is_err(), "this node never read it");
        assert_eq!(check(&other, &Revocation::BestEffort, NOW), Ok(()));
        store.1.store(false, Ordering::SeqCst);
        // What is revoked at one node goes along with its next listing, and counts at the other's.
        other.revoke(Revoked::Key(KeyId::from_bytes([1; 32])), None, NOW.plus(3_602)).unwrap();
        assert!(check(&other, &hour, NOW.plus(3_602)).is_err());
        let revoked = check(&one, &hour, NOW.plus(3_603)).unwrap_err();
        assert!(matches!(revoked, VerifyError::Revoked { .. }), "{revoked}");
    }
}
