//! What was checked before: only that a signature is valid is remembered, and how a manifest is taken
//! apart.

use std::sync::{MutexGuard, PoisonError};

use serde::Serialize;

use super::Verifier;
use super::manifest::{CACHED_MANIFESTS, Parsed};
use crate::bounded::Bounded;
use crate::digest::Digest;
use crate::proof::Evidence;
use crate::time::UnixTime;
use crate::wire::StatementType;

/// How many checked signatures are remembered.
const CACHE: usize = 4_096;

/// Signatures that were checked, by the digest of the statement. Only that they are valid is
/// remembered; everything that depends on time, tool or peer is checked each time.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) epoch: u64,
    pub(super) entries: Bounded<(StatementType, Digest), (Evidence, UnixTime), CACHE>,
    pub(super) manifests: Bounded<Digest, Parsed, CACHED_MANIFESTS>,
    hits: u64,
    misses: u64,
}

/// What a verifier remembers of the signatures that it has checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VerificationStats {
    /// How many checked signatures are remembered.
    pub cached: usize,
    /// How many of these are checked again before they count.
    pub expired: usize,
    /// How many can be remembered.
    pub capacity: usize,
    /// For how many seconds each counts; `None` for as long as its key does.
    pub ttl: Option<u64>,
    /// How often a signature was one that is remembered.
    pub hits: u64,
    /// How often one had to be checked.
    pub misses: u64,
    /// How many verifiers of proofs are asked.
    pub verifiers: usize,
}

impl Verifier {
    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remembered(
        &self,
        epoch: u64,
        key: &(StatementType, Digest),
        now: UnixTime,
    ) -> Option<Evidence> {
        let mut cache = self.cache();
        let found = self.fresh(&cache, epoch, key, now);
        match found {
            Some(_) => cache.hits = cache.hits.saturating_add(1),
            None => cache.misses = cache.misses.saturating_add(1),
        }
        found
    }

    /// What is remembered and how often that was of use. Looks at every entry: for a person, not for
    /// each call.
    pub fn statistics(&self, now: UnixTime) -> VerificationStats {
        let epoch = self.epoch();
        let cache = self.cache();
        let fresh = |key: &&(StatementType, Digest)| self.fresh(&cache, epoch, key, now).is_some();
        let cached = cache.entries.len();
        VerificationStats {
            cached,
            expired: cached
                .saturating_sub(cache.entries.iter().map(|(key, _)| key).filter(fresh).count()),
            capacity: CACHE,
            ttl: self.remember_for,
            hits: cache.hits,
            misses: cache.misses,
            verifiers: self.proofs.len(),
        }
    }

    fn fresh(
        &self,
        cache: &Cache,
        epoch: u64,
        key: &(StatementType, Digest),
        now: UnixTime,
    ) -> Option<Evidence> {
        let (evidence, since) = cache.entries.get(key).filter(|_| cache.epoch == epoch)?;
        // A clock that was set back must not make it last.
        let fresh = self.remember_for.is_none_or(|limit| now.0.abs_diff(since.0) < limit);
        let counts = fresh && evidence.until.is_none_or(|until| now < until);
        counts.then(|| evidence.clone())
    }

    pub(super) fn remember(
        &self,
        epoch: u64,
        key: (StatementType, Digest),
        evidence: &Evidence,
        now: UnixTime,
    ) {
        let mut cache = self.cache();
        if cache.epoch != epoch {
            cache.entries.clear();
            cache.epoch = epoch;
        }
        cache.entries.insert(key, (evidence.clone(), now));
    }
}
