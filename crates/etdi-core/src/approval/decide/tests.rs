use serde_json::json;

use super::*;
use crate::approval::{Given, Seen};

const SERVER: &str = "stdio:pkg:cargo/notes";
const ISSUER: &str = "https://acme.example";
const NOW: UnixTime = UnixTime(1_767_323_045);

/// What a table line changes on the tool that was approved.
#[derive(Clone, Copy)]
struct Edit {
    version: &'static str,
    what: What,
}

#[derive(Clone, Copy, PartialEq)]
enum What {
    Nothing,
    /// A property is taken away: nothing new is said or allowed.
    Less,
    Description,
    Permission,
}

fn definition(edit: Edit) -> String {
    let mut tool = json!({
        "name": "search",
        "description": "Search the notes.",
        "inputSchema": {"type": "object", "properties": {"query": {}, "limit": {}}},
        "_meta": {"dev.etdi/etdi": {
            "v": 1, "version": edit.version, "call": {"max_depth": 2},
            "permissions": [
                {"scope": "notes:read", "required": true}, {"scope": "log:write", "required": false}
            ]
        }}
    });
    match edit.what {
        What::Nothing => {}
        What::Less => {
            drop(tool["inputSchema"]["properties"].as_object_mut().unwrap().remove("limit"))
        }
        What::Description => tool["description"] = json!("Search the notes. Then send them."),
        What::Permission => {
            let permissions = &mut tool["_meta"]["dev.etdi/etdi"]["permissions"];
            permissions.as_array_mut().unwrap().push(json!({"scope": "net:send"}));
        }
    }
    tool.to_string()
}

fn verified() -> Standing {
    signed(ISSUER, "key-1", false)
}

fn signed(issuer: &str, kid: &str, first_use: bool) -> Standing {
    Standing::Verified {
        issuer: issuer.to_owned(),
        by: SignedBy::new(kid, vec![Digest::of_bytes(b"jws")]),
        first_use,
    }
}

fn approved(text: &str, standing: &Standing) -> Approval {
    let facts = Facts::new(SERVER, "search", Digest::of_bytes(text.as_bytes()), text, standing);
    let given = Given::new(Granted::All, "tester", Reason::NotApproved);
    Approval::new(&facts, given, crate::level::SecurityLevel::Enhanced, NOW)
}

fn outcome(decision: &Decision) -> String {
    match decision {
        Decision::Unchanged => "unchanged".into(),
        Decision::CarryOver { .. } => "carried over".into(),
        Decision::Ask { reason, alarm: false, .. } => format!("ask {reason}"),
        Decision::Ask { reason, alarm: true, .. } => format!("alarm {reason}"),
        Decision::Block { reason, .. } => format!("block {reason}"),
    }
}

fn at_all_levels(facts: &Facts<'_>, known: Known<'_>) -> [String; 3] {
    [Policy::basic(), Policy::enhanced(), Policy::strict()]
        .map(|policy| outcome(&decide(facts, known, &policy, NOW)))
}

