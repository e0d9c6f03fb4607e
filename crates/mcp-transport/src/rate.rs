//! A layer that bounds how often one principal may ask, or call one tool.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_types::{
    BoxFuture, ClientRequest, ErrorObject, Exchange, ExchangeService, Outcome, Principal,
};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use tower_layer::Layer;
use tower_service::Service;

mod contract;
mod store;

pub use contract::{RateStoreContractFailure, rate_store_contract};
pub use store::{Allowance, MemoryRateStore, RateStore, RateStoreError, Took};

/// The code of an error that means "later": outside the ranges that JSON-RPC and the protocol keep
/// for themselves, and the status that it has over HTTP.
pub const TOO_MANY_REQUESTS: i64 = 429;

/// Principals that are told apart at once, and tools of one principal.
const MOST_PRINCIPALS: usize = 10_000;
const MOST_TOOLS: usize = 128;

/// Bounds the rate of requests per principal: `rate` a second in the long run, `burst` at once.
///
/// The principal is the one that a verifying layer put into the exchange; whoever has none shares
/// one allowance with all others who have none. A request above it is answered by
/// [`TOO_MANY_REQUESTS`] with `data.retryAfterMs`, over HTTP also by status 429 and `Retry-After`.
/// Entering a request again with the user's answers costs nothing. At most 10,000 principals are
/// remembered; when all of them are busy, the next one waits too.
///
/// [`RateLayer::per_tool`] bounds the calls of each tool by each principal instead, and lets all
/// other requests pass.
///
/// ```
/// use mcp_transport::RateLayer;
/// use tower_layer::Layer;
///
/// # fn example<S: mcp_types::ExchangeService>(server: S) -> impl mcp_types::ExchangeService {
/// RateLayer::new(10.0, 50).layer(server)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct RateLayer {
    rate: f64,
    burst: u32,
    per_tool: bool,
    shared: Option<Shared>,
}

/// The allowance that all nodes share.
#[derive(Clone)]
struct Shared {
    store: Arc<dyn RateStore>,
    name: Arc<str>,
    /// The part of it that this node goes by when the store cannot say.
    share: f64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl RateLayer {
    /// `rate` requests a second, at most `burst` of them at once; both at least a little above zero.
    pub fn new(rate: f64, burst: u32) -> Self {
        let rate = if rate.is_finite() { rate.max(1e-6) } else { f64::MAX };
        Self { rate, burst: burst.max(1), per_tool: false, shared: None }
    }

    /// `rate` calls a second of each tool by each principal, at most `burst` of them at once.
    ///
    /// 128 tools of a principal are told apart at once, by the names that are asked for; further
    /// ones share one allowance while all of those are busy, so that made-up names cost nobody but
    /// whoever makes them up.
    ///
    /// ```
    /// // A hundred calls a minute of each tool.
    /// let layer = mcp_transport::RateLayer::per_tool(100.0 / 60.0, 100);
    /// ```
    pub fn per_tool(rate: f64, burst: u32) -> Self {
        Self { per_tool: true, ..Self::new(rate, burst) }
    }

    /// Shares the allowance among all nodes that name it alike in the same `store`.
    ///
    /// What is above the rate on this node alone is refused without asking. While the store cannot
    /// say, this node goes by its `share` of the allowance, such as a third of it for three nodes:
    /// requests go on, and all nodes together admit no more than they should.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mcp_transport::{MemoryRateStore, RateLayer};
    ///
    /// let store = Arc::new(MemoryRateStore::new());
    /// let layer = RateLayer::new(10.0, 50).shared(store, "requests", 1.0 / 3.0);
    /// ```
    #[must_use]
    pub fn shared(self, store: Arc<dyn RateStore>, name: &str, share: f64) -> Self {
        Self { shared: Some(Shared { store, name: name.into(), share }), ..self }
    }
}

impl<S> Layer<S> for RateLayer {
    type Service = Rated<S>;

