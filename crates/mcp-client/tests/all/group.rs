//! Several servers as one: names, listings, ownership, changes.

use std::sync::{Arc, Mutex};

use futures_executor::block_on;
use mcp_client::types::{
    BoxFuture, CallToolResult, ClientRequest, CompleteReference, CompleteResult,
    CompleteResultCompletion, ContentBlock, ErrorObject, Exchange, Implementation, Items,
    JsonSchema, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, Listed, LoggingLevel, LoggingMessageNotificationParams, NotificationParams,
    Origin, Outcome, Prompt, PromptReference, ReadResourceResult, Resource, ResourceContents,
    ResourceLink, ResourceTemplate, ResourceTemplateReference, ServerNotification, ServerResult,
    SubscriptionFilter, SubscriptionsAcknowledgedNotificationParams, SubscriptionsListenResult,
    TextResourceContents, Tool,
};
use mcp_client::{CacheLayer, Change, Client, Error, Group, GroupBuilder, GroupError};

use crate::script::{Answer, Script, raw};

fn builder() -> GroupBuilder {
    Group::builder(Implementation::new("all", "1.0.0"))
}

fn items<T: serde::Serialize>(entries: impl IntoIterator<Item = T>) -> Items<T> {
    entries.into_iter().map(|entry| Arc::new(Listed::new(entry).unwrap())).collect()
}

fn done(result: ServerResult) -> Answer {
    Ok(Outcome::Complete(result))
}

/// A server with two pages of tools, a prompt, and the resources of these URIs.
fn server(uris: &'static [&'static str], template: &'static str) -> Script {
    Script::with(move |_, exchange| Box::pin(async move { serve(exchange, uris, template).await }))
}

async fn serve(exchange: Exchange, uris: &[&str], template: &str) -> Answer {
    let text = |text: String| CallToolResult::text(text);
    match &exchange.request {
        ClientRequest::ListTools(params) => {
            let name = if params.cursor.is_none() { "search" } else { "more" };
            let mut tool = Tool::new(name, JsonSchema::empty_object());
            tool.extra.insert("x-unknown", raw("7"));
            let mut page = ListToolsResult::new(items([tool]));
            page.next_cursor = params.cursor.is_none().then(|| "2".into());
            page.ttl_ms = Some(1000);
            done(ServerResult::ListTools(page))
        }
        ClientRequest::ListPrompts(_) => {
            done(ServerResult::ListPrompts(ListPromptsResult::new(items([Prompt::new("p")]))))
        }
        ClientRequest::ListResources(_) => {
            let listed = uris.iter().map(|uri| Resource::new("r", *uri));
            done(ServerResult::ListResources(ListResourcesResult::new(items(listed))))
        }
        ClientRequest::ListResourceTemplates(_) => {
            let listed = items([ResourceTemplate::new("t", template)]);
            let page = ListResourceTemplatesResult::new(listed);
            done(ServerResult::ListResourceTemplates(page))
        }
        ClientRequest::CallTool(params) => {
            let message = LoggingMessageNotificationParams::new(raw("1"), LoggingLevel::Info);
            let told = ServerNotification::Message(message);
            exchange.notifier.notify(told).await.unwrap();
            let mut result = text(params.name.clone());
            let link = ResourceLink::new("linked", format!("linked://{template}"));
            result.content.push(ContentBlock::ResourceLink(link));
            done(ServerResult::CallTool(result))
        }
        ClientRequest::ReadResource(params) => {
            let contents = TextResourceContents::new(template, params.uri.clone());
            let contents = vec![ResourceContents::Text(contents)];
            done(ServerResult::ReadResource(ReadResourceResult::new(contents)))
        }
        ClientRequest::Complete(params) => {
            let of = match &params.r#ref {
                CompleteReference::Prompt(prompt) => prompt.name.clone(),
                CompleteReference::Resource(template) => template.uri.clone(),
                other => panic!("{other:?}"),
            };
            let completion = CompleteResultCompletion::new(vec![of]);
            done(ServerResult::Complete(CompleteResult::new(completion)))
        }
        other => Err(ErrorObject::method_not_found(other.method())),
    }
}

fn two() -> (Script, Script) {
    (server(&["a://1", "same://"], "a://{id}"), server(&["b://1", "same://"], "b://{id}"))
}

fn group(one: &Script, two: &Script) -> Client<Group> {
    Client::new(builder().server("one", one.clone()).server("two", two.clone()).build().unwrap())
}

