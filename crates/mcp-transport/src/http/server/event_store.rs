//! Events of broken streams, kept for a client that comes back and asks what it has missed.
//!
//! Only the revisions with a handshake have this (2025-11-25, "Resumability and Redelivery").

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mcp_types::BoxFuture;

/// Which event: of which session, of which of its streams, and which of that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EventPlace {
    /// The session's id: a secret between the two ends.
    pub session: Arc<str>,
    /// The stream within the session.
    pub stream: u64,
    /// The event within the stream, counted up by one.
    pub event: u64,
}

impl EventPlace {
    /// The event `event` of the stream `stream` of `session`.
    pub fn new(session: Arc<str>, stream: u64, event: u64) -> Self {
        Self { session, stream, event }
    }
}

/// Keeps events until their session ends, or as long as there is room.
///
/// Events of one stream are appended one after the other, each before it is sent.
///
/// [`event_store_contract`](super::event_store_contract) holds an implementation to this.
pub trait EventStore: Send + Sync {
    /// Keeps the event at `place`, whose message is JSON or empty. An event that could not be kept
    /// is sent all the same, and whoever asks for what came before it later hears that it is gone.
    /// One that is kept already, because an answer was lost, stays as it is.
    fn append(
        &self,
        place: EventPlace,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), EventStoreError>>;

    /// The events of the stream after the event `after`, in order, each with its number.
    ///
    /// # Errors
    ///
    /// [`EventStoreError::Gone`] when `after` is not kept any more, or one that followed it is
    /// missing: a client is never given a part as if it were all.
    fn replay(
        &self,
        after: EventPlace,
    ) -> BoxFuture<'static, Result<Vec<(u64, Bytes)>, EventStoreError>>;

    /// Forgets all events of a session.
    fn forget(&self, session: &str) -> BoxFuture<'static, ()>;
}

/// What follows the event `after` among `events` of one stream, which may come in any order and
/// more than once.
///
/// For whoever writes an [`EventStore`].
///
/// # Errors
///
/// [`EventStoreError::Gone`] when `after` is not among them, or one that followed it is missing.
pub fn following(
    mut events: Vec<(u64, Bytes)>,
    after: u64,
) -> Result<Vec<(u64, Bytes)>, EventStoreError> {
    events.retain(|(event, _)| *event >= after);
    events.sort_by_key(|(event, _)| *event);
    events.dedup_by_key(|(event, _)| *event);
    let whole = events.iter().zip(after..).all(|((event, _), wanted)| *event == wanted);
    if events.is_empty() || !whole {
        return Err(EventStoreError::Gone);
    }
    events.remove(0);
    Ok(events)
}

/// An event that is being kept, its number and its message.
pub(super) type Storing = (BoxFuture<'static, Result<(), EventStoreError>>, u64, Bytes);

/// Why events cannot be kept or given.
#[derive(Debug)]
#[non_exhaustive]
pub enum EventStoreError {
    /// The event is not kept, or never was.
    Gone,
    /// The store cannot be reached or does not work.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl fmt::Display for EventStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the event is not kept any more, ask again from the start"),
            Self::Failed(source) => write!(f, "the store of events does not work: {source}"),
        }
    }
}

impl std::error::Error for EventStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Gone => None,
            Self::Failed(source) => Some(&**source),
        }
    }
}

/// Keeps events in this process: the newest of each session, and no more of all than a bound.
#[derive(Debug)]
pub struct MemoryEventStore {
    events_per_session: usize,
    bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// All events, oldest first.
    events: BTreeMap<u64, (EventPlace, Bytes)>,
    next: u64,
    bytes: usize,
    sessions: HashMap<Arc<str>, VecDeque<u64>>,
}

/// What an event costs besides its message.
const OVERHEAD: usize = 128;

impl Default for MemoryEventStore {
    /// 256 events of a session, 16 MiB of all.
    fn default() -> Self {
        Self::new(256, 16 << 20)
    }
}

