//! The decision: what an approval, a policy and a listed definition together mean. Pure.

use core::cmp::Ordering;
use std::sync::Arc;

use semver::Version;

use super::{Approval, ApprovalKey, Carried, Granted, Pin, Reason, Seen, ServerMemory, SignedBy};
use crate::change::{ChangeError, ChangeKind, Changes, Gravity};
use crate::definition::ToolDefinition;
use crate::digest::Digest;
use crate::identity::ProviderId;
use crate::level::{Drift, Handling, Policy, Update};
use crate::permission::Permission;
use crate::proof::Trust;
use crate::time::UnixTime;
use crate::verify::{Verdict, Verified, VerifyError};
use crate::wire::CallConstraints;

/// What verification found out about a definition. Not being able to check and having found
/// something wrong are different things.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// Signed by a trusted key and bound to the server that sent it. Made from a [`Verified`]
    /// alone.
    #[non_exhaustive]
    Verified {
        /// Who vouches for it.
        issuer: ProviderId,
        /// What the configuration calls them.
        name: Option<Arc<str>>,
        /// The key and the attestations that were verified.
        by: SignedBy,
        /// How the key was found.
        trust: Trust,
        /// The digest of the definition that was verified.
        digest: Digest,
    },
    /// No attestation at all.
    Unsigned,
    /// There is a good attestation that names neither programs nor keys, so that it may have been
    /// copied: only a pinned program can stand for the server.
    Unbound,
    /// There is an attestation, and nobody can check it here, or the server does not prove that it
    /// is about it.
    Unverified,
    /// There is an attestation, and it is wrong.
    Invalid(Reason),
}

impl Standing {
    /// What a verifier's answer means.
    pub fn of(checked: &Result<Verified<ToolDefinition>, VerifyError>) -> Self {
        match checked {
            Ok(verified) => Self::Verified {
                issuer: verified.issuer().clone(),
                name: verified.issuer_name().map(Arc::from),
                by: SignedBy::new(verified.key(), verified.attestations().to_vec())
                    .claiming(verified.claimed().to_vec()),
                trust: verified.trust(),
                digest: verified.digest(),
            },
            Err(error) => match error.verdict() {
                Verdict::Unsigned => Self::Unsigned,
                Verdict::Unverifiable if matches!(error, VerifyError::BindingMissing { .. }) => {
                    Self::Unbound
                }
                Verdict::Unverifiable => Self::Unverified,
                Verdict::Wrong => Self::Invalid(Reason::of(error)),
            },
        }
    }
}

/// What is known about one listed tool.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Facts<'a> {
    /// The identity of the server.
    pub server: &'a str,
    /// The definition as it was listed.
    pub definition: &'a ToolDefinition,
    /// What verification found.
    pub standing: &'a Standing,
    /// What was started, where nothing else binds the definition to its server.
    pub pin: Option<&'a Pin>,
}

impl<'a> Facts<'a> {
    /// A tool of a server and what verification found.
    pub fn new(server: &'a str, definition: &'a ToolDefinition, standing: &'a Standing) -> Self {
        Self { server, definition, standing, pin: None }
    }

    /// The same, behind a program that was started. It is pinned unless verification has bound
    /// the definition to the server by other means.
    #[must_use]
    pub fn behind(self, pin: Option<&'a Pin>) -> Self {
        Self { pin: pin.filter(|_| !self.is_verified()), ..self }
    }

    /// The name of the tool.
    pub fn tool(&self) -> &'a str {
        self.definition.name()
    }

    /// The digest of the definition.
    pub fn digest(&self) -> Digest {
        self.definition.digest()
    }

    /// The key of its approval. Only a verified issuer is part of it: what a definition claims
    /// about itself never finds anyone's approval.
    pub fn key(&self) -> ApprovalKey {
        ApprovalKey::new(self.server, self.issuer().map(str::to_owned), self.tool())
    }

    /// Who verifiably vouches for it.
    pub fn issuer(&self) -> Option<&'a str> {
        match self.standing {
            Standing::Verified { issuer, .. } => Some(issuer.as_str()),
            _ => None,
        }
    }

    /// Whether someone verifiably vouches for it.
    pub fn is_verified(&self) -> bool {
        matches!(self.standing, Standing::Verified { .. })
    }

    /// Whether the only thing that speaks for its key is that it was seen before, or is seen now.
    pub fn is_first_use(&self) -> bool {
        matches!(self.standing, Standing::Verified { trust: Trust::FirstUse, .. })
    }

    /// The key and the attestations that were verified.
    pub fn signed_by(&self) -> Option<&'a SignedBy> {
        match self.standing {
            Standing::Verified { by, .. } => Some(by),
            _ => None,
        }
    }

    /// The version that the definition declares.
    pub fn version(&self) -> Option<String> {
        self.definition.block().map(|block| block.version.to_string())
    }

    /// The permissions that the definition declares.
    pub fn permissions(&self) -> &'a [Permission] {
        self.definition.block().map_or(&[], |block| &block.permissions)
    }

    /// What a store remembers of it, if it is verified.
    pub fn seen(&self) -> Option<Seen> {
        let (issuer, by) = (self.issuer()?, self.signed_by()?);
        Some(Seen::new(self.tool(), issuer, by.kid, self.version()))
    }

    pub(super) fn constraints(&self) -> Option<CallConstraints> {
        self.definition.block().map(|block| block.call.clone())
    }
}

