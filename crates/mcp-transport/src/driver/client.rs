//! The client's end of a connection: a service, and the future that keeps it going.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use mcp_types::{
    ClientNotification, ErrorObject, Exchange, ExchangeFuture, ExchangeId, Implementation,
    InputRequest, Lease, Notifier, Origin, Outcome, ProtocolVersion, ServerNotification,
};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Sleep;
use tower_service::Service;

use super::pipe::{HIGH_WATER, Pipe, is_gone};
use crate::Io;
use crate::framing::FrameLimits;
use crate::io::Attached;
use crate::proto::client::{ClientConfig, ClientConn, ClientEvent, PeerRequests};

/// How a connection to a server is made.
#[derive(Clone)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Who we are, which era we speak, how long we wait.
    pub config: ClientConfig,
    /// How large a message of the server may be; 64 MiB a line by default.
    pub frame: FrameLimits,
    /// Takes what the server says outside any exchange.
    pub on_notification: Option<Arc<dyn Fn(ServerNotification) + Send + Sync>>,
}

impl ConnectOptions {
    /// A client of this name and version.
    pub fn new(client_info: Implementation) -> Self {
        let frame = FrameLimits { line: 64 << 20, string: 64 << 20, ..FrameLimits::default() };
        Self { config: ClientConfig::new(client_info), frame, on_notification: None }
    }
}

impl std::fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectOptions").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Connects to the server at the other end of `io`; the first exchange opens the connection.
///
/// # Panics
///
/// Outside a tokio runtime with timers.
pub fn connect(io: Io, client_info: Implementation) -> Connection {
    connect_with(io, ConnectOptions::new(client_info))
}

/// Connects as `options` say.
///
/// # Panics
///
/// As [`connect`].
pub fn connect_with(io: Io, options: ConnectOptions) -> Connection {
    let Io { reader, writer, attached } = io;
    let shared = Shared::new(ClientConn::new(options.config));
    let driver = Driver {
        pipe: Pipe::new(reader, writer, options.frame),
        shared: shared.clone(),
        on_notification: options.on_notification,
        timer: None,
        input_ended: false,
        owed: 0,
    };
    tokio::spawn(run(driver, attached, options.frame));
    Connection(Arc::new(Handle(shared)))
}

/// Drives a connection to its end, and what is attached to it beyond that.
async fn run(mut driver: Driver, mut attached: Option<Box<dyn Attached>>, frame: FrameLimits) {
    let lost = loop {
        let lost = poll_fn(|cx| driver.poll(cx)).await;
        let died = {
            let state = driver.shared.lock();
            !state.closing && state.conn.died_of_probe()
        };
        let Some(io) = attached.as_mut().filter(|_| died).and_then(|attached| attached.again())
        else {
            break lost;
        };
        driver.pipe = Pipe::new(io.reader, io.writer, frame);
        driver.input_ended = false;
        driver.owed = 0;
        driver.shared.lock().conn.start_over();
        if let Some(dead) = std::mem::replace(&mut attached, io.attached) {
            tokio::spawn(dead.end());
        }
    };
    let Driver { shared, pipe, .. } = driver;
    // The child sees the end of its input here.
    drop(pipe);
    let mut words = None;
    if let Some(attached) = attached {
        let mut ending = attached.end();
        match tokio::time::timeout(LAST_WORDS, &mut ending).await {
            Ok(said) => words = said,
            Err(_) => {
                shared.lose(lost.clone(), None);
                words = ending.await;
            }
        }
    }
    shared.lose(lost, words);
    shared.finish();
}

/// How long calls in flight wait for what a dying server has to say before they fail.
const LAST_WORDS: Duration = Duration::from_millis(1500);

/// How many notifications of one call may wait for whoever called; the oldest go first.
const MOST_NOTIFIED: usize = 1024;

/// A server behind a stream: a service of exchanges, cheap to clone.
///
/// Dropping the future of an exchange cancels it at the server. Once all clones and all futures
/// are gone the connection is closed in good order.
#[derive(Debug, Clone)]
pub struct Connection(Arc<Handle>);

