//! A balancer that hands each request to the next node, whatever connection it came by.
//!
//! Nothing is kept together: a session's messages reach all nodes in turn, which is the hardest that a
//! balancer can be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONNECTION, TRANSFER_ENCODING};
use axum::http::{StatusCode, Uri, Version};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;

use crate::nodes::Table;

/// More than a node takes.
const LONGEST: usize = 32 * 1024 * 1024;

type Connector = Client<HttpConnector, Full<Bytes>>;

pub(crate) async fn run(listener: TcpListener, nodes: Table) -> anyhow::Result<()> {
    // A connection for each request, so that none meets one that a dead node has left.
    let client: Connector =
        Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
    let turn = Arc::new(AtomicUsize::new(0));
    let router = Router::new().fallback(move |request: Request| {
        let (client, nodes) = (client.clone(), nodes.clone());
        let turn = turn.fetch_add(1, Ordering::Relaxed);
        async move { hand_on(&client, request, &nodes.from(turn)).await }
    });
    Ok(axum::serve(listener, router).await?)
}

/// Asks one node after the other, until one can be reached. What was said to a node is said to no other.
async fn hand_on(client: &Connector, request: Request, nodes: &[std::net::SocketAddr]) -> Response {
    let (mut head, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, LONGEST).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    head.version = Version::HTTP_11;
    head.headers.remove(CONNECTION);
    head.headers.remove(TRANSFER_ENCODING);
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    for node in nodes {
        let Ok(uri) = format!("http://{node}{path}").parse::<Uri>() else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        head.uri = uri;
        let request = Request::from_parts(head.clone(), Full::new(body.clone()));
        match client.request(request).await {
            Ok(mut response) => {
                response.headers_mut().remove(CONNECTION);
                return response.map(Body::new);
            }
            Err(error) if error.is_connect() => {}
            Err(_) => return StatusCode::BAD_GATEWAY.into_response(),
        }
    }
    StatusCode::SERVICE_UNAVAILABLE.into_response()
}
