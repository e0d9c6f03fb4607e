//! What every [`EventStore`] must do, as a function that any store's tests can call.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;

use super::event_store::{EventPlace, EventStore, EventStoreError};

/// A clause of the contract that a store does not keep.
#[derive(Debug)]
#[non_exhaustive]
pub struct EventStoreContractFailure {
    /// What it must do.
    pub clause: &'static str,
    /// What it did.
    pub found: String,
}

impl std::fmt::Display for EventStoreContractFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a store of events must {}; this one gave {}", self.clause, self.found)
    }
}

impl std::error::Error for EventStoreContractFailure {}

/// Holds a store to the contract of [`EventStore`].
///
/// `clients` are different ways to one and the same store, such as those of two nodes: what one
/// appends is replayed by another. Needs no runtime of its own, wants a store that keeps at least 16
/// events of a session, uses sessions whose ids begin with `contract `, and leaves none of them.
///
/// ```
/// use mcp_transport::http::server::{MemoryEventStore, event_store_contract};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryEventStore::default();
/// event_store_contract(&[&store]).await?;
/// # Ok::<(), mcp_transport::http::server::EventStoreContractFailure>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn event_store_contract(
    clients: &[&dyn EventStore],
) -> Result<(), EventStoreContractFailure> {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    let contract = Contract { first: *first, last: *last };
    contract.gives_back_what_followed().await?;
    contract.keeps_sessions_apart().await?;
    contract.hides_no_gap().await?;
    contract.survives_lost_answers().await?;
    contract.forgets_for_all().await
}

struct Contract<'a> {
    first: &'a dyn EventStore,
    last: &'a dyn EventStore,
}

type Events = Vec<(u64, Bytes)>;

fn place(session: &str, stream: u64, event: u64) -> EventPlace {
    EventPlace::new(Arc::from(format!("contract {session}")), stream, event)
}

fn broken<T>(
    clause: &'static str,
    found: &dyn std::fmt::Debug,
) -> Result<T, EventStoreContractFailure> {
    Err(EventStoreContractFailure { clause, found: format!("{found:?}") })
}

impl Contract<'_> {
    async fn append(
        &self,
        place: EventPlace,
        message: &'static [u8],
    ) -> Result<(), EventStoreContractFailure> {
        match self.first.append(place, Bytes::from_static(message)).await {
            Ok(()) => Ok(()),
            Err(error) => broken("keep an event that it has room for", &error),
        }
    }

    async fn replays(
        &self,
        clause: &'static str,
        after: EventPlace,
        wanted: &[(u64, &'static [u8])],
    ) -> Result<(), EventStoreContractFailure> {
        let wanted: Events =
            wanted.iter().map(|(event, text)| (*event, Bytes::from_static(text))).collect();
        for store in [self.first, self.last] {
            match store.replay(after.clone()).await {
                Ok(found) if found == wanted => {}
                other => return broken(clause, &other),
            }
        }
        Ok(())
    }

    async fn is_gone(
        &self,
        clause: &'static str,
        after: EventPlace,
    ) -> Result<(), EventStoreContractFailure> {
        for store in [self.first, self.last] {
            let found = store.replay(after.clone()).await;
            if !matches!(found, Err(EventStoreError::Gone)) {
                return broken(clause, &found);
            }
        }
        Ok(())
    }

    async fn gives_back_what_followed(&self) -> Result<(), EventStoreContractFailure> {
        let clause = "give back what followed an event, in order, bytes and numbers as they were";
        let texts: [&'static [u8]; 4] =
            [b"", b"{\"a\":\"\\u0000\"}", "\u{1f30d}".as_bytes(), b"\r\n"];
        for (event, text) in (0..).zip(texts) {
            self.append(place("a", 7, event), text).await?;
        }
        let [_, second, third, fourth] = texts;
        self.replays(clause, place("a", 7, 0), &[(1, second), (2, third), (3, fourth)]).await?;
        self.replays(clause, place("a", 7, 2), &[(3, fourth)]).await?;
        self.replays("give nothing after the newest event", place("a", 7, 3), &[]).await
    }

    async fn keeps_sessions_apart(&self) -> Result<(), EventStoreContractFailure> {
        let clause = "keep sessions and their streams apart";
        self.append(place("a", 8, 0), b"of another stream").await?;
        self.append(place("b", 7, 0), b"of another session").await?;
        self.append(place("b", 7, 1), b"too").await?;
        self.replays(clause, place("a", 8, 0), &[]).await?;
        self.replays(clause, place("b", 7, 0), &[(1, b"too")]).await?;
        let clause = "say that an event is gone which it was never given";
        for unknown in [place("a", 7, 4), place("a", 9, 0), place("c", 7, 0), place("A", 7, 0)] {
            self.is_gone(clause, unknown).await?;
        }
        Ok(())
    }

    /// An event that could not be kept is missing: whoever asks for what came before must hear that.
    async fn hides_no_gap(&self) -> Result<(), EventStoreContractFailure> {
        let clause = "say that an event is gone when one that followed it is missing";
        for event in [0, 1, 3, 4] {
            self.append(place("gap", 1, event), b"x").await?;
        }
        self.is_gone(clause, place("gap", 1, 0)).await?;
        self.replays("give back what follows a gap", place("gap", 1, 3), &[(4, b"x")]).await
    }

    /// Whoever appends may go away before it hears that the event is kept.
    async fn survives_lost_answers(&self) -> Result<(), EventStoreContractFailure> {
        let clause = "keep an event whole, or say that it is gone, when nobody heard the answer";
        self.append(place("lost", 1, 0), b"0").await?;
        let mut begun = self.first.append(place("lost", 1, 1), Bytes::from_static(b"1"));
        poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
        drop(begun);
        self.append(place("lost", 1, 2), b"2").await?;
        let whole: Events = vec![(1, Bytes::from_static(b"1")), (2, Bytes::from_static(b"2"))];
        let found = self.last.replay(place("lost", 1, 0)).await;
        match &found {
            Ok(found) if *found == whole => {}
            Err(EventStoreError::Gone) => {}
            other => return broken(clause, other),
        }
        // An event that is given twice, because the first answer was lost, is there once.
        self.append(place("lost", 1, 2), b"2").await?;
        self.append(place("lost", 1, 3), b"3").await?;
        self.replays("keep an event once that it is given twice", place("lost", 1, 2), &[(3, b"3")])
            .await
    }

    async fn forgets_for_all(&self) -> Result<(), EventStoreContractFailure> {
        let clause = "forget a session for all its clients, and no other";
        self.first.forget("contract a").await;
        self.is_gone(clause, place("a", 7, 0)).await?;
        self.is_gone(clause, place("a", 8, 0)).await?;
        self.replays(clause, place("b", 7, 0), &[(1, b"too")]).await?;
        for session in ["b", "gap", "lost", "never was"] {
            self.last.forget(&format!("contract {session}")).await;
        }
        self.is_gone(clause, place("b", 7, 0)).await
    }
}
