//! A node that has not the secret of the others is refused before it serves anything.

use mcp_redis::{ClusterSecret, Failure, RedisError, RedisStores};

use crate::server::RedisServer;

const KEY: &str = "mcp:1:{n}:nodes";

fn secret(byte: u8) -> ClusterSecret {
    ClusterSecret::new([byte; 32])
}

async fn start(server: &RedisServer, secret: &ClusterSecret) -> Result<RedisStores, RedisError> {
    let builder = RedisStores::builder(mcp_redis::Address::one(server.url()), secret.clone());
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
        assert!(refused.unwrap_err().to_string().contains("`also_opens`"));
    }
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
