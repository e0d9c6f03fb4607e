//! What was taken back: whom to ask, and what counts no more.

use std::collections::BTreeSet;

use super::{Binding, Verdict, Verifier, VerifyError};
use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::key::KeyId;
use crate::proof::{Evidence, Trust};
use crate::revocation::{self, Statement};
use crate::time::UnixTime;
use crate::wire::StatementType;

impl Verifier {
    pub(super) async fn ask_what_is_revoked(&self, all: &[(StatementType, &str)], now: UnixTime) {
        let Some(revocations) = &self.revocations else { return };
        // Only of issuers who verifiably said something: a server must not choose whom we ask.
        let asked = all.iter().filter(|_| revocations.asks());
        let accepted = self.accepted.as_deref().map(|accepted| &accepted.issuers);
        let accepted = accepted.filter(|issuers| !issuers.is_empty());
        let (mut issuers, mut named) = (BTreeSet::new(), BTreeSet::new());
        for (kind, text) in asked {
            let Ok(Evidence { issuer, trust, .. }) = self.known_evidence(text, *kind, now) else {
                continue;
            };
            if accepted.is_some_and(|accepted| !accepted.contains(&issuer)) {
                continue;
            }
            if accepted.is_some() || trust == Trust::Configured {
                named.insert(issuer.clone());
            }
            issuers.insert(issuer);
        }
        revocations.name(named);
        revocations.refresh(issuers, &self.freshness, &self.proofs, now).await;
    }

    /// Refuses a statement that was taken back.
    pub(super) fn check_revoked(
        &self,
        issuer: &ProviderId,
        (key, introduced_by): (KeyId, &[KeyId]),
        id: &str,
        definition: Option<Digest>,
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        let demand = &self.freshness;
        let Some(known) = &self.revocations else {
            return revocation::without_source(issuer, demand);
        };
        known.check_introduced(issuer, introduced_by)?;
        known.check(Statement { issuer, key, id, definition }, demand, now)
    }

    /// Refuses a definition that was taken back, also where nobody signed it: whoever leaves the
    /// signature out must not bring it back.
    pub(super) fn unless_revoked<T>(
        &self,
        definition: &ToolDefinition,
        found: Result<T, VerifyError>,
    ) -> Result<T, VerifyError> {
        match (&found, &self.revocations) {
            (Err(error), Some(known)) if error.verdict() != Verdict::Wrong => {
                known.check_definition(definition.digest())?;
                found
            }
            _ => found,
        }
    }

    /// Refuses an instance key that was taken back: whoever has stolen it proves to be the server.
    pub(super) fn check_holder(
        &self,
        issuer: &ProviderId,
        binding: &Binding,
    ) -> Result<(), VerifyError> {
        let Binding::Possession(key) = binding else { return Ok(()) };
        self.proofs.iter().try_for_each(|one| one.refuses(*key))?;
        let Some(known) = &self.revocations else { return Ok(()) };
        known.check_introduced(issuer, &[*key])
    }
}
