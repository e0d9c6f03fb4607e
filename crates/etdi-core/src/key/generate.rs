//! Making RSA keys, which ring does not offer. Nothing else is done with the crate `rsa`.

use ::rsa::RsaPrivateKey;
use ::rsa::pkcs8::EncodePrivateKey;
use ::rsa::rand_core::OsRng;

use super::{Algorithm, KeyError, SigningKey};

impl SigningKey {
    /// Makes an RSA key of 2048, 3072 or 4096 bits that signs by RS256; takes up to some seconds.
    /// Feature `rsa-keys`.
    ///
    /// # Errors
    ///
    /// [`KeyError::Size`] for another size, [`KeyError::OtherPurpose`] for an algorithm that is not
    /// one of RSA, [`KeyError::Random`] when the system has no randomness to give.
    pub fn generate_rsa(algorithm: Algorithm, bits: usize) -> Result<Self, KeyError> {
        if !matches!(bits, 2048 | 3072 | 4096) {
            return Err(KeyError::Size(bits));
        }
        let key = RsaPrivateKey::new(&mut OsRng, bits).map_err(|_| KeyError::Random)?;
        let document = key.to_pkcs8_der().map_err(|_| KeyError::Pkcs8)?;
        Self::from_pkcs8_der(document.as_bytes())?.with_algorithm(algorithm)
    }
}
