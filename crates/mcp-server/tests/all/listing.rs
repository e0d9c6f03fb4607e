//! What holds for every listing: capabilities, pages, cache hints, who sees what, changes.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mcp_server::types::error::codes;
use mcp_server::types::*;
use mcp_server::{CacheHint, Listing, Offer, Server, ServerBuilder, server};
use tower_service::Service;

use crate::{ask, call};

fn everything() -> ServerBuilder {
    let server = ["a", "b", "c"].iter().fold(server!(), |server, name| {
        server
            .tool_fn(Tool::new(*name, JsonSchema::empty_object()), async |_, _| "")
            .prompt_fn(Prompt::new(*name), async |_, _| "")
            .resource_fn(Resource::new(*name, format!("{name}:one")), async |_, _| "one")
            .resource_fn(
                ResourceTemplate::new(*name, format!("{name}:{{x}}/{{y}}")),
                async |_, _| "many",
            )
    });
    server.page_size(2)
}

type Page = (Vec<String>, Option<String>, Option<u64>, Option<CacheScope>);

/// One page of a listing: names, next cursor, cache hints.
fn page(result: ServerResult) -> Page {
    macro_rules! page {
        ($result:ident, $entries:ident) => {{
            let names = $result.$entries.iter().map(|entry| entry.name.clone()).collect();
            (names, $result.next_cursor, $result.ttl_ms, $result.cache_scope)
        }};
    }
    match result {
        ServerResult::ListTools(result) => page!(result, tools),
        ServerResult::ListPrompts(result) => page!(result, prompts),
        ServerResult::ListResources(result) => page!(result, resources),
        ServerResult::ListResourceTemplates(result) => page!(result, resource_templates),
        other => panic!("{other:?}"),
    }
}

const LISTINGS: [fn(PaginatedRequestParams) -> ClientRequest; 4] = [
    ClientRequest::ListTools,
    ClientRequest::ListPrompts,
    ClientRequest::ListResources,
    ClientRequest::ListResourceTemplates,
];

fn list(
    server: &Server,
    listing: fn(PaginatedRequestParams) -> ClientRequest,
    cursor: Option<String>,
    principal: Option<Principal>,
) -> Result<Page, ErrorObject> {
    let mut params = PaginatedRequestParams::new();
    params.cursor = cursor;
    match send(server, listing(params), principal)? {
        Outcome::Complete(result) => Ok(page(result)),
        other => panic!("{other:?}"),
    }
}

fn send(
    server: &Server,
    request: ClientRequest,
    principal: Option<Principal>,
) -> Result<Outcome, ErrorObject> {
    let mut exchange = Exchange::new(request);
    if let Some(principal) = principal {
        exchange.context.extensions.insert(principal);
    }
    futures_executor::block_on(server.clone().call(exchange))
}

fn capabilities(server: &Server) -> String {
    let outcome = ask(server, ClientRequest::Discover(RequestParams::new())).unwrap();
    let Outcome::Complete(ServerResult::Discover(result)) = outcome else { panic!() };
    serde_json::to_string(&result.capabilities).unwrap()
}

