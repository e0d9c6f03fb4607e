//! The resource server: who may call an MCP server of ours over HTTP (RFC 6750, RFC 9728; the
//! specification, "Authorization").
//!
//! [`Protected`] says where the server is and who verifies tokens for it, and
//! [`Protected::http`] puts a server behind it: every request shows a token before its body is read,
//! what a client needs to get one is published, tools with scopes are listed to and called by those
//! who hold them, and the caller's [`Principal`](mcp_types::Principal) travels with each exchange to whatever asks for it:
//! tools, sessions, tasks, rates, policies, the audit trail.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use etdi_oauth::resource::Protected;
//! use etdi_oauth::{GuardedFetch, JwtVerifier, Rules, provider};
//! use mcp_transport::http::server::HttpOptions;
//!
//! # async fn example(server: impl mcp_types::ExchangeService) -> Result<(), Box<dyn std::error::Error>> {
//! let resource = "https://mcp.example.com/mcp";
//! let fetch = Arc::new(GuardedFetch::new(Rules::default()));
//! let issuer = provider::auth0::issuer("example.eu.auth0.com", resource);
//! let protected = Protected::new(resource, JwtVerifier::new(issuer, fetch)?)?;
//! let options = HttpOptions::default().allow_host("mcp.example.com");
//! protected.http(server, options).listen("127.0.0.1:8000").await?;
//! # Ok(())
//! # }
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use etdi_core::audit::Auditor;
use etdi_core::nonce::Nonces;
use etdi_core::request::ReplayStore;
use http::HeaderName;
use mcp_transport::http::server::{HttpOptions, HttpServer};
use mcp_types::ExchangeService;
use tower_layer::Layer as _;

use crate::verify::VerifyToken;
use crate::{ApiKeys, Clock};

mod admit;
mod challenge;
mod dpop;
mod known;
mod scopes;
mod trail;

use challenge::{Challenge, is_scope};
use dpop::Proofs;
use known::Known;
use scopes::Wanted;
use trail::Trail;

pub use scopes::{ScopeLayer, Scoped};

/// Where the metadata of a protected resource stands, in front of its path (RFC 9728, section 3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Why a server cannot be protected so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResourceError {
    /// Its URL is none by which clients can name it.
    #[error("`{}` cannot be the URL of a protected server: {what}", .url.escape_debug())]
    Url {
        /// The URL.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A scope has characters that no scope has (RFC 6749, section 3.3).
    #[error("`{}` is no scope: a scope is printable ASCII without blank, `\"` and `\\`", .0.escape_debug())]
    Scope(String),
    /// A header that cannot hold a key.
    #[error("`{}` cannot be the header of API keys", .0.escape_debug())]
    Header(String),
}

/// A server that is called with access tokens, with API keys, or with either. Cheap to clone.
///
/// It is the [`Gate`](mcp_transport::http::Gate) of an [`HttpServer`], and brings the [`ScopeLayer`] that goes with it:
/// [`Protected::http`] uses both.
#[derive(Clone)]
pub struct Protected(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    resource: String,
    metadata_path: String,
    challenge: Challenge,
    verifier: Option<Arc<dyn VerifyToken>>,
    keys: Option<(HeaderName, ApiKeys)>,
    required: Vec<String>,
    supported: BTreeSet<String>,
    wanted: Wanted,
    implied: BTreeMap<String, BTreeSet<String>>,
    name: Option<String>,
    documentation: Option<String>,
    jwks_uri: Option<String>,
    clock: Clock,
    proofs: Proofs,
    binds_calls: bool,
    known: Arc<Known>,
    trail: Option<Arc<Trail>>,
}

impl Protected {
    /// A server that clients know as `resource`, the URL of its endpoint, and whose tokens `verifier`
    /// verifies.
    ///
    /// # Errors
    ///
    /// When the URL is neither https nor of this machine, or has a query or a fragment.
    pub fn new(
        resource: &str,
        verifier: impl VerifyToken + 'static,
    ) -> Result<Self, ResourceError> {
        let inner = Inner::new(resource)?;
        Ok(Self(Arc::new(Inner { verifier: Some(Arc::new(verifier)), ..inner })))
    }

