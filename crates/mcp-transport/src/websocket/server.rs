//! The server's end: a service that answers upgrade requests.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use mcp_types::{BoxFuture, ExchangeService, Extensions, Principal};
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower_service::Service;

use super::{SUBPROTOCOL, stream};
use crate::http::server::guard::Guard;
use crate::http::{Gate, Refused};
use crate::known::Known;
use crate::{ServeOptions, serve_with};

/// A tower service that turns upgrade requests into connections to `S`.
///
/// Mount it with axum's `Router::route_service("/ws", …)`, or hand it to hyper with upgrades enabled.
/// Only pages of the same origin, and hosts of the loopback interface, are served unless more is
/// allowed: a browser asks no permission before it opens a WebSocket.
///
/// A [`Principal`] that a layer in front put into the request's extensions is on every exchange, and so
/// are the parts of the request. Whom a [`Gate`] lets in stays in for as long as the connection.
#[derive(Clone)]
pub struct WebSocketServer<S> {
    service: S,
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    guard: Guard,
    options: ServeOptions,
    room: Arc<Semaphore>,
    gate: Option<Arc<dyn Gate>>,
}

impl<S: ExchangeService> WebSocketServer<S> {
    /// A door in front of `service`, for at most 256 connections at once.
    pub fn new(service: S) -> Self {
        let room = Arc::new(Semaphore::new(256));
        let (guard, options) = (Guard::default(), ServeOptions::default());
        Self { service, shared: Arc::new(Shared { guard, options, room, gate: None }) }
    }

    /// Serves requests for this host too, with a port or for every port.
    #[must_use]
    pub fn allow_host(self, host: impl Into<String>) -> Self {
        self.change(|shared| shared.guard.hosts.push(host.into()))
    }

    /// Serves pages of this origin too, such as `https://app.example.com`.
    #[must_use]
    pub fn allow_origin(self, origin: impl Into<String>) -> Self {
        self.change(|shared| shared.guard.origins.push(origin.into()))
    }

    /// Serves at most `most` connections at once; the next one is told 503.
    #[must_use]
    pub fn most_connections(self, most: usize) -> Self {
        let most = most.clamp(1, Semaphore::MAX_PERMITS);
        self.change(|shared| shared.room = Arc::new(Semaphore::new(most)))
    }

    /// Serves each connection as `options` say.
    #[must_use]
    pub fn options(self, options: ServeOptions) -> Self {
        self.change(|shared| shared.options = options)
    }

    /// Opens for whom `gate` lets in, by the head of the request that opens. What it finds is on every
    /// exchange, in place of what a layer in front said. What the gate publishes is served by an HTTP
    /// server beside this door.
    #[must_use]
    pub fn gate(self, gate: Arc<dyn Gate>) -> Self {
        self.change(|shared| shared.gate = Some(gate))
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.shared));
        self
    }

    async fn answer(&self, parts: Parts) -> Response<Full<Bytes>> {
        if let Err(refusal) = self.shared.guard.check(&parts.uri, &parts.headers) {
            return refused((refusal.status(), refusal.text()));
        }
        let (accept, speaks) = match handshake(&parts) {
            Ok(answer) => answer,
            Err(refusal) => return refused(refusal),
        };
        let found = match self.admit(&parts).await {
            Ok(found) => found,
            Err(refusal) => return told(&refusal),
        };
        let Ok(place) = self.shared.room.clone().try_acquire_owned() else {
            let many = "too many connections, try again later";
            return refused((StatusCode::SERVICE_UNAVAILABLE, many));
        };
        let mut known = Extensions::new();
        if let Some(principal) = parts.extensions.get::<Principal>() {
            known.insert(principal.clone());
        }
        known.merge(&found);
        let mut request = Request::from_parts(parts, ());
        let upgrade = hyper::upgrade::on(&mut request);
        known.insert(request.into_parts().0);
        let service = Known { service: self.service.clone(), known };
        let options = self.shared.options.clone();
        tokio::spawn(async move {
            let _place = place;
            let Ok(upgraded) = upgrade.await else { return };
            let (upgraded, config) = (TokioIo::new(upgraded), stream::config(options.frame));
            let socket =
                WebSocketStream::from_raw_socket(upgraded, Role::Server, Some(config)).await;
            // How one connection ended concerns nobody else.
            let _ = serve_with(service, stream::io(socket), options).await;
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if speaks {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        }
        response
    }

    async fn admit(&self, parts: &Parts) -> Result<Extensions, Refused> {
        let Some(gate) = &self.shared.gate else { return Ok(Extensions::new()) };
        gate.admit(parts).settled().await
    }
}

type Refusal = (StatusCode, &'static str);

/// Checks an upgrade request (RFC 6455, section 4.2.1); gives the answer to its key, and whether the
/// client offers our subprotocol.
fn handshake(parts: &Parts) -> Result<(HeaderValue, bool), Refusal> {
    let headers = &parts.headers;
    if parts.method != Method::GET {
        return Err((StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened by GET"));
    }
    if !has(headers, &CONNECTION, "upgrade") || !has(headers, &UPGRADE, "websocket") {
        return Err((StatusCode::UPGRADE_REQUIRED, "this is the address of a WebSocket"));
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err((StatusCode::UPGRADE_REQUIRED, "only version 13 of WebSocket is spoken"));
    }
    // 16 bytes in Base64.
    let key = headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let key = key.ok_or((StatusCode::BAD_REQUEST, "`Sec-WebSocket-Key` is missing or no key"))?;
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| (StatusCode::BAD_REQUEST, "`Sec-WebSocket-Key` is no key"))?;
    let offers = headers.contains_key(SEC_WEBSOCKET_PROTOCOL);
    let speaks = has(headers, &SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL);
    if offers && !speaks {
        return Err((StatusCode::BAD_REQUEST, "the subprotocol that is spoken here is `mcp`"));
    }
    Ok((accept, speaks))
}

/// Whether a list of tokens has this one.
fn has(headers: &HeaderMap, name: &http::HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| {
        let mut tokens = value.as_bytes().split(|&byte| byte == b',');
        tokens.any(|found| found.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    })
}

impl<S: ExchangeService, B: Send + 'static> Service<Request<B>> for WebSocketServer<S> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A request that opens a WebSocket has no body.
        let (parts, _) = request.into_parts();
        let door = self.clone();
        Box::pin(async move { Ok(door.answer(parts).await) })
    }
}

fn refused((status, text): Refusal) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(http::header::CONTENT_TYPE, plain);
    if status == StatusCode::UPGRADE_REQUIRED {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    }
    response
}

/// The answer to whom a gate does not let in.
fn told(refused: &Refused) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(refused.body().into()));
    *response.status_mut() = refused.status();
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.extend(refused.headers().clone());
    response
}

impl<S> std::fmt::Debug for WebSocketServer<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebSocketServer").field("guard", &self.shared.guard).finish_non_exhaustive()
    }
}
