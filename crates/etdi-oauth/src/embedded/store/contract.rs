//! What every store must do, as a function for whoever writes one.

use std::future::poll_fn;
use std::task::Poll;

use etdi_core::time::UnixTime;
use mcp_types::BoxFuture;

use super::{Kind, MOST_BYTES, Store};
use crate::embedded::server::ServerError;

/// Holds an empty store to what [`Store`] promises, restarts excepted: times, bounds, that of all who
/// try the same one succeeds, and what is between nodes: answers that nobody heard, clocks that are
/// a few seconds apart.
///
/// `clients` are different ways to one and the same store, such as those of two nodes; one alone will
/// do, and is then raced against itself. `now` is the time, which a store may hold against its own; the
/// contract goes no further from it than six seconds.
///
/// # Errors
///
/// The first promise that is not kept, in words.
///
/// ```
/// use etdi_core::time::UnixTime;
/// use etdi_oauth::embedded::{MemoryStore, check_store};
///
/// # futures_executor::block_on(async {
/// let (store, now) = (MemoryStore::new(), UnixTime(1_767_323_045));
/// assert_eq!(check_store(&[&store, &store], now).await, Ok(()));
///
/// // Two nodes that remember by themselves are no shared store.
/// let (one, other) = (MemoryStore::new(), MemoryStore::new());
/// assert!(check_store(&[&one, &other], now).await.is_err());
/// # });
/// ```
pub async fn check_store(clients: &[&dyn Store], now: UnixTime) -> Result<(), String> {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    for kind in Kind::ALL {
        plain(*first, *last, kind, now).await?;
        names(*first, *last, kind, now).await?;
        clocks(*first, *last, kind, now).await?;
        lost(*first, *last, kind, now).await?;
        for round in 0..20 {
            race(clients, kind, &format!("race {round}"), now).await?;
        }
    }
    bounds(clients, Kind::Key, now).await
}

fn told(error: ServerError) -> String {
    error.to_string()
}

fn expect(held: bool, what: &str) -> Result<(), String> {
    if held { Ok(()) } else { Err(what.to_owned()) }
}

async fn plain(
    first: &dyn Store,
    last: &dyn Store,
    kind: Kind,
    now: UnixTime,
) -> Result<(), String> {
    let (later, end) = (now.plus(3), now.plus(6));
    let get = |now| last.get(kind, "a", now);
    expect(get(now).await.map_err(told)?.is_none(), "an empty store has a record")?;
    let put = first.insert(kind, "a", b"1".to_vec(), later, now).await.map_err(told)?;
    expect(put, "a first record was not taken")?;
    let again = last.insert(kind, "a", b"2".to_vec(), later, now).await.map_err(told)?;
    expect(!again, "a second record took the place of a first")?;
    expect(get(now).await.map_err(told)?.as_deref() == Some(b"1"), "a record was not kept")?;
    expect(get(later).await.map_err(told)?.is_none(), "a record outlives its time")?;
    let swap = async |store: &dyn Store, before: &[u8], to: &[u8], now| {
        store.swap(kind, "a", before, to.to_vec(), end, now).await.map_err(told)
    };
    expect(!swap(first, b"2", b"3", now).await?, "a swap of what is not there")?;
    expect(swap(last, b"1", b"3", now).await?, "a swap of what is there failed")?;
    expect(!swap(first, b"1", b"4", now).await?, "two swaps of one record")?;
    expect(get(later).await.map_err(told)?.as_deref() == Some(b"3"), "a swap kept the time")?;
    expect(!swap(first, b"3", b"4", end).await?, "a swap of what is over")?;
    let all = first.list(kind, now).await.map_err(told)?;
    expect(all == [("a".to_owned(), b"3".to_vec())], "a listing is not what is there")?;
    first.remove(kind, "a").await.map_err(told)?;
    last.remove(kind, "a").await.map_err(told)?;
    expect(get(now).await.map_err(told)?.is_none(), "a record was not removed")?;
    let long = first.insert(kind, "a", vec![0; MOST_BYTES + 1], later, now).await;
    expect(long == Err(ServerError::Full), "a record of any length is taken")?;
    let longest = first.insert(kind, "a", vec![7; MOST_BYTES], later, now).await;
    expect(longest == Ok(true), "a record of the greatest length is not taken")?;
    let found = get(now).await.map_err(told)?;
    expect(found == Some(vec![7; MOST_BYTES]), "a long record was not kept whole")?;
    first.remove(kind, "a").await.map_err(told)
}

