//! The guarded fetcher: one connection for one request, to an address that was checked.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, LOCATION, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use mcp_types::BoxFuture;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::{Named, Target};
use super::{Fetch, FetchError, FetchRequest, FetchResponse, Method};

/// What may be fetched, and within which bounds.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Rules {
    /// Whether this computer may be asked, by HTTP as well: for development and for servers that
    /// are reached through a local port. Off by default.
    pub loopback: bool,
    /// Names that may lead into a private network (RFC 1918, RFC 4193, RFC 6598), such as those of
    /// a company's own identity provider. Metadata services stay out of reach. None by default.
    pub private_hosts: BTreeSet<String>,
    /// How long a connection may take; 5 seconds by default.
    pub connect_timeout: Duration,
    /// How long one request may take with all its redirects; 10 seconds by default.
    pub timeout: Duration,
    /// How many redirects of the same origin are followed when something is read; 3 by default.
    pub redirects: u32,
    /// The most bytes of a body, whatever a request asks for; 4 MiB by default.
    pub most_bytes: usize,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            loopback: false,
            private_hosts: BTreeSet::new(),
            connect_timeout: Duration::from_secs(5),
            timeout: Duration::from_secs(10),
            redirects: 3,
            most_bytes: 4 << 20,
        }
    }
}

/// Finds the addresses of a name. Object safe; asked once for each connection, and the addresses
/// that it gives are the ones that are checked and connected to.
pub trait Resolve: Send + Sync {
    /// The addresses of `name`, in the order in which they are tried.
    ///
    /// # Errors
    ///
    /// What failed, in words.
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>>;
}

/// The resolver of the system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, String>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await;
            Ok(found.map_err(|error| error.to_string())?.map(|address| address.ip()).collect())
        })
    }
}

/// Fetches documents that a peer named, and lets no peer reach into private networks by that.
///
/// HTTPS only, unless [`Rules::loopback`] is on; URLs in their plain spelling; no user in them. A
/// name is resolved once: if one of its addresses is not a public one, nothing is connected to, and
/// the addresses that were checked are those that are connected to. Redirects stay at their origin
/// and are checked like the first URL; what is sent is never sent twice. Head, body and time have
/// bounds. It keeps no connection, so that no answer can come from another one.
///
/// ```no_run
/// use etdi_oauth::{Fetch, FetchRequest, GuardedFetch, Rules};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let fetch = GuardedFetch::new(Rules::default());
/// let answer = fetch.fetch(FetchRequest::get("https://acme.example/jwks.json")).await?;
/// assert_eq!(answer.status, 200);
/// // The address of a metadata service, however it is written.
/// assert!(fetch.fetch(FetchRequest::get("https://0xa9fea9fe/")).await.is_err());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct GuardedFetch {
    rules: Arc<Rules>,
    resolver: Arc<dyn Resolve>,
    tls: Option<Arc<ClientConfig>>,
}

/// How many addresses of a name are tried.
const MOST_ADDRESSES: usize = 4;

/// The most bytes of an answer's head, and the most headers in it.
const MOST_HEAD: usize = 32 << 10;
const MOST_HEADERS: usize = 100;

const OURSELVES: &str = concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION"));

