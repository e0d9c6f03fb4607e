//! `etdi read`: the contents of a resource.

use etdi::core::change::visible;
use mcp_types::RawText;
use serde_json::{Value, json};

use crate::args::ReadArguments;
use crate::ask::{Asker, Grants};
use crate::exit::Failure;
use crate::home::Home;
use crate::output::{Output, Report};
use crate::talk::Talk;
use crate::talk::answers::Answers;
use crate::talk::shown::Shown;
use crate::verbs::target::{Opening, block_on};

/// Reads a resource.
///
/// # Errors
///
/// When the server cannot be used or has no such resource, or a file cannot be saved.
pub fn run(arguments: &ReadArguments, home: &Home, output: Output) -> Result<Report, Failure> {
    block_on(async {
        let grants = Grants::all(Asker::Nobody);
        let opening = Opening::to_look(&arguments.target, home, output, grants);
        let answers = Answers::at_terminal(output);
        let talk = Talk::open(opening, answers, None, arguments.save.clone()).await?;
        let read = over(&talk, &arguments.uri).await;
        talk.close().await;
        read
    })
}

/// Reads a resource in an open session.
///
/// # Errors
///
/// As [`run`].
pub async fn over(talk: &Talk, uri: &str) -> Result<Report, Failure> {
    talk.output.progress(&format!("reading {}", visible(uri)));
    let result = match talk.client.read_resource(uri).await {
        Ok(result) => result,
        Err(error) => {
            let refused = matches!(error, mcp_client::Error::Service(_));
            let failure = talk.failure(error, "");
            return Err(if refused { unknown(talk, uri, failure).await } else { failure });
        }
    };
    let mut shown = Shown::new(talk.save.as_deref());
    for contents in &result.contents {
        shown.contents(contents)?;
    }
    let (text, saved) = shown.finish();
    let data = RawText::of(&result).ok().and_then(|text| text.parse::<Value>().ok());
    Ok(Report::new(json!({ "uri": uri, "result": data, "saved": saved }), text))
}

/// The refusal, with the URI that was meant where one is near.
async fn unknown(talk: &Talk, uri: &str, failure: Failure) -> Failure {
    let Ok(resources) = talk.resources().await else { return failure };
    let names = resources.iter().map(|resource| resource.uri.as_str());
    if names.clone().any(|name| name == uri) {
        return failure;
    }
    let missing = talk.missing("resource", uri, names, "NO_SUCH_RESOURCE");
    let message = format!("{}; {}", failure.message, missing.message);
    Failure { message, next: missing.next, code: missing.code, ..failure }
}
