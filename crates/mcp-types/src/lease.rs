//! What is kept for a call that waits for answers, until whoever called is through with it.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Given along by a caller who means to answer questions; whoever keeps something for the call
/// until the answers come leaves word here how to give it up.
///
/// A request that ends as "input required" is over, and nobody need come back to it. Where
/// something waits for the answers all the same, as a call of an older server does, it has to be
/// told when the caller turns away in the middle of a question. The caller's lease lives in the
/// exchange's [`Extensions`](crate::Extensions) and ends with the last of them.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
/// use mcp_types::{ClientRequest, Exchange, Lease, RequestParams};
///
/// static GIVEN_UP: AtomicBool = AtomicBool::new(false);
/// let mut exchange = Exchange::new(ClientRequest::Discover(RequestParams::new()));
/// exchange.context.extensions.insert(Lease::new());
/// if let Some(lease) = exchange.context.extensions.get::<Lease>() {
///     lease.at_end(|| GIVEN_UP.store(true, Ordering::Relaxed));
/// }
/// drop(exchange);
/// assert!(GIVEN_UP.load(Ordering::Relaxed));
/// ```
#[derive(Default)]
pub struct Lease(Mutex<Vec<Box<dyn FnOnce() + Send>>>);

impl Lease {
    /// A lease for which nothing is kept yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs `give_up` when the lease ends; on whatever thread that is, so it must not wait.
    pub fn at_end(&self, give_up: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(give_up));
    }

    /// Lets go without giving anything up: somebody else will bring the answers.
    pub fn release(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let kept = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(kept).into_iter().for_each(|give_up| give_up());
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}
