//! One stream of a session: what is to be done for it, and what is to leave by it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use mcp_types::{Closed, Exchange, ExchangeId, NotificationSink, ServerNotification};

/// How many notifications may wait, and how many messages for a reader that came back.
const ROOM: usize = 64;

/// Shared by a session, which routes messages here, and by whoever drives the stream.
#[derive(Debug)]
pub(super) struct Outlet {
    /// The stream within its session.
    pub(super) number: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    inbox: Inbox,
    senders: Vec<Waker>,
    driver: Option<Waker>,
    /// Something came since the driver last looked away.
    news: bool,
    /// Messages that have no number yet.
    messages: VecDeque<Bytes>,
    /// Numbered events for a reader who is not the driver.
    live: Option<Live>,
    readers: u64,
    leave: Option<Leave>,
    closed: bool,
}

/// What a driver has to do.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) notifications: VecDeque<(ExchangeId, ServerNotification)>,
    /// Exchanges that are entered again.
    pub(super) again: Vec<Exchange>,
    pub(super) cancelled: Vec<ExchangeId>,
    /// Everything is to be dropped.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
struct Live {
    name: u64,
    events: VecDeque<(u64, Bytes)>,
    reader: Option<Waker>,
    ended: bool,
}

/// Why an answer ends before its call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// The client reads on elsewhere.
    Taken,
    /// The client is to come back after so long.
    Later(Duration),
}

impl Outlet {
    pub(super) fn new(number: u64) -> Self {
        Self { number, state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something that the driver has to see.
    fn tell(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.news = true;
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// A message that is to leave.
    pub(super) fn send(&self, message: Bytes) {
        self.tell(|state| state.messages.push_back(message));
    }

    pub(super) fn enter_again(&self, exchange: Exchange) {
        self.tell(|state| state.inbox.again.push(exchange));
    }

    pub(super) fn cancel(&self, exchange: ExchangeId) {
        self.tell(|state| state.inbox.cancelled.push(exchange));
    }

    pub(super) fn leave(&self, why: Leave) {
        self.tell(|state| state.leave = Some(why));
    }

    /// The session has ended.
    pub(super) fn close(&self) {
        let mut readers = Vec::new();
        self.tell(|state| {
            state.closed = true;
            readers.append(&mut state.senders);
            if let Some(live) = &mut state.live {
                live.ended = true;
                readers.extend(live.reader.take());
            }
        });
        readers.into_iter().for_each(Waker::wake);
    }

    /// Takes out what there is to do.
    pub(super) fn take_inbox(&self) -> Inbox {
        let mut state = self.lock();
        // Whoever looks needs no wake-up until it looks away.
        state.driver = None;
        let senders = std::mem::take(&mut state.senders);
        let mut inbox = std::mem::take(&mut state.inbox);
        inbox.closed = state.closed;
        drop(state);
        senders.into_iter().for_each(Waker::wake);
        inbox
    }

    /// Wakes `driver` for what comes from here on; `false` when something came since the last time,
    /// and the driver has to look again.
    pub(super) fn park(&self, driver: &Waker) -> bool {
        let mut state = self.lock();
        if std::mem::take(&mut state.news) {
            return false;
        }
        state.driver = Some(driver.clone());
        true
    }

    /// Takes out what calls have said.
    pub(super) fn take_notifications(&self, said: &mut VecDeque<(ExchangeId, ServerNotification)>) {
        said.append(&mut self.lock().inbox.notifications);
    }

    /// Whether the answer has to end before its call does.
    pub(super) fn must_leave(&self) -> bool {
        self.lock().leave.is_some()
    }

    pub(super) fn take_leave(&self) -> Option<Leave> {
        self.lock().leave.take()
    }

    pub(super) fn next_message(&self) -> Option<Bytes> {
        self.lock().messages.pop_front()
    }

    pub(super) fn messages(&self) -> usize {
        self.lock().messages.len()
    }

    /// From here on the numbered events are kept for a reader who is not the driver; another one
    /// who did the same before reads no further. Gives the reader's name.
    pub(super) fn attach(&self) -> u64 {
        let mut before = None;
        let mut name = 0;
        self.tell(|state| {
            state.readers += 1;
            name = state.readers;
            before = state.live.replace(Live { name, ..Live::default() });
        });
        if let Some(reader) = before.and_then(|live| live.reader) {
            reader.wake();
        }
        name
    }

    pub(super) fn detach(&self, name: u64) {
        self.tell(|state| {
            state.live.take_if(|live| live.name == name);
        });
    }

    /// Whether the reader who came back has taken what there was.
    pub(super) fn has_room(&self) -> bool {
        self.lock().live.as_ref().is_none_or(|live| live.events.len() < ROOM)
    }

    pub(super) fn publish(&self, number: u64, message: Bytes) {
        self.to_reader(|live| live.events.push_back((number, message)));
    }

    /// There will be no more events.
    pub(super) fn end(&self) {
        self.to_reader(|live| live.ended = true);
    }

    fn to_reader(&self, change: impl FnOnce(&mut Live)) {
        let mut state = self.lock();
        let Some(live) = &mut state.live else { return };
        change(live);
        let reader = live.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The events since the reader came back; `None` after the last.
    pub(super) fn poll_live(
        &self,
        name: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<VecDeque<(u64, Bytes)>>> {
        let mut state = self.lock();
        let live = state.live.as_mut().filter(|live| live.name == name);
        let Some(live) = live else { return Poll::Ready(None) };
        if live.events.is_empty() {
            if live.ended {
                return Poll::Ready(None);
            }
            live.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let events = std::mem::take(&mut live.events);
        state.news = true;
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        Poll::Ready(Some(events))
    }
}

impl NotificationSink for Outlet {
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
        if state.inbox.notifications.len() >= ROOM {
            if !state.senders.iter().any(|known| known.will_wake(cx.waker())) {
                state.senders.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        if let Some(notification) = notification.take() {
            state.inbox.notifications.push_back((exchange, notification));
            state.news = true;
            let driver = state.driver.take();
            drop(state);
            if let Some(driver) = driver {
                driver.wake();
            }
        }
        Poll::Ready(Ok(()))
    }
}
