//! The way in: TLS, who is let in, how much of it, for how long.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use etdi_oauth::provider::auth0;
use etdi_oauth::resource::Protected;
use etdi_oauth::{GuardedFetch, JwtVerifier, Rules};
use examples::settings::Settings;
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http, serve_https};
use mcp_transport::{LimitsLayer, RateLayer};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower_layer::Layer as _;

use crate::noted::{Noted, Trail};
use crate::{Place, tools};

pub(crate) async fn open(address: &str, place: &Place, settings: &Settings) -> anyhow::Result<()> {
    let listener = examples::listen_at(address).await?;
    let bound = listener.local_addr()?;
    let tls = tls(settings)?;
    ensure!(
        tls.is_some() || bound.ip().is_loopback(),
        "without TLS only this machine is served: set `TLS_CERTIFICATE` and `TLS_KEY`, or put a \
         proxy with TLS in front of 127.0.0.1"
    );
    let scheme = if tls.is_some() { "https" } else { "http" };
    let url = match settings.maybe("PUBLIC_URL") {
        Some(url) => url.to_owned(),
        None => format!("{scheme}://{bound}/mcp"),
    };
    let http = server(&url, place, settings)?;
    eprintln!("{url}");
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    match tls {
        Some(tls) => serve_https(http, listener, tls, stop).await?,
        None => serve_http(http, listener, stop).await?,
    }
    Ok(())
}

fn server(url: &str, place: &Place, settings: &Settings) -> anyhow::Result<HttpServer> {
    let number = |name: &str, usual: u32| -> anyhow::Result<u32> {
        let said = settings.maybe(name).map(str::parse).transpose();
        Ok(said.with_context(|| format!("`{name}` is no number"))?.unwrap_or(usual))
    };
    let trail = Trail(place.audit()?);
    // From within: what is asked, how long it may take, how often, by whom it was.
    let time = Duration::from_secs(number("SECONDS_PER_CALL", 10)?.into());
    let service =
        LimitsLayer::new().time_per_call(time).calls_at_once(64).layer(tools::server(place)?);
    let rate = number("REQUESTS_PER_SECOND", 5)?;
    let service = RateLayer::new(rate.into(), number("REQUESTS_AT_ONCE", 20)?).layer(service);

    let scopes = ["notes:read", "notes:write", "notes:admin"];
    let protected = match (settings.maybe("AUTH0_DOMAIN"), settings.maybe("API_AUDIENCE")) {
        (Some(domain), Some(audience)) => {
            let mut rules = Rules::default();
            // An issuer on this machine counts only for a server that is itself on it alone.
            rules.loopback = url.starts_with("http://");
            let issuer = auth0::issuer(domain, audience);
            let verifier = JwtVerifier::new(issuer, Arc::new(GuardedFetch::new(rules)))?;
            Protected::new(url, verifier)?.api_keys("X-API-Key", place.keys()?)?
        }
        _ => Protected::by_api_keys(url, place.keys()?)?,
    };
    let protected = protected.supports(scopes)?.auditor(trail.0.clone());
    // Outside of the scopes, so that it hears what they refuse.
    let service = Noted { service: protected.scope_layer().layer(service), trail };

    let mut options = HttpOptions::default();
    if let Some(host) = url::Url::parse(url)?.host_str() {
        options = options.allow_host(host);
    }
    options.head_time = Duration::from_secs(10);
    options.body_time = Duration::from_secs(10);
    options.gate = Some(Arc::new(protected));
    Ok(HttpServer::with(service, options))
}

/// The certificate of the settings, for TLS 1.2 and 1.3.
fn tls(settings: &Settings) -> anyhow::Result<Option<ServerConfig>> {
    let (certificate, key) = match (settings.maybe("TLS_CERTIFICATE"), settings.maybe("TLS_KEY")) {
        (None, None) => return Ok(None),
        _ => (settings.get("TLS_CERTIFICATE")?, settings.get("TLS_KEY")?),
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("the certificate in `{certificate}`"))?;
    let key = PrivateKeyDer::from_pem_file(key).with_context(|| format!("the key in `{key}`"))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(Some(config.with_no_client_auth().with_single_cert(chain, key)?))
}
