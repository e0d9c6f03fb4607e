//! Keys: Ed25519 and P-256, named by their RFC 7638 thumbprint.
//!
//! The algorithm follows from the type of the key and from nothing else, so that no header can
//! choose one. A public key is read and written as a JWK, a private key as PKCS#8.
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
use std::collections::BTreeMap;

use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::base64url;
use crate::digest::Digest;
use crate::ijson::{Document, Limits, Value};

mod pem;

/// The algorithms of our own statements. Others are refused, `none` and HMAC first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (RFC 7518).
    Es256,
}

impl Algorithm {
    /// The name in a JWS header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
        }
    }
}

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
}

impl VerifyingKey {
    /// The thumbprint.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The only algorithm that this key has.
    pub fn algorithm(&self) -> Algorithm {
        match self.point {
            Point::Ed25519(_) => Algorithm::EdDsa,
            Point::P256(_) => Algorithm::Es256,
        }
    }

    /// Whether `signature` (64 bytes; for ES256 r and s) is one of this key over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match &self.point {
            Point::Ed25519(x) => {
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, signature)
            }
            Point::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
            }
        };
        verified.is_ok()
    }

    /// Reads a JWK.
    ///
    /// # Errors
    ///
    /// When the text is no strict JSON, no Ed25519 or P-256 key, contradicts itself (`alg`, `use`
    /// or `key_ops` for another purpose), or holds a private key.
    pub fn from_jwk(text: &str) -> Result<Self, KeyError> {
        let jwk = Document::parse(text, Limits::STATEMENT).map_err(|_| KeyError::Jwk)?;
        Self::from_jwk_value(jwk.root())
    }

    fn from_jwk_value(jwk: Value<'_>) -> Result<Self, KeyError> {
        if jwk.get("d").is_some() || jwk.get("k").is_some() {
            return Err(KeyError::PrivateJwk);
        }
        let member = |name| jwk.get(name).and_then(Value::as_str);
        let number =
            |name| -> Option<[u8; 32]> { base64url::decode(member(name)?)?.try_into().ok() };
        let key = match (member("kty"), member("crv")) {
            (Some("OKP"), Some("Ed25519")) => Self::ed25519(number("x").ok_or(KeyError::Jwk)?),
            (Some("EC"), Some("P-256")) => {
                let (x, y) = (number("x").ok_or(KeyError::Jwk)?, number("y").ok_or(KeyError::Jwk)?);
                let mut point = [4; 65];
                for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(&y)) {
                    *to = *from;
                }
                Self::p256(point)
            }
            _ => return Err(KeyError::Unsupported),
        };
        let fits = |name: &str, expected: &str| {
            jwk.get(name).is_none_or(|value| value.as_str() == Some(expected))
        };
        let for_verifying = jwk.get("key_ops").is_none_or(|operations| {
            operations.as_array().is_some_and(|list| {
                list.into_iter().any(|operation| operation.as_str() == Some("verify"))
            })
        });
        match fits("alg", key.algorithm().name()) && fits("use", "sig") && for_verifying {
            true => Ok(key),
            false => Err(KeyError::OtherPurpose),
        }
    }

    /// Writes a JWK with `kid` and `alg`.
    pub fn to_jwk(&self) -> String {
        let (id, alg) = (self.id, self.algorithm().name());
        let mut members = self.required_members();
        members.truncate(members.len() - 1);
        format!(r#"{members},"kid":"{id}","alg":"{alg}","use":"sig"}}"#)
    }

    /// The members that RFC 7638 hashes, in its order, without white space.
    fn required_members(&self) -> String {
        match &self.point {
            Point::Ed25519(x) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x))
            }
            Point::P256(point) => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                let (x, y) = (base64url::encode(x), base64url::encode(y));
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
        }
    }

    fn ed25519(x: [u8; 32]) -> Self {
        Self::new(Point::Ed25519(x))
    }

    fn p256(point: [u8; 65]) -> Self {
        Self::new(Point::P256(point))
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
}

