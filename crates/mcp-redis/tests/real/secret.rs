//! A node that has not the secret of the others is refused before it serves anything.

use std::time::Duration;

use mcp_redis::{Address, ClusterSecret, Failure, Health, RedisError, RedisStores, StoreName};

use crate::server::RedisServer;

const KEY: &str = "mcp:1:{n}:nodes";

fn secret(byte: u8) -> ClusterSecret {
    ClusterSecret::new([byte; 32])
}

async fn start(server: &RedisServer, secret: &ClusterSecret) -> Result<RedisStores, RedisError> {
    let builder = RedisStores::builder(Address::one(server.url()), secret.clone());
    builder.dangerously_believe_empty().connect().await
}

#[tokio::test]
async fn a_node_with_another_secret_does_not_start() {
    let server = RedisServer::start();
    let ours = start(&server, &secret(1)).await.unwrap();
    let kept = server.ask(&["HGETALL", KEY]);
    let refused = start(&server, &secret(2)).await.unwrap_err();
    assert!(matches!(refused, RedisError::OtherSecret { .. }), "{refused:?}");
    assert_eq!(refused.failure(), Failure::Secret);
    assert_eq!(
        refused.to_string(),
        "the other nodes under the prefix `mcp` have another secret: give this node theirs, or a prefix of its own; \
         where nobody has theirs any more, what it sealed is lost, and `DEL mcp:1:{n}:nodes` has the next node begin \
         anew"
    );
    // It has changed nothing, and those with the right one go on.
    assert_eq!(server.ask(&["HGETALL", KEY]), kept);
    start(&server, &secret(1)).await.unwrap();
    drop(ours);
    // Under a prefix of its own it is welcome, and so it is where it is told to begin anew.
    server.builder().prefix("shop").connect().await.unwrap();
    server.ask(&["DEL", KEY]);
    start(&server, &secret(2)).await.unwrap();
    assert!(start(&server, &secret(1)).await.is_err());
}

/// Any node may start again in any round, beside nodes of the round before or of the next one.
#[tokio::test]
async fn a_secret_is_changed_in_rounds_and_none_is_left_out() {
    let server = RedisServer::start();
    let (old, new) = (secret(1), secret(2));
    let (first, second) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
    for (number, node) in [
        &old, &first, &old, &first, // the first round
        &second, &first, &second, // the second
        &new, &second, &new, // the last
    ]
    .into_iter()
    .enumerate()
    {
        let started = start(&server, node).await;
        assert!(started.is_ok(), "start {number}: {started:?}");
    }
    // The old one is gone with the last round.
    let gone = start(&server, &old).await;
    assert!(matches!(gone, Err(RedisError::OtherSecret { .. })), "{gone:?}");

    // What these seal, those do not open.
    for (running, late) in [(&second, &old), (&first, &new)] {
        server.ask(&["DEL", KEY]);
        start(&server, running).await.unwrap();
        let refused = start(&server, late).await;
        assert!(matches!(refused, Err(RedisError::SecretBehind { .. })), "{refused:?}");
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("`also_opens`") && text.contains(&format!("`DEL {KEY}`")), "{text}");
    }
}

fn is_ahead(started: &Result<RedisStores, RedisError>) -> bool {
    let Err(error @ RedisError::SecretAhead { .. }) = started else { return false };
    error.failure() == Failure::Secret && error.to_string().contains(&format!("`DEL {KEY}`"))
}

/// A node whose secret the others do not open is refused, and keeps none of them from starting.
#[tokio::test]
async fn a_stray_node_locks_nobody_out() {
    let (old, new, wrong) = (secret(1), secret(2), secret(3));
    let (first, second) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
    let mistyped = wrong.also_opens(&old);
    for (round, stray, right) in [
        // A stale node of the first round, after the last one.
        (vec![&old, &first, &second, &new], &first, vec![&new]),
        // A mistyped new secret, before the first round and within it.
        (vec![&old], &mistyped, vec![&old, &first, &second]),
        (vec![&old, &first], &mistyped, vec![&old, &first, &second, &new]),
        // The second round before the first.
        (vec![&old], &second, vec![&old, &first, &second]),
    ] {
        let server = RedisServer::start();
        let mut nodes = Vec::new();
        for secret in round {
            nodes.push(start(&server, secret).await.unwrap());
        }
        let kept = server.ask(&["HGETALL", KEY]);
        let started = start(&server, stray).await;
        assert!(is_ahead(&started), "{started:?}");
        assert_eq!(server.ask(&["HGETALL", KEY]), kept);
        assert_eq!(nodes.last().unwrap().health().await, Health::Ready);
        for (number, secret) in right.into_iter().enumerate() {
            let started = start(&server, secret).await;
            assert!(started.is_ok(), "start {number}: {started:?}");
        }
        // The way out that the error names, where all are stopped.
        server.ask(&["DEL", KEY]);
        start(&server, stray).await.unwrap();
    }
}

