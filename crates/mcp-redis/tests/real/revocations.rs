//! What an operator revokes at one node counts at all, whatever Redis forgets.

use std::sync::Arc;

use etdi_core::key::KeyId;
use etdi_core::revocation::{RevocationStore, Revocations, Revoked, revocation_store_contract};
use mcp_redis::{Failure, RedisError, RedisStores, StoreName};

use crate::server::RedisServer;
use crate::{failed, now, round_trips};

const HASH: &str = "mcp:1:{v}:revocations";

fn revocations(node: &RedisStores) -> Revocations {
    Revocations::new().shared(Arc::new(node.revocations().unwrap()))
}

fn key(byte: u8) -> Revoked {
    Revoked::Key(KeyId::from_bytes([byte; 32]))
}

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let clients: [Arc<dyn RevocationStore>; 2] =
        [Arc::new(one.revocations().unwrap()), Arc::new(other.revocations().unwrap())];
    revocation_store_contract(&clients, now()).await.unwrap();
    // To hear that nothing is new is one round trip.
    let known = clients[0].read(0).await.unwrap().version;
    let before = round_trips(&one, StoreName::Revocations);
    assert!(clients[0].read(known).await.unwrap().text.is_none());
    assert_eq!(round_trips(&one, StoreName::Revocations) - before, 1);
}

#[tokio::test]
async fn an_emptied_redis_hears_again_what_any_node_knows() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (first, second) = (revocations(&one), revocations(&other));
    first.revoke(key(1), Some("stolen".to_owned()), now()).unwrap();
    first.share(now()).await.unwrap();
    server.ask(&["COPY", HASH, "old"]);
    second.share(now()).await.unwrap();
    second.revoke(key(2), None, now()).unwrap();
    second.share(now()).await.unwrap();
    for attack in [&["DEL", HASH][..], &["COPY", "old", HASH, "REPLACE"]] {
        assert_eq!(server.ask(attack), "1");
        // Whoever knew it knows it still, and tells the others.
        second.share(now()).await.unwrap();
        let fresh = revocations(&one);
        fresh.share(now()).await.unwrap();
        assert_eq!(fresh.revoked_here().len(), 2, "{attack:?}");
    }
}

#[tokio::test]
async fn redis_reads_and_makes_no_revocation() {
    let server = RedisServer::start();
    let node = server.node().await;
    let ours = revocations(&node);
    ours.revoke(key(1), Some("stolen by eve".to_owned()), now()).unwrap();
    ours.share(now()).await.unwrap();
    assert!(!server.ask(&["HGETALL", HASH]).contains("eve"));
    for (field, value) in [("text", "{\"v\":1}"), ("version", "7"), ("version", "x")] {
        server.ask(&["COPY", HASH, "before", "REPLACE"]);
        server.ask(&["HSET", HASH, field, value]);
        let read = node.revocations().unwrap().try_read(0).await;
        assert!(matches!(read, Err(RedisError::Damaged(_))), "{field}: {read:?}");
        server.ask(&["COPY", "before", HASH, "REPLACE"]);
    }
    assert_eq!(failed(&node, StoreName::Revocations, Failure::Damaged), 3);
    assert_eq!(ours.revoked_here().len(), 1);
}

#[tokio::test]
async fn a_full_or_dead_redis_is_an_error_and_forgets_nothing_here() {
    let mut server = RedisServer::start();
    let node = server.node().await;
    let ours = revocations(&node);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    ours.revoke(key(1), None, now()).unwrap();
    assert!(ours.share(now()).await.unwrap_err().to_string().contains("full"));
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    // What could not be written is written the next time.
    ours.share(now()).await.unwrap();
    let fresh = revocations(&node);
    fresh.share(now()).await.unwrap();
    assert_eq!(fresh.revoked_here().len(), 1);
    server.kill();
    assert!(ours.share(now()).await.is_err());
    assert_eq!(ours.revoked_here().len(), 1);
}
