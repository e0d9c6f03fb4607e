//! The seam: whose clients, grants and tokens there are, and what users are asked.

use etdi_core::endorsement::EndorsementRequest;
use etdi_core::key::KeyId;
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::form::Form;
use super::refusal::Refusal;

/// Clients, grants and tokens of one's own, behind routes that hold whoever asks to the protocol.
///
/// [`AuthorizationRoutes`](super::AuthorizationRoutes) check what OAuth says: who the client is, where
/// it is sent back to, PKCE, scopes, resources, proofs and what was used before. An implementation
/// decides what there is: [`Embedded`](super::Embedded) keeps it in a [`Store`](super::Store) and asks
/// users on a page of its own. Object safe; [`check_server`](super::check_server) holds an implementation
/// to what is said here.
pub trait AuthorizationServer: Send + Sync {
    /// The client of an id.
    ///
    /// # Errors
    ///
    /// [`ServerError::Client`] when the id leads to what cannot be a client, others when it cannot be
    /// told now.
    fn client<'a>(
        &'a self,
        id: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Client>, ServerError>>;

    /// Keeps a client that registered itself.
    ///
    /// # Errors
    ///
    /// [`ServerError::Full`] when there is no room for it.
    fn register<'a>(
        &'a self,
        client: &'a Client,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>>;

    /// Asks the user about a request that was found good. A redirect follows from what it gives, and
    /// from nothing else.
    ///
    /// # Errors
    ///
    /// When it cannot be asked now.
    fn authorize<'a>(
        &'a self,
        visit: Visit<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Verdict, ServerError>>;

    /// Takes back a user who was sent [elsewhere](Verdict::Elsewhere) to log in, and comes to
    /// `/callback/` and a name. `None` where no login of this browser is on its way there; nobody does
    /// so by default. A redirect follows only from what it gives.
    ///
    /// # Errors
    ///
    /// When it cannot be done now.
    fn returned<'a>(
        &'a self,
        _back: Return<'a>,
        _now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Returned>, ServerError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// What a code or refresh token stands for, and whether it was spent. Changes nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be told now.
    fn grant<'a>(
        &'a self,
        credential: Credential<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Held>, ServerError>>;

    /// Spends a code or refresh token, and binds its grant to a key, if one is given. Of all who try
    /// at once exactly one gets the grant; the others get `None`.
    ///
    /// # Errors
    ///
    /// When it cannot be done now; nothing is spent then.
    fn spend<'a>(
        &'a self,
        credential: Credential<'a>,
        key: Option<KeyId>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Grant>, ServerError>>;

    /// Makes the tokens of a grant that was just spent, or of a client in its own name.
    ///
    /// # Errors
    ///
    /// When they cannot be made now.
    fn issue<'a>(
        &'a self,
        wanted: Wanted<'a>,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Issued, ServerError>>;

    /// Takes back a grant with all its tokens.
    ///
    /// # Errors
    ///
    /// When it cannot be done now.
    fn revoke_grant<'a>(
        &'a self,
        id: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>>;

    /// What a token says that holds now: one that was issued here, is not over and was not taken back.
    ///
    /// # Errors
    ///
    /// When it cannot be told now.
    fn token<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<TokenClaims>, ServerError>>;

    /// Takes back one token; with a refresh token, its grant.
    ///
    /// # Errors
    ///
    /// When it cannot be done now.
    fn revoke<'a>(
        &'a self,
        claims: &'a TokenClaims,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<(), ServerError>>;

    /// Remembers until `until` that something was used; `false` when it was used before.
    ///
    /// # Errors
    ///
    /// When it cannot be remembered: what cannot be is refused.
    fn first_use<'a>(
        &'a self,
        what: &'a str,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>>;