/// Names that are only alike are names of their own, and come back as they were.
async fn names(
    first: &dyn Store,
    last: &dyn Store,
    kind: Kind,
    now: UnixTime,
) -> Result<(), String> {
    let long = "x".repeat(2_000);
    let longer = format!("{long}y");
    let names =
        ["A", "a", "a ", "a:b", "{a}", "\u{e9}", "e\u{301}", "a\0", "a\r\n", &long, &longer];
    for name in names {
        let record = name.as_bytes().to_vec();
        let put = first.insert(kind, name, record, now.plus(60), now).await.map_err(told)?;
        expect(put, "a name was taken for another that is only alike")?;
    }
    for name in names {
        let found = last.get(kind, name, now).await.map_err(told)?;
        expect(found.as_deref() == Some(name.as_bytes()), "a record was kept for another name")?;
    }
    let mut listed = last.list(kind, now).await.map_err(told)?;
    listed.sort();
    let mut wanted: Vec<_> =
        names.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())).collect();
    wanted.sort();
    expect(listed == wanted, "a listing has other names than were given")?;
    for name in names {
        last.remove(kind, name).await.map_err(told)?;
    }
    Ok(())
}

/// Nodes whose clocks are five seconds apart know each other's records.
async fn clocks(
    first: &dyn Store,
    last: &dyn Store,
    kind: Kind,
    now: UnixTime,
) -> Result<(), String> {
    for (name, one, other) in
        [("ahead", now, now.plus(5)), ("behind", now.plus(5), now), ("early", now.minus(5), now)]
    {
        let put = first.insert(kind, name, b"1".to_vec(), now.plus(60), one).await;
        expect(put.map_err(told)?, "a record was not taken by a clock that is off")?;
        let again = last.insert(kind, name, b"2".to_vec(), now.plus(60), other).await;
        expect(!again.map_err(told)?, "a clock that is off lets a record be put twice")?;
        let found = last.get(kind, name, other).await.map_err(told)?;
        expect(found.as_deref() == Some(b"1"), "a clock that is off hides a record")?;
        first.remove(kind, name).await.map_err(told)?;
    }
    Ok(())
}

/// Whoever asked has gone away before the answer came, and asks again.
async fn lost(
    first: &dyn Store,
    last: &dyn Store,
    kind: Kind,
    now: UnixTime,
) -> Result<(), String> {
    let until = now.plus(60);
    for round in 0..10 {
        let name = format!("lost {round}");
        begin(first.insert(kind, &name, b"1".to_vec(), until, now)).await;
        // Whether the first was heard of by the store nobody knows.
        last.insert(kind, &name, b"1".to_vec(), until, now).await.map_err(told)?;
        let third = first.insert(kind, &name, b"1".to_vec(), until, now).await.map_err(told)?;
        expect(!third, "a record was put twice after an answer was lost")?;
        begin(first.swap(kind, &name, b"1", b"2".to_vec(), until, now)).await;
        last.swap(kind, &name, b"1", b"2".to_vec(), until, now).await.map_err(told)?;
        let third = first.swap(kind, &name, b"1", b"2".to_vec(), until, now).await.map_err(told)?;
        expect(!third, "a record was swapped twice after an answer was lost")?;
        let found = last.get(kind, &name, now).await.map_err(told)?;
        expect(found.as_deref() == Some(b"2"), "a swap whose answer was lost left something else")?;
        first.remove(kind, &name).await.map_err(told)?;
    }
    Ok(())
}

