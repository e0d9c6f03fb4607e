//! The state of an authorization server of one's own that is many nodes: keys, clients, grants, and what
//! was used or taken back.
//!
//! Each kind is one hash, sealed record by record for its kind, name and end; Redis learns no name. Whatever
//! cannot be said for certain is an error, on which the server refuses:
//!
//! - Redis was emptied under a node: it knows keys and grants of which Redis knows no more, nor what
//!   was taken back. It refuses everything until it is started again.
//! - Redis started anew, with its data: of the last second it may have forgotten what was used. For two
//!   minutes and the tolerance of clocks nothing counts as used for the first time, and no grant is
//!   spent; what is taken back in that time is noted.
//! - The clock of the node and that of Redis are too far apart to say what is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::time::UnixTime;
use etdi_oauth::embedded::{Kind, MOST_BYTES, Records, ServerError, Store};
use mcp_types::BoxFuture;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::Seal;

mod reseal;

/// A [`Store`] on Redis: one round trip to get, put or remove a record, two to swap one.
#[derive(Clone)]
pub struct RedisAuthorizationStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    script: Lua,
    apart: u64,
    /// Whether an empty Redis is believed, for each kind: at the first look, and never after.
    believes_empty: [AtomicBool; Kind::ALL.len()],
    /// Which beginning of each kind this node has seen.
    begins: Mutex<[String; Kind::ALL.len()]>,
}

/// For how long what is used counts where it is not told, in seconds: a proof of possession.
const COUNTS: u64 = 120;

/// How often a swap is made anew when the record is written again with what was in it.
const ATTEMPTS: usize = 8;

/// What is kept under a name.
struct Found {
    name: String,
    until: UnixTime,
    record: Vec<u8>,
}

impl RedisAuthorizationStore {
    pub(crate) fn new(
        client: Client,
        seal: Seal,
        tolerance: Duration,
        believes_empty: bool,
    ) -> Self {
        let script = Lua::new(include_str!("../scripts/records.lua"));
        let (apart, begins) = (tolerance.as_secs(), Mutex::default());
        let believes_empty = Kind::ALL.map(|_| AtomicBool::new(believes_empty));
        Self(Arc::new(Inner { client, seal, script, apart, believes_empty, begins }))
    }

