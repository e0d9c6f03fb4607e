//! A server behind a WebSocket, as a target of the client.

use etdi_core::identity::{IdentityError, ServerIdentity};
use http::{HeaderMap, HeaderName, HeaderValue};
use mcp_transport::Io;

use crate::Error;

/// A server behind a WebSocket: its `ws://` URL, and what is sent along with the upgrade.
///
/// Its identity is the URL with `http` in the place of `ws`, by which an attestation of the same
/// server holds at both doors. Nothing proves that the server is the one that was dialled, so its
/// statements have to name its instance key. A `wss://` URL is refused: open its stream with
/// [`mcp_transport::websocket::over`] and take [`Target::service`](crate::Target::service).
pub struct WebSocketTarget {
    url: String,
    headers: Vec<(String, String)>,
}

impl WebSocketTarget {
    /// A server at a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), headers: Vec::new() }
    }

    /// Sends a header with the upgrade, such as a key.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) async fn open(self) -> Result<(Io, ServerIdentity), Error> {
        let rest = self.url.strip_prefix("ws://").ok_or(IdentityError::Url)?;
        let identity = ServerIdentity::url(&format!("http://{rest}"))?;
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers {
            let bad = || Error::Header { name: name.clone() };
            let key: HeaderName = name.parse().map_err(|_| bad())?;
            let mut value: HeaderValue = value.parse().map_err(|_| bad())?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        let io = mcp_transport::websocket::open(&self.url, headers).await;
        Ok((io.map_err(mcp_transport::Error::from)?, identity))
    }
}

impl From<&str> for WebSocketTarget {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for WebSocketTarget {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl std::fmt::Debug for WebSocketTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("WebSocketTarget").field("url", &self.url).finish_non_exhaustive()
    }
}
