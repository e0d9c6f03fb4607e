//! The seam to the person who approves.

use mcp_types::BoxFuture;

use super::{Approval, ApprovalKey, Facts, Granted, Reason, Standing};
use crate::change::Changes;
use crate::permission::{Permission, Risk};
use crate::time::UnixTime;

/// What a person is asked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Question<'a> {
    /// The tool, its definition and what verification found.
    pub facts: Facts<'a>,
    /// Why the question comes up.
    pub reason: Reason,
    /// An honest publisher does not do this; the person should be told so.
    pub alarm: bool,
    /// What changed since the last approval.
    pub changes: &'a Changes,
    /// The last approval, also one of another issuer.
    pub previous: Option<&'a Approval>,
    /// Scopes beyond what was approved that are on the host's list of risks.
    pub risks: &'a [Risk],
    /// Approved tools whose names look like this one's, or are the same on another server. It
    /// inherits nothing of theirs; a person could take it for one of them.
    pub alike: &'a [ApprovalKey],
}

impl<'a> Question<'a> {
    /// The permissions that there are to grant.
    pub fn permissions(&self) -> &'a [Permission] {
        self.facts.permissions()
    }

    /// What verification found, to be shown with the definition.
    pub fn standing(&self) -> &'a Standing {
        self.facts.standing
    }
}

/// What a person answers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// Yes.
    Approve {
        /// The permissions to grant; what the definition does not declare is left out.
        granted: Granted,
        /// Who answers.
        approver: String,
        /// Until when it counts, `None` for as long as nothing changes.
        expires_at: Option<UnixTime>,
        /// A word on it, for later.
        note: Option<String>,
    },
    /// No, or nobody there to ask.
    Decline,
}

impl Answer {
    /// Yes, without an end or a note.
    pub fn approve(granted: Granted, approver: impl Into<String>) -> Self {
        Self::Approve { granted, approver: approver.into(), expires_at: None, note: None }
    }
}

/// Puts a question before a person.
///
/// The texts in it come from a peer: show them with
/// [`SafeText`](crate::safe::SafeText), and never without what
/// verification found.
#[diagnostic::on_unimplemented(
    note = "implement `Approver` to ask the user, or use `NoApprover` to decline everything new"
)]
pub trait Approver: Send + Sync {
    /// Asks, and waits for the answer. Dropping the future takes the question back.
    fn ask<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Answer>;
}

/// Nobody to ask: declines everything that has not been approved before.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoApprover;

impl Approver for NoApprover {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(core::future::ready(Answer::Decline))
    }
}
