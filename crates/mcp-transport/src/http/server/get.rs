//! A stream that a client opened by GET, in revisions with a handshake.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use mcp_types::{BoxFuture, ErrorObject, Extensions, Principal};
use tokio::time::Sleep;

use super::body::{Answer, unavailable};
use super::event_store::{EventPlace, Storing};
use super::follow::Follow;
use super::outlet::Outlet;
use super::post::{Post, primes, write_event, write_prime};
use super::session::{Busy, Session};
use super::shared::{Place, Shared};
use crate::http::sse;

/// What the client reads.
pub(super) struct GetStream {
    shared: Arc<Shared>,
    _busy: Busy,
    /// One of the streams that may be open at once.
    _place: Place,
    /// The stream of what was missed, and of its rest.
    stream: u64,
    /// The stream of what belongs to no request, on this node.
    live: u64,
    /// Events that are to be written: of which stream, with which number.
    ready: VecDeque<(u64, u64, Bytes)>,
    /// The last event that was missed: what has come since may be among those.
    seen: u64,
    /// Where events come from after these; `None` when there are no more.
    source: Option<Source>,
    storing: Option<Storing>,
    silence: Option<Pin<Box<Sleep>>>,
    closing: BoxFuture<'static, ()>,
    /// Who reads, as layers want to know; `None` once that was told.
    extensions: Option<Extensions>,
    fresh: bool,
}

/// Where events come from.
pub(super) enum Source {
    /// Messages that belong to no request; they get their numbers here.
    Standalone { session: Arc<Session>, name: u64 },
    /// The rest of a stream that broke, with numbers.
    Outlet { outlet: Arc<Outlet>, name: u64 },
    /// The same, where another node writes it.
    Elsewhere { follow: Box<dyn Follow> },
}

impl Drop for Source {
    fn drop(&mut self) {
        match self {
            Self::Standalone { session, name } => session.standalone.exit(*name),
            Self::Outlet { outlet, name } => outlet.detach(*name),
            Self::Elsewhere { .. } => {}
        }
    }
}

impl GetStream {
    /// The stream `stream` of a session: what was missed of it, and what comes.
    pub(super) fn new(
        shared: &Arc<Shared>,
        busy: Busy,
        stream: u64,
        source: Option<Source>,
        missed: Vec<(u64, Bytes)>,
        who: Option<Principal>,
    ) -> Result<Self, Answer> {
        let Some(place) = Place::take(shared) else {
            let text = "there are as many streams open as there may be, try again later";
            return Err(unavailable(None, &ErrorObject::internal(text)));
        };
        let mut extensions = Extensions::new();
        if let Some(who) = who {
            extensions.insert(who);
        }
        let live = busy.0.standalone_stream();
        let seen = missed.last().map_or(0, |(number, _)| *number);
        let mut storing = None;
        let primes = primes(&busy.0);
        if let (Some(Source::Standalone { session, .. }), Some(store)) =
            (&source, shared.options.event_store.as_ref().filter(|_| primes))
        {
            // An event that says nothing, so that a client can come back before there is another.
            let number = session.standalone.number();
            let place = EventPlace::new(session.id.clone(), session.standalone_stream(), number);
            storing = Some((store.append(place, Bytes::new()), number, Bytes::new()));
        }
        Ok(Self {
            shared: shared.clone(),
            _busy: busy,
            _place: place,
            stream,
            live,
            // Those that say nothing were there for the reader of that time.
            ready: missed
                .into_iter()
                .filter(|(_, message)| !message.is_empty())
                .map(|(number, message)| (stream, number, message))
                .collect(),
            seen,
            source,
            storing,
            silence: None,
            closing: shared.closing(),
            extensions: Some(extensions),
            fresh: true,
        })
    }

    /// The next events, all that there are at once; `None` after the last.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let (Some(Source::Standalone { session, .. }), Some(extensions)) =
            (&self.source, self.extensions.take())
        {
            let begun = session.begin_to_listen(&extensions);
            Post::start_internal(&self.shared, session, begun, &extensions, cx);
        }
        let mut out = Vec::new();
        let ended = loop {
            self.write_ready(&mut out);
            match self.poll_source(cx) {
                Poll::Ready(true) => {}
                Poll::Ready(false) => break true,
                Poll::Pending => break false,
            }
            if out.len() > MOST {
                break false;
            }
        };
        if ended || self.closing.as_mut().poll(cx).is_ready() {
            self.source = None;
            return Poll::Ready((!out.is_empty()).then(|| out.into()));
        }
        // The head is sent with the first bytes of the body, so there have to be some.
        let fresh = std::mem::take(&mut self.fresh);
        if out.is_empty() && (fresh || self.poll_silence(cx).is_ready()) {
            sse::write_keep_alive(&mut out);
        }
        if out.is_empty() {
            return Poll::Pending;
        }
        self.hush(cx);
        Poll::Ready(Some(out.into()))
    }

    fn write_ready(&mut self, out: &mut Vec<u8>) {
        for (stream, number, message) in self.ready.drain(..) {
            if message.is_empty() {
                write_prime(out, (stream, number));
            } else {
                write_event(out, Some((stream, number)), &message);
            }
        }
    }

    /// Takes events that are there; `false` when there will be no more.
    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        if let Some((storing, ..)) = &mut self.storing {
            // An event that could not be kept is sent all the same.
            let _ = ready!(storing.as_mut().poll(cx));
        }
        if let Some((_, number, message)) = self.storing.take() {
            // Only events of the stream that belongs to no request are kept here.
            self.ready.push_back((self.live, number, message));
            return Poll::Ready(true);
        }
        match &self.source {
            None => Poll::Ready(false),
            Some(Source::Outlet { outlet, name }) => {
                let events = ready!(outlet.poll_live(*name, cx));
                let more = events.is_some();
                let seen = self.seen;
                let new = events.into_iter().flatten().filter(|(number, _)| *number > seen);
                self.ready.extend(new.map(|(number, message)| (self.stream, number, message)));
                Poll::Ready(more)
            }
            Some(Source::Elsewhere { .. }) => {
                let Some(Source::Elsewhere { follow }) = &mut self.source else {
                    return Poll::Ready(false);
                };
                let events = ready!(follow.poll_next(cx));
                let more = events.is_some();
                let new = events.into_iter().flatten();
                self.ready.extend(new.map(|(number, message)| (self.stream, number, message)));
                Poll::Ready(more)
            }
            Some(Source::Standalone { session, name }) => {
                let message = ready!(session.standalone.poll_next(*name, cx));
                let Some(message) = message else { return Poll::Ready(false) };
                let number = session.standalone.number();
                match &self.shared.options.event_store {
                    None => self.ready.push_back((self.live, number, message)),
                    Some(store) => {
                        let id = session.id.clone();
                        let place = EventPlace::new(id, self.live, number);
                        let storing = store.append(place, message.clone());
                        self.storing = Some((storing, number, message));
                    }
                }
                Poll::Ready(true)
            }
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = self.shared.options.keep_alive else { return Poll::Pending };
        let silence = self.silence.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        silence.as_mut().poll(cx)
    }

    fn hush(&mut self, cx: &mut Context<'_>) {
        if let (Some(pause), Some(silence)) = (self.shared.options.keep_alive, &mut self.silence) {
            silence.as_mut().reset(tokio::time::Instant::now() + pause);
            // A timer that was reset wakes nobody until it is polled.
            let _ = silence.as_mut().poll(cx);
        }
    }
}

/// How many bytes are written at once.
const MOST: usize = 64 << 10;