#[test]
fn capabilities_say_what_there_is() {
    let resource = || server!().static_resource(Resource::new("a", "a:b"), "");
    for (server, expected) in [
        (server!(), "{}"),
        (resource(), r#"{"resources":{}}"#),
        (resource().list_changes(), r#"{"resources":{"listChanged":true}}"#),
        (server!().list_changes(), "{}"),
        (server!().changing(Listing::Prompts), r#"{"prompts":{"listChanged":true}}"#),
        (
            server!().changing(Listing::ResourceTemplates).changing(Listing::Tools),
            r#"{"resources":{"listChanged":true},"tools":{"listChanged":true}}"#,
        ),
        (everything(), r#"{"logging":{},"prompts":{},"resources":{},"tools":{}}"#),
        (
            everything().complete_resource("a:{x}/{y}", "x", async |_, _| vec!["1"]),
            r#"{"completions":{},"logging":{},"prompts":{},"resources":{},"tools":{}}"#,
        ),
    ] {
        assert_eq!(capabilities(&server.build().unwrap()), expected);
    }
    let server = resource().build().unwrap();
    for listing in [LISTINGS[0], LISTINGS[1]] {
        assert_eq!(list(&server, listing, None, None).unwrap_err().code, codes::METHOD_NOT_FOUND);
    }
    assert!(list(&server, LISTINGS[3], None, None).unwrap().0.is_empty());
}

#[test]
fn all_listings_come_in_pages() {
    let server = everything().build().unwrap();
    for listing in LISTINGS {
        let (names, next, ..) = list(&server, listing, None, None).unwrap();
        assert_eq!((names, next.is_some()), (vec!["a".to_owned(), "b".into()], true));
        let (names, next, ..) = list(&server, listing, next, None).unwrap();
        assert_eq!((names, next), (vec!["c".to_owned()], None));
        for bad in ["", "2.0", "nonsense"] {
            let error = list(&server, listing, Some(bad.into()), None).unwrap_err();
            assert_eq!(error.code, codes::INVALID_PARAMS);
        }
    }
}

#[test]
fn a_cursor_survives_changes() {
    let server = everything().list_changes().build().unwrap();
    let editor = server.editor();
    let (_, next, ..) = list(&server, LISTINGS[0], None, None).unwrap();
    assert!(editor.remove_tool("a"));
    editor.tool_fn(Tool::new("d", JsonSchema::empty_object()), async |_, _| "").unwrap();
    let (names, next, ..) = list(&server, LISTINGS[0], next, None).unwrap();
    assert_eq!((names, next), (vec!["c".to_owned(), "d".into()], None));
}

#[test]
fn listings_say_how_long_they_hold() {
    let minute = CacheHint::public(Duration::from_secs(60));
    let server = everything().cache(minute);
    let server = server.cache_listing(Listing::Prompts, CacheHint::private(Duration::ZERO));
    let server = server.build().unwrap();
    let hints = |server: &Server, listing| {
        let (_, _, ttl, scope) = list(server, listing, None, None).unwrap();
        (ttl, scope)
    };
    assert_eq!(hints(&server, LISTINGS[0]), (Some(60_000), Some(CacheScope::Public)));
    assert_eq!(hints(&server, LISTINGS[1]), (Some(0), Some(CacheScope::Private)));
    let outcome = ask(&server, ClientRequest::Discover(RequestParams::new())).unwrap();
    let Outcome::Complete(ServerResult::Discover(result)) = outcome else { panic!() };
    assert_eq!((result.ttl_ms, result.cache_scope), (Some(60_000), Some(CacheScope::Public)));

    // What depends on who asks must not reach others, whatever the author says about caches.
    let server = everything().cache(minute).visible(|_, _| true).build().unwrap();
    assert_eq!(hints(&server, LISTINGS[0]), (Some(60_000), Some(CacheScope::Private)));
}

#[test]
fn what_is_hidden_is_as_unknown() {
    let only_admins = |request: &RequestContext, offer: Offer<'_>| {
        let principal = request.extensions.get::<Principal>();
        offer.name() != "b" || principal.is_some_and(|it| it.scopes.contains("admin"))
    };
    let server = everything().visible(only_admins).visible(|_, offer| offer.name() != "c");
    let server = server.complete_prompt("b", "x", async |_, _| Vec::<String>::new());
    assert!(server.build().is_err());
    let server = everything().visible(only_admins).visible(|_, offer| offer.name() != "c");
    let server = server.complete_resource("b:{x}/{y}", "x", async |_, _| vec!["1"]);
    let server = server.build().unwrap();
    let admin = || {
        let mut principal = Principal::new("https://issuer.example", "anna");
        principal.scopes.insert("admin".into());
        Some(principal)
    };
    let names = |listing, principal| list(&server, listing, None, principal).unwrap().0;
    for listing in LISTINGS {
        assert_eq!(names(listing, None), ["a"]);
        assert_eq!(names(listing, admin()), ["a", "b"]);
    }
    let complete = |target: CompleteReference| {
        let argument = CompleteRequestParamsArgument::new("x", "");
        ClientRequest::Complete(Box::new(CompleteRequestParams::new(argument, target)))
    };
    let template = |uri: &str| CompleteReference::Resource(ResourceTemplateReference::new(uri));
    let requests: [&dyn Fn(&str) -> ClientRequest; 5] = [
        &|name| ClientRequest::CallTool(CallToolRequestParams::new(name)),
        &|name| ClientRequest::GetPrompt(GetPromptRequestParams::new(name)),
        &|name| ClientRequest::ReadResource(ReadResourceRequestParams::new(format!("{name}:one"))),
        &|name| ClientRequest::ReadResource(ReadResourceRequestParams::new(format!("{name}:1/2"))),
        &|name| complete(template(&format!("{name}:{{x}}/{{y}}"))),
    ];
    for request in requests {
        let hidden = send(&server, request("b"), None).unwrap_err();
        let unknown = send(&server, request("z"), None).unwrap_err();
        assert_eq!(hidden.code, unknown.code);
        assert_eq!(hidden.message.replace('b', ""), unknown.message.replace(['z', 'b'], ""));
        assert!(send(&server, request("b"), admin()).is_ok());
        assert!(send(&server, request("c"), admin()).is_err());
        // The nearest name is one that may be known.
        let mistyped = send(&server, request("bb"), None).unwrap_err();
        assert!(!mistyped.message.contains("did you mean `b"), "{mistyped}");
    }
    let mistyped = send(&server, requests[0]("bb"), admin()).unwrap_err();
    assert_eq!(mistyped.message, "there is no tool `bb`, did you mean `b`?");
}

#[test]
fn a_running_server_can_change() {
    let server = everything().list_changes().build().unwrap();
    let editor = server.editor().with_state(Arc::new(7_u8));
    let shout = || Tool::new("shout", JsonSchema::empty_object());
    editor
        .tool_fn(shout(), async |cx: mcp_server::Context<u8>, _| {
            let added = cx.editor().prompt_fn(Prompt::new("late"), async |_, _| "");
            format!("{} {}", cx.state(), added.is_ok())
        })
        .unwrap();
    assert_eq!(crate::text(&call(&server, "shout", "{}").unwrap()), "7 true");
    assert_eq!(crate::text(&call(&server, "shout", "{}").unwrap()), "7 false", "it is there now");
    let late = ClientRequest::GetPrompt(GetPromptRequestParams::new("late"));
    assert!(ask(&server, late).is_ok());
    assert_eq!(
        editor.tool_fn(shout(), async |_, _| "").unwrap_err().to_string(),
        "two tools are named `shout`, give one of them another name"
    );
    assert!(editor.tool_fn(Tool::new("a b", JsonSchema::empty_object()), async |_, _| "").is_err());
    assert!(editor.remove_tool("shout") && !editor.remove_tool("shout"));
    assert_eq!(call(&server, "shout", "{}").unwrap_err().code, codes::INVALID_PARAMS);

    editor.resource_fn(Resource::new("new", "new:one"), async |_, _| "new").unwrap();
    let read = || ClientRequest::ReadResource(ReadResourceRequestParams::new("new:one"));
    assert!(ask(&server, read()).is_ok());
    assert!(editor.remove_resource("new:one") && editor.remove_resource("a:{x}/{y}"));
    assert!(ask(&server, read()).is_err());

    let fixed = everything().build().unwrap();
    assert_eq!(
        fixed.editor().tool_fn(shout(), async |_, _| "").unwrap_err().to_string(),
        "the server did not declare that the list may change: call `.changing(Tools)` before you \
         build it"
    );
    assert!(!fixed.editor().remove_tool("a"));
}

/// Keeps the methods of what it is told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let heard = match notification.take().unwrap() {
            ServerNotification::ResourceUpdated(params) => params.uri,
            other => other.method().to_owned(),
        };
        self.0.lock().unwrap().push(heard);
        Poll::Ready(Ok(()))
    }
}

