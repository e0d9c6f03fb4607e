//! What goes wrong with the key of a store.

use super::{KeychainError, ProtectionKind};

/// Why a store's key cannot be had. Each means: nothing of the store counts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProtectionError {
    /// The system gave no random bytes.
    #[error("the system gives no random bytes, try again")]
    Random,
    /// A key of another length.
    #[error("a sealing key has 32 bytes and not {found}, make one with a random generator")]
    KeyLength {
        /// How many there were.
        found: usize,
    },
    /// The store is encrypted in another way than the caller offers.
    #[error("the store is protected by {stored} and not by {offered}, open it with {stored}")]
    OtherProtection {
        /// What it is protected by.
        stored: ProtectionKind,
        /// What the caller came with.
        offered: ProtectionKind,
    },
    /// What the caller offers does not open the store.
    #[error(
        "{offered} does not open the store, give the one that it was encrypted with; \
         when that is lost, move the directory away and approve or log in again"
    )]
    WrongKey {
        /// What the caller came with.
        offered: ProtectionKind,
    },
    /// The file of the wrapped key is not what was written.
    #[error(
        "the store's key record {what}, restore it from a backup or move the directory away and \
         approve or log in again"
    )]
    Damaged {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A passphrase with nothing in it.
    #[error("the passphrase is empty, choose one")]
    EmptyPassphrase,
    /// Costs beyond what Argon2id takes or this library does.
    #[error(
        "a passphrase may cost 8 MiB to 1 GiB of memory, 1 to 64 passes and 1 to 16 lanes, and \
         not {memory_kib} KiB, {passes} passes and {lanes} lanes"
    )]
    Cost {
        /// Kibibytes.
        memory_kib: u32,
        /// Passes.
        passes: u32,
        /// Lanes.
        lanes: u32,
    },
    /// The system's keyring failed.
    #[error("the system's keyring: {0}")]
    Keychain(#[from] KeychainError),
    /// The keyring does not hold the key of this store.
    #[error(
        "the system's keyring holds no entry `{account}`; log in as the user who made it, or move \
         the directory away and approve or log in again"
    )]
    NoEntry {
        /// The name of the entry.
        account: String,
    },
}
