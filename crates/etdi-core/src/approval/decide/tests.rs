//! Which facts lead to which decision.

use serde_json::json;

use super::*;
use crate::approval::Given;
use crate::definition::RawTool;
use crate::key::KeyId;

mod updates;

const SERVER: &str = "pkg:cargo/notes";
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

fn definition(version: &'static str, what: What) -> ToolDefinition {
    read(&text(Edit { version, what }))
}

fn text(edit: Edit) -> String {
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

fn read(text: &str) -> ToolDefinition {
    RawTool::read(text).unwrap().definition().clone()
}

fn verified(definition: &ToolDefinition) -> Standing {
    signed(definition, ISSUER, 1, Trust::Configured)
}

fn signed(definition: &ToolDefinition, issuer: &str, key: u8, trust: Trust) -> Standing {
    Standing::Verified {
        issuer: issuer.parse().unwrap(),
        name: None,
        by: SignedBy::new(KeyId::from_bytes([key; 32]), vec![Digest::of_bytes(b"jws")]),
        trust,
        digest: definition.digest(),
    }
}

fn seen(tool: &str, issuer: &str, version: &str) -> Seen {
    Seen::new(tool, issuer, KeyId::from_bytes([1; 32]), Some(version.to_owned()))
}

fn approved(definition: &ToolDefinition, standing: &Standing) -> Approval {
    let facts = Facts::new(SERVER, definition, standing);
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
    ];
    let before = definition("1.4.0", Nothing);
    let approval = approved(&before, &verified(&before));
    for (version, what, expected) in table {
        let listed = definition(version, what);
        let standing = verified(&listed);
        let facts = Facts::new(SERVER, &listed, &standing);
        let found = at_all_levels(&facts, Known::new(Some(&approval), None));
        assert_eq!(found, expected, "{version} {}", listed.canonical());
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
    let before = definition("1.4.0", Nothing);
    let approval = approved(&before, &Standing::Unsigned);
    for (version, what, expected) in table {
        let listed = definition(version, what);
        let facts = Facts::new(SERVER, &listed, &Standing::Unsigned);
        let found = at_all_levels(&facts, Known::new(Some(&approval), None));
        assert_eq!(found, expected, "{version}");
    }
}

/// What verification found, against what is known, with the definition unchanged.
#[test]
fn standing_against_memory() {
    let tool = definition("1.4.0", What::Nothing);
    let verified = verified(&tool);
    let by_issuer = approved(&tool, &verified);
    let unsigned = approved(&tool, &Standing::Unsigned);
    let verified = || verified.clone();
    let signed = |issuer, key, trust| signed(&tool, issuer, key, trust);
    let remembered = |tool: &str, issuer: &str, version: &str| {
        let mut memory = ServerMemory::new(SERVER);
        memory.add(&[seen(tool, issuer, version)], NOW).unwrap();
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
        // Without a pinned program, what may be a copy is not taken for the server.
        (
            Standing::Unbound,
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
        (Standing::Unbound, Some(&by_issuer), &this, ["block VERIFICATION_LOST"; 3]),
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
            signed(ISSUER, 2, Trust::Configured),
            Some(&by_issuer),
            &this,
            ["ask KEY_CHANGED", "carried over", "ask KEY_CHANGED"],
        ),
        (
            signed(ISSUER, 2, Trust::FirstUse),
            Some(&by_issuer),
            &this,
            ["alarm KEY_CHANGED", "alarm KEY_CHANGED", "block KEY_UNTRUSTED"],
        ),
        // What a key is trusted for must be enough for the policy.
        (
            signed(ISSUER, 1, Trust::Issuer),
            Some(&by_issuer),
            &this,
            ["unchanged", "unchanged", "block KEY_UNTRUSTED"],
        ),
        // An approval for another issuer is none.
        (
            signed("https://evil.example", 1, Trust::Configured),
            Some(&by_issuer),
            &nothing,
            ["ask NOT_APPROVED"; 3],
        ),
        (verified(), Some(&unsigned), &nothing, ["ask NOT_APPROVED"; 3]),
    ];
    for (index, (standing, approval, memory, expected)) in table.iter().enumerate() {
        let facts = Facts::new(SERVER, &tool, standing);
        let known = Known::new(*approval, memory.as_ref());
        assert_eq!(at_all_levels(&facts, known), *expected, "line {index}");
    }
}

#[test]
fn approvals_of_other_tools_and_servers_decide_nothing() {
    let tool = definition("1.4.0", What::Nothing);
    let approval = approved(&tool, &verified(&tool));
    let renamed = read(
        &text(Edit { version: "1.4.0", what: What::Nothing }).replace("\"search\"", "\"Search\""),
    );
    for (server, tool) in [("pkg:cargo/evil", &tool), (SERVER, &renamed)] {
        let standing = verified(tool);
        let facts = Facts::new(server, tool, &standing);
        let known = Known::new(Some(&approval), None).with_previous(Some(&approval));
        assert_eq!(at_all_levels(&facts, known), ["ask NOT_APPROVED"; 3]);
    }
}

#[test]
fn a_standing_is_that_of_one_definition() {
    let tool = definition("1.4.0", What::Nothing);
    let approval = approved(&tool, &verified(&tool));
    let of_another = verified(&definition("1.4.0", What::Description));
    let facts = Facts::new(SERVER, &tool, &of_another);
    let known = Known::new(Some(&approval), None);
    assert_eq!(at_all_levels(&facts, known), ["block DIGEST_MISMATCH"; 3]);
}

#[test]
fn a_signed_approval_alone_remembers() {
    let tool = definition("1.4.0", What::Nothing);
    let approval = approved(&tool, &verified(&tool));
    let facts = Facts::new(SERVER, &tool, &Standing::Unsigned);
    let known = Known::default().with_previous(Some(&approval));
    assert_eq!(at_all_levels(&facts, known), ["block SIGNATURE_REMOVED"; 3]);
}

#[test]
fn a_pinned_program_must_be_the_same() {
    let tool = definition("1.4.0", What::Nothing);
    let pin = Pin::new("/opt/notes", Digest::of_bytes(b"notes"), vec!["notes".into()]);
    let mut replaced = pin.clone();
    replaced.digest = Digest::of_bytes(b"evil");
    let mut argued = pin.clone();
    argued.argv.push("--evil".into());
    let mut scripted = pin.clone();
    scripted.files.insert("a.py".into(), Digest::of_bytes(b""));
    let mut moved = pin.clone();
    moved.executable = "/tmp/notes".into();
    let lines = [
        (Some(&pin), "unchanged"),
        (Some(&replaced), "alarm EXECUTABLE_CHANGED"),
        (Some(&argued), "alarm EXECUTABLE_CHANGED"),
        (Some(&scripted), "alarm EXECUTABLE_CHANGED"),
        (Some(&moved), "alarm EXECUTABLE_CHANGED"),
        (None, "alarm EXECUTABLE_CHANGED"),
    ];
    for (standing, strict) in
        [(Standing::Unsigned, "block UNSIGNED"), (Standing::Unbound, "block UNVERIFIED")]
    {
        let facts = Facts::new(SERVER, &tool, &standing);
        let first = at_all_levels(&facts.behind(Some(&pin)), Known::default());
        assert_eq!(first, ["ask NOT_APPROVED", "ask NOT_APPROVED", strict]);
        let approval = Approval { pin: Some(pin.clone()), ..approved(&tool, &standing) };
        for (pin, expected) in lines {
            let known = Known::new(Some(&approval), None);
            let mut found = at_all_levels(&facts.behind(pin), known).to_vec();
            if standing == Standing::Unbound && pin.is_none() {
                // Nothing at all stands for the server then.
                assert_eq!(found.remove(1), "block UNVERIFIED");
                found.insert(1, expected.to_owned());
            }
            assert_eq!(found, [expected, expected, strict], "{pin:?}");
        }
    }
    // Where an attestation binds the definition to the server, no program is pinned.
    let standing = verified(&tool);
    let facts = Facts::new(SERVER, &tool, &standing).behind(Some(&pin));
    let approval = approved(&tool, &standing);
    assert_eq!((facts.pin, &approval.pin), (None, &None));
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["unchanged"; 3]);
}