    /// A server that is called with API keys alone, each in the header `X-API-Key`.
    ///
    /// # Errors
    ///
    /// As [`Protected::new`].
    pub fn by_api_keys(resource: &str, keys: ApiKeys) -> Result<Self, ResourceError> {
        let inner = Inner::new(resource)?;
        Ok(Self(Arc::new(Inner { keys: Some((X_API_KEY, keys)), ..inner })))
    }

    /// Takes API keys in the header `header` too, `X-API-Key` most often. A request that shows both a
    /// key and a token is refused.
    ///
    /// # Errors
    ///
    /// When there cannot be such a header, or it has another meaning.
    pub fn api_keys(self, header: &str, keys: ApiKeys) -> Result<Self, ResourceError> {
        let name = header.parse::<HeaderName>().ok().filter(|name| {
            let taken = ["authorization", "cookie", "host", "origin", "content-type", "accept"];
            !taken.contains(&name.as_str()) && !name.as_str().starts_with("mcp-")
        });
        let name = name.ok_or_else(|| ResourceError::Header(header.to_owned()))?;
        Ok(self.change(|inner| inner.keys = Some((name, keys))))
    }

    /// Demands these scopes of every request, whatever it asks for. What a single tool needs beyond
    /// them, the tool says: `#[tool(scopes = […])]`.
    ///
    /// # Errors
    ///
    /// When one is no scope.
    pub fn require<T: Into<String>>(
        self,
        scopes: impl IntoIterator<Item = T>,
    ) -> Result<Self, ResourceError> {
        let scopes = checked(scopes)?;
        Ok(self.change(|inner| {
            inner.supported.extend(scopes.iter().cloned());
            inner.required = scopes;
        }))
    }

    /// Names scopes that clients may ask for, in the metadata. A challenge names only these, those that
    /// every request needs and those that tools declare, whatever an error from behind says. `offline_access` is none of a server's
    /// and is left out.
    ///
    /// # Errors
    ///
    /// When one is no scope.
    pub fn supports<T: Into<String>>(
        self,
        scopes: impl IntoIterator<Item = T>,
    ) -> Result<Self, ResourceError> {
        let scopes = checked(scopes)?;
        let scopes = scopes.into_iter().filter(|scope| scope != "offline_access");
        Ok(self.change(|inner| inner.supported.extend(scopes)))
    }

    /// Says that whoever holds the scope `broad` holds these too.
    #[must_use]
    pub fn implies<T: Into<String>>(
        self,
        broad: impl Into<String>,
        narrow: impl IntoIterator<Item = T>,
    ) -> Self {
        let narrow = narrow.into_iter().map(Into::into);
        self.change(|inner| inner.implied.entry(broad.into()).or_default().extend(narrow))
    }

    /// Tells people its name, and where they can read about it.
    #[must_use]
    pub fn describe(self, name: impl Into<String>, documentation: Option<String>) -> Self {
        self.change(|inner| {
            (inner.name, inner.documentation) = (Some(name.into()), documentation);
        })
    }

    /// Tells where the server's own keys are: those by which its publisher signs tools, for clients
    /// that look for them.
    #[must_use]
    pub fn jwks_uri(self, url: impl Into<String>) -> Self {
        self.change(|inner| inner.jwks_uri = Some(url.into()))
    }

    /// Wants calls that are signed (ETDI) to name the token that they go along with, so that nobody sends
    /// one with another token of theirs. Without this one that names a token has to name its own, and
    /// one that names none counts as well. Clients of `etdi` that log in (`HttpTarget::oauth`) name it;
    /// another one puts a [`TokenBinding`](etdi_core::request::TokenBinding) into the extensions of an
    /// exchange before it is signed.
    #[must_use]
    pub fn bind_signed_calls(self) -> Self {
        self.change(|inner| inner.binds_calls = true)
    }

    /// Takes only tokens that are bound to a key of their client, with a proof for each request (DPoP,
    /// RFC 9449), so that a stolen one is of no use. Without this a token that is bound needs its
    /// proof all the same, and others count as they are.
    #[must_use]
    pub fn require_dpop(self) -> Self {
        self.change(|inner| inner.proofs.required = true)
    }

    /// Wants each proof to name a nonce of this server (RFC 9449, section 9), so that none can be
    /// made in advance; a client that names none is given one.
    #[must_use]
    pub fn dpop_nonces(self, nonces: Arc<dyn Nonces>) -> Self {
        self.change(|inner| inner.proofs.nonces = Some(nonces))
    }