#[test]
fn names_are_spaced_and_calls_go_to_their_server() {
    let (one, two) = two();
    let client = group(&one, &two);
    let mut pages = client.tool_pages();
    let page = block_on(pages.next_page()).unwrap().unwrap();
    let names: Vec<&str> = page.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["one__search", "two__search"]);
    assert!(page.tools[0].text().get().contains(r#""x-unknown":7"#), "nothing is lost");
    let names: Vec<String> =
        block_on(pages.all()).unwrap().iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(names, ["one__more", "two__more"]);
    let prompts = block_on(client.all_prompts()).unwrap();
    let names: Vec<&str> = prompts.iter().map(|prompt| prompt.name.as_str()).collect();
    assert_eq!(names, ["one__p", "two__p"]);

    let before = one.seen().len();
    let result = block_on(client.call_tool("two__search", &serde_json::json!({}))).unwrap();
    assert_eq!(mcp_client::text_of(&result), "search");
    assert_eq!(one.seen().len(), before, "the other hears nothing of it");
    for name in ["search", "three__search", "__search", "two_search"] {
        let error = block_on(client.call_tool(name, &serde_json::json!({}))).unwrap_err();
        let Error::Service(error) = error else { panic!("{error}") };
        assert_eq!(error.code, -32602, "{name}");
    }
}

#[test]
fn a_resource_that_two_servers_list_is_told_of() {
    let (one, two) = two();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let hear = heard.clone();
    let group = builder().server("one", one).server("two", two);
    let group = group.on_collision(move |alias, uri, owner| {
        hear.lock().unwrap().push(format!("{alias} {uri} {owner}"));
    });
    let client = Client::new(group.build().unwrap());
    block_on(client.all_resources()).unwrap();
    block_on(client.all_tools()).unwrap();
    assert_eq!(*heard.lock().unwrap(), ["two same:// one"]);
}

#[test]
fn a_resource_goes_to_its_server_alone() {
    let (one, two) = two();
    let client = group(&one, &two);
    let read = |uri: &str| match block_on(client.read_resource(uri)).map(|read| read.contents) {
        Ok(contents) => match &contents[0] {
            ResourceContents::Text(text) => text.text.clone(),
            other => panic!("{other:?}"),
        },
        Err(error) => error.to_string(),
    };
    // Nothing was listed yet: the group asks whose it is, and sends the URI to nobody else.
    assert_eq!(read("b://1"), "b://{id}");
    assert_eq!(read("a://7"), "a://{id}", "by template");
    assert_eq!(read("same://"), "a://{id}", "the first has it");
    assert!(read("c://1").contains("no server of this group has the resource `c://1`"));
    let asked = |script: &Script| {
        let read = |exchange: &Exchange| match &exchange.request {
            ClientRequest::ReadResource(params) => Some(params.uri.clone()),
            _ => None,
        };
        script.seen().iter().filter_map(read).collect::<Vec<_>>()
    };
    assert_eq!(
        (asked(&one), asked(&two)),
        (vec!["a://7".into(), "same://".into()], vec!["b://1".to_owned()])
    );
    let listed = block_on(client.all_resources()).unwrap();
    let uris: Vec<&str> = listed.iter().map(|resource| resource.uri.as_str()).collect();
    assert_eq!(uris, ["a://1", "same://", "b://1"]);

    // What a result links to is its server's.
    assert!(read("linked://b://{id}").contains("no server"));
    block_on(client.call_tool("two__search", &serde_json::json!({}))).unwrap();
    assert_eq!(read("linked://b://{id}"), "b://{id}");
}

#[test]
fn completions_go_to_their_server() {
    let (one, two) = two();
    let client = group(&one, &two);
    let none: [(&str, &str); 0] = [];
    let prompt = CompleteReference::Prompt(PromptReference::new("two__p"));
    assert_eq!(block_on(client.complete(prompt, "x", "", none)).unwrap().values, ["p"]);
    let template = ResourceTemplateReference::new("b://{id}");
    let template = CompleteReference::Resource(template);
    assert_eq!(block_on(client.complete(template, "id", "", none)).unwrap().values, ["b://{id}"]);
}

fn broken() -> Script {
    Script::new(|_, _| Err(ErrorObject::local(Origin::Connection, "the server is gone")))
}

#[test]
fn a_server_that_fails_is_left_out_and_told_of() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let group = builder()
        .server("gone", broken())
        .server("one", two().0)
        .on_failure(move |alias, error| hears.lock().unwrap().push(format!("{alias}: {error}")))
        .build()
        .unwrap();
    let cache = CacheLayer::new(std::time::Instant::now);
    let client = Client::new(group).layer(cache.clone());
    let names: Vec<String> =
        block_on(client.all_tools()).unwrap().iter().map(|tool| tool.name.clone()).collect();
    assert_eq!(names, ["one__search", "one__more"]);
    assert_eq!(
        cache.len(),
        1,
        "the first page lacks a server and is not kept, the second is whole"
    );
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard, ["gone: `gone`: the server is gone (code -32603)"]);

    let error = block_on(client.call_tool("gone__x", &serde_json::json!({}))).unwrap_err();
    assert!(matches!(&error, Error::Connection(_)) && error.to_string().contains("`gone`"));

    let client = Client::new(builder().server("gone", broken()).build().unwrap());
    assert!(matches!(block_on(client.all_tools()), Err(Error::Connection(_))));
    assert!(matches!(block_on(client.discover()), Err(Error::Connection(_))));
}

