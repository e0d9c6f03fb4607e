//! The same contracts on a cluster of three, and on a master that sentinels know.

use std::process::Command;
use std::time::{Duration, Instant};

use etdi_core::approval::{approval_store_contract, approval_store_of_nodes_contract};
use etdi_core::request::replay_store_contract;
use mcp_redis::{Address, ClusterSecret, RedisError, RedisStores};
use mcp_server::task::{task_store_contract, task_store_of_nodes_contract};
use mcp_transport::http::server::{event_store_contract, session_store_contract};
use mcp_transport::{Allowance, rate_store_contract};

use crate::now;
use crate::replay::until;
use crate::server::{RedisServer, SECRET};

pub(crate) async fn keeps_all_contracts(one: &RedisStores, other: &RedisStores) {
    replay_store_contract(&[&one.replay(), &other.replay()], now()).await.unwrap();
    event_store_contract(&[&one.events().unwrap(), &other.events().unwrap()]).await.unwrap();
    let (sessions, others) = (one.sessions().unwrap(), other.sessions().unwrap());
    session_store_contract(&[&sessions, &others]).await.unwrap();
    rate_store_contract(&[&one.rates(), &other.rates()]).await.unwrap();
    let (approvals, others) = (one.approvals().unwrap(), other.approvals().unwrap());
    approval_store_contract(&approvals).await.unwrap();
    approval_store_of_nodes_contract(&[&approvals, &others]).await.unwrap();
    let (tasks, others) = (one.tasks().unwrap(), other.tasks().unwrap());
    task_store_contract(&tasks).await.unwrap();
    task_store_of_nodes_contract(&[&tasks, &others]).await.unwrap();
}

async fn node(address: Address) -> RedisStores {
    let builder = RedisStores::builder(address, ClusterSecret::new(SECRET));
    let builder = builder.dangerously_believe_empty().timeout(Duration::from_secs(5));
    builder.connect().await.unwrap()
}

/// What each member is started with: who is silent for two seconds is down, and the others serve meanwhile.
const MEMBER: [&str; 10] = [
    "--cluster-enabled",
    "yes",
    "--cluster-node-timeout",
    "2000",
    "--cluster-require-full-coverage",
    "no",
    "--save",
    "",
    "--appendonly",
    "no",
];

