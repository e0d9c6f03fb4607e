//! A tool that asks, on the wire, in both eras: the same function, the same answers.

use mcp_server::{Context, Elicited, Server, ToolError, data, server, tool};
use serde_json::{Value, json};

use super::Wire;

#[data]
struct Guest {
    name: String,
}

/// Books a place, after it has been paid for.
#[tool]
async fn book(cx: Context) -> Result<String, ToolError> {
    let receipt: u64 = cx.once("pay", async || Ok::<_, ToolError>(7)).await?;
    let guest = cx.elicit::<Guest>("guest", "Who comes?");
    let page = cx.elicit_url("page", "Please log in.", "https://example.com/login");
    let (guest, page) = cx.all((guest, page))?;
    match guest {
        Elicited::Accepted(guest) => Ok(format!("{} {receipt} {page:?}", guest.name)),
        Elicited::Declined | Elicited::Cancelled => Ok("nobody".into()),
    }
}

fn server() -> Server {
    server!().tool::<book>().build().unwrap()
}

fn can() -> Value {
    json!({ "elicitation": { "form": {}, "url": {} } })
}

#[tokio::test]
async fn a_client_with_a_handshake_is_asked_by_requests() {
    let mut wire = Wire::shaken(server(), can()).await;
    wire.say(json!({ "id": 1, "method": "tools/call", "params": { "name": "book" } })).await;
    let (form, page) = (wire.hear().await, wire.hear().await);
    assert_eq!(form["params"]["requestedSchema"]["required"], json!(["name"]));
    assert_eq!(page["params"]["mode"], "url");
    assert!(page["params"]["elicitationId"].is_string(), "this era names the page: {page}");
    let answer = json!({ "action": "accept" });
    wire.say(json!({ "id": page["id"], "result": answer })).await;
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    wire.say(json!({ "id": form["id"], "result": answer })).await;
    assert_eq!(wire.hear().await["result"]["content"][0]["text"], "Ada 7 Accepted(())");
}

#[tokio::test]
async fn a_client_without_one_comes_back_with_the_answers() {
    let mut wire = Wire::to(server());
    let params = json!({ "name": "book" });
    wire.ask(1, "tools/call", params.clone(), can()).await;
    let asked = wire.hear().await["result"].clone();
    assert_eq!(asked["resultType"], "input_required");
    let mut params = params;
    params["inputResponses"] = json!({
        "guest": { "action": "accept", "content": { "name": "Ada" } },
        "page": { "action": "cancel" },
    });
    let state = asked["requestState"].as_str().unwrap();
    params["requestState"] = format!("{state}-TAMPERED").into();
    wire.ask(2, "tools/call", params.clone(), can()).await;
    assert_eq!(wire.hear().await["error"]["code"], -32602);
    params["requestState"] = state.into();
    wire.ask(3, "tools/call", params, can()).await;
    assert_eq!(wire.hear().await["result"]["content"][0]["text"], "Ada 7 Cancelled");
}

#[tokio::test]
async fn what_a_client_cannot_do_it_is_told() {
    let mut wire = Wire::to(server());
    let forms = json!({ "elicitation": {} });
    wire.ask(1, "tools/call", json!({ "name": "book" }), forms).await;
    let error = wire.hear().await["error"].clone();
    assert_eq!(error["code"], -32021);
    assert_eq!(error["data"], json!({ "requiredCapabilities": { "elicitation": { "url": {} } } }));
}
