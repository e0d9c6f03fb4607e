//! The futures of the exchanges in flight, in slots that are used again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use mcp_types::{ErrorObject, Exchange, ExchangeService, Outcome};

type Answer = Result<Outcome, ErrorObject>;

/// A service with its running calls, its type forgotten: the loop is compiled once, here, and not
/// again for each user's service.
pub(super) trait Calls: Send {
    /// Whether the service takes another call.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>>;
    /// Starts a call in a free slot, and polls it once.
    fn start(&mut self, slot: usize, exchange: Exchange, cx: &mut Context<'_>) -> Poll<Answer>;
    /// Polls the call in a slot, if there is one.
    fn poll(&mut self, slot: usize, cx: &mut Context<'_>) -> Poll<Answer>;
    /// Drops the call in a slot.
    fn clear(&mut self, slot: usize);
}

pub(super) struct CallsOf<S: ExchangeService> {
    service: S,
    /// Boxed once per slot, so that a call is polled and kept without being moved.
    slots: Vec<Pin<Box<Option<S::Future>>>>,
}

impl<S: ExchangeService> CallsOf<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, slots: Vec::new() }
    }
}

impl<S: ExchangeService> Calls for CallsOf<S> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        guarded(|| self.service.poll_ready(cx)).unwrap_or_else(|error| Poll::Ready(Err(error)))
    }

    fn start(&mut self, slot: usize, exchange: Exchange, cx: &mut Context<'_>) -> Poll<Answer> {
        while self.slots.len() <= slot {
            self.slots.push(Box::pin(None));
        }
        let future = match guarded(|| self.service.call(exchange)) {
            Ok(future) => future,
            Err(error) => return Poll::Ready(Err(error)),
        };
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.as_mut().set(Some(future));
        }
        self.poll(slot, cx)
    }

    fn poll(&mut self, slot: usize, cx: &mut Context<'_>) -> Poll<Answer> {
        let Some(call) = self.slots.get_mut(slot) else { return Poll::Pending };
        let mut answer = Poll::Pending;
        // Through the capture, because an answer is large and what a guard gives back is moved.
        let polled = guarded(|| {
            if let Some(call) = call.as_mut().as_pin_mut() {
                answer = call.poll(cx);
            }
        });
        if let Err(error) = polled {
            answer = Poll::Ready(Err(error));
        }
        if answer.is_ready() {
            self.clear(slot);
        }
        answer
    }

    fn clear(&mut self, slot: usize) {
        if let Some(call) = self.slots.get_mut(slot) {
            // A future that panics while it is dropped is gone all the same.
            let _ = guarded(|| call.as_mut().set(None));
        }
    }
}

/// Runs foreign code; its panic becomes an error, and the panic hook has told the operator.
pub(crate) fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ErrorObject> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|_| {
        ErrorObject::internal(
            "the handler of this request panicked; the server's log has the reason",
        )
    })
}
