//! Whom the configuration trusts: providers and their keys.
//!
//! ```
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::trust::TrustAnchors;
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let mut anchors = TrustAnchors::new();
//! anchors.trust("https://acme.example".parse()?, key.verifying_key().clone());
//!
//! let again = TrustAnchors::from_json(&anchors.to_json())?;
//! assert_eq!(again, anchors);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::identity::ProviderId;
use crate::ijson::{Document, Limits, Value};
use crate::jws::{Jws, JwsError};
use crate::key::{KeyError, KeyId, VerifyingKey};
use crate::proof::{Evidence, ProofVerifier, Trust};
use crate::rotation::MAX_OVERLAP;
use crate::time::UnixTime;
use crate::verify::{CLOCK_SKEW, VerifyError};
use crate::wire::{KEYS_AUDIENCE, RotationClaims, StatementType};

/// Providers, the keys of each, and what was revoked.
///
/// A key may belong to several providers; a statement counts only for the one that it names as
/// its issuer. Keys rotate by overlap: the new one is added, the old one gets an end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustAnchors {
    providers: BTreeMap<ProviderId, BTreeMap<KeyId, Anchor>>,
    names: BTreeMap<ProviderId, Arc<str>>,
    revoked: BTreeSet<KeyId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Anchor {
    key: VerifyingKey,
    until: Option<UnixTime>,
    /// The key that introduced it by a rotation; `None` for what the configuration names itself.
    by: Option<KeyId>,
}

impl TrustAnchors {
    /// Nobody is trusted.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts `key` to speak for `provider`.
    pub fn trust(&mut self, provider: ProviderId, key: VerifyingKey) -> &mut Self {
        self.insert(provider, Anchor { key, until: None, by: None })
    }

    /// Trusts `key` to speak for `provider` until it is replaced.
    pub fn trust_until(
        &mut self,
        provider: ProviderId,
        key: VerifyingKey,
        until: UnixTime,
    ) -> &mut Self {
        self.insert(provider, Anchor { key, until: Some(until), by: None })
    }

    /// Trusts a key to speak for itself, as the provider `etdi:key:<thumbprint>`.
    pub fn trust_key(&mut self, key: VerifyingKey) -> &mut Self {
        self.trust(ProviderId::of_key(key.id()), key)
    }

    /// Says how people know a provider. Whoever is asked about its tools is shown the name beside
    /// the id; what a server calls itself or its provider never gets there.
    pub fn call(&mut self, provider: ProviderId, name: impl Into<Arc<str>>) -> &mut Self {
        self.names.insert(provider, name.into());
        self
    }

    /// Takes over the next key of a provider, which its present one names, and lets the present
    /// one retire. Gives the thumbprint of the new key. What is known already is not changed, except
    /// that a key may retire earlier.
    ///
    /// # Errors
    ///
    /// As [`ProofVerifier::verify_proof`] of these anchors: only a key that counts for the provider
    /// now can name the next; and when the statement does not say what it must.
    pub fn rotate(&mut self, statement: &str, now: UnixTime) -> Result<KeyId, VerifyError> {
        let evidence = self.verify_proof(statement, StatementType::Rotation, now)?;
        let malformed =
            |message: &str| VerifyError::MalformedClaims { message: message.to_owned() };
        let claims: RotationClaims = serde_json::from_str(&evidence.claims)
            .map_err(|error| malformed(&error.to_string()))?;
        if claims.aud != KEYS_AUDIENCE {
            return Err(VerifyError::WrongAudience { audience: claims.aud });
        }
        let (issued, retire) = (UnixTime(claims.iat), UnixTime(claims.retire));
        if issued > now.plus(CLOCK_SKEW) {
            return Err(VerifyError::NotYetValid { from: issued, now });
        }
        if claims.old != evidence.key || retire > issued.plus(MAX_OVERLAP) {
            return Err(malformed("it names another key than its own, or keeps it for too long"));
        }
        let new = VerifyingKey::from_jwk(&claims.new.to_string())
            .ok()
            .filter(|new| new.id() != claims.old && !new.algorithm().is_rsa())
            .ok_or_else(|| malformed("its new key cannot be used"))?;
        let id = new.id();
        if self.revoked.contains(&id) {
            return Err(VerifyError::Revoked { key: id });
        }
        let anchors = self.providers.entry(evidence.issuer).or_default();
        if let Some(old) = anchors.get_mut(&claims.old) {
            old.until = Some(old.until.map_or(retire, |until| until.min(retire)));
        }
        anchors.entry(id).or_insert(Anchor { key: new, until: None, by: Some(claims.old) });
        Ok(id)
    }

    /// Refuses whatever a key has ever signed, from now on and for every provider, and the keys
    /// that it introduced.
    pub fn revoke(&mut self, key: KeyId) -> &mut Self {
        self.revoked.insert(key);
        self
    }