/// One node goes through the rounds with a slip in the new secret, which it opens first and seals with then.
#[tokio::test]
async fn a_secret_that_is_mistyped_at_one_node_locks_nobody_out() {
    let server = RedisServer::start();
    let (old, new, wrong) = (secret(1), secret(2), secret(3));
    let (first, second) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
    let node = start(&server, &first).await.unwrap();
    let kept = server.ask(&["HGETALL", KEY]);
    let (slip, later) = (old.clone().also_opens(&wrong), wrong.also_opens(&old));
    let refused = start(&server, &slip).await.unwrap_err();
    assert!(matches!(refused, RedisError::SecretAside { .. }), "{refused:?}");
    assert_eq!(refused.failure(), Failure::Secret);
    assert!(is_ahead(&start(&server, &later).await));
    assert_eq!(server.ask(&["HGETALL", KEY]), kept);
    start(&server, &first).await.unwrap();

    // Where it was the first of its round the right ones are refused, and the error names the way out.
    server.ask(&["DEL", KEY]);
    start(&server, &old).await.unwrap();
    let stray = start(&server, &slip).await.unwrap();
    let refused = start(&server, &first).await.unwrap_err();
    assert!(matches!(refused, RedisError::SecretAside { .. }), "{refused:?}");
    assert!(refused.to_string().contains(&format!("stop it, and `DEL {KEY}`")), "{refused}");
    drop(stray);
    server.ask(&["DEL", KEY]);
    assert_eq!(node.health().await, Health::Ready);
    assert_eq!(server.ask(&["HGETALL", KEY]), kept);
    start(&server, &first).await.unwrap();
    // One of the old secret alone that is started between the rounds is mended by one of the first.
    start(&server, &old).await.unwrap();
    let refused = start(&server, &second).await;
    assert!(is_ahead(&refused));
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("stop it and start one of the first round (`also_opens`)"), "{text}");
    start(&server, &first).await.unwrap();
    start(&server, &second).await.unwrap();
}

/// A node that is refused for something else has not said which secret the prefix has.
#[tokio::test]
async fn who_is_refused_for_the_setting_of_redis_has_noted_nothing() {
    let server = RedisServer::start();
    server.ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let refused = start(&server, &secret(2)).await;
    assert!(matches!(refused, Err(RedisError::Evicts)), "{refused:?}");
    assert_eq!(server.ask(&["EXISTS", KEY]), "0");
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    start(&server, &secret(1)).await.unwrap();
}

/// A Redis that was emptied hears again which secret the prefix has, from a node that is asked how it is.
#[tokio::test]
async fn a_node_that_is_up_notes_again_what_is_gone() {
    let server = RedisServer::start();
    let ours = start(&server, &secret(1)).await.unwrap();
    let kept = server.ask(&["HGETALL", KEY]);
    server.ask(&["FLUSHALL"]);
    assert_eq!(ours.health().await, Health::Ready);
    assert_eq!(server.ask(&["HGETALL", KEY]), kept);
    let refused = start(&server, &secret(2)).await;
    assert!(matches!(refused, Err(RedisError::OtherSecret { .. })), "{refused:?}");
    start(&server, &secret(1)).await.unwrap();
}

/// What is no node starts with the secrets of the nodes alone, and leaves nothing behind.
#[tokio::test]
async fn what_is_no_node_writes_nothing() {
    let server = RedisServer::start();
    let visit = |secret: &ClusterSecret, prefix: &str| {
        let builder = RedisStores::builder(Address::one(server.url()), secret.clone());
        builder.prefix(prefix).beside_nodes().connect()
    };
    let mistyped = visit(&secret(1), "mcpp").await;
    let Err(RedisError::Config(text)) = &mistyped else { panic!("{mistyped:?}") };
    assert_eq!(
        text,
        "no node has started under the prefix `mcpp`, give the prefix that the nodes have"
    );
    assert_eq!(server.ask(&["KEYS", "*"]), "");
    let _node = start(&server, &secret(1)).await.unwrap();
    let kept = [server.ask(&["HGETALL", KEY]), server.ask(&["DBSIZE"])];
    let (ahead, beside) = (secret(2).also_opens(&secret(1)), secret(1).also_opens(&secret(2)));
    assert!(visit(&beside, "mcp").await.is_ok());
    assert!(is_ahead(&visit(&ahead, "mcp").await));
    assert!(visit(&secret(2), "mcp").await.is_err());
    assert_eq!([server.ask(&["HGETALL", KEY]), server.ask(&["DBSIZE"])], kept);
}

/// A node that was left behind by a change of the secret says so of itself: to a balancer, in what it counts, and
/// in words that say what to do where a `main` gives the error back.
#[tokio::test]
async fn a_node_that_was_left_behind_says_so() {
    let server = RedisServer::start();
    let (old, new) = (secret(1), secret(2));
    let (first, second) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
    let left = start(&server, &old).await.unwrap();
    let _first = start(&server, &first).await.unwrap();
    assert_eq!(left.health().await, Health::Ready);
    let _second = start(&server, &second).await.unwrap();
    let degraded = async {
        while left.health().await == Health::Ready {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), degraded).await.unwrap();
    let counted = left.metrics().into_iter().find(|one| one.store == StoreName::Nodes);
    assert!(counted.unwrap().failed(Failure::Secret) > 0);
    let late = start(&server, &old).await.unwrap_err();
    assert!(format!("{late:?}").contains("`also_opens`"), "{late:?}");
}

/// What Redis keeps of a secret is of no use for another prefix, and is not the secret nor what seals.
#[tokio::test]
async fn redis_learns_nothing_of_the_secret() {
    let server = RedisServer::start();
    for prefix in ["mcp", "shop"] {
        server.builder().prefix(prefix).connect().await.unwrap();
    }
    let [ours, theirs] = ["mcp", "shop"]
        .map(|prefix| server.ask(&["HGET", &format!("{prefix}:1:{{n}}:nodes"), "seals"]));
    assert_ne!(ours, theirs);
    assert_eq!((ours.len(), theirs.len()), (22, 22));
    assert_eq!(server.ask(&["HGET", KEY, "opens"]), ours);
    assert_eq!(server.ask(&["HLEN", KEY]), "2");
}
