//! Calls: typed, with progress, refused.

use futures_executor::block_on;
use mcp_client::types::{
    CallToolResult, ClientRequest, CompleteReference, ContentBlock, ErrorObject, Implementation,
    Origin, Outcome, ProgressNotificationParams, PromptReference, RawText, ServerNotification,
    ServerResult, SubscriptionFilter,
};
use mcp_client::{Client, Error, structured};
use mcp_server::{Context, ToolError, server, tool};
use serde::Deserialize;

use crate::script::{Script, raw};

/// Counts to `n` and says so.
#[tool]
async fn count(cx: Context, n: u32) -> Result<Vec<u32>, ToolError> {
    for step in 1..=n {
        cx.progress(step, f64::from(n)).await;
    }
    if n > 100 { Err("too far".into()) } else { Ok((1..=n).collect()) }
}

/// Says who calls.
#[tool]
async fn caller(cx: Context) -> String {
    cx.request().client_info().map(|info| info.name).unwrap_or_default()
}

fn client() -> Client<impl mcp_client::types::ExchangeService> {
    Client::stack(server!().tool::<count>().tool::<caller>().build().unwrap())
}

#[test]
fn a_call_gives_a_value_of_the_callers_type() {
    let numbers: Vec<u32> = block_on(client().call("count", &serde_json::json!({"n": 3}))).unwrap();
    assert_eq!(numbers, [1, 2, 3]);
    let error = block_on(client().call::<_, Vec<String>>("count", &serde_json::json!({"n": 1})));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`structuredContent.result[0]`"), "{error}");
    let failed = block_on(client().call::<_, Vec<u32>>("count", &serde_json::json!({"n": 101})));
    assert!(matches!(failed, Err(Error::ToolFailed(text)) if text == "too far"));
}

#[test]
fn arguments_that_are_no_object_are_refused_before_anything_is_sent() {
    let script = Script::new(|_, _| Ok(Outcome::Complete(CallToolResult::text("").into_result())));
    let error = block_on(Client::new(script.clone()).call_tool("count", &[1, 2])).unwrap_err();
    assert!(matches!(error, Error::Arguments(_)) && error.to_string().contains("give a struct"));
    assert!(script.seen().is_empty());
}

trait IntoResult {
    fn into_result(self) -> ServerResult;
}

impl IntoResult for CallToolResult {
    fn into_result(self) -> ServerResult {
        ServerResult::CallTool(self)
    }
}

#[derive(Debug, Deserialize, PartialEq)]
struct Weather {
    degrees: f64,
}