impl Connection {
    /// Closes the connection and waits until the stream, and a child behind it, have ended.
    ///
    /// Exchanges in flight fail.
    pub async fn close(&self) {
        self.0.0.close();
        self.ended().await;
    }

    /// Waits until the connection, and a child behind it, have ended, whoever ended it.
    pub async fn ended(&self) {
        let shared = &self.0.0;
        // It hears of every end from now on, so that none comes between the look and the wait.
        let over = shared.over.notified();
        if shared.lock().finished {
            return;
        }
        over.await;
    }

    /// Tells the server something that belongs to no exchange, such as that the roots have changed.
    /// Before the first exchange nobody is told.
    pub fn tell(&self, notification: &ClientNotification) {
        let mut state = self.0.0.lock();
        state.conn.tell(notification);
        state.wake_driver();
    }

    /// The revision that is spoken, to show; `None` before the first exchange is answered.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.0.0.lock().conn.version()
    }
}

#[cfg(feature = "http-client")]
impl Connection {
    /// Whether every exchange fails from now on.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.0.lock().conn.failure().is_some()
    }
}

/// A connection whose messages somebody else carries, and what they need for it.
#[cfg(feature = "http-client")]
pub(crate) fn carried(config: ClientConfig) -> (Connection, Arc<Shared>) {
    let shared = Shared::new(ClientConn::new(config));
    (Connection(Arc::new(Handle(shared.clone()))), shared)
}

impl Service<Exchange> for Connection {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    /// Waits while much is unsent, because the server reads slowly; not where the connection has failed,
    /// which the call says.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        let mut state = self.0.0.lock();
        if state.conn.queued_bytes() < HIGH_WATER || state.conn.failure().is_some() {
            return Poll::Ready(Ok(()));
        }
        if !state.senders.iter().any(|known| known.will_wake(cx.waker())) {
            state.senders.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let mut call = Call::start(self.0.clone(), exchange);
        Box::pin(async move {
            loop {
                match poll_fn(|cx| call.poll_step(cx)).await {
                    // Whoever called takes the notifications too, so a slow reader holds up itself.
                    Step::Notification(notification) => {
                        let _ = call.notifier.notify(notification).await;
                    }
                    Step::Answer(answer) => {
                        call.lend(&answer);
                        return answer;
                    }
                }
            }
        })
    }
}

/// Closes the connection when the last clone goes.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Tells who waits for the end.
    over: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) conn: ClientConn,
    calls: HashMap<ExchangeId, Waiting>,
    /// The task that drives the connection.
    pub(crate) driver: Option<Waker>,
    senders: Vec<Waker>,
    pub(crate) closing: bool,
    finished: bool,
    peer: Peer,
}

/// Answers under way to what the server asks outside of any call.
#[derive(Debug)]
struct Peer {
    shared: Weak<Shared>,
    runtime: tokio::runtime::Handle,
    tasks: JoinSet<()>,
}

impl Peer {
    fn ask(&mut self, name: u64, question: InputRequest, PeerRequests(handler): PeerRequests) {
        while self.tasks.try_join_next().is_some() {}
        let shared = self.shared.clone();
        let answering = async move {
            let answer = handler.handle(question).await;
            if let Some(shared) = shared.upgrade() {
                let mut state = shared.lock();
                state.conn.answer(name, answer);
                state.wake_driver();
            }
        };
        self.tasks.spawn_on(answering, &self.runtime);
    }
}

/// A call that waits for its answer.
#[derive(Debug, Default)]
struct Waiting {
    notified: VecDeque<ServerNotification>,
    answer: Option<Result<Outcome, ErrorObject>>,
    waker: Option<Waker>,
}

impl State {
    fn new(conn: ClientConn, shared: Weak<Shared>) -> Self {
        let (calls, senders) = (HashMap::new(), Vec::new());
        let (closing, finished) = (false, false);
        let runtime = tokio::runtime::Handle::current();
        let peer = Peer { shared, runtime, tasks: JoinSet::new() };
        Self { conn, calls, driver: None, senders, closing, finished, peer }
    }

