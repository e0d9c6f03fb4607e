//! A change of the secret, to its end: what does not end by itself is sealed anew while nodes work.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use etdi_core::approval::{
    Approval, ApprovalStore as _, Facts, Given, Granted, Reason, Seen, Standing, StoreError,
};
use etdi_core::definition::RawTool;
use etdi_core::key::KeyId;
use etdi_core::level::SecurityLevel;
use etdi_core::revocation::{RevocationStore as _, Revocations, Revoked};
use mcp_redis::{
    Address, ClusterSecret, Failure, RedisError, RedisStores, Resealed, Seals, StoreName,
};
use mcp_server::task::{KeptTask, Quota, TaskStore as _};
use mcp_transport::http::server::{SessionStore as _, Updated};

use crate::now;
use crate::server::RedisServer;

const END: u64 = 4_000_000_000_000;

/// The secrets of the three rounds, and the one before.
struct Rounds {
    old: ClusterSecret,
    first: ClusterSecret,
    second: ClusterSecret,
    new: ClusterSecret,
}

fn rounds() -> Rounds {
    let (old, new) = (ClusterSecret::new([1; 32]), ClusterSecret::new([2; 32]));
    let (first, second) = (old.clone().also_opens(&new), new.clone().also_opens(&old));
    Rounds { old, first, second, new }
}

async fn node(server: &RedisServer, secret: &ClusterSecret) -> RedisStores {
    node_at(Address::one(server.url()), secret).await
}

async fn node_at(address: Address, secret: &ClusterSecret) -> RedisStores {
    let builder = RedisStores::builder(address, secret.clone());
    let builder = builder.dangerously_believe_empty().timeout(Duration::from_secs(10));
    builder.connect().await.unwrap()
}

/// Nodes of the rounds, started one after the other.
async fn nodes(server: &RedisServer) -> [RedisStores; 3] {
    let Rounds { old, first, second, .. } = rounds();
    let old = node(server, &old).await;
    drop(node(server, &first).await);
    [old, node(server, &second).await, node(server, &second).await]
}

