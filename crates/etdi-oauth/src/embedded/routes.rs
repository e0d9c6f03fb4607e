//! The routes: who may speak, which endpoint is meant, and how it answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use etdi_core::time::UnixTime;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderName, ORIGIN,
    PRAGMA, RETRY_AFTER, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use mcp_types::BoxFuture;
use serde_json::{Value, json};

use super::authenticate::OF_STRANGERS;
use super::bucket::Bucket;
use super::client::Client;
use super::dpop::Nonces;
use super::form::Form;
use super::refusal::Refusal;
use super::seal::Seal;
use super::server::{AuthorizationServer, ServerError};
use super::settings::{Settings, SettingsError};
use super::{authorize, manage, metadata, register, token};
use crate::{Clock, Fetch, JwksCache};

/// The answer to one request.
pub type Answer = Response<Full<Bytes>>;

/// An [`AuthorizationServer`] behind HTTP: metadata, `/authorize`, `/token`, `/jwks`, `/introspect`,
/// and `/register` and `/revoke` where the settings have them. Cheap to clone.
///
/// It is a tower service of HTTP requests that goes by their path, below that of the issuer, so it
/// stands beside other routes. [`listen`](super::listen) puts it on a socket alone.
///
/// ```
/// use etdi_oauth::embedded::AuthorizationRoutes;
///
/// /// Beside `mcp`, which `HttpServer::into_router` makes.
/// fn app(mcp: axum::Router, routes: AuthorizationRoutes) -> axum::Router {
///     mcp.fallback_service(routes)
/// }
/// ```
///
/// Only requests to the issuer's host are served, and of web pages only those that
/// [`Settings::origins`] names; bodies have a bound of size and time.
#[derive(Clone)]
pub struct AuthorizationRoutes(pub(super) Arc<Shared>);

/// What all requests share.
pub(super) struct Shared {
    pub(super) server: Arc<dyn AuthorizationServer>,
    pub(super) settings: Settings,
    /// Compares secrets.
    pub(super) seal: Seal,
    pub(super) nonces: Nonces,
    /// The keys of clients that are told by URL.
    pub(super) client_keys: Option<JwksCache>,
    pub(super) registrations: Bucket,
    /// Assertions of clients that the operator does not know.
    pub(super) assertions: Bucket,
    clock: Clock,
}

const MOST_BYTES: usize = 64 << 10;

/// The most bytes of a form in which definitions are shown, and of a value in it.
const MOST_SHOWN: usize = 512 << 10;
const MOST_URI: usize = 16 << 10;
const PATIENCE: Duration = Duration::from_secs(10);

impl AuthorizationRoutes {
    /// Routes for a server, by the system's clock.
    ///
    /// # Errors
    ///
    /// When the settings cannot be used, or the system gives no randomness.
    pub fn new(
        server: Arc<dyn AuthorizationServer>,
        settings: Settings,
    ) -> Result<Self, SettingsError> {
        settings.check()?;
        let seal = || Seal::of_this_process().map_err(|_| SettingsError::Random);
        let nonces = Nonces::new(seal()?, settings.dpop_nonces);
        let registrations = Bucket::per_minute(settings.registrations_per_minute);
        let (seal, client_keys) = (seal()?, None);
        let clock = Clock::system();
        let assertions = Bucket::per_minute(OF_STRANGERS);
        Ok(Self(Arc::new(Shared {
            server,
            settings,
            seal,
            nonces,
            client_keys,
            registrations,
            assertions,
            clock,
        })))
    }

    /// Takes the keys of clients from where they say (`jwks_uri`), through a guarded fetcher: anybody
    /// can name a URL. To be called before the routes are cloned, as [`AuthorizationRoutes::clock`].
    #[must_use]
    pub fn client_keys(mut self, fetch: Arc<dyn Fetch>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.client_keys = Some(JwksCache::new(fetch));
        }
        self
    }

    /// Knows the nonces for proofs of possession that other nodes gave out, which have the same secret
    /// of 32 random bytes. Without it a client whose requests go to several nodes in turn is asked
    /// again and again. To be called before the routes are cloned, as [`AuthorizationRoutes::clock`].
    #[must_use]
    pub fn shared_nonces(mut self, secret: &[u8; 32]) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.nonces = Nonces::new(Seal::new(secret), shared.settings.dpop_nonces);
        }
        self
    }

    /// Goes by another clock.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.0) {
            shared.clock = clock;
        }
        self
    }

    /// Answers one request.
    pub async fn serve<B>(&self, request: Request<B>) -> Answer
    where
        B: http_body::Body<Data: Buf, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let (parts, body) = request.into_parts();
        let shared = &self.0;
        let now = shared.clock.now();
        let own = match shared.admit(&parts) {
            Ok(own) => own,
            Err(refusal) => return refused(&refusal),
        };
        let Some(endpoint) = Endpoint::of(parts.uri.path(), shared) else {
            return refused(&Refusal::Nothing);
        };
        let page = parts.headers.get(ORIGIN).filter(|_| !own).cloned();
        let mut answer = shared.answer(endpoint, parts, body, page.is_some(), now).await;
        let shown = matches!(endpoint, Endpoint::Authorize | Endpoint::Callback);
        if let Some(page) = page.filter(|_| !shown) {
            let headers = answer.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
            headers.insert(VARY, HeaderValue::from_static("Origin"));
            let exposed = HeaderValue::from_static("DPoP-Nonce, WWW-Authenticate");
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
        }
        answer
    }
}

