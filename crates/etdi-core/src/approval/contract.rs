//! What every [`ApprovalStore`] must do, as a function that any store's tests can call.

use core::future::poll_fn;
use core::task::Poll;
use std::collections::BTreeSet;

use mcp_types::BoxFuture;
use serde_json::json;

use super::{
    Approval, ApprovalKey, ApprovalStore, CLOCK_TOLERANCE, Granted, Pin, Reason, Seen,
    SeenManifest, SignedBy, StoreError, Withdrawn,
};
use crate::digest::Digest;
use crate::key::KeyId;
use crate::level::SecurityLevel;
use crate::time::UnixTime;
use crate::wire::CallConstraints;

/// A clause of the contract that a store does not keep.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContractFailure {
    /// The store did something else.
    #[error("an approval store must {clause}; this one gave {found}")]
    Broken {
        /// What it must do.
        clause: &'static str,
        /// What it did.
        found: String,
    },
    /// The store failed where it must not.
    #[error("an approval store must {clause}; this one failed")]
    Failed {
        /// What it must do.
        clause: &'static str,
        /// How it failed.
        #[source]
        source: StoreError,
    },
}

/// Holds a store to the contract of [`ApprovalStore`].
///
/// Needs no runtime of its own. Wants a store that has seen no time yet. Uses servers whose identity starts with `contract:` and leaves
/// nothing behind when the contract is kept.
///
/// ```
/// use core::pin::pin;
/// use core::task::{Context, Poll, Waker};
///
/// use etdi_core::approval::{MemoryStore, approval_store_contract};
///
/// let store = MemoryStore::new();
/// let kept = pin!(approval_store_contract(&store)).poll(&mut Context::from_waker(Waker::noop()));
/// assert!(matches!(kept, Poll::Ready(Ok(()))));
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn approval_store_contract(store: &dyn ApprovalStore) -> Result<(), ContractFailure> {
    let contract = Contract { store };
    contract.compare_and_set().await?;
    contract.several_are_one_write().await?;
    contract.one_writer_wins().await?;
    contract.keys_are_apart().await?;
    contract.records_survive_whole().await?;
    contract.time_goes_on().await?;
    contract.memory_outlives_approvals().await?;
    contract.counters_only_rise().await
}

struct Contract<'a> {
    store: &'a dyn ApprovalStore,
}

pub(super) const NOW: UnixTime = UnixTime(1_767_323_045);

/// An approval as stored records look; no check ever sees it.
pub(super) fn sample(key: &ApprovalKey) -> Approval {
    let definition = json!({"name": key.tool, "inputSchema": {"type": "object"}}).to_string();
    let attestations = vec![Digest::of_bytes(b"attestation")];
    Approval {
        key: key.clone(),
        digest: Digest::of_bytes(definition.as_bytes()),
        definition,
        version: None,
        signed_by: key.issuer.as_ref().map(|_| SignedBy::new(kid(), attestations)),
        granted: Granted::All,
        constraints: None,
        pin: None,
        level: SecurityLevel::Enhanced,
        approver: "tester".to_owned(),
        approved_at: NOW,
        expires_at: None,
        reason: Reason::NotApproved,
        note: None,
        always_ask: false,
        carried: None,
        withdrawn: None,
        generation: 0,
    }
}

pub(super) fn kid() -> KeyId {
    KeyId::from_bytes([7; 32])
}

fn key(tool: &str) -> ApprovalKey {
    ApprovalKey::new("contract:a", Some("https://acme.example".to_owned()), tool)
}

pub(super) fn broken<T>(
    clause: &'static str,
    found: &impl core::fmt::Debug,
) -> Result<T, ContractFailure> {
    Err(ContractFailure::Broken { clause, found: format!("{found:?}") })
}

pub(super) fn check<T: PartialEq + core::fmt::Debug>(
    clause: &'static str,
    found: &T,
    wanted: &T,
) -> Result<(), ContractFailure> {
    if found == wanted { Ok(()) } else { broken(clause, found) }
}

pub(super) fn conflict<T: core::fmt::Debug>(
    clause: &'static str,
    result: Result<T, StoreError>,
    wanted: Option<u64>,
) -> Result<(), ContractFailure> {
    match result {
        Err(StoreError::Conflict { current }) if current == wanted => Ok(()),
        other => broken(clause, &other),
    }
}

