//! One POST of a session: the calls that it started, driven by whoever reads its answer.
//!
//! A client of these revisions that goes away has cancelled nothing (2025-11-25, "Sending
//! Messages"). So what is not done when its answer is dropped goes on in a task of its own, and its
//! events are kept for a client that comes back.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use mcp_types::{
    ErrorObject, Exchange, ExchangeFuture, ExchangeId, Extensions, Notifier, Outcome,
    ProtocolVersion, ServerNotification,
};
use tokio::time::Sleep;

use super::body::{self, Answer, Asked, Kind};
use super::event_store::{EventPlace, EventStore, Storing};
use super::nodes::Done;
use super::outlet::{Leave, Outlet};
use super::session::{Busy, Session, Worked};
use super::shared::Shared;
use crate::driver::guarded;
use crate::http::{required_scopes, sse};
use crate::proto::server::ServerConn;

/// How many messages are gathered before they are written.
const ROOM: usize = 64;

/// How many bytes are written at once.
const MOST: usize = 64 << 10;

/// How long a client waits before it comes back, unless it is told otherwise.
const RETRY: Duration = Duration::from_secs(1);

/// Calls of one session that leave by one stream.
pub(super) struct Post {
    shared: Arc<Shared>,
    pub(super) session: Arc<Session>,
    outlet: Arc<Outlet>,
    of: Of,
    /// What layers may want to know of the HTTP request.
    extensions: Extensions,
    running: Vec<(ExchangeId, ExchangeFuture)>,
    /// When the session has to be looked at though nothing has happened.
    deadline: Option<Pin<Box<Sleep>>>,
    silence: Option<Pin<Box<Sleep>>>,
    numbers: Option<Numbers>,
    /// What the sender lacks, where a call was refused for that.
    lacking: Option<Vec<String>>,
    cancelled: bool,
    done: bool,
    /// A session that is being kept for other nodes too.
    keeping: Option<Done<(), Answer>>,
}

/// Where calls come from.
pub(super) enum Of {
    /// A message of the client; the session is not idle as long as it lasts.
    Client { _busy: Busy },
    /// The message with which the client begins a session, whose id leaves with the answer.
    Handshake,
    /// The session itself.
    Session,
}

/// The stream by which a call of a session is answered; in the exchange's
/// [`Extensions`](mcp_types::Extensions).
#[derive(Debug, Clone)]
pub struct AnswerStream(Arc<Outlet>);

impl AnswerStream {
    /// Ends the answer before the call is done, and has the client come back for the rest after
    /// `pause` (2025-11-25, "Sending Messages": polling).
    ///
    /// Nothing happens where the client could not come back: without an
    /// [`EventStore`](super::EventStore).
    pub fn close(&self, pause: Duration) {
        self.0.leave(Leave::Later(pause));
    }
}

/// Gives events their numbers, and keeps them before they are sent.
struct Numbers {
    store: Arc<dyn EventStore>,
    next: EventPlace,
    storing: Option<Storing>,
    /// Whether the last event was kept.
    kept: bool,
}

type Finished = (ExchangeId, Result<Outcome, ErrorObject>);

impl Post {
    /// Gives `act` the session's connection, and takes what comes of it.
    pub(super) fn start(
        shared: &Arc<Shared>,
        session: Arc<Session>,
        of: Of,
        extensions: Extensions,
        cx: &mut Context<'_>,
        act: impl FnOnce(&mut ServerConn, Instant),
    ) -> Box<Self> {
        let outlet = session.outlet();
        let mut extensions = extensions;
        if matches!(of, Of::Client { .. }) {
            extensions.insert(AnswerStream(outlet.clone()));
        }
        let mut post = Self::new(shared, session, outlet, of, extensions);
        post.work(cx, act);
        post
    }

    fn new(
        shared: &Arc<Shared>,
        session: Arc<Session>,
        outlet: Arc<Outlet>,
        of: Of,
        extensions: Extensions,
    ) -> Box<Self> {
        Box::new(Self {
            shared: shared.clone(),
            session,
            outlet,
            of,
            extensions,
            running: Vec::new(),
            deadline: None,
            silence: None,
            numbers: None,
            lacking: None,
            cancelled: false,
            done: false,
            keeping: None,
        })
    }

