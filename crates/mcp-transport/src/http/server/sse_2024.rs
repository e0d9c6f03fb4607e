//! HTTP+SSE, the transport of 2024-11-05: a stream down, POSTs up.
//!
//! A GET opens a stream whose first event, `endpoint`, says where to POST; the answers come down the
//! stream. Each stream is one connection of the kind that standard streams are, so it is served by
//! the same loop; whoever reads the answer's body drives it, and no task is needed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use mcp_types::{BoxFuture, ErrorObject, ExchangeService, Extensions};
use tokio::io::{AsyncRead, ReadBuf, ReadHalf, SimplexStream};
use tokio::time::Sleep;
use tower_service::Service;

use super::body::{self, Answer, Kind, ResponseBody, unavailable};
use super::entry;
use super::guard::{self, Guard};
use super::inbox::Inbox;
use super::modern::{extend, sender};
use super::options::HttpOptions;
use super::read::{Gathered, Unfinished};
use super::session::fresh_id;
use crate::http::sse;
use crate::known::Known;
use crate::{Error, Io, ServeOptions, serve_with};

/// How much of what a server says waits for the reader.
const ROOM: usize = 64 << 10;

/// A service of exchanges behind the two endpoints of HTTP+SSE. Cheap to clone.
///
/// By default a GET of `/sse` opens a stream and `/messages` takes the POSTs; both may stand below
/// any path. `Host` and `Origin` are checked as for [`HttpServer`](super::HttpServer). A session
/// ends with its stream, and is told apart by an id that nobody can guess; where a layer in front
/// has put a [`Principal`](mcp_types::Principal) into the requests, only the one who opened a session
/// may post to it. The parts of an HTTP request that tools see are those of the GET.
///
/// New clients need none of this: it is for those that know nothing newer.
#[derive(Clone)]
pub struct SseServer(Arc<Shared>);

#[derive(Clone)]
struct Shared {
    open: Arc<Open>,
    options: HttpOptions,
    guard: Guard,
    stream_path: String,
    message_path: String,
    outer_path: Option<String>,
    sessions: Arc<Sessions>,
    unfinished: Arc<Unfinished>,
    closing: Arc<AtomicBool>,
}

type Open = dyn Fn(Io, ServeOptions, Extensions) -> Serving + Send + Sync;
type Serving = BoxFuture<'static, Result<(), Error>>;
type Sessions = Mutex<HashMap<Arc<str>, Arc<Inbox>>>;

impl SseServer {
    /// Puts `service` behind HTTP+SSE, with the default [`HttpOptions`].
    pub fn new(service: impl ExchangeService) -> Self {
        Self::with(service, HttpOptions::default())
    }

    /// Puts `service` behind HTTP+SSE.
    pub fn with(service: impl ExchangeService, options: HttpOptions) -> Self {
        let open = move |io, options, known| -> Serving {
            Box::pin(serve_with(Known { service: service.clone(), known }, io, options))
        };
        Self(Arc::new(Shared {
            open: Arc::new(open),
            guard: options.guard(),
            options,
            stream_path: "/sse".into(),
            message_path: "/messages".into(),
            outer_path: None,
            sessions: Arc::default(),
            unfinished: Arc::default(),
            closing: Arc::default(),
        }))
    }

    /// Opens streams at another path, such as `/events`.
    #[must_use]
    pub fn stream_path(self, path: impl Into<String>) -> Self {
        self.change(|shared| shared.stream_path = rooted(path.into()))
    }

    /// Takes messages at another path, such as `/post`; it stands below the same place as the streams'.
    #[must_use]
    pub fn message_path(self, path: impl Into<String>) -> Self {
        self.change(|shared| shared.message_path = rooted(path.into()))
    }

    /// Says where clients see the two paths, when something in front (a proxy that strips a prefix)
    /// hides it. A mount below a path, and axum's `nest_service` (feature `axum`), need no word.
    #[must_use]
    pub fn outer_path(self, path: impl Into<String>) -> Self {
        self.change(|shared| shared.outer_path = Some(rooted(path.into())))
    }

    /// Ends all streams, and new ones at once, for an application that shuts down: each session hears
    /// the end of its input, and its stream ends when what it has been asked is answered.
    pub fn close_streams(&self) {
        self.0.closing.store(true, Ordering::SeqCst);
        self.0.lock().values().for_each(|inbox| inbox.close());
    }

