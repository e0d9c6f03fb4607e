//! A signed call counts once on all nodes together, whatever becomes of Redis.

use std::time::{Duration, Instant};

use etdi_core::key::KeyId;
use etdi_core::request::{CLOCK_SKEW, LIFETIME, ReplayStore, Taken, replay_store_contract};
use mcp_redis::{Failure, RedisError, RedisReplayStore, RedisStores, StoreName};

use crate::server::RedisServer;
use crate::{failed, now, round_trips};

fn key(byte: u8) -> KeyId {
    KeyId::from_bytes([byte; 32])
}

/// As the guard takes a call that is signed now.
async fn take(stores: &RedisStores, id: &str) -> Result<Taken, RedisError> {
    let (until, now) = (now().plus(LIFETIME + CLOCK_SKEW), now());
    stores.replay().try_take(key(1), id, until, now).await
}

/// The same once Redis is reached again.
async fn take_soon(stores: &RedisStores, id: &str) -> Result<Taken, RedisError> {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        match take(stores, id).await {
            Err(RedisError::Unreachable(_) | RedisError::TooSlow(_)) if Instant::now() < end => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => return other,
        }
    }
}

#[tokio::test]
async fn two_nodes_keep_the_contract() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    replay_store_contract(&[&one.replay(), &other.replay()], now()).await.unwrap();
    // Nothing stays: each statement and each counter has its end.
    let stays = |name: &&str| name.ends_with("marker") || name.ends_with("nodes");
    for name in server.ask(&["KEYS", "*"]).lines().filter(|name| !stays(name)) {
        let left: i64 = server.ask(&["TTL", name]).parse().unwrap();
        assert!((1..=200).contains(&left), "{name}: {left}");
    }
}

/// The same signed call at two nodes at once, 10,000 times: admitted once each time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_sent_to_two_nodes_at_once_is_admitted_once() {
    const TRIES: usize = 10_000;
    let server = RedisServer::start();
    let believing = || server.builder().dangerously_believe_empty().statements_per_key(100_000);
    let patient = || believing().timeout(Duration::from_secs(20));
    let (one, other) = (patient().connect().await.unwrap(), patient().connect().await.unwrap());
    let before = round_trips(&one, StoreName::Replay);
    let mut admitted = 0;
    for batch in 0..TRIES / 100 {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..100 {
            for node in [&one, &other] {
                let (node, id) = (node.clone(), format!("{batch}.{number}"));
                calls.spawn(async move { (number, take(&node, &id).await.unwrap()) });
            }
        }
        let mut firsts = [0; 100];
        while let Some(done) = calls.join_next().await {
            let (number, taken) = done.unwrap();
            match taken {
                Taken::First => firsts[number] += 1,
                Taken::Before => {}
                Taken::Full => panic!("nothing is full"),
            }
        }
        assert_eq!(firsts, [1; 100], "each call once, in batch {batch}");
        admitted += firsts.iter().sum::<usize>();
    }
    assert_eq!(admitted, TRIES);
    assert_eq!(round_trips(&one, StoreName::Replay) - before, TRIES as u64, "one for each call");
}

#[tokio::test]
async fn a_redis_that_forgot_admits_nothing_that_it_may_have_seen() {
    let mut server = RedisServer::start();
    let careful = server.builder().connect().await.unwrap();
    let careless = server.node().await;
    // An hour ago Redis knew of us for the first time.
    let hour_ago = (now().0 - 3_600).to_string();
    age_markers(&server, &hour_ago);
    assert_eq!(take(&careful, "pay").await.unwrap(), Taken::First);
    server.kill();
    server.start_again();
    // The attack: the call that was heard on the wire is sent once more.
    let replayed = take_soon(&careful, "pay").await;
    assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");
    assert_eq!(careful.replay().take(key(1), "pay", now().plus(90), now()).await, Taken::Full);
    assert!(failed(&careful, StoreName::Replay, Failure::Forgetful) >= 2);
    // What was signed after the start counts.
    age_markers(&server, &(now().0 - 41).to_string());
    assert_eq!(take(&careful, "pay again").await.unwrap(), Taken::First);

    // Whoever believed an empty one when it was new does not for ever.
    server.kill();
    server.start_again();
    let replayed = take_soon(&careless, "pay").await;
    assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");
    server.ask(&["FLUSHALL"]);
    let replayed = take_soon(&careless, "pay").await;
    assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");

    // Without the check, at a node that starts to believe it now, the attack succeeds.
    server.ask(&["FLUSHALL"]);
    assert_eq!(take_soon(&server.node().await, "pay").await.unwrap(), Taken::First);
}

