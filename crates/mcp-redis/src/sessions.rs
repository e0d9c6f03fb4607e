//! Sessions of the revisions with a handshake, which any node serves, resumes and ends.
//!
//! One key for each session: its version, and its record sealed for its id and that version, with an
//! expiry that each lookup moves on. What nodes tell each other of sessions is one stream, numbered, so
//! that a node knows when it missed something.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp_transport::http::server::{
    Heard, Insertion, KeptSession, SessionNews, SessionStore, SessionStoreError, Updated,
};
use mcp_types::BoxFuture;

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::{Age, Seal};

/// A [`SessionStore`] on Redis: one round trip for each operation, about 600 bytes for each session.
#[derive(Clone)]
pub struct RedisSessionStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    update: Lua,
    tell: Lua,
    reseal: Lua,
    /// What was told, how much that was, and its bytes.
    told: [String; 3],
}

/// The version at the head of a value, in hexadecimal digits.
const VERSION: usize = 16;

/// For how long what was told is kept after the newest, in milliseconds, how much of it, and how many
/// bytes.
const AGE: &str = "300000";
const KEPT: &str = "16384";
const BYTES: &str = "16777216";

/// How much of it is read at once.
const AT_ONCE: usize = 256;

/// The longest life, in milliseconds: thirty days.
const LONGEST: u128 = 2_592_000_000;

type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

impl RedisSessionStore {
    pub(crate) fn new(client: Client, seal: Seal) -> Self {
        let update = Lua::new(include_str!("scripts/session.lua"));
        let tell = Lua::new(include_str!("scripts/told.lua"));
        let reseal = Lua::new(include_str!("scripts/reseal_text.lua"));
        let told = ["told", "count", "bytes"].map(|name| client.key("s", name));
        Self(Arc::new(Inner { client, seal, update, tell, reseal, told }))
    }
}

impl Inner {
    fn name(&self, id: &str) -> String {
        // The id is a secret of the session's two ends.
        self.client.key(&format!("s{}", hidden(&[id.as_bytes()])), "session")
    }

    fn written(&self, id: &str, version: u64, record: &[u8]) -> Result<Vec<u8>, RedisError> {
        let mut value = format!("{version:0VERSION$x}").into_bytes();
        let sealed = self.seal.seal(&[b"session", id.as_bytes(), &value], record)?;
        value.extend_from_slice(&sealed);
        Ok(value)
    }

    fn read(&self, id: &str, value: &[u8]) -> Result<KeptSession, RedisError> {
        let damaged = RedisError::Damaged("a session has no version");
        let Some((head, sealed)) = value.split_at_checked(VERSION) else { return Err(damaged) };
        let version = std::str::from_utf8(head).ok();
        let version = version.and_then(|text| u64::from_str_radix(text, 16).ok());
        let Some(version) = version else { return Err(damaged) };
        let at = [b"session".as_slice(), id.as_bytes(), head];
        let record = self.seal.open(&at, sealed.to_vec())?;
        Ok(KeptSession::new(version, record.into()))
    }

    /// What is kept of a session, `None` under a secret that this node does not have: it is counted and logged, and its
    /// client begins anew, because nothing that it may send would ever open it here. It is left to nodes that open it.
    fn checked(&self, id: &str, value: &[u8]) -> Result<Option<KeptSession>, RedisError> {
        match self.client.count(StoreName::Sessions, self.read(id, value)) {
            Err(RedisError::Unopened) => Ok(None),
            kept => kept.map(Some),
        }
    }

    async fn insert(
        &self,
        id: &str,
        record: &[u8],
        life: Duration,
    ) -> Result<Insertion, RedisError> {
        let mut cmd = redis::cmd("SET");
        cmd.arg(self.name(id)).arg(self.written(id, 1, record)?);
        cmd.arg("NX").arg("PX").arg(milliseconds(life));
        let done: Option<String> = self.client.run(StoreName::Sessions, &cmd).await?;
        Ok(done.map_or(Insertion::Taken, |_| Insertion::Kept))
    }

    async fn find(&self, id: &str, life: Duration) -> Result<Option<KeptSession>, RedisError> {
        let mut cmd = redis::cmd("GETEX");
        cmd.arg(self.name(id)).arg("PX").arg(milliseconds(life));
        let found: Option<Vec<u8>> = self.client.run(StoreName::Sessions, &cmd).await?;
        let Some(value) = found else { return Ok(None) };
        let Some(kept) = self.checked(id, &value)? else { return Ok(None) };
        if self.seal.age(value.get(VERSION..).unwrap_or_default()) == Age::Earlier {
            self.reseal(id, &value, &kept).await;
        }
        Ok(Some(kept))
    }

    /// Seals a record anew that is in use, and would keep an earlier secret in use as well. Where that fails, or
    /// the session was changed meanwhile, the next message does it.
    async fn reseal(&self, id: &str, before: &[u8], kept: &KeptSession) {
        let Ok(after) = self.written(id, kept.version, &kept.record) else { return };
        let (name, client) = (self.name(id), &self.client);
        let args = [before, &after];
        let done = client.script(StoreName::Sessions, &self.reseal, &[&*name], &args).await;
        let _: Result<String, _> = done;
    }

    async fn update(
        &self,
        id: &str,
        version: u64,
        record: &[u8],
        life: Duration,
    ) -> Result<Updated, RedisError> {
        let expected = format!("{version:0VERSION$x}");
        let value = self.written(id, version.saturating_add(1), record)?;
        let (name, life) = (self.name(id), milliseconds(life));
        let args = [expected.as_bytes(), &value, life.as_bytes()];
        let done: Option<Vec<u8>> =
            self.client.script(StoreName::Sessions, &self.update, &[&name], &args).await?;
        Ok(match done {
            None => Updated::Gone,
            Some(found) if found.is_empty() => Updated::Kept,
            Some(found) => self.checked(id, &found)?.map_or(Updated::Gone, Updated::Newer),
        })
    }