    /// Signs a statement about definitions with one of the keys that it shows, for no longer than
    /// `most` seconds. The routes have held it to what the client may have signed. `None`, which is
    /// what a server of one's own says unless it does otherwise, signs none.
    ///
    /// # Errors
    ///
    /// When it cannot be signed now.
    fn endorse<'a>(
        &'a self,
        asked: &'a EndorsementRequest,
        most: u64,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<String>, ServerError>> {
        _ = (asked, most, now);
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Learns what other nodes of this server have made since, such as keys. It is asked before
    /// [`AuthorizationServer::jwks`]. A server that is one process has nothing to learn, which is what
    /// this says unless it does otherwise.
    ///
    /// # Errors
    ///
    /// When it cannot be told now; what was known before is shown then.
    fn look(&self, now: UnixTime) -> BoxFuture<'_, Result<(), ServerError>> {
        _ = now;
        Box::pin(std::future::ready(Ok(())))
    }

    /// The public keys as a JWK set, those that sign no more but still count among them. Empty where
    /// nothing is signed.
    fn jwks(&self, now: UnixTime) -> String;
}

/// An authorization request that was found good (RFC 6749, section 4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationRequest {
    /// Where the user is sent back to.
    pub redirect_uri: String,
    /// What the client wants to get back.
    pub state: Option<String>,
    /// The S256 challenge.
    pub challenge: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// For which resource.
    pub resource: String,
    /// The key that the code is bound to (RFC 9449, section 10).
    pub key: Option<KeyId>,
}

/// A user's browser at the authorization endpoint.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Visit<'a> {
    /// What is asked for.
    pub request: &'a AuthorizationRequest,
    /// By whom.
    pub client: &'a Client,
    /// Path and query of this request, for the form that answers it.
    pub action: &'a str,
    /// The cookie that an earlier [`Page`] set.
    pub cookie: Option<&'a str>,
    /// What the user answered, if the page was sent.
    pub answer: Option<&'a Form>,
}

/// A user's browser that comes back from a login elsewhere. What it brings may be a code, so it is
/// not shown.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Return<'a> {
    /// From where, by the last part of the path.
    pub upstream: &'a str,
    /// The query, as it came.
    pub query: &'a str,
    /// The cookie that the consent [`Page`] set.
    pub cookie: Option<&'a str>,
}

impl std::fmt::Debug for Return<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Return({:?})", self.upstream)
    }
}

/// What became of a user who came back, and of whose request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Returned {
    /// The client whose request the user agreed to before.
    pub client: String,
    /// That request.
    pub request: AuthorizationRequest,
    /// What became of it.
    pub verdict: Verdict,
}

impl Returned {
    /// What became of a request.
    pub fn new(client: String, request: AuthorizationRequest, verdict: Verdict) -> Self {
        Self { client, request, verdict }
    }
}

/// What became of a visit.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// The user is asked.
    Page(Page),
    /// The user agreed; the client gets this code.
    Code(String),
    /// The user did not agree.
    Denied,
    /// The page that was answered was not shown to this browser, or is too old.
    Stale,
    /// The user has to log in elsewhere, at this URL, and comes back to
    /// [`AuthorizationServer::returned`]. To be said of a user who agreed, and of no other: whoever is
    /// elsewhere does not know the client.
    Elsewhere(String),
    /// The client gets nothing, for this reason.
    Refused(Refusal),
}

/// A page for the user. It is shown without scripts, and in no frame.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Page {
    /// The document.
    pub html: String,
    /// What the browser gets as the cookie of this server: of letters, digits, `-` and `_`.
    pub cookie: Option<String>,
}

impl Page {
    /// A page without a cookie.
    pub fn new(html: impl Into<String>) -> Self {
        Self { html: html.into(), cookie: None }
    }

    /// Sets the cookie.
    #[must_use]
    pub fn cookie(mut self, cookie: impl Into<String>) -> Self {
        self.cookie = Some(cookie.into());
        self
    }
}

/// What a client shows at the token endpoint.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Credential<'a> {
    /// A code.
    Code(&'a str),
    /// A refresh token.
    RefreshToken(&'a str),
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Code(_) => "Code(…)",
            Self::RefreshToken(_) => "RefreshToken(…)",
        })
    }
}

