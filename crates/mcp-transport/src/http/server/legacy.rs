//! The era with a handshake: sessions, their streams, and messages that have no session.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use mcp_types::jsonrpc::{Message, Request};
use mcp_types::version::Era;
use mcp_types::wire::{LEGACY, ServerCodec};
use mcp_types::{
    BoxFuture, ByteString, ErrorObject, Exchange, Extensions, Principal, ProtocolVersion, RequestId,
};

use super::body::{self, Answer, Kind};
use super::call::Call;
use super::event_store::{EventPlace, EventStoreError};
use super::get::{GetStream, Source};
use super::guard::{self, Refusal};
use super::modern::{extend, sender};
use super::post::{Held, Of, Post};
use super::seek::{Wanted, seek};
use super::session::{Busy, Session, fresh_id, is_answer};
use super::shared::Shared;
use super::standalone;
use super::{State, bad};
use crate::http::headers;
use crate::proto::server::ServerConn;

/// Serves a message of a session.
pub(super) fn in_session(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    (message, text): (Message, &ByteString),
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    if let Some(nodes) = &shared.options.nodes {
        return seek(shared, nodes, &parts, Wanted::Message(message, text.clone()));
    }
    let busy = find(shared, &parts.headers, sender(&parts))?;
    serve(shared, parts, busy, message, cx)
}

/// Serves a message of a session that was found.
pub(super) fn serve(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    busy: Busy,
    message: Message,
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    let Message::Request(request) = &message else {
        return tell(shared, parts, busy, message, cx);
    };
    refuse_taken(&busy.0, &request.id)?;
    busy.0.prove();
    Ok(post(shared, parts, busy, cx, |conn, now| conn.handle_parsed(now, message)))
}

/// Serves a batch of a session (2025-03-26, "Batching"); the revision of the handshake says
/// whether there are any.
pub(super) fn batch_in_session(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    text: &ByteString,
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    if let Some(nodes) = &shared.options.nodes {
        return seek(shared, nodes, &parts, Wanted::Batch(text.clone()));
    }
    let busy = find(shared, &parts.headers, sender(&parts))?;
    Ok(serve_batch(shared, parts, busy, text, cx))
}

/// Serves a batch of a session that was found.
pub(super) fn serve_batch(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    busy: Busy,
    text: &ByteString,
    cx: &mut Context<'_>,
) -> State {
    post(shared, parts, busy, cx, |conn, now| conn.handle(now, text))
}

fn post(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    busy: Busy,
    cx: &mut Context<'_>,
    act: impl FnOnce(&mut ServerConn, Instant),
) -> State {
    let session = busy.0.clone();
    let extensions = extensions(parts);
    let post = Post::start(shared, session, Of::Client { _busy: busy }, extensions, cx, act);
    State::Posting { post: Held(Some(post)) }
}

/// Takes a notification or an answer of the client.
fn tell(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    busy: Busy,
    message: Message,
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    let session = busy.0.clone();
    let act = |conn: &mut ServerConn, now| conn.handle_parsed(now, message);
    // What it causes leaves by the streams of the requests that it is about.
    drop(Post::start(shared, session, Of::Session, extensions(parts), cx, act));
    Err(body::empty(StatusCode::ACCEPTED))
}

/// How long the parameters of a handshake may be, which are kept as long as the session.
const LONGEST_HANDSHAKE: usize = 64 << 10;

/// Serves the message that begins a session.
pub(super) fn handshake(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    request: Request,
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    let id = if shared.options.stateless { Some("".into()) } else { fresh_id() };
    let Some(id) = id else {
        let error = ErrorObject::internal("no session can be made: the system gave no randomness");
        return Err(body::error(StatusCode::INTERNAL_SERVER_ERROR, Some(&request.id), &error));
    };
    let kept = request.params.as_ref().map_or(0, |params| params.get().len());
    if kept > LONGEST_HANDSHAKE {
        let text = format!("a client says at most {LONGEST_HANDSHAKE} bytes of itself");
        let error = ErrorObject::invalid_request(text);
        return Err(body::error(StatusCode::PAYLOAD_TOO_LARGE, Some(&request.id), &error));
    }
    let conn = ServerConn::new(shared.options.limits);
    // What is kept of it is kept in two forms.
    let session = Session::new(id, sender(&parts), kept * 2, conn);
    let message = Message::Request(request);
    let act = |conn: &mut ServerConn, now| conn.handle_parsed(now, message);
    let post = Post::start(shared, session, Of::Handshake, extensions(parts), cx, act);
    Ok(State::Posting { post: Held(Some(post)) })
}

