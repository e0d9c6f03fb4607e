//! The client's side of a connection: exchanges become requests, answers become outcomes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcp_types::jsonrpc::{Message, Notification, Request, Response};
use mcp_types::version::Era;
use mcp_types::wire::{self, Codec};
use mcp_types::{
    ByteString, CancelledNotificationParams, ClientCapabilities, ClientNotification, ClientRequest,
    DiscoverResult, ErrorObject, Exchange, ExchangeId, Implementation, InputRequest, Members,
    Origin, Outcome, ProgressToken, ProtocolVersion, RawText, RequestContext, RequestId,
    ServerNotification, ServerResult,
};

use super::pending::Pending;
use super::{Outbox, Transmit, Verbatim};
use crate::framing::Fault;
use crate::proto::server::RefusedInputs;

mod asked;
mod broken;
mod legacy;
mod listening;
mod opening;
mod parked;
pub(crate) mod probe;

use self::asked::PeerQuestions;
pub use self::asked::PeerRequests;
use self::listening::Listening;
use self::opening::Opening;
use self::parked::{Asked, Parked};

/// Who we are and how long we wait, for one connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClientConfig {
    /// The era to speak; `None` finds out.
    pub era: Option<Era>,
    /// Who the client is, for exchanges that do not say so.
    pub client_info: Implementation,
    /// What the client can do, for exchanges that do not say so.
    pub client_capabilities: ClientCapabilities,
    /// How long a server may be silent before it is taken for one that wants a handshake.
    pub probe_timeout: Duration,
    /// How long the server may take to be ready in all.
    pub opening_timeout: Duration,
    /// How long the server may be silent on a request; progress counts as a sign of life.
    pub request_timeout: Option<Duration>,
    /// How long a request may take in all, whatever the server says meanwhile (2026-07-28,
    /// "Cancellation", Timeouts); subscriptions, which last by nature, are excepted.
    pub longest_request: Option<Duration>,
    /// How long a call of a legacy server waits for an answer to what it asked.
    pub parked_timeout: Duration,
    /// Who answers what a server asks outside of any call; `None` refuses it.
    pub peer_requests: Option<PeerRequests>,
    /// Speaks to the server as the first exchange came, where the server can: with a handshake, in the
    /// same revision, if there was one. For gateways, so that nothing has to be translated.
    pub follow: bool,
}

impl ClientConfig {
    /// A client of this name, with waiting times for a server that may have to be downloaded first.
    pub fn new(client_info: Implementation) -> Self {
        Self {
            era: None,
            client_info,
            client_capabilities: ClientCapabilities::new(),
            probe_timeout: Duration::from_secs(5),
            opening_timeout: Duration::from_secs(90),
            request_timeout: Some(Duration::from_secs(300)),
            longest_request: Some(Duration::from_secs(3600)),
            parked_timeout: Duration::from_secs(600),
            peer_requests: None,
            follow: false,
        }
    }
}

/// What a connection tells whoever drives it.
#[derive(Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "an event is handled at once; a box costs each call")]
pub enum ClientEvent {
    /// An exchange is answered.
    Completed(ExchangeId, Result<Outcome, ErrorObject>),
    /// The server said something, about an exchange or about nothing in particular.
    Notified(Option<ExchangeId>, ServerNotification),
    /// The server asks something outside of any call; the answer goes to [`ClientConn::answer`]
    /// under this name.
    Asked(u64, InputRequest, PeerRequests),
}

/// The protocol of one connection, seen from the client, without I/O.
///
/// The first exchange opens it: the server is probed with that exchange's envelope, and with a
/// handshake if it does not know the probe. A discovery that comes first is the probe itself.
#[derive(Debug)]
pub struct ClientConn {
    config: ClientConfig,
    phase: Phase,
    /// Exchanges that wait for the opening.
    waiting: VecDeque<Exchange>,
    pending: Pending<Entry>,
    deadlines: BTreeSet<(Instant, ExchangeId)>,
    parked: HashMap<String, Parked>,
    listening: Listening,
    questions: PeerQuestions,
    last_id: i64,
    /// Notifications that were sent, without those that were answered although none is.
    told: u32,
    outbox: Outbox,
    events: VecDeque<ClientEvent>,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Opening(Box<Opening>),
    Modern(ProtocolVersion),
    Legacy(ProtocolVersion, Box<DiscoverResult>),
    Failed(ErrorObject),
}

