//! Compact JWS (RFC 7515), as narrow as our statements need it.
//!
//! [`Jws::read`] takes a text apart without believing it, [`Jws::verify`] checks it with a key
//! that the caller found by thumbprint. Refused without a look at any key: `none`, HMAC and every
//! algorithm but EdDSA and ES256 (for calls RS256 and PS256 as well, see
//! [`AllowList`]); another `typ` than the one expected; headers that bring or
//! fetch a key (`jwk`, `jku`, `x5u`, `x5c`); any `crit`; padding, other alphabets and stray bits in
//! base64url; anything but I-JSON in header and payload.
//!
//! ```
//! use etdi_core::jws::{self, Jws, JwsError};
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::wire::StatementType;
//!
//! let key = SigningKey::generate(Algorithm::Es256)?;
//! let text = jws::sign(StatementType::Call, r#"{"tool":"search"}"#, &key)?;
//! let read = Jws::read(&text, StatementType::Call)?;
//! assert_eq!(read.key_id(), key.id());
//! assert_eq!(read.verify(key.verifying_key())?, r#"{"tool":"search"}"#);
//!
//! // A statement cannot stand for one of another kind, and no key may stand in for another.
//! assert!(matches!(Jws::read(&text, StatementType::Tool), Err(JwsError::Type { .. })));
//! let other = SigningKey::generate(Algorithm::Es256)?;
//! assert!(Jws::read(&text, StatementType::Call)?.verify(other.verifying_key()).is_err());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use crate::base64url;
use crate::identity::ProviderId;
use crate::ijson::{Document, IjsonError, Limits, Value};
use crate::key::{Algorithm, AllowList, KeyId, VerifyingKey};
use crate::proof::{SignError, Signer};
use crate::wire::StatementType;

/// The most bytes of a compact JWS.
pub const MAX_LENGTH: usize = 512 << 10;

/// The longest name of a key.
const MAX_KID: usize = 256;

/// Header members that bring a key or say where to fetch one.
const KEY_HEADERS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// Signs a payload, which the caller has as JSON text.
///
/// # Errors
///
/// When the signer cannot sign.
pub fn sign(kind: StatementType, payload: &str, signer: &dyn Signer) -> Result<String, SignError> {
    let key = signer.verifying_key();
    let header = format!(
        r#"{{"alg":"{}","kid":"{}","typ":"{}"}}"#,
        key.algorithm().name(),
        key.id(),
        kind.name()
    );
    let mut text = base64url::encode(header.as_bytes());
    text.push('.');
    text.push_str(&base64url::encode(payload.as_bytes()));
    let signature = signer.sign(text.as_bytes())?;
    text.push('.');
    text.push_str(&base64url::encode(&signature));
    Ok(text)
}

/// A compact JWS that was taken apart and not verified; its key is named by thumbprint.
#[derive(Clone, Debug)]
pub struct Jws<'a> {
    issued: IssuedJws<'a>,
    key_id: KeyId,
}

impl<'a> Jws<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    ///
    /// When it is no compact JWS of kind `expected`, or says or wants anything of what this module
    /// refuses.
    pub fn read(text: &'a str, expected: StatementType) -> Result<Self, JwsError> {
        let issued = IssuedJws::read(text, expected, expected.algorithms())?;
        let key_id = issued.kid.parse().map_err(|_| JwsError::KeyId)?;
        Ok(Self { issued, key_id })
    }

    /// The thumbprint of the key that is said to have signed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The payload before it is verified: for finding the key, and for nothing else.
    pub(crate) fn unverified_payload(&self) -> &str {
        &self.issued.payload
    }

    /// Checks the signature and gives the payload.
    ///
    /// # Errors
    ///
    /// When `key` is not the one that the header names, has another algorithm, or did not sign
    /// this.
    pub fn verify(self, key: &VerifyingKey) -> Result<String, JwsError> {
        match key.id() == self.key_id {
            true => self.issued.verify(key),
            false => Err(JwsError::Signature { key: self.key_id }),
        }
    }
}

/// A compact JWS that was taken apart and not verified; its key has whatever name the issuer gave
/// it, so that it means something beside the issuer only. For identity providers that the
/// configuration names; our own statements are a [`Jws`].
#[derive(Clone, Debug)]
pub struct IssuedJws<'a> {
    algorithm: Algorithm,
    kid: String,
    signed: &'a str,
    payload: String,
    signature: Vec<u8>,
}

