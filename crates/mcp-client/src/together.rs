//! Several futures at once, in one task.

use std::future::poll_fn;
use std::task::Poll;

use mcp_types::BoxFuture;

/// Waits for all of `futures`; gives what came of each, in order.
///
/// Once `patience` is over, those that are not ready are given up: `None`.
pub(crate) async fn together<T>(
    futures: Vec<BoxFuture<'_, T>>,
    mut patience: Option<BoxFuture<'_, ()>>,
) -> Vec<Option<T>> {
    let mut slots: Vec<Slot<'_, T>> = futures.into_iter().map(Slot::Waiting).collect();
    poll_fn(|cx| {
        let mut all = Poll::Ready(());
        for slot in &mut slots {
            if let Slot::Waiting(future) = slot {
                match future.as_mut().poll(cx) {
                    Poll::Ready(value) => *slot = Slot::Done(value),
                    Poll::Pending => all = Poll::Pending,
                }
            }
        }
        match &mut patience {
            Some(patience) if all.is_pending() => patience.as_mut().poll(cx),
            _ => all,
        }
    })
    .await;
    let done = |slot| match slot {
        Slot::Done(value) => Some(value),
        Slot::Waiting(_) => None,
    };
    slots.into_iter().map(done).collect()
}

enum Slot<'a, T> {
    Waiting(BoxFuture<'a, T>),
    Done(T),
}
