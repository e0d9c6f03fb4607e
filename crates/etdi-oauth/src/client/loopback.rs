//! A listener on this computer for one answer (RFC 8252, section 7.3).
//!
//! It listens on 127.0.0.1 at a port that nobody can foretell, takes one answer with the right
//! `state`, shows a page that says nothing of it, and is gone. Whoever else knocks, a page in
//! another tab for one, is sent away and ends nothing.

use std::fmt;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mcp_types::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use url::Url;

use super::browser::open_browser;
use super::{Interaction, InteractionError, Redirection};
use crate::flow::{AuthorizationUrl, DeviceCode, OAuthError};
use crate::web::checked;

/// The most bytes of a request's head, the most connections at once, the time for each.
const MAX_HEAD: usize = 16 << 10;
const MOST_CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

type Show = Arc<dyn Fn(&AuthorizationUrl) -> Result<(), InteractionError> + Send + Sync>;

/// Sends the user to a browser on this computer, and listens for the answer.
///
/// ```no_run
/// use etdi_oauth::Loopback;
///
/// // Opens the browser; tells of the URL where that does not work.
/// let interaction = Loopback::browser(|text| eprintln!("{text}"));
/// ```
#[derive(Clone)]
pub struct Loopback {
    show: Show,
    show_code: Arc<dyn Fn(&str) + Send + Sync>,
    at: At,
    patience: Duration,
}

/// Where it listens.
#[derive(Clone)]
struct At {
    host: &'static str,
    port: Option<u16>,
    path: String,
}

impl At {
    fn uri(&self, port: u16) -> String {
        format!("http://{}:{port}{}", self.host, self.path)
    }

    /// The port of a redirect URI that is this one but for the port.
    fn port_of(&self, uri: &str) -> Option<u16> {
        let port = Url::parse(uri).ok()?.port()?;
        (self.uri(port) == uri).then_some(port)
    }
}

impl Loopback {
    /// Opens the user's browser, and tells the URL by `tell` as well, for where none opens.
    pub fn browser(tell: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let tell: Arc<dyn Fn(&str) + Send + Sync> = Arc::new(tell);
        let told = tell.clone();
        let show = move |url: &AuthorizationUrl| {
            let opened = match open_browser(url) {
                Ok(()) => "A browser opens to log in. Where it does not, open this page:",
                Err(_) => "Open this page to log in:",
            };
            told(&format!("{opened}\n\n  {}", url.as_str()));
            Ok(())
        };
        Self { show_code: tell, ..Self::new(show) }
    }

    /// Shows the URL in another way.
    pub fn new(
        show: impl Fn(&AuthorizationUrl) -> Result<(), InteractionError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            show: Arc::new(show),
            show_code: Arc::new(|_| {}),
            at: At { host: "127.0.0.1", port: None, path: "/callback".to_owned() },
            patience: Duration::from_secs(300),
        }
    }

    /// Listens for this redirect URI, for clients that are registered with it: at `127.0.0.1` or
    /// `localhost`, at its port, or at any where it names none.
    ///
    /// # Errors
    ///
    /// When it is no such URI.
    pub fn redirect_uri(mut self, uri: &str) -> Result<Self, OAuthError> {
        let url = checked(uri, true).ok().filter(|url| url.scheme() == "http");
        let host = url.as_ref().and_then(|url| url.host_str());
        let host = ["127.0.0.1", "localhost"].into_iter().find(|one| Some(*one) == host);
        let (Some(url), Some(host)) = (url, host) else {
            let why = "expected `http://127.0.0.1/…` or `http://localhost/…`";
            let why = format!("nothing can listen for `{}`: {why}", crate::web::shown(uri));
            return Err(OAuthError::Setting(why));
        };
        if url.query().is_some() {
            return Err(OAuthError::Setting("a redirect URI here has no query".to_owned()));
        }
        self.at = At { host, port: url.port(), path: url.path().to_owned() };
        Ok(self)
    }

    /// How long a user has to log in; five minutes by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn listen(&self, known: &[String]) -> Result<Listening, InteractionError> {
        let ports: Vec<u16> = match self.at.port {
            Some(port) => vec![port],
            // A port for which this client is registered is tried before a new one.
            None => {
                known.iter().filter_map(|uri| self.at.port_of(uri)).take(4).chain([0]).collect()
            }
        };
        let mut failed = None;
        for port in ports {
            match self.bind(port).await {
                Ok(listening) => return Ok(listening),
                Err(error) => failed = Some(error),
            }
        }
        let why = failed.map(|error| error.to_string()).unwrap_or_default();
        let why = match self.at.port {
            Some(port) => format!(
                "the answer comes to port {port} of this computer, and nothing can listen there: {why}; \
                 end the program that does"
            ),
            None => format!("no port on this computer can be listened at: {why}"),
        };
        Err(InteractionError::Unavailable(why))
    }

    async fn bind(&self, port: u16) -> std::io::Result<Listening> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        let mut listeners = vec![listener];
        if self.at.host == "localhost" {
            // The name means both; who else listens at the other one would get the answer.
            match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
                Ok(listener) => listeners.push(listener),
                Err(error) if error.kind() == ErrorKind::AddrInUse => return Err(error),
                Err(_) => {}
            }
        }
        let (show, patience, at) = (self.show.clone(), self.patience, self.at.clone());
        Ok(Listening { uri: at.uri(port), listeners, at, port, show, patience })
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback")
            .field("host", &self.at.host)
            .field("port", &self.at.port)
            .finish_non_exhaustive()
    }
}

