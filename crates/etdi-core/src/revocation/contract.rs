//! What every [`RevocationStore`] must do, as a function that any store's tests can call.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use mcp_types::BoxFuture;

use super::{KeptRevocations, RevocationStore, Revocations, Revoked};
use crate::key::KeyId;
use crate::time::UnixTime;

/// Holds an empty store to the contract of [`RevocationStore`].
///
/// `clients` are different ways to one and the same store, such as those of two nodes; one alone will
/// do, and is then raced against itself. Besides the plain promises it tries what happens between nodes:
/// several who write at once, an answer that is lost, and two operators who revoke at once by clocks that are
/// a few seconds apart.
///
/// ```
/// use std::sync::Arc;
///
/// use etdi_core::revocation::{MemoryRevocationStore, revocation_store_contract};
/// use etdi_core::time::UnixTime;
///
/// # futures_executor::block_on(async {
/// let (store, now) = (Arc::new(MemoryRevocationStore::new()), UnixTime(1_767_323_045));
/// revocation_store_contract(&[store.clone(), store], now).await?;
/// # Ok::<(), String>(()) }).unwrap();
/// ```
///
/// # Errors
///
/// What the store did otherwise, in words.
pub async fn revocation_store_contract(
    clients: &[Arc<dyn RevocationStore>],
    now: UnixTime,
) -> Result<(), String> {
    let (Some(first), Some(last)) = (clients.first(), clients.last()) else { return Ok(()) };
    expect(first.read(0).await? == KeptRevocations::default(), "an empty store has something")?;
    let one = first.write(0, b"one".to_vec()).await?.ok_or("a first text is not taken")?;
    expect(one != 0, "what is kept has the version of nothing")?;
    holds(&**last, one, b"one").await?;
    expect(last.read(one).await?.text.is_none(), "a text that is known is given again")?;
    let stale = last.write(0, b"two".to_vec()).await?;
    expect(stale.is_none(), "a text took the place of one that its writer had not seen")?;
    let long = vec![b'x'; 1 << 20];
    let two = last.write(one, long.clone()).await?.ok_or("a text is not taken by its version")?;
    expect(two != one && two != 0, "two texts have one version")?;
    holds(&**first, two, &long).await?;
    expect(first.write(one, Vec::new()).await?.is_none(), "an old version is taken")?;
    holds(&**last, two, &long).await?;
    race(clients).await?;
    lost(&**first, &**last).await?;
    operators(first, last, now).await
}

fn expect(held: bool, what: &str) -> Result<(), String> {
    if held { Ok(()) } else { Err(what.to_owned()) }
}

async fn holds(store: &dyn RevocationStore, version: u64, text: &[u8]) -> Result<(), String> {
    let found = store.read(0).await?;
    let wanted = KeptRevocations { version, text: Some(text.to_vec()) };
    expect(found == wanted, "a text was not kept whole, with its version")
}

/// A write, and what became of it.
type Running<'a> =
    (BoxFuture<'a, Result<Option<u64>, String>>, Option<Result<Option<u64>, String>>);

/// Of all who write at once one does, and its text is there.
async fn race(clients: &[Arc<dyn RevocationStore>]) -> Result<(), String> {
    for round in 0..20 {
        let Some(first) = clients.first() else { return Ok(()) };
        let version = first.read(0).await?.version;
        let text = |number: usize| format!("{round} {number}").into_bytes();
        let twice = clients.iter().chain(clients).enumerate();
        let mut running: Vec<Running<'_>> =
            twice.map(|(number, store)| (store.write(version, text(number)), None)).collect();
        poll_fn(|cx| {
            for (write, done) in running.iter_mut().filter(|(_, done)| done.is_none()) {
                if let Poll::Ready(written) = write.as_mut().poll(cx) {
                    *done = Some(written);
                }
            }
            match running.iter().all(|(_, done)| done.is_some()) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        let mut won = Vec::new();
        for (number, (_, done)) in running.into_iter().enumerate() {
            won.extend(done.unwrap_or(Ok(None))?.map(|version| (number, version)));
        }
        let [(number, version)] = won[..] else {
            return Err(format!("of all who wrote at once {} did, and not one", won.len()));
        };
        for store in clients {
            holds(&**store, version, &text(number)).await?;
        }
    }
    Ok(())
}

/// Who hears no answer reads and writes again.
async fn lost(first: &dyn RevocationStore, last: &dyn RevocationStore) -> Result<(), String> {
    for _ in 0..10 {
        let version = first.read(0).await?.version;
        let mut begun = first.write(version, b"lost".to_vec());
        poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
        drop(begun);
        let mut again = None;
        for _ in 0..10 {
            let version = last.read(0).await?.version;
            again = last.write(version, b"again".to_vec()).await?;
            if again.is_some() {
                break;
            }
        }
        let again = again.ok_or("nothing can be written after an answer was lost")?;
        holds(first, again, b"again").await?;
    }
    // Not what revocations are; the next part starts from nothing that is known.
    let version = first.read(0).await?.version;
    let empty = br#"{"v":1}"#.to_vec();
    first.write(version, empty).await?.map(drop).ok_or_else(|| "a text is not taken".to_owned())
}

/// Two operators revoke at once, and both count everywhere.
async fn operators(
    first: &Arc<dyn RevocationStore>,
    last: &Arc<dyn RevocationStore>,
    now: UnixTime,
) -> Result<(), String> {
    let told = |error: super::RevocationError| error.to_string();
    let node = |store: &Arc<dyn RevocationStore>| Revocations::new().shared(store.clone());
    let (one, other) = (node(first), node(last));
    let key = |byte| Revoked::Key(KeyId::from_bytes([byte; 32]));
    one.revoke(key(1), None, now).map_err(told)?;
    other.revoke(key(2), None, now.plus(5)).map_err(told)?;
    one.share(now).await.map_err(told)?;
    other.share(now.plus(5)).await.map_err(told)?;
    one.share(now).await.map_err(told)?;
    // A node that starts knows all that was revoked before.
    for revocations in [one, other, node(last)] {
        revocations.share(now).await.map_err(told)?;
        let here = revocations.revoked_here();
        let count = here.iter().filter_map(|entry| entry.revoked()).count();
        expect(count == 2, "what one of two revoked is not revoked at the other")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;
    use crate::revocation::MemoryRevocationStore;

    const NOW: UnixTime = UnixTime(1_767_323_045);

    #[test]
    fn memory_keeps_the_contract_and_two_memories_do_not() {
        let store = Arc::new(MemoryRevocationStore::new());
        block_on(revocation_store_contract(&[store.clone(), store], NOW)).unwrap();
        let apart: [Arc<dyn RevocationStore>; 2] =
            [Arc::new(MemoryRevocationStore::new()), Arc::new(MemoryRevocationStore::new())];
        block_on(revocation_store_contract(&apart, NOW)).unwrap_err();
    }
}
