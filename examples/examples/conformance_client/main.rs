//! Our client under the official conformance suite: `conformance_client URL`.
//!
//! The suite names the scenario, the revision and what the scenario needs in the environment
//! (`MCP_CONFORMANCE_SCENARIO`, `_PROTOCOL_VERSION`, `_CONTEXT`).

use std::env;
use std::sync::Arc;

use anyhow::Context as _;
use mcp_client::types::{
    ClientCapabilitiesElicitation, ExchangeService, Implementation, JsonSchema, RawText,
};
use mcp_client::{Client, InputLayer, Inputs};
use mcp_transport::Era;
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use serde::{Deserialize, Serialize};

mod login;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let url = env::args().next_back().context("say where the server is")?;
    let scenario = env::var("MCP_CONFORMANCE_SCENARIO").unwrap_or_default();
    let mut options = HttpConnectOptions::new(Implementation::new(
        "conformance_client",
        env!("CARGO_PKG_VERSION"),
    ));
    // The modern era is what a client of ours finds by itself.
    if env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").is_ok_and(|version| version.starts_with("2025"))
    {
        options.config.era = Some(Era::Legacy);
    }
    if scenario.starts_with("auth/") {
        options.authorize = Some(Arc::new(login::client(&url, &scenario).await?));
    }
    options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
    let connection = connect_http_with(&url, options)?;
    let inputs = Inputs::new().elicit(async |form| form.accept_with_defaults());
    let client = Client::new(connection.clone()).layer(InputLayer::new(inputs));
    let done = play(&scenario, &client).await;
    connection.close().await;
    done
}

#[derive(Serialize)]
struct Summands {
    a: f64,
    b: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    tool_calls: Vec<ToolCall>,
}

#[derive(Deserialize)]
struct ToolCall {
    name: String,
    arguments: RawText,
}

#[derive(Serialize)]
struct Echo {
    schema: JsonSchema,
}

async fn play<S: ExchangeService>(scenario: &str, client: &Client<S>) -> anyhow::Result<()> {
    let tools = client.all_tools().await?;
    let nothing = RawText::new("{}")?;
    match scenario {
        "tools_call" => {
            client.call_tool("add_numbers", &Summands { a: 5.0, b: 3.0 }).await?;
        }
        "http-standard-headers" => {
            for tool in &tools {
                client.call_tool(&tool.name, &nothing).await?;
            }
            for resource in client.all_resources().await? {
                client.read_resource(&resource.uri).await?;
            }
            client.read_resource("file:///path/to/file%20name.txt").await?;
            for prompt in client.all_prompts().await? {
                client.get_prompt(&prompt.name, [("", ""); 0]).await?;
            }
        }
        "http-custom-headers" => {
            let context = env::var("MCP_CONFORMANCE_CONTEXT")?;
            for call in serde_json::from_str::<Asked>(&context)?.tool_calls {
                client.call_tool(&call.name, &call.arguments).await?;
            }
        }
        "json-schema-2020-12-preservation" => {
            let tool = tools.iter().find(|tool| tool.name == "json_schema_2020_12_tool");
            let schema = tool.context("the tool is not listed")?.input_schema.clone();
            client.call_tool("json_schema_echo", &Echo { schema }).await?;
        }
        "auth/scope-step-up"
        | "auth/authorization-server-migration"
        | "auth/dpop"
        | "auth/dpop-nonce" => {
            client.call_tool("test-tool", &nothing).await?;
        }
        // Each tool that is listed, and was not left out, is called.
        "elicitation-sep1034-client-defaults"
        | "sse-retry"
        | "sep-2322-client-request-state"
        | "http-invalid-tool-headers" => {
            for tool in &tools {
                client.call_tool(&tool.name, &nothing).await?;
            }
        }
        // What there is to see was seen in the first requests.
        _ => {}
    }
    Ok(())
}