/// An approved, verified tool, and what the server lists later.
#[test]
fn signed_tools() {
    use What::*;
    let table = [
        ("1.4.0", Nothing, ["unchanged"; 3]),
        (
            "1.4.0",
            Less,
            ["alarm DEFINITION_CHANGED", "alarm DEFINITION_CHANGED", "block DEFINITION_CHANGED"],
        ),
        (
            "1.4.0",
            Description,
            ["alarm DEFINITION_CHANGED", "alarm DEFINITION_CHANGED", "block DEFINITION_CHANGED"],
        ),
        (
            "1.4.0",
            Permission,
            ["alarm PERMISSIONS_CHANGED", "alarm PERMISSIONS_CHANGED", "block PERMISSIONS_CHANGED"],
        ),
        ("1.5.0", Nothing, ["ask VERSION_CHANGED", "carried over", "ask VERSION_CHANGED"]),
        ("1.5.0", Less, ["ask VERSION_CHANGED", "carried over", "ask VERSION_CHANGED"]),
        ("1.5.0", Description, ["ask VERSION_CHANGED"; 3]),
        ("1.5.0", Permission, ["ask PERMISSIONS_CHANGED"; 3]),
        (
            "1.3.0",
            Nothing,
            ["alarm VERSION_LOWERED", "alarm VERSION_LOWERED", "block VERSION_LOWERED"],
        ),
        (
            "latest",
            Nothing,
            ["alarm DEFINITION_CHANGED", "alarm DEFINITION_CHANGED", "block DEFINITION_CHANGED"],
        ),
    ];
    let before = definition(Edit { version: "1.4.0", what: Nothing });
    let standing = verified();
    let approval = approved(&before, &standing);
    for (version, what, expected) in table {
        let text = definition(Edit { version, what });
        let facts =
            Facts::new(SERVER, "search", Digest::of_bytes(text.as_bytes()), &text, &standing);
        let found = at_all_levels(&facts, Known::new(Some(&approval), None));
        assert_eq!(found, expected, "{version} {text}");
    }
}

/// The same, of a tool that was approved unsigned. Nobody vouches for an update of it.
#[test]
fn unsigned_tools() {
    use What::*;
    const REFUSED: &str = "block UNSIGNED";
    let table = [
        ("1.4.0", Nothing, ["unchanged", "unchanged", REFUSED]),
        ("1.4.0", Description, ["alarm DEFINITION_CHANGED", "alarm DEFINITION_CHANGED", REFUSED]),
        ("1.5.0", Less, ["ask VERSION_CHANGED", "ask VERSION_CHANGED", REFUSED]),
        ("1.5.0", Permission, ["ask PERMISSIONS_CHANGED", "ask PERMISSIONS_CHANGED", REFUSED]),
        ("1.3.0", Nothing, ["alarm VERSION_LOWERED", "alarm VERSION_LOWERED", REFUSED]),
    ];
    let before = definition(Edit { version: "1.4.0", what: Nothing });
    let approval = approved(&before, &Standing::Unsigned);
    for (version, what, expected) in table {
        let text = definition(Edit { version, what });
        let digest = Digest::of_bytes(text.as_bytes());
        let facts = Facts::new(SERVER, "search", digest, &text, &Standing::Unsigned);
        let found = at_all_levels(&facts, Known::new(Some(&approval), None));
        assert_eq!(found, expected, "{version}");
    }
}

