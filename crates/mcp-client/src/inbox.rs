//! An exchange under way, with what the server says about it in the meantime.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use mcp_types::{
    BoxFuture, Closed, Exchange, ExchangeId, ExchangeService, NotificationSink, Notifier,
    ServerNotification, ServerResult,
};

use crate::{Client, Error};

/// How many notifications wait for a reader before the sender waits for it.
const ROOM: usize = 256;

/// An exchange under way, with what the server has said about it so far.
///
/// Whoever polls it drives the exchange, so it needs no task. Dropping it cancels the exchange.
pub(crate) struct Running {
    inbox: Arc<Inbox>,
    step: Step,
}

enum Step {
    Waiting(BoxFuture<'static, Result<ServerResult, Error>>),
    Answered(Box<Result<ServerResult, Error>>),
    Over,
}

/// What a [`Running`] has to tell.
pub(crate) enum Event {
    Told(ServerNotification),
    Done(Box<Result<ServerResult, Error>>),
}

impl Running {
    /// Starts `exchange` on `client`; of its notifications it keeps what `wanted` says.
    pub(crate) fn start<S: ExchangeService>(
        client: Client<S>,
        mut exchange: Exchange,
        wanted: fn(&ServerNotification) -> bool,
    ) -> Self {
        let inbox = Arc::new(Inbox { state: Mutex::default(), wanted });
        exchange.notifier = Notifier::new(inbox.clone(), exchange.id());
        let future = Box::pin(async move { client.exchange(exchange).await });
        Self { inbox, step: Step::Waiting(future) }
    }

    /// What was said, in order, and the result at the end; `None` after that.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(told) = self.inbox.take(cx) {
            return Poll::Ready(Some(Event::Told(told)));
        }
        if let Step::Waiting(future) = &mut self.step {
            let answer = future.as_mut().poll(cx);
            if let Poll::Ready(answer) = answer {
                self.step = Step::Answered(Box::new(answer));
            }
            // What was said comes before the end.
            if let Some(told) = self.inbox.take(cx) {
                return Poll::Ready(Some(Event::Told(told)));
            }
        }
        match std::mem::replace(&mut self.step, Step::Over) {
            Step::Answered(answer) => Poll::Ready(Some(Event::Done(answer))),
            Step::Over => Poll::Ready(None),
            waiting => {
                self.step = waiting;
                Poll::Pending
            }
        }
    }

    /// Passes over what is said from here on, so that the exchange does not wait for a reader.
    pub(crate) fn deafen(&self) {
        let mut state = self.inbox.lock();
        state.deaf = true;
        state.told.clear();
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
    }
}

/// Holds what was said until it is read.
struct Inbox {
    state: Mutex<Held>,
    wanted: fn(&ServerNotification) -> bool,
}

#[derive(Default)]
struct Held {
    told: VecDeque<ServerNotification>,
    reader: Option<Waker>,
    senders: Vec<Waker>,
    deaf: bool,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, cx: &Context<'_>) -> Option<ServerNotification> {
        let mut state = self.lock();
        let told = state.told.pop_front();
        if told.is_none() {
            match &mut state.reader {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let senders = std::mem::take(&mut state.senders);
        drop(state);
        senders.into_iter().for_each(Waker::wake);
        told
    }
}

impl NotificationSink for Inbox {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let Some(told) = notification.take_if(|told| (self.wanted)(told)) else {
            *notification = None;
            return Poll::Ready(Ok(()));
        };
        let mut state = self.lock();
        if state.deaf {
            return Poll::Ready(Ok(()));
        }
        if state.told.len() >= ROOM {
            *notification = Some(told);
            if !state.senders.iter().any(|known| known.will_wake(cx.waker())) {
                state.senders.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        state.told.push_back(told);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(Ok(()))
    }
}
