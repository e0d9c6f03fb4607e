//! What a person is asked about a tool, as a form that a client shows, and their answer.

use std::collections::BTreeMap;

use etdi_core::approval::{Refusal, Standing};
use etdi_core::change::visible;
use etdi_core::layer::{Review, ReviewOutcome};
use etdi_core::proof::Trust;
use mcp_types::{
    BooleanSchema, ElicitAction, ElicitRequestFormParams, ElicitRequestFormParamsRequestedSchema,
    ElicitRequestParams, ElicitResult, InputRequest, PrimitiveSchemaDefinition, RawText,
};

use super::Settings;

/// What is longer than this is not asked by a form: nobody would read it there, and what hides does so
/// at the end.
const LONGEST: usize = 6 << 10;

/// The field of the form.
const FIELD: &str = "approve";

/// The refusal of a tool that a person could approve.
pub(super) fn approvable(review: &Review) -> Option<&Refusal> {
    match review.outcome() {
        ReviewOutcome::Refused(refusal) if refusal.can_be_approved => Some(refusal),
        _ => None,
    }
}

/// All that a person has to read before they approve a tool; nothing if it is too long for a form.
pub(super) fn text(review: &Review, settings: &Settings) -> Option<String> {
    let refusal = approvable(review)?;
    let definition = review.definition()?;
    let mut lines =
        vec![format!("Tool `{}`: {}.", visible(review.name()), refusal.reason.describe())];
    let found = review.verification().cloned().map_err(Clone::clone);
    let standing = Standing::of(&found);
    lines.push(match &standing {
        Standing::Verified { issuer, trust, .. } => match trust {
            Trust::Configured => format!("Signed by {issuer}, whom you trust."),
            Trust::Issuer => format!("Signed by {issuer}."),
            _ => format!("Signed by {issuer}, seen for the first time."),
        },
        Standing::Unsigned => "Unsigned: nobody vouches for it.".to_owned(),
        _ => "Its signature cannot be checked here.".to_owned(),
    });
    if refusal.alarm {
        lines.push(format!("ALARM: {}.", alarm(&standing)));
    }
    for finding in settings.findings(definition) {
        lines.push(format!("Finding: {}", visible(&finding)));
    }
    for remark in settings.remarks(definition) {
        lines.push(format!("Remark: {}", visible(&remark)));
    }
    if !refusal.changes.is_empty() {
        lines.push("What changed since it was approved:".to_owned());
        let told = refusal.changes.iter().filter(|change| !change.is_without_version());
        lines.extend(told.map(|change| format!("  {change}")));
        if refusal.changes.omitted() > 0 {
            return None;
        }
    }
    lines.push(format!("Its whole definition: {}", visible(definition.canonical())));
    let text = lines.join("\n");
    (text.len() <= LONGEST).then_some(text)
}

/// What an alarm says: a publisher who signs gives a change a new version, and one who signs nothing
/// changes a text in good faith as well.
fn alarm(standing: &Standing) -> &'static str {
    match standing {
        Standing::Unsigned => {
            "this is not what was approved, and nobody signed it, so read the change before you say yes"
        }
        _ => "an honest publisher does not do this",
    }
}

/// The form that asks about tools whose `texts` these are.
pub(super) fn form(server: &str, texts: &[String]) -> InputRequest {
    let what = match texts {
        [_] => "this tool",
        _ => "all of these tools",
    };
    let message = format!(
        "etdi guard asks, not the server: may {what} of `{}` be shown to the model and called? The \
         server wrote what stands behind `Its whole definition`, and what findings and changes quote; all \
         else is the guard's.\n\n{}",
        visible(server),
        texts.join("\n\n")
    );
    let mut field = BooleanSchema::new();
    field.title = Some(format!("Approve {what} as written above"));
    field.default = Some(false);
    let fields = BTreeMap::from([(FIELD.to_owned(), PrimitiveSchemaDefinition::Boolean(field))]);
    let mut schema = ElicitRequestFormParamsRequestedSchema::new(fields);
    schema.required = Some(vec![FIELD.to_owned()]);
    InputRequest::Elicit(ElicitRequestParams::Form(ElicitRequestFormParams::new(message, schema)))
}

/// Whether an answer says yes: accepted, and the field is true. Everything else is a no.
pub(super) fn is_yes(answer: &RawText) -> bool {
    let Ok(answer) = answer.parse::<ElicitResult>() else { return false };
    let field = answer.content.as_ref().and_then(|content| content.get(FIELD));
    matches!(answer.action, ElicitAction::Accept)
        && field.and_then(|field| field.parse::<bool>().ok()) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_one() {
        for (answer, yes) in [
            (r#"{"action":"accept","content":{"approve":true}}"#, true),
            (r#"{"action":"accept","content":{"approve":false}}"#, false),
            (r#"{"action":"accept","content":{"approve":"true"}}"#, false),
            (r#"{"action":"accept","content":{}}"#, false),
            (r#"{"action":"accept"}"#, false),
            (r#"{"action":"decline","content":{"approve":true}}"#, false),
            (r#"{"action":"cancel"}"#, false),
            ("7", false),
        ] {
            assert_eq!(is_yes(&RawText::new(answer).unwrap()), yes, "{answer}");
        }
    }
}
