//! Keys: Ed25519, P-256 and RSA, named by their RFC 7638 thumbprint.
//!
//! The algorithm follows from the key and from nothing else, so that no header can choose one; an
//! RSA key has the one that its `alg` names, and RS256 where it names none. Which algorithms count
//! depends on what is signed, see [`AllowList`]. A public key is read and written as a JWK, a
//! private key as PKCS#8.
//!
//! ```
//! use etdi_core::key::{Algorithm, SigningKey, VerifyingKey};
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let signature = key.sign(b"message")?;
//! let public = VerifyingKey::from_jwk(&key.verifying_key().to_jwk())?;
//! assert!(public.verify(b"message", &signature));
//! assert!(!public.verify(b"massage", &signature), "another message is refused");
//!
//! // A private key does not show itself, and is not taken for a public one.
//! assert_eq!(format!("{key:?}"), format!("SigningKey({})", public.id()));
//! assert!(VerifyingKey::from_jwk(r#"{"kty":"OKP","crv":"Ed25519","x":"…","d":"…"}"#).is_err());
//! # Ok::<(), etdi_core::key::KeyError>(())
//! ```

use core::fmt;
use core::str::FromStr;

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::base64url;
use crate::digest::Digest;

mod algorithm;
#[cfg(feature = "rsa-keys")]
mod generate;
mod jwk;
mod pem;
mod rsa;
mod set;

pub use algorithm::{Algorithm, AllowList};
pub use set::{JwkSet, KeyRing};

/// The RFC 7638 thumbprint (SHA-256) of a public key. Prints as 43 characters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

impl KeyId {
    /// The thumbprint of these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// A public key.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey {
    id: KeyId,
    point: Point,
}

#[derive(Clone, PartialEq, Eq)]
enum Point {
    Ed25519([u8; 32]),
    /// The uncompressed form of SEC 1: 0x04, x, y.
    P256([u8; 65]),
    Rsa(Box<rsa::Public>),
}

impl VerifyingKey {
    /// The thumbprint.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The only algorithm that this key has.
    pub fn algorithm(&self) -> Algorithm {
        match &self.point {
            Point::Ed25519(_) => Algorithm::EdDsa,
            Point::P256(_) => Algorithm::Es256,
            Point::Rsa(public) => public.algorithm(),
        }
    }

    /// The same key with another algorithm of its type: RSA keys sign by RS256 or by PS256.
    ///
    /// # Errors
    ///
    /// [`KeyError::OtherPurpose`] when keys of its type have no such algorithm.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, KeyError> {
        match self.point {
            Point::Rsa(public) => {
                Ok(Self { id: self.id, point: Point::Rsa(Box::new(public.with(algorithm)?)) })
            }
            point if algorithm == (Self { id: self.id, point: point.clone() }).algorithm() => {
                Ok(Self { id: self.id, point })
            }
            _ => Err(KeyError::OtherPurpose),
        }
    }

    /// Whether `signature` is one of this key over `message`: 64 bytes, for ES256 r and s; for RSA
    /// as many bytes as the modulus has.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.point {
            Point::Ed25519(x) => {
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature)
            }
            Point::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
            }
            Point::Rsa(public) => public.verify(message, signature),
        };
        verified.is_ok()
    }

    fn ed25519(x: [u8; 32]) -> Self {
        Self::new(Point::Ed25519(x))
    }

    fn p256(point: [u8; 65]) -> Self {
        Self::new(Point::P256(point))
    }

    fn rsa(public: rsa::Public) -> Self {
        Self::new(Point::Rsa(Box::new(public)))
    }

    fn new(point: Point) -> Self {
        let mut key = Self { id: KeyId([0; 32]), point };
        key.id = KeyId(*Digest::of_bytes(key.required_members().as_bytes()).as_bytes());
        key
    }
}

/// A private key. Its encoded form is wiped when it is dropped; ring keeps its own copy of what
/// it computed from it.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
    pkcs8: Zeroizing<Vec<u8>>,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
}

const P256_SIGNING: &signature::EcdsaSigningAlgorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;

