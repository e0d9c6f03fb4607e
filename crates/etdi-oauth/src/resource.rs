//! The resource server: who may call an MCP server of ours over HTTP (RFC 6750, RFC 9728; the
//! specification, "Authorization").
//!
//! [`Protected`] says where the server is and who verifies tokens for it, and
//! [`Protected::http`] puts a server behind it: every request shows a token before its body is read,
//! what a client needs to get one is published, tools with scopes are listed to and called by those
//! who hold them, and the caller's [`Principal`] travels with each exchange to whatever asks for it:
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

use bytes::Bytes;
use etdi_core::key::KeyId;
use etdi_core::nonce::Nonces;
use etdi_core::request::{ReplayStore, TokenBinding};
use etdi_core::time::UnixTime;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};
use mcp_transport::http::server::{HttpOptions, HttpServer};
use mcp_transport::http::{Admission, Document, Gate, Refused};
use mcp_types::{ClientCertificate, ExchangeService, Extensions, TokenClaims};
use serde::Serialize;
use tower_layer::Layer as _;

use crate::verify::{TokenRefusal, VerifiedToken, VerifyToken};
use crate::{ApiKeyError, ApiKeys, Clock};

mod challenge;
mod dpop;
mod known;
mod scopes;

use challenge::{Challenge, is_scope};
use dpop::{ALGORITHMS, NoProof, Proofs, Shown};
use known::{Admitted, Known};

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
/// It is the [`Gate`] of an [`HttpServer`], and brings the [`ScopeLayer`] that goes with it:
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
    implied: BTreeMap<String, BTreeSet<String>>,
    name: Option<String>,
    documentation: Option<String>,
    jwks_uri: Option<String>,
    clock: Clock,
    proofs: Proofs,
    known: Arc<Known>,
}

