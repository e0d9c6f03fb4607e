//! `etdi approve`: accept tools as they are listed now.

mod gone;

use etdi::core::approval::Granted;
use etdi::core::change::visible;
use etdi::core::layer::Review;
use etdi::system_time;
use serde_json::json;

use crate::args::ApproveArguments;
use crate::arguments::nearest;
use crate::ask::{Asker, Despite, Grants};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::inspector::critical;
use crate::output::{Output, Report, table};
use crate::unattended::{self, Unattended, needs_a_person, nobody};
use crate::verbs::target::{Opening, block_on, next_after, quoted, shown_target, unlisted};
use crate::verbs::tools;
use gone::Pinned;

/// Approves tools of a server as they are listed now.
///
/// # Errors
///
/// When the server cannot be used, a tool is not listed or cannot be approved, or the answer is no.
pub fn approve(
    arguments: &ApproveArguments,
    home: &Home,
    output: Output,
) -> Result<Report, Failure> {
    let target = &arguments.target;
    if !arguments.yes && !output.can_ask() {
        // Without a server there is nothing to be typed that would approve one.
        if target.command.is_empty() {
            crate::targets::resolve(&target.command)?;
        }
        return Err(nobody("an approval", again(arguments)));
    }
    let despite = Despite { alarm: arguments.despite_alarm, scanner: arguments.despite_scanner };
    if despite != Despite::default() {
        needs_a_person(home, output, "what overrides a warning", again(arguments))?;
    }
    let unattended = unattended::here(home, output);
    let granted = match &arguments.permissions {
        None => Granted::All,
        Some(scopes) => Granted::Only(scopes.iter().cloned().collect()),
    };
    // A yes that was said before anybody could see the change is no answer to an alarm.
    let asker = if arguments.yes { Asker::Yes } else { Asker::Terminal };
    let expires_at = arguments.days.map(|days| system_time().plus(u64::from(days) * 86_400));
    let grants = Grants { granted, despite, unattended, expires_at, ..Grants::all(asker) };
    block_on(async {
        let grants = grants.knowing(home).await?;
        let session = Opening::to_judge(target, home, output, grants.clone()).open().await?;
        let reviews = session.discover_tools().await;
        let reviews = reviews.map_err(|error| unlisted(&error, target))?;
        let peer = session.peer();
        let pinned = match peer.measurement.as_ref().map(|measured| measured.pin()) {
            Some(pin) => Some(Pinned::new(home, peer.identity.to_string(), pin)?),
            None => None,
        };
        let mut gone = match &pinned {
            Some(pinned) => pinned.of_another().await?,
            None => Vec::new(),
        };
        if let Some(pinned) = &pinned
            && let Some(words) = pinned.spelled_otherwise().await?
        {
            let words: Vec<_> = words.iter().map(|word| quoted(word)).collect();
            output.warn(&format!(
                "the same program is approved as `{}`: how a command is spelled is who the server is, so \
                 that neither approval counts for the other",
                words.join(" ")
            ));
        }
        let changed = gone.first().zip(pinned.as_ref());
        let changed = changed.and_then(|(one, pinned)| pinned.changed(one));
        // A tool that is now vouched for by another, or by nobody, is approved under another key.
        let issuer = |review: &Review| {
            review.verification().ok().map(|verified| verified.issuer().as_str().to_owned())
        };
        gone.retain(|one| {
            let is_same =
                |review: &Review| review.name() == one.key.tool && issuer(review) == one.key.issuer;
            !reviews.iter().any(|review| is_same(review))
        });
        for name in &arguments.tools {
            if gone.iter().any(|one| one.key.tool == *name) {
                continue;
            }
            if !reviews.iter().any(|review| review.name() == name) {
                let near = nearest(name, reviews.iter().map(|review| review.name()));
                let hint = near.map_or_else(String::new, |near| {
                    format!(", did you mean `{}`?", visible(near))
                });
                return Err(Failure::usage(
                    format!("the server lists no tool `{}`{hint}", visible(name)),
                    format!("etdi list {}", shown_target(target)),
                )
                .with_code("NO_SUCH_TOOL"));
            }
        }
        let wanted = |name: &str| {
            arguments.tools.is_empty() || arguments.tools.iter().any(|one| one == name)
        };
        let (mut rows, mut data) = (Vec::new(), Vec::new());
        let (mut refused, mut refused_as) = (None, Vec::new());
        for review in reviews.iter().filter(|review| wanted(review.name())) {
            // As a yes that was said before anybody could read it is none to an alarm.
            if let Some(why) = unread(review, arguments, &grants) {
                let (name, code) = (review.name(), SUSPICIOUS);
                data.push(json!({
                    "name": name, "approved": false, "code": code, "message": why,
                    "tool": tools::data(review),
                }));
                refused.get_or_insert((name.to_owned(), code));
                rows.push([visible(name).into_owned(), why]);
                continue;
            }
            let outcome = match session.ask_about(review).await {
                Ok(approved) => {
                    data.push(json!({ "name": review.name(), "approved": true, "digest": approved.digest() }));
                    format!("approved as {}", approved.digest())
                }
                Err(error) => {
                    let code = error.code();
                    let changed = changed.clone().filter(|_| code == CHANGED);
                    let cause = tools::cause(review, code).or(changed);
                    let message = match &cause {
                        Some(cause) => format!("{error}: {cause}"),
                        None => error.to_string(),
                    };
                    data.push(json!({
                        "name": review.name(), "approved": false, "code": code,
                        "message": message, "tool": tools::data(review),
                    }));
                    refused_as.push(code);
                    refused.get_or_insert((review.name().to_owned(), code));
                    message
                }
            };
            rows.push([visible(review.name()).into_owned(), outcome]);
        }
        session.close().await;
        // As for every alarm: a yes that was said beforehand is no answer to it.
        let despite = match (arguments.despite_alarm, asker, unattended) {
            (true, _, Some(_)) => Asker::Yes,
            (true, _, None) | (false, Asker::Terminal, _) => Asker::Terminal,
            (false, _, _) => Asker::Nobody,
        };
        for one in gone.iter().filter(|one| wanted(&one.key.tool)) {
            let Some(pinned) = &pinned else { continue };
            let name = &one.key.tool;
            let outcome = match pinned.settle(one, despite).await? {
                true => "no longer listed, its approval is withdrawn".to_owned(),
                false => {
                    refused_as.push(CHANGED);
                    refused.get_or_insert((name.clone(), CHANGED));
                    "no longer listed, its approval stands and keeps the changed program out"
                        .to_owned()
                }
            };
            data.push(json!({ "name": name, "approved": false, "code": "NOT_LISTED", "message": outcome }));
            rows.push([visible(name).into_owned(), outcome]);
        }
        let left = match &pinned {
            Some(pinned) => pinned.of_another().await?,
            None => Vec::new(),
        };
        let names: Vec<_> = left.iter().map(|one| &one.key.tool).collect();
        let data = json!({ "tools": data, "keep_the_program_out": names });
        let mut text = table(["tool", "outcome"], rows);
        let all = format!("etdi approve {}", shown_target(target));
        if !left.is_empty() && refused.is_none() {
            text.push_str(&format!("\n\n{}", gone::still(&left, &all)));
        }
        // What keeps the whole program out comes before what is said of one tool.
        let is_out = refused_as.contains(&CHANGED);
        match refused {
            None => Ok(Report::new(data, text)),
            Some(_) if is_out => {
                let message =
                    "not every tool was approved, and the program that changed stays refused";
                Err(Failure::new(Exit::Refused, personal(message, unattended), all)
                    .with_code(CHANGED)
                    .with_details(data, text))
            }
            Some((tool, code)) => Err(Failure::new(
                Exit::Refused,
                personal("not every tool was approved", unattended),
                next(arguments, output, code, &tool),
            )
            .with_code(code)
            .with_details(data, text)),
        }
    })
}

