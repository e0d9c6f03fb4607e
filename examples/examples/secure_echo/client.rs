//! The clients: with a key, as an application, as a person.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use etdi_core::secret::{KeyFile, Protection, SecretStore};
use etdi_oauth::{
    ClientAuthentication, Loopback, OAuthClient, OAuthClientBuilder, Paste, RegisteredClient,
    SealedTokens, SecretText,
};
use examples::settings::Settings;
use mcp_client::types::Implementation;
use mcp_client::{Client, text_of};
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use serde_json::json;

use crate::server::cloud;

/// Calls the tool at `url`, and gives what it said. `browser` is how a person is asked to sign in,
/// where one has to.
pub(crate) async fn call(
    way: &str,
    url: &str,
    settings: &Settings,
    browser: Loopback,
) -> anyhow::Result<String> {
    let mut options = HttpConnectOptions::new(Implementation::new("secure_echo", "1.0.0"));
    let oauth = match way {
        "api-key" => {
            let mut key = settings.get("API_KEY")?.parse::<axum::http::HeaderValue>()?;
            key.set_sensitive(true);
            options.headers.insert("x-api-key", key);
            None
        }
        "auth0" => Some(auth0(url, settings, browser)?),
        "entra" => Some(entra_person(url, settings, browser)?),
        "entra-service" => Some(entra_service(url, settings)?),
        other => bail!("`{other}` is none of api-key, auth0, entra and entra-service"),
    };
    options.authorize = oauth.map(|oauth| Arc::new(oauth) as _);
    let client = Client::new(connect_http_with(url, options)?);
    let said = client.call_tool("secure_echo", &json!({ "message": "Hello, OAuth!" })).await;
    client.service().close().await;
    Ok(text_of(&said?))
}

/// An application with its secret, or a person who signs in.
fn auth0(url: &str, settings: &Settings, browser: Loopback) -> anyhow::Result<OAuthClient> {
    let (domain, audience) = (settings.get("AUTH0_DOMAIN")?, settings.get("API_AUDIENCE")?);
    let registered = |shows| -> anyhow::Result<RegisteredClient> {
        Ok(RegisteredClient::auth0(domain, audience, settings.get("AUTH0_CLIENT_ID")?, shows))
    };
    Ok(match settings.maybe("AUTH0_CLIENT_SECRET") {
        Some(secret) => {
            let shows = ClientAuthentication::Secret(SecretText::new(secret));
            OAuthClient::service(url, registered(shows)?).build()?
        }
        // Auth0 compares redirect URIs with their port.
        None => interactive(url, settings, browser, "http://127.0.0.1:3000/callback")?
            .registered(registered(ClientAuthentication::None)?)
            .scopes(["openid", "offline_access"])
            .store(Arc::new(tokens(settings)?))
            .build()?,
    })
}

/// A person who is sent to a browser here, or with `NO_BROWSER` to one anywhere, and pastes the address
/// at which that ended.
fn interactive(
    url: &str,
    settings: &Settings,
    browser: Loopback,
    back: &str,
) -> anyhow::Result<OAuthClientBuilder> {
    if settings.maybe("NO_BROWSER").is_none() {
        return Ok(OAuthClient::interactive(url, browser.redirect_uri(back)?));
    }
    let read = async || {
        // Whoever reads the keyboard must not hold up the connection.
        let read = || std::io::stdin().lines().next().and_then(Result::ok);
        tokio::task::spawn_blocking(read).await.ok().flatten()
    };
    Ok(OAuthClient::interactive(
        url,
        Paste::new(|text| eprintln!("{text}"), read).redirect_uri(back),
    ))
}

/// A person who signs in with Entra: a public client, which asks for the scope `user_impersonation`.
fn entra_person(url: &str, settings: &Settings, browser: Loopback) -> anyhow::Result<OAuthClient> {
    let registered = entra(settings, ClientAuthentication::None)?;
    Ok(interactive(url, settings, browser, "http://localhost")?
        .registered(registered)
        .scopes(["user_impersonation"])
        .store(Arc::new(tokens(settings)?))
        .build()?)
}

/// A service at Entra, which asks for `/.default`: all that an administrator consented to.
fn entra_service(url: &str, settings: &Settings) -> anyhow::Result<OAuthClient> {
    let shows = match settings.maybe("AZURE_CLIENT_CERTIFICATE_PATH") {
        Some(path) => {
            let pem = SecretText::new(std::fs::read_to_string(path).context(path.to_owned())?);
            ClientAuthentication::certificate_pem(pem.expose())?
        }
        None => {
            let secret = settings.get("AZURE_CLIENT_SECRET");
            let secret = secret.context("a service shows a secret or a certificate")?;
            ClientAuthentication::Secret(SecretText::new(secret))
        }
    };
    Ok(OAuthClient::service(url, entra(settings, shows)?).build()?)
}

/// The app registration, which stands for the API and for its clients; or one of the client's own.
fn entra(settings: &Settings, shows: ClientAuthentication) -> anyhow::Result<RegisteredClient> {
    let (tenant, id) = (settings.get("AZURE_TENANT_ID")?, settings.get("AZURE_CLIENT_ID")?);
    let api = settings.maybe("AZURE_API_CLIENT_ID").unwrap_or(id);
    Ok(RegisteredClient::entra_in(&cloud(settings), tenant, api, id, shows))
}

/// Tokens of a person, encrypted. Their key lies beside them, for a program that has no keyring: a copy
/// of the folder alone is of no use.
fn tokens(settings: &Settings) -> anyhow::Result<SealedTokens> {
    let folder = settings.maybe("TOKENS").unwrap_or(".secure_echo");
    let key = KeyFile::open(format!("{folder}.key"), "tokens")?.key_or_new()?;
    Ok(SealedTokens::new(SecretStore::open(folder, Protection::key(key))?))
}
