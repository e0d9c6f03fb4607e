//! Approvals of a gateway that is many nodes, sealed.
//!
//! One hash. Each record is sealed for its name, and one sealed head says which records count, by
//! their digests, and how many writes there have been. So Redis can neither make an approval, nor
//! bring an older one back, nor keep one that was withdrawn, without a node noticing; bringing back
//! the whole store, head and all, is noticed by every node that has seen a newer one. A write names the
//! generation that it was made from, and is made anew when another was faster. Each has a tag beside its
//! number, because a replica that takes over without the last writes counts these numbers a second time: what
//! was seen of the lost ones is never mixed with what came in their place, and a node that saw them notices.
//! What cannot be read for certain is an error, which means: not approved.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use etdi_core::approval::{
    Approval, ApprovalKey, ApprovalStore, CLOCK_TOLERANCE, Listing, Seen, SeenManifest,
    ServerMemory, StoreError,
};
use etdi_core::digest::Digest;
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::Seal;

mod reseal;

/// An [`ApprovalStore`] on Redis. To ask whether anything has changed, or for a record when nothing
/// has, is one round trip; a write is two.
#[derive(Clone)]
pub struct RedisApprovalStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    script: Lua,
    key: String,
    /// The newest head that this node has seen.
    seen: Mutex<Arc<Head>>,
}

/// Which records count.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    generation: u64,
    /// What no other head has, also not one of the same number.
    #[serde(default)]
    tag: u64,
    latest: UnixTime,
    records: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    generation: u64,
    digest: Digest,
}

/// What was read in one step, and what is to be written.
struct Draft {
    before: (u64, u64),
    head: Head,
    found: BTreeMap<String, Vec<u8>>,
    puts: Vec<(String, Vec<u8>)>,
    removes: Vec<String>,
    touched: bool,
}

/// The fields of the generation and its tag.
const VERSION: [&str; 2] = ["generation", "tag"];

const APPROVAL: &str = "a:";
const SERVER: &str = "s:";

/// The most approvals, and the most servers, that a store keeps.
const MOST: usize = 4_096;

/// How often a write is made anew when others are faster.
const ATTEMPTS: usize = 32;

/// A time is written down when it is so many seconds later than the one before.
const CLOCK_STEP: u64 = 3_600;

impl RedisApprovalStore {
    pub(crate) fn new(client: Client, seal: Seal) -> Self {
        let key = client.key("a", "approvals");
        let script = Lua::new(include_str!("scripts/approvals.lua"));
        Self(Arc::new(Inner { client, seal, script, key, seen: Mutex::default() }))
    }
}

fn approval_name(key: &ApprovalKey) -> String {
    format!("{APPROVAL}{}", hidden(&[key.digest().as_bytes()]))
}

fn server_name(server: &str) -> String {
    format!("{SERVER}{}", hidden(&[server.as_bytes()]))
}

fn other(error: RedisError) -> StoreError {
    match error {
        RedisError::Damaged(what) => StoreError::Corrupt { what: what.to_owned() },
        error => StoreError::Other { message: error.to_string() },
    }
}

impl Head {
    fn version(&self) -> (u64, u64) {
        (self.generation, self.tag)
    }
}

impl Draft {
    fn generation(&self) -> u64 {
        self.before.0.saturating_add(1)
    }

    fn compare(&self, name: &str, expected: Option<u64>) -> Result<(), StoreError> {
        let current = self.head.records.get(name).map(|entry| entry.generation);
        if current == expected { Ok(()) } else { Err(StoreError::Conflict { current }) }
    }

    fn put(&mut self, kind: &str, name: String, sealed: Vec<u8>) -> Result<(), StoreError> {
        let entry = Entry { generation: self.generation(), digest: Digest::of_bytes(&sealed) };
        let known = self.head.records.insert(name.clone(), entry).is_some();
        let count = self.head.records.keys().filter(|name| name.starts_with(kind)).count();
        if !known && count > MOST {
            let what = if kind == APPROVAL { "approvals" } else { "servers" };
            return Err(StoreError::Full { what });
        }
        self.puts.push((name, sealed));
        self.touched = true;
        Ok(())
    }

    fn remove(&mut self, name: String) {
        self.head.records.remove(&name);
        self.removes.push(name);
        self.touched = true;
    }
}

