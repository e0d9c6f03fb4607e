//! Serving one connection.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mcp_types::jsonrpc::Message;
use mcp_types::{
    ByteString, ErrorObject, Exchange, ExchangeId, ExchangeService, NotificationSink, Notifier,
    Outcome, RequestId, Runtime,
};
use tokio::time::Sleep;

use super::calls::{Calls, CallsOf};
use super::held::{Held, cancelled};
use super::last::Last;
use super::notify::Queue;
use super::peer::{ClientPeer, Spoken};
use super::pipe::{HIGH_WATER, Pipe, is_gone};
use super::wakes::{SlotWake, Wakes};
use crate::framing::{Fault, FrameLimits};
use crate::proto::server::{ServerConn, ServerEvent, ServerLimits};
use crate::runtime::TokioRuntime;
use crate::{Error, Io};

/// How a connection is served. The defaults are safe for a peer that nobody trusts.
#[derive(Clone)]
#[non_exhaustive]
pub struct ServeOptions {
    /// How large a message may be.
    pub frame: FrameLimits,
    /// How much may be going on at once.
    pub limits: ServerLimits,
    /// How long calls in flight may go on, and a client may read nothing of what is left for it, after
    /// the end of the input; half a second by default.
    pub drain: Duration,
    /// How long a client may go on writing without reading a single byte of what waits for it, once
    /// no more can be taken in; a minute by default. The end of its input could not be seen behind
    /// what it wrote, so the connection ends with an error.
    pub stall: Duration,
    /// Timers, tasks and threads for the exchanges; tokio's by default.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// Makes this the connection of a gateway, which speaks with the client outside of any exchange.
    pub client: Option<ClientPeer>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            frame: FrameLimits::default(),
            limits: ServerLimits::default(),
            drain: Duration::from_millis(500),
            stall: Duration::from_secs(60),
            runtime: None,
            client: None,
        }
    }
}

impl std::fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServeOptions")
            .field("frame", &self.frame)
            .field("limits", &self.limits)
            .field("drain", &self.drain)
            .field("stall", &self.stall)
            .finish_non_exhaustive()
    }
}

/// Serves one connection until its input ends, with the default [`ServeOptions`].
///
/// Nothing that the peer sends ends it: a line that is no message is answered with an error, a
/// handler that panics answers an error, and the next line is served.
///
/// # Errors
///
/// When the stream itself fails. A peer that goes away is no error.
///
/// # Panics
///
/// Outside a tokio runtime with timers.
pub async fn serve<S: ExchangeService>(service: S, io: Io) -> Result<(), Error> {
    serve_with(service, io, ServeOptions::default()).await
}

/// Serves one connection until its input ends.
///
/// # Errors
///
/// As [`serve`].
///
/// # Panics
///
/// As [`serve`].
pub async fn serve_with<S: ExchangeService>(
    service: S,
    io: Io,
    options: ServeOptions,
) -> Result<(), Error> {
    drive(Box::new(CallsOf::new(service)), io, options).await
}

async fn drive(calls: Box<dyn Calls>, io: Io, options: ServeOptions) -> Result<(), Error> {
    let Io { reader, writer, attached } = io;
    let last = Last::new(options.runtime.unwrap_or_else(TokioRuntime::shared));
    let wakes = Arc::new(Wakes::default());
    let queue = Queue::new(wakes.clone());
    let conn = ServerConn::new(options.limits);
    let mut driver = Driver {
        conn: match &options.client {
            Some(peer) => peer.begin(conn),
            None => conn,
        },
        peer: options.client,
        unsaid: false,
        pipe: Pipe::new(reader, writer, options.frame),
        calls,
        slots: Vec::new(),
        free: Vec::new(),
        waiting: VecDeque::new(),
        sink: queue.clone(),
        queue,
        wakes,
        woken: Vec::new(),
        runtime: last.clone(),
        drain: options.drain,
        held: Held::default(),
        ahead: Held::default(),
        end: None,
        stall: options.stall,
        stalled: None,
        timer: None,
        now: Instant::now(),
    };
    let result = poll_fn(|cx| driver.poll(cx)).await;
    driver.queue.close();
    if let Some(peer) = &driver.peer {
        peer.close();
    }
    drop(driver);
    last.run().await;
    if let Some(attached) = attached {
        attached.end().await;
    }
    result
}

/// How many lines are handled before other tasks of the runtime get their turn.
const TURN: usize = 512;

