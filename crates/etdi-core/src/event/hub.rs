//! Who hears of events: listeners that are called, and subscriptions that are read.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! use etdi_core::event::{Event, EventKind, Events};
//! use etdi_core::time::UnixTime;
//!
//! let events = Events::new();
//! let heard = Arc::new(AtomicUsize::new(0));
//! let counter = heard.clone();
//! let id = events.on([EventKind::ToolApproved], move |_| {
//!     counter.fetch_add(1, Ordering::Relaxed);
//! });
//! let mut all = events.subscribe();
//! events.emit(Event::new(EventKind::ToolApproved), UnixTime(1));
//! events.emit(Event::new(EventKind::ToolInvoked), UnixTime(2));
//! events.off(id);
//! events.emit(Event::new(EventKind::ToolApproved), UnixTime(3));
//! assert_eq!(heard.load(Ordering::Relaxed), 1);
//! let kinds: Vec<_> = std::iter::from_fn(|| all.try_next()).map(|one| one.event.kind).collect();
//! assert_eq!(kinds, [EventKind::ToolApproved, EventKind::ToolInvoked, EventKind::ToolApproved]);
//! ```

use core::fmt;
use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::task::{Context, Poll, Waker};
use std::collections::VecDeque;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Event, EventKind, Severity};
use crate::audit::{AuditError, Auditor, Entry};
use crate::time::UnixTime;

/// A broadcast of events within one process. Cheap to clone; clones are the same broadcast.
///
/// Nothing that is heard here can hold arguments, results or tokens, because an [`Event`] cannot.
/// Nobody who listens can slow down or stop what is done: a listener that panics is taken off, and
/// a subscription that is not read loses its oldest events and is told how many.
#[derive(Clone, Default)]
pub struct Events(Arc<Hub>);

#[derive(Default)]
struct Hub {
    listeners: Mutex<Vec<Listener>>,
    queues: Mutex<Vec<Weak<Queue>>>,
    /// How many listen at all, so that nothing is done where nobody does.
    interested: AtomicUsize,
    next: AtomicU64,
    counts: Counts,
}

/// How often each kind happened, by its place among all.
struct Counts(Box<[AtomicU64]>);

