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
//! # What it holds off
//!
//! Only requests to `localhost`, `127.0.0.1` and `[::1]` are served, and of web pages only those of
//! the same host: see [`HttpOptions::allow_host`] and [`HttpOptions::allow_origin`]. A body is taken
//! in up to a bound of size and time, a slow reader holds up nothing but its own call, and a handler
//! that panics answers an error. Who may ask for what is a layer's business: whatever it puts into
//! the extensions of the HTTP request travels with the exchange, as the request's parts do.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use mcp_types::jsonrpc::{BadMessage, Message};
use mcp_types::{ByteString, ErrorObject, ExchangeService, keys};
use pin_project_lite::pin_project;
use tower_service::Service;

pub use self::body::ResponseBody;
pub use self::listen::serve_http;
pub use self::options::HttpOptions;
#[cfg(feature = "rest")]
pub use self::rest::RestServer;

use self::body::Answer;
use self::call::Call;
use self::classify::{Door, Named, Said, classify};
use self::read::{Gathered, Unread};
use self::shared::Shared;
use super::headers;
use crate::proto::server::has_envelope;

mod body;
mod call;
mod classify;
pub(crate) mod guard;
mod listen;
mod modern;
mod options;
mod read;
#[cfg(feature = "rest")]
mod rest;
mod shared;
mod sink;

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

    /// Answers one request. The answer's body, where it is a stream, drives the call.
    pub fn serve<B: Body>(&self, request: Request<B>) -> ResponseFuture<B> {
        let (parts, body) = request.into_parts();
        let state = match self.0.admit(&parts) {
            Err(answer) => State::Answered { answer: Some(answer) },
            Ok(()) => State::Reading {
                shared: self.0.clone(),
                parts: Some(parts),
                gathered: Gathered::default(),
            },
        };
        ResponseFuture { body: Some(body), state }
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
    }
}

enum State {
    Answered { answer: Option<Answer> },
    Reading { shared: Arc<Shared>, parts: Option<Parts>, gathered: Gathered },
    Calling { call: Option<Call> },
}

impl<B: Body> Future for ResponseFuture<B> {
    type Output = Result<Answer, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state {
                State::Answered { answer } => {
                    return answer.take().map_or(Poll::Pending, |answer| Poll::Ready(Ok(answer)));
                }
                State::Reading { shared, parts, gathered } => {
                    let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Pending };
                    let options = &shared.options;
                    let (most, time) = (options.frame.line, options.body_time);
                    let read = std::task::ready!(gathered.poll(body, most, time, cx));
                    let Some(parts) = parts.take() else { return Poll::Pending };
                    this.body.set(None);
                    *this.state = match read {
                        Ok(bytes) => shared.post(parts, bytes, cx),
                        Err(why) => State::Answered { answer: Some(unread(why, most)) },
                    };
                }
                State::Calling { call } => return Call::poll_answer(call, cx).map(Ok),
            }
        }
    }
}

impl<B> std::fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResponseFuture")
    }
}

impl Shared {
    /// Refuses a request before its body is read.
    fn admit(&self, parts: &Parts) -> Result<(), Answer> {
        let refuse = |refusal: guard::Refusal| {
            let error = ErrorObject::invalid_request(refusal.text());
            body::error(refusal.status(), None, &error)
        };
        self.guard.check(&parts.uri, &parts.headers).map_err(refuse)?;
        if parts.method != Method::POST {
            let error = ErrorObject::invalid_request("a message is sent by POST");
            let mut answer = body::error(StatusCode::METHOD_NOT_ALLOWED, None, &error);
            answer.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            return Err(answer);
        }
        guard::check_media(&parts.headers, !self.options.json_only).map_err(refuse)
    }

    /// Serves one message.
    fn post(self: &Arc<Self>, parts: Parts, text: Bytes, cx: &mut Context<'_>) -> State {
        self.try_post(parts, text, cx)
            .unwrap_or_else(|answer| State::Answered { answer: Some(answer) })
    }

    fn try_post(
        self: &Arc<Self>,
        parts: Parts,
        text: Bytes,
        cx: &mut Context<'_>,
    ) -> Result<State, Answer> {
        let text = match self.options.frame.admit(text) {
            Some(Ok(text)) => text,
            Some(Err(fault)) => {
                return Err(body::error(
                    StatusCode::BAD_REQUEST,
                    fault.id.as_ref(),
                    &fault.to_error(),
                ));
            }
            None => return Err(bad(None, &ErrorObject::parse_error("the body is empty"))),
        };
        let mut versions = parts.headers.get_all(headers::PROTOCOL_VERSION).iter();
        let named = Named::of(versions.next().map(HeaderValue::as_bytes));
        let session = parts.headers.contains_key(headers::SESSION_ID);
        let message = Message::parse(&text);
        let said = match &message {
            Ok(Message::Request(request)) => Said::Request {
                method: &request.method,
                envelope: names_revision(&text) && has_envelope(request),
            },
            _ => Said::Other,
        };
        let door = classify(named, session, said);
        let message = message.map_err(|BadMessage { id, error, .. }| bad(id.as_ref(), &error))?;
        match door {
            Door::Modern => {
                let call = modern::serve(self, parts, message, cx)?;
                Ok(State::Calling { call: Some(call) })
            }
            _ => Err(bad(None, &ErrorObject::invalid_request("no session is served here"))),
        }
    }
}

/// Whether the text may hold an envelope; few messages without one pass this first look.
fn names_revision(text: &ByteString) -> bool {
    memchr::memmem::find(text.as_bytes(), keys::PROTOCOL_VERSION.as_bytes()).is_some()
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
        Unread::Broken => (StatusCode::BAD_REQUEST, "the body ended early".to_owned()),
    };
    let mut answer = body::error(status, None, &ErrorObject::invalid_request(text));
    // What is left of the body is not worth reading.
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}
