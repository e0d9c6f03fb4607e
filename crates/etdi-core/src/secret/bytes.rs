//! Bytes that are not to be seen: cleared when dropped, never printed.

use core::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::ProtectionError;

/// A secret of any length. It is cleared from memory when it is dropped, and does not print.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes bytes over; copies of them that are elsewhere stay there.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes. Do not print them.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// The bytes as text, `None` when they are none.
    pub fn reveal_text(&self) -> Option<&str> {
        core::str::from_utf8(&self.0).ok()
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// A key of 256 bits that seals records. It is cleared when it is dropped, and does not print.
#[derive(Clone)]
pub struct SealingKey(Zeroizing<[u8; 32]>);

impl SealingKey {
    /// A new random key.
    ///
    /// # Errors
    ///
    /// [`ProtectionError::Random`] when the system gives no random bytes.
    pub fn generate() -> Result<Self, ProtectionError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemRandom::new().fill(&mut *bytes).map_err(|_| ProtectionError::Random)?;
        Ok(Self(bytes))
    }

    /// A key that a host keeps elsewhere: 32 bytes from a random source, not a passphrase.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The same from a slice.
    ///
    /// # Errors
    ///
    /// [`ProtectionError::KeyLength`] for any number of bytes but 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ProtectionError> {
        let found = bytes.len();
        let bytes = bytes.try_into().map_err(|_| ProtectionError::KeyLength { found })?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// The same from base64 of either alphabet, with or without padding.
    ///
    /// # Errors
    ///
    /// [`ProtectionError::KeyLength`] for anything but the text of 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, ProtectionError> {
        let text = Zeroizing::new(text.trim_end_matches('=').replace('+', "-").replace('/', "_"));
        let bytes = Zeroizing::new(crate::base64url::decode(&text).unwrap_or_default());
        Self::from_slice(&bytes)
    }

    /// The 32 bytes. Do not print them.
    pub fn reveal(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}
