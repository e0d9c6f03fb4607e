//! Changes as a stream, and what happens when it breaks off.

use std::sync::{Arc, Mutex};

use futures_executor::block_on;
use mcp_client::types::{
    ClientRequest, ErrorObject, NotificationParams, Origin, Outcome,
    ResourceUpdatedNotificationParams, ServerNotification, ServerResult, SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams, SubscriptionsListenResult,
};
use mcp_client::{Change, Client, Error, Reopen};

use crate::script::Script;

fn filter() -> SubscriptionFilter {
    let mut filter = SubscriptionFilter::new();
    filter.tools_list_changed = Some(true);
    filter.resource_subscriptions = Some(vec!["file:///a".into()]);
    filter
}

/// Acknowledges, tells of two changes, and ends as `ends` says for the n-th time.
fn telling(ends: impl Fn(usize) -> Option<ErrorObject> + Clone + Send + Sync + 'static) -> Script {
    Script::with(move |n, exchange| {
        let ends = ends.clone();
        Box::pin(async move {
            let ClientRequest::SubscriptionsListen(params) = &exchange.request else {
                return Err(ErrorObject::method_not_found(exchange.request.method()));
            };
            let acknowledged =
                SubscriptionsAcknowledgedNotificationParams::new(params.notifications.clone());
            for told in [
                ServerNotification::SubscriptionsAcknowledged(acknowledged),
                ServerNotification::ToolListChanged(NotificationParams::new()),
                ServerNotification::ResourceUpdated(ResourceUpdatedNotificationParams::new(
                    "file:///a",
                )),
            ] {
                exchange.notifier.notify(told).await.unwrap();
            }
            match ends(n) {
                Some(error) => Err(error),
                None => {
                    let result = SubscriptionsListenResult::new();
                    Ok(Outcome::Complete(ServerResult::SubscriptionsListen(result)))
                }
            }
        })
    })
}

fn opened(reopened: bool) -> Change {
    Change::Opened { honoured: filter(), reopened }
}

#[test]
fn a_subscription_is_a_stream_that_the_server_can_close() {
    let mut changes = Client::new(telling(|_| None)).subscribe(filter());
    block_on(async {
        let mut all = Vec::new();
        while let Some(change) = changes.next_change().await.unwrap() {
            all.push(change);
        }
        assert_eq!(all, [opened(false), Change::Tools, Change::Resource("file:///a".into())]);
        assert!(changes.next_change().await.unwrap().is_none());
    });
}

#[test]
fn a_lost_subscription_is_reopened_as_the_policy_says() {
    let lost = |n| (n < 2).then(|| ErrorObject::local(Origin::Connection, "gone"));
    let script = telling(lost);
    let asked = Arc::new(Mutex::new(Vec::new()));
    let note = asked.clone();
    let policy = Reopen::with(move |attempt, lost| {
        note.lock().unwrap().push((attempt, lost.is_some()));
        lost.is_some().then(|| Box::pin(std::future::ready(())) as _)
    });
    let mut changes = Client::new(script.clone()).subscribe(filter()).reopen(policy);
    let mut opens = Vec::new();
    block_on(async {
        while let Some(change) = changes.next_change().await.unwrap() {
            if let Change::Opened { reopened, .. } = change {
                opens.push(reopened);
            }
        }
    });
    assert_eq!(opens, [false, true, true]);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked, [(0, true), (0, true), (0, false)], "each opening starts the count anew");
}

#[test]
fn what_cannot_be_had_is_not_asked_for_again() {
    let script =
        Script::new(|_, exchange| Err(ErrorObject::method_not_found(exchange.request.method())));
    let mut changes = Client::new(script.clone()).subscribe(filter()).reopen(Reopen::at_once(9));
    let error = block_on(changes.next_change()).unwrap_err();
    assert!(matches!(error, Error::Service(_)), "{error}");
    assert!(block_on(changes.next_change()).unwrap().is_none());
    assert_eq!(script.seen().len(), 1);

    let gone = |_: usize, _: &_| Err(ErrorObject::local(Origin::Connection, "gone"));
    let script = Script::new(gone);
    let mut changes = Client::new(script.clone()).subscribe(filter()).reopen(Reopen::at_once(2));
    let error = block_on(changes.next_change()).unwrap_err();
    assert!(matches!(error, Error::Connection(_)), "{error}");
    assert_eq!(script.seen().len(), 3);
}
