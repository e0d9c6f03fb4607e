//! Every store against a real `redis-server`, which each test starts for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod approvals;
mod changes;
mod cluster;
mod events;
mod rates;
mod replay;
mod server;
mod tasks;

use std::time::{SystemTime, UNIX_EPOCH};

use etdi_core::time::UnixTime;
use mcp_redis::{Failure, RedisStores, StoreName};

pub(crate) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs())
}

pub(crate) fn failed(stores: &RedisStores, store: StoreName, failure: Failure) -> u64 {
    let metrics = stores.metrics();
    metrics.iter().find(|known| known.store == store).unwrap().failed(failure)
}

pub(crate) fn round_trips(stores: &RedisStores, store: StoreName) -> u64 {
    stores.metrics().iter().find(|known| known.store == store).unwrap().round_trips
}