    pub(super) fn options(&self) -> &HttpOptions {
        &self.0.options
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

/// A path with one `/` in front and none behind.
fn rooted(path: String) -> String {
    let path = path.trim_matches('/');
    if path.is_empty() { String::new() } else { format!("/{path}") }
}

impl std::fmt::Debug for SseServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SseServer")
            .field("stream_path", &self.0.stream_path)
            .field("message_path", &self.0.message_path)
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl<B: Body<Data: Send> + Send + 'static> Service<Request<B>> for SseServer {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            Ok(shared.serve(parts, body).await.unwrap_or_else(|refused| *refused))
        })
    }
}

fn refused(status: StatusCode, text: impl Into<String>) -> Box<Answer> {
    Box::new(body::error(status, None, &ErrorObject::invalid_request(text.into())))
}

impl Shared {
    async fn serve<B: Body>(
        self: Arc<Self>,
        mut parts: Parts,
        body: B,
    ) -> Result<Answer, Box<Answer>> {
        let turned_away = |refusal: guard::Refusal| refused(refusal.status(), refusal.text());
        self.guard.check(&parts.uri, &parts.headers).map_err(turned_away)?;
        entry::pass(self.options.gate.as_deref(), &mut parts).await.map_err(Box::new)?;
        let path = parts.uri.path().trim_end_matches('/');
        let streams = path.ends_with(&self.stream_path);
        let allow = match (&parts.method, streams, path.ends_with(&self.message_path)) {
            (&Method::GET, true, _) => return self.stream(&parts),
            (&Method::POST, _, true) => {
                guard::check_media(&parts.headers, false).map_err(turned_away)?;
                return self.message(&parts, body).await;
            }
            (_, true, _) => "GET",
            (_, _, true) => "POST",
            _ => {
                let text = format!("a stream is opened at `{}`", self.stream_path);
                return Err(refused(StatusCode::NOT_FOUND, text));
            }
        };
        let mut answer = refused(
            StatusCode::METHOD_NOT_ALLOWED,
            "a stream is opened by GET, a message is sent by POST to where its first event says",
        );
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
        Err(answer)
    }

    /// Opens a session and the stream that is its other half.
    fn stream(self: &Arc<Self>, parts: &Parts) -> Result<Answer, Box<Answer>> {
        if !guard::accepts(&parts.headers, b"text/event-stream") {
            let text = "the answer is `text/event-stream`: name it in `Accept`";
            return Err(refused(StatusCode::NOT_ACCEPTABLE, text));
        }
        let busy = |text: &str| Box::new(unavailable(None, &ErrorObject::internal(text)));
        let id = fresh_id().ok_or_else(|| busy("the system gives no random numbers"))?;
        let inbox = Inbox::new(sender(parts).cloned(), self.options.frame.line);
        {
            let mut sessions = self.lock();
            if sessions.len() >= self.options.streams {
                return Err(busy(
                    "there are as many streams open as there may be, try again later",
                ));
            }
            sessions.insert(id.clone(), inbox.clone());
            // Under the lock: who closes the streams sees this one, or this one sees the end.
            if self.closing.load(Ordering::SeqCst) {
                inbox.close();
            }
        }
        let (output, writer) = tokio::io::simplex(ROOM);
        let mut options = ServeOptions::default();
        options.frame = self.options.frame;
        options.limits = self.options.limits;
        options.runtime = self.options.runtime.clone();
        let endpoint = format!("{}{}?sessionId={id}", self.outer(parts), self.message_path);
        let mut first = Vec::new();
        let event = Some("endpoint");
        sse::write(&mut first, &sse::Fields { event, data: &endpoint, ..sse::Fields::default() });
        let serving = (self.open)(Io::new(inbox.reader(), writer), options, known(parts));
        let stream = Lines {
            first: Some(first.into()),
            serving: Some(serving),
            output,
            read: Vec::new(),
            silence: None,
            session: Session { shared: self.clone(), id, inbox },
        };
        Ok(body::stream(Kind::Lines(Box::new(stream))))
    }

