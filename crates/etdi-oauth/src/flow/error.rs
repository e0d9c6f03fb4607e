//! Why a client has no token, by whose doing it is.

use crate::FetchError;
use crate::client::InteractionError;

/// Why a client has no token. No text of it holds a secret; what a peer wrote is cut and escaped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// A setting of this client cannot be used.
    #[error("{0}")]
    Setting(String),
    /// A document or an answer cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A metadata document says nothing that can be used.
    #[error("the metadata at `{url}` cannot be used: {why}")]
    Metadata {
        /// Where it is.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The server publishes the metadata of another resource (RFC 9728, section 3.3).
    #[error(
        "`{server}` says that it is `{published}`, for which no token is asked; the operator of the \
         server has to correct its `resource`"
    )]
    OtherResource {
        /// Which server was dialled.
        server: String,
        /// What it publishes.
        published: String,
    },
    /// The server names no authorization server.
    #[error(
        "`{0}` wants a token and names no authorization server, ask its operator how to log in"
    )]
    NoAuthorizationServer(String),
    /// The metadata is that of another issuer (RFC 8414, section 3.3).
    #[error("the metadata of `{expected}` is that of `{found}`, it is not used")]
    OtherIssuer {
        /// Whose metadata was asked for.
        expected: String,
        /// Whose it is.
        found: String,
    },
    /// An endpoint that may not be used.
    #[error("`{issuer}` names a `{name}` that is not used: {why}")]
    Endpoint {
        /// Who names it.
        issuer: String,
        /// Which one.
        name: &'static str,
        /// Why not.
        why: String,
    },
    /// The authorization server does not offer what is needed.
    #[error("`{issuer}` does not offer {what}")]
    NotOffered {
        /// Who.
        issuer: String,
        /// What, and what to do instead.
        what: String,
    },
    /// This client is registered elsewhere only. Its credentials are shown to nobody else.
    #[error(
        "the server is protected by `{issuer}`, and this client is registered with {known}; register \
         it there too, or ask the operator whether the server moved"
    )]
    RegisteredElsewhere {
        /// Who protects the server.
        issuer: String,
        /// With whom this client is registered.
        known: String,
    },
    /// The authorization server does not register this client (RFC 7591).
    #[error("`{issuer}` does not register this client: {why}")]
    Registration {
        /// Who refused.
        issuer: String,
        /// What it said.
        why: String,
    },
    /// The answer to the authorization request is not one to ours: another `state`, twice the same
    /// parameter, no code.
    #[error("the answer to the login is not used: {0}; begin again")]
    Response(&'static str),
    /// The answer to the authorization request comes from another issuer (RFC 9207, section 2.4).
    #[error("the answer to the login does not come from `{expected}`, where it was begun: {why}")]
    ResponseIssuer {
        /// Who was asked.
        expected: String,
        /// Who answered, or that nobody is named.
        why: String,
    },
    /// The login was refused, by the user or by the authorization server.
    #[error("`{issuer}` ended the login: {error}")]
    Denied {
        /// Where.
        issuer: String,
        /// Its code, and what it says of it.
        error: String,
    },
    /// The token endpoint refused (RFC 6749, section 5.2).
    #[error("`{issuer}` gives no token: {error}{description}")]
    Refused {
        /// Who refused.
        issuer: String,
        /// Its code, such as `invalid_grant`.
        error: String,
        /// What it says of it, with a colon before, or nothing.
        description: String,
    },
    /// The token endpoint has no answer now: it is overloaded, or something behind it is.
    #[error("`{issuer}` has no answer now (status {status}), try again later")]
    Unavailable {
        /// Who.
        issuer: String,
        /// The HTTP status.
        status: u16,
    },
    /// The token endpoint gave something else than was asked for.
    #[error("what `{issuer}` gave is not used: {why}")]
    Token {
        /// Who gave it.
        issuer: String,
        /// What is wrong.
        why: String,
    },
    /// The user was not asked, or gave no answer.
    #[error(transparent)]
    Interaction(#[from] InteractionError),
    /// Tokens cannot be read or kept.
    #[error("the store of tokens failed: {0}")]
    Store(String),
    /// Nothing can be signed or drawn at random now.
    #[error("{0}")]
    Crypto(String),
    /// A token that was only just given is refused; another login would not help.
    #[error(
        "`{server}` refuses a token that was only just given for it{said}; does it expect tokens of this \
         issuer and this audience? `etdi debug-token` shows what one says"
    )]
    Again {
        /// Who refuses it.
        server: String,
        /// What it says about that, after a colon; may be empty.
        said: String,
    },
    /// A server wants a scope of another API, so that it would be given a token for that one.
    #[error(
        "`{server}` wants the scope `{scope}`, which is one of another API; where that is right, name \
         it by `OAuthClientBuilder::scopes`"
    )]
    ForeignScope {
        /// Who wants it.
        server: String,
        /// Which.
        scope: String,
    },
    /// The scopes that a call wants were asked for already, and were not given.
    #[error("`{server}` wants the scopes `{scopes}`, which were asked for already")]
    Scopes {
        /// Who wants them.
        server: String,
        /// Which.
        scopes: String,
    },
}

impl OAuthError {
    /// Whether it may be otherwise a moment later, because somebody is away: no refusal, and nothing
    /// that is wrong.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Fetch(FetchError::Unreachable { .. }) | Self::Unavailable { .. } => true,
            Self::Refused { error, .. } => {
                matches!(&**error, "temporarily_unavailable" | "server_error")
            }
            _ => false,
        }
    }
}

impl From<etdi_core::proof::SignError> for OAuthError {
    fn from(error: etdi_core::proof::SignError) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<etdi_core::key::KeyError> for OAuthError {
    fn from(error: etdi_core::key::KeyError) -> Self {
        Self::Crypto(error.to_string())
    }
}

impl From<ring::error::Unspecified> for OAuthError {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::Crypto("the system gave no randomness, try again".to_owned())
    }
}
