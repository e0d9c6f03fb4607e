//! What is known of a listed tool, as data and as a row.

use etdi::core::change::visible;
use etdi::core::layer::{Review, ReviewOutcome};
use serde_json::{Value, json};

use crate::ask::{claims, permission_text};
use crate::demo::meet::found;
use crate::exit::Failure;
use crate::output::style;

/// A tool for programs.
pub fn data(review: &Review) -> Value {
    let (verification, finding) = found(review);
    let definition = review.definition();
    let canonical = definition.and_then(|one| serde_json::from_str::<Value>(one.canonical()).ok());
    let block = definition.and_then(|one| one.block());
    let issuer = review.verification().ok().map(|verified| verified.issuer());
    let claimed = review.verification().map_or(&[][..], |verified| verified.claimed());
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
        "claimed": claimed,
        "digest": definition.map(|one| one.digest()),
        "version": block.map(|block| &block.version),
        "permissions": block.map(|block| &block.permissions),
        "refusal": refusal, "definition": canonical,
    })
}

/// What to do about what verification found, to be added to a sentence.
pub fn remedy(verification: &str) -> &'static str {
    match verification {
        "KEY_UNKNOWN" | "ISSUER_UNTRUSTED" | "NOBODY_TRUSTED" | "FIRST_USE" => {
            "; get the publisher's public keys as a file and name it with `--trust FILE`"
        }
        "EXECUTABLE_MISMATCH" => {
            "; each build is signed anew, with `etdi sign`, and none can hold its own digest: a \
             manifest that is built in goes with `--instance-key`"
        }
        "BINDING_MISSING" => {
            "; sign without `--any-executable`, or with `--instance-key` and a server that has it"
        }
        "WRONG_SERVER" => "; name the server as its publisher does, with `--server NAME`",
        "UNSIGNED" => {
            "; whoever publishes it signs it with `etdi sign`, and until then it is refused at `strict`, \
             and a person may approve it at `enhanced`"
        }
        _ => "",
    }
}

/// Why the signature of a tool does not hold, and what to do, where `code` refuses it for that.
pub fn cause(review: &Review, code: &str) -> Option<String> {
    let about_the_signature = matches!(
        code,
        "UNVERIFIED"
            | "UNSIGNED"
            | "VERIFICATION_LOST"
            | "SIGNATURE_REMOVED"
            | "SIGNATURE_INVALID"
            | "DIGEST_MISMATCH"
            | "ATTESTATION_EXPIRED"
            | "ATTESTATION_NOT_YET_VALID"
            | "ATTESTATION_INVALID"
            | "TOKEN_INVALID"
            | "KEY_UNTRUSTED"
            | "REVOKED"
            | "DEFINITION_INVALID"
    );
    if !about_the_signature || review.verification().is_ok() {
        return None;
    }
    let (verification, finding) = found(review);
    Some(format!("{finding}{}", remedy(&verification)))
}

/// A refusal with its cause.
pub fn because(mut failure: Failure, review: &Review) -> Failure {
    let Some(cause) = cause(review, &failure.code) else { return failure };
    let refused = match review.outcome() {
        // Without its advice, which is for programs.
        ReviewOutcome::Refused(refusal) => refusal.to_string(),
        _ => failure.message,
    };
    failure.message = format!("{refused}: {cause}");
    if let Some(data) = failure.details.as_mut().and_then(|details| details.data.as_object_mut()) {
        let (verification, finding) = found(review);
        data.insert("verification".to_owned(), verification.into());
        data.insert("finding".to_owned(), finding.into());
    }
    failure
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
    let (good, bad, warn, bold) = (style::GOOD, style::BAD, style::WARN, style::BOLD);
    let (code, finding) = found(review);
    let mark = match code.as_str() {
        "VERIFIED" => format!("{good}verified{good:#}"),
        "FIRST_USE" => format!("{warn}first use{warn:#}"),
        code => format!("{bad}{code}{bad:#}"),
    };
    let mut lines = vec![format!("{bold}{}{bold:#}  {mark}", visible(review.name()))];
    lines.push(format!("  {finding}"));
    for text in review.verification().map_or(&[][..], |one| one.claimed()).iter().flat_map(claims) {
        lines.push(format!("  claims {text}"));
    }
    if let Some(definition) = review.definition() {
        lines.push(format!("  digest {}", definition.digest()));
        for permission in definition.block().map_or(&[][..], |block| &block.permissions) {
            lines.push(format!("  may    {}", permission_text(permission)));
        }
    }
    lines.join("\n")
}
