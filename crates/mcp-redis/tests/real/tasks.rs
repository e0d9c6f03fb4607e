//! Tasks: what one node begins, another shows, changes and takes over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mcp_redis::{Failure, RedisStores, StoreName};
use mcp_server::task::{
    KeptTask, Quota, TaskStore as _, TaskStoreError, Tasks, task_store_contract,
    task_store_of_nodes_contract,
};

use mcp_server::types::tasks::{CreateTaskResult, DetailedTask};
use mcp_server::types::version::ProtocolVersion;
use mcp_server::types::{
    CallToolRequestParams, ClientRequest, Exchange, Outcome, RawText, ServerResult,
};
use mcp_server::{Context, Server};
use tokio::sync::Notify;
use tower_service::Service as _;

use crate::server::RedisServer;
use crate::{failed, round_trips};

const END: u64 = 4_000_000_000_000;

/// In January 2026.
const PAST: u64 = 1_767_323_045_000;

#[tokio::test]
async fn two_nodes_keep_both_contracts() {
    let server = RedisServer::start();
    let (one, other) = (server.node().await, server.node().await);
    let (one, other) = (one.tasks().unwrap(), other.tasks().unwrap());
    task_store_contract(&one).await.unwrap();
    task_store_of_nodes_contract(&[&one, &other]).await.unwrap();
    // Nothing but the sum, which is zero, stays behind.
    assert_eq!(server.ask(&["KEYS", "*{t}*"]), "mcp:1:{t}:totals");
    assert_eq!(server.ask(&["HGETALL", "mcp:1:{t}:totals"]), "bytes\n0");
}

