//! `etdi call`: one call of one tool.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use etdi::core::change::visible;
use etdi::core::layer::{AskWhen, Review};
use mcp_types::{CallToolResult, RawText};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::args::{CallArguments, Target};
use crate::arguments::from_pairs;
use crate::ask::{Asker, Despite, Grants, is_asking};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report};
use crate::signals::servers_end;
use crate::talk::Talk;
use crate::talk::answers::Answers;
use crate::talk::progress::Progress;
use crate::talk::shown::{Shown, harmless};
use crate::targets;
use crate::unattended::{self, needs_a_person};
use crate::verbs::target::{
    Opening, block_on, failure, policy_test, quoted, shown_path, shown_target, unlisted,
};
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
    let despite = Despite { scanner: arguments.despite_scanner, ..Despite::default() };
    if despite.scanner {
        let next = format!("etdi call {} {}", quoted(&arguments.tool), shown_target(target));
        needs_a_person(home, output, "what overrides a warning", next)?;
    }
    let unattended = unattended::here(home, output);
    block_on(async {
        let grants = Grants { despite, unattended, ..Grants::all(asker) }.knowing(home).await?;
        let opening = Opening::to_use((target, home, output), grants, ask, policy);
        let patience = Patience::new(arguments);
        let answers = Answers::at_terminal(output);
        let opened = Talk::open(opening, answers, None, arguments.save.clone());
        let talk = match patience.until("the server", opened).await {
            Ok(talk) => talk,
            Err(failure) => {
                servers_end().await;
                return Err(failure);
            }
        };
        let given = match given {
            Some(given) => Given::Whole(given),
            None => Given::Pairs(&arguments.pairs),
        };
        let who = format!("`{}`", visible(&arguments.tool));
        let called = match patience.until("the server", listed(&talk, &arguments.tool)).await {
            Ok(review) => match read(&talk, &review, given) {
                Ok(given) => {
                    let sent = patience.until(&who, sent(&talk, &review, &given)).await;
                    sent.map_err(|failure| denied(failure, arguments, &given))
                }
                Err(failure) => Err(failure),
            },
            Err(failure) => Err(failure),
        };
        talk.close().await;
        called
    })
}

/// After a denial by policies: what shows how they decide about the same call.
fn denied(failure: Failure, arguments: &CallArguments, given: &Value) -> Failure {
    if failure.code != "POLICY_DENIED" {
        return failure;
    }
    // Those of a guard before the entry are asked where none are named.
    let found = targets::resolve(&arguments.target.command).ok().and_then(|found| found.guard);
    let guard = found.as_ref().map(|guard| &guard.arguments);
    let (folder, user) = match (&arguments.policy, guard) {
        (Some(folder), _) => (Some(folder), &arguments.user),
        (None, Some(guard)) => (guard.policy.as_ref(), &guard.user),
        (None, None) => (None, &None),
    };
    let Some(folder) = folder else { return failure };
    let mut target = arguments.target.clone();
    target.server = target.server.or_else(|| guard.and_then(|guard| guard.target.server.clone()));
    // What came out of a file is not for the screen.
    let is_typed = arguments.args.as_deref().is_none_or(|text| !text.starts_with(['@', '-']));
    let given = match is_typed {
        true => given.to_string(),
        false => policy::to_be_filled_in(given.as_object()),
    };
    let (call, user) = ((&*arguments.tool, &*given), user.as_deref().unwrap_or(NOBODY));
    let next = policy_test(folder, call, Some(user), &target);
    Failure { next, ..failure }
}

/// Who calls where nobody says who.
const NOBODY: &str = "user";

/// Arguments as they were given.
pub enum Given<'a> {
    /// Words of the form `key=value`.
    Pairs(&'a [String]),
    /// All of them, as JSON.
    Whole(Value),
}

/// Calls a tool in an open session.
///
/// # Errors
///
/// As [`run`].
pub async fn over(talk: &Talk, tool: &str, given: Given<'_>) -> Result<Report, Failure> {
    let review = listed(talk, tool).await?;
    let given = read(talk, &review, given)?;
    sent(talk, &review, &given).await
}