/// What a store knows that bears on the decision.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Known<'a> {
    /// The approval under the tool's key.
    pub approval: Option<&'a Approval>,
    /// An approval of the tool under another issuer, or from before it was signed; it decides
    /// nothing, but what changed since is worth showing.
    pub previous: Option<&'a Approval>,
    /// What is remembered of the server.
    pub memory: Option<&'a ServerMemory>,
}

impl<'a> Known<'a> {
    /// An approval and what is remembered.
    pub fn new(approval: Option<&'a Approval>, memory: Option<&'a ServerMemory>) -> Self {
        Self { approval, previous: None, memory }
    }

    /// The same, with an approval under another key to show differences against.
    #[must_use]
    pub fn with_previous(self, previous: Option<&'a Approval>) -> Self {
        Self { previous, ..self }
    }
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// Exactly what was approved.
    Unchanged,
    /// An update that the policy carries the approval over to; it counts once it is stored.
    CarryOver {
        /// The approval to store in place of the present one.
        approval: Box<Approval>,
        /// What changed.
        changes: Changes,
    },
    /// A person must decide.
    Ask {
        /// Why.
        reason: Reason,
        /// What changed since the last approval.
        changes: Changes,
        /// An honest publisher does not do this.
        alarm: bool,
    },
    /// The tool stays away, and no answer of a user changes that here.
    Block {
        /// Why.
        reason: Reason,
        /// What changed since the last approval.
        changes: Changes,
    },
}

impl Decision {
    /// The reason, `None` when the tool may be called or carried over.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Ask { reason, .. } | Self::Block { reason, .. } => Some(*reason),
            Self::Unchanged | Self::CarryOver { .. } => None,
        }
    }
}

/// Decides about one listed tool.
///
/// Nothing is read or written here; `known` must be what the store holds under `facts.key()`. The
/// order is: what verification found, what was seen signed before, whether there is an approval
/// that counts, the program behind it, the definition, the key, the permissions.
pub fn decide(facts: &Facts<'_>, known: Known<'_>, policy: &Policy, now: UnixTime) -> Decision {
    // An approval under another key decides nothing, whoever hands it in.
    let key = facts.key();
    let approval = known.approval.filter(|approval| approval.key == key);
    // A record from elsewhere is worth showing, and approves nothing.
    let imported = approval.filter(|approval| approval.reason == Reason::Imported);
    let approval = approval.filter(|_| imported.is_none());
    let known = known.with_previous(imported.or(known.previous));
    let withdrawn = approval.is_some_and(|approval| approval.withdrawn.is_some());
    let ask = |changes| Decision::Ask { reason: Reason::ApprovalWithdrawn, changes, alarm: false };
    match compare(facts, approval, known, policy, now) {
        Decision::Unchanged if withdrawn => ask(Changes::default()),
        Decision::CarryOver { changes, .. } if withdrawn => ask(changes),
        decision => decision,
    }
}

fn compare(
    facts: &Facts<'_>,
    approval: Option<&Approval>,
    known: Known<'_>,
    policy: &Policy,
    now: UnixTime,
) -> Decision {
    let shown = approval.or(known.previous);
    let changes = |shown: Option<&Approval>| match shown {
        Some(shown) => differences(shown, facts),
        None => Ok(Changes::default()),
    };

    if let Some(reason) = refused(facts, known, policy) {
        return Decision::Block { reason, changes: changes(shown).unwrap_or_default() };
    }
    let Some(approval) = approval else {
        return match changes(shown) {
            Ok(changes) => first_time(facts, known, policy, changes),
            Err(error) => unreadable(&error),
        };
    };
    if approval.pin.as_ref() != facts.pin {
        let changes = changes(Some(approval)).unwrap_or_default();
        return drift(policy, Reason::ExecutableChanged, changes);
    }
    let expired =
        |changes| Decision::Ask { reason: Reason::ApprovalExpired, changes, alarm: false };
    if approval.digest != facts.digest() {
        return match changes(Some(approval)) {
            Ok(changes) => match changed(facts, approval, known.memory, policy, changes, now) {
                Decision::CarryOver { changes, .. } if approval.is_expired(now) => expired(changes),
                decision => decision,
            },
            Err(error) => unreadable(&error),
        };
    }
    if approval.is_expired(now) {
        return expired(Changes::default());
    }
    if let Some(decision) = other_key(facts, approval, policy, now) {
        return decision;
    }
    if let Some(changes) = claims_otherwise(facts, approval) {
        return Decision::Ask { reason: Reason::ProvenanceChanged, changes, alarm: false };
    }
    permitted(facts, approval)
}

