//! What is kept, for whom, for how long, and what makes it stale.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use mcp_client::types::{
    CacheScope, ClientRequest, ErrorObject, Exchange, Items, ListToolsResult, NotificationParams,
    Outcome, PaginatedRequestParams, Principal, RawText, ReadResourceRequestParams,
    ReadResourceResult, ResourceContents, ResourceUpdatedNotificationParams, ServerNotification,
    ServerResult, SubscriptionFilter, SubscriptionsListenResult, TextResourceContents,
};
use mcp_client::{CacheLayer, Client};
use tower_layer::Layer;
use tower_service::Service;

use crate::script::{Answer, Script};

/// A clock that stands still until it is moved.
#[derive(Clone)]
struct Clock(Arc<Mutex<Instant>>);

impl Clock {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn pass(&self, millis: u64) {
        *self.0.lock().unwrap() += Duration::from_millis(millis);
    }

    fn cache(&self) -> CacheLayer {
        CacheLayer::new(self.now())
    }

    fn now(&self) -> impl Fn() -> Instant + Send + Sync + 'static {
        let clock = self.clone();
        move || *clock.0.lock().unwrap()
    }
}

fn tools(ttl_ms: Option<u64>, scope: Option<CacheScope>, next: Option<&str>) -> Answer {
    let mut page = ListToolsResult::new(Items::default());
    (page.ttl_ms, page.cache_scope) = (ttl_ms, scope);
    page.next_cursor = next.map(str::to_owned);
    Ok(Outcome::Complete(ServerResult::ListTools(page)))
}

fn contents(uri: &str, text: &str, scope: CacheScope) -> Answer {
    let contents = TextResourceContents::new(text, uri);
    let mut result = ReadResourceResult::new(vec![ResourceContents::Text(contents)]);
    (result.ttl_ms, result.cache_scope) = (Some(1000), Some(scope));
    Ok(Outcome::Complete(ServerResult::ReadResource(result)))
}

/// Lists nothing for a second, and reads out how often it was asked.
fn server() -> Script {
    Script::new(|n, exchange| match &exchange.request {
        ClientRequest::ReadResource(params) => {
            contents(&params.uri, &n.to_string(), CacheScope::Private)
        }
        ClientRequest::ListTools(_) => tools(Some(1000), Some(CacheScope::Public), None),
        other => Err(ErrorObject::method_not_found(other.method())),
    })
}

fn read(client: &Client<impl mcp_client::types::ExchangeService>, uri: &str) -> String {
    text_of(block_on(client.read_resource(uri)).unwrap())
}

