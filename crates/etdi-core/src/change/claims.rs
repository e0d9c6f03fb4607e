//! What signers claim otherwise than before: the source, the proof of the build, the interface.

use serde_json::Value;

use super::walk::Walk;
use super::{ChangeKind, Changes, Gravity};
use crate::verify::Claimed;
use crate::wire::Contract;

type Get = fn(&Claimed) -> Option<&String>;
type Place = fn(&str) -> &str;

/// Adds what differs between two sets of claims. Each signer's word is held against the same
/// signer's.
pub(super) fn compare(found: Changes, before: &[Claimed], after: &[Claimed]) -> Changes {
    let mut walk = Walk::onward(found);
    let of = |all: &[Claimed], by: &str| all.iter().find(|one| one.by.as_str() == by).cloned();
    let mut signers: Vec<&str> = before.iter().chain(after).map(|one| one.by.as_str()).collect();
    signers.sort_unstable();
    signers.dedup();
    for by in signers {
        let (old, new) = (of(before, by), of(after, by));
        let text = |one: &Option<Claimed>, get: fn(&Claimed) -> Option<&String>| {
            one.as_ref().and_then(get).cloned()
        };
        let members: [(&str, Get, Place); 2] = [
            ("src", |one| one.source.as_ref(), repository),
            ("slsa", |one| one.slsa.as_ref(), folder),
        ];
        for (member, get, place) in members {
            let (old, new) = (text(&old, get), text(&new, get));
            if old == new {
                continue;
            }
            let gravity = match (&old, &new) {
                (Some(old), Some(new)) if place(old) == place(new) => Gravity::Cosmetic,
                (None, Some(_)) => Gravity::Notable,
                _ => Gravity::Powerful,
            };
            let (old, new) = (old.map(Value::String), new.map(Value::String));
            walk.inside("prov", |walk| {
                walk.inside(member, |walk| {
                    let kind = ChangeKind::ProvenanceChanged;
                    walk.push(kind, old.as_ref(), new.as_ref(), gravity);
                });
            });
        }
        let contract = |one: Option<Claimed>| one.and_then(|one| one.contract);
        let (old, new) = (contract(old), contract(new));
        if old != new {
            let gravity = match (&old, &new) {
                (Some(old), Some(new)) => interface(old, new),
                (None, Some(_)) => Gravity::Notable,
                _ => Gravity::Powerful,
            };
            let shown = |one: Option<Contract>| one.and_then(|one| serde_json::to_value(one).ok());
            let (old, new) = (shown(old), shown(new));
            walk.inside("contract", |walk| {
                walk.push(ChangeKind::ContractChanged, old.as_ref(), new.as_ref(), gravity);
            });
        }
    }
    walk.finish()
}

/// Another text of the same document is what updates bring.
fn interface(old: &Contract, new: &Contract) -> Gravity {
    let place = |one: &Contract| one.url.as_deref().map(|url| origin(url).to_owned());
    match old.kind == new.kind && place(old) == place(new) {
        true => Gravity::Notable,
        false => Gravity::Powerful,
    }
}

/// A source without its commit, which every release changes. What has no plain commit at its end
/// is compared whole.
fn repository(source: &str) -> &str {
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "._-+".contains(c))
    };
    let Some((before, last)) = source.rsplit_once('@') else { return source };
    let path = before.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    match path {
        Some((_, path)) if !path.is_empty() && plain(last) => before,
        _ => source,
    }
}

/// A URL without its last segment, which every build changes: who shares a host with others is told
/// from them by the rest.
fn folder(url: &str) -> &str {
    let plain = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "._-+".contains(c));
    match url.rsplit_once('/') {
        Some((before, last)) if before.len() > origin(url).len() && plain(last) => before,
        _ => url,
    }
}