/// A request in flight.
#[derive(Debug)]
struct Entry {
    request: RequestId,
    method: ByteString,
    is_subscription: bool,
    /// The token of the exchange, which on the wire is the request's id; `None` if none was sent.
    token: Option<ProgressToken>,
    deadline: Option<Instant>,
    /// Beyond this no progress moves the deadline.
    latest: Option<Instant>,
    /// The server waits for an answer, and nobody here waits for the call.
    parked: bool,
    /// Where a gateway wants the text of the answer.
    verbatim: Option<Arc<Verbatim>>,
}

impl ClientConn {
    /// A connection on which nothing was said yet.
    pub fn new(config: ClientConfig) -> Self {
        Self {
            config,
            phase: Phase::Idle,
            waiting: VecDeque::new(),
            pending: Pending::default(),
            deadlines: BTreeSet::new(),
            parked: HashMap::new(),
            listening: Listening::default(),
            questions: PeerQuestions::default(),
            last_id: 0,
            told: 0,
            outbox: Outbox::default(),
            events: VecDeque::new(),
        }
    }

    /// Sends an exchange to the server, as soon as the connection is open.
    pub fn request(&mut self, now: Instant, exchange: Exchange) {
        match &self.phase {
            Phase::Idle => {
                let context = self.envelope(&exchange.context);
                let first = exchange.id();
                self.waiting.push_back(exchange);
                self.start_opening(now, context, first);
            }
            Phase::Opening(_) => self.waiting.push_back(exchange),
            Phase::Modern(version) => self.request_modern(now, *version, exchange),
            Phase::Legacy(..) => self.request_legacy(now, exchange),
            Phase::Failed(error) => {
                self.events.push_back(ClientEvent::Completed(exchange.id(), Err(error.clone())));
            }
        }
    }

    /// Gives an exchange up; the server is told, and its answer is passed over.
    pub fn cancel(&mut self, now: Instant, exchange: ExchangeId) {
        self.waiting.retain(|waiting| waiting.id() != exchange);
        if self.unlisten(now, exchange) {
            return;
        }
        if let Some(entry) = self.remove(exchange) {
            self.tell_cancelled(entry.request);
        }
    }

    /// Takes one message of the server.
    pub fn handle(&mut self, now: Instant, text: &ByteString) {
        self.handle_on(now, text, None);
    }

    /// Takes one message that came on the stream of a request of ours: what it says is about that.
    pub fn handle_on(&mut self, now: Instant, text: &ByteString, stream: Option<&RequestId>) {
        match Message::parse(text) {
            Ok(Message::Response(response)) => self.handle_response(now, response),
            Ok(Message::Notification(told)) => self.handle_notification(now, &told, stream),
            Ok(Message::Request(request)) => self.handle_request(now, request, stream),
            Err(bad) => self.handle_broken(now, text, bad),
            // A kind of message that this version does not know is for nobody here.
            Ok(_) => {}
        }
    }

    /// Takes a line that is no message; if it was an answer, its request fails.
    pub fn handle_fault(&mut self, fault: &Fault) {
        let Some(exchange) = fault.id.as_ref().and_then(|id| self.pending.exchange(id)) else {
            return;
        };
        let error =
            ErrorObject::local(Origin::Protocol, format!("the answer cannot be read: {fault}"));
        self.remove(exchange);
        self.completed(exchange, Err(error));
    }

    /// Says that the connection is lost: everything in flight fails with `error`, and all that comes.
    pub fn fail(&mut self, error: ErrorObject) {
        for exchange in std::mem::take(&mut self.waiting) {
            self.completed(exchange.id(), Err(error.clone()));
        }
        self.end_listeners(&error);
        for exchange in self.pending.exchanges() {
            self.remove(exchange);
            self.completed(exchange, Err(error.clone()));
        }
        self.parked.clear();
        self.phase = Phase::Failed(error);
    }

