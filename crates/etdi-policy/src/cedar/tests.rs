//! What policies in Cedar decide, and that everything that goes wrong denies.

use std::collections::BTreeSet;
use std::fs;
use std::sync::LazyLock;

use cedar_policy::{Schema, Validator};
use etdi_core::definition::RawTool;
use etdi_core::flow::{Findings, Label, Origin};
use etdi_core::level::SecurityLevel;
use etdi_core::policy::{Obligation, Resource};
use etdi_core::time::UnixTime;

use super::*;

const BANK: &str = "stdio:pkg:cargo/bank";

/// A Saturday, at 11 hours and some minutes.
const NOW: UnixTime = UnixTime(1_795_259_000);

fn pay() -> RawTool {
    RawTool::read(
        r#"{"name":"pay","annotations":{"readOnlyHint":false},
        "inputSchema":{"type":"object","required":["to","cents"],"properties":{
            "to":{"type":"string"},"cents":{"type":"integer"},"note":{"type":["string","null"]},
            "rate":{"type":"number"},"tags":{"type":"array","items":{"type":"string"}}}},
        "_meta":{"dev.etdi/etdi":{"v":1,"version":"1.2.0","provider":{"id":"https://bank.example"},
            "permissions":[{"scope":"money:send"}]}}}"#,
    )
    .unwrap()
}

fn engine(text: &str) -> CedarEngine {
    CedarEngine::new([Source::new("test.cedar", text)]).unwrap()
}

