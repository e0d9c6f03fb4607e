//! What one node announces, the clients of another hear.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_redis::{Failure, StoreName};
use mcp_server::Server;
use mcp_types::{
    ClientRequest, Closed, Exchange, ExchangeId, NotificationSink, Notifier, ServerNotification,
    SubscriptionFilter, SubscriptionsListenRequestParams,
};
use tower_service::Service as _;

use crate::failed;
use crate::server::RedisServer;

#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let said = match notification.take() {
            Some(ServerNotification::ToolListChanged(_)) => "tools".to_owned(),
            Some(ServerNotification::ResourceUpdated(told)) => told.uri,
            Some(ServerNotification::SubscriptionsAcknowledged(_)) => "listening".to_owned(),
            _ => "something else".to_owned(),
        };
        self.0.lock().unwrap().push(said);
        Poll::Ready(Ok(()))
    }
}

impl Heard {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    async fn hears(&self, wanted: &[&str]) {
        let end = Instant::now() + Duration::from_secs(20);
        while !wanted.iter().all(|one| self.all().iter().any(|said| said == one)) {
            assert!(Instant::now() < end, "{wanted:?} is missing in {:?}", self.all());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Looks.
#[mcp_server::tool]
async fn look() -> String {
    "nothing".to_owned()
}

fn server() -> Server {
    let server = Server::new("shop", "1.0.0").tool::<look>();
    server.list_changes().resource_updates().build().unwrap()
}

/// A client of `server` that wants to hear of the tools and of two notes.
async fn client_of(server: &Server) -> Arc<Heard> {
    let heard = Arc::new(Heard::default());
    let mut filter = SubscriptionFilter::new();
    filter.tools_list_changed = Some(true);
    filter.resource_subscriptions = Some(vec!["note:///a".into(), "note:///b".into()]);
    let params = SubscriptionsListenRequestParams::new(filter);
    let mut exchange = Exchange::new(ClientRequest::SubscriptionsListen(params));
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    tokio::spawn(server.clone().call(exchange));
    heard.hears(&["listening"]).await;
    heard
}

#[tokio::test]
async fn a_change_reaches_the_clients_of_every_node_once() {
    let redis = RedisServer::start();
    let (one, other) = (redis.node().await, redis.node().await);
    let (here, there) = (server(), server());
    let _links =
        [one.link(&here.changes()).await.unwrap(), other.link(&there.changes()).await.unwrap()];
    let (near, far) = (client_of(&here).await, client_of(&there).await);
    here.changes().tool_list_changed();
    here.changes().resource_updated("note:///b");
    here.changes().resource_updated("note:///elsewhere");
    for client in [&near, &far] {
        client.hears(&["tools", "note:///b"]).await;
    }
    there.changes().resource_updated("note:///a");
    near.hears(&["note:///a"]).await;
    // One more round: nothing comes back to where it began.
    tokio::time::sleep(Duration::from_millis(600)).await;
    for client in [near, far] {
        let mut all = client.all();
        all.sort();
        assert_eq!(all, ["listening", "note:///a", "note:///b", "tools"]);
    }
    let entries = redis.ask(&["XRANGE", "mcp:1:{c}:changes", "-", "+"]);
    assert!(!entries.is_empty() && !entries.contains("note"), "Redis learns no URI: {entries}");
}

#[tokio::test]
async fn whoever_missed_a_change_hears_that_all_may_have_changed() {
    let mut redis = RedisServer::start();
    let (one, other) = (redis.node().await, redis.node().await);
    let (here, there) = (server(), server());
    let _links =
        [one.link(&here.changes()).await.unwrap(), other.link(&there.changes()).await.unwrap()];
    let far = client_of(&there).await;
    redis.kill();
    here.changes().tool_list_changed();
    let end = Instant::now() + Duration::from_secs(20);
    let away = || {
        let kinds = [Failure::Unreachable, Failure::TooSlow];
        kinds.map(|kind| failed(&other, StoreName::Changes, kind)).iter().sum::<u64>()
    };
    while away() == 0 {
        assert!(Instant::now() < end, "the node does not notice");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    redis.start_again();
    far.hears(&["tools", "note:///a", "note:///b"]).await;
}

/// A gap in the numbers is what an entry that was trimmed leaves.
#[tokio::test]
async fn a_gap_is_noticed() {
    let redis = RedisServer::start();
    let (one, other) = (redis.node().await, redis.node().await);
    let (here, there) = (server(), server());
    let _links =
        [one.link(&here.changes()).await.unwrap(), other.link(&there.changes()).await.unwrap()];
    let far = client_of(&there).await;
    redis.ask(&["INCR", "mcp:1:{c}:count"]);
    here.changes().resource_updated("note:///a");
    far.hears(&["tools", "note:///a", "note:///b"]).await;
}