    /// Where clients see what is in front of our two paths.
    fn outer(&self, parts: &Parts) -> String {
        if let Some(outer) = &self.outer_path {
            return outer.clone();
        }
        let full = entry::full_path(parts).trim_end_matches('/');
        full.strip_suffix(&*self.stream_path).unwrap_or_default().to_owned()
    }

    /// Takes a message for an open session.
    async fn message<B: Body>(&self, parts: &Parts, body: B) -> Result<Answer, Box<Answer>> {
        let query = parts.uri.query().unwrap_or_default();
        let id = query.split('&').find_map(|pair| pair.strip_prefix("sessionId="));
        let Some(id) = id else {
            let text = "the message names no session: POST to where the stream's first event says";
            return Err(refused(StatusCode::BAD_REQUEST, text));
        };
        let inbox = self.lock().get(id).cloned();
        let who = sender(parts);
        // To others a session is as unknown as one that is gone.
        let Some(inbox) = inbox.filter(|inbox| inbox.belongs_to(who)) else {
            let text = "there is no such session, open a new stream";
            return Err(refused(StatusCode::NOT_FOUND, text));
        };
        let mut body = pin!(body);
        let mut gathered = Gathered::default();
        let (most, bounds) = (self.options.frame.line, (&self.options, &self.unfinished));
        let text = poll_fn(|cx| gathered.poll(body.as_mut(), bounds, cx)).await;
        let text = text.map_err(|why| Box::new(super::unread(why, most)))?;
        if inbox.push(text) {
            Ok(body::empty(StatusCode::ACCEPTED))
        } else {
            let text = "the session has more messages than it can take, read its stream first";
            Err(Box::new(unavailable(None, &ErrorObject::internal(text))))
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Inbox>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the request that opens a stream says, and what a gate or a layer in front knows of it.
fn known(parts: &Parts) -> Extensions {
    let mut known = Extensions::new();
    extend(&mut known, Arc::new(parts.clone()));
    known
}

/// A session; it ends with this value.
struct Session {
    shared: Arc<Shared>,
    id: Arc<str>,
    inbox: Arc<Inbox>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.shared.lock().remove(&self.id);
        self.inbox.close();
    }
}

/// The stream of a session: what its server writes, a line an event.
pub(super) struct Lines {
    first: Option<Bytes>,
    /// `None` once the server has ended.
    serving: Option<Serving>,
    output: ReadHalf<SimplexStream>,
    /// The beginning of a line that is not complete yet.
    read: Vec<u8>,
    silence: Option<Pin<Box<Sleep>>>,
    session: Session,
}

impl Lines {
    /// The next events, all that there are at once; `None` after the last.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        loop {
            let serving = self.serving.as_mut();
            if serving.is_some_and(|serving| serving.as_mut().poll(cx).is_ready()) {
                self.serving = None;
            }
            let more = self.poll_output(cx);
            if let Some(events) = self.events() {
                self.silence = None;
                return Poll::Ready(Some(events));
            }
            match more {
                // The server had no room for the rest of a long line.
                Poll::Ready(true) => {}
                Poll::Ready(false) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        let Some(pause) = self.session.shared.options.keep_alive else { return Poll::Pending };
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        std::task::ready!(silence.as_mut().poll(cx));
        self.silence = None;
        // Whoever is told this polls again, and the next silence begins.
        let mut comment = Vec::new();
        sse::write_keep_alive(&mut comment);
        Poll::Ready(Some(comment.into()))
    }

    /// Reads what there is; `false` at the end.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut space = [0; 8 << 10];
        let mut any = false;
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.output).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.read.extend_from_slice(buffer.filled());
                    any = true;
                }
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending if any => return Poll::Ready(true),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// The lines that are complete, as events.
    fn events(&mut self) -> Option<Bytes> {
        let end = self.read.iter().rposition(|&byte| byte == b'\n')? + 1;
        let rest = self.read.split_off(end);
        let lines = std::mem::replace(&mut self.read, rest);
        let mut out = Vec::with_capacity(lines.len() + 64);
        for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            // What a codec writes is UTF-8.
            let data = std::str::from_utf8(line).unwrap_or_default();
            let event = Some("message");
            sse::write(&mut out, &sse::Fields { event, data, ..sse::Fields::default() });
        }
        Some(out.into())
    }
}
