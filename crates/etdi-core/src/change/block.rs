//! Differences of `_meta`: the ETDI block with its permissions and constraints, and other keys.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use semver::Version;
use serde_json::{Map, Value};

use super::walk::{Walk, keys, object_or};
use super::{ChangeKind, Gravity};
use crate::permission::Scope;
use crate::wire::{self, TOOL as BLOCK};

type Object = Map<String, Value>;

const SCOPES: &str = "dev.etdi/scopes";

/// Compares `_meta`, less what both sides declare to be volatile.
pub(super) fn meta(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    let empty = Object::new();
    let (Some(old), Some(new)) = (object_or(before, &empty), object_or(after, &empty)) else {
        return walk.member(ChangeKind::MetaChanged, before, after);
    };
    let (old_volatile, new_volatile) = (volatile(old), volatile(new));
    for key in keys(old, new) {
        let (old, new) = (old.get(key), new.get(key));
        if old == new || old_volatile.contains(key) && new_volatile.contains(key) {
            continue;
        }
        walk.inside(key, |walk| match key {
            BLOCK => block(walk, old, new),
            SCOPES => {
                walk.noting(ChangeKind::MetaChanged, old, new, |walk| scopes(walk, old, new));
            }
            _ => walk.member(ChangeKind::MetaChanged, old, new),
        });
    }
}

fn volatile(meta: &Object) -> BTreeSet<&str> {
    let listed =
        meta.get(BLOCK).and_then(|block| block.get(wire::VOLATILE)).and_then(Value::as_array);
    // The block itself must never be declared away.
    listed.into_iter().flatten().filter_map(Value::as_str).filter(|key| *key != BLOCK).collect()
}

fn block(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    let (Some(old), Some(new)) =
        (before.and_then(Value::as_object), after.and_then(Value::as_object))
    else {
        return match (before, after) {
            (None, _) => walk.push(ChangeKind::BlockAdded, before, after, Gravity::Powerful),
            (_, None) => walk.push(ChangeKind::BlockRemoved, before, after, Gravity::Alarm),
            _ => walk.push(ChangeKind::BlockChanged, before, after, Gravity::Alarm),
        };
    };
    for key in keys(old, new) {
        let (old, new) = (old.get(key), new.get(key));
        // Proofs are outside the digest, and the version is judged with all changes at hand.
        if old == new || matches!(key, wire::ATTESTATIONS | "version") {
            continue;
        }
        let compare = |walk: &mut Walk| match key {
            "provider" => walk.push(ChangeKind::ProviderChanged, old, new, Gravity::Powerful),
            "permissions" => permissions(walk, old, new),
            "scopes" => scopes(walk, old, new),
            "call" => constraints(walk, old, new),
            "request_signing" => signing(walk, old, new),
            wire::VOLATILE => {
                let gravity =
                    if is_subset(new, old) { Gravity::Cosmetic } else { Gravity::Powerful };
                walk.push(ChangeKind::VolatileChanged, old, new, gravity);
            }
            _ => walk.push(ChangeKind::BlockChanged, old, new, Gravity::Powerful),
        };
        walk.inside(key, |walk| walk.noting(ChangeKind::BlockChanged, old, new, compare));
    }
}

/// Judges the two versions once everything else has been compared: a definition that changed
/// needs a higher one.
pub(super) fn version(walk: &mut Walk, before: &Object, after: &Object) {
    let stated = |tool: &'_ Object| -> Option<Value> {
        tool.get("_meta")?.get(BLOCK)?.get("version").cloned()
    };
    let (old, new) = (stated(before), stated(after));
    let changed = !walk.is_empty();
    let (kind, gravity) = match (&old, &new) {
        _ if old == new && !changed => return,
        _ if old == new => (ChangeKind::VersionKept, Gravity::Alarm),
        // A block that appears brings its first version; one that goes is an alarm already.
        (None, Some(_)) => (ChangeKind::VersionRaised, Gravity::Cosmetic),
        (Some(_), None) => (ChangeKind::VersionLowered, Gravity::Alarm),
        _ => match step(old.as_ref(), new.as_ref()) {
            Some(Ordering::Less) => (ChangeKind::VersionRaised, Gravity::Cosmetic),
            Some(Ordering::Greater) => (ChangeKind::VersionLowered, Gravity::Alarm),
            // Build metadata does not count.
            Some(Ordering::Equal) => (ChangeKind::VersionKept, Gravity::Alarm),
            None => (ChangeKind::VersionUnordered, Gravity::Alarm),
        },
    };
    walk.inside("_meta", |walk| {
        walk.inside(BLOCK, |walk| {
            walk.inside("version", |walk| walk.push(kind, old.as_ref(), new.as_ref(), gravity));
        });
    });
}

fn step(before: Option<&Value>, after: Option<&Value>) -> Option<Ordering> {
    let parse = |value: Option<&Value>| Version::parse(value?.as_str()?).ok();
    Some(parse(before)?.cmp_precedence(&parse(after)?))
}

