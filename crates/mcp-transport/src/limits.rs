//! A layer with bounds that no server should be without.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mcp_types::{
    BoxFuture, ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Origin,
    Outcome, Runtime,
};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_layer::Layer;
use tower_service::Service;

use crate::driver::guarded;

/// Bounds the time of a call and the number of calls at once, and turns panics into errors.
///
/// A call that takes too long is dropped, which cancels it, and answered with an error; the client
/// hears of it rather than of nothing. Subscriptions, which last by nature, count for neither
/// bound. A call above the number waits for its turn; over all connections that share the layer's
/// service. The time runs by the exchange's [`Runtime`], so an exchange without one has no limit.
///
/// ```
/// use std::time::Duration;
/// use mcp_transport::LimitsLayer;
/// use tower_layer::Layer;
///
/// # fn example<S: mcp_types::ExchangeService>(server: S) -> impl mcp_types::ExchangeService {
/// LimitsLayer::new().time_per_call(Duration::from_secs(20)).calls_at_once(64).layer(server)
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LimitsLayer {
    time_per_call: Duration,
    calls_at_once: usize,
}

impl LimitsLayer {
    /// Five minutes a call, 1,024 calls at once.
    pub fn new() -> Self {
        Self { time_per_call: Duration::from_secs(300), calls_at_once: 1024 }
    }

    /// Sets how long one call may take; waiting for its turn counts.
    #[must_use]
    pub fn time_per_call(mut self, time: Duration) -> Self {
        self.time_per_call = time;
        self
    }

    /// Sets how many calls may run at once; at least one.
    #[must_use]
    pub fn calls_at_once(mut self, calls: usize) -> Self {
        self.calls_at_once = calls.clamp(1, Semaphore::MAX_PERMITS);
        self
    }
}

impl Default for LimitsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Layer<S> for LimitsLayer {
    type Service = Limited<S>;

    fn layer(&self, service: S) -> Limited<S> {
        let turns = Arc::new(Semaphore::new(self.calls_at_once));
        Limited { service, time_per_call: self.time_per_call, turns }
    }
}

/// A service within the bounds of a [`LimitsLayer`].
#[derive(Debug, Clone)]
pub struct Limited<S> {
    service: S,
    time_per_call: Duration,
    turns: Arc<Semaphore>,
}

impl<S: ExchangeService> Service<Exchange> for Limited<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = LimitedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        let limited = !matches!(exchange.request, ClientRequest::SubscriptionsListen(_));
        let runtime = exchange.context.runtime.clone().filter(|_| limited);
        let time = runtime.map(|runtime| (runtime, self.time_per_call));
        let turn = if limited { self.turns.clone().try_acquire_owned().ok() } else { None };
        let running = if limited && turn.is_none() {
            Running::InTurn { call: in_turn(self.clone(), exchange) }
        } else {
            match guarded(|| self.service.call(exchange)) {
                Ok(call) => Running::Direct { call },
                Err(error) => Running::InTurn { call: Box::pin(async { Err(error) }) },
            }
        };
        LimitedFuture { running, turn, time, timer: None }
    }
}

/// The call once it is its turn.
fn in_turn<S: ExchangeService>(limited: Limited<S>, exchange: Exchange) -> ExchangeFuture {
    // The clone that is called has to be the one that was ready, and a fresh one is not.
    let Limited { mut service, turns, .. } = limited;
    Box::pin(async move {
        let _turn = turns.acquire_owned().await;
        std::future::poll_fn(|cx| service.poll_ready(cx)).await?;
        service.call(exchange).await
    })
}

pin_project! {
    /// The future of a call within bounds.
    pub struct LimitedFuture<F> {
        #[pin]
        running: Running<F>,
        turn: Option<OwnedSemaphorePermit>,
        time: Option<(Arc<dyn Runtime>, Duration)>,
        // Made when the call is not ready at its first poll: most calls never need one.
        timer: Option<BoxFuture<'static, ()>>,
    }
}

pin_project! {
    #[project = RunningProjection]
    enum Running<F> {
        Direct { #[pin] call: F },
        InTurn { call: ExchangeFuture },
        Over,
    }
}

impl<F> std::fmt::Debug for LimitedFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LimitedFuture")
    }
}

impl<F: Future<Output = Result<Outcome, ErrorObject>>> Future for LimitedFuture<F> {
    type Output = Result<Outcome, ErrorObject>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let mut answer = Poll::Pending;
        // Through the capture, because an answer is large and what a guard gives back is moved.
        let polled = guarded(|| match this.running.as_mut().project() {
            RunningProjection::Direct { call } => answer = call.poll(cx),
            RunningProjection::InTurn { call } => answer = call.as_mut().poll(cx),
            RunningProjection::Over => {}
        });
        if let Err(error) = polled {
            answer = Poll::Ready(Err(error));
        }
        if answer.is_pending() {
            let Some((runtime, time)) = this.time else { return Poll::Pending };
            let start = || runtime.sleep_until(runtime.now() + *time);
            ready!(this.timer.get_or_insert_with(start).as_mut().poll(cx));
            let text = format!("the call took longer than {time:?} and was stopped");
            answer = Poll::Ready(Err(ErrorObject::local(Origin::Timeout, text)));
        }
        // The call goes before its turn does, even if dropping it panics.
        let _ = guarded(|| this.running.set(Running::Over));
        *this.turn = None;
        answer
    }
}
