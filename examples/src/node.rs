//! What makes a server one node of several: stores on Redis, and an end with the program that started it.
//!
//! `examples/cluster` starts nodes with what they share in the environment, reads their addresses from
//! their output, and keeps their input open for as long as they are to serve.

use anyhow::Context as _;
use mcp_redis::{Address, ClusterSecret, Health, RedisStores, RedisStoresBuilder};
use mcp_server::types::ExchangeService;
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use tokio::net::TcpListener;

/// The stores that `REDIS_URL` and `CLUSTER_SECRET` name, under `CLUSTER_PREFIX` or `cluster`, still to be connected. Where `CLUSTER_YOUNG` is set,
/// an empty Redis is believed when the node looks first: `examples/cluster` sets it for the nodes that begin
/// with a Redis of its own, before which nothing was signed, and not for one that takes the place of another.
///
/// # Errors
///
/// When one of the variables is missing, or is no secret.
pub fn stores() -> anyhow::Result<RedisStoresBuilder> {
    let secret = std::env::var("CLUSTER_SECRET").context("`CLUSTER_SECRET` is not set")?;
    let url = std::env::var("REDIS_URL").context("`REDIS_URL` is not set")?;
    let secret = ClusterSecret::from_base64(&secret)?;
    let prefix = std::env::var("CLUSTER_PREFIX").unwrap_or_else(|_| "cluster".to_owned());
    let stores = RedisStores::builder(Address::one(url), secret).prefix(prefix);
    Ok(match std::env::var_os("CLUSTER_YOUNG") {
        Some(_) => stores.dangerously_believe_empty(),
        None => stores,
    })
}

/// Serves on a free port of this computer, which it prints, until the input is closed. Sessions are those of
/// all nodes; `/live` says that the process answers, `/ready` whether the stores do.
///
/// # Errors
///
/// When nothing can listen.
pub async fn serve(service: impl ExchangeService, stores: &RedisStores) -> anyhow::Result<()> {
    let asked = stores.clone();
    let options = stores.share_http(HttpOptions::default())?;
    let options = options.probe("/live", || async { true }).probe("/ready", move || {
        let stores = asked.clone();
        async move { stores.health().await == Health::Ready }
    });
    let server = HttpServer::with(service, options);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    Ok(serve_http(server, listener, orphaned()).await?)
}

/// Ends when the process that started this one does.
async fn orphaned() {
    let closed =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    drop(closed.await);
}
