//! Statements that were used, seen by all nodes.
//!
//! A statement is one key that expires when it no longer counts anywhere. One script looks, counts
//! and takes, so that of all who bring a statement at once one is first. Whatever cannot be said for
//! certain is [`Taken::Full`], and the call is refused:
//!
//! - Redis cannot be reached, is paused, full, or may throw keys away.
//! - Redis started anew, or another took its place: what was signed before may have been used before, with
//!   or without persistence, because a log on disk lacks its last second, and a replica what the master
//!   had not yet told it. Calls that are signed now count once `clock tolerance + 30 s` have passed.
//! - The clock of the node and that of Redis are too far apart to say until when a statement counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use etdi_core::key::KeyId;
use etdi_core::request::{CLOCK_SKEW, LIFETIME, ReplayStore, Taken};
use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;

/// A [`ReplayStore`] on Redis: one round trip, one key of about 150 bytes for two minutes.
#[derive(Clone)]
pub struct RedisReplayStore(Arc<Inner>);

struct Inner {
    client: Client,
    script: Lua,
    span: u64,
    apart: u64,
    per_key: u64,
    /// Whether an empty Redis is believed, for each part, which has a marker of its own and may be on another node of a
    /// cluster: at the first look, and never after. What was
    /// there once and is gone holds what was used.
    believes_empty: Vec<AtomicBool>,
}

const PARTS: u8 = 16;

/// The longest id of a statement.
const MAX_ID: usize = 128;

/// For how long a signed call counts, from when it says that it was signed, in seconds.
pub(crate) const CALL: u64 = LIFETIME + CLOCK_SKEW;

impl RedisReplayStore {
    pub(crate) fn new(
        client: Client,
        span: u64,
        tolerance: Duration,
        per_key: u64,
        believes_empty: bool,
    ) -> Self {
        let script = Lua::new(include_str!("scripts/replay.lua"));
        let apart = tolerance.as_secs();
        let believes_empty = (0..PARTS).map(|_| AtomicBool::new(believes_empty)).collect();
        Self(Arc::new(Inner { client, script, span, apart, per_key, believes_empty }))
    }

    /// Takes the place of a statement, and says what keeps it from being taken.
    ///
    /// # Errors
    ///
    /// [`RedisError`]; the statement must not count then.
    pub async fn try_take(
        &self,
        key: KeyId,
        id: &str,
        until: UnixTime,
        now: UnixTime,
    ) -> Result<Taken, RedisError> {
        let Inner { client, span, apart, .. } = &*self.0;
        let error = match &*self.ask(key, id, until, now).await? {
            "first" => return Ok(Taken::First),
            "before" => return Ok(Taken::Before),
            "evicts" => RedisError::Evicts,
            "clock" => RedisError::Clock(*apart),
            "long" => RedisError::TooLong(*span),
            "forgetful" => RedisError::Forgetful(apart.saturating_add(CLOCK_SKEW)),
            "quota" => RedisError::Quota,
            _ => RedisError::Damaged("the replay script said what it never says"),
        };
        client.count(StoreName::Replay, Err(error))
    }

    async fn ask(
        &self,
        key: KeyId,
        id: &str,
        until: UnixTime,
        now: UnixTime,
    ) -> Result<String, RedisError> {
        let Inner { client, script, span, apart, per_key, believes_empty } = &*self.0;
        let number = key.as_bytes().first().map_or(0, |byte| byte % PARTS);
        let unknown = || RedisError::Damaged("there is no such part of the replay store");
        let believes = believes_empty.get(usize::from(number)).ok_or_else(unknown)?;
        let part = format!("r{number}.{span}");
        let statement = hidden(&[key.as_bytes(), id.as_bytes()]);
        let statement = client.key(&part, &format!("s:{statement}"));
        let who = hidden(&[key.as_bytes()]);
        let used = client.key(&part, &format!("n:{who}:{}", now.0 / span.max(&1)));
        let marker = client.key(&part, "marker");
        let empty = u64::from(believes.load(Ordering::Relaxed));
        let args = [until.0, now.0, *span, *apart, *per_key, empty, CLOCK_SKEW];
        let args = args.map(|number| number.to_string());
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let keys = [&*statement, &used, &marker];
        let said = client.script(StoreName::Replay, script, &keys, &args).await?;
        // It has written down by now since when it can be believed, unless it evicts.
        if said != "evicts" {
            believes.store(false, Ordering::Relaxed);
        }
        Ok(said)
    }

    /// Notes in each part of the store since when it can be believed.
    pub(crate) async fn mark(&self, now: UnixTime) -> Result<(), RedisError> {
        for part in 0..PARTS {
            self.look(part, now).await?;
        }
        Ok(())
    }

    /// Whether this Redis will do for the first part, unless for its clock. Where it throws keys away each part notes
    /// it, for when it does so no more.
    pub(crate) async fn keeps(&self, now: UnixTime) -> Result<(), RedisError> {
        match self.look(0, now).await {
            Err(RedisError::Clock(_)) => Ok(()),
            Err(RedisError::Evicts) => {
                for part in 1..PARTS {
                    drop(self.look(part, now).await);
                }
                Err(RedisError::Evicts)
            }
            found => found,
        }
    }

    /// Has the marker of a part looked at and brought up to date, and says what is wrong with this Redis.
    async fn look(&self, part: u8, now: UnixTime) -> Result<(), RedisError> {
        // What has run out long ago takes no place.
        let said = self.ask(KeyId::from_bytes([part; 32]), "mark", UnixTime(0), now).await?;
        let error = match &*said {
            "evicts" => RedisError::Evicts,
            "clock" => RedisError::Clock(self.0.apart),
            _ => return Ok(()),
        };
        self.0.client.count(StoreName::Replay, Err(error))
    }
}

impl ReplayStore for RedisReplayStore {
    fn take<'a>(
        &'a self,
        key: KeyId,
        id: &'a str,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Taken> {
        Box::pin(async move {
            if id.is_empty() || id.len() > MAX_ID {
                return Taken::Full;
            }
            // The cause is counted and logged; the caller is refused.
            self.try_take(key, id, until, now).await.unwrap_or(Taken::Full)
        })
    }
}

impl std::fmt::Debug for RedisReplayStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisReplayStore").field("span", &self.0.span).finish_non_exhaustive()
    }
}
