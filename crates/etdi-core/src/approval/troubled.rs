//! A store for tests that fails, or is written by somebody else, when it is used.

use mcp_types::BoxFuture;

use super::{
    Approval, ApprovalKey, ApprovalStore, Listing, MemoryStore, Seen, SeenManifest, ServerMemory,
    StoreError,
};
use crate::time::UnixTime;

/// A store in which something goes wrong, or somebody else writes, at each use.
pub(crate) struct Troubled<F> {
    pub(crate) inner: MemoryStore,
    pub(crate) trouble: F,
}

/// What is about to be written.
#[derive(Clone, Copy)]
pub(crate) enum Use<'a> {
    Approval(&'a Approval),
    Manifest(&'a str, &'a SeenManifest),
}

impl<F: Fn(&MemoryStore, Use<'_>) -> Option<StoreError> + Send + Sync> ApprovalStore
    for Troubled<F>
{
    fn get<'a>(
        &'a self,
        key: &'a ApprovalKey,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>> {
        self.inner.get(key)
    }

    fn put(
        &self,
        approval: Approval,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<Approval, StoreError>> {
        match (self.trouble)(&self.inner, Use::Approval(&approval)) {
            Some(error) => Box::pin(core::future::ready(Err(error))),
            None => self.inner.put(approval, expected),
        }
    }

    fn put_all(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>> {
        let trouble = |approval| (self.trouble)(&self.inner, Use::Approval(approval));
        match approvals.iter().find_map(|(approval, _)| trouble(approval)) {
            Some(error) => Box::pin(core::future::ready(Err(error))),
            None => self.inner.put_all(approvals),
        }
    }

    fn remove<'a>(
        &'a self,
        key: &'a ApprovalKey,
        expected: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.inner.remove(key, expected)
    }

    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        self.inner.list()
    }

    fn memory<'a>(
        &'a self,
        server: &'a str,
    ) -> BoxFuture<'a, Result<Option<ServerMemory>, StoreError>> {
        self.inner.memory(server)
    }

    fn remember<'a>(
        &'a self,
        server: &'a str,
        seen: &'a [Seen],
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        self.inner.remember(server, seen, now)
    }

    fn remember_manifest<'a>(
        &'a self,
        server: &'a str,
        seen: &'a SeenManifest,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        match (self.trouble)(&self.inner, Use::Manifest(server, seen)) {
            Some(error) => Box::pin(core::future::ready(Err(error))),
            None => self.inner.remember_manifest(server, seen),
        }
    }

    fn forget<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        self.inner.forget(server, tool)
    }

    fn observe(&self, now: UnixTime, exact: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.observe(now, exact)
    }

    fn generation(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        self.inner.generation()
    }
}
