//! Whether a statement counts, by what is known.

use super::{FRESH, NO_SOURCE, Revocations, Revoked};
use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::key::KeyId;
use crate::level::Revocation;
use crate::time::UnixTime;
use crate::verify::VerifyError;

/// A statement that is about to be believed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) issuer: &'a ProviderId,
    pub(crate) key: KeyId,
    pub(crate) id: &'a str,
    pub(crate) definition: Option<Digest>,
}

impl Revocations {
    /// Whether a statement counts.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Revoked`], [`VerifyError::StatementRevoked`], and
    /// [`VerifyError::RevocationUnknown`] where `demand` wants to know more than is known.
    pub(crate) fn check(
        &self,
        statement: Statement<'_>,
        demand: &Revocation,
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        self.find(statement)?;
        let issuers = std::iter::once(statement.issuer).chain(&self.authorities);
        for issuer in issuers {
            self.is_known(issuer, demand, now)?;
        }
        Ok(())
    }

    /// Refuses what was signed by a key that a revoked one introduced.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Revoked`] with the key that was revoked.
    pub(crate) fn check_introduced(
        &self,
        issuer: &ProviderId,
        by: &[KeyId],
    ) -> Result<(), VerifyError> {
        by.iter().try_for_each(|key| {
            self.find(Statement { issuer, key: *key, id: "", definition: None })
        })
    }

    /// Refuses a definition for which no issuer stands: what was revoked here counts, and what
    /// those revoke who speak for everybody.
    ///
    /// # Errors
    ///
    /// [`VerifyError::DefinitionRevoked`].
    pub(crate) fn check_definition(&self, digest: Digest) -> Result<(), VerifyError> {
        let state = self.read();
        let lists = self.authorities.iter();
        let lists = lists.filter_map(|issuer| Some(&state.issuers.get(issuer)?.revoked));
        let mut all = std::iter::once(&state.revoked_here).chain(lists);
        match all.any(|revoked| revoked.contains(&Revoked::Definition(digest))) {
            true => Err(VerifyError::DefinitionRevoked { digest }),
            false => Ok(()),
        }
    }

    pub(super) fn find(&self, statement: Statement<'_>) -> Result<(), VerifyError> {
        let state = self.read();
        let lists = std::iter::once(statement.issuer).chain(&self.authorities);
        let lists = lists.filter_map(|issuer| Some(&state.issuers.get(issuer)?.revoked));
        for revoked in std::iter::once(&state.revoked_here).chain(lists) {
            if revoked.is_empty() {
                continue;
            }
            if revoked.contains(&Revoked::Key(statement.key)) {
                return Err(VerifyError::Revoked { key: statement.key });
            }
            let has = |one: Revoked| revoked.contains(&one);
            let what = if has(Revoked::Provider(statement.issuer.clone())) {
                "all that it ever said"
            } else if has(Revoked::Statement(statement.id.to_owned())) {
                "this attestation"
            } else if statement.definition.is_some_and(|digest| has(Revoked::Definition(digest))) {
                "this definition"
            } else {
                continue;
            };
            return Err(VerifyError::StatementRevoked { issuer: statement.issuer.clone(), what });
        }
        Ok(())
    }

    fn is_known(
        &self,
        issuer: &ProviderId,
        demand: &Revocation,
        now: UnixTime,
    ) -> Result<(), VerifyError> {
        let unknown = |why: String| VerifyError::RevocationUnknown { issuer: issuer.clone(), why };
        let age = match demand {
            Revocation::BestEffort => return Ok(()),
            Revocation::Cached { max_age_seconds } => *max_age_seconds,
            Revocation::Fresh => FRESH,
        };
        // What other nodes revoked may be of any issuer.
        if let Some(shared) = &self.shared {
            shared.is_younger(age, now).map_err(unknown)?;
        }
        // Without a source there is nothing to be cached; what is revoked here counts.
        let cached = matches!(demand, Revocation::Cached { .. });
        if cached && self.source.get().is_none() || self.needs_none(issuer) {
            return Ok(());
        }
        let state = self.read();
        let known = state.issuers.get(issuer);
        if known.is_some_and(|known| known.is_younger(age, now)) {
            return Ok(());
        }
        let why = match (self.source.get(), known.and_then(|known| known.failed.as_ref())) {
            (None, _) => NO_SOURCE.to_owned(),
            (_, Some((_, why))) => why.clone(),
            _ => "its list is too old".to_owned(),
        };
        Err(unknown(why))
    }
}
