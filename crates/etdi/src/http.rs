//! A server behind HTTP, as a target of the client.

use std::sync::Arc;

use etdi_core::request::TokenBinding;
use mcp_transport::http::{Authorize, HttpConnectOptions, HttpConnection, connect_http_with};
use mcp_transport::proto::client::ClientConfig;
use mcp_types::{BoxFuture, ServerNotification};

use crate::{Error, EtdiClient};

/// A server behind HTTP: its URL, and what is sent along.
///
/// The URL is its identity, and what attestations have to be about. Over plain `http://` nothing
/// proves that the server is the one that was dialled.
pub struct HttpTarget {
    url: String,
    headers: Vec<(String, String)>,
    authorize: Option<Arc<dyn Authorize>>,
    pub(crate) token: Option<AccessToken>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Tells which access token goes along with what is sent now.
pub(crate) type AccessToken =
    Arc<dyn Fn() -> BoxFuture<'static, Option<TokenBinding>> + Send + Sync>;

impl HttpTarget {
    /// A server at a URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            authorize: None,
            token: None,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// A server that wants a login, which `client` is for. So the tokens of one server can never be
    /// given to the connection to another. Calls that are signed name the token that they go along
    /// with; see [`HttpTarget::without_token_binding`].
    ///
    /// ```no_run
    /// use etdi::Target;
    /// use etdi::http::HttpTarget;
    /// use etdi::oauth::{Loopback, OAuthClient};
    ///
    /// # fn example() -> Result<(), etdi::oauth::OAuthError> {
    /// let login = Loopback::browser(|text| eprintln!("{text}"));
    /// let oauth = OAuthClient::interactive("https://notes.example/mcp", login).build()?;
    /// let notes = Target::http(HttpTarget::oauth(oauth));
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "oauth")]
    pub fn oauth(client: etdi_oauth::OAuthClient) -> Self {
        let names = client.clone();
        let token: AccessToken = Arc::new(move || {
            let client = names.clone();
            Box::pin(async move { client.binding().await })
        });
        let target = Self::new(client.server()).authorize(Arc::new(client));
        Self { token: Some(token), ..target }
    }

    /// Does not name the access token in signed calls: for a server that verifies no tokens itself,
    /// because something before it does, and so refuses a call that names one. Whoever gets hold of a
    /// signed call can send it with another token then.
    #[cfg(feature = "oauth")]
    #[must_use]
    pub fn without_token_binding(self) -> Self {
        Self { token: None, ..self }
    }

    /// Sends a header with each request, such as a key.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Gives each request what the server wants to see, such as a token.
    #[must_use]
    pub fn authorize(mut self, authorize: Arc<dyn Authorize>) -> Self {
        (self.authorize, self.token) = (Some(authorize), None);
        self
    }

    /// Speaks TLS so: with roots of one's own, or with a client certificate
    /// (`with_client_auth_cert` of rustls) for a server that knows its callers by them (RFC 8705).
    /// By default the system's roots count, and no certificate is shown.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// The URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn connect(
        self,
        client: &EtdiClient,
        told: impl Fn(ServerNotification) + Send + Sync + 'static,
        configure: impl FnOnce(&mut ClientConfig),
    ) -> Result<HttpConnection, Error> {
        let mut options = HttpConnectOptions::new(client.info());
        options.config.client_capabilities = client.capabilities();
        options.config.peer_requests = client.peer_requests();
        configure(&mut options.config);
        options.connect_timeout = client.0.options.timeout();
        options.on_notification = Some(Arc::new(told));
        options.authorize = self.authorize;
        #[cfg(feature = "tls")]
        {
            options.tls = self.tls;
        }
        for (name, value) in self.headers {
            let bad = || Error::Header { name: name.clone() };
            let key: http::HeaderName = name.parse().map_err(|_| bad())?;
            let mut value: http::HeaderValue = value.parse().map_err(|_| bad())?;
            value.set_sensitive(true);
            options.headers.append(key, value);
        }
        Ok(connect_http_with(&self.url, options)?)
    }
}

impl std::fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("HttpTarget").field("url", &self.url).finish_non_exhaustive()
    }
}
