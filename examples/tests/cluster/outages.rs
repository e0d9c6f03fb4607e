//! Redis ends, is paused or is full under three nodes: what needs it is refused and says why, plain calls
//! of 2026-07-28 go on, and all of it works again by itself.

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use mcp_client::task::Started;
use mcp_client::{Client, Error, text_of};
use mcp_transport::http::HttpConnection;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::redis::RedisServer;
use super::wire::{Failed, Session};
use super::{Caller, Refused, client, runtime, send};

/// How long it may take until something works again; a restarted Redis makes signed calls wait 40 seconds.
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    redis: RedisServer,
    _cluster: Cluster,
    urls: Vec<String>,
    nodes: Vec<Client<HttpConnection>>,
    caller: Caller,
    session: Session,
    /// A call that was signed and admitted.
    used: (Value, String),
    /// When it was.
    since: Instant,
}

/// For how long a signed call counts from when it was signed, and one second for the way.
const LIFE: Duration = Duration::from_secs(59);

impl World {
    async fn new(redis: RedisServer) -> Self {
        let cluster = Cluster::with(&["--redis", &redis.url()]);
        let urls: Vec<_> = cluster.nodes().into_iter().map(|(_, url)| url).collect();
        let nodes: Vec<_> = urls.iter().map(|url| client(url)).collect();
        let caller = Caller::new(&cluster, &nodes).await;
        let session = Session::begin(&urls[0]).await.unwrap();
        let used = (Value::Null, String::new());
        let since = Instant::now();
        let mut world =
            Self { redis, _cluster: cluster, urls, nodes, caller, session, used, since };
        (world.used, world.since) = (world.admitted().await, Instant::now());
        world
    }

    /// Signs a call for a node, and says what became of it.
    async fn pay(&self, node: usize) -> Result<(Value, String), Refused> {
        let arguments = json!({ "cents": 5, "to": "ada" });
        let nonce = self.caller.nonce(&self.nodes[node]).await;
        let statement = self.caller.sign(&arguments, Some(&nonce));
        send(&self.nodes[node], &arguments, &statement).await?;
        Ok((arguments, statement))
    }