    /// The next message that wants to leave.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        self.outbox.poll()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let opening = match &self.phase {
            Phase::Opening(opening) => Some(opening.deadline()),
            _ => None,
        };
        let request = self.deadlines.first().map(|(deadline, _)| *deadline);
        let parked = self.parked.values().map(|parked| parked.deadline).min();
        [opening, request, parked].into_iter().flatten().min()
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.opening_timeout(now);
        self.expire_parked(now);
        while let Some((_, exchange)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now)
        {
            self.cancel(now, exchange);
            let error = ErrorObject::local(Origin::Timeout, "the server did not answer in time");
            self.completed(exchange, Err(error));
        }
    }

    /// Whether an answer to this request of ours is still of use to anybody.
    pub fn awaits(&self, request: &RequestId) -> bool {
        self.pending.exchange(request).is_some()
    }

    /// Why the connection is lost, if it is.
    pub fn failure(&self) -> Option<&ErrorObject> {
        match &self.phase {
            Phase::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// How many requests are in flight or wait for the opening.
    pub fn in_flight(&self) -> usize {
        self.pending.len() + self.waiting.len()
    }

    /// Bytes that wait to leave.
    pub fn queued_bytes(&self) -> usize {
        self.outbox.len()
    }

    /// The revision that is spoken, once that is known.
    pub fn version(&self) -> Option<ProtocolVersion> {
        match &self.phase {
            Phase::Modern(version) | Phase::Legacy(version, _) => Some(*version),
            _ => None,
        }
    }

    /// The exchange's envelope, completed by what the configuration says of us.
    fn envelope(&self, context: &RequestContext) -> RequestContext {
        let mut context = context.clone();
        if context.protocol_version().is_none() {
            let info = RawText::of(&self.config.client_info).ok();
            // A layer may have declared what it can do for the server, and knows nothing else.
            if let Ok(capabilities) = RawText::of(&self.config.client_capabilities) {
                context.declare(&capabilities);
            }
            let declared = context.declared().cloned();
            context.set_client(ProtocolVersion::NEWEST, info, declared);
        }
        context
    }

    fn request_modern(&mut self, now: Instant, version: ProtocolVersion, mut exchange: Exchange) {
        if let Some(refused) = RefusedInputs::of(&exchange.context) {
            return self.completed(exchange.id(), Err(refused));
        }
        exchange.context = self.envelope(&exchange.context);
        if exchange.context.protocol_version() != Some(version) {
            let info = exchange.context.client_info().and_then(|info| RawText::of(&info).ok());
            let capabilities = RawText::of(&exchange.context.client_capabilities()).ok();
            exchange.context.set_client(version, info, capabilities);
        }
        self.send(now, &wire::MODERN, exchange);
    }

    /// Writes an exchange and remembers it.
    fn send(&mut self, now: Instant, codec: &'static dyn Codec, mut exchange: Exchange) {
        let id = exchange.id();
        let request = self.next_id();
        // Tokens have to differ among all that is in flight, and only the id is sure to.
        let mut token = exchange.context.progress_token.take();
        // Whose client wants no progress is not to be told any.
        let listens = exchange.notifier.is_connected() && !self.config.follow;
        if token.is_some() || listens {
            exchange.context.progress_token = Some(request.clone());
            token.get_or_insert_with(|| request.clone());
        }
        let mut written = Ok(());
        self.outbox.push(Some(request.clone()), |out| {
            written = codec.encode_request(out, &request, &exchange);
        });
        if let Err(error) = written {
            let error = match error {
                wire::EncodeError::NotInThisEra(method) => ErrorObject::method_not_found(&method),
                other => ErrorObject::invalid_params(other.to_string()),
            };
            return self.completed(id, Err(error));
        }
        let is_subscription = matches!(exchange.request, ClientRequest::SubscriptionsListen(_));
        let latest = self.config.longest_request.filter(|_| !is_subscription);
        let latest = latest.map(|longest| now + longest);
        let method = ByteString::from(exchange.request.method());
        let entry = Entry {
            request: request.clone(),
            method,
            is_subscription,
            token,
            deadline: None,
            latest,
            parked: false,
            verbatim: exchange.context.extensions.get_shared(),
        };
        self.pending.insert(Some(request), id, entry);
        self.stay(now, id);
    }

    /// Takes an answer that the transport found, or one that it gives in the server's stead.
    pub fn handle_response(&mut self, now: Instant, response: Response) {
        let id = response.id.as_ref();
        if self.handle_opening(now, id, &response.result) {
            return;
        }
        let Some(id) = id else { return self.handle_nameless(response.result) };
        // An answer that nobody waits for may be one to a request that was given up.
        let Some(exchange) = self.pending.exchange(id) else { return };
        let Some(entry) = self.remove(exchange) else { return };
        self.settle(exchange, &entry, response.result);
    }

    /// Hands an answer to whoever waits for it, or keeps it for whoever comes back.
    fn settle(
        &mut self,
        exchange: ExchangeId,
        entry: &Entry,
        answer: Result<RawText, ErrorObject>,
    ) {
        if self.parked_answer(&entry.request, &answer) {
            return;
        }
        let result = self.read(entry, answer);
        self.completed(exchange, result);
    }

    /// Reads an answer, and keeps its text for a gateway.
    fn read(
        &self,
        entry: &Entry,
        answer: Result<RawText, ErrorObject>,
    ) -> Result<Outcome, ErrorObject> {
        let text = answer?;
        let outcome = self.decode(&entry.method, &text)?;
        if let (Some(verbatim), Outcome::Complete(_)) = (&entry.verbatim, &outcome) {
            let is_legacy = matches!(self.phase, Phase::Legacy(..));
            verbatim.keep(&entry.method, if is_legacy { Era::Legacy } else { Era::Modern }, &text);
        }
        Ok(outcome)
    }

    fn decode(&self, method: &str, text: &RawText) -> Result<Outcome, ErrorObject> {
        self.codec().decode_result(method, text).map_err(|error| {
            let text = format!("the answer to `{method}` does not fit: {}", error.within("result"));
            ErrorObject::local(Origin::Protocol, text)
        })
    }

    fn codec(&self) -> &'static dyn Codec {
        match &self.phase {
            Phase::Legacy(..) => &wire::LEGACY,
            _ => &wire::MODERN,
        }
    }

    fn handle_notification(
        &mut self,
        now: Instant,
        told: &Notification,
        stream: Option<&RequestId>,
    ) {
        let Ok(notification) =
            self.codec().decode_server_notification(&told.method, told.params.as_ref())
        else {
            return;
        };
        let (exchange, notification) = match notification {
            ServerNotification::Progress(mut progress) => {
                let exchange = self.pending.exchange(&progress.progress_token);
                let entry = exchange.and_then(|exchange| self.pending.get(exchange));
                // Progress is for tokens that were sent; anything else is no sign of life.
                let Some(token) = entry.and_then(|entry| entry.token.clone()) else { return };
                if let Some(exchange) = exchange {
                    self.stay(now, exchange);
                }
                progress.progress_token = token;
                (exchange, ServerNotification::Progress(progress))
            }
            ServerNotification::Cancelled(cancelled) => {
                return self.server_cancelled(&cancelled);
            }
            ServerNotification::Message(said) => {
                // On a shared stream, whose message it is can only be told if one is in flight.
                let listens = |exchange: &ExchangeId| {
                    self.pending.get(*exchange).is_some_and(|entry| entry.is_subscription)
                };
                let mut all = self.pending.exchanges().into_iter().filter(|one| !listens(one));
                let only = all.next().filter(|_| all.next().is_none());
                let exchange = stream.and_then(|stream| self.pending.exchange(stream)).or(only);
                (exchange, ServerNotification::Message(said))
            }
            other if matches!(self.phase, Phase::Legacy(..)) => {
                let Some(unheard) = self.tell_listeners(other) else { return };
                (None, unheard)
            }
            other => (self.subscription_of(told.params.as_ref()), other),
        };
        self.events.push_back(ClientEvent::Notified(exchange, notification));
    }

    /// A server ends a subscription (2026-07-28, "Cancellation"), or takes a question back (legacy).
    fn server_cancelled(&mut self, cancelled: &CancelledNotificationParams) {
        let exchange = self.pending.exchange(&cancelled.request_id);
        let is_subscription =
            |entry: Option<&Entry>| entry.is_some_and(|entry| entry.is_subscription);
        match exchange.filter(|exchange| is_subscription(self.pending.get(*exchange))) {
            Some(exchange) => {
                self.remove(exchange);
                let result =
                    ServerResult::SubscriptionsListen(mcp_types::SubscriptionsListenResult::new());
                self.completed(exchange, Ok(Outcome::Complete(result)));
            }
            None => {
                self.question_withdrawn(&cancelled.request_id);
                self.peer_question_withdrawn(&cancelled.request_id);
            }
        }
    }

    fn subscription_of(&self, params: Option<&RawText>) -> Option<ExchangeId> {
        let meta: Members = params?.parse::<Members>().ok()?.get("_meta")?.parse().ok()?;
        let id: RequestId = meta.get(mcp_types::keys::SUBSCRIPTION_ID)?.parse().ok()?;
        self.pending.exchange(&id)
    }

    fn handle_request(&mut self, now: Instant, request: Request, stream: Option<&RequestId>) {
        if &*request.method == "ping" {
            return self.outbox.push(None, |out| {
                let _ = wire::encode_result(out, &request.id, &Members::new());
            });
        }
        let question = InputRequest::decode(&request.method, request.params.as_ref());
        let refusal = match question {
            Err(error) => ErrorObject::invalid_params(error.within("params").to_string()),
            Ok(question @ InputRequest::Extension { .. }) => {
                // What we do not know, whoever is behind a gateway may; it belongs to no call.
                let known = self.config.follow && matches!(self.phase, Phase::Legacy(..));
                match known.then(|| self.ask_peer(request.id.clone(), question)) {
                    Some(Ok(())) => return,
                    Some(Err(error)) => error,
                    None => ErrorObject::method_not_found(&request.method),
                }
            }
            Ok(question) => {
                let bytes = request.params.as_ref().map_or(0, |params| params.get().len());
                let asked = Asked { id: request.id.clone(), question, bytes };
                match self.park(now, asked, stream) {
                    Ok(()) => return,
                    Err(error) => error,
                }
            }
        };
        self.outbox.push(None, |out| wire::encode_error(out, Some(&request.id), &refusal));
    }

    /// A sign of life of a call moves its deadline, up to its latest.
    fn stay(&mut self, now: Instant, exchange: ExchangeId) {
        let timeout = self.config.request_timeout.map(|timeout| now + timeout);
        let Some(entry) = self.pending.get_mut(exchange) else { return };
        if entry.is_subscription || entry.parked {
            return;
        }
        if let Some(before) = entry.deadline.take() {
            self.deadlines.remove(&(before, exchange));
        }
        entry.deadline = timeout.into_iter().chain(entry.latest).min();
        if let Some(deadline) = entry.deadline {
            self.deadlines.insert((deadline, exchange));
        }
    }

    fn remove(&mut self, exchange: ExchangeId) -> Option<Entry> {
        let entry = self.pending.remove(exchange)?;
        if let Some(deadline) = entry.deadline {
            self.deadlines.remove(&(deadline, exchange));
        }
        Some(entry)
    }

    fn completed(&mut self, exchange: ExchangeId, result: Result<Outcome, ErrorObject>) {
        let Some(result) = self.for_listeners(exchange, result) else { return };
        self.events.push_back(ClientEvent::Completed(exchange, result));
    }

    /// Tells the server something that belongs to no request of ours; before the connection is open
    /// nobody is told.
    pub fn tell(&mut self, notification: &ClientNotification) {
        if !matches!(self.phase, Phase::Modern(_) | Phase::Legacy(..)) {
            return;
        }
        self.told = self.told.saturating_add(1);
        let codec = self.codec();
        self.outbox.push(None, |out| {
            // What has no JSON form cannot be sent, and nobody waits for it.
            let _ = codec.encode_client_notification(out, notification);
        });
    }

    fn tell_cancelled(&mut self, request: RequestId) {
        self.told = self.told.saturating_add(1);
        let notification = ClientNotification::Cancelled(CancelledNotificationParams::new(request));
        let codec = self.codec();
        self.outbox.push(None, |out| {
            let _ = codec.encode_client_notification(out, &notification);
        });
    }

    fn next_id(&mut self) -> RequestId {
        self.last_id += 1;
        RequestId::Number(self.last_id)
    }
}
