//! The client's end of Streamable HTTP: a service of exchanges behind a URL.
//!
//! Which revision the server speaks is found out by the first exchange, as the specification
//! (2026-07-28, "Streamable HTTP", "Backward compatibility") says: a discovery first; a server that
//! does not know it gets a handshake; one that takes no POST gets a GET, which opens the HTTP+SSE
//! transport of the first revision. What was found out holds until it turns out to be wrong.
//!
//! ```text
//! connect_http ─ opening ─┬─ modern    one POST an exchange, in the future of its caller
//!                         └─ session   a task that carries a `ClientConn`, with a session id or,
//!                                      for the first revision, a stream beside its POSTs
//! ```

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use mcp_types::{
    ClientNotification, ErrorObject, Exchange, ExchangeFuture, Implementation, Outcome,
    ProtocolVersion, RawText, RequestId, ServerNotification,
};
use tokio::sync::{Mutex, watch};
use tower_service::Service;

use self::endpoint::Endpoint;
use self::mirror::Mirrors;
use self::opening::Opened;
use crate::driver::{Connection, closed};
use crate::framing::FrameLimits;
use crate::http::auth::Authorize;
use crate::proto::client::ClientConfig;
use crate::{ConnectOptions, Error};

pub use self::endpoint::http_status;
pub use self::relayed::{Mirrored, MirroredLayer};

mod answer;
mod endpoint;
mod mirror;
mod modern;
mod opening;
mod relayed;
mod session;
mod sse_2024;

