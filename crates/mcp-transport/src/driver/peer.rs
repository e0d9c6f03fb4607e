//! The client at the other end, outside of any exchange.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use mcp_types::{
    BoxFuture, ClientNotification, ErrorObject, InputHandler, InputRequest, Origin, RawText,
    ServerNotification,
};
use tokio::sync::oneshot;

use super::calls::guarded;

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
#[derive(Clone, Default)]
pub struct ClientPeer(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    listener: Mutex<Option<Listener>>,
}

type Listener = Arc<dyn Fn(ClientNotification) + Send + Sync>;

#[derive(Default)]
struct State {
    said: VecDeque<Said>,
    asked: HashMap<u64, oneshot::Sender<Result<RawText, ErrorObject>>>,
    last: u64,
    driver: Option<Waker>,
    closed: bool,
}

/// What is to be said to the client.
pub(super) enum Said {
    Ask(u64, InputRequest),
    Tell(ServerNotification),
    Withdraw(u64),
    HangUp,
}

/// How many questions may wait for an answer at once.
const MOST_ASKED: usize = 64;

/// How many notifications wait for a client that does not read; the oldest go first.
const MOST_TOLD: usize = 1024;

impl ClientPeer {
    /// The client of a connection that is yet to be served.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hears what the client says beside its requests, such as that its roots have changed. What was
    /// set before is replaced.
    pub fn on_notification(&self, take: impl Fn(ClientNotification) + Send + Sync + 'static) {
        *self.0.listener.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(take));
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
            if state.asked.len() >= MOST_ASKED {
                return Err(ErrorObject::internal("too many questions wait for an answer already"));
            }
            state.last += 1;
            let name = state.last;
            state.asked.insert(name, answer);
            state.say(Said::Ask(name, question));
            name
        };
        let mut asking = Asking { peer: self, name: Some(name) };
        let answer = answered.await.unwrap_or_else(|_| Err(gone()));
        asking.name = None;
        answer
    }

    /// Tells the client something.
    pub fn tell(&self, notification: ServerNotification) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        if state.said.len() >= MOST_TOLD
            && let Some(oldest) = state.said.iter().position(|one| matches!(one, Said::Tell(_)))
        {
            state.said.remove(oldest);
        }
        state.say(Said::Tell(notification));
    }

    /// Ends the connection as if the client's input had ended: what is asked already is answered.
    pub fn hang_up(&self) {
        let mut state = self.lock();
        if !state.closed {
            state.say(Said::HangUp);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was said since, to the task that drives the connection.
    pub(super) fn take(&self, driver: &Waker) -> VecDeque<Said> {
        let mut state = self.lock();
        match &mut state.driver {
            Some(known) => known.clone_from(driver),
            none => *none = Some(driver.clone()),
        }
        std::mem::take(&mut state.said)
    }

    pub(super) fn answered(&self, name: u64, answer: Result<RawText, ErrorObject>) {
        let waiting = self.lock().asked.remove(&name);
        if let Some(waiting) = waiting {
            // Whoever asked may have gone.
            let _ = waiting.send(answer);
        }
    }

    pub(super) fn told(&self, told: ClientNotification) {
        let listener = self.0.listener.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(take) = listener {
            // What a listener does must not end the connection.
            let _ = guarded(|| take(told));
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.said.clear();
        state.asked.clear();
    }
}

impl State {
    fn say(&mut self, said: Said) {
        self.said.push_back(said);
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
            state.say(Said::Withdraw(name));
        }
    }
}

impl InputHandler for ClientPeer {
    fn handle(&self, request: InputRequest) -> BoxFuture<'_, Result<RawText, ErrorObject>> {
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
