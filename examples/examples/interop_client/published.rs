//! Servers as others publish them.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, ensure};
use mcp_client::types::{ContentBlock, ExchangeService};
use mcp_client::{Client, text_of};
use serde_json::{Value, json};

use crate::contract::{refusal, says};
use crate::report::Report;

/// `@modelcontextprotocol/server-everything`.
pub(crate) async fn everything<S: ExchangeService>(client: &Client<S>, report: &mut Report) {
    report.step("list_tools", list(client, &["echo", "get-sum", "get-tiny-image"])).await;
    report.step("echo", says_back(client)).await;
    report.step("sum", sum(client)).await;
    report.step("structured", structured(client)).await;
    report.step("image", image(client)).await;
    report.step("progress", progress(client)).await;
    report.step("wrong_argument", wrong_argument(client)).await;
    report.step("unknown_tool", unknown_tool(client)).await;
}

/// `@modelcontextprotocol/server-filesystem` on a folder that holds `greeting.txt`.
pub(crate) async fn filesystem<S: ExchangeService>(client: &Client<S>, report: &mut Report) {
    report.step("list_tools", list(client, &["read_text_file", "list_directory"])).await;
    report.step("list_directory", list_directory(client)).await;
    report.step("read_text_file", read_text_file(client)).await;
    report.step("outside", outside(client)).await;
    report.step("unknown_tool", unknown_tool(client)).await;
}

async fn list<S: ExchangeService>(client: &Client<S>, wanted: &[&str]) -> anyhow::Result<Value> {
    let tools = client.all_tools().await?;
    for name in wanted {
        ensure!(
            tools.iter().any(|tool| tool.name == *name),
            "no `{name}` among {} tools",
            tools.len()
        );
    }
    Ok(tools.iter().map(|tool| tool.name.as_str()).collect())
}

async fn says_back<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    says(&client.call_tool("echo", &json!({ "message": "wörld" })).await?, "Echo: wörld")
}

async fn sum<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let text = text_of(&client.call_tool("get-sum", &json!({ "a": 2, "b": 3.5 })).await?);
    ensure!(text.contains("5.5"), "the sum of 2 and 3.5: {text}");
    Ok(text.into())
}

async fn structured<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let result =
        client.call_tool("get-structured-content", &json!({ "location": "Chicago" })).await?;
    let data: Value = mcp_client::structured(&result)?;
    ensure!(data.get("temperature").is_some_and(Value::is_number), "the weather: {data}");
    Ok(data)
}

async fn image<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let result = client.call_tool("get-tiny-image", &json!({})).await?;
    let mut blocks = result.content.iter();
    let image = blocks.find_map(|block| match block {
        ContentBlock::Image(image) => Some(image),
        _ => None,
    });
    let image = image.context("no image among the content")?;
    ensure!(image.mime_type == "image/png" && !image.data.is_empty(), "the image: {image:?}");
    Ok(json!({ "type": image.mime_type, "characters": image.data.len() }))
}

async fn progress<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let call = client.tool_call("trigger-long-running-operation");
    let call = call.arguments(&json!({ "duration": 1, "steps": 4 }))?.on_progress(move |report| {
        notes.lock().unwrap_or_else(PoisonError::into_inner).push(report.progress);
    });
    let text = text_of(&call.send().await?);
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    ensure!(seen == [1.0, 2.0, 3.0, 4.0], "progress: {seen:?}");
    Ok(json!({ "text": text, "progress": seen }))
}

async fn wrong_argument<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    refusal(client.call_tool("get-sum", &json!({ "a": "two", "b": 3 })).await)
}

async fn unknown_tool<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    refusal(client.call_tool("no_such_tool", &json!({})).await)
}

/// The one folder that the server may see.
async fn folder<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<String> {
    let text = text_of(&client.call_tool("list_allowed_directories", &json!({})).await?);
    let folder = text.lines().find(|line| line.starts_with('/'));
    Ok(folder.with_context(|| format!("no folder in `{text}`"))?.to_owned())
}

async fn list_directory<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let path = folder(client).await?;
    let text = text_of(&client.call_tool("list_directory", &json!({ "path": path })).await?);
    ensure!(text.contains("greeting.txt"), "the folder holds: {text}");
    Ok(text.into())
}

async fn read_text_file<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let path = format!("{}/greeting.txt", folder(client).await?);
    let result = client.call_tool("read_text_file", &json!({ "path": path })).await?;
    says(&result, "hello from a file\n")
}

async fn outside<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    refusal(client.call_tool("read_text_file", &json!({ "path": "/etc/hostname" })).await)
}
