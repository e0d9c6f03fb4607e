//! Several futures in one task, and an end to waiting.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use mcp_types::{BoxFuture, Runtime};

/// Waits for all of `futures`, of which at most `most` are under way at a time; the next is begun
/// when one has ended.
pub(crate) async fn each<'a>(futures: impl IntoIterator<Item = BoxFuture<'a, ()>>, most: usize) {
    let mut waiting = futures.into_iter().fuse();
    let mut running: Vec<BoxFuture<'a, ()>> = Vec::new();
    poll_fn(|cx| {
        loop {
            running.retain_mut(|one| one.as_mut().poll(cx).is_pending());
            let begun = running.len();
            running.extend(waiting.by_ref().take(most.max(1).saturating_sub(begun)));
            // What was begun just now has to be polled once, or nothing would wake us.
            if running.len() == begun {
                return if running.is_empty() { Poll::Ready(()) } else { Poll::Pending };
            }
        }
    })
    .await;
}

/// What comes of `work`, or nothing once `deadline` has passed; waits for ever without timers.
pub(crate) async fn within<F: Future + Unpin>(
    mut work: F,
    timers: Option<&dyn Runtime>,
    deadline: Duration,
) -> Option<F::Output> {
    // What is ready at once needs no timer.
    let mut poll = |cx: &mut std::task::Context<'_>| Pin::new(&mut work).poll(cx);
    if let Poll::Ready(done) = poll_fn(|cx| Poll::Ready(poll(cx))).await {
        return Some(done);
    }
    let Some(timers) = timers else { return Some(work.await) };
    let mut end = pin!(timers.sleep_until(timers.now() + deadline));
    poll_fn(|cx| match poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => end.as_mut().poll(cx).map(|()| None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::Waker;

    use futures_executor::block_on;

    use super::*;

    /// Is ready at the second poll; counts how many wait beside it.
    fn twice<'a>(now: &'a Mutex<(usize, usize)>) -> BoxFuture<'a, ()> {
        let mut begun = false;
        Box::pin(poll_fn(move |cx| {
            let mut counts = now.lock().unwrap();
            if begun {
                counts.0 -= 1;
                return Poll::Ready(());
            }
            begun = true;
            counts.0 += 1;
            counts.1 = counts.1.max(counts.0);
            Waker::wake_by_ref(cx.waker());
            Poll::Pending
        }))
    }

    #[test]
    fn all_are_done_and_never_too_many_at_once() {
        for (count, most, highest) in [(0, 8, 0), (3, 8, 3), (20, 8, 8), (5, 1, 1), (2, 0, 1)] {
            let counts = Mutex::new((0, 0));
            block_on(each((0..count).map(|_| twice(&counts)), most));
            assert_eq!(*counts.lock().unwrap(), (0, highest), "{count} at most {most}");
        }
    }

    #[test]
    fn those_that_never_wait_need_no_wake() {
        let done = Mutex::new(0);
        let add = || -> BoxFuture<'_, ()> { Box::pin(async { *done.lock().unwrap() += 1 }) };
        block_on(each((0..100).map(|_| add()), 8));
        assert_eq!(*done.lock().unwrap(), 100);
    }
}
