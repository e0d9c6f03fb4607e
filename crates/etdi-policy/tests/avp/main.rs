//! Amazon Verified Permissions, asked over a socket: what is sent and signed, that one set of policies
//! decides alike here and there, and that whatever goes wrong denies.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use etdi_core::audit::MemoryAuditor;
use etdi_core::definition::RawTool;
use etdi_core::policy::{Decision, Gate, Obligation, PolicyEngine, Request, Resource, Status};
use etdi_core::time::UnixTime;
use etdi_policy::{AvpEngine, AvpSettings, AwsCredentials, CredentialError, CredentialSource};
use mcp_types::{BoxFuture, Busy, Runtime};
use serde_json::{Value, json};

mod alike;
mod fake;

use fake::{ALLOW, Fake, Reply, SECRET, header};

const BANK: &str = "stdio:pkg:cargo/bank";
const NOW: UnixTime = UnixTime(1_795_259_000);

/// Timers of tokio.
struct Timers;

impl Runtime for Timers {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        tokio::spawn(task);
    }

    fn blocking(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        Err(Busy)
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep_until(deadline.into()))
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

fn pay() -> RawTool {
    RawTool::read(
        r#"{"name":"pay","annotations":{"readOnlyHint":false},
        "inputSchema":{"type":"object","required":["to","cents"],"properties":{
            "to":{"type":"string"},"cents":{"type":"integer"},
            "tags":{"type":"array","items":{"type":"string"}}}},
        "_meta":{"dev.etdi/etdi":{"v":1,"version":"1.2.0","provider":{"id":"https://bank.example"},
            "permissions":[{"scope":"money:send"}]}}}"#,
    )
    .unwrap()
}

fn key() -> AwsCredentials {
    AwsCredentials::new("AKIDEXAMPLE", SECRET).unwrap()
}

fn engine_with(
    endpoint: &str,
    keys: impl CredentialSource + 'static,
    deadline_ms: u64,
) -> AvpEngine {
    let mut settings = AvpSettings::new("PSEXAMPLEabcdefg111111", "eu-central-1");
    settings.endpoint = Some(endpoint.to_owned());
    (settings.loopback, settings.deadline_ms) = (true, deadline_ms);
    AvpEngine::new(settings, Arc::new(keys), Arc::new(Timers)).unwrap()
}

fn engine(fake: &Fake) -> AvpEngine {
    engine_with(&fake.endpoint, key(), 5_000)
}

async fn ask(engine: &impl PolicyEngine, user: &str, arguments: &str) -> Decision {
    let tool = pay();
    let mut request = Request::call(Resource::of(BANK, tool.definition(), Status::Verified), NOW);
    request.context.arguments = Some(arguments);
    request.subject.user = Some(user);
    engine.authorize(&request).await
}

const FEW: &str = r#"{"to":"Bob","cents":5}"#;

/// The service tells no annotation. What the settings say of the policy that permits is asked for;
/// of a policy that took no part, or where nothing is permitted, it is not.
#[tokio::test]
async fn what_a_policy_asks_for_is_said_in_the_settings() {
    const DENY: &str =
        r#"{"decision":"DENY","determiningPolicies":[{"policyId":"SPone-1"}],"errors":[]}"#;
    for (answer, policy, expected) in [
        (ALLOW, "SPone-1", vec![Obligation::Sign]),
        (ALLOW, "SPtwo-2", vec![]),
        (DENY, "SPone-1", vec![]),
    ] {
        let fake = Fake::always(200, answer);
        let mut settings = AvpSettings::new("PSEXAMPLEabcdefg111111", "eu-central-1");
        settings.endpoint = Some(fake.endpoint.clone());
        (settings.loopback, settings.deadline_ms) = (true, 5_000);
        settings.obligations.insert(policy.to_owned(), vec!["sign".to_owned()]);
        let made = AvpEngine::new(settings.clone(), Arc::new(key()), Arc::new(Timers));
        let decision = ask(&made.unwrap(), "ada", FEW).await;
        assert_eq!((decision.allow, decision.obligations), (answer == ALLOW, expected));
        settings.obligations.insert("SPthree-3".to_owned(), vec!["call-my-boss".to_owned()]);
        assert!(AvpEngine::new(settings, Arc::new(key()), Arc::new(Timers)).is_err());
    }
}