impl Shared {
    /// Keeps a session whose handshake has succeeded, and tells its id.
    pub(super) fn welcome(self: &Arc<Self>, session: &Arc<Session>, mut answer: Answer) -> Answer {
        if session.id.is_empty() || session.version().is_none() {
            return answer;
        }
        if self.sessions.insert(self, session.clone()).is_none() {
            let text = "there are as many sessions as there may be, try again later";
            return body::unavailable(None, &ErrorObject::internal(text));
        }
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            answer.headers_mut().insert(headers::SESSION_ID, id);
        }
        answer
    }

    /// Ends a session that was taken out of the list; one that other nodes serve too ends here alone.
    pub(super) fn end_session(&self, session: &Session) {
        session.close();
        if self.options.nodes.is_some() {
            return;
        }
        if let Some(store) = &self.options.event_store {
            self.runtime().spawn(store.forget(&session.id));
        }
    }
}

/// Serves a message that has no session, where sessions are not kept.
pub(super) fn alone(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    version: ProtocolVersion,
    message: Message,
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    if !shared.options.stateless {
        let id = match &message {
            Message::Request(request) => Some(&request.id),
            _ => None,
        };
        return Err(bad(id, &no_session()));
    }
    let Message::Request(request) = message else {
        // There is nothing under way that it could be about.
        return Err(body::empty(StatusCode::ACCEPTED));
    };
    if is_of_edge(&request.method) {
        let message = Message::Request(request);
        return Ok(assumed(shared, parts, version, cx, |conn, now| {
            conn.handle_parsed(now, message);
        }));
    }
    let incoming = match LEGACY.decode_request(&request.method, request.params.as_ref()) {
        Ok(incoming) => incoming,
        Err(error) => return Err(body::error(StatusCode::OK, Some(&request.id), &error)),
    };
    let mut exchange = Exchange::new(incoming.request);
    exchange.context = incoming.context;
    exchange.context.set_client(version, None, None);
    extend(&mut exchange.context.extensions, parts);
    let call = Call::start(shared, request.id.clone(), exchange, (&LEGACY, Era::Legacy, false), cx);
    Ok(State::Calling { call: Some(call) })
}

/// Serves a batch that has no session.
pub(super) fn batch_alone(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    version: ProtocolVersion,
    text: &ByteString,
    cx: &mut Context<'_>,
) -> Result<State, Answer> {
    if shared.options.stateless {
        Ok(assumed(shared, parts, version, cx, |conn, now| conn.handle(now, text)))
    } else {
        Err(bad(None, &no_session()))
    }
}

/// Methods that no server behind knows.
fn is_of_edge(method: &str) -> bool {
    matches!(method, "ping" | "logging/setLevel")
}

/// Serves a message by a connection that is made for it and forgotten after it.
fn assumed(
    shared: &Arc<Shared>,
    parts: Arc<Parts>,
    version: ProtocolVersion,
    cx: &mut Context<'_>,
    act: impl FnOnce(&mut ServerConn, Instant),
) -> State {
    let conn = ServerConn::assumed(shared.options.limits, version);
    let session = Session::new("".into(), None, 0, conn);
    post(shared, parts, Busy::new(session), cx, act)
}

pub(super) fn extensions(parts: Arc<Parts>) -> Extensions {
    let mut extensions = Extensions::new();
    extend(&mut extensions, parts);
    extensions
}

