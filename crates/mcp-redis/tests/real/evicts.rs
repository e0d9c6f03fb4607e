//! A Redis that throws keys away, or did so while nobody looked.

use etdi_core::key::KeyId;
use etdi_core::request::{CLOCK_SKEW, LIFETIME, Taken};
use mcp_redis::{Failure, Health, RedisError, RedisStores, StoreName};

use crate::server::RedisServer;
use crate::{failed, now};

async fn take(node: &RedisStores, id: &str) -> Result<Taken, RedisError> {
    let until = now().plus(LIFETIME + CLOCK_SKEW);
    node.replay().try_take(KeyId::from_bytes([1; 32]), id, until, now()).await
}

/// Has Redis throw away what ends soon when it is full.
fn evict(server: &RedisServer) {
    server.ask(&["CONFIG", "SET", "maxmemory", "6mb"]);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
}

fn keep(server: &RedisServer) {
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
}

/// Fills it with the keys of somebody else, until all statements are gone.
fn fill(server: &RedisServer) {
    for round in 0..40 {
        let text = "for i = 1, 200 do \
                    redis.pcall('SET', ARGV[1] .. ':' .. i, string.rep('x', 2000), 'EX', '100000') end";
        server.ask(&["EVAL", text, "0", &round.to_string()]);
    }
    assert_eq!(server.ask(&["KEYS", "mcp:1:*:s:*"]), "", "it is thrown away");
}

/// The attack: a call that was used, after Redis has thrown away that it was.
#[tokio::test]
async fn a_setting_that_changes_under_nodes_is_seen() {
    let server = RedisServer::start();
    let node = server.node().await;
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
    evict(&server);
    fill(&server);
    let again = take(&node, "pay").await;
    assert!(matches!(again, Err(RedisError::Evicts)), "{again:?}");
    assert!(failed(&node, StoreName::Replay, Failure::Evicts) > 0);
    assert_eq!(node.health().await, Health::Degraded);
    let late = server.builder().connect().await;
    assert!(matches!(late, Err(RedisError::Evicts)), "{late:?}");
    keep(&server);
    let again = take(&node, "pay").await;
    assert!(matches!(again, Err(RedisError::Forgetful(_))), "{again:?}");
    server.builder().connect().await.unwrap();
}

/// The same, where it was set right again before any node looked.
#[tokio::test]
async fn what_was_thrown_away_unseen_counts_not_again() {
    let server = RedisServer::start();
    let node = server.node().await;
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
    evict(&server);
    fill(&server);
    keep(&server);
    let again = take(&node, "pay").await;
    assert!(matches!(again, Err(RedisError::Forgetful(_))), "{again:?}");
}

/// The same, where what Redis counts was set to nothing as well: whoever looked meanwhile has noted it.
#[tokio::test]
async fn what_was_seen_once_is_not_forgotten() {
    let server = RedisServer::start();
    let node = server.node().await;
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
    evict(&server);
    assert!(matches!(take(&node, "other").await, Err(RedisError::Evicts)));
    fill(&server);
    keep(&server);
    server.ask(&["CONFIG", "RESETSTAT"]);
    let again = take(&node, "pay").await;
    assert!(matches!(again, Err(RedisError::Forgetful(_))), "{again:?}");
}

/// The same, where only a balancer asked meanwhile how the node is, and nobody called.
#[tokio::test]
async fn who_is_asked_for_its_health_notes_it_for_all_callers() {
    let server = RedisServer::start();
    let node = server.node().await;
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
    evict(&server);
    assert_eq!(node.health().await, Health::Degraded);
    fill(&server);
    keep(&server);
    server.ask(&["CONFIG", "RESETSTAT"]);
    let again = take(&node, "pay").await;
    assert!(matches!(again, Err(RedisError::Forgetful(_))), "{again:?}");
}

/// One that has thrown away all, markers too, looks new and is not.
#[tokio::test]
async fn what_has_thrown_keys_away_is_not_believed_to_be_new() {
    let server = RedisServer::start();
    let node = server.node().await;
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
    evict(&server);
    fill(&server);
    keep(&server);
    let text =
        "for _, key in ipairs(redis.call('KEYS', 'mcp:1:*:marker')) do redis.call('DEL', key) end";
    server.ask(&["EVAL", text, "0"]);
    // It believes a new one.
    let late = server.node().await;
    let again = take(&late, "pay").await;
    assert!(matches!(again, Err(RedisError::Forgetful(_))), "{again:?}");
}

/// An authorization server: a proof that was shown, and any code.
#[cfg(feature = "oauth")]
#[tokio::test]
async fn an_authorization_server_sees_it_too() {
    use etdi_oauth::embedded::{Kind, Store as _};

    let server = RedisServer::start();
    let node = server.node().await;
    let store = node.authorization().await.unwrap();
    let put =
        async |name| store.insert(Kind::Used, name, b"used".to_vec(), now().plus(100), now()).await;
    assert!(put("proof").await.unwrap());
    server.ask(&["CONFIG", "SET", "maxmemory", "6mb"]);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let refused = put("other").await.unwrap_err().to_string();
    assert!(refused.contains("`noeviction`"), "{refused}");
    server.ask(&["DEL", "mcp:1:{o3}:records", "mcp:1:{o3}:ends"]);
    keep(&server);
    assert!(put("proof").await.is_err(), "it may have been thrown away");
}
