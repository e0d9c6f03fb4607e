//! The client's features on real connections, in both eras, and through a gateway.

use std::time::{Duration, Instant};

use mcp_client::types::{
    Caller, ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ExchangeService,
    Implementation, InputRequest, ListRootsRequestParams, ListRootsResult, RawText, Resource, Root,
    SamplingMessageContentBlock, SubscriptionFilter, TextContent,
};
use mcp_client::{CacheLayer, Change, Client, Group, InputLayer, Inputs, Reopen};
use mcp_server::{Context, Read, Server, ToolError, server, tool};
use mcp_transport::http::server::HttpServer;
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use mcp_transport::{ConnectOptions, Connection, Era, connect_with, duplex, serve};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

/// Each era, over a stream and over HTTP.
const WAYS: [(Era, bool); 4] =
    [(Era::Modern, false), (Era::Legacy, false), (Era::Modern, true), (Era::Legacy, true)];

fn connect(server: impl ExchangeService, era: Era) -> Connection {
    let (ours, theirs) = duplex();
    tokio::spawn(serve(server, theirs));
    let mut options = ConnectOptions::new(Implementation::new("client", "1.0.0"));
    options.config.era = Some(era);
    connect_with(ours, options)
}

async fn reach(server: impl ExchangeService, (era, http): (Era, bool)) -> Caller {
    if !http {
        return Caller::new(connect(server, era));
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let router = axum::Router::new().route_service("/mcp", HttpServer::new(server));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let mut options = HttpConnectOptions::new(Implementation::new("client", "1.0.0"));
    options.config.era = Some(era);
    Caller::new(connect_http_with(&url, options).unwrap())
}

/// Deletes something, where it may, if the user is sure.
#[tool]
async fn delete(cx: Context, path: String) -> Result<String, ToolError> {
    let form = json!({"message": format!("Delete {path}?"), "requestedSchema": {
        "type": "object", "properties": {
            "sure": {"type": "boolean", "default": true},
            "times": {"type": "integer", "minimum": 1, "default": 2}}, "required": ["sure"]}});
    let form: ElicitRequestFormParams = RawText::of(&form)?.parse()?;
    let roots: ListRootsResult =
        cx.input("roots", InputRequest::ListRoots(ListRootsRequestParams::new()))?;
    let form = ElicitRequestParams::Form(form);
    let answer: ElicitResult = cx.input("sure", InputRequest::Elicit(form))?;
    let times = answer.content.and_then(|content| content.get("times").cloned());
    Ok(format!("{} {:?} {}", roots.roots[0].uri, answer.action, times.unwrap()))
}

/// Counts.
#[tool]
async fn count(cx: Context, n: u32) -> u32 {
    for step in 1..=n {
        cx.progress(step, f64::from(n)).await;
    }
    n
}

fn notes() -> Server {
    server!()
        .list_changes()
        .resource_updates()
        .tool::<delete>()
        .tool::<count>()
        .resource_fn(Resource::new("a", "note:///a"), async |_cx, _: Read| "milk")
        .build()
        .unwrap()
}

fn inputs() -> Inputs {
    Inputs::new()
        .elicit(|form| async move { form.accept_with_defaults() })
        .roots(|| async { Ok(vec![Root::new("file:///work")]) })
        .sample(|_| async {
            let said = SamplingMessageContentBlock::Text(TextContent::new("yes"));
            let role = mcp_client::types::Role::Assistant;
            Ok(mcp_client::types::CreateMessageResult::new(said.into(), "m", role))
        })
}

#[tokio::test]
async fn questions_in_the_middle_of_a_call_are_answered_in_both_eras() {
    for way in WAYS {
        let client = Client::new(reach(notes(), way).await).layer(InputLayer::new(inputs()));
        let said: String = client.call("delete", &json!({"path": "a"})).await.unwrap();
        assert_eq!(said, "file:///work Accept 2", "{way:?}");
        let no = Inputs::new()
            .elicit(|form| async move { Ok(form.decline()) })
            .roots(|| async { Ok(vec![Root::new("file:///work")]) });
        let client = Client::new(reach(notes(), way).await).layer(InputLayer::new(no));
        let failed = client.call_tool("delete", &json!({"path": "a"})).await;
        assert!(failed.is_err() || failed.unwrap().is_error == Some(true), "{way:?}");
    }
}

#[tokio::test]
async fn progress_is_a_stream_in_both_eras() {
    for way in WAYS {
        let client = Client::new(reach(notes(), way).await);
        let call = client.tool_call("count").arguments(&json!({"n": 3})).unwrap();
        let mut call = call.start();
        let mut steps = Vec::new();
        while let Some(report) = call.next_progress().await {
            steps.push(report.progress);
        }
        assert_eq!(steps, [1.0, 2.0, 3.0], "{way:?}");
        assert_eq!(mcp_client::structured::<u32>(&call.finish().await.unwrap()).unwrap(), 3);
    }
}

#[tokio::test]
async fn changes_are_a_stream_in_both_eras_and_the_cache_hears_them() {
    for way in WAYS {
        let server = notes();
        let cache = CacheLayer::new(Instant::now);
        let client = Client::new(reach(server.clone(), way).await).layer(cache.clone());
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = Some(true);
        filter.resource_subscriptions = Some(vec!["note:///a".into()]);
        let mut changes = client.subscribe(filter.clone());
        let opened = changes.next_change().await.unwrap();
        let honoured = Change::Opened { honoured: filter, reopened: false };
        assert_eq!(opened, Some(honoured), "{way:?}");
        client.read_resource("note:///a").await.unwrap();
        server.changes().resource_updated("note:///a");
        server.changes().tool_list_changed();
        let mut told = [
            changes.next_change().await.unwrap().unwrap(),
            changes.next_change().await.unwrap().unwrap(),
        ];
        told.sort_by_key(|change| matches!(change, Change::Tools));
        assert_eq!(told, [Change::Resource("note:///a".into()), Change::Tools], "{way:?}");
        assert!(cache.is_empty());
    }
}

#[tokio::test]
async fn a_lost_connection_is_heard_by_whoever_listens() {
    for era in ERAS {
        let connection = connect(notes(), era);
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = Some(true);
        let mut changes =
            Client::new(connection.clone()).subscribe(filter).reopen(Reopen::at_once(2));
        changes.next_change().await.unwrap().unwrap();
        connection.close().await;
        let error = changes.next_change().await.unwrap_err();
        assert!(error.is_worth_retrying(), "{era:?}: {error}");
    }
}

/// Each way downstream × each way upstream: a client on a gateway on a group of connections.
#[tokio::test]
async fn a_gateway_passes_everything_on_whatever_both_sides_speak() {
    for upstream in WAYS {
        for downstream in WAYS {
            let server = notes();
            let group = Group::builder(Implementation::new("gateway", "1.0.0"))
                .server("one", reach(server.clone(), upstream).await)
                .server("two", reach(notes(), upstream).await)
                .build()
                .unwrap();
            let gateway = reach(group, downstream).await;
            let client = Client::new(gateway).layer(InputLayer::new(inputs()));
            let case = format!("{upstream:?} behind {downstream:?}");

            let tools = client.all_tools().await.unwrap();
            let names: Vec<&str> = tools.iter().map(|tool| tool.name.as_str()).collect();
            assert_eq!(names, ["one__delete", "one__count", "two__delete", "two__count"], "{case}");
            let said: String = client.call("two__delete", &json!({"path": "a"})).await.unwrap();
            assert_eq!(said, "file:///work Accept 2", "{case}");

            let call = client.tool_call("one__count").arguments(&json!({"n": 2})).unwrap();
            let mut call = call.start();
            assert_eq!(call.next_progress().await.unwrap().progress, 1.0, "{case}");
            let result = call.finish().await.unwrap();
            assert_eq!(mcp_client::structured::<u32>(&result).unwrap(), 2, "{case}");

            let mut filter = SubscriptionFilter::new();
            filter.tools_list_changed = Some(true);
            filter.resource_subscriptions = Some(vec!["note:///a".into()]);
            let mut changes = client.subscribe(filter.clone());
            let opened = changes.next_change().await.unwrap();
            let honoured = Change::Opened { honoured: filter, reopened: false };
            assert_eq!(opened, Some(honoured), "{case}");
            // An older client is answered before the subscription stands at the far end.
            let told = loop {
                server.changes().resource_updated("note:///a");
                let told = timeout(Duration::from_millis(50), changes.next_change()).await;
                if let Ok(told) = told {
                    break told.unwrap();
                }
            };
            assert_eq!(told, Some(Change::Resource("note:///a".into())), "{case}");
        }
    }
}

/// A server of an older revision waits for the answer to its question; whoever turns away in the
/// middle of it tells the server, so that nothing is left waiting on either side.
#[tokio::test]
async fn a_caller_who_turns_away_in_the_middle_of_a_question_leaves_nothing_behind() {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = tokio::io::split(theirs);
    let mut options = ConnectOptions::new(Implementation::new("client", "1.0.0"));
    options.config.era = Some(Era::Legacy);
    let connection = connect_with(mcp_transport::Io::new(reader, writer), options);
    let (reader, mut writer) = tokio::io::split(ours);
    let mut lines = BufReader::new(reader).lines();

    // More often than calls may wait for an answer at once.
    let no_answer = Inputs::new().roots(std::future::pending);
    let client = Client::new(connection).layer(InputLayer::new(no_answer));
    for id in 0..100 {
        let caller = client.clone();
        let calling =
            tokio::spawn(async move { caller.call_tool("x", &json!({})).await.map(|_| ()) });
        let mut call = lines.next_line().await.unwrap().unwrap();
        if call.contains(r#""method":"initialize""#) {
            let shaken = json!({"jsonrpc": "2.0", "id": 1, "result": {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "serverInfo": {"name": "s", "version": "1"}}});
            writer.write_all(format!("{shaken}\n").as_bytes()).await.unwrap();
            lines.next_line().await.unwrap();
            call = lines.next_line().await.unwrap().unwrap();
        }
        assert!(call.contains(r#""method":"tools/call""#), "{call}");
        let roots = json!({"jsonrpc": "2.0", "id": format!("r{id}"), "method": "roots/list"});
        let ping = json!({"jsonrpc": "2.0", "id": "p", "method": "ping"});
        writer.write_all(format!("{roots}\n{ping}\n").as_bytes()).await.unwrap();
        let pong = lines.next_line().await.unwrap().unwrap();
        assert!(pong.contains(r#""id":"p""#), "question {id} was refused: {pong}");
        tokio::task::yield_now().await;
        calling.abort();
        assert!(calling.await.is_err());
        let unanswered = lines.next_line().await.unwrap().unwrap();
        assert!(unanswered.contains(&format!("\"r{id}\"")), "{unanswered}");
        assert!(unanswered.contains(r#""error""#), "{unanswered}");
        let cancelled = lines.next_line().await.unwrap().unwrap();
        assert!(cancelled.contains("notifications/cancelled"), "{cancelled}");
    }
}
