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

impl Principal {
    /// A principal without scopes.
    pub fn new(issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { issuer: issuer.into(), subject: subject.into(), ..Self::default() }
    }
}
