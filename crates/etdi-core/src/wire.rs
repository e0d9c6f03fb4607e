//! How ETDI is spelled on the wire: the extension's id, the keys of `_meta`, and the JSON forms.
//!
//! No other file of this crate knows a spelling. What is read here has gone through the strict
//! reader of [`crate::ijson`] before; unknown members are left alone, because a digest covers
//! them.

use serde::{Deserialize, Serialize};

use crate::identity::ProviderId;
use crate::key::{Algorithm, AllowList};
use crate::permission::Permission;
use crate::version::Version;

mod claims;

pub use claims::*;

/// The extension's id in `capabilities.extensions`.
pub const EXTENSION: &str = "dev.etdi/etdi";

/// Key of the block in a tool's `_meta`.
pub const TOOL: &str = "dev.etdi/etdi";

/// Key of the OAuth scopes that a caller needs, in a tool's `_meta`: a list of texts.
pub const SCOPES: &str = "dev.etdi/scopes";

/// The member of the block that holds the proofs; the only thing outside the digest.
pub const ATTESTATIONS: &str = "attestations";

/// The member of the block that names `_meta` keys outside the digest.
pub const VOLATILE: &str = "volatile";

/// Key of the call attestation in the `_meta` of a `tools/call` request.
pub const CALL: &str = "dev.etdi/call";

/// Key of the call tokens in the `_meta` of a `tools/call` request that a tool makes: a list, the
/// newest last.
pub const CHAIN: &str = "dev.etdi/chain";

/// Key of the receipt in the `_meta` of a call's result.
pub const RECEIPT: &str = "dev.etdi/receipt";

/// Key of the nonce in the `data` of an error that asks for one.
pub const NONCE: &str = "dev.etdi/nonce";

/// Key of the signed manifest in the `_meta` of a listing and of `server/discover`: one compact JWS,
/// or a list of them where several parties sign.
pub const MANIFEST: &str = "dev.etdi/manifest";

/// Key of the client's nonce in the `_meta` of `server/discover` or `initialize`.
pub const CHALLENGE: &str = "dev.etdi/challenge";

/// Key of the server's answer in the `_meta` of their result.
pub const POSSESSION: &str = "dev.etdi/possession";

/// The members of `params` in which the Python SDK's README puts a signed call: the signature in
/// base64, its time, the name of the key and the algorithm.
pub const FORK_MEMBERS: [&str; 4] =
    ["etdi_signature", "etdi_timestamp", "etdi_key_id", "etdi_algorithm"];

/// The name of that way of signing in [`Capability::legacy`].
pub const FORK_PROFILE: &str = "python-fork-1.0";

/// Prefix of all our keys; none of them can be declared volatile.
pub const PREFIX: &str = "dev.etdi/";

/// Key of the refusal's code in the `data` of an error.
pub const ERROR_DATA: &str = "dev.etdi/etdi";

/// Key of what shows that a refusal is right, beside its code.
pub const EVIDENCE: &str = "dev.etdi/evidence";

/// The format that this crate writes and reads.
pub const FORMAT: u32 = 1;

/// Audience of statements about definitions.
pub const DEFINITION_AUDIENCE: &str = "etdi:definition";

/// The kind of token (RFC 8693, section 3) that a publisher shows to an identity provider: what is to
/// be signed, not signed.
pub const UNSIGNED: &str = "etdi:token-type:unsigned";

/// The `type` of authorization details (RFC 9396) that say which definitions a statement is about.
pub const DETAILS: &str = "etdi:definition";

/// Audience of statements about an issuer's own keys and statements.
pub const KEYS_AUDIENCE: &str = "etdi:keys";

/// Prefix of an issuer that is known by its key alone.
pub const KEY_ISSUER: &str = "etdi:key:";

/// The `typ` of each statement that is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StatementType {
    /// A statement about one definition.
    Tool,
    /// The list of all tools of a server.
    Manifest,
    /// One call.
    Call,
    /// The chain that leads to a call of a tool of another server.
    Chain,
    /// One result.
    Result,
    /// The answer to a challenge.
    Possession,
    /// An issuer's next key, named by the present one.
    Rotation,
    /// What an issuer takes back.
    Revocations,
    /// The end of an audit trail.
    Checkpoint,
}

impl StatementType {
    /// The `typ` of the JWS header.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tool => "etdi-tool+jwt",
            Self::Manifest => "etdi-manifest+jwt",
            Self::Call => "etdi-call+jwt",
            Self::Chain => "etdi-chain+jwt",
            Self::Result => "etdi-result+jwt",
            Self::Possession => "etdi-possession+jwt",
            Self::Rotation => "etdi-rotation+jwt",
            Self::Revocations => "etdi-revocations+jwt",
            Self::Checkpoint => "etdi-checkpoint+jwt",
        }
    }

    /// The kind of token (RFC 8693, section 3) that an identity provider is asked for, where one signs
    /// such statements in a publisher's place.
    pub fn token_type(self) -> Option<&'static str> {
        match self {
            Self::Tool => Some("etdi:token-type:definition"),
            Self::Manifest => Some("etdi:token-type:manifest"),
            _ => None,
        }
    }

    /// With which algorithms it may be signed.
    pub fn algorithms(self) -> AllowList {
        match self {
            Self::Call => AllowList::REQUESTS,
            _ => AllowList::STATEMENTS,
        }
    }
}

