//! Resources, templates, prompts and completions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_server::types::{
    ContentBlock, EmbeddedResource, PromptMessage, ResourceContents, TextResourceContents,
};
use mcp_server::{Context, ServerBuilder, ToolError, completion, data, prompt, resource};

use crate::tools::PNG;

/// A text that never changes.
#[resource("test://static-text", mime_type = "text/plain")]
async fn static_text() -> &'static str {
    "This is the content of the static text resource."
}

/// A red dot.
#[resource("test://static-binary", mime_type = "image/png")]
async fn static_binary() -> Result<Vec<u8>, ToolError> {
    Ok(STANDARD.decode(PNG)?)
}

/// A text that a client may watch.
#[resource("test://watched-resource", mime_type = "text/plain")]
async fn watched_resource() -> &'static str {
    "Watched resource content."
}

/// Data of one id.
#[resource("test://template/{id}/data", mime_type = "application/json")]
async fn template_data(#[arg(complete = ids)] id: String) -> String {
    format!(r#"{{"id":"{id}","data":"Data for ID: {id}"}}"#)
}

/// Ids that there are data for.
#[completion]
async fn ids(typed: String) -> Vec<String> {
    ["1", "12", "123"].into_iter().filter(|id| id.starts_with(&typed)).map(str::to_owned).collect()
}

/// A prompt without arguments.
#[prompt]
async fn test_simple_prompt() -> &'static str {
    "This is a simple prompt for testing."
}

/// A prompt with two arguments.
#[prompt]
async fn test_prompt_with_arguments(
    /// The first argument.
    #[arg(complete = words)]
    arg1: String,
    /// The second argument.
    arg2: String,
) -> String {
    format!("Prompt with arguments: arg1='{arg1}', arg2='{arg2}'")
}

/// Words for the first argument.
#[completion]
async fn words(typed: String) -> Vec<String> {
    let all = ["paris", "park", "party", "test"];
    all.into_iter().filter(|word| word.starts_with(&typed)).map(str::to_owned).collect()
}

/// A prompt with a resource inside.
#[prompt(name = "test_prompt_with_embedded_resource")]
async fn embedded_resource(
    /// Which resource.
    #[arg(name = "resourceUri")]
    resource_uri: String,
) -> [PromptMessage; 2] {
    let mut contents = TextResourceContents::new("Embedded resource content.", resource_uri);
    contents.mime_type = Some("text/plain".into());
    let resource = EmbeddedResource::new(ResourceContents::Text(contents));
    [
        PromptMessage::user(ContentBlock::Resource(resource)),
        PromptMessage::user("Please process the embedded resource above."),
    ]
}

/// A prompt with an image.
#[prompt]
async fn test_prompt_with_image() -> [PromptMessage; 2] {
    [
        PromptMessage::user(ContentBlock::image(PNG, "image/png")),
        PromptMessage::user("Please analyze the image above."),
    ]
}

#[data]
struct Subject {
    context: String,
}

/// A prompt that asks before it says anything.
#[prompt]
async fn test_input_required_result_prompt(cx: Context) -> Result<String, ToolError> {
    let answer = cx.elicit::<Subject>("user_context", "What context should the prompt use?")?;
    let context = answer.accepted().map_or_else(|| "none".to_owned(), |form| form.context);
    Ok(format!("Use this context: {context}"))
}

/// Adds all of these.
pub(crate) fn add(server: ServerBuilder) -> ServerBuilder {
    server
        .resource::<static_text>()
        .resource::<static_binary>()
        .resource::<watched_resource>()
        .resource::<template_data>()
        .prompt::<test_simple_prompt>()
        .prompt::<test_prompt_with_arguments>()
        .prompt::<embedded_resource>()
        .prompt::<test_prompt_with_image>()
        .prompt::<test_input_required_result_prompt>()
        .resource_updates()
}
