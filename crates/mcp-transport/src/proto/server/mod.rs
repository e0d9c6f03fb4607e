//! The server's side of a connection: messages of a client become exchanges, outcomes become answers.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcp_types::jsonrpc::{BadMessage, Message, Notification, Request};
use mcp_types::version::Era;
use mcp_types::wire::{self, ServerCodec, Stamp};
use mcp_types::{
    ByteString, ErrorObject, Exchange, ExchangeId, Outcome, RawText, RequestId, ServerNotification,
    ServerResult, SubscriptionsListenResult, keys,
};

use self::legacy::{Inputs, Legacy};
use super::pending::Pending;
use super::{Outbox, Transmit, Verbatim};
use crate::framing::Fault;

mod aside;
mod batch;
mod changes;
mod legacy;
mod modern;
mod older;
mod opening;
#[cfg(feature = "http-server")]
mod remembered;
#[cfg(feature = "http-server")]
mod session;

pub use self::aside::AsideEvent;
pub(crate) use self::aside::RefusedInputs;
#[cfg(feature = "http-server")]
pub(crate) use self::modern::{ended, served, stamped};
#[cfg(feature = "http-server")]
pub(crate) use self::opening::has_envelope;
#[cfg(feature = "http-server")]
pub(crate) use self::remembered::{Remembered, Settings};

/// Bounds of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerLimits {
    /// Requests of the peer that run at once; reading stops at it, and no batch may be longer.
    pub in_flight: usize,
    /// How often one request may ask the client for input.
    pub input_rounds: u32,
    /// How long the client, and the person behind it, may take to answer.
    pub input_timeout: Duration,
}

impl Default for ServerLimits {
    /// 256 requests at once, 16 rounds, ten minutes.
    fn default() -> Self {
        Self { in_flight: 256, input_rounds: 16, input_timeout: Duration::from_secs(600) }
    }
}

/// What a connection wants of whoever drives it.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "an event is handled at once; a box costs each call")]
pub enum ServerEvent {
    /// Serve this, and give the outcome to [`ServerConn::complete`].
    Exchange(Exchange),
    /// Drop the future that serves this exchange; nothing may be sent for it any more.
    Cancelled(ExchangeId),
    /// There is something for a gateway in [`ServerConn::poll_aside`].
    Aside,
}

/// The protocol of one connection, seen from the server, without I/O.
///
/// Both eras, side by side (2026-07-28, "Versioning and Compatibility", section "Backward
/// Compatibility with Initialization-Based Versions": what a dual-era server does). A request with
/// an envelope is served for itself, whatever came before it. An `initialize` without one makes the
/// connection a gateway for all other requests, which remembers the handshake and pastes it on each;
/// a client whose probe was answered too late may send one after it, and uses either answer.
#[derive(Debug)]
pub struct ServerConn {
    limits: ServerLimits,
    phase: Phase,
    pending: Pending<Entry>,
    batches: HashMap<u64, batch::Batch>,
    outbox: Outbox,
    events: VecDeque<ServerEvent>,
    stamp: Stamp,
    /// Set for the connection of a gateway.
    aside: Option<Box<dyn aside::Gateway>>,
}

#[derive(Debug)]
enum Phase {
    Opening,
    /// Requests with an envelope came, and no handshake.
    Modern,
    /// There was a handshake, for the requests without an envelope.
    Legacy(Box<Legacy>),
}

/// A request in flight.
struct Entry {
    /// The peer's id; `None` for an exchange of our own.
    request: Option<RequestId>,
    codec: &'static dyn ServerCodec,
    kind: Kind,
    log_level: Option<mcp_types::LoggingLevel>,
    batch: Option<u64>,
    inputs: Option<Box<Inputs>>,
    /// Where a gateway finds the text of the answer.
    verbatim: Option<Arc<Verbatim>>,
}