/// The attack: a proof that was used at one node, sent to another that has not looked at its part yet, once Redis
/// was emptied.
#[tokio::test]
async fn a_redis_that_was_emptied_is_believed_by_no_node_that_started_before() {
    const SPAN: u64 = 120;
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let of = async |stores: &RedisStores| stores.replay_for(Duration::from_secs(SPAN)).await;
    let (first, second) = (of(&one).await.unwrap(), of(&other).await.unwrap());
    let use_proof = async |store: &RedisReplayStore| {
        store.try_take(key(7), "proof", now().plus(SPAN), now()).await
    };
    assert_eq!(use_proof(&first).await.unwrap(), Taken::First);
    server.ask(&["FLUSHALL"]);
    for store in [second, of(&one).await.unwrap(), of(&other).await.unwrap()] {
        let replayed = use_proof(&store).await;
        assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");
    }
    // Of a part that nobody had used, too.
    let another = of(&other).await.unwrap();
    let unknown = another.try_take(key(8), "proof", now().plus(SPAN), now()).await;
    assert!(matches!(unknown, Err(RedisError::Forgetful(_))), "{unknown:?}");
}

fn age_markers(server: &RedisServer, since: &str) {
    for name in server.ask(&["KEYS", "*marker"]).lines() {
        server.ask(&["HSET", name, "since", since]);
    }
}

/// The attack: a call is taken by a master that fails before it has told its replica, which was the master
/// before and still has the scripts.
#[tokio::test]
async fn a_master_that_comes_back_is_not_believed_for_what_another_took() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    let node = first.node().await;
    assert_eq!(take(&node, "before").await.unwrap(), Taken::First);
    follow(&second, &first).await;
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    follow(&first, &second).await;
    let elsewhere = second.node().await;
    let unknown = take(&elsewhere, "look").await;
    assert!(matches!(unknown, Err(RedisError::Forgetful(_))), "{unknown:?}");
    let hour_ago = (now().0 - 3_600).to_string();
    age_markers(&second, &hour_ago);
    let marker = second.ask(&["KEYS", "*marker"]).lines().next().unwrap().to_owned();
    until(|| first.ask(&["HGET", &marker, "since"]) == hour_ago).await;
    // Here the line between them breaks.
    first.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    assert_eq!(take(&elsewhere, "pay").await.unwrap(), Taken::First);
    first.ask(&["REPLICAOF", "NO", "ONE"]);
    let replayed = take_soon(&node, "pay").await;
    assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");
}

/// The same where the line breaks before the other has written anything: the marker still names the master
/// that comes back, in the same run.
#[tokio::test]
async fn a_master_that_comes_back_unaware_is_not_believed_either() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    follow(&second, &first).await;
    let node = first.node().await;
    assert_eq!(take(&node, "before").await.unwrap(), Taken::First);
    let marker = first.ask(&["KEYS", "*marker"]).lines().next().unwrap().to_owned();
    let since = first.ask(&["HGET", &marker, "since"]);
    until(|| second.ask(&["HGET", &marker, "since"]) == since).await;
    second.ask(&["REPLICAOF", "NO", "ONE"]);
    follow(&first, &second).await;
    first.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    let elsewhere = second.builder().connect().await.unwrap();
    let unknown = take(&elsewhere, "look").await;
    assert!(matches!(unknown, Err(RedisError::Forgetful(_))), "{unknown:?}");
    age_markers(&second, &(now().0 - 41).to_string());
    assert_eq!(take(&elsewhere, "pay").await.unwrap(), Taken::First);
    first.ask(&["REPLICAOF", "NO", "ONE"]);
    let replayed = take_soon(&node, "pay").await;
    assert!(matches!(replayed, Err(RedisError::Forgetful(_))), "{replayed:?}");
}

/// A master that lost its replicas takes nothing, where it is told to: another may be the master by now.
#[tokio::test]
async fn a_master_without_its_replicas_takes_nothing() {
    let (first, second) = (RedisServer::start(), RedisServer::start());
    follow(&second, &first).await;
    for setting in [["min-replicas-to-write", "1"], ["min-replicas-max-lag", "2"]] {
        first.ask(&["CONFIG", "SET", setting[0], setting[1]]);
    }
    // Its replica tells it once a second how far it is.
    until(|| first.ask(&["INFO", "replication"]).contains("min_slaves_good_slaves:1")).await;
    let node = first.node().await;
    assert_eq!(take(&node, "before").await.unwrap(), Taken::First);
    // As a line that takes packets and brings none.
    second.signal("-STOP");
    let end = Instant::now() + Duration::from_secs(20);
    let (mut number, mut refused) = (0, take(&node, "0").await);
    while refused.is_ok() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
        number += 1;
        refused = take(&node, &number.to_string()).await;
    }
    second.signal("-CONT");
    assert!(matches!(refused, Err(RedisError::Refused(_))), "{refused:?}");
}

