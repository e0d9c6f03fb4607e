//! What became of a listed tool, for hosts and for tests.

use std::sync::Arc;

use mcp_types::{ErrorObject, Origin};
use serde_json::json;

use crate::approval::{Approved, Refusal};
use crate::change::visible;
use crate::definition::{DefinitionError, ToolDefinition};
use crate::revocation::NO_SOURCE;
use crate::time::UnixTime;
use crate::verify::{Verified, VerifyError};
use crate::wire;

/// What became of a listed tool: what verification found, and whether it may be called.
#[derive(Clone, Debug)]
pub struct Review {
    name: String,
    verification: Result<Verified<ToolDefinition>, VerifyError>,
    definition: Option<ToolDefinition>,
    outcome: ReviewOutcome,
}

/// Whether a tool may be called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReviewOutcome {
    /// It may.
    Approved(Approved<ToolDefinition>),
    /// It may not.
    Refused(Arc<Refusal>),
    /// Nobody can say for certain what it is.
    Unreadable(DefinitionError),
}

impl Review {
    pub(super) fn new(
        definition: ToolDefinition,
        verification: Result<Verified<ToolDefinition>, VerifyError>,
        outcome: Result<Approved<ToolDefinition>, Box<Refusal>>,
    ) -> Self {
        let outcome = match outcome {
            Ok(approved) => ReviewOutcome::Approved(approved),
            Err(refusal) => ReviewOutcome::Refused(Arc::from(refusal)),
        };
        let name = definition.name().to_owned();
        Self { name, verification, definition: Some(definition), outcome }
    }

    pub(super) fn unreadable(name: &str, error: DefinitionError) -> Self {
        Self {
            name: name.to_owned(),
            verification: Err(VerifyError::Definition(error.clone())),
            definition: None,
            outcome: ReviewOutcome::Unreadable(error),
        }
    }

    /// The name of the tool; for what could not be read as a tool and has no name, its place in
    /// the listing.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What verification found.
    pub fn verification(&self) -> Result<&Verified<ToolDefinition>, &VerifyError> {
        self.verification.as_ref()
    }

    /// The definition as it was listed, if it can be read.
    pub fn definition(&self) -> Option<&ToolDefinition> {
        self.definition.as_ref()
    }

    /// Whether it may be called.
    pub fn outcome(&self) -> &ReviewOutcome {
        &self.outcome
    }

    /// Whether it may be called, as of when it was looked at.
    pub fn is_approved(&self) -> bool {
        matches!(self.outcome, ReviewOutcome::Approved(_))
    }

    /// Whether a person could approve it.
    pub fn can_be_approved(&self) -> bool {
        matches!(&self.outcome, ReviewOutcome::Refused(refusal) if refusal.can_be_approved)
    }

    /// Whether it may be called at `now`, if nothing but time has passed.
    pub(super) fn is_approved_at(&self, now: UnixTime) -> bool {
        let ReviewOutcome::Approved(approved) = &self.outcome else { return false };
        let attested = match &self.verification {
            Ok(verified) => now < verified.expires(),
            Err(_) => true,
        };
        attested && !approved.approval().is_expired(now)
    }

    /// A stable word: `APPROVED`, or the reason why not.
    pub fn code(&self) -> &'static str {
        match &self.outcome {
            ReviewOutcome::Approved(_) => "APPROVED",
            ReviewOutcome::Refused(refusal) => refusal.reason.code(),
            ReviewOutcome::Unreadable(_) => "DEFINITION_INVALID",
        }
    }

    /// The error with which a call is refused. The tool's own texts are not in it.
    pub(super) fn error(&self) -> ErrorObject {
        let verification = self.verification.as_ref().err().map(VerifyError::code);
        let (message, evidence) = match &self.outcome {
            ReviewOutcome::Approved(_) => return ErrorObject::internal("the tool may be called"),
            ReviewOutcome::Refused(refusal) => (
                match self.verification.as_ref().err().and_then(advice) {
                    Some(advice) if !refusal.can_be_approved => format!("{refusal}, {advice}"),
                    _ => refusal.to_string(),
                },
                json!({
                    "digest": refusal.digest,
                    "approved": refusal.previous,
                    "verification": verification,
                }),
            ),
            ReviewOutcome::Unreadable(error) => (
                format!("tool `{}` is refused: {error}", visible(&self.name)),
                json!({ "definition": error.code() }),
            ),
        };
        let data = json!({ wire::ERROR_DATA: self.code(), wire::EVIDENCE: evidence });
        ErrorObject::local(Origin::Refused, message).with_data(&data)
    }
}

/// What a host does about an attestation that cannot be checked. What the attestation says is not in
/// it, because it may be the server's own words.
fn advice(error: &VerifyError) -> Option<&'static str> {
    if matches!(error, VerifyError::RevocationUnknown { why, .. } if why == NO_SOURCE) {
        return Some(NO_SOURCE);
    }
    Some(match error.code() {
        "WRONG_SERVER" => {
            "it is about a server of another name: name this one as its publisher does, such as with \
             `Program::named`"
        }
        "KEY_UNKNOWN" | "ISSUER_UNTRUSTED" | "NOBODY_TRUSTED" => {
            "its key is not trusted here: trust the publisher's, if you know whose it is"
        }
        "KEY_UNAVAILABLE" => "the keys of its issuer cannot be had now: try again later",
        "EXECUTABLE_MISMATCH" => {
            "it is about another program: have this build signed, or put the signed one back"
        }
        "SCRIPT_MISSING" => "it is about a script that is not the program's first argument",
        "BINDING_MISSING" => {
            "nothing proves that this server is the one that it is about: have it signed for the \
             program's digest or for an instance key"
        }
        "POSSESSION_MISSING" | "POSSESSION_OF_OTHER_KEY" | "POSSESSION_INVALID" => {
            "the server does not prove that it holds the key that it names: it may be a copy"
        }
        "REVOCATION_UNKNOWN" => "nothing fresh is known of what was revoked: try again later",
        _ => return None,
    })
}
