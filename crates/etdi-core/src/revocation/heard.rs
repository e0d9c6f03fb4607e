//! What the places say that are asked for an issuer's list, and what is believed of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::file::nobody;
use super::list::{Revoked, outruns, things};
use super::{MAX_ENTRIES, RevocationError, Revocations, Statement};
use crate::identity::ProviderId;
use crate::key::KeyId;
use crate::proof::{Evidence, ProofVerifier};
use crate::time::UnixTime;
use crate::verify::{CLOCK_SKEW, VerifyError};
use crate::wire::{KEYS_AUDIENCE, RevocationsClaims, StatementType};

/// A list whose signature and claims are right, and who signed it.
struct Heard {
    key: KeyId,
    introduced_by: Vec<KeyId>,
    claims: RevocationsClaims,
    revoked: BTreeSet<Revoked>,
}

impl Heard {
    fn revokes(&self, other: &Self) -> bool {
        let mut keys = std::iter::once(&other.key).chain(&other.introduced_by);
        self.claims != other.claims && keys.any(|key| self.revoked.contains(&Revoked::Key(*key)))
    }
}

impl Revocations {
    pub(super) fn take_over(
        &self,
        evidence: Evidence,
        issuer: &ProviderId,
        now: UnixTime,
    ) -> Result<(), RevocationError> {
        let list = self.read_list(evidence, issuer, now)?;
        self.name([issuer.clone()].into());
        self.take_over_all(vec![list], issuer, true, now)
    }

    /// A list that is the issuer's and says what it must.
    fn read_list(
        &self,
        evidence: Evidence,
        issuer: &ProviderId,
        now: UnixTime,
    ) -> Result<Heard, RevocationError> {
        if evidence.issuer != *issuer {
            return Err(RevocationError::Issuer(evidence.issuer));
        }
        // A thief who signs with what was revoked, or with a key that it introduced, could take the
        // revocation back.
        self.find(Statement { issuer, key: evidence.key, id: "", definition: None })?;
        self.check_introduced(issuer, &evidence.introduced_by)?;
        let claims: RevocationsClaims = serde_json::from_str(&evidence.claims)
            .map_err(|error| RevocationError::Claims(error.to_string()))?;
        let wrong = |why: &str| Err(RevocationError::Claims(why.to_owned()));
        if claims.aud != KEYS_AUDIENCE {
            return wrong("it is meant for something else");
        }
        if UnixTime(claims.iat) > now.plus(CLOCK_SKEW) {
            return wrong("it is from the future");
        }
        if outruns(claims.seq, claims.iat) {
            return wrong(
                "its number is higher than its time in seconds, so that none could follow",
            );
        }
        if claims.revoked.len() > MAX_ENTRIES {
            return wrong("it has more than 4096 entries");
        }
        let revoked = things(&claims.revoked).map_err(RevocationError::Claims)?;
        Ok(Heard { key: evidence.key, introduced_by: evidence.introduced_by, claims, revoked })
    }

