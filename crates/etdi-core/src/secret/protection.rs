//! What protects a store's data key, and the record in which that key lies wrapped.

use core::fmt;
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};

use super::{Keychain, PassphraseCost, ProtectionError, SealingKey, Secret};
use crate::base64url;

/// How the key of a store is protected. Cheap to clone, does not print its secrets.
#[derive(Clone)]
pub struct Protection(Kind);

#[derive(Clone)]
enum Kind {
    Key(SealingKey),
    Passphrase(Secret, PassphraseCost),
    Keychain(Arc<dyn Keychain>),
}

impl Protection {
    /// A key that the host keeps, such as one that its key management hands out.
    pub fn key(key: SealingKey) -> Self {
        Self(Kind::Key(key))
    }

    /// A passphrase, made into a key by Argon2id with [`PassphraseCost::RECOMMENDED`]. Opening a
    /// store takes a tenth of a second or more, and blocks.
    pub fn passphrase(passphrase: impl Into<Secret>) -> Self {
        Self::passphrase_costing(passphrase, PassphraseCost::RECOMMENDED)
    }

    /// A passphrase with other costs. A store that was made with lower ones is wrapped anew when
    /// it is opened.
    pub fn passphrase_costing(passphrase: impl Into<Secret>, cost: PassphraseCost) -> Self {
        Self(Kind::Passphrase(passphrase.into(), cost))
    }

    /// A key in the system's keyring, made when a store is, under a name that holds the store's id.
    pub fn keychain(keychain: Arc<dyn Keychain>) -> Self {
        Self(Kind::Keychain(keychain))
    }

    /// The keyring in which the key is, where it is in one: a mark of the same store belongs there.
    pub fn keyring(&self) -> Option<&Arc<dyn Keychain>> {
        match &self.0 {
            Kind::Keychain(keychain) => Some(keychain),
            Kind::Key(_) | Kind::Passphrase(..) => None,
        }
    }

    /// Takes the key of a store out of the keyring, once the store is protected by `next`. When that
    /// fails, a key stays there that opens nothing.
    pub(crate) fn forget(&self, store: &str, next: &Self) {
        if let (Some(keychain), None) = (self.keyring(), next.keyring()) {
            let _ = keychain.delete(&account(store));
        }
    }

    /// What kind it is.
    pub fn kind(&self) -> ProtectionKind {
        match self.0 {
            Kind::Key(_) => ProtectionKind::HostKey,
            Kind::Passphrase(..) => ProtectionKind::Passphrase,
            Kind::Keychain(_) => ProtectionKind::Keyring,
        }
    }
}

/// What kind of thing protects a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProtectionKind {
    /// A key that the host keeps.
    HostKey,
    /// A passphrase.
    Passphrase,
    /// The system's keyring.
    Keyring,
}

impl fmt::Display for ProtectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::HostKey => "the host's key",
            Self::Passphrase => "the passphrase",
            Self::Keyring => "the system's keyring",
        })
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Protection").field(&self.kind()).finish()
    }
}

/// A wrapped key is no larger.
pub(crate) const KEY_MAX_BYTES: usize = 4 << 10;
const VERSION: u32 = 1;
const MAX_ID: usize = 64;

/// A data key as it lies in a store's directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WrappedKey {
    v: u32,
    /// The store.
    store: String,
    by: By,
    /// Sealed; about all of the above.
    key: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum By {
    HostKey,
    Passphrase { salt: String, cost: PassphraseCost },
    Keyring,
}

impl By {
    fn kind(&self) -> ProtectionKind {
        match self {
            Self::HostKey => ProtectionKind::HostKey,
            Self::Passphrase { .. } => ProtectionKind::Passphrase,
            Self::Keyring => ProtectionKind::Keyring,
        }
    }
}

impl WrappedKey {
    /// Wraps a data key for the store of this id.
    pub(crate) fn wrap(
        key: &SealingKey,
        store: &str,
        protection: &Protection,
    ) -> Result<Self, ProtectionError> {
        let (by, wrapping) = match &protection.0 {
            Kind::Key(wrapping) => (By::HostKey, wrapping.clone()),
            Kind::Passphrase(passphrase, _) if passphrase.is_empty() => {
                return Err(ProtectionError::EmptyPassphrase);
            }
            Kind::Passphrase(passphrase, cost) => {
                let mut salt = [0; 16];
                SystemRandom::new().fill(&mut salt).map_err(|_| ProtectionError::Random)?;
                let by = By::Passphrase { salt: base64url::encode(&salt), cost: *cost };
                (by, cost.stretch(passphrase, &salt)?)
            }
            Kind::Keychain(keychain) => {
                let account = account(store);
                let wrapping = match keychain.get(&account)? {
                    Some(known) => SealingKey::from_slice(known.reveal())?,
                    None => {
                        let fresh = SealingKey::generate()?;
                        keychain.set(&account, &Secret::new(fresh.reveal().to_vec()))?;
                        fresh
                    }
                };
                (By::Keyring, wrapping)
            }
        };
        let mut wrapped = Self { v: VERSION, store: store.to_owned(), by, key: String::new() };
        let sealed = wrapping.seal(&wrapped.about()?, 0, key.reveal())?;
        wrapped.key = base64url::encode(&sealed);
        Ok(wrapped)
    }

