//! How pure crates start tasks, run blocking work and wait, without knowing a runtime.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Instant;

/// A future on the heap that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Timers, tasks and threads, given by the transport in each exchange.
///
/// An exchange that never saw a transport has none: a synchronous tool then runs in place.
pub trait Runtime: Send + Sync {
    /// Starts a task that nobody waits for.
    fn spawn(&self, task: BoxFuture<'static, ()>);

    /// Runs `task` once what is served under this runtime has ended, and keeps the process from
    /// ending before it, where that can be done; as a task of its own otherwise.
    fn finally(&self, task: BoxFuture<'static, ()>) {
        self.spawn(task);
    }

    /// Runs `work` on one of a bounded number of threads that may block.
    ///
    /// # Errors
    ///
    /// [`Busy`] when all threads are taken and the queue is full.
    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy>;

    /// Completes at `deadline`, by the clock of [`Runtime::now`].
    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()>;

    /// The time; a test's runtime may give a virtual one.
    fn now(&self) -> Instant;
}

/// No thread is free for blocking work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("all threads for blocking work are taken, try again later")
    }
}

impl std::error::Error for Busy {}
