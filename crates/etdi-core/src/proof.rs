//! The two seams of signing: who can sign, and who can tell what a proof is worth.
//!
//! A [`Signer`] holds a key, in memory or elsewhere. A [`ProofVerifier`] turns a proof into
//! [`Evidence`]: which provider said what with which key. [`TrustAnchors`](crate::trust) is one
//! over configured keys; others look keys up at an issuer. Evidence is no verdict: times, digest,
//! subject and binding are checked by the [`Verifier`](crate::verify), the same for all.

use std::sync::Arc;

use mcp_types::BoxFuture;

use crate::identity::ProviderId;
use crate::key::{KeyError, KeyId, SigningKey, VerifyingKey};
use crate::time::UnixTime;
use crate::verify::VerifyError;
use crate::wire::StatementType;

/// Something that signs with one key: a [`SigningKey`], or what stands for one that no file holds, in a
/// security module or at a cloud's key management. It is called in place and may block.
pub trait Signer: Send + Sync {
    /// The public half of the key.
    fn verifying_key(&self) -> &VerifyingKey;

    /// Signs a message: 64 bytes, for ES256 r and s; for RSA as many as the modulus has.
    ///
    /// # Errors
    ///
    /// When the key cannot be used now.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// The signer could not sign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot sign: {0}")]
pub struct SignError(pub String);

impl From<KeyError> for SignError {
    fn from(error: KeyError) -> Self {
        Self(error.to_string())
    }
}

impl Signer for SigningKey {
    fn verifying_key(&self) -> &VerifyingKey {
        SigningKey::verifying_key(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(SigningKey::sign(self, message)?)
    }
}

impl<S: Signer + ?Sized> Signer for std::sync::Arc<S> {
    fn verifying_key(&self) -> &VerifyingKey {
        (**self).verifying_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        (**self).sign(message)
    }
}

/// How the key of a proof was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trust {
    /// It was seen before and nobody ever vouched for it.
    FirstUse,
    /// Its issuer publishes it.
    Issuer,
    /// The configuration names it.
    Configured,
}

/// What a proof shows: that a provider said this. Nothing is said about whether it fits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// Who said it.
    pub issuer: ProviderId,
    /// With which key.
    pub key: KeyId,
    /// How the key was found.
    pub trust: Trust,
    /// What was said: the payload, I-JSON text.
    pub claims: String,
    /// Until when the key counts; after that the proof has to be checked anew.
    pub until: Option<UnixTime>,
    /// What the configuration calls the issuer, for people.
    pub name: Option<Arc<str>>,
    /// The keys that introduced this one by rotation, the last first: what is revoked of them is
    /// revoked of it.
    pub introduced_by: Vec<KeyId>,
}

impl Evidence {
    /// Evidence that `issuer` said `claims`, for a verifier that has checked it.
    pub fn new(issuer: ProviderId, key: KeyId, trust: Trust, claims: String) -> Self {
        let (until, name, introduced_by) = (None, None, Vec::new());
        Self { issuer, key, trust, claims, until, name, introduced_by }
    }
}

/// Something that can tell who made a proof.
///
/// Object safe. Checking is done in place and without waiting; what has to be fetched for it is
/// fetched by [`ProofVerifier::prepare`] before.
pub trait ProofVerifier: Send + Sync {
    /// Checks the signature of `proof` with a key that its issuer really has.
    ///
    /// # Errors
    ///
    /// [`VerifyError::UnknownKey`] or [`VerifyError::KeyUnavailable`] where it cannot tell;
    /// another verifier may. Any other error means that the proof is wrong.
    fn verify_proof(
        &self,
        proof: &str,
        kind: StatementType,
        now: UnixTime,
    ) -> Result<Evidence, VerifyError>;

    /// Refuses a key, whoever else knows it and by whatever name.
    ///
    /// # Errors
    ///
    /// Such as [`VerifyError::Revoked`]. By default none is refused.
    fn refuses(&self, key: KeyId) -> Result<(), VerifyError> {
        _ = key;
        Ok(())
    }

    /// Whether [`ProofVerifier::prepare`] does anything.
    fn prepares(&self) -> bool {
        false
    }

    /// Fetches what checking these proofs will need. What cannot be had shows itself when they
    /// are checked.
    fn prepare<'a>(&'a self, proofs: &'a [&'a str], now: UnixTime) -> BoxFuture<'a, ()> {
        _ = (proofs, now);
        Box::pin(std::future::ready(()))
    }

    /// Changes whenever an earlier answer may no longer hold, such as after a revocation.
    fn epoch(&self) -> u64 {
        0
    }
}
