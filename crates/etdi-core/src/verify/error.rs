//! Why a tool was not verified: one variant a cause, with the evidence.

use crate::digest::Digest;
use crate::identity::{ProviderId, ServerIdentity};
use crate::jws::JwsError;
use crate::key::KeyId;
use crate::time::UnixTime;
use crate::version::Version;

/// Why a tool was not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The tool has no attestation.
    #[error("the tool has no attestation, ask its provider for a signed one")]
    Unsigned,

    /// Nobody here knows the key.
    #[error(
        "the attestation is signed by key {key}, which is not trusted here, add it if you know whose it is"
    )]
    UnknownKey {
        /// The key that the attestation names.
        key: KeyId,
    },
    /// The issuer publishes no key of that name.
    #[error("{issuer} publishes no key `{}`, ask it for a new attestation", .kid.escape_debug())]
    KeyUnnamed {
        /// The issuer.
        issuer: ProviderId,
        /// The name that the attestation gives.
        kid: String,
    },
    /// The key is known and does not speak for the issuer.
    #[error("the attestation is issued by {issuer}, for which key {key} is not trusted")]
    IssuerUntrusted {
        /// Who is said to have issued it.
        issuer: ProviderId,
        /// The key that signed.
        key: KeyId,
    },
    /// The keys of the issuer cannot be had now.
    #[error("the keys of {issuer} cannot be had now: {message}")]
    KeyUnavailable {
        /// Whose keys.
        issuer: String,
        /// What failed.
        message: String,
    },
    /// No verifier of proofs is configured.
    #[error("no trusted provider is configured, add one")]
    NobodyToAsk,
    /// Nothing binds the attestation to the server that sent it.
    #[error(
        "the attestation is about `{server}` and nothing proves that this server is it, it may be a copy"
    )]
    BindingMissing {
        /// The server that the attestation is about.
        server: ServerIdentity,
    },
    /// The program that was started is not one that the attestation lists.
    #[error(
        "`{file}` has the digest {measured}, which the attestation does not list, another program stands in its place"
    )]
    ExecutableMismatch {
        /// The executable or argument.
        file: String,
        /// Its digest.
        measured: Digest,
        /// The digests that the attestation lists.
        listed: Vec<Digest>,
    },
    /// The attestation is about scripts, and the interpreter is not started with one of them.
    #[error(
        "the attestation is about a script, and {} is what the program is given first, start it as `program script`", .argument.as_ref().map_or_else(|| "nothing".to_owned(), |one| format!("`{}`", one.escape_debug()))
    )]
    ScriptMissing {
        /// The first argument.
        argument: Option<String>,
    },
    /// The server did not prove that it holds the key that the attestation names.
    #[error(
        "the server did not prove that it holds the key that the attestation names, it may be a copy"
    )]
    PossessionMissing {
        /// The keys that the attestation names.
        named: Vec<KeyId>,
    },
    /// The server proved that it holds another key.
    #[error("the server holds key {shown}, which the attestation does not name, it may be a copy")]
    PossessionOfOtherKey {
        /// The keys that the attestation names.
        named: Vec<KeyId>,
        /// The key that it proved to hold.
        shown: KeyId,
    },
    /// The answer to the challenge is wrong.
    #[error("the server's proof of its key is not valid: {why}")]
    PossessionInvalid {
        /// Why.
        why: String,
    },

    /// It is no signed statement of ours, or signed by another than the key it names.
    #[error(transparent)]
    Jws(#[from] JwsError),
    /// A claim is missing or of another form.
    #[error("the attestation lacks a valid `{member}`")]
    Claims {
        /// The claim.
        member: &'static str,
    },
    /// The claims are not those of such a statement.
    #[error("the attestation does not say what it must: {message}")]
    MalformedClaims {
        /// What is missing or wrong.
        message: String,
    },
    /// The statement is meant for something else.
    #[error("the attestation is meant for `{audience}`, not for definitions")]
    WrongAudience {
        /// For whom it is meant.
        audience: String,
    },
    /// The definition is another one.
    #[error("the definition has the digest {received}, the attestation is about {attested}")]
    DigestMismatch {
        /// The digest that was attested.
        attested: Digest,
        /// The digest of what was received.
        received: Digest,
    },
    /// The tool is another one.
    #[error("the attestation is about tool `{attested}`, not about `{received}`")]
    WrongTool {
        /// The tool that was attested.
        attested: String,
        /// The tool that was received.
        received: String,
    },
    /// The server is another one.
    #[error("the attestation is about the server `{attested}`, this one is `{reached}`")]
    WrongServer {
        /// The server that was attested.
        attested: ServerIdentity,
        /// The server that was reached.
        reached: ServerIdentity,
    },
    /// The version is another one.
    #[error("the attestation is about version {attested}, the definition declares another")]
    VersionMismatch {
        /// The version that was attested.
        attested: Version,
        /// The version that the definition declares.
        declared: Option<Version>,
    },
    /// The definition declares another provider than the one that signed.
    #[error("the definition declares the provider {declared}, the attestation is by {issuer}")]
    ProviderMismatch {
        /// The provider that the definition declares.
        declared: ProviderId,
        /// The provider that signed.
        issuer: ProviderId,
    },
    /// It is over.
    #[error("the attestation ended at {until}, ask the provider for a new one")]
    Expired {
        /// Until when it held.
        until: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// It does not hold yet.
    #[error("the attestation begins at {from}, set the clock or wait")]
    NotYetValid {
        /// From when on it holds.
        from: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The key was revoked.
    #[error("key {key} was revoked, whatever it signed does not count")]
    Revoked {
        /// The key.
        key: KeyId,
    },
    /// Something else that vouches for it was revoked.
    #[error("{issuer} has revoked {what}, it does not count any more")]
    StatementRevoked {
        /// Who said it.
        issuer: ProviderId,
        /// What was revoked.
        what: &'static str,
    },
    /// The definition was revoked, for which nobody vouches who could be asked.
    #[error("the definition {digest} was revoked, it does not count, whoever shows it")]
    DefinitionRevoked {
        /// The digest of the definition.
        digest: Digest,
    },
    /// It cannot be told whether it was revoked.
    #[error("it cannot be told what {issuer} has revoked: {why}")]
    RevocationUnknown {
        /// Who said it.
        issuer: ProviderId,
        /// Why not.
        why: String,
    },
    /// The key was replaced.
    #[error("key {key} was replaced at {until}, ask the provider for a new attestation")]
    KeyRetired {
        /// The key.
        key: KeyId,
        /// Until when it counted.
        until: UnixTime,
    },
    /// The server's manifest does not name the tool, and nothing else vouches for it.
    #[error(
        "the manifest of {issuer} does not list the tool, it was added later or by somebody else"
    )]
    NotInManifest {
        /// Who signed the manifest.
        issuer: ProviderId,
    },
    /// The manifest is older than one that was seen of this server.
    #[error(
        "the manifest of {issuer} has the counter {received}, {seen} was seen before, somebody sends an old one"
    )]
    ManifestRolledBack {
        /// Who signed it.
        issuer: ProviderId,
        /// The highest counter that was seen.
        seen: u64,
        /// The counter of this one.
        received: u64,
    },
    /// Two manifests have the same counter and different contents: this one and one that was seen,
    /// or the one that was seen and the one that this one replaces.
    #[error(
        "another list was seen from {issuer} under the same counter {seq}, it shows different lists to different people"
    )]
    ManifestForked {
        /// Who signed both.
        issuer: ProviderId,
        /// Their counter.
        seq: u64,
    },
    /// The server showed a manifest before and shows none now.
    #[error(
        "the server showed a signed manifest before and shows none now, ask its operator whether that is meant"
    )]
    ManifestMissing,
    /// Two trusted signers speak of different contents.
    #[error("the signers of the manifest signed different lists, ask the provider for one")]
    ManifestsDiffer,
    /// A tool that a delegated key signed goes beyond what was delegated.
    #[error("key {key} may sign tools for {issuer} within bounds, and this one is not: {what}")]
    DelegationExceeded {
        /// Who delegated.
        issuer: ProviderId,
        /// The delegated key.
        key: KeyId,
        /// Which bound.
        what: String,
    },
    /// The definition itself cannot be read.
    #[error(transparent)]
    Definition(#[from] crate::definition::DefinitionError),
}

