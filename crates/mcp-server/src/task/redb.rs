//! Tasks in one file, for a server that is one process.

use std::fmt;
use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Arc;

use mcp_types::{BoxFuture, Runtime};
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use tokio::sync::oneshot;

use super::store::{KeptTask, Quota, StoredTask, TaskStore, TaskStoreError};

/// A [`TaskStore`] in one file: tasks survive the end of the process.
///
/// The file is open to one process at a time, so a task that was running when the last process
/// ended is known to have no worker any more. It holds arguments and results of tools as they are;
/// on Unix only its owner may read it. A task is on the disk before the client hears of it.
///
/// ```
/// use mcp_server::task::{RedbTaskStore, Tasks};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("tasks.redb");
/// let store = RedbTaskStore::open(&path)?;
/// assert!(RedbTaskStore::open(&path).is_err(), "a second process, or a second store, is refused");
/// let tasks = Tasks::new(store);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RedbTaskStore {
    database: Arc<Database>,
    runtime: Option<Arc<dyn Runtime>>,
}

/// A task: version, end (0 for never), owner, body.
type Row = (u64, u64, &'static str, &'static [u8]);

const TASKS: TableDefinition<&str, Row> = TableDefinition::new("tasks.1");
/// The ids by their end.
const ENDS: TableDefinition<(u64, &str), ()> = TableDefinition::new("ends.1");
/// How many tasks each owner has.
const OWNERS: TableDefinition<&str, u64> = TableDefinition::new("owners.1");
/// How many tasks and bytes there are.
const TOTALS: TableDefinition<&str, u64> = TableDefinition::new("totals.1");

impl RedbTaskStore {
    /// Opens the store in the file at `path`, and makes it where there is none.
    ///
    /// # Errors
    ///
    /// [`TaskStoreError::Unavailable`] when the file cannot be opened, is used by another process,
    /// or is no store of tasks.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TaskStoreError> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(|error| TaskStoreError::Unavailable(error.into()))?;
        let database = Database::builder().create_file(file).map_err(broken)?;
        let transaction = database.begin_write().map_err(broken)?;
        // A reader refuses a table that was never written.
        Tables::open(&transaction)?;
        transaction.commit().map_err(broken)?;
        Ok(Self { database: Arc::new(database), runtime: None })
    }

    /// Reads and writes on `runtime`'s threads for blocking work. Without one, the disk is waited
    /// for where the call is served.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, TaskStoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, TaskStoreError>> {
        let database = self.database.clone();
        let Some(runtime) = &self.runtime else {
            return Box::pin(std::future::ready(work(&database)));
        };
        let (done, result) = oneshot::channel();
        let job = move || {
            let _ = done.send(work(&database));
        };
        let started = runtime.blocking(Box::new(job));
        Box::pin(async move {
            started.map_err(|busy| TaskStoreError::Unavailable(busy.into()))?;
            result.await.map_err(|error| TaskStoreError::Unavailable(error.into()))?
        })
    }

    fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables<'_>) -> Result<T, TaskStoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, TaskStoreError>> {
        self.run(move |database| {
            let transaction = database.begin_write().map_err(broken)?;
            let done = work(&mut Tables::open(&transaction)?)?;
            transaction.commit().map_err(broken)?;
            Ok(done)
        })
    }
}

impl TaskStore for RedbTaskStore {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        let (id, quota) = (id.to_owned(), quota.clone());
        self.write(move |tables| {
            if tables.load(&id)?.is_some() {
                return Err(TaskStoreError::Exists);
            }
            tables.sweep(now)?;
            if tables.of_owner(&task.owner)? >= quota.tasks_of_owner as u64 {
                return Err(TaskStoreError::Full { of_owner: true });
            }
            let bytes = tables.total("bytes")? + task.body.len() as u64;
            if tables.total("tasks")? >= quota.tasks as u64 || bytes > quota.bytes as u64 {
                return Err(TaskStoreError::Full { of_owner: false });
            }
            tables.put(&id, 1, &task)?;
            tables.count(&task.owner, 1)
        })
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        let id = id.to_owned();
        self.run(move |database| {
            let transaction = database.begin_read().map_err(broken)?;
            let tasks = transaction.open_table(TASKS).map_err(broken)?;
            read(&tasks, &id)
        })
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        let (id, quota) = (id.to_owned(), quota.clone());
        self.write(move |tables| {
            let before = tables.load(&id)?.filter(|stored| stored.version == expected);
            let before = before.ok_or(TaskStoreError::Lost)?;
            let grown = task.body.len() as u64;
            let shrunk = before.task.body.len() as u64;
            let bytes = tables.total("bytes")?.saturating_sub(shrunk) + grown;
            if grown > shrunk && bytes > quota.bytes as u64 {
                return Err(TaskStoreError::Full { of_owner: false });
            }
            tables.take(&id, &before.task)?;
            let task = KeptTask { owner: before.task.owner, ..task };
            tables.put(&id, expected + 1, &task)
        })
    }

    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.write(move |tables| tables.sweep(now))
    }

    fn is_shared(&self) -> bool {
        false
    }
}

