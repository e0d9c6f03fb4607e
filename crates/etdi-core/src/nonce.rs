//! Nonces of the server: what a caller cannot know before it asks.
//!
//! A statement that names one was made after the server gave it out, whatever the caller's clock
//! says, and counts only on servers that share its secret. They are not kept: a nonce carries its
//! time and is authenticated with a secret. It may be named by many calls while it is fresh; that
//! each call counts once is the replay store's affair.
//!
//! ```
//! use etdi_core::nonce::{Nonces, SecretNonces};
//! use etdi_core::time::UnixTime;
//!
//! let nonces = SecretNonces::new()?;
//! let now = UnixTime(1_767_323_045);
//! let nonce = nonces.issue(now);
//! assert!(nonces.holds(&nonce, now.plus(120)));
//!
//! // Too old, or another server's: not one.
//! assert!(!nonces.holds(&nonce, now.plus(121)));
//! assert!(!SecretNonces::new()?.holds(&nonce, now));
//! # Ok::<(), etdi_core::key::KeyError>(())
//! ```

use std::fmt;

use ring::hmac;
use ring::rand::SystemRandom;

use crate::base64url;
use crate::key::KeyError;
use crate::time::UnixTime;

mod contract;

pub use contract::{NoncesContractFailure, nonces_contract};

/// Gives out nonces and knows them again. [`nonces_contract`] holds an implementation to this.
pub trait Nonces: Send + Sync {
    /// A nonce that counts from `now` on for a while: base64url, at most 128 characters.
    fn issue(&self, now: UnixTime) -> String;

    /// Whether this gave out `nonce`, and not too long ago.
    fn holds(&self, nonce: &str, now: UnixTime) -> bool;
}

/// For how many seconds a nonce counts.
pub const LIFETIME: u64 = 120;

/// The longest nonce that a client repeats.
pub const MAX_LENGTH: usize = 128;

const TAG: &[u8] = b"etdi-nonce-v1\0";

/// Nonces that are authenticated with a secret, so that nothing has to be kept.
pub struct SecretNonces {
    key: hmac::Key,
}

impl SecretNonces {
    /// With a secret of this process alone: a statement for one node does not count on another.
    ///
    /// # Errors
    ///
    /// When the system gives no randomness.
    pub fn new() -> Result<Self, KeyError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        key.map(|key| Self { key }).map_err(|_| KeyError::Random)
    }

    /// With a secret that several nodes share; they have to share their replay store as well.
    pub fn shared(secret: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    fn signed(time: &[u8]) -> Vec<u8> {
        [TAG, time].concat()
    }
}

impl Nonces for SecretNonces {
    fn issue(&self, now: UnixTime) -> String {
        let time = now.0.to_be_bytes();
        let tag = hmac::sign(&self.key, &Self::signed(&time));
        base64url::encode(&[&time, tag.as_ref()].concat())
    }

    fn holds(&self, nonce: &str, now: UnixTime) -> bool {
        if nonce.len() > MAX_LENGTH {
            return false;
        }
        let Some(bytes) = base64url::decode(nonce) else { return false };
        let Some((time, tag)) = bytes.split_first_chunk::<8>() else { return false };
        let given = UnixTime(u64::from_be_bytes(*time));
        // A node whose clock is a little behind still knows what another has just given out.
        let fresh = given <= now.plus(crate::request::CLOCK_SKEW) && now <= given.plus(LIFETIME);
        fresh && hmac::verify(&self.key, &Self::signed(time), tag).is_ok()
    }
}

impl fmt::Debug for SecretNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretNonces")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_given_out_holds() {
        let (ours, now) = (SecretNonces::shared(&[1; 32]), UnixTime(1_000));
        let nonce = ours.issue(now);
        assert!(nonce.len() <= MAX_LENGTH);
        assert!(SecretNonces::shared(&[1; 32]).holds(&nonce, now), "a node with the same secret");
        assert!(!SecretNonces::shared(&[2; 32]).holds(&nonce, now));
        assert!(!ours.holds(&nonce, now.plus(LIFETIME + 1)));
        assert!(ours.holds(&nonce, now.minus(30)) && !ours.holds(&nonce, now.minus(31)));
        let mut moved = base64url::decode(&nonce).unwrap();
        moved[7] ^= 1;
        assert!(!ours.holds(&base64url::encode(&moved), now), "the time is authenticated");
        for other in ["", "AAAA", &nonce[1..], &"A".repeat(1_000)] {
            assert!(!ours.holds(other, now), "{other}");
        }
    }
}
