//! The client at the other end, outside of any exchange.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;

use mcp_types::wire::{LEGACY, ServerCodec};
use mcp_types::{
    BoxFuture, ClientNotification, ErrorObject, InputHandler, InputRequest, Origin, RawText,
    ServerNotification,
};
use tokio::sync::oneshot;

use super::calls::guarded;
use crate::proto::server::{AsideEvent, ServerConn};

/// The client of a gateway, for what belongs to no exchange: a server of an older revision behind the
/// gateway asks and tells of its own accord, and the client may tell it something too.
///
/// It goes into [`ServeOptions::client`](crate::ServeOptions) on the client's side and, as
/// [`PeerRequests`](crate::PeerRequests), into the configuration of the connection to the server. Each
/// belongs to one connection. Cheap to clone.
///
/// A client that speaks a revision without a handshake knows no such questions: they are refused then,
/// and notifications are passed over, because such a client has subscriptions for them.
///
/// ```
/// use std::sync::Arc;
/// use mcp_transport::{ClientPeer, ConnectOptions, PeerRequests, ServeOptions};
/// use mcp_types::Implementation;
///
/// let client = ClientPeer::new();
/// let mut behind = ConnectOptions::new(Implementation::new("gateway", "1.0.0"));
/// behind.config.follow = true;
/// behind.config.peer_requests = Some(PeerRequests(Arc::new(client.clone())));
/// let tell = client.clone();
/// behind.on_notification = Some(Arc::new(move |told| tell.tell(told)));
/// let mut before = ServeOptions::default();
/// before.client = Some(client);
/// ```
#[derive(Clone)]
pub struct ClientPeer {
    peer: Arc<dyn Peer>,
    part: Option<Arc<Part>>,
}

/// What one of several servers changes about what it asks and tells.
struct Part {
    number: u64,
    asks: Box<dyn Fn(&mut InputRequest) + Send + Sync>,
    tells: Box<dyn Fn(&mut ServerNotification) -> bool + Send + Sync>,
}

/// What a driver does for a gateway. [`ClientPeer::new`] alone names who does it, so that a program
/// without a gateway is not made of it.
trait Peer: Send + Sync {
    /// Makes the connection that of a gateway.
    fn begin(&self, conn: ServerConn) -> ServerConn;
    /// Says what there is to say; without room only whether the connection is to end.
    fn speak(&self, conn: &mut ServerConn, now: Instant, driver: &Waker, room: bool) -> Spoken;
    /// Hears what belongs to no exchange.
    fn hear(&self, conn: &mut ServerConn);
    fn close(&self);
    fn shared(&self) -> &Shared;
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Who hears the client, by the number of its part.
    listeners: Mutex<BTreeMap<u64, Listener>>,
}

/// What is left to do for a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// Nothing.
    All,
    /// To say more, once there is room.
    More,
    /// To end the connection.
    HangUp,
}

type Listener = Arc<dyn Fn(ClientNotification) + Send + Sync>;

#[derive(Default)]
struct State {
    said: VecDeque<Said>,
    /// How many bytes of questions and notifications are in `said`, beside the first.
    weight: usize,
    asked: HashMap<u64, Waiting>,
    last: u64,
    parts: u64,
    driver: Option<Waker>,
    hung_up: bool,
    closed: bool,
}

/// Whoever waits for an answer, and for which part.
struct Waiting {
    part: u64,
    answer: oneshot::Sender<Result<RawText, ErrorObject>>,
}

/// What is to be said to the client.
enum Said {
    Ask(u64, InputRequest, usize),
    /// Of this part.
    Tell(u64, ServerNotification, usize),
    Withdraw(u64),
}

/// How many questions of one part may wait for an answer at once.
const MOST_ASKED: usize = 64;

/// How many notifications wait for a client that does not read; the oldest of the part that has most go
/// first.
const MOST_TOLD: usize = 1024;

/// How many bytes of questions and notifications wait for it.
const MOST_WEIGHT: usize = 4 << 20;

impl ClientPeer {
    /// The client of a connection that is yet to be served.
    pub fn new() -> Self {
        Self { peer: Arc::<Shared>::default(), part: None }
    }

