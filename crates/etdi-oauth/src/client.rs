//! A client that logs in where a server wants it: the seam of `mcp-transport`, played by the book.

mod assertion;
mod browser;
mod builder;
mod grant;
mod id_login;
mod interaction;
mod loopback;
mod manager;
mod paste;
mod renew;
mod standing;
mod store;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use etdi_core::request::TokenBinding;
use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use mcp_transport::http::{Authorize, Challenge, Reaction, Target};
use mcp_types::{BoxFuture, ErrorObject, Origin};
use tokio::sync::Mutex;
use url::Url;

use self::builder::Settings;
use self::store::Kept;
use crate::DpopKey;
use crate::flow::OAuthError;
use crate::token::TokenScheme;

pub use self::assertion::{AssertionFile, AssertionSource};
pub use self::browser::open_browser;
pub use self::builder::{DpopUse, OAuthClientBuilder};
pub use self::id_login::IdentityLogin;
pub use self::interaction::{AskWith, Interaction, InteractionError, Redirection};
pub use self::loopback::Loopback;
pub use self::manager::{OAuthManager, ProviderHealth, TokenManager};
pub use self::paste::Paste;
pub use self::standing::Standing;
pub use self::store::{MemoryTokens, SealedTokens, TokenStore, token_store_contract};

const DPOP: HeaderName = HeaderName::from_static("dpop");
const DPOP_NONCE: &str = "dpop-nonce";

/// Authorizes the requests to one server. Cheap to clone; clones share tokens and logins.
///
/// Nothing happens until the server wants a token. Then its metadata says who gives one and for
/// what; this client registers there if it has to, sends the user to log in or uses what it has, and
/// the request goes out again. Tokens are renewed before they end. However many requests are
/// challenged at once, the user is asked once.
///
/// What it refuses, and no setting turns on: a code challenge other than S256; servers that do not
/// offer that; metadata of another issuer or resource; answers with another `state` or from another
/// issuer; endpoints that are neither HTTPS nor on this computer; sending credentials of one issuer
/// to another; sending a token to another origin than that of the server.
///
/// ```no_run
/// use etdi_oauth::{Loopback, OAuthClient};
///
/// # fn example() -> Result<(), etdi_oauth::OAuthError> {
/// let login = Loopback::browser(|text| eprintln!("{text}"));
/// let oauth = OAuthClient::interactive("https://mcp.example/mcp", login)
///     .name("Example client")
///     .build()?;
/// // Given to `HttpConnectOptions::authorize`, or to `HttpTarget::oauth` of `etdi`.
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct OAuthClient(Arc<Inner>);

struct Inner {
    settings: Settings,
    current: RwLock<Option<Arc<Current>>>,
    /// Whether the store was asked what it has.
    loaded: AtomicBool,
    /// Held by whoever gets tokens.
    flow: Mutex<Flow>,
    /// How many times somebody tried to.
    ended: AtomicU64,
}

#[derive(Default)]
struct Flow {
    /// Why the last try failed: who waited for it meanwhile does not try again.
    failed: Option<OAuthError>,
}

/// The tokens in use.
struct Current {
    kept: Kept,
    header: HeaderValue,
    /// What names the access token in signed calls.
    binding: TokenBinding,
    dpop: Option<Arc<DpopKey>>,
    /// Whether they were given in this process.
    new: bool,
    /// Whether the server served a request with them.
    accepted: AtomicBool,
}