    /// The trusted providers, each with its keys.
    pub fn providers(&self) -> impl Iterator<Item = (&ProviderId, Vec<&VerifyingKey>)> {
        self.providers.iter().map(|(provider, anchors)| {
            (provider, anchors.values().map(|anchor| &anchor.key).collect())
        })
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// Reads what [`TrustAnchors::to_json`] writes.
    ///
    /// # Errors
    ///
    /// When the text is not of that form; nothing is skipped.
    pub fn from_json(text: &str) -> Result<Self, TrustError> {
        Document::parse(text, Limits::STATEMENT)
            .map_err(|error| TrustError::Form(error.to_string()))?;
        let file: File =
            serde_json::from_str(text).map_err(|error| TrustError::Form(error.to_string()))?;
        if file.v != 1 {
            return Err(TrustError::Form(format!("format {} is not known, use 1", file.v)));
        }
        let mut anchors = Self::new();
        for (provider, keys) in file.providers {
            for entry in keys {
                let key = VerifyingKey::from_jwk(&entry.key.to_string())
                    .map_err(|error| TrustError::Key { provider: provider.clone(), error })?;
                anchors.insert(provider.clone(), Anchor { key, until: entry.until, by: entry.by });
            }
        }
        anchors.names = file.names.into_iter().map(|(id, name)| (id, name.into())).collect();
        anchors.revoked = file.revoked;
        Ok(anchors)
    }

    /// Writes `{"v":1,"providers":{"<id>":[{"key":<JWK>,"until":<seconds>}]},"revoked":[…]}`.
    pub fn to_json(&self) -> String {
        let entry = |anchor: &Anchor| Entry {
            key: serde_json::from_str(&anchor.key.to_jwk()).unwrap_or_default(),
            until: anchor.until,
            by: anchor.by,
        };
        let providers = self
            .providers
            .iter()
            .map(|(provider, anchors)| (provider.clone(), anchors.values().map(entry).collect()));
        let names = self.names.iter().map(|(id, name)| (id.clone(), name.to_string()));
        let file = File {
            v: 1,
            providers: providers.collect(),
            names: names.collect(),
            revoked: self.revoked.clone(),
        };
        serde_json::to_string(&file).unwrap_or_default()
    }

    fn is_revoked(&self, key: KeyId) -> Result<(), VerifyError> {
        match self.revoked.contains(&key) {
            true => Err(VerifyError::Revoked { key }),
            false => Ok(()),
        }
    }

    /// The keys that introduced one. It falls with a revoked one among them: a thief may have
    /// introduced it.
    fn stands(&self, provider: &ProviderId, anchor: &Anchor) -> Result<Vec<KeyId>, VerifyError> {
        let anchors = self.providers.get(provider);
        let (mut by, mut introduced_by) = (anchor.by, Vec::new());
        // No chain is longer than there are keys, unless a file was made to be a circle.
        for _ in 0..=anchors.map_or(0, BTreeMap::len) {
            let Some(key) = by else { return Ok(introduced_by) };
            self.is_revoked(key)?;
            introduced_by.push(key);
            by = anchors.and_then(|anchors| anchors.get(&key)?.by);
        }
        Err(VerifyError::UnknownKey { key: anchor.key.id() })
    }

    fn insert(&mut self, provider: ProviderId, anchor: Anchor) -> &mut Self {
        self.providers.entry(provider).or_default().insert(anchor.key.id(), anchor);
        self
    }
}

impl ProofVerifier for TrustAnchors {
    fn verify_proof(
        &self,
        proof: &str,
        kind: StatementType,
        now: UnixTime,
    ) -> Result<Evidence, VerifyError> {
        let jws = Jws::read(proof, kind)?;
        let id = jws.key_id();
        self.is_revoked(id)?;
        let mut holders = self.providers.values().filter_map(|anchors| anchors.get(&id));
        let key = holders.next().map(|anchor| anchor.key.clone());
        let claims = jws.verify(&key.ok_or(VerifyError::UnknownKey { key: id })?)?;

        let issuer = issuer(&claims)?;
        let anchor = self.providers.get(&issuer).and_then(|anchors| anchors.get(&id));
        let anchor = anchor
            .ok_or_else(|| VerifyError::IssuerUntrusted { issuer: issuer.clone(), key: id })?;
        let introduced_by = self.stands(&issuer, anchor)?;
        match anchor.until {
            Some(until) if until <= now => Err(VerifyError::KeyRetired { key: id, until }),
            until => {
                let name = self.names.get(&issuer).cloned();
                let evidence = Evidence::new(issuer, id, Trust::Configured, claims);
                Ok(Evidence { until, name, introduced_by, ..evidence })
            }
        }
    }

