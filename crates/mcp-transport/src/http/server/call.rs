//! One request that stands for itself: its future is polled by whoever reads the answer.
//!
//! No task and no channel. What comes first decides the answer's form: the outcome makes it one
//! JSON text, a notification makes it a stream, and so does a call that takes its time, so that
//! nobody between the two ends takes the silence for a broken connection.

use std::collections::VecDeque;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use http::header::RETRY_AFTER;
use mcp_types::version::Era;
use mcp_types::wire::{self, ServerCodec};
use mcp_types::{
    BoxFuture, ErrorObject, Exchange, ExchangeFuture, LoggingLevel, Notifier, Outcome, RequestId,
    ServerNotification, ServerResult, SubscriptionsListenResult,
};
use tokio::time::Sleep;

use super::body::{self, Answer, Asked, Kind};
use super::shared::{Place, Shared};
use super::sink::Sink;
use crate::driver::guarded;
use crate::http::sse;
use crate::http::{INSUFFICIENT_SCOPE, required_scopes};
use crate::proto::server::{ended, served, stamped};
use crate::rate::{TOO_MANY_REQUESTS, retry_after};

/// Room for most answers, with what names the server in each.
const USUAL: usize = 512;

/// A request under way.
pub(super) struct Call {
    /// `None` once it is over.
    future: Option<ExchangeFuture>,
    sink: Arc<Sink>,
    shared: Arc<Shared>,
    codec: &'static dyn ServerCodec,
    era: Era,
    listens: bool,
    log_level: Option<LoggingLevel>,
    /// For a call that lasts: when all such have to end, and its place among them.
    lasting: Option<(BoxFuture<'static, ()>, Place)>,
    /// When silence has lasted long enough; made when the call is not ready at its first poll.
    silence: Option<Pin<Box<Sleep>>>,
}

impl Call {
    /// Starts a call under the peer's `id`.
    pub(super) fn start(
        shared: &Arc<Shared>,
        id: RequestId,
        mut exchange: Exchange,
        (codec, era, listens): (&'static dyn ServerCodec, Era, bool),
        cx: &mut Context<'_>,
    ) -> Self {
        let sink = Arc::new(Sink::new(id));
        exchange.notifier = Notifier::new(sink.clone(), exchange.id());
        let log_level = exchange.context.log_level;
        let future = Some(shared.start(exchange, cx));
        let shared = shared.clone();
        let (lasting, silence) = (None, None);
        Self { future, sink, shared, codec, era, listens, log_level, lasting, silence }
    }

    /// The same call, which ends when the server does.
    pub(super) fn lasting(mut self, place: Place) -> Self {
        self.lasting = Some((self.shared.closing(), place));
        self
    }

    /// Polls for the answer's head; a call that became a stream is taken out of its place.
    pub(super) fn poll_answer(
        place: &mut Option<Self>,
        asked: &mut Asked,
        cx: &mut Context<'_>,
    ) -> Poll<Answer> {
        let Some(call) = place else { return Poll::Pending };
        let mut out = Vec::new();
        match call.poll_outcome(cx) {
            Poll::Ready(outcome) => {
                call.write_notifications(call.sink.take(), &mut out);
                let status = call.status(&outcome);
                if out.is_empty() {
                    out.reserve(USUAL);
                    let error = outcome.as_ref().err();
                    let (pause, scopes) =
                        (error.and_then(retry_after), error.and_then(required_scopes));
                    call.write_outcome(outcome, &mut out);
                    let mut answer = body::json_for(asked, status, out);
                    if let Some(seconds) = pause {
                        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
                    }
                    if let Some(scopes) = scopes {
                        call.shared.challenge(&mut answer, &scopes);
                    }
                    return Poll::Ready(answer);
                }
                call.write_last_event(outcome, &mut out);
                Poll::Ready(body::events(out))
            }
            Poll::Pending => {
                call.write_notifications(call.sink.take_or_wake(cx.waker()), &mut out);
                if out.is_empty() && call.may_stream() && call.poll_silence(cx).is_ready() {
                    sse::write_keep_alive(&mut out);
                }
                if out.is_empty() {
                    return Poll::Pending;
                }
                let stream = CallStream { call: place.take(), first: Some(out.into()) };
                Poll::Ready(body::stream(Kind::Call(Box::new(stream))))
            }
        }
    }

    fn may_stream(&self) -> bool {
        self.listens || !self.shared.options.json_only
    }

    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome, ErrorObject>> {
        let Some(future) = &mut self.future else { return Poll::Pending };
        let mut outcome = Poll::Pending;
        // Through the capture, because an outcome is large and what a guard gives back is moved.
        if let Err(error) = guarded(|| outcome = future.as_mut().poll(cx)) {
            outcome = Poll::Ready(Err(error));
        }
        if outcome.is_pending()
            && let Some((closing, _)) = &mut self.lasting
            && closing.as_mut().poll(cx).is_ready()
        {
            // 2026-07-28, "Subscriptions", "Graceful Closure".
            let ended = ServerResult::SubscriptionsListen(SubscriptionsListenResult::new());
            outcome = Poll::Ready(Ok(ended.into()));
        }
        if outcome.is_ready() {
            self.lasting = None;
            let future = self.future.take();
            // A future that panics while it is dropped is gone all the same.
            let _ = guarded(|| drop(future));
        }
        outcome
    }

    /// Ready once nothing has left for a while; then the next while begins.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = self.shared.options.keep_alive else { return Poll::Pending };
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        let over = silence.as_mut().poll(cx);
        if over.is_ready() {
            self.hush(cx);
        }
        over
    }