impl Interaction for Loopback {
    fn prepare<'a>(
        &'a self,
        known: &'a [String],
    ) -> BoxFuture<'a, Result<Box<dyn Redirection>, InteractionError>> {
        Box::pin(async move { Ok(Box::new(self.listen(known).await?) as Box<dyn Redirection>) })
    }

    fn show_code<'a>(
        &'a self,
        code: &'a DeviceCode,
    ) -> BoxFuture<'a, Result<(), InteractionError>> {
        Box::pin(async move {
            (self.show_code)(&code.to_text());
            Ok(())
        })
    }
}

struct Listening {
    listeners: Vec<TcpListener>,
    uri: String,
    at: At,
    port: u16,
    show: Show,
    patience: Duration,
}

impl Redirection for Listening {
    fn uri(&self) -> &str {
        &self.uri
    }

    fn answer<'a>(
        self: Box<Self>,
        url: &'a AuthorizationUrl,
    ) -> BoxFuture<'a, Result<String, InteractionError>> {
        Box::pin(async move {
            (self.show)(url)?;
            let patience = self.patience;
            timeout(patience, self.wait(url)).await.unwrap_or(Err(InteractionError::Late))
        })
    }
}

impl Listening {
    async fn wait(self, url: &AuthorizationUrl) -> Result<String, InteractionError> {
        let place: Arc<(String, String)> =
            Arc::new((format!("{}:{}", self.at.host, self.port), self.at.path));
        // Dropped with this future, and all connections with it.
        let mut connections = JoinSet::new();
        loop {
            let event = poll_fn(|cx| {
                while let Poll::Ready(Some(answered)) = connections.poll_join_next(cx) {
                    if let Ok(Some(query)) = answered {
                        return Poll::Ready(Event::Answered(query));
                    }
                }
                if connections.len() >= MOST_CONNECTIONS {
                    return Poll::Pending;
                }
                let mut accepted = self.listeners.iter().map(|one| one.poll_accept(cx));
                match accepted.find(Poll::is_ready) {
                    Some(Poll::Ready(accepted)) => Poll::Ready(Event::Accepted(accepted)),
                    _ => Poll::Pending,
                }
            });
            match event.await {
                Event::Answered(query) => return Ok(query),
                Event::Accepted(Ok((stream, _))) => {
                    let (url, place) = (url.clone(), place.clone());
                    connections.spawn(async move {
                        timeout(PATIENCE, serve(stream, &url, &place)).await.ok().flatten()
                    });
                }
                // Out of descriptors perhaps, of which some are given back soon.
                Event::Accepted(Err(_)) => sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

enum Event {
    Answered(String),
    Accepted(std::io::Result<(TcpStream, SocketAddr)>),
}

/// Serves one connection; gives the query if it is the answer.
async fn serve(
    mut stream: TcpStream,
    url: &AuthorizationUrl,
    place: &(String, String),
) -> Option<String> {
    let mut head = Vec::with_capacity(2 << 10);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let query = std::str::from_utf8(&head).ok().and_then(|head| asked(head, place));
    let answer = query.filter(|query| url.is_answered_by(query)).map(str::to_owned);
    let (status, text) = match (&answer, query.is_some()) {
        (Some(_), _) => ("200 OK", "You can close this page and go back to the program."),
        (None, true) => ("400 Bad Request", "This answers another login. Begin again."),
        (None, false) => ("404 Not Found", "There is nothing here."),
    };
    let page = format!(
        "<!doctype html><meta charset=utf-8><title>Login</title>\
         <body style=\"font-family:sans-serif;margin:4em\"><p>{text}</p>"
    );
    let response = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
         cache-control: no-store\r\nreferrer-policy: no-referrer\r\nx-content-type-options: nosniff\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; \
         frame-ancestors 'none'\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    // Whoever does not read the page has answered all the same.
    _ = stream.write_all(response.as_bytes()).await;
    _ = stream.shutdown().await;
    answer
}

/// The query of a request for the page, made by whoever really dialled this address.
fn asked<'a>(head: &'a str, (host, path): &(String, String)) -> Option<&'a str> {
    let mut lines = head.split("\r\n");
    let target = lines.next()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    let mut hosts = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    if hosts.next() != Some(host.as_str()) || hosts.next().is_some() {
        return None;
    }
    target.strip_prefix(path.as_str())?.strip_prefix('?')
}

#[cfg(test)]
mod tests;
