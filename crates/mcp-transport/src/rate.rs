//! A layer that bounds how often one principal may ask.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_types::{ErrorObject, Exchange, ExchangeService, Outcome, Principal};
use pin_project_lite::pin_project;
use serde::{Deserialize, Serialize};
use tower_layer::Layer;
use tower_service::Service;

/// The code of an error that means "later": outside the ranges that JSON-RPC and the protocol keep
/// for themselves, and the status that it has over HTTP.
pub const TOO_MANY_REQUESTS: i64 = 429;

/// Principals that are told apart at once.
const MOST_PRINCIPALS: usize = 10_000;

/// Bounds the rate of requests per principal: `rate` a second in the long run, `burst` at once.
///
/// The principal is the one that a verifying layer put into the exchange; whoever has none shares
/// one allowance with all others who have none. A request above it is answered by
/// [`TOO_MANY_REQUESTS`] with `data.retryAfterMs`, over HTTP also by status 429 and `Retry-After`.
/// Entering a request again with the user's answers costs nothing. At most 10,000 principals are
/// remembered; when all of them are busy, the next one waits too.
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
}

impl RateLayer {
    /// `rate` requests a second, at most `burst` of them at once; both at least a little above zero.
    pub fn new(rate: f64, burst: u32) -> Self {
        let rate = if rate.is_finite() { rate.max(1e-6) } else { f64::MAX };
        Self { rate, burst: burst.max(1) }
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
    nobody: Option<Bucket>,
    known: HashMap<(String, String), Bucket>,
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

    fn admit(
        &self,
        buckets: &mut Buckets,
        who: Option<&Principal>,
        now: Instant,
    ) -> Result<(), Duration> {
        let fresh = Bucket { left: f64::from(self.burst), at: now };
        let Some(who) = who else {
            return self.take(buckets.nobody.get_or_insert(fresh), now);
        };
        let key = (who.issuer.clone(), who.subject.clone());
        if let Some(bucket) = buckets.known.get_mut(&key) {
            return self.take(bucket, now);
        }
        if buckets.known.len() >= MOST_PRINCIPALS {
            buckets.known.retain(|_, bucket| !self.is_full(bucket, now));
            if buckets.known.len() >= MOST_PRINCIPALS {
                return Err(Duration::from_secs(1));
            }
        }
        self.take(buckets.known.entry(key).or_insert(fresh), now)
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
        if exchange.attempt() == 0 {
            let clock = exchange.context.runtime.as_ref();
            let now = clock.map_or_else(Instant::now, |runtime| runtime.now());
            let who = exchange.context.extensions.get::<Principal>();
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(wait) = self.limits.admit(&mut buckets, who, now) {
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
            limits.admit(&mut buckets, who, start + Duration::from_millis(ms))
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
            assert!(limits.admit(&mut buckets, Some(&who(&n.to_string())), start).is_ok());
        }
        assert!(limits.admit(&mut buckets, Some(&who("one more")), start).is_err());
        assert!(limits.admit(&mut buckets, Some(&who("7")), start).is_ok());
        let later = start + Duration::from_secs(2);
        assert!(limits.admit(&mut buckets, Some(&who("one more")), later).is_ok());
        assert!(buckets.known.len() < MOST_PRINCIPALS);
    }
}
