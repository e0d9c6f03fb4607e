//! A layer that bounds how often one principal may ask, or call one tool.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::hash::{BuildHasher, RandomState};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_types::{ClientRequest, ErrorObject, Exchange, ExchangeService, Outcome, Principal};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use tower_layer::Layer;
use tower_service::Service;

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
}

impl RateLayer {
    /// `rate` requests a second, at most `burst` of them at once; both at least a little above zero.
    pub fn new(rate: f64, burst: u32) -> Self {
        let rate = if rate.is_finite() { rate.max(1e-6) } else { f64::MAX };
        Self { rate, burst: burst.max(1), per_tool: false }
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
}

impl<S> Layer<S> for RateLayer {
    type Service = Rated<S>;

    fn layer(&self, service: S) -> Rated<S> {
        Rated { service, limits: self.clone(), buckets: Arc::default() }
    }
}

/// A service within the rate of a [`RateLayer`].
#[derive(Debug, Clone)]
pub struct Rated<S> {
    service: S,
    limits: RateLayer,
    buckets: Arc<Mutex<Buckets>>,
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
    fn take_of(&self, left: &mut Left, tool: Option<u64>, now: Instant) -> Result<(), Duration> {
        let Some(tool) = tool else { return self.take(&mut left.all, now) };
        if let Some(bucket) = left.tools.get_mut(&tool) {
            return self.take(bucket, now);
        }
        if left.tools.len() >= MOST_TOOLS {
            left.tools.retain(|_, bucket| !self.is_full(bucket, now));
            if left.tools.len() >= MOST_TOOLS {
                return self.take(&mut left.all, now);
            }
        }
        self.take(left.tools.entry(tool).or_insert(self.fresh(now)), now)
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
    ) -> Result<(), Duration> {
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
            if let Err(wait) = self.limits.admit(&mut buckets, who, tool, now) {
                return RatedFuture::Refused { error: ready(Err(too_many(wait))) };
            }
        }
        RatedFuture::Admitted { call: self.service.call(exchange) }
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
            RatedProjection::Admitted { call } => call.poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
