//! What is known of a listed tool, as data and as a row.

use etdi::core::change::visible;
use etdi::core::layer::{Review, ReviewOutcome};
use serde_json::{Value, json};

use crate::ask::permission_text;
use crate::demo::meet::found;
use crate::output::style;

/// A tool for programs.
pub fn data(review: &Review) -> Value {
    let (verification, finding) = found(review);
    let definition = review.definition();
    let canonical = definition.and_then(|one| serde_json::from_str::<Value>(one.canonical()).ok());
    let block = definition.and_then(|one| one.block());
    let issuer = review.verification().ok().map(|verified| verified.issuer());
    let refusal = match review.outcome() {
        ReviewOutcome::Refused(refusal) => Some(json!({
            "reason": refusal.reason, "alarm": refusal.alarm,
            "can_be_approved": refusal.can_be_approved, "approved_digest": refusal.previous,
            "changes": refusal.changes,
        })),
        _ => None,
    };
    json!({
        "name": review.name(), "status": review.code(), "approved": review.is_approved(),
        "verification": verification, "finding": finding, "issuer": issuer,
        "digest": definition.map(|one| one.digest()),
        "version": block.map(|block| &block.version),
        "permissions": block.map(|block| &block.permissions),
        "refusal": refusal, "definition": canonical,
    })
}

/// The head of [`row`].
pub const HEAD: [&str; 5] = ["tool", "version", "signature", "approval", "permissions"];

/// A tool for people.
pub fn row(review: &Review) -> [String; 5] {
    let (verification, _) = found(review);
    let block = review.definition().and_then(|one| one.block());
    let version = block.map_or_else(String::new, |block| block.version.to_string());
    let signature = match verification.as_str() {
        "VERIFIED" => "verified".to_owned(),
        other => other.to_lowercase().replace('_', " "),
    };
    let approval = match review.is_approved() {
        true => "approved".to_owned(),
        false => review.code().to_lowercase().replace('_', " "),
    };
    let permissions = block.map_or_else(Vec::new, |block| {
        block.permissions.iter().map(|one| one.scope.to_string()).collect()
    });
    [visible(review.name()).into_owned(), version, signature, approval, permissions.join(" ")]
}

/// A tool for people, in detail.
pub fn details(review: &Review) -> String {
    let (good, bad, bold) = (style::GOOD, style::BAD, style::BOLD);
    let (code, finding) = found(review);
    let mark = match code.as_str() {
        "VERIFIED" => format!("{good}verified{good:#}"),
        code => format!("{bad}{code}{bad:#}"),
    };
    let mut lines = vec![format!("{bold}{}{bold:#}  {mark}", visible(review.name()))];
    lines.push(format!("  {finding}"));
    if let Some(definition) = review.definition() {
        lines.push(format!("  digest {}", definition.digest()));
        for permission in definition.block().map_or(&[][..], |block| &block.permissions) {
            lines.push(format!("  may    {}", permission_text(permission)));
        }
    }
    lines.join("\n")
}
