//! One server of a gateway: started, kept, started again.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use etdi_core::change::visible;
use mcp_client::Group;
use mcp_transport::ClientPeer;
use mcp_types::{
    BoxFuture, ClientRequest, ErrorObject, Exchange, NotificationParams, Origin, RequestContext,
    RequestParams, Runtime, ServerNotification,
};
use tower_service::Service;

use super::naming::{name_aside, name_question};
use super::{Note, Unreached};
use crate::guard::Guarded;
use crate::{Guard, Target};

/// How long it takes until a server is started again, the first time and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Whoever has lived so long is started again as if it were the first time.
const STEADY: Duration = Duration::from_secs(60);

/// How a server of one caller is reached.
pub(super) type ReachOne =
    Box<dyn Fn() -> BoxFuture<'static, Result<(Guard, Target), Unreached>> + Send + Sync>;

/// A server of a gateway.
pub(super) struct Upstream {
    pub(super) alias: String,
    reach: ReachOne,
    note: Note,
    /// The client, where there is but one.
    downstream: Option<ClientPeer>,
    pub(super) runtime: Arc<dyn Runtime>,
    state: Mutex<State>,
    /// How many subscriptions hear of changes.
    pub(super) listeners: AtomicUsize,
    /// Whether an answer is waited for that comes too late.
    pub(super) waiting: AtomicBool,
    /// Whether it was said that names are too long, and that a listing is.
    pub(super) told: [AtomicBool; 2],
}

struct State {
    now: Now,
    /// How often something changed of which clients are told.
    turn: u64,
    /// Who waits, and is taken out when it waits no more.
    wakers: BTreeMap<u64, Waker>,
    last: u64,
    said: String,
    /// Whether the server has answered since it was started last.
    answered: bool,
    /// With what clients asked last for what the gateway merges.
    asked: Option<RequestContext>,
}

/// How a server is at the moment.
#[derive(Clone)]
pub(super) enum Now {
    Starting,
    Up(Guarded),
    /// It ended or could not be started; where it is refused, why, and what is to be done.
    Down(Option<Arc<str>>),
    /// It is wanted no more.
    Closing,
    Closed,
}

/// Why a server was not started.
enum Failed {
    /// It is not what was approved; with what is to be done.
    Refused(Arc<str>),
    Otherwise(Unreached),
}

