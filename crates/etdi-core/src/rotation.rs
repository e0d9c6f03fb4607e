//! Rotation: an issuer's key names the next one (`etdi-rotation+jwt`).
//!
//! The new key is published before it is used; the old one signs for it, both count for a while,
//! then the old one retires. What a rotation says is worth what its key is worth: it is no remedy
//! for a stolen key, because the thief can sign one as well. When a key is revoked, all keys that
//! were introduced by it fall with it, unless the configuration names them itself.
//!
//! ```
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::rotation::Rotation;
//! use etdi_core::time::UnixTime;
//! use etdi_core::trust::TrustAnchors;
//!
//! let (old, new) = (SigningKey::generate(Algorithm::EdDsa)?, SigningKey::generate(Algorithm::EdDsa)?);
//! let acme = "https://acme.example".parse::<etdi_core::identity::ProviderId>()?;
//! let now = UnixTime(1_767_323_045);
//! let mut anchors = TrustAnchors::new();
//! anchors.trust(acme.clone(), old.verifying_key().clone());
//!
//! let statement = Rotation::new(acme.clone(), new.verifying_key().clone(), now).sign(&old)?;
//! assert_eq!(anchors.rotate(&statement, now)?, new.id());
//!
//! // A stranger's statement introduces nobody, and neither does that of a revoked key.
//! let mallory = SigningKey::generate(Algorithm::EdDsa)?;
//! let next = Rotation::new(acme, new.verifying_key().clone(), now);
//! assert!(anchors.rotate(&next.sign(&mallory)?, now).is_err());
//! anchors.revoke(old.id());
//! assert!(anchors.rotate(&next.sign(&old)?, now).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::attestation::to_json;
use crate::identity::ProviderId;
use crate::jws;
use crate::key::VerifyingKey;
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::wire::{KEYS_AUDIENCE, RotationClaims, StatementType};

/// For how many seconds both keys count, unless something else is said: 90 days.
pub const OVERLAP: u64 = 90 * 86_400;

/// The longest that both keys may count: two years.
pub const MAX_OVERLAP: u64 = 730 * 86_400;

/// What an issuer says about its next key, before it is signed by the present one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    issuer: ProviderId,
    new: VerifyingKey,
    issued: UnixTime,
    retire: UnixTime,
}

impl Rotation {
    /// `new` is the next key of `issuer`; the present one retires after [`OVERLAP`].
    pub fn new(issuer: ProviderId, new: VerifyingKey, now: UnixTime) -> Self {
        Self { issuer, new, issued: now, retire: now.plus(OVERLAP) }
    }

    /// Says when the present key retires; at most [`MAX_OVERLAP`] seconds from now count.
    #[must_use]
    pub fn retire(mut self, at: UnixTime) -> Self {
        self.retire = at;
        self
    }

    /// Signs with the present key.
    ///
    /// # Errors
    ///
    /// When the new key is the present one, the overlap is too long, or the key cannot be used.
    pub fn sign(&self, old: &dyn Signer) -> Result<String, SignError> {
        let id = old.verifying_key().id();
        if id == self.new.id() {
            return Err(SignError("a key cannot follow itself, make another one".to_owned()));
        }
        if self.retire > self.issued.plus(MAX_OVERLAP) {
            return Err(SignError("two years are the longest that both keys may count".to_owned()));
        }
        let claims = RotationClaims {
            iss: self.issuer.clone(),
            aud: KEYS_AUDIENCE.to_owned(),
            iat: self.issued.0,
            jti: random::id().map_err(SignError::from)?,
            old: id,
            new: serde_json::from_str(&self.new.to_jwk())
                .map_err(|error| SignError(error.to_string()))?,
            retire: self.retire.0,
        };
        jws::sign(StatementType::Rotation, &to_json(&claims)?, old)
    }
}
