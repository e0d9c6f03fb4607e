//! Where the embedded server keeps what it must not forget.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;

use super::server::ServerError;

mod contract;
mod redb;

pub use contract::check_store;
pub use redb::RedbStore;

/// Kinds of records. Each has its own bound, so that none can crowd out another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Keys.
    Key,
    /// Clients that registered themselves.
    Client,
    /// What users let clients do.
    Grant,
    /// What was used or taken back, and must not count again.
    Used,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Key, Self::Client, Self::Grant, Self::Used];

    /// The most records of this kind.
    pub fn most(self) -> usize {
        match self {
            Self::Key => 16,
            Self::Client => 2_000,
            Self::Grant => 20_000,
            Self::Used => 50_000,
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Key => 0,
            Self::Client => 1,
            Self::Grant => 2,
            Self::Used => 3,
        }
    }
}

/// The most bytes of one record.
pub const MOST_BYTES: usize = 64 << 10;

/// Records by their names.
pub type Records = Vec<(String, Vec<u8>)>;

/// Records by kind and name, each until a point in time.
///
/// A record whose time has come is not there. Records are bounded in number by [`Kind::most`]: where
/// there is no room after those that are over have gone, a new one is refused, and none is lost for
/// it. What was written is there after a restart if the store lasts at all, and is written before
/// the future completes. Object safe; [`check_store`] holds an implementation to this.
pub trait Store: Send + Sync {
    /// A record.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn get<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ServerError>>;

    /// Puts a record where none is; `false` where one is. Of all who try at once one succeeds.
    ///
    /// # Errors
    ///
    /// [`ServerError::Full`] when there is no room, others when the store cannot be written.
    fn insert<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>>;

    /// Puts a record in the place of exactly `before`; `false` where that is not what is there.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    fn swap<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        before: &'a [u8],
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>>;

    /// Takes a record out, if it is there.
    ///
    /// # Errors
    ///
    /// When the store cannot be written.
    fn remove<'a>(&'a self, kind: Kind, name: &'a str) -> BoxFuture<'a, Result<(), ServerError>>;

    /// All records of a kind, by name.
    ///
    /// # Errors
    ///
    /// When the store cannot be read.
    fn list(&self, kind: Kind, now: UnixTime) -> BoxFuture<'_, Result<Records, ServerError>>;
}

/// A store that ends with the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<HashMap<Kind, Shelf>>);

#[derive(Debug, Default)]
struct Shelf {
    records: HashMap<String, (Vec<u8>, UnixTime)>,
    ends: BTreeSet<(UnixTime, String)>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn shelves(&self) -> MutexGuard<'_, HashMap<Kind, Shelf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn at<T>(&self, kind: Kind, work: impl FnOnce(&mut Shelf) -> T) -> T {
        work(self.shelves().entry(kind).or_default())
    }
}

impl Shelf {
    fn get(&self, name: &str, now: UnixTime) -> Option<&Vec<u8>> {
        self.records.get(name).filter(|(_, until)| *until > now).map(|(record, _)| record)
    }

    fn put(&mut self, name: &str, record: Vec<u8>, until: UnixTime) {
        self.remove(name);
        self.ends.insert((until, name.to_owned()));
        self.records.insert(name.to_owned(), (record, until));
    }

    fn remove(&mut self, name: &str) {
        if let Some((_, until)) = self.records.remove(name) {
            self.ends.remove(&(until, name.to_owned()));
        }
    }

    fn sweep(&mut self, now: UnixTime) {
        while self.ends.first().is_some_and(|(until, _)| *until <= now) {
            if let Some((_, name)) = self.ends.pop_first() {
                self.records.remove(&name);
            }
        }
    }
}

impl Store for MemoryStore {
    fn get<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ServerError>> {
        let found = self.at(kind, |shelf| shelf.get(name, now).cloned());
        Box::pin(std::future::ready(Ok(found)))
    }

    fn insert<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        let done = self.at(kind, |shelf| {
            shelf.sweep(now);
            if shelf.get(name, now).is_some() {
                return Ok(false);
            }
            if shelf.records.len() >= kind.most() || record.len() > MOST_BYTES {
                return Err(ServerError::Full);
            }
            shelf.put(name, record, until);
            Ok(true)
        });
        Box::pin(std::future::ready(done))
    }

    fn swap<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        before: &'a [u8],
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        let done = self.at(kind, |shelf| {
            let same = shelf.get(name, now).is_some_and(|known| known == before);
            if same {
                shelf.put(name, record, until);
            }
            Ok(same)
        });
        Box::pin(std::future::ready(done))
    }

    fn remove<'a>(&'a self, kind: Kind, name: &'a str) -> BoxFuture<'a, Result<(), ServerError>> {
        self.at(kind, |shelf| shelf.remove(name));
        Box::pin(std::future::ready(Ok(())))
    }

    fn list(&self, kind: Kind, now: UnixTime) -> BoxFuture<'_, Result<Records, ServerError>> {
        let all = self.at(kind, |shelf| {
            shelf.sweep(now);
            let all = shelf.records.iter();
            all.map(|(name, (record, _))| (name.clone(), record.clone())).collect::<Vec<_>>()
        });
        Box::pin(std::future::ready(Ok(all)))
    }
}