/// What verification found, against what is known, with the definition unchanged.
#[test]
fn standing_against_memory() {
    let text = definition(Edit { version: "1.4.0", what: What::Nothing });
    let digest = Digest::of_bytes(text.as_bytes());
    let by_issuer = approved(&text, &verified());
    let unsigned = approved(&text, &Standing::Unsigned);
    let remembered = |tool: &str, issuer: &str, version: &str| {
        let mut memory = ServerMemory::new(SERVER);
        let seen = Seen::new(tool, issuer, "key-1", Some(version.to_owned()));
        memory.add(&[seen], NOW).unwrap();
        Some(memory)
    };
    let this = remembered("search", ISSUER, "1.4.0");
    let higher = remembered("search", ISSUER, "1.6.0");
    let other_tool = remembered("write", ISSUER, "1.0.0");
    let other_issuer = remembered("search", "https://other.example", "1.0.0");
    let invalid = |reason| Standing::Invalid(reason);

    type Line<'a> = (Standing, Option<&'a Approval>, &'a Option<ServerMemory>, [&'a str; 3]);
    let nothing = None;
    let table: &[Line<'_>] = &[
        // Nothing known.
        (verified(), None, &nothing, ["ask NOT_APPROVED"; 3]),
        (
            Standing::Unsigned,
            None,
            &nothing,
            ["ask NOT_APPROVED", "ask NOT_APPROVED", "block UNSIGNED"],
        ),
        (
            Standing::Unverified,
            None,
            &nothing,
            ["ask NOT_APPROVED", "block UNVERIFIED", "block UNVERIFIED"],
        ),
        (invalid(Reason::SignatureInvalid), None, &nothing, ["block SIGNATURE_INVALID"; 3]),
        // Approved as it stands.
        (verified(), Some(&by_issuer), &this, ["unchanged"; 3]),
        (
            Standing::Unsigned,
            Some(&unsigned),
            &nothing,
            ["unchanged", "unchanged", "block UNSIGNED"],
        ),
        // Wrong is wrong, whatever was approved.
        (invalid(Reason::Revoked), Some(&by_issuer), &this, ["block REVOKED"; 3]),
        (invalid(Reason::DigestMismatch), Some(&by_issuer), &this, ["block DIGEST_MISMATCH"; 3]),
        // Once signed, always signed: with the approval, and when it was removed.
        (Standing::Unsigned, Some(&by_issuer), &this, ["block SIGNATURE_REMOVED"; 3]),
        (Standing::Unsigned, Some(&unsigned), &this, ["block SIGNATURE_REMOVED"; 3]),
        (Standing::Unsigned, None, &this, ["block SIGNATURE_REMOVED"; 3]),
        (Standing::Unverified, Some(&by_issuer), &this, ["block VERIFICATION_LOST"; 3]),
        (Standing::Unverified, None, &this, ["block VERIFICATION_LOST"; 3]),
        // A server that signs others: stripped and renamed looks like this.
        (
            Standing::Unsigned,
            None,
            &other_tool,
            ["alarm SIGNATURE_REMOVED", "alarm SIGNATURE_REMOVED", "block UNSIGNED"],
        ),
        // Rolled back after the approval was removed.
        (
            verified(),
            None,
            &higher,
            ["alarm VERSION_LOWERED", "alarm VERSION_LOWERED", "block VERSION_LOWERED"],
        ),
        // Somebody else signs.
        (
            verified(),
            None,
            &other_issuer,
            ["alarm ISSUER_CHANGED", "alarm ISSUER_CHANGED", "block ISSUER_CHANGED"],
        ),
        // The same issuer with another key, from the configuration and from nowhere.
        (
            signed(ISSUER, "key-2", false),
            Some(&by_issuer),
            &this,
            ["ask KEY_CHANGED", "carried over", "ask KEY_CHANGED"],
        ),
        (signed(ISSUER, "key-2", true), Some(&by_issuer), &this, ["alarm KEY_CHANGED"; 3]),
        // An approval for another issuer is none.
        (
            signed("https://evil.example", "key-1", false),
            Some(&by_issuer),
            &nothing,
            ["ask NOT_APPROVED"; 3],
        ),
        (verified(), Some(&unsigned), &nothing, ["ask NOT_APPROVED"; 3]),
    ];
    for (index, (standing, approval, memory, expected)) in table.iter().enumerate() {
        let facts = Facts::new(SERVER, "search", digest, &text, standing);
        let known = Known::new(*approval, memory.as_ref());
        assert_eq!(at_all_levels(&facts, known), *expected, "line {index}");
    }
}

#[test]
fn approvals_of_other_tools_and_servers_decide_nothing() {
    let text = definition(Edit { version: "1.4.0", what: What::Nothing });
    let digest = Digest::of_bytes(text.as_bytes());
    let standing = verified();
    let approval = approved(&text, &standing);
    for (server, tool) in [("stdio:pkg:cargo/evil", "search"), (SERVER, "Search")] {
        let facts = Facts::new(server, tool, digest, &text, &standing);
        let known = Known::new(Some(&approval), None).with_previous(Some(&approval));
        assert_eq!(at_all_levels(&facts, known), ["ask NOT_APPROVED"; 3]);
    }
}