#[tokio::test]
async fn a_decision_is_one_signed_request_in_the_words_of_the_protocol() {
    let fake = Fake::always(200, ALLOW);
    let decision = ask(&engine(&fake), "ada", FEW).await;
    assert_eq!(decision, Decision::permit(["SPone-1"]));
    let seen = fake.seen();
    let [one] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!(one.fault, None);
    assert_eq!(one.head.lines().next(), Some("POST / HTTP/1.1"));
    for (name, value) in [
        ("content-type", "application/x-amz-json-1.0"),
        ("x-amz-target", "VerifiedPermissions.IsAuthorized"),
        ("x-amz-date", "20261121T110320Z"),
    ] {
        assert_eq!(header(&one.head, name), Some(value), "{name}");
    }
    assert_eq!(header(&one.head, "x-amz-security-token"), None);
    let body = &one.body;
    assert_eq!(body["policyStoreId"], "PSEXAMPLEabcdefg111111");
    assert_eq!(body["principal"], json!({"entityType": "Etdi::User", "entityId": "ada"}));
    let id = "stdio:pkg:cargo/bank#pay";
    assert_eq!(body["action"], json!({"actionType": "Etdi::Action", "actionId": id}));
    assert_eq!(body["resource"], json!({"entityType": "Etdi::Tool", "entityId": id}));
    let context = inner(&body["context"]);
    assert_eq!(context["arguments"], json!({"to": "Bob", "cents": 5}));
    assert_eq!((&context["side"], &context["hour"]), (&json!("client"), &json!(11)));
    let entities = inner(&body["entities"]);
    let kinds: Vec<&str> = entities
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["uid"]["type"].as_str().unwrap())
        .collect();
    assert!(kinds.contains(&"Etdi::Tool") && kinds.contains(&"Etdi::Server"), "{kinds:?}");
    assert!(!kinds.contains(&"Etdi::Action"), "actions come from the store's schema: {kinds:?}");
}

fn inner(definition: &Value) -> Value {
    serde_json::from_str(definition["cedarJson"].as_str().unwrap()).unwrap()
}

#[tokio::test]
async fn a_session_token_is_sent_and_signed() {
    let fake = Fake::always(200, ALLOW);
    let temporary = key().session("IQoJb3JpZ2luX2VjE//==").unwrap();
    assert!(ask(&engine_with(&fake.endpoint, temporary, 5_000), "ada", FEW).await.allow);
    let seen = fake.seen();
    assert_eq!(header(&seen[0].head, "x-amz-security-token"), Some("IQoJb3JpZ2luX2VjE//=="));
    assert_eq!(seen[0].fault, None);
}

#[tokio::test]
async fn another_key_signs_nothing_that_counts() {
    let fake = Fake::always(200, ALLOW);
    let other = AwsCredentials::new("AKIDEXAMPLE", "another").unwrap();
    let denied = ask(&engine_with(&fake.endpoint, other, 5_000), "ada", FEW).await;
    assert!(!denied.allow);
    assert!(denied.reasons[0].contains("`InvalidSignatureException`"), "{denied:?}");
}

/// Each of these allows to a reader that is less strict, or is sent again by one that is too keen.
#[tokio::test]
async fn whatever_is_not_a_clear_allow_denies_and_is_asked_once() {
    let with = |from: &str, to: &str| ALLOW.replace(from, to);
    let replies: Vec<(&str, Reply)> = vec![
        ("a failed policy", Reply::With(200, with("\"errors\":[]", "\"errors\":[{}]"))),
        ("no list of errors", Reply::With(200, with(",\"errors\":[]", ""))),
        ("another word", Reply::With(200, with("ALLOW", "allow"))),
        ("two decisions", Reply::With(200, with("{\"dec", "{\"decision\":\"DENY\",\"dec"))),
        ("no policy", Reply::With(200, with("[{\"policyId\":\"SPone-1\"}]", "[]"))),
        ("garbage", Reply::With(200, "<html>ALLOW</html>".to_owned())),
        ("nothing", Reply::With(200, String::new())),
        ("created", Reply::With(201, ALLOW.to_owned())),
        ("a redirect", Reply::With(307, ALLOW.to_owned())),
        ("throttled", Reply::With(429, ALLOW.to_owned())),
        ("broken", Reply::With(500, ALLOW.to_owned())),
        ("huge", Reply::With(200, format!("{ALLOW}{}", " ".repeat(300 << 10)))),
        (
            "cut",
            Reply::Bytes(format!("HTTP/1.1 200 X\r\ncontent-length: 999\r\n\r\n{ALLOW}").into()),
        ),
        ("no HTTP", Reply::Bytes(ALLOW.into())),
        ("hung up", Reply::Bytes(Vec::new())),
    ];
    for (name, reply) in replies {
        let fake = Fake::start(Arc::new(move |_| match &reply {
            Reply::With(status, body) => Reply::With(*status, body.clone()),
            Reply::Bytes(bytes) => Reply::Bytes(bytes.clone()),
            Reply::After(time) => Reply::After(*time),
        }));
        let denied = ask(&engine(&fake), "ada", FEW).await;
        assert!(!denied.allow && denied.policies.is_empty(), "{name}: {denied:?}");
        assert!(denied.reasons[0].starts_with("the policy engine failed: "), "{name}: {denied:?}");
        let seen = fake.seen();
        assert_eq!((seen.len(), &seen[0].fault), (1, &None), "{name}");
    }
}