/// The command as a person types it, with the tools that it names.
fn again(arguments: &ApproveArguments) -> String {
    let tools: String = arguments.tools.iter().map(|tool| format!("{} ", quoted(tool))).collect();
    format!("etdi approve {tools}{}", shown_target(&arguments.target))
}

/// The code of what the scanner calls critical, and nobody has read.
const SUSPICIOUS: &str = "SUSPICIOUS_DEFINITION";

/// Why a tool is not approved unread, where the scanner says something grave of it.
fn unread(review: &Review, arguments: &ApproveArguments, grants: &Grants) -> Option<String> {
    let definition = review.definition()?;
    let is_unread = arguments.yes && !review.is_approved();
    let found = if is_unread { grants.unread(definition) } else { Vec::new() };
    if found.is_empty() {
        return None;
    }
    let what = if critical(definition).is_empty() { "suspicious" } else { "critical" };
    let found = found.join("; ");
    Some(format!("not approved unread, the scanner calls it {what}: {}", visible(&found)))
}

/// A refusal, with what it takes where nobody sits at a terminal.
fn personal(message: &str, unattended: Option<Unattended>) -> String {
    match unattended {
        None | Some(Unattended::Everything) => message.to_owned(),
        Some(_) => format!("{message}: {BY_A_PERSON}"),
    }
}

/// What is said to whoever is no person at a terminal.
const BY_A_PERSON: &str = "without a terminal only the first use of a server is approved, and whatever overrides \
                           a change, an alarm or the scanner takes a person, who reads it in a terminal of \
                           their own";

/// The code of a program that is not the approved one.
const CHANGED: &str = "EXECUTABLE_CHANGED";

/// What to try after a tool was not approved. No option is named by which nobody would have to read it.
fn next(arguments: &ApproveArguments, output: Output, code: &str, tool: &str) -> String {
    let again = shown_target(&arguments.target);
    match code {
        // It is to be read first.
        SUSPICIOUS if !output.can_ask() => format!("etdi inspect {again}"),
        _ => next_after(code, tool, &again),
    }
}