    /// Hands out what the protocol has to say; gives back what belongs to no exchange.
    pub(crate) fn run_events(&mut self) -> Vec<ServerNotification> {
        let mut unrelated = Vec::new();
        while let Some(event) = self.conn.poll_event() {
            let (waiting, answer) = match event {
                ClientEvent::Completed(id, answer) => (self.calls.get_mut(&id), Some(answer)),
                ClientEvent::Asked(name, question, peer) => {
                    self.peer.ask(name, question, peer);
                    continue;
                }
                ClientEvent::Notified(id, notification) => {
                    match id.and_then(|id| self.calls.get_mut(&id)) {
                        None => {
                            unrelated.push(notification);
                            continue;
                        }
                        Some(waiting) => {
                            if waiting.notified.len() >= MOST_NOTIFIED {
                                waiting.notified.pop_front();
                            }
                            waiting.notified.push_back(notification);
                            (Some(waiting), None)
                        }
                    }
                }
            };
            let Some(waiting) = waiting else { continue };
            waiting.answer = answer.or(waiting.answer.take());
            if let Some(waker) = waiting.waker.take() {
                waker.wake();
            }
        }
        unrelated
    }

    pub(crate) fn wake_driver(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }
}

impl Shared {
    fn new(conn: ClientConn) -> Arc<Self> {
        Arc::new_cyclic(|shared| Self {
            state: Mutex::new(State::new(conn, shared.clone())),
            over: Notify::new(),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.wake_driver();
    }

    /// Fails everything in flight and everything that comes.
    pub(crate) fn lose(&self, mut error: ErrorObject, words: Option<String>) {
        if let Some(words) = words {
            error.message = format!("{}: {words}", error.message);
        }
        let mut state = self.lock();
        state.conn.fail(error);
        state.peer.tasks.abort_all();
        state.run_events();
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
    }

    pub(crate) fn finish(&self) {
        self.lock().finished = true;
        self.over.notify_waiters();
    }
}

/// One exchange on its way; dropping it before its end cancels it.
struct Call {
    handle: Arc<Handle>,
    id: ExchangeId,
    notifier: Notifier,
    /// Of a caller who means to answer what the server asks.
    lease: Option<Arc<Lease>>,
    done: bool,
}

#[allow(clippy::large_enum_variant, reason = "it lives for one step")]
enum Step {
    Notification(ServerNotification),
    Answer(Result<Outcome, ErrorObject>),
}

impl Call {
    fn start(handle: Arc<Handle>, exchange: Exchange) -> Self {
        // A name of its own, because a layer may call with two clones of one exchange.
        let Exchange { request, context, notifier, .. } = exchange;
        let lease = context.extensions.get_shared();
        let mut exchange = Exchange::new(request);
        exchange.context = context;
        exchange.notifier = notifier.clone();
        let id = exchange.id();
        let mut state = handle.0.lock();
        state.calls.insert(id, Waiting::default());
        state.conn.request(tokio::time::Instant::now().into_std(), exchange);
        // Some exchanges are answered at once: a discovery from the handshake, or by the failure.
        state.run_events();
        state.wake_driver();
        drop(state);
        Self { handle, id, notifier, lease, done: false }
    }

    /// A call that waits for answers is given up when the caller's lease ends.
    fn lend(&self, answer: &Result<Outcome, ErrorObject>) {
        let Ok(Outcome::InputRequired(asked)) = answer else { return };
        let (Some(lease), Some(state)) = (&self.lease, &asked.request_state) else { return };
        if self.handle.0.lock().conn.is_parked(state) {
            let (shared, name) = (Arc::downgrade(&self.handle.0), state.clone());
            lease.at_end(move || {
                let Some(shared) = shared.upgrade() else { return };
                let mut state = shared.lock();
                state.conn.abandon(&name);
                state.wake_driver();
            });
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let mut state = self.handle.0.lock();
        let Some(waiting) = state.calls.get_mut(&self.id) else {
            self.done = true;
            let error = ErrorObject::local(Origin::Connection, "the exchange is over");
            return Poll::Ready(Step::Answer(Err(error)));
        };
        if let Some(notification) = waiting.notified.pop_front() {
            return Poll::Ready(Step::Notification(notification));
        }
        if let Some(answer) = waiting.answer.take() {
            state.calls.remove(&self.id);
            self.done = true;
            return Poll::Ready(Step::Answer(answer));
        }
        match &mut waiting.waker {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.handle.0.lock();
        state.calls.remove(&self.id);
        state.conn.cancel(tokio::time::Instant::now().into_std(), self.id);
        state.wake_driver();
    }
}

struct Driver {
    pipe: Pipe,
    shared: Arc<Shared>,
    on_notification: Option<Arc<dyn Fn(ServerNotification) + Send + Sync>>,
    timer: Option<Pin<Box<Sleep>>>,
    input_ended: bool,
    /// Bytes of answers to the server that it has not read; at most what is unsent.
    owed: usize,
}

/// How much a server may ask for without reading the answers before it is taken for broken.
const MOST_OWED: usize = 64 << 20;

/// How many lines are handled before other tasks of the runtime get their turn.
const TURN: usize = 512;

impl Driver {
    /// Runs until the connection has ended, and says how.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ErrorObject> {
        let shared = self.shared.clone();
        let mut turn = TURN;
        loop {
            let now = tokio::time::Instant::now().into_std();
            let mut state = shared.lock();
            match &mut state.driver {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            state.conn.handle_timeout(now);
            if let Some(lost) = self.read(cx, &mut state, now, &mut turn) {
                return Poll::Ready(lost);
            }
            let unrelated = state.run_events();
            while let Some(transmit) = state.conn.poll_transmit() {
                if transmit.relates_to.is_none() {
                    self.owed += transmit.message.len() + 1;
                }
                self.pipe.push(transmit.message);
            }
            let senders = std::mem::take(&mut state.senders);
            let (closing, deadline) = (state.closing, state.conn.poll_timeout());
            drop(state);
            senders.into_iter().for_each(Waker::wake);
            for notification in unrelated {
                self.tell(notification);
            }
            match self.pipe.poll_write(cx) {
                Poll::Ready(Err(error)) => return Poll::Ready(lost(&error)),
                Poll::Ready(Ok(())) if closing => return Poll::Ready(closed()),
                Poll::Ready(Ok(())) => {}
                // A server that does not read must not keep us from closing.
                Poll::Pending if closing => return Poll::Ready(closed()),
                Poll::Pending => {}
            }
            self.owed = self.owed.min(self.pipe.unsent());
            if self.owed > MOST_OWED {
                let text = "the server asks on and on and does not read the answers";
                return Poll::Ready(ErrorObject::local(Origin::Protocol, text));
            }
            if turn == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.poll_timer(cx, deadline).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        state: &mut State,
        now: Instant,
        turn: &mut usize,
    ) -> Option<ErrorObject> {
        while !self.input_ended && *turn > 0 {
            match self.pipe.poll_line(cx) {
                Poll::Pending => return None,
                Poll::Ready(Ok(Some(Ok(line)))) => state.conn.handle(now, &line),
                Poll::Ready(Ok(Some(Err(fault)))) => state.conn.handle_fault(&fault),
                Poll::Ready(Ok(None)) => self.input_ended = true,
                Poll::Ready(Err(error)) => return Some(lost(&error)),
            }
            *turn -= 1;
        }
        self.input_ended.then(|| {
            state.run_events();
            ErrorObject::local(Origin::Connection, "the server closed the connection")
        })
    }

    fn tell(&self, notification: ServerNotification) {
        if let Some(take) = &self.on_notification {
            // What a listener of the application does must not end the connection.
            let _ = super::calls::guarded(|| take(notification));
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> Poll<()> {
        let Some(deadline) = deadline else {
            self.timer = None;
            return Poll::Pending;
        };
        let timer =
            self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline.into())));
        if timer.deadline().into_std() != deadline {
            timer.as_mut().reset(deadline.into());
        }
        timer.as_mut().poll(cx)
    }
}

fn lost(error: &std::io::Error) -> ErrorObject {
    if is_gone(error) {
        return ErrorObject::local(Origin::Connection, "the server closed the connection");
    }
    ErrorObject::local(Origin::Connection, format!("the connection to the server failed: {error}"))
}

pub(crate) fn closed() -> ErrorObject {
    ErrorObject::local(Origin::Connection, "the connection was closed on this side")
}
