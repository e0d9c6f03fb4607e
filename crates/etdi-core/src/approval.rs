//! Approvals: what a user accepted, kept so that the same thing, and only that, needs no question.
//!
//! An [`Approval`] says that someone accepted exactly this definition of this tool, signed by this
//! issuer, from this server, with these permissions. It is found by its [`ApprovalKey`]; what has
//! another server, issuer or name has another approval. [`decide`] compares it with what a server
//! lists now and says whether nothing changed, the approval may be carried over, a person must be
//! asked, or the tool stays away. [`ServerMemory`] outlives approvals: a tool that was signed once
//! stays signed, or is blocked.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::key::KeyId;
use crate::level::SecurityLevel;
use crate::permission::Permission;
use crate::time::UnixTime;
use crate::verify::Claimed;
use crate::wire::CallConstraints;

mod approver;
mod contract;
mod decide;
mod memory;
mod nodes;
mod reason;
mod refusal;
mod review;
mod store;
#[cfg(test)]
pub(crate) mod troubled;

pub use approver::{Answer, Approver, NoApprover, Question};
pub use contract::{ContractFailure, approval_store_contract};
pub use decide::{Decision, Facts, Known, Standing, decide};
pub(crate) use memory::MAX_RECORDS;
pub use memory::MemoryStore;
pub use nodes::approval_store_of_nodes_contract;
pub use reason::Reason;
pub use refusal::Refusal;
pub use review::{Approvals, Approved};
pub(crate) use review::{Owed, Step, looks};
pub(crate) use store::is_back;
pub use store::{ApprovalStore, CLOCK_TOLERANCE, Listing, Seen, StoreError};

/// What an approval is found by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ApprovalKey {
    /// The identity of the server, never a name that it gives itself.
    pub server: String,
    /// Who vouched for the definition; `None` for a tool that nobody verifiably vouched for.
    pub issuer: Option<String>,
    /// The name by which the tool is called.
    pub tool: String,
}

impl ApprovalKey {
    /// The key of one tool of one server.
    pub fn new(server: impl Into<String>, issuer: Option<String>, tool: impl Into<String>) -> Self {
        Self { server: server.into(), issuer, tool: tool.into() }
    }

    /// A digest that no other key has, for stores that need a flat name.
    pub fn digest(&self) -> Digest {
        let issuer = self.issuer.as_deref();
        tagged("etdi-approval-key-v1", &[Some(&self.server), issuer, Some(&self.tool)])
    }
}

/// A digest over texts that may be absent, unambiguous by their lengths.
pub(crate) fn tagged(tag: &str, parts: &[Option<&str>]) -> Digest {
    let mut hasher = Hasher::new();
    hasher.update(tag.as_bytes());
    hasher.update(&[0]);
    for part in parts {
        match part {
            None => hasher.update(&[0]),
            Some(text) => {
                hasher.update(&[1]);
                hasher.update(&(text.len() as u64).to_be_bytes());
                hasher.update(text.as_bytes());
            }
        }
    }
    hasher.finish()
}

/// Which of the declared permissions a user granted. Not having been asked, having granted
/// nothing, and having granted everything are three different things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Granted {
    /// Nobody was asked; grants nothing, and a required permission is asked for.
    Unasked,
    /// All that the approved definition declares; a permission declared later is not included,
    /// because it needs another definition.
    All,
    /// These scopes and no others; none at all when the set is empty.
    Only(BTreeSet<String>),
}

impl Granted {
    /// Whether a scope that the approved definition declares is granted.
    pub fn allows(&self, scope: &str) -> bool {
        match self {
            Self::Unasked => false,
            Self::All => true,
            Self::Only(scopes) => scopes.contains(scope),
        }
    }

    /// Whether all permissions that a definition requires are granted.
    pub fn allows_required(&self, declared: &[Permission]) -> bool {
        let mut required = declared.iter().filter(|permission| permission.required);
        required.all(|permission| self.allows(permission.scope.as_str()))
    }
}

/// What was started for a stdio server whose executable no attestation names: pinned as it was
/// when it was approved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Pin {
    /// The resolved path of the executable.
    pub executable: String,
    /// Its digest.
    pub digest: Digest,
    /// The exact argument vector, the program's name first.
    pub argv: Vec<String>,
    /// The digests of the files that arguments name, by argument.
    #[serde(default)]
    pub files: BTreeMap<String, Digest>,
}

impl Pin {
    /// A command without arguments that name files.
    pub fn new(executable: impl Into<String>, digest: Digest, argv: Vec<String>) -> Self {
        Self { executable: executable.into(), digest, argv, files: BTreeMap::new() }
    }
}

/// How the key that signed an approved definition was known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SignedBy {
    /// The thumbprint of the key (RFC 7638).
    pub kid: KeyId,
    /// The digests of the attestations that were verified.
    pub attestations: Vec<Digest>,
    /// What the signers claimed of what stands behind the definition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claimed: Vec<Claimed>,
}

