//! A node is killed while calls run, tasks are worked on and streams are read: a thousand with
//! `ETDI_LONG=1`, sixty without.
//!
//! What it is for each to go on:
//!
//! - A call at a node that lives is answered, once. One at the node that dies breaks off, which its
//!   client is told at once, and is made again elsewhere.
//! - A task that was acknowledged ends, with its result, wherever it is asked for; what the dead node
//!   was at is taken over by another once its lease is over.
//! - A stream is read further at another node after the last event that was read. Of a call at a node
//!   that lives come all events and the answer, each once. Of a call at the dead node come those events
//!   that it told, each once, and the call is made again in the same session.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mcp_client::task::Started;
use mcp_client::{Error, text_of};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::cluster::{Cluster, signal};
use super::wire::{Events, Failed, Session};
use super::{client, runtime};

/// The node that dies.
const DIES: usize = 0;

struct Size {
    calls: usize,
    tasks: usize,
    streams: usize,
    /// How long each of them works, in half seconds.
    pages: u64,
}

fn size() -> Size {
    match std::env::var_os("ETDI_LONG") {
        Some(_) => Size { calls: 340, tasks: 330, streams: 330, pages: 40 },
        None => Size { calls: 20, tasks: 20, streams: 20, pages: 12 },
    }
}

fn done(pages: u64) -> String {
    format!("printed {pages} pages")
}

/// Where everything is, and when the node is killed.
struct World {
    urls: Vec<String>,
    balancer: String,
    pages: u64,
    /// All are under way.
    begun: Barrier,
}

#[tokio::test]
async fn what_is_under_way_at_a_node_that_dies_goes_on() {
    let size = size();
    let cluster = Cluster::start();
    let urls = cluster.nodes().into_iter().map(|(_, url)| url).collect();
    let all = size.calls + size.tasks + size.streams;
    let world = Arc::new(World {
        urls,
        balancer: cluster.balancer(),
        pages: size.pages,
        begun: Barrier::new(all + 1),
    });
    let (mut calls, mut tasks, mut streams) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
    for number in 0..size.calls {
        calls.spawn(call(world.clone(), number));
    }
    for number in 0..size.tasks {
        tasks.spawn(task(world.clone(), number));
    }
    for number in 0..size.streams {
        streams.spawn(stream(world.clone(), number));
    }
    let began = Instant::now();
    tokio::time::timeout(Duration::from_secs(120), world.begun.wait()).await.expect("all begin");
    println!("{all} are under way after {:?}", began.elapsed());
    let (process, _) = cluster.nodes()[DIES];
    signal(process, "-9");
    let killed = Instant::now();

    let limit = Duration::from_secs(180);
    let calls = tokio::time::timeout(limit, calls.join_all()).await.expect("all calls end");
    let broke = calls.iter().filter(|broke| **broke).count();
    println!("{} calls, {broke} made again, after {:?}", calls.len(), killed.elapsed());
    let streams = tokio::time::timeout(limit, streams.join_all()).await.expect("all streams end");
    let resumed: usize = streams.iter().sum();
    println!("{} streams, resumed {resumed} times, after {:?}", streams.len(), killed.elapsed());
    let tasks = tokio::time::timeout(limit, tasks.join_all()).await.expect("all tasks end");
    println!("{} tasks, after {:?}", tasks.len(), killed.elapsed());
    assert!(broke >= calls.len() / 3, "{broke} calls broke off");
    assert!(killed.elapsed() > Duration::from_secs(20), "no task was taken over");
}

/// A plain call of 2026-07-28; gives whether it broke off.
async fn call(world: Arc<World>, number: usize) -> bool {
    let node = number % world.urls.len();
    let arguments = json!({ "pages": world.pages });
    let client = client(&world.urls[node]);
    // Once it has asked for something, its call is not kept waiting by the beginning.
    client.call_tool("echo", &json!({ "message": "" })).await.unwrap();
    let under_way = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.begun.wait().await;
    };
    let first = client.call_tool("print", &arguments);
    let (first, ()) = tokio::join!(first, under_way);
    match first {
        Ok(said) => {
            assert_ne!(node, DIES, "a dead node answered");
            assert_eq!(text_of(&said), done(world.pages));
            false
        }
        Err(error) => {
            assert_eq!(node, DIES, "a call at a node that lives broke off: {error}");
            let again = super::client(&world.balancer).call_tool("print", &arguments).await;
            assert_eq!(text_of(&again.unwrap()), done(world.pages));
            true
        }
    }
}