impl<'a> IssuedJws<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    ///
    /// As [`Jws::read`], with `allowed` as the algorithms that count.
    pub fn read(
        text: &'a str,
        expected: StatementType,
        allowed: AllowList,
    ) -> Result<Self, JwsError> {
        if text.len() > MAX_LENGTH {
            return Err(JwsError::Malformed("longer than 512 KiB"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwsError::THREE_PARTS)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::THREE_PARTS)?;
        if payload.contains('.') {
            return Err(JwsError::THREE_PARTS);
        }
        let header = decode_text(header)?;
        let header = Document::parse(&header, Limits::STATEMENT).map_err(JwsError::Header)?;
        let header = header.root();
        let member = |name| header.get(name).and_then(Value::as_str);
        let algorithm = member("alg").and_then(Algorithm::named);
        let algorithm = algorithm.filter(|algorithm| allowed.permits(*algorithm));
        let algorithm = algorithm.ok_or(JwsError::Algorithm)?;
        if let Some(name) = KEY_HEADERS.into_iter().find(|name| header.get(name).is_some()) {
            return Err(JwsError::KeyHeader(name));
        }
        // We know no extension that a header could demand.
        if header.get("crit").is_some() {
            return Err(JwsError::Critical);
        }
        if member("typ") != Some(expected.name()) {
            return Err(JwsError::Type { expected: expected.name() });
        }
        let kid = member("kid").filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID);
        let kid = kid.ok_or(JwsError::KeyId)?.to_owned();
        let payload = decode_text(payload)?;
        Document::parse(&payload, Limits::STATEMENT).map_err(JwsError::Payload)?;
        let signature = base64url::decode(signature).ok_or(JwsError::BASE64)?;
        Ok(Self { algorithm, kid, signed, payload, signature })
    }

    /// The name of the key that is said to have signed.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The algorithm that the header names.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Of whom which key would be asked for, to check a text of whatever kind.
    pub(crate) fn question(text: &str) -> Option<(ProviderId, String)> {
        let (header, rest) = text.split_once('.').filter(|_| text.len() <= MAX_LENGTH)?;
        let (payload, _) = rest.split_once('.')?;
        let member = |part, name| {
            let text = decode_text(part).ok()?;
            let part = Document::parse(&text, Limits::STATEMENT).ok()?;
            part.root().get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let kid = member(header, "kid").filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID)?;
        Some((member(payload, "iss")?.parse().ok()?, kid))
    }

    /// The issuer that the payload names, before it is verified: for finding the key, and for
    /// nothing else.
    pub fn unverified_issuer(&self) -> Option<ProviderId> {
        let payload = Document::parse(&self.payload, Limits::STATEMENT).ok()?;
        payload.root().get("iss").and_then(Value::as_str)?.parse().ok()
    }

    /// Checks the signature with the key that the issuer calls by this name, and gives the payload.
    ///
    /// # Errors
    ///
    /// When `key` has another algorithm, or did not sign this.
    pub fn verify(self, key: &VerifyingKey) -> Result<String, JwsError> {
        let fits = key.algorithm() == self.algorithm;
        match fits && key.verify(self.signed.as_bytes(), &self.signature) {
            true => Ok(self.payload),
            false => Err(JwsError::Signature { key: key.id() }),
        }
    }
}

fn decode_text(part: &str) -> Result<String, JwsError> {
    let bytes = base64url::decode(part).ok_or(JwsError::BASE64)?;
    String::from_utf8(bytes).map_err(|_| JwsError::Malformed("its text is not UTF-8"))
}