pub(super) trait Must<T> {
    fn must(self, clause: &'static str) -> Result<T, ContractFailure>;
}

impl<T> Must<T> for Result<T, StoreError> {
    fn must(self, clause: &'static str) -> Result<T, ContractFailure> {
        self.map_err(|source| ContractFailure::Failed { clause, source })
    }
}

impl Contract<'_> {
    async fn compare_and_set(&self) -> Result<(), ContractFailure> {
        const PUT: &str = "store the first approval under a key and give it back";
        let key = key("cas");
        let none = self.store.get(&key).await.must("answer for an unknown key")?;
        check("have nothing under an unknown key", &none, &None)?;
        let early = self.store.put(sample(&key), Some(1)).await;
        conflict("refuse to replace what is not there", early, None)?;

        let first = self.store.put(sample(&key), None).await.must(PUT)?;
        if first.generation == 0 {
            return broken("count generations from 1", &first.generation);
        }
        let stored = self.store.get(&key).await.must(PUT)?;
        check(PUT, &stored, &Some(first.clone()))?;
        check(PUT, &Approval { generation: 0, ..first.clone() }, &sample(&key))?;

        let mut other = sample(&key);
        other.granted = Granted::Unasked;
        let again = self.store.put(other.clone(), None).await;
        conflict("refuse a first write where one was", again, Some(first.generation))?;
        let stale = self.store.put(other.clone(), Some(first.generation + 1)).await;
        conflict("refuse a generation that is not the stored one", stale, Some(first.generation))?;
        let stored = self.store.get(&key).await.must(PUT)?;
        check("keep what was stored when a write is lost", &stored, &Some(first.clone()))?;

        const REPLACE: &str = "replace the generation that the writer saw";
        let before = self.store.generation().await.must(REPLACE)?;
        let second = self.store.put(other, Some(first.generation)).await.must(REPLACE)?;
        check(REPLACE, &second.granted, &Granted::Unasked)?;
        if second.generation <= first.generation {
            return broken("give each write a greater generation", &second.generation);
        }
        if self.store.generation().await.must(REPLACE)? <= before {
            return broken("let its own generation grow with each write", &before);
        }

        const REMOVE: &str = "remove the generation that the writer saw";
        let stale = self.store.remove(&key, first.generation).await;
        conflict("refuse to remove another generation", stale, Some(second.generation))?;
        self.store.remove(&key, second.generation).await.must(REMOVE)?;
        check(REMOVE, &self.store.get(&key).await.must(REMOVE)?, &None)?;
        let twice = self.store.remove(&key, second.generation).await;
        conflict("say that nothing is left to remove", twice, None)?;

        let third = self.store.put(sample(&key), None).await.must(PUT)?;
        if third.generation <= second.generation {
            return broken("never use a generation again after a removal", &third.generation);
        }
        self.store.remove(&key, third.generation).await.must(REMOVE)
    }

    async fn several_are_one_write(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "store several approvals in one write";
        const NONE: &str = "store none of several approvals when one of them is refused";
        let (one, two, three) = (key("several 1"), key("several 2"), key("several 3"));
        let first = self.store.put(sample(&one), None).await.must(CLAUSE)?;
        let before = self.store.generation().await.must(CLAUSE)?;
        let stale = vec![(sample(&two), None), (sample(&one), Some(first.generation + 1))];
        conflict(NONE, self.store.put_all(stale).await, Some(first.generation))?;
        let twice = vec![(sample(&two), None), (sample(&two), None)];
        match self.store.put_all(twice).await {
            Err(StoreError::Conflict { .. }) => {}
            other => return broken("refuse the same approval twice in one write", &other),
        }
        check(NONE, &self.store.get(&two).await.must(NONE)?, &None)?;
        check(NONE, &self.store.get(&one).await.must(NONE)?, &Some(first.clone()))?;
        check(NONE, &self.store.generation().await.must(NONE)?, &before)?;

        let changed = Approval { granted: Granted::Unasked, ..sample(&one) };
        let several = vec![
            (changed.clone(), Some(first.generation)),
            (sample(&two), None),
            (sample(&three), None),
        ];
        let wanted = [changed, sample(&two), sample(&three)];
        let stored = self.store.put_all(several).await.must(CLAUSE)?;
        check(CLAUSE, &stored.len(), &wanted.len())?;
        for (stored, wanted) in stored.iter().zip(wanted) {
            if stored.generation <= first.generation {
                return broken("give each write a greater generation", &stored.generation);
            }
            check(CLAUSE, stored, &Approval { generation: stored.generation, ..wanted })?;
            let found = self.store.get(&stored.key).await.must(CLAUSE)?;
            check(CLAUSE, &found.as_ref(), &Some(stored))?;
        }
        if self.store.generation().await.must(CLAUSE)? <= before {
            return broken("let its own generation grow with each write", &before);
        }
        check(CLAUSE, &self.store.put_all(Vec::new()).await.must(CLAUSE)?, &Vec::new())?;
        for stored in &stored {
            self.store.remove(&stored.key, stored.generation).await.must(CLAUSE)?;
        }
        Ok(())
    }

