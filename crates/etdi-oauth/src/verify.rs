//! Access tokens: who verifies one, what it then says, and why it is refused. And ID tokens
//! ([`IdTokenVerifier`]), which say who logged in.
//!
//! [`VerifyToken`] is the seam. [`JwtVerifier`] implements it for tokens that are signed (RFC 9068),
//! [`Introspection`] for those that only their issuer can read (RFC 7662); an application with
//! tokens of its own implements it in a few lines. Neither of ours can be made without naming who
//! issues tokens and for whom they must be meant, because a server that forgets either takes tokens
//! that were given to somebody else's program for somebody else's server.

use std::collections::BTreeSet;

use etdi_core::key::KeyId;
use etdi_core::time::UnixTime;
use mcp_types::{BoxFuture, Principal, RawText};
use serde::de::DeserializeOwned;

mod claims;
mod header;
mod id_token;
mod introspect;
mod issuer;
mod jwt;
mod places;
mod refusal;

pub(crate) use claims::OF_ID_TOKENS;
pub(crate) use header::{KEY_HEADERS, MAX_TOKEN};
pub use id_token::{IdToken, IdTokenVerifier};
pub use introspect::{Introspection, IntrospectionAuth};
pub(crate) use issuer::is_secure;
pub use issuer::{Issuer, Issuers};
pub use jwt::{JwtVerifier, VerifierError};
pub use refusal::TokenRefusal;

/// Verifies access tokens.
///
/// ```
/// use etdi_core::time::UnixTime;
/// use etdi_oauth::{TokenRefusal, VerifiedToken, VerifyToken};
/// use mcp_types::BoxFuture;
///
/// /// Tokens that the application itself has given out, and keeps in a table.
/// struct Own;
///
/// impl VerifyToken for Own {
///     fn verify<'a>(
///         &'a self,
///         token: &'a str,
///         now: UnixTime,
///     ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
///         Box::pin(async move {
///             if token != "opaque-token-of-ada" {
///                 return Err(TokenRefusal::Inactive);
///             }
///             let resource = "https://mcp.example.com/mcp";
///             let mut token = VerifiedToken::new("https://example.com", "ada", resource, now.plus(60));
///             token.scopes.insert("notes:read".to_owned());
///             Ok(token)
///         })
///     }
/// }
/// ```
pub trait VerifyToken: Send + Sync {
    /// Verifies one token, given as it travels, at the time `now`.
    ///
    /// Whoever implements it checks all that makes the token one for this server: who issued it, for
    /// whom it is meant, its times. The caller keeps the outcome for a bounded time, and no longer
    /// than [`VerifiedToken::expires`].
    ///
    /// # Errors
    ///
    /// One [`TokenRefusal`] a cause.
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>>;

    /// The issuers whose tokens count, for the metadata by which clients find them.
    fn issuers(&self) -> Vec<String> {
        Vec::new()
    }

    /// For how many seconds the caller may take a token that was verified for verified, if it does not
    /// end before: as long as it may count after it was revoked. Five minutes by default.
    fn keep(&self) -> u64 {
        300
    }
}

impl<V: VerifyToken + ?Sized> VerifyToken for std::sync::Arc<V> {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        (**self).verify(token, now)
    }

    fn issuers(&self) -> Vec<String> {
        (**self).issuers()
    }

    fn keep(&self) -> u64 {
        (**self).keep()
    }
}

/// What a verified access token says. It does not hold the token itself, which has no business
/// beyond the layer that verified it: it is for this server alone, and is never sent on.
#[derive(Clone)]
#[non_exhaustive]
pub struct VerifiedToken {
    /// Who issued it (`iss`).
    pub issuer: String,
    /// Whom it is about (`sub`), unique with the issuer.
    pub subject: String,
    /// The client that it was issued to.
    pub client: Option<String>,
    /// For whom it is meant (`aud`); this server is among them.
    pub audiences: Vec<String>,
    /// What the client may do.
    pub scopes: BTreeSet<String>,
    /// What the subject is, where the issuer says so.
    pub roles: BTreeSet<String>,
    /// The organisation of the issuer that the subject belongs to.
    pub tenant: Option<String>,
    /// When it ends (`exp`).
    pub expires: UnixTime,
    /// When it was issued (`iat`).
    pub issued: Option<UnixTime>,
    /// Its own name (`jti`).
    pub id: Option<String>,
    /// The key that whoever shows it has to hold (`cnf`, RFC 7800).
    pub confirmation: Option<Confirmation>,
    /// All claims, as the text of a JSON object, where the token has any beside these.
    pub claims: Option<RawText>,
}

/// The key to which a token is bound. One that names neither binds to nothing that is known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Confirmation {
    /// The thumbprint of a key that the client proves to hold (`jkt`, RFC 9449, section 6.1).
    pub key: Option<KeyId>,
    /// The SHA-256 of the client's certificate in base64url (`x5t#S256`, RFC 8705, section 3.1).
    pub certificate: Option<String>,
}

impl VerifiedToken {
    /// A token without scopes, for an implementation of [`VerifyToken`] that has verified it.
    pub fn new(
        issuer: impl Into<String>,
        subject: impl Into<String>,
        audience: impl Into<String>,
        expires: UnixTime,
    ) -> Self {
        Self {
            issuer: issuer.into(),
            subject: subject.into(),
            client: None,
            audiences: vec![audience.into()],
            scopes: BTreeSet::new(),
            roles: BTreeSet::new(),
            tenant: None,
            expires,
            issued: None,
            id: None,
            confirmation: None,
            claims: None,
        }
    }

    /// The claims as a type of one's own.
    ///
    /// # Errors
    ///
    /// When they are no `T`.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, mcp_types::DecodeError> {
        match &self.claims {
            Some(claims) => claims.parse(),
            None => RawText::new("{}")?.parse(),
        }
    }

    /// Who calls, for layers and handlers.
    pub fn principal(&self) -> Principal {
        let mut principal = Principal::new(&*self.issuer, &*self.subject);
        principal.client = self.client.clone();
        principal.scopes = self.scopes.clone();
        let key = self.confirmation.as_ref().and_then(|bound| bound.key);
        principal.key_thumbprint = key.map(|key| key.to_string());
        principal
    }
}

impl std::fmt::Debug for VerifiedToken {
    /// Claims are about a person, and are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifiedToken")
            .field("issuer", &self.issuer)
            .field("client", &self.client)
            .field("scopes", &self.scopes)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
