//! The state in one file, for a server that is one process.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use ::redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;

use super::{Kind, MOST_BYTES, Records, Store};
use crate::embedded::server::ServerError;

/// A [`Store`] in one file: keys, clients, grants and what was used survive the end of the process.
///
/// The file is open to one process at a time. It holds the keys that sign tokens; on Unix only its
/// owner may read it. What is written is on the disk before anybody hears of it. It is waited for on
/// threads of tokio's that may block, so a runtime of tokio's is needed.
#[derive(Clone)]
pub struct RedbStore(Arc<Database>);

/// Until when, and what.
type Row = (u64, &'static [u8]);

const RECORDS: TableDefinition<(u8, &str), Row> = TableDefinition::new("records.1");
/// The names by their end.
const ENDS: TableDefinition<(u8, u64, &str), ()> = TableDefinition::new("ends.1");
const COUNTS: TableDefinition<u8, u64> = TableDefinition::new("counts.1");

impl RedbStore {
    /// Opens the store in the file at `path`, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened, is used by another process, or is no such store.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ServerError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| ServerError::Storage(error.to_string()))?;
        let database = Database::builder().create_file(file).map_err(broken)?;
        let transaction = database.begin_write().map_err(broken)?;
        // A reader refuses a table that was never written.
        Tables::open(&transaction)?;
        transaction.commit().map_err(broken)?;
        Ok(Self(Arc::new(database)))
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, ServerError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ServerError>> {
        let database = self.0.clone();
        Box::pin(async move {
            let work = tokio::task::spawn_blocking(move || work(&database));
            work.await.map_err(|error| ServerError::Storage(error.to_string()))?
        })
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, ServerError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, ServerError>> {
        self.run(move |database| {
            let transaction = database.begin_write().map_err(broken)?;
            let done = work(&mut Tables::open(&transaction)?)?;
            transaction.commit().map_err(broken)?;
            Ok(done)
        })
    }
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedbStore")
    }
}

impl Store for RedbStore {
    fn get<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ServerError>> {
        let name = name.to_owned();
        self.run(move |database| {
            let transaction = database.begin_read().map_err(broken)?;
            let records = transaction.open_table(RECORDS).map_err(broken)?;
            read(&records, kind, &name, now)
        })
    }

    fn insert<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        let name = name.to_owned();
        self.write(move |tables| {
            tables.sweep(kind, now)?;
            if read(&tables.records, kind, &name, now)?.is_some() {
                return Ok(false);
            }
            if tables.count(kind)? >= kind.most() as u64 || record.len() > MOST_BYTES {
                return Err(ServerError::Full);
            }
            tables.put(kind, &name, &record, until)?;
            Ok(true)
        })
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
        let (name, before) = (name.to_owned(), before.to_owned());
        self.write(move |tables| {
            if read(&tables.records, kind, &name, now)? != Some(before) {
                return Ok(false);
            }
            tables.put(kind, &name, &record, until)?;
            Ok(true)
        })
    }

    fn remove<'a>(&'a self, kind: Kind, name: &'a str) -> BoxFuture<'a, Result<(), ServerError>> {
        let name = name.to_owned();
        self.write(move |tables| tables.take(kind, &name))
    }

    fn list(&self, kind: Kind, now: UnixTime) -> BoxFuture<'_, Result<Records, ServerError>> {
        self.run(move |database| {
            let transaction = database.begin_read().map_err(broken)?;
            let records = transaction.open_table(RECORDS).map_err(broken)?;
            let number = kind.number();
            let mut all = Vec::new();
            for row in records.range((number, "")..(number + 1, "")).map_err(broken)? {
                let (key, row) = row.map_err(broken)?;
                let (until, record) = row.value();
                if until > now.seconds() {
                    all.push((key.value().1.to_owned(), record.to_vec()));
                }
            }
            Ok(all)
        })
    }
}

