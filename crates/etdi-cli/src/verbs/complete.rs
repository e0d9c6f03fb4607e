//! `etdi complete`: what a server suggests for an argument.

use etdi::core::change::visible;
use mcp_types::{
    CompleteReference, CompleteResultCompletion, PromptReference, ResourceTemplateReference,
};
use serde_json::json;

use crate::args::CompleteArguments;
use crate::ask::{Asker, Grants};
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{Output, Report};
use crate::talk::Talk;
use crate::talk::answers::Answers;
use crate::verbs::target::{Opening, block_on, shown_target};

/// Asks for suggestions.
///
/// # Errors
///
/// When the server cannot be used, suggests nothing at all, or knows no such argument.
pub fn run(arguments: &CompleteArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    block_on(async {
        let grants = Grants::all(Asker::Nobody);
        let opening = Opening::to_look(&arguments.target, home, output, grants);
        let talk = Talk::open(opening, Answers::at_terminal(output), None, None).await?;
        let CompleteArguments { name, argument, typed, known, .. } = arguments;
        let found = over(&talk, name, argument, typed, known).await;
        talk.close().await;
        found
    })
}

/// Asks for suggestions in an open session. What holds `://` is the template of a resource, anything
/// else a prompt.
///
/// # Errors
///
/// As [`run`].
pub async fn over(
    talk: &Talk,
    name: &str,
    argument: &str,
    typed: &str,
    known: &[String],
) -> Result<Report, Failure> {
    let next = format!("etdi inspect {}", shown_target(&talk.target));
    let read = |pair: &String| match pair.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => {
            let message = format!("`{}` is no argument, write `key=value`", visible(pair));
            Err(Failure::usage(message, next.clone()))
        }
    };
    let known = known.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    if talk.session.about().capabilities.completions.is_none() {
        let failure = Failure::usage("the server completes nothing", next);
        return Err(failure.with_code("NOT_OFFERED"));
    }
    let found = suggestions(talk, name, argument, typed, known).await;
    let found = found.map_err(|error| talk.failure(error, ""))?;
    let lines: Vec<_> = found.values.iter().map(|value| visible(value)).collect();
    let more = match (found.total, found.has_more) {
        (Some(total), _) if total > lines.len() as i64 => {
            format!("\n({} of {total})", lines.len())
        }
        (None, Some(true)) => "\n(and more)".to_owned(),
        _ => String::new(),
    };
    let data = json!({
        "name": name, "argument": argument, "values": found.values, "total": found.total,
        "has_more": found.has_more,
    });
    Ok(Report::new(data, format!("{}{more}", lines.join("\n"))))
}

/// What the server suggests.
///
/// # Errors
///
/// See [`mcp_client::Error`].
pub async fn suggestions(
    talk: &Talk,
    name: &str,
    argument: &str,
    typed: &str,
    known: Vec<(String, String)>,
) -> Result<CompleteResultCompletion, mcp_client::Error> {
    let reference = match name.contains("://") {
        true => CompleteReference::Resource(ResourceTemplateReference::new(name)),
        false => CompleteReference::Prompt(PromptReference::new(name)),
    };
    talk.client.complete(reference, argument, typed, known).await
}
