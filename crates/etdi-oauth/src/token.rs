//! Access tokens, and where they come from.

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use zeroize::Zeroizing;

use crate::{FetchError, SecretText};

/// An access token. It does not show itself and is wiped when it is dropped.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<String>);

impl AccessToken {
    /// A token as its issuer wrote it.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the header of a request and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// How a token is shown: as the scheme of the `Authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenScheme {
    /// By itself (RFC 6750).
    Bearer,
    /// With a proof of the key to which it is bound (RFC 9449).
    DPoP,
}

impl TokenScheme {
    /// Its name, as a header has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::DPoP => "DPoP",
        }
    }
}

/// What a token endpoint gave.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tokens {
    /// The access token.
    pub access: AccessToken,
    /// How it is shown.
    pub scheme: TokenScheme,
    /// When it was given.
    pub issued: UnixTime,
    /// When it ends, if the issuer says so.
    pub expires: Option<UnixTime>,
    /// What gives the next one.
    pub refresh: Option<SecretText>,
    /// The scopes that it has: those that the issuer names, else those that were asked for.
    pub scopes: Vec<String>,
    /// Who logged in, for a client that may want to know. Nothing here reads it.
    pub id_token: Option<SecretText>,
}

impl Tokens {
    /// Whether the access token holds at `now` and for a while: half a minute, or a quarter of its
    /// life where that is shorter.
    pub fn holds(&self, now: UnixTime) -> bool {
        self.expires.is_none_or(|expires| {
            let life = expires.seconds().saturating_sub(self.issued.seconds());
            now.plus(SKEW.min(life / 4)) < expires
        })
    }
}

/// For how many seconds before its end a token is not used any more.
const SKEW: u64 = 30;

/// Gives tokens for a resource, and renews them before they end.
pub trait TokenSource: Send + Sync {
    /// A token that holds at `now` for `resource` (RFC 8707) with at least these scopes.
    ///
    /// # Errors
    ///
    /// When the issuer refuses or cannot be reached, or a person has to log in first.
    fn token<'a>(
        &'a self,
        resource: &'a str,
        scopes: &'a [&'a str],
        now: UnixTime,
    ) -> BoxFuture<'a, Result<AccessToken, TokenError>>;
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// A person has to log in.
    #[error("`{issuer}` wants a login first")]
    LoginNeeded {
        /// Whose login.
        issuer: String,
    },
    /// The issuer refused; `error` is its code (RFC 6749, section 5.2).
    #[error("`{issuer}` gives no token: {error}")]
    Refused {
        /// Who refused.
        issuer: String,
        /// Its code.
        error: String,
    },
    /// The issuer cannot be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}
