//! Subscriptions: acknowledged first, then told what was asked for, until they end.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};

use mcp_server::types::*;
use mcp_server::{Context, Server, server, tool};
use tower_service::Service;

use crate::request;

/// A peer that reads at most as much as there is room for.
#[derive(Default)]
struct Peer {
    heard: Mutex<Vec<String>>,
    room: Mutex<Option<usize>>,
}

impl NotificationSink for Peer {
    fn poll_notify(
        &self,
        _: &mut TaskContext<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(room) = &mut *self.room.lock().unwrap() {
            if *room == 0 {
                return Poll::Pending;
            }
            *room -= 1;
        }
        let line = match notification.take().unwrap() {
            ServerNotification::SubscriptionsAcknowledged(params) => {
                format!("ack {}", serde_json::to_string(&params.notifications).unwrap())
            }
            ServerNotification::ToolListChanged(_) => "tools".into(),
            ServerNotification::ResourceListChanged(_) => "resources".into(),
            ServerNotification::ResourceUpdated(params) => params.uri,
            other => panic!("{other:?}"),
        };
        self.heard.lock().unwrap().push(line);
        Poll::Ready(Ok(()))
    }
}

struct Listening {
    future: Pin<Box<dyn Future<Output = Result<Outcome, ErrorObject>>>>,
    peer: Arc<Peer>,
}

impl Listening {
    fn to(server: &Server, filter: &str) -> Self {
        let filter = RawText::new(filter).unwrap().parse().unwrap();
        let params = SubscriptionsListenRequestParams::new(filter);
        let mut exchange = Exchange::new(ClientRequest::SubscriptionsListen(params));
        let peer = Arc::new(Peer::default());
        exchange.notifier = Notifier::new(peer.clone(), exchange.id());
        Self { future: Box::pin(server.clone().call(exchange)), peer }
    }

    fn hears(&mut self) -> Vec<String> {
        assert!(self.poll().is_pending());
        std::mem::take(&mut *self.peer.heard.lock().unwrap())
    }

    fn poll(&mut self) -> Poll<Result<Outcome, ErrorObject>> {
        self.future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()))
    }
}

/// Announces.
#[tool]
async fn change(cx: Context) -> &'static str {
    cx.changes().tool_list_changed();
    "changed"
}

#[test]
fn changes_reach_those_who_asked_for_them() {
    let server = server!().list_changes().tool::<change>().build().unwrap();
    let mut tools = Listening::to(&server, r#"{"toolsListChanged":true}"#);
    let mut nothing = Listening::to(&server, r#"{"promptsListChanged":true}"#);
    server.changes().tool_list_changed();
    assert_eq!(tools.hears(), [r#"ack {"toolsListChanged":true}"#], "it counts from the start");
    assert_eq!(nothing.hears(), ["ack {}"]);
    futures_executor::block_on(server.clone().call(Exchange::new(request("change", "{}"))))
        .unwrap();
    server.changes().prompt_list_changed();
    assert_eq!(tools.hears(), ["tools"]);
    assert!(nothing.hears().is_empty());
    drop((tools, nothing));
    assert_eq!(server.changes().listeners(), 0);
}

#[test]
fn a_client_that_does_not_read_hears_once_of_many_changes() {
    let server = server!().list_changes().tool::<change>().build().unwrap();
    let mut slow = Listening::to(&server, r#"{"toolsListChanged":true}"#);
    assert_eq!(slow.hears().len(), 1);
    *slow.peer.room.lock().unwrap() = Some(0);
    for _ in 0..1_000 {
        server.changes().tool_list_changed();
        assert!(slow.poll().is_pending());
    }
    *slow.peer.room.lock().unwrap() = None;
    // One that was under way, and one for all that came after it.
    assert_eq!(slow.hears(), ["tools", "tools"]);
}

#[test]
fn what_was_not_declared_is_not_told() {
    let server = server!().tool::<change>().build().unwrap();
    let mut listening = Listening::to(&server, r#"{"toolsListChanged":true}"#);
    assert_eq!(listening.hears(), ["ack {}"]);
    server.changes().tool_list_changed();
    assert!(listening.hears().is_empty());
}
