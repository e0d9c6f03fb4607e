//! The stream of a session that belongs to no request: what the client reads by GET.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;

/// How many messages wait while nobody reads; older ones are dropped.
const ROOM: usize = 64;

/// The number of this stream in every session.
pub(super) const NUMBER: u64 = 0;

/// Messages for whoever reads, and who does. Each message goes to one reader: the newest, because
/// a client that comes back may have left another one behind that nobody listens to any more.
#[derive(Debug, Default)]
pub(super) struct Standalone(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    messages: VecDeque<Bytes>,
    readers: Vec<Reader>,
    last_reader: u64,
    last_event: u64,
    closed: bool,
}

#[derive(Debug)]
struct Reader {
    name: u64,
    waker: Option<Waker>,
}

impl Standalone {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn send(&self, message: Bytes) {
        let mut state = self.lock();
        if state.messages.len() >= ROOM {
            state.messages.pop_front();
        }
        state.messages.push_back(message);
        state.wake_newest();
    }

    /// A new reader's name; `None` when there are `most` already.
    pub(super) fn enter(&self, most: usize) -> Option<u64> {
        let mut state = self.lock();
        if state.readers.len() >= most || state.closed {
            return None;
        }
        state.last_reader += 1;
        let name = state.last_reader;
        state.readers.push(Reader { name, waker: None });
        Some(name)
    }

    pub(super) fn exit(&self, name: u64) {
        let mut state = self.lock();
        state.readers.retain(|reader| reader.name != name);
        state.wake_newest();
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let wakers: Vec<_> = state.readers.iter_mut().filter_map(|r| r.waker.take()).collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The number of the next event.
    pub(super) fn number(&self) -> u64 {
        let mut state = self.lock();
        state.last_event += 1;
        state.last_event
    }

    /// The next message for this reader; `None` after the last.
    pub(super) fn poll_next(&self, name: u64, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        if state.closed {
            return Poll::Ready(None);
        }
        let newest = state.readers.last().is_some_and(|reader| reader.name == name);
        if newest && let Some(message) = state.messages.pop_front() {
            return Poll::Ready(Some(message));
        }
        if let Some(reader) = state.readers.iter_mut().find(|reader| reader.name == name) {
            reader.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl State {
    fn wake_newest(&mut self) {
        let newest = self.readers.last_mut();
        if let Some(waker) = newest.and_then(|reader| reader.waker.take()) {
            waker.wake();
        }
    }
}
