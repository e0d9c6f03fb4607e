//! Sessions of the revisions with a handshake: who has one, and what leaves it by which stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp_types::jsonrpc::Message;
use mcp_types::{
    ByteString, Exchange, ExchangeId, Extensions, Principal, ProtocolVersion, RequestId,
};

use super::outlet::{Leave, Outlet};
use super::shared::Shared;
use super::standalone::Standalone;
use crate::proto::server::{Remembered, ServerConn, ServerEvent, Settings};

/// One session.
pub(super) struct Session {
    pub(super) id: Arc<str>,
    /// Issuer and subject of whoever began it; nobody else may use it.
    owner: Owner,
    /// How many bytes the client had us keep, about.
    weight: usize,
    state: Mutex<State>,
    pub(super) standalone: Standalone,
    /// Streams that are open or go on without a reader.
    busy: AtomicUsize,
    /// When it was last used, in milliseconds since `START`.
    used: AtomicU64,
    last_stream: AtomicU64,
    /// Whether it was used for anything after its handshake.
    proven: AtomicBool,
}

/// Issuer and subject, where somebody is known.
pub(super) type Owner = Option<Box<(String, String)>>;

/// How many bytes all sessions together keep of what their clients said in the handshake; those
/// that keep most make room for others.
const MOST_KEPT: usize = 64 << 20;

struct State {
    conn: ServerConn,
    routes: Vec<Route>,
    /// Streams to which a client may come back.
    streams: Vec<Arc<Outlet>>,
    /// Exchanges of the session's own, until somebody hears what they say.
    unheard: Vec<(Exchange, Arc<Outlet>)>,
    /// Whether the client has ever read what belongs to no request.
    listens: bool,
    closed: bool,
    /// Set where other nodes serve the session too.
    known: Option<Box<Known>>,
}

/// What this node knows of a session that other nodes serve too.
pub(super) struct Known {
    /// The newest version of what is kept, as far as this node knows.
    version: u64,
    said: Remembered,
    /// Whether another node began it, and what was heard there is not known here.
    resumed: bool,
    /// Held by whoever keeps what the client has set.
    saving: Arc<tokio::sync::Mutex<()>>,
    /// Who reads what belongs to no request, as layers want to know.
    reader: Extensions,
}

impl Known {
    /// Version `version` of what is kept; `resumed` where another node began the session.
    pub(super) fn new(version: u64, said: Remembered, resumed: bool) -> Self {
        Self { version, said, resumed, saving: Arc::default(), reader: Extensions::new() }
    }
}

/// By which stream leaves what belongs to an exchange.
struct Route {
    exchange: ExchangeId,
    request: Option<RequestId>,
    outlet: Arc<Outlet>,
}

/// What came of some work on a session.
#[derive(Default)]
pub(super) struct Worked {
    /// Exchanges to be served by whoever asked for the work.
    pub(super) started: Vec<Exchange>,
    /// Exchanges that belong to no request, each with a stream of its own.
    pub(super) internal: Vec<(Exchange, Arc<Outlet>)>,
    /// When the session wants to be looked at again.
    pub(super) deadline: Option<Instant>,
    /// The session has ended meanwhile, and nothing was done.
    pub(super) closed: bool,
}

impl Session {
    /// A session of `owner`, who had us keep about `weight` bytes.
    pub(super) fn new(
        id: Arc<str>,
        owner: Option<&Principal>,
        weight: usize,
        conn: ServerConn,
    ) -> Arc<Self> {
        let owner = owner.map(|who| Box::new((who.issuer.clone(), who.subject.clone())));
        Self::of(id, owner, weight, conn)
    }

