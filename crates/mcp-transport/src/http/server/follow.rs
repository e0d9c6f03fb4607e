//! A stream that another node writes, read through the store of events.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use mcp_types::BoxFuture;
use tokio::time::Sleep;

use super::event_store::{EventPlace, EventStore, EventStoreError};
use super::session::is_answer;

/// Events of a stream that goes on elsewhere.
pub(super) trait Follow: Send {
    /// The next events, with their numbers; `None` after the last.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<(u64, Bytes)>>>;
}

/// How long it waits before it looks again: at first, and at most.
const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(2);

/// Looks for events, less often the longer there are none, until the answer is among them or the store
/// has forgotten the stream.
pub(super) struct Following {
    store: Arc<dyn EventStore>,
    at: EventPlace,
    pause: Duration,
    step: Step,
}

enum Step {
    Waiting(Pin<Box<Sleep>>),
    Looking(BoxFuture<'static, Result<Vec<(u64, Bytes)>, EventStoreError>>),
    Ended,
}

impl Following {
    /// Reads what comes after the event `after`.
    pub(super) fn new(store: Arc<dyn EventStore>, after: EventPlace) -> Self {
        let step = Step::Waiting(Box::pin(tokio::time::sleep(FIRST)));
        Self { store, at: after, pause: FIRST, step }
    }
}

impl Follow for Following {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Vec<(u64, Bytes)>>> {
        loop {
            let found = match &mut self.step {
                Step::Ended => return Poll::Ready(None),
                Step::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.step = Step::Looking(self.store.replay(self.at.clone()));
                    continue;
                }
                Step::Looking(looking) => ready!(looking.as_mut().poll(cx)),
            };
            let events = match found {
                Ok(events) => events,
                Err(EventStoreError::Gone) => {
                    self.step = Step::Ended;
                    continue;
                }
                // It may work again.
                Err(EventStoreError::Failed(_)) => Vec::new(),
            };
            self.pause = if events.is_empty() { (self.pause * 2).min(MOST) } else { FIRST };
            self.step = Step::Waiting(Box::pin(tokio::time::sleep(self.pause)));
            let Some((number, last)) = events.last() else { continue };
            self.at.event = *number;
            if is_answer(last) {
                self.step = Step::Ended;
            }
            return Poll::Ready(Some(events));
        }
    }
}
