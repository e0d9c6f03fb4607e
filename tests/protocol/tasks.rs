//! Calls that outlive their request, in both eras and with a client of ours.

use std::sync::Arc;
use std::time::Duration;

use mcp_client::task::{Started, TaskLayer};
use mcp_client::types::{Implementation, Runtime};
use mcp_client::{Client, InputLayer, Inputs, text_of};
use mcp_server::task::{MemoryTaskStore, Tasks};
use mcp_server::{Context, Server, ToolError, data, server, tool};
use mcp_transport::{ConnectOptions, Connection, Era, TokioRuntime, connect_with, duplex, serve};
use serde_json::{Value, json};

use super::Wire;

#[data]
struct Paper {
    paper: String,
}

/// Asks for paper, and prints on it.
#[tool(task)]
async fn print(cx: Context, pages: u32) -> Result<String, ToolError> {
    let paper = cx.elicit::<Paper>("paper", "Which paper?")?.accepted().ok_or("no paper")?.paper;
    cx.progress_with(1, f64::from(pages), "warm").await;
    Ok(format!("{pages} pages on {paper}"))
}

/// Never ends.
#[tool(task)]
async fn wait(cx: Context) -> String {
    cx.progress_with(1, None, "waiting").await;
    std::future::pending().await
}

fn printer() -> Server {
    let tasks = Tasks::new(MemoryTaskStore::new()).poll_interval(Duration::from_millis(20));
    server!().tasks(tasks).tool::<print>().tool::<wait>().build().unwrap()
}

fn declared() -> Value {
    json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {} } })
}

#[tokio::test]
async fn a_client_by_hand_follows_a_task() {
    let mut wire = Wire::to(printer());
    let call = json!({ "name": "print", "arguments": { "pages": 2 } });
    wire.ask(1, "tools/call", call, declared()).await;
    let mut task = wire.hear().await["result"].take();
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")));
    let id = json!({ "taskId": task["taskId"] });
    while task["status"] == "working" {
        wire.ask(2, "tasks/get", id.clone(), declared()).await;
        task = wire.hear().await["result"].take();
    }
    assert_eq!(task["inputRequests"]["paper"]["method"], "elicitation/create");

    let filter = json!({ "taskIds": [task["taskId"]] });
    wire.ask(9, "subscriptions/listen", json!({ "notifications": filter }), declared()).await;
    let acknowledged = wire.hear().await;
    assert_eq!(acknowledged["params"]["notifications"], filter);
    assert_eq!(wire.hear().await["params"]["status"], "input_required");

    let mut answer = id;
    answer["inputResponses"] =
        json!({ "paper": { "action": "accept", "content": { "paper": "thin" } } });
    wire.ask(3, "tasks/update", answer, declared()).await;
    let mut end = Value::Null;
    while end["params"]["status"] != "completed" {
        let heard = wire.hear().await;
        match heard.get("id") {
            Some(_) => assert_eq!(heard["result"], json!({ "resultType": "complete" })),
            None => end = heard,
        }
    }
    assert_eq!(end["method"], "notifications/tasks");
    assert_eq!(end["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 9);
    assert_eq!(end["params"]["result"]["content"][0]["text"], "2 pages on thin");
    wire.close().await;
}

#[tokio::test]
async fn neither_a_task_nor_who_watches_it_holds_up_the_end() {
    let mut wire = Wire::to(printer());
    wire.ask(1, "tools/call", json!({ "name": "wait", "arguments": {} }), declared()).await;
    let task = wire.hear().await["result"].take();
    let filter = json!({ "taskIds": [task["taskId"]] });
    wire.ask(9, "subscriptions/listen", json!({ "notifications": filter }), declared()).await;
    assert_eq!(wire.hear().await["params"]["notifications"], filter);
    let (_, took) = wire.close().await;
    assert!(took < Duration::from_millis(400), "{took:?}");
}

#[tokio::test]
async fn an_older_client_has_tasks_if_it_declares_them_as_experimental() {
    let experimental = json!({ "io.modelcontextprotocol/tasks": {} });
    let capabilities = json!({ "elicitation": {}, "experimental": experimental });
    let call = json!({ "name": "wait", "arguments": {} });
    let call = json!({ "id": 1, "method": "tools/call", "params": call });
    let mut wire = Wire::shaken(printer(), capabilities).await;
    wire.say(call).await;
    let task = wire.hear().await["result"].take();
    assert_eq!((&task["resultType"], &task["ttlMs"]), (&json!("task"), &json!(3_600_000)));
    let id = json!({ "taskId": task["taskId"] });
    for (method, expected) in
        [("tasks/get", "working"), ("tasks/cancel", ""), ("tasks/get", "cancelled")]
    {
        wire.say(json!({ "id": 2, "method": method, "params": id })).await;
        let result = wire.hear().await["result"].take();
        assert_eq!(result["status"].as_str().unwrap_or_default(), expected, "{result}");
    }
    wire.close().await;
    // Any other asks as ever, and its tasks are those of nobody.
    let mut wire = Wire::shaken(printer(), json!({ "tasks": {} })).await;
    wire.say(json!({ "id": 2, "method": "tasks/get", "params": id })).await;
    assert_eq!(wire.hear().await["error"]["code"], -32600);
    wire.close().await;
}

/// A client of ours on a connection of this era, which declares tasks in its handshake too.
fn client(era: Era) -> Client<Connection> {
    let (ours, theirs) = duplex();
    tokio::spawn(serve(printer(), theirs));
    let mut options = ConnectOptions::new(Implementation::new("test", "1"));
    options.config.era = Some(era);
    let declared: mcp_client::types::ClientCapabilities =
        serde_json::from_value(declared()).unwrap();
    options.config.client_capabilities = declared;
    Client::new(connect_with(ours, options))
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

#[tokio::test]
async fn a_client_of_ours_sees_tasks_or_does_not_in_both_eras() {
    let inputs = || {
        let fill = async |form: mcp_client::Form| form.accept(&json!({ "paper": "thick" }));
        InputLayer::new(Inputs::new().elicit(fill))
    };
    for era in [Era::Modern, Era::Legacy] {
        let client = client(era);
        let pages = json!({ "pages": 3 });
        let started = client.call_tool_as_task("print", &pages, runtime()).await.unwrap();
        let Started::Task(task) = started else { panic!("{started:?}") };
        let result = task.answering(inputs()).result().await.unwrap();
        assert_eq!(text_of(&result), "3 pages on thick", "{era:?}");

        let hidden = client.clone().layer(TaskLayer::new(runtime())).layer(inputs());
        let result = hidden.call_tool("print", &pages).await.unwrap();
        assert_eq!(text_of(&result), "3 pages on thick", "{era:?}");
        client.service().close().await;
    }
}
