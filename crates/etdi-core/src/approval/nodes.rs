//! What an [`ApprovalStore`] of several nodes must do, as a function that any store's tests can call.

use core::future::poll_fn;
use core::task::Poll;

use super::contract::{ContractFailure, Must as _, NOW, all, broken, check, conflict, kid, sample};
use super::{Approval, ApprovalKey, ApprovalStore, CLOCK_TOLERANCE, Granted, Seen, StoreError};

/// Holds a store that several nodes share to what
/// [`approval_store_contract`](super::approval_store_contract) cannot try with one client alone.
///
/// `clients` are different ways to one and the same store. Of all who decide on an approval at once, one
/// is heard, and all nodes go by what it said; what was taken back at one node is gone at all; several
/// approvals that are one write are so for every node; a write whose answer was lost was made or was
/// not, and is never made twice; what nodes remember at once is all remembered; and a clock that went
/// back is noticed by whichever node has it. Needs no runtime of its own, and a store that has seen no
/// time yet. Uses servers whose identity starts with `contract:` and leaves nothing behind when the
/// contract is kept.
///
/// ```
/// use core::pin::pin;
/// use core::task::{Context, Poll, Waker};
///
/// use etdi_core::approval::{ApprovalStore, MemoryStore, approval_store_of_nodes_contract};
///
/// fn kept(clients: &[&dyn ApprovalStore]) -> bool {
///     let contract = pin!(approval_store_of_nodes_contract(clients));
///     matches!(contract.poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
/// }
///
/// let (store, other) = (MemoryStore::new(), MemoryStore::new());
/// assert!(kept(&[&store, &store]));
/// assert!(!kept(&[&store, &other]), "two stores are not one");
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn approval_store_of_nodes_contract(
    clients: &[&dyn ApprovalStore],
) -> Result<(), ContractFailure> {
    let [first, ..] = clients else { return Ok(()) };
    let nodes = Nodes { clients, first: *first, last: *clients.last().unwrap_or(first) };
    for round in 0..ROUNDS {
        nodes.one_approver_is_heard(round).await?;
        nodes.one_taking_back_is_heard(round).await?;
        nodes.several_are_one_write(round).await?;
        nodes.a_lost_answer_is_no_second_write(round).await?;
    }
    nodes.all_is_remembered().await?;
    nodes.a_clock_is_noticed_at_any_node().await
}

const ROUNDS: usize = 10;

/// How often somebody who is overtaken tries again.
const PATIENCE: usize = 100;

struct Nodes<'a> {
    clients: &'a [&'a dyn ApprovalStore],
    first: &'a dyn ApprovalStore,
    last: &'a dyn ApprovalStore,
}

fn key(tool: &str) -> ApprovalKey {
    ApprovalKey::new("contract:nodes", None, tool)
}

fn by(key: &ApprovalKey, writer: usize) -> Approval {
    Approval { approver: format!("writer {writer}"), ..sample(key) }
}