impl Entry {
    /// The kind of revision in which the answer leaves.
    fn codec_era(&self) -> Era {
        match self.kind {
            Kind::LegacyCall | Kind::Initialize | Kind::Listening => Era::Legacy,
            Kind::Call | Kind::Discover | Kind::Subscription | Kind::Identity => Era::Modern,
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("request", &self.request).field("kind", &self.kind).finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Call,
    /// A call that lives by the handshake.
    LegacyCall,
    Discover,
    Subscription,
    /// A subscription of our own, for a client that hears of changes without asking.
    Listening,
    /// The handshake of a legacy client.
    Initialize,
    /// A question of our own: who is the server?
    Identity,
}

impl ServerConn {
    /// A connection on which nothing was said yet.
    pub fn new(limits: ServerLimits) -> Self {
        Self {
            limits,
            phase: Phase::Opening,
            pending: Pending::default(),
            batches: HashMap::new(),
            outbox: Outbox::default(),
            events: VecDeque::new(),
            stamp: Stamp::default(),
            aside: None,
        }
    }

    /// Takes one message of the client.
    ///
    /// Whatever is wrong with it is answered; no message ends the connection.
    pub fn handle(&mut self, now: Instant, text: &ByteString) {
        if text.trim_start().starts_with('[') {
            return self.handle_batch(now, text);
        }
        self.dispatch(now, Message::parse(text), None);
    }

    /// Answers a line that is no message.
    pub fn handle_fault(&mut self, fault: &Fault) {
        self.answer_error(fault.id.as_ref(), &fault.to_error(), None);
    }

    fn dispatch(&mut self, now: Instant, message: Result<Message, BadMessage>, batch: Option<u64>) {
        match message {
            Ok(Message::Request(request)) => self.handle_request(now, request, batch),
            Ok(Message::Notification(told)) => self.handle_notification(now, &told),
            Ok(Message::Response(response)) => self.handle_response(now, response),
            Err(BadMessage { id, error, .. }) => self.answer_error(id.as_ref(), &error, batch),
            // A kind of message that this version does not know wants no answer that we could give.
            Ok(_) => {}
        }
    }

    fn handle_request(&mut self, now: Instant, request: Request, batch: Option<u64>) {
        if self.pending.exchange(&request.id).is_some() {
            let text = format!("the id `{}` is taken by a request in flight", request.id);
            return self.answer_error(
                Some(&request.id),
                &ErrorObject::invalid_request(text),
                batch,
            );
        }
        match &self.phase {
            Phase::Opening => self.open(now, request, batch),
            Phase::Modern if opening::is_handshake(&request) => self.initialize(request, batch),
            Phase::Modern => self.request_modern(request, batch),
            Phase::Legacy(_) if self.is_about_updates(&request) => {
                self.subscribe(now, &request, batch);
            }
            Phase::Legacy(_) => self.request_legacy(request, batch),
        }
    }

    fn handle_notification(&mut self, now: Instant, told: &Notification) {
        match &*told.method {
            "notifications/initialized" => {
                self.listen_to_lists();
                return self.ready(now);
            }
            "notifications/cancelled" => {}
            _ => {
                return self.as_gateway(|gateway, conn| gateway.told(conn, told));
            }
        }
        let params = mcp_types::ClientNotification::decode(&told.method, told.params.as_ref());
        let Ok(mcp_types::ClientNotification::Cancelled(cancelled)) = params else { return };
        let Some(exchange) = self.pending.exchange(&cancelled.request_id) else { return };
        if self.pending.get(exchange).is_some_and(|entry| entry.kind == Kind::Initialize) {
            return;
        }
        if let Some(entry) = self.remove(exchange) {
            self.withdraw_inputs(exchange);
            self.leave_batch(entry.batch);
            self.events.push_back(ServerEvent::Cancelled(exchange));
        }
    }

    /// Takes the outcome of an exchange; what was cancelled meanwhile is passed over.
    pub fn complete(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        result: Result<Outcome, ErrorObject>,
    ) {
        let Some(entry) = self.pending.get(exchange) else { return };
        match (entry.kind, result) {
            (Kind::Initialize, result) => self.initialized(exchange, result),
            (Kind::Identity, result) => {
                if let Ok(Outcome::Complete(ServerResult::Discover(found))) = &result {
                    self.learn_identity(found);
                }
                self.remove(exchange);
            }
            (Kind::Discover, Ok(Outcome::Complete(ServerResult::Discover(mut found)))) => {
                self.learn_identity(&found);
                found.supported_versions = modern::served();
                self.answer(exchange, Ok(&Outcome::Complete(ServerResult::Discover(found))));
            }
            (
                Kind::Subscription,
                Ok(Outcome::Complete(ServerResult::SubscriptionsListen(result))),
            ) => self.end_subscription(exchange, result),
            (Kind::Listening, _) => self.stop_listening(exchange),
            (Kind::LegacyCall, Ok(Outcome::InputRequired(asked))) => {
                self.ask_for_inputs(now, exchange, asked);
            }
            (_, result) => self.answer(exchange, result.as_ref()),
        }
    }

    /// Sends a notification that belongs to an exchange in flight; later ones are passed over.
    pub fn notify(&mut self, exchange: ExchangeId, notification: ServerNotification) {
        let Some(entry) = self.pending.get(exchange) else { return };
        if entry.kind == Kind::Listening && !self.is_wanted(&notification) {
            return;
        }
        let notification = match (notification, entry.kind) {
            (ServerNotification::Message(said), _)
                if entry.log_level.is_none_or(|level| said.level < level) =>
            {
                return;
            }
            (notification, Kind::Subscription) => {
                modern::stamped(notification, entry.request.as_ref())
            }
            (notification, _) => notification,
        };
        let codec = entry.codec;
        self.outbox.push(entry.request.clone(), |out| {
            // What has no JSON form cannot be sent, and nobody waits for it.
            let _ = codec.encode_server_notification(out, &notification);
        });
    }

    /// The next message that wants to leave.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.poll()
    }

    /// The next thing to do.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Legacy(legacy) => legacy.next_deadline(),
            _ => None,
        }
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.expire_inputs(now);
    }

    /// The client says nothing more: what would last as long as the connection ends here, and what
    /// it asked for before is still answered.
    pub fn handle_end(&mut self) {
        for exchange in self.pending.exchanges() {
            match self.pending.get(exchange).map(|entry| entry.kind) {
                Some(Kind::Listening) => self.end_listening(exchange),
                Some(Kind::Subscription) => {
                    self.end_subscription(exchange, Default::default());
                    self.events.push_back(ServerEvent::Cancelled(exchange));
                }
                _ => {}
            }
        }
    }

    /// How many requests of the peer are in flight.
    pub fn in_flight(&self) -> usize {
        match &self.phase {
            Phase::Legacy(legacy) => self.pending.len() - legacy.changes.count(),
            _ => self.pending.len(),
        }
    }

    /// Whether a request of the peer with this id is in flight.
    pub fn is_in_flight(&self, id: &RequestId) -> bool {
        self.pending.exchange(id).is_some()
    }

    /// The bounds of this connection.
    pub fn limits(&self) -> &ServerLimits {
        &self.limits
    }

    /// Whether another message may be handled, or the bound of requests in flight is reached.
    pub fn has_room(&self) -> bool {
        self.in_flight() < self.limits.in_flight
    }

    /// Bytes that wait to leave.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// The id that the peer gave an exchange.
    pub fn peer_id(&self, exchange: ExchangeId) -> Option<RequestId> {
        self.pending.get(exchange)?.request.clone()
    }

    fn learn_identity(&mut self, found: &mcp_types::DiscoverResult) {
        let named = found.meta.as_ref().and_then(|meta| meta.get(keys::SERVER_INFO));
        // The text as it stands may be a range of a larger message, so it is copied.
        let info = named.and_then(|text| RawText::new(text.get()).ok());
        self.stamp = info.map_or(Stamp::NONE, Stamp::new);
    }

    fn remove(&mut self, exchange: ExchangeId) -> Option<Entry> {
        self.pending.remove(exchange)
    }

    /// Answers a request in flight, for good.
    fn answer(&mut self, exchange: ExchangeId, result: Result<&Outcome, &ErrorObject>) {
        let Some(mut entry) = self.remove(exchange) else { return };
        let Some(id) = entry.request.take() else { return };
        let stamp = std::mem::take(&mut self.stamp);
        let gateway = self.aside.take();
        self.answer_with(&id, entry.batch, |out| {
            if let (Ok(Outcome::Complete(_)), Some(gateway)) = (result, &gateway)
                && gateway.hand_on(&entry, &id, out)
            {
                return;
            }
            if let Err(error) = entry.codec.encode_response(out, &id, result, &stamp) {
                let error = ErrorObject::internal(format!("the result has no JSON form: {error}"));
                wire::encode_error(out, Some(&id), &error);
            }
        });
        self.stamp = stamp;
        self.aside = gateway;
    }

    fn answer_error(&mut self, id: Option<&RequestId>, error: &ErrorObject, batch: Option<u64>) {
        match (id, batch) {
            (_, Some(batch)) => self.add_to_batch(batch, |out| wire::encode_error(out, id, error)),
            (id, None) => self.outbox.push(id.cloned(), |out| wire::encode_error(out, id, error)),
        }
    }

    /// Answers a request that belongs to the edge alone with a value of ours.
    fn answer_value<T: serde::Serialize>(&mut self, id: &RequestId, batch: Option<u64>, value: &T) {
        self.answer_with(id, batch, |out| {
            if let Err(error) = wire::encode_result(out, id, value) {
                wire::encode_error(out, Some(id), &ErrorObject::internal(error.to_string()));
            }
        });
    }

    fn answer_with(
        &mut self,
        id: &RequestId,
        batch: Option<u64>,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        match batch {
            Some(batch) => self.add_to_batch(batch, write),
            None => self.outbox.push(Some(id.clone()), write),
        }
    }

    fn end_subscription(&mut self, exchange: ExchangeId, mut result: SubscriptionsListenResult) {
        let Some(entry) = self.pending.get(exchange) else { return };
        modern::ended(&mut result, entry.request.as_ref());
        let result = Outcome::Complete(ServerResult::SubscriptionsListen(result));
        self.answer(exchange, Ok(&result));
    }

    /// Hands an exchange to the driver.
    fn start(&mut self, mut exchange: Exchange, mut entry: Entry) {
        if let Some(gateway) = &self.aside {
            gateway.lend(&mut exchange, &mut entry);
        }
        self.pending.insert(entry.request.clone(), exchange.id(), entry);
        self.events.push_back(ServerEvent::Exchange(exchange));
    }
}