/// The block in a tool's `_meta`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolBlock {
    /// The format, [`FORMAT`].
    pub v: u32,
    /// A stable id beside the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The version of the definition.
    pub version: Version,
    /// Who publishes the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// What it needs.
    #[serde(default)]
    pub permissions: Vec<Permission>,
    /// OAuth scopes that a caller's token must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Who may call whom.
    #[serde(default, skip_serializing_if = "CallConstraints::is_free")]
    pub call: CallConstraints,
    /// Whether calls must be signed.
    #[serde(default)]
    pub request_signing: RequestSigning,
    /// `_meta` keys that the server may change after signing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volatile: Vec<String>,
    /// Proofs, compact JWS.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attestations: Vec<String>,
}

impl ToolBlock {
    /// A block that has nothing but a version.
    pub fn new(version: Version) -> Self {
        Self {
            v: FORMAT,
            id: None,
            version,
            provider: None,
            permissions: Vec::new(),
            scopes: Vec::new(),
            call: CallConstraints::default(),
            request_signing: RequestSigning::default(),
            volatile: Vec::new(),
            attestations: Vec::new(),
        }
    }
}

/// Who publishes a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// The identity, proven by the issuer of an attestation.
    pub id: ProviderId,
    /// A name for people; never identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Whether calls of a tool must be signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RequestSigning {
    /// A signed call is checked, an unsigned one is taken.
    #[default]
    Optional,
    /// An unsigned call is refused.
    Required,
}

/// Who may call whom. `None` is no constraint, an empty list allows nobody; a list of blocked
/// names is stronger than one of allowed names, and `*` in it stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallConstraints {
    /// How many tools may be under way, this one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// Which tools may call this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_callers: Option<Vec<String>>,
    /// Which tools this one may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_callees: Option<Vec<String>>,
    /// Which tools may not call this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_callers: Option<Vec<String>>,
    /// Which tools this one may not call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_callees: Option<Vec<String>>,
    /// Whether a user approves each call that another tool makes to this one.
    pub require_approval_for_chains: bool,
}

impl CallConstraints {
    /// Whether nothing is constrained.
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }
}

/// What a peer says about ETDI in its capabilities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Capability {
    /// The format, [`FORMAT`].
    pub v: u32,
    /// Whether the peer goes on without ETDI on the other side: when it is `true`, it does not.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub required: bool,
    /// Which statements the peer knows: `definition`, `call`, `result`.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// The algorithms of signatures that the peer accepts: a server those of calls, a client those
    /// of statements. Empty where it does not say.
    #[serde(default)]
    pub algs: Vec<String>,
    /// When calls must be signed: [`PER_TOOL`], or [`ALL_CALLS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Where the keys of the publisher are said to be, over HTTPS. A server must not choose whom we
    /// ask, so it is shown to hosts, and fetched by nobody here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Older ways of signing that the peer understands beside: `python-fork-1.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy: Vec<String>,
}

/// Calls are signed where the tool's own block wants it.
pub const PER_TOOL: &str = "required-per-tool";

/// Every call is signed, whatever the tool's block says.
pub const ALL_CALLS: &str = "required";

/// The profile of a server that gives receipts.
pub const RESULT_PROFILE: &str = "result";

impl Capability {
    /// What a server says that checks calls: with which algorithms they may be signed.
    pub fn of_server() -> Self {
        let accepted = Algorithm::ALL.into_iter().filter(|one| AllowList::REQUESTS.permits(*one));
        Self { algs: accepted.map(|one| one.name().to_owned()).collect(), ..Self::default() }
    }

    /// What a client says that believes statements with these algorithms; all that publishers may
    /// sign with when there is none.
    pub fn of_client(algorithms: &[Algorithm]) -> Self {
        let believed = |one: &Algorithm| {
            AllowList::STATEMENTS.permits(*one)
                && (algorithms.is_empty() || algorithms.contains(one))
        };
        let accepted = Algorithm::ALL.into_iter().filter(believed);
        Self { algs: accepted.map(|one| one.name().to_owned()).collect(), ..Self::default() }
    }

    /// Whether the peer accepts signatures of an algorithm, as far as it says.
    pub fn accepts(&self, algorithm: Algorithm) -> bool {
        self.algs.is_empty() || self.algs.iter().any(|name| name == algorithm.name())
    }
}

impl Default for Capability {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            v: FORMAT,
            required: false,
            profiles: list(&["definition", "call"]),
            algs: list(&["EdDSA", "ES256"]),
            call: Some(PER_TOOL.to_owned()),
            jwks_uri: None,
            legacy: Vec::new(),
        }
    }
}
