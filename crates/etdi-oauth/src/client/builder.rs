//! What a client is told before it begins.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, RwLock};

use tokio::sync::Mutex;
use url::Url;

use super::grant::Grant;
use super::{AssertionSource, Flow, Inner, Interaction, MemoryTokens, OAuthClient, TokenStore};
use crate::flow::{OAuthError, RegisteredClient, scopes};
use crate::web::{checked, is_loopback};
use crate::{Clock, Fetch, GuardedFetch, Rules};

/// When tokens are bound to a key of this client (DPoP, RFC 9449).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DpopUse {
    /// Where the server and its issuer say that they know it.
    #[default]
    WhenOffered,
    /// Always: a token that is not bound is refused.
    Always,
    /// Never. Whoever steals a token can use it.
    Never,
}

pub(super) struct Settings {
    /// The server, as it is dialled.
    pub(super) server: String,
    pub(super) url: Url,
    /// Whether this computer may be asked: only if the server is on it.
    pub(super) loopback: bool,
    pub(super) grant: Grant,
    pub(super) name: String,
    pub(super) client_uri: Option<String>,
    pub(super) metadata_url: Option<String>,
    pub(super) registered: Vec<RegisteredClient>,
    pub(super) scopes: Vec<String>,
    pub(super) offline_access: bool,
    pub(super) dpop: DpopUse,
    pub(super) store: Arc<dyn TokenStore>,
    pub(super) fetch: Arc<dyn Fetch>,
    pub(super) clock: Clock,
}

/// Makes an [`OAuthClient`].
#[must_use]
pub struct OAuthClientBuilder {
    server: String,
    grant: Grant,
    name: String,
    client_uri: Option<String>,
    metadata_url: Option<String>,
    registered: Vec<RegisteredClient>,
    scopes: Vec<String>,
    offline_access: bool,
    dpop: DpopUse,
    store: Arc<dyn TokenStore>,
    fetch: Option<Arc<dyn Fetch>>,
    clock: Clock,
}

impl OAuthClient {
    /// For a user, who logs in with a browser: the authorization code grant with PKCE.
    pub fn interactive(
        server: impl Into<String>,
        interaction: impl Interaction + 'static,
    ) -> OAuthClientBuilder {
        OAuthClientBuilder::new(server.into(), Grant::Code(Arc::new(interaction)))
    }

    /// For a user, who logs in on another device (RFC 8628).
    pub fn device(
        server: impl Into<String>,
        interaction: impl Interaction + 'static,
    ) -> OAuthClientBuilder {
        OAuthClientBuilder::new(server.into(), Grant::Device(Arc::new(interaction)))
    }

    /// For a program that acts for itself: the client credentials grant.
    pub fn service(server: impl Into<String>, client: RegisteredClient) -> OAuthClientBuilder {
        OAuthClientBuilder::new(server.into(), Grant::ClientCredentials).registered(client)
    }

    /// For a user whose company says which servers may be used (enterprise-managed authorization):
    /// `client` is this program at the server's issuer, `provider` at the company's identity
    /// provider, and `id_token` gives the ID token of the user's login there
    /// ([`IdentityLogin`](super::IdentityLogin) has the user log in).
    pub fn enterprise(
        server: impl Into<String>,
        client: RegisteredClient,
        provider: RegisteredClient,
        id_token: impl AssertionSource + 'static,
    ) -> OAuthClientBuilder {
        let grant = Grant::Enterprise { provider, id_token: Arc::new(id_token) };
        OAuthClientBuilder::new(server.into(), grant).registered(client)
    }

    /// For a workload that its platform vouches for (RFC 7523, section 2.1): `assertion` gives the
    /// platform's token. It is shown to the issuer of `client` and to nobody else, once a try.
    pub fn workload(
        server: impl Into<String>,
        client: RegisteredClient,
        assertion: impl AssertionSource + 'static,
    ) -> OAuthClientBuilder {
        let grant = Grant::Assertion(Arc::new(assertion));
        OAuthClientBuilder::new(server.into(), grant).registered(client)
    }
}