    fn refuses(&self, key: KeyId) -> Result<(), VerifyError> {
        self.is_revoked(key)
    }
}

/// The issuer that a verified payload names.
pub(crate) fn issuer(claims: &str) -> Result<ProviderId, VerifyError> {
    let claims = Document::parse(claims, Limits::STATEMENT).map_err(JwsError::Payload)?;
    let issuer =
        claims.root().get("iss").and_then(Value::as_str).and_then(|text| text.parse().ok());
    issuer.ok_or(VerifyError::Claims { member: "iss" })
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    v: u32,
    providers: BTreeMap<ProviderId, Vec<Entry>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    names: BTreeMap<ProviderId, String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    revoked: BTreeSet<KeyId>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    key: serde_json::Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<UnixTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<KeyId>,
}

/// Why there are no anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The text is not of the form that is written.
    #[error("not a list of trusted providers: {0}")]
    Form(String),
    /// A key cannot be read.
    #[error("a key of {provider} cannot be used: {error}")]
    Key {
        /// Whose key.
        provider: ProviderId,
        /// Why.
        error: KeyError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jws;
    use crate::key::{Algorithm, SigningKey};
    use crate::rotation::Rotation;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    fn provider(text: &str) -> ProviderId {
        text.parse().unwrap()
    }

    #[test]
    fn a_key_speaks_for_its_providers_only() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let public = key.verifying_key().clone();
        let check = |anchors: &TrustAnchors, claims: &str, now| {
            let proof = jws::sign(StatementType::Tool, claims, &key).unwrap();
            anchors.verify_proof(&proof, StatementType::Tool, now).map_err(|error| error.code())
        };
        let acme = r#"{"iss":"https://acme.example"}"#;

        let mut anchors = TrustAnchors::new();
        assert_eq!(check(&anchors, acme, NOW), Err("KEY_UNKNOWN"));
        anchors.trust(provider("https://other.example"), public.clone());
        assert_eq!(check(&anchors, acme, NOW), Err("ISSUER_UNTRUSTED"));
        anchors.trust_until(provider("https://acme.example"), public.clone(), NOW.plus(10));
        assert_eq!(check(&anchors, acme, NOW).unwrap().until, Some(NOW.plus(10)));
        assert_eq!(check(&anchors, acme, NOW.plus(10)), Err("KEY_RETIRED"));
        assert_eq!(check(&anchors, r#"{"iss":"acme"}"#, NOW), Err("ATTESTATION_MALFORMED"));
        assert_eq!(check(&anchors, "{}", NOW), Err("ATTESTATION_MALFORMED"));
        assert_eq!(check(&anchors, "[]", NOW), Err("ATTESTATION_MALFORMED"));

        anchors.trust_key(public.clone());
        let own = format!(r#"{{"iss":"etdi:key:{}"}}"#, key.id());
        assert_eq!(check(&anchors, &own, NOW).unwrap().trust, Trust::Configured);

        let again = TrustAnchors::from_json(&anchors.to_json()).unwrap();
        assert_eq!(again, anchors);
        anchors.revoke(key.id());
        assert_eq!(check(&anchors, &own, NOW), Err("KEY_REVOKED"));
        let again = TrustAnchors::from_json(&anchors.to_json()).unwrap();
        assert_eq!(check(&again, &own, NOW), Err("KEY_REVOKED"));
    }

    #[test]
    fn a_key_names_the_next_and_retires() {
        let keys: Vec<SigningKey> =
            (0..4).map(|_| SigningKey::generate(Algorithm::EdDsa).unwrap()).collect();
        let acme = provider("https://acme.example");
        let step = |from: usize, to: usize, at: UnixTime| {
            let next = Rotation::new(acme.clone(), keys[to].verifying_key().clone(), at);
            next.retire(at.plus(100)).sign(&keys[from]).unwrap()
        };
        let says = r#"{"iss":"https://acme.example"}"#;
        let check = |anchors: &TrustAnchors, key: usize, at| {
            let proof = jws::sign(StatementType::Tool, says, &keys[key]).unwrap();
            let checked = anchors.verify_proof(&proof, StatementType::Tool, at);
            checked.map(|_| ()).map_err(|error| error.code())
        };
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme.clone(), keys[0].verifying_key().clone());
        let first = step(0, 1, NOW);
        assert_eq!(anchors.rotate(&step(1, 2, NOW), NOW).unwrap_err().code(), "KEY_UNKNOWN");
        assert_eq!(anchors.rotate(&first, NOW).unwrap(), keys[1].id());
        // Both count for a while.
        assert_eq!((check(&anchors, 0, NOW), check(&anchors, 1, NOW)), (Ok(()), Ok(())));
        let late = NOW.plus(100);
        assert_eq!(
            (check(&anchors, 0, late), check(&anchors, 1, late)),
            (Err("KEY_RETIRED"), Ok(()))
        );
        // A key that has retired names nobody any more, and a second rotation prolongs nothing.
        assert_eq!(anchors.rotate(&step(0, 3, late), late).unwrap_err().code(), "KEY_RETIRED");
        anchors.rotate(&step(0, 1, NOW.plus(50)), NOW.plus(50)).unwrap();
        assert_eq!(check(&anchors, 0, late), Err("KEY_RETIRED"));

        anchors.rotate(&step(1, 2, late), late).unwrap();
        anchors = TrustAnchors::from_json(&anchors.to_json()).unwrap();
        assert_eq!(check(&anchors, 2, late), Ok(()));
        // Rotation is no remedy for a theft: what a stolen key introduced falls with it.
        anchors.revoke(keys[0].id());
        assert_eq!(check(&anchors, 1, late), Err("KEY_REVOKED"));
        assert_eq!(check(&anchors, 2, late), Err("KEY_REVOKED"));
        anchors.trust(acme.clone(), keys[2].verifying_key().clone());
        assert_eq!(check(&anchors, 2, late), Ok(()), "unless the configuration names it itself");
    }

    #[test]
    fn nobody_names_a_key_that_was_revoked() {
        let key = || SigningKey::generate(Algorithm::EdDsa).unwrap();
        let (old, stolen) = (key(), key());
        let acme = provider("https://acme.example");
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme.clone(), old.verifying_key().clone());
        anchors.revoke(stolen.id());
        let before = anchors.clone();
        let next = Rotation::new(acme, stolen.verifying_key().clone(), NOW).sign(&old).unwrap();
        assert_eq!(anchors.rotate(&next, NOW).unwrap_err().code(), "KEY_REVOKED");
        assert_eq!(anchors, before, "and the present key does not retire for it");
    }

    #[test]
    fn rotations_that_say_something_else() {
        let (old, new) = (make(Algorithm::EdDsa), make(Algorithm::Es256));
        let acme = provider("https://acme.example");
        let mut anchors = TrustAnchors::new();
        anchors.trust(acme.clone(), old.verifying_key().clone());
        let honest = Rotation::new(acme, new.verifying_key().clone(), NOW).sign(&old).unwrap();
        let read = Jws::read(&honest, StatementType::Rotation).unwrap();
        let claims: serde_json::Value = serde_json::from_str(read.unverified_payload()).unwrap();
        let mut refused = |member: &str, value: serde_json::Value| {
            let mut claims = claims.clone();
            claims[member] = value;
            let text = jws::sign(StatementType::Rotation, &claims.to_string(), &old).unwrap();
            anchors.rotate(&text, NOW).unwrap_err().code()
        };
        use serde_json::json;
        assert_eq!(refused("aud", json!("etdi:definition")), "WRONG_AUDIENCE");
        assert_eq!(refused("iss", json!("https://other.example")), "ISSUER_UNTRUSTED");
        assert_eq!(refused("iat", json!(NOW.0 + 31)), "ATTESTATION_NOT_YET_VALID");
        assert_eq!(refused("old", json!(new.id())), "ATTESTATION_MALFORMED");
        assert_eq!(refused("retire", json!(u64::MAX >> 12)), "ATTESTATION_MALFORMED");
        assert_eq!(refused("new", json!({"kty": "oct", "k": "AA"})), "ATTESTATION_MALFORMED");
        let own: serde_json::Value = serde_json::from_str(&old.verifying_key().to_jwk()).unwrap();
        assert_eq!(refused("new", own), "ATTESTATION_MALFORMED");
        // A statement of another kind that happens to have the same members.
        let text = jws::sign(StatementType::Tool, &claims.to_string(), &old).unwrap();
        assert!(anchors.rotate(&text, NOW).is_err());
    }

    fn make(algorithm: Algorithm) -> SigningKey {
        SigningKey::generate(algorithm).unwrap()
    }

    #[test]
    fn a_damaged_file_trusts_nobody() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let mut anchors = TrustAnchors::new();
        let text = anchors.trust_key(key.verifying_key().clone()).to_json();
        for damaged in [
            "",
            "{}",
            "[]",
            &text.replace(r#""v":1"#, r#""v":2"#),
            &text.replace("providers", "provider"),
            &text.replace(r#""kty":"EC""#, r#""kty":"RSA""#),
            &text.replace("etdi:key:", "etdi:kay:"),
            &text.replace(r#""v":1"#, r#""v":1,"v":1"#),
            &text.replace(r#""v":1"#, r#""v":1,"revokd":[]"#),
        ] {
            assert!(TrustAnchors::from_json(damaged).is_err(), "{damaged}");
        }
    }
}
