//! Streams that last, and clients that do not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use mcp_transport::http::server::HttpOptions;
use mcp_types::*;
use tokio::sync::Semaphore;
use tower_service::Service;

use crate::common::{INITIALIZED, legacy, modern, same, text};
use crate::raw::{POST, Raw, Served, modern_head, served};

/// A server whose tools change each time it is told so, and which talks without end.
#[derive(Clone)]
struct Changes {
    /// How many subscriptions run, and how many notifications they have sent.
    running: Arc<AtomicUsize>,
    sent: Arc<AtomicUsize>,
    change: Arc<Semaphore>,
}

impl Changes {
    fn new() -> Self {
        let (running, sent) = Default::default();
        Self { running, sent, change: Arc::new(Semaphore::new(0)) }
    }
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Service<Exchange> for Changes {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let this = self.clone();
        Box::pin(async move {
            let notify = |said| exchange.notifier.notify(said);
            match &exchange.request {
                ClientRequest::SubscriptionsListen(params) => {
                    this.running.fetch_add(1, Ordering::SeqCst);
                    let _running = Running(this.running.clone());
                    let said = SubscriptionsAcknowledgedNotificationParams::new(
                        params.notifications.clone(),
                    );
                    let _ = notify(ServerNotification::SubscriptionsAcknowledged(said)).await;
                    loop {
                        this.change.acquire().await.unwrap().forget();
                        let said = ServerNotification::ToolListChanged(NotificationParams::new());
                        let _ = notify(said).await;
                        this.sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
                ClientRequest::CallTool(_) => {
                    this.running.fetch_add(1, Ordering::SeqCst);
                    let _running = Running(this.running.clone());
                    loop {
                        let token = exchange.context.progress_token.clone().unwrap();
                        let mut progress = ProgressNotificationParams::new(1.0, token);
                        progress.message = Some("x".repeat(10_000));
                        if notify(ServerNotification::Progress(progress)).await.is_err() {
                            return text("closed");
                        }
                        this.sent.fetch_add(1, Ordering::SeqCst);
                    }
                }
                _ => {
                    let mut capabilities = ServerCapabilities::new();
                    let mut tools = ServerCapabilitiesTools::new();
                    tools.list_changed = Some(true);
                    capabilities.tools = Some(tools);
                    Ok(ServerResult::from(DiscoverResult::new(capabilities, Vec::new())).into())
                }
            }
        })
    }
}

async fn until(count: &AtomicUsize, expected: usize) {
    let waits = async {
        while count.load(Ordering::SeqCst) != expected {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waits).await.expect("a count");
}

async fn listen(served: &Served, id: u32) -> Raw {
    let mut raw = served.connect().await;
    let body = modern(id, "subscriptions/listen", r#""notifications":{"toolsListChanged":true}"#);
    raw.request(&modern_head("subscriptions/listen", ""), &body).await;
    raw
}

#[tokio::test]
async fn a_subscription_is_a_stream_that_ends_with_its_result() {
    let changes = Changes::new();
    let mut options = HttpOptions::default();
    options.json_only = true;
    let mut served = served(changes.clone(), options).await;
    let mut raw = listen(&served, 7).await;
    assert_eq!(raw.head().await.header("content-type"), Some("text/event-stream"));
    let meta = r#""_meta":{"io.modelcontextprotocol/subscriptionId":7}"#;
    let (id, said) = raw.event().await.unwrap();
    assert_eq!(id, None, "nobody can come back to a stream of this era");
    same(
        &said,
        &format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"notifications":{{"toolsListChanged":true}},{meta}}}}}"#
        ),
    );
    changes.change.add_permits(1);
    same(
        &raw.event().await.unwrap().1,
        &format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{{meta}}}}}"#
        ),
    );
    served.stop();
    same(
        &raw.event().await.unwrap().1,
        &format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"resultType":"complete",{meta}}}}}"#),
    );
    assert_eq!(raw.chunk().await, None);
    until(&changes.running, 0).await;
    served.ended().await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_connection_and_has_a_bound() {
    let changes = Changes::new();
    let mut options = HttpOptions::default();
    options.streams = 2;
    let served = served(changes.clone(), options).await;
    let (mut one, mut two) = (listen(&served, 1).await, listen(&served, 2).await);
    one.head().await;
    two.head().await;
    let reply = listen(&served, 3).await.reply().await;
    assert_eq!((reply.status, reply.code()), (503, -32603));
    assert_eq!(changes.running.load(Ordering::SeqCst), 2);
    drop(one);
    until(&changes.running, 1).await;
    assert_eq!(listen(&served, 3).await.head().await.status, 200);
}

const NEW: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"lines","version":"1"}}}"#;

