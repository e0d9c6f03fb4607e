//! State that starts before the first request and stops after the last.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Instant;

use futures_executor::block_on;
use mcp_server::types::*;
use mcp_server::{Context, Server, ServerBuilder, State, server, tool};
use tokio::sync::{Notify, Semaphore};
use tower_service::Service;

use crate::request;

/// What the test sees of a state's life.
#[derive(Default)]
struct Seen {
    log: Mutex<Vec<String>>,
    /// Starting waits for a permit.
    may_start: Option<Semaphore>,
    failures: AtomicU32,
    go: Notify,
}

struct Pool(Arc<Seen>);

async fn open(seen: Arc<Seen>) -> Result<Pool, &'static str> {
    seen.log.lock().unwrap().push("start".into());
    if let Some(gate) = &seen.may_start {
        gate.acquire().await.unwrap().forget();
    }
    if seen.failures.load(SeqCst) > 0 {
        seen.failures.fetch_sub(1, SeqCst);
        return Err("no database");
    }
    Ok(Pool(seen))
}

#[tool]
async fn work(pool: State<Pool>) -> &'static str {
    pool.0.0.log.lock().unwrap().push("work".into());
    "done"
}

/// Works until it is told to end.
#[tool]
async fn wait(cx: Context<Pool>) -> &'static str {
    cx.state().0.go.notified().await;
    cx.state().0.log.lock().unwrap().push("waited".into());
    "done"
}

fn builder(seen: &Arc<Seen>) -> ServerBuilder<Pool> {
    let seen = seen.clone();
    server!()
        .lifespan(
            move || open(seen.clone()),
            async |pool: Arc<Pool>| pool.0.log.lock().unwrap().push("stop".into()),
        )
        .tool::<work>()
        .tool::<wait>()
}

fn call(server: &Server, name: &str) -> Pin<Box<dyn Future<Output = String>>> {
    let mut server = server.clone();
    let call = server.call(Exchange::new(request(name, "{}")));
    drop(server);
    Box::pin(async move {
        match call.await {
            Ok(Outcome::Complete(ServerResult::CallTool(result))) => {
                crate::text(&result).to_owned()
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => error.message,
        }
    })
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()))
}

#[test]
fn a_state_starts_once_for_all_who_come_first() {
    let seen = Arc::new(Seen { may_start: Some(Semaphore::new(0)), ..Seen::default() });
    let server = builder(&seen).build().unwrap();
    assert!(seen.log.lock().unwrap().is_empty(), "building starts nothing");
    let (mut first, mut second) = (call(&server, "work"), call(&server, "work"));
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    assert_eq!(*seen.log.lock().unwrap(), ["start"]);
    // The one that starts is cancelled: the other takes over.
    drop(first);
    assert!(poll(&mut second).is_pending());
    seen.may_start.as_ref().unwrap().add_permits(1);
    assert_eq!(poll(&mut second), Poll::Ready("done".into()));
    assert_eq!(*seen.log.lock().unwrap(), ["start", "start", "work"]);
    assert_eq!(block_on(call(&server, "work")), "done");
    assert_eq!(seen.log.lock().unwrap().len(), 4);
}

#[test]
fn a_failure_is_that_calls_and_the_next_tries_again() {
    let seen = Arc::new(Seen { failures: AtomicU32::new(1), ..Seen::default() });
    let server = builder(&seen).build().unwrap();
    let refused = "the server could not start, and tries again with the next call";
    assert_eq!(block_on(call(&server, "work")), refused);
    assert_eq!(block_on(call(&server, "work")), "done");
    assert_eq!(*seen.log.lock().unwrap(), ["start", "start", "work"]);
}

#[test]
fn a_state_stops_once_after_the_calls_under_way() {
    let seen = Arc::new(Seen::default());
    let server = builder(&seen).build().unwrap();
    let mut waiting = call(&server, "wait");
    assert!(poll(&mut waiting).is_pending());
    let last = server.clone();
    let mut stopping = Box::pin(async move { last.shutdown().await });
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(stopping.as_mut().poll(&mut cx).is_pending());
    let refused = "the server is shutting down, call it again later";
    assert_eq!(block_on(call(&server, "work")), refused);
    assert!(stopping.as_mut().poll(&mut cx).is_pending());
    seen.go.notify_one();
    assert_eq!(poll(&mut waiting), Poll::Ready("done".into()));
    assert!(stopping.as_mut().poll(&mut cx).is_ready());
    block_on(server.shutdown());
    drop(server);
    assert_eq!(*seen.log.lock().unwrap(), ["start", "waited", "stop"]);
}

#[test]
fn a_subscription_ends_when_the_server_does() {
    let seen = Arc::new(Seen::default());
    let server = builder(&seen).build().unwrap();
    let params = SubscriptionsListenRequestParams::new(SubscriptionFilter::new());
    let listen = Exchange::new(ClientRequest::SubscriptionsListen(params));
    let mut listening = pin!(server.clone().call(listen));
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(listening.as_mut().poll(&mut cx).is_pending());
    let mut stopping = pin!(server.shutdown());
    assert!(stopping.as_mut().poll(&mut cx).is_pending());
    let Poll::Ready(Ok(outcome)) = listening.as_mut().poll(&mut cx) else { panic!("it goes on") };
    assert!(matches!(outcome, Outcome::Complete(ServerResult::SubscriptionsListen(_))));
    assert!(stopping.as_mut().poll(&mut cx).is_ready());
}

/// Keeps what is to run at the end.
#[derive(Default)]
struct Kept(Mutex<Vec<BoxFuture<'static, ()>>>);

impl Runtime for Kept {
    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn finally(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().push(task);
    }

    fn blocking(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        Err(Busy)
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

#[test]
fn the_last_handle_takes_the_state_with_it() {
    let (seen, runtime) = (Arc::new(Seen::default()), Arc::new(Kept::default()));
    let mut server = builder(&seen).build().unwrap();
    let mut exchange = Exchange::new(request("work", "{}"));
    exchange.context.runtime = Some(runtime.clone());
    block_on(server.call(exchange)).unwrap();
    let other = server.clone();
    drop(server);
    assert!(runtime.0.lock().unwrap().is_empty());
    drop(other);
    let stops = std::mem::take(&mut *runtime.0.lock().unwrap());
    assert_eq!(stops.len(), 1);
    stops.into_iter().for_each(block_on);
    assert_eq!(*seen.log.lock().unwrap(), ["start", "work", "stop"]);
    // What never started has nothing to stop.
    drop(builder(&seen).build().unwrap());
    assert_eq!(seen.log.lock().unwrap().len(), 3);
}