impl OAuthClient {
    fn current(&self) -> Option<Arc<Current>> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, current: Option<Arc<Current>>) {
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = current;
    }

    /// The server whose requests are authorized.
    pub fn server(&self) -> &str {
        &self.0.settings.server
    }

    /// What names the access token that the next request shows, for a call that is signed before it is
    /// sent: renewed where it is about to end, and `None` as long as there is none.
    pub async fn binding(&self) -> Option<TokenBinding> {
        // What fails here fails again, and is told, where the request is authorized.
        self.ready().await.ok().flatten().map(|current| current.binding.clone())
    }

    /// Puts the token, and a proof where it is bound to a key, into a request.
    pub(crate) async fn put(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), OAuthError> {
        if !is_at(uri, &self.0.settings.url) {
            return Ok(());
        }
        let Some(current) = self.ready().await? else { return Ok(()) };
        headers.insert(AUTHORIZATION, current.header.clone());
        if let Some(key) = &current.dpop {
            let now = self.0.settings.clock.now();
            let token = current.kept.tokens.access.expose();
            let proof = key.proof(method.as_str(), &uri.to_string(), Some(token), now)?;
            headers.insert(DPOP, sensitive(&proof)?);
        }
        Ok(())
    }

    fn served(&self, uri: &Uri, headers: &HeaderMap) {
        if is_at(uri, &self.0.settings.url) {
            self.learn(uri, headers);
            if let Some(current) = self.current() {
                current.accepted.store(true, Ordering::Relaxed);
            }
        }
    }

    fn learn(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let nonce = headers.get(DPOP_NONCE).and_then(|nonce| nonce.to_str().ok());
        let (Some(nonce), Some(current)) = (nonce, self.current()) else { return false };
        current.dpop.as_ref().is_some_and(|key| key.learn(&uri.to_string(), nonce))
    }
}

impl Authorize for OAuthClient {
    fn authorize<'a>(
        &'a self,
        target: Target<'a>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), ErrorObject>> {
        Box::pin(async move { self.put(target.method, target.uri, headers).await.map_err(refused) })
    }

    fn challenged<'a>(
        &'a self,
        challenge: Challenge<'a>,
    ) -> BoxFuture<'a, Result<Reaction, ErrorObject>> {
        let refusal = Refusal {
            uri: challenge.target.uri,
            status: challenge.status,
            headers: challenge.headers,
            authorization: challenge.authorization,
            attempt: challenge.attempt,
        };
        Box::pin(async move { self.react(refusal).await.map_err(refused) })
    }

    fn answered(&self, target: Target<'_>, headers: &HeaderMap) {
        self.served(target.uri, headers);
    }
}

/// A refusal of the server, as far as it says something here.
pub(crate) struct Refusal<'a> {
    pub(crate) uri: &'a Uri,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// What was refused.
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) attempt: u32,
}

impl fmt::Debug for OAuthClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuthClient").field("server", &self.server()).finish_non_exhaustive()
    }
}

impl Current {
    fn new(kept: Kept, dpop: Option<Arc<DpopKey>>, new: bool) -> Result<Arc<Self>, OAuthError> {
        let tokens = &kept.tokens;
        // A token that is bound to a key which is not there serves nobody.
        let dpop = dpop.filter(|_| tokens.scheme == TokenScheme::DPoP);
        if tokens.scheme == TokenScheme::DPoP && dpop.is_none() {
            return Err(OAuthError::Store("the key of a bound token is not there".to_owned()));
        }
        let text =
            zeroize::Zeroizing::new(format!("{} {}", tokens.scheme.name(), tokens.access.expose()));
        let header = sensitive(&text)?;
        let key = dpop.as_ref().and_then(|key| key.thumbprint().parse().ok());
        let binding = TokenBinding::new(tokens.access.expose(), key);
        let accepted = AtomicBool::new(false);
        Ok(Arc::new(Self { header, binding, dpop, new, accepted, kept }))
    }
}

fn sensitive(text: &str) -> Result<HeaderValue, OAuthError> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| OAuthError::Crypto("a header cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a request goes to the origin of the server.
fn is_at(uri: &Uri, server: &Url) -> bool {
    let port = match uri.scheme_str() {
        Some("https") => 443,
        _ => 80,
    };
    let host = uri.host().zip(server.host_str());
    uri.scheme_str() == Some(server.scheme())
        && host.is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
        && uri.port_u16().unwrap_or(port) == server.port_or_known_default().unwrap_or_default()
}

fn refused(error: OAuthError) -> ErrorObject {
    let origin = match &error {
        OAuthError::Fetch(_) => Origin::Connection,
        _ => Origin::Refused,
    };
    ErrorObject::local(origin, error.to_string())
}

#[cfg(test)]
mod tests;