    /// Notes for each kind since when what is kept can be believed.
    pub(crate) async fn mark(&self, now: UnixTime) -> Result<(), RedisError> {
        for kind in Kind::ALL {
            match self.0.act("get", kind, now, &[b"mark"]).await {
                Ok(_) | Err(RedisError::Forgetful(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The number of a kind, and its name in seals.
fn place(kind: Kind) -> Result<(usize, &'static str), RedisError> {
    let known = Kind::ALL.iter().position(|known| *known == kind);
    let name = match kind {
        Kind::Key => Some("key"),
        Kind::Client => Some("client"),
        Kind::Grant => Some("grant"),
        Kind::Used => Some("used"),
        _ => None,
    };
    known.zip(name).ok_or(RedisError::Damaged("there is no such kind of records"))
}

fn field(name: &str) -> String {
    hidden(&[name.as_bytes()])
}

fn server_error(error: RedisError) -> ServerError {
    match error {
        RedisError::Full | RedisError::Quota => ServerError::Full,
        error => ServerError::Storage(error.to_string()),
    }
}

impl Inner {
    fn begins(&self) -> MutexGuard<'_, [String; Kind::ALL.len()]> {
        self.begins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count<T>(&self, done: Result<T, RedisError>) -> Result<T, RedisError> {
        self.client.count(StoreName::Authorization, done)
    }

    /// Runs one act of the script, and gives its word with what was found.
    async fn act(
        &self,
        act: &str,
        kind: Kind,
        now: UnixTime,
        rest: &[&[u8]],
    ) -> Result<(bool, Vec<Vec<u8>>), RedisError> {
        let (number, _) = self.count(place(kind))?;
        let keys =
            ["records", "ends", "marker"].map(|name| self.client.key(&format!("o{number}"), name));
        let keys = keys.each_ref().map(String::as_str);
        let mut fresh = [0; 16];
        let random = SystemRandom::new().fill(&mut fresh);
        let random = random.map_err(|_| no_random());
        self.count(random)?;
        let fresh = URL_SAFE_NO_PAD.encode(fresh);
        let knows = self.begins().get(number).cloned().unwrap_or_default();
        let numbers = [now.0, self.apart, COUNTS].map(|number| number.to_string());
        let [now, apart, counts] = numbers.each_ref().map(String::as_bytes);
        let believed = self.believes_empty.get(number);
        let believes = believed.is_some_and(|believed| believed.load(Ordering::Relaxed));
        let believes = if believes { b"1" } else { b"0" };
        // Keys and clients are not used up.
        let once: &[u8] = if matches!(kind, Kind::Grant | Kind::Used) { b"once" } else { b"" };
        // A grant that is new was never used.
        let once = if kind == Kind::Grant && act == "insert" { b"" } else { once };
        let mut args = vec![act.as_bytes(), now, apart, knows.as_bytes(), fresh.as_bytes(), counts];
        args.extend([believes.as_slice(), once]);
        args.extend(rest);
        let said = self.client.script(StoreName::Authorization, &self.script, &keys, &args).await;
        let mut said: std::vec::IntoIter<Vec<u8>> = Vec::into_iter(said?);
        let (word, begin) = (said.next().unwrap_or_default(), said.next().unwrap_or_default());
        // It has written down by now since when it can be believed, unless it stopped before.
        if !matches!(&*word, b"evicts" | b"clock" | b"emptied")
            && let Some(believed) = believed
        {
            believed.store(false, Ordering::Relaxed);
        }
        let error = match &*word {
            b"done" | b"no" => {
                let mut begins = self.begins();
                if let Some(known) = begins.get_mut(number).filter(|known| known.is_empty()) {
                    *known = String::from_utf8_lossy(&begin).into_owned();
                }
                return Ok((word == b"done", said.collect()));
            }
            b"full" => RedisError::Quota,
            b"emptied" => RedisError::Emptied,
            b"evicts" => RedisError::Evicts,
            b"clock" => RedisError::Clock(self.apart),
            b"forgetful" => RedisError::Forgetful(self.apart.saturating_add(COUNTS)),
            _ => RedisError::Damaged("the script of records said what it never says"),
        };
        self.count(Err(error))
    }

    fn sealed(
        &self,
        kind: Kind,
        name: &str,
        record: &[u8],
        until: UnixTime,
    ) -> Result<Vec<u8>, RedisError> {
        let ((_, of), until) = (self.count(place(kind))?, until.0.to_string());
        let field = field(name);
        let mut text = (name.len() as u64).to_be_bytes().to_vec();
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(record);
        let at = [of.as_bytes(), field.as_bytes(), until.as_bytes()];
        let sealed = self.count(self.seal.seal(&at, &text))?;
        Ok([until.as_bytes(), b" ", &sealed].concat())
    }

    fn open(&self, kind: Kind, field: &[u8], value: &[u8]) -> Result<Found, RedisError> {
        let damaged = || RedisError::Damaged("a record of the authorization server cannot be read");
        let (_, of) = self.count(place(kind))?;
        let opened = || {
            let space = value.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
            let (until, sealed) = value.split_at_checked(space).ok_or_else(damaged)?;
            let sealed = sealed.get(1..).unwrap_or_default().to_vec();
            let text = self.seal.open(&[of.as_bytes(), field, until], sealed)?;
            let until = std::str::from_utf8(until).ok().and_then(|text| text.parse().ok());
            let (length, text) = text.split_first_chunk::<8>().ok_or_else(damaged)?;
            let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| damaged())?;
            let (name, record) = text.split_at_checked(length).ok_or_else(damaged)?;
            let name = String::from_utf8(name.to_vec()).map_err(|_| damaged())?;
            let until = UnixTime(until.ok_or_else(damaged)?);
            Ok(Found { name, until, record: record.to_vec() })
        };
        self.count(opened())
    }

    /// Until when a record is kept. What was used is kept until it is over by every clock.
    fn stays(&self, kind: Kind, until: UnixTime) -> String {
        let more = if kind == Kind::Used { self.apart.saturating_mul(2) } else { 0 };
        until.plus(more).0.to_string()
    }

    async fn found(
        &self,
        kind: Kind,
        name: &str,
        now: UnixTime,
    ) -> Result<Option<(Vec<u8>, Found)>, RedisError> {
        let field = field(name);
        let (_, found) = self.act("get", kind, now, &[field.as_bytes()]).await?;
        let Some(value) = found.into_iter().next() else { return Ok(None) };
        let found = self.open(kind, field.as_bytes(), &value)?;
        if found.name != name {
            return self.count(Err(RedisError::Damaged("a record belongs to another name")));
        }
        Ok((found.until > now).then_some((value, found)))
    }

    async fn insert(
        &self,
        kind: Kind,
        name: &str,
        record: &[u8],
        until: UnixTime,
        now: UnixTime,
    ) -> Result<bool, RedisError> {
        if record.len().saturating_add(name.len()) > 2 * MOST_BYTES || record.len() > MOST_BYTES {
            return self.count(Err(RedisError::Quota));
        }
        let (value, field) = (self.sealed(kind, name, record, until)?, field(name));
        let (stays, most) = (self.stays(kind, until), kind.most().to_string());
        let rest = [field.as_bytes(), &value, stays.as_bytes(), most.as_bytes()];
        Ok(self.act("insert", kind, now, &rest).await?.0)
    }

    async fn swap(
        &self,
        kind: Kind,
        name: &str,
        before: &[u8],
        record: &[u8],
        until: UnixTime,
        now: UnixTime,
    ) -> Result<bool, RedisError> {
        if record.len() > MOST_BYTES {
            return self.count(Err(RedisError::Quota));
        }
        let (value, field) = (self.sealed(kind, name, record, until)?, field(name));
        let stays = self.stays(kind, until);
        for _ in 0..ATTEMPTS {
            let Some((sealed, found)) = self.found(kind, name, now).await? else {
                return Ok(false);
            };
            if found.record != before {
                return Ok(false);
            }
            let rest = [field.as_bytes(), &sealed, &value, stays.as_bytes()];
            if self.act("swap", kind, now, &rest).await?.0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn list(&self, kind: Kind, now: UnixTime) -> Result<Records, RedisError> {
        let (mut cursor, mut all) = (b"0".to_vec(), std::collections::BTreeMap::new());
        loop {
            let (_, page) = self.act("list", kind, now, &[&cursor]).await?;
            let mut page = page.into_iter();
            cursor = page.next().unwrap_or_default();
            while let (Some(field), Some(value)) = (page.next(), page.next()) {
                let found = self.open(kind, &field, &value)?;
                // What is written meanwhile may be shown twice.
                if found.until > now && self::field(&found.name).as_bytes() == field {
                    all.insert(found.name, found.record);
                }
            }
            // A page is never empty for long: there are no more than so many records.
            if cursor == b"0" || cursor.is_empty() {
                return Ok(all.into_iter().collect());
            }
        }
    }
}

fn no_random() -> RedisError {
    RedisError::Config("the system gives no random numbers".to_owned())
}

impl Store for RedisAuthorizationStore {
    fn get<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ServerError>> {
        Box::pin(async move {
            let found = self.0.found(kind, name, now).await.map_err(server_error)?;
            Ok(found.map(|(_, found)| found.record))
        })
    }

    fn insert<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        Box::pin(async move {
            self.0.insert(kind, name, &record, until, now).await.map_err(server_error)
        })
    }

    fn swap<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        before: &'a [u8],
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        Box::pin(async move {
            self.0.swap(kind, name, before, &record, until, now).await.map_err(server_error)
        })
    }

    fn remove<'a>(&'a self, kind: Kind, name: &'a str) -> BoxFuture<'a, Result<(), ServerError>> {
        Box::pin(async move {
            let field = field(name);
            // The act needs no time; by the clock of this node it is told whether it may count.
            let done = self.0.act("remove", kind, crate::stores::now(), &[field.as_bytes()]).await;
            done.map(drop).map_err(server_error)
        })
    }

    fn list(&self, kind: Kind, now: UnixTime) -> BoxFuture<'_, Result<Records, ServerError>> {
        Box::pin(async move { self.0.list(kind, now).await.map_err(server_error) })
    }
}

impl std::fmt::Debug for RedisAuthorizationStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisAuthorizationStore")
    }
}
