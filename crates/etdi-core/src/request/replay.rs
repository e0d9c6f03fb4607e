//! Statements that were used, so that each counts once.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::key::KeyId;
use crate::time::UnixTime;

/// Remembers statements until they no longer count.
///
/// Several nodes of one server share one. It answers at once: a store behind a network keeps a
/// local front, or answers `false` while it cannot tell.
pub trait ReplayStore: Send + Sync {
    /// Takes the place of a statement. `false` when it is taken already, or when that cannot be
    /// told: the call is refused then.
    fn take(&self, key: KeyId, id: &str, until: UnixTime, now: UnixTime) -> bool;
}

/// Remembers in this process, up to a bound; when it is full, every new statement is refused until
/// old ones have run out.
#[derive(Debug)]
pub struct MemoryReplayStore {
    capacity: usize,
    used: Mutex<Used>,
}

type Statement = (KeyId, Box<str>);

#[derive(Debug, Default)]
struct Used {
    statements: HashSet<Statement>,
    ends: BTreeSet<(UnixTime, Statement)>,
}

/// The longest id of a statement.
const MAX_ID: usize = 128;

impl MemoryReplayStore {
    /// Remembers at most `capacity` statements at a time.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, used: Mutex::default() }
    }
}

impl Default for MemoryReplayStore {
    /// Room for 100,000 statements, about 1,000 calls a second.
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl ReplayStore for MemoryReplayStore {
    fn take(&self, key: KeyId, id: &str, until: UnixTime, now: UnixTime) -> bool {
        if id.is_empty() || id.len() > MAX_ID {
            return false;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        while used.ends.first().is_some_and(|(end, _)| *end < now) {
            if let Some((_, statement)) = used.ends.pop_first() {
                used.statements.remove(&statement);
            }
        }
        let statement: Statement = (key, id.into());
        if used.statements.len() >= self.capacity || !used.statements.insert(statement.clone()) {
            return false;
        }
        used.ends.insert((until, statement));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_counts_once_and_a_full_store_refuses() {
        let store = MemoryReplayStore::new(2);
        let key = |byte: u8| crate::base64url::encode(&[byte; 32]).parse::<KeyId>().unwrap();
        let now = UnixTime(1_000);
        let take = |id: &str, now: UnixTime| store.take(key(1), id, now.plus(60), now);
        assert!(take("a", now));
        assert!(!take("a", now));
        assert!(store.take(key(2), "a", now.plus(60), now), "another key, another statement");
        assert!(!take("b", now), "full");
        assert!(!take("a", now.plus(60)), "still counts");
        assert!(take("b", now.plus(61)));
        assert!(take("a", now.plus(61)), "its own time is checked elsewhere");
        assert!(!take("", now) && !take(&"x".repeat(129), now));
    }
}