fn permissions(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    let (Some(old), Some(new)) = (by_scope(before), by_scope(after)) else {
        return walk.push(ChangeKind::PermissionChanged, before, after, Gravity::Powerful);
    };
    let gone: Vec<_> = old.iter().filter(|(scope, _)| !has(&new, scope)).collect();
    let come: Vec<_> = new.iter().filter(|(scope, _)| !has(&old, scope)).collect();
    for (scope, permission) in &come {
        if let Some((_, narrower)) = gone.iter().find(|(other, _)| covers(scope, other)) {
            let kind = ChangeKind::PermissionWidened;
            walk.push(kind, Some(narrower), Some(permission), Gravity::Powerful);
        } else if let Some((_, wider)) = gone.iter().find(|(other, _)| covers(other, scope)) {
            let kind = ChangeKind::PermissionNarrowed;
            walk.push(kind, Some(wider), Some(permission), Gravity::Notable);
        } else {
            walk.push(ChangeKind::PermissionAdded, None, Some(permission), Gravity::Powerful);
        }
    }
    for (scope, permission) in &gone {
        if !come.iter().any(|(other, _)| covers(scope, other) || covers(other, scope)) {
            walk.push(ChangeKind::PermissionRemoved, Some(permission), None, Gravity::Cosmetic);
        }
    }
    for (scope, permission) in &new {
        let Some((_, previous)) = old.iter().find(|(other, _)| other == scope) else { continue };
        if previous != permission {
            walk.push(
                ChangeKind::PermissionChanged,
                Some(previous),
                Some(permission),
                if only_relaxed(previous, permission) {
                    Gravity::Cosmetic
                } else {
                    Gravity::Powerful
                },
            );
        }
    }
    if come.is_empty() && gone.is_empty() && old.len() != new.len() {
        walk.push(ChangeKind::PermissionChanged, before, after, Gravity::Powerful);
    }
}

/// The permissions with their scopes; `None` when one has no scope.
fn by_scope(value: Option<&Value>) -> Option<Vec<(&str, &Value)>> {
    let Some(value) = value else { return Some(Vec::new()) };
    value
        .as_array()?
        .iter()
        .map(|permission| {
            let scope = permission.get("scope").or(Some(permission))?.as_str()?;
            Some((scope, permission))
        })
        .collect()
}

fn has(permissions: &[(&str, &Value)], scope: &str) -> bool {
    permissions.iter().any(|(other, _)| *other == scope)
}

/// Whether the only difference is that the permission is no longer required.
fn only_relaxed(before: &Value, after: &Value) -> bool {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else { return false };
    let required =
        |permission: &Object| permission.get("required").map_or(Some(true), Value::as_bool);
    let rest = |permission: &Object| {
        let mut rest = permission.clone();
        rest.remove("required");
        rest
    };
    required(old) == Some(true) && required(new).is_some() && rest(old) == rest(new)
}

fn scopes(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    let (Some(old), Some(new)) = (texts(before), texts(after)) else {
        return walk.push(ChangeKind::ScopeAdded, before, after, Gravity::Powerful);
    };
    for scope in new.difference(&old) {
        let scope = Value::from(*scope);
        walk.push(ChangeKind::ScopeAdded, None, Some(&scope), Gravity::Powerful);
    }
    for scope in old.difference(&new) {
        let scope = Value::from(*scope);
        walk.push(ChangeKind::ScopeRemoved, Some(&scope), None, Gravity::Cosmetic);
    }
}

/// The depth that a missing `max_depth` stands for.
const DEFAULT_DEPTH: u64 = 10;

fn constraints(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    let empty = Object::new();
    let (Some(old), Some(new)) = (object_or(some(before), &empty), object_or(some(after), &empty))
    else {
        return walk.push(ChangeKind::ConstraintLoosened, before, after, Gravity::Powerful);
    };
    for key in keys(old, new) {
        let (old, new) = (old.get(key), new.get(key));
        if old == new {
            continue;
        }
        let tighter = match key {
            "max_depth" => depth(old).zip(depth(new)).is_some_and(|(old, new)| new <= old),
            "allowed_callers" | "allowed_callees" => match (some(old), some(new)) {
                (_, None) => old.is_none() || some(old).is_none(),
                (None, Some(_)) => texts(new).is_some(),
                (Some(_), Some(_)) => is_subset(new, old),
            },
            "blocked_callers" | "blocked_callees" => is_subset(some(old), some(new)),
            "require_approval_for_chains" => {
                let required =
                    |value: Option<&Value>| some(value).map_or(Some(false), Value::as_bool);
                matches!((required(old), required(new)), (Some(old), Some(new)) if new || !old)
            }
            _ => false,
        };
        let (kind, gravity) = if tighter {
            (ChangeKind::ConstraintTightened, Gravity::Cosmetic)
        } else {
            (ChangeKind::ConstraintLoosened, Gravity::Powerful)
        };
        walk.inside(key, |walk| walk.push(kind, old, new, gravity));
    }
}

/// `null` and absent say the same in a block.
fn some(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| !value.is_null())
}

fn depth(value: Option<&Value>) -> Option<u64> {
    some(value).map_or(Some(DEFAULT_DEPTH), Value::as_u64)
}

fn texts(value: Option<&Value>) -> Option<BTreeSet<&str>> {
    let Some(value) = some(value) else { return Some(BTreeSet::new()) };
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn is_subset(small: Option<&Value>, big: Option<&Value>) -> bool {
    texts(small).zip(texts(big)).is_some_and(|(small, big)| small.is_subset(&big))
}

fn signing(walk: &mut Walk, before: Option<&Value>, after: Option<&Value>) {
    if after.and_then(Value::as_str) == Some("required") {
        walk.push(ChangeKind::SigningTightened, before, after, Gravity::Cosmetic);
    } else {
        walk.push(ChangeKind::SigningLoosened, before, after, Gravity::Powerful);
    }
}

/// Whether the permission `wide` includes `narrow`; what is no scope includes nothing.
fn covers(wide: &str, narrow: &str) -> bool {
    match (wide.parse::<Scope>(), narrow.parse::<Scope>()) {
        (Ok(wide), Ok(narrow)) => wide.covers(&narrow),
        _ => false,
    }
}
