//! Tokens of a gateway's users, which neither Redis nor another user gets.

use etdi_oauth::{SecretText, TokenStore as _, token_store_contract};
use mcp_redis::{Failure, RedisError, StoreName};

use crate::server::RedisServer;
use crate::{failed, round_trips};

const NAME: &str = "tokens https://mcp.example/mcp";

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (first, second) = (one.tokens_of("ada").unwrap(), other.tokens_of("ada").unwrap());
    token_store_contract(&[&first, &second]).await.unwrap();
    // Nothing stays for ever, and what is asked for stays longer.
    for key in server.ask(&["KEYS", "*secret"]).lines() {
        let left: u64 = server.ask(&["TTL", key]).parse().unwrap();
        assert!((7_775_000..=7_776_000).contains(&left), "{key}: {left}");
        server.ask(&["EXPIRE", key, "100"]);
    }
    let before = round_trips(&one, StoreName::Tokens);
    assert_eq!(first.get(NAME).await.unwrap().unwrap().expose(), "two");
    assert_eq!(round_trips(&one, StoreName::Tokens) - before, 1);
    let kept = server.ask(&["KEYS", "*secret"]);
    let left = kept.lines().map(|key| server.ask(&["TTL", key]).parse::<u64>().unwrap()).max();
    assert!(left.unwrap() > 7_775_000);
}

#[tokio::test]
async fn what_one_user_has_neither_redis_nor_another_user_gets() {
    let server = RedisServer::start();
    let node = server.node().await;
    let (ada, eve) = (node.tokens_of("ada").unwrap(), node.tokens_of("eve").unwrap());
    ada.put(NAME, SecretText::new("the token of ada")).await.unwrap();
    assert!(eve.get(NAME).await.unwrap().is_none());
    let key = server.ask(&["KEYS", "*secret"]);
    let kept = server.ask(&["GET", &key]);
    for known in ["ada", "mcp.example", "token of"] {
        assert!(!key.contains(known) && !kept.contains(known), "{known} is in Redis");
    }
    // The attack: Redis gives what is under the name of one to another.
    eve.put(NAME, SecretText::new("the token of eve")).await.unwrap();
    let keys = server.ask(&["KEYS", "*secret"]);
    let other = keys.lines().find(|name| *name != key).unwrap();
    server.ask(&["COPY", &key, other, "REPLACE"]);
    let moved = eve.try_get(NAME).await;
    assert!(matches!(moved, Err(RedisError::Damaged(_))), "{moved:?}");
    assert!(eve.get(NAME).await.is_err(), "an error, and no absence");
    assert_eq!(failed(&node, StoreName::Tokens, Failure::Damaged), 2);
    assert_eq!(ada.get(NAME).await.unwrap().unwrap().expose(), "the token of ada");
}

#[tokio::test]
async fn a_full_or_dead_redis_keeps_what_was_there_and_says_so() {
    let mut server = RedisServer::start();
    let node = server.node().await;
    let ada = node.tokens_of("ada").unwrap();
    ada.put(NAME, SecretText::new("one")).await.unwrap();
    let long = SecretText::new("x".repeat((256 << 10) + 1));
    assert!(matches!(ada.try_put(NAME, &long).await, Err(RedisError::Quota)));
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = ada.try_put(NAME, &SecretText::new("two")).await;
    assert!(matches!(full, Err(RedisError::Full)), "{full:?}");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(ada.get(NAME).await.unwrap().unwrap().expose(), "one");
    server.kill();
    assert!(ada.get(NAME).await.is_err());
    assert!(ada.put(NAME, SecretText::new("two")).await.is_err());
}
