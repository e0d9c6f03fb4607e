//! Every store against a real `redis-server`, which each test starts for itself.

#![allow(dead_code, missing_docs, unreachable_pub)]
#![allow(clippy::field_reassign_with_default)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod approvals;
#[cfg(feature = "oauth")]
mod authorization;
mod changes;
mod cluster;
#[path = "../../../mcp-transport/tests/common/mod.rs"]
mod common;
mod events;
mod evicts;
mod log;
mod rates;
#[path = "../../../mcp-transport/tests/http/raw.rs"]
mod raw;
mod reach;
mod replay;
mod reseal;
mod revocations;
mod secret;
mod sentinel;
mod server;
mod sessions;
mod start;
mod tasks;
mod tls;
#[cfg(feature = "oauth")]
mod tokens;
#[path = "../../../mcp-transport/tests/http/two_nodes.rs"]
mod two_nodes;

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