impl Nodes<'_> {
    /// Each client twice, so that each is raced also by itself.
    fn writers(&self) -> impl Iterator<Item = (usize, &dyn ApprovalStore)> {
        self.clients.iter().chain(self.clients).copied().enumerate()
    }

    /// What all clients find under a key, which has to be one and the same.
    async fn found(
        &self,
        clause: &'static str,
        key: &ApprovalKey,
    ) -> Result<Option<Approval>, ContractFailure> {
        let found = self.first.get(key).await.must(clause)?;
        for client in self.clients {
            check(clause, &client.get(key).await.must(clause)?, &found)?;
        }
        Ok(found)
    }

    /// The one write of several that was made; the others saw it.
    fn winner<T: core::fmt::Debug>(
        clause: &'static str,
        results: Vec<Result<T, StoreError>>,
    ) -> Result<T, ContractFailure> {
        let mut winners = Vec::new();
        for result in results {
            match result {
                Ok(winner) => winners.push(winner),
                Err(StoreError::Conflict { .. } | StoreError::Busy) => {}
                Err(source) => return Err(ContractFailure::Failed { clause, source }),
            }
        }
        match winners.pop() {
            Some(winner) if winners.is_empty() => Ok(winner),
            other => broken(clause, &(winners.len(), other)),
        }
    }

    async fn one_approver_is_heard(&self, round: usize) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "hear one of several nodes that decide at once, and say so to all";
        let key = key(&format!("decided {round}"));
        let first = self.writers().map(|(writer, store)| store.put(by(&key, writer), None));
        let first = Self::winner(CLAUSE, all(first.collect()).await)?;
        check(CLAUSE, &self.found(CLAUSE, &key).await?, &Some(first.clone()))?;
        let later = self.writers().map(|(writer, store)| {
            let less = Approval { granted: Granted::Unasked, ..by(&key, writer) };
            store.put(less, Some(first.generation))
        });
        let later = Self::winner(CLAUSE, all(later.collect()).await)?;
        check(CLAUSE, &self.found(CLAUSE, &key).await?, &Some(later.clone()))?;
        let stale = self.last.put(by(&key, 0), Some(first.generation)).await;
        conflict(CLAUSE, stale, Some(later.generation))?;
        self.first.remove(&key, later.generation).await.must(CLAUSE)
    }

    async fn one_taking_back_is_heard(&self, round: usize) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "take back an approval once, and at all nodes at once";
        let key = key(&format!("taken back {round}"));
        let stored = self.first.put(sample(&key), None).await.must(CLAUSE)?;
        let removes = self.writers().map(|(_, store)| store.remove(&key, stored.generation));
        Self::winner(CLAUSE, all(removes.collect()).await)?;
        check(CLAUSE, &self.found(CLAUSE, &key).await?, &None)?;
        // Whoever still holds it cannot bring it back.
        let back = self.last.put(sample(&key), Some(stored.generation)).await;
        conflict(CLAUSE, back, None)
    }

    async fn several_are_one_write(&self, round: usize) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "make several approvals one write for every node";
        let keys = [key(&format!("one {round}")), key(&format!("two {round}"))];
        let writes = self.writers().map(|(writer, store)| {
            let several = keys.iter().map(|key| (by(key, writer), None));
            // Half of them the other way round, so that none holds what another waits for.
            let several: Vec<_> =
                if writer % 2 == 0 { several.collect() } else { several.rev().collect() };
            store.put_all(several)
        });
        let stored = Self::winner(CLAUSE, all(writes.collect()).await)?;
        let approver = stored.first().map(|one| one.approver.clone());
        for key in &keys {
            let found = self.found(CLAUSE, key).await?;
            check(CLAUSE, &found.as_ref().map(|one| one.approver.clone()), &approver)?;
            if let Some(found) = found {
                self.last.remove(key, found.generation).await.must(CLAUSE)?;
            }
        }
        Ok(())
    }

    async fn a_lost_answer_is_no_second_write(&self, round: usize) -> Result<(), ContractFailure> {
        const CLAUSE: &str =
            "have made a write whose answer was lost, or not, and never make it twice";
        let key = key(&format!("lost {round}"));
        let mut begun = self.first.put(by(&key, round), None);
        // Whoever decided has gone away before the answer came.
        poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
        drop(begun);
        match self.last.put(by(&key, round), None).await {
            Ok(_) | Err(StoreError::Conflict { current: Some(_) }) => {}
            other => return broken(CLAUSE, &other),
        }
        let stored = self.found(CLAUSE, &key).await?;
        let Some(stored) = stored else { return broken(CLAUSE, &stored) };
        check(CLAUSE, &stored.approver, &by(&key, round).approver)?;
        let third = self.first.put(by(&key, round), None).await;
        conflict(CLAUSE, third, Some(stored.generation))?;
        self.last.remove(&key, stored.generation).await.must(CLAUSE)
    }

    async fn all_is_remembered(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "remember all that several nodes saw at once";
        const SERVER: &str = "contract:seen";
        let tools: Vec<_> = self.writers().map(|(writer, _)| format!("tool {writer}")).collect();
        let seen: Vec<_> = tools.iter().map(|tool| [Seen::new(tool, "iss", kid(), None)]).collect();
        let mut left: Vec<_> = seen.iter().zip(self.writers().map(|(_, store)| store)).collect();
        for _ in 0..PATIENCE {
            let writes = left.iter().map(|(seen, store)| store.remember(SERVER, *seen, NOW));
            let done = all(writes.collect()).await;
            let mut overtaken = Vec::new();
            for (one, done) in left.into_iter().zip(done) {
                match done {
                    Ok(_) => {}
                    Err(StoreError::Busy) => overtaken.push(one),
                    Err(source) => return Err(ContractFailure::Failed { clause: CLAUSE, source }),
                }
            }
            left = overtaken;
            if left.is_empty() {
                break;
            }
        }
        for client in self.clients {
            let memory = client.memory(SERVER).await.must(CLAUSE)?.unwrap_or_default();
            let found: Vec<_> = memory.tools.into_keys().collect();
            check(CLAUSE, &found, &tools)?;
        }
        for tool in &tools {
            check(CLAUSE, &self.last.forget(SERVER, tool).await.must(CLAUSE)?, &true)?;
        }
        check(CLAUSE, &self.first.memory(SERVER).await.must(CLAUSE)?, &None)
    }

    async fn a_clock_is_noticed_at_any_node(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "refuse a clock that is behind what another node saw, and bear with one \
                              that is a little off";
        self.first.observe(NOW, true).await.must(CLAUSE)?;
        self.last.observe(NOW.minus(CLOCK_TOLERANCE), true).await.must(CLAUSE)?;
        match self.last.observe(NOW.minus(CLOCK_TOLERANCE + 1), true).await {
            Err(StoreError::ClockBack { latest: NOW, .. }) => Ok(()),
            other => broken(CLAUSE, &other),
        }
    }
}
