//! What is said outside of any request, for gateways: the server behind a gateway may be one of an
//! older revision, which asks and tells of its own accord, and so may the client before it.
//!
//! Only a client that shook hands can be asked so, once it has said that its handshake is done; one
//! without a handshake knows no such questions.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mcp_types::jsonrpc::Notification;
use mcp_types::wire::{self, LEGACY, ServerCodec};
use mcp_types::{
    ClientNotification, ErrorObject, Exchange, Extensions, InputRequest, Lease, RawText,
    RequestContext, RequestId, ServerNotification,
};

use super::legacy::{Legacy, write_question};
use super::{Entry, Phase, ServerConn, ServerEvent};
use crate::proto::Verbatim;

/// How many questions, and how many notifications, wait for the end of the handshake.
const MOST_WAITING: usize = 64;

/// What a client of a gateway said that belongs to no request.
#[derive(Debug)]
#[non_exhaustive]
pub enum AsideEvent {
    /// Something beside its requests.
    Told(ClientNotification),
    /// What came of a question of [`ServerConn::ask`], by its name.
    Answered(u64, Result<RawText, ErrorObject>),
}

/// What the connection of a gateway does beyond any other. [`ServerConn::gateway`] alone names who does
/// it, so that a program without a gateway is not made of it.
pub(super) trait Gateway: fmt::Debug + Send {
    fn ask(&mut self, conn: &mut ServerConn, now: Instant, name: u64, question: InputRequest);
    fn withdraw(&mut self, conn: &mut ServerConn, name: u64);
    fn tell(&mut self, conn: &mut ServerConn, notification: ServerNotification);
    /// The client shakes hands, and is not to be asked before that is done.
    fn not_ready(&mut self);
    /// The client is ready to be asked.
    fn ready(&mut self, conn: &mut ServerConn, now: Instant);
    /// Hands out what a client says that is neither a cancellation nor the end of its handshake.
    fn told(&mut self, conn: &mut ServerConn, told: &Notification);
    /// Hands out what came of a question.
    fn answered(&mut self, conn: &mut ServerConn, name: u64, answer: Result<RawText, ErrorObject>);
    fn poll(&mut self) -> Option<AsideEvent>;
    /// Lends an exchange word of who gave up, and a place for the text of its result.
    fn lend(&self, exchange: &mut Exchange, entry: &mut Entry);
    /// Writes the text in which the answer came, where it may stand for the outcome; whether it did.
    fn hand_on(&self, entry: &Entry, id: &RequestId, out: &mut Vec<u8>) -> bool;
    /// Takes the questions out that the client cannot be asked, and refuses them for it. What it refused
    /// in the round before is over.
    fn spare(
        &self,
        legacy: &Legacy,
        questions: &mut BTreeMap<String, InputRequest>,
        extensions: &mut Extensions,
    );
    /// Adds to what an exchange that is entered again takes along: what the client said in place of an
    /// answer to a question.
    fn refuse(&self, extensions: &mut Extensions, key: String, error: ErrorObject);
}

/// What a gateway's connection remembers beyond any other.
#[derive(Debug, Default)]
struct Aside {
    /// Whether the client has said that its handshake is done.
    ready: bool,
    waiting: VecDeque<Waiting>,
    events: VecDeque<AsideEvent>,
}

#[derive(Debug)]
enum Waiting {
    Question(u64, InputRequest),
    Notification(ServerNotification),
}

/// The questions that the client of a gateway did not answer, with its errors, in the extensions of
/// an exchange that is entered again.
#[derive(Debug, Default)]
pub(crate) struct RefusedInputs(Mutex<BTreeMap<String, ErrorObject>>);

impl RefusedInputs {
    /// What becomes of an exchange whose questions were refused, at a server that can only be told of
    /// answers.
    pub(crate) fn of(context: &RequestContext) -> Option<ErrorObject> {
        let refused: &Self = context.extensions.get()?;
        let refused = refused.lock();
        let (key, error) = refused.first_key_value()?;
        let text = format!("the client did not answer `{key}`: {}", error.message);
        Some(ErrorObject::internal(text))
    }