    fn layer(&self, service: S) -> Rated<S> {
        let alone = self.shared.as_ref().map(|shared| {
            let part = Allowance::new(self.rate, self.burst).part(shared.share);
            let limits = Self { rate: part.rate, burst: part.burst, shared: None, ..self.clone() };
            Arc::new(Alone { limits, buckets: Mutex::default() })
        });
        Rated { service, limits: self.clone(), buckets: Arc::default(), alone }
    }
}

/// A service within the rate of a [`RateLayer`].
#[derive(Debug, Clone)]
pub struct Rated<S> {
    service: S,
    limits: RateLayer,
    buckets: Arc<Mutex<Buckets>>,
    alone: Option<Arc<Alone>>,
}

/// What this node goes by when nobody can say what the others have admitted.
#[derive(Debug)]
struct Alone {
    limits: RateLayer,
    buckets: Mutex<Buckets>,
}

/// Whether a tool has an allowance of its own, or one with all that are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    Yes,
    No,
}

#[derive(Debug, Default)]
struct Buckets {
    nobody: Option<Left>,
    known: HashMap<(String, String), Left>,
    /// Names of tools are hashed with keys that nobody knows, so that long ones take no room.
    names: RandomState,
}

/// What is left to one principal: of everything, and of the tools that have their own.
#[derive(Debug, Clone)]
struct Left {
    all: Bucket,
    tools: HashMap<u64, Bucket>,
}

/// What is left of an allowance, as of the last request.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl RateLayer {
    /// Takes one request out of a bucket, or says how long to wait for one.
    fn take(&self, place: &mut Bucket, now: Instant) -> Result<(), Duration> {
        let refilled = now.saturating_duration_since(place.at).as_secs_f64() * self.rate;
        place.left = (place.left + refilled).min(f64::from(self.burst));
        place.at = now;
        if place.left >= 1.0 {
            place.left -= 1.0;
            return Ok(());
        }
        let seconds = (1.0 - place.left) / self.rate;
        Err(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }

    fn is_full(&self, bucket: &Bucket, now: Instant) -> bool {
        let refilled = now.saturating_duration_since(bucket.at).as_secs_f64() * self.rate;
        bucket.left + refilled >= f64::from(self.burst)
    }

    fn fresh(&self, now: Instant) -> Bucket {
        Bucket { left: f64::from(self.burst), at: now }
    }

    /// Takes one request out of what a principal has, or one call of a tool.
    fn take_of(&self, left: &mut Left, tool: Option<u64>, now: Instant) -> Result<Own, Duration> {
        let Some(tool) = tool else { return self.take(&mut left.all, now).map(|()| Own::Yes) };
        if let Some(bucket) = left.tools.get_mut(&tool) {
            return self.take(bucket, now).map(|()| Own::Yes);
        }
        if left.tools.len() >= MOST_TOOLS {
            left.tools.retain(|_, bucket| !self.is_full(bucket, now));
            if left.tools.len() >= MOST_TOOLS {
                return self.take(&mut left.all, now).map(|()| Own::No);
            }
        }
        let place = left.tools.entry(tool).or_insert(self.fresh(now));
        self.take(place, now).map(|()| Own::Yes)
    }

    fn is_idle(&self, left: &Left, now: Instant) -> bool {
        self.is_full(&left.all, now) && left.tools.values().all(|one| self.is_full(one, now))
    }

    fn admit(
        &self,
        buckets: &mut Buckets,
        who: Option<&Principal>,
        tool: Option<&str>,
        now: Instant,
    ) -> Result<Own, Duration> {
        let tool = tool.map(|name| buckets.names.hash_one(name));
        let fresh = || Left { all: self.fresh(now), tools: HashMap::new() };
        let Some(who) = who else {
            return self.take_of(buckets.nobody.get_or_insert_with(fresh), tool, now);
        };
        let key = (who.issuer.clone(), who.subject.clone());
        if let Some(left) = buckets.known.get_mut(&key) {
            return self.take_of(left, tool, now);
        }
        if buckets.known.len() >= MOST_PRINCIPALS {
            buckets.known.retain(|_, left| !self.is_idle(left, now));
            if buckets.known.len() >= MOST_PRINCIPALS {
                return Err(Duration::from_secs(1));
            }
        }
        self.take_of(buckets.known.entry(key).or_insert_with(fresh), tool, now)
    }

    /// The tool whose calls are counted; `None` where the whole request is not.
    fn counts<'a>(&self, request: &'a ClientRequest) -> Option<Option<&'a str>> {
        match (self.per_tool, request) {
            (false, _) => Some(None),
            (true, ClientRequest::CallTool(params)) => Some(Some(&params.name)),
            (true, _) => None,
        }
    }
}

