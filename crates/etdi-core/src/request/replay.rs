//! Statements that were used, so that each counts once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use mcp_types::BoxFuture;

use crate::key::KeyId;
use crate::time::UnixTime;

/// What became of the place of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was free, and is taken now.
    First,
    /// It was taken before.
    Before,
    /// Nobody can tell, because there is no room or the store cannot be reached.
    Full,
}

/// Remembers statements until they no longer count.
///
/// Object safe. Several nodes of one server share one, or each makes callers name a nonce of its
/// own ([`crate::nonce`]). Whatever goes wrong is [`Taken::Full`]: the call is refused then.
///
/// [`replay_store_contract`](super::replay_store_contract) holds an implementation to this.
pub trait ReplayStore: Send + Sync {
    /// Takes the place of the statement `id` of a caller, who has signed it. It is kept until
    /// `until`, after which it no longer counts by itself.
    fn take<'a>(
        &'a self,
        key: KeyId,
        id: &'a str,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Taken>;
}

/// Remembers in this process, up to a bound for each key and one for all; where it is full, new
/// statements are refused until old ones have run out.
#[derive(Debug)]
pub struct MemoryReplayStore {
    capacity: usize,
    per_key: usize,
    used: Mutex<Used>,
}

type Statement = (KeyId, Box<str>);

#[derive(Debug, Default)]
struct Used {
    statements: HashSet<Statement>,
    ends: BTreeSet<(UnixTime, Statement)>,
    keys: HashMap<KeyId, usize>,
}

/// The longest id of a statement.
pub(crate) const MAX_ID: usize = 128;

impl MemoryReplayStore {
    /// Remembers at most `capacity` statements at a time, of one key at most a tenth of them, but
    /// 16 at least.
    pub fn new(capacity: usize) -> Self {
        let per_key = (capacity / 10).max(16).min(capacity);
        Self { capacity, per_key, used: Mutex::default() }
    }

    /// Remembers at most so many statements of one key at a time, so that no caller can use up
    /// the room of the others. A statement stays about 90 seconds.
    #[must_use]
    pub fn per_key(self, per_key: usize) -> Self {
        Self { per_key, ..self }
    }

    fn take_now(&self, key: KeyId, id: &str, until: UnixTime, now: UnixTime) -> Taken {
        if id.is_empty() || id.len() > MAX_ID {
            return Taken::Full;
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.forget_before(now);
        let statement: Statement = (key, id.into());
        if used.statements.contains(&statement) {
            return Taken::Before;
        }
        let of_key = used.keys.get(&key).copied().unwrap_or_default();
        if used.statements.len() >= self.capacity || of_key >= self.per_key {
            return Taken::Full;
        }
        used.statements.insert(statement.clone());
        used.ends.insert((until, statement));
        used.keys.insert(key, of_key + 1);
        Taken::First
    }
}

impl Default for MemoryReplayStore {
    /// Room for 100,000 statements, about 1,000 calls a second.
    fn default() -> Self {
        Self::new(100_000)
    }
}

impl Used {
    fn forget_before(&mut self, now: UnixTime) {
        while self.ends.first().is_some_and(|(end, _)| *end < now) {
            let Some((_, statement)) = self.ends.pop_first() else { return };
            self.statements.remove(&statement);
            let left = self.keys.get(&statement.0).copied().unwrap_or_default();
            match left {
                0 | 1 => self.keys.remove(&statement.0),
                more => self.keys.insert(statement.0, more - 1),
            };
        }
    }
}

impl ReplayStore for MemoryReplayStore {
    fn take<'a>(
        &'a self,
        key: KeyId,
        id: &'a str,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Taken> {
        Box::pin(std::future::ready(self.take_now(key, id, until, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> KeyId {
        crate::base64url::encode(&[byte; 32]).parse().unwrap()
    }

    #[test]
    fn each_statement_counts_once_and_a_full_store_refuses() {
        let store = MemoryReplayStore::new(2);
        let now = UnixTime(1_000);
        let take = |id: &str, now: UnixTime| store.take_now(key(1), id, now.plus(60), now);
        assert_eq!(take("a", now), Taken::First);
        assert_eq!(take("a", now), Taken::Before);
        let other = store.take_now(key(2), "a", now.plus(60), now);
        assert_eq!(other, Taken::First, "another key, another statement");
        assert_eq!(take("b", now), Taken::Full);
        assert_eq!(take("a", now.plus(60)), Taken::Before, "still counts");
        assert_eq!(take("b", now.plus(61)), Taken::First);
        assert_eq!(take("a", now.plus(61)), Taken::First, "its own time is checked elsewhere");
        assert_eq!(take("", now), Taken::Full);
        assert_eq!(take(&"x".repeat(129), now), Taken::Full);
    }

    /// Without the bound for each key, one caller's fresh statements refuse everybody.
    #[test]
    fn one_key_cannot_use_up_the_room_of_others() {
        let now = UnixTime(1_000);
        let bounded = MemoryReplayStore::new(100).per_key(10);
        let taken = (0..100)
            .filter(|n| bounded.take_now(key(1), &n.to_string(), now.plus(60), now) == Taken::First)
            .count();
        assert_eq!(taken, 10);
        assert_eq!(bounded.take_now(key(2), "a", now.plus(60), now), Taken::First);
        // What has run out makes room for the same key again.
        let later = now.plus(61);
        assert_eq!(bounded.take_now(key(1), "new", later.plus(60), later), Taken::First);
        let unbounded = MemoryReplayStore::new(100).per_key(100);
        for n in 0..100 {
            unbounded.take_now(key(1), &n.to_string(), now.plus(60), now);
        }
        assert_eq!(unbounded.take_now(key(2), "a", now.plus(60), now), Taken::Full);
    }
}
