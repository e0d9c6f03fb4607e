//! What verification found about a tool, as one word for a host to show.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Verified, VerifyError};
use crate::definition::ToolDefinition;
use crate::jws::JwsError;
use crate::proof::Trust;

/// What verification found about a tool. "Cannot be checked" and "was checked and is bad" are
/// different words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum VerificationStatus {
    /// A known publisher vouches for exactly this tool of this server.
    Verified,
    /// Nobody vouches for it, or nothing binds the statement to this server.
    Unverified,
    /// The token that vouches for it is wrong.
    TokenInvalid,
    /// Whoever vouches for it is not known here; the key may have been taken at first use.
    ProviderUnknown,
    /// The signature or what it says is wrong.
    SignatureInvalid,
    /// The statement, or the key behind it, has come to its end.
    Expired,
    /// The key or the statement was revoked.
    Revoked,
    /// The statement does not hold yet.
    NotYetValid,
    /// The statement is about another definition.
    DigestMismatch,
    /// The key is known and does not speak for the issuer, or the issuer is not let count.
    IssuerUntrusted,
    /// The issuer's keys cannot be had now.
    KeyUnavailable,
}

impl VerificationStatus {
    /// What a verifier's answer means.
    pub fn of(checked: Result<&Verified<ToolDefinition>, &VerifyError>) -> Self {
        let error = match checked {
            Ok(verified) if verified.trust() == Trust::FirstUse => return Self::ProviderUnknown,
            Ok(_) => return Self::Verified,
            Err(error) => error,
        };
        match error {
            VerifyError::UnknownKey { .. }
            | VerifyError::KeyUnnamed { .. }
            | VerifyError::NobodyToAsk => Self::ProviderUnknown,
            VerifyError::IssuerUntrusted { .. } => Self::IssuerUntrusted,
            VerifyError::KeyUnavailable { .. } => Self::KeyUnavailable,
            VerifyError::DigestMismatch { .. } => Self::DigestMismatch,
            VerifyError::Expired { .. } | VerifyError::KeyRetired { .. } => Self::Expired,
            VerifyError::NotYetValid { .. } => Self::NotYetValid,
            VerifyError::Revoked { .. }
            | VerifyError::StatementRevoked { .. }
            | VerifyError::DefinitionRevoked { .. } => Self::Revoked,
            VerifyError::Unsigned
            | VerifyError::NotInManifest { .. }
            | VerifyError::RevocationUnknown { .. }
            | VerifyError::BindingMissing { .. }
            | VerifyError::ExecutableMismatch { .. }
            | VerifyError::ScriptMissing { .. }
            | VerifyError::PossessionMissing { .. }
            | VerifyError::PossessionOfOtherKey { .. }
            | VerifyError::PossessionInvalid { .. } => Self::Unverified,
            VerifyError::Jws(
                JwsError::Signature { .. }
                | JwsError::Malformed(_)
                | JwsError::Header(_)
                | JwsError::Payload(_)
                | JwsError::Algorithm
                | JwsError::KeyHeader(_)
                | JwsError::Critical
                | JwsError::Type { .. }
                | JwsError::KeyId,
            )
            | VerifyError::Claims { .. }
            | VerifyError::MalformedClaims { .. }
            | VerifyError::WrongAudience { .. }
            | VerifyError::WrongTool { .. }
            | VerifyError::WrongServer { .. }
            | VerifyError::VersionMismatch { .. }
            | VerifyError::ProviderMismatch { .. }
            | VerifyError::ManifestRolledBack { .. }
            | VerifyError::ManifestForked { .. }
            | VerifyError::ManifestMissing
            | VerifyError::ManifestsDiffer
            | VerifyError::DelegationExceeded { .. }
            | VerifyError::Definition(_) => Self::SignatureInvalid,
        }
    }

    /// The word, as it stands in data.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::Unverified => "unverified",
            Self::TokenInvalid => "token_invalid",
            Self::ProviderUnknown => "provider_unknown",
            Self::SignatureInvalid => "signature_invalid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::NotYetValid => "not_yet_valid",
            Self::DigestMismatch => "digest_mismatch",
            Self::IssuerUntrusted => "issuer_untrusted",
            Self::KeyUnavailable => "key_unavailable",
        }
    }
}

impl fmt::Display for VerificationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
