//! Taking the steps: what is answered, and what of it is not as expected.

use std::time::{Duration, Instant};

use mcp_client::{Client, Error, text_of};
use mcp_transport::Era;
use mcp_types::{Caller, ContentBlock, ProtocolVersion, RawText, ResourceContents};
use serde_json::Value;

use crate::args::Revisions;
use crate::ask::{server_says, while_opening};
use crate::exit::Failure;
use crate::output::Output;
use crate::verbs::test::file::{Asked, Expect, Step, TestFile};
use crate::verbs::upstream::{TakeLine, Upstream, Way, failure, shown};

/// All steps in one revision.
#[derive(Debug)]
pub struct Run {
    /// The revision that was spoken, to show.
    pub revision: String,
    /// The steps, in order.
    pub steps: Vec<Taken>,
}

/// One step that was taken.
#[derive(Debug)]
pub struct Taken {
    /// What it is called.
    pub name: String,
    /// How long the answer took.
    pub took: Duration,
    /// What is not as expected; none when all is.
    pub failures: Vec<String>,
}

/// Takes the steps in each of the revisions that are asked for, each on a server of its own.
///
/// A server that agrees to a handshake alone is not asked without one by [`Revisions::Both`].
///
/// # Errors
///
/// When the server cannot be started or reached, or speaks no revision that is asked for; `again` is the
/// command with a handshake.
pub async fn all(
    file: &TestFile,
    (words, again): (&[String], &str),
    revisions: Revisions,
    output: Output,
) -> Result<Vec<Run>, Failure> {
    let eras: &[Option<Era>] = match revisions {
        Revisions::Agreed => &[None],
        Revisions::Newest => &[Some(Era::Modern)],
        Revisions::Handshake => &[Some(Era::Legacy)],
        Revisions::Both => &[None, Some(Era::Legacy)],
    };
    let mut runs = Vec::new();
    for era in eras {
        let (run, version) = match one(file, words, *era, output).await {
            Err(failure) if *era == Some(Era::Modern) => {
                return Err(with_a_handshake(failure, words, again, file.patience(), output).await);
            }
            taken => taken?,
        };
        runs.push(run);
        if era.is_none()
            && let Some(version) = version.filter(|version| version.era() == Era::Legacy)
        {
            if matches!(revisions, Revisions::Both) {
                output.warn(&format!(
                    "the server speaks {version}, with a handshake alone: there is no run without one"
                ));
            }
            break;
        }
    }
    Ok(runs)
}

/// What failed without a handshake, or that the server speaks with one alone.
async fn with_a_handshake(
    failure: Failure,
    words: &[String],
    again: &str,
    patience: Duration,
    output: Output,
) -> Failure {
    let way = Way { era: Some(Era::Legacy), guarded: true, ..Way::default() };
    let Ok(upstream) = Upstream::reach(words, way, output) else { return failure };
    let client = Client::new(upstream.caller());
    let opened = tokio::time::timeout(patience, client.discover()).await;
    let version = upstream.version().filter(|_| matches!(opened, Ok(Ok(_))));
    upstream.close().await;
    let Some(version) = version else { return failure };
    let message = format!("the server speaks {version}, with a handshake alone");
    Failure::new(failure.exit, message, again).with_code(failure.code)
}

async fn one(
    file: &TestFile,
    words: &[String],
    era: Option<Era>,
    output: Output,
) -> Result<(Run, Option<ProtocolVersion>), Failure> {
    // Steps call tools, so a guard before the server is asked as a client asks it.
    let on_stderr: Option<TakeLine> = Some(Box::new(server_says));
    let way = Way { era, guarded: true, on_stderr, ..Way::default() };
    let upstream = Upstream::reach(words, way, output)?;
    let client = Client::new(upstream.caller());
    let opened = while_opening(tokio::time::timeout(file.patience(), client.discover())).await;
    let opened = match opened {
        Ok(opened) => opened.map(drop).map_err(|error| failure(&error, words)),
        Err(_) => Err(Failure::new(
            crate::exit::Exit::Unreachable,
            format!("the server did not answer within {} ms", file.timeout_ms),
            format!("etdi doctor -- {}", shown(words)),
        )),
    };
    if let Err(failure) = opened {
        upstream.close().await;
        return Err(failure);
    }
    let version = upstream.version();
    let mut steps = Vec::new();
    for step in &file.steps {
        steps.push(take(&client, step, file.patience()).await);
    }
    upstream.close().await;
    let revision = version.map_or_else(|| "unknown".to_owned(), |version| version.to_string());
    Ok((Run { revision, steps }, version))
}

/// What a server answered, in the form in which it is looked at.
struct Answer {
    text: String,
    is_error: bool,
    data: Option<Value>,
}

async fn take(client: &Client<Caller>, step: &Step, patience: Duration) -> Taken {
    let name = step.shown().to_owned();
    let begun = Instant::now();
    let answer = tokio::time::timeout(patience, ask(client, step)).await;
    let took = begun.elapsed();
    let mut failures = match answer {
        Ok(answer) => judge(&step.expect, answer),
        Err(_) => vec![format!("it was not answered within {} ms", patience.as_millis())],
    };
    if let Some(most) = step.expect.max_ms.filter(|most| took > Duration::from_millis(*most)) {
        failures.push(format!("it took {} ms, expected at most {most} ms", took.as_millis()));
    }
    Taken { name, took, failures }
}