#[test]
fn a_result_is_read_from_wherever_the_tool_put_it() {
    let mut result = CallToolResult::text(r#"{"degrees": 1.5}"#);
    assert_eq!(structured::<Weather>(&result).unwrap(), Weather { degrees: 1.5 });
    assert_eq!(structured::<String>(&result).unwrap(), r#"{"degrees": 1.5}"#);
    result.structured_content = Some(raw(r#"{"degrees":2.5}"#));
    assert_eq!(structured::<Weather>(&result).unwrap(), Weather { degrees: 2.5 });
    result.structured_content = Some(raw(r#"{"result":{"degrees":"warm"}}"#));
    let error = structured::<Weather>(&result).unwrap_err().to_string();
    assert!(error.contains("`structuredContent.result.degrees`"), "{error}");
    let prose = CallToolResult::new(vec![ContentBlock::text("it is warm")]);
    let error = structured::<Weather>(&prose).unwrap_err().to_string();
    assert!(error.contains("read it as a `String`"), "{error}");
}

#[test]
fn progress_is_a_stream_with_the_result_at_its_end() {
    block_on(async {
        let arguments = serde_json::json!({"n": 3});
        let mut call = client().tool_call("count").arguments(&arguments).unwrap().start();
        let mut steps = Vec::new();
        while let Some(report) = call.next_progress().await {
            steps.push((report.progress, report.total));
        }
        assert_eq!(steps, [(1.0, Some(3.0)), (2.0, Some(3.0)), (3.0, Some(3.0))]);
        assert_eq!(structured::<Vec<u32>>(&call.finish().await.unwrap()).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn progress_that_nobody_reads_does_not_hold_up_the_result() {
    let script = Script::with(|_, exchange| {
        Box::pin(async move {
            let token = exchange.context.progress_token.clone().unwrap();
            for step in 0..10_000 {
                let report = ProgressNotificationParams::new(f64::from(step), token.clone());
                exchange.notifier.notify(ServerNotification::Progress(report)).await.unwrap();
            }
            Ok(Outcome::Complete(CallToolResult::text("done").into_result()))
        })
    });
    block_on(async {
        let mut call = Client::new(script).tool_call("x").start();
        assert_eq!(call.next_progress().await.unwrap().progress, 0.0);
        assert_eq!(mcp_client::text_of(&call.finish().await.unwrap()), "done");
    });
}

#[test]
fn a_stacked_client_has_a_name() {
    let name: String = block_on(client().call("caller", &serde_json::json!({}))).unwrap();
    assert_eq!(name, "in-process client");
    let server = server!().tool::<caller>().build().unwrap();
    let named = Client::stack(server).service().clone().named(&Implementation::new("me", "1"));
    let name: String = block_on(Client::new(named).call("caller", &serde_json::json!({}))).unwrap();
    assert_eq!(name, "me");
}

#[test]
fn errors_say_what_the_caller_can_do() {
    let error = |origin, text: &str| {
        let error = ErrorObject::local(origin, text);
        let script = Script::new(move |_, _| Err(error.clone()));
        block_on(Client::new(script).discover()).unwrap_err()
    };
    assert!(error(Origin::Connection, "gone").is_worth_retrying());
    assert!(error(Origin::Timeout, "late").is_worth_retrying());
    assert!(!error(Origin::Refused, "no").is_worth_retrying());
    let script = Script::new(|_, _| Err(ErrorObject::method_not_found("prompts/list")));
    let error = block_on(Client::new(script).list_prompts(None)).unwrap_err().to_string();
    assert!(error.ends_with("; `discover` tells what the server can do"), "{error}");
}

#[test]
fn each_method_sends_its_request() {
    let script =
        Script::new(|_, exchange| Err(ErrorObject::method_not_found(exchange.request.method())));
    let client = Client::new(script.clone());
    block_on(async {
        let none: [(&str, &str); 0] = [];
        let prompt = || CompleteReference::Prompt(PromptReference::new("p"));
        client.discover().await.unwrap_err();
        client.list_tools(Some("c".into())).await.unwrap_err();
        client.list_prompts(None).await.unwrap_err();
        client.list_resources(None).await.unwrap_err();
        client.list_resource_templates(None).await.unwrap_err();
        client.read_resource("file:///a").await.unwrap_err();
        client.get_prompt("p", [("a", "b")]).await.unwrap_err();
        client.get_prompt("p", none).await.unwrap_err();
        client.complete(prompt(), "x", "ty", [("a", "b")]).await.unwrap_err();
        client.complete(prompt(), "x", "ty", none).await.unwrap_err();
        client.subscribe(SubscriptionFilter::new()).next_change().await.unwrap_err();
        client.call_tool("t", &serde_json::json!({"a": 1})).await.unwrap_err();
    });
    let sent: Vec<String> = script
        .seen()
        .iter()
        .map(|exchange| {
            let params = match &exchange.request {
                ClientRequest::ListTools(params) => RawText::of(params),
                ClientRequest::ReadResource(params) => RawText::of(params),
                ClientRequest::GetPrompt(params) => RawText::of(params),
                ClientRequest::Complete(params) => RawText::of(params),
                ClientRequest::CallTool(params) => RawText::of(params),
                _ => RawText::of(""),
            };
            format!("{} {}", exchange.request.method(), params.unwrap())
        })
        .collect();
    assert_eq!(
        sent,
        [
            r#"server/discover """#,
            r#"tools/list {"cursor":"c"}"#,
            r#"prompts/list """#,
            r#"resources/list """#,
            r#"resources/templates/list """#,
            r#"resources/read {"uri":"file:///a"}"#,
            r#"prompts/get {"name":"p","arguments":{"a":"b"}}"#,
            r#"prompts/get {"name":"p"}"#,
            r#"completion/complete {"argument":{"name":"x","value":"ty"},"context":{"arguments":{"a":"b"}},"ref":{"type":"ref/prompt","name":"p"}}"#,
            r#"completion/complete {"argument":{"name":"x","value":"ty"},"ref":{"type":"ref/prompt","name":"p"}}"#,
            r#"subscriptions/listen """#,
            r#"tools/call {"name":"t","arguments":{"a":1}}"#,
        ]
    );
}