/// What an error means for the tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// Nobody claims to vouch for it.
    Unsigned,
    /// Somebody may vouch for it, which cannot be told here.
    Unverifiable,
    /// Somebody's vouching was shown to be wrong.
    Wrong,
}

impl VerifyError {
    /// What it means for the tool.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Unsigned | Self::NotInManifest { .. } => Verdict::Unsigned,
            Self::UnknownKey { .. }
            | Self::KeyUnnamed { .. }
            | Self::IssuerUntrusted { .. }
            | Self::KeyUnavailable { .. }
            | Self::RevocationUnknown { .. }
            | Self::NobodyToAsk
            | Self::BindingMissing { .. }
            | Self::ExecutableMismatch { .. }
            | Self::ScriptMissing { .. }
            | Self::PossessionMissing { .. }
            | Self::PossessionOfOtherKey { .. }
            | Self::PossessionInvalid { .. } => Verdict::Unverifiable,
            Self::Jws(_)
            | Self::Claims { .. }
            | Self::MalformedClaims { .. }
            | Self::WrongAudience { .. }
            | Self::DigestMismatch { .. }
            | Self::WrongTool { .. }
            | Self::WrongServer { .. }
            | Self::VersionMismatch { .. }
            | Self::ProviderMismatch { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::Revoked { .. }
            | Self::StatementRevoked { .. }
            | Self::DefinitionRevoked { .. }
            | Self::KeyRetired { .. }
            | Self::ManifestRolledBack { .. }
            | Self::ManifestForked { .. }
            | Self::ManifestMissing
            | Self::ManifestsDiffer
            | Self::DelegationExceeded { .. }
            | Self::Definition(_) => Verdict::Wrong,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unsigned => "UNSIGNED",
            Self::UnknownKey { .. } | Self::KeyUnnamed { .. } => "KEY_UNKNOWN",
            Self::IssuerUntrusted { .. } => "ISSUER_UNTRUSTED",
            Self::KeyUnavailable { .. } => "KEY_UNAVAILABLE",
            Self::NobodyToAsk => "NOBODY_TRUSTED",
            Self::BindingMissing { .. } => "BINDING_MISSING",
            Self::ExecutableMismatch { .. } => "EXECUTABLE_MISMATCH",
            Self::ScriptMissing { .. } => "SCRIPT_MISSING",
            Self::PossessionMissing { .. } => "POSSESSION_MISSING",
            Self::PossessionOfOtherKey { .. } => "POSSESSION_OF_OTHER_KEY",
            Self::PossessionInvalid { .. } => "POSSESSION_INVALID",
            Self::Jws(JwsError::Signature { .. }) => "SIGNATURE_INVALID",
            Self::Jws(_) | Self::Claims { .. } | Self::MalformedClaims { .. } => {
                "ATTESTATION_MALFORMED"
            }
            Self::WrongAudience { .. } => "WRONG_AUDIENCE",
            Self::DigestMismatch { .. } => "DIGEST_MISMATCH",
            Self::WrongTool { .. } => "WRONG_TOOL",
            Self::WrongServer { .. } => "WRONG_SERVER",
            Self::VersionMismatch { .. } => "VERSION_MISMATCH",
            Self::ProviderMismatch { .. } => "PROVIDER_MISMATCH",
            Self::Expired { .. } => "ATTESTATION_EXPIRED",
            Self::NotYetValid { .. } => "ATTESTATION_NOT_YET_VALID",
            Self::Revoked { .. } => "KEY_REVOKED",
            Self::StatementRevoked { .. } => "ATTESTATION_REVOKED",
            Self::DefinitionRevoked { .. } => "DEFINITION_REVOKED",
            Self::RevocationUnknown { .. } => "REVOCATION_UNKNOWN",
            Self::KeyRetired { .. } => "KEY_RETIRED",
            Self::NotInManifest { .. } => "NOT_IN_MANIFEST",
            Self::ManifestRolledBack { .. } => "MANIFEST_ROLLED_BACK",
            Self::ManifestForked { .. } => "MANIFEST_FORKED",
            Self::ManifestMissing => "MANIFEST_MISSING",
            Self::ManifestsDiffer => "MANIFESTS_DIFFER",
            Self::DelegationExceeded { .. } => "DELEGATION_EXCEEDED",
            Self::Definition(_) => "DEFINITION_INVALID",
        }
    }
}