    fn work(&mut self, cx: &mut Context<'_>, act: impl FnOnce(&mut ServerConn, Instant)) {
        let own = (!matches!(self.of, Of::Session)).then_some(&self.outlet);
        let Worked { started, internal, deadline, closed } =
            self.session.work(own, self.shared.options.json_only, act);
        self.deadline = deadline.map(|deadline| {
            let fresh = || Box::pin(tokio::time::sleep_until(deadline.into()));
            let mut timer = self.deadline.take().unwrap_or_else(fresh);
            timer.as_mut().reset(deadline.into());
            timer
        });
        for exchange in started {
            self.run(exchange, cx);
        }
        Self::start_internal(&self.shared, &self.session, internal, &self.extensions, cx);
        self.cancelled |= closed;
        self.done = !self.session.is_open(&self.outlet);
    }

    /// Starts exchanges of the session's own, which last as long as it does.
    pub(super) fn start_internal(
        shared: &Arc<Shared>,
        session: &Arc<Session>,
        exchanges: Vec<(Exchange, Arc<Outlet>)>,
        extensions: &Extensions,
        cx: &mut Context<'_>,
    ) {
        for (exchange, outlet) in exchanges {
            let extensions = extensions.clone();
            let mut post = Self::new(shared, session.clone(), outlet, Of::Session, extensions);
            post.run(exchange, cx);
            post.go_on();
        }
    }

    fn run(&mut self, mut exchange: Exchange, cx: &mut Context<'_>) {
        let id = exchange.id();
        exchange.notifier = Notifier::new(self.outlet.clone(), id);
        exchange.context.extensions = self.extensions.clone();
        self.running.push((id, self.shared.start_plainly(exchange, cx)));
    }

    /// Does what can be done now, until there are `most` messages; `true` once all is answered.
    fn poll_drive(&mut self, most: usize, cx: &mut Context<'_>) -> bool {
        while !self.done && self.outlet.messages() < most {
            let inbox = self.outlet.take_inbox();
            if inbox.closed {
                self.running.drain(..).for_each(drop_guarded);
                self.cancelled = true;
                self.done = true;
                break;
            }
            for id in inbox.cancelled {
                self.cancelled = true;
                self.running.extract_if(.., |(known, _)| *known == id).for_each(drop_guarded);
            }
            for exchange in inbox.again {
                self.run(exchange, cx);
            }
            let mut said = inbox.notifications;
            let finished = self.poll_running(cx);
            // What a call said before its end leaves before its end.
            self.outlet.take_notifications(&mut said);
            let deadline = self.deadline.as_mut();
            let expired = deadline.is_some_and(|timer| timer.as_mut().poll(cx).is_ready());
            if !said.is_empty() || !finished.is_empty() || expired {
                self.settle(said, finished, cx);
                continue;
            }
            self.done = !self.session.is_open(&self.outlet);
            if self.done || self.outlet.park(cx.waker()) {
                break;
            }
        }
        self.done
    }

    fn poll_running(&mut self, cx: &mut Context<'_>) -> Vec<Finished> {
        let mut finished = Vec::new();
        self.running.retain_mut(|(id, future)| {
            let mut outcome = Poll::Pending;
            // Through the capture, because an outcome is large and what a guard gives back is moved.
            if let Err(error) = guarded(|| outcome = future.as_mut().poll(cx)) {
                outcome = Poll::Ready(Err(error));
            }
            let Poll::Ready(outcome) = outcome else { return true };
            let empty: ExchangeFuture = Box::pin(std::future::pending());
            drop_guarded((*id, std::mem::replace(future, empty)));
            finished.push((*id, outcome));
            false
        });
        finished
    }

    fn settle(
        &mut self,
        said: VecDeque<(ExchangeId, ServerNotification)>,
        finished: Vec<Finished>,
        cx: &mut Context<'_>,
    ) {
        let errors = finished.iter().filter_map(|(_, outcome)| outcome.as_ref().err());
        self.lacking = errors.filter_map(required_scopes).next().or_else(|| self.lacking.take());
        self.work(cx, |conn, now| {
            for (exchange, notification) in said {
                conn.notify(exchange, notification);
            }
            for (exchange, outcome) in finished {
                conn.complete(now, exchange, outcome);
            }
            conn.handle_timeout(now);
        });
    }

