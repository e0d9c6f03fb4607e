//! What happened, as typed events for the audit trail and for hosts.
//!
//! An event has no place for arguments, results or tokens, so none can slip into a log. Texts of
//! peers are cut to a bounded length and what does not show in them is escaped.
//!
//! ```
//! use etdi_core::event::{Event, EventKind, Severity};
//!
//! let event = Event::new(EventKind::SignatureFailed)
//!     .on("https://mcp.acme.example/mcp", "search\u{202e}")
//!     .severity(Severity::High);
//! assert_eq!(event.tool.as_deref(), Some(r"search\u{202e}"));
//! assert_eq!(event.kind.name(), "signature_failed");
//! ```

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::approval::{Approval, Facts, Reason};
use crate::change::{Changes, Gravity, visible};
use crate::digest::Digest;
use crate::key::KeyId;
use crate::level::SecurityLevel;

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A tool was listed for the first time.
    ToolDiscovered,
    /// A tool's attestation was verified and bound to its server.
    ToolVerified,
    /// A person approved a tool.
    ToolApproved,
    /// A tool was called; nothing of its arguments is recorded.
    ToolInvoked,
    /// An approval was carried over to an update, or such an update was taken back.
    ToolUpdated,
    /// An approval was removed.
    ToolRemoved,
    /// A person was asked about a tool that had been approved before.
    ToolReapprovalRequested,
    /// An approval came to its end.
    ToolExpired,
    /// A person declined a tool.
    ToolDeclined,
    /// A listing or a call was refused.
    ToolRefused,
    /// A signature was checked and holds.
    SignatureVerified,
    /// A signature was checked and does not hold.
    SignatureFailed,
    /// A tool has another version.
    VersionChanged,
    /// A tool wants to be allowed something else.
    PermissionChanged,
    /// A policy engine or a flow rule decided about a call.
    PolicyDecided,
    /// Something that no honest peer does.
    SecurityViolation,
    /// The approval store could not say for certain what is approved.
    StoreFailed,
    /// The audit trail ended in half a line, which was taken out.
    AuditRepaired,
    /// A client was set up.
    ClientInitialized,
    /// A client connected to a server.
    ClientConnected,
    /// A client's connection ended.
    ClientDisconnected,
}

impl EventKind {
    /// All kinds, in order.
    pub const ALL: [Self; 21] = [
        Self::ToolDiscovered,
        Self::ToolVerified,
        Self::ToolApproved,
        Self::ToolInvoked,
        Self::ToolUpdated,
        Self::ToolRemoved,
        Self::ToolReapprovalRequested,
        Self::ToolExpired,
        Self::ToolDeclined,
        Self::ToolRefused,
        Self::SignatureVerified,
        Self::SignatureFailed,
        Self::VersionChanged,
        Self::PermissionChanged,
        Self::PolicyDecided,
        Self::SecurityViolation,
        Self::StoreFailed,
        Self::AuditRepaired,
        Self::ClientInitialized,
        Self::ClientConnected,
        Self::ClientDisconnected,
    ];

    /// The name in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::ToolDiscovered => "tool_discovered",
            Self::ToolVerified => "tool_verified",
            Self::ToolApproved => "tool_approved",
            Self::ToolInvoked => "tool_invoked",
            Self::ToolUpdated => "tool_updated",
            Self::ToolRemoved => "tool_removed",
            Self::ToolReapprovalRequested => "tool_reapproval_requested",
            Self::ToolExpired => "tool_expired",
            Self::ToolDeclined => "tool_declined",
            Self::ToolRefused => "tool_refused",
            Self::SignatureVerified => "signature_verified",
            Self::SignatureFailed => "signature_failed",
            Self::VersionChanged => "version_changed",
            Self::PermissionChanged => "permission_changed",
            Self::PolicyDecided => "policy_decided",
            Self::SecurityViolation => "security_violation",
            Self::StoreFailed => "store_failed",
            Self::AuditRepaired => "audit_repaired",
            Self::ClientInitialized => "client_initialized",
            Self::ClientConnected => "client_connected",
            Self::ClientDisconnected => "client_disconnected",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no event has this name, write one such as `tool_approved`")]
pub struct UnknownEvent;

impl FromStr for EventKind {
    type Err = UnknownEvent;

    /// Reads a name, also as listeners of the Python fork and of its low-level design spell it.
    fn from_str(text: &str) -> Result<Self, UnknownEvent> {
        let kind = match text {
            "tool_verification_failed" => Some(Self::SignatureFailed),
            "reapproval_requested" => Some(Self::ToolReapprovalRequested),
            "toolVerified" => Some(Self::ToolVerified),
            "toolApproved" => Some(Self::ToolApproved),
            "versionChanged" => Some(Self::VersionChanged),
            "permissionChanged" => Some(Self::PermissionChanged),
            name => Self::ALL.into_iter().find(|kind| kind.name() == name),
        };
        kind.ok_or(UnknownEvent)
    }
}

/// How much an event matters, from the least to the most.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// In the normal course of things.
    Low,
    /// Worth knowing.
    #[default]
    Medium,
    /// Worth looking into.
    High,
    /// An attack, or what looks like one.
    Critical,
}

impl From<Gravity> for Severity {
    fn from(gravity: Gravity) -> Self {
        match gravity {
            Gravity::Cosmetic => Self::Low,
            Gravity::Notable => Self::Medium,
            Gravity::Powerful => Self::High,
            Gravity::Alarm => Self::Critical,
        }
    }
}