#[test]
fn a_policy_of_ones_own_can_block_what_drifts() {
    let tool = definition("1.4.0", What::Nothing);
    let pin = Pin::new("/opt/notes", Digest::of_bytes(b"notes"), vec!["notes".into()]);
    let approval = Approval { pin: Some(pin), ..approved(&tool, &Standing::Unsigned) };
    let mut policy = Policy::enhanced();
    policy.drift = Drift::Block;
    let facts = Facts::new(SERVER, &tool, &Standing::Unsigned);
    let decision = decide(&facts, Known::new(Some(&approval), None), &policy, NOW);
    assert_eq!(outcome(&decision), "block EXECUTABLE_CHANGED");
}

#[test]
fn expiry_asks_and_softens_nothing() {
    let tool = definition("1.4.0", What::Nothing);
    let standing = verified(&tool);
    let mut approval = approved(&tool, &standing);
    approval.expires_at = Some(NOW);
    let known = Known::new(Some(&approval), None);
    let facts = Facts::new(SERVER, &tool, &standing);
    assert_eq!(at_all_levels(&facts, known), ["ask APPROVAL_EXPIRED"; 3]);
    for (version, what, expected) in [
        (
            "1.5.0",
            What::Less,
            ["ask VERSION_CHANGED", "ask APPROVAL_EXPIRED", "ask VERSION_CHANGED"],
        ),
        (
            "1.4.0",
            What::Less,
            ["alarm DEFINITION_CHANGED", "alarm DEFINITION_CHANGED", "block DEFINITION_CHANGED"],
        ),
    ] {
        let listed = definition(version, what);
        let standing = verified(&listed);
        assert_eq!(at_all_levels(&Facts::new(SERVER, &listed, &standing), known), expected);
    }
    approval.expires_at = Some(NOW.plus(1));
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["unchanged"; 3]);
}