#[test]
fn a_signed_approval_alone_remembers() {
    let text = definition(Edit { version: "1.4.0", what: What::Nothing });
    let approval = approved(&text, &verified());
    let facts = Facts::new(SERVER, "search", approval.digest, &text, &Standing::Unsigned);
    let known = Known::default().with_previous(Some(&approval));
    assert_eq!(at_all_levels(&facts, known), ["block SIGNATURE_REMOVED"; 3]);
}

#[test]
fn a_pinned_program_must_be_the_same() {
    let text = definition(Edit { version: "1.4.0", what: What::Nothing });
    let standing = verified();
    let pin = Pin::new("/opt/notes", Digest::of_bytes(b"notes"), vec!["notes".into()]);
    let mut approval = approved(&text, &standing);
    approval.pin = Some(pin.clone());
    let changed =
        ["alarm EXECUTABLE_CHANGED", "alarm EXECUTABLE_CHANGED", "block EXECUTABLE_CHANGED"];
    let mut replaced = pin.clone();
    replaced.digest = Digest::of_bytes(b"evil");
    let mut argued = pin.clone();
    argued.argv.push("--evil".into());
    let mut scripted = pin.clone();
    scripted.files.insert("a.py".into(), Digest::of_bytes(b""));
    let mut moved = pin.clone();
    moved.executable = "/tmp/notes".into();
    let lines = [
        (Some(&pin), ["unchanged"; 3]),
        (Some(&replaced), changed),
        (Some(&argued), changed),
        (Some(&scripted), changed),
        (Some(&moved), changed),
        (None, changed),
    ];
    for (pin, expected) in lines {
        let facts = Facts::new(SERVER, "search", approval.digest, &text, &standing).behind(pin);
        assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), expected, "{pin:?}");
    }
}

#[test]
fn expiry_asks_and_softens_nothing() {
    let text = definition(Edit { version: "1.4.0", what: What::Nothing });
    let standing = verified();
    let mut approval = approved(&text, &standing);
    approval.expires_at = Some(NOW);
    let known = Known::new(Some(&approval), None);
    let facts = Facts::new(SERVER, "search", approval.digest, &text, &standing);
    assert_eq!(at_all_levels(&facts, known), ["ask APPROVAL_EXPIRED"; 3]);
    for (edit, expected) in [
        (
            Edit { version: "1.5.0", what: What::Less },
            ["ask VERSION_CHANGED", "ask APPROVAL_EXPIRED", "ask VERSION_CHANGED"],
        ),
        (
            Edit { version: "1.4.0", what: What::Less },
            ["alarm DEFINITION_CHANGED", "alarm DEFINITION_CHANGED", "block DEFINITION_CHANGED"],
        ),
    ] {
        let text = definition(edit);
        let facts =
            Facts::new(SERVER, "search", Digest::of_bytes(text.as_bytes()), &text, &standing);
        assert_eq!(at_all_levels(&facts, known), expected);
    }
    approval.expires_at = Some(NOW.plus(1));
    let facts = Facts::new(SERVER, "search", approval.digest, &text, &standing);
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["unchanged"; 3]);
}

#[test]
fn missing_none_and_all_are_three_grants() {
    let text = definition(Edit { version: "1.4.0", what: What::Nothing });
    let standing = verified();
    let mut approval = approved(&text, &standing);
    let only = |scopes: &[&str]| Granted::Only(scopes.iter().map(|s| (*s).to_owned()).collect());
    for (granted, expected) in [
        (Granted::Unasked, "ask PERMISSIONS_UNDECIDED"),
        (only(&[]), "block PERMISSION_DENIED"),
        (only(&["log:write"]), "block PERMISSION_DENIED"),
        (only(&["notes:*"]), "block PERMISSION_DENIED"),
        // A subset without the optional one is a whole approval, not a reason to ask again.
        (only(&["notes:read"]), "unchanged"),
        (Granted::All, "unchanged"),
    ] {
        approval.granted = granted;
        let facts = Facts::new(SERVER, "search", approval.digest, &text, &standing);
        assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), [expected; 3]);
    }
    let plain = r#"{"name":"search"}"#;
    let mut approval = approved(plain, &standing);
    approval.granted = Granted::Unasked;
    let facts = Facts::new(SERVER, "search", approval.digest, plain, &standing);
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["unchanged"; 3]);
}

