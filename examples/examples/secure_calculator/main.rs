//! A calculator whose tools are signed, and called by those who have a token for them.
//!
//! `secure_calculator [ADDRESS]` serves `http://127.0.0.1:8000/mcp`. `AUTH0_DOMAIN` and `API_AUDIENCE`
//! say whose tokens count; `SIGNING_KEY` names the file of the key (PEM) that signs the tools, without
//! it they are signed by one that is made for this run. Settings come from the environment, or from a file
//! `.env` here; `secure_echo stand-in auth0 | tee .env` plays the issuer.
//!
//! Everybody with a token adds; whoever wants to multiply needs the scope `tools:execute`, does not see
//! the tool without it, and is told so when it calls all the same.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::{EtdiServerConfig, secure};
use etdi_oauth::provider::auth0;
use etdi_oauth::resource::Protected;
use etdi_oauth::{GuardedFetch, JwtVerifier, Rules};
use examples::settings::Settings;
use mcp_server::{server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, serve_http};
use tower_layer::Layer as _;

/// Adds two numbers.
#[tool(etdi, version = "1.0.0", permissions = ["math:add"], annotations(read_only))]
async fn add(a: f64, b: f64) -> f64 {
    a + b
}

/// Multiplies two numbers.
#[tool(
    etdi,
    version = "1.0.0",
    permissions = ["math:multiply"],
    scopes = ["tools:execute"],
    annotations(read_only)
)]
async fn multiply(a: f64, b: f64) -> f64 {
    a * b
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    if !address.contains(':') {
        bail!("usage: secure_calculator [ADDRESS], with `AUTH0_DOMAIN` and `API_AUDIENCE`");
    }
    let settings = Settings::read()?;
    let issuer = auth0::issuer(settings.get("AUTH0_DOMAIN")?, settings.get("API_AUDIENCE")?);
    let key = match settings.maybe("SIGNING_KEY") {
        Some(path) => {
            let pem = std::fs::read_to_string(path).with_context(|| path.to_owned())?;
            SigningKey::from_pkcs8_pem(&pem)?
        }
        None => SigningKey::generate(Algorithm::EdDsa)?,
    };
    let listener = examples::listen_at(&address).await?;
    let url = format!("http://{}/mcp", listener.local_addr()?);
    eprintln!("{url}");

    let mut rules = Rules::default();
    rules.loopback = true;
    let fetch = Arc::new(GuardedFetch::new(rules));
    let protected = Protected::new(&url, JwtVerifier::new(issuer, fetch)?)?
        .supports(["tools:execute"])?
        .describe("Secure calculator", None);

    let server = server!().tool::<add>().tool::<multiply>().build()?;
    let config = EtdiServerConfig::new(ServerIdentity::url(&url)?).operator(Arc::new(key));
    let server = LimitsLayer::new().layer(secure(server, config).await?);
    let http = protected.http(server, HttpOptions::default());
    Ok(serve_http(http, listener, std::future::pending()).await?)
}