impl GuardedFetch {
    /// A fetcher with these rules, the system's resolver and the system's roots of trust.
    pub fn new(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), resolver: Arc::new(SystemResolver), tls: None }
    }

    /// Resolves names in another way.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Arc::new(resolver);
        self
    }

    /// Uses other roots of trust, or a client certificate.
    #[must_use]
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    async fn run(&self, request: FetchRequest) -> Result<FetchResponse, FetchError> {
        let forbidden = |why: String| FetchError::Forbidden { url: shown(&request.url), why };
        let mut target = Target::parse(&request.url, &self.rules).map_err(forbidden)?;
        for hop in 0..=self.rules.redirects {
            let response = self.once(&target, &request).await?;
            let location = response.header(LOCATION.as_str());
            let redirected = matches!(response.status, 301 | 302 | 303 | 307 | 308);
            match location {
                Some(location) if redirected && request.method == Method::Get => {
                    if hop == self.rules.redirects {
                        return Err(forbidden("it redirects too often".to_owned()));
                    }
                    target = target.redirected(location, &self.rules).map_err(forbidden)?;
                }
                _ => return Ok(response),
            }
        }
        Err(forbidden("it redirects too often".to_owned()))
    }

    async fn once(
        &self,
        target: &Target,
        request: &FetchRequest,
    ) -> Result<FetchResponse, FetchError> {
        let url = || shown(&request.url);
        let forbidden = |why| FetchError::Forbidden { url: url(), why };
        let unreachable = |why: String| FetchError::Unreachable { url: url(), why };
        let addresses = match &target.host {
            Named::Address(address) => vec![*address],
            Named::Name(name) => self.resolver.resolve(name).await.map_err(unreachable)?,
        };
        // One that leads inside makes the others suspicious.
        for address in &addresses {
            target.check(*address, &self.rules).map_err(forbidden)?;
        }
        if addresses.is_empty() {
            return Err(unreachable("its name has no address".to_owned()));
        }
        let mut failed = String::new();
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            let connecting = TcpStream::connect(SocketAddr::new(address, target.port));
            match tokio::time::timeout(self.rules.connect_timeout, connecting).await {
                Ok(Ok(stream)) => return self.over(stream, target, request).await,
                Ok(Err(error)) => failed = error.to_string(),
                Err(_) => failed = "it did not answer in time".to_owned(),
            }
        }
        Err(unreachable(failed))
    }

    async fn over(
        &self,
        stream: TcpStream,
        target: &Target,
        request: &FetchRequest,
    ) -> Result<FetchResponse, FetchError> {
        let unreachable = |why: String| FetchError::Unreachable { url: shown(&request.url), why };
        if !target.secure {
            return self.exchange(stream, target, request).await;
        }
        let name = match &target.host {
            Named::Name(name) => ServerName::try_from(name.clone())
                .map_err(|error| unreachable(error.to_string()))?,
            Named::Address(address) => ServerName::from(*address),
        };
        let config = match &self.tls {
            Some(config) => config.clone(),
            None => system_roots().map_err(unreachable)?,
        };
        let connecting = TlsConnector::from(config).connect(name, stream);
        let stream =
            connecting.await.map_err(|error| unreachable(format!("TLS failed: {error}")))?;
        self.exchange(stream, target, request).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send,
        target: &Target,
        request: &FetchRequest,
    ) -> Result<FetchResponse, FetchError> {
        let unreachable = |why: &dyn std::fmt::Display| FetchError::Unreachable {
            url: shown(&request.url),
            why: why.to_string(),
        };
        let handshake = http1::Builder::new()
            .max_buf_size(MOST_HEAD)
            .max_headers(MOST_HEADERS)
            .handshake(TokioIo::new(stream))
            .await;
        let (mut sender, connection) = handshake.map_err(|error| unreachable(&error))?;
        let message = message(target, request)?;
        let answer = async {
            let response =
                sender.send_request(message).await.map_err(|error| unreachable(&error))?;
            self.read(response, request).await
        };
        let (mut connection, mut answer) = (pin!(connection), pin!(answer));
        let mut open = true;
        // The connection is driven here, so that dropping this future is all it takes to stop.
        poll_fn(|cx| {
            if open && connection.as_mut().poll(cx).is_ready() {
                open = false;
            }
            answer.as_mut().poll(cx)
        })
        .await
    }

    async fn read(
        &self,
        response: http::Response<Incoming>,
        request: &FetchRequest,
    ) -> Result<FetchResponse, FetchError> {
        let url = || shown(&request.url);
        let (head, mut body) = response.into_parts();
        if head.headers.contains_key(CONTENT_ENCODING) {
            let why = "its body is packed, which nobody asked for".to_owned();
            return Err(FetchError::Forbidden { url: url(), why });
        }
        let most = request.most_bytes.min(self.rules.most_bytes);
        let too_long = || FetchError::TooLong { url: url(), most };
        if body.size_hint().lower() > most as u64 {
            return Err(too_long());
        }
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|error| FetchError::Unreachable { url: url(), why: error.to_string() })?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > most {
                return Err(too_long());
            }
            bytes.extend_from_slice(data);
        }
        let headers = head.headers.iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let mut answer = FetchResponse::new(head.status.as_u16(), bytes);
        answer.headers = headers.collect();
        Ok(answer)
    }
}

impl Fetch for GuardedFetch {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(async move {
            let url = shown(&request.url);
            let late = FetchError::Unreachable { url, why: "it did not answer in time".to_owned() };
            tokio::time::timeout(self.rules.timeout, self.run(request)).await.unwrap_or(Err(late))
        })
    }
}

impl std::fmt::Debug for GuardedFetch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GuardedFetch").field("rules", &self.rules).finish_non_exhaustive()
    }
}

fn message(target: &Target, request: &FetchRequest) -> Result<Request<Full<Bytes>>, FetchError> {
    let refused = |why: String| FetchError::Forbidden { url: shown(&request.url), why };
    let mut message = Request::new(Full::new(Bytes::from(request.body.clone())));
    *message.method_mut() = match request.method {
        Method::Get => http::Method::GET,
        Method::Post => http::Method::POST,
    };
    *message.uri_mut() =
        target.path().parse().map_err(|error| refused(format!("its path is none: {error}")))?;
    let headers = message.headers_mut();
    for (name, value) in &request.headers {
        let name = HeaderName::try_from(name.as_str());
        let name = name.map_err(|error| refused(format!("a header cannot be sent: {error}")))?;
        let mut value = HeaderValue::try_from(value.as_str())
            .map_err(|_| refused(format!("the header `{name}` cannot be sent")))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    let host = HeaderValue::try_from(target.authority());
    headers.insert(HOST, host.map_err(|_| refused("its host cannot be sent".to_owned()))?);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(OURSELVES));
    Ok(message)
}

/// A URL as messages may show it: without a query, which may hold a secret, and without a user.
fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let plain: String = plain.chars().take(200).collect();
    match plain.split_once("://") {
        Some((scheme, rest)) if rest.contains('@') => {
            let rest = rest.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://…@{rest}").escape_debug().to_string()
        }
        _ => plain.escape_debug().to_string(),
    }
}

/// TLS with the system's roots; those that browsers agree on where the system has none. Reading
/// them takes a while, so it is done once.
fn system_roots() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(config.clone());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(CONFIG.get_or_init(|| Arc::new(config)).clone())
}

#[cfg(test)]
mod tests;
