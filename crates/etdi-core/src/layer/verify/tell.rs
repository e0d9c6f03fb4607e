//! What listeners are told about a listed tool: more than what the audit trail keeps.

use crate::approval::Reason;
use crate::change::Changes;
use crate::event::{Event, EventKind, Severity};
use crate::level::KeyTrust;
use crate::proof::Trust;
use crate::verify::Verdict;

use super::{Review, ReviewOutcome};

/// What happened to a tool between what was known of it before and now. Each is told once: a
/// listing that says nothing new makes no event.
pub(super) fn events(
    server: &str,
    before: Option<&Review>,
    now: &Review,
    keys: KeyTrust,
) -> Vec<Event> {
    let about = |kind| {
        let event = Event::new(kind).on(server, now.name()).severity(Severity::Low);
        match now.definition() {
            Some(definition) => event.of_definition(definition),
            None => event,
        }
    };
    let mut events = Vec::new();
    if before.is_none() {
        events.push(about(EventKind::ToolDiscovered));
    }
    match now.verification() {
        Ok(verified) if before.is_none_or(|old| old.verification().is_err()) => {
            let by = |event: Event| event.signed(verified.issuer(), verified.key());
            events.push(by(about(EventKind::SignatureVerified)));
            events.push(by(about(EventKind::ToolVerified)));
            if verified.trust() == Trust::FirstUse && keys == KeyTrust::IssuerKeys {
                let event = by(about(EventKind::KeyTakenOnFirstUse)).severity(Severity::Medium);
                events.push(event.detail(
                    &"nobody vouches for the key, trust it by name if you know whose it is",
                ));
            }
        }
        Err(error) if error.verdict() == Verdict::Wrong => {
            let known = before.is_some_and(|old| old.verification() == Err(error));
            if !known {
                let event = about(EventKind::SignatureFailed).severity(Severity::High);
                events.push(event.detail(error));
            }
        }
        _ => {}
    }
    let version = |review: &Review| {
        review.definition().and_then(|one| one.block()).map(|block| block.version.clone())
    };
    if now.is_approved() && before.is_some_and(|old| version(old) != version(now)) {
        events.push(about(EventKind::VersionChanged));
    }
    let (reason, changes) = match now.outcome() {
        ReviewOutcome::Refused(refusal) => (refusal.reason, Some(&refusal.changes)),
        _ => return events,
    };
    let same = before.is_some_and(|old| match old.outcome() {
        ReviewOutcome::Refused(old) => old.reason == reason && old.digest == digest_of(now),
        _ => false,
    });
    if !same {
        events.extend(
            kind_of(reason, changes)
                .map(|kind| about(kind).severity(Severity::Medium).because(reason)),
        );
    }
    events
}

fn digest_of(review: &Review) -> crate::digest::Digest {
    review.definition().map_or_else(|| crate::digest::Digest::of_bytes(b""), |one| one.digest())
}

fn kind_of(reason: Reason, changes: Option<&Changes>) -> Option<EventKind> {
    match reason {
        Reason::VersionChanged | Reason::VersionLowered => Some(EventKind::VersionChanged),
        Reason::PermissionsChanged => Some(EventKind::PermissionChanged),
        Reason::ApprovalExpired => Some(EventKind::ToolExpired),
        _ if changes.is_some_and(Changes::adds_permissions) => Some(EventKind::PermissionChanged),
        _ => None,
    }
}
