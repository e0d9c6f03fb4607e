//! What is known already must neither hide nor push out what is revoked.

use super::*;

fn directory() -> std::path::PathBuf {
    let name = format!("etdi-revocations-{}", crate::random::id().unwrap());
    std::env::temp_dir().join(name)
}

/// Hears what two places say of the issuer.
fn hear(known: &Revocations, world: &World, texts: [&str; 2]) -> Result<(), String> {
    let proofs: [Arc<dyn ProofVerifier>; 1] = [Arc::new(world.anchors.clone())];
    let answers = texts.map(|text| Ok(Some(text.to_owned()))).to_vec();
    block_on(known.hear(answers, &acme(), &proofs, NOW))
}

fn counts(known: &Revocations, key: KeyId, id: &str) -> bool {
    let issuer = acme();
    let statement = Statement { issuer: &issuer, key, id, definition: None };
    known.check(statement, &Revocation::BestEffort, NOW).is_ok()
}

/// The attack: a thief whose list was heard first, and the publisher's emergency list in the
/// operator's file, which was made before that one or has its number.
#[test]
fn a_list_that_was_heard_first_hides_no_revocation() {
    let world = World::new();
    let thiefs = world.list(9, NOW).sign(&world.second).unwrap();
    for number in [8, 9] {
        let directory = directory();
        let known = Revocations::open(&directory).unwrap();
        known.accept(&thiefs, &acme(), &world.anchors, NOW).unwrap();
        assert!(counts(&known, world.second.id(), ""));
        let emergency = world.list(number, NOW).revoke(Revoked::Key(world.second.id()));
        let emergency = emergency.sign(&world.key).unwrap();
        assert!(hear(&known, &world, [&thiefs, &emergency]).is_err(), "it makes nothing fresh");
        for known in [known, Revocations::open(&directory).unwrap()] {
            assert!(!counts(&known, world.second.id(), ""), "{number}");
            assert!(counts(&known, world.key.id(), ""));
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}

/// Whoever has a key and fills what is kept of an issuer's lists hides nothing by it.
#[test]
fn what_has_no_room_takes_the_issuer_back() {
    let world = World::new();
    let known = Revocations::new();
    let list = |number: u64, id: &str| {
        let list = (0..16).fold(world.list(number, NOW), |list, one| {
            list.revoke(Revoked::Statement(format!("{id}{one}{}", "x".repeat(8_000))))
        });
        list.sign(&world.second).unwrap()
    };
    known.accept(&list(9, "first"), &acme(), &world.anchors, NOW).unwrap();
    for id in ["a", "b"] {
        assert!(known.accept(&list(8, id), &acme(), &world.anchors, NOW).is_err());
        assert!(counts(&known, world.key.id(), ""), "{id}");
    }
    assert!(known.accept(&list(8, "c"), &acme(), &world.anchors, NOW).is_err());
    assert!(!counts(&known, world.key.id(), ""));
}

/// A process that asks one place only, such as a command beside a program that reads the operator's
/// file too: it takes nothing back of what the other has heard, whoever writes last.
#[test]
fn who_hears_less_forgets_nothing_that_another_heard() {
    let world = World::new();
    let (stolen, fork) = (Revoked::Key(world.second.id()), Revoked::Statement("x".to_owned()));
    let newest = world.list(9, NOW).sign(&world.key).unwrap();
    let file = world.list(8, NOW).revoke(stolen).sign(&world.key).unwrap();
    let forked = world.list(9, NOW).revoke(fork).sign(&world.key).unwrap();
    for first in [true, false] {
        let directory = directory();
        let open = || Revocations::open(&directory).unwrap();
        let (program, command) = (open(), open());
        let hears_both = || hear(&program, &world, [&newest, &file]).unwrap();
        let hears_one = || command.accept(&newest, &acme(), &world.anchors, NOW).unwrap();
        match first {
            true => (hears_both(), hears_one()),
            false => (hears_one(), hears_both()),
        };
        assert!(!counts(&open(), world.second.id(), ""), "{first}");
        assert!(counts(&open(), world.key.id(), "x"));
        // Nor does it forget its own list for another one of the same number.
        let other = Revocations::new();
        other.accept(&forked, &acme(), &world.anchors, NOW).unwrap();
        let other = Revocations { disk: open().disk, ..other };
        other.save(&other.read()).unwrap();
        let known = open();
        assert!(!counts(&known, world.key.id(), "x") && !counts(&known, world.second.id(), ""));
        block_on(command.refresh(BTreeSet::new(), &Revocation::BestEffort, &[], NOW));
        assert!(!counts(&command, world.second.id(), ""), "a command that runs learns of it");
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
