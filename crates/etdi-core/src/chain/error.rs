//! Why one tool may not call another.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{EventKind, Severity};
use crate::permission::Scope;

/// Why one tool may not call another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Too many tools under way.
    #[error("tool `{}` would be deeper than {limit} calls, call it from further out", .tool.escape_debug())]
    TooDeep {
        /// The tool.
        tool: String,
        /// The limit.
        limit: u32,
    },
    /// The tool is already running.
    #[error("tool `{}` is already running in this chain", .tool.escape_debug())]
    Circular {
        /// The tool.
        tool: String,
    },
    /// The caller's declaration does not allow it.
    #[error(
        "tool `{}` does not declare that it calls `{}`", .caller.escape_debug(), .callee.escape_debug()
    )]
    CalleeDenied {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// The callee's declaration does not allow it.
    #[error(
        "tool `{}` does not let `{}` call it", .callee.escape_debug(), .caller.escape_debug()
    )]
    CallerDenied {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// This server's policy does not allow it.
    #[error(
        "this server does not let `{}` call `{}`, name the pair in `allowed_call_chains` or in the caller's \
         `allowed_callees`", .caller.escape_debug(), .callee.escape_debug()
    )]
    NotPermitted {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// The callee may do more than the caller.
    #[error(
        "tool `{}` has permissions that `{}` has not ({}), which would lend them to it",
        .callee.escape_debug(), .caller.escape_debug(), Listed(.beyond)
    )]
    Escalation {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
        /// What the callee may do beyond the caller.
        beyond: Vec<Scope>,
    },
    /// Too many calls.
    #[error("tool `{}` was called by others more than {per_minute} times in a minute, slow down", .tool.escape_debug())]
    TooOften {
        /// The tool.
        tool: String,
        /// The limit.
        per_minute: u32,
    },
    /// A user would have to approve it.
    #[error(
        "a call of `{}` by `{}` needs a user's approval, call it directly", .callee.escape_debug(), .caller.escape_debug()
    )]
    ApprovalRequired {
        /// Who calls.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// The call token of another server does not count.
    #[error("the call token does not hold: {why}")]
    Token {
        /// Why.
        why: String,
    },
}

impl ChainError {
    /// Which kind of violation it is.
    pub fn kind(&self) -> ViolationKind {
        match self {
            Self::TooDeep { .. } => ViolationKind::ExcessiveDepth,
            Self::Circular { .. } => ViolationKind::CircularDependency,
            Self::Escalation { .. } => ViolationKind::PrivilegeEscalation,
            Self::TooOften { .. } => ViolationKind::RateLimitExceeded,
            Self::ApprovalRequired { .. } => ViolationKind::PermissionViolation,
            Self::CalleeDenied { .. }
            | Self::CallerDenied { .. }
            | Self::NotPermitted { .. }
            | Self::Token { .. } => ViolationKind::UnauthorizedChain,
        }
    }
}

/// The kinds of violations, by the names of the Python SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ViolationKind {
    /// One end, or this server, does not allow the call.
    UnauthorizedChain,
    /// A tool is called while it runs.
    CircularDependency,
    /// More tools under way than are allowed.
    ExcessiveDepth,
    /// The callee may do more than the caller.
    PrivilegeEscalation,
    /// A permission is missing, such as a user's.
    PermissionViolation,
    /// Too many calls in a minute.
    RateLimitExceeded,
}

impl ViolationKind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::UnauthorizedChain,
        Self::CircularDependency,
        Self::ExcessiveDepth,
        Self::PrivilegeEscalation,
        Self::PermissionViolation,
        Self::RateLimitExceeded,
    ];

    /// The name in files and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnauthorizedChain => "unauthorized_chain",
            Self::CircularDependency => "circular_dependency",
            Self::ExcessiveDepth => "excessive_depth",
            Self::PrivilegeEscalation => "privilege_escalation",
            Self::PermissionViolation => "permission_violation",
            Self::RateLimitExceeded => "rate_limit_exceeded",
        }
    }

    /// How grave it is. It orders events and blocks nothing: every violation blocks, unless the
    /// policy says otherwise of its kind.
    pub fn severity(self) -> Severity {
        match self {
            Self::RateLimitExceeded => Severity::Medium,
            Self::PrivilegeEscalation => Severity::Critical,
            _ => Severity::High,
        }
    }

    /// The event that tells of it.
    pub fn event(self) -> EventKind {
        match self {
            Self::CircularDependency => EventKind::CircularCallDetected,
            Self::ExcessiveDepth => EventKind::CallDepthExceeded,
            Self::PrivilegeEscalation => EventKind::PrivilegeEscalationDetected,
            _ => EventKind::CallStackViolation,
        }
    }
}

impl fmt::Display for ViolationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

struct Listed<'a>(&'a [Scope]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, scope) in self.0.iter().take(8).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}`{scope}`")?;
        }
        f.write_str(if self.0.len() > 8 { ", …" } else { "" })
    }
}
