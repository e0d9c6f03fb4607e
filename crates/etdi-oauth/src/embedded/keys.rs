//! The keys that sign access tokens: one signs, the next is shown before it does, the last is shown
//! until no token of it is left.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use etdi_core::key::{Algorithm, KeyId, SigningKey, VerifyingKey};
use etdi_core::time::UnixTime;
use serde::{Deserialize, Serialize};

use super::seal::{decode, encode};
use super::server::ServerError;
use super::store::{Kind, Store};

/// How the signing key changes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rotation {
    /// With which algorithm new keys sign; ES256 by default.
    pub algorithm: Algorithm,
    /// After how many seconds a key is replaced; 30 days by default.
    pub after: u64,
    /// How many seconds before it signs a key is shown, so that who keeps key sets has it; one hour
    /// by default.
    pub ahead: u64,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { algorithm: Algorithm::Es256, after: 30 * 86_400, ahead: 3_600 }
    }
}

#[derive(Serialize, Deserialize)]
struct Record {
    signs_from: UnixTime,
    pkcs8: String,
}

pub(super) struct Keys {
    store: Arc<dyn Store>,
    rotation: Rotation,
    /// How long a token of a key that signs no more may still count.
    overlap: u64,
    all: Mutex<Vec<Arc<Kept>>>,
    /// One looks at a time whether a next key is due.
    turning: tokio::sync::Mutex<()>,
    /// When it was last looked what other nodes have made.
    looked: Mutex<Option<UnixTime>>,
}

/// A key, and since when it signs.
pub(super) struct Kept {
    signs_from: UnixTime,
    pub(super) key: SigningKey,
    /// Its name in the store.
    name: String,
}

const PREFIX: &str = "sign ";

/// The first key of a store: of all nodes that start on an empty one, one makes it.
const FIRST: &str = "sign first";

/// After how many seconds a node looks again which keys others have made, at the latest.
const LOOK: u64 = 30;

impl Keys {
    /// The keys in a store; a first one, if there is none.
    pub(super) async fn open(
        store: Arc<dyn Store>,
        rotation: Rotation,
        overlap: u64,
        now: UnixTime,
    ) -> Result<Self, ServerError> {
        let keys = Self {
            store,
            rotation,
            overlap,
            all: Mutex::default(),
            turning: tokio::sync::Mutex::default(),
            looked: Mutex::default(),
        };
        keys.look(now).await?;
        if keys.signing(now).is_none() && keys.add(Some(FIRST), now, now).await?.is_none() {
            // Another node was faster, unless its key is one that signs later.
            keys.learn(now).await?;
            if keys.signing(now).is_none() {
                keys.add(None, now, now).await?;
            }
        }
        Ok(keys)
    }

    /// Learns which keys other nodes have made, if that was not looked for a moment ago. A key is shown
    /// for longer than that before it signs.
    pub(super) async fn look(&self, now: UnixTime) -> Result<(), ServerError> {
        let pause = LOOK.min(self.rotation.ahead / 2);
        let looked = *self.looked();
        if looked.is_some_and(|at| at <= now && now < at.plus(pause)) {
            return Ok(());
        }
        self.learn(now).await?;
        *self.looked() = Some(now);
        Ok(())
    }

    async fn learn(&self, now: UnixTime) -> Result<(), ServerError> {
        let damaged = || ServerError::Storage("a key in it cannot be read".to_owned());
        for (name, record) in self.store.list(Kind::Key, now).await? {
            if !name.starts_with(PREFIX) || self.list().iter().any(|known| known.name == name) {
                continue;
            }
            let record: Record = serde_json::from_slice(&record).map_err(|_| damaged())?;
            let key = decode(&record.pkcs8).and_then(|der| SigningKey::from_pkcs8_der(&der).ok());
            let key = key.ok_or_else(damaged)?;
            self.keep(Kept { signs_from: record.signs_from, key, name });
        }
        Ok(())
    }

    /// Makes the next key, which is shown from now on, and signs later.
    pub(super) async fn rotate(&self, now: UnixTime) -> Result<KeyId, ServerError> {
        let made = self.add(None, now.plus(self.rotation.ahead), now).await?;
        made.ok_or_else(|| ServerError::Storage("a new key is in it already".to_owned()))
    }

    /// The key that signs now. Makes the next one, and forgets those that count no more, when it is
    /// time.
    pub(super) async fn current(&self, now: UnixTime) -> Result<Arc<Kept>, ServerError> {
        let _one = self.turning.lock().await;
        self.look(now).await?;
        let newest = self.list().last().map(|kept| kept.signs_from);
        if newest.is_none_or(|newest| newest.plus(self.rotation.after) <= now) {
            self.rotate(now).await?;
        }
        for over in self.take_over(now) {
            self.store.remove(Kind::Key, &over.name).await?;
        }
        self.signing(now).ok_or_else(|| ServerError::Storage("there is no key in it".to_owned()))
    }

    /// The public half of a key that is shown now.
    pub(super) fn public(&self, id: &str, now: UnixTime) -> Option<VerifyingKey> {
        let shown = self.shown(now);
        shown.into_iter().find(|key| key.id().to_string() == id)
    }

    /// All that are shown now.
    pub(super) fn shown(&self, now: UnixTime) -> Vec<VerifyingKey> {
        let all = self.list();
        let over = self.over(&all, now);
        all.iter().skip(over).map(|kept| kept.key.verifying_key().clone()).collect()
    }

    fn looked(&self) -> MutexGuard<'_, Option<UnixTime>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, kept: Kept) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Two requests may have looked at once.
        if !all.iter().any(|known| known.name == kept.name) {
            all.push(Arc::new(kept));
            all.sort_by_key(|kept| kept.signs_from);
        }
    }

    fn list(&self) -> Vec<Arc<Kept>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn signing(&self, now: UnixTime) -> Option<Arc<Kept>> {
        self.list().into_iter().rfind(|kept| kept.signs_from <= now)
    }

    /// How many of them, which are in order of time, count no more: their next one has signed for
    /// longer than a token lasts.
    fn over(&self, all: &[Arc<Kept>], now: UnixTime) -> usize {
        let nexts = all.iter().skip(1);
        nexts.take_while(|next| next.signs_from.plus(self.overlap) <= now).count()
    }

    fn take_over(&self, now: UnixTime) -> Vec<Arc<Kept>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.over(&all, now);
        all.drain(..over).collect()
    }

    /// Makes a key; `None` where there is one of this name already.
    async fn add(
        &self,
        name: Option<&str>,
        signs_from: UnixTime,
        now: UnixTime,
    ) -> Result<Option<KeyId>, ServerError> {
        let key = SigningKey::generate(self.rotation.algorithm).map_err(|_| ServerError::Random)?;
        let id = key.id();
        let record = Record { signs_from, pkcs8: encode(&key.to_pkcs8_der()) };
        let record =
            serde_json::to_vec(&record).map_err(|error| ServerError::Storage(error.to_string()))?;
        let name = name.map_or_else(|| format!("{PREFIX}{id}"), str::to_owned);
        if !self.store.insert(Kind::Key, &name, record, UnixTime(u64::MAX), now).await? {
            return Ok(None);
        }
        self.keep(Kept { signs_from, key, name });
        Ok(Some(id))
    }
}
