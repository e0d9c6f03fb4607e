//! A server behind HTTP: a tower service of `http` requests, for any stack that has such.
//!
//! [`HttpServer`] turns a service of exchanges into a service of HTTP requests. It has one endpoint
//! for all revisions and finds out for each request which one it is. [`serve_http`] puts it on a
//! listener; a stack of your own (axum, a gateway, TLS in front) mounts it as the service that it is.
//!
//! ```no_run
//! # async fn example(server: impl mcp_types::ExchangeService) -> Result<(), mcp_transport::Error> {
//! use mcp_transport::http::server::HttpServer;
//!
//! HttpServer::new(server).listen("127.0.0.1:8000").await
//! # }
//! ```
//!
//! # What a client gets
//!
//! Without a handshake, one POST is one exchange. Its answer is one JSON text, or a stream if the call
//! says something before it ends or takes longer than [`HttpOptions::keep_alive`]; a client that goes
//! away has cancelled it. With a handshake there are sessions, streams that a client comes back to
//! ([`EventStore`]), and what the server tells of its own accord on a stream of GET; a client that
//! goes away has cancelled nothing. [`HttpOptions::stateless`] serves such clients without sessions;
//! with [`HttpOptions::share_sessions`] several servers serve the same ones.
//!
//! In axum it stands beside routes of your own, whatever their state is:
//! `Router::new().route(..).nest_service("/mcp", HttpServer::new(server)).with_state(app)`.
//!
//! # What it holds off
//!
//! Only requests to `localhost`, `127.0.0.1` and `[::1]` are served, and of web pages only those of
//! the same host: see [`HttpOptions::allow_host`] and [`HttpOptions::allow_origin`]. Headers that
//! repeat the message have to say what it says. Heads, bodies, sessions, streams and connections have
//! bounds of size, time and number; a slow reader holds up nothing but its own call, and a handler that
//! panics answers an error. How long a call may take, and how many run at once, is bounded by
//! [`LimitsLayer`](crate::LimitsLayer): a call of a session may go on after its client has gone.
//!
//! # Who asks
//!
//! That is a [`Gate`](super::Gate)'s business, or a layer's in front. A gate stands inside, behind the
//! checks of host and origin. What a layer puts into the extensions of the HTTP request travels with
//! the exchange, as the request's parts do, and a [`Principal`](mcp_types::Principal) there owns the
//! session that it begins:
//!
//! ```
//! use http::Request;
//! use mcp_transport::http::server::{HttpServer, ResponseFuture};
//! use mcp_types::Principal;
//!
//! /// Behind a proxy that has checked who asks, and tells.
//! fn serve<B: http_body::Body>(server: &HttpServer, mut request: Request<B>) -> ResponseFuture<B> {
//!     let user = request.headers().get("x-user").and_then(|user| user.to_str().ok());
//!     if let Some(who) = user.map(|user| Principal::new("https://proxy.example", user)) {
//!         request.extensions_mut().insert(who);
//!     }
//!     server.serve(request)
//! }
//! ```
//!
//! # What it leaves out
//!
//! HTTP/2 and compression, which a proxy or a stack of your own has.

#![allow(clippy::result_large_err, reason = "a refusal is an answer, which is moved once")]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use mcp_types::jsonrpc::{BadMessage, Message};
use mcp_types::{BoxFuture, ByteString, ErrorObject, ExchangeService, keys};
use memchr::memmem::Finder;
use pin_project_lite::pin_project;
use tower_service::Service;

pub use self::body::ResponseBody;
pub use self::event_contract::{EventStoreContractFailure, event_store_contract};
pub use self::event_store::{EventPlace, EventStore, EventStoreError, MemoryEventStore, following};
pub use self::listen::serve_http;
#[cfg(feature = "tls-server")]
pub use self::listen::serve_https;
#[cfg(feature = "sse")]
pub use self::listen::serve_sse;
pub use self::options::HttpOptions;
pub use self::post::AnswerStream;
#[cfg(feature = "rest")]
pub use self::rest::RestServer;
pub use self::session_contract::{SessionStoreContractFailure, session_store_contract};
pub use self::session_memory::MemorySessionStore;
pub use self::session_store::{
    Heard, Insertion, KeptSession, SessionNews, SessionStore, SessionStoreError, Updated,
};
#[cfg(feature = "sse")]
pub use self::sse_2024::SseServer;

