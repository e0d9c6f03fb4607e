//! Access tokens, and where they come from.

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use zeroize::Zeroizing;

use crate::FetchError;

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
