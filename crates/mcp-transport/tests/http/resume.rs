//! Coming back to a stream of a session: what was missed, and nothing twice.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp_transport::http::server::{
    EventPlace, EventStore, EventStoreError, HttpOptions, MemoryEventStore,
};
use mcp_types::*;

use crate::common::text;
use crate::raw::{Raw, Reply, Served, served};
use crate::sessions::{begin, call, get, post};
use crate::slow::Slow;

/// Reads a stream to its end: the ids and the data of its events that have data.
pub(crate) async fn rest(raw: &mut Raw) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let mut all = String::new();
    while let Some(chunk) = raw.chunk().await {
        all += &chunk;
    }
    for event in all.split_terminator("\n\n") {
        let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
        if let (Some(id), Some(data)) = (line("id: "), line("data: ")) {
            events.push((id.to_owned(), data.to_owned()));
        }
    }
    events
}

pub(crate) async fn come_back(served: &Served, id: &str, last: &str) -> (Raw, Reply) {
    let mut raw = served.connect().await;
    raw.request(&format!("{}Last-Event-ID: {last}\n", get(id)), "").await;
    let head = raw.head().await;
    (raw, head)
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() {
    let slow = Slow::default();
    let served = served(slow.clone(), HttpOptions::default()).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(1, "loud")).await;
    raw.head().await;
    let first = raw.chunk().await.unwrap();
    let prime = first.strip_prefix("id: ").unwrap().split('\n').next().unwrap().to_owned();
    drop(raw);
    // Back before the call is done: what was missed, then what comes.
    let (mut back, head) = come_back(&served, &id, &prime).await;
    assert_eq!(head.status, 200);
    let early = back.chunk().await.unwrap();
    assert!(early.contains(r#""progress":1"#), "{early}");
    slow.go.add_permits(1);
    let events = rest(&mut back).await;
    let data: Vec<_> = events.iter().map(|(_, data)| data.as_str()).collect();
    assert_eq!(data.len(), 3, "{data:?}");
    assert!(data[0].contains(r#""progress":2"#) && data[2].contains("slow"), "{data:?}");
    // Back after the end: the rest, and the end.
    let (mut back, _) = come_back(&served, &id, &events[0].0).await;
    assert_eq!(rest(&mut back).await, events[1..]);
    let (mut back, _) = come_back(&served, &id, &events[2].0).await;
    assert_eq!(rest(&mut back).await, []);
    // Nobody else gets it, and nothing is made up.
    let other = begin(&served).await;
    for (session, last) in [(&other, prime.as_str()), (&id, "9-9"), (&id, "x"), (&id, "1-99")] {
        let mut raw = served.connect().await;
        raw.request(&format!("{}Last-Event-ID: {last}\n", get(session)), "").await;
        assert_eq!(raw.reply().await.status, 400, "{last}");
    }
}

#[tokio::test]
async fn a_client_that_comes_back_takes_over_from_a_connection_that_hangs() {
    let slow = Slow::default();
    let served = served(slow.clone(), HttpOptions::default()).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(1, "loud")).await;
    raw.head().await;
    let first = raw.chunk().await.unwrap();
    let prime = first.strip_prefix("id: ").unwrap().split('\n').next().unwrap().to_owned();
    let (mut back, _) = come_back(&served, &id, &prime).await;
    slow.go.add_permits(1);
    let events = rest(&mut back).await;
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events[3].1.contains("slow"));
    // The one that was left behind has ended without an answer.
    let left = rest(&mut raw).await;
    assert!(left.iter().all(|(_, data)| !data.contains("slow")), "{left:?}");
}

/// A store that is elsewhere: to keep an event takes a while.
struct Elsewhere(MemoryEventStore);

impl EventStore for Elsewhere {
    fn append(
        &self,
        place: EventPlace,
        message: Bytes,
    ) -> BoxFuture<'static, Result<(), EventStoreError>> {
        let keeping = self.0.append(place, message);
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(40)).await;
            keeping.await
        })
    }

    fn replay(
        &self,
        after: EventPlace,
    ) -> BoxFuture<'static, Result<Vec<(u64, Bytes)>, EventStoreError>> {
        self.0.replay(after)
    }

    fn forget(&self, session: &str) -> BoxFuture<'static, ()> {
        self.0.forget(session)
    }
}

#[tokio::test]
async fn a_tool_may_send_its_client_away_for_a_while() {
    sent_away(HttpOptions::default()).await;
}

#[tokio::test]
async fn nobody_is_sent_away_before_it_knows_where_to_come_back() {
    let mut options = HttpOptions::default();
    options.event_store = Some(Arc::new(Elsewhere(MemoryEventStore::default())));
    sent_away(options).await;
}