impl<S: ExchangeService> Service<Exchange> for Rated<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = RatedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        if exchange.attempt() == 0
            && let Some(tool) = self.limits.counts(&exchange.request)
        {
            let clock = exchange.context.runtime.as_ref();
            let now = clock.map_or_else(Instant::now, |runtime| runtime.now());
            let who = exchange.context.extensions.get::<Principal>();
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            let own = match self.limits.admit(&mut buckets, who, tool, now) {
                Ok(own) => own,
                Err(wait) => return RatedFuture::Refused { error: ready(Err(too_many(wait))) },
            };
            drop(buckets);
            if let (Some(shared), Some(alone)) = (&self.limits.shared, &self.alone) {
                let name = shared.name_of(who, tool.filter(|_| own == Own::Yes));
                let who = who.cloned();
                let (tool, now) = (tool.map(str::to_owned), now);
                let asking =
                    Asking { shared: shared.clone(), alone: alone.clone(), name, who, tool, now };
                let allowance = Allowance::new(self.limits.rate, self.limits.burst);
                // The one that was asked whether it is ready is the one that is called.
                let next = self.service.clone();
                let mut service = std::mem::replace(&mut self.service, next);
                return RatedFuture::Asking {
                    call: Box::pin(async move {
                        asking.admit(allowance).await.map_err(too_many)?;
                        service.call(exchange).await
                    }),
                };
            }
        }
        RatedFuture::Admitted { call: self.service.call(exchange) }
    }
}

/// A request that is within the rate of this node, on its way to the store of all.
struct Asking {
    shared: Shared,
    alone: Arc<Alone>,
    name: String,
    who: Option<Principal>,
    tool: Option<String>,
    now: Instant,
}

impl Asking {
    async fn admit(&self, allowance: Allowance) -> Result<(), Duration> {
        match self.shared.store.take(&self.name, allowance).await {
            Ok(Took::Admitted) => Ok(()),
            Ok(Took::Wait(wait)) => Err(wait),
            // The store counts and reports its failures itself; there may be one for each request.
            Err(_) => {
                let Alone { limits, buckets } = &*self.alone;
                let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
                limits.admit(&mut buckets, self.who.as_ref(), self.tool.as_deref(), self.now)?;
                Ok(())
            }
        }
    }
}

impl Shared {
    /// The name of an allowance, in which each part has its length in front.
    fn name_of(&self, who: Option<&Principal>, tool: Option<&str>) -> String {
        let (issuer, subject) =
            who.map_or(("", ""), |who| (who.issuer.as_str(), who.subject.as_str()));
        let known = if who.is_some() { "principal" } else { "nobody" };
        let tools = if tool.is_some() { "tool" } else { "all" };
        let parts = [&*self.name, known, issuer, subject, tools, tool.unwrap_or_default()];
        parts.map(|part| format!("{}:{part}", part.len())).join(" ")
    }
}

/// What the error says beside its text.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    retry_after_ms: u64,
}

/// After how many seconds the error says to try again (RFC 9110, section 10.2.3).
#[cfg(feature = "http-server")]
pub(crate) fn retry_after(error: &ErrorObject) -> Option<u64> {
    let data = error.data.as_ref().filter(|_| error.code == TOO_MANY_REQUESTS)?;
    data.parse::<Data>().ok().map(|data| data.retry_after_ms.div_ceil(1000))
}

