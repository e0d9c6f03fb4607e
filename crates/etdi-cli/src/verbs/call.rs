//! `etdi call`: one call of one tool.

use std::io::{IsTerminal, Read, Write};
use std::time::Duration;

use etdi::core::change::visible;
use etdi::core::layer::AskWhen;
use etdi::{Reached, Session};
use mcp_types::{CallToolResult, ContentBlock, RawText};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::{CallArguments, Target};
use crate::arguments::{from_pairs, nearest};
use crate::ask::{Asker, Grants};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report};
use crate::signals::servers_end;
use crate::verbs::target::{Opening, block_on, failure, quoted, shown_path, shown_target};
use crate::verbs::{policy, tools};

/// Calls a tool.
///
/// # Errors
///
/// When the arguments do not fit, the server cannot be used, or a check refuses. A tool that
/// reports an error is a report that ends with its exit code.
pub fn run(arguments: &CallArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    let asker = match (arguments.yes, output.can_ask()) {
        (true, _) => Asker::Yes,
        (false, true) => Asker::Terminal,
        (false, false) => Asker::Nobody,
    };
    let ask = if asker == Asker::Nobody { AskWhen::Never } else { AskWhen::Called };
    let target = &arguments.target;
    // Before the server is there: it need not wait for whoever types them.
    let given = arguments.args.as_deref().map(|text| whole(text, target)).transpose()?;
    let policy = arguments.policy.as_deref().map(policy::load).transpose()?;
    let policy = policy.map(|engine| (engine, arguments.user.as_deref()));
    block_on(async {
        let grants = Grants::all(asker);
        let opening =
            Opening { target, home, output, grants, ask, although_changed: false, policy };
        let patience = Patience::new(arguments);
        let session = match patience.until("the server", opening.open()).await {
            Ok(session) => session,
            Err(failure) => {
                servers_end().await;
                return Err(failure);
            }
        };
        let called = call(&session, arguments, given, output, &patience).await;
        session.close().await;
        let result = called?;
        let exit = if result.is_error == Some(true) { Exit::ToolError } else { Exit::Done };
        let data = RawText::of(&result).ok().and_then(|text| text.parse::<Value>().ok());
        let data = json!({ "tool": arguments.tool, "result": data });
        Ok(Report::new(data, shown(&result)).ending(exit))
    })
}

async fn call(
    session: &Session<Reached>,
    arguments: &CallArguments,
    given: Option<Value>,
    output: Output,
    patience: &Patience<'_>,
) -> Result<CallToolResult, Failure> {
    let (tool, target) = (&arguments.tool, &arguments.target);
    let fail = |error: etdi::Error| failure(&error, tool, target);
    let listing = async { session.discover_tools().await.map_err(fail) };
    let reviews = patience.until("the server", listing).await?;
    let Some(review) = reviews.iter().find(|review| review.name() == tool) else {
        let near = nearest(tool, reviews.iter().map(|review| review.name()));
        let hint =
            near.map_or_else(String::new, |near| format!(", did you mean `{}`?", visible(near)));
        return Err(Failure::usage(
            format!("the server lists no tool `{}`{hint}", visible(tool)),
            format!("etdi list {}", shown_target(target)),
        )
        .with_code("NO_SUCH_TOOL"));
    };
    let definition = review.definition().map(|one| one.canonical());
    let definition = definition.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let schema = definition.as_ref().and_then(|one| one.get("inputSchema"));
    let given = match given {
        Some(given) => given,
        None => {
            let next = format!("etdi list --json {}", shown_target(target));
            from_pairs(&arguments.pairs, schema.unwrap_or(&Value::Null), tool, &next)?
        }
    };

    let call =
        session.client().tool_call(tool).arguments(&given).map_err(|error| fail(error.into()))?;
    let call = call.on_progress(move |report| {
        let total = report.total.map_or_else(String::new, |total| format!(" of {total}"));
        let message = report.message.as_deref().map(visible).unwrap_or_default();
        output.progress(&format!("{}{total} {message}", report.progress));
    });
    output.progress(&format!("calling {}", visible(tool)));
    let call = async {
        call.send().await.map_err(|error| {
            let review = session.review(tool);
            let failure = fail(error.into());
            match review {
                Some(review) => tools::because(failure, &review),
                None => failure,
            }
        })
    };
    patience.until(&format!("`{}`", visible(tool)), call).await
}