#[test]
fn a_server_that_is_slow_is_left_out_when_patience_ends() {
    let mute = Script::with(|_, _| Box::pin(std::future::pending()) as BoxFuture<'static, Answer>);
    let group = builder()
        .server("mute", mute)
        .server("one", two().0)
        .patience(|| Box::pin(std::future::ready(())))
        .build()
        .unwrap();
    let tools = block_on(Client::new(group).all_tools()).unwrap();
    assert_eq!(tools.len(), 2);
}

#[test]
fn a_cursor_of_another_list_is_refused() {
    let (one, two) = two();
    let client = group(&one, &two);
    for cursor in ["", "2", "[]", r#"{"three":"2"}"#, r#"{"one":2}"#] {
        let error = block_on(client.list_tools(Some(cursor.into()))).unwrap_err();
        let Error::Service(error) = error else { panic!("{error}") };
        assert_eq!(error.code, -32602, "{cursor}");
    }
}

#[test]
fn log_messages_name_their_server() {
    let (one, two) = two();
    let client = group(&one, &two);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    let call = client.tool_call("two__search").on_notification(move |told| {
        if let ServerNotification::Message(message) = told {
            hears.lock().unwrap().push(message.logger);
        }
    });
    block_on(call.send()).unwrap();
    assert_eq!(heard.lock().unwrap().clone(), [Some("two".to_owned())]);
}

#[test]
fn the_group_says_what_its_servers_can() {
    use mcp_server::{server, tool};

    /// Adds two numbers.
    #[tool]
    async fn add(a: i64, b: i64) -> i64 {
        a + b
    }

    let server = server!().tool::<add>().build().unwrap();
    let group = builder().instructions("Be kind.").server("calc", server).build().unwrap();
    let found = block_on(Client::new(group).discover()).unwrap();
    assert_eq!(found.server_info().unwrap().name, "all");
    assert!(found.capabilities.tools.is_some() && found.capabilities.prompts.is_none());
    assert_eq!(found.instructions.as_deref(), Some("Be kind."));
}

#[test]
fn an_alias_is_checked_when_the_group_is_made() {
    let error = builder().server("a__b", two().0).build().unwrap_err();
    assert_eq!(error, GroupError::Alias("a__b".into()));
    let error = builder().server("a", two().0).server("a", two().1).build().unwrap_err();
    assert_eq!(error, GroupError::Taken("a".into()));
}

/// Acknowledges what it is asked for, tells one change, and ends as told.
fn telling(change: ServerNotification, end: Option<Answer>) -> Script {
    Script::with(move |_, exchange| {
        let (change, end) = (change.clone(), end.clone());
        Box::pin(async move {
            match &exchange.request {
                ClientRequest::SubscriptionsListen(params) => {
                    let filter = params.notifications.clone();
                    let told = SubscriptionsAcknowledgedNotificationParams::new(filter);
                    let told = ServerNotification::SubscriptionsAcknowledged(told);
                    exchange.notifier.notify(told).await.unwrap();
                    exchange.notifier.notify(change).await.unwrap();
                    match end {
                        Some(end) => end,
                        None => std::future::pending().await,
                    }
                }
                _ => serve(exchange, &["file:///a"], "file:///{x}").await,
            }
        })
    })
}

fn filter() -> SubscriptionFilter {
    let mut filter = SubscriptionFilter::new();
    filter.tools_list_changed = Some(true);
    filter.resource_subscriptions = Some(vec!["file:///a".into(), "nobody://s".into()]);
    filter
}

#[test]
fn changes_of_all_servers_come_on_one_subscription() {
    let tools = ServerNotification::ToolListChanged(NotificationParams::new());
    let prompts = ServerNotification::PromptListChanged(NotificationParams::new());
    let (one, two) = (telling(tools, None), telling(prompts, None));
    let none =
        Script::new(|_, exchange| Err(ErrorObject::method_not_found(exchange.request.method())));
    let group = builder()
        .server("none", none)
        .server("one", one.clone())
        .server("two", two.clone())
        .build()
        .unwrap();
    let mut changes = Client::new(group).subscribe(filter());
    let mut next = || block_on(changes.next_change()).unwrap().unwrap();
    let mut honoured = filter();
    honoured.resource_subscriptions = Some(vec!["file:///a".into()]);
    assert_eq!(next(), Change::Opened { honoured, reopened: false });
    assert_eq!([next(), next()], [Change::Tools, Change::Prompts]);
    let asked = |script: &Script| {
        script.seen().iter().find_map(|exchange| match &exchange.request {
            ClientRequest::SubscriptionsListen(params) => Some(params.notifications.clone()),
            _ => None,
        })
    };
    let uris = |script: &Script| asked(script).unwrap().resource_subscriptions;
    assert_eq!((uris(&one), uris(&two)), (Some(vec!["file:///a".into()]), None));
}

#[test]
fn a_server_that_is_lost_ends_the_subscription() {
    let tools = || ServerNotification::ToolListChanged(NotificationParams::new());
    let lost = Err(ErrorObject::local(Origin::Connection, "gone"));
    let mut all = SubscriptionFilter::new();
    all.tools_list_changed = Some(true);
    let group = |end| {
        let (one, two) = (telling(tools(), None), telling(tools(), Some(end)));
        Client::new(builder().server("one", one).server("two", two).build().unwrap())
    };
    let mut changes = group(lost).subscribe(all.clone());
    let error = loop {
        match block_on(changes.next_change()) {
            Ok(change) => assert!(change.is_some(), "it ended as if nothing were wrong"),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, Error::Connection(_)) && error.to_string().contains("`two`"));

    let closed = SubscriptionsListenResult::new();
    let closed = done(ServerResult::SubscriptionsListen(closed));
    let mut changes = group(closed).subscribe(all);
    while block_on(changes.next_change()).unwrap().is_some() {}
}

#[test]
fn a_group_is_a_server_of_a_group() {
    let (one, two) = two();
    let inner = builder().server("one", one).build().unwrap();
    let outer = builder().server("in", inner).server("two", two).build().unwrap();
    let client = Client::new(outer);
    let tools = block_on(client.all_tools()).unwrap();
    assert!(tools.iter().any(|tool| tool.name == "in__one__search"));
    let result = block_on(client.call_tool("in__one__search", &serde_json::json!({}))).unwrap();
    assert_eq!(mcp_client::text_of(&result), "search");
}

#[test]
fn tasks_go_to_their_server() {
    let script = Script::new(|_, exchange| match &exchange.request {
        ClientRequest::CallTool(_) => done(ServerResult::Extension(raw(
            r#"{"resultType":"task","taskId":"7","status":"working"}"#,
        ))),
        ClientRequest::Extension { params, .. } => {
            done(ServerResult::Extension(params.clone().unwrap()))
        }
        other => Err(ErrorObject::method_not_found(other.method())),
    });
    let client = group(&two().0, &script);
    let mut call = mcp_client::types::CallToolRequestParams::new("two__index");
    call.arguments = Some(raw("{}"));
    let made = block_on(client.request(ClientRequest::CallTool(call))).unwrap();
    let ServerResult::Extension(text) = made else { panic!("{made:?}") };
    assert_eq!(text.get(), r#"{"resultType":"task","taskId":"two__7","status":"working"}"#);
    let ask = |id: &str| {
        block_on(client.request(ClientRequest::Extension {
            method: "tasks/get".into(),
            params: Some(raw(id)),
        }))
    };
    let ServerResult::Extension(text) = ask(r#"{"taskId":"two__7"}"#).unwrap() else { panic!() };
    assert_eq!(text.get(), r#"{"taskId":"two__7"}"#);
    let ClientRequest::Extension { params, .. } = &script.seen()[1].request else { panic!() };
    assert_eq!(params.as_ref().unwrap().get(), r#"{"taskId":"7"}"#);
    assert!(ask(r#"{"taskId":"7"}"#).unwrap_err().to_string().contains("may have expired"));
}
