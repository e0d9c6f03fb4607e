//! One way to all servers for each caller that is told apart.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_client::Group;
use mcp_transport::{ClientPeer, TokioRuntime};
use mcp_types::{ErrorObject, Exchange, ExchangeFuture, Outcome, Principal, Runtime};
use tower_service::Service;

use super::Gateway;
use super::door::Door;
use super::upstream::Upstream;
use crate::Error;

/// How many callers have connections of their own at once.
const MOST: usize = 32;

/// Several guarded servers as one service, cheap to clone; made by [`Gateway`].
#[derive(Clone)]
pub struct Gatewayed(Arc<Shared>);

struct Shared {
    gateway: Gateway,
    downstream: Option<ClientPeer>,
    runtime: Arc<dyn Runtime>,
    /// In the order in which they were used last.
    lanes: Mutex<Vec<Arc<Lane>>>,
}

struct Lane {
    /// The issuer and the subject.
    who: Option<(String, String)>,
    group: Group,
    upstreams: Vec<Arc<Upstream>>,
    /// How many exchanges are under way.
    busy: AtomicUsize,
    /// When the last one was over.
    left: Mutex<Instant>,
    runtime: Arc<dyn Runtime>,
}

impl Gatewayed {
    pub(super) fn new(gateway: Gateway, downstream: Option<ClientPeer>) -> Result<Self, Error> {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let lanes = Mutex::default();
        let shared = Arc::new(Shared { gateway, downstream, runtime, lanes });
        // Whether names are good is known before anything is started.
        let doors = shared.gateway.members.iter().map(|_| Door::closed()).collect();
        shared.gateway.group(doors)?;
        Ok(Self(shared))
    }

    /// Starts the servers for callers that are not told apart.
    pub(super) fn start(&self) {
        // The names were good before, and there is room.
        let _ = self.0.lane(None);
    }

    /// Ends all connections to servers, and the servers that were started here.
    pub async fn close(&self) {
        let lanes = std::mem::take(&mut *self.0.lock());
        for lane in lanes {
            lane.close().await;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The way of a caller, which is busy until the exchange is over.
    fn lane(self: &Arc<Self>, who: Option<(&str, &str)>) -> Result<Busy, ErrorObject> {
        let mut lanes = self.lock();
        let is_of = |lane: &Arc<Lane>| {
            lane.who.as_ref().map(|(issuer, subject)| (issuer.as_str(), subject.as_str())) == who
        };
        if let Some(at) = lanes.iter().rposition(is_of) {
            let last = lanes.len().saturating_sub(1);
            if at != last {
                let lane = lanes.remove(at);
                lanes.push(lane);
            }
            return lanes.last().map(Busy::of).ok_or_else(|| ErrorObject::internal("no way"));
        }
        if lanes.len() >= MOST {
            let idle = lanes.iter().position(|lane| !lane.is_busy());
            let idle = idle.ok_or_else(|| {
                ErrorObject::internal("too many users are served at once, try again later")
            })?;
            let idle = lanes.remove(idle);
            self.runtime.spawn(Box::pin(async move { idle.close().await }));
        }
        let who = who.map(|(issuer, subject)| (issuer.to_owned(), subject.to_owned()));
        let lane = Arc::new(self.open(who)?);
        let busy = Busy::of(&lane);
        // A client on a stream of its own ends all servers when it goes.
        if let (Some(idle), None) = (self.gateway.idle, &self.downstream) {
            let lane = Arc::downgrade(&lane);
            self.runtime.spawn(Box::pin(until_idle(Arc::downgrade(self), lane, idle)));
        }
        lanes.push(lane);
        Ok(busy)
    }

    fn open(&self, who: Option<(String, String)>) -> Result<Lane, ErrorObject> {
        let Gateway { members, flows, note, .. } = &self.gateway;
        let flows = flows.as_ref().map(|flows| flows());
        let upstreams: Vec<_> = members
            .iter()
            .map(|(alias, reach)| {
                let (reach, flows) = (reach.clone(), flows.clone());
                let reach = Box::new(move || reach(flows.clone()));
                let (note, runtime) = (note.clone(), self.runtime.clone());
                Upstream::new(alias.clone(), reach, note, self.downstream.as_ref(), runtime)
            })
            .collect();
        let doors = upstreams.iter().cloned().map(Door::of).collect();
        let group = self.gateway.group(doors);
        let group = group.map_err(|error| ErrorObject::internal(error.to_string()))?;
        for upstream in &upstreams {
            self.runtime.spawn(Box::pin(upstream.clone().keep()));
        }
        let (busy, left) = (AtomicUsize::new(0), Mutex::new(self.runtime.now()));
        Ok(Lane { who, group, upstreams, busy, left, runtime: self.runtime.clone() })
    }

    /// Takes out a lane that nobody has used for so long; else until when it is not idle.
    fn take_idle(&self, lane: &Arc<Lane>, idle: Duration) -> Result<(), Option<Instant>> {
        // Nobody can come to be busy in it meanwhile.
        let mut lanes = self.lock();
        let at = lanes.iter().position(|one| Arc::ptr_eq(one, lane)).ok_or(None)?;
        let now = self.runtime.now();
        let until = match lane.is_busy() {
            true => now + idle,
            false => lane.left() + idle,
        };
        match until <= now {
            true => {
                lanes.remove(at);
                Ok(())
            }
            false => Err(Some(until)),
        }
    }
}

/// Ends a lane that nobody has used for so long.
async fn until_idle(shared: Weak<Shared>, lane: Weak<Lane>, idle: Duration) {
    let Some(runtime) = shared.upgrade().map(|shared| shared.runtime.clone()) else { return };
    let mut until = runtime.now() + idle;
    loop {
        runtime.sleep_until(until).await;
        // Held only for as long as it takes to look: what is dropped ends by itself.
        let (Some(all), Some(lane)) = (shared.upgrade(), lane.upgrade()) else { return };
        let taken = all.take_idle(&lane, idle);
        drop(all);
        match taken {
            Ok(()) => return lane.close().await,
            Err(Some(next)) => until = next,
            Err(None) => return,
        }
    }
}

impl Lane {
    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire) > 0
    }

    fn left(&self) -> Instant {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close(&self) {
        // All at once: each may take its time to end.
        self.upstreams.iter().for_each(|upstream| upstream.begin_to_close());
        for upstream in &self.upstreams {
            upstream.closed().await;
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Nobody can ask any more; each server ends as one of a closed gateway does.
        for lane in self.lock().iter() {
            lane.upstreams.iter().for_each(|upstream| upstream.begin_to_close());
        }
    }
}

/// A lane with an exchange under way.
struct Busy(Arc<Lane>);

impl Busy {
    fn of(lane: &Arc<Lane>) -> Self {
        lane.busy.fetch_add(1, Ordering::Relaxed);
        Self(lane.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // First, so that nobody finds it free and left long ago.
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) = self.0.runtime.now();
        self.0.busy.fetch_sub(1, Ordering::Release);
    }
}

impl Service<Exchange> for Gatewayed {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let who = exchange.context.extensions.get::<Principal>();
        let who = who.map(|who| (who.issuer.as_str(), who.subject.as_str()));
        let lane = self.0.lane(who);
        Box::pin(async move {
            let busy = lane?;
            busy.0.group.clone().call(exchange).await
        })
    }
}

impl fmt::Debug for Gatewayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gatewayed").field(&self.0.gateway).finish()
    }
}