fn too_many(wait: Duration) -> ErrorObject {
    let retry_after_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let text = format!("too many requests, try again in {retry_after_ms} ms");
    ErrorObject::new(TOO_MANY_REQUESTS, text).with_data(&Data { retry_after_ms })
}

pin_project! {
    /// The future of a request within a rate, or of one above it.
    #[project = RatedProjection]
    #[allow(missing_docs)]
    pub enum RatedFuture<F> {
        Refused { error: Ready<Result<Outcome, ErrorObject>> },
        Asking { call: BoxFuture<'static, Result<Outcome, ErrorObject>> },
        Admitted { #[pin] call: F },
    }
}

impl<F> std::fmt::Debug for RatedFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RatedFuture")
    }
}

impl<F: Future<Output = Result<Outcome, ErrorObject>>> Future for RatedFuture<F> {
    type Output = Result<Outcome, ErrorObject>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RatedProjection::Refused { error } => Pin::new(error).poll(cx),
            RatedProjection::Asking { call } => call.as_mut().poll(cx),
            RatedProjection::Admitted { call } => call.poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers each call of `pay` of one of `nodes` that share `store`, in turns; says how many.
    async fn admitted(store: Arc<dyn RateStore>, share: f64, calls: usize) -> usize {
        let answer = |_: Exchange| -> BoxFuture<'static, Result<Outcome, ErrorObject>> {
            Box::pin(ready(Ok(mcp_types::ServerResult::Empty(Default::default()).into())))
        };
        let layer = RateLayer::new(0.001, 6).shared(store, "calls", share);
        let mut nodes = [layer.layer(Answers(answer)), layer.layer(Answers(answer))];
        let mut admitted = 0;
        for number in 0..calls {
            let call = mcp_types::CallToolRequestParams::new("pay");
            let mut exchange = Exchange::new(ClientRequest::CallTool(call));
            exchange.context.extensions.insert(who("ada"));
            let node = &mut nodes[number % 2];
            admitted += usize::from(node.call(exchange).await.is_ok());
        }
        admitted
    }

    #[derive(Clone)]
    struct Answers<F>(F);

    impl<F: Fn(Exchange) -> BoxFuture<'static, Result<Outcome, ErrorObject>>> Service<Exchange>
        for Answers<F>
    {
        type Response = Outcome;
        type Error = ErrorObject;
        type Future = BoxFuture<'static, Result<Outcome, ErrorObject>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, exchange: Exchange) -> Self::Future {
            (self.0)(exchange)
        }
    }

    struct Broken;

    impl RateStore for Broken {
        fn take<'a>(
            &'a self,
            _: &'a str,
            _: Allowance,
        ) -> BoxFuture<'a, Result<Took, RateStoreError>> {
            Box::pin(ready(Err(RateStoreError("gone".into()))))
        }
    }

    #[tokio::test]
    async fn nodes_share_an_allowance_and_keep_to_their_parts_alone() {
        assert_eq!(admitted(Arc::new(MemoryRateStore::new()), 0.5, 40).await, 6);
        assert_eq!(admitted(Arc::new(Broken), 0.5, 40).await, 6);
        // Each would admit all that it may alone, if it did not go by its part.
        assert_eq!(admitted(Arc::new(Broken), 1.0, 40).await, 12);
    }

    fn who(name: &str) -> Principal {
        Principal::new("https://issuer.example", name)
    }

    #[test]
    fn a_burst_then_the_rate() {
        let (limits, mut buckets, start) =
            (RateLayer::new(2.0, 3), Buckets::default(), Instant::now());
        let mut ask = |who: Option<&Principal>, ms| {
            limits.admit(&mut buckets, who, None, start + Duration::from_millis(ms))
        };
        let (ada, eve) = (who("ada"), who("eve"));
        for _ in 0..3 {
            assert!(ask(Some(&eve), 0).is_ok());
        }
        assert_eq!(ask(Some(&eve), 0), Err(Duration::from_millis(500)));
        // Nobody else pays for it.
        assert!(ask(Some(&ada), 0).is_ok() && ask(None, 0).is_ok());
        assert_eq!(ask(Some(&eve), 400), Err(Duration::from_millis(100)));
        assert!(ask(Some(&eve), 500).is_ok());
        assert!(ask(Some(&eve), 500).is_err());
        // Silence earns a burst, and no more.
        for _ in 0..3 {
            assert!(ask(Some(&eve), 60_000).is_ok());
        }
        assert!(ask(Some(&eve), 60_000).is_err());
    }

    #[test]
    fn principals_are_counted() {
        let (limits, mut buckets, start) =
            (RateLayer::new(1.0, 2), Buckets::default(), Instant::now());
        for n in 0..MOST_PRINCIPALS {
            assert!(limits.admit(&mut buckets, Some(&who(&n.to_string())), None, start).is_ok());
        }
        assert!(limits.admit(&mut buckets, Some(&who("one more")), None, start).is_err());
        assert!(limits.admit(&mut buckets, Some(&who("7")), None, start).is_ok());
        let later = start + Duration::from_secs(2);
        assert!(limits.admit(&mut buckets, Some(&who("one more")), None, later).is_ok());
        assert!(buckets.known.len() < MOST_PRINCIPALS);
    }

    #[test]
    fn each_tool_of_each_principal_has_its_own() {
        let (limits, start) = (RateLayer::per_tool(1.0, 2), Instant::now());
        let mut buckets = Buckets::default();
        let (ada, eve) = (who("ada"), who("eve"));
        let mut call = |who, tool: &str, ms| {
            let now = start + Duration::from_millis(ms);
            limits.admit(&mut buckets, who, Some(tool), now)
        };
        for tool in ["pay", "look"] {
            assert!(call(Some(&eve), tool, 0).is_ok() && call(Some(&eve), tool, 0).is_ok());
            assert_eq!(call(Some(&eve), tool, 500), Err(Duration::from_millis(500)));
            assert!(call(Some(&ada), tool, 500).is_ok() && call(None, tool, 500).is_ok());
        }
        assert!(call(Some(&eve), "pay", 1_000).is_ok());
    }

    #[test]
    fn made_up_names_cost_whoever_makes_them_up() {
        let (limits, start) = (RateLayer::per_tool(1.0, 2), Instant::now());
        let mut buckets = Buckets::default();
        let (ada, eve) = (who("ada"), who("eve"));
        let refused = (0..10_000).filter(|n| {
            limits.admit(&mut buckets, Some(&eve), Some(&format!("tool {n}")), start).is_err()
        });
        assert_eq!(refused.count(), 10_000 - MOST_TOOLS - 2, "further names share one allowance");
        let known = buckets.known.values().map(|left| left.tools.len());
        assert_eq!(known.sum::<usize>(), MOST_TOOLS);
        assert!(limits.admit(&mut buckets, Some(&ada), Some("pay"), start).is_ok());
        // What was idle long enough makes room.
        let later = start + Duration::from_secs(2);
        assert!(limits.admit(&mut buckets, Some(&eve), Some("pay"), later).is_ok());
        assert_eq!(buckets.known.values().map(|left| left.tools.len()).sum::<usize>(), 2);
    }

    #[test]
    fn only_calls_of_tools_are_counted_by_tool() {
        let limits = RateLayer::per_tool(1.0, 1);
        let call = ClientRequest::CallTool(mcp_types::CallToolRequestParams::new("pay"));
        assert_eq!(limits.counts(&call), Some(Some("pay")));
        let list = ClientRequest::ListTools(mcp_types::PaginatedRequestParams::new());
        assert_eq!(limits.counts(&list), None);
        assert_eq!(RateLayer::new(1.0, 1).counts(&list), Some(None));
    }
}
