//! Changes that one node announces and the clients of all nodes hear of.
//!
//! Each node writes what it announces to one stream and looks four times a second for what others
//! wrote. Changes are numbered: where one is missing, or Redis was away, a node tells its clients that
//! everything may have changed. So a client is at times told too much, and never too little.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_server::{Change, ChangeRelay, Changes};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::client::{Client, Lua};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::Seal;

/// Ties the changes of one server on this node to those on all others, until it is dropped.
#[derive(Debug)]
#[must_use = "dropping it cuts the node off from the changes of others"]
pub struct ChangeLink {
    reader: JoinHandle<()>,
    writer: JoinHandle<()>,
}

impl Drop for ChangeLink {
    fn drop(&mut self) {
        self.reader.abort();
        self.writer.abort();
    }
}

struct Link {
    client: Client,
    seal: Seal,
    script: Lua,
    keys: [String; 2],
    /// Which node wrote a change: ours we have told already.
    node: u64,
    pending: Mutex<BTreeSet<Change>>,
    notify: Notify,
}

/// A change as it lies in Redis, under seal.
#[derive(Serialize, Deserialize)]
struct Written {
    node: u64,
    kind: Kind,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    uri: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Everything,
    Tools,
    Prompts,
    Resources,
    Resource,
}

/// How often a node looks, and how long it waits after a failure.
const PAUSE: Duration = Duration::from_millis(250);

/// How many changes wait to be written; beyond that all may have changed.
const MOST_PENDING: usize = 1_024;

/// How many are written or read at once.
const AT_ONCE: usize = 256;

/// How many Redis keeps, and for how long after the last one.
const KEPT: &str = "4096";
const AGE: &str = "3600000";

type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

pub(crate) async fn link(
    client: Client,
    seal: Seal,
    changes: &Changes,
) -> Result<ChangeLink, RedisError> {
    let mut node = [0; 8];
    let random = SystemRandom::new().fill(&mut node);
    random.map_err(|_| RedisError::Config("the system gives no random numbers".to_owned()))?;
    let link = Arc::new(Link {
        keys: [client.key("c", "changes"), client.key("c", "count")],
        client,
        seal,
        script: Lua::new(include_str!("scripts/change.lua")),
        node: u64::from_be_bytes(node),
        pending: Mutex::default(),
        notify: Notify::new(),
    });
    let from = link.newest().await?;
    changes.relay(link.clone());
    let reader = tokio::spawn(link.clone().read(changes.clone(), from));
    let writer = tokio::spawn(link.write());
    Ok(ChangeLink { reader, writer })
}

/// Up to where a node has read: the place in the stream, and the number there.
struct Read {
    place: String,
    number: u64,
}

impl ChangeRelay for Link {
    fn announced(&self, change: Change) {
        let mut pending = self.pending();
        if pending.len() >= MOST_PENDING {
            pending.clear();
            pending.insert(Change::Everything);
        } else if !pending.contains(&Change::Everything) {
            pending.insert(change);
        }
        drop(pending);
        self.notify.notify_one();
    }
}