/// What is known of a tool now.
async fn listed(talk: &Talk, tool: &str) -> Result<Arc<Review>, Failure> {
    let fail = |error: etdi::Error| unlisted(&error, &talk.target);
    let reviews = talk.session.discover_tools().await.map_err(fail)?;
    reviews.iter().find(|review| review.name() == tool).cloned().ok_or_else(|| {
        let names = reviews.iter().map(|review| review.name());
        let missing = talk.missing("tool", tool, names, "NO_SUCH_TOOL");
        Failure { next: format!("etdi list {}", shown_target(&talk.target)), ..missing }
    })
}

/// The arguments as an object, by the types that the tool declares.
fn read(talk: &Talk, review: &Review, given: Given<'_>) -> Result<Value, Failure> {
    let definition = review.definition().map(|one| one.canonical());
    let definition = definition.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let schema = definition.as_ref().and_then(|one| one.get("inputSchema"));
    match given {
        Given::Whole(given) => Ok(given),
        Given::Pairs(pairs) => {
            let next = format!("etdi list --json {}", shown_target(&talk.target));
            from_pairs(pairs, schema.unwrap_or(&Value::Null), review.name(), &next)
        }
    }
}

/// The call itself.
async fn sent(talk: &Talk, review: &Review, given: &Value) -> Result<Report, Failure> {
    let tool = review.name();
    let fail = |error: etdi::Error| failure(&error, tool, &talk.target);
    let call = talk.client.tool_call(tool).arguments(given).map_err(|error| fail(error.into()))?;
    let progress = Progress::new(talk.output);
    let line = progress.clone();
    let call = call.on_progress(move |report| line.show(&report));
    talk.output.progress(&format!("calling {}", visible(tool)));
    let called = call.send().await;
    progress.clear();
    let result = called.map_err(|error| {
        let failure = fail(error.into());
        match talk.session.review(tool) {
            Some(review) => tools::because(failure, &review),
            None => failure,
        }
    })?;
    let exit = if result.is_error == Some(true) { Exit::ToolError } else { Exit::Done };
    let (text, saved) = shown(&result, talk.save.as_deref())?;
    let data = RawText::of(&result).ok().and_then(|text| text.parse::<Value>().ok());
    let data = json!({ "tool": tool, "result": data, "saved": saved });
    Ok(Report::new(data, text).ending(exit))
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
        let Some(mut end) = self.end else { return work.await };
        let seconds = self.arguments.timeout;
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout_at(end, work.as_mut()).await {
                Ok(result) => return result,
                // A person who thinks about a question is not the server's delay.
                Err(_) if is_asking() => {
                    end = Instant::now() + Duration::from_secs(seconds.clamp(1, MOST_MORE));
                }
                Err(_) => break,
            }
        }
        let message = format!("{who} did not answer within {seconds} seconds");
        let next = again(self.arguments, seconds.saturating_mul(2).max(1));
        Err(Failure::new(Exit::Unreachable, message, next).with_code("TIMEOUT"))
    }
}

/// For how many seconds more is waited after a question was open.
const MOST_MORE: u64 = 60;

/// The same call with more patience, as it can be typed.
fn again(arguments: &CallArguments, timeout: u64) -> String {
    let mut words = vec!["etdi".to_owned(), "call".to_owned(), quoted(&arguments.tool)];
    words.extend(arguments.pairs.iter().map(|pair| quoted(pair)));
    if let Some(text) = &arguments.args {
        words.push(format!("--args={}", quoted(text)));
    }
    if arguments.yes {
        words.push("--yes".to_owned());
    }
    if arguments.despite_scanner {
        words.push("--despite-scanner".to_owned());
    }
    if let Some(folder) = &arguments.policy {
        words.push(format!("--policy {}", shown_path(folder)));
    }
    if let Some(user) = &arguments.user {
        words.push(format!("--user {}", quoted(user)));
    }
    if let Some(directory) = &arguments.save {
        words.push(format!("--save {}", shown_path(directory)));
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

/// A result for people: texts as they are, everything else saved or named.
fn shown(result: &CallToolResult, save: Option<&Path>) -> Result<(String, Vec<PathBuf>), Failure> {
    let mut shown = Shown::new(save);
    for block in &result.content {
        shown.block(block)?;
    }
    let (mut text, saved) = shown.finish();
    if result.is_error == Some(true) {
        // The text of the error is the tool's; that it is one is ours to say, beside the output.
        let _ = writeln!(std::io::stderr(), "the tool reported an error:");
    }
    if text.is_empty() {
        text =
            result.structured_content.as_ref().map_or_else(String::new, |one| harmless(one.get()));
    }
    Ok((text, saved))
}