/// One thing that happened. What does not apply is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Event {
    /// What kind of thing.
    pub kind: EventKind,
    /// How much it matters.
    pub severity: Severity,
    /// The identity of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The name of the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// The version that the tool declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Who verifiably vouches for the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The thumbprint of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<KeyId>,
    /// The digest of the definition at hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The digest of the definition that was approved before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// The gravest difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gravity: Option<Gravity>,
    /// The level under which it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<SecurityLevel>,
    /// Who approved or declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// The generation of the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// What joins the events of one exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation: Option<String>,
    /// What failed, in our own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The most characters that are kept of a text.
pub const MAX_TEXT: usize = 256;

/// A text as it may stand in a log: what does not show escaped, and no longer than [`MAX_TEXT`].
fn bounded(text: &str) -> String {
    // Cut before escaping as well, so that a huge text is not escaped in vain.
    let start: String = text.chars().take(MAX_TEXT).collect();
    let shown = visible(&start);
    if start.len() == text.len() && shown.chars().count() <= MAX_TEXT {
        return shown.into_owned();
    }
    shown.chars().take(MAX_TEXT - 1).chain(['…']).collect()
}

impl Event {
    /// An event of which nothing else is known, of medium severity.
    pub fn new(kind: EventKind) -> Self {
        Self {
            kind,
            severity: Severity::default(),
            server: None,
            tool: None,
            version: None,
            issuer: None,
            kid: None,
            digest: None,
            previous: None,
            reason: None,
            gravity: None,
            level: None,
            approver: None,
            generation: None,
            correlation: None,
            detail: None,
        }
    }

    /// About a tool of a server.
    #[must_use]
    pub fn on(self, server: &str, tool: &str) -> Self {
        Self { server: Some(bounded(server)), tool: Some(bounded(tool)), ..self }
    }

    /// About a server.
    #[must_use]
    pub fn at(self, server: &str) -> Self {
        Self { server: Some(bounded(server)), ..self }
    }

    /// About a listed tool.
    #[must_use]
    pub fn about(self, facts: &Facts<'_>) -> Self {
        Self {
            version: facts.version().as_deref().map(bounded),
            issuer: facts.issuer().map(bounded),
            kid: facts.signed_by().map(|by| by.kid),
            digest: Some(facts.digest()),
            ..self.on(facts.server, facts.tool())
        }
    }

    /// About an approval.
    #[must_use]
    pub fn of_approval(self, approval: &Approval) -> Self {
        Self {
            version: approval.version.as_deref().map(bounded),
            issuer: approval.key.issuer.as_deref().map(bounded),
            kid: approval.signed_by.as_ref().map(|by| by.kid),
            digest: Some(approval.digest),
            level: Some(approval.level),
            approver: Some(bounded(&approval.approver)),
            generation: Some(approval.generation),
            ..self.on(&approval.key.server, &approval.key.tool)
        }
    }

    /// With its severity.
    #[must_use]
    pub fn severity(self, severity: Severity) -> Self {
        Self { severity, ..self }
    }

    /// With its reason.
    #[must_use]
    pub fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// With what changed since an earlier definition; the gravest difference is its severity.
    #[must_use]
    pub fn since(self, previous: Digest, changes: &Changes) -> Self {
        let gravity = changes.gravity();
        let severity = gravity.map_or(self.severity, Severity::from).max(self.severity);
        Self { previous: Some(previous), gravity, severity, ..self }
    }

    /// With the level under which it happened.
    #[must_use]
    pub fn under(self, level: SecurityLevel) -> Self {
        Self { level: Some(level), ..self }
    }

    /// With what joins the events of one exchange.
    #[must_use]
    pub fn correlated(self, correlation: &str) -> Self {
        Self { correlation: Some(bounded(correlation)), ..self }
    }

    /// With what failed, in our own words: never a text that may hold arguments or secrets.
    #[must_use]
    pub fn detail(self, detail: &impl fmt::Display) -> Self {
        Self { detail: Some(bounded(&detail.to_string())), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_old_ones_are_understood() {
        for kind in EventKind::ALL {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        for (name, kind) in [
            ("tool_verification_failed", EventKind::SignatureFailed),
            ("reapproval_requested", EventKind::ToolReapprovalRequested),
            ("versionChanged", EventKind::VersionChanged),
        ] {
            assert_eq!(name.parse(), Ok(kind));
        }
        assert_eq!("tool_exploded".parse::<EventKind>(), Err(UnknownEvent));
    }

    #[test]
    fn severities_are_ordered_as_values_and_not_as_texts() {
        assert!(Severity::Low < Severity::Medium && Severity::Medium < Severity::High);
        assert!(Severity::High < Severity::Critical);
    }

    #[test]
    fn texts_of_peers_are_bounded_and_shown() {
        let event = Event::new(EventKind::ToolDiscovered).on(&"s".repeat(100_000), "a\nb\u{1b}[2J");
        assert_eq!(event.server.unwrap().chars().count(), MAX_TEXT);
        assert_eq!(event.tool.as_deref(), Some("a\\nb\\u{1b}[2J"));
        let dense = Event::new(EventKind::ToolDiscovered).at(&"\u{200b}".repeat(200));
        assert_eq!(dense.server.unwrap().chars().count(), MAX_TEXT);
        let whole = "x".repeat(MAX_TEXT);
        assert_eq!(Event::new(EventKind::ToolDiscovered).at(&whole).server, Some(whole));
    }

    #[test]
    fn what_does_not_apply_is_left_out() {
        let event = Event::new(EventKind::ToolApproved).at("s").because(Reason::NotApproved);
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"kind":"tool_approved","severity":"medium","server":"s","reason":"NOT_APPROVED"}"#
        );
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
