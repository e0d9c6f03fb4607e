//! What every [`SessionStore`] must do, as a function that any store's tests can call.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;

use super::session_store::{Heard, Insertion, KeptSession, SessionStore, Updated};

/// A clause of the contract that a store does not keep.
#[derive(Debug)]
#[non_exhaustive]
pub struct SessionStoreContractFailure {
    /// What it must do.
    pub clause: &'static str,
    /// What it did.
    pub found: String,
}

impl std::fmt::Display for SessionStoreContractFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a store of sessions must {}; this one gave {}", self.clause, self.found)
    }
}

impl std::error::Error for SessionStoreContractFailure {}

type Kept = Result<(), SessionStoreContractFailure>;

/// Holds a store to the contract of [`SessionStore`].
///
/// `clients` are different ways to one and the same store, such as those of two nodes. Takes about a
/// second, because it waits for the end of a session; needs the runtime of tokio, uses sessions whose
/// ids begin with `contract `, and leaves none of them.
///
/// ```
/// use mcp_transport::http::server::{MemorySessionStore, session_store_contract};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let store = MemorySessionStore::default();
/// session_store_contract(&[&store]).await?;
/// # Ok::<(), mcp_transport::http::server::SessionStoreContractFailure>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// The first clause that the store does not keep.
pub async fn session_store_contract(clients: &[&dyn SessionStore]) -> Kept {
    let [first, ..] = clients else { return Ok(()) };
    let last = clients.last().unwrap_or(first);
    let contract = Contract { first: *first, last: *last };
    contract.gives_back_what_was_kept().await?;
    contract.lets_one_of_two_writers_win().await?;
    contract.survives_lost_answers().await?;
    contract.ends_for_all().await?;
    contract.ends_by_itself().await?;
    contract.tells_all_in_order().await
}

struct Contract<'a> {
    first: &'a dyn SessionStore,
    last: &'a dyn SessionStore,
}

const LONG: Duration = Duration::from_secs(60);

/// Long enough for a busy machine to do the next step in.
const SHORT: Duration = Duration::from_millis(400);

fn holds(clause: &'static str, held: bool, found: &dyn std::fmt::Debug) -> Kept {
    match held {
        true => Ok(()),
        false => Err(SessionStoreContractFailure { clause, found: format!("{found:?}") }),
    }
}

fn is_version(found: Option<&KeptSession>, version: u64, record: &'static [u8]) -> bool {
    found == Some(&KeptSession::new(version, Bytes::from_static(record)))
}