    /// What the client said in place of an answer to the question of this name.
    pub(crate) fn get(&self, key: &str) -> Option<ErrorObject> {
        self.lock().get(key).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, ErrorObject>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerConn {
    /// Makes this the connection of a gateway: what the client says beside its requests is handed
    /// out, the level of the log is unset until the client sets it, questions that the client
    /// answers with an error are answered with that error, and results that nobody changed leave as
    /// the text that came.
    #[must_use]
    pub fn gateway(mut self) -> Self {
        self.aside = Some(Box::<Aside>::default());
        self
    }

    /// What the client said outside of any request, after a [`ServerEvent::Aside`].
    pub fn poll_aside(&mut self) -> Option<AsideEvent> {
        self.aside.as_mut()?.poll()
    }

    /// Asks the client something that belongs to no request; the answer is an
    /// [`AsideEvent::Answered`] with this name. Only a [`gateway`](Self::gateway) asks.
    pub fn ask(&mut self, now: Instant, name: u64, question: InputRequest) {
        self.as_gateway(|gateway, conn| gateway.ask(conn, now, name, question));
    }

    /// Takes back a question of [`ServerConn::ask`]: its answer is wanted no more.
    pub fn withdraw(&mut self, name: u64) {
        self.as_gateway(|gateway, conn| gateway.withdraw(conn, name));
    }

    /// Tells the client something that belongs to no request. One that speaks without a handshake
    /// hears such things by its subscriptions alone, so it is passed over then.
    pub fn tell(&mut self, notification: ServerNotification) {
        self.as_gateway(|gateway, conn| gateway.tell(conn, notification));
    }

    /// The client is ready to be asked.
    pub(super) fn ready(&mut self, now: Instant) {
        self.as_gateway(|gateway, conn| gateway.ready(conn, now));
    }

    pub(super) fn as_gateway(&mut self, run: impl FnOnce(&mut dyn Gateway, &mut Self)) {
        if let Some(mut gateway) = self.aside.take() {
            run(&mut *gateway, self);
            self.aside = Some(gateway);
        }
    }

    fn put(&mut self, now: Instant, name: u64, question: &InputRequest) {
        let deadline = now + self.limits.input_timeout;
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        let id = legacy.ask_aside(name, question.method(), deadline);
        self.outbox.push(None, |out| write_question(out, id, question));
    }
}

impl Aside {
    fn say(&mut self, conn: &mut ServerConn, event: AsideEvent) {
        self.events.push_back(event);
        conn.events.push_back(ServerEvent::Aside);
    }
}

impl Gateway for Aside {
    fn ask(&mut self, conn: &mut ServerConn, now: Instant, name: u64, question: InputRequest) {
        let refusal = match &conn.phase {
            Phase::Modern => ErrorObject::invalid_request(
                "the client speaks a revision without questions outside of a request",
            ),
            Phase::Legacy(legacy) if self.ready => match legacy.lacks(&question) {
                None => return conn.put(now, name, &question),
                Some(_) => ErrorObject::method_not_found(question.method()),
            },
            _ if self.waiting.len() < MOST_WAITING => {
                return self.waiting.push_back(Waiting::Question(name, question));
            }
            _ => ErrorObject::internal("too many questions wait for an answer already"),
        };
        self.answered(conn, name, Err(refusal));
    }

    fn withdraw(&mut self, conn: &mut ServerConn, name: u64) {
        let of = |one: &Waiting| matches!(one, Waiting::Question(other, _) if *other == name);
        self.waiting.retain(|one| !of(one));
        conn.withdraw_aside(name);
    }

    fn tell(&mut self, conn: &mut ServerConn, notification: ServerNotification) {
        match &conn.phase {
            Phase::Legacy(legacy) if self.ready => {
                if let ServerNotification::Message(said) = &notification
                    && legacy.set_level().is_some_and(|level| said.level < level)
                {
                    return;
                }
                conn.outbox.push(None, |out| {
                    // What has no JSON form cannot be sent, and nobody waits for it.
                    let _ = LEGACY.encode_server_notification(out, &notification);
                });
            }
            Phase::Modern => {}
            _ => {
                if self.waiting.len() < MOST_WAITING {
                    self.waiting.push_back(Waiting::Notification(notification));
                }
            }
        }
    }

    fn not_ready(&mut self) {
        self.ready = false;
    }

    fn ready(&mut self, conn: &mut ServerConn, now: Instant) {
        self.ready = true;
        for one in std::mem::take(&mut self.waiting) {
            match one {
                Waiting::Question(name, question) => self.ask(conn, now, name, question),
                Waiting::Notification(notification) => self.tell(conn, notification),
            }
        }
    }

    fn told(&mut self, conn: &mut ServerConn, told: &Notification) {
        if let Ok(told) = ClientNotification::decode(&told.method, told.params.as_ref()) {
            self.say(conn, AsideEvent::Told(told));
        }
    }

    fn answered(&mut self, conn: &mut ServerConn, name: u64, answer: Result<RawText, ErrorObject>) {
        self.say(conn, AsideEvent::Answered(name, answer));
    }

    fn poll(&mut self) -> Option<AsideEvent> {
        self.events.pop_front()
    }

    fn lend(&self, exchange: &mut Exchange, entry: &mut Entry) {
        if entry.request.is_none() {
            return;
        }
        let verbatim = Verbatim::of(exchange.request.method(), entry.codec_era());
        let extensions = &mut exchange.context.extensions;
        extensions.insert_shared(verbatim.clone());
        if let Some(inputs) = &mut entry.inputs {
            extensions.insert(Lease::new());
            inputs.extend(extensions);
        }
        entry.verbatim = Some(verbatim);
    }

    fn hand_on(&self, entry: &Entry, id: &RequestId, out: &mut Vec<u8>) -> bool {
        let text = entry.verbatim.as_ref().and_then(|verbatim| verbatim.take());
        text.is_some_and(|text| wire::encode_result(out, id, &text).is_ok())
    }

    fn refuse(&self, extensions: &mut Extensions, key: String, error: ErrorObject) {
        if extensions.get::<RefusedInputs>().is_none() {
            extensions.insert(RefusedInputs::default());
        }
        if let Some(refused) = extensions.get::<RefusedInputs>() {
            refused.lock().insert(key, error);
        }
    }

    fn spare(
        &self,
        legacy: &Legacy,
        questions: &mut BTreeMap<String, InputRequest>,
        extensions: &mut Extensions,
    ) {
        extensions.remove::<RefusedInputs>();
        for (key, one) in questions.extract_if(.., |_, one| legacy.lacks(one).is_some()) {
            self.refuse(extensions, key, ErrorObject::method_not_found(one.method()));
        }
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::{DiscoverResult, ListRootsRequestParams, Outcome, ServerResult};

    use super::*;
    use crate::proto::server::ServerLimits;

    struct Peer {
        conn: ServerConn,
        now: Instant,
    }

    impl Peer {
        fn shaking_hands(capabilities: &str) -> Self {
            let conn = ServerConn::new(ServerLimits::default()).gateway();
            let mut peer = Self { conn, now: Instant::now() };
            peer.says(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"initialize","params":{{"protocolVersion":"2025-11-25","capabilities":{capabilities},"clientInfo":{{"name":"c","version":"1"}}}}}}"#
            ));
            let Some(ServerEvent::Exchange(exchange)) = peer.conn.poll_event() else { panic!() };
            let found = DiscoverResult::new(Default::default(), Vec::new());
            let found = Outcome::Complete(ServerResult::from(found));
            peer.conn.complete(peer.now, exchange.id(), Ok(found));
            peer.sent();
            peer
        }

        fn says(&mut self, text: &str) {
            self.conn.handle(self.now, &text.into());
        }

        fn sent(&mut self) -> Vec<String> {
            let mut sent = Vec::new();
            while let Some(transmit) = self.conn.poll_transmit() {
                sent.push(String::from_utf8(transmit.message.to_vec()).unwrap());
            }
            sent
        }

        fn ask(&mut self, name: u64) {
            let roots = InputRequest::ListRoots(ListRootsRequestParams::new());
            self.conn.ask(self.now, name, roots);
        }

        fn answered(&mut self) -> Option<(u64, bool)> {
            match self.conn.poll_aside()? {
                AsideEvent::Answered(name, answer) => Some((name, answer.is_ok())),
                told => panic!("{told:?}"),
            }
        }
    }

