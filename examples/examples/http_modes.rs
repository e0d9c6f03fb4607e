//! The same server behind HTTP in all its ways, and a client of it.
//!
//! | command | what |
//! |---|---|
//! | `http_modes stateful ADDRESS` | sessions for clients of the older revisions, as servers have them by default |
//! | `http_modes stateless ADDRESS` | each message stands for itself, any node can serve it |
//! | `http_modes json ADDRESS` | stateless, and each call is answered by one JSON text |
//! | `http_modes keyed ADDRESS` | behind a key in `x-api-key`, which it prints; tools as plain HTTP beside MCP: `POST /tools/echo` |
//! | `http_modes call URL [KEY]` | a client: calls `echo` on any of these |
//!
//! Clients of the newest revision have no sessions in any of these ways.

use std::sync::Arc;

use anyhow::bail;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_client::types::Implementation;
use mcp_client::{Client, text_of};
use mcp_server::types::{ExchangeService, Principal};
use mcp_server::{Extension, server, tool};
use mcp_transport::LimitsLayer;
use mcp_transport::http::server::{HttpOptions, HttpServer, RestServer, serve_http};
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::json;
use tokio::net::TcpListener;
use tower_layer::Layer as _;

/// Gives its message back.
#[tool]
async fn echo(message: String) -> String {
    format!("Echo: {message}")
}

/// Gives its message back to whoever has a key.
#[tool]
async fn secure_echo(caller: Extension<Principal>, message: String) -> String {
    format!("Echo for {}: {message}", caller.subject)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (mode, address) = match words.as_slice() {
        ["call", url] => return call(url, None).await,
        ["call", url, key] => return call(url, Some(key)).await,
        [mode, address] => (*mode, *address),
        _ => bail!("usage: http_modes stateful|stateless|json|keyed ADDRESS, or call URL [KEY]"),
    };
    let server = server!().tool::<echo>().tool::<secure_echo>().build()?;
    let service = LimitsLayer::new().layer(server);
    let mut options = HttpOptions::default();
    match mode {
        "stateful" => {}
        "stateless" => options.stateless = true,
        "json" => (options.stateless, options.json_only) = (true, true),
        "keyed" => return keyed(service, address).await,
        _ => bail!("there is no mode `{mode}`, see `http_modes`"),
    }
    let listener = TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp", listener.local_addr()?);
    let stop = async { drop(tokio::signal::ctrl_c().await) };
    Ok(serve_http(HttpServer::with(service, options), listener, stop).await?)
}

/// A key that nobody can guess, and what is kept of it.
fn new_key() -> anyhow::Result<(String, Vec<u8>)> {
    let mut bytes = [0; 32];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    let key = URL_SAFE_NO_PAD.encode(bytes);
    let kept = digest(&SHA256, key.as_bytes()).as_ref().to_vec();
    Ok((key, kept))
}

/// The server behind a layer that lets nobody in without the key, by both doors.
async fn keyed(service: impl ExchangeService, address: &str) -> anyhow::Result<()> {
    let (key, kept) = new_key()?;
    let router = Router::new()
        .route_service("/mcp", HttpServer::new(service.clone()))
        .fallback_service(RestServer::new(service))
        .layer(from_fn_with_state(Arc::new(kept), check_key));
    let listener = TcpListener::bind(address).await?;
    eprintln!("http://{}/mcp\n{key}", listener.local_addr()?);
    Ok(axum::serve(listener, router).await?)
}

async fn check_key(State(kept): State<Arc<Vec<u8>>>, mut request: Request, next: Next) -> Response {
    // Digests are compared, because how long that takes says nothing about the key.
    let given = request.headers().get("x-api-key").map(|key| digest(&SHA256, key.as_bytes()));
    if given.is_none_or(|given| given.as_ref() != kept.as_slice()) {
        return (StatusCode::UNAUTHORIZED, "give your key in `x-api-key`").into_response();
    }
    request.extensions_mut().insert(Principal::new("http_modes", "the holder of the key"));
    next.run(request).await
}

async fn call(url: &str, key: Option<&str>) -> anyhow::Result<()> {
    let mut options = HttpConnectOptions::new(Implementation::new("http_modes", "1.0.0"));
    let tool = match key {
        Some(key) => {
            let mut key = HeaderValue::from_str(key)?;
            key.set_sensitive(true);
            options.headers.insert("x-api-key", key);
            "secure_echo"
        }
        None => "echo",
    };
    let client = Client::new(connect_http_with(url, options)?);
    let said = client.call_tool(tool, &json!({ "message": "Hello from the client!" })).await?;
    println!("{}", text_of(&said));
    client.service().close().await;
    Ok(())
}
