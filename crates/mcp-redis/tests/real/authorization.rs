//! An authorization server of two nodes, on a Redis that forgets, is full, or is gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use etdi_oauth::embedded::{
    AuthorizationServer as _, Embedded, Kind, ServerError, Settings, Store, check_store,
};
use mcp_redis::{Failure, RedisAuthorizationStore, StoreName};

use crate::replay::{follow, until};
use crate::server::RedisServer;
use crate::{failed, now, round_trips};

async fn put(store: &RedisAuthorizationStore, kind: Kind, name: &str) -> Result<bool, ServerError> {
    store.insert(kind, name, b"record of ada".to_vec(), now().plus(600), now()).await
}

/// The same once Redis is reached again.
async fn put_soon(
    store: &RedisAuthorizationStore,
    kind: Kind,
    name: &str,
) -> Result<bool, ServerError> {
    let away = ["reached", "did not answer within"];
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match put(store, kind, name).await {
            Err(ServerError::Storage(why))
                if Instant::now() < end && away.iter().any(|text| why.contains(text)) =>
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let believing = || server.builder().dangerously_believe_empty();
    // The contract asks as of now, however long it takes on a busy machine.
    let patient =
        || believing().timeout(Duration::from_secs(20)).clock_tolerance(Duration::from_secs(60));
    let (one, other) = (patient().connect().await.unwrap(), patient().connect().await.unwrap());
    let (first, second) =
        (one.authorization().await.unwrap(), other.authorization().await.unwrap());
    check_store(&[&first, &second], now()).await.unwrap();

    let before = round_trips(&one, StoreName::Authorization);
    assert_eq!(put(&first, Kind::Grant, "the grant of ada").await, Ok(true));
    first.get(Kind::Grant, "the grant of ada", now()).await.unwrap();
    assert_eq!(round_trips(&one, StoreName::Authorization) - before, 2, "one each");
    for key in server.ask(&["KEYS", "*"]).lines().filter(|key| key.ends_with("records")) {
        let all = server.ask(&["HGETALL", key]);
        assert!(!all.contains("ada"), "a name or a record is in {key}");
    }
}

#[tokio::test]
async fn two_nodes_are_one_authorization_server() {
    let server = RedisServer::start();
    let settings = Settings::new("https://auth.example", ["https://mcp.example/mcp"]).unwrap();
    let node = async || {
        let node = server.builder().dangerously_believe_empty();
        let node = node.clock_tolerance(Duration::from_secs(60)).connect().await.unwrap();
        let store = node.authorization().await.unwrap();
        Embedded::open(Arc::new(store), &settings, now()).await.unwrap()
    };
    let (one, other) = tokio::join!(node(), node());
    assert_eq!(one.jwks(now()), other.jwks(now()), "one first key");
    assert!(one.first_use("proof", now().plus(60), now()).await.unwrap());
    assert!(!other.first_use("proof", now().plus(60), now()).await.unwrap());
    one.rotate_keys(now()).await.unwrap();
    assert_ne!(one.jwks(now()), other.jwks(now()));
    other.look(now().plus(31)).await.unwrap();
    assert_eq!(one.jwks(now()), other.jwks(now()), "the next key");
    assert_eq!(one.jwks(now()), node().await.jwks(now()));
}

#[tokio::test]
async fn redis_can_neither_change_nor_move_a_record() {
    let server = RedisServer::start();
    let node = server.node().await;
    let store = node.authorization().await.unwrap();
    for name in ["ada", "eve"] {
        let record = format!("grant of {name}").into_bytes();
        assert!(store.insert(Kind::Grant, name, record, now().plus(60), now()).await.unwrap());
    }
    let key = "mcp:1:{o2}:records";
    let names = server.ask(&["HKEYS", key]);
    let (first, second) = names.split_once('\n').unwrap();
    let moved =
        format!("redis.call('HSET', KEYS[1], '{second}', redis.call('HGET', KEYS[1], '{first}'))");
    // What was over lives on.
    let longer = format!(
        "local r = redis.call('HGET', KEYS[1], '{second}') \
         redis.call('HSET', KEYS[1], '{second}', '9' .. r)"
    );
    for attack in [moved, longer] {
        server.ask(&["COPY", key, "before", "REPLACE"]);
        assert_eq!(server.ask(&["EVAL", &attack, "1", key]), "");
        let found = [
            store.get(Kind::Grant, "ada", now()).await,
            store.get(Kind::Grant, "eve", now()).await,
        ];
        let refused = found.iter().filter(|found| found.is_err()).count();
        assert_eq!(refused, 1, "{found:?}");
        assert!(store.list(Kind::Grant, now()).await.is_err());
        server.ask(&["COPY", "before", key, "REPLACE"]);
    }
    assert_eq!(failed(&node, StoreName::Authorization, Failure::Damaged), 4);
    assert!(store.get(Kind::Grant, "eve", now()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_redis_that_was_emptied_under_a_node_is_not_believed() {
    let server = RedisServer::start();
    let node = server.node().await;
    let store = node.authorization().await.unwrap();
    assert_eq!(put(&store, Kind::Used, "taken back").await, Ok(true));
    server.ask(&["FLUSHALL"]);
    let refused = put(&store, Kind::Used, "taken back").await;
    assert!(matches!(&refused, Err(ServerError::Storage(why)) if why.contains("lost")));
    // To say that nothing was taken back would be as wrong.
    assert!(store.get(Kind::Used, "taken back", now()).await.is_err());
    assert_eq!(failed(&node, StoreName::Authorization, Failure::Emptied), 2);
    // A node that starts knows nothing that could count again, and makes all anew.
    let fresh = server.node().await.authorization().await.unwrap();
    assert_eq!(put(&fresh, Kind::Key, "key").await, Ok(true));
}

/// The attack: a proof that was used at one node, sent to another that has not used its store yet, once Redis was
/// emptied.
#[tokio::test]
async fn a_redis_that_was_emptied_is_believed_by_no_node_that_started_before() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (first, second) =
        (one.authorization().await.unwrap(), other.authorization().await.unwrap());
    assert_eq!(put(&first, Kind::Used, "proof").await, Ok(true));
    server.ask(&["FLUSHALL"]);
    for store in [second, other.authorization().await.unwrap()] {
        let replayed = put(&store, Kind::Used, "proof").await;
        assert!(matches!(&replayed, Err(ServerError::Storage(why)) if why.contains("lost")));
    }
}

#[tokio::test]
async fn a_redis_that_started_anew_lets_nothing_count_as_used_for_the_first_time() {
    let mut server =
        RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let node = server.node().await;
    let store = node.authorization().await.unwrap();
    for kind in Kind::ALL {
        assert_eq!(put(&store, kind, "before").await, Ok(true));
    }
    server.kill();
    server.start_again();
    assert_eq!(put_soon(&store, Kind::Used, "before").await, Ok(false), "this it knows");
    for _ in 0..2 {
        let unknown = put_soon(&store, Kind::Used, "maybe").await;
        let known = unknown == Ok(false);
        assert!(known || matches!(unknown, Err(ServerError::Storage(_))), "{unknown:?}");
    }
    // What is taken back in that time is noted.
    assert!(store.get(Kind::Used, "maybe", now()).await.unwrap().is_some());
    let spent =
        store.swap(Kind::Grant, "before", b"record of ada", vec![1], now().plus(60), now()).await;
    assert!(matches!(spent, Err(ServerError::Storage(_))), "{spent:?}");
    assert!(failed(&node, StoreName::Authorization, Failure::Forgetful) >= 2);
    // New clients and grants there may be.
    assert_eq!(put(&store, Kind::Grant, "after").await, Ok(true));
    // Two minutes later all is as before.
    for key in server.ask(&["KEYS", "*{o*}:marker"]).lines() {
        server.ask(&["HSET", key, "since", &(now().0 - 131).to_string()]);
    }
    assert_eq!(put(&store, Kind::Used, "surely").await, Ok(true));
    let spent =
        store.swap(Kind::Grant, "before", b"record of ada", vec![1], now().plus(60), now()).await;
    assert_eq!(spent, Ok(true));
}

/// A proof is used at a replica that was promoted; the master before it comes back without having heard.
#[tokio::test]
async fn a_master_that_comes_back_lets_nothing_count_as_used_for_the_first_time() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    follow(&second, &first).await;
    let node = first.node().await;
    let store = node.authorization().await.unwrap();
    assert_eq!(put(&store, Kind::Used, "before").await, Ok(true));
    let key = first.ask(&["KEYS", "*{o*}:records"]);
    until(|| second.ask(&["EXISTS", &key]) == "1").await;
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    follow(&first, &second).await;
    first.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let elsewhere = second.builder().connect().await.unwrap().authorization().await.unwrap();
    assert!(put(&elsewhere, Kind::Used, "proof").await.is_err(), "it is noted");
    first.ask(&["REPLICAOF", "NO", "ONE"]);
    let again = put_soon(&store, Kind::Used, "proof").await;
    assert!(matches!(again, Err(ServerError::Storage(_))), "{again:?}");
    assert!(failed(&node, StoreName::Authorization, Failure::Forgetful) >= 1);
}

#[tokio::test]
async fn a_redis_that_is_full_paused_or_gone_refuses_in_bounded_time() {
    let mut server = RedisServer::start();
    let node = server.builder().dangerously_believe_empty().timeout(Duration::from_millis(300));
    let node = node.connect().await.unwrap();
    let store = node.authorization().await.unwrap();
    assert_eq!(put(&store, Kind::Used, "one").await, Ok(true));
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(put(&store, Kind::Used, "two").await, Err(ServerError::Full));
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    for off in [now().plus(60), now().minus(60)] {
        let refused = store.insert(Kind::Used, "off", vec![], off.plus(60), off).await;
        assert!(matches!(refused, Err(ServerError::Storage(_))), "{refused:?}");
    }
    assert_eq!(failed(&node, StoreName::Authorization, Failure::Clock), 2);
    server.signal("-STOP");
    let began = Instant::now();
    let refused = put(&store, Kind::Used, "three").await;
    server.signal("-CONT");
    assert!(matches!(refused, Err(ServerError::Storage(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    server.kill();
    assert!(put(&store, Kind::Used, "four").await.is_err());
    assert!(store.get(Kind::Key, "key", now()).await.is_err());
}