    /// Something left just now.
    fn hush(&mut self, cx: &mut Context<'_>) {
        if let (Some(pause), Some(silence)) = (self.shared.options.keep_alive, &mut self.silence) {
            silence.as_mut().reset(tokio::time::Instant::now() + pause);
            // A timer that was reset wakes nobody until it is polled.
            let _ = silence.as_mut().poll(cx);
        }
    }

    fn write_notifications(&self, said: VecDeque<ServerNotification>, out: &mut Vec<u8>) {
        for notification in said {
            if self.may_stream() {
                self.write_notification(notification, out);
            }
        }
    }

    fn write_notification(&self, notification: ServerNotification, out: &mut Vec<u8>) {
        let notification = match notification {
            ServerNotification::Message(said)
                if self.log_level.is_none_or(|level| said.level < level) =>
            {
                return;
            }
            notification if self.listens => stamped(notification, Some(self.sink.request())),
            notification => notification,
        };
        let mut text = Vec::new();
        // What has no JSON form cannot be sent, and nobody waits for it.
        if self.codec.encode_server_notification(&mut text, &notification).is_ok() {
            write_event(out, &text);
        }
    }

    fn write_last_event(&self, outcome: Result<Outcome, ErrorObject>, out: &mut Vec<u8>) {
        let mut text = Vec::new();
        self.write_outcome(outcome, &mut text);
        write_event(out, &text);
    }

    fn write_outcome(&self, mut outcome: Result<Outcome, ErrorObject>, out: &mut Vec<u8>) {
        if let Ok(Outcome::Complete(ServerResult::Discover(found))) = &mut outcome {
            self.shared.learn_identity(found);
            found.supported_versions = served();
        }
        if let Ok(Outcome::Complete(ServerResult::SubscriptionsListen(result))) = &mut outcome {
            ended(result, Some(self.sink.request()));
        }
        if self.era == Era::Legacy && matches!(outcome, Ok(Outcome::InputRequired(_))) {
            outcome = Err(ErrorObject::invalid_request(
                "the request needs input from the client, which takes a session: send \
                 `initialize` first",
            ));
        }
        let id = self.sink.request();
        let written = self.codec.encode_response(out, id, outcome.as_ref(), self.shared.stamp());
        if let Err(error) = written {
            let error = ErrorObject::internal(format!("the result has no JSON form: {error}"));
            wire::encode_error(out, Some(id), &error);
        }
    }

    /// The status of an answer that is one JSON text.
    fn status(&self, outcome: &Result<Outcome, ErrorObject>) -> StatusCode {
        match (outcome, self.era) {
            (Err(error), Era::Modern) => status_of(error.code),
            // Authorization has its statuses in every revision (RFC 6750, section 3.1).
            (Err(error), _) if error.code == INSUFFICIENT_SCOPE => StatusCode::FORBIDDEN,
            // Revisions with a handshake have one status for whatever a method answers.
            _ => StatusCode::OK,
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(future) = self.future.take() else { return };
        if self.era == Era::Modern {
            // Dropping a future is its cancellation; one that panics meanwhile is gone as well.
            let _ = guarded(|| drop(future));
            return;
        }
        // 2025-11-25, "Sending Messages": a client that goes away has cancelled nothing.
        self.sink.deafen();
        self.shared.spawn(future);
    }
}

/// The HTTP status with which an error travels when it is the whole answer.
pub(super) fn status_of(code: i64) -> StatusCode {
    if code == TOO_MANY_REQUESTS {
        return StatusCode::TOO_MANY_REQUESTS;
    }
    if code == INSUFFICIENT_SCOPE {
        return StatusCode::FORBIDDEN;
    }
    let known = mcp_types::error::CODES.iter().find(|row| row.code == code && row.modern);
    known.and_then(|row| StatusCode::from_u16(row.http_status).ok()).unwrap_or(StatusCode::OK)
}

fn write_event(out: &mut Vec<u8>, text: &[u8]) {
    // What a codec writes is UTF-8.
    let data = std::str::from_utf8(text).unwrap_or_default();
    sse::write(out, &sse::Fields { data, ..sse::Fields::default() });
}

/// An error answer to the request `id`, with the status of its code.
pub(super) fn refused(id: &RequestId, error: &ErrorObject) -> Answer {
    body::error(status_of(error.code), Some(id), error)
}

/// The rest of an answer that became a stream.
pub(super) struct CallStream {
    /// `None` once the last event was given out.
    call: Option<Call>,
    first: Option<Bytes>,
}

impl CallStream {
    /// The next events, all that there are at once; `None` after the last.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        let Some(call) = &mut self.call else { return Poll::Ready(None) };
        let mut out = Vec::new();
        let outcome = call.poll_outcome(cx);
        call.write_notifications(call.sink.take_or_wake(cx.waker()), &mut out);
        if let Poll::Ready(outcome) = outcome {
            call.write_last_event(outcome, &mut out);
            self.call = None;
            return Poll::Ready(Some(out.into()));
        }
        if !out.is_empty() {
            call.hush(cx);
            return Poll::Ready(Some(out.into()));
        }
        if call.poll_silence(cx).is_ready() {
            sse::write_keep_alive(&mut out);
            return Poll::Ready(Some(out.into()));
        }
        Poll::Pending
    }
}
