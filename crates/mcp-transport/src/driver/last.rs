//! What runs last: once a connection is served to its end, and before whoever served it goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mcp_types::{BoxFuture, Busy, Runtime};

/// How long all of it may take.
const MOST: Duration = Duration::from_secs(5);

/// The runtime of one connection, which keeps what is to run last.
pub(super) struct Last {
    runtime: Arc<dyn Runtime>,
    /// `None` once the connection is over.
    tasks: Mutex<Option<Vec<BoxFuture<'static, ()>>>>,
}

impl Last {
    pub(super) fn new(runtime: Arc<dyn Runtime>) -> Arc<Self> {
        Arc::new(Self { runtime, tasks: Mutex::new(Some(Vec::new())) })
    }

    /// Runs what was kept, one after the other.
    pub(super) async fn run(&self) {
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tasks = tasks.unwrap_or_default();
        if tasks.is_empty() {
            return;
        }
        let all = async {
            for task in tasks {
                task.await;
            }
        };
        // What takes longer is dropped, as with the end of the process.
        let _ = tokio::time::timeout(MOST, all).await;
    }
}

impl Runtime for Last {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.runtime.spawn(task);
    }

    fn finally(&self, task: BoxFuture<'static, ()>) {
        match &mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(tasks) => tasks.push(task),
            None => self.runtime.finally(task),
        }
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        self.runtime.blocking(work)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        self.runtime.sleep_until(deadline)
    }

    fn now(&self) -> Instant {
        self.runtime.now()
    }
}
