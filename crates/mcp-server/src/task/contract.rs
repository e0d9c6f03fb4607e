//! What every [`TaskStore`] must do, as a function that any store's tests can call.

use super::store::{KeptTask, Quota, StoredTask, TaskStore, TaskStoreError};

/// A clause of the contract that a store does not keep.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskStoreContractFailure {
    /// The store did something else.
    #[error("a store of tasks must {clause}; this one gave {found}")]
    Broken {
        /// What it must do.
        clause: &'static str,
        /// What it did.
        found: String,
    },
}

/// Holds a store to the contract of [`TaskStore`].
///
/// Needs no runtime of its own. The store must be empty; it is left empty when the contract is
/// kept.
///
/// ```
/// use mcp_server::task::{MemoryTaskStore, task_store_contract};
///
/// let store = MemoryTaskStore::new();
/// # futures_executor::block_on(async {
/// task_store_contract(&store).await?;
/// # Ok::<(), mcp_server::task::TaskStoreContractFailure>(()) })?;
/// assert!(store.is_empty());
/// # Ok::<(), mcp_server::task::TaskStoreContractFailure>(())
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn task_store_contract(store: &dyn TaskStore) -> Result<(), TaskStoreContractFailure> {
    keeps_what_it_is_given(store).await?;
    compares_and_sets(store).await?;
    keeps_to_the_quota(store).await?;
    forgets_in_time(store).await
}

const NOW: u64 = 1_767_323_045_000;
const HOUR: u64 = 3_600_000;

/// Longer than the contract needs any task; swept at its end.
const END: u64 = NOW + 10 * HOUR;

async fn keeps_what_it_is_given(store: &dyn TaskStore) -> Result<(), TaskStoreContractFailure> {
    let clause = "give back what it was given, owner, end and bytes, as version 1 or more";
    let quota = Quota::default();
    for (id, owner, end) in [("plain", "Ada", Some(END)), ("nobody's \u{1F30D}", "", Some(END + 1))]
    {
        let task = KeptTask::new(owner, end, vec![0, 255, b'"', b'\n']);
        expect(clause, store.insert(id, task.clone(), &quota, NOW).await, |done| done.is_ok())?;
        expect(
            clause,
            store.load(id).await,
            |loaded| matches!(loaded, Ok(Some(stored)) if stored.task == task && stored.version > 0),
        )?;
    }
    let clause = "refuse an id that is taken, and leave the task that has it alone";
    let second = store.insert("plain", KeptTask::new("Eve", None, vec![1]), &quota, NOW).await;
    expect(clause, second, |done| matches!(done, Err(TaskStoreError::Exists)))?;
    expect(clause, load(store, "plain").await, |stored| {
        stored.as_ref().is_some_and(|stored| stored.task.owner == "Ada")
    })?;
    let clause = "know nothing of an id that was never given to it";
    expect(clause, store.load("Plain").await, |loaded| matches!(loaded, Ok(None)))
}

async fn compares_and_sets(store: &dyn TaskStore) -> Result<(), TaskStoreContractFailure> {
    let clause = "change a task whose version is the expected one, and give it a new version";
    let quota = Quota::default();
    let first = load(store, "plain").await.map_or(0, |stored| stored.version);
    let changed = KeptTask::new("Ada", Some(END), b"changed".to_vec());
    let written = store.replace("plain", first, changed.clone(), &quota).await;
    expect(clause, written, |done| done.is_ok())?;
    let second = load(store, "plain").await;
    expect(clause, second.clone(), |stored| {
        stored.as_ref().is_some_and(|stored| stored.task == changed && stored.version > first)
    })?;
    let clause = "refuse a change of a version that is past as lost, and write nothing";
    let late = KeptTask::new("Ada", Some(END), b"late".to_vec());
    let written = store.replace("plain", first, late, &quota).await;
    expect(clause, written, |done| matches!(done, Err(TaskStoreError::Lost)))?;
    expect(clause, load(store, "plain").await, |stored| *stored == second)?;
    let clause = "refuse a change of a task that it does not know as lost";
    let unknown = store.replace("unknown", 1, changed, &quota).await;
    expect(clause, unknown, |done| matches!(done, Err(TaskStoreError::Lost)))?;
    expect(clause, store.load("unknown").await, |loaded| matches!(loaded, Ok(None)))?;
    let clause = "keep the owner of a task, whatever a change says";
    let version = second.map_or(0, |stored| stored.version);
    let theft = KeptTask::new("Eve", Some(END), Vec::new());
    let _ = store.replace("plain", version, theft, &quota).await;
    expect(clause, load(store, "plain").await, |stored| {
        stored.as_ref().is_some_and(|stored| stored.task.owner == "Ada")
    })
}

