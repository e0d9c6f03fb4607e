//! The server: who is let in, and what for.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::bail;
use etdi_core::time::UnixTime;
use etdi_oauth::provider::{auth0, entra};
use etdi_oauth::resource::Protected;
use etdi_oauth::{ApiKeys, GuardedFetch, Issuers, JwtVerifier, Rules, SecretText};
use examples::settings::Settings;
use mcp_server::types::{Principal, TokenClaims};
use mcp_server::{Context, ToolError, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use serde::Deserialize;
use tokio::net::TcpListener;
use tower_layer::Layer as _;

/// What a token may say of its user beside the subject.
#[derive(Default, Deserialize)]
struct User {
    preferred_username: Option<String>,
}

/// Repeats a message to whoever was let in.
#[tool]
async fn secure_echo(cx: Context, message: String) -> Result<String, ToolError> {
    let known = &cx.request().extensions;
    let caller = known.get::<Principal>().ok_or("nobody was let in")?;
    // For people to read; who it is says the subject, which nobody can change.
    let user: User = known.get::<TokenClaims>().and_then(|it| it.read().ok()).unwrap_or_default();
    let name = user.preferred_username.as_ref().unwrap_or(&caller.subject);
    Ok(format!("Echo: {message} (for {name})"))
}

/// Deletes what was echoed, which takes more than to be let in.
#[tool(scopes = ["echo:admin"])]
async fn forget_all() -> String {
    "forgotten".to_owned()
}

/// The server behind `url`; and the API key, if one had to be made.
pub(crate) fn make(
    by: &str,
    url: &str,
    settings: &Settings,
) -> anyhow::Result<(HttpServer, Option<SecretText>)> {
    let mut made = None;
    let protected = match by {
        "api-key" => {
            let keys = ApiKeys::new();
            let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
            match settings.maybe("API_KEY") {
                Some(key) => keys.add("environment", key, ["echo:use"], None, now)?,
                None => made = Some(keys.create("first", ["echo:use", "echo:admin"], None, now)?),
            }
            Protected::by_api_keys(url, keys)?
        }
        "auth0" => {
            let (domain, audience) = (settings.get("AUTH0_DOMAIN")?, settings.get("API_AUDIENCE")?);
            Protected::new(url, verifier(auth0::issuer(domain, audience))?)?
        }
        "entra" => {
            let (tenant, client) =
                (settings.get("AZURE_TENANT_ID")?, settings.get("AZURE_CLIENT_ID")?);
            let issuers = entra::tenants([tenant], client, &cloud(settings))?;
            // A service has roles where a person has scopes, and the two cannot have one name.
            Protected::new(url, verifier(issuers)?)?
                .require(["user_impersonation"])?
                .implies("Echo.Call", ["user_impersonation"])
        }
        other => bail!("`{other}` is none of api-key, auth0 and entra; {}", super::USAGE),
    };
    let server = server!().tool::<secure_echo>().tool::<forget_all>().build()?;
    Ok((protected.http(LimitsLayer::new().layer(server), HttpOptions::default()), made))
}

pub(crate) async fn serve(http: HttpServer, listener: TcpListener) -> anyhow::Result<()> {
    Ok(serve_http(http, listener, std::future::pending()).await?)
}

/// The cloud of the settings, else the public one.
pub(crate) fn cloud(settings: &Settings) -> entra::Cloud {
    match settings.maybe("AZURE_AUTHORITY") {
        Some(authority) => entra::Cloud::new(authority, authority),
        None => entra::Cloud::default(),
    }
}

/// Keys of issuers come through a guard; this one lets issuers be on this machine, for trying out.
fn verifier(issuers: Issuers) -> anyhow::Result<JwtVerifier> {
    let mut rules = Rules::default();
    rules.loopback = true;
    Ok(JwtVerifier::new(issuers, Arc::new(GuardedFetch::new(rules)))?)
}
