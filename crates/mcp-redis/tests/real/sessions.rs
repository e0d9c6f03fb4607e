//! Sessions that began on one node and go on on another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mcp_redis::{Failure, RedisStores, StoreName};
use mcp_transport::http::server::{
    HttpOptions, Insertion, SessionStore as _, session_store_contract,
};

use crate::server::RedisServer;
use crate::two_nodes::{self, Nodes};
use crate::{failed, round_trips};

const LIFE: Duration = Duration::from_secs(60);

async fn nodes(server: &RedisServer) -> ([RedisStores; 2], Nodes) {
    let stores = [server.node().await, server.node().await];
    let options = stores.each_ref().map(|one| one.share_http(HttpOptions::default()).unwrap());
    (stores, Nodes::start(options).await)
}

/// How often Redis has run a command.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.ask(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:")));
    let calls = line.and_then(|line| line.strip_prefix("calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (ours, theirs) = (one.sessions().unwrap(), other.sessions().unwrap());
    session_store_contract(&[&ours, &theirs]).await.unwrap();
    session_store_contract(&[&theirs]).await.unwrap();
    assert_eq!(server.ask(&["KEYS", "*:session"]), "");
}

#[tokio::test]
async fn calls_alternate_between_nodes() {
    let server = RedisServer::start();
    two_nodes::calls_alternate(&nodes(&server).await.1).await;
}

#[tokio::test]
async fn a_stream_goes_on_on_another_node() {
    let server = RedisServer::start();
    two_nodes::a_stream_goes_on_elsewhere(&nodes(&server).await.1).await;
}

#[tokio::test]
async fn changes_reach_the_node_where_a_client_reads() {
    let server = RedisServer::start();
    two_nodes::changes_reach_every_node(&nodes(&server).await.1).await;
}

#[tokio::test]
async fn what_comes_at_once_counts_on_both_nodes() {
    let server = RedisServer::start();
    two_nodes::many_come_at_once(&nodes(&server).await.1).await;
}

#[tokio::test]
async fn a_session_outlives_the_nodes_that_served_it() {
    let server = RedisServer::start();
    let (stores, nodes) = nodes(&server).await;
    let anew = stores.each_ref().map(|one| one.share_http(HttpOptions::default()).unwrap());
    two_nodes::a_session_outlives_its_nodes(nodes, anew).await;
}

#[tokio::test]
async fn an_answer_finds_the_node_that_asked() {
    let server = RedisServer::start();
    two_nodes::answers_find_their_node(&nodes(&server).await.1).await;
}

#[tokio::test]
async fn a_session_that_ends_on_one_node_ends_on_all() {
    let server = RedisServer::start();
    two_nodes::a_session_ends_everywhere(&nodes(&server).await.1).await;
}

#[tokio::test]
async fn a_session_belongs_to_its_owner_on_all_nodes() {
    let server = RedisServer::start();
    two_nodes::a_session_is_its_owners(&mut nodes(&server).await.1).await;
}

#[tokio::test]
async fn a_call_of_a_session_is_one_round_trip_and_a_modern_one_none() {
    let server = RedisServer::start();
    let (_, nodes) = nodes(&server).await;
    nodes.begin().await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    let id = nodes.begin().await;
    let all = || ["getex", "set", "evalsha", "eval", "del"].map(|name| calls(&server, name));
    let before = all();
    for number in 0..50 {
        nodes.call(number % 2, &id, "echo").await;
    }
    let after = all();
    assert_eq!(after[0] - before[0], 50, "a lookup for each");
    assert_eq!(after[1..], before[1..], "and nothing else");
    for number in 0..50 {
        assert_eq!(nodes.modern(number % 2).await, 200);
    }
    assert_eq!(all(), after);
}

#[tokio::test]
async fn without_redis_a_session_is_refused_and_a_modern_call_goes_on() {
    let mut server =
        RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let (stores, nodes) = nodes(&server).await;
    let id = nodes.begin().await;
    nodes.call(0, &id, "echo").await;
    server.kill();
    for node in [0, 1] {
        assert_eq!(nodes.statuses(node, &id).await, [503; 3], "node {node}");
        assert_eq!(nodes.modern(node).await, 200);
        let lost = [Failure::Unreachable, Failure::TooSlow];
        let lost = lost.map(|kind| failed(&stores[node], StoreName::Sessions, kind));
        assert!(lost.iter().sum::<u64>() >= 3, "{lost:?}");
    }
    server.start_again();
    for node in [0, 1] {
        let mut status = 503;
        for _ in 0..500 {
            status = nodes.statuses(node, "no-such-session").await[0];
            if status != 503 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status, 404);
        // What was acknowledged is there.
        nodes.call(node, &id, "echo").await;
    }
    // A Redis that is paused is a Redis that is gone.
    server.signal("-STOP");
    assert_eq!(nodes.statuses(0, &id).await[0], 503);
    assert_eq!(nodes.modern(0).await, 200);
    server.signal("-CONT");
}

#[tokio::test]
async fn redis_learns_neither_session_nor_client_and_every_key_expires() {
    let server = RedisServer::start();
    let (stores, nodes) = nodes(&server).await;
    let id = nodes.begin().await;
    let level = crate::common::legacy(2, "logging/setLevel", r#""level":"error""#);
    nodes.nodes[0].ask(&nodes.head(&id), &level).await.with_status(200);
    let names = server.ask(&["KEYS", "*"]);
    let mut all = names.clone();
    for name in names.lines() {
        if name.ends_with(":session") {
            all += &server.ask(&["GET", name]);
        }
        if name.ends_with(":told") {
            all += &server.ask(&["XRANGE", name, "-", "+"]);
        }
        let left: i64 = server.ask(&["PTTL", name]).parse().unwrap();
        // Marks of the replay store stay, and the names of the secrets; there are sixteen and one.
        assert!(
            left > 0 || [":marker", ":nodes"].iter().any(|end| name.ends_with(end)),
            "{name}: {left}"
        );
    }
    for known in [&*id, "lines", "ada", "elicitation", "error"] {
        assert!(!all.contains(known), "{known} is in Redis");
    }
    // Whoever can write to Redis puts one session in the place of another, or an older one under a
    // newer version.
    let sessions = stores[0].sessions().unwrap();
    for id in ["one", "two"] {
        let done = sessions.insert(id, Bytes::from_static(b"record"), LIFE).await.unwrap();
        assert_eq!(done, Insertion::Kept);
    }
    let value = |name: &str| server.ask(&["GET", name]);
    let before: Vec<_> = names.lines().map(str::to_owned).collect();
    let now = server.ask(&["KEYS", "*:session"]);
    let new: Vec<_> = now.lines().filter(|name| !before.contains(&(*name).to_owned())).collect();
    assert_eq!(new.len(), 2);
    assert!(!value(new[0]).is_empty());
    server.ask(&["COPY", new[0], new[1], "REPLACE"]);
    server.ask(&["SETRANGE", new[0], "0", "00000000000000ff"]);
    for id in ["one", "two"] {
        assert!(sessions.find(id, LIFE).await.is_err(), "{id}");
    }
    assert_eq!(failed(&stores[0], StoreName::Sessions, Failure::Damaged), 2);
}

#[tokio::test]
async fn each_operation_is_one_round_trip() {
    let server = RedisServer::start();
    let node = server.node().await;
    let sessions = Arc::new(node.sessions().unwrap());
    // Scripts are sent whole once.
    sessions.tell("x", Bytes::new()).await.unwrap();
    sessions.update("x", 1, Bytes::new(), LIFE).await.unwrap();
    let mut before = round_trips(&node, StoreName::Sessions);
    let mut once = |what: &str| {
        let now = round_trips(&node, StoreName::Sessions);
        assert_eq!(now - before, 1, "{what}");
        before = now;
    };
    sessions.insert("a", Bytes::from_static(b"1"), LIFE).await.unwrap();
    once("insert");
    sessions.find("a", LIFE).await.unwrap();
    once("find");
    sessions.update("a", 1, Bytes::from_static(b"2"), LIFE).await.unwrap();
    once("update");
    sessions.tell("a", Bytes::from_static(b"told")).await.unwrap();
    once("tell");
    let news = sessions.hear(None).await.unwrap();
    once("hear from here on");
    sessions.hear(Some(news.heard)).await.unwrap();
    once("hear");
    sessions.remove("a").await.unwrap();
    once("remove");
}