/// What differs from an approval: in the definition, and in what its signers claim of it.
fn differences(shown: &Approval, facts: &Facts<'_>) -> Result<Changes, ChangeError> {
    let changes = Changes::between(&shown.definition, facts.definition.canonical())?;
    Ok(match (&shown.signed_by, facts.signed_by()) {
        (Some(before), Some(now)) => changes.and_claims(&before.claimed, &now.claimed),
        _ => changes,
    })
}

/// The same definition, of which its signers now claim what they did not when it was approved, so
/// that a person must look.
fn claims_otherwise(facts: &Facts<'_>, approval: &Approval) -> Option<Changes> {
    let (before, now) = (approval.signed_by.as_ref()?, facts.signed_by()?);
    if before.claimed == now.claimed {
        return None;
    }
    let changes = Changes::default().and_claims(&before.claimed, &now.claimed);
    (!changes.may_carry_over()).then_some(changes)
}

/// The same definition by the same key. Not having asked, having refused and having granted
/// everything are three answers.
fn permitted(facts: &Facts<'_>, approval: &Approval) -> Decision {
    let granted = &approval.granted;
    let changes = Changes::default();
    if granted.allows_required(facts.permissions()) {
        Decision::Unchanged
    } else if *granted == Granted::Unasked {
        Decision::Ask { reason: Reason::PermissionsUndecided, changes, alarm: false }
    } else {
        Decision::Block { reason: Reason::PermissionDenied, changes }
    }
}

/// A change that an honest publisher does not make.
fn drift(policy: &Policy, reason: Reason, changes: Changes) -> Decision {
    match policy.drift {
        Drift::Block => Decision::Block { reason, changes },
        Drift::Alarm => Decision::Ask { reason, changes, alarm: true },
    }
}

/// What no approval can make good.
fn refused(facts: &Facts<'_>, known: Known<'_>, policy: &Policy) -> Option<Reason> {
    let (lost, handling, refused) = match facts.standing {
        Standing::Verified { .. } => return distrusted(facts, policy),
        Standing::Invalid(reason) => return Some(*reason),
        Standing::Unsigned => (Reason::SignatureRemoved, policy.unsigned, Reason::Unsigned),
        // A program of one's own is in nobody's list; pinned, it is as good as an unsigned one.
        Standing::Unbound if facts.pin.is_some() => {
            (Reason::VerificationLost, policy.unsigned, Reason::Unverified)
        }
        Standing::Unbound | Standing::Unverified => {
            (Reason::VerificationLost, policy.unverified, Reason::Unverified)
        }
    };
    let seen_signed = known.memory.is_some_and(|memory| memory.tools.contains_key(facts.tool()))
        || known.previous.is_some_and(|previous| {
            previous.is_signed()
                && previous.key.server == facts.server
                && previous.key.tool == facts.tool()
        });
    if seen_signed {
        return Some(lost);
    }
    (handling == Handling::Refuse).then_some(refused)
}

/// Why a verified tool does not count as one.
pub(super) fn distrusted(facts: &Facts<'_>, policy: &Policy) -> Option<Reason> {
    let Standing::Verified { trust, digest, .. } = facts.standing else { return None };
    if *digest != facts.digest() {
        return Some(Reason::DigestMismatch);
    }
    (*trust < policy.key_trust.least()).then_some(Reason::KeyUntrusted)
}

/// No approval under this key.
fn first_time(facts: &Facts<'_>, known: Known<'_>, policy: &Policy, changes: Changes) -> Decision {
    let issuers = known.memory.and_then(|memory| memory.tools.get(facts.tool()));
    let alarming = match (facts.standing, issuers) {
        // Only tools that were never seen signed come here unsigned; the server may have attested
        // others, and an attacker may have stripped and renamed one of them.
        (Standing::Unsigned | Standing::Unbound | Standing::Unverified, _) => known
            .memory
            .is_some_and(|memory| !memory.tools.is_empty())
            .then_some(Reason::SignatureRemoved),
        (Standing::Verified { issuer, .. }, Some(issuers)) => {
            let seen = issuers.get(issuer.as_str()).and_then(|seen| seen.version.as_deref());
            if issuers.keys().any(|other| other != issuer.as_str()) {
                Some(Reason::IssuerChanged)
            } else {
                is_higher(seen, facts.version().as_deref()).then_some(Reason::VersionLowered)
            }
        }
        _ => None,
    };
    match alarming {
        None => Decision::Ask { reason: Reason::NotApproved, changes, alarm: false },
        Some(reason) => drift(policy, reason, changes),
    }
}