#[test]
fn who_subscribed_hears_of_a_change() {
    let server = everything().list_changes().build().unwrap();
    let mut filter = SubscriptionFilter::new();
    filter.prompts_list_changed = Some(true);
    let request = ClientRequest::SubscriptionsListen(SubscriptionsListenRequestParams::new(filter));
    let (heard, mut exchange) = (Arc::new(Heard::default()), Exchange::new(request));
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    let mut listening = std::pin::pin!(server.clone().call(exchange));
    let mut hears = || {
        assert!(listening.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        std::mem::take(&mut *heard.0.lock().unwrap())
    };
    assert_eq!(hears(), ["notifications/subscriptions/acknowledged"]);
    let editor = server.editor();
    assert!(editor.remove_tool("a") && !editor.remove_prompt("z"));
    assert_eq!(hears(), [""; 0]);
    assert!(editor.remove_prompt("a"));
    assert_eq!(hears(), ["notifications/prompts/list_changed"]);
}

/// Fails where a subscription looks at what was asked for alone.
#[test]
fn nobody_hears_of_what_is_hidden() {
    let server = everything().resource_updates().visible(|_, offer| offer.name() != "b");
    let server = server.build().unwrap();
    let mut filter = SubscriptionFilter::new();
    let uris = ["a:one", "b:one", "b:1/2", "z:unknown"];
    filter.resource_subscriptions = Some(uris.iter().map(|uri| (*uri).to_owned()).collect());
    let request = ClientRequest::SubscriptionsListen(SubscriptionsListenRequestParams::new(filter));
    let (heard, mut exchange) = (Arc::new(Heard::default()), Exchange::new(request));
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    let mut listening = std::pin::pin!(server.clone().call(exchange));
    for uri in [""; 2].iter().chain(&uris) {
        server.changes().resource_updated(uri);
        let poll = listening.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(poll.is_pending());
    }
    let heard = heard.0.lock().unwrap();
    assert_eq!(heard[..], ["notifications/subscriptions/acknowledged", "a:one", "z:unknown"]);
}
