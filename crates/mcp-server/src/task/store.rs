//! Where tasks are kept: the seam for stores, and what a store must promise.

use std::fmt;

use mcp_types::BoxFuture;

/// Keeps tasks, so that they outlive the request that made them.
///
/// A store knows nothing of what it keeps: a task is an owner, an end and some bytes. Every change
/// is a compare-and-set: [`replace`](TaskStore::replace) names the version that it was made from.
///
/// A *lost write* ([`TaskStoreError::Lost`]) means that somebody else changed the task in between:
/// another request, or another node that shares the store. Nothing was written. The loser loads
/// the task again and decides anew; it must never write over what it has not seen, because the
/// task may be cancelled by now, or finished by another node.
///
/// Whoever writes a store of their own holds it to [`task_store_contract`](super::task_store_contract),
/// one that several nodes share also to
/// [`task_store_of_nodes_contract`](super::task_store_of_nodes_contract).
pub trait TaskStore: Send + Sync + 'static {
    /// Keeps a new task. When the future is ready, [`load`](TaskStore::load) finds it, on every
    /// node: the client is told of the task right after. Tasks that ended before `now` (in
    /// milliseconds since 1970) do not count towards the quota.
    ///
    /// # Errors
    ///
    /// [`TaskStoreError::Exists`] for an id that is taken, [`TaskStoreError::Full`] when the quota
    /// is used up, or the store has no room for anything new, [`TaskStoreError::Unavailable`] when it
    /// cannot be reached.
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>>;

    /// The task with its version; `None` for an id that the store does not know.
    ///
    /// # Errors
    ///
    /// [`TaskStoreError::Unavailable`].
    fn load<'a>(&'a self, id: &'a str)
    -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>>;

    /// Puts `task` in the place of the one that has the version `expected`.
    ///
    /// # Errors
    ///
    /// [`TaskStoreError::Lost`] when the task has another version by now or is gone,
    /// [`TaskStoreError::Full`] when it grew beyond the quota's bytes, and only then: a result for
    /// which the quota has no room is given up. [`TaskStoreError::Unavailable`] when the store cannot be
    /// reached, or has itself no memory left: a result waits for it.
    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>>;

    /// Forgets the tasks that ended before `now`, and says how many. A store that several nodes share and that
    /// has a clock of its own keeps what has not ended by that: the clock of one node may be ahead.
    ///
    /// # Errors
    ///
    /// [`TaskStoreError::Unavailable`].
    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>>;

    /// Whether other processes use the store at this time. A task that nobody in this process works
    /// on is then left alone until its worker has not been heard of for a while; in a store of our
    /// own it is known at once that its worker is gone.
    fn is_shared(&self) -> bool {
        true
    }
}

/// A task as a store sees it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptTask {
    /// Whose task it is; empty when nobody has proved who they are. Stores count by it.
    pub owner: String,
    /// When it may be forgotten, in milliseconds since 1970; `None` for never.
    pub expires_at: Option<u64>,
    /// All else, for us to read.
    pub body: Vec<u8>,
}

impl KeptTask {
    /// A task of `owner` that may be forgotten at `expires_at`.
    pub fn new(owner: impl Into<String>, expires_at: Option<u64>, body: Vec<u8>) -> Self {
        Self { owner: owner.into(), expires_at, body }
    }

    /// Whether the task's time is over at `now`.
    pub fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl fmt::Debug for KeptTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and results are the caller's; a log is no place for them.
        let body = format_args!("{} bytes", self.body.len());
        f.debug_struct("KeptTask")
            .field("expires_at", &self.expires_at)
            .field("body", &body)
            .finish()
    }
}

/// A task and the version that the next change must name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredTask {
    /// Grows with every change of the task.
    pub version: u64,
    /// The task.
    pub task: KeptTask,
}

impl StoredTask {
    /// A task as it was loaded.
    pub fn new(version: u64, task: KeptTask) -> Self {
        Self { version, task }
    }
}

/// How much a store keeps at most.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Tasks of all owners together.
    pub tasks: usize,
    /// Tasks of one owner. All who have not proved who they are count as one.
    pub tasks_of_owner: usize,
    /// Bytes of all bodies together.
    pub bytes: usize,
}

impl Default for Quota {
    fn default() -> Self {
        Self { tasks: 10_000, tasks_of_owner: 1_000, bytes: 256 << 20 }
    }
}

/// Why a store did not do as it was told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskStoreError {
    /// The id is taken.
    #[error("the id is taken by another task")]
    Exists,
    /// The task was changed by somebody else; nothing was written.
    #[error("the task was changed by somebody else, load it again")]
    Lost,
    /// There is no room for more.
    #[error("no more tasks are kept{}, wait for one to end", if *.of_owner { " for this caller" } else { "" })]
    Full {
        /// Whether it is the caller's own part that is used up.
        of_owner: bool,
    },
    /// The store cannot be reached, or is broken.
    #[error("the store of tasks cannot be used")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}