impl Link {
    fn pending(&self) -> MutexGuard<'_, BTreeSet<Change>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn newest(&self) -> Result<Read, RedisError> {
        let mut cmd = redis::cmd("XREVRANGE");
        cmd.arg(&self.keys[0]).arg("+").arg("-").arg("COUNT").arg(1);
        let found: Entries = self.client.run(StoreName::Changes, &cmd).await?;
        let newest = found.into_iter().next();
        Ok(newest.map_or(Read { place: "0-0".to_owned(), number: 0 }, |(place, fields)| Read {
            number: number(&fields).unwrap_or(0),
            place,
        }))
    }

    async fn write(self: Arc<Self>) {
        loop {
            // Taken out before it is written: what changes again meanwhile is told again.
            let batch: Vec<_> = {
                let mut pending = self.pending();
                std::iter::from_fn(|| pending.pop_first()).take(AT_ONCE).collect()
            };
            if batch.is_empty() {
                self.notify.notified().await;
                continue;
            }
            if self.publish(&batch).await.is_err() {
                batch.into_iter().for_each(|change| self.announced(change));
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn publish(&self, batch: &[Change]) -> Result<(), RedisError> {
        let sealed: Result<Vec<_>, _> = batch.iter().map(|change| self.sealed(change)).collect();
        let sealed = sealed?;
        let mut args: Vec<&[u8]> = vec![AGE.as_bytes(), KEPT.as_bytes()];
        args.extend(sealed.iter().map(Vec::as_slice));
        let keys = self.keys.each_ref().map(String::as_str);
        let _: u64 = self.client.script(StoreName::Changes, &self.script, &keys, &args).await?;
        Ok(())
    }

    fn sealed(&self, change: &Change) -> Result<Vec<u8>, RedisError> {
        let (kind, uri) = match change {
            Change::Tools => (Kind::Tools, ""),
            Change::Prompts => (Kind::Prompts, ""),
            Change::Resources => (Kind::Resources, ""),
            Change::Resource(uri) => (Kind::Resource, uri.as_str()),
            // A kind that this version does not know may be anything.
            _ => (Kind::Everything, ""),
        };
        let written = Written { node: self.node, kind, uri: uri.to_owned() };
        let damaged = |_| RedisError::Damaged("a change cannot be written");
        self.seal.seal(&[], &serde_json::to_vec(&written).map_err(damaged)?)
    }

    fn opened(&self, sealed: Vec<u8>) -> Result<Written, RedisError> {
        let text = self.seal.open(&[], sealed)?;
        serde_json::from_slice(&text).map_err(|_| RedisError::Damaged("a change cannot be read"))
    }

    async fn read(self: Arc<Self>, changes: Changes, mut from: Read) {
        let mut was_away = false;
        loop {
            tokio::time::sleep(PAUSE).await;
            match self.look(&changes, &mut from).await {
                Ok(()) if was_away => {
                    was_away = false;
                    // What was written and lost while Redis was away, nobody knows.
                    changes.hear(&Change::Everything);
                }
                Ok(()) => {}
                Err(_) => was_away = true,
            }
        }
    }

    async fn look(&self, changes: &Changes, from: &mut Read) -> Result<(), RedisError> {
        loop {
            let mut cmd = redis::cmd("XRANGE");
            cmd.arg(&self.keys[0]).arg(format!("({}", from.place)).arg("+");
            cmd.arg("COUNT").arg(AT_ONCE);
            let found: Entries = self.client.run(StoreName::Changes, &cmd).await?;
            let count = found.len();
            for (place, fields) in found {
                let number = number(&fields);
                let whole = number == Some(from.number.saturating_add(1));
                *from = Read { place, number: number.unwrap_or(0) };
                if !whole {
                    changes.hear(&Change::Everything);
                    continue;
                }
                let sealed = fields.into_iter().find(|(name, _)| name == "c");
                let opened = self.opened(sealed.map(|(_, sealed)| sealed).unwrap_or_default());
                match self.client.count(StoreName::Changes, opened) {
                    Ok(written) if written.node == self.node => {}
                    Ok(written) => changes.hear(&match written.kind {
                        Kind::Everything => Change::Everything,
                        Kind::Tools => Change::Tools,
                        Kind::Prompts => Change::Prompts,
                        Kind::Resources => Change::Resources,
                        Kind::Resource => Change::Resource(written.uri),
                    }),
                    Err(_) => changes.hear(&Change::Everything),
                }
            }
            if count < AT_ONCE {
                return Ok(());
            }
        }
    }
}

fn number(fields: &[(String, Vec<u8>)]) -> Option<u64> {
    let (_, text) = fields.iter().find(|(name, _)| name == "n")?;
    std::str::from_utf8(text).ok()?.parse().ok()
}