/// How many bytes of lines are held while as many calls as may be are in flight, or while the client
/// does not read what waits for it.
const MOST_HELD: usize = 256 << 10;

struct Driver {
    conn: ServerConn,
    peer: Option<ClientPeer>,
    /// Whether a gateway has more to say.
    unsaid: bool,
    pipe: Pipe,
    calls: Box<dyn Calls>,
    slots: Vec<Slot>,
    free: Vec<usize>,
    /// Exchanges for which the service was not ready.
    waiting: VecDeque<Exchange>,
    /// Requests that came while as many as may be were in flight, in order.
    held: Held,
    /// Lines that came while much was unsent: they are read so that the end of the input is seen.
    ahead: Held,
    queue: Arc<Queue>,
    sink: Arc<dyn NotificationSink>,
    wakes: Arc<Wakes>,
    woken: Vec<usize>,
    runtime: Arc<dyn Runtime>,
    drain: Duration,
    /// Set at the end of the input: until when calls in flight may go on.
    end: Option<Instant>,
    stall: Duration,
    /// Set while nothing can be read nor written: until when, and what was written when it began.
    stalled: Option<(Instant, u64)>,
    timer: Option<Pin<Box<Sleep>>>,
    now: Instant,
}

struct Slot {
    exchange: Option<ExchangeId>,
    wake: Arc<SlotWake>,
    waker: Waker,
}

