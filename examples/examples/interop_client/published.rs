//! Servers as others publish them.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_client::types::{ContentBlock, ExchangeService, ResourceContents};
use mcp_client::{Client, text_of};
use serde_json::{Value, json};

use crate::contract::{refusal, says};
use crate::offers::{
    asks, list_prompts, list_resources, list_templates, refused_prompt, text_at, unknown_resource,
};
use crate::report::Report;

const FEATURES: &str = "demo://resource/static/document/features.md";
const TEXTS: &str = "demo://resource/dynamic/text/{resourceId}";
const BLOBS: &str = "demo://resource/dynamic/blob/{resourceId}";

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
    report.step("list_resources", list_resources(client, &[FEATURES])).await;
    report.step("list_templates", list_templates(client, &[TEXTS, BLOBS])).await;
    report.step("read_resource", read_resource(client)).await;
    report.step("read_template", read_template(client)).await;
    report.step("read_blob", read_blob(client)).await;
    report.step("unknown_resource", unknown_resource(client, "demo://nothing")).await;
    report.step("list_prompts", list_prompts(client, &["simple-prompt", "args-prompt"])).await;
    report.step("get_prompt", get_prompt(client)).await;
    report.step("prompt_without_argument", refused_prompt(client, "args-prompt")).await;
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

async fn read_resource<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let content = text_at(client, FEATURES).await?;
    ensure!(content.mime_type.as_deref() == Some("text/markdown"), "{:?}", content.mime_type);
    ensure!(content.text.contains("args-prompt"), "the document: {}", content.text);
    Ok(content.text.len().into())
}

async fn read_template<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let content = text_at(client, &TEXTS.replace("{resourceId}", "7")).await?;
    ensure!(content.text.starts_with("Resource 7: "), "the resource: {}", content.text);
    Ok(content.text.into())
}

async fn read_blob<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let result = client.read_resource(&BLOBS.replace("{resourceId}", "7")).await?;
    let [ResourceContents::Blob(content)] = result.contents.as_slice() else {
        bail!("not one blob: {:?}", result.contents);
    };
    let bytes = STANDARD.decode(content.blob.as_bytes()).map_err(anyhow::Error::msg)?;
    let text = String::from_utf8(bytes)?;
    ensure!(text.starts_with("Resource 7: "), "the resource: {text}");
    Ok(text.into())
}

async fn get_prompt<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    let none: [(&str, &str); 0] = [];
    let simple = client.get_prompt("simple-prompt", none).await?;
    asks(&simple, "This is a simple prompt without arguments.")?;
    let arguments = [("city", "Zürich"), ("state", "ZH")];
    asks(&client.get_prompt("args-prompt", arguments).await?, "What's weather in Zürich, ZH?")
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
