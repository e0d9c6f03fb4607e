//! Events of broken streams: any node gives what any other kept.

use std::time::Duration;

use bytes::Bytes;
use mcp_redis::{EventBounds, Failure, StoreName};
use mcp_transport::http::server::{
    EventPlace, EventStore as _, EventStoreError, event_store_contract,
};

use crate::server::RedisServer;
use crate::{failed, round_trips};

fn place(session: &str, event: u64) -> EventPlace {
    EventPlace::new(session.into(), 1, event)
}

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (one_events, other_events) = (one.events().unwrap(), other.events().unwrap());
    event_store_contract(&[&one_events, &other_events]).await.unwrap();
    event_store_contract(&[&other_events]).await.unwrap();
}

#[tokio::test]
async fn a_session_is_bounded_by_number_bytes_and_age() {
    let server = RedisServer::start();
    let bounds = EventBounds::new(10, 4_000, Duration::from_secs(60));
    let builder = server.builder().dangerously_believe_empty().events(bounds);
    let node = builder.connect().await.unwrap();
    let events = node.events().unwrap();
    for event in 0..100 {
        events.append(place("many", event), Bytes::from_static(b"{}")).await.unwrap();
    }
    assert_eq!(events.replay(place("many", 90)).await.unwrap().len(), 9);
    let gone = events.replay(place("many", 89)).await;
    assert!(matches!(gone, Err(EventStoreError::Gone)), "{gone:?}");
    for event in 0..10 {
        events.append(place("long", event), Bytes::from(vec![b' '; 1_000])).await.unwrap();
    }
    assert_eq!(events.replay(place("long", 8)).await.unwrap().len(), 1);
    assert!(events.replay(place("long", 5)).await.is_err());
    let too_long = events.append(place("long", 10), Bytes::from(vec![b' '; 5_000])).await;
    assert!(matches!(too_long, Err(EventStoreError::Failed(_))), "{too_long:?}");
    // What could not be kept is never left out in silence.
    events.append(place("long", 11), Bytes::from_static(b"{}")).await.unwrap();
    assert!(matches!(events.replay(place("long", 9)).await, Err(EventStoreError::Gone)));
    for name in server.ask(&["KEYS", "*:e*"]).lines() {
        let left: i64 = server.ask(&["PTTL", name]).parse().unwrap();
        assert!((1..=60_000).contains(&left), "{name}: {left}");
    }
}

#[tokio::test]
async fn what_is_old_goes_with_the_next_event() {
    let server = RedisServer::start();
    let bounds = EventBounds::new(10, 4_000, Duration::from_millis(400));
    let builder = server.builder().dangerously_believe_empty().events(bounds);
    let events = builder.connect().await.unwrap().events().unwrap();
    events.append(place("a", 0), Bytes::from_static(b"0")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    events.append(place("a", 1), Bytes::from_static(b"1")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    events.append(place("a", 2), Bytes::from_static(b"2")).await.unwrap();
    assert!(matches!(events.replay(place("a", 0)).await, Err(EventStoreError::Gone)));
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.ask(&["KEYS", "*:e*"]), "", "a session that is silent leaves nothing");
}

#[tokio::test]
async fn redis_learns_neither_session_nor_message_and_cannot_move_them() {
    let server = RedisServer::start();
    let node = server.node().await;
    let events = node.events().unwrap();
    let secret = "the session of ada";
    for (session, text) in [(secret, "the first result"), ("another", "another result")] {
        for event in 0..2 {
            events.append(place(session, event), Bytes::from(text)).await.unwrap();
        }
    }
    let names = server.ask(&["KEYS", "*events"]);
    let mut all = names.clone();
    for name in names.lines() {
        all += &server.ask(&["XRANGE", name, "-", "+"]);
    }
    for known in [secret, "ada", "another", "result"] {
        assert!(!all.contains(known), "{known} is in Redis");
    }
    // Whoever can write to Redis puts one session's events in the place of another's.
    let names: Vec<_> = names.lines().collect();
    server.ask(&["COPY", names[0], names[1], "REPLACE"]);
    let mut results = Vec::new();
    for session in [secret, "another"] {
        results.push(events.replay(place(session, 0)).await);
    }
    let moved = results.iter().filter(|found| matches!(found, Err(EventStoreError::Failed(_))));
    assert_eq!(moved.count(), 1, "{results:?}");
    assert_eq!(failed(&node, StoreName::Events, Failure::Damaged), 1);
}

#[tokio::test]
async fn an_event_costs_one_round_trip_and_a_redis_that_is_gone_hides_no_gap() {
    let mut server =
        RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let node = server.node().await;
    let events = node.events().unwrap();
    events.append(place("a", 0), Bytes::from_static(b"0")).await.unwrap();
    let before = round_trips(&node, StoreName::Events);
    events.append(place("a", 1), Bytes::from_static(b"1")).await.unwrap();
    assert_eq!(round_trips(&node, StoreName::Events) - before, 1);
    server.kill();
    let lost = events.append(place("a", 2), Bytes::from_static(b"2")).await;
    assert!(matches!(lost, Err(EventStoreError::Failed(_))), "{lost:?}");
    server.start_again();
    let mut kept = false;
    for _ in 0..500 {
        kept = events.append(place("a", 3), Bytes::from_static(b"3")).await.is_ok();
        if kept {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(kept);
    assert!(matches!(events.replay(place("a", 0)).await, Err(EventStoreError::Gone)));
    assert!(events.replay(place("a", 3)).await.unwrap().is_empty());
}