/// The document of RFC 9728, section 2.
#[derive(Serialize)]
struct Metadata<'a> {
    resource: &'a str,
    authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwks_uri: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    scopes_supported: BTreeSet<&'a str>,
    bearer_methods_supported: [&'static str; 1],
    dpop_signing_alg_values_supported: [&'static str; 4],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_documentation: Option<&'a str>,
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

    /// Names scopes that clients may ask for, in the metadata. `offline_access` is none of a server's
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
        let mut options = options;
        options.gate = Some(Arc::new(self.clone()));
        HttpServer::with(self.scope_layer().layer(service), options)
    }

    /// The layer that holds calls against the scopes of tools, for a door that [`Protected::http`] does
    /// not make.
    pub fn scope_layer(&self) -> ScopeLayer {
        ScopeLayer::new(self.0.clock.clone())
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
const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

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
            implied: BTreeMap::new(),
            name: None,
            documentation: None,
            jwks_uri: None,
            clock: Clock::system(),
            proofs: Proofs::default(),
            known: Arc::default(),
        })
    }

    /// What a scope implies, and what that implies.
    fn widen(&self, scopes: &mut BTreeSet<String>) {
        let mut more: Vec<String> = scopes.iter().cloned().collect();
        while let Some(scope) = more.pop() {
            let implied = self.implied.get(&scope).into_iter().flatten();
            more.extend(implied.filter(|scope| scopes.insert((*scope).clone())).cloned());
        }
    }

    /// What a verified token lets in.
    fn admit_token(&self, text: &str, mut token: VerifiedToken) -> Admitted {
        self.widen(&mut token.scopes);
        let mut found = Extensions::new();
        let key = token.confirmation.as_ref().and_then(|bound| bound.key);
        found.insert(token.principal());
        found.insert(TokenBinding::new(text, key));
        if let Some(claims) = &token.claims {
            found.insert(TokenClaims::new(claims.clone()));
        }
        let bound = token.confirmation.clone();
        let lacking = self.required.iter().any(|scope| !token.scopes.contains(scope));
        let until = token.expires;
        found.insert(token);
        Admitted { found, until, bound, lacking }
    }

    /// Holds what a token lets in against the request that shows it: by which certificate, and with
    /// a proof of which key.
    fn enter(
        &self,
        admitted: &Admitted,
        certificate: Option<&str>,
        holder: Option<KeyId>,
    ) -> Result<Extensions, Refused> {
        let bound = admitted.bound.as_ref();
        let key = bound.and_then(|bound| bound.key);
        // A token that is not bound does not count as one that is (RFC 9449, section 7.1).
        if key != holder || self.proofs.required && key.is_none() {
            return Err(self.refuse(&TokenRefusal::Unproven("a key (`jkt`)")));
        }
        let expected = bound.and_then(|bound| bound.certificate.as_deref());
        if expected.is_some() && expected != certificate {
            return Err(self.refuse(&TokenRefusal::Unproven("a certificate (`x5t#S256`)")));
        }
        if admitted.lacking {
            return Err(self.lacking());
        }
        Ok(admitted.found.clone())
    }

    /// The answer to a token that does not count.
    fn refuse(&self, refusal: &TokenRefusal) -> Refused {
        if refusal.is_passing() {
            let refused = Refused::new(StatusCode::SERVICE_UNAVAILABLE, refusal.summary());
            return refused.header(http::header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        let text = format!("{}, get another one", refusal.summary());
        let challenge =
            self.challenge.write(&self.required, Some(("invalid_token", refusal.summary())));
        Refused::new(StatusCode::UNAUTHORIZED, text).header(WWW_AUTHENTICATE, challenge)
    }

    /// The answer to a proof that does not count.
    fn unproven(&self, why: NoProof, now: UnixTime) -> Refused {
        let (code, what) = match why {
            NoProof::Invalid(what) => ("invalid_dpop_proof", what),
            NoProof::UseNonce => {
                ("use_dpop_nonce", "the proof has to name the nonce of this answer")
            }
        };
        let challenge = self.challenge.of_proofs(&ALGORITHMS, (code, what));
        let refused =
            Refused::new(StatusCode::UNAUTHORIZED, what).header(WWW_AUTHENTICATE, challenge);
        let nonce = self.proofs.nonces.as_ref().map(|nonces| nonces.issue(now));
        match nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok()) {
            Some(nonce) => refused.header(DPOP_NONCE, nonce),
            None => refused,
        }
    }

    /// The answer to a token that counts and does not suffice for anything here.
    fn lacking(&self) -> Refused {
        let text = "the access token lacks scopes that every request needs";
        let challenge = self.challenge.write(&self.required, Some(("insufficient_scope", text)));
        Refused::new(StatusCode::FORBIDDEN, text).header(WWW_AUTHENTICATE, challenge)
    }

    /// The answer to a request that shows nothing.
    fn unknown(&self) -> Refused {
        match &self.verifier {
            Some(_) => {
                let refused = Refused::new(StatusCode::UNAUTHORIZED, "show an access token");
                // RFC 6750, section 3.1: no error code for who did not know.
                refused.header(WWW_AUTHENTICATE, self.challenge.write(&self.required, None))
            }
            None => self.no_key("show an API key"),
        }
    }

    fn no_key(&self, text: &'static str) -> Refused {
        let header = self.keys.as_ref().map_or("", |(header, _)| header.as_str());
        let challenge = HeaderValue::try_from(format!("ApiKey header=\"{header}\""));
        let refused = Refused::new(StatusCode::UNAUTHORIZED, text);
        match challenge {
            Ok(challenge) => refused.header(WWW_AUTHENTICATE, challenge),
            Err(_) => refused,
        }
    }

    /// Lets in whoever shows an API key.
    fn by_key(&self, keys: &ApiKeys, shown: &HeaderValue) -> Result<Extensions, Refused> {
        let shown = shown.to_str().map_err(|_| self.no_key("the API key is not known"))?;
        let mut key = keys.verify(shown, self.clock.now()).map_err(|error| match error {
            ApiKeyError::File { .. } => Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "API keys cannot be checked now, try again later",
            ),
            ApiKeyError::Expired { .. } => self.no_key("the API key has ended"),
            // That a key was one once is nobody's business.
            _ => self.no_key("the API key is not known"),
        })?;
        self.widen(&mut key.scopes);
        if self.required.iter().any(|scope| !key.scopes.contains(scope)) {
            let text = "the API key lacks scopes that every request needs";
            return Err(Refused::new(StatusCode::FORBIDDEN, text));
        }
        let mut found = Extensions::new();
        found.insert(key.principal());
        found.insert(key);
        Ok(found)
    }
}

