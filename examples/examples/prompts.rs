//! Messages that a user picks and fills in: text, a conversation, arguments with completion.
//!
//! `prompts` serves standard streams, and `prompts show NAME [ARGUMENT=VALUE...]` is a client that
//! starts this program and prints one prompt.

use anyhow::Context as _;
use mcp_client::Client;
use mcp_client::types::{ContentBlock, Implementation};
use mcp_server::types::PromptMessage;
use mcp_server::{completion, prompt, server};
use mcp_transport::LimitsLayer;
use mcp_transport::process::Command;
use tower_layer::Layer as _;

/// Asks for a review of code.
#[prompt(title = "Code Review")]
async fn review_code(
    /// What is to be reviewed.
    code: String,
    /// In which language it is written.
    #[arg(complete = languages)]
    language: Option<String>,
) -> String {
    let language = language.unwrap_or_default();
    format!("Please review this code:\n\n```{language}\n{code}\n```")
}

#[completion]
fn languages(typed: String) -> Vec<&'static str> {
    let all = ["c", "go", "java", "python", "rust", "ruby", "typescript"];
    all.into_iter().filter(|name| name.starts_with(&typed)).collect()
}

/// Begins a conversation about an error.
#[prompt(title = "Debug Assistant")]
async fn debug_error(error: String) -> Vec<PromptMessage> {
    vec![
        PromptMessage::user("I'm seeing this error:"),
        PromptMessage::user(error),
        PromptMessage::assistant("I'll help debug that. What have you tried so far?"),
    ]
}

/// Creates a prompt from a message.
#[prompt]
async fn echo_prompt(message: String) -> String {
    format!("Please process this message: {message}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some("show") {
        let name = words.next().context("say which prompt: `prompts show review_code code=1+1`")?;
        return show(&name, words).await;
    }
    let server = server!()
        .prompt::<review_code>()
        .prompt::<debug_error>()
        .prompt::<echo_prompt>()
        .build()?;
    Ok(mcp_transport::serve(LimitsLayer::new().layer(server), mcp_transport::stdio()?).await?)
}

async fn show(name: &str, arguments: impl Iterator<Item = String>) -> anyhow::Result<()> {
    let arguments = arguments.map(|word| {
        let (name, value) = word.split_once('=').context("an argument is `NAME=VALUE`")?;
        Ok((name.to_owned(), value.to_owned()))
    });
    let arguments = arguments.collect::<anyhow::Result<Vec<_>>>()?;
    let io = Command::new(std::env::current_exe()?).spawn()?;
    let client = Client::new(mcp_transport::connect(io, Implementation::new("show", "1.0.0")));
    for message in client.get_prompt(name, arguments).await?.messages {
        match &message.content {
            ContentBlock::Text(text) => println!("{:?}: {}", message.role, text.text),
            other => println!("{:?}: {other:?}", message.role),
        }
    }
    client.service().close().await;
    Ok(())
}
