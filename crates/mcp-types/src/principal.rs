//! Who asks, once somebody has proved it.

use std::collections::BTreeSet;

use crate::RawText;

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

/// The certificate by which the other end of a TLS connection proved who it is.
///
/// A listener that checked it puts it into the extensions of each exchange of the connection: for
/// layers that know callers by it, or that hold the `cnf` of an access token against it (RFC 8705,
/// section 3). Like [`Principal`] it cannot be read from a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct ClientCertificate {
    /// SHA-256 of its DER form in base64url without padding: `x5t#S256` (RFC 8705, section 3.1).
    pub thumbprint: String,
}

impl ClientCertificate {
    /// The issuer of principals that are known by their certificate alone.
    pub const ISSUER: &str = "x5t#S256";

    /// The certificate with a thumbprint, which whoever calls this has checked.
    pub fn new(thumbprint: impl Into<String>) -> Self {
        Self { thumbprint: thumbprint.into() }
    }

    /// Whoever holds its key: [`ClientCertificate::ISSUER`] vouches for a subject that is the
    /// thumbprint. Another certificate of the same name is another principal.
    pub fn principal(&self) -> Principal {
        Principal::new(Self::ISSUER, &*self.thumbprint)
    }
}

/// What a verified access token says beside the [`Principal`]: its claims, as the text of one JSON
/// object.
///
/// The layer that verified the token puts it into the exchange's extensions; a handler reads it as a
/// type of its own. Like [`Principal`] it cannot be read from a message.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenClaims(RawText);

impl TokenClaims {
    /// The claims of a token, which whoever calls this has verified.
    pub fn new(text: RawText) -> Self {
        Self(text)
    }

    /// The claims as a `T`.
    ///
    /// # Errors
    ///
    /// When they are no `T`; the error names the claim that does not fit.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, crate::DecodeError> {
        self.0.parse()
    }
}

impl std::fmt::Debug for TokenClaims {
    /// Claims are about a person, and are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenClaims(…)")
    }
}

impl Principal {
    /// A principal without scopes.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into(), ..Self::default() }
    }
}
