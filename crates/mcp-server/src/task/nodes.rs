//! What a [`TaskStore`] of several nodes must do, as a function that any store's tests can call.

use std::future::poll_fn;
use std::task::Poll;

use mcp_types::BoxFuture;

use super::contract::{TaskStoreContractFailure, broken, expect, load};
use super::store::{KeptTask, Quota, TaskStore, TaskStoreError};

/// Holds a store that several nodes share to what
/// [`task_store_contract`](super::task_store_contract) cannot try with one client alone.
///
/// `clients` are different ways to one and the same store. Of all who insert an id, who change a
/// version or who want the last place at once, one succeeds; a change whose answer was lost was made
/// or was not, and is never made twice; whoever lost the right to a task cannot write it, which is
/// what makes a version a fencing token. Needs no runtime of its own. The store must be empty; it is
/// left empty when the contract is kept.
///
/// ```
/// use mcp_server::task::{MemoryTaskStore, task_store_of_nodes_contract};
///
/// let store = MemoryTaskStore::new();
/// # futures_executor::block_on(async {
/// task_store_of_nodes_contract(&[&store, &store]).await?;
/// # Ok::<(), mcp_server::task::TaskStoreContractFailure>(()) })?;
/// assert!(store.is_empty());
/// # Ok::<(), mcp_server::task::TaskStoreContractFailure>(())
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn task_store_of_nodes_contract(
    clients: &[&dyn TaskStore],
) -> Result<(), TaskStoreContractFailure> {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    one_insert_wins(clients).await?;
    one_change_wins(clients).await?;
    the_last_place_is_given_once(clients).await?;
    a_lost_answer_is_no_second_change(*first, *last).await?;
    who_was_superseded_cannot_write(*first, *last).await?;
    let clause = "forget in `sweep` what any of its clients inserted";
    expect(clause, last.sweep(END + 1).await, |swept| matches!(swept, Ok(n) if *n > 0))?;
    expect(clause, first.sweep(END + 1).await, |swept| matches!(swept, Ok(0)))
}

const NOW: u64 = 1_767_323_045_000;
const END: u64 = NOW + 3_600_000;
const ROUNDS: usize = 25;

type Done = Result<(), TaskStoreError>;

fn task(owner: &str, body: String) -> KeptTask {
    KeptTask::new(owner, Some(END), body.into_bytes())
}

