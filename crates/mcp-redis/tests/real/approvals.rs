//! Approvals of a gateway that is several nodes, on a Redis that is not believed.

use std::time::Duration;

use etdi_core::approval::{
    ApprovalKey, ApprovalStore, Seen, StoreError, approval_store_contract,
    approval_store_of_nodes_contract,
};
use etdi_core::key::KeyId;
use mcp_redis::{Failure, RedisApprovalStore, StoreName};

use crate::server::RedisServer;
use crate::{failed, now, round_trips};

const HASH: &str = "mcp:1:{a}:approvals";

async fn remember(store: &RedisApprovalStore, tool: &str) {
    remember_of(store, "the server of ada", tool).await;
}

async fn remember_of(store: &RedisApprovalStore, server: &str, tool: &str) {
    let seen = [Seen::new(tool, "https://acme.example", KeyId::from_bytes([3; 32]), None)];
    store.remember(server, &seen, now()).await.unwrap();
}

async fn tools(store: &RedisApprovalStore) -> Result<usize, StoreError> {
    let memory = store.memory("the server of ada").await?;
    Ok(memory.map_or(0, |memory| memory.tools.len()))
}

#[tokio::test]
async fn a_node_keeps_the_contract_and_another_sees_it() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    approval_store_contract(&one.approvals().unwrap()).await.unwrap();
    let (first, second) = (one.approvals().unwrap(), other.approvals().unwrap());
    remember(&first, "pay").await;
    assert_eq!(tools(&second).await.unwrap(), 1);
    remember(&second, "look").await;
    assert_eq!(tools(&first).await.unwrap(), 2);
    assert_eq!(first.generation().await.unwrap(), second.generation().await.unwrap());
    // Nothing new, nothing written; and to look costs one round trip.
    let before = round_trips(&one, StoreName::Approvals);
    assert_eq!(tools(&first).await.unwrap(), 2);
    assert_eq!(round_trips(&one, StoreName::Approvals) - before, 1);
    let all = server.ask(&["HGETALL", HASH]);
    for known in ["ada", "acme", "pay"] {
        assert!(!all.contains(known), "{known} is in Redis");
    }
}

#[tokio::test]
async fn three_nodes_keep_the_contract_of_nodes() {
    let server = RedisServer::start();
    let nodes = [server.node().await, server.node().await, server.node().await];
    let [one, two, three] = nodes.each_ref().map(|node| node.approvals().unwrap());
    approval_store_of_nodes_contract(&[&one, &two, &three]).await.unwrap();
    assert!(one.list().await.unwrap().approvals.is_empty());
}

