//! Events in memory: for tests, and for hosts that show recent history.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{AuditError, Auditor, ChainHead, Entry};
use crate::event::Event;
use crate::time::UnixTime;

/// Keeps the newest events in memory: for tests, and for hosts that show recent history.
#[derive(Debug)]
pub struct MemoryAuditor {
    kept: Mutex<Kept>,
    capacity: usize,
}

#[derive(Debug)]
struct Kept {
    entries: VecDeque<Entry>,
    head: ChainHead,
}

impl MemoryAuditor {
    /// Keeps the newest `capacity` events.
    pub fn new(capacity: usize) -> Self {
        let kept = Kept { entries: VecDeque::new(), head: ChainHead::start() };
        Self { kept: Mutex::new(kept), capacity }
    }

    /// What is kept, the oldest first.
    pub fn entries(&self) -> Vec<Entry> {
        self.lock().entries.iter().cloned().collect()
    }

    /// The end of the chain over all that was ever noted.
    pub fn head(&self) -> ChainHead {
        self.lock().head
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryAuditor {
    /// Keeps a thousand events.
    fn default() -> Self {
        Self::new(1_000)
    }
}

impl Auditor for MemoryAuditor {
    fn record(&self, event: &Event, at: UnixTime) -> Result<(), AuditError> {
        let entry = Entry::new(event.clone(), at);
        let text = serde_json::to_string(&entry).map_err(AuditError::Event)?;
        let mut kept = self.lock();
        kept.head = kept.head.next(text.as_bytes());
        while kept.entries.len() >= self.capacity.max(1) {
            kept.entries.pop_front();
        }
        if self.capacity > 0 {
            kept.entries.push_back(entry);
        }
        Ok(())
    }

    fn is_chained(&self) -> bool {
        true
    }
}