async fn keeps_to_the_quota(store: &dyn TaskStore) -> Result<(), TaskStoreContractFailure> {
    let clause = "refuse one task more than an owner may have";
    let small = Quota { tasks: 4, tasks_of_owner: 1, bytes: 1_000 };
    let task = |owner: &str, size| KeptTask::new(owner, Some(END), vec![b'.'; size]);
    let of_ada = store.insert("second", task("Ada", 1), &small, NOW).await;
    expect(clause, of_ada, |done| matches!(done, Err(TaskStoreError::Full { of_owner: true })))?;
    let clause = "count the owners apart";
    expect(clause, store.insert("Bob's", task("Bob", 1), &small, NOW).await, |done| done.is_ok())?;
    let clause = "refuse more bytes than it may keep, in a new task and in a change";
    let large = store.insert("large", task("Cy", 1_001), &small, NOW).await;
    expect(clause, large, |done| matches!(done, Err(TaskStoreError::Full { of_owner: false })))?;
    let grown = store.replace("Bob's", 1, task("Bob", 1_001), &small).await;
    expect(clause, grown, |done| matches!(done, Err(TaskStoreError::Full { .. })))?;
    let clause = "refuse one task more than all owners may have";
    expect(clause, store.insert("Cy's", task("Cy", 1), &small, NOW).await, |done| done.is_ok())?;
    let fifth = store.insert("Di's", task("Di", 1), &small, NOW).await;
    expect(clause, fifth, |done| matches!(done, Err(TaskStoreError::Full { of_owner: false })))?;
    let clause = "not count tasks whose time is over";
    let later = store.insert("Di's", task("Di", 1), &small, END).await;
    expect(clause, later, |done| done.is_ok())
}

async fn forgets_in_time(store: &dyn TaskStore) -> Result<(), TaskStoreContractFailure> {
    let clause = "forget in `sweep` what is over, and nothing else";
    let quota = Quota::default();
    // What the full store did not forget by itself goes here.
    let _ = store.sweep(END + 1).await;
    for (id, end) in [("over", Some(NOW)), ("on", Some(NOW + 1)), ("for ever", None)] {
        let task = KeptTask::new("Ada", end, vec![b'.']);
        expect(clause, store.insert(id, task, &quota, NOW - HOUR).await, |done| done.is_ok())?;
    }
    expect(clause, store.sweep(NOW).await, |swept| matches!(swept, Ok(1)))?;
    expect(clause, store.load("over").await, |loaded| matches!(loaded, Ok(None)))?;
    expect(clause, store.load("on").await, |loaded| matches!(loaded, Ok(Some(_))))?;
    let clause = "go by the end that the last change gave";
    for (id, end) in [("on", NOW + HOUR), ("for ever", NOW + 1)] {
        let task = KeptTask::new("Ada", Some(end), Vec::new());
        expect(clause, store.replace(id, 1, task, &quota).await, |done| done.is_ok())?;
    }
    expect(clause, store.sweep(NOW + 1).await, |swept| matches!(swept, Ok(1)))?;
    expect(clause, store.load("on").await, |loaded| matches!(loaded, Ok(Some(_))))?;
    expect(clause, store.sweep(NOW + HOUR).await, |swept| matches!(swept, Ok(1)))
}

pub(super) async fn load(store: &dyn TaskStore, id: &str) -> Option<StoredTask> {
    store.load(id).await.ok().flatten()
}

pub(super) fn expect<T: std::fmt::Debug>(
    clause: &'static str,
    found: T,
    kept: impl FnOnce(&T) -> bool,
) -> Result<(), TaskStoreContractFailure> {
    if kept(&found) {
        return Ok(());
    }
    broken(clause, &found)
}

pub(super) fn broken<T>(
    clause: &'static str,
    found: &dyn std::fmt::Debug,
) -> Result<T, TaskStoreContractFailure> {
    Err(TaskStoreContractFailure::Broken { clause, found: format!("{found:?}") })
}
