//! `etdi approve` and `etdi approvals`: what the user accepted.

use etdi::core::approval::{ApprovalKey, ApprovalStore, Approvals, Granted, NoApprover};
use etdi::core::change::visible;
use etdi::core::layer::AskWhen;
use etdi::core::level::Policy;
use etdi::system_time;
use serde_json::json;

use crate::args::{ApprovalsCommand, ApproveArguments};
use crate::arguments::nearest;
use crate::ask::{Asker, Grants, user};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::output::{Output, Report, table};
use crate::verbs::target::{
    Opening, approvals, audit, block_on, failure, next_after, shown_target,
};
use crate::verbs::tools;

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
        return Err(Failure::usage(
            "there is no terminal to ask on",
            format!("etdi approve --yes {}", shown_target(target)),
        ));
    }
    let granted = match &arguments.permissions {
        None => Granted::All,
        Some(scopes) => Granted::Only(scopes.iter().cloned().collect()),
    };
    // A yes that was said before anybody could see the change is no answer to an alarm.
    let asker = if arguments.yes { Asker::Yes } else { Asker::Terminal };
    let grants = Grants { asker, granted: granted.clone() };
    block_on(async {
        let opening =
            Opening { target, home, output, grants, ask: AskWhen::Never, although_changed: true };
        let session = opening.open().await?;
        let reviews = session.discover_tools().await;
        let reviews = reviews.map_err(|error| failure(&error, "", target))?;
        for name in &arguments.tools {
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
        let (mut rows, mut data, mut refused) = (Vec::new(), Vec::new(), None);
        for review in reviews.iter().filter(|review| wanted(review.name())) {
            let result = match arguments.despite_alarm {
                true => session.approve_tool(review, granted.clone(), &user()).await,
                false => session.ask_about(review).await,
            };
            let outcome = match result {
                Ok(approved) => {
                    data.push(json!({ "name": review.name(), "approved": true, "digest": approved.digest() }));
                    format!("approved as {}", approved.digest())
                }
                Err(error) => {
                    let code = error.code();
                    let cause = tools::cause(review, code);
                    let message = match &cause {
                        Some(cause) => format!("{error}: {cause}"),
                        None => error.to_string(),
                    };
                    data.push(json!({
                        "name": review.name(), "approved": false, "code": code,
                        "message": message, "tool": tools::data(review),
                    }));
                    refused.get_or_insert((review.name().to_owned(), code));
                    message
                }
            };
            rows.push([visible(review.name()).into_owned(), outcome]);
        }
        session.close().await;
        let data = json!({ "tools": data });
        let text = table(["tool", "outcome"], rows);
        match refused {
            None => Ok(Report::new(data, text)),
            Some((tool, code)) => Err(Failure::new(
                Exit::Refused,
                "not every tool was approved",
                next_after(code, &tool, &shown_target(target)),
            )
            .with_code(code)
            .with_details(data, text)),
        }
    })
}

/// Lists, removes and takes back approvals.
///
/// # Errors
///
/// When they cannot be read or written, or there is none of that name.
pub fn manage(command: &ApprovalsCommand, home: &Home) -> Result<Report, Failure> {
    let store = approvals(home)?;
    block_on(async {
        let listing = store.list().await.map_err(damaged)?;
        let (tool, server, undo) = match command {
            ApprovalsCommand::List => {
                let faults: Vec<_> = listing.faults.iter().map(ToString::to_string).collect();
                let rows = listing.approvals.iter().map(|one| {
                    [
                        visible(&one.key.tool).into_owned(),
                        one.version.clone().unwrap_or_default(),
                        visible(&one.key.server).into_owned(),
                        one.key.issuer.clone().unwrap_or_else(|| "nobody, pinned".to_owned()),
                        one.approved_at.to_string(),
                    ]
                });
                let rows: Vec<_> = rows.collect();
                let mut text = match rows.is_empty() {
                    true => "no approvals yet, make one with `etdi approve -- COMMAND`".to_owned(),
                    false => table(["tool", "version", "server", "signed by", "approved"], rows),
                };
                for fault in &faults {
                    text.push_str(&format!("\nnot approved: {fault}"));
                }
                let data = json!({
                    "approvals": listing.approvals, "faults": faults, "encrypted": false,
                });
                return Ok(Report::new(data, text));
            }
            ApprovalsCommand::Remove { tool, server } => (tool, server, false),
            ApprovalsCommand::Undo { tool, server } => (tool, server, true),
        };
        let meant = |key: &ApprovalKey| {
            key.tool == *tool && server.as_ref().is_none_or(|server| key.server == *server)
        };
        let keys: Vec<_> =
            listing.approvals.into_iter().map(|one| one.key).filter(|key| meant(key)).collect();
        let (store, audit) = (std::sync::Arc::new(store), std::sync::Arc::new(audit(home)?));
        let approvals =
            Approvals::new(Policy::default(), store, std::sync::Arc::new(NoApprover), audit);
        let mut done = Vec::new();
        for key in keys {
            let changed = match undo {
                true => approvals.undo(&key, system_time()).await,
                false => approvals.remove(&key, system_time()).await,
            };
            if changed.map_err(damaged)? {
                done.push(key);
            }
        }
        if done.is_empty() {
            let what = if undo { "carried over update" } else { "approval" };
            return Err(Failure::usage(
                format!("there is no {what} of a tool `{}`", visible(tool)),
                "etdi approvals list",
            ));
        }
        let what = if undo { "took back an update of" } else { "removed the approval of" };
        let lines = done
            .iter()
            .map(|key| format!("{what} {} of {}", visible(&key.tool), visible(&key.server)));
        let text = lines.collect::<Vec<_>>().join("\n");
        Ok(Report::new(json!({ "changed": done }), text))
    })
}

fn damaged(error: etdi::core::approval::StoreError) -> Failure {
    Failure::new(Exit::Refused, error.to_string(), "etdi approvals list").with_code("STORE_FAILED")
}