/// How a connection to a server behind HTTP is made.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpConnectOptions {
    /// Who we are, which era we speak, how long we wait.
    ///
    /// A server behind HTTP always answers something, so its silence is no verdict about its era:
    /// `probe_timeout` is not used here.
    pub config: ClientConfig,
    /// Headers for every request, such as a key; the protocol's own headers win.
    pub headers: HeaderMap,
    /// Gives each request what the server wants to see, and reacts where it is refused.
    pub authorize: Option<Arc<dyn Authorize>>,
    /// How large one message of the server may be, as a body or as an event; 64 MiB by default.
    pub frame: FrameLimits,
    /// How large the head of an answer may be, about; 64 KiB by default, never below 8 KiB.
    pub most_head_bytes: usize,
    /// How long one address of the server may take to accept a connection; 30 s by default.
    pub connect_timeout: Duration,
    /// Takes what the server says outside any exchange.
    pub on_notification: Option<Arc<dyn Fn(ServerNotification) + Send + Sync>>,
    /// How TLS is spoken, for certificates of one's own; by default with the system's roots.
    #[cfg(feature = "tls")]
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl HttpConnectOptions {
    /// A client of this name and version.
    pub fn new(client_info: Implementation) -> Self {
        let ConnectOptions { config, frame, .. } = ConnectOptions::new(client_info);
        Self {
            config,
            headers: HeaderMap::new(),
            authorize: None,
            frame,
            most_head_bytes: 64 << 10,
            connect_timeout: Duration::from_secs(30),
            on_notification: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl std::fmt::Debug for HttpConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("HttpConnectOptions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Connects to the server at `url`; the first exchange opens the connection.
///
/// ```no_run
/// use mcp_transport::http::{connect_http, http_status};
/// use mcp_types::{ClientRequest, Exchange, Implementation, PaginatedRequestParams};
/// use tower_service::Service;
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let us = Implementation::new("example", "1.0.0");
/// let mut connection = connect_http("http://127.0.0.1:8000/mcp", us)?;
/// let request = ClientRequest::ListTools(PaginatedRequestParams::new());
/// match connection.call(Exchange::new(request)).await {
///     Ok(outcome) => println!("{outcome:?}"),
///     Err(error) if http_status(&error) == Some(401) => println!("log in first"),
///     Err(error) => return Err(error.into()),
/// }
/// connection.close().await;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`Error::Url`] for what is no `http://` URL, and for `https://` without the feature `tls`.
pub fn connect_http(url: &str, client_info: Implementation) -> Result<HttpConnection, Error> {
    connect_http_with(url, HttpConnectOptions::new(client_info))
}

/// Connects as `options` say.
///
/// # Errors
///
/// As [`connect_http`].
pub fn connect_http_with(url: &str, options: HttpConnectOptions) -> Result<HttpConnection, Error> {
    let endpoint = Arc::new(Endpoint::new(url, &options)?);
    let info = RawText::of(&options.config.client_info).ok();
    let capabilities = RawText::of(&options.config.client_capabilities).ok();
    Ok(HttpConnection(Arc::new(Inner {
        endpoint,
        options,
        info,
        capabilities,
        link: RwLock::new(None),
        opening: Mutex::new(()),
        mirrors: Mirrors::default(),
        last_id: AtomicI64::new(0),
        closing: watch::Sender::new(false),
    })))
}

/// A server behind HTTP: a service of exchanges, cheap to clone.
///
/// Dropping the future of an exchange cancels it at the server. A failed exchange does not end the
/// connection: the next one may find the server again. With the last clone and the last future a
/// session at the server, where there is one, is ended.
///
/// Its futures need a tokio runtime with timers.
#[derive(Clone)]
pub struct HttpConnection(Arc<Inner>);

struct Inner {
    endpoint: Arc<Endpoint>,
    options: HttpConnectOptions,
    /// The text of who we are and of what we can do, for exchanges that do not say so.
    info: Option<RawText>,
    capabilities: Option<RawText>,
    link: RwLock<Option<Link>>,
    /// One opening at a time; whoever came meanwhile finds the link.
    opening: Mutex<()>,
    mirrors: Mirrors,
    last_id: AtomicI64,
    closing: watch::Sender<bool>,
}

/// What was found out about the server.
#[derive(Clone)]
enum Link {
    /// It is asked in this revision, each request for itself.
    Modern(ProtocolVersion),
    /// It has a session with us.
    Session(Connection),
}

impl HttpConnection {
    /// Closes the connection: exchanges in flight fail, and a session at the server is ended.
    ///
    /// Waits for that, but not long for a server that does not answer.
    pub async fn close(&self) {
        self.0.closing.send_replace(true);
        if let Some(Link::Session(connection)) = self.0.link() {
            connection.close().await;
        }
    }

    /// Tells the server something that belongs to no exchange, where it has a session with us; a server
    /// without one knows no such things.
    pub fn tell(&self, notification: &ClientNotification) {
        if let Some(Link::Session(connection)) = self.0.link() {
            connection.tell(notification);
        }
    }

    /// The revision that is spoken, to show; `None` before the first exchange is answered.
    pub fn version(&self) -> Option<ProtocolVersion> {
        match self.0.link()? {
            Link::Modern(version) => Some(version),
            Link::Session(connection) => connection.version(),
        }
    }
}

impl std::fmt::Debug for HttpConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpConnection").field(&self.0.endpoint.shown).finish()
    }
}

impl Service<Exchange> for HttpConnection {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let inner = self.0.clone();
        Box::pin(async move {
            let mut closing = inner.closing.subscribe();
            let mut end = pin!(closing.wait_for(|closing| *closing));
            let mut answer = pin!(inner.exchange(exchange));
            poll_fn(|cx| {
                if end.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(closed()));
                }
                answer.as_mut().poll(cx)
            })
            .await
        })
    }
}

impl Inner {
    async fn exchange(&self, exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let link = match self.link() {
            Some(link) => link,
            None => match self.open(&exchange).await? {
                Opened::Link(link) => link,
                Opened::Discovered(outcome) => return Ok(*outcome),
            },
        };
        match link {
            Link::Modern(version) => self.modern(version, exchange).await,
            Link::Session(mut connection) => connection.call(exchange).await,
        }
    }

    /// What is known of the server, unless that has ended.
    fn link(&self) -> Option<Link> {
        let link = self.link.read().unwrap_or_else(PoisonError::into_inner).clone();
        link.filter(|link| match link {
            Link::Modern(_) => true,
            Link::Session(connection) => !connection.has_failed(),
        })
    }

    fn set_link(&self, link: Option<Link>) {
        *self.link.write().unwrap_or_else(PoisonError::into_inner) = link;
    }

    fn next_id(&self) -> RequestId {
        RequestId::Number(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
