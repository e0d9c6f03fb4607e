//! The payloads of all statements that are signed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::key::KeyId;
use crate::permission::Scope;
use crate::version::Version;

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

impl Contract {
    /// A document of a kind such as `openapi`, by the bytes in which it is published.
    pub fn of(kind: impl Into<String>, document: &[u8]) -> Self {
        Self { kind: kind.into(), digest: Digest::of_bytes(document), url: None }
    }

    /// The same, saying where the document is.
    #[must_use]
    pub fn at(self, url: impl Into<String>) -> Self {
        Self { url: Some(url.into()), ..self }
    }

    /// Whether a document is the one that the publisher named, byte for byte. Nothing here fetches
    /// it: a host that wants to know does, through its own guards against what a stranger's URL may
    /// name. That the document is the one says nothing of whether the tool keeps to it.
    pub fn matches(&self, document: &[u8]) -> bool {
        self.digest == Digest::of_bytes(document)
    }
}

/// Payload of a statement about one definition (`etdi-tool+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolClaims {
    /// Who says it.
    pub iss: ProviderId,
    /// The server and, behind `#`, the tool.
    pub sub: String,
    /// [`DEFINITION_AUDIENCE`](crate::wire::DEFINITION_AUDIENCE).
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
    /// [`DEFINITION_AUDIENCE`](crate::wire::DEFINITION_AUDIENCE).
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
    /// The caller: [`KEY_ISSUER`](crate::wire::KEY_ISSUER) and the thumbprint of its key.
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
    /// Who made it: [`KEY_ISSUER`](crate::wire::KEY_ISSUER) and the thumbprint of the calling server's instance key.
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
    /// The arguments of the call.
    pub adg: Digest,
    /// Input responses and request state, on a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mdg: Option<Digest>,
    /// The key that signs the call, where it is signed: with no other key's call does it count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
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
    /// The server: [`KEY_ISSUER`](crate::wire::KEY_ISSUER) and the thumbprint of its instance key.
    pub iss: String,
    /// The server as its attestations name it.
    pub sub: String,
    /// The caller: [`KEY_ISSUER`](crate::wire::KEY_ISSUER) and the thumbprint of the key that signed the call.
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
    /// The server: [`KEY_ISSUER`](crate::wire::KEY_ISSUER) and the thumbprint of its instance key.
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
    /// [`KEYS_AUDIENCE`](crate::wire::KEYS_AUDIENCE).
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
    /// [`KEYS_AUDIENCE`](crate::wire::KEYS_AUDIENCE).
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
