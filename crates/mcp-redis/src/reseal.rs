//! Sealing anew what does not end by itself, so that a secret can be dropped.
//!
//! What expires is sealed with the newest secret when it is written, and what is asked for again and again
//! (sessions, tokens) when it is read. Approvals, revocations, the state of an authorization server and tasks
//! stay as they were written; these are gone through here, in steps that each write only over what they have
//! read. So no write of another node is lost, and whoever broke off begins again.

use crate::client::{Client, Lua};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::{Age, Seal};
use crate::stores::RedisStores;

/// What became of the records of one store; from [`RedisStores::reseal`].
#[derive(Debug)]
#[non_exhaustive]
pub struct Resealed {
    /// Which store.
    pub store: StoreName,
    /// How many records were sealed anew.
    pub resealed: u64,
    /// How many could not be opened, and are as they were: of a secret that this node does not have, or damaged.
    pub unreadable: u64,
    /// Of these, names of fields that no head names, at most eight: nobody of this server has written them, nobody reads
    /// them, and `HDEL` of the key `PREFIX:1:{a}:approvals` takes them out. Of approvals alone.
    pub strays: Vec<String>,
    /// Why the store was not gone through to its end. What was sealed anew before stays so.
    pub error: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// Under which secrets the records of one store lie; from [`RedisStores::seals`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Seals {
    /// Which store.
    pub store: StoreName,
    /// How many are under the secret that seals.
    pub newest: u64,
    /// How many are under one that also opens.
    pub earlier: u64,
    /// How many are under none that this node has, or are no records.
    pub unknown: u64,
}

/// How many records one store had sealed anew, and how many did not open.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) resealed: u64,
    pub(crate) unreadable: u64,
    pub(crate) strays: Vec<String>,
}

impl Tally {
    /// Counts a field that no head names.
    pub(crate) fn stray(&mut self, field: &[u8]) {
        self.unreadable += 1;
        if self.strays.len() < MOST_STRAYS {
            let name = String::from_utf8_lossy(field);
            self.strays.push(name.chars().take(LONGEST_STRAY).collect());
        }
    }
}

/// How many of them are named, and with how many letters each.
const MOST_STRAYS: usize = 8;
const LONGEST_STRAY: usize = 128;

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.resealed += more.resealed;
        self.unreadable += more.unreadable;
        self.strays.extend(more.strays);
    }
}

/// How many records, and bytes of them, are written in one step.
const AT_ONCE: usize = 64;
const BYTES: usize = 1 << 20;

/// How many pages of a hash are read at most. Each looks at some 64 records and may give none; no store keeps so many.
const MOST_PAGES: usize = 1 << 20;

impl RedisStores {
    /// Seals anew with the newest secret what lies under one that [`also_opens`](crate::ClusterSecret::also_opens)
    /// and does not end by itself: approvals, revocations, the state of an authorization server (with the feature
    /// `oauth`), and tasks. For the round of a change of the secret after which all nodes seal with the new one; from
    /// any node, or from the example `reseal`, while the nodes work.
    ///
    /// Each step writes only over what it has read, so what another node writes meanwhile counts, and whoever breaks off
    /// calls it again. It goes on with the next store where one fails. Records are what they were: who holds the
    /// version of an approval or a task holds it still, and nodes read approvals and revocations once more. It takes
    /// memory for 64 records at a time (512 of approvals), and does not wait in between.
    ///
    /// It is for the time when the nodes seal with the secret that these stores seal with, which the node that started
    /// last has noted. Before that, or with the two secrets swapped, it would take from the nodes what they do not
    /// open, and is refused. It cannot see a node of an earlier round that was never started again: let none be left.
    ///
    /// A secret that others know is not mended by this: what they may have sealed with it is sealed anew as well.
    /// Give approvals and the rest anew then, under another prefix.
    ///
    /// ```no_run
    /// # async fn example(url: &str, new: mcp_redis::ClusterSecret, old: mcp_redis::ClusterSecret)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use mcp_redis::{Address, RedisStores};
    ///
    /// let stores = RedisStores::builder(Address::one(url), new.also_opens(&old));
    /// let stores = stores.beside_nodes().connect().await?;
    /// for done in stores.reseal().await? {
    ///     println!("{}: {} anew, {} do not open", done.store.name(), done.resealed, done.unreadable);
    /// }
    /// let left = stores.seals().await?.iter().map(|store| store.earlier + store.unknown).sum::<u64>();
    /// assert_eq!(left, 0, "something is still under another secret");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RedisError::SecretAhead`] where the nodes seal with another secret, [`RedisError::Config`] where no node has
    /// started, or another when Redis cannot be asked that. Nothing was written then.
    pub async fn reseal(&self) -> Result<Vec<Resealed>, RedisError> {
        self.seal_as_nodes().await?;
        type Failed = Box<dyn std::error::Error + Send + Sync>;
        let mut all = Vec::new();
        let mut note = |store, (tally, done): (Tally, Result<(), Failed>)| {
            let Tally { resealed, unreadable, strays } = tally;
            all.push(Resealed { store, resealed, unreadable, strays, error: done.err() });
        };
        macro_rules! reseal {
            ($name:ident, $store:expr) => {{
                let mut tally = Tally::default();
                let done = match $store {
                    Ok(store) => store.reseal(&mut tally).await.map_err(Failed::from),
                    Err(error) => Err(error.into()),
                };
                note(StoreName::$name, (tally, done));
            }};
        }
        reseal!(Approvals, self.approvals());
        reseal!(Revocations, self.revocations());
        reseal!(Tasks, self.tasks());
        #[cfg(feature = "oauth")]
        reseal!(Authorization, self.unmarked_authorization());
        Ok(all)
    }