    async fn remove(&self, id: &str) -> Result<bool, RedisError> {
        let mut cmd = redis::cmd("DEL");
        cmd.arg(self.name(id));
        Ok(self.client.run::<u64>(StoreName::Sessions, &cmd).await? > 0)
    }

    async fn tell(&self, id: &str, told: &[u8]) -> Result<(), RedisError> {
        let mut text = u32::try_from(id.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        text.extend_from_slice(id.as_bytes());
        text.extend_from_slice(told);
        let sealed = self.seal.seal(&[b"told"], &text)?;
        let keys = self.told.each_ref().map(String::as_str);
        let args = [AGE.as_bytes(), KEPT.as_bytes(), BYTES.as_bytes(), &sealed];
        let _: u64 = self.client.script(StoreName::Sessions, &self.tell, &keys, &args).await?;
        Ok(())
    }

    fn opened(&self, sealed: Vec<u8>) -> Result<(Arc<str>, Bytes), RedisError> {
        let text = self.seal.open(&[b"told"], sealed)?;
        let told = || {
            let (length, rest) = text.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let (id, told) = rest.split_at_checked(length)?;
            Some((std::str::from_utf8(id).ok()?.into(), Bytes::copy_from_slice(told)))
        };
        told().ok_or(RedisError::Damaged("what a node told of a session cannot be read"))
    }

    /// Where a node is that begins to hear: the newest there is.
    async fn newest(&self) -> Result<SessionNews, RedisError> {
        let mut cmd = redis::cmd("XREVRANGE");
        cmd.arg(&self.told[0]).arg("+").arg("-").arg("COUNT").arg(1);
        let found: Entries = self.client.run(StoreName::Sessions, &cmd).await?;
        let newest = found.into_iter().next();
        let newest = newest.map(|(place, fields)| (place, number(&fields).unwrap_or(0)));
        let (place, number) = newest.unwrap_or_else(|| ("0-0".to_owned(), 0));
        Ok(SessionNews::new(heard(&place, number), Vec::new(), false))
    }

    async fn hear(&self, after: &Heard) -> Result<SessionNews, RedisError> {
        let unknown = || RedisError::Config("a node was never where it says it is".to_owned());
        let (place, known) = after.0.split_once(' ').ok_or_else(unknown)?;
        let mut known = known.parse::<u64>().map_err(|_| unknown())?;
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(&self.told[0]).arg(format!("({place}")).arg("+").arg("COUNT").arg(AT_ONCE);
        let found: Entries = self.client.run(StoreName::Sessions, &cmd).await?;
        let (mut place, mut told, mut lost) = (place.to_owned(), Vec::new(), false);
        for (at, fields) in found {
            let number = number(&fields).unwrap_or(0);
            // Where a number is missing something was trimmed, or Redis forgot.
            lost |= number != known.saturating_add(1);
            (place, known) = (at, number);
            let sealed = fields.into_iter().find(|(name, _)| name == "c");
            let opened = self.opened(sealed.map(|(_, sealed)| sealed).unwrap_or_default());
            match self.client.count(StoreName::Sessions, opened) {
                Ok(one) => told.push(one),
                Err(_) => lost = true,
            }
        }
        Ok(SessionNews::new(heard(&place, known), told, lost))
    }
}

fn heard(place: &str, number: u64) -> Heard {
    Heard(format!("{place} {number}").into())
}

fn number(fields: &[(String, Vec<u8>)]) -> Option<u64> {
    let (_, text) = fields.iter().find(|(name, _)| name == "n")?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn milliseconds(life: Duration) -> String {
    life.as_millis().clamp(1, LONGEST).to_string()
}

fn failed(error: RedisError) -> SessionStoreError {
    SessionStoreError(error.into())
}

type Done<T> = BoxFuture<'static, Result<T, SessionStoreError>>;

impl SessionStore for RedisSessionStore {
    fn insert(&self, id: &str, record: Bytes, life: Duration) -> Done<Insertion> {
        let (inner, id) = (self.0.clone(), id.to_owned());
        Box::pin(async move { inner.insert(&id, &record, life).await.map_err(failed) })
    }

    fn find(&self, id: &str, life: Duration) -> Done<Option<KeptSession>> {
        let (inner, id) = (self.0.clone(), id.to_owned());
        Box::pin(async move { inner.find(&id, life).await.map_err(failed) })
    }

    fn update(&self, id: &str, version: u64, record: Bytes, life: Duration) -> Done<Updated> {
        let (inner, id) = (self.0.clone(), id.to_owned());
        Box::pin(async move { inner.update(&id, version, &record, life).await.map_err(failed) })
    }

    fn remove(&self, id: &str) -> Done<bool> {
        let (inner, id) = (self.0.clone(), id.to_owned());
        Box::pin(async move { inner.remove(&id).await.map_err(failed) })
    }

    fn tell(&self, id: &str, told: Bytes) -> Done<()> {
        let (inner, id) = (self.0.clone(), id.to_owned());
        Box::pin(async move { inner.tell(&id, &told).await.map_err(failed) })
    }

    fn hear(&self, after: Option<Heard>) -> Done<SessionNews> {
        let inner = self.0.clone();
        Box::pin(async move {
            let news = match after {
                None => inner.newest().await,
                Some(after) => inner.hear(&after).await,
            };
            news.map_err(failed)
        })
    }
}

impl std::fmt::Debug for RedisSessionStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisSessionStore")
    }
}
