//! Approvals in memory, for tests and for hosts that forget on purpose.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mcp_types::BoxFuture;

use super::{
    Approval, ApprovalKey, ApprovalStore, Listing, Seen, SeenManifest, ServerMemory, StoreError,
    is_back,
};
use crate::time::UnixTime;

/// A store that lives as long as the process.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    generation: u64,
    latest: UnixTime,
    approvals: BTreeMap<ApprovalKey, Approval>,
    servers: BTreeMap<String, ServerMemory>,
}

/// The most approvals, and the most servers, that a store keeps.
pub(crate) const MAX_RECORDS: usize = 16_384;

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing that runs under the lock can panic half-way, so a poisoned one is as good.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(
        &mut self,
        mut approval: Approval,
        expected: Option<u64>,
    ) -> Result<Approval, StoreError> {
        let current = self.approvals.get(&approval.key).map(|stored| stored.generation);
        if current != expected {
            return Err(StoreError::Conflict { current });
        }
        if current.is_none() && self.approvals.len() >= MAX_RECORDS {
            return Err(StoreError::Full { what: "approvals" });
        }
        self.generation += 1;
        approval.generation = self.generation;
        self.approvals.insert(approval.key.clone(), approval.clone());
        Ok(approval)
    }

    fn put_all(
        &mut self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> Result<Vec<Approval>, StoreError> {
        let mut keys = BTreeSet::new();
        for (approval, expected) in &approvals {
            let current = self.approvals.get(&approval.key).map(|stored| stored.generation);
            if current != *expected || !keys.insert(&approval.key) {
                return Err(StoreError::Conflict { current });
            }
        }
        let new = approvals.iter().filter(|(_, expected)| expected.is_none()).count();
        if new > MAX_RECORDS.saturating_sub(self.approvals.len()) {
            return Err(StoreError::Full { what: "approvals" });
        }
        approvals.into_iter().map(|(approval, expected)| self.put(approval, expected)).collect()
    }

    fn remove(&mut self, key: &ApprovalKey, expected: u64) -> Result<(), StoreError> {
        let current = self.approvals.get(key).map(|stored| stored.generation);
        if current != Some(expected) {
            return Err(StoreError::Conflict { current });
        }
        self.generation += 1;
        self.approvals.remove(key);
        Ok(())
    }

    fn remember(
        &mut self,
        server: &str,
        seen: &[Seen],
        now: UnixTime,
    ) -> Result<ServerMemory, StoreError> {
        self.grow(server, |memory| memory.add(seen, now))
    }

    /// Adds to what is remembered of a server; `add` says whether anything was new.
    fn grow(
        &mut self,
        server: &str,
        add: impl FnOnce(&mut ServerMemory) -> Result<bool, StoreError>,
    ) -> Result<ServerMemory, StoreError> {
        let known = self.servers.get(server);
        if known.is_none() && self.servers.len() >= MAX_RECORDS {
            return Err(StoreError::Full { what: "servers" });
        }
        let mut memory = known.cloned().unwrap_or_else(|| ServerMemory::new(server));
        if add(&mut memory)? {
            self.generation += 1;
            self.servers.insert(server.to_owned(), memory.clone());
        }
        Ok(memory)
    }

    fn forget(&mut self, server: &str, tool: &str) -> bool {
        let Some(memory) = self.servers.get_mut(server) else { return false };
        let forgotten = memory.forget(tool);
        if memory.is_empty() {
            self.servers.remove(server);
        }
        self.generation += u64::from(forgotten);
        forgotten
    }
}

impl ApprovalStore for MemoryStore {
    fn get<'a>(
        &'a self,
        key: &'a ApprovalKey,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>> {
        Box::pin(async move { Ok(self.state().approvals.get(key).cloned()) })
    }

    fn put(
        &self,
        approval: Approval,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<Approval, StoreError>> {
        Box::pin(async move { self.state().put(approval, expected) })
    }

    fn put_all(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>> {
        Box::pin(async move { self.state().put_all(approvals) })
    }

    fn remove<'a>(
        &'a self,
        key: &'a ApprovalKey,
        expected: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move { self.state().remove(key, expected) })
    }

    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(async move {
            let approvals = self.state().approvals.values().cloned().collect();
            Ok(Listing { approvals, faults: Vec::new() })
        })
    }

    fn memory<'a>(
        &'a self,
        server: &'a str,
    ) -> BoxFuture<'a, Result<Option<ServerMemory>, StoreError>> {
        Box::pin(async move { Ok(self.state().servers.get(server).cloned()) })
    }

    fn remember<'a>(
        &'a self,
        server: &'a str,
        seen: &'a [Seen],
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        Box::pin(async move { self.state().remember(server, seen, now) })
    }

    fn remember_manifest<'a>(
        &'a self,
        server: &'a str,
        seen: &'a SeenManifest,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        Box::pin(async move { self.state().grow(server, |memory| memory.add_manifest(seen)) })
    }

    fn forget<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move { Ok(self.state().forget(server, tool)) })
    }

    fn observe(&self, now: UnixTime, _: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let mut state = self.state();
            if is_back(state.latest, now) {
                return Err(StoreError::ClockBack { latest: state.latest, now });
            }
            state.latest = state.latest.max(now);
            Ok(())
        })
    }

    fn generation(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move { Ok(self.state().generation) })
    }
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::{Context, Poll, Waker};

    use super::*;
    use crate::approval::{MAX_REMEMBERED_ISSUERS, approval_store_contract};
    use crate::key::KeyId;

    #[test]
    fn keeps_the_contract() {
        let store = MemoryStore::new();
        let mut contract = pin!(approval_store_contract(&store));
        match contract.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.unwrap(),
            Poll::Pending => panic!("a memory store has nothing to wait for"),
        }
        assert!(store.state().approvals.is_empty() && store.state().servers.is_empty());
    }

    #[test]
    fn what_is_remembered_of_a_tool_is_bounded() {
        let mut state = State::default();
        let seen = |issuer: usize| {
            [Seen::new("t", format!("issuer {issuer}"), KeyId::from_bytes([1; 32]), None)]
        };
        for issuer in 0..MAX_REMEMBERED_ISSUERS {
            state.remember("s", &seen(issuer), UnixTime(1)).unwrap();
        }
        let more = state.remember("s", &seen(MAX_REMEMBERED_ISSUERS), UnixTime(1));
        assert!(matches!(more, Err(StoreError::Full { what: "issuers of one tool" })));
        state.remember("s", &seen(0), UnixTime(1)).unwrap();
    }
}