impl SignedBy {
    /// A key and what it signed.
    pub fn new(kid: KeyId, attestations: Vec<Digest>) -> Self {
        Self { kid, attestations, claimed: Vec::new() }
    }

    /// The same with what was claimed.
    #[must_use]
    pub fn claiming(self, claimed: Vec<Claimed>) -> Self {
        Self { claimed, ..self }
    }
}

/// What someone accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Approval {
    /// What it is found by.
    pub key: ApprovalKey,
    /// The digest of the definition that was accepted.
    pub digest: Digest,
    /// The whole definition in canonical form, for differences and for looking back.
    pub definition: String,
    /// The version that it declares.
    pub version: Option<String>,
    /// Who signed it, `None` for a tool that was accepted unverified.
    pub signed_by: Option<SignedBy>,
    /// The granted permissions.
    pub granted: Granted,
    /// The call constraints in force when it was accepted, as the definition states them.
    pub constraints: Option<CallConstraints>,
    /// What was started, where nothing else binds the definition to its server.
    pub pin: Option<Pin>,
    /// The level under which it was accepted.
    pub level: SecurityLevel,
    /// Who accepted it, as the host names its users.
    pub approver: String,
    /// When.
    pub approved_at: UnixTime,
    /// Until when it counts, `None` for as long as nothing changes.
    pub expires_at: Option<UnixTime>,
    /// Why the question came up.
    pub reason: Reason,
    /// What the approver wrote about it.
    #[serde(default)]
    pub note: Option<String>,
    /// A person took back an update that was carried over: none ever is again.
    #[serde(default)]
    pub always_ask: bool,
    /// What it was carried over from, when nobody was asked.
    #[serde(default)]
    pub carried: Option<Box<Carried>>,
    /// It was withdrawn: it counts no longer, and is remembered so that the next question says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawn>,
    /// Grows with every write of the store that keeps it; 0 before it is stored.
    pub generation: u64,
}

/// That an approval was withdrawn, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Withdrawn {
    /// When.
    pub at: UnixTime,
    /// Who withdrew it, as the host names its users.
    pub by: String,
    /// What was written about it.
    #[serde(default)]
    pub note: Option<String>,
}

impl Withdrawn {
    /// A withdrawal.
    pub fn new(at: UnixTime, by: impl Into<String>) -> Self {
        Self { at, by: by.into(), note: None }
    }
}

/// An approval that a policy carried over to an update, and what it takes to undo that.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Carried {
    /// The approval that a person gave.
    pub from: Approval,
    /// Until when the user can take the update back.
    pub undo_until: UnixTime,
}

impl Approval {
    /// An approval of a definition that facts describe, as a person gave it.
    ///
    /// It is not stored yet, and counts only once a store has taken it.
    pub fn new(facts: &Facts<'_>, given: Given, level: SecurityLevel, now: UnixTime) -> Self {
        Self {
            key: facts.key(),
            digest: facts.digest(),
            definition: facts.definition.canonical().to_owned(),
            version: facts.version(),
            signed_by: facts.signed_by().cloned(),
            granted: given.granted,
            constraints: facts.constraints(),
            pin: facts.pin.cloned(),
            level,
            approver: given.approver,
            approved_at: now,
            expires_at: given.expires_at,
            reason: given.reason,
            note: given.note,
            always_ask: false,
            carried: None,
            withdrawn: None,
            generation: 0,
        }
    }

    /// Whether it was given for a definition that someone verifiably signed.
    pub fn is_signed(&self) -> bool {
        self.signed_by.is_some()
    }

    /// Whether it counts no longer.
    pub fn is_expired(&self, now: UnixTime) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Since when it counts no longer, because it was withdrawn or came to its end.
    pub fn ended_at(&self, now: UnixTime) -> Option<UnixTime> {
        let expired = self.expires_at.filter(|_| self.is_expired(now));
        let withdrawn = self.withdrawn.as_ref().map(|withdrawn| withdrawn.at);
        match (expired, withdrawn) {
            (Some(expired), Some(withdrawn)) => Some(expired.min(withdrawn)),
            (expired, withdrawn) => expired.or(withdrawn),
        }
    }

    /// The approval that a person gave, before updates were carried over, to be stored in place of
    /// this one; from then on each update asks. `None` when there is nothing to undo, or it is too
    /// late to.
    pub fn undone(&self, now: UnixTime) -> Option<Self> {
        let carried = self.carried.as_ref().filter(|_| self.withdrawn.is_none());
        let carried = carried.filter(|carried| now < carried.undo_until)?;
        Some(Self { always_ask: true, ..carried.from.clone() })
    }
}

/// What a person who approves says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Given {
    /// The granted permissions.
    pub granted: Granted,
    /// Who approves.
    pub approver: String,
    /// Until when it counts.
    pub expires_at: Option<UnixTime>,
    /// Why the question came up.
    pub reason: Reason,
    /// What the approver wrote about it.
    pub note: Option<String>,
}