impl Contract<'_> {
    fn both(&self) -> [&dyn SessionStore; 2] {
        [self.first, self.last]
    }

    async fn keeps(&self, id: &str, record: &'static [u8], life: Duration) -> Kept {
        let done = self.first.insert(id, Bytes::from_static(record), life).await;
        holds("keep a session that is new", matches!(done, Ok(Insertion::Kept)), &done)
    }

    async fn finds(&self, clause: &'static str, id: &str, wanted: (u64, &'static [u8])) -> Kept {
        for store in self.both() {
            let found = store.find(id, LONG).await;
            let held =
                matches!(&found, Ok(found) if is_version(found.as_ref(), wanted.0, wanted.1));
            holds(clause, held, &found)?;
        }
        Ok(())
    }

    async fn has_none(&self, clause: &'static str, id: &str) -> Kept {
        for store in self.both() {
            let found = store.find(id, LONG).await;
            holds(clause, matches!(found, Ok(None)), &found)?;
            let done = store.update(id, 1, Bytes::from_static(b"late"), LONG).await;
            holds(clause, matches!(done, Ok(Updated::Gone)), &done)?;
        }
        Ok(())
    }

    async fn gives_back_what_was_kept(&self) -> Kept {
        self.keeps("contract a", b"{\"a\":\"\\u0000\"}\r\n\xff", LONG).await?;
        self.keeps("contract A", b"", LONG).await?;
        let clause = "give back what was kept, to the byte, in version 1";
        self.finds(clause, "contract a", (1, b"{\"a\":\"\\u0000\"}\r\n\xff")).await?;
        self.finds("keep sessions apart", "contract A", (1, b"")).await?;
        let again = self.last.insert("contract a", Bytes::from_static(b"other"), LONG).await;
        let clause = "leave a session as it is when another one is to have its id";
        holds(clause, matches!(again, Ok(Insertion::Taken)), &again)?;
        self.finds(clause, "contract a", (1, b"{\"a\":\"\\u0000\"}\r\n\xff")).await?;
        self.has_none("know no session that was never kept", "contract none").await
    }

    async fn lets_one_of_two_writers_win(&self) -> Kept {
        let clause =
            "let one of two nodes win that change one version, and show the other what won";
        for round in 1..=20_u64 {
            let version = round;
            let mut one = self.first.update("contract A", version, Bytes::from_static(b"1"), LONG);
            let mut two = self.last.update("contract A", version, Bytes::from_static(b"2"), LONG);
            let (mut first, mut second) = (None, None);
            poll_fn(|cx| {
                if first.is_none()
                    && let Poll::Ready(done) = one.as_mut().poll(cx)
                {
                    first = Some(done);
                }
                if second.is_none()
                    && let Poll::Ready(done) = two.as_mut().poll(cx)
                {
                    second = Some(done);
                }
                if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            let won: &'static [u8] = match (&first, &second) {
                (Some(Ok(Updated::Kept)), Some(Ok(Updated::Newer(seen))))
                    if is_version(Some(seen), version + 1, b"1") =>
                {
                    b"1"
                }
                (Some(Ok(Updated::Newer(seen))), Some(Ok(Updated::Kept)))
                    if is_version(Some(seen), version + 1, b"2") =>
                {
                    b"2"
                }
                other => return holds(clause, false, &other),
            };
            self.finds(clause, "contract A", (version + 1, won)).await?;
        }
        Ok(())
    }

    /// Whoever writes may go away before it hears that it is done.
    async fn survives_lost_answers(&self) -> Kept {
        let clause = "keep a session whole, or not at all, when nobody heard the answer";
        let mut begun = self.first.insert("contract lost", Bytes::from_static(b"1"), LONG);
        poll_fn(|cx| Poll::Ready(begun.as_mut().poll(cx).is_ready())).await;
        drop(begun);
        let again = self.last.insert("contract lost", Bytes::from_static(b"1"), LONG).await;
        holds(clause, again.is_ok(), &again)?;
        self.finds(clause, "contract lost", (1, b"1")).await?;
        let clause = "keep an update once that is given twice, and say so";
        for (wanted, number) in [(true, 1), (false, 2)] {
            let done = self.first.update("contract lost", 1, Bytes::from_static(b"2"), LONG).await;
            let held = match &done {
                Ok(Updated::Kept) => wanted,
                Ok(Updated::Newer(seen)) => !wanted && is_version(Some(seen), 2, b"2"),
                _ => false,
            };
            holds(clause, held, &(number, done))?;
        }
        Ok(())
    }

    async fn ends_for_all(&self) -> Kept {
        let clause = "end a session for all its clients, once, and no other";
        let ended = self.last.remove("contract a").await;
        holds(clause, matches!(ended, Ok(true)), &ended)?;
        self.has_none(clause, "contract a").await?;
        for store in self.both() {
            let again = store.remove("contract a").await;
            holds(clause, matches!(again, Ok(false)), &again)?;
        }
        self.finds(clause, "contract lost", (2, b"2")).await?;
        for id in ["contract A", "contract lost"] {
            let ended = self.first.remove(id).await;
            holds(clause, matches!(ended, Ok(true)), &ended)?;
        }
        // A session that ended is not there again because a node was late.
        self.has_none(clause, "contract A").await
    }

    async fn ends_by_itself(&self) -> Kept {
        self.keeps("contract short", b"s", SHORT).await?;
        self.keeps("contract used", b"u", SHORT).await?;
        self.keeps("contract set", b"s", SHORT).await?;
        self.finds("let a session that is used live on", "contract used", (1, b"u")).await?;
        let done = self.last.update("contract set", 1, Bytes::from_static(b"S"), LONG).await;
        holds("take an update", matches!(done, Ok(Updated::Kept)), &done)?;
        tokio::time::sleep(SHORT * 2).await;
        self.has_none("end a session that nobody used for its life", "contract short").await?;
        self.finds("let a session that is used live on", "contract used", (1, b"u")).await?;
        self.finds("let a session that is changed live on", "contract set", (2, b"S")).await?;
        for id in ["contract used", "contract set"] {
            let ended = self.first.remove(id).await;
            holds("end a session", matches!(ended, Ok(true)), &ended)?;
        }
        Ok(())
    }

    async fn tells_all_in_order(&self) -> Kept {
        let clause = "tell every node what any node told, in order and once";
        let mut heard = Vec::new();
        for store in self.both() {
            match store.hear(None).await {
                Ok(news) if news.told.is_empty() && !news.lost => heard.push(news.heard),
                other => return holds("tell nothing to whoever begins to hear", false, &other),
            }
        }
        let said: Vec<_> = (0..600_u32).map(|number| Bytes::from(format!("{number}"))).collect();
        for (number, told) in said.iter().enumerate() {
            let id = format!("contract {}", number % 3);
            let store = if number % 2 == 0 { self.first } else { self.last };
            let done = store.tell(&id, told.clone()).await;
            holds("tell", done.is_ok(), &done)?;
        }
        for (store, from) in self.both().into_iter().zip(heard) {
            let mut from: Heard = from;
            let mut all = Vec::new();
            loop {
                let news = store.hear(Some(from)).await;
                let Ok(news) = news else { return holds(clause, false, &news) };
                holds(clause, !news.lost, &news)?;
                from = news.heard;
                if news.told.is_empty() {
                    break;
                }
                all.extend(news.told);
            }
            let wanted: Vec<_> = said
                .iter()
                .enumerate()
                .map(|(number, told)| (format!("contract {}", number % 3), told.clone()))
                .collect();
            let all: Vec<_> = all.into_iter().map(|(id, told)| (id.to_string(), told)).collect();
            holds(clause, all == wanted, &all.len())?;
            let unknown = store.hear(Some(Heard("no such place".into()))).await;
            let unknown = unknown.map(|news| news.lost);
            let clause = "say that something is lost, or fail, for a place that it never gave";
            holds(clause, !matches!(unknown, Ok(false)), &unknown)?;
        }
        Ok(())
    }
}