    async fn one_writer_wins(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "let exactly one of several writers win who saw the same generation";
        let key = key("race");
        let first = self.store.put(sample(&key), None).await.must(CLAUSE)?;
        let writes = (0..8).map(|writer| {
            let approval = Approval { approver: format!("writer {writer}"), ..sample(&key) };
            self.store.put(approval, Some(first.generation))
        });
        let results = all(writes.collect()).await;
        let mut winners: Vec<Approval> = Vec::new();
        for result in results {
            match result {
                Ok(approval) => winners.push(approval),
                Err(StoreError::Conflict { .. }) => {}
                Err(source) => return Err(ContractFailure::Failed { clause: CLAUSE, source }),
            }
        }
        let stored = self.store.get(&key).await.must(CLAUSE)?;
        let [winner] = winners.as_slice() else { return broken(CLAUSE, &winners.len()) };
        check(CLAUSE, &stored.as_ref(), &Some(winner))?;
        self.store.remove(&key, winner.generation).await.must(CLAUSE)
    }

    async fn keys_are_apart(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "keep approvals apart that differ in server, issuer or name alone";
        let some = |issuer: &str| Some(issuer.to_owned());
        let keys = [
            ApprovalKey::new("contract:a", None, "t"),
            ApprovalKey::new("contract:a", some(""), "t"),
            ApprovalKey::new("contract:a", some("t"), ""),
            ApprovalKey::new("contract:a", some("b"), "t"),
            ApprovalKey::new("contract:a", some("b"), "T"),
            ApprovalKey::new("contract:b", some("b"), "t"),
            ApprovalKey::new("contract:ab", some(""), "t"),
            ApprovalKey::new("contract:a/b", some("../c"), "a\0b\n"),
            ApprovalKey::new("contract:a/b", some(".."), "/c\0a\u{202e}"),
        ];
        let mut stored = Vec::new();
        for key in &keys {
            stored.push(self.store.put(sample(key), None).await.must(CLAUSE)?);
        }
        for (key, wanted) in keys.iter().zip(&stored) {
            let found = self.store.get(key).await.must(CLAUSE)?;
            check(CLAUSE, &found.as_ref(), &Some(wanted))?;
        }
        const LIST: &str = "list all approvals, ordered by key";
        let listing = self.store.list().await.must(LIST)?;
        let ours: Vec<_> = listing
            .approvals
            .iter()
            .filter(|one| one.key.server.starts_with("contract:"))
            .collect();
        let mut wanted: Vec<_> = stored.iter().collect();
        wanted.sort_by(|a, b| a.key.cmp(&b.key));
        check(LIST, &ours, &wanted)?;
        for approval in &stored {
            self.store.remove(&approval.key, approval.generation).await.must(CLAUSE)?;
        }
        Ok(())
    }

    async fn records_survive_whole(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "keep every member of an approval, and tell the grants apart";
        let key = key("whole");
        let one = BTreeSet::from(["notes:read".to_owned()]);
        let grants =
            [Granted::Unasked, Granted::All, Granted::Only(BTreeSet::new()), Granted::Only(one)];
        let mut expected = None;
        for granted in grants {
            let mut approval =
                Approval { granted, note: Some("é\u{1f600}\"\\".into()), ..sample(&key) };
            approval.expires_at = Some(NOW.plus(60));
            approval.constraints = Some(CallConstraints {
                max_depth: Some(2),
                allowed_callees: Some(Vec::new()),
                ..Default::default()
            });
            approval.version = Some("1.0.0".into());
            approval.withdrawn = Some(Withdrawn::new(NOW, "tester"));
            let argv = vec!["notes".into(), "--quiet".into(), "\u{7f}".into()];
            let mut pin = Pin::new("/usr/bin/notes", Digest::of_bytes(b"notes"), argv);
            pin.files.insert("script.py".into(), Digest::of_bytes(b"script"));
            approval.pin = Some(pin);
            let stored = self.store.put(approval.clone(), expected).await.must(CLAUSE)?;
            expected = Some(stored.generation);
            let found = self.store.get(&key).await.must(CLAUSE)?;
            let wanted = Approval { generation: stored.generation, ..approval };
            check(CLAUSE, &found, &Some(wanted))?;
        }
        match expected {
            Some(generation) => self.store.remove(&key, generation).await.must(CLAUSE),
            None => Ok(()),
        }
    }