pub(crate) async fn cluster_of_three() -> [RedisServer; 3] {
    let member = || RedisServer::with(&MEMBER);
    let members = [member(), member(), member()];
    let hosts = members.each_ref().map(|one| format!("127.0.0.1:{}", one.port));
    let made = Command::new("redis-cli")
        .args(["--cluster", "create"])
        .args(&hosts)
        .args(["--cluster-replicas", "0", "--cluster-yes"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stdout));
    let end = Instant::now() + Duration::from_secs(30);
    while !members.iter().all(|one| one.ask(&["CLUSTER", "INFO"]).contains("cluster_state:ok")) {
        assert!(Instant::now() < end, "the cluster does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    members
}

#[tokio::test]
async fn a_cluster_of_three_keeps_all_contracts() {
    let members = cluster_of_three().await;
    let one = node(Address::cluster([members[0].url()])).await;
    let other = node(Address::cluster([members[1].url(), members[2].url()])).await;
    keeps_all_contracts(&one, &other).await;
    // What it keeps is spread, or it would be no use to have three.
    for member in &members {
        assert_ne!(member.ask(&["DBSIZE"]), "0");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_shard_is_noticed_while_others_answer() {
    let members = cluster_of_three().await;
    let address = Address::cluster([members[0].url()]);
    let stores = RedisStores::builder(address, ClusterSecret::new(SECRET));
    let stores = stores.dangerously_believe_empty().connect().await.unwrap();
    let (rates, allowance) = (stores.rates(), Allowance::new(1e6, 1_000));
    let (on, names) = two_names(&stores, &members).await;
    let others = (rates.clone(), names[1].clone());
    let answered = tokio::spawn(async move {
        loop {
            others.0.try_take(&others.1, allowance).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    members[on[0]].signal("-STOP");
    let began = Instant::now();
    let silent = rates.try_take(&names[0], allowance).await;
    let took = began.elapsed();
    members[on[0]].signal("-CONT");
    assert!(!answered.is_finished(), "the other shard answers");
    answered.abort();
    let Err(RedisError::TooSlow(said)) = silent else { panic!("{silent:?}") };
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert!(said <= took && took - said < Duration::from_millis(200), "{said:?} of {took:?}");
}

/// Two names that different members keep, as those say, and which these are.
async fn two_names(stores: &RedisStores, members: &[RedisServer]) -> (Vec<usize>, Vec<String>) {
    let key = |member: &RedisServer| member.ask(&["KEYS", "*:full"]);
    let (mut on, mut names) = (Vec::new(), Vec::new());
    for number in 0..100 {
        let (name, slow) = (format!("caller {number}"), Allowance::new(0.001, 2));
        stores.rates().try_take(&name, slow).await.unwrap();
        let at = members.iter().position(|member| !key(member).is_empty()).unwrap();
        members[at].ask(&["FLUSHALL"]);
        if !on.contains(&at) {
            on.push(at);
            names.push(name);
        }
        if on.len() == 2 {
            break;
        }
    }
    (on, names)
}

/// A member hangs, and its replica is put in its place: the other shards are answered all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_in_a_cluster_is_followed_and_keeps_no_other_shard_waiting() {
    let members = cluster_of_three().await;
    let address = Address::cluster(members.iter().map(RedisServer::url));
    let stores = RedisStores::builder(address, ClusterSecret::new(SECRET));
    let stores = stores.dangerously_believe_empty().connect().await.unwrap();
    let (on, names) = two_names(&stores, &members).await;
    let replica = RedisServer::with(&MEMBER);
    let hosts = [&replica, &members[on[0]]].map(|one| format!("127.0.0.1:{}", one.port));
    let id = members[on[0]].ask(&["CLUSTER", "MYID"]);
    let joined = Command::new("redis-cli")
        .args(["--cluster", "add-node", &hosts[0], &hosts[1], "--cluster-slave"])
        .args(["--cluster-master-id", &id])
        .output()
        .unwrap();
    assert!(joined.status.success(), "{}", String::from_utf8_lossy(&joined.stdout));
    until(|| {
        replica.ask(&["INFO", "replication"]).contains("master_link_status:up")
            && members.iter().all(|one| one.ask(&["CLUSTER", "NODES"]).contains(" slave "))
    })
    .await;
    let (rates, allowance) = (stores.rates(), Allowance::new(1e6, 1_000));
    let others = (rates.clone(), names[1].clone());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let answered = tokio::spawn(async move {
        let (mut longest, mut failed) = (Duration::ZERO, 0);
        while !*stopped.borrow() {
            let began = Instant::now();
            failed += u32::from(others.0.try_take(&others.1, allowance).await.is_err());
            longest = longest.max(began.elapsed());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        (longest, failed)
    });
    members[on[0]].signal("-STOP");
    let began = Instant::now();
    let mut tries = 0;
    while let Err(error) = rates.try_take(&names[0], allowance).await {
        assert!(began.elapsed() < Duration::from_secs(60), "it never goes on: {error:?}");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    stop.send_replace(true);
    let (longest, failed) = answered.await.unwrap();
    members[on[0]].signal("-CONT");
    eprintln!(
        "it went on after {took:?} ({tries} tries); the others: {longest:?}, {failed} failed"
    );
    assert_eq!(failed, 0, "no other shard is kept waiting: {longest:?}");
    assert!(replica.ask(&["INFO", "replication"]).contains("role:master"));
}

#[tokio::test]
async fn a_master_that_sentinels_know_keeps_all_contracts() {
    let master = RedisServer::start();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("sentinel.conf");
    let text = format!("sentinel monitor shop 127.0.0.1 {} 1\n", master.port);
    std::fs::write(&settings, text).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let sentinel = Command::new("redis-server")
        .arg(&settings)
        .args(["--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let _sentinel = Killed(sentinel);
    let end = Instant::now() + Duration::from_secs(20);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let address = || Address::sentinel([format!("redis://127.0.0.1:{port}")], "shop");
    let (one, other) = (node(address()).await, node(address()).await);
    keeps_all_contracts(&one, &other).await;
}

/// Ended with the test, however that ends.
pub(crate) struct Killed(pub(crate) std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