impl Given {
    /// An approval without an end.
    pub fn new(granted: Granted, approver: impl Into<String>, reason: Reason) -> Self {
        Self { granted, approver: approver.into(), expires_at: None, reason, note: None }
    }
}

/// What is remembered of a server whether or not anything of it is approved: once signed, always
/// signed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ServerMemory {
    /// The identity of the server.
    pub server: String,
    /// The tools that were seen with a verified signature, by name.
    pub tools: BTreeMap<String, ToolMemory>,
    /// The newest manifest that was seen of each issuer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub manifests: BTreeMap<String, SeenManifest>,
}

/// The newest manifest that an issuer verifiably signed for a server. One with a lower counter is
/// an old one that somebody kept; one with the same counter and other contents is a second history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SeenManifest {
    /// Who signed it.
    pub issuer: String,
    /// Its counter.
    pub seq: u64,
    /// The digest of its contents.
    pub digest: Digest,
    /// When it was first seen.
    pub since: UnixTime,
}

impl SeenManifest {
    /// A manifest by its issuer, counter and contents.
    pub fn new(issuer: impl Into<String>, seq: u64, digest: Digest, since: UnixTime) -> Self {
        Self { issuer: issuer.into(), seq, digest, since }
    }
}

/// The issuers that verifiably signed a tool, by name.
pub type ToolMemory = BTreeMap<String, Sighting>;

/// The first and the highest that was seen of a tool by one issuer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sighting {
    /// The key of the highest version.
    pub kid: KeyId,
    /// The highest version.
    pub version: Option<String>,
    /// When the issuer was first seen to sign the tool.
    pub since: UnixTime,
}

/// The most signed tools that are remembered of one server.
pub const MAX_REMEMBERED_TOOLS: usize = 16_384;
/// The most issuers that are remembered of one tool.
pub const MAX_REMEMBERED_ISSUERS: usize = 16;

impl ServerMemory {
    /// Nothing seen yet.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), tools: BTreeMap::new(), manifests: BTreeMap::new() }
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty() && self.manifests.is_empty()
    }

    /// Adds a manifest, and says whether it was a newer one. A lower counter never replaces a
    /// higher one, and the first contents of a counter stay.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] beyond [`MAX_REMEMBERED_ISSUERS`].
    pub fn add_manifest(&mut self, seen: &SeenManifest) -> Result<bool, StoreError> {
        let known = self.manifests.get(&seen.issuer);
        if known.is_some_and(|known| seen.seq <= known.seq) {
            return Ok(false);
        }
        if known.is_none() && self.manifests.len() >= MAX_REMEMBERED_ISSUERS {
            return Err(StoreError::Full { what: "issuers of one server" });
        }
        self.manifests.insert(seen.issuer.clone(), seen.clone());
        Ok(true)
    }

    /// Adds all that another memory of the server holds, and says whether that was anything new.
    ///
    /// # Errors
    ///
    /// As [`ServerMemory::add`] and [`ServerMemory::add_manifest`].
    pub fn merge(&mut self, other: &Self) -> Result<bool, StoreError> {
        let mut changed = false;
        for (tool, issuers) in &other.tools {
            for (issuer, sighting) in issuers {
                let seen = Seen::new(tool, issuer, sighting.kid, sighting.version.clone());
                changed |= self.add(&[seen], sighting.since)?;
            }
        }
        for manifest in other.manifests.values() {
            changed |= self.add_manifest(manifest)?;
        }
        Ok(changed)
    }

    /// Forgets a tool or, for `""`, every manifest. Says whether there was anything to forget.
    pub fn forget(&mut self, tool: &str) -> bool {
        if tool.is_empty() {
            return !std::mem::take(&mut self.manifests).is_empty();
        }
        self.tools.remove(tool).is_some()
    }

    /// Adds what was seen, and says whether that was anything new. A lower version never replaces
    /// a higher one, so that two writers may remember in any order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] beyond [`MAX_REMEMBERED_TOOLS`] or [`MAX_REMEMBERED_ISSUERS`].
    pub fn add(&mut self, seen: &[Seen], now: UnixTime) -> Result<bool, StoreError> {
        let mut changed = false;
        for one in seen {
            let full = self.tools.len() >= MAX_REMEMBERED_TOOLS;
            if full && !self.tools.contains_key(&one.tool) {
                return Err(StoreError::Full { what: "signed tools of one server" });
            }
            let issuers = self.tools.entry(one.tool.clone()).or_default();
            if let Some(known) = issuers.get_mut(&one.issuer) {
                if decide::is_higher(one.version.as_deref(), known.version.as_deref()) {
                    known.version.clone_from(&one.version);
                    known.kid = one.kid;
                    changed = true;
                }
            } else if issuers.len() >= MAX_REMEMBERED_ISSUERS {
                return Err(StoreError::Full { what: "issuers of one tool" });
            } else {
                let (kid, version) = (one.kid, one.version.clone());
                issuers.insert(one.issuer.clone(), Sighting { kid, version, since: now });
                changed = true;
            }
        }
        Ok(changed)
    }
}
