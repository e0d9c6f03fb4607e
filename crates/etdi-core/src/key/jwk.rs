//! One public key as a JWK (RFC 7517, RFC 7518, RFC 8037), read strictly.

use super::{Algorithm, KeyError, Point, VerifyingKey, rsa};
use crate::base64url;
use crate::ijson::{Document, Limits, Value};

/// Members that only private or shared keys have.
const PRIVATE: [&str; 8] = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"];

/// The longest name that an issuer may give to a key.
const MAX_NAME: usize = 256;

/// What `kid` may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The thumbprint, or absent.
    Thumbprint,
    /// Whatever the issuer calls it.
    Issuer,
}

impl VerifyingKey {
    /// Reads a JWK that is named by its thumbprint, or not at all.
    ///
    /// # Errors
    ///
    /// When the text is no strict JSON, no Ed25519, P-256 or RSA key, contradicts itself (`alg`,
    /// `use` or `key_ops` for another purpose, a `kid` that is not its thumbprint), or holds a
    /// private key.
    pub fn from_jwk(text: &str) -> Result<Self, KeyError> {
        let jwk = Document::parse(text, Limits::STATEMENT).map_err(|_| KeyError::Jwk)?;
        Self::from_jwk_value(jwk.root(), Naming::Thumbprint)
    }

    pub(super) fn from_jwk_value(jwk: Value<'_>, naming: Naming) -> Result<Self, KeyError> {
        if PRIVATE.into_iter().any(|name| jwk.get(name).is_some()) {
            return Err(KeyError::PrivateJwk);
        }
        let member = |name| jwk.get(name).and_then(Value::as_str);
        let number = |name| base64url::decode(member(name)?);
        let half = |name| -> Option<[u8; 32]> { number(name)?.try_into().ok() };
        let mut key = match (member("kty"), member("crv")) {
            (Some("OKP"), Some("Ed25519")) => Self::ed25519(half("x").ok_or(KeyError::Jwk)?),
            (Some("EC"), Some("P-256")) => {
                let (x, y) = (half("x").ok_or(KeyError::Jwk)?, half("y").ok_or(KeyError::Jwk)?);
                let mut point = [4; 65];
                for (to, from) in point.iter_mut().skip(1).zip(x.iter().chain(&y)) {
                    *to = *from;
                }
                Self::p256(point)
            }
            (Some("RSA"), _) => {
                let (n, e) = (number("n").ok_or(KeyError::Jwk)?, number("e"));
                Self::rsa(rsa::Public::new(n, e.ok_or(KeyError::Jwk)?)?)
            }
            _ => return Err(KeyError::Unsupported),
        };
        if let Some(named) = jwk.get("alg") {
            let named = named.as_str().and_then(Algorithm::named).ok_or(KeyError::OtherPurpose)?;
            key = key.with_algorithm(named)?;
        }
        if jwk.get("use").is_some_and(|value| value.as_str() != Some("sig")) || !verifies(jwk) {
            return Err(KeyError::OtherPurpose);
        }
        match jwk.get("kid").map(|kid| kid.as_str().ok_or(KeyError::Jwk)).transpose()? {
            Some(kid) if naming == Naming::Thumbprint && kid != key.id().to_string() => {
                Err(KeyError::KeyId)
            }
            Some(kid) if kid.is_empty() || kid.len() > MAX_NAME => Err(KeyError::Jwk),
            _ => Ok(key),
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
    pub(super) fn required_members(&self) -> String {
        match &self.point {
            Point::Ed25519(x) => {
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, base64url::encode(x))
            }
            Point::P256(point) => {
                let (x, y) = point.get(1..).unwrap_or_default().split_at(32);
                let (x, y) = (base64url::encode(x), base64url::encode(y));
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)
            }
            Point::Rsa(public) => {
                let e = base64url::encode(public.exponent());
                let n = base64url::encode(public.modulus());
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
        }
    }
}

/// Whether `key_ops` lets the key verify, and wants nothing unrelated (RFC 7517, section 4.3).
fn verifies(jwk: Value<'_>) -> bool {
    let Some(operations) = jwk.get("key_ops") else { return true };
    let Some(list) = operations.as_array() else { return false };
    let (mut verify, mut sign, mut fits) = (0, 0, true);
    for operation in list {
        match operation.as_str() {
            Some("verify") => verify += 1,
            Some("sign") => sign += 1,
            _ => fits = false,
        }
    }
    fits && verify == 1 && sign <= 1
}
