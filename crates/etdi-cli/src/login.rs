//! Logins of the user: kept sealed beside the approvals, and used for every server that wants one.

use std::sync::Arc;

use etdi_core::change::visible;
use etdi_core::secret::SecretStore;
use etdi_oauth::{
    Interaction, InteractionError, OAuthClient, OAuthClientBuilder, Redirection, RegisteredClient,
    SealedTokens, SecretText, TokenStore,
};
use mcp_types::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::locked;
use crate::verbs::target::quoted;

/// What users are shown when this command registers with an issuer.
const NAME: &str = "etdi";

/// What a command says that logs in; a refusal that holds it wants a login.
pub const LOG_IN: &str = "log in with `etdi auth login";

/// The store of logins, open.
pub struct Logins {
    tokens: Arc<SealedTokens>,
    names: SecretStore,
}

/// How a login was made, so that it can be used and renewed in the same way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// Whether it was made on another device.
    pub device: bool,
    /// The registration that was given, if one was.
    pub client: Option<Registered>,
}

/// A client that was registered by hand. Its secret is in the sealed store alone.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registered {
    /// With whom.
    pub issuer: String,
    /// Its id there.
    pub id: String,
    /// Its secret, if it has one.
    pub secret: Option<String>,
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Registered {
    fn client(&self) -> RegisteredClient {
        match &self.secret {
            Some(secret) => {
                RegisteredClient::with_secret(&self.issuer, &self.id, SecretText::new(secret))
            }
            None => RegisteredClient::public(&self.issuer, &self.id),
        }
    }
}

/// A client with the login that is kept for a server, if one is; it never asks anybody.
///
/// # Errors
///
/// When logins are kept and cannot be read.
pub async fn kept(url: &str, home: &Home) -> Result<Option<OAuthClient>, Failure> {
    match Logins::find(home)? {
        Some(logins) => logins.client(url).await,
        None => Ok(None),
    }
}

impl Logins {
    /// Opens the store, which is made where it is not there.
    ///
    /// # Errors
    ///
    /// When it does not open.
    pub fn open(home: &Home) -> Result<Self, Failure> {
        let tokens = Arc::new(SealedTokens::new(locked::secrets(home)?));
        Ok(Self { tokens, names: locked::secrets(home)? })
    }

    /// Opens the store if it is there.
    ///
    /// # Errors
    ///
    /// When it is there and does not open.
    pub fn find(home: &Home) -> Result<Option<Self>, Failure> {
        home.path().join(locked::SECRETS).is_dir().then(|| Self::open(home)).transpose()
    }

    /// The servers for which a login is kept.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub fn servers(&self) -> Result<Vec<String>, Failure> {
        let names = self.names.list().map_err(locked::failed)?;
        let servers = names.iter().filter_map(|name| name.strip_prefix(KEPT));
        Ok(servers.map(str::to_owned).collect())
    }

    /// A client with the login that is kept for a server; it never asks anybody. `None` where none is
    /// kept.
    ///
    /// # Errors
    ///
    /// When the store cannot be read, or the URL is none that logins are for.
    pub async fn client(&self, url: &str) -> Result<Option<OAuthClient>, Failure> {
        let url = plain(url);
        if self.read(&format!("tokens {url}")).await?.is_none() {
            return Ok(None);
        }
        let made = self.made(url).await?;
        let nobody = Nobody(format!("{LOG_IN} {}`", quoted(url)));
        let builder = match made.device {
            true => OAuthClient::device(url, nobody),
            false => OAuthClient::interactive(url, nobody),
        };
        self.build(builder, &made).map(Some)
    }

    /// A client that asks as `builder` says, and keeps its login here.
    ///
    /// # Errors
    ///
    /// When the URL is none that logins are for.
    pub fn build(&self, builder: OAuthClientBuilder, made: &Made) -> Result<OAuthClient, Failure> {
        let mut builder = builder.name(NAME).store(self.tokens.clone());
        if let Some(client) = &made.client {
            builder = builder.registered(client.client());
        }
        builder.build().map_err(|error| {
            Failure::usage(error.to_string(), "etdi auth login https://mcp.acme.example/mcp")
        })
    }

    /// How the login for a server was made.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn made(&self, url: &str) -> Result<Made, Failure> {
        let text = self.read(&how(url)).await?;
        let made = text.map(|text| serde_json::from_str(text.expose()));
        // What cannot be read is that of a program of another time; the login then speaks for itself.
        Ok(made.and_then(Result::ok).unwrap_or_default())
    }

    /// Notes how a login is made.
    ///
    /// # Errors
    ///
    /// When it cannot be kept.
    pub async fn note(&self, url: &str, made: &Made) -> Result<(), Failure> {
        let text = serde_json::to_string(made).map_err(|error| unkept(&error.to_string()))?;
        let kept = self.tokens.put(&how(url), SecretText::new(text)).await;
        kept.map_err(|error| unkept(&error))
    }

    /// Forgets how a login was made.
    ///
    /// # Errors
    ///
    /// When it cannot be removed.
    pub async fn forget(&self, url: &str) -> Result<(), Failure> {
        self.tokens.remove(&how(url)).await.map_err(|error| unkept(&error))
    }

    /// Whether this command is registered with an issuer.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    pub async fn is_registered(&self, issuer: &str) -> Result<bool, Failure> {
        Ok(self.read(&format!("client {issuer}")).await?.is_some())
    }

    async fn read(&self, name: &str) -> Result<Option<SecretText>, Failure> {
        self.tokens.get(name).await.map_err(|error| unkept(&error))
    }
}

/// What the names of logins begin with in the store.
const KEPT: &str = "oauth tokens ";

fn how(url: &str) -> String {
    format!("how {}", plain(url))
}

/// The URL without its fragment, as logins are named.
pub fn plain(url: &str) -> &str {
    url.split('#').next().unwrap_or_default()
}

fn unkept(error: &str) -> Failure {
    let message = format!("the logins cannot be used: {}", visible(error));
    Failure::new(Exit::Refused, message, "etdi auth status").with_code("STORE_FAILED")
}

/// Nobody is asked in the middle of another command.
struct Nobody(String);

impl Interaction for Nobody {
    fn prepare<'a>(
        &'a self,
        _: &'a [String],
    ) -> BoxFuture<'a, Result<Box<dyn Redirection>, InteractionError>> {
        let why = self.0.clone();
        Box::pin(std::future::ready(Err(InteractionError::Unavailable(why))))
    }
}