/// A task, which is begun at one node and asked for at all.
async fn task(world: Arc<World>, number: usize) {
    let begins = client(&world.urls[number % world.urls.len()]);
    let pages = json!({ "pages": world.pages });
    let started = begins.call_tool_as_task("print", &pages, runtime()).await;
    let Ok(Started::Task(task)) = started else { panic!("it becomes a task: {:?}", started.err()) };
    let ticket = task.ticket().clone();
    world.begun.wait().await;
    let began = Instant::now();
    let mut task = client(&world.balancer).task(ticket, runtime());
    loop {
        match task.result().await {
            Ok(said) => return assert_eq!(text_of(&said), done(world.pages)),
            Err(Error::Service(error)) => panic!("a task is lost: {error}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
        }
        assert!(began.elapsed() < Duration::from_secs(150), "a task never ends");
    }
}

/// What came by a stream, wherever it was read.
#[derive(Default)]
struct Read {
    /// The id of the last event.
    last: Option<String>,
    pages: u64,
    answer: Option<Value>,
}

impl Read {
    /// Takes what comes, at most so many events, until it ends.
    async fn take(&mut self, events: &mut Events, most: usize) {
        for _ in 0..most {
            if self.answer.is_some() {
                return;
            }
            let Some(event) = events.next(Duration::from_secs(5)).await else { return };
            assert_ne!(self.last.as_ref(), Some(&event.id), "an event came twice");
            self.last = Some(event.id);
            let Some(message) = event.message else { continue };
            if message["method"] == "notifications/progress" {
                let page = message["params"]["progress"].as_f64().unwrap();
                assert!(
                    (page - (self.pages + 1) as f64).abs() < 0.1,
                    "page {page} after {}",
                    self.pages
                );
                self.pages += 1;
            } else {
                self.answer = Some(message);
            }
        }
    }

    fn check(&self, pages: u64) {
        let answer = self.answer.as_ref().expect("it is answered");
        assert_eq!(answer["result"]["content"][0]["text"], done(pages), "{answer}");
        assert_eq!(self.pages, pages, "each page was told once");
    }
}

/// A stream of a session that is begun, called and read at different nodes; gives how often it was read
/// further.
async fn stream(world: Arc<World>, number: usize) -> usize {
    let nodes = world.urls.len();
    let url = |node: usize| world.urls[node % nodes].as_str();
    let session = Session::begin(url(number)).await.unwrap();
    let arguments = json!({ "pages": world.pages });
    // One of five calls is at the node that dies.
    let runs = if number.is_multiple_of(5) { DIES } else { 1 + number % 2 };
    let mut events = session.call(url(runs), 1, "print", &arguments).await.unwrap();
    let mut read = Read::default();
    read.take(&mut events, 2).await;
    let mut resumed = 0;
    // Half of them are read at the node that dies, wherever the call is.
    if number.is_multiple_of(2) && runs != DIES {
        let last = read.last.clone().expect("an event has an id");
        drop(events);
        events = session.resume(url(DIES), &last).await.unwrap();
        resumed += 1;
    }
    world.begun.wait().await;
    read.take(&mut events, usize::MAX).await;
    let began = Instant::now();
    while read.answer.is_none() && began.elapsed() < Duration::from_secs(60) {
        // The balancer knows which nodes live.
        let last = read.last.clone().expect("an event has an id");
        match session.resume(&world.balancer, &last).await {
            Ok(mut rest) => {
                resumed += 1;
                let before = read.pages;
                read.take(&mut rest, usize::MAX).await;
                if runs == DIES && read.pages == before {
                    break;
                }
            }
            Err(Failed::Broken) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(Failed::Refused(status, why)) => panic!("the rest is refused: {status} {why}"),
        }
    }
    if runs == DIES {
        assert!(read.answer.is_none(), "a dead node answered");
        assert!(read.pages < world.pages);
        let mut again = session.call(&world.balancer, 2, "print", &arguments).await.unwrap();
        read = Read::default();
        read.take(&mut again, usize::MAX).await;
    }
    read.check(world.pages);
    resumed
}
