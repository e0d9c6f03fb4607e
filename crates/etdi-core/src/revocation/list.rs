//! A list of what an issuer takes back, before it is signed, and its entries.

use std::collections::BTreeSet;

use super::{LIFETIME, MAX_ENTRIES};
use crate::attestation::to_json;
use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::jws;
use crate::key::KeyId;
use crate::proof::{SignError, Signer};
use crate::time::UnixTime;
use crate::verify::CLOCK_SKEW;
use crate::wire::{KEYS_AUDIENCE, RevocationEntry, RevocationsClaims, StatementType};

/// What counts no more.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Revoked {
    /// A key: whatever it has ever signed.
    Key(KeyId),
    /// One statement, by its `jti`.
    Statement(String),
    /// A definition, whoever attests it.
    Definition(Digest),
    /// All that a provider has ever said.
    Provider(ProviderId),
}

/// A list before it is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    issuer: ProviderId,
    seq: u64,
    issued: UnixTime,
    next_update: UnixTime,
    revoked: Vec<RevocationEntry>,
}

impl RevocationList {
    /// List number `seq` of `issuer`, in which nothing is revoked, for a day. The number is best the
    /// time in seconds since 1970, and never higher.
    pub fn new(issuer: ProviderId, seq: u64, now: UnixTime) -> Self {
        let revoked = Vec::new();
        Self { issuer, seq, issued: now, next_update: now.plus(LIFETIME), revoked }
    }

    /// Says until when the next list is there.
    #[must_use]
    pub fn next_update(mut self, at: UnixTime) -> Self {
        self.next_update = at;
        self
    }

    /// Takes something back.
    #[must_use]
    pub fn revoke(self, revoked: Revoked) -> Self {
        self.revoke_because(revoked, None)
    }

    /// Takes something back, and says why.
    #[must_use]
    pub fn revoke_because(mut self, revoked: Revoked, reason: Option<String>) -> Self {
        let mut entry = RevocationEntry::from(revoked);
        entry.at = Some(self.issued.0);
        entry.reason = reason;
        self.revoked.push(entry);
        self
    }

    /// Keeps what an earlier list took back; an issuer never takes that back again.
    #[must_use]
    pub fn keeping(mut self, earlier: &RevocationsClaims) -> Self {
        self.revoked.extend(earlier.revoked.iter().cloned());
        self
    }

    /// Signs it with a key of the issuer.
    ///
    /// # Errors
    ///
    /// When there are more than [`MAX_ENTRIES`], the number is higher than the time, or the key
    /// cannot be used.
    pub fn sign(&self, signer: &dyn Signer) -> Result<String, SignError> {
        if self.revoked.len() > MAX_ENTRIES {
            return Err(SignError(format!("more than {MAX_ENTRIES} entries, revoke the provider")));
        }
        if outruns(self.seq, self.issued.0) {
            let why = "the number is higher than the time in seconds since 1970, use that";
            return Err(SignError(why.to_owned()));
        }
        let claims = RevocationsClaims {
            iss: self.issuer.clone(),
            aud: KEYS_AUDIENCE.to_owned(),
            iat: self.issued.0,
            seq: self.seq,
            next_update: self.next_update.0,
            revoked: self.revoked.clone(),
        };
        jws::sign(StatementType::Revocations, &to_json(&claims)?, signer)
    }
}

impl From<Revoked> for RevocationEntry {
    fn from(revoked: Revoked) -> Self {
        let mut entry = Self::default();
        match revoked {
            Revoked::Key(key) => entry.kid = Some(key),
            Revoked::Statement(id) => entry.jti = Some(id),
            Revoked::Definition(digest) => entry.digest = Some(digest),
            Revoked::Provider(provider) => entry.provider = Some(provider),
        }
        entry
    }
}

impl RevocationEntry {
    /// What it revokes; `None` when it names nothing, or several things.
    pub fn revoked(&self) -> Option<Revoked> {
        match (self.kid, &self.jti, self.digest, &self.provider) {
            (Some(key), None, None, None) => Some(Revoked::Key(key)),
            (None, Some(id), None, None) if !id.is_empty() => Some(Revoked::Statement(id.clone())),
            (None, None, Some(digest), None) => Some(Revoked::Definition(digest)),
            (None, None, None, Some(provider)) => Some(Revoked::Provider(provider.clone())),
            _ => None,
        }
    }
}

pub(super) fn things(entries: &[RevocationEntry]) -> Result<BTreeSet<Revoked>, String> {
    let one = |entry: &RevocationEntry| {
        entry.revoked().ok_or_else(|| {
            "an entry names not exactly one of `kid`, `jti`, `digest` and `provider`".to_owned()
        })
    };
    entries.iter().map(one).collect()
}

/// Whether a number is higher than the time of its list allows.
pub(super) fn outruns(seq: u64, issued: u64) -> bool {
    seq > issued.saturating_add(CLOCK_SKEW)
}