    /// Under which secrets the records of these stores lie: approvals, revocations, tasks and the state of an
    /// authorization server. Once nothing of them is `earlier` or `unknown`, and the times are over after which all
    /// else is gone or was sealed anew (`docs/deploy.md`), the old secret opens nothing any more and can be dropped.
    /// It changes nothing, and reads no record.
    ///
    /// # Errors
    ///
    /// [`RedisError`] when Redis cannot be asked.
    pub async fn seals(&self) -> Result<Vec<Seals>, RedisError> {
        let seal = self.any_seal()?;
        let mut all = Vec::new();
        for store in [
            StoreName::Approvals,
            StoreName::Revocations,
            StoreName::Tasks,
            StoreName::Authorization,
        ] {
            let mut found = Seals { store, newest: 0, earlier: 0, unknown: 0 };
            for key in keys(self.client(), store) {
                let mut pages = Pages::new(self.client(), store, &key);
                while let Some(page) = pages.next().await? {
                    for (field, value) in &page {
                        let Some(sealed) = sealed(store, field, value) else { continue };
                        *match seal.age(sealed) {
                            Age::Newest => &mut found.newest,
                            Age::Earlier => &mut found.earlier,
                            Age::Unknown => &mut found.unknown,
                        } += 1;
                    }
                }
            }
            all.push(found);
        }
        Ok(all)
    }
}

/// The hashes of a store in which something is sealed.
fn keys(client: &Client, store: StoreName) -> Vec<String> {
    match store {
        StoreName::Approvals => vec![client.key("a", "approvals")],
        StoreName::Revocations => vec![client.key("v", "revocations")],
        StoreName::Tasks => vec![client.key("t", "bodies"), client.key("t", "sealed")],
        StoreName::Authorization => {
            (0..4).map(|kind| client.key(&format!("o{kind}"), "records")).collect()
        }
        _ => Vec::new(),
    }
}

/// What of a value is sealed; `None` for a field that lies open.
fn sealed<'a>(store: StoreName, field: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    match store {
        StoreName::Approvals => (!matches!(field, b"generation" | b"tag")).then_some(value),
        StoreName::Revocations => (field == b"text").then_some(value),
        // Its end stands before a record.
        StoreName::Authorization => {
            let space = value.iter().position(|byte| *byte == b' ');
            Some(space.and_then(|space| value.get(space + 1..)).unwrap_or_default())
        }
        _ => Some(value),
    }
}

type Page = Vec<(Vec<u8>, Vec<u8>)>;

/// The fields of a hash with the beginnings of their values, page by page.
pub(crate) struct Pages<'a> {
    client: &'a Client,
    store: StoreName,
    key: &'a str,
    script: Lua,
    cursor: Option<Vec<u8>>,
    count: usize,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(client: &'a Client, store: StoreName, key: &'a str) -> Self {
        let script = Lua::new(include_str!("scripts/seals.lua"));
        Self { client, store, key, script, cursor: Some(b"0".to_vec()), count: 0 }
    }

    /// What was there all the time is on one of the pages, perhaps on two.
    pub(crate) async fn next(&mut self) -> Result<Option<Page>, RedisError> {
        let Some(cursor) = self.cursor.take() else { return Ok(None) };
        let asked = self.client.script(self.store, &self.script, &[self.key], &[&cursor]).await;
        let mut found = Vec::into_iter(asked?);
        self.count += 1;
        let cursor: Vec<u8> = found.next().unwrap_or_default();
        if self.count > MOST_PAGES || cursor.is_empty() {
            let damaged = RedisError::Damaged("a store has more records than it can have");
            return self.client.count(self.store, Err(damaged));
        }
        self.cursor = (cursor != b"0").then_some(cursor);
        let mut page = Vec::new();
        while let (Some(field), Some(value)) = (found.next(), found.next()) {
            page.push((field, value));
        }
        Ok(Some(page))
    }

    /// The fields of the next page that are not under the newest secret.
    pub(crate) async fn next_earlier(
        &mut self,
        seal: &Seal,
    ) -> Result<Option<Vec<Vec<u8>>>, RedisError> {
        let Some(page) = self.next().await? else { return Ok(None) };
        let old = page.into_iter().filter(|(field, value)| {
            sealed(self.store, field, value).is_some_and(|sealed| seal.age(sealed) != Age::Newest)
        });
        Ok(Some(old.map(|(field, _)| field).collect()))
    }
}

/// Values of one hash that are written where nobody else has written.
pub(crate) struct Swaps<'a> {
    client: &'a Client,
    store: StoreName,
    key: &'a str,
    script: Lua,
    waiting: Vec<Vec<u8>>,
    bytes: usize,
}

impl<'a> Swaps<'a> {
    pub(crate) fn new(client: &'a Client, store: StoreName, key: &'a str) -> Self {
        let script = Lua::new(include_str!("scripts/reseal.lua"));
        Self { client, store, key, script, waiting: Vec::new(), bytes: 0 }
    }

    pub(crate) async fn swap(
        &mut self,
        [field, before, after]: [Vec<u8>; 3],
        tally: &mut Tally,
    ) -> Result<(), RedisError> {
        self.bytes += field.len() + before.len() + after.len();
        self.waiting.extend([field, before, after]);
        if self.waiting.len() >= 3 * AT_ONCE || self.bytes >= BYTES {
            self.write(tally).await?;
        }
        Ok(())
    }

    pub(crate) async fn write(&mut self, tally: &mut Tally) -> Result<(), RedisError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let args: Vec<_> = self.waiting.iter().map(Vec::as_slice).collect();
        let done = self.client.script::<u64>(self.store, &self.script, &[self.key], &args).await;
        tally.resealed += done?;
        self.waiting.clear();
        self.bytes = 0;
        Ok(())
    }
}
