//! What every store must do, as a function for whoever writes one.

use etdi_core::time::UnixTime;

use super::{Kind, MOST_BYTES, Store};
use crate::embedded::server::ServerError;

/// Holds an empty store to what [`Store`] promises, restarts excepted: times, bounds, and that of two
/// who try the same one succeeds.
///
/// # Errors
///
/// The first promise that is not kept, in words.
///
/// ```
/// use etdi_oauth::embedded::{MemoryStore, check_store};
///
/// # futures_executor::block_on(async {
/// assert_eq!(check_store(&MemoryStore::new()).await, Ok(()));
/// # });
/// ```
pub async fn check_store(store: &dyn Store) -> Result<(), String> {
    let (now, later) = (UnixTime(1_000), UnixTime(2_000));
    let told = |error: ServerError| error.to_string();
    let expect = |held: bool, what: &str| if held { Ok(()) } else { Err(what.to_owned()) };
    for kind in Kind::ALL {
        let get = |now| store.get(kind, "a", now);
        expect(get(now).await.map_err(told)?.is_none(), "an empty store has a record")?;
        let put = store.insert(kind, "a", b"1".to_vec(), later, now).await.map_err(told)?;
        expect(put, "a first record was not taken")?;
        let again = store.insert(kind, "a", b"2".to_vec(), later, now).await.map_err(told)?;
        expect(!again, "a second record took the place of a first")?;
        expect(get(now).await.map_err(told)?.as_deref() == Some(b"1"), "a record was not kept")?;
        expect(get(later).await.map_err(told)?.is_none(), "a record outlives its time")?;
        let swap = |before: &'static [u8], to: &'static [u8], now| {
            store.swap(kind, "a", before, to.to_vec(), UnixTime(3_000), now)
        };
        expect(!swap(b"2", b"3", now).await.map_err(told)?, "a swap of what is not there")?;
        expect(swap(b"1", b"3", now).await.map_err(told)?, "a swap of what is there failed")?;
        expect(!swap(b"1", b"4", now).await.map_err(told)?, "two swaps of one record")?;
        expect(get(later).await.map_err(told)?.as_deref() == Some(b"3"), "a swap kept the time")?;
        expect(!swap(b"3", b"4", UnixTime(3_000)).await.map_err(told)?, "a swap of what is over")?;
        let all = store.list(kind, now).await.map_err(told)?;
        expect(all == [("a".to_owned(), b"3".to_vec())], "a listing is not what is there")?;
        store.remove(kind, "a").await.map_err(told)?;
        store.remove(kind, "a").await.map_err(told)?;
        expect(get(now).await.map_err(told)?.is_none(), "a record was not removed")?;
        let long = vec![0; MOST_BYTES + 1];
        let long = store.insert(kind, "a", long, later, now).await;
        expect(long == Err(ServerError::Full), "a record of any length is taken")?;
    }
    bounds(store, Kind::Key).await
}

/// A kind that is full takes no more, loses nothing, and takes more when what is over has gone.
async fn bounds(store: &dyn Store, kind: Kind) -> Result<(), String> {
    let expect = |held: bool, what: &str| if held { Ok(()) } else { Err(what.to_owned()) };
    let put = |name: String, until, now| async move {
        store.insert(kind, &name, Vec::new(), UnixTime(until), UnixTime(now)).await
    };
    for number in 0..kind.most() {
        let until = if number == 0 { 20 } else { 30 };
        let taken = put(format!("n{number}"), until, 10).await;
        expect(taken == Ok(true), "a kind is full before its time")?;
    }
    expect(put("x".into(), 30, 10).await == Err(ServerError::Full), "a full kind takes more")?;
    let other = store.insert(Kind::Used, "x", Vec::new(), UnixTime(30), UnixTime(10)).await;
    expect(other == Ok(true), "one kind crowds out another")?;
    for number in 0..kind.most() {
        let there = store.get(kind, &format!("n{number}"), UnixTime(10)).await;
        expect(there == Ok(Some(Vec::new())), "a record was lost for another")?;
    }
    expect(put("x".into(), 30, 20).await == Ok(true), "what is over still takes room")?;
    expect(put("y".into(), 30, 20).await == Err(ServerError::Full), "there is room twice")?;
    let all = store.list(kind, UnixTime(30)).await;
    expect(all == Ok(Vec::new()), "a listing shows what is over")
}