/// Of all who put, and of all who swap, one succeeds, and its record is there.
async fn race(clients: &[&dyn Store], kind: Kind, name: &str, now: UnixTime) -> Result<(), String> {
    let [first, ..] = clients else { return Ok(()) };
    let until = now.plus(60);
    let twice = || clients.iter().chain(clients).enumerate();
    let record = |number: usize| number.to_string().into_bytes();
    let puts = twice().map(|(number, store)| store.insert(kind, name, record(number), until, now));
    let won = winner(at_once(puts.collect()).await)?;
    let found = first.get(kind, name, now).await.map_err(told)?;
    expect(found == won.map(record), "of all who put a record not exactly one did")?;
    let before = found.unwrap_or_default();
    let swaps = twice()
        .map(|(number, store)| store.swap(kind, name, &before, record(100 + number), until, now));
    let won = winner(at_once(swaps.collect()).await)?;
    let found = first.get(kind, name, now).await.map_err(told)?;
    let swapped = won.map(|number| record(100 + number));
    expect(found == swapped, "of all who swapped a record not exactly one did")?;
    first.remove(kind, name).await.map_err(told)
}

/// Which one alone was told that it did.
fn winner(done: Vec<Result<bool, ServerError>>) -> Result<Option<usize>, String> {
    let done: Result<Vec<bool>, _> = done.into_iter().collect();
    let done = done.map_err(told)?;
    let mut won = done.iter().enumerate().filter(|(_, done)| **done).map(|(number, _)| number);
    Ok(won.next().filter(|_| won.next().is_none()))
}

/// A kind that is full takes no more, loses nothing, and takes more when what is over has gone.
async fn bounds(clients: &[&dyn Store], kind: Kind, now: UnixTime) -> Result<(), String> {
    let [store, ..] = clients else { return Ok(()) };
    let (soon, late) = (now.plus(3), now.plus(6));
    let put = |name: String, until, now| async move {
        store.insert(kind, &name, Vec::new(), until, now).await
    };
    for number in 0..kind.most() - 1 {
        let until = if number == 0 { soon } else { late };
        let taken = put(format!("n{number}"), until, now).await;
        expect(taken == Ok(true), "a kind is full before its time")?;
    }
    let names: Vec<_> = (0..8).map(|number| format!("last {number}")).collect();
    let takers = names.iter().zip(clients.iter().cycle());
    let takers = takers.map(|(name, store)| store.insert(kind, name, Vec::new(), late, now));
    let taken = at_once(takers.collect()).await;
    let room = taken.iter().filter(|taken| **taken == Ok(true)).count();
    let full = taken.iter().filter(|taken| **taken == Err(ServerError::Full)).count();
    expect((room, full) == (1, 7), "of many who want the last place not exactly one gets it")?;
    expect(put("x".into(), late, now).await == Err(ServerError::Full), "a full kind takes more")?;
    let other = store.insert(Kind::Used, "x", Vec::new(), late, now).await;
    expect(other == Ok(true), "one kind crowds out another")?;
    for number in 0..kind.most() - 1 {
        let there = store.get(kind, &format!("n{number}"), now).await;
        expect(there == Ok(Some(Vec::new())), "a record was lost for another")?;
    }
    expect(put("x".into(), late, soon).await == Ok(true), "what is over still takes room")?;
    expect(put("y".into(), late, soon).await == Err(ServerError::Full), "there is room twice")?;
    let all = store.list(kind, late).await;
    expect(all == Ok(Vec::new()), "a listing shows what is over")
}

/// Asks once, and goes away.
async fn begin(mut asked: BoxFuture<'_, Result<bool, ServerError>>) {
    poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_ready())).await;
}

async fn at_once<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
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