    /// The same client for one of several servers behind a gateway: `asks` changes what a server asks
    /// by [`PeerRequests`](crate::PeerRequests), `tells` what is told, so that the client can see
    /// whose it is, and says whether it may be told at all. It hears the client beside the other parts,
    /// and has questions of its own; where too much waits for a client that does not read, the part that
    /// tells most loses what it told first.
    #[must_use]
    pub fn part(
        &self,
        asks: impl Fn(&mut InputRequest) + Send + Sync + 'static,
        tells: impl Fn(&mut ServerNotification) -> bool + Send + Sync + 'static,
    ) -> Self {
        let number = {
            let mut state = self.lock();
            state.parts += 1;
            state.parts
        };
        let part = Part { number, asks: Box::new(asks), tells: Box::new(tells) };
        Self { peer: self.peer.clone(), part: Some(Arc::new(part)) }
    }

    fn number(&self) -> u64 {
        self.part.as_ref().map_or(0, |part| part.number)
    }

    /// Hears what the client says beside its requests, such as that its roots have changed. What was
    /// set before is replaced.
    pub fn on_notification(&self, take: impl Fn(ClientNotification) + Send + Sync + 'static) {
        let listeners = &self.peer.shared().listeners;
        let mut listeners = listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.insert(self.number(), Arc::new(take));
    }

    /// Asks the client; dropping the future takes the question back.
    ///
    /// # Errors
    ///
    /// What the client answers instead, or why it cannot be asked: it did not declare that it can
    /// answer this, it speaks a revision without such questions, it did not answer in time, 64
    /// questions wait already, or the connection has ended.
    pub async fn ask(&self, question: InputRequest) -> Result<RawText, ErrorObject> {
        let (answer, answered) = oneshot::channel();
        let name = {
            let mut state = self.lock();
            if state.closed {
                return Err(gone());
            }
            let weight = state.weigh(|| serde_json::to_vec(&question).map_or(0, |text| text.len()));
            let part = self.number();
            let asked = state.asked.values().filter(|one| one.part == part).count();
            // What one server tells keeps no other from asking.
            while state.weight + weight > MOST_WEIGHT && state.drop_told() {}
            if asked >= MOST_ASKED || state.weight + weight > MOST_WEIGHT {
                return Err(ErrorObject::internal("too many questions wait for an answer already"));
            }
            state.last += 1;
            let name = state.last;
            state.asked.insert(name, Waiting { part, answer });
            state.say(Said::Ask(name, question, weight), weight);
            name
        };
        let mut asking = Asking { peer: self, name: Some(name) };
        let answer = answered.await.unwrap_or_else(|_| Err(gone()));
        asking.name = None;
        answer
    }