#[tokio::test]
async fn redis_learns_nothing_of_a_task_and_cannot_roll_it_back() {
    let server = RedisServer::start();
    let node = server.node().await;
    let (tasks, quota) = (node.tasks().unwrap(), Quota::default());
    let task = |body: &str| KeptTask::new("ada@example", Some(END), body.as_bytes().to_vec());
    tasks.insert("a1", task("the arguments"), &quota, 0).await.unwrap();
    let before = server.ask(&["HGET", "mcp:1:{t}:bodies", "a1"]);
    for name in ["bodies", "sealed", "known", "owners"] {
        let all = server.ask(&["HGETALL", &format!("mcp:1:{{t}}:{name}")]);
        assert!(!all.contains("ada") && !all.contains("arguments"), "{all}");
    }
    assert!(!before.is_empty());
    server.ask(&[
        "EVAL",
        "redis.call('SET', 'old', redis.call('HGET', KEYS[1], 'a1'))",
        "1",
        "mcp:1:{t}:bodies",
    ]);
    let round = round_trips(&node, StoreName::Tasks);
    tasks.replace("a1", 1, task("cancelled"), &quota).await.unwrap();
    assert_eq!(round_trips(&node, StoreName::Tasks) - round, 1);
    let stored = tasks.load("a1").await.unwrap().unwrap();
    assert_eq!(
        (stored.version, &*stored.task.body, &*stored.task.owner),
        (2, &b"cancelled"[..], "ada@example")
    );
    server.ask(&[
        "EVAL",
        "redis.call('HSET', KEYS[1], 'a1', redis.call('GET', 'old'))",
        "1",
        "mcp:1:{t}:bodies",
    ]);
    let rolled_back = tasks.load("a1").await;
    assert!(matches!(rolled_back, Err(TaskStoreError::Unavailable(_))), "{rolled_back:?}");
    assert_eq!(failed(&node, StoreName::Tasks, Failure::Damaged), 1);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_redis_with_a_log() {
    let mut server =
        RedisServer::with(&["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
    let tasks = server.node().await.tasks().unwrap();
    let quota = Quota::default();
    for number in 0..50 {
        let task = KeptTask::new("ada", Some(END), number.to_string().into_bytes());
        tasks.insert(&format!("task {number}"), task, &quota, 0).await.unwrap();
    }
    server.kill();
    assert!(matches!(tasks.load("task 0").await, Err(TaskStoreError::Unavailable(_))));
    server.start_again();
    let end = Instant::now() + Duration::from_secs(20);
    while tasks.load("task 0").await.is_err() && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for number in 0..50 {
        let stored = tasks.load(&format!("task {number}")).await.unwrap().unwrap();
        assert_eq!(stored.task.body, number.to_string().into_bytes());
    }
}

#[tokio::test]
async fn a_paused_and_a_full_redis_say_so() {
    let server = RedisServer::start();
    let builder = server.builder().dangerously_believe_empty().timeout(Duration::from_millis(300));
    let node = builder.connect().await.unwrap();
    let (tasks, quota) = (node.tasks().unwrap(), Quota::default());
    let task = || KeptTask::new("ada", Some(PAST), Vec::new());
    tasks.insert("one", task(), &quota, 0).await.unwrap();
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let full = tasks.insert("two", task(), &quota, 0).await;
    assert!(matches!(full, Err(TaskStoreError::Full { of_owner: false })), "{full:?}");
    let waits = tasks.replace("one", 1, task(), &quota).await;
    assert!(matches!(waits, Err(TaskStoreError::Unavailable(_))), "{waits:?}");
    assert!(tasks.load("one").await.unwrap().is_some(), "what is there is still shown");
    assert_eq!(tasks.sweep(PAST + 1).await.unwrap(), 1, "a full one still forgets");
    server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    server.signal("-STOP");
    let began = Instant::now();
    let slow = tasks.insert("two", task(), &quota, 0).await;
    server.signal("-CONT");
    assert!(matches!(slow, Err(TaskStoreError::Unavailable(_))), "{slow:?}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(failed(&node, StoreName::Tasks, Failure::TooSlow), 1);
    assert_eq!(failed(&node, StoreName::Tasks, Failure::Full), 2);
}

#[tokio::test]
async fn a_node_whose_clock_is_ahead_ends_no_task() {
    let server = RedisServer::start();
    let tasks = server.node().await.tasks().unwrap();
    let quota = Quota::default();
    for (id, end) in [("over", PAST), ("runs", END)] {
        tasks.insert(id, KeptTask::new("ada", Some(end), Vec::new()), &quota, 0).await.unwrap();
    }
    assert_eq!(tasks.sweep(END + 1).await.unwrap(), 1, "what is over by all clocks is swept");
    assert!(tasks.load("runs").await.unwrap().is_some());
    let ahead = KeptTask::new("ada", Some(2 * END), Vec::new());
    tasks.insert("ahead", ahead, &quota, END + 1).await.unwrap();
    assert!(tasks.load("runs").await.unwrap().is_some(), "nor does a new task");
    // Nor to make room for it.
    let mut narrow = Quota::default();
    narrow.tasks_of_owner = 2;
    let third = KeptTask::new("ada", Some(2 * END), Vec::new());
    let refused = tasks.insert("third", third, &narrow, END + 1).await;
    assert!(matches!(refused, Err(TaskStoreError::Full { of_owner: true })), "{refused:?}");
    assert!(tasks.load("runs").await.unwrap().is_some());
}

/// Ends when the test says so.
#[mcp_server::tool(task)]
async fn waits(cx: Context<Arc<Notify>>) -> &'static str {
    cx.state().notified().await;
    "all of it"
}

/// Says a word a hundred times a second.
#[mcp_server::tool(task)]
async fn tells(cx: Context<Arc<Notify>>) {
    for number in 1_u32.. {
        cx.progress(number, 1_000_000.0).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A server of tasks on the Redis of a test.
struct Node(Server, Arc<Notify>);

impl Node {
    async fn new(redis: &RedisServer) -> Self {
        Self::with(&redis.node().await, 3)
    }

    fn with(stores: &RedisStores, lease: u64) -> Self {
        let open = Arc::new(Notify::new());
        let tasks = Tasks::new(stores.tasks().unwrap()).lease(Duration::from_secs(lease));
        let server = mcp_server::server!().tasks(tasks).state(open.clone());
        let server = server.tool::<waits>().tool::<tells>();
        Self(server.build().unwrap(), open)
    }

    async fn ask(&self, request: ClientRequest) -> Result<RawText, String> {
        let mut exchange = Exchange::new(request);
        let declared = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
        let declared = RawText::new(declared).unwrap();
        exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(declared));
        exchange.context.runtime = Some(Arc::new(mcp_transport::TokioRuntime::current()));
        match self.0.clone().call(exchange).await.map_err(|error| error.message.to_string())? {
            Outcome::Complete(ServerResult::Extension(text)) => Ok(text),
            other => panic!("{other:?}"),
        }
    }

    async fn begin(&self, tool: &str) -> String {
        let call = ClientRequest::CallTool(CallToolRequestParams::new(tool));
        let task: CreateTaskResult = self.ask(call).await.unwrap().parse().unwrap();
        task.task_id
    }

    async fn get(&self, id: &str) -> Result<DetailedTask, String> {
        let params = Some(RawText::new(format!(r#"{{"taskId":"{id}"}}"#)).unwrap());
        let request = ClientRequest::Extension { method: "tasks/get".into(), params };
        Ok(self.ask(request).await?.parse().unwrap())
    }
}

#[tokio::test]
async fn a_result_waits_for_a_redis_that_is_full() {
    let redis = RedisServer::start();
    let (node, other) = (Node::new(&redis).await, Node::new(&redis).await);
    let task = node.begin("waits").await;
    redis.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    node.1.notify_one();
    // Longer than an end that cannot be written is tried.
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        for node in [&node, &other] {
            let found = node.get(&task).await;
            assert!(matches!(found, Ok(DetailedTask::Working(_))), "{found:?}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    let end = Instant::now() + Duration::from_secs(20);
    let found = loop {
        match other.get(&task).await {
            Ok(DetailedTask::Working(_)) if Instant::now() < end => {}
            found => break found,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let Ok(DetailedTask::Completed(done)) = &found else { panic!("{found:?}") };
    assert!(done.result.to_string().contains("all of it"), "{}", done.result);
}

#[tokio::test]
async fn how_far_a_task_is_another_node_knows_a_second_later_for_two_operations_a_second() {
    let redis = RedisServer::start();
    let stores = redis.node().await;
    let (node, other) = (Node::with(&stores, 30), Node::with(&redis.node().await, 30));
    let task = node.begin("tells").await;
    let (began, before) = (Instant::now(), round_trips(&stores, StoreName::Tasks));
    let mut told = BTreeSet::new();
    while began.elapsed() < Duration::from_secs(6) {
        let Ok(DetailedTask::Working(found)) = other.get(&task).await else { panic!() };
        told.extend(found.status_message);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let cost = round_trips(&stores, StoreName::Tasks) - before;
    // However late a busy machine is.
    let most = began.elapsed().as_secs() + 1;
    // Without it there would be none in the first ten seconds.
    assert!((3..=most).contains(&(told.len() as u64)), "{told:?}");
    assert!(cost <= 2 * most, "{cost}");
}
