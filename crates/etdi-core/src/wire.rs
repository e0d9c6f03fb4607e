//! How ETDI is spelled on the wire: the extension's id, the keys of `_meta`, and the JSON forms.
//!
//! No other file of this crate knows a spelling. What is read here has gone through the strict
//! reader of [`crate::ijson`] before; unknown members are left alone, because a digest covers
//! them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::key::{AllowList, KeyId};
use crate::permission::{Permission, Scope};
use crate::version::Version;

/// The extension's id in `capabilities.extensions`.
pub const EXTENSION: &str = "dev.etdi/etdi";

/// Key of the block in a tool's `_meta`.
pub const TOOL: &str = "dev.etdi/etdi";

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
    /// Which statements the peer knows: `definition`, `call`, `result`.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// The algorithms of its signatures.
    #[serde(default)]
    pub algs: Vec<String>,
    /// When calls must be signed: `required-per-tool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<String>,
    /// Where the keys of the publisher are, over HTTPS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Older ways of signing that the peer understands beside: `python-fork-1.0`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub legacy: Vec<String>,
}

/// The profile of a server that gives receipts.
pub const RESULT_PROFILE: &str = "result";

impl Default for Capability {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            v: FORMAT,
            profiles: list(&["definition", "call"]),
            algs: list(&["EdDSA", "ES256"]),
            call: Some("required-per-tool".to_owned()),
            jwks_uri: None,
            legacy: Vec::new(),
        }
    }
}

/// One or several values where JOSE allows both spellings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Serialize> Serialize for OneOrMany<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either<T> {
            One(T),
            Many(Vec<T>),
        }
        Ok(Self(match Either::deserialize(deserializer)? {
            Either::One(one) => vec![one],
            Either::Many(many) => many,
        }))
    }
}

/// Which keys the sender must prove to hold (`cnf`, RFC 7800), by thumbprint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// One key, or each of a fleet.
    pub jkt: OneOrMany<KeyId>,
}

/// Where the program behind a definition comes from; claims of the publisher.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Provenance {
    /// The source, such as `git+https://…@<commit>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// SHA-256 of the published executables, one a platform.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bin: Vec<Digest>,
    /// SHA-256 of the files that are given as arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scripts: Vec<Digest>,
    /// Where a SLSA attestation is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slsa: Option<String>,
}

/// The interface behind a tool; a claim of the publisher.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// What it is, such as `openapi`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digest of its document.
    pub digest: Digest,
    /// Where the document is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

/// Payload of a statement about one definition (`etdi-tool+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolClaims {
    /// Who says it.
    pub iss: ProviderId,
    /// The server and, behind `#`, the tool.
    pub sub: String,
    /// [`DEFINITION_AUDIENCE`].
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// From when on it holds.
    pub nbf: u64,
    /// Until when it holds.
    pub exp: u64,
    /// A random id.
    pub jti: String,
    /// The definition.
    pub dig: Digest,
    /// Its version.
    pub ver: Version,
    /// The definition that it replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// The program behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prov: Option<Provenance>,
    /// The interface behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// The instance keys of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// What a manifest lists: all that a server shows to a model before it is called, by digest. The
/// same for all who sign it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestContents {
    /// The counter: each manifest of a server has a higher one than those before.
    #[serde(default)]
    pub seq: u64,
    /// The digest of the contents that these replace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<Digest>,
    /// Name and digest of each tool; it may list more than a caller sees.
    pub tools: BTreeMap<String, Digest>,
    /// Name and digest of each prompt; when empty, prompts are not attested.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub prompts: BTreeMap<String, Digest>,
    /// URI template and digest of each resource template; when empty, they are not attested.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub resource_templates: BTreeMap<String, Digest>,
    /// The digest of the server's instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instructions: Option<Digest>,
    /// Keys that may sign tools which are made at run time, within bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delegations: Vec<Delegation>,
}

/// A key that may sign tools which are made at run time, and the bounds of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Delegation {
    /// The public key (JWK).
    pub jwk: serde_json::Value,
    /// What the names of its tools begin with; never empty.
    pub prefix: String,
    /// The most that its tools may ask for.
    pub permissions: Vec<Scope>,
    /// Until when it may sign.
    pub exp: u64,
}