    /// Unwraps the data key.
    pub(crate) fn unwrap(&self, protection: &Protection) -> Result<SealingKey, ProtectionError> {
        let offered = protection.kind();
        let wrapping = match (&self.by, &protection.0) {
            (By::HostKey, Kind::Key(wrapping)) => wrapping.clone(),
            (By::Passphrase { salt, cost }, Kind::Passphrase(passphrase, _)) => {
                let salt = base64url::decode(salt).ok_or(DAMAGED)?;
                cost.stretch(passphrase, &salt)?
            }
            (By::Keyring, Kind::Keychain(keychain)) => {
                let account = account(&self.store);
                let known = keychain.get(&account)?;
                let known = known.ok_or(ProtectionError::NoEntry { account })?;
                SealingKey::from_slice(known.reveal())?
            }
            (by, _) => {
                let stored = by.kind();
                return Err(ProtectionError::OtherProtection { stored, offered });
            }
        };
        let sealed = base64url::decode(&self.key).ok_or(DAMAGED)?;
        let about = Self { key: String::new(), ..self.clone() }.about()?;
        let opened = wrapping.open(&about, 0, &sealed);
        SealingKey::from_slice(opened.map_err(|_| ProtectionError::WrongKey { offered })?.reveal())
    }

    /// Whether it was wrapped for less than the protection asks for now.
    pub(crate) fn is_outdated(&self, protection: &Protection) -> bool {
        match (&self.by, &protection.0) {
            (By::Passphrase { cost, .. }, Kind::Passphrase(_, wanted)) => cost.is_below(*wanted),
            _ => false,
        }
    }

    /// What it is wrapped by, as the record says; nobody vouches for that before it is opened.
    pub(crate) fn kind(&self) -> ProtectionKind {
        self.by.kind()
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, ProtectionError> {
        serde_json::to_vec(self).map_err(|_| DAMAGED)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ProtectionError> {
        let wrapped: Self = serde_json::from_slice(bytes).map_err(|_| DAMAGED)?;
        let sound = wrapped.v == VERSION && (1..=MAX_ID).contains(&wrapped.store.len());
        sound.then_some(wrapped).ok_or(DAMAGED)
    }

    /// All that the record says beside the key.
    fn about(&self) -> Result<String, ProtectionError> {
        let text = serde_json::to_string(self).map_err(|_| DAMAGED)?;
        Ok(format!("data-key {text}"))
    }
}

const DAMAGED: ProtectionError = ProtectionError::Damaged { what: "is not what was written" };

/// The name of a store's entry in the keyring.
fn account(store: &str) -> String {
    format!("etdi store {store}")
}

#[cfg(test)]
mod tests {
    use super::super::MemoryKeychain;
    use super::*;

    fn cheap(passphrase: &str) -> Protection {
        Protection::passphrase_costing(passphrase, PassphraseCost::new(8 << 10, 1, 1).unwrap())
    }

    #[test]
    fn each_protection_unwraps_what_it_wrapped_and_no_other_does() {
        let key = SealingKey::generate().unwrap();
        let chain: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
        let empty: Arc<dyn Keychain> = Arc::new(MemoryKeychain::new());
        let host = Protection::key(SealingKey::from_bytes([1; 32]));
        let other = Protection::key(SealingKey::from_bytes([2; 32]));
        let all = [host.clone(), cheap("one"), Protection::keychain(chain.clone())];
        for protection in &all {
            let wrapped = WrappedKey::wrap(&key, "id", protection).unwrap();
            let wrapped = WrappedKey::decode(&wrapped.encode().unwrap()).unwrap();
            assert_eq!(wrapped.unwrap(protection).unwrap().reveal(), key.reveal());
            for wrong in [other.clone(), cheap("two"), Protection::keychain(empty.clone())] {
                assert!(wrapped.unwrap(&wrong).is_err(), "{protection:?} {wrong:?}");
            }
            let moved = WrappedKey { store: "other".into(), ..wrapped.clone() };
            assert!(moved.unwrap(protection).is_err(), "{protection:?}");
        }
        let wrapped = WrappedKey::wrap(&key, "id", &cheap("one")).unwrap();
        assert_eq!(
            wrapped.unwrap(&cheap("two")).unwrap_err().to_string(),
            "the passphrase does not open the store, give the one that it was encrypted with; when \
             that is lost, move the directory away and approve or log in again"
        );
        assert_eq!(
            wrapped.unwrap(&host).unwrap_err().to_string(),
            "the store is protected by the passphrase and not by the host's key, open it with the \
             passphrase"
        );
        assert!(WrappedKey::wrap(&key, "id", &cheap("")).is_err());
    }

    #[test]
    fn a_lower_cost_is_outdated_and_authenticated() {
        let key = SealingKey::generate().unwrap();
        let mut wrapped = WrappedKey::wrap(&key, "id", &cheap("one")).unwrap();
        assert!(wrapped.is_outdated(&Protection::passphrase("one")));
        assert!(!wrapped.is_outdated(&cheap("one")));
        if let By::Passphrase { cost, .. } = &mut wrapped.by {
            cost.passes = 2;
        }
        assert!(wrapped.unwrap(&cheap("one")).is_err());
    }

    #[test]
    fn nothing_prints_a_secret() {
        let protection = cheap("hunter2");
        let key = SealingKey::from_bytes(*b"hunter2hunter2hunter2hunter2hunt");
        let printed = format!("{protection:?} {key:?} {:?}", Secret::from("hunter2"));
        assert!(!printed.contains("hunter2"), "{printed}");
    }
}
