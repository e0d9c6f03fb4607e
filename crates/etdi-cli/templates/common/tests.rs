//! The server as its clients see it, in one process and without a transport.

use mcp_client::Client;
use mcp_client::types::{ContentBlock, ResourceContents};
use serde_json::json;

type Tested = Result<(), Box<dyn std::error::Error>>;

#[tokio::test]
async fn it_adds() -> Tested {
    let client = Client::stack({{crate}}::build()?);
    let sum: f64 = client.call("add", &json!({ "a": 1, "b": 2 })).await?;
    assert_eq!(sum, 3.0);
    let wrong = client.call_tool("add", &json!({ "a": "one", "b": 2 })).await?;
    assert_eq!(wrong.is_error, Some(true));
    Ok(())
}

#[tokio::test]
async fn it_greets() -> Tested {
    let client = Client::stack({{crate}}::build()?);
    let read = client.read_resource("greeting://Ada").await?;
    let said = match read.contents.first() {
        Some(ResourceContents::Text(text)) => text.text.clone(),
        other => return Err(format!("no text: {other:?}").into()),
    };
    assert_eq!(said, "Hello, Ada!");
    Ok(())
}

#[tokio::test]
async fn it_asks_for_a_review() -> Tested {
    let client = Client::stack({{crate}}::build()?);
    let prompt = client.get_prompt("review", [("code", "fn main() {}")]).await?;
    let said = prompt.messages.first().map(|message| &message.content);
    assert!(matches!(said, Some(ContentBlock::Text(text)) if text.text.contains("fn main")));
    Ok(())
}
