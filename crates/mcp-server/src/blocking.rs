//! Work that may block: on a thread of its own, where there are threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use mcp_types::{Busy, ErrorObject, Runtime};
use tokio::sync::oneshot;

/// Runs `work` on a thread that it may block, or in place when the exchange never saw a runtime.
///
/// # Errors
///
/// [`Busy`], when there is no thread for it. A panic goes on in the caller.
pub(crate) async fn blocking<T: Send + 'static>(
    runtime: Option<Arc<dyn Runtime>>,
    work: impl FnOnce() -> Result<T, ErrorObject> + Send + 'static,
) -> Result<Result<T, ErrorObject>, Busy> {
    let Some(runtime) = runtime else { return Ok(work()) };
    let (done, outcome) = oneshot::channel();
    let job = move || {
        // Nobody waits for a call that was cancelled while it stood in the queue.
        if !done.is_closed() {
            let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
        }
    };
    runtime.blocking(Box::new(job))?;
    Ok(match outcome.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => Err(ErrorObject::internal("the server is shutting down")),
    })
}