fn ask(engine: &CedarEngine, arguments: &str, edit: impl FnOnce(&mut Request<'_>)) -> Decision {
    let tool = pay();
    let mut request = Request::call(Resource::of(BANK, tool.definition(), Status::Verified), NOW);
    request.context.arguments = Some(arguments);
    edit(&mut request);
    engine.decide(&request)
}

fn allows(policy: &str, arguments: &str) -> bool {
    static SCOPES: LazyLock<BTreeSet<String>> =
        LazyLock::new(|| BTreeSet::from(["money:send".to_owned()]));
    ask(&engine(policy), arguments, |request| {
        request.subject.user = Some("ada");
        request.subject.agent = Some("editor");
        request.subject.scopes = Some(&SCOPES);
        request.context.level = Some(SecurityLevel::Strict);
    })
    .allow
}

const FEW: &str = r#"{"to":"Eve","cents":5}"#;

#[test]
fn policies_see_who_what_and_when() {
    for (condition, expected) in [
        (r#"principal == Etdi::User::"ada""#, true),
        (r#"principal == Etdi::User::"eve""#, false),
        (r#"context.agent == Etdi::Agent::"editor""#, true),
        (r#"action == Etdi::Action::"stdio:pkg:cargo/bank#pay""#, true),
        (r#"action in Etdi::Action::"tools/call""#, true),
        (r#"resource == Etdi::Tool::"stdio:pkg:cargo/bank#pay""#, true),
        (r#"resource in Etdi::Server::"stdio:pkg:cargo/bank""#, true),
        (r#"resource in Etdi::Server::"stdio:pkg:cargo/other""#, false),
        (r#"resource.provider == "https://bank.example""#, true),
        (r#"resource.status == "verified" && resource.version == "1.2.0""#, true),
        (r#"resource.permissions.contains("money:send")"#, true),
        (r#"resource.granted.contains("money:send")"#, true),
        (r#"resource.read_only"#, false),
        (r#"resource has open_world"#, false),
        (r#"context.arguments.cents < 6 && context.arguments.to like "E*""#, true),
        (r#"context.arguments has note"#, false),
        (r#"context.hour == 11 && context.weekday == 6"#, true),
        (r#"context.level == "strict" && context.side == "client""#, true),
        (r#"context.depth == 1 && context.chain.isEmpty()"#, true),
        (r#"context has key"#, false),
        (r#"context.scopes.contains("money:send")"#, true),
        (r#"context.scopes.contains("money")"#, false),
    ] {
        let policy = format!("permit (principal, action, resource) when {{ {condition} }};");
        assert_eq!(allows(&policy, FEW), expected, "{condition}");
    }
}

#[test]
fn nothing_is_allowed_but_by_a_policy_and_a_policy_that_forbids_wins() {
    assert_eq!(ask(&engine(""), FEW, |_| ()), Decision::deny([""; 0]));
    let both = engine(
        r#"permit (principal, action, resource);
        @id("no-eve") @reason("Eve is on the list")
        forbid (principal, action, resource) when { context.arguments.to == "Eve" };"#,
    );
    let denied = ask(&both, FEW, |_| ());
    assert_eq!((denied.allow, &*denied.policies), (false, &["no-eve".to_owned()][..]));
    assert_eq!(denied.reasons, ["Eve is on the list"]);
    let allowed = ask(&both, r#"{"to":"Bob","cents":5}"#, |_| ());
    assert_eq!(allowed.policies, ["test.cedar#1"]);
}

#[test]
fn a_policy_that_fails_denies_even_where_another_permits() {
    // `cents` and a text cannot be compared, and `forbid` would just be left out by Cedar.
    let policy = r#"permit (principal, action, resource);
        forbid (principal, action, resource) when { context.arguments.cents < "ten" };"#;
    let denied = ask(&engine(policy), FEW, |_| ());
    assert!(!denied.allow);
    assert!(denied.reasons[0].starts_with("the policy engine failed: "), "{denied:?}");
    let overflow = r#"permit (principal, action, resource);
        forbid (principal, action, resource)
        when { context.arguments.cents * 9223372036854775807 > 1 };"#;
    assert!(!allows(overflow, FEW));
}

#[test]
fn arguments_that_a_policy_could_misread_deny() {
    let all = "permit (principal, action, resource);";
    assert!(allows(all, FEW));
    assert!(allows(all, r#"{"to":"Eve","cents":5,"note":null,"rate":0.25,"tags":["a","a"]}"#));
    for arguments in [
        // Which of the two would the server take?
        r#"{"to":"Bob","to":"Eve","cents":5}"#,
        r#"{"to":"Eve","cents":"5"}"#,
        r#"{"to":"Eve","cents":5.5}"#,
        r#"{"to":"Eve","cents":9007199254740993}"#,
        r#"{"to":"Eve"}"#,
        r#"{"to":null,"cents":5}"#,
        r#"[]"#,
        r#"{"to":"Eve","cents":5"#,
    ] {
        assert!(!allows(all, arguments), "{arguments}");
    }
    let text = r#"permit (principal, action, resource) when { context.arguments.rate == "0.25" };"#;
    assert!(allows(text, r#"{"to":"Eve","cents":5,"rate":25e-2}"#), "a fraction is its text");
    let strict = r#"permit (principal, action, resource)
        when { context.unknown_arguments.isEmpty() };"#;
    assert!(allows(strict, FEW) && !allows(strict, r#"{"to":"Eve","cents":5,"To":"x"}"#));
}

#[test]
fn what_is_too_big_is_denied_and_not_cut() {
    let all = "permit (principal, action, resource);";
    let big = |size| format!(r#"{{"to":"{}","cents":5}}"#, "x".repeat(size));
    assert!(allows(all, &big(1_000_000)));
    assert!(!allows(all, &big(crate::MAX_ARGUMENTS)));
    let deep = format!(r#"{{"to":"a","cents":5,"x":{}{}}}"#, "[".repeat(5_000), "]".repeat(5_000));
    assert!(!allows(all, &deep));
    let text = "x".repeat(Source::MAX_BYTES + 1);
    let error = CedarEngine::new([Source::new("big.cedar", text)]).unwrap_err();
    assert!(matches!(error, LoadError::TooMuch { .. }), "{error}");
}

#[test]
fn a_tool_that_no_listing_has_is_denied() {
    let request = Request::call(Resource::new(BANK, "pay"), NOW);
    let decision = engine("permit (principal, action, resource);").decide(&request);
    assert!(!decision.allow);
}

#[test]
fn malformed_policies_are_told_with_file_and_line() {
    let good = Source::new("a.cedar", "permit (principal, action, resource);");
    let bad = Source::new("b.cedar", "permit (principal, action, resource);\n\nallow (principal);");
    let error = CedarEngine::new([good.clone(), bad]).unwrap_err().to_string();
    assert!(error.starts_with("b.cedar:3: "), "{error}");

    let twice = Source::new("b.cedar", r#"@id("a.cedar#1") permit (principal, action, resource);"#);
    let error = CedarEngine::new([good.clone(), twice]).unwrap_err().to_string();
    assert!(error.contains("a policy in `a.cedar` is named `a.cedar#1` too"), "{error}");

    let template = Source::new("b.cedar", "permit (principal == ?principal, action, resource);");
    assert!(CedarEngine::new([good, template]).is_err());
}

#[test]
fn policies_are_held_to_the_schema_of_the_tools() {
    let tool = pay();
    let check = |text: &str| engine(text).check([(BANK, tool.definition())]).unwrap();
    assert_eq!(
        check(
            "permit (principal, action, resource) when { context.arguments.cents < 5 };
            forbid (principal, action in Etdi::Action::\"tools/call\", resource)
            when { context.text_from.contains(\"x\") && resource.status != \"verified\" };"
        ),
        []
    );
    for wrong in [
        "permit (principal, action, resource)\nwhen { context.arguments.cent < 5 };",
        "permit (principal, action, resource)\nwhen { context.arguments.cents < \"5\" };",
        "permit (principal, action, resource)\nwhen { context.arguments.note == \"optional\" };",
        "permit (principal,\naction == Etdi::Action::\"stdio:pkg:cargo/bank#pya\", resource);",
        "permit (principal, action, resource)\nwhen { resource.status == context.hour };",
    ] {
        let problems = check(wrong);
        assert!(problems.iter().any(|one| one.line == Some(2)), "{wrong}: {problems:?}");
        assert_eq!(problems[0].file, "test.cedar");
    }
}

/// The schema that policies are checked against is the one that calls really have.
#[test]
fn calls_fit_the_schema() {
    let tool = pay();
    let text = schema_of([(BANK, tool.definition())]);
    let (schema, _) = Schema::from_cedarschema_str(&text).unwrap();
    assert!(Validator::new(schema.clone()).schema().action_entities().is_ok());
    let (loaded, found) = (
        Loaded::new(&[], None).unwrap(),
        Findings::new(Vec::new(), [Label::new(Origin::new("a", "b"))].into()),
    );
    for status in [Status::Verified, Status::Served] {
        let resource = Resource::of(BANK, tool.definition(), status);
        let known = Known::new(&resource, tool.definition(), &loaded.entities).unwrap();
        let mut request = Request::call(resource, NOW);
        request.context.arguments =
            Some(r#"{"to":"a","cents":1,"note":"b","rate":1.5,"tags":["c"],"x":1}"#);
        for user in [Some("ada"), None] {
            request.subject.user = user;
            request.subject.issuer = user;
            request.subject.agent = user;
            request.context.level = user.map(|_| SecurityLevel::Basic);
            request.context.seen = found.seen();
            let asked = known.request(&request).unwrap();
            let context = asked.context().unwrap().clone();
            let action = asked.action().unwrap();
            context.validate(&schema, action).unwrap();
            cedar_policy::Request::new(
                asked.principal().unwrap().clone(),
                action.clone(),
                asked.resource().unwrap().clone(),
                context,
                Some(&schema),
            )
            .unwrap();
        }
        let entities =
            known.entities.iter().filter(|one| one.uid().type_name().to_string() != "Etdi::Action");
        cedar_policy::Entities::from_entities(entities.cloned(), Some(&schema)).unwrap();
    }
}

#[test]
fn hostile_names_stay_names_in_the_schema() {
    let tool = RawTool::read(
        r#"{"name":"x\"; } action \"y","inputSchema":{"type":"object",
            "properties":{"a\": Long}, \u202e":{"type":"string"}}}}"#,
    )
    .unwrap();
    let (schema, _) =
        Schema::from_cedarschema_str(&schema_of([("s\"\n", tool.definition())])).unwrap();
    assert_eq!(schema.actions().count(), 2);
}

#[test]
fn groups_come_from_a_file_and_facts_about_tools_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("staff.cedar", r#"permit (principal in Etdi::Group::"staff", action, resource);"#);
    write(
        "entities.json",
        r#"[{"uid":{"type":"Etdi::User","id":"ada"},"attrs":{},
            "parents":[{"type":"Etdi::Group","id":"staff"}]}]"#,
    );
    let engine = CedarEngine::from_folder(folder.path()).unwrap();
    assert!(ask(&engine, FEW, |request| request.subject.user = Some("ada")).allow);
    assert!(!ask(&engine, FEW, |request| request.subject.user = Some("eve")).allow);
    // The same name by another issuer is another user.
    let other = ask(&engine, FEW, |request| {
        request.subject.user = Some("ada");
        request.subject.issuer = Some("https://evil.example");
    });
    assert!(!other.allow);
    write(
        "entities.json",
        r#"[{"uid":{"type":"Etdi::Tool","id":"stdio:pkg:cargo/bank#pay"},"attrs":{},"parents":[]}]"#,
    );
    assert!(CedarEngine::from_folder(folder.path()).is_err());
}

#[test]
fn a_reload_that_fails_leaves_the_policies_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.cedar");
    fs::write(&file, "permit (principal, action, resource);").unwrap();
    let engine = CedarEngine::from_folder(folder.path()).unwrap();
    fs::write(&file, "permit (principal, action").unwrap();
    assert!(ask(&engine, FEW, |_| ()).allow, "files are read when they are told to be");
    assert!(engine.reload().is_err());
    assert!(ask(&engine, FEW, |_| ()).allow);
    fs::write(&file, "forbid (principal, action, resource);").unwrap();
    engine.reload().unwrap();
    assert!(!ask(&engine, FEW, |_| ()).allow);
    assert!(matches!(super::tests::engine("").reload(), Err(LoadError::NoFolder)));
}

#[test]
fn obligations_come_with_what_permits() {
    let decision = ask(
        &engine(r#"@obligation("sign alert") permit (principal, action, resource);"#),
        FEW,
        |_| (),
    );
    assert_eq!(decision.obligations, [Obligation::Sign, Obligation::Alert]);
    let never = Source::new("a", r#"@obligation("sign") forbid (principal, action, resource);"#);
    assert!(CedarEngine::new([never]).is_err());
}

#[test]
fn another_definition_under_the_same_name_has_its_own_types() {
    let engine =
        engine("permit (principal, action, resource) when { context.arguments.cents < 9 };");
    assert!(ask(&engine, FEW, |_| ()).allow);
    let text = pay().definition().canonical().replace("\"integer\"", "\"string\"");
    let changed = RawTool::read(&text).unwrap();
    let mut request =
        Request::call(Resource::of(BANK, changed.definition(), Status::Verified), NOW);
    request.context.arguments = Some(r#"{"to":"Eve","cents":"5"}"#);
    let denied = engine.decide(&request);
    assert!(!denied.allow && denied.reasons[0].contains("engine failed"), "{denied:?}");
}