    /// Tells the client something.
    pub fn tell(&self, mut notification: ServerNotification) {
        if let Some(part) = &self.part
            && !(part.tells)(&mut notification)
        {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let weight = state.weigh(|| {
            let mut text = Vec::new();
            let written = LEGACY.encode_server_notification(&mut text, &notification);
            written.map_or(0, |()| text.len())
        });
        while (state.said.len() >= MOST_TOLD || state.weight + weight > MOST_WEIGHT)
            && state.drop_told()
        {}
        state.say(Said::Tell(self.number(), notification, weight), weight);
    }

    /// Ends the connection as if the client's input had ended: what is asked already is answered.
    pub fn hang_up(&self) {
        let mut state = self.lock();
        if !state.closed {
            state.hung_up = true;
            state.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.peer.shared().lock()
    }

    pub(super) fn begin(&self, conn: ServerConn) -> ServerConn {
        self.peer.begin(conn)
    }

    pub(super) fn speak(
        &self,
        conn: &mut ServerConn,
        now: Instant,
        driver: &Waker,
        room: bool,
    ) -> Spoken {
        self.peer.speak(conn, now, driver, room)
    }

    pub(super) fn hear(&self, conn: &mut ServerConn) {
        self.peer.hear(conn);
    }

    pub(super) fn close(&self) {
        self.peer.close();
    }
}

impl Default for ClientPeer {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Peer for Shared {
    fn begin(&self, conn: ServerConn) -> ServerConn {
        conn.gateway()
    }

    fn speak(&self, conn: &mut ServerConn, now: Instant, driver: &Waker, room: bool) -> Spoken {
        let (said, hung_up) = {
            let mut state = self.lock();
            match &mut state.driver {
                Some(known) => known.clone_from(driver),
                none => *none = Some(driver.clone()),
            }
            if !room && !state.hung_up {
                return if state.said.is_empty() { Spoken::All } else { Spoken::More };
            }
            state.weight = 0;
            (std::mem::take(&mut state.said), state.hung_up)
        };
        for said in said {
            match said {
                Said::Ask(name, question, _) => conn.ask(now, name, question),
                Said::Tell(_, notification, _) => conn.tell(notification),
                Said::Withdraw(name) => conn.withdraw(name),
            }
        }
        if hung_up { Spoken::HangUp } else { Spoken::All }
    }

    fn hear(&self, conn: &mut ServerConn) {
        match conn.poll_aside() {
            Some(AsideEvent::Told(told)) => {
                let listeners =
                    self.listeners.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for take in listeners.into_values() {
                    // What a listener does must not end the connection.
                    let _ = guarded(|| take(told.clone()));
                }
            }
            Some(AsideEvent::Answered(name, answer)) => {
                let waiting = self.lock().asked.remove(&name);
                if let Some(waiting) = waiting {
                    // Whoever asked may have gone.
                    let _ = waiting.answer.send(answer);
                }
            }
            None => {}
        }
    }

    fn shared(&self) -> &Shared {
        self
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.said.clear();
        state.asked.clear();
    }
}

impl State {
    fn say(&mut self, said: Said, weight: usize) {
        self.said.push_back(said);
        self.weight += weight;
        self.wake();
    }

    /// What something weighs that is to be said: nothing, where nothing else waits.
    fn weigh(&self, weight: impl FnOnce() -> usize) -> usize {
        if self.said.is_empty() { 0 } else { weight() }
    }

    /// Drops the first notification of the part of which most wait; whether there was one.
    fn drop_told(&mut self) -> bool {
        let mut told: BTreeMap<u64, usize> = BTreeMap::new();
        for one in &self.said {
            if let Said::Tell(part, _, weight) = one {
                // One that is short takes a place too.
                *told.entry(*part).or_default() += weight + MOST_WEIGHT / MOST_TOLD;
            }
        }
        let most = told.into_iter().max_by_key(|(_, weight)| *weight);
        let Some((most, _)) = most else { return false };
        self.drop_first(|one| matches!(one, Said::Tell(part, ..) if *part == most))
    }

    /// Drops the first of what waits that is `such`; whether there was one.
    fn drop_first(&mut self, such: impl Fn(&Said) -> bool) -> bool {
        let found = self.said.iter().position(such).and_then(|place| self.said.remove(place));
        if let Some(Said::Ask(_, _, weight) | Said::Tell(_, _, weight)) = found {
            self.weight = self.weight.saturating_sub(weight);
        }
        found.is_some()
    }

    fn wake(&self) {
        if let Some(driver) = &self.driver {
            driver.wake_by_ref();
        }
    }
}

/// A question that is taken back when nobody waits for its answer.
struct Asking<'a> {
    peer: &'a ClientPeer,
    name: Option<u64>,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let Some(name) = self.name else { return };
        let mut state = self.peer.lock();
        if state.asked.remove(&name).is_some() && !state.closed {
            // What was not asked yet need not be taken back.
            if !state.drop_first(|one| matches!(one, Said::Ask(other, ..) if *other == name)) {
                state.say(Said::Withdraw(name), 0);
            }
        }
    }
}

impl InputHandler for ClientPeer {
    fn handle(&self, mut request: InputRequest) -> BoxFuture<'_, Result<RawText, ErrorObject>> {
        if let Some(part) = &self.part {
            (part.asks)(&mut request);
        }
        Box::pin(self.ask(request))
    }
}

impl fmt::Debug for ClientPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientPeer")
    }
}

