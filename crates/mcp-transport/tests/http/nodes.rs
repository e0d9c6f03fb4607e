//! Two nodes that share their sessions in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use mcp_transport::http::server::{
    Heard, HttpOptions, Insertion, KeptSession, MemoryEventStore, MemorySessionStore, SessionNews,
    SessionStore, SessionStoreError, Updated,
};
use mcp_types::BoxFuture;

use crate::raw::POST;
use crate::two_nodes::{self, Nodes};

/// A store that counts what it is asked, and may be out of order.
#[derive(Default)]
struct Watched {
    store: MemorySessionStore,
    broken: AtomicBool,
    /// Whether no update can be kept.
    read_only: AtomicBool,
    found: AtomicUsize,
    others: AtomicUsize,
}

type Done<T> = BoxFuture<'static, Result<T, SessionStoreError>>;

impl Watched {
    fn ask<T: Send + 'static>(&self, count: &AtomicUsize, done: Done<T>) -> Done<T> {
        count.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            let error = std::io::Error::other("out of order");
            return Box::pin(async { Err(SessionStoreError(error.into())) });
        }
        done
    }

    fn counted(&self) -> (usize, usize) {
        (self.found.swap(0, Ordering::SeqCst), self.others.swap(0, Ordering::SeqCst))
    }
}

impl SessionStore for Watched {
    fn insert(&self, id: &str, record: Bytes, life: Duration) -> Done<Insertion> {
        self.ask(&self.others, self.store.insert(id, record, life))
    }

    fn find(&self, id: &str, life: Duration) -> Done<Option<KeptSession>> {
        self.ask(&self.found, self.store.find(id, life))
    }

    fn update(&self, id: &str, version: u64, record: Bytes, life: Duration) -> Done<Updated> {
        if self.read_only.load(Ordering::SeqCst) {
            let error = std::io::Error::other("full");
            return Box::pin(async { Err(SessionStoreError(error.into())) });
        }
        self.ask(&self.others, self.store.update(id, version, record, life))
    }

    fn remove(&self, id: &str) -> Done<bool> {
        self.ask(&self.others, self.store.remove(id))
    }

    fn tell(&self, id: &str, told: Bytes) -> Done<()> {
        self.ask(&self.others, self.store.tell(id, told))
    }

    fn hear(&self, after: Option<Heard>) -> Done<SessionNews> {
        let free = AtomicUsize::new(0);
        self.ask(&free, self.store.hear(after))
    }
}

fn options(store: Arc<Watched>) -> [HttpOptions; 2] {
    let events = Arc::new(MemoryEventStore::default());
    [store.clone(), store].map(|store| {
        let mut options = HttpOptions::default().share_sessions(store);
        options.event_store = Some(events.clone());
        options
    })
}

async fn nodes() -> (Arc<Watched>, Nodes) {
    let store = Arc::new(Watched::default());
    (store.clone(), Nodes::start(options(store)).await)
}

#[tokio::test]
async fn calls_alternate_between_nodes() {
    two_nodes::calls_alternate(&nodes().await.1).await;
}

#[tokio::test]
async fn a_stream_goes_on_on_another_node() {
    two_nodes::a_stream_goes_on_elsewhere(&nodes().await.1).await;
}

#[tokio::test]
async fn changes_reach_the_node_where_a_client_reads() {
    two_nodes::changes_reach_every_node(&nodes().await.1).await;
}

#[tokio::test]
async fn what_comes_at_once_counts_on_both_nodes() {
    two_nodes::many_come_at_once(&nodes().await.1).await;
}

#[tokio::test]
async fn a_session_outlives_the_nodes_that_served_it() {
    let store = Arc::new(Watched::default());
    let all = [options(store.clone()), options(store)];
    let [mut old, mut anew] = all;
    for (old, anew) in old.iter_mut().zip(&mut anew) {
        anew.event_store = old.event_store.clone();
    }
    two_nodes::a_session_outlives_its_nodes(Nodes::start(old).await, anew).await;
}

