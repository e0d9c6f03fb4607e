//! The stable codes for why a tool is not simply called.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::jws::JwsError;
use crate::verify::VerifyError;

/// Why a tool is not simply called, as a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Reason {
    /// There is no approval.
    NotApproved,
    /// The approval has come to its end.
    ApprovalExpired,
    /// The approval was withdrawn.
    ApprovalWithdrawn,
    /// The record came from another program; it shows what was approved there and approves nothing.
    Imported,
    /// The version is a new one.
    VersionChanged,
    /// The version is lower than one that was approved or seen signed before.
    VersionLowered,
    /// The definition is another one and the version is not.
    DefinitionChanged,
    /// The tool wants to be allowed more.
    PermissionsChanged,
    /// A required permission was never put before a person.
    PermissionsUndecided,
    /// A required permission was not granted.
    PermissionDenied,
    /// The tool, or its server, was signed before and is not any more.
    SignatureRemoved,
    /// The tool was verified before; its attestation can no longer be checked, or nothing binds it
    /// to the server that sends it.
    VerificationLost,
    /// Someone else signs the tool now.
    IssuerChanged,
    /// The same issuer signs with another key.
    KeyChanged,
    /// The signers claim another source of the program, or another interface behind it.
    ProvenanceChanged,
    /// The executable, its arguments or a file that they name is not the approved one.
    ExecutableChanged,
    /// The policy admits no unsigned tools.
    Unsigned,
    /// The policy admits no tools whose attestation cannot be checked.
    Unverified,
    /// The signature is wrong.
    SignatureInvalid,
    /// The attestation is for another definition.
    DigestMismatch,
    /// The attestation has come to its end.
    AttestationExpired,
    /// The attestation does not count yet.
    AttestationNotYetValid,
    /// The attestation is not what it must be, or about something else.
    AttestationInvalid,
    /// The key or the attestation was revoked.
    Revoked,
    /// The key is trusted less than the policy wants.
    KeyUntrusted,
    /// The token that vouches for the tool is wrong.
    TokenInvalid,
    /// The definition cannot be read.
    DefinitionInvalid,
    /// The store cannot say for certain what is approved.
    StoreFailed,
    /// The audit trail cannot be written, and the policy wants it first.
    AuditFailed,
}

impl Reason {
    /// What an error that shows an attestation to be wrong amounts to.
    pub(super) fn of(error: &VerifyError) -> Self {
        match error {
            VerifyError::Jws(JwsError::Signature { .. }) => Self::SignatureInvalid,
            VerifyError::DigestMismatch { .. } => Self::DigestMismatch,
            VerifyError::Expired { .. } => Self::AttestationExpired,
            VerifyError::NotYetValid { .. } => Self::AttestationNotYetValid,
            VerifyError::Revoked { .. } | VerifyError::KeyRetired { .. } => Self::Revoked,
            VerifyError::Definition(_) => Self::DefinitionInvalid,
            _ => Self::AttestationInvalid,
        }
    }

    /// The code as it stands in logs, in `--json` and in error data.
    pub fn code(self) -> &'static str {
        match self {
            Self::NotApproved => "NOT_APPROVED",
            Self::ApprovalExpired => "APPROVAL_EXPIRED",
            Self::ApprovalWithdrawn => "APPROVAL_WITHDRAWN",
            Self::Imported => "IMPORTED",
            Self::VersionChanged => "VERSION_CHANGED",
            Self::VersionLowered => "VERSION_LOWERED",
            Self::DefinitionChanged => "DEFINITION_CHANGED",
            Self::PermissionsChanged => "PERMISSIONS_CHANGED",
            Self::PermissionsUndecided => "PERMISSIONS_UNDECIDED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::SignatureRemoved => "SIGNATURE_REMOVED",
            Self::VerificationLost => "VERIFICATION_LOST",
            Self::IssuerChanged => "ISSUER_CHANGED",
            Self::KeyChanged => "KEY_CHANGED",
            Self::ProvenanceChanged => "PROVENANCE_CHANGED",
            Self::ExecutableChanged => "EXECUTABLE_CHANGED",
            Self::Unsigned => "UNSIGNED",
            Self::Unverified => "UNVERIFIED",
            Self::SignatureInvalid => "SIGNATURE_INVALID",
            Self::DigestMismatch => "DIGEST_MISMATCH",
            Self::AttestationExpired => "ATTESTATION_EXPIRED",
            Self::AttestationNotYetValid => "ATTESTATION_NOT_YET_VALID",
            Self::AttestationInvalid => "ATTESTATION_INVALID",
            Self::Revoked => "REVOKED",
            Self::KeyUntrusted => "KEY_UNTRUSTED",
            Self::TokenInvalid => "TOKEN_INVALID",
            Self::DefinitionInvalid => "DEFINITION_INVALID",
            Self::StoreFailed => "STORE_FAILED",
            Self::AuditFailed => "AUDIT_FAILED",
        }
    }

    /// The reason in a sentence about "the tool", for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NotApproved => "the tool has not been approved",
            Self::ApprovalExpired => "the approval has expired",
            Self::ApprovalWithdrawn => "the approval was withdrawn",
            Self::Imported => "the approval was given in another program",
            Self::VersionChanged => "the tool has a new version",
            Self::VersionLowered => "the tool went back to a lower version",
            Self::DefinitionChanged => "the definition changed without a new version",
            Self::PermissionsChanged => "the tool asks for more than was approved",
            Self::PermissionsUndecided => "nobody has decided about a required permission",
            Self::PermissionDenied => "a required permission was not granted",
            Self::SignatureRemoved => "the signature that was there before is gone",
            Self::VerificationLost => "the tool was verified before and cannot be verified now",
            Self::IssuerChanged => "another issuer signs the tool now",
            Self::KeyChanged => "the issuer signs with another key",
            Self::ProvenanceChanged => {
                "its publisher claims another source or interface behind the tool than before"
            }
            Self::ExecutableChanged => "the program behind the command is not the approved one",
            Self::Unsigned => "the tool is not signed, and the policy wants a signature",
            Self::Unverified => "the attestation of the tool cannot be checked",
            Self::SignatureInvalid => "the signature is wrong",
            Self::DigestMismatch => "the attestation is for another definition",
            Self::AttestationExpired => "the attestation has expired",
            Self::AttestationNotYetValid => "the attestation is not valid yet",
            Self::AttestationInvalid => "the attestation is not valid for this tool",
            Self::KeyUntrusted => "the key is not one that the policy trusts",
            Self::Revoked => "the key or the attestation was revoked",
            Self::TokenInvalid => "the token that vouches for the tool is invalid",
            Self::DefinitionInvalid => "the definition cannot be read",
            Self::StoreFailed => "the approval store cannot say what is approved",
            Self::AuditFailed => "the audit trail cannot be written",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}