fn gone() -> ErrorObject {
    ErrorObject::local(Origin::Connection, "the client has gone")
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};
    use std::time::Duration;

    use mcp_types::{
        DiscoverResult, Exchange, ExchangeFuture, ListRootsRequestParams, ServerResult,
    };
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tower_service::Service;

    use super::*;
    use crate::{ServeOptions, duplex, serve_with};

    #[derive(Clone)]
    struct Found;

    impl Service<Exchange> for Found {
        type Response = mcp_types::Outcome;
        type Error = ErrorObject;
        type Future = ExchangeFuture;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Exchange) -> ExchangeFuture {
            let found = DiscoverResult::new(Default::default(), Vec::new());
            Box::pin(async { Ok(ServerResult::from(found).into()) })
        }
    }

    fn log(text: &str) -> ServerNotification {
        let params = format!(r#"{{"level":"error","data":"{text}"}}"#);
        let params = RawText::new(&params).unwrap();
        ServerNotification::decode("notifications/message", Some(&params)).unwrap()
    }

    const HELLO: &str = concat!(
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","#,
        r#""capabilities":{"roots":{}},"clientInfo":{"name":"c","version":"1"}}}"#,
        "\n",
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        "\n"
    );

    /// What a client reads that read nothing while `say` was at it.
    async fn read_late(say: impl AsyncFn(&ClientPeer)) -> Vec<String> {
        let peer = ClientPeer::new();
        let options = ServeOptions { client: Some(peer.clone()), ..ServeOptions::default() };
        let (server, client) = duplex();
        let serving = tokio::spawn(serve_with(Found, server, options));
        let crate::Io { reader, mut writer, .. } = client;
        writer.write_all(HELLO.as_bytes()).await.unwrap();
        writer.flush().await.unwrap();
        let mut lines = BufReader::new(reader).lines();
        lines.next_line().await.unwrap().unwrap();
        say(&peer).await;
        peer.hang_up();
        let mut read = Vec::new();
        while let Ok(Some(line)) = lines.next_line().await {
            read.push(line);
        }
        serving.await.unwrap().unwrap();
        read
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_client_that_does_not_read_is_bounded_in_number() {
        let read = read_late(async |peer| {
            for number in 0..20_000 {
                peer.tell(log(&format!("{number:>90}")));
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(read.len() > MOST_TOLD && read.len() < 5_000, "{}", read.len());
        assert!(read.last().unwrap().contains(" 19999"), "the oldest go first");
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_client_that_does_not_read_is_bounded_in_bytes() {
        let read = read_late(async |peer| {
            for _ in 0..60 {
                peer.tell(log(&"x".repeat(1 << 20)));
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(read.len() < 10, "{} MiB", read.len());
    }

    /// The attack: one server tells so much that what the others tell is lost, and their questions are
    /// refused.
    #[tokio::test(start_paused = true)]
    async fn who_tells_most_loses_most() {
        let read = read_late(async |peer| {
            let quiet = peer.part(|_| (), |_| true);
            let loud = peer.part(|_| (), |_| true);
            let mute = peer.part(|_| (), |_| false);
            // The client reads no more, so that all that follows waits.
            for _ in 0..64 {
                loud.tell(log(&"x".repeat(1 << 18)));
                tokio::task::yield_now().await;
            }
            quiet.tell(log("once"));
            mute.tell(log("never"));
            for number in 0..5_000 {
                loud.tell(log(&format!("{number:>2000}")));
            }
            let roots = InputRequest::ListRoots(ListRootsRequestParams::new());
            let asked = tokio::time::timeout(Duration::from_millis(1), quiet.ask(roots)).await;
            assert!(asked.is_err(), "it is refused: {asked:?}");
        })
        .await;
        assert!(read.iter().any(|line| line.contains("once")), "{}", read.len());
        assert!(!read.iter().any(|line| line.contains("never")));
        assert!(read.last().unwrap().contains(" 4999"), "of the others the last are left");
    }

    #[tokio::test(start_paused = true)]
    async fn questions_that_are_taken_back_do_not_pile_up() {
        let read = read_late(async |peer| {
            for _ in 0..20_000 {
                let roots = InputRequest::ListRoots(ListRootsRequestParams::new());
                let asked = tokio::time::timeout(Duration::from_millis(1), peer.ask(roots)).await;
                assert!(asked.is_err(), "nobody answers");
            }
        })
        .await;
        assert!(read.len() < 8_000, "{}", read.len());
    }
}