/// A store that cannot be reached.
struct Away;

impl EventStore for Away {
    fn append(&self, _: EventPlace, _: Bytes) -> BoxFuture<'static, Result<(), EventStoreError>> {
        Box::pin(async { Err(EventStoreError::Failed("away".into())) })
    }

    fn replay(
        &self,
        _: EventPlace,
    ) -> BoxFuture<'static, Result<Vec<(u64, Bytes)>, EventStoreError>> {
        Box::pin(async { Err(EventStoreError::Failed("away".into())) })
    }

    fn forget(&self, _: &str) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}

#[tokio::test]
async fn nobody_is_sent_away_where_nothing_is_kept() {
    let mut options = HttpOptions::default();
    options.event_store = Some(Arc::new(Away));
    let slow = Slow::default();
    let served = served(slow.clone(), options).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(1, "leave")).await;
    raw.head().await;
    let go = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        slow.go.add_permits(1);
    };
    let (events, ()) = tokio::join!(rest(&mut raw), go);
    assert!(events.last().is_some_and(|(_, data)| data.contains("slow")), "{events:?}");
}

async fn sent_away(options: HttpOptions) {
    let slow = Slow::default();
    let served = served(slow.clone(), options).await;
    let id = begin(&served).await;
    let mut raw = served.connect().await;
    raw.request(&post(&id), &call(1, "leave")).await;
    raw.head().await;
    let mut all = String::new();
    while let Some(chunk) = raw.chunk().await {
        all += &chunk;
    }
    assert!(all.ends_with("retry: 30\n\n"), "{all}");
    let prime = all.lines().find_map(|line| line.strip_prefix("id: ")).expect("a place");
    slow.go.add_permits(1);
    let (mut back, _) = come_back(&served, &id, prime).await;
    let events = rest(&mut back).await;
    assert!(events.last().unwrap().1.contains("slow"), "{events:?}");
}

#[tokio::test]
async fn without_a_store_nobody_is_told_to_come_back() {
    let mut options = HttpOptions::default();
    options.event_store = None;
    let slow = Slow::default();
    let served = served(slow.clone(), options).await;
    slow.go.add_permits(1);
    let id = begin(&served).await;
    let reply = served.ask(&post(&id), &call(1, "leave")).await;
    assert!(!reply.body.contains("id: ") && !reply.body.contains("retry"), "{}", reply.body);
    assert!(reply.body.contains("slow"));
}

/// A tool that counts to 150, with pauses.
#[derive(Clone)]
struct Counts;

impl tower_service::Service<Exchange> for Counts {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), ErrorObject>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        Box::pin(async move {
            let ClientRequest::CallTool(_) = &exchange.request else {
                let found = DiscoverResult::new(ServerCapabilities::new(), Vec::new());
                return Ok(ServerResult::from(found).into());
            };
            for step in 1..=150_u32 {
                let progress = ProgressNotificationParams::new(f64::from(step), "p".into());
                exchange.notifier.notify(ServerNotification::Progress(progress)).await.unwrap();
                match step % 7 {
                    0 => tokio::time::sleep(Duration::from_millis(1)).await,
                    1 | 3 => tokio::task::yield_now().await,
                    _ => {}
                }
            }
            text("counted")
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whenever_a_connection_breaks_each_event_arrives_once() {
    let served = std::sync::Arc::new(served(Counts, HttpOptions::default()).await);
    let mut clients = tokio::task::JoinSet::new();
    for seed in 0..40_usize {
        let served = served.clone();
        clients.spawn(async move {
            let id = begin(&served).await;
            let body =
                call(1, "count").replace(r#""name""#, r#""_meta":{"progressToken":"p"},"name""#);
            let mut raw = served.connect().await;
            raw.request(&post(&id), &body).await;
            raw.head().await;
            let (mut seen, mut breaks, mut left) = (0, 0, Vec::new());
            loop {
                // As many events as the seed says, then the connection breaks, or only hangs.
                let mut last = None;
                for _ in 0..1 + (seed * 7 + breaks * 13) % 40 {
                    let Some((number, data)) = raw.event().await else { break };
                    last = number.or(last);
                    if data.contains("counted") {
                        assert_eq!(seen, 150);
                        return;
                    }
                    seen += 1;
                    assert!(data.contains(&format!("\"progress\":{seen}")), "{seen}: {data}");
                }
                breaks += 1;
                let last = last.expect("a stream that ends has an event before");
                if (seed + breaks) % 3 == 0 {
                    left.push(raw);
                }
                raw = come_back(&served, &id, &last).await.0;
            }
        });
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
}