    const READY: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

    #[test]
    fn a_client_is_asked_once_its_handshake_is_done() {
        let mut peer = Peer::shaking_hands(r#"{"roots":{}}"#);
        peer.ask(7);
        assert!(peer.sent().is_empty(), "it could not know what this is");
        peer.says(READY);
        assert_eq!(peer.sent(), [r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#]);
        peer.says(r#"{"jsonrpc":"2.0","id":1,"result":{"roots":[]}}"#);
        assert_eq!(peer.answered(), Some((7, true)));
        peer.ask(8);
        peer.conn.withdraw(8);
        assert!(peer.sent().pop().unwrap().contains("notifications/cancelled"));
        peer.says(r#"{"jsonrpc":"2.0","id":2,"result":{"roots":[]}}"#);
        assert_eq!(peer.answered(), None, "nobody waits for it");
        peer.ask(9);
        peer.conn.handle_timeout(peer.now + ServerLimits::default().input_timeout);
        assert_eq!(peer.answered(), Some((9, false)));
    }

    #[test]
    fn who_cannot_answer_is_not_asked() {
        let mut peer = Peer::shaking_hands("{}");
        peer.says(READY);
        peer.ask(1);
        assert_eq!((peer.sent(), peer.answered()), (Vec::new(), Some((1, false))));

        let conn = ServerConn::new(ServerLimits::default()).gateway();
        let mut peer = Peer { conn, now: Instant::now() };
        peer.ask(2);
        peer.says(
            r#"{"jsonrpc":"2.0","id":1,"method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}"#,
        );
        assert_eq!((peer.sent(), peer.answered()), (Vec::new(), Some((2, false))));
    }

    #[test]
    fn questions_that_wait_have_a_bound() {
        let mut peer = Peer::shaking_hands(r#"{"roots":{}}"#);
        (0..2 * MOST_WAITING as u64).for_each(|name| peer.ask(name));
        let refused = std::iter::from_fn(|| peer.answered()).count();
        assert_eq!(refused, MOST_WAITING);
        peer.says(READY);
        assert_eq!(peer.sent().len(), MOST_WAITING);
    }

    #[test]
    fn what_is_told_waits_for_the_handshake_and_heeds_the_level() {
        let mut peer = Peer::shaking_hands("{}");
        let said = r#"{"level":"debug","data":"x"}"#;
        let told = || {
            let params = RawText::new(said).unwrap();
            ServerNotification::decode("notifications/message", Some(&params)).unwrap()
        };
        peer.conn.tell(told());
        assert!(peer.sent().is_empty());
        peer.says(READY);
        assert_eq!(peer.sent().len(), 1);
        peer.says(
            r#"{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"error"}}"#,
        );
        peer.sent();
        peer.conn.tell(told());
        assert!(peer.sent().is_empty(), "the client wants errors only");
    }
}