impl MemoryEventStore {
    /// Keeps at most so many events of each session, and about so many bytes of all.
    pub fn new(events_per_session: usize, bytes: usize) -> Self {
        Self { events_per_session, bytes, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn drop_oldest_of(&mut self, session: &str) {
        let Some(events) = self.sessions.get_mut(session) else { return };
        let oldest = events.pop_front();
        if events.is_empty() {
            self.sessions.remove(session);
        }
        if let Some((_, message)) = oldest.and_then(|number| self.events.remove(&number)) {
            self.bytes -= message.len() + OVERHEAD;
        }
    }
}

impl EventStore for MemoryEventStore {
    fn append(
        &self,
        place: EventPlace,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), EventStoreError>> {
        let mut kept = self.lock();
        let number = kept.next;
        kept.next += 1;
        kept.bytes += message.len() + OVERHEAD;
        let session = place.session.clone();
        let of_session = kept.sessions.entry(session.clone()).or_default();
        of_session.push_back(number);
        let too_many = of_session.len() > self.events_per_session;
        kept.events.insert(number, (place, message));
        if too_many {
            kept.drop_oldest_of(&session);
        }
        while kept.bytes > self.bytes
            && let Some((_, (place, _))) = kept.events.first_key_value()
        {
            let session = place.session.clone();
            kept.drop_oldest_of(&session);
        }
        Box::pin(std::future::ready(Ok(())))
    }

    fn replay(
        &self,
        after: EventPlace,
    ) -> BoxFuture<'static, Result<Vec<(u64, Bytes)>, EventStoreError>> {
        let kept = self.lock();
        let numbers = kept.sessions.get(&after.session).into_iter().flatten();
        let of_stream = numbers
            .filter_map(|number| kept.events.get(number))
            .filter(|(place, _)| place.stream == after.stream);
        let events = of_stream.map(|(place, message)| (place.event, message.clone())).collect();
        Box::pin(std::future::ready(following(events, after.event)))
    }

    fn forget(&self, session: &str) -> BoxFuture<'static, ()> {
        let mut kept = self.lock();
        while kept.sessions.contains_key(session) {
            kept.drop_oldest_of(session);
        }
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll, Waker};

    fn now<T>(mut future: BoxFuture<'static, T>) -> T {
        match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("memory has to be ready"),
        }
    }

    fn place(session: &str, stream: u64, event: u64) -> EventPlace {
        EventPlace::new(session.into(), stream, event)
    }

    fn texts(store: &MemoryEventStore, after: EventPlace) -> Option<Vec<(u64, String)>> {
        let found = now(store.replay(after)).ok()?;
        let text = |bytes: Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        Some(found.into_iter().map(|(event, message)| (event, text(message))).collect())
    }

    #[test]
    fn what_was_missed_comes_back_and_nothing_else() {
        let store = MemoryEventStore::new(4, 1 << 20);
        for event in 0..3 {
            for (session, stream) in [("a", 1), ("b", 1)] {
                let text = format!("{session}{stream}{event}");
                now(store.append(place(session, stream, event), text.into())).unwrap();
            }
        }
        let two = vec![(1, "a11".to_owned()), (2, "a12".to_owned())];
        assert_eq!(texts(&store, place("a", 1, 0)), Some(two));
        assert_eq!(texts(&store, place("a", 1, 2)), Some(vec![]));
        for unknown in [place("a", 1, 3), place("a", 2, 0), place("c", 1, 0)] {
            assert_eq!(texts(&store, unknown), None);
        }
        // The fifth event pushes the first of its own session out, and no other.
        now(store.append(place("a", 2, 0), "x".into())).unwrap();
        now(store.append(place("a", 2, 1), "y".into())).unwrap();
        assert_eq!(texts(&store, place("a", 1, 0)), None);
        assert_eq!(texts(&store, place("b", 1, 0)).map(|events| events.len()), Some(2));
        now(store.forget("b"));
        assert_eq!(texts(&store, place("b", 1, 0)), None);
        now(store.forget("a"));
        let kept = store.lock();
        assert_eq!((kept.bytes, kept.events.len(), kept.sessions.len()), (0, 0, 0));
    }

    #[test]
    fn memory_keeps_the_contract() {
        let store = MemoryEventStore::default();
        let contract = Box::pin(async move {
            super::super::event_store_contract(&[&store, &store]).await.unwrap();
            store
        });
        let store = now(contract);
        assert_eq!(store.lock().events.len(), 0);
    }

    #[test]
    fn all_sessions_together_have_a_bound() {
        let store = MemoryEventStore::new(1000, 10 * (OVERHEAD + 100));
        for event in 0..1000 {
            let session = format!("s{}", event % 7);
            now(store.append(place(&session, 0, event), vec![b' '; 100].into())).unwrap();
        }
        let kept = store.lock();
        assert_eq!((kept.events.len(), kept.sessions.len()), (10, 7));
        assert_eq!(kept.sessions.values().map(VecDeque::len).sum::<usize>(), 10);
    }
}
