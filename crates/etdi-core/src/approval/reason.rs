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
    /// The attestation, or the key that signed it, has come to its end.
    AttestationExpired,
    /// The attestation does not count yet.
    AttestationNotYetValid,
    /// The attestation is not what it must be, or about something else.
    AttestationInvalid,
    /// The key, the attestation or the definition was revoked.
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
    /// What an error of verification amounts to.
    pub(super) fn of(error: &VerifyError) -> Self {
        match error {
            VerifyError::Jws(JwsError::Signature { .. }) => Self::SignatureInvalid,
            VerifyError::DigestMismatch { .. } => Self::DigestMismatch,
            VerifyError::Expired { .. } | VerifyError::KeyRetired { .. } => {
                Self::AttestationExpired
            }
            VerifyError::NotYetValid { .. } => Self::AttestationNotYetValid,
            VerifyError::Revoked { .. }
            | VerifyError::StatementRevoked { .. }
            | VerifyError::DefinitionRevoked { .. } => Self::Revoked,
            VerifyError::Definition(_) => Self::DefinitionInvalid,
            VerifyError::Unsigned | VerifyError::NotInManifest { .. } => Self::Unsigned,
            VerifyError::UnknownKey { .. }
            | VerifyError::KeyUnnamed { .. }
            | VerifyError::IssuerUntrusted { .. }
            | VerifyError::KeyUnavailable { .. }
            | VerifyError::RevocationUnknown { .. }
            | VerifyError::NobodyToAsk
            | VerifyError::BindingMissing { .. }
            | VerifyError::ExecutableMismatch { .. }
            | VerifyError::ScriptMissing { .. }
            | VerifyError::PossessionMissing { .. }
            | VerifyError::PossessionOfOtherKey { .. }
            | VerifyError::PossessionInvalid { .. } => Self::Unverified,
            VerifyError::Jws(
                JwsError::Malformed(_)
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
            | VerifyError::DelegationExceeded { .. } => Self::AttestationInvalid,
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
            Self::AttestationExpired => "the attestation, or the key behind it, has expired",
            Self::AttestationNotYetValid => "the attestation is not valid yet",
            Self::AttestationInvalid => "the attestation is not valid for this tool",
            Self::KeyUntrusted => "the key is not one that the policy trusts",
            Self::Revoked => "the key, the attestation or the definition was revoked",
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::DefinitionError;
    use crate::digest::Digest;
    use crate::identity::{ProviderId, ServerIdentity};
    use crate::key::KeyId;
    use crate::time::UnixTime;
    use crate::verify::{Verdict, VerificationStatus};

    /// One of each kind. A new kind does not compile until it has a row here.
    fn all() -> Vec<VerifyError> {
        let key = KeyId::from_bytes([1; 32]);
        let issuer: ProviderId = "https://acme.example".parse().unwrap();
        let server = ServerIdentity::url("https://acme.example/mcp").unwrap();
        let (at, one, text) = (UnixTime(1), Digest::of_bytes(b"1"), String::new);
        let next = |error: Option<&VerifyError>| -> Option<VerifyError> {
            use VerifyError as E;
            let (issuer, server) = (issuer.clone(), server.clone());
            Some(match error {
                None => E::Unsigned,
                Some(E::Unsigned) => E::UnknownKey { key },
                Some(E::UnknownKey { .. }) => E::KeyUnnamed { issuer, kid: text() },
                Some(E::KeyUnnamed { .. }) => E::IssuerUntrusted { issuer, key },
                Some(E::IssuerUntrusted { .. }) => {
                    E::KeyUnavailable { issuer: text(), message: text() }
                }
                Some(E::KeyUnavailable { .. }) => E::NobodyToAsk,
                Some(E::NobodyToAsk) => E::BindingMissing { server },
                Some(E::BindingMissing { .. }) => {
                    E::ExecutableMismatch { file: text(), measured: one, listed: Vec::new() }
                }
                Some(E::ExecutableMismatch { .. }) => E::ScriptMissing { argument: None },
                Some(E::ScriptMissing { .. }) => E::PossessionMissing { named: Vec::new() },
                Some(E::PossessionMissing { .. }) => {
                    E::PossessionOfOtherKey { named: Vec::new(), shown: key }
                }
                Some(E::PossessionOfOtherKey { .. }) => E::PossessionInvalid { why: text() },
                Some(E::PossessionInvalid { .. }) => E::Jws(JwsError::Signature { key }),
                Some(E::Jws(JwsError::Signature { .. })) => E::Jws(JwsError::Algorithm),
                Some(E::Jws(_)) => E::Claims { member: "sub" },
                Some(E::Claims { .. }) => E::MalformedClaims { message: text() },
                Some(E::MalformedClaims { .. }) => E::WrongAudience { audience: text() },
                Some(E::WrongAudience { .. }) => E::DigestMismatch { attested: one, received: one },
                Some(E::DigestMismatch { .. }) => {
                    E::WrongTool { attested: text(), received: text() }
                }
                Some(E::WrongTool { .. }) => {
                    E::WrongServer { attested: server.clone(), reached: server }
                }
                Some(E::WrongServer { .. }) => {
                    E::VersionMismatch { attested: "1.0.0".parse().unwrap(), declared: None }
                }
                Some(E::VersionMismatch { .. }) => {
                    E::ProviderMismatch { declared: issuer.clone(), issuer }
                }
                Some(E::ProviderMismatch { .. }) => E::Expired { until: at, now: at },
                Some(E::Expired { .. }) => E::NotYetValid { from: at, now: at },
                Some(E::NotYetValid { .. }) => E::Revoked { key },
                Some(E::Revoked { .. }) => E::StatementRevoked { issuer, what: "it" },
                Some(E::StatementRevoked { .. }) => E::DefinitionRevoked { digest: one },
                Some(E::DefinitionRevoked { .. }) => E::RevocationUnknown { issuer, why: text() },
                Some(E::RevocationUnknown { .. }) => E::KeyRetired { key, until: at },
                Some(E::KeyRetired { .. }) => E::NotInManifest { issuer },
                Some(E::NotInManifest { .. }) => {
                    E::ManifestRolledBack { issuer, seen: 2, received: 1 }
                }
                Some(E::ManifestRolledBack { .. }) => E::ManifestForked { issuer, seq: 1 },
                Some(E::ManifestForked { .. }) => E::ManifestMissing,
                Some(E::ManifestMissing) => E::ManifestsDiffer,
                Some(E::ManifestsDiffer) => E::DelegationExceeded { issuer, key, what: text() },
                Some(E::DelegationExceeded { .. }) => {
                    E::Definition(DefinitionError::Protocol(text()))
                }
                Some(E::Definition(_)) => return None,
            })
        };
        let mut all: Vec<VerifyError> = Vec::new();
        while let Some(error) = next(all.last()) {
            all.push(error);
        }
        all
    }

    /// The code of a finding, the word for a host, and the reason of a decision, side by side: what
    /// was taken back is called that everywhere, and so is what has come to its end.
    #[test]
    fn a_finding_has_one_meaning() {
        let table = [
            ("UNSIGNED", "unverified", "UNSIGNED"),
            ("KEY_UNKNOWN", "provider_unknown", "UNVERIFIED"),
            ("KEY_UNKNOWN", "provider_unknown", "UNVERIFIED"),
            ("ISSUER_UNTRUSTED", "issuer_untrusted", "UNVERIFIED"),
            ("KEY_UNAVAILABLE", "key_unavailable", "UNVERIFIED"),
            ("NOBODY_TRUSTED", "provider_unknown", "UNVERIFIED"),
            ("BINDING_MISSING", "unverified", "UNVERIFIED"),
            ("EXECUTABLE_MISMATCH", "unverified", "UNVERIFIED"),
            ("SCRIPT_MISSING", "unverified", "UNVERIFIED"),
            ("POSSESSION_MISSING", "unverified", "UNVERIFIED"),
            ("POSSESSION_OF_OTHER_KEY", "unverified", "UNVERIFIED"),
            ("POSSESSION_INVALID", "unverified", "UNVERIFIED"),
            ("SIGNATURE_INVALID", "signature_invalid", "SIGNATURE_INVALID"),
            ("ATTESTATION_MALFORMED", "signature_invalid", "ATTESTATION_INVALID"),
            ("ATTESTATION_MALFORMED", "signature_invalid", "ATTESTATION_INVALID"),
            ("ATTESTATION_MALFORMED", "signature_invalid", "ATTESTATION_INVALID"),
            ("WRONG_AUDIENCE", "signature_invalid", "ATTESTATION_INVALID"),
            ("DIGEST_MISMATCH", "digest_mismatch", "DIGEST_MISMATCH"),
            ("WRONG_TOOL", "signature_invalid", "ATTESTATION_INVALID"),
            ("WRONG_SERVER", "signature_invalid", "ATTESTATION_INVALID"),
            ("VERSION_MISMATCH", "signature_invalid", "ATTESTATION_INVALID"),
            ("PROVIDER_MISMATCH", "signature_invalid", "ATTESTATION_INVALID"),
            ("ATTESTATION_EXPIRED", "expired", "ATTESTATION_EXPIRED"),
            ("ATTESTATION_NOT_YET_VALID", "not_yet_valid", "ATTESTATION_NOT_YET_VALID"),
            ("KEY_REVOKED", "revoked", "REVOKED"),
            ("ATTESTATION_REVOKED", "revoked", "REVOKED"),
            ("DEFINITION_REVOKED", "revoked", "REVOKED"),
            ("REVOCATION_UNKNOWN", "unverified", "UNVERIFIED"),
            ("KEY_RETIRED", "expired", "ATTESTATION_EXPIRED"),
            ("NOT_IN_MANIFEST", "unverified", "UNSIGNED"),
            ("MANIFEST_ROLLED_BACK", "signature_invalid", "ATTESTATION_INVALID"),
            ("MANIFEST_FORKED", "signature_invalid", "ATTESTATION_INVALID"),
            ("MANIFEST_MISSING", "signature_invalid", "ATTESTATION_INVALID"),
            ("MANIFESTS_DIFFER", "signature_invalid", "ATTESTATION_INVALID"),
            ("DELEGATION_EXCEEDED", "signature_invalid", "ATTESTATION_INVALID"),
            ("DEFINITION_INVALID", "signature_invalid", "DEFINITION_INVALID"),
        ];
        let errors = all();
        assert_eq!(errors.len(), table.len());
        for (error, (code, status, reason)) in errors.iter().zip(table) {
            let found = (error.code(), VerificationStatus::of(Err(error)).name());
            assert_eq!((found.0, found.1, Reason::of(error).code()), (code, status, reason));
            // What cannot be told is never called bad, and what is bad never merely unknown.
            let unknown = matches!(reason, "UNVERIFIED" | "UNSIGNED");
            assert_eq!(error.verdict() == Verdict::Wrong, !unknown, "{code}");
        }
    }
}