#[test]
fn a_carried_approval_can_be_undone_and_stays_undone() {
    let standing = verified();
    let policy = Policy::enhanced();
    let carry = |approval: &Approval, version| {
        let text = definition(Edit { version, what: What::Less });
        let facts =
            Facts::new(SERVER, "search", Digest::of_bytes(text.as_bytes()), &text, &standing);
        decide(&facts, Known::new(Some(approval), None), &policy, NOW)
    };
    let first = approved(&definition(Edit { version: "1.4.0", what: What::Nothing }), &standing);
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
    let standing = verified();
    let approval = approved(&definition(Edit { version: "1.4.0", what: What::Nothing }), &standing);
    let mut memory = ServerMemory::new(SERVER);
    memory.add(&[Seen::new("search", ISSUER, "key-1", Some("1.6.0".into()))], NOW).unwrap();
    let text = definition(Edit { version: "1.5.0", what: What::Less });
    let facts = Facts::new(SERVER, "search", Digest::of_bytes(text.as_bytes()), &text, &standing);
    assert_eq!(
        at_all_levels(&facts, Known::new(Some(&approval), Some(&memory))),
        ["alarm VERSION_LOWERED", "alarm VERSION_LOWERED", "block VERSION_LOWERED"]
    );
}

#[test]
fn what_cannot_be_read_is_blocked() {
    let standing = verified();
    let good = definition(Edit { version: "1.4.0", what: What::Nothing });
    let mut approval = approved(&good, &standing);
    let facts = Facts::new(SERVER, "search", Digest::of_bytes(b"x"), "[]", &standing);
    assert_eq!(
        at_all_levels(&facts, Known::new(Some(&approval), None)),
        ["block DEFINITION_INVALID"; 3]
    );
    approval.definition = "gone".into();
    let facts = Facts::new(SERVER, "search", Digest::of_bytes(b"x"), &good, &standing);
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["block STORE_FAILED"; 3]);
}

#[test]
fn an_alarm_in_a_raised_version_is_one() {
    let standing = verified();
    let before = definition(Edit { version: "1.4.0", what: What::Nothing });
    let after = definition(Edit { version: "1.5.0", what: What::Nothing })
        .replace("notes.", "notes.\u{200b}");
    let approval = approved(&before, &standing);
    let facts = Facts::new(SERVER, "search", Digest::of_bytes(after.as_bytes()), &after, &standing);
    assert_eq!(
        at_all_levels(&facts, Known::new(Some(&approval), None)),
        ["alarm VERSION_CHANGED"; 3]
    );
}

#[test]
fn codes_are_what_serde_writes() {
    for reason in [Reason::NotApproved, Reason::AttestationNotYetValid, Reason::TokenInvalid] {
        assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        assert!(!reason.describe().ends_with('.'));
    }
}

#[test]
fn precedence_of_versions() {
    for (version, than, expected) in [
        (None, None, false),
        (Some("1.0.0"), None, true),
        (None, Some("1.0.0"), false),
        (Some("1.10.0"), Some("1.9.0"), true),
        (Some("1.0.0"), Some("1.0.0-rc.1"), true),
        (Some("1.0.0+b"), Some("1.0.0+a"), false),
        (Some("x"), Some("1.0.0"), false),
        (Some("1.0.0"), Some("x"), true),
        (Some("x"), None, true),
        (Some("y"), Some("x"), false),
    ] {
        assert_eq!(is_higher(version, than), expected, "{version:?} {than:?}");
    }
}
