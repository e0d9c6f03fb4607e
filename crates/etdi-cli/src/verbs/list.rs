//! `etdi list` and `etdi verify`: the tools of a server, and what is known of them.

use std::sync::Arc;

use etdi::core::change::visible;
use etdi::core::layer::Review;
use etdi::core::level::SecurityLevel;
use serde_json::json;

use crate::args::Target;
use crate::ask::{Asker, Grants};
use crate::demo::meet::found;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::inspector::suspicious;
use crate::output::{Output, Report, table};
use crate::verbs::target::{Opening, block_on, shown_command, shown_target, unlisted};
use crate::verbs::tools;

/// Lists the tools of a server.
///
/// # Errors
///
/// When the server cannot be used.
pub fn list(target: &Target, home: &Home, output: Output) -> Result<Report, Failure> {
    let opening = Opening::to_look(target, home, output, Grants::all(Asker::Nobody));
    let (reviews, server) = reviews(opening)?;
    warn_of(&reviews, target, output);
    Ok(report(&reviews, &server, target))
}

/// Says which tools the scanner holds for malicious, of those that nobody has approved.
pub fn warn_of(reviews: &[Arc<Review>], target: &Target, output: Output) {
    let is_bad = |review: &&Arc<Review>| {
        let definition = review.definition().filter(|_| !review.is_approved());
        definition.is_some_and(|definition| !suspicious(definition).is_empty())
    };
    let bad: Vec<_> = reviews.iter().filter(is_bad).map(|one| one.name()).collect();
    if !bad.is_empty() {
        let (held, scan) = (malicious(&bad), scanned(target));
        output.warn(&format!("{held}: `{scan}` shows why"));
    }
}

/// That the scanner holds these tools for malicious; the first of them are named.
pub fn malicious(names: &[&str]) -> String {
    let shown: Vec<_> =
        names.iter().take(MOST_NAMED).map(|name| format!("`{}`", visible(name))).collect();
    let more = match names.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("the scanner holds {}{more} for malicious", shown.join(", "))
}

/// So many tools are named in a note.
const MOST_NAMED: usize = 8;

/// The command that shows what the scanner finds.
pub fn scanned(target: &Target) -> String {
    match target.command.as_slice() {
        [_] => format!("etdi scan {}", shown_command(target)),
        _ => format!("etdi scan -- {}", shown_command(target)),
    }
}

/// What is listed, for people and programs.
pub fn report(reviews: &[Arc<Review>], server: &str, target: &Target) -> Report {
    let data = json!({
        "server": server,
        "tools": reviews.iter().map(|review| tools::data(review)).collect::<Vec<_>>(),
    });
    let rows: Vec<_> = reviews.iter().map(|review| tools::row(review)).collect();
    let mut text = match rows.is_empty() {
        true => "the server lists no tools".to_owned(),
        false => table(tools::HEAD, rows),
    };
    if reviews.iter().any(|review| review.can_be_approved()) {
        text.push_str(&format!("\n\nreview and approve: etdi approve {}", shown_target(target)));
    } else if reviews.iter().any(|review| !review.is_approved()) {
        text.push_str(&format!("\n\nsee what is wrong: etdi verify {}", shown_target(target)));
    }
    Report::new(data, text)
}

/// Checks the signatures of a server's tools; all must hold.
///
/// # Errors
///
/// When the server cannot be used, lists no tools, or a signature does not hold.
pub fn verify(target: &Target, home: &Home, output: Output) -> Result<Report, Failure> {
    let opening = Opening::to_judge(target, home, output, Grants::all(Asker::Nobody));
    let (reviews, server) = reviews(opening)?;
    let holds = |review: &Arc<Review>| found(review).0 == "VERIFIED";
    let verified = reviews.iter().filter(|review| holds(review)).count();
    let data = json!({
        "server": server, "tools": reviews.iter().map(|review| tools::data(review)).collect::<Vec<_>>(),
        "verified": verified, "of": reviews.len(),
    });
    let details: Vec<_> = reviews.iter().map(|review| tools::details(review)).collect();
    let text =
        format!("{}\n\n{verified} of {} tools are verified", details.join("\n"), reviews.len());
    if verified == reviews.len() && verified > 0 {
        return Ok(Report::new(data, text));
    }
    let first = reviews.iter().find(|review| !holds(review));
    let code = first.map_or_else(|| "NO_TOOLS".to_owned(), |review| found(review).0);
    let next = match code.as_str() {
        "KEY_UNKNOWN" | "ISSUER_UNTRUSTED" | "NOBODY_TRUSTED" | "WRONG_SERVER" => {
            "etdi verify --help".to_owned()
        }
        // At strict nothing else can be done about it here.
        "UNSIGNED" if target.level == Some(SecurityLevel::Strict) => {
            let lower = Target { level: Some(SecurityLevel::Enhanced), ..target.clone() };
            format!("etdi list {}", shown_target(&lower))
        }
        "UNSIGNED" => format!("etdi list {}", shown_target(target)),
        _ => format!("etdi list --json {}", shown_target(target)),
    };
    let message =
        format!("{verified} of {} tools are verified{}", reviews.len(), tools::remedy(&code));
    Err(Failure::new(Exit::Refused, message, next)
        .with_code(code)
        .with_details(data, details.join("\n")))
}

/// All tools with what became of them, and the server's name.
///
/// # Errors
///
/// When the server cannot be used.
pub(crate) fn reviews(opening: Opening<'_>) -> Result<(Vec<Arc<Review>>, String), Failure> {
    let target = opening.target;
    block_on(async {
        let session = opening.open().await?;
        let reviews = session.discover_tools().await;
        let server = session.peer().identity.to_string();
        session.close().await;
        Ok((reviews.map_err(|error| unlisted(&error, target))?, server))
    })
}
