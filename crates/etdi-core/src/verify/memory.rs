//! What was checked before: only that a signature is valid is remembered, and how a manifest is taken
//! apart.

use std::sync::{MutexGuard, PoisonError};

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
        let cache = self.cache();
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
