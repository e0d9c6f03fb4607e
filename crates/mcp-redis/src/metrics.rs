//! How often each store was asked, and what became of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Failure, RedisError};
use crate::outage::Outage;

/// The stores, as they are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreName {
    /// Statements that were used.
    Replay,
    /// Events of broken streams.
    Events,
    /// Tasks.
    Tasks,
    /// Rates of requests.
    Rates,
    /// Change notifications.
    Changes,
    /// Approvals.
    Approvals,
    /// Sessions with a handshake.
    Sessions,
    /// The state of an authorization server.
    Authorization,
    /// Tokens of clients.
    Tokens,
    /// What was revoked.
    Revocations,
    /// What nodes ask for themselves: whether they have the same secret.
    Nodes,
}

impl StoreName {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Replay,
        Self::Events,
        Self::Tasks,
        Self::Rates,
        Self::Changes,
        Self::Approvals,
        Self::Sessions,
        Self::Authorization,
        Self::Tokens,
        Self::Revocations,
        Self::Nodes,
    ];

    /// The name, in small letters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Events => "events",
            Self::Tasks => "tasks",
            Self::Rates => "rates",
            Self::Changes => "changes",
            Self::Approvals => "approvals",
            Self::Sessions => "sessions",
            Self::Authorization => "authorization",
            Self::Tokens => "tokens",
            Self::Revocations => "revocations",
            Self::Nodes => "nodes",
        }
    }
}

/// What one store has counted since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreMetrics {
    /// Which store.
    pub store: StoreName,
    /// How many commands were sent to Redis. Most operations are one.
    pub round_trips: u64,
    /// How many operations failed, by kind; kinds that never happened are left out.
    pub failures: Vec<(Failure, u64)>,
}

impl StoreMetrics {
    /// How many operations failed in this way.
    pub fn failed(&self, failure: Failure) -> u64 {
        let found = self.failures.iter().find(|(known, _)| *known == failure);
        found.map_or(0, |(_, count)| *count)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Metrics([Counts; StoreName::ALL.len()]);

fn works_again(store: StoreName, after: Duration) {
    let seconds = after.as_secs();
    tracing::info!(store = store.name(), seconds, "the store on Redis works again");
}

#[derive(Debug, Default)]
struct Counts {
    round_trips: AtomicU64,
    failures: [AtomicU64; Failure::ALL.len()],
    outage: Outage,
}

impl Metrics {
    fn of(&self, store: StoreName) -> Option<&Counts> {
        StoreName::ALL.iter().zip(&self.0).find(|(known, _)| **known == store).map(|(_, at)| at)
    }

    pub(crate) fn round_trip(&self, store: StoreName) {
        if let Some(counts) = self.of(store) {
            counts.round_trips.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes an answer. A log has one line when a store begins to fail and one when it has worked again for a while,
    /// however many operations failed, and were answered, in between.
    pub(crate) fn answered(&self, store: StoreName) {
        if let Some(counts) = self.of(store)
            && let Some(took) = counts.outage.answered()
        {
            works_again(store, took);
        }
    }

    /// Counts a failure.
    pub(crate) fn failed(&self, store: StoreName, error: &RedisError) {
        let Some(counts) = self.of(store) else { return };
        let failure = error.failure();
        for (known, count) in Failure::ALL.iter().zip(&counts.failures) {
            if *known == failure {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        // A caller who asks for too much, or for too long, is no news to an operator.
        if matches!(failure, Failure::Quota | Failure::TooLong) {
            return;
        }
        if let Some(begins) = counts.outage.failed() {
            if let Some(took) = begins.before {
                works_again(store, took);
            }
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::warn!(store = store.name(), %error, source, "a store on Redis fails");
        }
    }

    pub(crate) fn snapshot(&self) -> Vec<StoreMetrics> {
        let of = |(store, counts): (&StoreName, &Counts)| StoreMetrics {
            store: *store,
            round_trips: counts.round_trips.load(Ordering::Relaxed),
            failures: Failure::ALL
                .iter()
                .zip(&counts.failures)
                .map(|(failure, count)| (*failure, count.load(Ordering::Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
        };
        StoreName::ALL.iter().zip(&self.0).map(of).collect()
    }
}
