//! The steps of `tests/interop/README.md`, for servers that offer what it says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use futures_util::future::join_all;
use mcp_client::types::{
    CallToolRequestParams, CallToolResult, ClientRequest, ElicitAction, ElicitRequestParams,
    ElicitResult, Exchange, ExchangeService, InputRequest, Members, RawText, ServerResult,
};
use mcp_client::{Client, Error, text_of};
use serde_json::{Value, json};

use crate::offers;
use crate::report::Report;

const MESSAGE: &str = "hello \"wörld\" \u{2713}\n\u{1f642}";

pub(crate) async fn run<S: ExchangeService>(client: &Client<S>, report: &mut Report) {
    report.step("list_tools", list_tools(client)).await;
    report.step("echo", echo(client)).await;
    report.step("progress", progress(client)).await;
    report.step("unknown_tool", unknown_tool(client)).await;
    report
        .step("wrong_argument", refused_argument(client, json!({ "message": { "not": "text" } })))
        .await;
    report.step("missing_argument", refused_argument(client, json!({}))).await;
    report.step("elicitation", elicitation(client)).await;
    offers::run(client, report).await;
    report.step("at_once", at_once(client)).await;
    report.step("cancel", cancel(client)).await;
}

async fn list_tools<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let tools = client.all_tools().await?;
    for name in ["ask", "echo", "slow"] {
        ensure!(
            tools.iter().any(|tool| tool.name == name),
            "no `{name}` among {} tools",
            tools.len()
        );
    }
    let echo = tools.iter().find(|tool| tool.name == "echo").context("no `echo`")?;
    let schema: Value = echo.input_schema.text().parse()?;
    ensure!(schema.get("required") == Some(&json!(["message"])), "schema of `echo`: {schema}");
    Ok(tools.iter().map(|tool| tool.name.as_str()).collect())
}

async fn echo<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let result = client.call_tool("echo", &json!({ "message": MESSAGE })).await?;
    says(&result, &format!("echo: {MESSAGE}"))
}

async fn progress<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let call = client.tool_call("slow").arguments(&json!({ "steps": 3, "delay_ms": 100 }))?;
    let call = call.on_progress(move |report| {
        notes.lock().unwrap_or_else(PoisonError::into_inner).push((report.progress, report.total));
    });
    says(&call.send().await?, "slow done: 3")?;
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let wanted = [(1.0, Some(3.0)), (2.0, Some(3.0)), (3.0, Some(3.0))];
    ensure!(seen == wanted, "progress: {seen:?}");
    Ok(json!(seen))
}

async fn unknown_tool<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    refusal(client.call_tool("no_such_tool", &json!({})).await)
}

async fn refused_argument<S: ExchangeService>(
    client: &Client<S>,
    arguments: Value,
) -> anyhow::Result<Value> {
    let seen = refusal(client.call_tool("echo", &arguments).await)?;
    ensure!(seen.to_string().contains("message"), "the refusal does not name the argument: {seen}");
    Ok(seen)
}

/// Answers the server's question by sending the call once more, with the answer and the server's
/// own words. A legacy server's question arrives in the same form.
async fn elicitation<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let request = || ClientRequest::CallTool(CallToolRequestParams::new("ask"));
    let asked = match client.request(request()).await {
        Err(Error::InputRequired(asked)) => asked,
        other => bail!("nothing was asked: {other:?}"),
    };
    let mut again = Exchange::new(request());
    let (mut answers, mut questions) = (Members::new(), Vec::new());
    for (key, question) in asked.input_requests.unwrap_or_default() {
        let InputRequest::Elicit(ElicitRequestParams::Form(form)) = question else {
            bail!("not a form: {question:?}");
        };
        questions.push(form.message);
        let mut answer = ElicitResult::new(ElicitAction::Accept);
        answer.content = Some(BTreeMap::from([("name".into(), RawText::of("Ada")?)]));
        answers.insert(key, RawText::of(&answer)?);
    }
    again.context.input_responses = Some(answers);
    again.context.request_state = asked.request_state;
    let ServerResult::CallTool(result) = client.exchange(again).await? else {
        bail!("the answer is no result of a call");
    };
    says(&result, "hello Ada")?;
    ensure!(questions == ["What is your name?"], "asked: {questions:?}");
    Ok(json!(questions))
}

async fn at_once<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let calls = (0..50).map(|number| async move {
        let result = client.call_tool("echo", &json!({ "message": number.to_string() })).await?;
        says(&result, &format!("echo: {number}"))
    });
    for outcome in join_all(calls).await {
        outcome?;
    }
    Ok(Value::Null)
}

/// Gives up a call that would take fifty seconds; the connection must go on.
async fn cancel<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let arguments = json!({ "steps": 1000, "delay_ms": 50 });
    let call = client.call_tool("slow", &arguments);
    if let Ok(answer) = tokio::time::timeout(Duration::from_millis(500), call).await {
        bail!("the call ended by itself: {answer:?}");
    }
    echo(client).await
}

/// The text of a result that must be a success with exactly this text.
pub(crate) fn says(result: &CallToolResult, wanted: &str) -> anyhow::Result<Value> {
    let text = text_of(result);
    ensure!(result.is_error != Some(true), "the tool failed: {text}");
    ensure!(text == wanted, "`{text}` instead of `{wanted}`");
    Ok(Value::Null)
}

/// How a call is refused: as an error of the protocol or of the tool. Success is a failure here.
pub(crate) fn refusal(answer: Result<CallToolResult, Error>) -> anyhow::Result<Value> {
    match answer {
        Ok(result) if result.is_error == Some(true) => Ok(json!(["tool", text_of(&result)])),
        Ok(result) => bail!("the call succeeded: {}", text_of(&result)),
        Err(Error::Service(error)) => Ok(json!(["protocol", error.message])),
        Err(other) => Err(other.into()),
    }
}
