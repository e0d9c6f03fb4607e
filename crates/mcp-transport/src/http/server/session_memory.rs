//! Sessions that several servers of one process share.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mcp_types::BoxFuture;
use tokio::time::Instant;

use super::session_store::{
    Heard, Insertion, KeptSession, SessionNews, SessionStore, SessionStoreError, Updated,
};

/// A [`SessionStore`] in the memory of this process: for several servers in it, and for tests. A server
/// alone needs none.
///
/// It keeps at most so many sessions, and of what was told the last 4,096 things and 16 MiB.
#[derive(Debug)]
pub struct MemorySessionStore {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    sessions: HashMap<Arc<str>, (Instant, KeptSession)>,
    told: VecDeque<(Arc<str>, Bytes)>,
    /// How many things were told and are not known any more.
    forgotten: u64,
    /// How many bytes those have that are known.
    bytes: usize,
}

/// How many things that were told are known.
const TOLD: usize = 4_096;

/// How many bytes these may have together.
const BYTES: usize = 16 << 20;

/// How many of them are given at once.
const AT_ONCE: usize = 256;

impl Default for MemorySessionStore {
    /// At most 16,384 sessions.
    fn default() -> Self {
        Self::new(16_384)
    }
}

impl MemorySessionStore {
    /// Keeps at most `most` sessions; while there are as many, a new one is an error.
    pub fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_insert(
        &self,
        id: &str,
        record: Bytes,
        life: Duration,
    ) -> Result<Insertion, SessionStoreError> {
        let mut kept = self.lock();
        if kept.session(id).is_some() {
            return Ok(Insertion::Taken);
        }
        if kept.sessions.len() >= self.most {
            let now = Instant::now();
            kept.sessions.retain(|_, (end, _)| *end > now);
        }
        if kept.sessions.len() >= self.most {
            return Err(SessionStoreError(Box::new(Full(self.most))));
        }
        kept.sessions.insert(id.into(), (Instant::now() + life, KeptSession::new(1, record)));
        Ok(Insertion::Kept)
    }
}

impl Kept {
    /// The session under this id, if its life has not ended.
    fn session(&mut self, id: &str) -> Option<&mut (Instant, KeptSession)> {
        let ended = self.sessions.get(id).is_some_and(|(end, _)| *end <= Instant::now());
        if ended {
            self.sessions.remove(id);
        }
        self.sessions.get_mut(id)
    }
}

impl SessionStore for MemorySessionStore {
    fn insert(
        &self,
        id: &str,
        record: Bytes,
        life: Duration,
    ) -> BoxFuture<'static, Result<Insertion, SessionStoreError>> {
        ready(self.try_insert(id, record, life))
    }

    fn find(
        &self,
        id: &str,
        life: Duration,
    ) -> BoxFuture<'static, Result<Option<KeptSession>, SessionStoreError>> {
        let mut kept = self.lock();
        let found = kept.session(id).map(|(end, session)| {
            *end = Instant::now() + life;
            session.clone()
        });
        ready(Ok(found))
    }

    fn update(
        &self,
        id: &str,
        version: u64,
        record: Bytes,
        life: Duration,
    ) -> BoxFuture<'static, Result<Updated, SessionStoreError>> {
        let mut kept = self.lock();
        ready(Ok(match kept.session(id) {
            None => Updated::Gone,
            Some((_, session)) if session.version != version => Updated::Newer(session.clone()),
            Some((end, session)) => {
                *end = Instant::now() + life;
                *session = KeptSession::new(version + 1, record);
                Updated::Kept
            }
        }))
    }

    fn remove(&self, id: &str) -> BoxFuture<'static, Result<bool, SessionStoreError>> {
        let mut kept = self.lock();
        let there = kept.session(id).is_some();
        kept.sessions.remove(id);
        ready(Ok(there))
    }

    fn tell(&self, id: &str, told: Bytes) -> BoxFuture<'static, Result<(), SessionStoreError>> {
        let mut kept = self.lock();
        kept.bytes += id.len() + told.len();
        kept.told.push_back((id.into(), told));
        while kept.told.len() > TOLD || kept.bytes > BYTES {
            let Some((id, told)) = kept.told.pop_front() else { break };
            kept.bytes -= id.len() + told.len();
            kept.forgotten += 1;
        }
        ready(Ok(()))
    }

    fn hear(
        &self,
        after: Option<Heard>,
    ) -> BoxFuture<'static, Result<SessionNews, SessionStoreError>> {
        let kept = self.lock();
        let newest = kept.forgotten + kept.told.len() as u64;
        // Who was nowhere hears from now on.
        let known = after.map_or(Some(newest), |Heard(at)| at.parse().ok());
        let known = known.filter(|known| (kept.forgotten..=newest).contains(known));
        let (lost, first) = (known.is_none(), known.unwrap_or(kept.forgotten));
        let skipped = usize::try_from(first - kept.forgotten).unwrap_or(usize::MAX);
        let told: Vec<_> = kept.told.iter().skip(skipped).take(AT_ONCE).cloned().collect();
        let heard = Heard((first + told.len() as u64).to_string().into());
        ready(Ok(SessionNews::new(heard, told, lost)))
    }
}

fn ready<T: Send + 'static>(value: T) -> BoxFuture<'static, T> {
    Box::pin(std::future::ready(value))
}

/// There are as many sessions as there may be.
#[derive(Debug)]
struct Full(usize);

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are as many sessions as there may be, {}", self.0)
    }
}

impl std::error::Error for Full {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        let store = MemorySessionStore::default();
        super::super::session_store_contract(&[&store, &store]).await.unwrap();
        assert!(store.lock().sessions.is_empty());
    }

    #[tokio::test]
    async fn sessions_and_what_was_told_have_a_bound() {
        let store = MemorySessionStore::new(2);
        let life = Duration::from_secs(9);
        for (id, fits) in [("a", true), ("b", true), ("c", false)] {
            assert_eq!(store.insert(id, Bytes::new(), life).await.is_ok(), fits, "{id}");
        }
        let from = store.hear(None).await.unwrap().heard;
        for _ in 0..=TOLD {
            store.tell("a", Bytes::from_static(b"x")).await.unwrap();
        }
        let news = store.hear(Some(from)).await.unwrap();
        assert_eq!((news.lost, news.told.len()), (true, AT_ONCE));
        let next = store.hear(Some(news.heard.clone())).await.unwrap();
        assert_eq!((next.lost, next.told.len()), (false, AT_ONCE));
        for _ in 0..3 {
            store.tell("a", Bytes::from(vec![b'x'; BYTES / 2])).await.unwrap();
        }
        let news = store.hear(Some(news.heard)).await.unwrap();
        assert_eq!((news.lost, news.told.len()), (true, 1));
    }
}