use self::body::{Answer, Asked};
use self::call::Call;
use self::classify::{Door, Named, Said, classify};
use self::legacy::Opening;
use self::post::Held;
use self::read::{Gathered, Unread};
use self::repeated::Repeated;
use self::seek::{Saving, Seeking};
use self::shared::Shared;
use super::headers;
use crate::proto::server::has_envelope;

mod body;
mod call;
mod classify;
mod entry;
mod event_contract;
mod event_store;
mod follow;
mod get;
pub(crate) mod guard;
mod hearing;
#[cfg(feature = "sse")]
mod inbox;
mod legacy;
mod listen;
mod modern;
mod nodes;
mod options;
mod outlet;
mod page;
mod post;
mod probe;
mod read;
mod repeated;
#[cfg(feature = "rest")]
mod rest;
mod seek;
mod session;
mod session_contract;
mod session_memory;
mod session_store;
mod shared;
mod sink;
mod socket;
#[cfg(feature = "sse")]
mod sse_2024;
mod standalone;

/// A service of exchanges behind HTTP. Cheap to clone; all clones are one server.
///
/// It answers whatever path it is asked on: where it stands is decided by whoever mounts it.
#[derive(Clone)]
pub struct HttpServer(Arc<Shared>);

impl HttpServer {
    /// Puts `service` behind HTTP, with the default [`HttpOptions`].
    pub fn new(service: impl ExchangeService) -> Self {
        Self::with(service, HttpOptions::default())
    }

    /// Puts `service` behind HTTP.
    pub fn with(service: impl ExchangeService, options: HttpOptions) -> Self {
        Self(Arc::new(Shared::new(service, options)))
    }

    /// A router with the server under the path of [`HttpOptions::path`], to be merged into another.
    ///
    /// Merge it after `with_state`, or else mount the server itself by `nest_service`.
    #[cfg(feature = "axum")]
    pub fn into_router(self) -> axum::Router {
        let path = self.0.options.path.clone();
        self.documents_router().route_service(&path, self)
    }

    /// A router with what everybody may read, for a server that is mounted by `nest_service`: its
    /// paths are at the root of the host ([`Gate::documents`](super::Gate), [`HttpOptions::probe`]).
    #[cfg(feature = "axum")]
    pub fn documents_router(&self) -> axum::Router {
        let documents = self.0.documents.iter().map(|document| &*document.path);
        let probes = self.0.options.probes.iter().map(|probe| &*probe.path);
        // A path twice is a fault that the router would stop the program for.
        let paths: std::collections::BTreeSet<_> = documents.chain(probes).collect();
        paths
            .into_iter()
            .filter(|path| *path != self.0.options.path)
            .fold(axum::Router::new(), |router, path| router.route_service(path, self.clone()))
    }

    /// Ends all streams that would last, as [`serve_http`] does when it is shut down:
    /// subscriptions end with their result, streams of GET just end, and new ones end at once.
    pub fn close_streams(&self) {
        self.0.close_streams();
    }

    /// Answers one request. The answer's body, where it is a stream, drives the call.
    pub fn serve<B: Body>(&self, request: Request<B>) -> ResponseFuture<B> {
        let (parts, body) = request.into_parts();
        if !self.0.options.probes.is_empty()
            && let Some(state) = self.0.probed(&parts.method, entry::full_path(&parts))
        {
            return ResponseFuture { body: None, state, asked: None, page: None };
        }
        let origin = parts.headers.get(header::ORIGIN);
        let page = origin.filter(|origin| self.0.guard.invites(origin)).cloned();
        // From here on it is handed from one to the next, and ends in the exchange's extensions.
        let state = self.0.enter(parts, page.as_ref()).unwrap_or_else(State::answered);
        ResponseFuture { body: Some(body), state, asked: None, page }
    }
}

impl std::fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpServer").field("options", &self.0.options).finish_non_exhaustive()
    }
}

impl<B: Body> Service<Request<B>> for HttpServer {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture<B>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<B> {
        self.serve(request)
    }
}

impl<B: Body> hyper::service::Service<Request<B>> for HttpServer {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = ResponseFuture<B>;

    fn call(&self, request: Request<B>) -> ResponseFuture<B> {
        self.serve(request)
    }
}