#[tokio::test]
async fn an_answer_finds_the_node_that_asked() {
    two_nodes::answers_find_their_node(&nodes().await.1).await;
}

#[tokio::test]
async fn a_session_that_ends_on_one_node_ends_on_all() {
    two_nodes::a_session_ends_everywhere(&nodes().await.1).await;
}

#[tokio::test]
async fn a_session_belongs_to_its_owner_on_all_nodes() {
    two_nodes::a_session_is_its_owners(&mut nodes().await.1).await;
}

#[tokio::test]
async fn a_message_of_a_session_is_one_lookup_and_any_other_none() {
    let (store, nodes) = nodes().await;
    nodes.begin().await;
    // Nodes that have sessions look after them once at the start.
    tokio::time::sleep(Duration::from_millis(600)).await;
    store.counted();
    let id = nodes.begin().await;
    // The handshake writes once, and what came after it looked once.
    assert_eq!(store.counted(), (1, 1));
    for number in 0..10 {
        nodes.call(number % 2, &id, "echo").await;
    }
    assert_eq!(store.counted(), (10, 0));
    for number in 0..10 {
        assert_eq!(nodes.modern(number % 2).await, 200);
    }
    assert_eq!(store.counted(), (0, 0));
}

#[tokio::test]
async fn without_its_store_a_session_is_refused_and_all_else_goes_on() {
    let (store, nodes) = nodes().await;
    let id = nodes.begin().await;
    nodes.call(0, &id, "echo").await;
    store.broken.store(true, Ordering::SeqCst);
    for node in [0, 1] {
        assert_eq!(nodes.statuses(node, &id).await, [503; 3], "node {node}");
        let head = format!("{POST}X-User: ada\n");
        let new = nodes.nodes[node].ask(&head, crate::common::INITIALIZE).await;
        assert_eq!((new.status, new.header("mcp-session-id"), new.code()), (503, None, -32603));
        assert!(new.body.contains("sessions cannot be looked up"), "{new:?}");
        assert!(new.header("retry-after").is_some());
        assert_eq!(nodes.modern(node).await, 200);
    }
    store.broken.store(false, Ordering::SeqCst);
    for node in [0, 1] {
        nodes.call(node, &id, "echo").await;
    }
}

#[tokio::test]
async fn what_is_passed_on_is_short() {
    let (store, nodes) = nodes().await;
    let id = nodes.begin().await;
    store.counted();
    let long = "x".repeat(1 << 20);
    let answer = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{{"text":"{long}"}}}}"#);
    nodes.nodes[0].ask(&nodes.head(&id), &answer).await.with_status(413);
    // No question of ours has an id that is no number.
    let answer = r#"{"jsonrpc":"2.0","id":"7","result":{}}"#;
    nodes.nodes[0].ask(&nodes.head(&id), answer).await.with_status(202);
    assert_eq!(store.counted().1, 0, "nothing was told");
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_set() {
    let (store, nodes) = nodes().await;
    let id = nodes.begin().await;
    let before = nodes.call(0, &id, "level").await;
    // The lookup works, and the write after it does not.
    store.read_only.store(true, Ordering::SeqCst);
    let level = crate::common::legacy(2, "logging/setLevel", r#""level":"error""#);
    nodes.nodes[0].ask(&nodes.head(&id), &level).await.with_status(503);
    store.read_only.store(false, Ordering::SeqCst);
    for node in [0, 1] {
        assert_eq!(nodes.call(node, &id, "level").await, before);
    }
}

#[tokio::test]
async fn a_session_that_nobody_uses_ends_on_all_nodes() {
    let store = Arc::new(Watched::default());
    let nodes = Nodes::start(options(store).map(|mut options| {
        options.session_idle = Duration::from_millis(400);
        options
    }));
    let nodes = nodes.await;
    let (idle, read) = (nodes.begin().await, nodes.begin().await);
    let _stream = nodes.open(1, &read, None).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for node in [0, 1] {
        assert_eq!(nodes.statuses(node, &idle).await[0], 404, "node {node}");
        // One whose stream is open lives on, on the other node too.
        nodes.call(node, &read, "echo").await;
    }
}