async fn ask(client: &Client<Caller>, step: &Step) -> Result<Answer, Error> {
    let whole =
        |text: Result<RawText, serde_json::Error>| text.ok().and_then(|text| text.parse().ok());
    Ok(match step.asked() {
        Some(Asked::Prompt(name)) => {
            let arguments = step.arguments.iter();
            let arguments =
                arguments.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
            let result = client.get_prompt(name, arguments).await?;
            let texts = result.messages.iter().filter_map(|message| match &message.content {
                ContentBlock::Text(text) => Some(text.text.as_str()),
                _ => None,
            });
            let text = texts.collect::<Vec<_>>().join("\n");
            Answer { text, is_error: false, data: whole(RawText::of(&result)) }
        }
        Some(Asked::Resource(uri)) => {
            let result = client.read_resource(uri).await?;
            let texts = result.contents.iter().filter_map(|contents| match contents {
                ResourceContents::Text(text) => Some(text.text.as_str()),
                _ => None,
            });
            let text = texts.collect::<Vec<_>>().join("\n");
            Answer { text, is_error: false, data: whole(RawText::of(&result)) }
        }
        asked => {
            let name = if let Some(Asked::Tool(name)) = asked { name } else { step.shown() };
            let result = client.call_tool(name, &step.arguments).await?;
            Answer {
                text: text_of(&result),
                is_error: result.is_error == Some(true),
                data: result.structured_content.as_ref().and_then(|text| text.parse().ok()),
            }
        }
    })
}

/// What is not as expected, one sentence each.
fn judge(expect: &Expect, answer: Result<Answer, Error>) -> Vec<String> {
    let mut failures = Vec::new();
    let answer = match (answer, &expect.refused) {
        (Ok(answer), None) => answer,
        (Ok(answer), Some(_)) => {
            return vec![format!("it was answered, expected a refusal: {}", short(&answer.text))];
        }
        (Err(error), Some(wanted)) => {
            let said = error.to_string();
            if !said.contains(wanted) {
                failures.push(format!("the refusal lacks `{wanted}`: {}", short(&said)));
            }
            return failures;
        }
        (Err(error), None) => return vec![short(&error.to_string())],
    };
    if answer.is_error != expect.is_error {
        failures.push(match answer.is_error {
            true => format!("the tool reported an error: {}", short(&answer.text)),
            false => format!("the tool reported no error: {}", short(&answer.text)),
        });
    }
    for wanted in expect.text_contains.iter().filter(|wanted| !answer.text.contains(wanted)) {
        failures.push(format!("the text lacks `{wanted}`: {}", short(&answer.text)));
    }
    for unwanted in expect.text_lacks.iter().filter(|unwanted| answer.text.contains(unwanted)) {
        failures.push(format!("the text contains `{unwanted}`: {}", short(&answer.text)));
    }
    if let Some(wanted) = expect.text.as_ref().filter(|wanted| **wanted != answer.text) {
        failures.push(format!("the text is {}, expected {}", short(&answer.text), short(wanted)));
    }
    for (pointer, wanted) in &expect.structured {
        let found = answer.data.as_ref().and_then(|data| data.pointer(pointer));
        match found {
            Some(found) if same(found, wanted) => {}
            Some(found) => {
                let found = short(&found.to_string());
                failures.push(format!("`{pointer}` is {found}, expected {wanted}"));
            }
            None => failures.push(format!("there is no `{pointer}`, expected {wanted}")),
        }
    }
    failures
}

/// Whether two values are the same, numbers by what they count: `3` is `3.0`.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || one.as_f64() == other.as_f64()
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(name, value): (&String, &Value)| {
                other.get(name).is_some_and(|other| same(value, other))
            };
            one.len() == other.len() && one.iter().all(has)
        }
        (one, other) => one == other,
    }
}

/// How many characters of what a server says stand in a report.
const LONGEST: usize = 300;

fn short(text: &str) -> String {
    let mut short: String = text.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failures(expect: Value, answer: Result<Answer, Error>) -> Vec<String> {
        judge(&serde_json::from_value(expect).unwrap(), answer)
    }

    fn answer(text: &str, is_error: bool, data: Value) -> Result<Answer, Error> {
        Ok(Answer { text: text.to_owned(), is_error, data: Some(data) })
    }

    #[test]
    fn each_expectation_can_fail() {
        let said = || answer("3 in all", false, json!({ "result": 3.0, "list": [1, { "a": 2 }] }));
        for holds in [
            json!({}),
            json!({ "text_contains": "3" }),
            json!({ "text_contains": ["3", "all"], "text_lacks": "four", "text": "3 in all" }),
            json!({ "structured": { "/result": 3, "/list": [1.0, { "a": 2 }], "/list/1/a": 2 } }),
        ] {
            assert_eq!(failures(holds.clone(), said()), Vec::<String>::new(), "{holds}");
        }
        for fails in [
            json!({ "is_error": true }),
            json!({ "refused": "" }),
            json!({ "text_contains": ["3", "four"] }),
            json!({ "text_lacks": ["all"] }),
            json!({ "text": "3" }),
            json!({ "structured": { "/result": "3" } }),
            json!({ "structured": { "/list/1": { "a": 2, "b": 1 } } }),
            json!({ "structured": { "/nothing": null } }),
        ] {
            assert_eq!(failures(fails.clone(), said()).len(), 1, "{fails}");
        }
        assert_eq!(failures(json!({}), answer("no", true, json!({}))).len(), 1);
        assert!(failures(json!({ "is_error": true }), answer("no", true, json!({}))).is_empty());
        let refused = || Err(Error::TooManyPages(1));
        assert_eq!(failures(json!({}), refused()).len(), 1);
        assert!(failures(json!({ "refused": "did not end" }), refused()).is_empty());
        assert_eq!(failures(json!({ "refused": "something else" }), refused()).len(), 1);
    }
}
