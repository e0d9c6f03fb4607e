//! Tools: all kinds of content, errors, progress, logging, headers, changes.

use std::time::Duration;

use mcp_server::types::{
    AudioContent, BlobResourceContents, CallToolResult, ContentBlock, EmbeddedResource,
    ImageContent, JsonSchema, LoggingLevel, RawText, ResourceContents, TextResourceContents, Tool,
};
use mcp_server::{Context, ServerBuilder, ToolError, tool};
use mcp_transport::http::server::AnswerStream;

/// A red dot, as PNG.
pub(crate) const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";

/// A short silence, as WAV.
const WAV: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==";

/// Gives a line of text.
#[tool]
async fn test_simple_text() -> &'static str {
    "This is a simple text response for testing."
}

/// Gives an image.
#[tool]
async fn test_image_content() -> ImageContent {
    ImageContent::new(PNG, "image/png")
}

/// Gives a sound.
#[tool]
async fn test_audio_content() -> AudioContent {
    AudioContent::new(WAV, "audio/wav")
}

fn embedded(uri: &str, text: &str) -> EmbeddedResource {
    let mut contents = TextResourceContents::new(text, uri);
    contents.mime_type = Some("text/plain".into());
    EmbeddedResource::new(ResourceContents::Text(contents))
}

/// Gives a resource inside the result.
#[tool]
async fn test_embedded_resource() -> EmbeddedResource {
    embedded("test://embedded-resource", "This is an embedded resource content.")
}

/// Gives text, an image and resources together.
#[tool]
async fn test_multiple_content_types() -> Vec<ContentBlock> {
    let mut blob = BlobResourceContents::new(PNG, "test://mixed-binary");
    blob.mime_type = Some("image/png".into());
    vec![
        ContentBlock::text("Multiple content types test:"),
        ContentBlock::image(PNG, "image/png"),
        ContentBlock::Resource(embedded("test://mixed-content-resource", "mixed")),
        ContentBlock::Resource(EmbeddedResource::new(ResourceContents::Blob(blob))),
    ]
}

/// Always fails.
#[tool]
async fn test_error_handling() -> Result<String, ToolError> {
    Err("This tool intentionally returns an error for testing".into())
}

/// Reports progress three times.
#[tool]
async fn test_tool_with_progress(cx: Context) -> &'static str {
    for (done, message) in [(0, "started"), (50, "half way"), (100, "done")] {
        cx.progress_with(done, 100.0, message).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    "The work is done."
}

async fn log_three_times(cx: &Context) -> &'static str {
    for line in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
        cx.log(LoggingLevel::Info, line).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    "Logged three lines."
}

/// Logs three lines.
#[tool]
async fn test_tool_with_logging(cx: Context) -> &'static str {
    log_three_times(&cx).await
}

/// Logs three lines, if the request says that it wants them.
#[tool]
async fn test_logging_tool(cx: Context) -> &'static str {
    log_three_times(&cx).await
}

/// Ends its stream before it is done, so that the client has to come back for the rest.
#[tool]
async fn test_reconnection(cx: Context) -> &'static str {
    if let Some(stream) = cx.extension::<AnswerStream>() {
        stream.close(Duration::from_millis(500));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    "Reconnection test completed successfully."
}

/// Announces that the list of tools changed.
#[tool]
async fn test_trigger_tool_change(cx: Context) -> &'static str {
    cx.changes().tool_list_changed();
    "The change of the tools was announced."
}

/// Announces that the list of prompts changed.
#[tool]
async fn test_trigger_prompt_change(cx: Context) -> &'static str {
    cx.changes().prompt_list_changed();
    "The change of the prompts was announced."
}

const SCHEMA_2020_12: &str = r##"{
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } }
        }
    },
    "properties": {
        "name": { "type": "string" },
        "address": { "$ref": "#/$defs/address" },
        "contactMethod": { "type": "string", "enum": ["phone", "email"] },
        "phone": { "type": "string" },
        "email": { "type": "string" }
    },
    "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
    "if": {
        "properties": { "contactMethod": { "const": "phone" } },
        "required": ["contactMethod"]
    },
    "then": { "required": ["phone"] },
    "else": { "required": ["email"] },
    "additionalProperties": false
}"##;

const CUSTOM_HEADER: &str = r#"{
    "type": "object",
    "properties": {
        "value": { "type": "string", "x-mcp-header": "Value", "description": "Mirrored in a header." }
    }
}"#;

/// A tool whose schema is written by hand.
fn by_hand(name: &str, description: &str, schema: &str) -> Tool {
    let schema = RawText::new(schema).and_then(JsonSchema::new);
    let mut tool = Tool::new(name, schema.unwrap_or_else(|_| JsonSchema::empty_object()));
    tool.description = Some(description.to_owned());
    tool
}

/// Adds all of these. The first one needs no arguments, because the suite calls it with none.
pub(crate) fn add(server: ServerBuilder) -> ServerBuilder {
    let schema = by_hand("json_schema_2020_12_tool", "Shows a schema.", SCHEMA_2020_12);
    let header = by_hand("test_custom_header", "Mirrors an argument.", CUSTOM_HEADER);
    server
        .tool::<test_simple_text>()
        .tool::<test_image_content>()
        .tool::<test_audio_content>()
        .tool::<test_embedded_resource>()
        .tool::<test_multiple_content_types>()
        .tool::<test_error_handling>()
        .tool::<test_tool_with_progress>()
        .tool::<test_tool_with_logging>()
        .tool::<test_logging_tool>()
        .tool::<test_reconnection>()
        .tool::<test_trigger_tool_change>()
        .tool::<test_trigger_prompt_change>()
        .tool_fn(schema, async |_, given: RawText| CallToolResult::text(given.get()))
        .tool_fn(header, async |_, given: RawText| CallToolResult::text(given.get()))
}