/// The session that the headers name.
fn find(shared: &Arc<Shared>, named: &HeaderMap, who: Option<&Principal>) -> Result<Busy, Answer> {
    let id = named.get(headers::SESSION_ID).and_then(|id| id.to_str().ok());
    let Some(id) = id else { return Err(unnamed()) };
    // Somebody else's session is no session: its existence is nobody's business.
    shared.sessions.find(id, who).ok_or_else(no_such_session)
}

pub(super) fn no_such_session() -> Answer {
    let text = "there is no such session, begin a new one with `initialize`";
    body::error(StatusCode::NOT_FOUND, None, &ErrorObject::invalid_request(text))
}

pub(super) fn unnamed() -> Answer {
    bad(None, &no_session())
}

/// The answer where the fault is this server's.
pub(super) fn broken(error: &ErrorObject) -> Answer {
    body::error(StatusCode::INTERNAL_SERVER_ERROR, None, error)
}

fn no_session() -> ErrorObject {
    ErrorObject::invalid_request(
        "the request names no session: send `initialize`, and its `Mcp-Session-Id` with each \
         request after it",
    )
}

fn refuse_taken(session: &Session, id: &RequestId) -> Result<(), Answer> {
    if session.is_taken(id) {
        let text = format!("the id `{id}` is taken by a request in flight");
        return Err(bad(Some(id), &ErrorObject::invalid_request(text)));
    }
    if session.has_room() {
        return Ok(());
    }
    let text = "the session has as many requests in flight as it may have, wait for an answer";
    Err(body::error(StatusCode::TOO_MANY_REQUESTS, Some(id), &ErrorObject::internal(text)))
}

/// Ends a session for its client.
pub(super) fn delete(shared: &Arc<Shared>, parts: &Arc<Parts>) -> Result<State, Answer> {
    if let Some(nodes) = &shared.options.nodes {
        return seek(shared, nodes, parts, Wanted::End);
    }
    let busy = find(shared, &parts.headers, sender(parts))?;
    if shared.sessions.remove(&busy.0.id).is_some() {
        shared.end_session(&busy.0);
    }
    Err(body::empty(StatusCode::NO_CONTENT))
}

/// A stream that is about to be opened by GET.
pub(super) struct Opening {
    shared: Arc<Shared>,
    busy: Option<Busy>,
    stream: u64,
    event: u64,
    missed: BoxFuture<'static, Result<Vec<(u64, bytes::Bytes)>, EventStoreError>>,
    live: Option<Source>,
    /// Whether another node writes the stream, or wrote it.
    foreign: bool,
    who: Option<Principal>,
}

/// Opens a stream: of what belongs to no request, or the rest of one that broke.
pub(super) fn get(shared: &Arc<Shared>, parts: &Arc<Parts>) -> Result<State, Answer> {
    if !guard::accepts(&parts.headers, b"text/event-stream") {
        let error = ErrorObject::invalid_request(Refusal::Accept.text());
        return Err(body::error(StatusCode::NOT_ACCEPTABLE, None, &error));
    }
    if let Some(nodes) = &shared.options.nodes {
        return seek(shared, nodes, parts, Wanted::Stream);
    }
    let busy = find(shared, &parts.headers, sender(parts))?;
    stream(shared, parts, busy, None)
}