/// Has one be the other's replica, with all that it has.
pub(crate) async fn follow(replica: &RedisServer, master: &RedisServer) {
    master.ask(&["CONFIG", "SET", "repl-diskless-sync-delay", "0"]);
    replica.ask(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
    until(|| replica.ask(&["INFO", "replication"]).contains("master_link_status:up")).await;
}

pub(crate) async fn until(mut is: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !is() {
        assert!(Instant::now() < end, "it never came to be");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// With a log on disk nothing that was acknowledged is lost, and still the last second may be.
#[tokio::test]
async fn a_redis_with_a_log_knows_what_was_used_and_is_not_believed_at_once() {
    let mut server =
        RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let node = server.node().await;
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
    server.kill();
    server.start_again();
    assert_eq!(take_soon(&node, "pay").await.unwrap(), Taken::Before);
    let unknown = take(&node, "look").await;
    assert!(matches!(unknown, Err(RedisError::Forgetful(40))), "{unknown:?}");
    assert!(
        unknown.unwrap_err().to_string().contains("wait 40 s"),
        "whoever reads it knows for how long"
    );
}

#[tokio::test]
async fn a_paused_redis_refuses_in_bounded_time() {
    let server = RedisServer::start();
    let node = server.builder().dangerously_believe_empty().timeout(Duration::from_millis(300));
    let node = node.connect().await.unwrap();
    server.signal("-STOP");
    let began = Instant::now();
    let refused = node.replay().take(key(1), "pay", now().plus(90), now()).await;
    let took = began.elapsed();
    server.signal("-CONT");
    assert_eq!(refused, Taken::Full);
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(failed(&node, StoreName::Replay, Failure::TooSlow), 1);
    // What timed out may have happened; it never counts a second time.
    let again = take_soon(&node, "pay").await.unwrap();
    let third = take_soon(&node, "pay").await.unwrap();
    assert!(again != Taken::Full && third == Taken::Before, "{again:?} {third:?}");
}

#[tokio::test]
async fn a_full_redis_refuses() {
    let server = RedisServer::start();
    let node = server.node().await;
    assert_eq!(take(&node, "before").await.unwrap(), Taken::First);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = take(&node, "pay").await;
    assert!(matches!(refused, Err(RedisError::Full)), "{refused:?}");
    assert_eq!(failed(&node, StoreName::Replay, Failure::Full), 1);
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(take(&node, "pay").await.unwrap(), Taken::First);
}

#[tokio::test]
async fn a_redis_that_throws_keys_away_is_not_used() {
    let policy = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru", "--save", ""];
    let server = RedisServer::with(&policy);
    let refused = server.builder().connect().await;
    assert!(matches!(refused, Err(RedisError::Evicts)), "{refused:?}");
    server.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    assert!(server.builder().connect().await.is_ok());
}

/// What is no node may have come long after the calls of those that are.
#[tokio::test]
async fn who_is_no_node_believes_nothing() {
    let server = RedisServer::start();
    let _node = server.builder().connect().await.unwrap();
    let visitor = server.builder().beside_nodes().dangerously_believe_empty();
    let visitor = visitor.connect().await.unwrap();
    let store = visitor.replay_for(Duration::from_secs(120)).await.unwrap();
    let taken = store.try_take(key(1), "pay", now().plus(100), now()).await;
    assert!(matches!(taken, Err(RedisError::Forgetful(_))), "{taken:?}");
}

#[tokio::test]
async fn no_redis_is_an_error_in_bounded_time() {
    let mut server = RedisServer::start();
    let node = server.node().await;
    server.kill();
    let began = Instant::now();
    let refused = server.builder().connect().await;
    assert!(
        matches!(refused, Err(RedisError::Unreachable(_) | RedisError::TooSlow(_))),
        "{refused:?}"
    );
    assert_eq!(node.replay().take(key(1), "pay", now().plus(90), now()).await, Taken::Full);
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn clocks_that_are_far_apart_and_long_statements_are_refused() {
    let server = RedisServer::start();
    let node = server.node().await;
    let replay = node.replay();
    for off in [now().plus(60), now().minus(60)] {
        let refused = replay.try_take(key(1), "pay", off.plus(90), off).await;
        assert!(matches!(refused, Err(RedisError::Clock(10))), "{refused:?}");
    }
    let long = replay.try_take(key(1), "long", now().plus(300), now()).await;
    assert!(matches!(long, Err(RedisError::TooLong(90))), "{long:?}");
    let older = node.replay_for(Duration::from_secs(300)).await.unwrap();
    let taken = older.try_take(key(1), "long", now().plus(300), now()).await;
    assert_eq!(taken.unwrap(), Taken::First);
}

#[tokio::test]
async fn one_caller_cannot_fill_the_store() {
    let server = RedisServer::start();
    let node = server.builder().dangerously_believe_empty().statements_per_key(20);
    let node = node.connect().await.unwrap();
    let mut refused = 0;
    for number in 0..60 {
        match take(&node, &number.to_string()).await {
            Err(RedisError::Quota) => refused += 1,
            other => assert_eq!(other.unwrap(), Taken::First),
        }
    }
    // The minute may have turned in between.
    assert!(refused >= 20, "{refused}");
    let other = node.replay().take(key(2), "pay", now().plus(90), now()).await;
    assert_eq!(other, Taken::First);
}
