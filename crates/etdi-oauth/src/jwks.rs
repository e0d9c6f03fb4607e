//! Key sets of issuers, kept: fetched once for all who wait, again when an unknown key is named, and
//! not more often than a minute allows.

use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};

use etdi_core::key::{AllowList, JwkSet, VerifyingKey};
use etdi_core::time::UnixTime;
use tokio::sync::Mutex;

use crate::shelf::Shelf;
use crate::{Fetch, FetchError, FetchRequest, FetchResponse};

/// How long what is kept counts, in seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct JwksSettings {
    /// How long a set is fresh that does not say so itself; one hour by default.
    pub fresh: u64,
    /// The shortest and longest that a set can say of itself (`Cache-Control: max-age`); five
    /// minutes and a day by default.
    pub fresh_bounds: (u64, u64),
    /// How long a set is used beyond that while its issuer cannot be reached; four hours by default.
    pub stale_on_error: u64,
    /// The shortest time between two attempts, whatever keys are asked for; one minute by default.
    pub least_interval: u64,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            fresh: 3_600,
            fresh_bounds: (300, 86_400),
            stale_on_error: 4 * 3_600,
            least_interval: 60,
        }
    }
}

/// Why a key set gives no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwksError {
    /// The set is there and has no such key.
    #[error("the key set has no key `{}`", .0.escape_debug())]
    Unknown(String),
    /// The set cannot be had now; whether it has the key cannot be told.
    #[error("{0}")]
    Unavailable(String),
}

/// A key, and until when it may be used without asking again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedKey {
    /// The key.
    pub key: VerifyingKey,
    /// Until when.
    pub until: UnixTime,
}

/// Keeps key sets by URL. Cheap to clone; clones share what is kept.
///
/// A key that the set does not have makes it be fetched again, so that a rotation is noticed with
/// the first call; since that is done at most once in [`JwksSettings::least_interval`], made-up
/// names cost nobody anything. While an issuer cannot be reached a set that is too old is used for a
/// bounded time, for the keys that it has.
#[derive(Clone)]
pub struct JwksCache {
    fetch: Arc<dyn Fetch>,
    settings: JwksSettings,
    sets: Arc<Lock<Shelf<Place, Arc<Slot>>>>,
}

/// A set is kept apart for each list of algorithms that counts.
type Place = (String, bool);

/// The most sets.
const MAX_SETS: usize = 256;

/// One set, and whose turn it is to fetch it.
#[derive(Default)]
struct Slot {
    kept: Lock<Kept>,
    turn: Arc<Mutex<()>>,
}

impl Slot {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of a name, where the set need not be fetched for it.
    fn fresh(&self, kid: &str, now: UnixTime) -> Option<CachedKey> {
        let kept = self.kept();
        let key = kept.known(kid).filter(|_| now < kept.fresh_until)?;
        Some(CachedKey { key, until: kept.fresh_until })
    }
}

#[derive(Default)]
struct Kept {
    set: Option<JwkSet>,
    etag: Option<String>,
    fresh_until: UnixTime,
    tried: Option<UnixTime>,
    failed: Option<String>,
}

impl Kept {
    fn known(&self, kid: &str) -> Option<VerifyingKey> {
        self.set.as_ref().and_then(|set| set.get(kid)).cloned()
    }
}

impl JwksCache {
    /// Fetches through `fetch`, which must be a guarded one where a peer can name the URL.
    pub fn new(fetch: Arc<dyn Fetch>) -> Self {
        Self::with_settings(fetch, JwksSettings::default())
    }

    /// With other times.
    pub fn with_settings(fetch: Arc<dyn Fetch>, settings: JwksSettings) -> Self {
        Self { fetch, settings, sets: Arc::new(Lock::new(Shelf::new(MAX_SETS))) }
    }

    /// The key that the set at `url` calls `kid`, if its algorithm is one of `allowed`.
    ///
    /// # Errors
    ///
    /// [`JwksError::Unknown`] when the set, as fresh as it has to be, has no such key;
    /// [`JwksError::Unavailable`] when there is no such set now.
    pub async fn key(
        &self,
        url: &str,
        kid: &str,
        allowed: AllowList,
        now: UnixTime,
    ) -> Result<CachedKey, JwksError> {
        let slot = self.place(url, allowed);
        // Nobody waits for what a stranger makes up.
        if let Some(found) = slot.fresh(kid, now) {
            return Ok(found);
        }
        self.fetched(&slot, url, kid, allowed, now).await;
        let kept = slot.kept();
        let fresh = now < kept.fresh_until;
        let tolerated = kept.fresh_until.plus(self.settings.stale_on_error);
        match kept.known(kid) {
            Some(key) if fresh => Ok(CachedKey { key, until: kept.fresh_until }),
            Some(key) if kept.failed.is_some() && now < tolerated => {
                let until = now.plus(self.settings.least_interval);
                Ok(CachedKey { key, until: until.min(tolerated) })
            }
            // A set that is there and could not be fetched again may lack a new key.
            None if fresh && kept.failed.is_none() => Err(JwksError::Unknown(kid.to_owned())),
            _ => {
                let why = kept.failed.clone();
                Err(JwksError::Unavailable(why.unwrap_or_else(|| "it is too old".to_owned())))
            }
        }
    }

