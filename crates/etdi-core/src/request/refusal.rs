//! Why a server does not carry out a call.

use serde_json::{Value, json};

use crate::chain::ChainError;
use crate::digest::Digest;
use crate::identity::ServerIdentity;
use crate::key::KeyId;
use crate::legacy::call::LegacyError;
use crate::time::UnixTime;

/// Why a server does not carry out a call. Travels as a JSON-RPC error, never as a tool's result,
/// so that no model reads it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallRefusal {
    /// The tool wants signed calls and this one is not.
    #[error(
        "tool `{}` wants signed calls, send a statement in `_meta[\"dev.etdi/call\"]`", .tool.escape_debug()
    )]
    SignatureRequired {
        /// The tool.
        tool: String,
    },
    /// The statement is wrong.
    #[error("the statement of the call does not hold: {why}")]
    SignatureInvalid {
        /// Why.
        why: String,
    },
    /// The statement was used before.
    #[error("the statement of the call was used before, sign each call anew")]
    Replayed,
    /// Nobody can tell whether the statement was used before.
    #[error(
        "nobody can tell now whether the statement of the call was used before: where that is kept does \
         not answer, or has no more room for this caller; sign the call anew and try again, after at \
         most {} seconds if there is no room",
        .seconds
    )]
    ReplayStoreFull {
        /// How long statements count at most.
        seconds: u64,
    },
    /// The server wants to see a nonce of its own, and this one is missing, old or another's.
    #[error(
        "the statement has to name the server's nonce, sign the call again with `dev.etdi/nonce` of this error"
    )]
    NonceRequired {
        /// The nonce to use.
        nonce: String,
    },
    /// The statement is too old, from the future, or for too long.
    #[error("the statement of the call is for {issued} to {until} and it is {now}, set the clock")]
    Stale {
        /// When it was made.
        issued: UnixTime,
        /// Until when it counts.
        until: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The statement is for another server.
    #[error("the statement of the call is for `{}`, this is `{server}`", .named.escape_debug())]
    WrongAudience {
        /// The server that it names.
        named: String,
        /// This server.
        server: ServerIdentity,
    },
    /// The signature of the older kind does not count.
    #[error(transparent)]
    Legacy(LegacyError),
    /// The caller approved another definition than the live one.
    #[error("the definition is {live}, the caller approved {approved}, list the tools again")]
    DefinitionChanged {
        /// What the caller approved.
        approved: Digest,
        /// What the server has.
        live: Digest,
    },
    /// The chain of calls is not allowed.
    #[error("the call is not allowed: {0}")]
    ChainDenied(ChainError),
    /// The server's policy does not allow it; why is for the server's operator to know.
    #[error("the server's policy does not allow the call of `{}`, ask its operator", .tool.escape_debug())]
    PermissionDenied {
        /// The tool.
        tool: String,
    },
    /// It cannot be told now whose key it is.
    #[error("it cannot be told now whose key {key} is, try again later: {why}")]
    KeyUnavailable {
        /// The key.
        key: KeyId,
        /// What failed.
        why: String,
    },
    /// The caller's key is not known here.
    #[error("the caller's key {key} is not known here, have it added")]
    KeyUnknown {
        /// The key.
        key: KeyId,
    },
}

impl CallRefusal {
    /// The stable word in the error's data.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Legacy(error) => error.code(),
            Self::SignatureRequired { .. } => "SIGNATURE_REQUIRED",
            Self::SignatureInvalid { .. } => "SIGNATURE_INVALID",
            Self::Replayed => "REPLAYED",
            Self::ReplayStoreFull { .. } => "REPLAY_STORE_FULL",
            Self::NonceRequired { .. } => "NONCE_REQUIRED",
            Self::Stale { .. } => "STALE",
            Self::WrongAudience { .. } => "WRONG_AUDIENCE",
            Self::DefinitionChanged { .. } => "DEFINITION_CHANGED",
            Self::ChainDenied(_) => "CHAIN_DENIED",
            Self::PermissionDenied { .. } => "PERMISSION_DENIED",
            Self::KeyUnavailable { .. } | Self::KeyUnknown { .. } => "KEY_UNKNOWN",
        }
    }

    /// The JSON-RPC code, outside the ranges that JSON-RPC and the protocol reserve.
    pub fn number(&self) -> i64 {
        match self {
            Self::Legacy(error) => match error {
                LegacyError::Replayed => -33003,
                LegacyError::Stale { .. } => -33004,
                LegacyError::KeyUnknown => -33009,
                LegacyError::Full => -33012,
                _ => -33002,
            },
            Self::SignatureRequired { .. } => -33001,
            Self::SignatureInvalid { .. } => -33002,
            Self::Replayed => -33003,
            Self::Stale { .. } => -33004,
            Self::WrongAudience { .. } => -33005,
            Self::DefinitionChanged { .. } => -33006,
            Self::ChainDenied(_) => -33008,
            Self::PermissionDenied { .. } => -33007,
            Self::KeyUnavailable { .. } | Self::KeyUnknown { .. } => -33009,
            // -33010 is KEY_REVOKED.
            Self::NonceRequired { .. } => -33011,
            Self::ReplayStoreFull { .. } => -33012,
        }
    }

    /// What the caller may see of the reason.
    pub(super) fn evidence(&self) -> Value {
        match self {
            Self::DefinitionChanged { approved, live } => {
                json!({ "approved": approved, "live": live })
            }
            Self::Stale { now, .. } => json!({ "now": now }),
            Self::WrongAudience { server, .. } => json!({ "server": server }),
            _ => Value::Null,
        }
    }
}
