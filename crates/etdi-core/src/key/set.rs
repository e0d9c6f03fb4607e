//! Sets of public keys: our own by thumbprint, an issuer's by the names that it gives them.

use std::collections::{BTreeMap, BTreeSet};

use super::jwk::Naming;
use super::{AllowList, KeyError, KeyId, VerifyingKey};
use crate::ijson::{Document, Limits, Value};

const MAX_KEYS: usize = 256;

/// Public keys by thumbprint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRing(BTreeMap<KeyId, VerifyingKey>);

impl KeyRing {
    /// The most keys that [`KeyRing::from_jwks`] reads.
    pub const MAX_KEYS: usize = MAX_KEYS;

    /// A ring without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JWK set (RFC 7517) of keys that are named by their thumbprints. Keys of other types
    /// and for other purposes are left out.
    ///
    /// # Errors
    ///
    /// When the text is no strict JSON, has no list `keys`, has too many, holds a private key, a
    /// key twice, or one whose `kid` is not its thumbprint.
    pub fn from_jwks(text: &str) -> Result<Self, KeyError> {
        let mut ring = Self::new();
        for (_, key) in read(text, Naming::Thumbprint)? {
            ring.insert(key);
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

/// The keys that an issuer publishes, by the names that it gives them (RFC 7517, section 4.5).
///
/// ```
/// use etdi_core::key::{AllowList, JwkSet};
///
/// let text = r#"{"keys":[
///     {"kty":"OKP","crv":"Ed25519","kid":"2026","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
/// let set = JwkSet::read(text, AllowList::IDENTITY_PROVIDER)?;
/// let key = set.get("2026").ok_or("there is one")?;
/// assert_eq!(set.get(&key.id().to_string()), Some(key), "a thumbprint names it as well");
///
/// // Two keys under one name would let whoever added the second choose.
/// let twice = text.replace("[", r#"[{"kty":"EC","crv":"P-256","kid":"2026",
///     "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},"#);
/// assert!(JwkSet::read(&twice, AllowList::IDENTITY_PROVIDER).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JwkSet(BTreeMap<Box<str>, VerifyingKey>);

impl JwkSet {
    /// Reads a set. A key is named by its `kid`, and always by its thumbprint as well. Keys of
    /// other types, for other purposes and with algorithms that `allowed` does not have are left
    /// out.
    ///
    /// # Errors
    ///
    /// When the text is no strict JSON, has no list `keys` or more than [`KeyRing::MAX_KEYS`],
    /// holds a private key, a key twice, or two keys under one name.
    pub fn read(text: &str, allowed: AllowList) -> Result<Self, KeyError> {
        let mut keys = BTreeMap::new();
        for (name, key) in read(text, Naming::Issuer)? {
            if !allowed.permits(key.algorithm()) {
                continue;
            }
            let thumbprint: Box<str> = key.id().to_string().into();
            if let Some(name) = name.filter(|name| *name != thumbprint)
                && keys.insert(name, key.clone()).is_some()
            {
                return Err(KeyError::Duplicate);
            }
            if keys.insert(thumbprint, key).is_some() {
                return Err(KeyError::Duplicate);
            }
        }
        Ok(Self(keys))
    }

    /// The key of a name or thumbprint.
    pub fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.get(kid)
    }

    /// Each key once.
    pub fn keys(&self) -> KeyRing {
        self.0.values().cloned().collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A key, and the name that it was given.
type Named = (Option<Box<str>>, VerifyingKey);

/// The usable keys of a set in their order.
fn read(text: &str, naming: Naming) -> Result<Vec<Named>, KeyError> {
    let set = Document::parse(text, Limits::STATEMENT).map_err(|_| KeyError::Jwks)?;
    let keys = set.root().get("keys").and_then(Value::as_array).ok_or(KeyError::Jwks)?;
    if keys.len() > MAX_KEYS {
        return Err(KeyError::Jwks);
    }
    let (mut read, mut seen) = (Vec::new(), BTreeSet::new());
    for jwk in keys {
        let key = match VerifyingKey::from_jwk_value(jwk, naming) {
            Ok(key) => key,
            Err(KeyError::Unsupported | KeyError::OtherPurpose) => continue,
            Err(error) => return Err(error),
        };
        if !seen.insert(key.id()) {
            return Err(KeyError::Duplicate);
        }
        read.push((jwk.get("kid").and_then(Value::as_str).map(Into::into), key));
    }
    Ok(read)
}
