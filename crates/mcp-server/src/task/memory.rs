//! Tasks in memory, gone with the process.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_types::BoxFuture;

use super::store::{KeptTask, Quota, StoredTask, TaskStore, TaskStoreError};

/// A [`TaskStore`] in memory. Everything is forgotten when the process ends.
#[derive(Debug, Default)]
pub struct MemoryTaskStore(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    tasks: HashMap<String, StoredTask>,
    of_owner: HashMap<String, usize>,
    bytes: usize,
}

impl MemoryTaskStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many tasks are kept, those that may be forgotten included.
    pub fn len(&self) -> usize {
        self.kept().tasks.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TaskStore for MemoryTaskStore {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(ready(self.kept().insert(id, task, quota, now)))
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        Box::pin(ready(Ok(self.kept().tasks.get(id).cloned())))
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(ready(self.kept().replace(id, expected, task, quota)))
    }

    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        Box::pin(ready(Ok(self.kept().sweep(now))))
    }

    fn is_shared(&self) -> bool {
        false
    }
}

impl Kept {
    fn insert(
        &mut self,
        id: &str,
        task: KeptTask,
        quota: &Quota,
        now: u64,
    ) -> Result<(), TaskStoreError> {
        if self.tasks.contains_key(id) {
            return Err(TaskStoreError::Exists);
        }
        let mut fits = self.room_for(&task, quota);
        // Looking at every task costs more than a lookup, so only a full store does it.
        if fits.is_err() && self.sweep(now) > 0 {
            fits = self.room_for(&task, quota);
        }
        fits?;
        self.bytes += task.body.len();
        *self.of_owner.entry(task.owner.clone()).or_default() += 1;
        self.tasks.insert(id.to_owned(), StoredTask::new(1, task));
        Ok(())
    }

    fn room_for(&self, task: &KeptTask, quota: &Quota) -> Result<(), TaskStoreError> {
        let of_owner = self.of_owner.get(&task.owner).copied().unwrap_or(0);
        if of_owner >= quota.tasks_of_owner {
            return Err(TaskStoreError::Full { of_owner: true });
        }
        if self.tasks.len() >= quota.tasks || self.bytes + task.body.len() > quota.bytes {
            return Err(TaskStoreError::Full { of_owner: false });
        }
        Ok(())
    }

    fn replace(
        &mut self,
        id: &str,
        expected: u64,
        task: KeptTask,
        quota: &Quota,
    ) -> Result<(), TaskStoreError> {
        let place = self.tasks.get_mut(id).filter(|place| place.version == expected);
        let place = place.ok_or(TaskStoreError::Lost)?;
        let (before, after) = (place.task.body.len(), task.body.len());
        let others = self.bytes.saturating_sub(before);
        // A task that shrinks always fits: that is how one that grew too large is ended.
        if after > before && others + after > quota.bytes {
            return Err(TaskStoreError::Full { of_owner: false });
        }
        self.bytes = others + after;
        *place =
            StoredTask::new(expected + 1, KeptTask { owner: place.task.owner.clone(), ..task });
        Ok(())
    }

    fn sweep(&mut self, now: u64) -> usize {
        let Self { tasks, of_owner, bytes } = self;
        let before = tasks.len();
        tasks.retain(|_, stored| {
            let expired = stored.task.is_expired(now);
            if expired {
                *bytes = bytes.saturating_sub(stored.task.body.len());
                if let Some(count) = of_owner.get_mut(&stored.task.owner) {
                    *count -= 1;
                }
            }
            !expired
        });
        of_owner.retain(|_, count| *count > 0);
        before - tasks.len()
    }
}
