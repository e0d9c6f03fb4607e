//! Notifications of one call on their way into its answer, with back-pressure.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mcp_types::{Closed, ExchangeId, NotificationSink, RequestId, ServerNotification};

/// How many notifications may wait; whoever sends more waits for the client to read.
const ROOM: usize = 64;

/// The sink of one call.
#[derive(Debug)]
pub(super) struct Sink {
    request: RequestId,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<ServerNotification>,
    senders: Vec<Waker>,
    reader: Option<Waker>,
    /// Nobody reads any more; what is sent is dropped.
    deaf: bool,
}

impl Sink {
    pub(super) fn new(request: RequestId) -> Self {
        Self { request, state: Mutex::default() }
    }

    /// The id under which the call is answered.
    pub(super) fn request(&self) -> &RequestId {
        &self.request
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out what waits.
    pub(super) fn take(&self) -> VecDeque<ServerNotification> {
        self.take_and(|_| {})
    }

    /// Takes out what waits, and wakes `reader` for what comes later.
    pub(super) fn take_or_wake(&self, reader: &Waker) -> VecDeque<ServerNotification> {
        self.take_and(|state| match &mut state.reader {
            Some(known) => known.clone_from(reader),
            none => *none = Some(reader.clone()),
        })
    }

    fn take_and(&self, then: impl FnOnce(&mut State)) -> VecDeque<ServerNotification> {
        let mut state = self.lock();
        let queue = std::mem::take(&mut state.queue);
        let senders = std::mem::take(&mut state.senders);
        then(&mut state);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
        queue
    }

    /// From here on nothing is kept, and nobody has to wait.
    pub(super) fn deafen(&self) {
        self.lock().deaf = true;
        drop(self.take());
    }
}

impl NotificationSink for Sink {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.lock();
        if state.deaf {
            *notification = None;
            return Poll::Ready(Ok(()));
        }
        if state.queue.len() >= ROOM {
            if !state.senders.iter().any(|known| known.will_wake(cx.waker())) {
                state.senders.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        if let Some(notification) = notification.take() {
            state.queue.push_back(notification);
            let reader = state.reader.take();
            drop(state);
            if let Some(reader) = reader {
                reader.wake();
            }
        }
        Poll::Ready(Ok(()))
    }

    fn peer_id(&self, _: ExchangeId) -> Option<RequestId> {
        Some(self.request.clone())
    }
}