    /// Remembers used proofs elsewhere, such as for several nodes; by default in this process.
    #[must_use]
    pub fn dpop_replay_store(self, replay: Arc<dyn ReplayStore>) -> Self {
        self.change(|inner| inner.proofs.replay = replay)
    }

    /// Notes tokens, proofs and API keys that do not count in the audit trail: why, and never what was
    /// shown. Of more than sixty in a minute only the number is noted. What is let in is noted by
    /// whoever serves it.
    #[must_use]
    pub fn auditor(self, auditor: Arc<dyn Auditor>) -> Self {
        self.change(|inner| inner.trail = Some(Arc::new(Trail::new(auditor))))
    }

    /// Reads the time elsewhere, as tests do.
    #[must_use]
    pub fn clock(self, clock: Clock) -> Self {
        self.change(|inner| inner.clock = clock)
    }

    /// Puts a server behind HTTP, where it is called by none but those whom this lets in.
    ///
    /// What it protects stands innermost: layers of one's own go around `service` before. Where the
    /// server is mounted below a path of another router, the metadata has a path of its own:
    /// `HttpServer::documents_router`.
    pub fn http(&self, service: impl ExchangeService, options: HttpOptions) -> HttpServer {
        let (service, options) = self.door(service, options);
        HttpServer::with(service, options)
    }

    /// What another door of `mcp-transport` takes, so that none but those are served whom this lets in,
    /// and tools with scopes only to those who hold them.
    ///
    /// ```
    /// # fn doors(protected: etdi_oauth::resource::Protected, server: impl mcp_types::ExchangeService) {
    /// use mcp_transport::http::server::{HttpOptions, RestServer};
    ///
    /// let (service, options) = protected.door(server, HttpOptions::default());
    /// let rest = RestServer::with(service, options);
    /// # }
    /// ```
    pub fn door<S: ExchangeService>(
        &self,
        service: S,
        options: HttpOptions,
    ) -> (Scoped<S>, HttpOptions) {
        let mut options = options;
        options.gate = Some(Arc::new(self.clone()));
        (self.scope_layer().layer(service), options)
    }

    /// The layer that holds calls against the scopes of tools, for a service that has no door of HTTP.
    pub fn scope_layer(&self) -> ScopeLayer {
        ScopeLayer::new(self.0.clock.clone()).telling(self.0.wanted.clone())
    }

    /// Where the metadata is: what a challenge names.
    pub fn metadata_url(&self) -> &str {
        self.0.challenge.metadata_url()
    }

    fn change(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        change(inner);
        // What was let in before was let in by other rules.
        inner.known = Arc::default();
        self
    }
}

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

fn checked<T: Into<String>>(
    scopes: impl IntoIterator<Item = T>,
) -> Result<Vec<String>, ResourceError> {
    let scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
    match scopes.iter().find(|scope| !is_scope(scope)) {
        Some(bad) => Err(ResourceError::Scope(bad.clone())),
        None => Ok(scopes),
    }
}

impl Inner {
    fn new(resource: &str) -> Result<Self, ResourceError> {
        let bad = |what| ResourceError::Url { url: resource.to_owned(), what };
        let url = url::Url::parse(resource).map_err(|_| bad("it is no absolute URL"))?;
        if !crate::verify::is_secure(&url) {
            return Err(bad("it is neither https nor of this machine"));
        }
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
            return Err(bad("it has a query, a fragment or a user"));
        }
        // A slash that stands alone is no path (RFC 9728, section 3.1).
        let path = match url.path() {
            "/" => "",
            path => path,
        };
        let metadata_path = format!("{WELL_KNOWN}{path}");
        let origin = url.origin().ascii_serialization();
        Ok(Self {
            resource: resource.to_owned(),
            challenge: Challenge::new(format!("{origin}{metadata_path}")),
            metadata_path,
            verifier: None,
            keys: None,
            required: Vec::new(),
            supported: BTreeSet::new(),
            wanted: Wanted::default(),
            implied: BTreeMap::new(),
            name: None,
            documentation: None,
            jwks_uri: None,
            clock: Clock::system(),
            proofs: Proofs::default(),
            binds_calls: false,
            known: Arc::default(),
            trail: None,
        })
    }
}

impl std::fmt::Debug for Protected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Protected")
            .field("resource", &self.0.resource)
            .field("required", &self.0.required)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