    /// Gives out all messages, each kept first where a client may come back for it.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(Option<u64>, Bytes),
    ) -> Poll<()> {
        loop {
            let Some(numbers) = &mut self.numbers else {
                let Some(message) = self.outlet.next_message() else { return Poll::Ready(()) };
                write(None, message);
                continue;
            };
            if let Some((storing, ..)) = &mut numbers.storing {
                // An event that could not be kept is sent all the same.
                numbers.kept = ready!(storing.as_mut().poll(cx)).is_ok();
            }
            if let Some((_, number, message)) = numbers.storing.take() {
                write(Some(number), message);
            }
            let Some(message) = self.outlet.next_message() else { return Poll::Ready(()) };
            numbers.keep(message);
        }
    }

    /// From here on events have numbers, if a client may come back for them.
    fn begin_numbers(&mut self) {
        let Some(store) = self.shared.options.event_store.clone() else { return };
        if !matches!(self.of, Of::Client { .. }) || self.session.id.is_empty() {
            return;
        }
        let next = EventPlace::new(self.session.id.clone(), self.outlet.number, 0);
        let mut numbers = Numbers { store, next, storing: None, kept: true };
        // An event that says nothing, so that a client can come back before there is another one.
        numbers.keep(Bytes::new());
        self.numbers = Some(numbers);
        self.session.keep_stream(&self.outlet);
    }

    /// Ends the stream for good.
    fn finish(&self) {
        self.outlet.end();
        if self.numbers.is_some() {
            self.session.forget_stream(&self.outlet);
        }
    }

    /// Goes on without anybody who reads, or with one who came back.
    fn go_on(self: Box<Self>) {
        let runtime = self.shared.runtime();
        let mut post = self;
        runtime.spawn(Box::pin(async move { poll_fn(|cx| post.poll_alone(cx)).await }));
    }

    fn poll_alone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if !self.outlet.has_room() {
                if self.outlet.park(cx.waker()) {
                    return Poll::Pending;
                }
                continue;
            }
            let outlet = self.outlet.clone();
            ready!(self.poll_write(cx, |number, message| {
                if let Some(number) = number {
                    outlet.publish(number, message);
                }
            }));
            if self.done {
                self.finish();
                return Poll::Ready(());
            }
            self.poll_drive(ROOM, cx);
            if !self.done && self.outlet.messages() == 0 {
                return Poll::Pending;
            }
        }
    }

    /// Ready once nothing has left for a while; then the next while begins.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = self.shared.options.keep_alive else { return Poll::Pending };
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(silence.as_mut().poll(cx));
        self.hush(cx);
        Poll::Ready(())
    }

    /// Something left just now.
    fn hush(&mut self, cx: &mut Context<'_>) {
        if let (Some(pause), Some(silence)) = (self.shared.options.keep_alive, &mut self.silence) {
            silence.as_mut().reset(tokio::time::Instant::now() + pause);
            // A timer that was reset wakes nobody until it is polled.
            let _ = silence.as_mut().poll(cx);
        }
    }

    /// Keeps the session that begins here for other nodes too, where there are some.
    fn poll_kept(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Answer>> {
        let Some(nodes) = &self.shared.options.nodes else { return Poll::Ready(Ok(())) };
        if self.session.id.is_empty() || self.session.version().is_none() {
            return Poll::Ready(Ok(()));
        }
        let begin = || nodes.keep(&self.shared, &self.session);
        self.keeping.get_or_insert_with(begin).as_mut().poll(cx)
    }

    /// The answer when all of it is there at once.
    fn whole_answer(&self, asked: &mut Asked) -> Answer {
        let mut messages = std::iter::from_fn(|| self.outlet.next_message());
        match (messages.next(), messages.next()) {
            (Some(only), None) if !self.cancelled => match &self.lacking {
                // Authorization has its statuses in every revision (RFC 6750, section 3.1).
                Some(scopes) => {
                    let mut answer = body::json_for(asked, StatusCode::FORBIDDEN, only);
                    self.shared.challenge(&mut answer, scopes);
                    answer
                }
                None => body::json_for(asked, StatusCode::OK, only),
            },
            // A batch that wants no answer.
            (None, _) if !self.cancelled => body::empty(StatusCode::ACCEPTED),
            (first, second) => {
                let mut out = Vec::new();
                for message in first.into_iter().chain(second).chain(messages) {
                    write_event(&mut out, None, &message);
                }
                body::events(out)
            }
        }
    }
}

impl Numbers {
    fn keep(&mut self, message: Bytes) {
        let place = self.next.clone();
        self.next.event += 1;
        let number = place.event;
        self.storing = Some((self.store.append(place, message.clone()), number, message));
    }
}

/// A POST in the hands of whoever reads its answer.
pub(super) struct Held(pub(super) Option<Box<Post>>);