    /// The same, where the owner is known already.
    pub(super) fn of(id: Arc<str>, owner: Owner, weight: usize, conn: ServerConn) -> Arc<Self> {
        let state = State {
            conn,
            routes: Vec::new(),
            streams: Vec::new(),
            unheard: Vec::new(),
            listens: false,
            closed: false,
            known: None,
        };
        Arc::new(Self {
            id,
            owner,
            weight,
            state: Mutex::new(state),
            standalone: Standalone::default(),
            busy: AtomicUsize::new(0),
            used: AtomicU64::new(now()),
            last_stream: AtomicU64::new(0),
            proven: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(super) fn belongs_to(&self, who: Option<&Principal>) -> bool {
        match (&self.owner, who) {
            (None, None) => true,
            (Some(owner), Some(who)) => owner.0 == who.issuer && owner.1 == who.subject,
            _ => false,
        }
    }

    /// A new stream of this session.
    pub(super) fn outlet(&self) -> Arc<Outlet> {
        Arc::new(Outlet::new(self.last_stream.fetch_add(1, Ordering::Relaxed) + 1))
    }

    /// The stream of what belongs to no request. Other nodes have others.
    pub(super) fn standalone_stream(&self) -> u64 {
        of_node(self.last_stream.load(Ordering::Relaxed))
    }

    /// Whether a stream is one that this node wrote.
    pub(super) fn is_own_stream(&self, stream: u64) -> bool {
        of_node(stream) == self.standalone_stream()
    }

    /// The client reads what belongs to no request; gives what begins only then.
    pub(super) fn begin_to_listen(&self, reader: &Extensions) -> Vec<(Exchange, Arc<Outlet>)> {
        let mut state = self.lock();
        state.listens = true;
        if let Some(known) = &mut state.known {
            known.reader = reader.clone();
        }
        std::mem::take(&mut state.unheard)
    }

    /// Works on the connection, and hands out what comes of it: messages to the streams of their
    /// requests, those that belong to none to `outlet`, which is who does the work.
    pub(super) fn work(
        &self,
        outlet: Option<&Arc<Outlet>>,
        to_standalone: bool,
        act: impl FnOnce(&mut ServerConn, Instant),
    ) -> Worked {
        let mut state = self.lock();
        let mut worked = Worked::default();
        if state.closed {
            worked.closed = true;
            return worked;
        }
        act(&mut state.conn, tokio::time::Instant::now().into_std());
        self.hand_out(&mut state, outlet, to_standalone, &mut worked);
        let State { conn, routes, .. } = &mut *state;
        routes.retain(|route| conn.is_pending(route.exchange));
        worked.deadline = conn.poll_timeout();
        if routes.iter().all(|route| route.request.is_none()) {
            routes.shrink_to_fit();
            conn.rest();
        }
        // A client that never reads what belongs to no request costs nothing for it.
        state.unheard.append(&mut worked.internal);
        if state.listens {
            worked.internal = std::mem::take(&mut state.unheard);
        }
        worked
    }

    fn hand_out(
        &self,
        state: &mut State,
        own: Option<&Arc<Outlet>>,
        to_standalone: bool,
        worked: &mut Worked,
    ) {
        let State { conn, routes, unheard, .. } = state;
        while let Some(event) = conn.poll_event() {
            match event {
                ServerEvent::Exchange(exchange) => {
                    let id = exchange.id();
                    if let Some(route) = routes.iter().find(|route| route.exchange == id) {
                        route.outlet.enter_again(exchange);
                        continue;
                    }
                    let request = conn.peer_id(id);
                    let outlet = match own {
                        Some(own) if request.is_some() => {
                            worked.started.push(exchange);
                            own.clone()
                        }
                        _ => {
                            let outlet = self.outlet();
                            worked.internal.push((exchange, outlet.clone()));
                            outlet
                        }
                    };
                    routes.push(Route { exchange: id, request, outlet });
                }
                // Only the connection of a gateway says so.
                ServerEvent::Aside => {}
                ServerEvent::Cancelled(id) => {
                    unheard.retain(|(exchange, _)| exchange.id() != id);
                    if let Some(route) = routes.iter().find(|route| route.exchange == id) {
                        route.outlet.cancel(id);
                    }
                }
            }
        }
        while let Some(transmit) = conn.poll_transmit() {
            let message = Bytes::copy_from_slice(transmit.message);
            let related = transmit
                .relates_to
                .and_then(|id| routes.iter().find(|route| route.request.as_ref() == Some(id)));
            let outlet = related.map(|route| &route.outlet).or(own);
            match outlet {
                // A stream that is one JSON text has room for the answer alone.
                Some(outlet) if !to_standalone || is_answer(&message) => outlet.send(message),
                _ => self.standalone.send(message),
            }
        }
    }

    /// Somebody works with the session.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether something that leaves by `outlet` is still to be answered.
    pub(super) fn is_open(&self, outlet: &Arc<Outlet>) -> bool {
        self.lock().routes.iter().any(|route| Arc::ptr_eq(&route.outlet, outlet))
    }

    /// Whether the client has a request under way with this id.
    pub(super) fn is_taken(&self, id: &RequestId) -> bool {
        self.lock().routes.iter().any(|route| route.request.as_ref() == Some(id))
    }

    /// The revision that the handshake agreed on.
    pub(super) fn version(&self) -> Option<ProtocolVersion> {
        self.lock().conn.version()
    }

    /// What another node has to know in order to go on.
    pub(super) fn remembered(&self) -> Option<Remembered> {
        self.lock().conn.remembered()
    }

    /// From here on other nodes serve the session too: its streams count from `streams`, its questions
    /// from `question`. Who knows that already stays as it is.
    pub(super) fn join(&self, known: Known, streams: u64, question: i64) {
        let mut state = self.lock();
        if state.known.is_none() {
            self.last_stream.store(streams, Ordering::Relaxed);
            state.conn.count_questions_from(question);
            state.known = Some(Box::new(known));
        }
    }

    /// Which version of what is kept this node knows.
    pub(super) fn known_version(&self) -> Option<u64> {
        self.lock().known.as_ref().map(|known| known.version)
    }

    /// Takes note of a version of what is kept; gives what was set since the one before.
    pub(super) fn learn(&self, version: u64, said: &Remembered) -> Settings {
        let mut state = self.lock();
        let Some(known) = state.known.as_mut().filter(|known| known.version < version) else {
            return Settings::default();
        };
        let settings = Settings::between(&known.said, said);
        (known.version, known.said) = (version, said.clone());
        settings
    }

    /// What is kept, in which version, and what the client has set here.
    pub(super) fn difference(&self) -> Option<(Remembered, u64, Remembered)> {
        let state = self.lock();
        let known = state.known.as_ref()?;
        Some((known.said.clone(), known.version, state.conn.remembered()?))
    }

    pub(super) fn saving(&self) -> Option<Arc<tokio::sync::Mutex<()>>> {
        Some(self.lock().known.as_ref()?.saving.clone())
    }

    /// Who reads what belongs to no request.
    pub(super) fn reader(&self) -> Extensions {
        self.lock().known.as_ref().map(|known| known.reader.clone()).unwrap_or_default()
    }

    /// Whether the client may have missed what belongs to no request, because another node heard it
    /// and this one did not.
    pub(super) fn may_have_missed(&self) -> bool {
        let state = self.lock();
        !state.listens && state.known.as_ref().is_some_and(|known| known.resumed)
    }

    /// Whether the client has still to answer the question with this id.
    pub(super) fn has_asked(&self, id: &RequestId) -> bool {
        self.lock().conn.has_asked(id)
    }

    /// Whether the client may have another request under way.
    pub(super) fn has_room(&self) -> bool {
        self.lock().conn.has_room()
    }

    /// From here on a client may come back to the stream.
    pub(super) fn keep_stream(&self, outlet: &Arc<Outlet>) {
        self.lock().streams.push(outlet.clone());
    }

    pub(super) fn forget_stream(&self, outlet: &Arc<Outlet>) {
        let mut state = self.lock();
        state.streams.retain(|known| !Arc::ptr_eq(known, outlet));
        if state.streams.is_empty() {
            state.streams = Vec::new();
        }
    }

    /// Takes over a stream that has not ended, from whoever reads it.
    pub(super) fn take_over(&self, number: u64) -> Option<(Arc<Outlet>, u64)> {
        let state = self.lock();
        let outlet = state.streams.iter().find(|outlet| outlet.number == number)?.clone();
        drop(state);
        let reader = outlet.attach();
        outlet.leave(Leave::Taken);
        Some((outlet, reader))
    }

    /// Ends everything that the session does.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let routes = std::mem::take(&mut state.routes);
        let streams = std::mem::take(&mut state.streams);
        state.unheard = Vec::new();
        drop(state);
        routes.iter().for_each(|route| route.outlet.close());
        streams.iter().for_each(|outlet| outlet.close());
        self.standalone.close();
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    fn is_idle(&self, pause: Duration) -> bool {
        let idle = now().saturating_sub(self.used.load(Ordering::Relaxed));
        !self.is_busy() && u128::from(idle) >= pause.as_millis()
    }
}

/// Held by whatever keeps a session from being idle.
pub(super) struct Busy(pub(super) Arc<Session>);

impl Busy {
    pub(super) fn new(session: Arc<Session>) -> Self {
        session.busy.fetch_add(1, Ordering::AcqRel);
        session.used.store(now(), Ordering::Relaxed);
        Self(session)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.used.store(now(), Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The part of a stream's number that says which node writes it.
fn of_node(stream: u64) -> u64 {
    stream >> 32 << 32
}

/// Whether a message answers a request.
pub(super) fn is_answer(message: &Bytes) -> bool {
    let text = ByteString::try_from(message.clone());
    let parsed = text.map(|text| (text.starts_with('['), Message::parse(&text)));
    matches!(parsed, Ok((true, _) | (_, Ok(Message::Response(_)))))
}

/// Milliseconds since the first call; by tokio's clock, which a test may stop.
fn now() -> u64 {
    static START: std::sync::OnceLock<tokio::time::Instant> = std::sync::OnceLock::new();
    let start = *START.get_or_init(tokio::time::Instant::now);
    let passed = tokio::time::Instant::now().saturating_duration_since(start);
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

/// All sessions of one server.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Held>);

#[derive(Default)]
struct Held {
    sessions: HashMap<Arc<str>, Arc<Session>>,
    /// How many sessions each owner has.
    owners: HashMap<Owner, usize>,
    /// What all keep together.
    weight: usize,
    /// Whether somebody looks for idle ones.
    watched: bool,
}

impl Held {
    fn add(&mut self, session: Arc<Session>) {
        self.weight += session.weight;
        *self.owners.entry(session.owner.clone()).or_default() += 1;
        self.sessions.insert(session.id.clone(), session);
    }

    fn remove(&mut self, id: &str) -> Option<Arc<Session>> {
        let session = self.sessions.remove(id)?;
        self.weight = self.weight.saturating_sub(session.weight);
        if let Some(count) = self.owners.get_mut(&session.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&session.owner);
            }
        }
        Some(session)
    }

    /// The session that makes room: of those that are idle, the one that keeps most where there are
    /// too many bytes; else, of whoever has most sessions, the one that is idle longest. So whoever
    /// begins many ends their own.
    fn spare(&self, too_heavy: bool) -> Option<Arc<str>> {
        let idle = self.sessions.values().filter(|session| session.is_idle(Duration::ZERO));
        let spare = idle.max_by_key(|session| {
            let weight = if too_heavy { session.weight } else { 0 };
            let count = self.owners.get(&session.owner).copied().unwrap_or_default();
            // Who only begins sessions and uses none pushes out nobody who does.
            let unused = !session.proven.load(Ordering::Relaxed);
            (weight, count, unused, std::cmp::Reverse(session.used.load(Ordering::Relaxed)))
        });
        spare.map(|session| session.id.clone())
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session with this id, if it is the caller's.
    pub(super) fn find(&self, id: &str, who: Option<&Principal>) -> Option<Busy> {
        // The place is taken while the list is locked, so that the session is not idle any more.
        let held = self.lock();
        held.sessions.get(id).filter(|found| found.belongs_to(who)).cloned().map(Busy::new)
    }

    /// The session with this id, whoever asks.
    pub(super) fn held(&self, id: &str) -> Option<Busy> {
        self.lock().sessions.get(id).cloned().map(Busy::new)
    }

    /// The session with this id, if something of it is under way.
    pub(super) fn in_use(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().sessions.get(id).filter(|session| session.is_busy()).cloned()
    }

    /// All sessions of which something is under way.
    pub(super) fn all_in_use(&self) -> Vec<Arc<Session>> {
        let held = self.lock();
        held.sessions.values().filter(|session| session.is_busy()).cloned().collect()
    }

    /// Adds a session; idle ones make room. Gives the one that is there, which is an earlier one with
    /// its id if there is one; `None` when too many are busy.
    pub(super) fn insert(&self, shared: &Arc<Shared>, session: Arc<Session>) -> Option<Busy> {
        let mut held = self.lock();
        if let Some(earlier) = held.sessions.get(&session.id) {
            return Some(Busy::new(earlier.clone()));
        }
        let mut gone = Vec::new();
        let room = loop {
            let too_heavy = held.weight + session.weight > MOST_KEPT;
            if held.sessions.len() < shared.options.sessions && !too_heavy {
                break true;
            }
            match held.spare(too_heavy).and_then(|id| held.remove(&id)) {
                Some(session) => gone.push(session),
                None => break false,
            }
        };
        let busy = room.then(|| Busy::new(session.clone()));
        if room {
            held.add(session);
        }
        let first = room && !std::mem::replace(&mut held.watched, true);
        drop(held);
        gone.iter().for_each(|session| shared.end_session(session));
        if first {
            let shared = Arc::downgrade(shared);
            tokio::spawn(async move { watch(&shared).await });
        }
        busy
    }

    /// Takes a session out.
    pub(super) fn remove(&self, id: &str) -> Option<Arc<Session>> {
        self.lock().remove(id)
    }

    /// Takes out those that were idle for so long; `None` when nobody needs to look again.
    fn remove_idle(&self, pause: Duration) -> Option<Vec<Arc<Session>>> {
        let mut held = self.lock();
        let idle = held.sessions.values().filter(|session| session.is_idle(pause));
        let idle: Vec<_> = idle.map(|session| session.id.clone()).collect();
        let idle: Vec<_> = idle.iter().filter_map(|id| held.remove(id)).collect();
        if idle.is_empty() && held.sessions.is_empty() {
            held.watched = false;
            return None;
        }
        Some(idle)
    }
}

/// Ends idle sessions, as long as there are any at all.
async fn watch(shared: &Weak<Shared>) {
    let nodes = shared.upgrade().and_then(|shared| shared.options.nodes.clone());
    let _hearing = nodes.map(|nodes| Hearing(tokio::spawn(nodes.hear(shared.clone()))));
    loop {
        let Some(pause) = shared.upgrade().map(|shared| shared.options.session_idle) else {
            return;
        };
        let step = (pause / 4).clamp(Duration::from_millis(10), Duration::from_secs(60));
        tokio::time::sleep(step).await;
        let Some(shared) = shared.upgrade() else { return };
        let Some(idle) = shared.sessions.remove_idle(pause) else { return };
        idle.iter().for_each(|session| shared.end_session(session));
    }
}

/// Hears other nodes until it is dropped.
struct Hearing(tokio::task::JoinHandle<()>);

impl Drop for Hearing {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An id that nobody guesses: 192 random bits in 32 visible letters.
pub(super) fn fresh_id() -> Option<Arc<str>> {
    let mut bytes = [0_u8; 24];
    getrandom::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes).into())
}
