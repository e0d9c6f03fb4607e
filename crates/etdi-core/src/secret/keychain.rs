//! The seam to the system's keyring.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Secret;

/// The keyring of the operating system or of a user's session: small secrets by name.
///
/// It keeps the key that wraps a store's data key, and the mark against old copies
/// ([`Anchor`](crate::store::Anchor)). Calls may block while the user unlocks it.
#[diagnostic::on_unimplemented(
    note = "implement `Keychain` over the system's keyring, or protect the store with `Protection::passphrase`"
)]
pub trait Keychain: Send + Sync + fmt::Debug {
    /// The secret under a name, `None` when there is none.
    ///
    /// # Errors
    ///
    /// When the keyring cannot say: it is locked, or not there.
    fn get(&self, account: &str) -> Result<Option<Secret>, KeychainError>;

    /// Keeps a secret under a name, in place of what was there.
    ///
    /// # Errors
    ///
    /// When it was not kept.
    fn set(&self, account: &str, secret: &Secret) -> Result<(), KeychainError>;

    /// Takes a secret away; not an error when there is none.
    ///
    /// # Errors
    ///
    /// When it is still there.
    fn delete(&self, account: &str) -> Result<(), KeychainError>;
}

/// A keyring that did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct KeychainError {
    /// What went wrong and what to do.
    pub message: String,
}

impl KeychainError {
    /// An error with what went wrong and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

/// A keyring in memory, for tests and for hosts that forget on purpose.
#[derive(Default)]
pub struct MemoryKeychain(Mutex<BTreeMap<String, Secret>>);

impl MemoryKeychain {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Secret>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keychain for MemoryKeychain {
    fn get(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
        Ok(self.entries().get(account).cloned())
    }

    fn set(&self, account: &str, secret: &Secret) -> Result<(), KeychainError> {
        self.entries().insert(account.to_owned(), secret.clone());
        Ok(())
    }

    fn delete(&self, account: &str) -> Result<(), KeychainError> {
        self.entries().remove(account);
        Ok(())
    }
}

impl fmt::Debug for MemoryKeychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKeychain")
    }
}