impl std::fmt::Debug for AuthorizationRoutes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AuthorizationRoutes").field(&self.0.settings).finish()
    }
}

impl<B> tower_service::Service<Request<B>> for AuthorizationRoutes
where
    B: http_body::Body<Data: Buf + Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    type Response = Answer;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let routes = self.clone();
        Box::pin(async move { Ok(routes.serve(request).await) })
    }
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Metadata,
    Keys,
    Authorize,
    Callback,
    Token,
    Register,
    Revoke,
    Introspect,
}

impl Endpoint {
    fn of(path: &str, shared: &Shared) -> Option<Self> {
        let base = shared.settings.base();
        // RFC 8414, section 3.1, and the two places of OpenID Connect.
        let inserted =
            ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
        if inserted.into_iter().any(|known| path.strip_prefix(known) == Some(base)) {
            return Some(Self::Metadata);
        }
        match path.strip_prefix(base)? {
            "/.well-known/openid-configuration" => Some(Self::Metadata),
            "/jwks" => Some(Self::Keys),
            "/authorize" => Some(Self::Authorize),
            "/token" => Some(Self::Token),
            "/introspect" => Some(Self::Introspect),
            "/register" if shared.settings.registration => Some(Self::Register),
            "/revoke" if shared.settings.revocation => Some(Self::Revoke),
            path if path.starts_with(authorize::CALLBACK) => Some(Self::Callback),
            _ => None,
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Metadata | Self::Keys | Self::Callback => "GET",
            Self::Authorize => "GET, POST",
            _ => "POST",
        }
    }
}

impl Shared {
    /// Refuses requests for other hosts and of foreign pages; whether a page, if one asks, is ours.
    fn admit(&self, parts: &Parts) -> Result<bool, Refusal> {
        let origin = self.settings.origin();
        let own = origin.split_once("://").map_or("", |(_, host)| host);
        let known = |host: &str| {
            let others = self.settings.hosts.iter().map(String::as_str);
            others.chain([own]).any(|known| known.eq_ignore_ascii_case(host))
        };
        let mut hosts = parts.headers.get_all(HOST).iter();
        let (host, more) = (hosts.next(), hosts.next().is_some());
        let target = parts.uri.authority().map(http::uri::Authority::as_str);
        let named = host.map(|host| host.to_str().unwrap_or_default());
        let any = named.is_some() || target.is_some();
        if more || !any || ![named, target].into_iter().flatten().all(known) {
            return Err(Refusal::Host);
        }
        let mut pages = parts.headers.get_all(ORIGIN).iter();
        match (pages.next().map(|page| page.to_str().unwrap_or_default()), pages.next()) {
            (None, _) => Ok(true),
            (Some(page), None) if page == origin => Ok(true),
            (Some(page), None) if self.settings.origins.iter().any(|one| one == page) => Ok(false),
            _ => Err(Refusal::Origin),
        }
    }

