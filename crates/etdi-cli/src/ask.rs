//! Asks the person at the terminal whether a tool is approved.

use std::io::{BufRead, Write};

use etdi::core::approval::{Answer, Approver, Granted, Question, Standing};
use etdi::core::change::visible;
use etdi::core::permission::Permission;
use etdi::core::proof::Trust;
use mcp_types::BoxFuture;

use crate::output::style;

/// How questions are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// By the person at the terminal.
    Terminal,
    /// With yes, as was said before.
    Yes,
    /// With no, because nobody sits there.
    Nobody,
}

/// Who answers, and what a yes grants.
#[derive(Clone, Debug)]
pub struct Grants {
    /// Who answers.
    pub asker: Asker,
    /// What a yes grants.
    pub granted: Granted,
}

impl Grants {
    /// A yes grants whatever a tool declares.
    pub fn all(asker: Asker) -> Self {
        Self { asker, granted: Granted::All }
    }
}

impl Approver for Grants {
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer> {
        let yes = || Answer::approve(self.granted.clone(), user());
        match self.asker {
            // Yes was said before anybody could know of an alarm.
            Asker::Yes if !question.alarm => Box::pin(std::future::ready(yes())),
            Asker::Yes | Asker::Nobody => Box::pin(std::future::ready(Answer::Decline)),
            Asker::Terminal => {
                let text = describe(&question);
                Box::pin(async move {
                    // Whoever reads the keyboard must not hold up the connection.
                    let agreed = tokio::task::spawn_blocking(move || prompt(&text)).await;
                    if agreed.unwrap_or(false) { yes() } else { Answer::Decline }
                })
            }
        }
    }
}

/// Who sits there, for the approval's record.
pub fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    name.unwrap_or_else(|_| "the user of etdi".to_owned())
}

fn prompt(text: &str) -> bool {
    let mut stderr = anstream::stderr();
    let mut line = String::new();
    // Who cannot be asked has not said yes.
    write!(stderr, "{text}\napprove? [y/N] ").is_ok()
        && stderr.flush().is_ok()
        && std::io::stdin().lock().read_line(&mut line).is_ok()
        && matches!(line.trim().to_lowercase().as_str(), "y" | "yes")
}

/// All that a person needs to decide. Texts of the peer are shown as they are, nothing hidden.
fn describe(question: &Question<'_>) -> String {
    let (bold, warn, bad) = (style::BOLD, style::WARN, style::BAD);
    let facts = &question.facts;
    let definition = facts.definition;
    let version = facts.version().map_or_else(String::new, |version| format!(" {version}"));
    let mut lines = vec![format!(
        "\n{bold}{}{bold:#}{version} of {}",
        visible(definition.name()),
        visible(facts.server)
    )];
    let mut field = |name: &str, text: String| lines.push(format!("  {name:<12} {text}"));
    field("says", visible(definition.description().unwrap_or("nothing")).into_owned());
    let standing = match question.standing() {
        Standing::Verified { issuer, trust, .. } => match trust {
            Trust::Configured => format!("signed by {issuer}, whom you trust"),
            Trust::Issuer => format!("signed by {issuer}"),
            _ => format!("signed by {issuer}, {warn}seen for the first time{warn:#}"),
        },
        Standing::Unsigned => format!("{warn}unsigned{warn:#}: nobody vouches for it"),
        _ => format!("{warn}unverified{warn:#}: its signature cannot be checked here"),
    };
    field("signature", standing);
    for permission in question.permissions() {
        field("may", permission_text(permission));
    }
    if question.permissions().is_empty() {
        field("may", "it declares no permissions".to_owned());
    }
    field("because", question.reason.describe().to_owned());
    if question.alarm {
        field("alarm", format!("{bad}an honest publisher does not do this{bad:#}"));
    }
    if !question.changes.is_empty() {
        lines.push("  what changed since the last approval:".to_owned());
        lines.extend(question.changes.to_string().lines().map(|line| format!("  {line}")));
    }
    lines.join("\n")
}

/// A permission with what it is for.
pub fn permission_text(permission: &Permission) -> String {
    let scope = &permission.scope;
    let why = permission.description.as_deref().or(permission.name.as_deref());
    let why = why.map_or_else(String::new, |why| format!(" ({})", visible(why)));
    let optional = if permission.required { "" } else { ", optional" };
    format!("{scope}{why}{optional}")
}