async fn begin(served: &Served) -> String {
    let reply = served.ask(POST, NEW).await;
    let id = reply.header("mcp-session-id").unwrap().to_owned();
    served.ask(&format!("{POST}Mcp-Session-Id: {id}\n"), INITIALIZED).await.with_status(202);
    id
}

async fn get(served: &Served, id: &str, more: &str) -> Raw {
    let mut raw = served.connect().await;
    let head =
        format!("GET /mcp HTTP/1.1\nAccept: text/event-stream\nMcp-Session-Id: {id}\n{more}");
    raw.request(&head, "").await;
    assert_eq!(raw.head().await.status, 200);
    raw
}

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

#[tokio::test]
async fn a_session_hears_of_changes_on_the_stream_that_it_opened() {
    let changes = Changes::new();
    let served = served(changes.clone(), HttpOptions::default()).await;
    let id = begin(&served).await;
    // A session that does not listen costs nothing for what it might hear.
    assert_eq!(changes.running.load(Ordering::SeqCst), 0);
    let mut raw = get(&served, &id, "").await;
    let first = raw.chunk().await.unwrap();
    let prime = first.strip_prefix("id: ").unwrap().split('\n').next().unwrap().to_owned();
    until(&changes.running, 1).await;
    changes.change.add_permits(1);
    let (last, said) = raw.event().await.unwrap();
    same(&said, CHANGED);
    // A second stream takes what comes from there on; the first gets none of it.
    let mut second = get(&served, &id, "").await;
    second.chunk().await.unwrap();
    changes.change.add_permits(1);
    same(&second.event().await.unwrap().1, CHANGED);
    // When it goes, the first one takes over.
    drop(second);
    tokio::time::sleep(Duration::from_millis(50)).await;
    changes.change.add_permits(1);
    same(&raw.event().await.unwrap().1, CHANGED);
    drop(raw);
    // What was said while nobody read is not lost.
    tokio::time::sleep(Duration::from_millis(50)).await;
    changes.change.add_permits(1);
    until(&changes.sent, 4).await;
    let mut back = get(&served, &id, &format!("Last-Event-ID: {}\n", last.unwrap())).await;
    for _ in 0..3 {
        same(&back.event().await.unwrap().1, CHANGED);
    }
    let mut back = get(&served, &id, &format!("Last-Event-ID: {prime}\n")).await;
    for _ in 0..4 {
        same(&back.event().await.unwrap().1, CHANGED);
    }
    // One subscription served them all, and it ends with the session.
    assert_eq!(changes.running.load(Ordering::SeqCst), 1);
    let end = format!("DELETE /mcp HTTP/1.1\nMcp-Session-Id: {id}\n");
    served.ask(&end, "").await.with_status(204);
    while back.chunk().await.is_some() {}
    until(&changes.running, 0).await;
}

/// Waits until a count does not grow any more.
async fn settled(count: &AtomicUsize) -> usize {
    let mut before = usize::MAX;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = count.load(Ordering::SeqCst);
        if now == before {
            return now;
        }
        before = now;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_up_its_own_call() {
    let token = r#""name":"talk","_meta":{"progressToken":"p""#;
    for session in [false, true] {
        let changes = Changes::new();
        let served = served(changes.clone(), HttpOptions::default()).await;
        let (head, body) = if session {
            let id = begin(&served).await;
            let body = legacy(1, "tools/call", &format!("{token}}}"));
            (format!("{POST}Mcp-Session-Id: {id}\n"), body)
        } else {
            let body = modern(1, "tools/call", r#""name":"talk""#);
            let meta = r#""_meta":{"progressToken":"p","#;
            (modern_head("tools/call", "talk"), body.replace(r#""_meta":{"#, meta))
        };
        let mut raw = served.connect().await;
        raw.request(&head, &body).await;
        let sent = settled(&changes.sent).await;
        // What the sockets hold, and a little more: far from all that it would have said.
        assert!(sent < 4000, "{sent} notifications of 10 KB are under way");
        // Another call is served meanwhile, and reading lets this one go on.
        let (head, body) = (modern_head("server/discover", ""), modern(1, "server/discover", ""));
        served.ask(&head, &body).await.with_status(200);
        raw.head().await;
        for _ in 0..sent + 100 {
            raw.event().await.unwrap();
        }
        assert!(changes.sent.load(Ordering::SeqCst) > sent);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    let changes = Changes::new();
    let mut options = HttpOptions::default();
    options.write_time = Duration::from_millis(100);
    let served = served(changes.clone(), options).await;
    let mut raw = served.connect().await;
    let body = modern(1, "tools/call", r#""name":"talk""#);
    let meta = r#""_meta":{"progressToken":"p","#;
    let body = body.replace(r#""_meta":{"#, meta);
    raw.request(&modern_head("tools/call", "talk"), &body).await;
    until(&changes.running, 1).await;
    until(&changes.running, 0).await;
}
