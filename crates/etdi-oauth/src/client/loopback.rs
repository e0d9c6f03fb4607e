//! A listener on this computer for one answer (RFC 8252, section 7.3).
//!
//! It listens on 127.0.0.1 at a port that nobody can foretell, takes one answer with the right
//! `state`, shows a page that says nothing of it, and is gone. Whoever else knocks, a page in
//! another tab for one, is sent away and ends nothing.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use mcp_types::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;

use super::browser::open_browser;
use super::{Interaction, InteractionError, Redirection};
use crate::flow::{AuthorizationUrl, DeviceCode};

/// The most bytes of a request's head, the most connections at once, the time for each.
const MAX_HEAD: usize = 16 << 10;
const MOST_CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);

const PATH: &str = "/callback";

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
    port: Option<u16>,
    patience: Duration,
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
            port: None,
            patience: Duration::from_secs(300),
        }
    }

    /// Listens at this port and at no other, for clients that are registered with it.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// How long a user has to log in; five minutes by default.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    async fn listen(&self, known: &[String]) -> Result<Listening, InteractionError> {
        let failed = |error: std::io::Error| {
            InteractionError::Unavailable(format!("no port on this computer is free: {error}"))
        };
        let ports: Vec<u16> = match self.port {
            Some(port) => vec![port],
            // A port for which this client is registered is tried before a new one.
            None => known.iter().filter_map(|uri| port_of(uri)).take(4).chain([0]).collect(),
        };
        let mut last = None;
        for port in ports {
            match TcpListener::bind(("127.0.0.1", port)).await {
                Ok(listener) => {
                    let port = listener.local_addr().map_err(failed)?.port();
                    let uri = format!("http://127.0.0.1:{port}{PATH}");
                    let (show, patience) = (self.show.clone(), self.patience);
                    return Ok(Listening { listener, uri, show, patience });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(InteractionError::Late, failed))
    }
}

impl fmt::Debug for Loopback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loopback").field("port", &self.port).finish_non_exhaustive()
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

/// The port of a redirect URI of ours.
fn port_of(uri: &str) -> Option<u16> {
    let url = Url::parse(uri).ok()?;
    let ours = url.scheme() == "http" && url.host_str() == Some("127.0.0.1") && url.path() == PATH;
    url.port().filter(|_| ours)
}

struct Listening {
    listener: TcpListener,
    uri: String,
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
        let host = self.uri.trim_start_matches("http://").trim_end_matches(PATH).to_owned();
        // Dropped with this future, and all connections with it.
        let mut connections = JoinSet::new();
        poll_fn(|cx| {
            loop {
                while let Poll::Ready(Some(answered)) = connections.poll_join_next(cx) {
                    if let Ok(Some(query)) = answered {
                        return Poll::Ready(Ok(query));
                    }
                }
                if connections.len() >= MOST_CONNECTIONS {
                    return Poll::Pending;
                }
                let Poll::Ready(accepted) = self.listener.poll_accept(cx) else {
                    return Poll::Pending;
                };
                // A connection that ended before it began is nobody's.
                if let Ok((stream, _)) = accepted {
                    let (url, host) = (url.clone(), host.clone());
                    connections.spawn(async move {
                        timeout(PATIENCE, serve(stream, &url, &host)).await.ok().flatten()
                    });
                }
            }
        })
        .await
    }
}

/// Serves one connection; gives the query if it is the answer.
async fn serve(mut stream: TcpStream, url: &AuthorizationUrl, host: &str) -> Option<String> {
    let mut head = Vec::with_capacity(2 << 10);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() >= MAX_HEAD || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let query = std::str::from_utf8(&head).ok().and_then(|head| asked(head, host));
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
fn asked<'a>(head: &'a str, host: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n");
    let target = lines.next()?.strip_prefix("GET ")?.strip_suffix(" HTTP/1.1")?;
    let mut hosts = lines.filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim())
    });
    if hosts.next() != Some(host) || hosts.next().is_some() {
        return None;
    }
    target.strip_prefix(PATH)?.strip_prefix('?')
}

#[cfg(test)]
mod tests;