impl Inner {
    fn seen(&self) -> Arc<Head> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn counted<T>(&self, done: Result<T, RedisError>) -> Result<T, StoreError> {
        self.client.count(StoreName::Approvals, done).map_err(other)
    }

    fn damaged<T>(&self, what: &'static str) -> Result<T, StoreError> {
        self.counted(Err(RedisError::Damaged(what)))
    }

    /// The fields of the hash, read in one step.
    async fn fields(&self, names: &[&str]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        let mut cmd = redis::cmd("HMGET");
        cmd.arg(&self.key).arg(names);
        let found = self.client.run(StoreName::Approvals, &cmd).await;
        found.map_err(other)
    }

    /// The generation of the store and its tag, which are read first; it is never lower than what was `seen`
    /// before it was asked for, and never another one of the same number.
    fn version(
        &self,
        found: &mut impl Iterator<Item = Option<Vec<u8>>>,
        seen: (u64, u64),
    ) -> Result<(u64, u64), StoreError> {
        let mut number = || match found.next().flatten() {
            None => Some(0),
            Some(text) => std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()),
        };
        let (Some(found), Some(tag)) = (number(), number()) else {
            return self.damaged("the generation of the approvals is no number");
        };
        if found < seen.0 || (found == seen.0 && tag != seen.1) {
            return Err(StoreError::RolledBack { seen: seen.0, found });
        }
        Ok((found, tag))
    }

    fn head(&self, version: (u64, u64), sealed: Option<Vec<u8>>) -> Result<Arc<Head>, StoreError> {
        let Some(sealed) = sealed else {
            return match version.0 {
                0 => Ok(Arc::default()),
                _ => self.damaged("the head of the approvals is gone"),
            };
        };
        let text = self.counted(self.seal.open(&[b"head"], sealed))?;
        let Ok(head) = serde_json::from_slice::<Head>(&text) else {
            return self.damaged("the head of the approvals cannot be read");
        };
        if head.version() != version {
            return self.damaged("the head of the approvals is of another generation");
        }
        let head = Arc::new(head);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.generation <= head.generation {
            *seen = head.clone();
        }
        Ok(head)
    }

    /// The head and some records as they stand together.
    async fn draft(&self, names: &[String]) -> Result<Draft, StoreError> {
        let record = |found: Vec<Option<Vec<u8>>>| -> BTreeMap<String, Vec<u8>> {
            let named = names.iter().cloned().zip(found);
            named.filter_map(|(name, record)| Some((name, record?))).collect()
        };
        let mut head = self.seen();
        let seen = head.version();
        let mut wanted = VERSION.to_vec();
        wanted.extend(names.iter().map(String::as_str));
        let mut found = self.fields(&wanted).await?.into_iter();
        let version = self.version(&mut found, seen)?;
        let mut records: Vec<_> = found.collect();
        if head.version() != version {
            wanted.insert(VERSION.len(), "head");
            let mut found = self.fields(&wanted).await?.into_iter();
            let version = self.version(&mut found, seen)?;
            head = self.head(version, found.next().flatten())?;
            records = found.collect();
        }
        Ok(Draft {
            before: head.version(),
            head: (*head).clone(),
            found: record(records),
            puts: Vec::new(),
            removes: Vec::new(),
            touched: false,
        })
    }

    /// Opens a record, if the head says that it counts.
    fn open<T: DeserializeOwned>(
        &self,
        draft: &Draft,
        name: &str,
    ) -> Result<Option<(u64, T)>, StoreError> {
        let Some(entry) = draft.head.records.get(name) else { return Ok(None) };
        let sealed =
            draft.found.get(name).filter(|sealed| Digest::of_bytes(sealed) == entry.digest);
        let Some(sealed) = sealed else {
            return self.damaged("a record of the approvals is gone, or not the one that counts");
        };
        let text = self.counted(self.seal.open(&[name.as_bytes()], sealed.clone()))?;
        match serde_json::from_slice(&text) {
            Ok(record) => Ok(Some((entry.generation, record))),
            Err(_) => self.damaged("a record of the approvals cannot be read"),
        }
    }

    fn sealed(&self, name: &str, record: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let text = serde_json::to_vec(record);
        let text = text.map_err(|error| StoreError::Other { message: error.to_string() })?;
        self.counted(self.seal.seal(&[name.as_bytes()], &text))
    }

    /// Reads, decides and writes, until nobody else was faster.
    async fn write<T>(
        &self,
        names: &[String],
        mut decide: impl FnMut(&mut Draft) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        for _ in 0..ATTEMPTS {
            let mut draft = self.draft(names).await?;
            let done = decide(&mut draft)?;
            if !draft.touched || self.commit(draft).await? {
                return Ok(done);
            }
        }
        Err(StoreError::Busy)
    }

    async fn commit(&self, mut draft: Draft) -> Result<bool, StoreError> {
        draft.head.generation = draft.generation();
        let mut tag = [0; 8];
        let no_random = |_| RedisError::Config("the system gives no random numbers".to_owned());
        self.counted(SystemRandom::new().fill(&mut tag).map_err(no_random))?;
        draft.head.tag = u64::from_be_bytes(tag);
        let head = self.sealed("head", &draft.head)?;
        let ((before, of_before), (after, of_after)) = (draft.before, draft.head.version());
        let numbers = [before, of_before, after, of_after, draft.puts.len() as u64];
        let numbers = numbers.map(|number| number.to_string());
        let [before, of_before, after, of_after, count] = numbers.each_ref().map(String::as_bytes);
        let mut args = vec![before, of_before, after, of_after, &*head, count];
        for (name, record) in &draft.puts {
            args.extend([name.as_bytes(), record]);
        }
        args.extend(draft.removes.iter().map(String::as_bytes));
        let (client, keys) = (&self.client, [self.key.as_str()]);
        let written = client.script(StoreName::Approvals, &self.script, &keys, &args).await;
        let written: String = written.map_err(other)?;
        if written != "1" {
            return Ok(false);
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.generation < draft.head.generation {
            *seen = Arc::new(draft.head);
        }
        Ok(true)
    }

    /// The approval under a name; it has to be the one of that name, whoever sealed it.
    fn approval(&self, draft: &Draft, name: &str) -> Result<Option<Approval>, StoreError> {
        let Some((generation, mut approval)) = self.open::<Approval>(draft, name)? else {
            return Ok(None);
        };
        if approval_name(&approval.key) != name {
            return self.damaged("a record belongs to another approval");
        }
        approval.generation = generation;
        Ok(Some(approval))
    }

    fn memory(&self, draft: &Draft, server: &str) -> Result<Option<ServerMemory>, StoreError> {
        let found = self.open::<ServerMemory>(draft, &server_name(server))?;
        match found {
            Some((_, memory)) if memory.server != server => {
                self.damaged("a record belongs to another server")
            }
            found => Ok(found.map(|(_, memory)| memory)),
        }
    }

    async fn put_all(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> Result<Vec<Approval>, StoreError> {
        self.write(&[], |draft| {
            let generation = draft.generation();
            let mut stored = Vec::with_capacity(approvals.len());
            for (approval, expected) in &approvals {
                let name = approval_name(&approval.key);
                // One that is there twice has a new generation by the second time.
                draft.compare(&name, *expected)?;
                if draft.puts.iter().any(|(known, _)| *known == name) {
                    return Err(StoreError::Conflict { current: Some(generation) });
                }
                let mut approval = approval.clone();
                approval.generation = generation;
                let sealed = self.sealed(&name, &approval)?;
                draft.put(APPROVAL, name, sealed)?;
                stored.push(approval);
            }
            Ok(stored)
        })
        .await
    }

    /// Adds to what is remembered of a server; `add` says whether anything was new.
    async fn grow(
        &self,
        server: &str,
        add: impl Fn(&mut ServerMemory) -> Result<bool, StoreError>,
    ) -> Result<ServerMemory, StoreError> {
        let name = server_name(server);
        self.write(std::slice::from_ref(&name), |draft| {
            let known = self.memory(draft, server)?;
            let mut memory = known.unwrap_or_else(|| ServerMemory::new(server));
            if add(&mut memory)? {
                draft.put(SERVER, name.clone(), self.sealed(&name, &memory)?)?;
            }
            Ok(memory)
        })
        .await
    }

    async fn list(&self) -> Result<Listing, StoreError> {
        // The names stand in the head; between the two readings another node may have written.
        for _ in 0..ATTEMPTS {
            let known = self.draft(&[]).await?;
            let names = known.head.records.keys().filter(|name| name.starts_with(APPROVAL));
            let names: Vec<_> = names.cloned().collect();
            let draft = self.draft(&names).await?;
            if draft.before != known.before {
                continue;
            }
            let mut listing = Listing::default();
            for name in &names {
                match self.approval(&draft, name) {
                    Ok(approval) => listing.approvals.extend(approval),
                    Err(fault) => listing.faults.push(fault),
                }
            }
            listing.approvals.sort_by(|one, other| one.key.cmp(&other.key));
            return Ok(listing);
        }
        Err(StoreError::Busy)
    }
}

impl ApprovalStore for RedisApprovalStore {
    fn get<'a>(
        &'a self,
        key: &'a ApprovalKey,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>> {
        Box::pin(async move {
            let name = approval_name(key);
            let draft = self.0.draft(std::slice::from_ref(&name)).await?;
            self.0.approval(&draft, &name)
        })
    }

    fn put(
        &self,
        approval: Approval,
        expected: Option<u64>,
    ) -> BoxFuture<'_, Result<Approval, StoreError>> {
        Box::pin(async move {
            let stored = self.0.put_all(vec![(approval, expected)]).await?;
            let nothing = || StoreError::Other { message: "nothing was stored".to_owned() };
            stored.into_iter().next().ok_or_else(nothing)
        })
    }

    fn put_all(
        &self,
        approvals: Vec<(Approval, Option<u64>)>,
    ) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>> {
        Box::pin(self.0.put_all(approvals))
    }

    fn remove<'a>(
        &'a self,
        key: &'a ApprovalKey,
        expected: u64,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let name = approval_name(key);
            let remove = |draft: &mut Draft| {
                draft.compare(&name, Some(expected))?;
                draft.remove(name.clone());
                Ok(())
            };
            self.0.write(&[], remove).await
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Listing, StoreError>> {
        Box::pin(self.0.list())
    }

    fn memory<'a>(
        &'a self,
        server: &'a str,
    ) -> BoxFuture<'a, Result<Option<ServerMemory>, StoreError>> {
        Box::pin(async move {
            let draft = self.0.draft(&[server_name(server)]).await?;
            self.0.memory(&draft, server)
        })
    }

    fn remember<'a>(
        &'a self,
        server: &'a str,
        seen: &'a [Seen],
        now: UnixTime,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        Box::pin(self.0.grow(server, move |memory| memory.add(seen, now)))
    }

    fn remember_manifest<'a>(
        &'a self,
        server: &'a str,
        seen: &'a SeenManifest,
    ) -> BoxFuture<'a, Result<ServerMemory, StoreError>> {
        Box::pin(self.0.grow(server, move |memory| memory.add_manifest(seen)))
    }

    fn forget<'a>(
        &'a self,
        server: &'a str,
        tool: &'a str,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let name = server_name(server);
            let forget = |draft: &mut Draft| {
                let Some(mut memory) = self.0.memory(draft, server)? else { return Ok(false) };
                if !memory.forget(tool) {
                    return Ok(false);
                }
                if memory.is_empty() {
                    draft.remove(name.clone());
                } else {
                    draft.put(SERVER, name.clone(), self.0.sealed(&name, &memory)?)?;
                }
                Ok(true)
            };
            self.0.write(std::slice::from_ref(&name), forget).await
        })
    }

    fn observe(&self, now: UnixTime, exact: bool) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let note = |draft: &mut Draft| {
                let latest = draft.head.latest;
                if now.plus(CLOCK_TOLERANCE) < latest {
                    return Err(StoreError::ClockBack { latest, now });
                }
                if now >= latest.plus(if exact { 1 } else { CLOCK_STEP }) {
                    draft.head.latest = now;
                    draft.touched = true;
                }
                Ok(())
            };
            self.0.write(&[], note).await
        })
    }

    fn generation(&self) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let seen = self.0.seen().version();
            let found = self.0.fields(&VERSION).await?;
            Ok(self.0.version(&mut found.into_iter(), seen)?.0)
        })
    }
}

impl std::fmt::Debug for RedisApprovalStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisApprovalStore")
    }
}
