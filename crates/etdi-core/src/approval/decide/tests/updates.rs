//! What an update by the same publisher comes to.

use super::*;

#[test]
fn a_carried_approval_can_be_undone_and_stays_undone() {
    let policy = Policy::enhanced();
    let carry = |approval: &Approval, version| {
        let listed = definition(version, What::Less);
        let standing = verified(&listed);
        let facts = Facts::new(SERVER, &listed, &standing);
        decide(&facts, Known::new(Some(approval), None), &policy, NOW)
    };
    let tool = definition("1.4.0", What::Nothing);
    let first = approved(&tool, &verified(&tool));
    let Decision::CarryOver { approval: second, changes } = carry(&first, "1.5.0") else {
        panic!()
    };
    assert!(changes.has(ChangeKind::PropertyRemoved));
    assert_eq!(second.version.as_deref(), Some("1.5.0"));
    assert_eq!(second.granted, first.granted);
    let Decision::CarryOver { approval: third, .. } = carry(&second, "1.6.0") else { panic!() };

    // Undoing goes back to what a person saw, over all that was carried since.
    let undone = third.undone(NOW.plus(30 * 86_400 - 1)).unwrap();
    assert_eq!(undone, Approval { always_ask: true, ..first.clone() });
    assert_eq!(third.undone(NOW.plus(30 * 86_400)), None);
    assert_eq!(first.undone(NOW), None);
    assert_eq!(outcome(&carry(&undone, "1.6.0")), "ask VERSION_CHANGED");
}

#[test]
fn a_version_between_the_approved_and_the_highest_seen_is_a_step_back() {
    let tool = definition("1.4.0", What::Nothing);
    let approval = approved(&tool, &verified(&tool));
    let mut memory = ServerMemory::new(SERVER);
    memory.add(&[seen("search", ISSUER, "1.6.0")], NOW).unwrap();
    let listed = definition("1.5.0", What::Less);
    let standing = verified(&listed);
    assert_eq!(
        at_all_levels(
            &Facts::new(SERVER, &listed, &standing),
            Known::new(Some(&approval), Some(&memory))
        ),
        ["alarm VERSION_LOWERED", "alarm VERSION_LOWERED", "block VERSION_LOWERED"]
    );
}

#[test]
fn an_alarm_in_a_raised_version_is_one() {
    let tool = definition("1.4.0", What::Nothing);
    let approval = approved(&tool, &verified(&tool));
    let listed = read(
        &text(Edit { version: "1.5.0", what: What::Nothing }).replace("notes.", "notes.\u{200b}"),
    );
    let standing = verified(&listed);
    let facts = Facts::new(SERVER, &listed, &standing);
    assert_eq!(
        at_all_levels(&facts, Known::new(Some(&approval), None)),
        ["alarm VERSION_CHANGED"; 3]
    );
}

#[test]
fn another_key_and_another_version_at_once_ask() {
    let tool = definition("1.4.0", What::Nothing);
    let approval = approved(&tool, &verified(&tool));
    let listed = definition("1.5.0", What::Less);
    for (trust, expected) in [
        (Trust::Configured, ["ask VERSION_CHANGED"; 3]),
        (Trust::FirstUse, ["alarm KEY_CHANGED", "alarm KEY_CHANGED", "block KEY_UNTRUSTED"]),
    ] {
        let standing = signed(&listed, ISSUER, 2, trust);
        let facts = Facts::new(SERVER, &listed, &standing);
        assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), expected);
    }
}

/// A publisher who is somebody else now: nothing in the definition says so, its statement does.
#[test]
fn another_source_of_the_same_definition_is_asked_about() {
    use crate::verify::Claimed;
    let claiming = |definition: &ToolDefinition, source: Option<&str>, key: u8| {
        let mut claimed = Claimed::new(ISSUER.parse().unwrap());
        claimed.source = source.map(str::to_owned);
        let mut standing = signed(definition, ISSUER, key, Trust::Configured);
        if let Standing::Verified { by, .. } = &mut standing {
            by.claimed = vec![claimed];
        }
        standing
    };
    const HONEST: &str = "git+https://git.example/acme/notes@0a1b";
    const LATER: &str = "git+https://git.example/acme/notes@2c3d";
    const OTHER: &str = "git+https://git.example/mallory/notes@0a1b";
    let before = definition("1.4.0", What::Nothing);
    let approval = approved(&before, &claiming(&before, Some(HONEST), 1));
    let table = [
        ("1.4.0", Some(HONEST), 1, ["unchanged"; 3]),
        ("1.4.0", Some(LATER), 1, ["unchanged"; 3]),
        ("1.4.0", Some(OTHER), 1, ["ask PROVENANCE_CHANGED"; 3]),
        ("1.4.0", None, 1, ["ask PROVENANCE_CHANGED"; 3]),
        ("1.4.0", Some(HONEST), 2, ["ask KEY_CHANGED", "carried over", "ask KEY_CHANGED"]),
        ("1.4.0", Some(OTHER), 2, ["ask KEY_CHANGED"; 3]),
        ("1.5.0", Some(LATER), 1, ["ask VERSION_CHANGED", "carried over", "ask VERSION_CHANGED"]),
        ("1.5.0", Some(OTHER), 1, ["ask VERSION_CHANGED"; 3]),
    ];
    for (version, source, key, expected) in table {
        let listed = definition(version, What::Nothing);
        let standing = claiming(&listed, source, key);
        let facts = Facts::new(SERVER, &listed, &standing);
        let known = Known::new(Some(&approval), None);
        assert_eq!(at_all_levels(&facts, known), expected, "{version} {source:?} {key}");
        if let Decision::Ask { changes, .. } = decide(&facts, known, &Policy::strict(), NOW) {
            let shown = changes.has(ChangeKind::ProvenanceChanged);
            assert_eq!(shown, source != Some(HONEST), "{changes}");
        }
    }
}