/// Scheme and authority of a URL; all of a text that is none.
fn origin(url: &str) -> &str {
    let Some((scheme, rest)) = url.split_once("://") else { return url };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    url.get(..scheme.len() + 3 + end).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(source: Option<&str>, contract: Option<Contract>) -> Claimed {
        let mut claimed = Claimed::new("https://acme.example".parse().unwrap());
        claimed.source = source.map(str::to_owned);
        claimed.contract = contract;
        claimed
    }

    #[test]
    fn another_commit_is_an_update_and_another_repository_is_not() {
        const OLD: &str = "git+https://git.example/acme/notes@0a1b";
        let table = [
            (Some("git+https://git.example/acme/notes@2c3d"), Gravity::Cosmetic),
            (Some("git+https://git.example/acme/notes@v1.2"), Gravity::Cosmetic),
            (Some("git+https://git.example/evil/notes@0a1b"), Gravity::Powerful),
            (Some("git+https://git.evil/acme/notes@0a1b"), Gravity::Powerful),
            (Some("git+https://git.example/acme/notes@a/../evil"), Gravity::Powerful),
            (Some("git+https://git.example/acme/notes@2c3d\u{200b}"), Gravity::Alarm),
            (None, Gravity::Powerful),
        ];
        for (new, gravity) in table {
            let changes =
                Changes::default().and_claims(&[word(Some(OLD), None)], &[word(new, None)]);
            assert_eq!(changes.gravity(), Some(gravity), "{new:?}");
            assert!(changes.iter().all(|one| one.path == "prov.src"), "{changes}");
        }
        let added = Changes::default().and_claims(&[], &[word(Some(OLD), None)]);
        assert_eq!(added.gravity(), Some(Gravity::Notable));
        // What stands before an `@` without a path is whose machine it is.
        let machine = |at: &str| [word(Some(&format!("git+ssh://git@{at}")), None)];
        let changes = Changes::default().and_claims(&machine("acme"), &machine("evil"));
        assert_eq!(changes.gravity(), Some(Gravity::Powerful));
    }

    #[test]
    fn another_build_is_an_update_and_another_project_is_not() {
        let proof = |url: &str| {
            let mut claimed = Claimed::new("https://acme.example".parse().unwrap());
            claimed.slsa = Some(url.to_owned());
            [claimed]
        };
        let old = proof("https://git.example/acme/notes/1.0.intoto.jsonl");
        for (new, gravity) in [
            ("https://git.example/acme/notes/1.1.intoto.jsonl", Gravity::Cosmetic),
            ("https://git.example/evil/notes/1.0.intoto.jsonl", Gravity::Powerful),
            ("https://git.example/acme/notes/x?y=/1.0.intoto.jsonl", Gravity::Powerful),
            ("https://git.evil/acme/notes/1.0.intoto.jsonl", Gravity::Powerful),
            ("https://git.example/1.0.intoto.jsonl", Gravity::Powerful),
        ] {
            let changes = Changes::default().and_claims(&old, &proof(new));
            assert_eq!(changes.gravity(), Some(gravity), "{new}");
        }
    }

    #[test]
    fn another_interface_is_looked_at() {
        let contract = |kind: &str, text: &str, url: &str| {
            [word(None, Some(Contract::of(kind, text.as_bytes()).at(url)))]
        };
        let old = contract("openapi", "1", "https://api.example/v1.json");
        for (new, gravity) in [
            (contract("openapi", "2", "https://api.example/v2.json"), Gravity::Notable),
            (contract("graphql", "1", "https://api.example/v1.json"), Gravity::Powerful),
            (contract("openapi", "1", "https://api.example.evil/v1.json"), Gravity::Powerful),
            (contract("openapi", "1", "https://api.example@evil/v1.json"), Gravity::Powerful),
        ] {
            let changes = Changes::default().and_claims(&old, &new);
            assert_eq!(changes.gravity(), Some(gravity), "{changes}");
            assert!(changes.has(ChangeKind::ContractChanged));
        }
        assert!(Changes::default().and_claims(&old, &old).is_empty());
    }
}