impl Upstream {
    pub(super) fn new(
        alias: String,
        reach: ReachOne,
        note: Note,
        downstream: Option<&ClientPeer>,
        runtime: Arc<dyn Runtime>,
    ) -> Arc<Self> {
        let state = State {
            now: Now::Starting,
            turn: 0,
            wakers: BTreeMap::new(),
            last: 0,
            said: String::new(),
            answered: false,
            asked: None,
        };
        let (asks, tells) = (alias.clone(), alias.clone());
        let downstream = downstream.map(|client| {
            client.part(
                move |asked| _ = name_question(&asks, asked),
                move |told| {
                    let is_told = name_aside(&tells, told);
                    Group::name_notification(&tells, told);
                    is_told
                },
            )
        });
        let (state, listeners, waiting) =
            (Mutex::new(state), AtomicUsize::new(0), AtomicBool::new(false));
        let told = Default::default();
        Arc::new(Self { alias, reach, note, downstream, runtime, state, listeners, waiting, told })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `find` finds something in how the server is, and in the number of changes.
    pub(super) async fn until<T>(&self, mut find: impl FnMut(&Now, u64) -> Option<T>) -> T {
        let mut waiting = Waiting { upstream: self, number: None };
        poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(found) = find(&state.now, state.turn) {
                return Poll::Ready(found);
            }
            let number = *waiting.number.get_or_insert_with(|| {
                state.last += 1;
                state.last
            });
            let before = state.wakers.insert(number, cx.waker().clone());
            drop(state);
            drop(before);
            Poll::Pending
        })
        .await
    }

    fn set(&self, now: Now) {
        let mut state = self.lock();
        if matches!(state.now, Now::Closing) && !matches!(now, Now::Closed) {
            return;
        }
        state.now = now;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
    }

    /// Tells clients that lists have changed.
    pub(super) fn changed(&self) {
        let mut state = self.lock();
        state.turn += 1;
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_values().for_each(Waker::wake);
        let nobody = self.listeners.load(std::sync::atomic::Ordering::Relaxed) == 0;
        if let Some(downstream) = self.downstream.as_ref().filter(|_| nobody) {
            changes().into_iter().for_each(|change| downstream.tell(change));
        }
    }

    /// Says something once, until it is well again.
    pub(super) fn say(&self, what: &str) {
        let mut state = self.lock();
        if state.said == what {
            return;
        }
        what.clone_into(&mut state.said);
        drop(state);
        (self.note)(&format!("`{}` {what}", visible(&self.alias)));
    }

    /// Says something, whatever was said before.
    pub(super) fn say_anew(&self, what: &str) {
        (self.note)(&format!("`{}` {what}", visible(&self.alias)));
    }

    /// The server answers.
    pub(super) fn well(&self) {
        let mut state = self.lock();
        state.said.clear();
        state.answered = true;
    }

    /// The server has answered, if only with an error.
    pub(super) fn spoke(&self) {
        self.lock().answered = true;
    }

    /// Notes with what a client asks, of which the capabilities are those that a server that is
    /// started again is told of.
    pub(super) fn is_asked(&self, context: &RequestContext) {
        let mut context = context.clone();
        context.progress_token = None;
        self.lock().asked = Some(context);
    }

    /// Waits until a server that was started again answers, and tells clients that it is back. Of one
    /// that ends before that, as it did the last time, they hear nothing.
    async fn comes_back(&self, mut guarded: Guarded) {
        let asked = self.lock().asked.clone();
        if let Some(context) = asked {
            let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
            exchange.context = context;
            match guarded.call(exchange).await {
                Err(error) if error.origin != Origin::Service => return,
                _ => self.spoke(),
            }
        }
        self.changed();
    }

    /// Starts the server, and again when it has ended, until it is closed.
    pub(super) async fn keep(self: Arc<Self>) {
        let closing = |now: &Now, _| matches!(now, Now::Closing).then_some(());
        let mut pause = FIRST_PAUSE;
        let mut is_first = true;
        loop {
            let begun = self.runtime.now();
            let starting = self.open();
            let Some(started) = either(starting, self.until(closing)).await else { break };
            let (why, refused) = match started {
                Ok(guarded) => {
                    self.set(Now::Up(guarded.clone()));
                    let closes = async {
                        if !is_first {
                            either(self.comes_back(guarded.clone()), self.until(closing)).await;
                        }
                        self.until(closing).await;
                    };
                    let ended = either(guarded.ended(), closes).await;
                    guarded.close().await;
                    if ended.is_none() {
                        break;
                    }
                    ("has ended".to_owned(), None)
                }
                Err(Failed::Refused(why)) => (String::new(), Some(why)),
                Err(Failed::Otherwise(error)) => {
                    (format!("cannot be started: {}", visible(&error.to_string())), None)
                }
            };
            if self.runtime.now().saturating_duration_since(begun) >= STEADY {
                pause = FIRST_PAUSE;
            }
            match &refused {
                // The same each time, until somebody has done something about it.
                Some(why) => self.say(&format!("is refused: {why}")),
                None => self.say_anew(&format!("{why}; it is started again in {pause:?}")),
            }
            self.set(Now::Down(refused));
            // Nothing was listed of one that never answered.
            if std::mem::take(&mut self.lock().answered) {
                self.changed();
            }
            is_first = false;
            let wait = self.runtime.sleep_until(self.runtime.now() + pause);
            if either(wait, self.until(closing)).await.is_none() {
                break;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.set(Now::Closed);
    }

    async fn open(&self) -> Result<Guarded, Failed> {
        let (guard, target) = (self.reach)().await.map_err(Failed::Otherwise)?;
        let opened = guard.clone().open_for(target, self.downstream.clone()).await;
        opened.map_err(|error| match guard.way_on(&error) {
            Some(way_on) => {
                Failed::Refused(format!("{}. {way_on}", visible(&error.to_string())).into())
            }
            None => Failed::Otherwise(error.into()),
        })
    }

    pub(super) fn begin_to_close(&self) {
        if !matches!(self.lock().now, Now::Closed) {
            self.set(Now::Closing);
        }
    }

    pub(super) async fn closed(&self) {
        self.until(|now, _| matches!(now, Now::Closed).then_some(())).await;
    }

    /// The server's guard, once it is started.
    pub(super) async fn up(&self) -> Result<Guarded, ErrorObject> {
        self.until(|now, _| match now {
            Now::Starting => None,
            Now::Up(guarded) => Some(Ok(guarded.clone())),
            Now::Down(refused) => Some(Err(refused.clone())),
            Now::Closing | Now::Closed => Some(Err(None)),
        })
        .await
        .map_err(|refused| {
            let text = match refused {
                // Paths and digests of this computer are no business of those who call from others.
                Some(_) if self.downstream.is_none() => {
                    "the server is refused; whoever runs the gateway finds why in what it says"
                        .to_owned()
                }
                Some(why) => format!("the server is refused: {why}"),
                None => "the server does not run, and is started again in a while".to_owned(),
            };
            ErrorObject::local(Origin::Connection, text)
        })
    }
}

/// A place among those who wait, given up when nobody waits in it any more.
struct Waiting<'a> {
    upstream: &'a Upstream,
    number: Option<u64>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // Dropped when the lock is free again: it may be all that is left of a task.
        let _gone = self.upstream.lock().wakers.remove(&number);
    }
}

/// What clients are told when a server goes or comes.
pub(super) fn changes() -> [ServerNotification; 3] {
    [
        ServerNotification::ToolListChanged(NotificationParams::new()),
        ServerNotification::PromptListChanged(NotificationParams::new()),
        ServerNotification::ResourceListChanged(NotificationParams::new()),
    ]
}

/// What `work` gives, or nothing if `end` is over first.
pub(super) async fn either<T>(
    work: impl Future<Output = T>,
    end: impl Future<Output = ()>,
) -> Option<T> {
    let (mut work, mut end) = (pin!(work), pin!(end));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Wake};

    use mcp_transport::TokioRuntime;

    use super::*;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[tokio::test]
    async fn nothing_is_left_of_those_who_no_longer_wait() {
        let reach: ReachOne = Box::new(|| Box::pin(std::future::pending()));
        let runtime = Arc::new(TokioRuntime::current());
        let upstream = Upstream::new("one".into(), reach, Arc::new(|_| ()), None, runtime);
        for _ in 0..100 {
            let waker = Waker::from(Arc::new(Nobody));
            let mut waiting = pin!(upstream.until(|_, _| None::<()>));
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(upstream.lock().wakers.len(), 0);
    }
}
