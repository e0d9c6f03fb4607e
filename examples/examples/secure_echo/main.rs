//! A tool for those who are let in: by an API key, or by a token of Auth0 or of Entra.
//!
//! `secure_echo api-key|auth0|entra [ADDRESS]` serves `http://127.0.0.1:8000/mcp`. What it has to know
//! comes from the environment, or from a file `.env` here:
//!
//! - `api-key`: `API_KEY`, the key that counts, in the header `X-API-Key`; where there is none, one
//!   is made and shown once.
//! - `auth0`: `AUTH0_DOMAIN` and `API_AUDIENCE`, the identifier of the API.
//! - `entra`: `AZURE_TENANT_ID` and `AZURE_CLIENT_ID` of the app registration; `AZURE_AUTHORITY`, where
//!   it is not that of the public cloud.

mod settings;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use etdi_core::time::UnixTime;
use etdi_oauth::provider::{auth0, entra};
use etdi_oauth::resource::Protected;
use etdi_oauth::{ApiKeys, GuardedFetch, Issuers, JwtVerifier, Rules};
use mcp_server::types::Principal;
use mcp_server::{Extension, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, serve_http};
use tokio::net::TcpListener;
use tower_layer::Layer as _;

use settings::Settings;

/// Repeats a message to whoever was let in.
#[tool]
async fn secure_echo(caller: Extension<Principal>, message: String) -> String {
    format!("Echo: {message} (for {})", caller.subject)
}

/// Deletes what was echoed, which takes more than to be let in.
#[tool(scopes = ["echo:admin"])]
async fn forget_all() -> String {
    "forgotten".to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    let by = words.next().context("usage: secure_echo api-key|auth0|entra [ADDRESS]")?;
    let address = words.next().unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let settings = Settings::read()?;
    let listener = TcpListener::bind(address).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    eprintln!("{url}");

    let protected = match by.as_str() {
        "api-key" => Protected::by_api_keys(&url, api_keys(&settings)?)?,
        "auth0" => {
            let (domain, audience) = (settings.get("AUTH0_DOMAIN")?, settings.get("API_AUDIENCE")?);
            Protected::new(&url, verifier(auth0::issuer(domain, audience))?)?
        }
        "entra" => {
            let (tenant, client) =
                (settings.get("AZURE_TENANT_ID")?, settings.get("AZURE_CLIENT_ID")?);
            let cloud = match settings.get("AZURE_AUTHORITY") {
                Ok(authority) => entra::Cloud::new(authority, authority),
                Err(_) => entra::Cloud::default(),
            };
            Protected::new(&url, verifier(entra::tenants([tenant], client, &cloud)?)?)?
                .require(["user_impersonation"])?
        }
        other => bail!("`{other}` is none of api-key, auth0 and entra"),
    };
    let server = server!().tool::<secure_echo>().tool::<forget_all>().build()?;
    let http = protected.http(LimitsLayer::new().layer(server), HttpOptions::default());
    Ok(serve_http(http, listener, std::future::pending()).await?)
}

/// Keys of issuers come through a guard; this one lets issuers be on this machine, for trying out.
fn verifier(issuers: Issuers) -> anyhow::Result<JwtVerifier> {
    let mut rules = Rules::default();
    rules.loopback = true;
    Ok(JwtVerifier::new(issuers, Arc::new(GuardedFetch::new(rules)))?)
}

fn api_keys(settings: &Settings) -> anyhow::Result<ApiKeys> {
    let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    let keys = ApiKeys::new();
    match settings.get("API_KEY") {
        Ok(key) => keys.add("environment", key, ["echo:use"], None, now)?,
        Err(_) => {
            let key = keys.create("first", ["echo:use", "echo:admin"], None, now)?;
            eprintln!("X-API-Key: {}", key.expose());
        }
    }
    Ok(keys)
}