/// Runs all at once, in this task.
async fn at_once<'a>(futures: Vec<BoxFuture<'a, Done>>) -> Vec<Done> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|cx| {
        for (future, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(found) = future.as_mut().poll(cx) {
                *done = Some(found);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}

fn winners(done: &[Done]) -> usize {
    done.iter().filter(|done| done.is_ok()).count()
}

async fn one_insert_wins(clients: &[&dyn TaskStore]) -> Result<(), TaskStoreContractFailure> {
    let clause = "keep one of several tasks that are inserted with one id at once, and refuse the \
                  others as taken";
    let quota = Quota::default();
    for round in 0..ROUNDS {
        let id = format!("insert {round}");
        let inserts =
            clients.iter().chain(clients).enumerate().map(|(number, store)| {
                store.insert(&id, task("Ada", number.to_string()), &quota, NOW)
            });
        let done = at_once(inserts.collect()).await;
        let taken = done.iter().filter(|done| matches!(done, Err(TaskStoreError::Exists))).count();
        if winners(&done) != 1 || taken != done.len() - 1 {
            return broken(clause, &done);
        }
        let winner = done.iter().position(Result::is_ok).map(|number| number.to_string());
        for store in clients {
            expect(clause, load(*store, &id).await, |found| {
                found.as_ref().map(|found| &*found.task.body)
                    == winner.as_deref().map(str::as_bytes)
            })?;
        }
    }
    Ok(())
}

async fn one_change_wins(clients: &[&dyn TaskStore]) -> Result<(), TaskStoreContractFailure> {
    let clause =
        "make one of several changes of one version at once, and refuse the others as lost";
    let quota = Quota::default();
    let [first, ..] = clients else { return Ok(()) };
    for _ in 0..ROUNDS {
        let version = load(*first, "insert 0").await.map_or(0, |stored| stored.version);
        let changes = clients.iter().chain(clients).enumerate().map(|(number, store)| {
            store.replace("insert 0", version, task("Ada", format!("by {number}")), &quota)
        });
        let done = at_once(changes.collect()).await;
        let lost = done.iter().filter(|done| matches!(done, Err(TaskStoreError::Lost))).count();
        if winners(&done) != 1 || lost != done.len() - 1 {
            return broken(clause, &done);
        }
        let winner = done.iter().position(Result::is_ok).map(|number| format!("by {number}"));
        for store in clients {
            expect(clause, load(*store, "insert 0").await, |found| {
                let body = found.as_ref().filter(|found| found.version > version);
                body.map(|found| &*found.task.body) == winner.as_deref().map(str::as_bytes)
            })?;
        }
    }
    Ok(())
}

async fn the_last_place_is_given_once(
    clients: &[&dyn TaskStore],
) -> Result<(), TaskStoreContractFailure> {
    let clause = "keep to the quota of an owner when several want its last place at once";
    let quota = Quota { tasks_of_owner: 1, ..Quota::default() };
    for round in 0..ROUNDS {
        let owner = format!("owner {round}");
        let ids: Vec<_> =
            (0..clients.len() * 2).map(|number| format!("place {round} {number}")).collect();
        let inserts = clients.iter().chain(clients).zip(&ids);
        let inserts =
            inserts.map(|(store, id)| store.insert(id, task(&owner, String::new()), &quota, NOW));
        let done = at_once(inserts.collect()).await;
        let full = |done: &Done| matches!(done, Err(TaskStoreError::Full { of_owner: true }));
        if winners(&done) != 1 || done.iter().filter(|done| full(done)).count() != done.len() - 1 {
            return broken(clause, &done);
        }
    }
    Ok(())
}

async fn a_lost_answer_is_no_second_change(
    first: &dyn TaskStore,
    last: &dyn TaskStore,
) -> Result<(), TaskStoreContractFailure> {
    let clause = "have made a change whose answer was lost, or not, and never make it twice";
    let quota = Quota::default();
    for round in 0..ROUNDS {
        let before = load(last, "insert 1").await.map_or(0, |stored| stored.version);
        let change = || task("Ada", format!("change {round}"));
        let mut begun = first.replace("insert 1", before, change(), &quota);
        // Whoever made it has gone away before the answer came.
        poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
        drop(begun);
        let again = last.replace("insert 1", before, change(), &quota).await;
        expect(clause, again, |again| matches!(again, Ok(()) | Err(TaskStoreError::Lost)))?;
        let third = first.replace("insert 1", before, change(), &quota).await;
        expect(clause, third, |third| matches!(third, Err(TaskStoreError::Lost)))?;
        expect(clause, load(last, "insert 1").await, |found| {
            found.as_ref().is_some_and(|found| *found.task.body == *change().body)
        })?;
    }
    Ok(())
}

async fn who_was_superseded_cannot_write(
    first: &dyn TaskStore,
    last: &dyn TaskStore,
) -> Result<(), TaskStoreContractFailure> {
    let clause = "refuse whoever still holds a version that another node has taken over from";
    let quota = Quota::default();
    let held = load(first, "insert 2").await.map_or(0, |stored| stored.version);
    let taken_over = last.replace("insert 2", held, task("Ada", "by another".into()), &quota).await;
    expect(clause, taken_over, |done| done.is_ok())?;
    let late = first.replace("insert 2", held, task("Ada", "late".into()), &quota).await;
    expect(clause, late, |done| matches!(done, Err(TaskStoreError::Lost)))?;
    for store in [first, last] {
        expect(clause, load(store, "insert 2").await, |found| {
            found.as_ref().is_some_and(|found| found.task.body == b"by another")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::task::MemoryTaskStore;

    #[test]
    fn memory_keeps_it_and_two_stores_do_not() {
        let (one, other) = (MemoryTaskStore::new(), MemoryTaskStore::new());
        block_on(task_store_of_nodes_contract(&[&one, &one, &one])).unwrap();
        assert!(one.is_empty());
        assert!(block_on(task_store_of_nodes_contract(&[&one, &other])).is_err());
    }

    #[cfg(feature = "task-redb")]
    #[test]
    fn redb_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = crate::task::RedbTaskStore::open(folder.path().join("tasks")).unwrap();
        let other = store.clone();
        block_on(task_store_of_nodes_contract(&[&store, &other])).unwrap();
    }
}
