//! Secrets at rest: sealed records, the key that seals them, and what protects that key.
//!
//! A [`SecretStore`] keeps named secrets in a directory, and
//! [`FileStore`](crate::store::FileStore) keeps approvals in the same way. Each record is
//! encrypted with AES-256-GCM under a key of its own, which HKDF-SHA-256 makes from the store's
//! data key and a salt of 32 random bytes that stands in the record; so no nonce is ever used
//! twice. What a record is about and its generation are authenticated with it: two records that
//! are swapped, or one that is put back from before, do not open.
//!
//! The data key itself lies in the directory, wrapped by what [`Protection`] names: a key that the
//! host keeps, a passphrase (Argon2id), or a key in the system's keyring ([`Keychain`]). A host
//! that has none of these keeps one in a [`KeyFile`], away from the data. Whoever loses the
//! protection has lost the records: they are errors then, never absent.
//!
//! ```
//! # let directory = std::env::temp_dir().join(format!("etdi-secret-doc-{}", std::process::id()));
//! use etdi_core::secret::{Protection, SealingKey, Secret, SecretStore};
//!
//! let key = SealingKey::generate()?;
//! let store = SecretStore::open(&directory, Protection::key(key.clone()))?;
//! store.put("upstream/token", &Secret::from("s3cr3t"))?;
//! assert_eq!(store.get("upstream/token")?.unwrap().reveal(), b"s3cr3t");
//! assert_eq!(format!("{:?}", store.get("upstream/token")?), "Some(Secret)");
//!
//! // Another key opens nothing.
//! let other = Protection::key(SealingKey::generate()?);
//! assert!(SecretStore::open(&directory, other).is_err());
//! # std::fs::remove_dir_all(&directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Secrets are cleared from memory when they are dropped. What `ring` keeps while it works, and
//! what the system swaps out, is beyond that.

mod bytes;
mod error;
mod key_file;
mod keychain;
mod passphrase;
mod protection;
mod seal;
mod store;

pub use bytes::{SealingKey, Secret};
pub use error::ProtectionError;
pub use key_file::KeyFile;
pub use keychain::{Keychain, KeychainError, MemoryKeychain};
pub use passphrase::PassphraseCost;
pub(crate) use protection::{KEY_MAX_BYTES, WrappedKey};
pub use protection::{Protection, ProtectionKind};
pub use store::{MAX_SECRET_BYTES, SecretStore};
