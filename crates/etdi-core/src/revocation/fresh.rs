//! Lists that are asked for, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard, PoisonError};

use mcp_types::BoxFuture;

use super::known::{FILE, MAX_STRANGE, State};
use super::{FRESH, LIFETIME, MAX_ISSUERS, RevocationError, Revocations};
use crate::identity::ProviderId;
use crate::level::Revocation;
use crate::proof::ProofVerifier;
use crate::store::disk::Files;
use crate::time::UnixTime;
use crate::together::each;

/// The most lists that are fetched for one listing.
pub(super) const MAX_FETCHES: usize = 16;

/// How many of them are under way at a time.
const AT_ONCE: usize = 8;

/// For how many seconds a failed attempt is not repeated where freshness is not demanded.
pub(super) const RETRY: u64 = 60;

impl Revocations {
    /// Fetches the lists that `demand` wants and that are not at hand, as far as they can be had.
    pub(crate) async fn refresh(
        &self,
        issuers: BTreeSet<ProviderId>,
        demand: &Revocation,
        proofs: &[Arc<dyn ProofVerifier>],
        now: UnixTime,
    ) {
        self.read_again();
        self.share_if_due(now).await;
        let Some(source) = self.source.get() else { return };
        self.name(self.authorities.clone());
        let wanted: BTreeSet<ProviderId> =
            issuers.into_iter().chain(self.authorities.iter().cloned()).collect();
        let mut wanted: Vec<(ProviderId, Option<u64>)> = wanted
            .into_iter()
            .filter_map(|issuer| {
                let version = source.version(&issuer);
                let changed = self.has_changed(&issuer, version);
                if changed {
                    self.hear_at_hand(source.at_hand(&issuer), &issuer, proofs, now);
                }
                (changed || self.is_due(&issuer, demand, now)).then_some((issuer, version))
            })
            .collect();
        // A server chooses who else is asked, and must not crowd out those whom the host names.
        wanted.sort_by_key(|(issuer, _)| !self.is_named(issuer));
        wanted.truncate(MAX_FETCHES);
        let ask = |(issuer, version): (ProviderId, Option<u64>)| -> BoxFuture<'_, ()> {
            Box::pin(async move {
                let answers = source.lists(&issuer, now).await;
                if let Err(why) = self.hear(answers, &issuer, proofs, now).await {
                    self.note_failure(&issuer, why, now);
                }
                // Whoever is not waited for any longer has not been heard.
                if let Some(version) = version {
                    self.heard().insert(issuer, version);
                }
            })
        };
        each(wanted.into_iter().map(ask), AT_ONCE).await;
        self.share_if_due(now).await;
    }

    /// Hears what other nodes know and tells what is new here. Where that fails, [`Self::check`] says so
    /// as soon as what was read is too old.
    async fn share_if_due(&self, now: UnixTime) {
        if self.shared.as_ref().is_some_and(|shared| !shared.is_settled(now)) {
            _ = self.share(now).await;
        }
    }

    /// Learns what another process has written, such as an operator's command. What cannot be read
    /// teaches nothing; what was known stays known.
    fn read_again(&self) {
        let Some(disk) = &self.disk else { return };
        let path = disk.path(FILE);
        let version = path.metadata().and_then(|about| Ok((about.modified()?, about.len()))).ok();
        let mut known = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == version {
            return;
        }
        if let Some(written) = State::read(disk).ok().flatten() {
            let mut state = self.write();
            *state = written.with(&state);
            state.make_room(None, MAX_STRANGE);
            *known = version;
        }
    }

    /// The issuer says that it publishes none. One that did before cannot.
    pub(super) fn has_none(
        &self,
        issuer: &ProviderId,
        now: UnixTime,
    ) -> Result<(), RevocationError> {
        let mut state = self.write();
        let known = state.issuers.entry(issuer.clone()).or_default();
        if let Some(seen) = &known.list {
            return Err(RevocationError::Rollback { found: 0, seen: seen.seq });
        }
        (known.answered, known.failed) = (Some(now), None);
        self.save(&mut state, Some(issuer))
    }

    pub(super) fn note_failure(&self, issuer: &ProviderId, why: String, now: UnixTime) {
        let mut state = self.write();
        state.issuers.entry(issuer.clone()).or_default().failed = Some((now, why));
        if state.issuers.len() > MAX_ISSUERS {
            state.make_room(Some(issuer), MAX_STRANGE);
        }
    }

    fn heard(&self) -> MutexGuard<'_, BTreeMap<ProviderId, u64>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is something at hand that was not asked for since.
    fn has_changed(&self, issuer: &ProviderId, version: Option<u64>) -> bool {
        version.is_some()
            && !self.needs_none(issuer)
            && self.heard().get(issuer).copied() != version
    }

    fn is_due(&self, issuer: &ProviderId, demand: &Revocation, now: UnixTime) -> bool {
        if self.needs_none(issuer) {
            return false;
        }
        let state = self.read();
        let Some(known) = state.issuers.get(issuer) else { return true };
        let age = match demand {
            Revocation::Fresh => FRESH,
            // In good time, so that a list is at hand when the old one is too old.
            Revocation::Cached { max_age_seconds } => max_age_seconds / 2,
            Revocation::BestEffort => LIFETIME,
        };
        let retry = known.failed.as_ref().is_none_or(|(at, _)| *at > now || at.plus(RETRY) <= now);
        !known.is_younger(age, now) && (retry || *demand == Revocation::Fresh)
    }
}
