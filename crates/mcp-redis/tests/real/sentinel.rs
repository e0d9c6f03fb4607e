//! A master that sentinels know, and what they put in its place.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use etdi_core::key::KeyId;
use etdi_core::request::{CLOCK_SKEW, LIFETIME, Taken};
use mcp_redis::{Address, ClusterSecret, RedisError, RedisStores};
use mcp_transport::Allowance;

use crate::cluster::Killed;
use crate::now;
use crate::replay::{follow, until};
use crate::server::{RedisServer, SECRET};

/// A sentinel that knows a master, with the folder of its settings.
pub(crate) struct Sentinel {
    _process: Killed,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    /// One that needs so many who agree that the master, silent for a second, is down.
    fn of(master: &RedisServer, quorum: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("sentinel.conf");
        let text = format!(
            "sentinel monitor shop 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 5000\n",
            master.port
        );
        std::fs::write(&settings, text).unwrap();
        for _ in 0..20 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let process = Command::new("redis-server")
                .arg(&settings)
                .args(["--sentinel", "--port", &port.to_string(), "--bind", "127.0.0.1"])
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let mut process = Killed(process);
            let end = Instant::now() + Duration::from_secs(20);
            while process.0.try_wait().unwrap().is_none() && Instant::now() < end {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return Self { _process: process, port, _folder: folder };
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("no sentinel could be started on a free port");
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn ask(&self, command: &[&str]) -> String {
        let port = self.port.to_string();
        let out = Command::new("redis-cli").args(["-p", &port]).args(command).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

/// A master, its replica, and three sentinels that know all of them.
async fn watched() -> (RedisServer, RedisServer, [Sentinel; 3]) {
    let (master, replica) = (RedisServer::start(), RedisServer::start());
    follow(&replica, &master).await;
    let sentinels = [(); 3].map(|()| Sentinel::of(&master, 2));
    for one in &sentinels {
        until(|| {
            let known = one.ask(&["SENTINEL", "MASTER", "shop"]);
            let mut lines = known.lines();
            let mut of = |name| lines.find(|line| *line == name).and(lines.next());
            of("num-slaves") == Some("1") && of("num-other-sentinels") == Some("2")
        })
        .await;
    }
    (master, replica, sentinels)
}

async fn node(urls: Vec<String>) -> RedisStores {
    let address = Address::sentinel(urls, "shop");
    let builder = RedisStores::builder(address, ClusterSecret::new(SECRET));
    builder.dangerously_believe_empty().connect().await.unwrap()
}

async fn goes_on(stores: &RedisStores) -> Result<(), RedisError> {
    // So slow that whoever is asked keeps a key for long.
    let allowance = Allowance::new(0.01, 20_000);
    stores.rates().try_take("caller", allowance).await.map(drop)
}

/// Until an operation is done; for how long that took.
async fn until_it_goes_on(stores: &RedisStores) -> Duration {
    let (began, end) = (Instant::now(), Instant::now() + Duration::from_secs(40));
    loop {
        match goes_on(stores).await {
            Ok(()) => return began.elapsed(),
            Err(error) => assert!(Instant::now() < end, "it never goes on: {error:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn take(stores: &RedisStores, id: &str) -> Result<Taken, RedisError> {
    let (until, now) = (now().plus(LIFETIME + CLOCK_SKEW), now());
    stores.replay().try_take(KeyId::from_bytes([1; 32]), id, until, now).await
}

/// The master hangs, and its system takes packets for it. The sentinel that is asked first takes a connection and
/// says nothing, as one whose host is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_is_followed_while_the_old_master_hangs() {
    let (master, replica, sentinels) = watched().await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("redis://{}", silent.local_addr().unwrap());
    let urls: Vec<_> = sentinels.iter().map(Sentinel::url).collect();
    let near = node(urls.clone()).await;
    let far = node([gone].into_iter().chain(urls).collect()).await;
    for stores in [&near, &far] {
        goes_on(stores).await.unwrap();
    }
    assert_eq!(take(&near, "pay").await.unwrap(), Taken::First);
    master.signal("-STOP");
    let began = Instant::now();
    assert!(goes_on(&near).await.is_err() && began.elapsed() < Duration::from_secs(5));
    // All who wait wait for one answer of the sentinels.
    let mut waiting = tokio::task::JoinSet::new();
    for stores in [&near, &far] {
        for _ in 0..50 {
            let stores = stores.clone();
            waiting.spawn(async move { until_it_goes_on(&stores).await });
        }
    }
    let mut longest = Duration::ZERO;
    while let Some(took) = waiting.join_next().await {
        longest = longest.max(took.unwrap());
    }
    eprintln!("the last of 100 went on after {longest:?}");
    assert!(replica.ask(&["INFO", "replication"]).contains("role:master"));
    assert_eq!(replica.ask(&["KEYS", "*:full"]).lines().count(), 1, "it is asked");
    // What the old one took may not have come over.
    let replayed = take(&far, "pay").await;
    assert!(!matches!(replayed, Ok(Taken::First)), "{replayed:?}");
    // The old one comes back, and is told what it is.
    master.signal("-CONT");
    until(|| master.ask(&["INFO", "replication"]).contains("role:slave")).await;
    for stores in [&near, &far] {
        goes_on(stores).await.unwrap();
    }
}

/// A master that is made a replica keeps its connections, and answers.
#[tokio::test]
async fn a_master_that_takes_nothing_any_more_is_left() {
    let (master, other) = (RedisServer::start(), RedisServer::start());
    follow(&other, &master).await;
    let sentinel = Sentinel::of(&master, 1);
    let stores = node(vec![sentinel.url()]).await;
    goes_on(&stores).await.unwrap();
    sentinel.ask(&["SENTINEL", "REMOVE", "shop"]);
    other.ask(&["REPLICAOF", "NO", "ONE"]);
    follow(&master, &other).await;
    sentinel.ask(&["SENTINEL", "MONITOR", "shop", "127.0.0.1", &other.port.to_string(), "1"]);
    let took = until_it_goes_on(&stores).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    assert_eq!(other.ask(&["KEYS", "*:full"]).lines().count(), 1, "the master is asked");
}

/// A name that stands for another server, where the one before only hangs.
#[tokio::test]
async fn a_server_that_only_hangs_is_left_for_the_one_that_has_its_address() {
    let (hangs, serves) = (RedisServer::start(), RedisServer::start());
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", door.local_addr().unwrap());
    let (point, pointed) = tokio::sync::watch::channel(hangs.port);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = door.accept().await {
            let port = *pointed.borrow();
            tokio::spawn(async move {
                let mut far = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let stores = RedisStores::builder(Address::one(url), ClusterSecret::new(SECRET));
    let stores = stores.dangerously_believe_empty().connect().await.unwrap();
    goes_on(&stores).await.unwrap();
    hangs.signal("-STOP");
    assert!(goes_on(&stores).await.is_err());
    point.send_replace(serves.port);
    let took = until_it_goes_on(&stores).await;
    hangs.signal("-CONT");
    assert!(took < Duration::from_secs(4), "{took:?}");
}
