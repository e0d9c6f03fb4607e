//! Every verb of the client, over a server in this process, HTTP, a WebSocket and a Unix socket;
//! `verbs_stdio.rs` does the same over standard streams.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod common;

#[cfg(any(feature = "http", feature = "websocket", feature = "unix"))]
use std::sync::{Arc, Mutex};

use common::{all_verbs, signed};
use etdi::Target;
use etdi::core::identity::ServerIdentity;
use etdi::core::verify::Peer;
#[cfg(feature = "http")]
use mcp_transport::http::server::{HttpServer, serve_http};

#[tokio::test]
async fn over_a_server_in_this_process() {
    let identity = ServerIdentity::package("pkg:cargo/hello").unwrap();
    all_verbs(identity, async |version, identity, key| {
        Target::service(signed(version, identity, key).await, Peer::new(identity.clone()))
    })
    .await;
}

#[cfg(feature = "http")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_http() {
    // One address for both servers: what is behind it changes, as it does when a server is updated.
    let behind: Arc<Mutex<Option<mcp_types::Caller>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let service = Behind(behind.clone());
    tokio::spawn(async move {
        let _ = serve_http(HttpServer::new(service), listener, std::future::pending()).await;
    });
    let identity = ServerIdentity::url(&url).unwrap();
    all_verbs(identity, async |version, identity, key| {
        let server = signed(version, identity, key).await;
        *behind.lock().unwrap() = Some(mcp_types::Caller::new(server));
        Target::url(identity.to_string())
    })
    .await;
}

#[cfg(feature = "websocket")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_websocket() {
    use mcp_transport::websocket::WebSocketServer;

    let behind: Arc<Mutex<Option<mcp_types::Caller>>> = Arc::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = WebSocketServer::new(Behind(behind.clone()));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(door.clone());
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(hyper_util::rt::TokioIo::new(stream), service)
                .with_upgrades();
            tokio::spawn(connection);
        }
    });
    let identity = ServerIdentity::url(&format!("http://{address}/mcp")).unwrap();
    all_verbs(identity, async |version, identity, key| {
        let server = signed(version, identity, key).await;
        *behind.lock().unwrap() = Some(mcp_types::Caller::new(server));
        Target::web_socket(format!("ws://{address}/mcp"))
    })
    .await;
    let secret = Target::web_socket(format!("wss://{address}/mcp"));
    let refused = etdi::EtdiClient::builder().build().connect_to_server(secret, "secret").await;
    assert_eq!(refused.unwrap_err().code(), "NOT_A_SERVER");
}

#[cfg(feature = "unix")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_unix_socket() {
    let behind: Arc<Mutex<Option<mcp_types::Caller>>> = Arc::default();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hello.sock");
    let door = mcp_transport::unix::listen(&path).unwrap();
    tokio::spawn(door.serve(Behind(behind.clone()), std::future::pending()));
    let identity = ServerIdentity::package("pkg:cargo/hello").unwrap();
    all_verbs(identity, async |version, identity, key| {
        let server = signed(version, identity, key).await;
        *behind.lock().unwrap() = Some(mcp_types::Caller::new(server));
        Target::unix_socket(&path, identity.clone())
    })
    .await;
    // Nobody has dialled this URL, and no certificate stands for it.
    let url = ServerIdentity::url("https://acme.example/mcp").unwrap();
    let client = etdi::EtdiClient::builder().build();
    let refused = client.connect_to_server(Target::unix_socket(&path, url), "url").await;
    assert_eq!(refused.unwrap_err().code(), "NOT_A_SERVER");
}

/// Whatever server is there now.
#[cfg(any(feature = "http", feature = "websocket", feature = "unix"))]
#[derive(Clone)]
struct Behind(Arc<Mutex<Option<mcp_types::Caller>>>);

#[cfg(any(feature = "http", feature = "websocket", feature = "unix"))]
impl tower_service::Service<mcp_types::Exchange> for Behind {
    type Response = mcp_types::Outcome;
    type Error = mcp_types::ErrorObject;
    type Future = mcp_types::ExchangeFuture;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), mcp_types::ErrorObject>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: mcp_types::Exchange) -> mcp_types::ExchangeFuture {
        let now = self.0.lock().unwrap().clone().unwrap();
        now.send(exchange)
    }
}