impl fmt::Debug for RedbTaskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbTaskStore")
    }
}

/// All tables within one transaction, which keeps them true to each other.
struct Tables<'t> {
    tasks: Table<'t, &'static str, Row>,
    ends: Table<'t, (u64, &'static str), ()>,
    owners: Table<'t, &'static str, u64>,
    totals: Table<'t, &'static str, u64>,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, TaskStoreError> {
        Ok(Self {
            tasks: transaction.open_table(TASKS).map_err(broken)?,
            ends: transaction.open_table(ENDS).map_err(broken)?,
            owners: transaction.open_table(OWNERS).map_err(broken)?,
            totals: transaction.open_table(TOTALS).map_err(broken)?,
        })
    }

    fn load(&self, id: &str) -> Result<Option<StoredTask>, TaskStoreError> {
        read(&self.tasks, id)
    }

    fn put(&mut self, id: &str, version: u64, task: &KeptTask) -> Result<(), TaskStoreError> {
        let end = task.expires_at.unwrap_or(0);
        let row = (version, end, task.owner.as_str(), task.body.as_slice());
        self.tasks.insert(id, row).map_err(broken)?;
        if end != 0 {
            self.ends.insert((end, id), ()).map_err(broken)?;
        }
        self.add("bytes", task.body.len() as i64)
    }

    /// Takes a task out; its owner's count stays.
    fn take(&mut self, id: &str, task: &KeptTask) -> Result<(), TaskStoreError> {
        self.tasks.remove(id).map_err(broken)?;
        if let Some(end) = task.expires_at {
            self.ends.remove((end, id)).map_err(broken)?;
        }
        self.add("bytes", -(task.body.len() as i64))
    }

    fn sweep(&mut self, now: u64) -> Result<usize, TaskStoreError> {
        let mut over = Vec::new();
        for end in self.ends.range(..(now.saturating_add(1), "")).map_err(broken)? {
            let (key, _) = end.map_err(broken)?;
            over.push(key.value().1.to_owned());
        }
        for id in &over {
            if let Some(stored) = self.load(id)? {
                self.take(id, &stored.task)?;
                self.count(&stored.task.owner, -1)?;
            }
        }
        Ok(over.len())
    }

    fn of_owner(&self, owner: &str) -> Result<u64, TaskStoreError> {
        Ok(self.owners.get(owner).map_err(broken)?.map_or(0, |count| count.value()))
    }

    fn total(&self, name: &str) -> Result<u64, TaskStoreError> {
        Ok(self.totals.get(name).map_err(broken)?.map_or(0, |total| total.value()))
    }

    fn count(&mut self, owner: &str, by: i64) -> Result<(), TaskStoreError> {
        match self.of_owner(owner)?.saturating_add_signed(by) {
            0 => drop(self.owners.remove(owner).map_err(broken)?),
            count => drop(self.owners.insert(owner, count).map_err(broken)?),
        }
        self.add("tasks", by)
    }

    fn add(&mut self, name: &str, by: i64) -> Result<(), TaskStoreError> {
        let total = self.total(name)?.saturating_add_signed(by);
        self.totals.insert(name, total).map_err(broken)?;
        Ok(())
    }
}

fn read(
    tasks: &impl ReadableTable<&'static str, Row>,
    id: &str,
) -> Result<Option<StoredTask>, TaskStoreError> {
    let row = tasks.get(id).map_err(broken)?;
    Ok(row.map(|row| {
        let (version, end, owner, body) = row.value();
        let task = KeptTask::new(owner, (end != 0).then_some(end), body.to_vec());
        StoredTask::new(version, task)
    }))
}

fn broken(error: impl Into<redb::Error>) -> TaskStoreError {
    TaskStoreError::Unavailable(error.into().into())
}