/// Opens a stream of a session that was found; with `cx` where other nodes serve it too.
pub(super) fn stream(
    shared: &Arc<Shared>,
    parts: &Arc<Parts>,
    busy: Busy,
    cx: Option<&mut Context<'_>>,
) -> Result<State, Answer> {
    let Some(last) = parts.headers.get(headers::LAST_EVENT_ID) else {
        let source = enter(shared, &busy)?;
        hear_changes(shared, parts, &busy, false, cx);
        let (source, who) = (Some(source), sender(parts).cloned());
        let number = busy.0.standalone_stream();
        let stream = GetStream::new(shared, busy, number, source, Vec::new(), who);
        return Err(opened(stream?));
    };
    let place = last.to_str().ok().and_then(|id| id.split_once('-'));
    let place = place.and_then(|(stream, event)| Some((stream.parse().ok()?, event.parse().ok()?)));
    let (Some((stream, event)), Some(store)) = (place, &shared.options.event_store) else {
        return Err(gone(&EventStoreError::Gone));
    };
    // First the reader is there, then what it missed is looked up: so nothing falls in between.
    let foreign = !busy.0.is_own_stream(stream);
    let live = match of_changes(stream) {
        true => {
            let live = enter(shared, &busy)?;
            hear_changes(shared, parts, &busy, foreign, cx);
            Some(live)
        }
        false => busy.0.take_over(stream).map(|(outlet, name)| Source::Outlet { outlet, name }),
    };
    let missed = store.replay(EventPlace::new(busy.0.id.clone(), stream, event));
    let (shared, who) = (shared.clone(), sender(parts).cloned());
    let opening = Opening { shared, busy: Some(busy), stream, event, missed, live, foreign, who };
    Ok(State::Opening { opening: Box::new(opening) })
}

/// Whether the stream with this number is that of what belongs to no request, of whichever node.
fn of_changes(stream: u64) -> bool {
    stream & u64::from(u32::MAX) == standalone::NUMBER
}

/// Hears of changes for a client that another node may have welcomed, and tells it that all may have
/// changed where nobody knows what it has missed.
fn hear_changes(
    shared: &Arc<Shared>,
    parts: &Arc<Parts>,
    busy: &Busy,
    foreign: bool,
    cx: Option<&mut Context<'_>>,
) {
    if let Some(cx) = cx {
        let missed = foreign || busy.0.may_have_missed();
        let act = |conn: &mut ServerConn, _| {
            conn.listen_to_lists();
            if missed {
                conn.tell_all_changed();
            }
        };
        let session = busy.0.clone();
        drop(Post::start(shared, session, Of::Session, extensions(parts.clone()), cx, act));
    }
}

fn enter(shared: &Arc<Shared>, busy: &Busy) -> Result<Source, Answer> {
    let session = busy.0.clone();
    session.prove();
    match session.standalone.enter(shared.options.streams_per_session) {
        Some(name) => Ok(Source::Standalone { session, name }),
        None => {
            let text = "the session has as many streams open as it may have";
            let error = ErrorObject::invalid_request(text);
            Err(body::error(StatusCode::CONFLICT, None, &error))
        }
    }
}

impl Opening {
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let missed = ready!(self.missed.as_mut().poll(cx));
        let Some(busy) = self.busy.take() else { return Poll::Pending };
        Poll::Ready(match missed {
            Err(error) => gone(&error),
            Ok(missed) => {
                let live = self.live.take().or_else(|| self.elsewhere(&busy, &missed));
                let who = self.who.take();
                match GetStream::new(&self.shared, busy, self.stream, live, missed, who) {
                    Ok(stream) => opened(stream),
                    Err(answer) => answer,
                }
            }
        })
    }
}

impl Opening {
    /// The rest of a stream that another node writes, unless it is there already.
    fn elsewhere(&self, busy: &Busy, missed: &[(u64, bytes::Bytes)]) -> Option<Source> {
        let ended = missed.last().is_some_and(|(_, last)| is_answer(last));
        let nodes = self.shared.options.nodes.as_ref().filter(|_| self.foreign && !ended)?;
        let store = self.shared.options.event_store.clone()?;
        let last = missed.last().map_or(self.event, |(number, _)| *number);
        let place = EventPlace::new(busy.0.id.clone(), self.stream, last);
        Some(Source::Elsewhere { follow: nodes.follow(store, place) })
    }
}

fn opened(stream: GetStream) -> Answer {
    body::stream(Kind::Get(Box::new(stream)))
}

fn gone(error: &EventStoreError) -> Answer {
    let status = match error {
        EventStoreError::Gone => StatusCode::BAD_REQUEST,
        EventStoreError::Failed(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    body::error(status, None, &ErrorObject::invalid_request(error.to_string()))
}
