//! The client's features on real connections, in both eras, and through a gateway.

use std::sync::Arc;
use std::time::Instant;

use mcp_client::types::{
    ElicitRequestFormParams, ElicitRequestParams, ElicitResult, ExchangeService, Implementation,
    InputRequest, ListRootsRequestParams, ListRootsResult, RawText, Resource, Root,
    SamplingMessageContentBlock, SubscriptionFilter, TextContent,
};
use mcp_client::{CacheLayer, Change, Client, Group, InputLayer, Inputs, Reopen};
use mcp_server::{Context, Read, Server, ToolError, server, tool};
use mcp_transport::{ConnectOptions, Connection, Era, PeerRequests, connect_with, duplex, serve};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

const ERAS: [Era; 2] = [Era::Modern, Era::Legacy];

fn connect(server: impl ExchangeService, era: Era, inputs: Option<Inputs>) -> Connection {
    let (ours, theirs) = duplex();
    tokio::spawn(serve(server, theirs));
    let mut options = ConnectOptions::new(Implementation::new("client", "1.0.0"));
    options.config.era = Some(era);
    options.config.peer_requests = inputs.map(|inputs| PeerRequests(Arc::new(inputs)));
    connect_with(ours, options)
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
    for era in ERAS {
        let client = Client::new(connect(notes(), era, None)).layer(InputLayer::new(inputs()));
        let said: String = client.call("delete", &json!({"path": "a"})).await.unwrap();
        assert_eq!(said, "file:///work Accept 2", "{era:?}");
        let no = Inputs::new()
            .elicit(|form| async move { Ok(form.decline()) })
            .roots(|| async { Ok(vec![Root::new("file:///work")]) });
        let client = Client::new(connect(notes(), era, None)).layer(InputLayer::new(no));
        let failed = client.call_tool("delete", &json!({"path": "a"})).await;
        assert!(failed.is_err() || failed.unwrap().is_error == Some(true), "{era:?}");
    }
}

#[tokio::test]
async fn progress_is_a_stream_in_both_eras() {
    for era in ERAS {
        let client = Client::new(connect(notes(), era, None));
        let call = client.tool_call("count").arguments(&json!({"n": 3})).unwrap();
        let mut call = call.start();
        let mut steps = Vec::new();
        while let Some(report) = call.next_progress().await {
            steps.push(report.progress);
        }
        assert_eq!(steps, [1.0, 2.0, 3.0], "{era:?}");
        assert_eq!(mcp_client::structured::<u32>(&call.finish().await.unwrap()).unwrap(), 3);
    }
}

#[tokio::test]
async fn changes_are_a_stream_in_both_eras_and_the_cache_hears_them() {
    for era in ERAS {
        let server = notes();
        let cache = CacheLayer::new(Instant::now);
        let client = Client::new(connect(server.clone(), era, None)).layer(cache.clone());
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = Some(true);
        filter.resource_subscriptions = Some(vec!["note:///a".into()]);
        let mut changes = client.subscribe(filter.clone());
        let opened = changes.next_change().await.unwrap();
        let honoured = Change::Opened { honoured: filter, reopened: false };
        assert_eq!(opened, Some(honoured), "{era:?}");
        client.read_resource("note:///a").await.unwrap();
        server.changes().resource_updated("note:///a");
        server.changes().tool_list_changed();
        let mut told = [
            changes.next_change().await.unwrap().unwrap(),
            changes.next_change().await.unwrap().unwrap(),
        ];
        told.sort_by_key(|change| matches!(change, Change::Tools));
        assert_eq!(told, [Change::Resource("note:///a".into()), Change::Tools], "{era:?}");
        assert!(cache.is_empty());
    }
}

#[tokio::test]
async fn a_lost_connection_is_heard_by_whoever_listens() {
    for era in ERAS {
        let connection = connect(notes(), era, None);
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

/// Downstream era × upstream era: a client on a gateway on a group of connections.
#[tokio::test]
async fn a_gateway_passes_everything_on_whatever_both_sides_speak() {
    for upstream in ERAS {
        for downstream in ERAS {
            let server = notes();
            let group = Group::builder(Implementation::new("gateway", "1.0.0"))
                .server("one", connect(server.clone(), upstream, None))
                .server("two", connect(notes(), upstream, None))
                .build()
                .unwrap();
            let gateway = connect(group, downstream, None);
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
            server.changes().resource_updated("note:///a");
            let told = changes.next_change().await.unwrap();
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