pin_project! {
    /// The answer to one HTTP request, under way; dropping it ends what it asked for.
    #[must_use = "an answer does nothing unless it is polled"]
    pub struct ResponseFuture<B> {
        #[pin]
        body: Option<B>,
        state: State,
        // Kept for its room.
        asked: Asked,
        // The web page that gets the answer, if it is of another host.
        page: Option<HeaderValue>,
    }
}

enum State {
    Entering { shared: Arc<Shared>, parts: Option<Parts>, asking: entry::Asking },
    Answered { answer: Option<Answer> },
    Reading { shared: Arc<Shared>, parts: Option<Arc<Parts>>, gathered: Gathered },
    Calling { call: Option<Call> },
    Posting { post: Held },
    Opening { opening: Box<Opening> },
    Seeking { seeking: Box<Seeking> },
    Saving { saving: Box<Saving> },
    Waiting { answer: BoxFuture<'static, Answer> },
}

impl State {
    fn answered(answer: Answer) -> Self {
        Self::Answered { answer: Some(answer) }
    }
}

impl<B: Body> Future for ResponseFuture<B> {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut answer = loop {
            match this.state {
                State::Answered { answer } => match answer.take() {
                    Some(answer) => break answer,
                    None => return Poll::Pending,
                },
                State::Entering { shared, parts, asking } => {
                    let found = ready!(asking.as_mut().poll(cx));
                    let Some(mut parts) = parts.take() else { return Poll::Pending };
                    let entered = found.map_err(entry::told).and_then(|found| {
                        parts.extensions.insert(found);
                        shared.admit(Arc::new(parts), this.page.as_ref())
                    });
                    *this.state = entered.unwrap_or_else(State::answered);
                }
                State::Reading { shared, parts, gathered } => {
                    let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Pending };
                    let most = shared.options.frame.line;
                    let read = ready!(gathered.poll(body, shared.bodies(), cx));
                    let Some(parts) = parts.take() else { return Poll::Pending };
                    this.body.set(None);
                    *this.asked = Some(parts.clone());
                    *this.state = match read {
                        Ok(bytes) => shared.post(parts, bytes, cx),
                        Err(why) => State::answered(unread(why, most)),
                    };
                }
                State::Calling { call } => break ready!(Call::poll_answer(call, this.asked, cx)),
                State::Posting { post } => break ready!(post.poll_answer(this.asked, cx)),
                State::Opening { opening } => break ready!(opening.poll(cx)),
                State::Seeking { seeking } => {
                    let found = ready!(seeking.poll(cx));
                    *this.state = found.unwrap_or_else(State::answered);
                }
                State::Saving { saving } => {
                    let saved = ready!(saving.poll(cx));
                    *this.state = saved.unwrap_or_else(State::answered);
                }
                State::Waiting { answer } => break ready!(answer.as_mut().poll(cx)),
            }
        };
        if let Some(origin) = this.page.take() {
            page::hand_over(&mut answer, origin);
        }
        Poll::Ready(Ok(answer))
    }
}

impl<B> std::fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture")
    }
}

impl Shared {
    /// Looks at the head of a request that may be served, and answers it if it has no body.
    fn admit(
        self: &Arc<Self>,
        parts: Arc<Parts>,
        page: Option<&HeaderValue>,
    ) -> Result<State, Answer> {
        if parts.method != Method::POST {
            if let Some(answer) = page.and_then(|_| page::asked_beforehand(&parts)) {
                return Err(answer);
            }
            // No revision without a handshake has any other method.
            let sessions = !self.options.stateless && !is_modern(&parts);
            return match parts.method {
                Method::GET if sessions => legacy::get(self, &parts),
                Method::DELETE if sessions => legacy::delete(self, &parts),
                _ => Err(wrong_method(sessions)),
            };
        }
        guard::check_media(&parts.headers, !self.options.json_only).map_err(entry::refused)?;
        let gathered = Gathered::default();
        Ok(State::Reading { shared: self.clone(), parts: Some(parts), gathered })
    }

    /// Serves one message.
    fn post(self: &Arc<Self>, parts: Arc<Parts>, text: Bytes, cx: &mut Context<'_>) -> State {
        self.try_post(parts, text, cx).unwrap_or_else(State::answered)
    }