impl Held {
    /// Polls for the answer's head; a POST that became a stream is taken out of its place.
    pub(super) fn poll_answer(&mut self, asked: &mut Asked, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(post) = &mut self.0 else { return Poll::Pending };
        let handshake = matches!(post.of, Of::Handshake);
        let may_stream = !handshake && !post.shared.options.json_only;
        if post.poll_drive(if may_stream { 1 } else { usize::MAX }, cx) {
            if handshake && let Err(answer) = ready!(post.poll_kept(cx)) {
                return Poll::Ready(answer);
            }
            let answer = post.whole_answer(asked);
            return Poll::Ready(match handshake {
                true => post.shared.welcome(&post.session, answer),
                false => answer,
            });
        }
        let must_leave = post.outlet.must_leave();
        let speaks = post.outlet.messages() > 0 || must_leave;
        if !may_stream || !speaks && post.poll_silence(cx).is_pending() {
            return Poll::Pending;
        }
        post.begin_numbers();
        let primes = primes(&post.session);
        let stream = PostStream { post: Self(self.0.take()), primes, fresh: true, placed: false };
        Poll::Ready(body::stream(Kind::Post(Box::new(stream))))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(post) = self.0.take()
            && !post.done
            && matches!(post.of, Of::Client { .. })
        {
            post.go_on();
        }
    }
}

/// The rest of an answer that became a stream.
pub(super) struct PostStream {
    post: Held,
    primes: bool,
    fresh: bool,
    /// Whether the client has read where it may come back to; before, it is not to leave.
    placed: bool,
}

impl PostStream {
    /// The next events, all that there are at once; `None` after the last.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(post) = &mut self.post.0 else { return Poll::Ready(None) };
        let mut out = Vec::new();
        let (stream, primes, outlet) = (post.outlet.number, self.primes, post.outlet.clone());
        let placed = &mut self.placed;
        while out.len() < MOST {
            let written = post.poll_write(cx, |number, message| {
                *placed |= number.is_some() && (primes || !message.is_empty());
                if !message.is_empty() {
                    write_event(&mut out, number.map(|number| (stream, number)), &message);
                    // Somebody may have come back whom this reader does not know of yet.
                    number.into_iter().for_each(|number| outlet.publish(number, message.clone()));
                } else if primes && let Some(number) = number {
                    write_prime(&mut out, (stream, number));
                }
            });
            if written.is_pending() {
                break;
            }
            if post.done {
                post.finish();
                self.post.0 = None;
                return Poll::Ready((!out.is_empty()).then(|| out.into()));
            }
            post.poll_drive(ROOM, cx);
            if !post.done && post.outlet.messages() == 0 {
                break;
            }
        }
        // Nor where nothing is kept to come back for.
        let kept = post.numbers.as_ref().is_none_or(|numbers| numbers.kept);
        if *placed
            && kept
            && let Some(why) = post.outlet.take_leave()
        {
            if let Leave::Later(time) = why {
                out.extend_from_slice(format!("retry: {}\n\n", time.as_millis()).as_bytes());
            }
            if let Some(post) = self.post.0.take() {
                post.go_on();
            }
            return Poll::Ready((!out.is_empty()).then(|| out.into()));
        }
        if out.is_empty() && (std::mem::take(&mut self.fresh) || post.poll_silence(cx).is_ready()) {
            sse::write_keep_alive(&mut out);
        }
        if out.is_empty() {
            return Poll::Pending;
        }
        self.fresh = false;
        post.hush(cx);
        Poll::Ready(Some(out.into()))
    }
}

/// Whether the client knows events without data; to older ones each event is a message.
pub(super) fn primes(session: &Session) -> bool {
    session.version().is_some_and(|version| version >= ProtocolVersion::V2025_11_25)
}

/// An event of the stream with its number, under which a client may ask for what came after it.
pub(super) fn write_event(out: &mut Vec<u8>, place: Option<(u64, u64)>, message: &[u8]) {
    let id = place.map(|(stream, event)| format!("{stream}-{event}"));
    // What a codec writes is UTF-8.
    let data = std::str::from_utf8(message).unwrap_or_default();
    sse::write(out, &sse::Fields { id: id.as_deref(), data, ..sse::Fields::default() });
}

/// An event that says nothing but where a client may come back to.
pub(super) fn write_prime(out: &mut Vec<u8>, (stream, event): (u64, u64)) {
    let id = format!("{stream}-{event}");
    let fields = sse::Fields { id: Some(&id), retry: Some(RETRY), ..sse::Fields::default() };
    sse::write(out, &fields);
}

fn drop_guarded(call: (ExchangeId, ExchangeFuture)) {
    // A future that panics while it is dropped is gone all the same.
    let _ = guarded(|| drop(call));
}
