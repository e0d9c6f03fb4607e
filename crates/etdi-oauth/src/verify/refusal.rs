//! Why an access token is refused, one cause a variant.

use etdi_core::ijson::IjsonError;
use etdi_core::time::UnixTime;

/// Why an access token does not count here.
///
/// Its text is for the operator; [`TokenRefusal::summary`] is what its sender may know. Neither holds
/// the token or its signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefusal {
    /// It is longer than any token has to be.
    #[error("the token has more than {most} bytes")]
    TooLong {
        /// The bound.
        most: usize,
    },
    /// It is no compact JWS.
    #[error("not a signed token: {0}")]
    Malformed(&'static str),
    /// It is encrypted, and nobody here can read it.
    #[error("the token is encrypted, have the issuer sign it only")]
    Encrypted,
    /// Its header is not strict JSON.
    #[error("the token's header is not strict JSON: {0}")]
    Header(IjsonError),
    /// Its claims are not strict JSON.
    #[error("the token's claims are not strict JSON: {0}")]
    Claims(IjsonError),
    /// Its algorithm does not count, such as `none` or one of shared keys.
    #[error("the token is signed by `{}`, which does not count here", .0.escape_debug())]
    Algorithm(String),
    /// It brings its own key, or says where to fetch one.
    #[error("the token brings its own key in `{0}`, which is never believed")]
    KeyHeader(&'static str),
    /// It demands an extension that is not known here.
    #[error("the token has `crit`, and no extension is known")]
    Critical,
    /// It is a token of another kind.
    #[error("the token is of type `{}`, expected {expected}", .found.escape_debug())]
    Type {
        /// What its header says; empty when it says nothing.
        found: String,
        /// What counts for its issuer.
        expected: String,
    },
    /// It names an issuer whose tokens do not count.
    #[error("the token is from `{}`, which is no issuer of this server", .0.escape_debug())]
    Issuer(String),
    /// Its header names no key.
    #[error("the token's header names no key (`kid`)")]
    NoKeyName,
    /// Its issuer has no key of that name.
    #[error("the issuer has no key `{}`", .0.escape_debug())]
    UnknownKey(String),
    /// The key is for another algorithm than the token names.
    #[error("the key `{}` does not sign by {named}", .key.escape_debug())]
    OtherAlgorithm {
        /// The key's name.
        key: String,
        /// The algorithm that the token names.
        named: &'static str,
    },
    /// The key did not sign it.
    #[error("the signature is not one of the key that the token names")]
    Signature,
    /// A claim is missing that every token has.
    #[error("the token has no `{0}`")]
    Missing(&'static str),
    /// A claim is of another type than it has to be.
    #[error("the token's `{claim}` is not {expected}")]
    Mistyped {
        /// The claim.
        claim: &'static str,
        /// What it has to be.
        expected: &'static str,
    },
    /// It has ended.
    #[error("the token ended at {0}")]
    Expired(UnixTime),
    /// It does not hold yet.
    #[error("the token does not hold before {0}")]
    NotYet(UnixTime),
    /// It was issued in the future.
    #[error("the token says that it was issued at {0}, which is later than now")]
    IssuedLater(UnixTime),
    /// It is meant for somebody else.
    #[error("the token is meant for another server; this one is `{expected}`")]
    Audience {
        /// The audience that this server is.
        expected: String,
    },
    /// It was issued to a client that does not count.
    #[error("the token was issued to `{}`, which is no client of this server", .0.escape_debug())]
    Client(String),
    /// It belongs to an organisation that does not count.
    #[error("the token belongs to the organisation `{}`, which is not served", .0.escape_debug())]
    Tenant(String),
    /// It is an ID token, which is for the client that it was issued to.
    #[error("the token is an ID token, which is for its client and no server")]
    IdToken,
    /// It is an access token, which is for a server and says of nobody that he logged in.
    #[error("the token is an access token, which is for a server and no proof of a login")]
    AccessToken,
    /// It is an ID token for another client, or for another one too.
    #[error(
        "the token says to `{}` who logged in, and this client is `{expected}`", .found.escape_debug()
    )]
    OtherClient {
        /// Whom it names.
        found: String,
        /// This client.
        expected: String,
    },
    /// It is the ID token of another login.
    #[error("the token's `nonce` is not that of this login, begin again")]
    Nonce,
    /// It came with another access token than the one that it names.
    #[error("the token's `at_hash` is not that of the access token that came with it")]
    AccessTokenHash,
    /// It is bound to a key in a way that cannot be checked here.
    #[error("the token is bound to a key by `cnf` in a way that is not known here")]
    Confirmation,
    /// Its sender did not prove to hold the key that it is bound to.
    #[error("the token is bound to {0}, and its sender did not prove to hold that")]
    Unproven(&'static str),
    /// Its issuer says that it does not hold.
    #[error("the issuer says that the token does not hold")]
    Inactive,
    /// The issuer cannot be asked now; whether the token holds cannot be told.
    #[error("whether the token holds cannot be told now: {0}")]
    Unavailable(String),
}

impl TokenRefusal {
    /// Whether it is not the token's fault: the same one may count later.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The name of the cause, which does not change.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "TOO_LONG",
            Self::Malformed(_) => "MALFORMED",
            Self::Encrypted => "ENCRYPTED",
            Self::Header(_) => "HEADER",
            Self::Claims(_) => "CLAIMS",
            Self::Algorithm(_) => "ALGORITHM",
            Self::KeyHeader(_) => "KEY_HEADER",
            Self::Critical => "CRITICAL",
            Self::Type { .. } => "TYPE",
            Self::Issuer(_) => "ISSUER",
            Self::NoKeyName => "NO_KEY_NAME",
            Self::UnknownKey(_) => "UNKNOWN_KEY",
            Self::OtherAlgorithm { .. } => "OTHER_ALGORITHM",
            Self::Signature => "SIGNATURE",
            Self::Missing(_) => "MISSING",
            Self::Mistyped { .. } => "MISTYPED",
            Self::Expired(_) => "EXPIRED",
            Self::NotYet(_) => "NOT_YET",
            Self::IssuedLater(_) => "ISSUED_LATER",
            Self::Audience { .. } => "AUDIENCE",
            Self::Client(_) => "CLIENT",
            Self::Tenant(_) => "TENANT",
            Self::IdToken => "ID_TOKEN",
            Self::AccessToken => "ACCESS_TOKEN",
            Self::OtherClient { .. } => "OTHER_CLIENT",
            Self::Nonce => "NONCE",
            Self::AccessTokenHash => "ACCESS_TOKEN_HASH",
            Self::Confirmation => "CONFIRMATION",
            Self::Unproven(_) => "UNPROVEN",
            Self::Inactive => "INACTIVE",
            Self::Unavailable(_) => "UNAVAILABLE",
        }
    }

    /// What the sender of the token is told, in a few fixed words.
    pub fn summary(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "the token is too long",
            Self::Malformed(_) | Self::Encrypted | Self::Header(_) | Self::Claims(_) => {
                "the token is malformed"
            }
            Self::Algorithm(_) | Self::KeyHeader(_) | Self::Critical | Self::Type { .. } => {
                "the token is of a kind that does not count here"
            }
            Self::Issuer(_) => "the token is of another issuer",
            Self::NoKeyName
            | Self::UnknownKey(_)
            | Self::OtherAlgorithm { .. }
            | Self::Signature => "the signature does not verify",
            Self::Missing(_) | Self::Mistyped { .. } => "the token lacks a claim",
            Self::Expired(_) => "the token has expired",
            Self::NotYet(_) | Self::IssuedLater(_) => "the token does not hold yet",
            Self::Audience { .. } => "the token is meant for another server",
            Self::Client(_) => "the token was issued to a client that is not served",
            Self::Tenant(_) => "the token belongs to an organisation that is not served",
            Self::IdToken => "an ID token is no access token",
            Self::AccessToken => "an access token is no ID token",
            Self::OtherClient { .. } => "the token is meant for another client",
            Self::Nonce | Self::AccessTokenHash => "the token belongs to another login",
            Self::Confirmation | Self::Unproven(_) => {
                "the token is bound to a key that was not shown"
            }
            Self::Inactive => "the token does not hold",
            Self::Unavailable(_) => "the token cannot be checked now",
        }
    }
}