impl Default for Counts {
    fn default() -> Self {
        Self(EventKind::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

#[derive(Clone)]
struct Listener {
    id: ListenerId,
    /// What it wants to hear; everything when it is empty.
    kinds: Arc<[EventKind]>,
    /// Set until it was called, for those that want to be called once.
    once: Option<Arc<AtomicBool>>,
    call: Arc<dyn Fn(&Entry) + Send + Sync>,
}

/// What [`Events::off`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(u64);

impl Events {
    /// A broadcast that nobody listens to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `listener` for each event of one of these kinds, of every kind when none is named.
    ///
    /// It is called in place, by whoever does what the event is about: it should be quick, and
    /// hand on what takes long.
    pub fn on(
        &self,
        kinds: impl IntoIterator<Item = EventKind>,
        listener: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> ListenerId {
        self.add(kinds, listener, false)
    }

    /// The same, for the next such event only.
    pub fn once(
        &self,
        kinds: impl IntoIterator<Item = EventKind>,
        listener: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> ListenerId {
        self.add(kinds, listener, true)
    }

    fn add(
        &self,
        kinds: impl IntoIterator<Item = EventKind>,
        listener: impl Fn(&Entry) + Send + Sync + 'static,
        once: bool,
    ) -> ListenerId {
        let id = ListenerId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let kinds: Arc<[EventKind]> = kinds.into_iter().collect();
        let once = once.then(|| Arc::new(AtomicBool::new(true)));
        lock(&self.0.listeners).push(Listener { id, kinds, once, call: Arc::new(listener) });
        self.0.interested.fetch_add(1, Ordering::Release);
        id
    }

    /// Calls a listener no more. Says whether there was one.
    pub fn off(&self, id: ListenerId) -> bool {
        let mut listeners = lock(&self.0.listeners);
        let before = listeners.len();
        listeners.retain(|listener| listener.id != id);
        let gone = before - listeners.len();
        self.0.interested.fetch_sub(gone, Ordering::Release);
        gone > 0
    }

    /// All events from now on, kept until they are read; the oldest of more than a thousand go.
    pub fn subscribe(&self) -> Subscription {
        self.subscribe_with(CAPACITY)
    }

    /// The same with another bound, at least one.
    pub fn subscribe_with(&self, capacity: usize) -> Subscription {
        let queue = Arc::new(Queue { capacity: capacity.max(1), waiting: Mutex::default() });
        lock(&self.0.queues).push(Arc::downgrade(&queue));
        self.0.interested.fetch_add(1, Ordering::Release);
        Subscription { queue, hub: Arc::downgrade(&self.0) }
    }

    /// How often each kind has happened, without those that never have.
    pub fn counts(&self) -> impl Iterator<Item = (EventKind, u64)> {
        let counts = EventKind::ALL.iter().zip(&self.0.counts.0);
        let counts = counts.map(|(kind, count)| (*kind, count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Tells everybody who listens.
    pub fn emit(&self, event: Event, at: UnixTime) {
        if self.count(event.kind) {
            self.tell(Entry::new(event, at));
        }
    }

    /// Counts an event, and says whether anybody listens.
    fn count(&self, kind: EventKind) -> bool {
        if let Some(count) = self.0.counts.0.get(kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.interested.load(Ordering::Acquire) > 0
    }

    fn tell(&self, entry: Entry) {
        self.0.tell_queues(&entry);
        let listeners: Vec<Listener> = {
            let listeners = lock(&self.0.listeners);
            listeners.iter().filter(|one| one.wants(entry.event.kind)).cloned().collect()
        };
        for listener in listeners {
            if let Some(first) = &listener.once {
                self.off(listener.id);
                if !first.swap(false, Ordering::AcqRel) {
                    continue;
                }
            }
            // A listener is a stranger in the path of a call, and must not end it.
            if catch_unwind(AssertUnwindSafe(|| (listener.call)(&entry))).is_err() {
                self.off(listener.id);
            }
        }
    }

    /// An audit sink that keeps each event in `auditor` first and then tells everybody.
    ///
    /// `source` is put on events that name none.
    pub fn after(&self, auditor: Arc<dyn Auditor>, source: &str) -> Broadcast {
        Broadcast { auditor, events: self.clone(), source: source.to_owned() }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let interested = self.0.interested.load(Ordering::Relaxed);
        f.debug_struct("Events").field("interested", &interested).finish_non_exhaustive()
    }
}

impl Hub {
    fn tell_queues(&self, entry: &Entry) {
        let queues: Vec<Arc<Queue>> = lock(&self.queues).iter().filter_map(Weak::upgrade).collect();
        for queue in queues {
            queue.push(entry.clone());
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        for queue in lock(&self.queues).iter().filter_map(Weak::upgrade) {
            queue.close();
        }
    }
}

impl Listener {
    fn wants(&self, kind: EventKind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// How many events a subscription keeps.
const CAPACITY: usize = 1_024;

struct Queue {
    capacity: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<Entry>,
    lost: u64,
    closed: bool,
    reader: Option<Waker>,
}

impl Queue {
    fn push(&self, entry: Entry) {
        let mut waiting = lock(&self.waiting);
        if waiting.entries.len() >= self.capacity {
            waiting.entries.pop_front();
            waiting.lost += 1;
        }
        waiting.entries.push_back(entry);
        let reader = waiting.reader.take();
        drop(waiting);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    fn close(&self) {
        let mut waiting = lock(&self.waiting);
        waiting.closed = true;
        let reader = waiting.reader.take();
        drop(waiting);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

/// Events in the order in which they happened. Dropping it ends the subscription.
pub struct Subscription {
    queue: Arc<Queue>,
    hub: Weak<Hub>,
}

impl Subscription {
    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<Entry> {
        lock(&self.queue.waiting).entries.pop_front()
    }

    /// Waits for the next event; `None` once the broadcast is gone and everything was read.
    pub async fn next(&mut self) -> Option<Entry> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, for those who poll.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Entry>> {
        let mut waiting = lock(&self.queue.waiting);
        match waiting.entries.pop_front() {
            Some(entry) => Poll::Ready(Some(entry)),
            None if waiting.closed => Poll::Ready(None),
            None => {
                waiting.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// How many events were not read in time and are gone.
    pub fn lost(&self) -> u64 {
        lock(&self.queue.waiting).lost
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("lost", &self.lost()).finish_non_exhaustive()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let Some(hub) = self.hub.upgrade() else { return };
        lock(&hub.queues).retain(|queue| !std::ptr::eq(queue.as_ptr(), &*self.queue));
        hub.interested.fetch_sub(1, Ordering::Release);
    }
}

/// What [`Events::after`] makes: first the audit trail, then whoever listens.
#[derive(Clone)]
pub struct Broadcast {
    auditor: Arc<dyn Auditor>,
    events: Events,
    source: String,
}

impl Auditor for Broadcast {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        let named;
        let event = match &event.source {
            Some(_) => event,
            None => {
                named = event.clone().from_source(&self.source);
                &named
            }
        };
        let kept = self.auditor.record(event, at);
        if let Err(error) = &kept {
            let failed = Event::new(EventKind::AuditFailed).severity(Severity::Critical);
            self.events.emit(failed.from_source(&self.source).detail(error), at);
        }
        if self.events.count(event.kind) {
            self.events.tell(Entry::new(event.clone(), at));
        }
        kept
    }

    fn is_chained(&self) -> bool {
        self.auditor.is_chained()
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("events", &self.events).finish_non_exhaustive()
    }
}

/// Nothing that runs under these locks can panic half-way, so a poisoned one is as good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::audit::MemoryAuditor;

    fn emit(events: &Events, kind: EventKind) {
        events.emit(Event::new(kind), UnixTime(1));
    }

    #[test]
    fn listeners_hear_what_they_asked_for() {
        let events = Events::new();
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let note = |name: &'static str| {
            let heard = heard.clone();
            move |entry: &Entry| lock(&heard).push(format!("{name} {}", entry.event.kind))
        };
        events.on([], note("all"));
        let some = events.on([EventKind::ToolInvoked, EventKind::ToolRefused], note("some"));
        events.once([EventKind::ToolInvoked], note("once"));
        emit(&events, EventKind::ToolInvoked);
        emit(&events, EventKind::ToolInvoked);
        assert!(events.off(some) && !events.off(some));
        emit(&events, EventKind::ToolRefused);
        let expected = ["all tool_invoked", "some tool_invoked", "once tool_invoked"];
        let expected = [&expected[..], &["all tool_invoked", "some tool_invoked"]].concat();
        assert_eq!(*lock(&heard), [&expected[..], &["all tool_refused"]].concat());
        let counts: Vec<_> = events.counts().collect();
        assert_eq!(counts, [(EventKind::ToolInvoked, 2), (EventKind::ToolRefused, 1)]);
    }

    #[test]
    fn a_listener_that_panics_hears_no_more_and_stops_nobody() {
        let events = Events::new();
        events.on([], |_| panic!("a listener of the test"));
        let mut rest = events.subscribe();
        emit(&events, EventKind::ToolInvoked);
        assert_eq!(lock(&events.0.listeners).len(), 0);
        emit(&events, EventKind::ToolRefused);
        assert_eq!(std::iter::from_fn(|| rest.try_next()).count(), 2);
    }

    #[test]
    fn a_listener_may_change_who_listens() {
        let events = Events::new();
        let inner = events.clone();
        events.on([], move |_| {
            inner.on([], |_| {});
        });
        emit(&events, EventKind::ToolInvoked);
        assert_eq!(lock(&events.0.listeners).len(), 2);
    }

    #[test]
    fn a_queue_that_is_not_read_is_bounded_and_says_so() {
        let events = Events::new();
        let mut few = events.subscribe_with(2);
        for _ in 0..5 {
            emit(&events, EventKind::ToolInvoked);
        }
        emit(&events, EventKind::ToolRefused);
        assert_eq!(few.lost(), 4);
        assert_eq!(few.try_next().unwrap().event.kind, EventKind::ToolInvoked);
        assert_eq!(few.try_next().unwrap().event.kind, EventKind::ToolRefused);
        assert!(few.try_next().is_none());
        drop(few);
        assert_eq!(events.0.interested.load(Ordering::Relaxed), 0);
        assert!(lock(&events.0.queues).is_empty());
    }

    #[test]
    fn whoever_waits_is_woken_by_the_next_event_and_by_the_end() {
        let events = Events::new();
        let mut reader = events.subscribe();
        let waiting = std::thread::spawn(move || {
            let first = block_on(reader.next()).map(|one| one.event.kind);
            (first, block_on(reader.next()).is_none())
        });
        emit(&events, EventKind::ToolInvoked);
        drop(events);
        assert_eq!(waiting.join().unwrap(), (Some(EventKind::ToolInvoked), true));
    }

    #[test]
    fn once_means_once_also_among_threads() {
        let events = Events::new();
        let heard = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let counter = heard.clone();
            events.once([], move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
            });
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| emit(&events, EventKind::ToolInvoked));
                }
            });
        }
        assert_eq!(heard.load(Ordering::Relaxed), 50);
        assert_eq!(events.0.interested.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn the_trail_comes_first_and_its_failure_is_heard_of() {
        struct Full;
        impl Auditor for Full {
            fn record(&self, _: &Event, _: UnixTime) -> Result<(), AuditError> {
                Err(AuditError::Other { message: "no room".to_owned() })
            }
        }
        let events = Events::new();
        let mut all = events.subscribe();
        let trail = Arc::new(MemoryAuditor::default());
        let both = events.after(trail.clone(), "client");
        assert!(both.is_chained());
        both.record(&Event::new(EventKind::ToolInvoked), UnixTime(7)).unwrap();
        assert_eq!(all.try_next().unwrap(), trail.entries()[0]);
        assert_eq!(trail.entries()[0].event.source.as_deref(), Some("client"));
        let both = events.after(Arc::new(Full), "client");
        assert!(both.record(&Event::new(EventKind::ToolInvoked), UnixTime(8)).is_err());
        assert_eq!(all.try_next().unwrap().event.kind, EventKind::AuditFailed);
        assert_eq!(all.try_next().unwrap().event.kind, EventKind::ToolInvoked);
    }
}
