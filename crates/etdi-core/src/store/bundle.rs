//! Approvals taken out of a store, for a backup or another machine.

use serde::{Deserialize, Serialize};

use super::encode;
use crate::approval::{Approval, ServerMemory, StoreError};
use crate::base64url;
use crate::secret::{Protection, ProtectionError, SealingKey, WrappedKey};
use crate::time::UnixTime;

/// All approvals of a store, withdrawn and expired ones too, and what it remembers of servers.
///
/// As a file it is sealed like a store, with a wrapped data key of its own, or in the clear where
/// nobody gave a protection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Bundle {
    /// When it was made.
    pub made_at: UnixTime,
    /// The approvals, ordered by key.
    pub approvals: Vec<Approval>,
    /// What is remembered, ordered by server.
    pub servers: Vec<ServerMemory>,
}

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Approvals that were not there and are now.
    pub added: usize,
    /// Approvals that were left out, because the store has its own under their key.
    pub kept: usize,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<WrappedKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plain: Option<Bundle>,
}

const FORMAT: &str = "etdi-approvals-bundle 1";
const ID: &str = "bundle";
const MAX_BYTES: usize = 256 << 20;

impl Bundle {
    /// The file: sealed for a protection, or in the clear.
    ///
    /// # Errors
    ///
    /// When the key cannot be wrapped.
    pub fn to_bytes(&self, protection: Option<&Protection>) -> Result<Vec<u8>, StoreError> {
        let mut file = File { format: FORMAT.to_owned(), key: None, sealed: None, plain: None };
        match protection {
            None => file.plain = Some(self.clone()),
            Some(protection) => {
                let key = SealingKey::generate()?;
                file.key = Some(WrappedKey::wrap(&key, ID, protection)?);
                file.sealed = Some(base64url::encode(&key.seal(ID, 0, &encode(self)?)?));
            }
        }
        encode(&file)
    }

    /// Reads a file. With a protection it must be sealed for it: a file in the clear could be
    /// anybody's.
    ///
    /// # Errors
    ///
    /// When it is no such file, is not sealed as was said, or does not open.
    pub fn from_bytes(bytes: &[u8], protection: Option<&Protection>) -> Result<Self, StoreError> {
        let damaged = || StoreError::Corrupt {
            what: "this is no file of exported approvals, or not all of it; export them again"
                .to_owned(),
        };
        if bytes.len() > MAX_BYTES {
            return Err(damaged());
        }
        let file: File = serde_json::from_slice(bytes).map_err(|_| damaged())?;
        if file.format != FORMAT {
            return Err(damaged());
        }
        match (file, protection) {
            (File { key: None, sealed: None, plain: Some(bundle), .. }, None) => Ok(bundle),
            (File { plain: Some(_), .. }, Some(_)) => {
                Err(StoreError::NotEncrypted { path: "the file".to_owned() })
            }
            (File { key: Some(key), sealed: Some(sealed), .. }, Some(protection)) => {
                let key = key.unwrap(protection)?;
                let sealed = base64url::decode(&sealed).ok_or_else(damaged)?;
                let offered = protection.kind();
                let opened = key.open(ID, 0, &sealed);
                let opened = opened.map_err(|_| ProtectionError::WrongKey { offered })?;
                serde_json::from_slice(opened.reveal()).map_err(|_| damaged())
            }
            (File { key: Some(key), .. }, None) => {
                Err(StoreError::Encrypted { path: "the file".to_owned(), by: key.kind() })
            }
            _ => Err(damaged()),
        }
    }

    /// Whether a file is sealed, so that a protection is needed to read it.
    pub fn is_sealed(bytes: &[u8]) -> bool {
        serde_json::from_slice::<File>(bytes).is_ok_and(|file| file.key.is_some())
    }
}