/// What a user let a client do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// Its id, which is in its tokens.
    pub id: String,
    /// The client.
    pub client: String,
    /// The user.
    pub subject: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Where.
    pub resource: String,
    /// Where the code was sent to.
    pub redirect_uri: String,
    /// The S256 challenge of the code.
    pub challenge: String,
    /// The key that it is bound to.
    pub key: Option<KeyId>,
    /// How often it was spent: zero while there is only a code.
    pub turn: u64,
}

impl Grant {
    /// What a user let `client` do by agreeing to `request`.
    pub fn new(
        id: impl Into<String>,
        client: &Client,
        subject: impl Into<String>,
        request: &AuthorizationRequest,
    ) -> Self {
        Self {
            id: id.into(),
            client: client.id.clone(),
            subject: subject.into(),
            scopes: request.scopes.clone(),
            resource: request.resource.clone(),
            redirect_uri: request.redirect_uri.clone(),
            challenge: request.challenge.clone(),
            key: request.key,
            turn: 0,
        }
    }
}

/// A grant, and whether what stands for it was spent before.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The grant.
    pub grant: Grant,
    /// Whether it was.
    pub spent: bool,
}

impl Held {
    /// A grant.
    pub fn new(grant: Grant, spent: bool) -> Self {
        Self { grant, spent }
    }
}

/// Which tokens are wanted.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Wanted<'a> {
    /// By whom.
    pub client: &'a Client,
    /// The grant; `None` for a client in its own name.
    pub grant: Option<&'a Grant>,
    /// With which scopes.
    pub scopes: &'a [String],
    /// For which resource.
    pub resource: &'a str,
    /// Bound to which key.
    pub key: Option<KeyId>,
}

/// Tokens. They do not show themselves.
#[derive(Clone)]
#[non_exhaustive]
pub struct Issued {
    /// The access token.
    pub access_token: String,
    /// For how many seconds.
    pub expires_in: u64,
    /// The refresh token, if there is one.
    pub refresh_token: Option<String>,
}

impl Issued {
    /// An access token.
    pub fn new(access_token: String, expires_in: u64, refresh_token: Option<String>) -> Self {
        Self { access_token, expires_in, refresh_token }
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issued({} s)", self.expires_in)
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenClaims {
    /// Its id; for a refresh token that of its grant.
    pub id: String,
    /// Whether it is a refresh token.
    pub refresh: bool,
    /// The client.
    pub client: String,
    /// The user, or the client in its own name.
    pub subject: String,
    /// What it allows.
    pub scopes: Vec<String>,
    /// Where.
    pub resource: String,
    /// Since when.
    pub issued_at: UnixTime,
    /// Until when.
    pub expires_at: UnixTime,
    /// The thumbprint of the key that it is bound to.
    pub key: Option<String>,
}

impl TokenClaims {
    /// An access token without scopes that is bound to no key; `id` is its own name.
    pub fn new(
        id: impl Into<String>,
        client: impl Into<String>,
        subject: impl Into<String>,
        resource: impl Into<String>,
        issued_at: UnixTime,
        expires_at: UnixTime,
    ) -> Self {
        Self {
            id: id.into(),
            refresh: false,
            client: client.into(),
            subject: subject.into(),
            scopes: Vec::new(),
            resource: resource.into(),
            issued_at,
            expires_at,
            key: None,
        }
    }
}

/// Why an authorization server cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// There is no room for more of this kind now.
    #[error("there is no room for more now")]
    Full,
    /// The state cannot be read or written.
    #[error("the state cannot be used: {0}")]
    Storage(String),
    /// A key cannot be made or used.
    #[error("the system gives no randomness")]
    Random,
    /// An id that leads to no client; why, for whoever asked.
    #[error("{0}")]
    Client(String),
    /// More documents of clients are asked for than are fetched.
    #[error("too many client documents are asked for, try again in a minute")]
    Busy,
}