    fn try_post(
        self: &Arc<Self>,
        parts: Arc<Parts>,
        text: Bytes,
        cx: &mut Context<'_>,
    ) -> Result<State, Answer> {
        let text = match self.options.frame.admit(text) {
            Some(Ok(text)) => text,
            Some(Err(fault)) => return Err(bad(fault.id.as_ref(), &fault.to_error())),
            None => return Err(bad(None, &ErrorObject::parse_error("the body is empty"))),
        };
        let repeated = Repeated::of(&parts);
        let named = repeated.named();
        let session = !self.options.stateless && repeated.session;
        let message = Message::parse(&text);
        let said = match &message {
            Ok(Message::Request(request)) => Said::Request {
                method: &request.method,
                // A header that names the era without a handshake has said it all.
                envelope: !named.is_modern() && names_revision(&text) && has_envelope(request),
            },
            _ => Said::Other,
        };
        let door = classify(named, session, said);
        if message.is_err() && text.trim_start().starts_with('[') {
            // Batches are split by whoever knows the revision.
            match door {
                Door::Session => return legacy::batch_in_session(self, parts, &text, cx),
                Door::Alone(version) => {
                    return legacy::batch_alone(self, parts, version, &text, cx);
                }
                _ => {}
            }
        }
        let message = message.map_err(|BadMessage { id, error, .. }| bad(id.as_ref(), &error))?;
        match (door, message) {
            (Door::Modern, message) => {
                refuse_long_listen(&message, text.len())?;
                let call = modern::serve(self, (&parts, repeated), message, cx)?;
                Ok(State::Calling { call: Some(call) })
            }
            (Door::Handshake, Message::Request(request)) => {
                legacy::handshake(self, parts, request, cx)
            }
            (Door::Session | Door::Handshake, message) => {
                legacy::in_session(self, parts, (message, &text), cx)
            }
            (Door::Alone(version), message) => legacy::alone(self, parts, version, message, cx),
            (Door::UnknownVersion, message) => Err(modern::unknown_version(&parts, &message)),
        }
    }
}

/// How long the message may be that opens a subscription: it is kept as long as that lasts.
const LONGEST_LISTEN: usize = 256 << 10;

fn refuse_long_listen(message: &Message, length: usize) -> Result<(), Answer> {
    match message {
        Message::Request(request)
            if length > LONGEST_LISTEN && &*request.method == "subscriptions/listen" =>
        {
            let text = format!("a subscription is asked for in at most {LONGEST_LISTEN} bytes");
            let error = ErrorObject::invalid_request(text);
            Err(body::error(StatusCode::PAYLOAD_TOO_LARGE, Some(&request.id), &error))
        }
        _ => Ok(()),
    }
}

fn named(parts: &Parts) -> Named {
    let mut versions = parts.headers.get_all(headers::PROTOCOL_VERSION).iter();
    Named::of(versions.next().map(HeaderValue::as_bytes))
}

fn is_modern(parts: &Parts) -> bool {
    classify(named(parts), false, Said::Other) == Door::Modern
}

fn wrong_method(sessions: bool) -> Answer {
    let error = ErrorObject::invalid_request("a message is sent by POST");
    let mut answer = body::error(StatusCode::METHOD_NOT_ALLOWED, None, &error);
    let allowed = if sessions { "GET, POST, DELETE" } else { "POST" };
    answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    answer
}

/// Whether the text may hold an envelope; few messages without one pass this first look.
fn names_revision(text: &ByteString) -> bool {
    static KEY: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(keys::PROTOCOL_VERSION));
    KEY.find(text.as_bytes()).is_some()
}

fn bad(id: Option<&mcp_types::RequestId>, error: &ErrorObject) -> Answer {
    body::error(StatusCode::BAD_REQUEST, id, error)
}

fn unread(why: Unread, most: usize) -> Answer {
    let (status, text) = match why {
        Unread::TooLarge => {
            (StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} bytes"))
        }
        Unread::TooSlow => {
            (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time".to_owned())
        }
        Unread::Crowded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "there is no room for another large body, try again later".to_owned(),
        ),
        Unread::Broken => (StatusCode::BAD_REQUEST, "the body ended early".to_owned()),
    };
    let mut answer = body::error(status, None, &ErrorObject::invalid_request(text));
    // What is left of the body is not worth reading.
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