#[tokio::test]
async fn an_answer_is_not_read_beyond_its_bound() {
    let fake = Fake::always(200, &format!("{ALLOW}{}", " ".repeat(300 << 10)));
    let denied = ask(&engine(&fake), "ada", FEW).await;
    assert!(denied.reasons[0].ends_with("is longer than 262144 bytes"), "{denied:?}");
}

#[tokio::test]
async fn a_denial_has_the_policies_that_forbid() {
    let fake = Fake::always(200, &ALLOW.replace("ALLOW", "DENY"));
    assert_eq!(ask(&engine(&fake), "ada", FEW).await, Decision::deny(["SPone-1"]));
}

#[tokio::test]
async fn a_late_answer_denies_at_the_deadline() {
    let fake = Fake::start(Arc::new(|_| Reply::After(Duration::from_secs(5))));
    let started = Instant::now();
    let denied = ask(&engine_with(&fake.endpoint, key(), 100), "ada", FEW).await;
    assert!(!denied.allow);
    assert!(denied.reasons[0].ends_with("did not answer within 100ms"), "{denied:?}");
    assert!(started.elapsed() < Duration::from_secs(4));
}

/// Gives none, or never answers.
struct Without(bool);

impl CredentialSource for Without {
    fn credentials(&self) -> BoxFuture<'_, Result<AwsCredentials, CredentialError>> {
        match self.0 {
            true => Box::pin(std::future::pending()),
            false => Box::pin(async { Err(CredentialError::Unavailable("it is off".to_owned())) }),
        }
    }
}

#[tokio::test]
async fn without_credentials_nothing_is_sent() {
    let fake = Fake::always(200, ALLOW);
    for hangs in [false, true] {
        let denied = ask(&engine_with(&fake.endpoint, Without(hangs), 50), "ada", FEW).await;
        assert!(!denied.allow, "{denied:?}");
    }
    assert_eq!(fake.seen().len(), 0);
}

#[tokio::test]
async fn what_cannot_be_asked_is_denied_unasked() {
    let fake = Fake::always(200, ALLOW);
    let engine = engine(&fake);
    let big = format!(r#"{{"to":"{}","cents":5}}"#, "x".repeat(999_000));
    for arguments in [r#"{"to":"Bob","to":"Eve","cents":5}"#, r#"{"to":"Bob"}"#, "[]", &big] {
        assert!(!ask(&engine, "ada", arguments).await.allow, "{:.60}", arguments);
    }
    assert!(!ask(&engine, &"a".repeat(613), FEW).await.allow);
    assert!(!ask(&engine, "", FEW).await.allow);
    let unlisted = Request::call(Resource::new(BANK, "pay"), NOW);
    assert!(!engine.authorize(&unlisted).await.allow);
    assert_eq!(fake.seen().len(), 0);
    // Nobody listens here any more.
    let gone = engine_with("http://127.0.0.1:1", key(), 5_000);
    assert!(!ask(&gone, "ada", FEW).await.allow);
}

#[tokio::test]
async fn the_reason_stands_in_the_denial_and_in_the_audit_trail_and_no_secret_does() {
    let refused = r#"{"__type":"a#AccessDeniedException","message":"5 cents to Bob"}"#;
    let fake = Fake::always(400, refused);
    let engine = engine_with(&fake.endpoint, key().session("t0k3n").unwrap(), 5_000);
    let shown = format!("{engine:?}");
    assert!(!shown.contains(SECRET) && !shown.contains("t0k3n"), "{shown}");
    let notes = Arc::new(MemoryAuditor::default());
    let gate = Gate::new(Arc::new(engine)).auditor(notes.clone());
    let tool = pay();
    let mut request = Request::call(Resource::of(BANK, tool.definition(), Status::Verified), NOW);
    request.context.arguments = Some(FEW);
    let denied = gate.decide(&request, None).await.unwrap_err();
    let noted = notes.entries()[0].event.detail.clone().unwrap();
    for told in [&denied.reasons[0], &noted] {
        assert!(told.contains("status 400 (`AccessDeniedException`)"), "{told}");
        assert!(![SECRET, "t0k3n", "Bob"].iter().any(|secret| told.contains(secret)), "{told}");
    }
}
