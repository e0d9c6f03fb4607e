//! A node that starts while Redis is away.

use std::time::{Duration, Instant};

use etdi_core::key::KeyId;
use etdi_core::request::{CLOCK_SKEW, LIFETIME, Taken};
use mcp_redis::{Address, ClusterSecret, Failure, Health, RedisError, RedisStores};

use crate::now;
use crate::server::RedisServer;

const LONG: Duration = Duration::from_secs(30);

async fn take(node: &RedisStores, id: &str) -> Result<Taken, RedisError> {
    let until = now().plus(LIFETIME + CLOCK_SKEW);
    node.replay().try_take(KeyId::from_bytes([1; 32]), id, until, now()).await
}

/// The attack: a call that was used before Redis lost everything, at a node that started meanwhile and was told to
/// believe an empty one.
#[tokio::test]
async fn a_node_waits_for_redis_and_does_not_believe_that_it_was_always_empty() {
    let mut server = RedisServer::start();
    let first = server.node().await;
    assert_eq!(take(&first, "pay").await.unwrap(), Taken::First);
    server.kill();
    let patient = server.builder().timeout(Duration::from_millis(200)).dangerously_believe_empty();
    let starting = tokio::spawn(patient.wait(LONG).connect());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!starting.is_finished(), "it waits");
    server.start_again();
    let late = starting.await.unwrap().unwrap();
    let replayed = take(&late, "pay").await;
    assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");
    // One whose Redis was there is told so, and believes it.
    assert!(
        take(&server.node().await, "other").await.is_err(),
        "it is known to have begun just now"
    );
}

#[tokio::test]
async fn the_wait_may_be_as_long_as_time_is() {
    let server = RedisServer::start();
    let node = server.builder().dangerously_believe_empty().wait(Duration::MAX).connect();
    assert_eq!(take(&node.await.unwrap(), "pay").await.unwrap(), Taken::First);
    let node = server.builder().timeout(Duration::MAX).connect().await.unwrap();
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::Before);
}

#[tokio::test]
async fn the_wait_has_an_end_and_is_for_nothing_that_it_does_not_mend() {
    let mut server = RedisServer::start();
    let _node = server.node().await;
    let began = Instant::now();
    let stranger = RedisStores::builder(Address::one(server.url()), ClusterSecret::new([9; 32]));
    let refused = stranger.wait(LONG).connect().await.unwrap_err();
    assert_eq!(refused.failure(), Failure::Secret);
    assert!(began.elapsed() < LONG / 2, "{:?}", began.elapsed());
    server.kill();
    let began = Instant::now();
    let refused = server.builder().wait(Duration::from_secs(1)).connect().await.unwrap_err();
    assert!(refused.to_string().contains("nothing listens there"), "{refused}");
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1) && took < LONG / 2, "{took:?}");
}

/// Where all start at once the replicas come after their master, and a failover ends.
#[tokio::test]
async fn a_node_waits_for_replicas_and_for_a_master() {
    let server = RedisServer::start();
    let replicas = |number| ["CONFIG", "SET", "min-replicas-to-write", number];
    for (before, after, said) in [
        (&replicas("1")[..], &replicas("0")[..], "its replicas are not there"),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "that is a replica"),
    ] {
        server.ask(before);
        let refused = server.builder().connect().await.unwrap_err();
        assert_eq!(refused.failure(), Failure::Refused);
        assert!(refused.to_string().contains(said), "{refused}");
        let starting = tokio::spawn(server.builder().wait(LONG).connect());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!starting.is_finished(), "it waits");
        server.ask(after);
        starting.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn health_is_what_redis_does_now_and_asked_once_a_second() {
    let mut server = RedisServer::start();
    let node = server.builder().timeout(Duration::from_millis(200)).connect().await.unwrap();
    let becomes = async |wanted: Health| {
        let end = Instant::now() + LONG;
        while node.health().await != wanted {
            assert!(Instant::now() < end, "it never becomes {wanted:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert_eq!(node.health().await, Health::Ready);
    let before = crate::round_trips(&node, mcp_redis::StoreName::Nodes);
    let began = Instant::now();
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let node = node.clone();
        asked.spawn(async move { node.health().await });
    }
    asked.join_all().await;
    let looks = 2 + 2 * began.elapsed().as_secs();
    assert!(crate::round_trips(&node, mcp_redis::StoreName::Nodes) - before <= looks);

    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    becomes(Health::Degraded).await;
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    becomes(Health::Ready).await;
    server.signal("-STOP");
    becomes(Health::Degraded).await;
    server.signal("-CONT");
    becomes(Health::Ready).await;
    server.kill();
    becomes(Health::Degraded).await;
    server.start_again();
    becomes(Health::Ready).await;
    // Others begin with another secret: what they seal does not open here.
    server.ask(&["FLUSHALL"]);
    let stranger = RedisStores::builder(Address::one(server.url()), ClusterSecret::new([9; 32]));
    stranger.connect().await.unwrap();
    becomes(Health::Degraded).await;
}