impl Driver {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.wakes.register(cx.waker());
        self.now = tokio::time::Instant::now().into_std();
        self.conn.handle_timeout(self.now);
        let mut turn = TURN;
        loop {
            self.poll_woken();
            self.send_notifications();
            self.hear_peer(cx);
            self.run_events(cx);
            let read = match self.read(cx, &mut turn) {
                Ok(read) => read,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            self.collect();
            let before = self.pipe.sent();
            let written = match self.pipe.poll_write(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(error)) if is_gone(&error) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => false,
            };
            self.renew_drain(before);
            if self.is_done(written) && self.pipe.poll_shutdown(cx).is_ready() || self.is_over() {
                return Poll::Ready(Ok(()));
            }
            if self.is_stalled() {
                return Poll::Ready(Err(stalled().into()));
            }
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            // Writing made room, or a call woke meanwhile: there is more to do right now.
            let room = (read == Read::Full && self.may_read())
                || (!self.held.is_empty() && self.may_start())
                || !self.ahead.is_empty()
                || self.unsaid
                || !self.queue.is_empty();
            let more = (written && room) || !self.wakes.is_empty();
            if !more && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads and handles lines until there are none, or no more may be taken in.
    fn read(&mut self, cx: &mut Context<'_>, turn: &mut usize) -> std::io::Result<Read> {
        loop {
            self.start_held(cx, turn);
            if *turn == 0 {
                return Ok(Read::Full);
            }
            let has_room = self.pipe.unsent() < HIGH_WATER;
            let line = match if has_room { self.ahead.pop() } else { None } {
                Some(line) => line,
                None if self.end.is_some() => return Ok(Read::Ended),
                None if !self.may_read() => return Ok(Read::Full),
                None => match self.pipe.poll_line(cx) {
                    Poll::Pending => return Ok(Read::Empty),
                    Poll::Ready(Ok(Some(line))) => line,
                    Poll::Ready(Ok(None)) => {
                        self.end = Some(self.now + self.drain);
                        self.end_subscriptions(cx);
                        return Ok(Read::Ended);
                    }
                    Poll::Ready(Err(error)) => return Err(error),
                },
            };
            match line {
                line if !has_room => self.take_ahead(line),
                Ok(line) => self.take(line),
                Err(fault) => self.conn.handle_fault(&fault),
            }
            *turn -= 1;
            self.run_events(cx);
            self.collect();
        }
    }

    /// Handles the requests that were held, as far as there is room.
    fn start_held(&mut self, cx: &mut Context<'_>, turn: &mut usize) {
        while self.may_start() && self.pipe.unsent() < HIGH_WATER && *turn > 0 {
            match self.held.pop() {
                Some(Ok(line)) => self.conn.handle(self.now, &line),
                Some(Err(fault)) => self.conn.handle_fault(&fault),
                None => return,
            }
            *turn -= 1;
            self.run_events(cx);
            self.collect();
        }
    }

    /// Whether another request may be served.
    fn may_start(&self) -> bool {
        self.conn.has_room() && self.waiting.is_empty()
    }

    /// Handles a line, or holds it while there is no room for it. Answers, cancellations and the end
    /// of the input are what makes room, so these never wait, and neither does a ping.
    fn take(&mut self, line: ByteString) {
        if self.may_start() && self.held.is_empty() {
            return self.conn.handle(self.now, &line);
        }
        let message = Message::parse(&line).ok();
        let must_wait = match &message {
            Some(Message::Request(request)) => request.method != "ping",
            Some(_) => false,
            None => line.trim_start().starts_with('['),
        };
        if must_wait {
            return self.held.push(line, message.as_ref(), self.conn.limits().in_flight);
        }
        self.take_now(&line, message.as_ref());
    }

    /// Handles a line although others wait; a cancellation may be of one of these.
    fn take_now(&mut self, line: &ByteString, message: Option<&Message>) {
        let here = |id: &RequestId| self.held.cancel(id) || self.ahead.cancel(id);
        let given_up = message.and_then(cancelled).filter(|id| !self.conn.is_in_flight(id));
        if !given_up.as_ref().is_some_and(here) {
            self.conn.handle(self.now, line);
        }
    }

    /// Puts a line aside that may be answered, because nobody reads the answers.
    fn take_ahead(&mut self, line: Result<ByteString, Fault>) {
        let line = match line {
            Ok(line) => line,
            Err(fault) => return self.ahead.push_fault(fault),
        };
        match Message::parse(&line).ok() {
            Some(told @ Message::Notification(_)) => self.take_now(&line, Some(&told)),
            message => self.ahead.push(line, message.as_ref(), self.conn.limits().in_flight),
        }
    }

    fn may_read(&self) -> bool {
        self.held.bytes() + self.ahead.bytes() < MOST_HELD
    }

    /// Whether the client has neither read nor let itself be read for too long.
    fn is_stalled(&mut self) -> bool {
        let sent = self.pipe.sent();
        let stands = self.pipe.unsent() >= HIGH_WATER && !self.may_read() && self.end.is_none();
        match self.stalled {
            Some((until, before)) if stands && before == sent => self.now >= until,
            _ => {
                self.stalled = stands.then(|| (self.now + self.stall, sent));
                false
            }
        }
    }

    /// Starts what the protocol wants to be served, and drops what it wants to be dropped.
    fn run_events(&mut self, cx: &mut Context<'_>) {
        loop {
            let exchange = match self.waiting.pop_front() {
                Some(exchange) => exchange,
                None => match self.conn.poll_event() {
                    Some(ServerEvent::Exchange(exchange)) => exchange,
                    Some(other) => {
                        self.take_event(other);
                        continue;
                    }
                    None => return,
                },
            };
            match self.calls.poll_ready(cx) {
                Poll::Ready(Ok(())) => self.start(exchange),
                Poll::Ready(Err(error)) => {
                    self.conn.complete(self.now, exchange.id(), Err(error));
                }
                Poll::Pending => {
                    self.waiting.push_front(exchange);
                    return self.set_events_aside();
                }
            }
        }
    }

    /// Keeps exchanges for which the service is not ready; what is cancelled goes at once.
    fn set_events_aside(&mut self) {
        while let Some(event) = self.conn.poll_event() {
            match event {
                ServerEvent::Exchange(exchange) => self.waiting.push_back(exchange),
                other => self.take_event(other),
            }
        }
    }

    /// What starts nothing.
    fn take_event(&mut self, event: ServerEvent) {
        match event {
            ServerEvent::Cancelled(id) => self.cancel(id),
            ServerEvent::Exchange(exchange) => self.waiting.push_back(exchange),
            ServerEvent::Aside => {
                if let Some(peer) = &self.peer {
                    peer.hear(&mut self.conn);
                }
            }
        }
    }

    /// Takes what a gateway has to say to the client outside of any exchange.
    fn hear_peer(&mut self, cx: &mut Context<'_>) {
        let Some(peer) = &self.peer else { return };
        let room = self.pipe.unsent() < HIGH_WATER;
        self.unsaid = match peer.speak(&mut self.conn, self.now, cx.waker(), room) {
            Spoken::HangUp if self.end.is_none() => {
                self.end = Some(self.now + self.drain);
                self.end_subscriptions(cx);
                false
            }
            spoken => spoken == Spoken::More,
        };
    }

    fn start(&mut self, mut exchange: Exchange) {
        let id = exchange.id();
        exchange.notifier = Notifier::new(self.sink.clone(), id);
        exchange.context.runtime = Some(self.runtime.clone());
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            let wake = SlotWake::new(slot, self.wakes.clone());
            self.slots.push(Slot { exchange: None, waker: Waker::from(wake.clone()), wake });
        }
        let Some(place) = self.slots.get_mut(slot) else { return };
        place.wake.rearm();
        match self.calls.start(slot, exchange, &mut Context::from_waker(&place.waker)) {
            Poll::Pending => place.exchange = Some(id),
            Poll::Ready(answer) => {
                self.free.push(slot);
                self.complete(id, answer);
            }
        }
    }