impl Gate for Protected {
    fn admit(&self, request: &Parts) -> Admission {
        let inner = &self.0;
        let shown = match one(request, &AUTHORIZATION) {
            Ok(shown) => shown,
            Err(refused) => return Admission::Now(Err(refused)),
        };
        if let Some((header, keys)) = &inner.keys {
            match (one(request, header), shown) {
                (Err(refused), _) => return Admission::Now(Err(refused)),
                (Ok(Some(_)), Some(_)) if inner.verifier.is_some() => {
                    let text = "the request shows both an API key and a token, show one of them";
                    return Admission::Now(Err(Refused::new(StatusCode::BAD_REQUEST, text)));
                }
                (Ok(Some(key)), _) => return Admission::Now(inner.by_key(keys, key)),
                (Ok(None), _) => {}
            }
        }
        let (Some(verifier), Some(shown)) = (&inner.verifier, shown) else {
            return Admission::Now(Err(inner.unknown()));
        };
        let (token, bound) = match credentials(shown) {
            Some((Some(token), bound)) => (token, bound),
            Some((None, _)) => {
                let text = "what stands behind the name of the scheme is no token";
                let error = Some(("invalid_request", text));
                let challenge = inner.challenge.write(&inner.required, error);
                let refused = Refused::new(StatusCode::BAD_REQUEST, text);
                return Admission::Now(Err(refused.header(WWW_AUTHENTICATE, challenge)));
            }
            None => return Admission::Now(Err(inner.unknown())),
        };
        let certificate = request.extensions.get::<Arc<ClientCertificate>>();
        let certificate = certificate.map(|certificate| &*certificate.thumbprint);
        let now = inner.clock.now();
        let place = Known::place(token);
        let known = inner.known.get(&place, now);
        let proof = match one(request, &DPOP) {
            Err(refused) => return Admission::Now(Err(refused)),
            Ok(_) if !bound => None,
            Ok(proof) => match proof.and_then(|proof| proof.to_str().ok()) {
                Some(proof) => Some((proof.to_owned(), request.method.as_str().to_owned())),
                None => {
                    let why = NoProof::Invalid("a token of this scheme needs one header `DPoP`");
                    return Admission::Now(Err(inner.unproven(why, now)));
                }
            },
        };
        if let (Some(admitted), None) = (&known, &proof) {
            return Admission::Now(inner.enter(admitted, certificate, None));
        }
        let (inner, verifier) = (inner.clone(), verifier.clone());
        let (token, certificate) =
            (zeroize::Zeroizing::new(token.to_owned()), certificate.map(str::to_owned));
        Admission::Later(Box::pin(async move {
            let admitted = match known {
                Some(admitted) => admitted,
                None => {
                    let verified = verifier.verify(&token, now).await.map_err(|why| {
                        tracing::info!(%why, "an access token is refused");
                        inner.refuse(&why)
                    })?;
                    let admitted = Arc::new(inner.admit_token(&token, verified));
                    inner.known.put(place, &admitted, now, verifier.keep());
                    admitted
                }
            };
            let holder = match &proof {
                Some((proof, method)) => {
                    let bound_to = admitted.bound.as_ref().and_then(|bound| bound.key);
                    let shown = Shown { method, url: &inner.resource, token: &token, bound_to };
                    let holder = inner.proofs.check(proof, shown, now).await;
                    Some(holder.map_err(|why| inner.unproven(why, now))?)
                }
                None => None,
            };
            inner.enter(&admitted, certificate.as_deref(), holder)
        }))
    }

    fn documents(&self) -> Vec<Document> {
        let inner = &*self.0;
        let Some(verifier) = &inner.verifier else { return Vec::new() };
        let metadata = Metadata {
            resource: &inner.resource,
            authorization_servers: verifier.issuers(),
            jwks_uri: inner.jwks_uri.as_deref(),
            scopes_supported: inner.supported.iter().map(String::as_str).collect(),
            bearer_methods_supported: ["header"],
            dpop_signing_alg_values_supported: ALGORITHMS,
            dpop_bound_access_tokens_required: inner.proofs.required,
            resource_name: inner.name.as_deref(),
            resource_documentation: inner.documentation.as_deref(),
        };
        let text = serde_json::to_vec(&metadata).unwrap_or_default();
        vec![Document::new(&*inner.metadata_path, Bytes::from(text))]
    }

    fn step_up(&self, scopes: &[String]) -> Option<HeaderValue> {
        self.0.verifier.as_ref()?;
        // All that the call needs, at once ("Scope Challenge Handling").
        let mut all = self.0.required.clone();
        all.extend(scopes.iter().filter(|scope| !self.0.required.contains(scope)).cloned());
        let text = "the call needs scopes that the access token does not have";
        Some(self.0.challenge.write(&all, Some(("insufficient_scope", text))))
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

/// The one header of a name; a second one is refused, because somebody else may look at the other.
fn one<'p>(request: &'p Parts, name: &HeaderName) -> Result<Option<&'p HeaderValue>, Refused> {
    let mut all = request.headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (first, None) => Ok(first),
        _ => {
            let text = format!("the header `{name}` stands twice");
            Err(Refused::new(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// The token of `Bearer <token>` (RFC 6750, section 2.1) or `DPoP <token>` (RFC 9449, section 7.1),
/// if it is one, and whether it is said to be bound; `None` for another scheme.
fn credentials(shown: &HeaderValue) -> Option<(Option<&str>, bool)> {
    let shown = shown.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ').unwrap_or((shown, ""));
    let bound = scheme.eq_ignore_ascii_case("dpop");
    if !bound && !scheme.eq_ignore_ascii_case("bearer") {
        return None;
    }
    let token = token.trim_matches(' ');
    let plain = token.trim_end_matches('=');
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    Some((Some(token).filter(|_| !plain.is_empty() && plain.bytes().all(fits)), bound))
}

#[cfg(test)]
mod tests;
