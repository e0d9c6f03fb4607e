//! Secrets that are text: wiped when they are dropped, never printed.

use std::fmt;

use etdi_core::digest::Digest;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret of OAuth: a client's secret, a refresh token, a code, a verifier, an assertion.
///
/// It does not show itself, is not serialized, and is wiped when it is dropped. What leaves this
/// process with a request is copied by the libraries below; those copies are not wiped.
///
/// ```
/// use etdi_oauth::SecretText;
///
/// let secret = SecretText::new("7Fjfp0ZBr1KtDRbnfVdmIw");
/// assert_eq!(format!("{secret:?}"), "SecretText(…)");
/// assert!(secret.is("7Fjfp0ZBr1KtDRbnfVdmIw") && !secret.is("7Fjfp0ZBr1KtDRbnfVdmIx"));
/// ```
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes a text over; copies of it that are elsewhere stay there.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the one place where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is this text, in a time that says nothing of where they differ.
    pub fn is(&self, other: &str) -> bool {
        Digest::of_bytes(self.0.as_bytes()) == Digest::of_bytes(other.as_bytes())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for SecretText {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(…)")
    }
}