/// Another definition under the same key.
fn changed(
    facts: &Facts<'_>,
    approval: &Approval,
    memory: Option<&ServerMemory>,
    policy: &Policy,
    changes: Changes,
    now: UnixTime,
) -> Decision {
    let version = facts.version();
    let seen = memory.zip(facts.issuer()).and_then(|(memory, issuer)| {
        memory.tools.get(facts.tool())?.get(issuer)?.version.as_deref()
    });
    if changes.has(ChangeKind::VersionLowered) || is_higher(seen, version.as_deref()) {
        return drift(policy, Reason::VersionLowered, changes);
    }
    let more = changes.adds_permissions();
    if !changes.has(ChangeKind::VersionRaised) {
        let reason = if more { Reason::PermissionsChanged } else { Reason::DefinitionChanged };
        return drift(policy, reason, changes);
    }
    let same_key =
        approval.signed_by.as_ref().map(|by| &by.kid) == facts.signed_by().map(|by| &by.kid);
    if !same_key && matches!(facts.standing, Standing::Verified { trust: Trust::FirstUse, .. }) {
        return Decision::Ask { reason: Reason::KeyChanged, changes, alarm: true };
    }
    match policy.update {
        Update::CarryOver { undo_seconds }
            if facts.is_verified()
                && same_key
                && changes.may_carry_over()
                && !approval.always_ask =>
        {
            carry_over(facts, approval, policy, changes, now.plus(undo_seconds), now)
        }
        _ => {
            let reason = if more { Reason::PermissionsChanged } else { Reason::VersionChanged };
            let alarm = changes.gravity() == Some(Gravity::Alarm);
            Decision::Ask { reason, changes, alarm }
        }
    }
}

/// The same definition, signed with another key of the same issuer.
fn other_key(
    facts: &Facts<'_>,
    approval: &Approval,
    policy: &Policy,
    now: UnixTime,
) -> Option<Decision> {
    let Standing::Verified { by, trust, .. } = facts.standing else { return None };
    if approval.signed_by.as_ref().is_some_and(|approved| approved.kid == by.kid) {
        return None;
    }
    let claims = claims_otherwise(facts, approval);
    Some(match policy.update {
        // A configured issuer may rotate; a key that came from nowhere may not take over.
        Update::CarryOver { undo_seconds }
            if *trust > Trust::FirstUse && !approval.always_ask && claims.is_none() =>
        {
            let until = now.plus(undo_seconds);
            carry_over(facts, approval, policy, Changes::default(), until, now)
        }
        _ => Decision::Ask {
            reason: Reason::KeyChanged,
            changes: claims.unwrap_or_default(),
            alarm: *trust == Trust::FirstUse,
        },
    })
}

fn carry_over(
    facts: &Facts<'_>,
    approval: &Approval,
    policy: &Policy,
    changes: Changes,
    undo_until: UnixTime,
    now: UnixTime,
) -> Decision {
    let from = match &approval.carried {
        Some(carried) => carried.from.clone(),
        None => approval.clone(),
    };
    let same = approval.digest == facts.digest();
    let approval = Approval {
        digest: facts.digest(),
        definition: facts.definition.canonical().to_owned(),
        version: facts.version(),
        signed_by: facts.signed_by().cloned(),
        constraints: facts.constraints(),
        level: policy.level,
        approved_at: now,
        reason: if same { Reason::KeyChanged } else { Reason::VersionChanged },
        note: None,
        carried: Some(Box::new(Carried { from, undo_until })),
        ..approval.clone()
    };
    Decision::CarryOver { approval: Box::new(approval), changes }
}

fn unreadable(error: &ChangeError) -> Decision {
    let reason = match error {
        ChangeError::Before(_) => Reason::StoreFailed,
        ChangeError::After(_) => Reason::DefinitionInvalid,
    };
    Decision::Block { reason, changes: Changes::default() }
}

/// Whether `version` takes precedence over `than`. One that is there is higher than none, a
/// semantic version higher than any other text.
pub(super) fn is_higher(version: Option<&str>, than: Option<&str>) -> bool {
    let parse = |text: Option<&str>| text.and_then(|text| Version::parse(text).ok());
    match (parse(version), parse(than)) {
        (Some(version), Some(than)) => version.cmp_precedence(&than) == Ordering::Greater,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => version.is_some() && than.is_none(),
    }
}

#[cfg(test)]
mod tests;
