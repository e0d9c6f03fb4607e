//! A node is killed while calls, payments and tasks are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use mcp_client::task::{Started, TaskTicket};
use mcp_client::{Error, text_of};
use serde_json::json;
use tokio::task::JoinSet;

use super::cluster::{Cluster, signal};
use super::wire::Session;
use super::{Caller, Refused, client, runtime, send};

/// How many clients call at once.
const CLIENTS: usize = 6;

/// A node that is told to end says so to the balancer first, answers what it is sent until that has heard it, and
/// hands its tasks on: nobody waits for a lease, and nothing breaks off.
#[tokio::test]
async fn a_node_that_is_told_to_end_hands_its_tasks_on() {
    let cluster = Cluster::start();
    let (process, url) = cluster.nodes()[0].clone();
    let (ending, other) = (client(&url), client(&cluster.nodes()[1].1));
    let begun = ending.call_tool_as_task("print", &json!({ "pages": 6 }), runtime()).await;
    let Ok(Started::Task(task)) = begun else { panic!("it becomes a task") };
    let mut elsewhere = other.task(task.ticket().clone(), runtime());
    let balancer = Session::begin(&cluster.nodes()[1].1).await.unwrap();
    assert_eq!(balancer.probe(&url, "/ready").await, Some(StatusCode::OK));

    signal(process, "-TERM");
    let told = Instant::now();
    while balancer.probe(&url, "/ready").await != Some(StatusCode::SERVICE_UNAVAILABLE) {
        assert!(told.elapsed() < Duration::from_secs(1), "it is still said to be ready");
    }
    let echoed = ending.call_tool("echo", &json!({ "message": "still" })).await.unwrap();
    assert!(text_of(&echoed).starts_with("Echo: still"));
    let done = tokio::time::timeout(Duration::from_secs(20), elsewhere.result()).await;
    assert_eq!(text_of(&done.expect("nobody waits for a lease").unwrap()), "printed 6 pages");
    assert_eq!(balancer.probe(&url, "/live").await, None, "it has ended");
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost() {
    let cluster = Cluster::start();
    let url = cluster.balancer();
    let nodes: Vec<_> = cluster.nodes().iter().map(|(_, url)| client(url)).collect();
    let caller = Arc::new(Caller::new(&cluster, &nodes).await);
    let nonce: Arc<str> = caller.nonce(&nodes[0]).await.into();
    let over = Arc::new(AtomicBool::new(false));
    let (calls, breaks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));

    let mut callers = JoinSet::new();
    for number in 0..CLIENTS {
        let (url, over) = (url.clone(), over.clone());
        let (calls, breaks) = (calls.clone(), breaks.clone());
        let (caller, nonce) = (caller.clone(), nonce.clone());
        callers.spawn(async move {
            let client = client(&url);
            let mut turn = 0;
            while !over.load(Ordering::SeqCst) {
                turn += 1;
                // A client goes on: what broke off, it asks for again.
                let message = json!({ "message": format!("{number}.{turn}") });
                let mut echoed = client.call_tool("echo", &message).await;
                for _ in 0..20 {
                    if echoed.is_ok() {
                        break;
                    }
                    breaks.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    echoed = client.call_tool("echo", &message).await;
                }
                let echoed = text_of(&echoed.unwrap());
                assert!(echoed.starts_with(&format!("Echo: {number}.{turn} (")), "{echoed}");
                // A payment that broke off may have been made, and is never made twice.
                let payment = json!({ "cents": turn, "to": format!("client {number}") });
                let statement = caller.sign(&payment, Some(&nonce));
                let mut paid = 0;
                for _ in 0..20 {
                    match send(&client, &payment, &statement).await {
                        Ok(_) => paid += 1,
                        Err(Refused::Broken(_)) => {
                            breaks.fetch_add(1, Ordering::SeqCst);
                            tokio::time::sleep(Duration::from_millis(50)).await;
                            continue;
                        }
                        // It was made before, or nobody can tell.
                        Err(refused) => {
                            let code = refused.code();
                            assert!(["REPLAYED", "REPLAY_STORE_FULL"].contains(&&*code), "{code}");
                        }
                    }
                    break;
                }
                let again = send(&client, &payment, &statement).await;
                paid += usize::from(again.is_ok());
                assert!(paid <= 1, "paid {paid} times");
                calls.fetch_add(1, Ordering::SeqCst);
            }
        });
    }

    // A task that the node is at when it dies, and others on all nodes, some of them still being asked for.
    let at_it = nodes[0].call_tool_as_task("print", &json!({ "pages": 3 }), runtime()).await;
    let Ok(Started::Task(at_it)) = at_it else { panic!("it becomes a task") };
    let mut starting = JoinSet::new();
    for number in 0..12 {
        let url = url.clone();
        starting.spawn(async move {
            tokio::time::sleep(Duration::from_millis(40 * number)).await;
            let client = client(&url);
            let pages = json!({ "pages": 3 });
            match client.call_tool_as_task("print", &pages, runtime()).await {
                Ok(Started::Task(task)) => Some(task.ticket().clone()),
                Ok(Started::Done(done)) => panic!("{done:?}"),
                // Nobody said that there is such a task.
                Err(_) => None,
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let (process, _) = cluster.nodes()[0];
    signal(process, "-9");
    let killed = Instant::now();

    let mut tickets: Vec<TaskTicket> = starting.join_all().await.into_iter().flatten().collect();
    tickets.push(at_it.ticket().clone());
    assert!(tickets.len() >= 8, "{} tasks were acknowledged", tickets.len());
    let mut following = JoinSet::new();
    for ticket in tickets {
        let url = url.clone();
        following.spawn(async move {
            // What a dead node was at is taken over 60 seconds after it last wrote.
            let mut task = client(&url).task(ticket, runtime());
            loop {
                match task.result().await {
                    Ok(done) => break text_of(&done),
                    Err(Error::Service(error)) => panic!("a task is lost: {error}"),
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
                assert!(killed.elapsed() < Duration::from_secs(120), "a task never ends");
            }
        });
    }
    let results = tokio::time::timeout(Duration::from_secs(120), following.join_all()).await;
    let results = results.expect("all tasks that were acknowledged end");
    assert!(killed.elapsed() > Duration::from_secs(20), "none was taken over");
    assert!(results.iter().all(|said| said == "printed 3 pages"), "{results:?}");

    over.store(true, Ordering::SeqCst);
    callers.join_all().await;
    let payments = cluster.payments();
    assert!(!payments.is_empty() && payments.values().all(|times| *times == 1), "{payments:?}");
    assert_ne!(cluster.nodes()[0].0, process, "the node was started again");
    let (calls, breaks) = (calls.load(Ordering::SeqCst), breaks.load(Ordering::SeqCst));
    assert!(calls >= CLIENTS, "{calls} rounds");
    println!(
        "{calls} rounds of a call and a payment, {breaks} broke off; {} tasks ended {:?} after the \
         kill",
        results.len(),
        killed.elapsed()
    );
}
