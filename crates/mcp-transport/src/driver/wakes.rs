//! Which calls woke, and the task to wake for them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Shared by a connection's future and the wakers of its calls.
#[derive(Debug, Default)]
pub(super) struct Wakes(Mutex<Woken>);

#[derive(Debug, Default)]
struct Woken {
    slots: Vec<usize>,
    task: Option<Waker>,
}

impl Wakes {
    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which task drives the connection.
    pub(super) fn register(&self, task: &Waker) {
        let mut woken = self.lock();
        match &mut woken.task {
            Some(known) => known.clone_from(task),
            none => *none = Some(task.clone()),
        }
    }

    /// Wakes the task without any call.
    pub(super) fn wake_task(&self) {
        let task = self.lock().task.clone();
        if let Some(task) = task {
            task.wake();
        }
    }

    /// Swaps the calls that woke into `slots`, which is empty.
    pub(super) fn take(&self, slots: &mut Vec<usize>) {
        std::mem::swap(&mut self.lock().slots, slots);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().slots.is_empty()
    }
}

/// The waker of one slot, kept over all calls that use the slot.
#[derive(Debug)]
pub(super) struct SlotWake {
    slot: usize,
    woken: AtomicBool,
    wakes: Arc<Wakes>,
}

impl SlotWake {
    pub(super) fn new(slot: usize, wakes: Arc<Wakes>) -> Arc<Self> {
        Arc::new(Self { slot, woken: AtomicBool::new(false), wakes })
    }

    /// From here on the slot may wake again.
    pub(super) fn rearm(&self) {
        self.woken.store(false, Ordering::Release);
    }
}

impl Wake for SlotWake {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut woken = self.wakes.lock();
        woken.slots.push(self.slot);
        let task = woken.task.clone();
        drop(woken);
        if let Some(task) = task {
            task.wake();
        }
    }
}