/// All tables within one transaction, which keeps them true to each other.
struct Tables<'t> {
    records: Table<'t, (u8, &'static str), Row>,
    ends: Table<'t, (u8, u64, &'static str), ()>,
    counts: Table<'t, u8, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, ServerError> {
        Ok(Self {
            records: transaction.open_table(RECORDS).map_err(broken)?,
            ends: transaction.open_table(ENDS).map_err(broken)?,
            counts: transaction.open_table(COUNTS).map_err(broken)?,
        })
    }

    fn put(
        &mut self,
        kind: Kind,
        name: &str,
        record: &[u8],
        until: UnixTime,
    ) -> Result<(), ServerError> {
        self.take(kind, name)?;
        let (number, until) = (kind.number(), until.seconds());
        self.records.insert((number, name), (until, record)).map_err(broken)?;
        self.ends.insert((number, until, name), ()).map_err(broken)?;
        let count = self.count(kind)? + 1;
        self.counts.insert(number, count).map_err(broken)?;
        Ok(())
    }

    fn take(&mut self, kind: Kind, name: &str) -> Result<(), ServerError> {
        let number = kind.number();
        let taken = self.records.remove((number, name)).map_err(broken)?.map(|row| row.value().0);
        if let Some(until) = taken {
            self.ends.remove((number, until, name)).map_err(broken)?;
            let count = self.count(kind)?.saturating_sub(1);
            self.counts.insert(number, count).map_err(broken)?;
        }
        Ok(())
    }

    fn count(&self, kind: Kind) -> Result<u64, ServerError> {
        let count = self.counts.get(kind.number()).map_err(broken)?;
        Ok(count.map_or(0, |count| count.value()))
    }

    fn sweep(&mut self, kind: Kind, now: UnixTime) -> Result<(), ServerError> {
        let (number, end) = (kind.number(), now.seconds().saturating_add(1));
        let mut over = Vec::new();
        for row in self.ends.range((number, 0, "")..(number, end, "")).map_err(broken)? {
            over.push(row.map_err(broken)?.0.value().2.to_owned());
        }
        over.iter().try_for_each(|name| self.take(kind, name))
    }
}

fn read(
    records: &impl ReadableTable<(u8, &'static str), Row>,
    kind: Kind,
    name: &str,
    now: UnixTime,
) -> Result<Option<Vec<u8>>, ServerError> {
    let row = records.get((kind.number(), name)).map_err(broken)?;
    Ok(row.and_then(|row| {
        let (until, record) = row.value();
        (until > now.seconds()).then(|| record.to_vec())
    }))
}

fn broken(error: impl Into<::redb::Error>) -> ServerError {
    ServerError::Storage(error.into().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{MemoryStore, check_store};

    #[tokio::test]
    async fn both_stores_keep_what_a_store_promises() {
        let (memory, now) = (MemoryStore::new(), UnixTime(1_767_323_045));
        assert_eq!(check_store(&[&memory, &memory], now).await, Ok(()));
        let folder = tempfile::tempdir().unwrap();
        let store = RedbStore::open(folder.path().join("state")).unwrap();
        assert_eq!(check_store(&[&store, &store.clone()], now).await, Ok(()));
    }

    #[tokio::test]
    async fn what_is_in_a_file_is_there_again_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        let store = RedbStore::open(&path).unwrap();
        let until = UnixTime(10);
        store.insert(Kind::Grant, "a", b"1".to_vec(), until, UnixTime(1)).await.unwrap();
        assert!(RedbStore::open(&path).is_err(), "it is in use");
        drop(store);
        let store = RedbStore::open(&path).unwrap();
        assert_eq!(store.get(Kind::Grant, "a", UnixTime(9)).await.unwrap().unwrap(), b"1");
        #[cfg(unix)]
        {
            let mode = std::fs::metadata(&path).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
            assert_eq!(mode & 0o777, 0o600);
        }
    }
}
