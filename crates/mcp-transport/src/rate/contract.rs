//! What every [`RateStore`] must do, as a function that any store's tests can call.

use std::fmt;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use mcp_types::BoxFuture;

use super::store::{Allowance, RateStore, RateStoreError, Took};

/// A clause of the contract that a store does not keep.
#[derive(Debug)]
#[non_exhaustive]
pub struct RateStoreContractFailure {
    /// What it must do.
    pub clause: &'static str,
    /// What it did.
    pub found: String,
}

impl fmt::Display for RateStoreContractFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a store of rates must {}; this one gave {}", self.clause, self.found)
    }
}

impl std::error::Error for RateStoreContractFailure {}

/// Holds a store to the contract of [`RateStore`].
///
/// `clients` are different ways to one and the same store, such as those of two nodes. Wants a store
/// that knows no name that begins with `contract `. Takes out of allowances that fill so slowly that
/// no time passes for them.
///
/// ```
/// use mcp_transport::{MemoryRateStore, rate_store_contract};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryRateStore::new();
/// rate_store_contract(&[&store, &store]).await?;
/// # Ok::<(), mcp_transport::RateStoreContractFailure>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn rate_store_contract(
    clients: &[&dyn RateStore],
) -> Result<(), RateStoreContractFailure> {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    let slow = Allowance::new(1e-4, 5);
    let clause = "admit a burst for all clients together, and say how long to wait then";
    for number in 0..5 {
        let store = if number % 2 == 0 { first } else { last };
        let took = store.take("contract a", slow).await;
        expect(clause, &took, |took| *took == Took::Admitted)?;
    }
    for store in [first, last] {
        let took = store.take("contract a", slow).await;
        let hours = Duration::from_secs(9_900)..=Duration::from_secs(10_000);
        expect(clause, &took, |took| matches!(took, Took::Wait(wait) if hours.contains(wait)))?;
    }
    let clause = "keep allowances of different names apart, however alike they are";
    let long = "x".repeat(2_000);
    for name in ["A", "a ", "a:b", "{a}", "\u{e9}", "", "\0", &long, &format!("{long}y")] {
        let took = first.take(&format!("contract {name}"), Allowance::new(1e-4, 1)).await;
        expect(clause, &took, |took| *took == Took::Admitted)?;
        let took = last.take(&format!("contract {name}"), Allowance::new(1e-4, 1)).await;
        expect(clause, &took, |took| matches!(took, Took::Wait(_)))?;
    }
    let clause = "admit no more of all who take at once than the allowance has";
    for round in 0..25 {
        let name = format!("contract race {round}");
        let takers = (0..5).flat_map(|_| clients.iter().map(|store| store.take(&name, slow)));
        let took = at_once(takers.collect()).await;
        let admitted = took.iter().filter(|took| matches!(took, Ok(Took::Admitted))).count();
        if admitted != (clients.len() * 5).min(5) || took.iter().any(Result::is_err) {
            return Err(RateStoreContractFailure { clause, found: format!("{took:?}") });
        }
    }
    Ok(())
}

type Taking = Result<Took, RateStoreError>;

fn expect(
    clause: &'static str,
    found: &Taking,
    kept: impl FnOnce(&Took) -> bool,
) -> Result<(), RateStoreContractFailure> {
    match found {
        Ok(took) if kept(took) => Ok(()),
        other => Err(RateStoreContractFailure { clause, found: format!("{other:?}") }),
    }
}

/// Runs all at once, in this task.
async fn at_once(futures: Vec<BoxFuture<'_, Taking>>) -> Vec<Taking> {
    let mut running: Vec<_> = futures.into_iter().map(|future| (future, None)).collect();
    poll_fn(|cx| {
        for (future, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(found) = future.as_mut().poll(cx) {
                *done = Some(found);
            }
        }
        match running.iter().all(|(_, done)| done.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}
