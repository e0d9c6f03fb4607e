//! State that starts before the first request and stops after the last.

use std::fmt::Display;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use mcp_types::{BoxFuture, ErrorObject, Runtime};
use tokio::sync::{Notify, OnceCell};

/// The state of some handlers: there from the beginning, or once it has started.
pub(crate) struct Source<S>(Kind<S>);

enum Kind<S> {
    There(Arc<S>),
    Late(Arc<OnceLock<Arc<S>>>),
}

impl<S> Source<S> {
    pub(crate) fn there(state: S) -> Self {
        Self(Kind::There(Arc::new(state)))
    }

    /// The state. No request is dispatched before it is there, so the error is a safeguard.
    pub(crate) fn get(&self) -> Result<Arc<S>, ErrorObject> {
        match &self.0 {
            Kind::There(state) => Ok(state.clone()),
            Kind::Late(place) => place
                .get()
                .cloned()
                .ok_or_else(|| ErrorObject::internal("the server has not started")),
        }
    }
}

impl<S> From<Arc<S>> for Source<S> {
    fn from(state: Arc<S>) -> Self {
        Self(Kind::There(state))
    }
}

impl<S> Clone for Source<S> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Kind::There(state) => Kind::There(state.clone()),
            Kind::Late(place) => Kind::Late(place.clone()),
        })
    }
}

/// One state's start and stop, its type forgotten.
pub(crate) trait Phase: Send + Sync {
    fn start(&self) -> BoxFuture<'_, Result<(), String>>;
    fn stop(&self) -> BoxFuture<'static, ()>;
}

struct PhaseOf<S, Start, Stop> {
    place: Arc<OnceLock<Arc<S>>>,
    start: Start,
    stop: Arc<Stop>,
}

/// A state that starts and stops, and where its handlers find it.
pub(crate) fn phase<S, Start, Started, Error, Stop, Stopped>(
    start: Start,
    stop: Stop,
) -> (Source<S>, Arc<dyn Phase>)
where
    S: Send + Sync + 'static,
    Start: Fn() -> Started + Send + Sync + 'static,
    Started: Future<Output = Result<S, Error>> + Send + 'static,
    Error: Display,
    Stop: Fn(Arc<S>) -> Stopped + Send + Sync + 'static,
    Stopped: Future<Output = ()> + Send + 'static,
{
    let place = Arc::new(OnceLock::new());
    let source = Source(Kind::Late(place.clone()));
    (source, Arc::new(PhaseOf { place, start, stop: Arc::new(stop) }))
}

impl<S, Start, Started, Error, Stop, Stopped> Phase for PhaseOf<S, Start, Stop>
where
    S: Send + Sync + 'static,
    Start: Fn() -> Started + Send + Sync + 'static,
    Started: Future<Output = Result<S, Error>> + Send + 'static,
    Error: Display,
    Stop: Fn(Arc<S>) -> Stopped + Send + Sync + 'static,
    Stopped: Future<Output = ()> + Send + 'static,
{
    fn start(&self) -> BoxFuture<'_, Result<(), String>> {
        // What started before another part failed is not started again.
        if self.place.get().is_some() {
            return Box::pin(async { Ok(()) });
        }
        let starting = (self.start)();
        Box::pin(async move {
            let state = starting.await.map_err(|error| format!("{error:#}"))?;
            let _ = self.place.set(Arc::new(state));
            Ok(())
        })
    }

    fn stop(&self) -> BoxFuture<'static, ()> {
        let (state, stop) = (self.place.get().cloned(), self.stop.clone());
        Box::pin(async move {
            if let Some(state) = state {
                stop(state).await;
            }
        })
    }
}

/// The life of a server with such state; a server without has none, and counts nothing.
pub(crate) struct Life {
    phases: Vec<Arc<dyn Phase>>,
    started: OnceCell<()>,
    stopped: OnceCell<()>,
    stopping: AtomicBool,
    running: AtomicUsize,
    idle: Notify,
    /// Where the stop runs when the last handle to the server goes.
    runtime: OnceLock<Arc<dyn Runtime>>,
}

impl Life {
    pub(crate) fn of(phases: Vec<Arc<dyn Phase>>) -> Option<Arc<Self>> {
        if phases.is_empty() {
            return None;
        }
        Some(Arc::new(Self {
            phases,
            started: OnceCell::new(),
            stopped: OnceCell::new(),
            stopping: AtomicBool::new(false),
            running: AtomicUsize::new(0),
            idle: Notify::new(),
            runtime: OnceLock::new(),
        }))
    }

    /// Counts a request, which is refused once the server stops.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Running, ErrorObject> {
        // Counted first: whoever stops sees the count, or we see the stop.
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(self.clone());
        match self.stopping.load(Ordering::SeqCst) {
            true => Err(ErrorObject::internal("the server is shutting down, call it again later")),
            false => Ok(running),
        }
    }

    pub(crate) fn has_started(&self) -> bool {
        self.started.initialized()
    }

    /// Starts what has not started. Who comes meanwhile waits; after a failure the next one tries.
    pub(crate) async fn start(
        &self,
        runtime: Option<&Arc<dyn Runtime>>,
    ) -> Result<(), ErrorObject> {
        let starting = self.started.get_or_try_init(|| async {
            if let Some(runtime) = runtime {
                let _ = self.runtime.set(runtime.clone());
            }
            for phase in &self.phases {
                phase.start().await?;
            }
            Ok(())
        });
        starting.await.copied().map_err(|error: String| {
            tracing::error!(error, "the server does not start");
            ErrorObject::internal("the server could not start, and tries again with the next call")
        })
    }

    /// Lets the requests under way end, and stops what has started, the last first.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        loop {
            let idle = self.idle.notified();
            if self.running.load(Ordering::SeqCst) == 0 {
                break;
            }
            idle.await;
        }
        self.stopped
            .get_or_init(|| async {
                for phase in self.phases.iter().rev() {
                    phase.stop().await;
                }
            })
            .await;
    }
}

/// The last handle to the server is gone, and nobody stopped it.
impl Drop for Life {
    fn drop(&mut self) {
        if self.stopped.initialized() {
            return;
        }
        let Some(runtime) = self.runtime.get() else { return };
        let stops: Vec<_> = self.phases.iter().rev().map(|phase| phase.stop()).collect();
        runtime.finally(Box::pin(async move {
            for stop in stops {
                stop.await;
            }
        }));
    }
}

/// A request under way.
pub(crate) struct Running(Arc<Life>);

impl Drop for Running {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}
