//! The kinds of events, by their names in logs and by the names that older listeners use.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Writes the enum, the list of all kinds and their names from one table.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal,)*) => {
        /// What kind of thing happened.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[non_exhaustive]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind,)*
        }

        impl EventKind {
            /// All kinds, in order.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// The name in logs.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }
        }
    };
}

kinds! {
    /// A tool was listed for the first time on a connection.
    ToolDiscovered = "tool_discovered",
    /// A tool's attestation was verified and bound to its server.
    ToolVerified = "tool_verified",
    /// A person was asked about a tool that is not approved yet.
    ToolApprovalRequested = "tool_approval_requested",
    /// A person approved a tool.
    ToolApproved = "tool_approved",
    /// A tool was called; nothing of its arguments is recorded.
    ToolInvoked = "tool_invoked",
    /// An approval was carried over to an update, or such an update was taken back.
    ToolUpdated = "tool_updated",
    /// An approval was removed, or a tool is not listed any more.
    ToolRemoved = "tool_removed",
    /// A person was asked about a tool that had been approved before.
    ToolReapprovalRequested = "tool_reapproval_requested",
    /// An approval came to its end.
    ToolExpired = "tool_expired",
    /// A person declined a tool.
    ToolDeclined = "tool_declined",
    /// A listing or a call was refused.
    ToolRefused = "tool_refused",
    /// A signature was checked and holds.
    SignatureVerified = "signature_verified",
    /// A signature was checked and does not hold.
    SignatureFailed = "signature_failed",
    /// A key that nobody vouches for counts because it was there first; above `basic` that is a
    /// warning.
    KeyTakenOnFirstUse = "key_taken_on_first_use",
    /// A tool has another version.
    VersionChanged = "version_changed",
    /// A tool wants to be allowed something else.
    PermissionChanged = "permission_changed",
    /// A policy engine or a flow rule decided about a call.
    PolicyDecided = "policy_decided",
    /// Something that no honest peer does.
    SecurityViolation = "security_violation",
    /// A token was obtained.
    TokenAcquired = "token_acquired",
    /// A token was checked and counts.
    TokenValidated = "token_validated",
    /// A token was replaced by a fresh one.
    TokenRefreshed = "token_refreshed",
    /// A token came to its end.
    TokenExpired = "token_expired",
    /// A token was taken back.
    TokenRevoked = "token_revoked",
    /// A token, or what else lets somebody in, was shown and does not count.
    TokenRefused = "token_refused",
    /// A tool called another that it may not call.
    CallStackViolation = "call_stack_violation",
    /// Tools called each other deeper than one of them allows.
    CallDepthExceeded = "call_depth_exceeded",
    /// A tool called itself, directly or by others.
    CircularCallDetected = "circular_call_detected",
    /// A tool called one that may do more than it may itself.
    PrivilegeEscalationDetected = "privilege_escalation_detected",
    /// A client was set up.
    ClientInitialized = "client_initialized",
    /// A client connected to a server.
    ClientConnected = "client_connected",
    /// A client's connection ended.
    ClientDisconnected = "client_disconnected",
    /// A provider is known from now on.
    ProviderRegistered = "provider_registered",
    /// A provider has other keys or another address.
    ProviderUpdated = "provider_updated",
    /// A provider could not be used.
    ProviderError = "provider_error",
    /// The approval store could not say for certain what is approved.
    StoreFailed = "store_failed",
    /// The audit trail could not be written; only listeners hear of it, and the trail says afterwards
    /// that something is missing.
    AuditFailed = "audit_failed",
    /// Entries could not be written before this one, and are missing in the audit trail.
    AuditLost = "audit_lost",
    /// The audit trail ended in half a line, which was taken out.
    AuditRepaired = "audit_repaired",
    /// The audit trail up to here was signed.
    AuditCheckpoint = "audit_checkpoint",
    /// The audit trail goes on in another file.
    AuditRotated = "audit_rotated",
    /// The oldest files of the audit trail were removed, as its bounds say.
    AuditPruned = "audit_pruned",
    /// Something failed that no other kind names.
    Error = "error",
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
        let legacy = match text {
            "tool_verification_failed" => Some(Self::SignatureFailed),
            "reapproval_requested" => Some(Self::ToolReapprovalRequested),
            "toolVerified" => Some(Self::ToolVerified),
            "toolApproved" => Some(Self::ToolApproved),
            "versionChanged" => Some(Self::VersionChanged),
            "permissionChanged" => Some(Self::PermissionChanged),
            "tokenRefreshed" => Some(Self::TokenRefreshed),
            "tokenExpired" => Some(Self::TokenExpired),
            _ => None,
        };
        let named = || Self::ALL.iter().copied().find(|kind| kind.name() == text);
        legacy.or_else(named).ok_or(UnknownEvent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_old_ones_are_understood() {
        for (place, kind) in EventKind::ALL.iter().copied().enumerate() {
            assert_eq!(kind.name().parse(), Ok(kind));
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
            assert_eq!(kind as usize, place);
        }
        for (name, kind) in [
            ("tool_verified", EventKind::ToolVerified),
            ("tool_verification_failed", EventKind::SignatureFailed),
            ("tool_approved", EventKind::ToolApproved),
            ("tool_invoked", EventKind::ToolInvoked),
            ("reapproval_requested", EventKind::ToolReapprovalRequested),
            ("toolVerified", EventKind::ToolVerified),
            ("toolApproved", EventKind::ToolApproved),
            ("versionChanged", EventKind::VersionChanged),
            ("permissionChanged", EventKind::PermissionChanged),
            ("tokenRefreshed", EventKind::TokenRefreshed),
            ("tokenExpired", EventKind::TokenExpired),
            ("error", EventKind::Error),
        ] {
            assert_eq!(name.parse(), Ok(kind), "{name}");
        }
        assert_eq!("tool_exploded".parse::<EventKind>(), Err(UnknownEvent));
    }

    /// The names that listeners of the Python fork know, all of them.
    #[test]
    fn every_name_of_the_fork_is_a_kind() {
        let names = "tool_discovered tool_verified tool_approved tool_invoked tool_updated \
            tool_removed tool_reapproval_requested tool_expired signature_verified \
            signature_failed version_changed permission_changed security_violation \
            token_acquired token_validated token_refreshed token_expired token_revoked \
            call_stack_violation call_depth_exceeded circular_call_detected \
            privilege_escalation_detected client_initialized client_connected \
            client_disconnected provider_registered provider_updated provider_error";
        let names: Vec<&str> = names.split_whitespace().collect();
        assert_eq!(names.len(), 28);
        for name in names {
            assert_eq!(name.parse::<EventKind>().map(EventKind::name), Ok(name));
        }
    }
}
