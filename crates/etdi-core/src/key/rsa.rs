//! RSA: a modulus of 2048 to 8192 bits, an exponent of 65537 or more, and the one algorithm of the
//! key.

use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{self, RsaEncoding, RsaKeyPair, RsaParameters};

use super::{Algorithm, KeyError};

/// A public RSA key. Its numbers have no leading zeros.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Public {
    n: Vec<u8>,
    e: Vec<u8>,
    algorithm: Algorithm,
}

impl Public {
    /// A key that signs by RS256.
    ///
    /// # Errors
    ///
    /// [`KeyError::Jwk`] for numbers with leading zeros, [`KeyError::Unsupported`] for a modulus
    /// or exponent that is even, too small or too large.
    pub(super) fn new(n: Vec<u8>, e: Vec<u8>) -> Result<Self, KeyError> {
        if n.first() == Some(&0) || e.first() == Some(&0) {
            return Err(KeyError::Jwk);
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
        let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
        // 33 bits is what ring takes; a small exponent makes bad padding checks forgeable.
        let exponent = e.iter().take(6).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
        let fits = (2048..=8192).contains(&bits) && (65_537..1 << 33).contains(&exponent);
        match fits && odd(&n) && odd(&e) {
            true => Ok(Self { n, e, algorithm: Algorithm::Rs256 }),
            false => Err(KeyError::Unsupported),
        }
    }

    /// The public half of a pair.
    pub(super) fn of(pair: &RsaKeyPair) -> Result<Self, KeyError> {
        let numbers = PublicKeyComponents::<Vec<u8>>::from(pair.public());
        Self::new(numbers.n, numbers.e)
    }

    pub(super) fn with(self, algorithm: Algorithm) -> Result<Self, KeyError> {
        match algorithm.is_rsa() {
            true => Ok(Self { algorithm, ..self }),
            false => Err(KeyError::OtherPurpose),
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn modulus(&self) -> &[u8] {
        &self.n
    }

    pub(super) fn exponent(&self) -> &[u8] {
        &self.e
    }

    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), ring::error::Unspecified> {
        let parameters: &RsaParameters = match self.algorithm {
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            _ => &signature::RSA_PKCS1_2048_8192_SHA256,
        };
        let numbers = PublicKeyComponents { n: &self.n, e: &self.e };
        numbers.verify(parameters, message, signature)
    }
}

/// Signs with the algorithm of the key.
pub(super) fn sign(
    pair: &RsaKeyPair,
    algorithm: Algorithm,
    message: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let encoding: &dyn RsaEncoding = match algorithm {
        Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
        _ => &signature::RSA_PKCS1_SHA256,
    };
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| KeyError::Random)?;
    Ok(signature)
}
