//! Notifications of exchanges on their way to the connection, with back-pressure.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mcp_types::{Closed, ExchangeId, NotificationSink, ServerNotification};

use super::wakes::Wakes;

/// How many notifications may wait; whoever sends more waits for the peer to read.
const ROOM: usize = 64;

/// The sink of all exchanges of one connection.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    wakes: Arc<Wakes>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(ExchangeId, ServerNotification)>,
    senders: Vec<Waker>,
    closed: bool,
}

impl Queue {
    pub(super) fn new(wakes: Arc<Wakes>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), wakes })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives what waits to `send`, in order.
    pub(super) fn drain(&self, mut send: impl FnMut(ExchangeId, ServerNotification)) {
        let mut state = self.lock();
        if state.queue.is_empty() {
            return;
        }
        let (queue, senders) =
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.senders));
        drop(state);
        for (exchange, notification) in queue {
            send(exchange, notification);
        }
        for sender in senders {
            sender.wake();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// From here on every sender hears that the peer is gone.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.queue.clear();
        for sender in std::mem::take(&mut state.senders) {
            sender.wake();
        }
    }
}

impl NotificationSink for Queue {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        exchange: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(Err(Closed));
        }
        if state.queue.len() >= ROOM {
            if !state.senders.iter().any(|known| known.will_wake(cx.waker())) {
                state.senders.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        if let Some(notification) = notification.take() {
            let first = state.queue.is_empty();
            state.queue.push_back((exchange, notification));
            drop(state);
            if first {
                self.wakes.wake_task();
            }
        }
        Poll::Ready(Ok(()))
    }
}