    /// Fetches the set if it may be, and whoever comes meanwhile waits. The fetch goes on where whoever
    /// began it has gone: a stranger who hangs up at once would otherwise have the set grow too old.
    async fn fetched(
        &self,
        slot: &Arc<Slot>,
        url: &str,
        kid: &str,
        allowed: AllowList,
        now: UnixTime,
    ) {
        let turn = slot.turn.clone().lock_owned().await;
        if slot.fresh(kid, now).is_some() || !self.may_try(&slot.kept(), now) {
            return;
        }
        let (this, slot, url) = (self.clone(), slot.clone(), url.to_owned());
        let work = async move {
            this.refresh(&slot, &url, allowed, now).await;
            drop(turn);
        };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(work).await),
            Err(_) => work.await,
        }
    }

    fn place(&self, url: &str, allowed: AllowList) -> Arc<Slot> {
        let place = (url.to_owned(), allowed == AllowList::IDENTITY_PROVIDER);
        self.sets.lock().unwrap_or_else(PoisonError::into_inner).get(&place)
    }

    fn may_try(&self, kept: &Kept, now: UnixTime) -> bool {
        // A clock that was set back must not stop us for ever.
        kept.tried.is_none_or(|at| now < at || at.plus(self.settings.least_interval) <= now)
    }

    async fn refresh(&self, slot: &Slot, url: &str, allowed: AllowList, now: UnixTime) {
        let etag = {
            let mut kept = slot.kept();
            kept.tried = Some(now);
            // Without a runtime whoever asks may give up waiting; then this is what is known.
            kept.failed = Some(format!("the key set of `{url}`: no answer was waited for"));
            kept.etag.clone().filter(|_| kept.set.is_some())
        };
        let mut request = FetchRequest::get(url);
        request
            .headers
            .push(("accept".to_owned(), "application/jwk-set+json, application/json".to_owned()));
        if let Some(etag) = etag {
            request.headers.push(("if-none-match".to_owned(), etag));
        }
        request.most_bytes = MAX_SET;
        let answer = self.fetch.fetch(request).await;
        let mut kept = slot.kept();
        let result = match answer {
            Ok(answer) => self.take_over(&mut kept, &answer, allowed, now),
            Err(error) => Err(error.to_string()),
        };
        kept.failed = result.err().map(|why| format!("the key set of `{url}`: {why}"));
    }

    fn take_over(
        &self,
        kept: &mut Kept,
        answer: &FetchResponse,
        allowed: AllowList,
        now: UnixTime,
    ) -> Result<(), String> {
        match answer.status {
            304 if kept.set.is_some() => {}
            200 => {
                let text = std::str::from_utf8(&answer.body).map_err(|error| error.to_string())?;
                kept.set = Some(JwkSet::read(text, allowed).map_err(|error| error.to_string())?);
                let etag = answer.header("etag").filter(|etag| etag.len() <= 256);
                kept.etag = etag.map(str::to_owned);
            }
            status => return Err(FetchError::status(status)),
        }
        let (least, most) = self.settings.fresh_bounds;
        let said = answer.header("cache-control").and_then(max_age);
        kept.fresh_until = now.plus(said.unwrap_or(self.settings.fresh).clamp(least, most));
        Ok(())
    }
}

impl std::fmt::Debug for JwksCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JwksCache").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The most bytes of a set: 256 keys with their certificates are larger, and refused.
const MAX_SET: usize = 256 << 10;

/// `max-age` of a `Cache-Control` header; `no-store` and `no-cache` count as the shortest.
pub(crate) fn max_age(header: &str) -> Option<u64> {
    let mut age = None;
    for directive in header.split(',').map(str::trim) {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(0);
        }
        if name.eq_ignore_ascii_case("max-age") {
            age = value.trim_matches('"').parse().ok();
        }
    }
    age
}

#[cfg(test)]
mod tests;