const P256_SIGNING: &signature::EcdsaSigningAlgorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;

impl SigningKey {
    /// Makes a new key from the system's randomness.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        let document = match algorithm {
            Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&random),
            Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(P256_SIGNING, &random),
        };
        Self::from_pkcs8_der(document.map_err(|_| KeyError::Random)?.as_ref())
    }

    /// Reads PKCS#8 in DER.
    ///
    /// # Errors
    ///
    /// When it is no private key of Ed25519 or P-256, or its public half does not belong to it.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let (pair, public) = if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            let x = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
            (Pair::Ed25519(pair), VerifyingKey::ed25519(x))
        } else {
            let pair = EcdsaKeyPair::from_pkcs8(P256_SIGNING, der, &SystemRandom::new())
                .map_err(|_| KeyError::Pkcs8)?;
            let point = pair.public_key().as_ref().try_into().map_err(|_| KeyError::Pkcs8)?;
            (Pair::P256(pair), VerifyingKey::p256(point))
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

    /// Signs `message`: 64 bytes, for ES256 r and s.
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
        }
    }
}

/// Public keys by thumbprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(BTreeMap<KeyId, VerifyingKey>);

impl KeyRing {
    /// The most keys that [`KeyRing::from_jwks`] reads.
    pub const MAX_KEYS: usize = 256;

    /// A ring without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JWK set (RFC 7517). Keys of other types and for other purposes are left out.
    ///
    /// # Errors
    ///
    /// When the text is no strict JSON, has no list `keys`, has too many, or holds a private key.
    pub fn from_jwks(text: &str) -> Result<Self, KeyError> {
        let set = Document::parse(text, Limits::STATEMENT).map_err(|_| KeyError::Jwks)?;
        let keys = set.root().get("keys").and_then(Value::as_array).ok_or(KeyError::Jwks)?;
        if keys.len() > Self::MAX_KEYS {
            return Err(KeyError::Jwks);
        }
        let mut ring = Self::new();
        for key in keys {
            match VerifyingKey::from_jwk_value(key) {
                Ok(key) => ring.insert(key),
                Err(KeyError::Unsupported | KeyError::OtherPurpose) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(ring)
    }

    /// Writes a JWK set.
    pub fn to_jwks(&self) -> String {
        let keys: Vec<String> = self.iter().map(VerifyingKey::to_jwk).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// Adds a key.
    pub fn insert(&mut self, key: VerifyingKey) {
        self.0.insert(key.id, key);
    }

    /// The key with a thumbprint.
    pub fn get(&self, id: KeyId) -> Option<&VerifyingKey> {
        self.0.get(&id)
    }

    /// The keys in the order of their thumbprints.
    pub fn iter(&self) -> impl Iterator<Item = &VerifyingKey> {
        self.0.values()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<VerifyingKey> for KeyRing {
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        Self(keys.into_iter().map(|key| (key.id, key)).collect())
    }
}

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is no JWK.
    #[error("not a JWK, expected an object with `kty`, `crv` and the key's numbers in base64url")]
    Jwk,
    /// The text is no JWK set.
    #[error("not a JWK set, expected an object with a list `keys` of at most 256 keys")]
    Jwks,
    /// A private key stands where a public one belongs.
    #[error("a private key stands where a public one belongs, replace it and treat it as lost")]
    PrivateJwk,
    /// A key of another type.
    #[error("the key is of another type, use Ed25519 or P-256")]
    Unsupported,
    /// A key that says that it is for something else.
    #[error("the key's `alg`, `use` or `key_ops` name another purpose, use a key for signatures")]
    OtherPurpose,
    /// The bytes are no PKCS#8 of a supported key.
    #[error("not a private key of Ed25519 or P-256 in PKCS#8, make one with `etdi keys new`")]
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
        f.pad(&base64url::encode(&self.0))
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
        serializer.collect_str(self)
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
