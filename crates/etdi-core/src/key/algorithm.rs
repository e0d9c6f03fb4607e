//! Which algorithms there are, and which of them count for what.

/// The signature algorithms that are known here. Others are refused, `none` and HMAC first of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// Ed25519 (RFC 8037).
    EdDsa,
    /// ECDSA on P-256 with SHA-256 (RFC 7518).
    Es256,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    Rs256,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes (RFC 7518, section 3.5).
    Ps256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::EdDsa, Self::Es256, Self::Rs256, Self::Ps256];

    /// The name in a JWS header.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// The algorithm of a name in a JWS header or JWK, which is spelled in one way only.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether it is one of RSA.
    pub fn is_rsa(self) -> bool {
        matches!(self, Self::Rs256 | Self::Ps256)
    }
}

/// The algorithms that count for a purpose.
///
/// ```
/// use etdi_core::key::{Algorithm, AllowList};
///
/// assert!(AllowList::STATEMENTS.permits(Algorithm::EdDsa));
/// assert!(!AllowList::STATEMENTS.permits(Algorithm::Rs256), "no publisher signs tools with RSA");
/// assert!(AllowList::REQUESTS.permits(Algorithm::Rs256));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllowList {
    rsa: bool,
}

impl AllowList {
    /// For our own statements about definitions, keys and servers: EdDSA and ES256.
    pub const STATEMENTS: Self = Self { rsa: false };

    /// For calls that a client signs: these, RS256 and PS256.
    pub const REQUESTS: Self = Self { rsa: true };

    /// For identity providers that the configuration names: these, RS256 and PS256.
    pub const IDENTITY_PROVIDER: Self = Self { rsa: true };

    /// Whether an algorithm counts.
    pub fn permits(self, algorithm: Algorithm) -> bool {
        self.rsa || !algorithm.is_rsa()
    }
}