fn approval(tool: &str) -> Approval {
    let text = format!(r#"{{"name":"{tool}","inputSchema":{{"type":"object"}}}}"#);
    let tool = RawTool::read(&text).unwrap();
    let facts = Facts::new("the server of ada", tool.definition(), &Standing::Unsigned);
    let given = Given::new(Granted::All, "ada", Reason::NotApproved);
    Approval::new(&facts, given, SecurityLevel::Basic, now())
}

async fn remember(node: &RedisStores, server: &str) {
    let store = node.approvals().unwrap();
    let seen = [Seen::new("pay", "https://acme.example", KeyId::from_bytes([3; 32]), None)];
    while let Err(error) = store.remember(server, &seen, now()).await {
        assert!(matches!(error, StoreError::Busy), "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn task(body: &str) -> KeptTask {
    KeptTask::new("ada", Some(END), body.as_bytes().to_vec())
}

/// So many of each kind.
async fn fill(node: &RedisStores, count: usize) {
    let (tasks, quota) = (node.tasks().unwrap(), Quota::default());
    for number in 0..count {
        remember(node, &format!("server {number}")).await;
        tasks.insert(&format!("task {number}"), task("body"), &quota, 0).await.unwrap();
    }
    let revocations = Revocations::new().shared(Arc::new(node.revocations().unwrap()));
    revocations.revoke(Revoked::Key(KeyId::from_bytes([9; 32])), None, now()).unwrap();
    revocations.share(now()).await.unwrap();
    #[cfg(feature = "oauth")]
    for (kind, count) in authorization(count) {
        use etdi_oauth::embedded::Store as _;
        let store = node.authorization().await.unwrap();
        for number in 0..count {
            let (name, end) = (format!("record {number}"), now().plus(6_000));
            store.insert(kind, &name, b"of ada".to_vec(), end, now()).await.unwrap();
        }
    }
}

#[cfg(feature = "oauth")]
fn authorization(count: usize) -> [(etdi_oauth::embedded::Kind, usize); 3] {
    use etdi_oauth::embedded::Kind;
    [(Kind::Key, 3), (Kind::Client, count), (Kind::Grant, count)]
}

/// Whether all of it is there for a node that has one secret alone.
async fn holds_all(node: &RedisStores, count: usize) {
    let (approvals, tasks) = (node.approvals().unwrap(), node.tasks().unwrap());
    for number in 0..count {
        let memory = approvals.memory(&format!("server {number}")).await.unwrap().unwrap();
        assert_eq!(memory.tools.len(), 1);
        let kept = tasks.load(&format!("task {number}")).await.unwrap().unwrap().task;
        assert_eq!((&*kept.owner, kept.body.starts_with(b"body")), ("ada", true));
    }
    assert!(node.revocations().unwrap().read(0).await.unwrap().text.is_some());
    #[cfg(feature = "oauth")]
    for (kind, count) in authorization(count) {
        use etdi_oauth::embedded::Store as _;
        let store = node.authorization().await.unwrap();
        let found = store.list(kind, now()).await.unwrap();
        assert_eq!(found.into_iter().filter(|(_, record)| record == b"of ada").count(), count);
    }
}

fn earlier(seals: &[Seals]) -> u64 {
    seals.iter().map(|store| store.earlier + store.unknown).sum()
}

fn of(done: &[Resealed], name: StoreName) -> (u64, u64) {
    let store = done.iter().find(|done| done.store == name).unwrap();
    assert!(store.error.is_none(), "{store:?}");
    (store.resealed, store.unreadable)
}

#[tokio::test]
async fn an_old_secret_opens_nothing_any_more_and_the_new_one_all() {
    let server = RedisServer::start();
    let [old, one, _] = nodes(&server).await;
    fill(&old, 100).await;
    let before = one.approvals().unwrap().generation().await.unwrap();
    let named = approval("pay");
    let held = old.approvals().unwrap().put(named.clone(), None).await.unwrap();
    assert!(earlier(&one.seals().await.unwrap()) > 300);
    let done = one.reseal().await.unwrap();
    assert_eq!(of(&done, StoreName::Approvals), (101, 0));
    assert_eq!(of(&done, StoreName::Revocations), (1, 0));
    assert_eq!(of(&done, StoreName::Tasks), (200, 0));
    #[cfg(feature = "oauth")]
    assert_eq!(of(&done, StoreName::Authorization), (203, 0));
    let seals = one.seals().await.unwrap();
    assert_eq!(earlier(&seals), 0, "{seals:?}");
    let tasks = seals.iter().find(|seal| seal.store == StoreName::Tasks).unwrap();
    assert_eq!(tasks.newest, 200);
    // Few writes, and nobody's version is another one.
    assert!(one.approvals().unwrap().generation().await.unwrap() <= before + 3);
    let alone = node(&server, &rounds().new).await;
    holds_all(&alone, 100).await;
    let approvals = alone.approvals().unwrap();
    let found = approvals.get(&named.key).await.unwrap().unwrap();
    assert_eq!(found.generation, held.generation);
    approvals.remove(&named.key, held.generation).await.unwrap();
    let quota = Quota::default();
    alone.tasks().unwrap().replace("task 0", 1, task("body 2"), &quota).await.unwrap();
    // The old one opens nothing of it.
    assert!(old.tasks().unwrap().load("task 1").await.is_err());
    assert!(old.approvals().unwrap().memory("server 1").await.is_err());
    assert!(old.revocations().unwrap().read(0).await.is_err());
    // Once more there is nothing to do.
    assert!(
        one.reseal().await.unwrap().iter().all(|done| done.resealed == 0 && done.unreadable == 0)
    );
}

/// A round early, or with the secrets swapped, the running nodes would open nothing of it any more.
#[tokio::test]
async fn what_the_nodes_do_not_seal_with_seals_nothing_anew() {
    let Rounds { old, first, second, new } = rounds();
    for (started, resealing) in [
        // The nodes have the old one alone, or seal with it.
        (vec![&old], &second),
        (vec![&old, &first], &second),
        // Swapped, beside the second round and the last.
        (vec![&old, &first, &second], &first),
        (vec![&old, &first, &second, &new], &first),
    ] {
        let server = RedisServer::start();
        let mut nodes = Vec::new();
        for secret in started {
            nodes.push(node(&server, secret).await);
        }
        let last = nodes.last().unwrap();
        fill(last, 3).await;
        let builder = RedisStores::builder(Address::one(server.url()), resealing.clone());
        let done = match builder.beside_nodes().connect().await {
            Ok(stores) => stores.reseal().await.map(|_| ()),
            Err(error) => Err(error),
        };
        assert!(matches!(done, Err(RedisError::SecretAhead { .. })), "{done:?}");
        assert_eq!(earlier(&last.seals().await.unwrap()), 0);
        holds_all(last, 3).await;
    }
}

/// Whoever reseals is broken off again and again, at another place each time.
#[tokio::test]
async fn whoever_broke_off_begins_again() {
    let server = RedisServer::start();
    let [old, one, _] = nodes(&server).await;
    fill(&old, 120).await;
    let (mut left, mut broken) = (earlier(&one.seals().await.unwrap()), 0);
    let mut within = Duration::from_millis(1);
    loop {
        within = within * 9 / 8;
        let done = tokio::time::timeout(within, one.reseal()).await;
        // What was written is written whole.
        let now = earlier(&one.seals().await.unwrap());
        assert!(now <= left, "{now} of {left}");
        broken += u32::from(now < left && now > 0);
        left = now;
        if let Ok(done) = done {
            done.unwrap();
            break;
        }
    }
    assert!(broken > 0, "it was never broken off in its midst");
    assert_eq!(left, 0);
    holds_all(&node(&server, &rounds().new).await, 120).await;
}

#[tokio::test]
async fn what_another_node_writes_meanwhile_counts() {
    let server = RedisServer::start();
    let [old, one, other] = nodes(&server).await;
    fill(&old, 100).await;
    let over = Arc::new(AtomicBool::new(false));
    let writes = {
        let (other, over) = (other.clone(), over.clone());
        tokio::spawn(async move {
            let (tasks, quota) = (other.tasks().unwrap(), Quota::default());
            let (mut count, mut expected) = (0, vec![1; 100]);
            while !over.load(Ordering::Relaxed) || count < 100 {
                let number = count % 100;
                // The version that was held before counts, whether it was sealed anew or not.
                let body = task(&format!("body {count}"));
                let id = format!("task {number}");
                tasks.replace(&id, expected[number], body, &quota).await.unwrap();
                expected[number] += 1;
                remember(&other, &format!("later {count}")).await;
                count += 1;
            }
            (count, expected)
        })
    };
    while one.reseal().await.unwrap().iter().any(|done| {
        // An approval store that others write faster says so, and is asked again.
        assert!(done.error.is_none() || done.store == StoreName::Approvals, "{done:?}");
        done.resealed > 0 || done.error.is_some()
    }) {}
    over.store(true, Ordering::Relaxed);
    let (count, versions) = writes.await.unwrap();
    assert_eq!(earlier(&one.seals().await.unwrap()), 0);
    let alone = node(&server, &rounds().new).await;
    holds_all(&alone, 100).await;
    for number in 0..count {
        let memory = alone.approvals().unwrap().memory(&format!("later {number}")).await;
        assert!(memory.unwrap().is_some(), "{number}");
    }
    for (number, version) in versions.into_iter().enumerate() {
        let stored = alone.tasks().unwrap().load(&format!("task {number}")).await.unwrap().unwrap();
        let last = (count - 1 - number) / 100 * 100 + number;
        assert_eq!(stored.version, version);
        assert_eq!(stored.task.body, format!("body {last}").into_bytes());
    }
}

#[tokio::test]
async fn what_does_not_open_is_told_and_left_as_it_is() {
    let server = RedisServer::start();
    let [old, one, _] = nodes(&server).await;
    fill(&old, 3).await;
    for (key, field) in [("{t}:bodies", "task 1"), ("{v}:revocations", "text")] {
        server.ask(&["HSET", &format!("mcp:1:{key}"), field, "nothing that was sealed"]);
    }
    // One that is put in the place of another does not count by being sealed anew.
    let approvals = "mcp:1:{a}:approvals";
    let names = server.ask(&["HKEYS", approvals]);
    let names: Vec<_> = names.lines().filter(|name| name.starts_with("s:")).collect();
    let swap = "redis.call('HSET', KEYS[1], ARGV[1], redis.call('HGET', KEYS[1], ARGV[2]))";
    server.ask(&["EVAL", swap, "1", approvals, names[0], names[1]]);
    let done = one.reseal().await.unwrap();
    assert_eq!(of(&done, StoreName::Approvals), (2, 1));
    assert_eq!(of(&done, StoreName::Revocations), (0, 1));
    assert_eq!(of(&done, StoreName::Tasks), (5, 1));
    let seals = one.seals().await.unwrap();
    assert_eq!(earlier(&seals), 3, "{seals:?}");
    assert_eq!(server.ask(&["HGET", "mcp:1:{t}:bodies", "task 1"]), "nothing that was sealed");
    let listed = [0, 1, 2].map(|number| format!("server {number}"));
    let store = one.approvals().unwrap();
    let mut opened = 0;
    for server in &listed {
        opened += u32::from(store.memory(server).await.is_ok());
    }
    assert_eq!(opened, 2);
}

/// A field that no head names would keep the old secret for ever.
#[tokio::test]
async fn a_field_that_no_head_names_is_told() {
    let server = RedisServer::start();
    let [old, one, _] = nodes(&server).await;
    fill(&old, 3).await;
    let approvals = "mcp:1:{a}:approvals";
    server.ask(&["HSET", approvals, "a:orphan", "zzz"]);
    let done = one.reseal().await.unwrap();
    assert_eq!(of(&done, StoreName::Approvals).1, 1);
    let store = done.iter().find(|done| done.store == StoreName::Approvals).unwrap();
    assert_eq!(store.strays, ["a:orphan"]);
    assert_eq!(earlier(&one.seals().await.unwrap()), 1);
    server.ask(&["HDEL", approvals, "a:orphan"]);
    assert_eq!(earlier(&one.seals().await.unwrap()), 0);
    holds_all(&one, 3).await;
}

/// A session, or a user's tokens, that are asked for again and again would keep the old secret for ever.
#[tokio::test]
async fn what_is_in_use_is_sealed_anew_when_it_is_asked_for() {
    let server = RedisServer::start();
    let [old, one, _] = nodes(&server).await;
    let life = Duration::from_secs(60);
    let record = || Bytes::from_static(b"record");
    old.sessions().unwrap().insert("a", record(), life).await.unwrap();
    one.sessions().unwrap().find("a", life).await.unwrap().unwrap();
    #[cfg(feature = "oauth")]
    {
        use etdi_oauth::{SecretText, TokenStore as _};
        let tokens = |node: &RedisStores| node.tokens_of("ada").unwrap();
        tokens(&old).put("tokens", SecretText::new("one")).await.unwrap();
        tokens(&one).get("tokens").await.unwrap().unwrap();
    }
    let alone = node(&server, &rounds().new).await;
    let found = alone.sessions().unwrap().find("a", life).await.unwrap().unwrap();
    assert_eq!((found.version, &*found.record), (1, &b"record"[..]));
    let left: i64 = {
        let name = server.ask(&["KEYS", "*:session"]);
        server.ask(&["TTL", &name]).parse().unwrap()
    };
    assert!((1..=60).contains(&left), "{left}");
    #[cfg(feature = "oauth")]
    {
        use etdi_oauth::TokenStore as _;
        let found = alone.tokens_of("ada").unwrap().get("tokens").await.unwrap().unwrap();
        assert_eq!(found.expose(), "one");
    }
}

#[tokio::test]
async fn a_cluster_is_gone_through_too() {
    let members = crate::cluster::cluster_of_three().await;
    let Rounds { old, first, second, new } = rounds();
    let at = || Address::cluster([members[0].url()]);
    fill(&node_at(at(), &old).await, 10).await;
    drop(node_at(at(), &first).await);
    let one = node_at(at(), &second).await;
    assert!(earlier(&one.seals().await.unwrap()) > 30);
    let done = one.reseal().await.unwrap();
    assert!(done.iter().all(|done| done.error.is_none() && done.unreadable == 0), "{done:?}");
    assert_eq!(earlier(&one.seals().await.unwrap()), 0);
    holds_all(&node_at(at(), &new).await, 10).await;
}

/// The last round was begun before everything was sealed anew: what lies under the old secret says so, and the client
/// of a session begins anew.
#[tokio::test]
async fn a_last_round_too_early_says_what_to_do() {
    let server = RedisServer::start();
    let [old, ..] = nodes(&server).await;
    let last = node(&server, &rounds().new).await;
    fill(&old, 1).await;
    let life = Duration::from_secs(60);
    let (before, after) = (old.sessions().unwrap(), last.sessions().unwrap());
    before.insert("session", "record".into(), life).await.unwrap();
    assert!(after.find("session", life).await.unwrap().is_none());
    let updated = after.update("session", 7, "other".into(), life).await.unwrap();
    assert!(matches!(updated, Updated::Gone), "{updated:?}");
    // A node that opens it finds it where it was.
    assert!(before.find("session", life).await.unwrap().is_some());
    let task = last.tasks().unwrap().load("task 0").await.unwrap_err();
    let task = task.source().unwrap().to_string();
    let approvals = last.approvals().unwrap().memory("server 0").await.unwrap_err().to_string();
    for said in
        [task, approvals, last.revocations().unwrap().read(0).await.unwrap_err().to_string()]
    {
        assert!(said.contains("a secret that this node does not open: start with"), "{said}");
    }
    for store in [StoreName::Sessions, StoreName::Tasks, StoreName::Approvals] {
        assert!(crate::failed(&last, store, Failure::Secret) > 0, "{store:?}");
        assert_eq!(crate::failed(&last, store, Failure::Damaged), 0, "{store:?}");
    }
}