impl OAuthClientBuilder {
    fn new(server: String, grant: Grant) -> Self {
        Self {
            server,
            grant,
            name: "MCP client".to_owned(),
            client_uri: None,
            metadata_url: None,
            registered: Vec::new(),
            scopes: Vec::new(),
            offline_access: true,
            dpop: DpopUse::default(),
            store: Arc::new(MemoryTokens::new()),
            fetch: None,
            clock: Clock::system(),
        }
    }

    /// What users are shown when this client registers.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// A page about this client, for the same.
    pub fn client_uri(mut self, uri: impl Into<String>) -> Self {
        self.client_uri = Some(uri.into());
        self
    }

    /// The URL of this client's metadata document, which is its id wherever the issuer takes that
    /// ([`ClientMetadata`](crate::ClientMetadata) writes one).
    pub fn client_metadata_url(mut self, url: impl Into<String>) -> Self {
        self.metadata_url = Some(url.into());
        self
    }

    /// A registration that was made elsewhere. Once there is one this client uses no issuer that it
    /// is not registered with.
    pub fn registered(mut self, client: RegisteredClient) -> Self {
        self.registered.push(client);
        self
    }

    /// Scopes that are asked for in any case. By default those that the server wants.
    pub fn scopes(mut self, wanted: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let wanted: Vec<_> = wanted.into_iter().collect();
        self.scopes = scopes(wanted.iter().map(AsRef::as_ref));
        self
    }

    /// Whether `offline_access` is asked for where the issuer has that scope, so that the user need
    /// not log in again; yes by default.
    pub fn offline_access(mut self, wanted: bool) -> Self {
        self.offline_access = wanted;
        self
    }

    /// When tokens are bound to a key of this client.
    pub fn dpop(mut self, wanted: DpopUse) -> Self {
        self.dpop = wanted;
        self
    }

    /// Where tokens and registrations are kept; in memory by default.
    pub fn store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.store = store;
        self
    }

    /// Fetches in another way; it must guard, because the server names URLs. By default
    /// [`GuardedFetch`], which may ask this computer if the server is on it.
    pub fn fetch(mut self, fetch: Arc<dyn Fetch>) -> Self {
        self.fetch = Some(fetch);
        self
    }

    /// Reads the time elsewhere.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The client.
    ///
    /// # Errors
    ///
    /// When the server is reached by neither HTTPS nor an address of this computer, or the metadata
    /// URL is none that can be an id.
    pub fn build(self) -> Result<OAuthClient, OAuthError> {
        let plain = self.server.split('#').next().unwrap_or_default().to_owned();
        let url = checked(&plain, true).map_err(|why| {
            OAuthError::Setting(format!(
                "no token is sent to `{}`: {why}",
                crate::web::shown(&plain)
            ))
        })?;
        if let Some(id) = &self.metadata_url {
            // 2026-07-28, "Client ID Metadata Documents": HTTPS, with a path.
            let fine = checked(id, false).is_ok_and(|url| url.path() != "/");
            if !fine {
                let id = crate::web::shown(id);
                let why = "expected an `https://` URL with a path";
                return Err(OAuthError::Setting(format!("`{id}` is no client id: {why}")));
            }
        }
        let loopback = is_loopback(&url);
        let fetch = self
            .fetch
            .unwrap_or_else(|| Arc::new(GuardedFetch::new(Rules { loopback, ..Rules::default() })));
        let settings = Settings {
            server: plain,
            url,
            loopback,
            grant: self.grant,
            name: self.name,
            client_uri: self.client_uri,
            metadata_url: self.metadata_url,
            registered: self.registered,
            scopes: self.scopes,
            offline_access: self.offline_access,
            dpop: self.dpop,
            store: self.store,
            fetch,
            clock: self.clock,
        };
        Ok(OAuthClient(Arc::new(Inner {
            settings,
            current: RwLock::default(),
            loaded: AtomicBool::new(false),
            flow: Mutex::new(Flow::default()),
            ended: AtomicU64::new(0),
        })))
    }
}

impl std::fmt::Debug for OAuthClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OAuthClientBuilder")
            .field("server", &self.server)
            .field("registered", &self.registered)
            .finish_non_exhaustive()
    }
}
