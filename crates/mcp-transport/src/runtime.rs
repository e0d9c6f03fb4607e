//! Timers, tasks and threads for exchanges, on tokio.

use std::sync::Arc;
use std::time::Instant;

use mcp_types::{BoxFuture, Busy, Runtime};
use tokio::runtime::Handle;

use crate::workers::Workers;

/// The runtime that every exchange of a connection carries.
///
/// Tasks and timers are tokio's. Blocking work runs on threads of our own, at most 64 in a process
/// with at most 1,024 jobs waiting, so that a synchronous tool that never returns keeps neither the
/// next call nor the end of the process waiting.
#[derive(Clone)]
pub struct TokioRuntime {
    handle: Handle,
    workers: Workers,
}

impl TokioRuntime {
    /// The runtime in which this is called.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn current() -> Self {
        Self { handle: Handle::current(), workers: Workers::of_process() }
    }

    /// The runtime in which this is called; `None` outside a tokio runtime.
    pub fn try_current() -> Option<Self> {
        let handle = Handle::try_current().ok()?;
        Some(Self { handle, workers: Workers::of_process() })
    }

    pub(crate) fn shared() -> Arc<dyn Runtime> {
        Arc::new(Self::current())
    }
}

impl std::fmt::Debug for TokioRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokioRuntime")
    }
}

impl Runtime for TokioRuntime {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.handle.spawn(task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        self.workers.run(work)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        // A tool's own thread may ask for a timer too.
        let _inside = self.handle.enter();
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }

    fn now(&self) -> Instant {
        let _inside = self.handle.enter();
        tokio::time::Instant::now().into_std()
    }
}