    async fn answer<B>(
        &self,
        endpoint: Endpoint,
        parts: Parts,
        body: B,
        foreign: bool,
        now: UnixTime,
    ) -> Answer
    where
        B: http_body::Body<Data: Buf, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        if parts.method == Method::OPTIONS && foreign {
            return preflight();
        }
        if !endpoint.methods().split(", ").any(|method| method == parts.method.as_str()) {
            return refused(&Refusal::Method(endpoint.methods()));
        }
        if parts.uri.path_and_query().is_some_and(|path| path.as_str().len() > MOST_URI) {
            return refused(&Refusal::TooLarge);
        }
        let posted = parts.method == Method::POST;
        let kind = match endpoint {
            Endpoint::Register => "application/json",
            _ => "application/x-www-form-urlencoded",
        };
        let shown = endpoint == Endpoint::Token && self.settings.statement_lifetime > 0;
        let most = if shown { MOST_SHOWN } else { MOST_BYTES };
        let bytes = match posted {
            true => match read(&parts, body, kind, most).await {
                Ok(bytes) => bytes,
                Err(refusal) => return refused(&refusal),
            },
            false => Bytes::new(),
        };
        match endpoint {
            Endpoint::Metadata => public(metadata::of(&self.settings)),
            Endpoint::Keys => {
                if let Err(error) = self.server.look(now).await {
                    tracing::warn!(%error, "keys of other nodes cannot be looked for");
                }
                public(self.server.jwks(now))
            }
            Endpoint::Authorize => {
                let sent = posted.then_some(&bytes[..]);
                authorize::serve(self, &parts, sent, foreign, now).await
            }
            Endpoint::Callback => authorize::returned(self, &parts, now).await,
            Endpoint::Register => {
                register::serve(self, &bytes, now).await.unwrap_or_else(|refusal| refused(&refusal))
            }
            Endpoint::Token | Endpoint::Revoke | Endpoint::Introspect => {
                let form = match shown {
                    true => Form::within(&bytes, most),
                    false => Form::read(&bytes),
                };
                let answer = match form {
                    Ok(form) => match endpoint {
                        Endpoint::Token => token::serve(self, &parts.headers, &form, now).await,
                        Endpoint::Revoke => manage::revoke(self, &parts.headers, &form, now).await,
                        _ => manage::introspect(self, &parts.headers, &form, now).await,
                    },
                    Err(refusal) => Err(refusal),
                };
                let wants_nonce = matches!(answer, Err(Refusal::ProofNonce));
                let mut answer = answer.unwrap_or_else(|refusal| refused(&refusal));
                if wants_nonce || parts.headers.contains_key("dpop") {
                    let nonce = self.nonces.make(now);
                    let nonce = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok());
                    if let Some(nonce) = nonce {
                        answer.headers_mut().insert(HeaderName::from_static("dpop-nonce"), nonce);
                    }
                }
                answer
            }
        }
    }

    /// The client of an id.
    pub(super) async fn client(&self, id: &str, now: UnixTime) -> Result<Client, Refusal> {
        match self.server.client(id, now).await {
            Ok(Some(client)) => Ok(client),
            Ok(None) => Err(Refusal::UnknownClient),
            Err(ServerError::Client(why)) => Err(Refusal::Document(why)),
            Err(error) => Err(error.into()),
        }
    }

    /// The scopes that a client gets that asks for these.
    pub(super) fn scopes(
        &self,
        client: &Client,
        asked: Option<&str>,
    ) -> Result<Vec<String>, Refusal> {
        let settings = &self.settings;
        let own = |scope: &str| {
            client.scopes.as_ref().is_none_or(|own| own.iter().any(|one| one == scope))
        };
        let mut scopes: Vec<String> = Vec::new();
        match asked {
            Some(asked) => {
                for scope in asked.split(' ').filter(|scope| !scope.is_empty()) {
                    if !settings.scopes.iter().any(|known| known == scope) || !own(scope) {
                        return Err(Refusal::Scope);
                    }
                    if !scopes.iter().any(|known| known == scope) {
                        scopes.push(scope.to_owned());
                    }
                }
            }
            None => scopes.extend(settings.default_scopes.iter().filter(|one| own(one)).cloned()),
        }
        let missing = settings.required_scopes.iter().find(|one| !scopes.contains(one));
        missing.map_or(Ok(scopes), |missing| Err(Refusal::RequiredScope(missing.clone())))
    }
}

async fn read<B>(
    parts: &Parts,
    body: B,
    expected: &'static str,
    most: usize,
) -> Result<Bytes, Refusal>
where
    B: http_body::Body<Data: Buf, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let mut kinds = parts.headers.get_all(CONTENT_TYPE).iter();
    let kind = kinds.next().and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(expected) || kinds.next().is_some() {
        return Err(Refusal::MediaType(expected));
    }
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::TooLarge);
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::TooLarge),
        _ => Err(Refusal::Body),
    }
}

fn preflight() -> Answer {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    let methods = HeaderValue::from_static("GET, POST");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let allowed =
        HeaderValue::from_static("Authorization, Content-Type, DPoP, MCP-Protocol-Version");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    answer
}

/// What everybody may know for a while.
fn public(text: String) -> Answer {
    let mut answer = text_of(StatusCode::OK, "application/json", text);
    let keep = HeaderValue::from_static("public, max-age=300");
    answer.headers_mut().insert(CACHE_CONTROL, keep);
    answer
}

/// What is for the one who asked, and for no cache.
pub(super) fn private(status: StatusCode, value: &Value) -> Answer {
    let mut answer = text_of(status, "application/json", value.to_string());
    answer.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    answer
}

pub(super) fn text_of(status: StatusCode, kind: &'static str, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// A refusal for a program (RFC 6749, section 5.2).
pub(super) fn refused(refusal: &Refusal) -> Answer {
    let value = json!({ "error": refusal.code(), "error_description": refusal.description() });
    let mut answer = private(refusal.status(), &value);
    let headers = answer.headers_mut();
    match refusal.status() {
        StatusCode::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"token\""));
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
        }
        _ => {}
    }
    if let Refusal::Method(methods) = refusal {
        headers.insert(ALLOW, HeaderValue::from_static(methods));
    }
    answer
}