impl SigningKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give; [`KeyError::Generation`] for RSA, which needs the
    /// feature `rsa-keys` and [`SigningKey::generate_rsa`].
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(P256_SIGNING, &random),
            Algorithm::Rs256 | Algorithm::Ps256 => return Err(KeyError::Generation),
        };
        Self::from_pkcs8_der(document.map_err(|_| KeyError::Random)?.as_ref())
    }

    /// Reads PKCS#8 in DER.
    ///
    /// # Errors
    ///
    /// When it is no private key of Ed25519, P-256 or RSA with 2048 to 4096 bits, or its public half
    /// does not belong to it. An RSA key signs by RS256, see [`SigningKey::with_algorithm`].
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let (pair, public) = if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let x = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
            (Pair::Ed25519(pair), VerifyingKey::ed25519(x))
        } else if let Ok(pair) = EcdsaKeyPair::from_pkcs8(P256_SIGNING, der, &SystemRandom::new()) {
            let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
            (Pair::P256(pair), VerifyingKey::p256(point))
        } else {
            let pair = RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Pkcs8)?;
            let public = rsa::Public::of(&pair).map_err(|_| KeyError::Pkcs8)?;
            (Pair::Rsa(Box::new(pair)), VerifyingKey::rsa(public))
        };
        Ok(Self { pair, public, pkcs8: Zeroizing::new(der.to_vec()) })
    }

    /// Reads PKCS#8 in PEM, the form that `openssl genpkey` writes.
    ///
    /// # Errors
    ///
    /// As [`SigningKey::from_pkcs8_der`], and when the text is not exactly one block
    /// `PRIVATE KEY`.
    pub fn from_pkcs8_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_pkcs8_der(&pem::decode(text).ok_or(KeyError::Pem)?)
    }

    /// The same key with another algorithm of its type: an RSA key signs by RS256 or by PS256.
    ///
    /// # Errors
    ///
    /// [`KeyError::OtherPurpose`] when keys of its type have no such algorithm.
    pub fn with_algorithm(self, algorithm: Algorithm) -> Result<Self, KeyError> {
        Ok(Self { public: self.public.with_algorithm(algorithm)?, ..self })
    }

    /// Writes PKCS#8 in DER.
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// Writes PKCS#8 in PEM.
    pub fn to_pkcs8_pem(&self) -> Zeroizing<String> {
        pem::encode(&self.pkcs8)
    }

    /// The public half.
    pub fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The thumbprint of the public half.
    pub fn id(&self) -> KeyId {
        self.public.id
    }

    /// Signs `message`: 64 bytes, for ES256 r and s; for RSA as many bytes as the modulus has.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message);
                Ok(signature.map_err(|_| KeyError::Random)?.as_ref().to_vec())
            }
            Pair::Rsa(pair) => rsa::sign(pair, self.public.algorithm(), message),
        }
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no JWK.
    #[error("not a JWK, expected an object with `kty` and the key's numbers in base64url")]
    Jwk,
    /// The text is no JWK set.
    #[error("not a JWK set, expected an object with a list `keys` of at most 256 keys")]
    Jwks,
    /// A private key stands where a public one belongs.
    #[error("a private key stands where a public one belongs, replace it and treat it as lost")]
    PrivateJwk,
    /// A key of another type, or an RSA key that is too small, too large or has an odd exponent.
    #[error("the key is of another type, use Ed25519, P-256 or RSA with 2048 to 8192 bits")]
    Unsupported,
    /// A key whose `kid` is not its thumbprint.
    #[error("the key's `kid` is not its thumbprint (RFC 7638), correct it or leave it out")]
    KeyId,
    /// A set that holds a key twice, or two keys under one `kid`.
    #[error("the set holds two keys of one name, remove one of them")]
    Duplicate,
    /// An RSA key cannot be made here.
    #[error("RSA keys cannot be made in this build, use Ed25519 or turn on the feature `rsa-keys`")]
    Generation,
    /// A size of RSA keys that is not offered.
    #[error("an RSA key of {0} bits is not made here, use 2048, 3072 or 4096")]
    Size(usize),
    /// A key that says that it is for something else.
    #[error("the key's `alg`, `use` or `key_ops` name another purpose, use a key for signatures")]
    OtherPurpose,
    /// The bytes are no PKCS#8 of a supported key.
    #[error(
        "not a private key of Ed25519, P-256 or RSA in PKCS#8, make one with `etdi keys generate`"
    )]
    Pkcs8,
    /// The text is no PEM.
    #[error("not a PEM file, expected exactly one block `-----BEGIN PRIVATE KEY-----`")]
    Pem,
    /// The system gave no randomness.
    #[error("the system gave no randomness, try again")]
    Random,
}

impl FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = base64url::decode(text).ok_or(KeyError::Jwk)?;
        bytes.try_into().map(Self).map_err(|_| KeyError::Jwk)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(base64url::encode_32(&self.0, &mut [0; base64url::TEXT_OF_32]))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} {})", self.algorithm().name(), self.id)
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(base64url::encode_32(&self.0, &mut [0; base64url::TEXT_OF_32]))
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::custom("not a key's thumbprint"))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod wycheproof;