/// Payload of a manifest (`etdi-manifest+jwt`): one signer's statement about the contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ManifestClaims {
    /// Who says it.
    pub iss: ProviderId,
    /// The server.
    pub sub: String,
    /// [`DEFINITION_AUDIENCE`].
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// From when on it holds.
    pub nbf: u64,
    /// Until when it holds.
    pub exp: u64,
    /// A random id.
    pub jti: String,
    /// What is listed.
    #[serde(flatten)]
    pub contents: ManifestContents,
    /// The program behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prov: Option<Provenance>,
    /// The interface behind them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<Contract>,
    /// The instance keys of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// Payload of a call attestation (`etdi-call+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CallClaims {
    /// The caller: [`KEY_ISSUER`] and the thumbprint of its key.
    pub iss: String,
    /// The user or agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The server.
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// Until when it holds.
    pub exp: u64,
    /// 128 random bits; taken once.
    pub jti: String,
    /// The method, `tools/call`.
    pub mth: String,
    /// The tool.
    pub tool: String,
    /// The definition that was approved.
    pub tdg: Digest,
    /// The arguments.
    pub adg: Digest,
    /// Input responses and request state, on a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mdg: Option<Digest>,
    /// The server's nonce, where it wants one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The SHA-256 of the access token that goes along, base64url (as in RFC 9449, section 4.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
    /// The public key of the caller. It proves nothing by standing here: `iss` is its thumbprint,
    /// and the server decides which callers it knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwk: Option<serde_json::Value>,
}

/// Payload of a call token (`etdi-chain+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChainClaims {
    /// Who made it: [`KEY_ISSUER`] and the thumbprint of the calling server's instance key.
    pub iss: String,
    /// The calling server, as it names itself.
    pub srv: String,
    /// The server that is called.
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// Until when it holds.
    pub exp: u64,
    /// 128 random bits; taken once.
    pub jti: String,
    /// The tool that is called.
    pub tool: String,
    /// Its definition.
    pub tdg: Digest,
    /// How many tools are under way.
    pub dep: u32,
    /// How many more there may be, the called one included.
    pub bud: u32,
    /// The tools under way, outermost first.
    pub anc: Vec<Ancestor>,
    /// What they may do at most.
    pub per: Vec<Scope>,
    /// The digest of the token with which the calling server was called itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prt: Option<Digest>,
    /// The public key. It proves nothing by standing here.
    pub jwk: serde_json::Value,
}

/// A tool under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ancestor {
    /// Its server.
    pub srv: String,
    /// Its name.
    pub tool: String,
    /// Its definition.
    pub dig: Digest,
}

/// Payload of a receipt (`etdi-result+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReceiptClaims {
    /// The server: [`KEY_ISSUER`] and the thumbprint of its instance key.
    pub iss: String,
    /// The server as its attestations name it.
    pub sub: String,
    /// The caller: [`KEY_ISSUER`] and the thumbprint of the key that signed the call.
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// The id of the call's statement.
    pub jti: String,
    /// The tool.
    pub tool: String,
    /// The definition that was called.
    pub tdg: Digest,
    /// The result.
    pub rdg: Digest,
    /// Whether the tool failed.
    pub err: bool,
    /// The public key of the server. It proves nothing by standing here.
    pub jwk: serde_json::Value,
}

/// Payload of the answer to a challenge (`etdi-possession+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PossessionClaims {
    /// The server: [`KEY_ISSUER`] and the thumbprint of its instance key.
    pub iss: String,
    /// The server as its attestations name it.
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// The client's nonce.
    pub nonce: String,
    /// The public instance key. It proves nothing by standing here: an attestation names its
    /// thumbprint.
    pub jwk: serde_json::Value,
    /// The tools that the server lists ([`crate::digest::Purpose::Manifest`]), where it has a
    /// manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mdg: Option<Digest>,
}

/// Payload of a rotation (`etdi-rotation+jwt`), signed by the present key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RotationClaims {
    /// Whose keys.
    pub iss: ProviderId,
    /// [`KEYS_AUDIENCE`].
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// A random id.
    pub jti: String,
    /// The present key, which signs.
    pub old: KeyId,
    /// The next key, a JWK.
    pub new: serde_json::Value,
    /// Until when the present key counts.
    pub retire: u64,
}

/// Payload of a revocation list (`etdi-revocations+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RevocationsClaims {
    /// Whose list.
    pub iss: ProviderId,
    /// [`KEYS_AUDIENCE`].
    pub aud: String,
    /// When it was said.
    pub iat: u64,
    /// The number of the list, which only grows.
    pub seq: u64,
    /// When the next list is there at the latest.
    pub next_update: u64,
    /// What counts no more.
    pub revoked: Vec<RevocationEntry>,
}

/// One entry of a revocation list; exactly one of the first four names what is revoked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RevocationEntry {
    /// A key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<KeyId>,
    /// A statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// A definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// A provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    /// When it was revoked; for people, since revoked now is invalid now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The payload of a checkpoint: the end of an audit trail, signed by whoever writes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointClaims {
    /// `etdi:key:` and the thumbprint of the key.
    pub iss: String,
    /// When it was signed.
    pub iat: u64,
    /// How many entries there were.
    pub entries: u64,
    /// The digest of the last one.
    pub digest: Digest,
}
