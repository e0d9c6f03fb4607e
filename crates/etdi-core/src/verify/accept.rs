//! What is let count beyond who is known: the only issuers and algorithms, and keys at first use.

use std::collections::BTreeSet;

use super::VerifyError;
use crate::binding::Possession;
use crate::identity::ProviderId;
use crate::jws::{IssuedJws, Jws, JwsError};
use crate::key::{Algorithm, AllowList};
use crate::proof::{Evidence, Trust};
use crate::trust::issuer;
use crate::wire::StatementType;

/// Whose statements count, and signed with what; everybody's and everything where a set is empty.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    pub(super) issuers: BTreeSet<ProviderId>,
    pub(super) algorithms: BTreeSet<Algorithm>,
}

impl Accepted {
    pub(super) fn check(
        &self,
        text: &str,
        kind: StatementType,
        evidence: Evidence,
    ) -> Result<Evidence, VerifyError> {
        if !self.issuers.is_empty() && !self.issuers.contains(&evidence.issuer) {
            let (issuer, key) = (evidence.issuer, evidence.key);
            return Err(VerifyError::IssuerUntrusted { issuer, key });
        }
        if !self.algorithms.is_empty() {
            // The signature was checked; only its name is read again.
            let jws = IssuedJws::read(text, kind, AllowList::IDENTITY_PROVIDER)?;
            if !self.algorithms.contains(&jws.algorithm()) {
                return Err(JwsError::Algorithm.into());
            }
        }
        Ok(evidence)
    }
}

/// Evidence by a key of which nothing is known but that the server holds it; none where the
/// statement is by another key, or speaks for anybody but its own.
pub(super) fn first_use(
    text: &str,
    kind: StatementType,
    shown: &Possession,
) -> Result<Option<Evidence>, VerifyError> {
    let jws = Jws::read(text, kind)?;
    let key = shown.verifying_key();
    if jws.key_id() != key.id() {
        return Ok(None);
    }
    let claims = jws.verify(key)?;
    let own = ProviderId::of_key(key.id());
    let speaks_for_itself = issuer(&claims)? == own;
    Ok(speaks_for_itself.then(|| Evidence::new(own, key.id(), Trust::FirstUse, claims)))
}