#[test]
fn missing_none_and_all_are_three_grants() {
    let tool = definition("1.4.0", What::Nothing);
    let standing = verified(&tool);
    let mut approval = approved(&tool, &standing);
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
        let facts = Facts::new(SERVER, &tool, &standing);
        assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), [expected; 3]);
    }
    let plain = read(r#"{"name":"search","inputSchema":{}}"#);
    let standing = verified(&plain);
    let mut approval = approved(&plain, &standing);
    approval.granted = Granted::Unasked;
    let facts = Facts::new(SERVER, &plain, &standing);
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["unchanged"; 3]);
}

#[test]
fn a_stored_definition_that_cannot_be_read_is_blocked() {
    let tool = definition("1.4.0", What::Nothing);
    let mut approval = approved(&tool, &verified(&tool));
    approval.definition = "gone".into();
    let listed = definition("1.5.0", What::Nothing);
    let standing = verified(&listed);
    let facts = Facts::new(SERVER, &listed, &standing);
    assert_eq!(at_all_levels(&facts, Known::new(Some(&approval), None)), ["block STORE_FAILED"; 3]);
}

#[test]
fn what_a_verifier_says_is_what_it_means() {
    let of = |error| Standing::of(&Err(error));
    let server = crate::identity::ServerIdentity::package("pkg:cargo/notes").unwrap();
    let digest = Digest::of_bytes(b"");
    assert_eq!(of(VerifyError::Unsigned), Standing::Unsigned);
    assert_eq!(of(VerifyError::BindingMissing { server }), Standing::Unbound);
    assert_eq!(of(VerifyError::NobodyToAsk), Standing::Unverified);
    assert_eq!(of(VerifyError::PossessionMissing { named: Vec::new() }), Standing::Unverified);
    let (measured, listed) = (digest, Vec::new());
    let file = String::new();
    assert_eq!(
        of(VerifyError::ExecutableMismatch { file, measured, listed }),
        Standing::Unverified
    );
    for (error, reason) in [
        (
            VerifyError::DigestMismatch { attested: digest, received: digest },
            Reason::DigestMismatch,
        ),
        (VerifyError::Expired { until: NOW, now: NOW }, Reason::AttestationExpired),
        (VerifyError::NotYetValid { from: NOW, now: NOW }, Reason::AttestationNotYetValid),
        (VerifyError::Revoked { key: KeyId::from_bytes([1; 32]) }, Reason::Revoked),
        (VerifyError::Claims { member: "sub" }, Reason::AttestationInvalid),
    ] {
        assert_eq!(of(error), Standing::Invalid(reason));
    }
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
