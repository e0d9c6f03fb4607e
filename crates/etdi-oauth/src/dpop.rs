//! Proofs that a client holds the key to which its tokens are bound (RFC 9449).
//!
//! A token that is bound so is worth nothing to whoever steals it alone. Each request gets a proof
//! of its own: for its method and URL, with an id that is used once, with the token's digest and
//! with the nonce that the server gave last.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::SecretText;
use crate::flow::{JwtHeader, OAuthError, sign_jwt};
use crate::web::{random, split};

/// The most origins whose nonces are remembered, and the longest nonce.
const MOST_NONCES: usize = 16;
const MAX_NONCE: usize = 512;

/// A key by which proofs are made, and the nonces that servers gave.
///
/// ```
/// use etdi_core::time::UnixTime;
/// use etdi_oauth::DpopKey;
///
/// let key = DpopKey::generate()?;
/// let url = "https://mcp.example/mcp";
/// let proof = key.proof("POST", url, Some("the token"), UnixTime(1_767_323_045))?;
/// let again = key.proof("POST", url, Some("the token"), UnixTime(1_767_323_045))?;
/// assert_ne!(proof, again, "no proof serves twice");
/// # Ok::<(), etdi_oauth::OAuthError>(())
/// ```
pub struct DpopKey {
    key: SigningKey,
    jwk: Box<RawValue>,
    nonces: Mutex<BTreeMap<String, String>>,
}

#[derive(Serialize)]
struct Proof<'a> {
    jti: &'a str,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
}

impl DpopKey {
    /// A new key for ES256.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, OAuthError> {
        Self::new(SigningKey::generate(Algorithm::Es256)?)
    }

    /// A key that is there already.
    ///
    /// # Errors
    ///
    /// None today; a key whose public half has no JSON form would be one.
    pub fn new(key: SigningKey) -> Result<Self, OAuthError> {
        let jwk = RawValue::from_string(key.verifying_key().to_jwk());
        let jwk = jwk.map_err(|error| OAuthError::Crypto(error.to_string()))?;
        Ok(Self { key, jwk, nonces: Mutex::default() })
    }

    /// The key as it is kept beside the tokens that are bound to it: PKCS#8 in PEM.
    pub(crate) fn to_secret(&self) -> SecretText {
        SecretText::new(self.key.to_pkcs8_pem().as_str())
    }

    pub(crate) fn from_secret(text: &SecretText) -> Result<Self, OAuthError> {
        Self::new(SigningKey::from_pkcs8_pem(text.expose())?)
    }

    /// The thumbprint by which tokens are bound to the key (`cnf.jkt`).
    pub fn thumbprint(&self) -> String {
        self.key.id().to_string()
    }

    /// The name of its algorithm.
    pub fn algorithm(&self) -> &'static str {
        self.key.verifying_key().algorithm().name()
    }

    /// A proof for one request; with the token that the request shows, if it shows one, and the
    /// nonce that the origin gave last.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub fn proof(
        &self,
        method: &str,
        url: &str,
        token: Option<&str>,
        now: UnixTime,
    ) -> Result<String, OAuthError> {
        let (origin, path) = split(url);
        let nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let nonce = nonces.get(origin).cloned();
        drop(nonces);
        let ath = token
            .map(|token| URL_SAFE_NO_PAD.encode(Digest::of_bytes(token.as_bytes()).as_bytes()));
        let (jti, htu) = (random()?, format!("{origin}{path}"));
        let claims = Proof { jti: &jti, htm: method, htu: &htu, iat: now.seconds(), ath, nonce };
        let header = JwtHeader { typ: "dpop+jwt", jwk: Some(&self.jwk), ..JwtHeader::default() };
        sign_jwt(header, &claims, &self.key)
    }

    /// Remembers the nonce that a server wants to see next (`DPoP-Nonce`); says whether it is one.
    pub fn learn(&self, url: &str, nonce: &str) -> bool {
        let plain = |byte: u8| (0x21..=0x7e).contains(&byte) && byte != b'"' && byte != b'\\';
        if nonce.is_empty() || nonce.len() > MAX_NONCE || !nonce.bytes().all(plain) {
            return false;
        }
        let mut nonces = self.nonces.lock().unwrap_or_else(PoisonError::into_inner);
        let (origin, _) = split(url);
        if nonces.len() >= MOST_NONCES && !nonces.contains_key(origin) {
            nonces.clear();
        }
        nonces.insert(origin.to_owned(), nonce.to_owned());
        true
    }
}

impl std::fmt::Debug for DpopKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DpopKey({})", self.key.id())
    }
}

#[cfg(test)]
mod tests {
    use etdi_core::key::VerifyingKey;
    use serde_json::Value;

    use super::*;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    fn read(key: &DpopKey, proof: &str) -> (Value, Value) {
        let (signed, signature) = proof.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let part = |text: &str| -> Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        let (header, claims) = (part(header), part(claims));
        let public = VerifyingKey::from_jwk(&header["jwk"].to_string()).unwrap();
        assert_eq!(public.id().to_string(), key.thumbprint());
        assert!(public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()));
        assert!(header["jwk"].get("d").is_none());
        (header, claims)
    }

    #[test]
    fn a_proof_is_for_one_request() {
        let key = DpopKey::generate().unwrap();
        let url = "https://mcp.example/mcp?secret=1#x";
        let (header, claims) = read(&key, &key.proof("POST", url, None, NOW).unwrap());
        assert_eq!((&header["typ"], &header["alg"]), (&"dpop+jwt".into(), &"ES256".into()));
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "https://mcp.example/mcp");
        assert_eq!(claims["iat"], 1_767_323_045);
        assert!(claims.get("ath").is_none() && claims.get("nonce").is_none());

        // RFC 9449, section 7.1: the digest of its example token.
        let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
        let (_, claims) = read(&key, &key.proof("GET", url, Some(token), NOW).unwrap());
        assert_eq!(claims["ath"], "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo");
    }

    #[test]
    fn nonces_belong_to_who_gave_them() {
        let key = DpopKey::generate().unwrap();
        assert!(key.learn("https://a.example/token", "one"));
        for bad in ["", "a b", "ä", "\"", &"x".repeat(600)] {
            assert!(!key.learn("https://a.example/token", bad), "{bad}");
        }
        let nonce = |url: &str| read(&key, &key.proof("POST", url, None, NOW).unwrap()).1;
        assert_eq!(nonce("https://a.example/other")["nonce"], "one");
        assert!(nonce("https://b.example/token").get("nonce").is_none());
        for n in 0..100 {
            key.learn(&format!("https://{n}.example/"), "n");
        }
        assert!(key.nonces.lock().unwrap().len() <= MOST_NONCES);
    }
}
