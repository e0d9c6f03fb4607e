//! What every [`ReplayStore`] must do, as a function that any store's tests can call.

use core::future::poll_fn;
use core::task::Poll;
use std::sync::{Mutex, PoisonError};

use mcp_types::BoxFuture;

use super::replay::MAX_ID;
use super::{ReplayStore, Taken};
use crate::key::KeyId;
use crate::time::UnixTime;
use crate::together::each;

/// A clause of the contract that a store does not keep.
#[derive(Debug, thiserror::Error)]
#[error("a replay store must {clause}; this one gave {found}")]
#[non_exhaustive]
pub struct ReplayContractFailure {
    /// What it must do.
    pub clause: &'static str,
    /// What it did.
    pub found: String,
}

/// Holds a store to the contract of [`ReplayStore`].
///
/// `clients` are different ways to one and the same store, such as those of two nodes; one alone
/// will do, and is then raced against itself. `now` is the time, which a store may hold against its
/// own. Wants a store that keeps at least 300 statements of a key, and was not asked by the contract
/// in the last two minutes; needs no runtime of its own. Besides the plain promises it tries what
/// happens between nodes: the same statement at both at once, an answer that is lost, a clock that is
/// a few seconds off.
///
/// ```
/// use core::pin::pin;
/// use core::task::{Context, Poll, Waker};
///
/// use etdi_core::request::{MemoryReplayStore, replay_store_contract};
/// use etdi_core::time::UnixTime;
///
/// let store = MemoryReplayStore::new(10_000);
/// let kept = pin!(replay_store_contract(&[&store, &store], UnixTime(1_767_323_045)))
///     .poll(&mut Context::from_waker(Waker::noop()));
/// assert!(matches!(kept, Poll::Ready(Ok(()))));
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn replay_store_contract(
    clients: &[&dyn ReplayStore],
    now: UnixTime,
) -> Result<(), ReplayContractFailure> {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    let contract = Contract { first: *first, last: *last, now };
    contract.counts_once().await?;
    contract.tells_apart().await?;
    contract.refuses_what_has_no_name().await?;
    contract.admits_one_of_many(clients).await?;
    contract.survives_lost_answers().await?;
    contract.bears_with_clocks().await
}

struct Contract<'a> {
    first: &'a dyn ReplayStore,
    last: &'a dyn ReplayStore,
    now: UnixTime,
}

fn key(byte: u8) -> KeyId {
    KeyId::from_bytes([byte; 32])
}

fn expect(
    clause: &'static str,
    found: &[Taken],
    wanted: &[Taken],
) -> Result<(), ReplayContractFailure> {
    if found == wanted {
        return Ok(());
    }
    Err(ReplayContractFailure { clause, found: format!("{found:?}") })
}

impl Contract<'_> {
    fn take<'a>(
        &self,
        store: &'a dyn ReplayStore,
        key: KeyId,
        id: &'a str,
    ) -> BoxFuture<'a, Taken> {
        store.take(key, id, self.now.plus(60), self.now)
    }

    async fn counts_once(&self) -> Result<(), ReplayContractFailure> {
        let clause = "let a statement count once, for all its clients together";
        let mut found = Vec::new();
        for store in [self.first, self.last, self.first] {
            found.push(self.take(store, key(1), "once").await);
        }
        expect(clause, &found, &[Taken::First, Taken::Before, Taken::Before])
    }

    async fn tells_apart(&self) -> Result<(), ReplayContractFailure> {
        let clause = "tell apart statements of different keys, and ids that are only alike";
        let long = "x".repeat(MAX_ID);
        let longer = format!("{}y", "x".repeat(MAX_ID - 1));
        let ids =
            ["a", "A", "a ", "a:b", "{a}", "\u{e9}", "e\u{301}", "a\0", "a\r\n", &long, &longer];
        for id in ids {
            for signer in [key(2), key(3)] {
                let fresh = self.take(self.first, signer, id).await;
                let again = self.take(self.last, signer, id).await;
                expect(clause, &[fresh, again], &[Taken::First, Taken::Before])?;
            }
        }
        Ok(())
    }

    async fn refuses_what_has_no_name(&self) -> Result<(), ReplayContractFailure> {
        let clause = "refuse a statement without an id, or with one longer than it can be";
        for id in ["", &*"x".repeat(MAX_ID + 1)] {
            expect(clause, &[self.take(self.first, key(4), id).await], &[Taken::Full])?;
        }
        Ok(())
    }

    async fn admits_one_of_many(
        &self,
        clients: &[&dyn ReplayStore],
    ) -> Result<(), ReplayContractFailure> {
        let clause = "admit exactly one of several that bring the same statement at once";
        for round in 0..100 {
            let id = format!("race {round}");
            let found = Mutex::new(Vec::new());
            let takers = clients.iter().chain(clients).map(|store| -> BoxFuture<'_, ()> {
                Box::pin(async {
                    let taken = self.take(*store, key(5), &id).await;
                    found.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
                })
            });
            each(takers, usize::MAX).await;
            let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
            let first = found.iter().filter(|taken| **taken == Taken::First).count();
            let before = found.iter().filter(|taken| **taken == Taken::Before).count();
            if (first, before) != (1, clients.len() * 2 - 1) {
                return Err(ReplayContractFailure { clause, found: format!("{found:?}") });
            }
        }
        Ok(())
    }

    async fn survives_lost_answers(&self) -> Result<(), ReplayContractFailure> {
        let clause = "let a statement count at most once more when nobody heard the first answer";
        for round in 0..20 {
            let id = format!("lost {round}");
            let mut begun = self.take(self.first, key(6), &id);
            // Whoever asked has gone away before the answer came.
            poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
            drop(begun);
            let (second, third) =
                (self.take(self.last, key(6), &id).await, self.take(self.first, key(6), &id).await);
            if second == Taken::Full || third != Taken::Before {
                let found = format!("{second:?}, then {third:?}");
                return Err(ReplayContractFailure { clause, found });
            }
        }
        Ok(())
    }

    async fn bears_with_clocks(&self) -> Result<(), ReplayContractFailure> {
        let clause = "know a statement again on a node whose clock is a few seconds off";
        let (early, late) = (self.now.minus(5), self.now.plus(5));
        for (id, one, other) in [("ahead", early, late), ("behind", late, early)] {
            let until = self.now.plus(60);
            let fresh = self.first.take(key(7), id, until, one).await;
            let again = self.last.take(key(7), id, until, other).await;
            expect(clause, &[fresh, again], &[Taken::First, Taken::Before])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::request::MemoryReplayStore;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    #[test]
    fn memory_keeps_the_contract() {
        let store = MemoryReplayStore::new(10_000);
        block_on(replay_store_contract(&[&store], NOW)).unwrap();
        let store = MemoryReplayStore::new(10_000);
        block_on(replay_store_contract(&[&store, &store, &store], NOW)).unwrap();
    }

    /// Two nodes that remember by themselves are no shared store.
    #[test]
    fn two_stores_do_not_keep_it() {
        let (one, other) = (MemoryReplayStore::new(10_000), MemoryReplayStore::new(10_000));
        let broken = block_on(replay_store_contract(&[&one, &other], NOW)).unwrap_err();
        assert!(broken.clause.starts_with("let a statement count once"), "{broken}");
    }
}
