//! What makes a server one node of several: stores on Redis, what a balancer asks, and an end in good order.
//!
//! `examples/cluster` starts nodes with what they share in the environment, reads their addresses from
//! their output, and keeps their input open for as long as they are to serve.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use mcp_redis::{Address, ClusterSecret, Health, RedisStores, RedisStoresBuilder};
use mcp_server::Server;
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

/// Serves on a free port of this computer, which it prints, until the input is closed or the process is told to
/// end (SIGTERM). Sessions are those of all nodes; `/live` says that the process answers, `/ready` whether the
/// stores do and it is not about to end.
///
/// # Errors
///
/// When nothing can listen.
pub async fn serve(
    server: Server,
    service: impl ExchangeService,
    stores: &RedisStores,
) -> anyhow::Result<()> {
    let (asked, ending) = (stores.clone(), Arc::new(AtomicBool::new(false)));
    let ends = ending.clone();
    let options = stores.share_http(HttpOptions::default())?;
    let options = options.probe("/live", || async { true }).probe("/ready", move || {
        let (stores, ends) = (asked.clone(), ends.clone());
        async move { !ends.load(Ordering::SeqCst) && stores.health().await == Health::Ready }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let end = async move {
        tokio::select! {
            () = orphaned() => {}
            () = terminated() => {
                // Until the balancer has seen it, this node is still sent requests, and answers them.
                ending.store(true, Ordering::SeqCst);
                tokio::time::sleep(UNTIL_SEEN).await;
            }
        }
        // Tasks that may run twice are put down for the other nodes, and subscriptions end.
        server.shutdown().await;
    };
    // Takes no more requests from then on, and ends those under way.
    Ok(serve_http(HttpServer::with(service, options), listener, end).await?)
}

/// How often a balancer asks `/ready`, and a little more.
const UNTIL_SEEN: Duration = Duration::from_millis(1500);

/// Ends when the process that started this one does.
async fn orphaned() {
    let closed =
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    drop(closed.await);
}

/// Ends when the process is told to end.
#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut told) => _ = told.recv().await,
        Err(_) => std::future::pending().await,
    }
}

/// Elsewhere only the input ends a node.
#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
