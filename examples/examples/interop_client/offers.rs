//! The steps of `tests/interop/README.md` about resources, templates and prompts.

use anyhow::{Context as _, bail, ensure};
use mcp_client::types::{
    ContentBlock, ExchangeService, GetPromptResult, ResourceContents, Role, TextResourceContents,
};
use mcp_client::{Client, Error};
use serde_json::{Value, json};

use crate::report::Report;

const STATIC: &str = "interop://static";
const TEMPLATE: &str = "interop://greeting/{name}";

pub(crate) async fn run<S: ExchangeService>(client: &Client<S>, report: &mut Report) {
    report.step("list_resources", list_resources(client, &[STATIC])).await;
    report.step("list_templates", list_templates(client, &[TEMPLATE])).await;
    report.step("read_resource", read(client, STATIC, "static text")).await;
    report.step("read_template", read_template(client)).await;
    report.step("unknown_resource", unknown_resource(client, "interop://nothing")).await;
    report.step("list_prompts", list_prompts(client, &["greet"])).await;
    report.step("get_prompt", get_prompt(client)).await;
    report.step("prompt_without_argument", refused_prompt(client, "greet")).await;
    report.step("unknown_prompt", refused_prompt(client, "no_such_prompt")).await;
}

/// All resources; `wanted` are URIs that must be among them.
pub(crate) async fn list_resources<S: ExchangeService>(
    client: &Client<S>,
    wanted: &[&str],
) -> anyhow::Result<Value> {
    let resources = client.all_resources().await?;
    holds(resources.iter().map(|resource| resource.uri.as_str()), wanted)
}

/// All templates; `wanted` must be among them.
pub(crate) async fn list_templates<S: ExchangeService>(
    client: &Client<S>,
    wanted: &[&str],
) -> anyhow::Result<Value> {
    let templates = client.all_resource_templates().await?;
    holds(templates.iter().map(|template| template.uri_template.as_str()), wanted)
}

/// All prompts; `wanted` are names that must be among them. One named `greet` takes one `name`.
pub(crate) async fn list_prompts<S: ExchangeService>(
    client: &Client<S>,
    wanted: &[&str],
) -> anyhow::Result<Value> {
    let prompts = client.all_prompts().await?;
    if let Some(greet) = prompts.iter().find(|prompt| prompt.name == "greet") {
        let arguments = greet.arguments.as_deref().unwrap_or_default();
        let takes: Vec<_> =
            arguments.iter().map(|taken| (taken.name.as_str(), taken.required)).collect();
        ensure!(takes == [("name", Some(true))], "`greet` takes {takes:?}");
    }
    holds(prompts.iter().map(|prompt| prompt.name.as_str()), wanted)
}

fn holds<'a>(found: impl Iterator<Item = &'a str>, wanted: &[&str]) -> anyhow::Result<Value> {
    let found: Vec<&str> = found.collect();
    for name in wanted {
        ensure!(found.contains(name), "no `{name}` among {found:?}");
    }
    Ok(json!(found))
}

/// What a resource holds; it must be one text, said to come from where it was asked.
pub(crate) async fn text_at<S: ExchangeService>(
    client: &Client<S>,
    uri: &str,
) -> anyhow::Result<TextResourceContents> {
    let mut contents = client.read_resource(uri).await?.contents;
    match (contents.pop(), contents.pop()) {
        (Some(ResourceContents::Text(text)), None) if text.uri == uri => Ok(text),
        (last, more) => bail!("`{uri}` holds {more:?} and {last:?}"),
    }
}

async fn read<S: ExchangeService>(
    client: &Client<S>,
    uri: &str,
    wanted: &str,
) -> anyhow::Result<Value> {
    let content = text_at(client, uri).await?;
    ensure!(content.text == wanted, "`{}` instead of `{wanted}`", content.text);
    ensure!(content.mime_type.as_deref() == Some("text/plain"), "type {:?}", content.mime_type);
    Ok(Value::Null)
}

async fn read_template<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    read(client, "interop://greeting/Ada", "greeting for Ada").await?;
    // Not every server decodes what a template finds; what matters is that the URI arrives whole.
    let said = text_at(client, "interop://greeting/J%C3%BCrgen%20K").await?.text;
    let wanted = ["greeting for Jürgen K", "greeting for J%C3%BCrgen%20K"];
    ensure!(wanted.contains(&&*said), "`{said}` instead of one of {wanted:?}");
    Ok(Value::Null)
}

pub(crate) async fn unknown_resource<S: ExchangeService>(
    client: &Client<S>,
    uri: &str,
) -> anyhow::Result<Value> {
    refusal(client.read_resource(uri).await.map(|result| format!("{result:?}")))
}

async fn get_prompt<S: ExchangeService>(client: &Client<S>) -> anyhow::Result<Value> {
    asks(&client.get_prompt("greet", [("name", "Ada")]).await?, "Please greet Ada")
}

/// A prompt without arguments, which the server must refuse.
pub(crate) async fn refused_prompt<S: ExchangeService>(
    client: &Client<S>,
    name: &str,
) -> anyhow::Result<Value> {
    let none: [(&str, &str); 0] = [];
    refusal(client.get_prompt(name, none).await.map(|result| format!("{result:?}")))
}

/// A prompt that must be one text of the user.
pub(crate) fn asks(prompt: &GetPromptResult, wanted: &str) -> anyhow::Result<Value> {
    let [message] = prompt.messages.as_slice() else {
        bail!("{} messages instead of one", prompt.messages.len());
    };
    let ContentBlock::Text(content) = &message.content else {
        bail!("no text: {:?}", message.content);
    };
    ensure!(message.role == Role::User, "said by {:?}", message.role);
    ensure!(content.text == wanted, "`{}` instead of `{wanted}`", content.text);
    Ok(Value::Null)
}

/// How a request is refused: as an error of the protocol. Success is a failure here.
fn refusal(answer: Result<String, Error>) -> anyhow::Result<Value> {
    match answer {
        Ok(result) => bail!("the request succeeded: {result}"),
        Err(Error::Service(error)) => Ok(json!([error.code, error.message])),
        Err(other) => Err(other).context("no refusal"),
    }
}