    fn poll_woken(&mut self) {
        let mut woken = std::mem::take(&mut self.woken);
        self.wakes.take(&mut woken);
        for slot in woken.drain(..) {
            let Some(place) = self.slots.get_mut(slot) else { continue };
            place.wake.rearm();
            let Some(id) = place.exchange else { continue };
            if let Poll::Ready(answer) =
                self.calls.poll(slot, &mut Context::from_waker(&place.waker))
            {
                place.exchange = None;
                self.free.push(slot);
                self.complete(id, answer);
            }
        }
        self.woken = woken;
    }

    fn complete(&mut self, id: ExchangeId, answer: Result<Outcome, ErrorObject>) {
        // What the call said before its end leaves before its end, however much waits already.
        let conn = &mut self.conn;
        self.queue.drain(|exchange, notification| conn.notify(exchange, notification));
        self.conn.complete(self.now, id, answer);
    }

    fn send_notifications(&mut self) {
        if self.pipe.unsent() < HIGH_WATER {
            let conn = &mut self.conn;
            self.queue.drain(|exchange, notification| conn.notify(exchange, notification));
        }
    }

    /// Ends what would last as long as the connection.
    fn end_subscriptions(&mut self, cx: &mut Context<'_>) {
        // What they have said already goes before.
        let conn = &mut self.conn;
        self.queue.drain(|exchange, notification| conn.notify(exchange, notification));
        self.conn.handle_end();
        self.run_events(cx);
    }

    fn cancel(&mut self, id: ExchangeId) {
        self.waiting.retain(|exchange| exchange.id() != id);
        if let Some(slot) = self.slots.iter().position(|slot| slot.exchange == Some(id)) {
            if let Some(place) = self.slots.get_mut(slot) {
                place.exchange = None;
            }
            self.calls.clear(slot);
            self.free.push(slot);
        }
    }

    fn collect(&mut self) {
        while let Some(transmit) = self.conn.poll_transmit() {
            self.pipe.push(transmit.message);
        }
    }

    /// Whoever still reads what is left gets all of it, as long as no call can make it more.
    fn renew_drain(&mut self, before: u64) {
        let finite = !self.ahead.is_empty() || self.conn.in_flight() == 0;
        if let Some(end) = &mut self.end
            && self.pipe.sent() > before
            && finite
        {
            *end = self.now + self.drain;
        }
    }

    /// Whether the input has ended and everything is said.
    fn is_done(&self, written: bool) -> bool {
        let waits = !self.held.is_empty() || !self.ahead.is_empty();
        self.end.is_some() && written && self.conn.in_flight() == 0 && !waits
    }

    /// Whether the input has ended and the time for saying the rest is over.
    fn is_over(&self) -> bool {
        self.end.is_some_and(|end| self.now >= end)
    }

    /// Waits for the protocol's next deadline, or for the end of the drain.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let stall = self.stalled.map(|(until, _)| until);
        let deadlines = [self.conn.poll_timeout(), self.end, stall];
        let Some(deadline) = deadlines.into_iter().flatten().min() else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if timer.deadline().into_std() != deadline {
            timer.as_mut().reset(deadline.into());
        }
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.now = tokio::time::Instant::now().into_std();
        self.conn.handle_timeout(self.now);
        Poll::Ready(())
    }
}

#[cold]
fn stalled() -> std::io::Error {
    let text = "the client writes on and does not read what it is answered";
    std::io::Error::new(std::io::ErrorKind::TimedOut, text)
}

/// Why reading stopped.
#[derive(PartialEq, Eq)]
enum Read {
    /// There is nothing to read; the stream wakes the task.
    Empty,
    /// Nothing more may be taken in for now.
    Full,
    /// There will be nothing more.
    Ended,
}
