//! Tasks that any node shows, answers, cancels and takes over.
//!
//! What a task is, and who works on it until when, is in its body, which is sealed for its id and
//! version; the owner is sealed for the id, and counted by a digest. A version is a fencing token: whoever took a task over has written a newer one, and a
//! worker that was only slow cannot write any more. All tasks of a server are in one part of a
//! cluster, because quotas count them together.

use std::sync::Arc;

use mcp_server::task::{KeptTask, Quota, StoredTask, TaskStore, TaskStoreError};
use mcp_types::BoxFuture;

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::Seal;

mod reseal;

/// A [`TaskStore`] on Redis: one round trip for each operation.
#[derive(Clone)]
pub struct RedisTaskStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    script: Lua,
    keys: [String; 6],
}

/// How many tasks one step of a sweep takes: a script keeps all others waiting.
const SWEPT: usize = 1_000;

impl RedisTaskStore {
    pub(crate) fn new(client: Client, seal: Seal) -> Self {
        let keys = ["bodies", "sealed", "known", "ends", "owners", "totals"]
            .map(|name| client.key("t", name));
        let script = Lua::new(include_str!("scripts/tasks.lua"));
        Self(Arc::new(Inner { client, seal, script, keys }))
    }
}

impl Inner {
    async fn act(&self, args: &[&[u8]]) -> Result<Vec<Vec<u8>>, TaskStoreError> {
        let keys = self.keys.each_ref().map(String::as_str);
        let done = self.client.script(StoreName::Tasks, &self.script, &keys, args).await;
        done.map_err(unavailable)
    }

    /// The same for a new task, for which a Redis that is full has no room. One that is there waits for room.
    async fn add(&self, args: &[&[u8]]) -> Result<Vec<Vec<u8>>, TaskStoreError> {
        let keys = self.keys.each_ref().map(String::as_str);
        let done = self.client.script(StoreName::Tasks, &self.script, &keys, args).await;
        done.map_err(|error| match error {
            RedisError::Full => TaskStoreError::Full { of_owner: false },
            error => unavailable(error),
        })
    }

    fn opens<T>(&self, done: Result<T, RedisError>) -> Result<T, TaskStoreError> {
        self.client.count(StoreName::Tasks, done).map_err(unavailable)
    }

    fn damaged<T>(&self, found: Option<T>) -> Result<T, TaskStoreError> {
        self.opens(found.ok_or(RedisError::Damaged("a task cannot be read")))
    }

    async fn load(&self, id: &str) -> Result<Option<StoredTask>, TaskStoreError> {
        let found = self.act(&[b"load", id.as_bytes()]).await?;
        let found = match <[Vec<u8>; 4]>::try_from(found) {
            Ok(found) => found,
            Err(nothing) if nothing.is_empty() => return Ok(None),
            Err(_) => return self.damaged(None),
        };
        let [version, end, body, owner] = found;
        let (version, end) = (self.damaged(number(&version))?, self.damaged(number(&end))?);
        let id = id.as_bytes();
        let body = self.opens(self.seal.open(&[b"body", id, &version.to_be_bytes()], body))?;
        let owner = self.opens(self.seal.open(&[b"owner", id], owner))?;
        let owner = self.damaged(String::from_utf8(owner).ok())?;
        let task = KeptTask::new(owner, (end != 0).then_some(end), body);
        Ok(Some(StoredTask::new(version, task)))
    }

    async fn insert(
        &self,
        id: &str,
        task: KeptTask,
        quota: &Quota,
        now: u64,
    ) -> Result<(), TaskStoreError> {
        let (owner, id) = (hidden(&[task.owner.as_bytes()]), id.as_bytes());
        let body = self.seal.seal(&[b"body", id, &1_u64.to_be_bytes()], &task.body);
        let body = self.opens(body)?;
        let who = self.opens(self.seal.seal(&[b"owner", id], task.owner.as_bytes()))?;
        let (most, most_of_owner) = (quota.tasks as u64, quota.tasks_of_owner as u64);
        let size = task.body.len() as u64;
        let numbers = [end(&task), size, now, most, most_of_owner, quota.bytes as u64];
        let numbers = numbers.map(|number| number.to_string());
        let [end, size, now, most, of_owner, bytes] = numbers.each_ref().map(String::as_bytes);
        let owner = owner.as_bytes();
        let args = [b"insert", id, end, size, owner, &who, &body, now, most, of_owner, bytes];
        self.verdict(&self.add(&args).await?)
    }

    async fn replace(
        &self,
        id: &str,
        expected: u64,
        task: KeptTask,
        quota: &Quota,
    ) -> Result<(), TaskStoreError> {
        let (id, after) = (id.as_bytes(), expected.saturating_add(1));
        let body = self.seal.seal(&[b"body", id, &after.to_be_bytes()], &task.body);
        let body = self.opens(body)?;
        let numbers = [end(&task), expected, after, task.body.len() as u64, quota.bytes as u64];
        let numbers = numbers.map(|number| number.to_string());
        let [end, expected, after, size, bytes] = numbers.each_ref().map(String::as_bytes);
        let args = [b"replace", id, end, expected, after, size, &body, bytes];
        self.verdict(&self.act(&args).await?)
    }

    async fn sweep(&self, now: u64) -> Result<usize, TaskStoreError> {
        let (now, most) = (now.to_string(), SWEPT.to_string());
        let mut all = 0;
        loop {
            let said = self.act(&[b"sweep", b"", now.as_bytes(), most.as_bytes()]).await?;
            let gone = said.first().and_then(|text| number(text));
            let gone = usize::try_from(gone.unwrap_or(0)).unwrap_or(usize::MAX);
            all += gone;
            if gone < SWEPT {
                return Ok(all);
            }
        }
    }

    fn verdict(&self, said: &[Vec<u8>]) -> Result<(), TaskStoreError> {
        match said.first().map(Vec::as_slice) {
            Some(b"done") => Ok(()),
            Some(b"exists") => Err(TaskStoreError::Exists),
            Some(b"lost") => Err(TaskStoreError::Lost),
            Some(b"owner") => Err(TaskStoreError::Full { of_owner: true }),
            Some(b"full") => Err(TaskStoreError::Full { of_owner: false }),
            _ => {
                self.opens(Err(RedisError::Damaged("the script of tasks said what it never says")))
            }
        }
    }
}

/// The end as Redis keeps it: 0 for never.
fn end(task: &KeptTask) -> u64 {
    task.expires_at.map_or(0, |end| end.max(1))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn unavailable(error: RedisError) -> TaskStoreError {
    TaskStoreError::Unavailable(error.into())
}

impl TaskStore for RedisTaskStore {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(self.0.insert(id, task, quota, now))
    }

    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        Box::pin(self.0.load(id))
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(self.0.replace(id, expected, task, quota))
    }

    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        Box::pin(self.0.sweep(now))
    }
}

impl std::fmt::Debug for RedisTaskStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisTaskStore")
    }
}