    async fn time_goes_on(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "refuse a clock that went back, and nothing else";
        for exact in [true, false] {
            self.store.observe(NOW, exact).await.must(CLAUSE)?;
            self.store.observe(NOW.minus(CLOCK_TOLERANCE), exact).await.must(CLAUSE)?;
        }
        match self.store.observe(NOW.minus(CLOCK_TOLERANCE + 1), false).await {
            Err(StoreError::ClockBack { latest: NOW, .. }) => Ok(()),
            other => broken(CLAUSE, &other),
        }
    }

    async fn memory_outlives_approvals(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "remember that a tool was signed, whatever becomes of its approval";
        const SERVER: &str = "contract:memory";
        let key = ApprovalKey::new(SERVER, Some("iss".to_owned()), "t");
        let none = self.store.memory(SERVER).await.must(CLAUSE)?;
        check("remember nothing of an unknown server", &none, &None)?;
        let seen =
            |issuer: &str, version: &str| Seen::new("t", issuer, kid(), Some(version.into()));

        let approval = self.store.put(sample(&key), None).await.must(CLAUSE)?;
        self.store.remember(SERVER, &[seen("iss", "1.2.0")], NOW).await.must(CLAUSE)?;
        self.store.remove(&key, approval.generation).await.must(CLAUSE)?;
        let later = NOW.plus(5);
        let both = [seen("iss", "1.10.0"), seen("other", "0.1.0")];
        self.store.remember(SERVER, &both, later).await.must(CLAUSE)?;
        let lower = [seen("iss", "1.9.0")];
        let given = self.store.remember(SERVER, &lower, later).await.must(CLAUSE)?;
        let memory = self.store.memory(SERVER).await.must(CLAUSE)?;
        check("give back what it remembers", &memory.as_ref(), &Some(&given))?;
        let issuers = given.tools.get("t");
        let found: Vec<_> = issuers
            .into_iter()
            .flatten()
            .map(|(issuer, seen)| (issuer.as_str(), seen.version.as_deref(), seen.since))
            .collect();
        let wanted = vec![("iss", Some("1.10.0"), NOW), ("other", Some("0.1.0"), later)];
        check("remember the first time and the highest version of each issuer", &found, &wanted)?;

        const FORGET: &str = "forget a tool when an operator says so";
        let before = self.store.generation().await.must(FORGET)?;
        self.store.remember(SERVER, &lower, later).await.must(FORGET)?;
        let same = self.store.generation().await.must(FORGET)?;
        check("write nothing when nothing is new", &same, &before)?;
        check(FORGET, &self.store.forget(SERVER, "t").await.must(FORGET)?, &true)?;
        check(FORGET, &self.store.forget(SERVER, "t").await.must(FORGET)?, &false)?;
        let memory = self.store.memory(SERVER).await.must(FORGET)?;
        check(FORGET, &memory.is_some_and(|memory| memory.tools.contains_key("t")), &false)
    }
}

impl Contract<'_> {
    async fn counters_only_rise(&self) -> Result<(), ContractFailure> {
        const CLAUSE: &str = "remember the highest manifest of each issuer, and its first contents";
        const SERVER: &str = "contract:manifests";
        let seen = |issuer: &str, seq, contents: &str| {
            SeenManifest::new(issuer, seq, Digest::of_bytes(contents.as_bytes()), NOW)
        };
        for one in [seen("a", 2, "two"), seen("b", 9, "nine"), seen("a", 1, "one")] {
            self.store.remember_manifest(SERVER, &one).await.must(CLAUSE)?;
        }
        let before = self.store.generation().await.must(CLAUSE)?;
        self.store.remember_manifest(SERVER, &seen("a", 2, "other")).await.must(CLAUSE)?;
        check(CLAUSE, &self.store.generation().await.must(CLAUSE)?, &before)?;
        let memory = self.store.memory(SERVER).await.must(CLAUSE)?.unwrap_or_default();
        let found: Vec<_> = memory.manifests.into_values().collect();
        check(CLAUSE, &found, &vec![seen("a", 2, "two"), seen("b", 9, "nine")])?;
        let third =
            self.store.remember_manifest(SERVER, &seen("a", 3, "three")).await.must(CLAUSE)?;
        check(CLAUSE, &third.manifests.get("a").map(|one| one.seq), &Some(3))?;
        const FORGET: &str = "forget the manifests of a server when an operator says so";
        check(FORGET, &self.store.forget(SERVER, "").await.must(FORGET)?, &true)?;
        check(FORGET, &self.store.memory(SERVER).await.must(FORGET)?, &None)
    }
}

/// Polls all futures until each is done; they share the task's waker.
pub(super) async fn all<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (Some(future), None)).collect();
    poll_fn(|cx| {
        for (slot, done) in &mut running {
            let Some(future) = slot else { continue };
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                (*slot, *done) = (None, Some(value));
            }
        }
        if running.iter().all(|(slot, _)| slot.is_none()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}
