//! One announcement reaches the clients of both eras, each in its own way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mcp_server::types::Resource;
use mcp_server::{Context, Read, Server, server, tool};
use serde_json::{Value, json};

use super::Wire;

/// Changes a note, and the list.
#[tool]
async fn change(cx: Context, name: String) -> &'static str {
    cx.changes().resource_updated(&format!("note:///{name}"));
    cx.changes().tool_list_changed();
    "changed"
}

fn notes() -> Server {
    let note = |name: &str| Resource::new(name, format!("note:///{name}"));
    server!()
        .list_changes()
        .resource_updates()
        .tool::<change>()
        .resource_fn(note("a"), async |_cx, _: Read| "milk")
        .resource_fn(note("b"), async |_cx, _: Read| "bread")
        .build()
        .unwrap()
}

fn told(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "method": method, "params": params })
}

#[tokio::test]
async fn an_announcement_reaches_both_eras() {
    let server = notes();
    let mut old = Wire::shaken(server.clone(), json!({})).await;
    old.say(json!({ "id": 1, "method": "resources/subscribe", "params": { "uri": "note:///a" } }))
        .await;
    assert_eq!(old.hear().await["result"], json!({}));

    let mut new = Wire::to(server.clone());
    let filter = json!({ "toolsListChanged": true, "resourceSubscriptions": ["note:///b"] });
    new.ask(7, "subscriptions/listen", json!({ "notifications": filter }), json!({})).await;
    let acknowledged = new.hear().await;
    assert_eq!(acknowledged["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(acknowledged["params"]["notifications"], filter);
    assert_eq!(acknowledged["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    while server.changes().listeners() < 3 {
        tokio::task::yield_now().await;
    }

    server.changes().tool_list_changed();
    server.changes().resource_updated("note:///a");
    server.changes().resource_updated("note:///b");
    let mut heard = [old.hear().await, old.hear().await];
    heard.sort_by_key(|told| told["method"].to_string());
    assert_eq!(heard[0]["params"], json!({ "uri": "note:///a" }), "no id stands on it: {heard:?}");
    assert_eq!(heard[1]["method"], "notifications/tools/list_changed");
    old.hear_nothing_else().await;

    let id = json!({ "io.modelcontextprotocol/subscriptionId": 7 });
    assert_eq!(new.hear().await, told("notifications/tools/list_changed", json!({ "_meta": id })));
    let updated = json!({ "uri": "note:///b", "_meta": id });
    assert_eq!(new.hear().await, told("notifications/resources/updated", updated));

    // What would last as long as the connection does not keep it open, and says that it ends.
    drop(server);
    let (rest, took) = old.close().await;
    assert!(rest.is_empty() && took < Duration::from_millis(400), "{rest:?} {took:?}");
    let (rest, took) = new.close().await;
    assert_eq!(rest[0]["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 7);
    assert!(rest.len() == 1 && took < Duration::from_millis(400), "{rest:?} {took:?}");
}

#[tokio::test]
async fn a_subscription_to_one_more_resource_loses_nothing() {
    let mut wire = Wire::shaken(notes(), json!({})).await;
    let about = |id: i64, method: &str, uri: &str| json!({ "id": id, "method": method, "params": { "uri": uri } });
    let change = |id: i64, name: &str| {
        let params = json!({ "name": "change", "arguments": { "name": name } });
        json!({ "id": id, "method": "tools/call", "params": params })
    };
    wire.say(about(1, "resources/subscribe", "note:///a")).await;
    // The change is announced in the same breath in which another subscription takes its place.
    wire.say(change(2, "a")).await;
    wire.say(about(3, "resources/subscribe", "note:///b")).await;
    wire.say(change(4, "b")).await;
    let mut heard = Vec::new();
    while !heard.iter().any(|message: &Value| message["params"]["uri"] == "note:///b") {
        heard.push(wire.hear().await);
    }
    assert!(heard.iter().any(|message| message["params"]["uri"] == "note:///a"), "{heard:?}");

    wire.say(about(5, "resources/unsubscribe", "note:///a")).await;
    while wire.hear().await["id"] != 5 {}
    wire.say(change(6, "a")).await;
    loop {
        let message = wire.hear().await;
        assert_ne!(message["params"]["uri"], "note:///a", "it was given up");
        if message["id"] == 6 {
            break;
        }
    }
}

#[tokio::test]
async fn what_the_server_does_not_tell_of_cannot_be_subscribed_to() {
    let server = server!().tool::<change>().build().unwrap();
    let mut wire = Wire::shaken(server.clone(), json!({})).await;
    let params = json!({ "uri": "note:///a" });
    wire.say(json!({ "id": 1, "method": "resources/subscribe", "params": params })).await;
    assert_eq!(wire.hear().await["error"]["code"], -32601);
    server.changes().tool_list_changed();
    wire.hear_nothing_else().await;
    assert_eq!(server.changes().listeners(), 0);
}

#[tokio::test]
async fn what_an_older_client_subscribes_to_has_a_bound() {
    let server = server!().resource_updates().tool::<change>().build().unwrap();
    let mut wire = Wire::shaken(server, json!({})).await;
    for (id, code) in [(1, serde_json::Value::Null), (2, json!(-32602))] {
        let uri = format!("note:///{id}{}", "a".repeat(100_000));
        let params = json!({ "uri": uri });
        wire.say(json!({ "id": id, "method": "resources/subscribe", "params": params })).await;
        assert_eq!(wire.hear().await["error"]["code"], code);
    }
}

/// A state whose end is seen from outside.
#[tokio::test]
async fn a_state_stops_when_its_connection_does() {
    let stopped = Arc::new(AtomicBool::new(false));
    let seen = stopped.clone();
    let server = server!()
        .lifespan(
            async || Ok::<_, String>(()),
            move |_| {
                let seen = seen.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    seen.store(true, Ordering::SeqCst);
                }
            },
        )
        .list_changes()
        .tool::<change>()
        .build()
        .unwrap();
    let wire = Wire::shaken(server, json!({})).await;
    assert!(!stopped.load(Ordering::SeqCst));
    wire.close().await;
    assert!(stopped.load(Ordering::SeqCst), "`serve` ends after it");
}
