//! Who asks, once somebody has proved it.

use std::collections::BTreeSet;

/// A caller whose identity a verifying layer has established.
///
/// Plain data that lives in an exchange's extensions. It has no `Deserialize`: no message can
/// bring one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Principal {
    /// Who vouches for the subject.
    pub issuer: String,
    /// The subject, unique with its issuer.
    pub subject: String,
    /// The client program that acts for the subject.
    pub client: Option<String>,
    /// What the subject granted to the client.
    pub scopes: BTreeSet<String>,
    /// RFC 7638 thumbprint of the key that the caller proved to hold.
    pub key_thumbprint: Option<String>,
}

impl Principal {
    /// A principal without scopes.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into(), ..Self::default() }
    }
}