fn text_of(result: ReadResourceResult) -> String {
    match &result.contents[0] {
        ResourceContents::Text(contents) => contents.text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_is_kept_as_long_as_the_server_says() {
    let (clock, script) = (Clock::new(), server());
    let client = Client::new(script.clone()).layer(clock.cache());
    assert_eq!(block_on(client.list_tools(None)).unwrap().ttl_ms, Some(1000));
    clock.pass(400);
    let again = block_on(client.list_tools(None)).unwrap();
    assert_eq!(again.ttl_ms, Some(600), "who keeps it in turn must not begin anew");
    clock.pass(600);
    block_on(client.list_tools(None)).unwrap();
    assert_eq!(script.seen().len(), 2);
}

#[test]
fn what_carries_no_hint_is_asked_for_each_time() {
    let rows = [(None, None), (Some(0), Some(CacheScope::Public))];
    for (ttl, scope) in rows {
        let script = Script::new(move |_, _| tools(ttl, scope.clone(), None));
        let cache = Clock::new().cache();
        let client = Client::new(script.clone()).layer(cache.clone());
        block_on(client.list_tools(None)).unwrap();
        block_on(client.list_tools(None)).unwrap();
        assert_eq!(script.seen().len(), 2);
        assert!(cache.is_empty());
    }
}

#[test]
fn each_page_and_each_resource_is_kept_for_itself() {
    let script = Script::new(|n, exchange| match &exchange.request {
        ClientRequest::ListTools(params) => {
            let next = params.cursor.is_none().then_some("2");
            tools(Some(1000), Some(CacheScope::Public), next)
        }
        ClientRequest::ReadResource(params) => {
            contents(&params.uri, &n.to_string(), CacheScope::Public)
        }
        other => Err(ErrorObject::method_not_found(other.method())),
    });
    let client = Client::new(script.clone()).layer(Clock::new().cache());
    for _ in 0..2 {
        block_on(client.all_tools()).unwrap();
        assert_eq!((read(&client, "a:1"), read(&client, "a:2")), ("2".into(), "3".into()));
    }
    assert_eq!(script.seen().len(), 4);
}

fn exchange_of(who: Option<Principal>, uri: &str) -> Exchange {
    let params = ReadResourceRequestParams::new(uri);
    let mut exchange = Exchange::new(ClientRequest::ReadResource(params));
    if let Some(who) = who {
        exchange.context.extensions.insert(who);
    }
    exchange
}

#[test]
fn what_is_private_is_kept_for_its_caller_alone() {
    let ask =
        |client: &Client<_>, who| match block_on(Client::exchange(client, exchange_of(who, "a:1")))
            .unwrap()
        {
            ServerResult::ReadResource(result) => text_of(result),
            other => panic!("{other:?}"),
        };
    let client = Client::new(server()).layer(Clock::new().cache());
    let ada = Principal::new("https://issuer", "ada");
    let mut scoped = ada.clone();
    scoped.scopes.insert("read".into());
    let bob = Principal::new("https://issuer", "bob");
    assert_eq!(ask(&client, Some(ada.clone())), "0");
    assert_eq!(ask(&client, Some(bob)), "1");
    assert_eq!(ask(&client, Some(scoped)), "2", "another token is another cache");
    assert_eq!(ask(&client, None), "3");
    assert_eq!(ask(&client, Some(ada)), "0");

    let script = Script::new(|n, _| contents("a:1", &n.to_string(), CacheScope::Public));
    let client = Client::new(script).layer(Clock::new().cache());
    assert_eq!(ask(&client, Some(Principal::new("i", "ada"))), "0");
    assert_eq!(ask(&client, Some(Principal::new("i", "bob"))), "0");
}

#[test]
fn answers_to_requests_with_input_are_neither_kept_nor_given() {
    let (script, cache) = (server(), Clock::new().cache());
    let client = Client::new(script.clone()).layer(cache.clone());
    let mut exchange = exchange_of(None, "a:1");
    exchange.context.request_state = Some("s".into());
    block_on(client.exchange(exchange)).unwrap();
    assert!(cache.is_empty());
    assert_eq!(read(&client, "a:1"), "1");
    let mut exchange = exchange_of(None, "a:1");
    exchange.context.input_responses = Some(Default::default());
    block_on(client.exchange(exchange)).unwrap();
    assert_eq!(script.seen().len(), 3);
}

#[test]
fn a_change_makes_stale_what_it_is_about() {
    let cache = Clock::new().cache();
    let client = Client::new(server()).layer(cache.clone());
    let uris = ["file:///a", "file:///a/b", "file:///ab", "file:///"];
    for uri in uris {
        read(&client, uri);
    }
    block_on(client.list_tools(None)).unwrap();
    assert_eq!(cache.len(), 5);
    cache.told(&ServerNotification::ToolListChanged(NotificationParams::new()));
    assert_eq!(cache.len(), 4);
    let updated = ResourceUpdatedNotificationParams::new("file:///a/b");
    cache.told(&ServerNotification::ResourceUpdated(updated));
    assert_eq!(cache.len(), 1, "what holds the resource is another too");
    assert_eq!(read(&client, "file:///ab"), "2");
    cache.clear();
    assert!(cache.is_empty());
}

#[test]
fn a_change_told_on_a_subscription_makes_stale() {
    let script = Script::with(|_, exchange| {
        Box::pin(async move {
            match exchange.request {
                ClientRequest::ListTools(_) => tools(Some(1000), None, None),
                _ => {
                    let told = ServerNotification::ToolListChanged(NotificationParams::new());
                    exchange.notifier.notify(told).await.unwrap();
                    let result = SubscriptionsListenResult::new();
                    Ok(Outcome::Complete(ServerResult::SubscriptionsListen(result)))
                }
            }
        })
    });
    let cache = Clock::new().cache();
    let client = Client::new(script).layer(cache.clone());
    block_on(client.list_tools(None)).unwrap();
    assert_eq!(cache.len(), 1);
    let change = block_on(client.subscribe(SubscriptionFilter::new()).next_change()).unwrap();
    assert_eq!(change, Some(mcp_client::Change::Tools));
    assert!(cache.is_empty());
}

/// A server whose answers come when the test says, in the order that it says.
fn slow() -> (Script, Arc<Mutex<Vec<bool>>>) {
    let open = Arc::new(Mutex::new(vec![false; 8]));
    let doors = open.clone();
    let script = Script::with(move |n, _| {
        let doors = doors.clone();
        Box::pin(std::future::poll_fn(move |_| match doors.lock().unwrap()[n] {
            true => Poll::Ready(contents("a:1", &n.to_string(), CacheScope::Private)),
            false => Poll::Pending,
        }))
    });
    (script, open)
}

#[test]
fn a_late_answer_cannot_undo_a_change() {
    let (script, open) = slow();
    let cache = Clock::new().cache();
    let mut service = cache.layer(script);
    let mut cx = Context::from_waker(Waker::noop());
    let mut late = service.call(exchange_of(None, "a:1"));
    assert!(late.as_mut().poll(&mut cx).is_pending());
    let updated = ResourceUpdatedNotificationParams::new("a:1");
    cache.told(&ServerNotification::ResourceUpdated(updated));
    open.lock().unwrap()[0] = true;
    assert!(late.as_mut().poll(&mut cx).is_ready(), "its caller gets it");
    assert!(cache.is_empty(), "but it is not kept");
}

#[test]
fn an_answer_that_was_overtaken_is_not_kept() {
    let (script, open) = slow();
    let cache = Clock::new().cache();
    let mut service = cache.layer(script);
    let mut cx = Context::from_waker(Waker::noop());
    let mut first = service.call(exchange_of(None, "a:1"));
    let mut second = service.call(exchange_of(None, "a:1"));
    open.lock().unwrap()[1] = true;
    assert!(second.as_mut().poll(&mut cx).is_ready());
    open.lock().unwrap()[0] = true;
    assert!(first.as_mut().poll(&mut cx).is_ready());
    assert_eq!(read(&Client::new(service), "a:1"), "1");
}

#[test]
fn a_cursor_that_went_bad_takes_its_list_along() {
    let script = Script::new(|n, exchange| match &exchange.request {
        ClientRequest::ListTools(PaginatedRequestParams { cursor: Some(_), .. }) if n > 0 => {
            Err(ErrorObject::invalid_params("no such cursor"))
        }
        _ => tools(Some(1000), None, Some("2")),
    });
    let cache = Clock::new().cache();
    let client = Client::new(script.clone()).layer(cache.clone());
    block_on(client.all_tools()).unwrap_err();
    assert!(cache.is_empty());
    block_on(client.list_tools(None)).unwrap();
    assert_eq!(script.seen().len(), 3);
}

#[test]
fn what_is_kept_is_bounded() {
    let clock = Clock::new();
    let cache = CacheLayer::bounded(clock.now(), 2, 1 << 20);
    let client = Client::new(server()).layer(cache.clone());
    read(&client, "a:1");
    read(&client, "a:2");
    read(&client, "a:1");
    read(&client, "a:3");
    assert_eq!(cache.len(), 2);
    assert_eq!(read(&client, "a:1"), "0", "what was used longest ago goes first");
    assert_eq!(read(&client, "a:2"), "3");

    let script = Script::new(|_, _| contents("a:1", &"x".repeat(10_000), CacheScope::Public));
    let cache = CacheLayer::bounded(clock.now(), 100, 25_000);
    let client = Client::new(script).layer(cache.clone());
    for n in 0..10 {
        read(&client, &format!("a:{n}"));
    }
    assert_eq!(cache.len(), 2);
    let cache = CacheLayer::bounded(clock.now(), 100, 5_000);
    let client = Client::new(server()).layer(cache.clone());
    read(&client, &"a:".repeat(5_000));
    assert!(cache.is_empty(), "what is larger than the whole is not kept");
}

#[test]
fn a_client_with_other_capabilities_may_see_another_list() {
    let script = server();
    let client = Client::new(script.clone()).layer(Clock::new().cache());
    for declared in ["{}", r#"{"roots":{}}"#, "{}"] {
        let params = PaginatedRequestParams::new();
        let mut exchange = Exchange::new(ClientRequest::ListTools(params));
        exchange.context.declare(&RawText::new(declared).unwrap());
        block_on(client.exchange(exchange)).unwrap();
    }
    assert_eq!(script.seen().len(), 2);
}