    /// Takes over what several places say of one issuer: the newest list, and what any revokes.
    /// It is no fresh knowledge unless all that were asked have answered.
    fn take_over_all(
        &self,
        mut lists: Vec<Heard>,
        issuer: &ProviderId,
        all_answered: bool,
        now: UnixTime,
    ) -> Result<(), RevocationError> {
        lists.sort_by_key(|list| list.claims.seq);
        // The word of a key that another list takes back makes nothing fresh; what it revokes counts.
        let believed = lists.iter().rposition(|list| !lists.iter().any(|one| one.revokes(list)));
        let newest = match believed {
            Some(place) => Some(lists.remove(place)),
            None => lists.pop(),
        };
        let Some(Heard { key, claims, revoked, .. }) = newest else { return Ok(()) };
        let number = claims.seq;
        let forked = lists.iter().any(|one| one.claims.seq == number && one.claims != claims);
        let mut state = self.write();
        let known = state.issuers.entry(issuer.clone()).or_default();
        let refused = match &known.list {
            Some(seen) if number < seen.seq => {
                Some(RevocationError::Rollback { found: number, seen: seen.seq })
            }
            Some(seen) if number == seen.seq && claims != *seen => {
                Some(RevocationError::Fork(number))
            }
            _ => None,
        };
        // What any of them revokes is revoked, also where none of them is the newest.
        let others = lists.into_iter().flat_map(|list| list.claims.revoked);
        if let Some(why) = refused {
            if known.revoke_also(issuer, claims.revoked.into_iter().chain(others)) {
                self.save(&mut state, Some(issuer))?;
            }
            return Err(why);
        }
        known.revoked = revoked;
        known.list = Some(claims);
        let before = std::mem::take(&mut known.also);
        known.revoke_also(issuer, others.chain(before));
        let failed = match believed {
            _ if forked => Some(RevocationError::Fork(number)),
            None => Some(VerifyError::Revoked { key }.into()),
            Some(_) => None,
        };
        if failed.is_none() && all_answered {
            (known.answered, known.failed) = (Some(now), None);
        }
        self.save(&mut state, Some(issuer))?;
        failed.map_or(Ok(()), Err)
    }

    /// Takes in what all places said of an issuer, as far as it is right.
    pub(super) async fn hear(
        &self,
        answers: Vec<Result<Option<String>, String>>,
        issuer: &ProviderId,
        proofs: &[Arc<dyn ProofVerifier>],
        now: UnixTime,
    ) -> Result<(), String> {
        let mut failed = answers.is_empty().then(|| nobody(issuer));
        let (mut lists, mut says_none) = (Vec::new(), false);
        for answer in answers {
            match answer {
                Ok(Some(text)) => match self.check_all(&text, issuer, proofs, now).await {
                    Ok(list) => lists.push(list),
                    Err(error) => failed = Some(error.to_string()),
                },
                Ok(None) => says_none = true,
                Err(why) => failed = Some(why),
            }
        }
        let taken = match lists.is_empty() {
            false => self.take_over_all(lists, issuer, failed.is_none(), now),
            true if says_none && failed.is_none() => self.has_none(issuer, now),
            true => Ok(()),
        };
        let taken = taken.map_err(|error| error.to_string());
        failed.map_or(taken, Err)
    }

    /// Takes in what is at hand, with the keys that are known now. What is wrong with it, and what
    /// nobody can check yet, shows itself when all are asked.
    pub(super) fn hear_at_hand(
        &self,
        answers: Vec<Result<Option<String>, String>>,
        issuer: &ProviderId,
        proofs: &[Arc<dyn ProofVerifier>],
        now: UnixTime,
    ) {
        let texts = answers.into_iter().flatten().flatten();
        let lists = texts.filter_map(|text| self.check_known(&text, issuer, proofs, now).ok());
        _ = self.take_over_all(lists.collect(), issuer, false, now);
    }

    async fn check_all(
        &self,
        text: &str,
        issuer: &ProviderId,
        proofs: &[Arc<dyn ProofVerifier>],
        now: UnixTime,
    ) -> Result<Heard, RevocationError> {
        match self.check_known(text, issuer, proofs, now) {
            Err(RevocationError::Proof(_)) => {}
            checked => return checked,
        }
        for verifier in proofs {
            verifier.prepare(&[text], now).await;
        }
        self.check_known(text, issuer, proofs, now)
    }

    /// A list that is signed by a key that somebody knows by now.
    fn check_known(
        &self,
        text: &str,
        issuer: &ProviderId,
        proofs: &[Arc<dyn ProofVerifier>],
        now: UnixTime,
    ) -> Result<Heard, RevocationError> {
        let mut refusal = VerifyError::NobodyToAsk;
        for verifier in proofs {
            match verifier.verify_proof(text, StatementType::Revocations, now) {
                Ok(evidence) => {
                    proofs.iter().try_for_each(|one| one.refuses(evidence.key))?;
                    return self.read_list(evidence, issuer, now);
                }
                Err(error) => refusal = error,
            }
        }
        Err(refusal.into())
    }
}
