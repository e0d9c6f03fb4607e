//! Events of broken streams, which any node gives to a client that comes back.
//!
//! One Redis stream for each session, trimmed by number, bytes and age with each event; its name is a
//! digest of the session's id, its payloads are sealed for their place. A Redis that forgot an event
//! makes a replay [`EventStoreError::Gone`], never one with a gap.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp_transport::http::server::{EventPlace, EventStore, EventStoreError, following};
use mcp_types::BoxFuture;

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::secret::Seal;

/// An [`EventStore`] on Redis: one round trip for each event, one for a replay.
#[derive(Clone)]
pub struct RedisEventStore(Arc<Inner>);

struct Inner {
    client: Client,
    seal: Seal,
    append: Lua,
    bounds: EventBounds,
}

/// How many events of a session are kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventBounds {
    /// Events of one session; 256 by default.
    pub events: u64,
    /// Bytes of one session, sealed; 1 MiB by default. An event that is longer is not kept.
    pub bytes: u64,
    /// How old an event may be; ten minutes by default.
    pub age: Duration,
}

impl Default for EventBounds {
    fn default() -> Self {
        Self { events: 256, bytes: 1 << 20, age: Duration::from_secs(600) }
    }
}

impl EventBounds {
    /// At most so many events and bytes of a session, none older than `age`.
    pub fn new(events: u64, bytes: u64, age: Duration) -> Self {
        Self { events, bytes, age }
    }
}

type Entries = Vec<(String, Vec<(String, Vec<u8>)>)>;

impl RedisEventStore {
    pub(crate) fn new(client: Client, seal: Seal, bounds: EventBounds) -> Self {
        let append = Lua::new(include_str!("scripts/append.lua"));
        Self(Arc::new(Inner { client, seal, append, bounds }))
    }
}

impl Inner {
    fn names(&self, session: &str) -> [String; 2] {
        // The id is a secret of the session's two ends.
        let tag = format!("e{}", hidden(&[session.as_bytes()]));
        [self.client.key(&tag, "events"), self.client.key(&tag, "bytes")]
    }

    async fn append(&self, place: EventPlace, message: Bytes) -> Result<(), RedisError> {
        let (stream, event) = (place.stream.to_string(), place.event.to_string());
        let at = [place.session.as_bytes(), stream.as_bytes(), event.as_bytes()];
        let sealed = self.seal.seal(&at, &message)?;
        if sealed.len() as u64 > self.bounds.bytes {
            return self.client.count(StoreName::Events, Err(RedisError::Quota));
        }
        let [events, bytes] = self.names(&place.session);
        let age = u64::try_from(self.bounds.age.as_millis()).unwrap_or(u64::MAX).max(1);
        let numbers = [self.bounds.events, self.bounds.bytes, age].map(|number| number.to_string());
        let [most, most_bytes, age] = &numbers;
        let args = [
            stream.as_bytes(),
            event.as_bytes(),
            &sealed,
            most.as_bytes(),
            most_bytes.as_bytes(),
            age.as_bytes(),
        ];
        let keys = [&*events, &bytes];
        let _: u64 = self.client.script(StoreName::Events, &self.append, &keys, &args).await?;
        Ok(())
    }

    async fn replay(&self, after: EventPlace) -> Result<Vec<(u64, Bytes)>, EventStoreError> {
        let [events, _] = self.names(&after.session);
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(&events).arg("-").arg("+");
        let found: Entries = self.client.run(StoreName::Events, &cmd).await.map_err(failed)?;
        let stream = after.stream.to_string();
        let mut kept = Vec::new();
        for (_, fields) in found {
            let of = |name| fields.iter().find(|(known, _)| known == name).map(|(_, text)| text);
            let (Some(of_stream), Some(event), Some(sealed)) = (of("s"), of("e"), of("m")) else {
                continue;
            };
            let number = std::str::from_utf8(event).ok().and_then(|text| text.parse::<u64>().ok());
            let Some(number) =
                number.filter(|number| *of_stream == stream.as_bytes() && *number >= after.event)
            else {
                continue;
            };
            let at = [after.session.as_bytes(), of_stream, event];
            let opened = self.seal.open(&at, sealed.clone());
            let opened = self.client.count(StoreName::Events, opened).map_err(failed)?;
            kept.push((number, Bytes::from(opened)));
        }
        following(kept, after.event)
    }

    async fn forget(&self, session: &str) {
        let mut cmd = redis::cmd("DEL");
        cmd.arg(&self.names(session));
        // What stays behind for want of a Redis expires by itself.
        let _ = self.client.run::<u64>(StoreName::Events, &cmd).await;
    }
}

fn failed(error: RedisError) -> EventStoreError {
    EventStoreError::Failed(error.into())
}

impl EventStore for RedisEventStore {
    fn append(
        &self,
        place: EventPlace,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), EventStoreError>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.append(place, message).await.map_err(failed) })
    }

    fn replay(
        &self,
        after: EventPlace,
    ) -> BoxFuture<'static, Result<Vec<(u64, Bytes)>, EventStoreError>> {
        let inner = self.0.clone();
        Box::pin(async move { inner.replay(after).await })
    }

    fn forget(&self, session: &str) -> BoxFuture<'static, ()> {
        let (inner, session) = (self.0.clone(), session.to_owned());
        Box::pin(async move { inner.forget(&session).await })
    }
}

impl std::fmt::Debug for RedisEventStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisEventStore").field("bounds", &self.0.bounds).finish_non_exhaustive()
    }
}