    /// Signs until a call is admitted, which may take until nothing from before can count any more.
    async fn admitted(&self) -> (Value, String) {
        let began = Instant::now();
        loop {
            match self.pay(1).await {
                Ok(paid) => return paid,
                Err(refused) => assert_eq!(refused.code(), "REPLAY_STORE_FULL"),
            }
            assert!(began.elapsed() < PATIENCE, "no signed call is admitted");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// What was used once counts at no node.
    async fn used_stays_used(&self) {
        for node in &self.nodes {
            let (arguments, statement) = &self.used;
            let refused = send(node, arguments, statement).await.expect_err("paid twice").code();
            // While the statement lives, this is the only check that stands against it.
            let is_checked = ["REPLAYED", "REPLAY_STORE_FULL"].contains(&&*refused);
            assert!(is_checked || self.since.elapsed() >= LIFE, "{refused}");
        }
    }

    async fn plain_calls_go_on(&self) {
        for node in &self.nodes {
            let said = node.call_tool("echo", &json!({ "message": "on" })).await.unwrap();
            assert!(text_of(&said).starts_with("Echo: on"));
        }
    }

    async fn start_task(
        &self,
        node: usize,
        pages: u32,
    ) -> Result<mcp_client::task::TaskTicket, String> {
        let pages = json!({ "pages": pages });
        match self.nodes[node].call_tool_as_task("print", &pages, runtime()).await {
            Ok(Started::Task(task)) => Ok(task.ticket().clone()),
            // A tool that need be no task is answered in the request where there is no room for one.
            Ok(Started::Done(done)) => Err(format!("no room for tasks: {}", text_of(&done))),
            Err(Error::Service(error)) => Err(error.message.to_string()),
            Err(error) => panic!("{error}"),
        }
    }

    /// A message of the session at a node.
    async fn session_at(&self, node: usize) -> Result<(), Failed> {
        let message = json!({ "message": "hi" });
        self.session.call(&self.urls[node], 100 + node, "echo", &message).await.map(drop)
    }

    /// Each node says by itself, and soon, whether its stores answer; that it is there it says always.
    async fn say(&self, ready: StatusCode) {
        for url in &self.urls {
            assert_eq!(self.session.probe(url, "/live").await, Some(StatusCode::OK));
            let began = Instant::now();
            while self.session.probe(url, "/ready").await != Some(ready) {
                assert!(began.elapsed() < Duration::from_secs(10), "{url} does not say {ready}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Nothing that needs Redis is done while it does not answer, and each says which store and what to do.
    async fn fails_closed(&self) {
        self.plain_calls_go_on().await;
        self.say(StatusCode::SERVICE_UNAVAILABLE).await;
        for node in 0..self.nodes.len() {
            let refused = self.pay(node).await.expect_err("the check cannot be made");
            assert_eq!(refused.code(), "REPLAY_STORE_FULL");
            let Err(Failed::Refused(status, text)) = self.session_at(node).await else {
                panic!("a session is served that nobody can look up")
            };
            assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
            assert!(
                text.contains("sessions cannot be looked up at the moment, try again"),
                "{text}"
            );
            let text = self.start_task(node, 1).await.expect_err("a task is kept nowhere");
            assert!(text.contains("cannot use its store of tasks, try again"), "{text}");
        }
        self.used_stays_used().await;
        self.plain_calls_go_on().await;
    }

    /// Sessions and tasks work again, soon and without anybody's doing.
    async fn recovers(&self) {
        let began = Instant::now();
        loop {
            let session = Session::begin(&self.urls[0]).await;
            if session.is_ok() && self.start_task(2, 1).await.is_ok() {
                break;
            }
            assert!(began.elapsed() < Duration::from_secs(30), "it does not recover");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        println!("sessions and tasks after {:?}", began.elapsed());
        self.say(StatusCode::OK).await;
        self.plain_calls_go_on().await;
        self.used_stays_used().await;
        self.admitted().await;
        println!("signed calls after {:?}", began.elapsed());
        self.used_stays_used().await;
    }
}

#[tokio::test]
async fn redis_is_paused() {
    let world = World::new(RedisServer::start()).await;
    world.redis.signal("-STOP");
    world.fails_closed().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.fails_closed().await;
    world.redis.signal("-CONT");
    world.recovers().await;
    assert!(world.session_at(2).await.is_ok(), "the session was only not found for a while");
}

/// What a stream says while Redis is away is sent and not kept: who reads on misses nothing, and who comes back
/// to it is told that something is missing, at each node, and not given the rest as if it were all.
#[tokio::test]
async fn redis_is_paused_under_streams() {
    const PAGES: usize = 12;
    let world = World::new(RedisServer::start()).await;
    let (session, url, soon) = (&world.session, &world.urls[0], Duration::from_secs(20));
    let pages = json!({ "pages": PAGES });
    let mut stays = session.call(url, 1, "print", &pages).await.unwrap();
    let mut leaves = session.call(url, 2, "print", &pages).await.unwrap();
    let mut last = leaves.next(soon).await.unwrap();
    while last.message.is_none() {
        last = leaves.next(soon).await.unwrap();
    }
    world.redis.signal("-STOP");
    drop(leaves);
    tokio::time::sleep(Duration::from_secs(3)).await;
    world.redis.signal("-CONT");

    let (mut told, mut answered) = (Vec::new(), false);
    while !answered {
        let event = stays.next(soon).await.expect("who reads on hears all");
        let Some(message) = event.message else { continue };
        match message.get("result") {
            Some(_) => answered = true,
            None => told.push(message["params"]["progress"].as_u64().unwrap()),
        }
    }
    assert_eq!(told, (1..=PAGES as u64).collect::<Vec<_>>());
    world.recovers().await;
    for url in &world.urls {
        let Err(Failed::Refused(status, text)) = session.resume(url, &last.id).await else {
            panic!("what is missing is passed over in silence")
        };
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(text.contains("not kept any more, ask again from the start"), "{text}");
    }
    assert!(session.call(url, 3, "echo", &json!({ "message": "on" })).await.is_ok());
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_with_its_data() {
    let log = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"];
    let mut world = World::new(RedisServer::with(&log)).await;
    let task = world.start_task(0, 60).await.unwrap();
    world.redis.kill();
    world.fails_closed().await;
    world.redis.start_again();
    world.recovers().await;
    assert!(world.session_at(2).await.is_ok(), "the session was kept");
    let done = world.nodes[1].task(task, runtime()).result().await;
    assert_eq!(text_of(&done.unwrap()), "printed 60 pages");
}

#[tokio::test]
async fn redis_is_killed_and_comes_back_empty() {
    let mut world = World::new(RedisServer::start()).await;
    let task = world.start_task(0, 600).await.unwrap();
    world.redis.kill();
    world.fails_closed().await;
    world.redis.start_again();
    world.recovers().await;
    let Err(Failed::Refused(status, _)) = world.session_at(2).await else {
        panic!("a session that nobody knows is served")
    };
    assert_eq!(status, StatusCode::NOT_FOUND, "the client begins a new one");
    let gone = world.nodes[1].task(task, runtime()).state().await;
    assert!(matches!(gone, Err(Error::Service(_))), "the task is gone, which is said: {gone:?}");
}

#[tokio::test]
async fn redis_is_full() {
    let world = World::new(RedisServer::start()).await;
    assert_eq!(world.redis.ask(&["config", "set", "maxmemory", "1mb"]), "OK");
    world.plain_calls_go_on().await;
    for node in 0..world.nodes.len() {
        let refused = world.pay(node).await.expect_err("there is no room to note it");
        assert_eq!(refused.code(), "REPLAY_STORE_FULL");
        assert!(world.session_at(node).await.is_ok(), "what is there is served");
        let Err(Failed::Refused(status, text)) = Session::begin(&world.urls[node]).await else {
            panic!("there is no room for a session")
        };
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
        let text = world.start_task(node, 1).await.expect_err("there is no room for a task");
        assert_eq!(text, "no room for tasks: printed 1 pages");
    }
    world.used_stays_used().await;
    assert_eq!(world.redis.ask(&["config", "set", "maxmemory", "0"]), "OK");
    world.recovers().await;
    assert!(world.session_at(2).await.is_ok());
}