/// How long the whole command may take, from the start of the server on.
struct Patience<'a> {
    arguments: &'a CallArguments,
    end: Option<Instant>,
}

impl<'a> Patience<'a> {
    fn new(arguments: &'a CallArguments) -> Self {
        let end = Instant::now().checked_add(Duration::from_secs(arguments.timeout));
        Self { arguments, end }
    }

    /// What `work` gives, or that `who` did not answer in time.
    async fn until<T>(
        &self,
        who: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let Some(end) = self.end else { return work.await };
        tokio::time::timeout_at(end, work).await.unwrap_or_else(|_| {
            let seconds = self.arguments.timeout;
            let message = format!("{who} did not answer within {seconds} seconds");
            let next = again(self.arguments, seconds.saturating_mul(2).max(1));
            Err(Failure::new(Exit::Unreachable, message, next).with_code("TIMEOUT"))
        })
    }
}

/// The same call with more patience, as it can be typed.
fn again(arguments: &CallArguments, timeout: u64) -> String {
    let mut words = vec!["etdi call".to_owned(), quoted(&arguments.tool)];
    words.extend(arguments.pairs.iter().map(|pair| quoted(pair)));
    if let Some(text) = &arguments.args {
        words.push(format!("--args={}", quoted(text)));
    }
    if arguments.yes {
        words.push("--yes".to_owned());
    }
    if let Some(folder) = &arguments.policy {
        words.push(format!("--policy {}", shown_path(folder)));
    }
    if let Some(user) = &arguments.user {
        words.push(format!("--user {}", quoted(user)));
    }
    words.push(format!("--timeout {timeout}"));
    words.push(shown_target(&arguments.target));
    words.join(" ")
}

/// All arguments in one JSON object.
fn whole(text: &str, target: &Target) -> Result<Value, Failure> {
    let next = || format!("etdi list --json {}", shown_target(target));
    let read = match (text, text.strip_prefix('@')) {
        ("-", _) => {
            let mut read = String::new();
            std::io::stdin().read_to_string(&mut read).map(|_| read)
        }
        (_, Some(path)) => std::fs::read_to_string(path),
        _ => Ok(text.to_owned()),
    };
    let read =
        read.map_err(|error| Failure::usage(format!("cannot read `{text}`: {error}"), next()))?;
    let value: Value = serde_json::from_str(&read)
        .map_err(|error| Failure::usage(format!("the arguments are no JSON: {error}"), next()))?;
    match value.is_object() {
        true => Ok(value),
        false => Err(Failure::usage("the arguments are no JSON object", next())),
    }
}

/// A result for people: texts as they are, everything else named.
fn shown(result: &CallToolResult) -> String {
    let blocks = result.content.iter().map(|block| match block {
        ContentBlock::Text(text) => harmless(&text.text),
        ContentBlock::Image(image) => format!("[image {}]", visible(&image.mime_type)),
        ContentBlock::Audio(audio) => format!("[audio {}]", visible(&audio.mime_type)),
        ContentBlock::ResourceLink(link) => format!("[resource {}]", visible(&link.uri)),
        ContentBlock::Resource(_) => "[embedded resource]".to_owned(),
        _ => "[content of another kind]".to_owned(),
    });
    let mut text = blocks.collect::<Vec<_>>().join("\n");
    if result.is_error == Some(true) {
        // The text of the error is the tool's; that it is one is ours to say, beside the output.
        let _ = writeln!(std::io::stderr(), "the tool reported an error:");
    }
    if text.is_empty() {
        text =
            result.structured_content.as_ref().map_or_else(String::new, |one| harmless(one.get()));
    }
    text
}

/// A text that cannot drive a terminal; for a pipe it is left as it is.
fn harmless(text: &str) -> String {
    if !std::io::stdout().is_terminal() {
        return text.to_owned();
    }
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}