/// Forty writers on two nodes at once: each adds something, and nothing is lost.
#[tokio::test]
async fn no_write_is_lost_when_nodes_race() {
    let server = RedisServer::start();
    let nodes = [server.node().await, server.node().await];
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..20 {
        for (name, node) in ["a", "b"].iter().zip(&nodes) {
            let store = node.approvals().unwrap();
            writers.spawn(async move {
                let tool = format!("{name}{number}");
                let seen =
                    [Seen::new(&tool, "https://acme.example", KeyId::from_bytes([3; 32]), None)];
                // Whoever is overtaken again and again hears so, and tries later.
                while let Err(error) = store.remember("the server of ada", &seen, now()).await {
                    assert!(matches!(error, StoreError::Busy), "{error:?}");
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(tools(&nodes[0].approvals().unwrap()).await.unwrap(), 40);
}

#[tokio::test]
async fn redis_can_neither_change_nor_bring_back_nor_hide_a_record() {
    let server = RedisServer::start();
    let node = server.node().await;
    let store = node.approvals().unwrap();
    remember(&store, "pay").await;
    server.ask(&["COPY", HASH, "old"]);
    remember(&store, "look").await;
    server.ask(&["COPY", HASH, "new"]);
    let name = server
        .ask(&["HKEYS", HASH])
        .lines()
        .find(|name| name.starts_with("s:"))
        .unwrap()
        .to_owned();
    let attack = |script: &str| {
        server.ask(&["COPY", "new", HASH, "REPLACE"]);
        let said = server.ask(&["EVAL", script, "2", HASH, "old", &name]);
        assert!(!said.starts_with("ERR"), "{said}");
    };
    // One record of an earlier write, under today's head.
    attack("redis.call('HSET', KEYS[1], ARGV[1], redis.call('HGET', KEYS[2], ARGV[1]))");
    assert!(matches!(tools(&store).await, Err(StoreError::Corrupt { .. })));
    attack("redis.call('HDEL', KEYS[1], ARGV[1])");
    assert!(matches!(tools(&store).await, Err(StoreError::Corrupt { .. })));
    assert_eq!(failed(&node, StoreName::Approvals, Failure::Damaged), 2);
    // The whole store of an earlier time, and none at all: whoever has seen more notices.
    server.ask(&["COPY", "old", HASH, "REPLACE"]);
    assert!(matches!(tools(&store).await, Err(StoreError::RolledBack { .. })));
    server.ask(&["DEL", HASH]);
    assert!(matches!(tools(&store).await, Err(StoreError::RolledBack { .. })));
    // An old head that says that it is today's.
    attack("redis.call('HSET', KEYS[1], 'head', redis.call('HGET', KEYS[2], 'head'))");
    let fresh = server.node().await.approvals().unwrap();
    assert!(matches!(tools(&fresh).await, Err(StoreError::Corrupt { .. })));
    server.ask(&["COPY", "new", HASH, "REPLACE"]);
    assert_eq!(tools(&store).await.unwrap(), 2);
}

/// A replica takes over without the last write, and other nodes write on from there: two histories whose
/// numbers are the same. Whoever saw the lost one notices, and mixes nothing of it with the other.
#[tokio::test]
async fn what_a_failover_lost_is_not_mixed_with_what_came_in_its_place() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (saw, did_not) = (one.approvals().unwrap(), other.approvals().unwrap());
    remember(&did_not, "pay").await;
    assert_eq!(tools(&saw).await.unwrap(), 1);
    server.ask(&["COPY", HASH, "replica"]);
    remember(&saw, "lost").await;
    let lost = saw.generation().await.unwrap();
    server.ask(&["COPY", "replica", HASH, "REPLACE"]);
    remember_of(&did_not, "another server", "look").await;
    assert_eq!(did_not.generation().await.unwrap(), lost, "the number comes a second time");

    for refused in [tools(&saw).await.map(drop), saw.generation().await.map(drop)] {
        assert!(matches!(refused, Err(StoreError::RolledBack { .. })), "{refused:?}");
    }
    let seen = [Seen::new("write", "https://acme.example", KeyId::from_bytes([3; 32]), None)];
    let refused = saw.remember("the server of ada", &seen, now()).await;
    assert!(matches!(refused, Err(StoreError::RolledBack { .. })), "{refused:?}");
    assert_eq!(tools(&did_not).await.unwrap(), 1, "nothing is gone or changed");
    let kept = did_not.memory("another server").await.unwrap().unwrap();
    assert_eq!(kept.tools.len(), 1);
    // Once there is more than it saw it goes with the others, as a whole.
    remember(&did_not, "write").await;
    assert_eq!(tools(&saw).await.unwrap(), 2);
    assert_eq!(saw.memory("another server").await.unwrap().unwrap(), kept);
    remember(&saw, "read").await;
    assert_eq!(tools(&did_not).await.unwrap(), 3);
}

/// A write that was made from a head of a lost history, at the very moment of the failover, is none.
#[tokio::test]
async fn a_write_names_the_very_head_that_it_was_made_from() {
    let server = RedisServer::start();
    let store = server.node().await.approvals().unwrap();
    remember(&store, "pay").await;
    let number = store.generation().await.unwrap();
    let script = include_str!("../../src/scripts/approvals.lua");
    let write = |tag: &str| {
        let [before, after] = [number, number + 1].map(|number| number.to_string());
        let args = ["EVAL", script, "1", HASH, &before, tag, &after, "7", "head", "0", "1"];
        server.ask(&args)
    };
    let tag = server.ask(&["HGET", HASH, "tag"]);
    assert_eq!(write("1"), "0");
    assert_eq!(tools(&store).await.unwrap(), 1);
    assert_eq!(write(&tag), "1");
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_and_not_an_absence() {
    let server = RedisServer::start();
    let builder = server.builder().dangerously_believe_empty().timeout(Duration::from_millis(300));
    let store = builder.connect().await.unwrap().approvals().unwrap();
    let key = ApprovalKey::new("server", None, "pay");
    assert!(store.get(&key).await.unwrap().is_none());
    server.signal("-STOP");
    let paused = store.get(&key).await;
    server.signal("-CONT");
    assert!(matches!(paused, Err(StoreError::Other { .. })), "{paused:?}");
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let seen = [Seen::new("pay", "https://acme.example", KeyId::from_bytes([3; 32]), None)];
    let full = store.remember("server", &seen, now()).await;
    assert!(matches!(full, Err(StoreError::Other { .. })), "{full:?}");
}
