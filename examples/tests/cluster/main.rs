//! `examples/cluster` does what its first lines say: three processes are one server.
//!
//! Beside it, what becomes of all that when a node dies, or Redis.
//!
//! With `ETDI_LONG=1` the same signed call is sent to all nodes at once 10,000 times, and not 200, and a
//! node dies while it is at its part of a thousand calls, tasks and streams, and not of sixty.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod dies;
mod outages;
mod private;
#[path = "../../../crates/mcp-redis/tests/real/server.rs"]
#[allow(dead_code, reason = "here the nodes have the stores")]
mod redis;
mod thousand;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use etdi::core::definition::RawTool;
use etdi::core::digest::Digest;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::SigningKey;
use etdi::core::request::Call;
use etdi::core::time::UnixTime;
use etdi::core::wire::{CALL, ERROR_DATA};
use futures_util::future::join_all;
use mcp_client::task::Started;
use mcp_client::types::tasks::DetailedTask;
use mcp_client::types::{Implementation, Members, RawText, Runtime};
use mcp_client::{Client, Error, text_of};
use mcp_transport::TokioRuntime;
use mcp_transport::http::{HttpConnection, connect_http};
use serde_json::{Value, json};

use cluster::Cluster;

fn client(url: &str) -> Client<HttpConnection> {
    Client::new(connect_http(url, Implementation::new("test", "1.0.0")).unwrap())
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

fn now() -> UnixTime {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    UnixTime(now.as_secs())
}

/// A caller whom the nodes know.
struct Caller {
    key: SigningKey,
    definition: Digest,
}

impl Caller {
    /// Sees the same definition of `pay` on all nodes.
    async fn new(cluster: &Cluster, nodes: &[Client<HttpConnection>]) -> Self {
        let mut seen = BTreeSet::new();
        for node in nodes {
            let listed = node.all_tools().await.unwrap();
            let pay = listed.iter().find(|tool| tool.name == "pay").unwrap();
            seen.insert(RawTool::from_listed(pay).unwrap().digest());
        }
        assert_eq!(seen.len(), 1, "all nodes are one server");
        let key = std::fs::read_to_string(cluster.keys().join("caller.pem")).unwrap();
        let key = SigningKey::from_pkcs8_pem(&key).unwrap();
        Self { key, definition: seen.pop_first().unwrap() }
    }

    fn sign(&self, arguments: &Value, nonce: Option<&str>) -> String {
        let server = ServerIdentity::package("pkg:cargo/cluster").unwrap();
        let text = arguments.to_string();
        let call = Call::new(&server, "pay", self.definition).arguments(Some(&text)).nonce(nonce);
        call.sign(&self.key, now()).unwrap()
    }

    /// A nonce that one node gave out, and all take.
    async fn nonce(&self, node: &Client<HttpConnection>) -> String {
        let arguments = json!({ "cents": 0, "to": "nobody" });
        let refused = send(node, &arguments, &self.sign(&arguments, None)).await.unwrap_err();
        let Refused::Data(data) = refused else { panic!("{refused:?}") };
        data.get("dev.etdi/nonce").unwrap().parse().unwrap()
    }
}

/// How a call ended that did nothing.
#[derive(Debug)]
enum Refused {
    /// The server said why.
    Data(Members),
    /// Nobody knows what became of it.
    Broken(String),
}

impl Refused {
    fn code(&self) -> String {
        match self {
            Self::Data(data) => data.get(ERROR_DATA).unwrap().parse().unwrap(),
            Self::Broken(why) => why.clone(),
        }
    }
}

async fn send(
    client: &Client<HttpConnection>,
    arguments: &Value,
    statement: &str,
) -> Result<String, Refused> {
    let statement = RawText::of(statement).unwrap();
    let call = client.tool_call("pay").arguments(arguments).unwrap().meta(CALL, statement);
    match call.send().await {
        Ok(result) => Ok(text_of(&result)),
        Err(Error::Service(error)) => {
            match error.data.as_ref().and_then(|data| data.parse().ok()) {
                Some(data) => Err(Refused::Data(data)),
                None => Err(Refused::Broken(error.message.to_string())),
            }
        }
        Err(other) => Err(Refused::Broken(other.to_string())),
    }
}

#[tokio::test]
async fn a_client_is_served_by_all_nodes_in_turn() {
    let cluster = Cluster::start();
    let mut served = BTreeSet::new();
    for number in 0..6 {
        let client = client(&cluster.balancer());
        let said =
            client.call_tool("echo", &json!({ "message": number.to_string() })).await.unwrap();
        let said = text_of(&said);
        let (echo, process) = said.split_once(" (process ").unwrap();
        assert_eq!(echo, format!("Echo: {number}"));
        served.insert(process.trim_end_matches(')').parse::<u32>().unwrap());
        client.service().close().await;
    }
    let nodes: BTreeSet<u32> = cluster.nodes().into_iter().map(|(process, _)| process).collect();
    assert_eq!(served, nodes);
}

#[tokio::test]
async fn a_signed_call_at_all_nodes_at_once_counts_once() {
    let tries = if std::env::var_os("ETDI_LONG").is_some() { 10_000 } else { 200 };
    let cluster = Cluster::start();
    let nodes: Vec<_> = cluster.nodes().iter().map(|(_, url)| client(url)).collect();
    let caller = Caller::new(&cluster, &nodes).await;
    let (mut admitted, mut by, mut unchecked) = (0, BTreeSet::new(), Vec::new());
    let began = Instant::now();
    for batch in 0..tries / 20 {
        // A nonce counts for two minutes.
        let nonce = caller.nonce(&nodes[batch % nodes.len()]).await;
        let tries = (0..20).map(|number| {
            let arguments = json!({ "cents": batch * 20 + number, "to": "ada" });
            let statement = caller.sign(&arguments, Some(&nonce));
            let nodes = &nodes;
            async move {
                let sent = nodes.iter().map(|node| send(node, &arguments, &statement));
                join_all(sent).await
            }
        });
        for answers in join_all(tries).await {
            let (paid, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            let refused: Vec<_> = refused.into_iter().map(|it| it.unwrap_err().code()).collect();
            assert!(paid.len() <= 1, "paid {} times", paid.len());
            let Some(Ok(said)) = paid.into_iter().next() else {
                // Where the check cannot be made in time it refuses. It must not say that a call was used
                // which no node let in.
                assert!(refused.iter().any(|code| code == "REPLAY_STORE_FULL"), "{refused:?}");
                unchecked.extend(refused);
                continue;
            };
            by.insert(said.split_once(" (process ").unwrap().1.to_owned());
            admitted += 1;
        }
    }
    // By what the nodes did, and not by what came back.
    let payments = cluster.payments();
    assert!(payments.values().all(|times| *times == 1), "{payments:?}");
    assert!(payments.len() >= admitted, "{} of {admitted} were made", payments.len());
    // Nowhere only where a store answered too late, which it does on cores that are starved alone.
    assert!(admitted * 1_000 >= tries * 999, "{admitted} of {tries}: {unchecked:?}");
    assert!(by.len() > 1, "not always the same node is first");
    println!(
        "{tries} calls at three nodes at once, {admitted} admitted, each once, in {:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_task_of_one_node_is_polled_and_cancelled_at_others() {
    let cluster = Cluster::start();
    let nodes: Vec<_> = cluster.nodes().iter().map(|(_, url)| client(url)).collect();
    let started = nodes[0].call_tool_as_task("print", &json!({ "pages": 600 }), runtime()).await;
    let Ok(Started::Task(task)) = started else { panic!("it becomes a task") };
    let ticket = task.ticket().clone();
    let began = Instant::now();
    // What it says at the second node is what it does at the first.
    let mut second = nodes[1].task(ticket.clone(), runtime());
    loop {
        let DetailedTask::Working(task) = second.state().await.unwrap() else { panic!("it works") };
        let said = task.status_message.unwrap_or_default();
        if said.contains("page ") {
            let (process, _) = cluster.nodes()[0];
            assert!(said.ends_with(&format!("process {process}")), "{said}");
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no page is printed: {said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    nodes[2].task(ticket.clone(), runtime()).cancel().await.unwrap();
    for node in &nodes {
        let ended = node.task(ticket.clone(), runtime()).result().await;
        assert!(matches!(ended, Err(Error::TaskCancelled)), "{ended:?}");
    }
}