/// Why a text is no signed statement of the expected kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JwsError {
    /// It is no compact JWS.
    #[error("not a compact JWS: {0}")]
    Malformed(&'static str),
    /// The header is not I-JSON.
    #[error("the header of the JWS is not strict JSON: {0}")]
    Header(IjsonError),
    /// The payload is not I-JSON.
    #[error("the payload of the JWS is not strict JSON: {0}")]
    Payload(IjsonError),
    /// An algorithm that is not allowed, such as `none` or HMAC.
    #[error("the JWS has an algorithm that does not count here, sign with EdDSA or ES256")]
    Algorithm,
    /// The header brings a key or says where to fetch one.
    #[error("the JWS brings its own key in `{0}`, which is never believed, leave it out")]
    KeyHeader(&'static str),
    /// The header demands an extension.
    #[error("the JWS has `crit`, and no extension is known, leave it out")]
    Critical,
    /// Another kind of statement.
    #[error("the JWS is another kind of statement, expected `typ` to be `{expected}`")]
    Type {
        /// What was expected.
        expected: &'static str,
    },
    /// No thumbprint names the key.
    #[error("the JWS has no `kid` that is a thumbprint (RFC 7638), add it")]
    KeyId,
    /// The key did not sign this.
    #[error("the signature is not one of key {key} over this statement")]
    Signature {
        /// The key that the header names.
        key: KeyId,
    },
}

impl JwsError {
    const THREE_PARTS: Self = Self::Malformed("it has not three parts");
    const BASE64: Self = Self::Malformed("a part is not base64url without padding");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SigningKey;

    const PAYLOAD: &str = r#"{"a":1}"#;
    const KIND: StatementType = StatementType::Tool;

    fn keys() -> [SigningKey; 2] {
        [Algorithm::EdDsa, Algorithm::Es256].map(|one| SigningKey::generate(one).unwrap())
    }

    /// Signs whatever header and payload are given.
    fn sign_raw(key: &SigningKey, header: &str, payload: &str) -> String {
        let encode = |text: &str| base64url::encode(text.as_bytes());
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", base64url::encode(&signature))
    }

    fn error(text: &str) -> JwsError {
        Jws::read(text, KIND).expect_err(text)
    }

    /// RFC 7515, appendices A.1 (HMAC) and A.5 (`none`), and RFC 7797.
    #[test]
    fn examples_of_the_rfcs_that_must_be_refused() {
        let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let hmac = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let hs256 = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{payload}.{hmac}");
        assert_eq!(error(&hs256), JwsError::Algorithm);
        assert_eq!(error(&format!("eyJhbGciOiJub25lIn0.{payload}.")), JwsError::Algorithm);
        let unencoded = r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#;
        let text = format!("{}..x", base64url::encode(unencoded.as_bytes()));
        assert_eq!(error(&text), JwsError::Algorithm);
    }

    #[test]
    fn headers_that_must_be_refused() {
        for key in keys() {
            let (alg, kid) = (key.verifying_key().algorithm().name(), key.id());
            let good = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"etdi-tool+jwt"}}"#);
            let text = sign_raw(&key, &good, PAYLOAD);
            assert_eq!(
                Jws::read(&text, KIND).unwrap().verify(key.verifying_key()).unwrap(),
                PAYLOAD
            );

            let with =
                |member: &str| sign_raw(&key, &good.replace('}', &format!(",{member}}}")), PAYLOAD);
            for name in KEY_HEADERS {
                let text = with(&format!(r#""{name}":"https://evil.example""#));
                assert_eq!(error(&text), JwsError::KeyHeader(name));
            }
            assert_eq!(error(&with(r#""crit":["exp"]"#)), JwsError::Critical);
            assert_eq!(error(&with(r#""crit":[]"#)), JwsError::Critical);
            assert!(matches!(error(&with(r#""alg":"none""#)), JwsError::Header(_)));
            assert!(Jws::read(&with(r#""x5t":"ignored""#), KIND).is_ok());

            for (old, new, expected) in [
                (alg, "none", JwsError::Algorithm),
                (alg, "None", JwsError::Algorithm),
                (alg, "HS256", JwsError::Algorithm),
                (alg, "RS256", JwsError::Algorithm),
                (alg, "PS256", JwsError::Algorithm),
                (alg, "ES384", JwsError::Algorithm),
                ("etdi-tool+jwt", "JWT", JwsError::Type { expected: "etdi-tool+jwt" }),
                ("etdi-tool+jwt", "ETDI-TOOL+JWT", JwsError::Type { expected: "etdi-tool+jwt" }),
                (&kid.to_string(), "key-1", JwsError::KeyId),
                ("kid", "kidd", JwsError::KeyId),
                ("alg", "algo", JwsError::Algorithm),
            ] {
                assert_eq!(error(&sign_raw(&key, &good.replace(old, new), PAYLOAD)), expected);
            }
        }
    }

    #[test]
    fn the_algorithm_is_that_of_the_key() {
        let [ed, ec] = keys();
        for (signer, alg, kid) in
            [(&ed, "ES256", ed.id()), (&ec, "EdDSA", ec.id()), (&ed, "EdDSA", ec.id())]
        {
            let header = format!(r#"{{"alg":"{alg}","kid":"{kid}","typ":"etdi-tool+jwt"}}"#);
            let text = sign_raw(signer, &header, PAYLOAD);
            for key in [&ed, &ec] {
                let read = Jws::read(&text, KIND).unwrap();
                assert_eq!(read.verify(key.verifying_key()), Err(JwsError::Signature { key: kid }));
            }
        }
    }

    #[test]
    fn every_changed_character_is_noticed() {
        for key in keys() {
            let text = sign(KIND, PAYLOAD, &key).unwrap();
            for at in 0..text.len() {
                let other = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                let mut changed = text.clone();
                changed.replace_range(at..=at, other);
                let accepted =
                    Jws::read(&changed, KIND).and_then(|read| read.verify(key.verifying_key()));
                assert!(accepted.is_err(), "{at}");
            }
            for changed in [
                format!("{text}="),
                format!("{text} "),
                format!(" {text}"),
                format!("{text}."),
                format!(".{text}"),
                text.replace('.', ".."),
                text.rsplit_once('.').unwrap().0.to_owned(),
                format!("{}.", text.rsplit_once('.').unwrap().0),
                text.replace('_', "/"),
            ] {
                let accepted =
                    Jws::read(&changed, KIND).and_then(|read| read.verify(key.verifying_key()));
                assert!(accepted.is_err() || changed == text, "{changed}");
            }
        }
    }

    #[test]
    fn payloads_must_be_strict() {
        let [key, _] = keys();
        for payload in [r#"{"a":1,"a":2}"#, "{", r#"{"a":9007199254740993}"#, r#"{"a":"\ud800"}"#] {
            let text = sign(KIND, payload, &key).unwrap();
            assert!(matches!(error(&text), JwsError::Payload(_)));
        }
    }
}
