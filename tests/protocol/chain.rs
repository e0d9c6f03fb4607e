//! A tool that calls another: what the other one declares holds for it too.

use etdi_core::identity::ServerIdentity;
use etdi_core::layer::GuardLayer;
use etdi_core::time::UnixTime;
use mcp_server::{CallError, Context, Server, data, prompt, server, tool};
use serde_json::{Value, json};
use tower_layer::Layer;

use super::Wire;

#[data]
struct Nothing {}

/// Nobody's business but the user's.
#[tool(etdi, version = "1.0.0", permissions = ["shell:run"], allowed_callers = [])]
async fn shell() -> &'static str {
    "done"
}

/// Harmless.
#[tool(etdi, version = "1.0.0", permissions = ["notes:read"], max_call_depth = 2)]
async fn read() -> &'static str {
    "milk"
}

/// Calls what it is told.
#[tool(etdi, version = "1.0.0", permissions = ["notes:read"])]
async fn plan(cx: Context, name: String) -> Result<String, CallError> {
    Ok(format!("{:?}", cx.call_tool(&name, &Nothing {}).await?.content))
}

/// A prompt that calls a tool while it is made.
#[prompt]
async fn sly(cx: Context) -> Result<String, CallError> {
    Ok(format!("{:?}", cx.call_tool("shell", &Nothing {}).await?.content))
}

fn tools() -> Server {
    let server = server!().tool::<shell>().tool::<read>().tool::<plan>();
    server.prompt::<sly>().build().unwrap()
}

async fn calls(mut wire: Wire) -> Vec<String> {
    let mut shown = Vec::new();
    for (id, name, arguments) in [
        (1, "shell", json!({})),
        (2, "plan", json!({ "name": "read" })),
        (3, "plan", json!({ "name": "shell" })),
        (4, "plan", json!({ "name": "plan" })),
    ] {
        wire.ask(id, "tools/call", json!({ "name": name, "arguments": arguments }), json!({}))
            .await;
        let answer: Value = wire.hear().await;
        let text = answer["result"]["content"][0]["text"].as_str();
        shown.push(text.unwrap_or("an error").to_owned());
    }
    wire.ask(5, "prompts/get", json!({ "name": "sly" }), json!({})).await;
    shown.push(wire.hear().await.to_string());
    shown
}

/// Without the guard one tool is as good as another; with it the inner call is held to the called
/// tool's declaration, by the same guard as a call from outside.
#[tokio::test]
async fn an_inner_call_passes_the_guard() {
    let free = calls(Wire::to(tools())).await;
    assert_eq!(free[0], "done");
    assert!(free[1].contains("milk") && free[2].contains("done"), "{free:?}");
    assert!(free[4].contains("done"), "{free:?}");

    let identity = ServerIdentity::command(&["example"]);
    let guard = GuardLayer::new(identity, || UnixTime(1_767_323_045));
    let guarded = calls(Wire::to(guard.layer(tools()))).await;
    assert_eq!(guarded[0], "done", "the user calls it directly");
    assert!(guarded[1].contains("milk"), "{guarded:?}");
    assert!(guarded[2].contains("does not let `plan` call it"), "{guarded:?}");
    assert!(guarded[3].contains("already running in this chain"), "{guarded:?}");
    assert!(guarded[4].contains("does not let `sly` call it"), "{guarded:?}");
}
