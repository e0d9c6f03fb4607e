//! What a gate lets through, and that everything else is a denial.

use core::future::pending;
use core::task::{Context as TaskContext, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use futures_executor::block_on;
use mcp_types::{BoxFuture, Busy, Runtime};

use super::*;
use crate::audit::{AuditError, Auditor, MemoryAuditor};
use crate::definition::RawTool;
use crate::event::{Event, EventKind, Severity};
use crate::level::{Policy as Level, Rules};
use crate::time::UnixTime;

struct Says(Decision);

impl PolicyEngine for Says {
    fn authorize<'a>(&'a self, _: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(core::future::ready(self.0.clone()))
    }
}

/// Never answers.
struct Hangs;

impl PolicyEngine for Hangs {
    fn authorize<'a>(&'a self, _: &'a Request<'a>) -> BoxFuture<'a, Decision> {
        Box::pin(pending())
    }
}

/// Timers that are due at once.
struct Due;

impl Runtime for Due {
    fn spawn(&self, _: BoxFuture<'static, ()>) {}
    fn blocking(&self, _: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        Err(Busy)
    }
    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(core::future::ready(()))
    }
    fn now(&self) -> Instant {
        Instant::now()
    }
}

struct Full;

impl Auditor for Full {
    fn record(&self, _: &Event, _: UnixTime) -> Result<(), AuditError> {
        Err(AuditError::Busy)
    }
    fn is_chained(&self) -> bool {
        true
    }
}

fn call(tool: &str) -> Request<'_> {
    Request::call(Resource::new("pkg:cargo/notes", tool), UnixTime(7))
}

fn gate(decision: Decision) -> Gate {
    Gate::new(Arc::new(Says(decision)))
}

fn decide(gate: &Gate) -> Result<Permitted, Denied> {
    block_on(gate.decide(&call("search"), None))
}

#[test]
fn all_engines_must_allow() {
    let yes = gate(Decision::permit(["a"])).and(Arc::new(Says(Decision::permit(["b"]))));
    assert_eq!(decide(&yes).unwrap().policies, ["a", "b"]);
    let no = yes.and(Arc::new(Says(Decision::deny(["c"]))));
    let denied = decide(&no).unwrap_err();
    assert_eq!(denied.policies, ["c"]);
    assert_eq!(
        denied.to_string(),
        "the policy does not allow a call of `search`: it is forbidden by `c`"
    );
}

#[test]
fn where_everything_has_to_be_permitted_silence_denies() {
    let open = gate(Decision::unopposed());
    assert!(decide(&open).is_ok());
    let closed = open.rules(Rules::EngineDefaultDeny);
    assert!(decide(&closed).unwrap_err().policies.is_empty());
    assert!(decide(&closed.and(Arc::new(Says(Decision::permit(["a"]))))).is_ok());
}

#[test]
fn a_failure_denies() {
    let error = AuditError::Busy;
    let denied = decide(&gate(Decision::failed(&error))).unwrap_err();
    assert!(denied.reasons[0].starts_with("the policy engine failed: "), "{denied}");
}

#[test]
fn an_engine_that_hangs_denies_at_the_deadline_and_sends_nothing_without_one() {
    let hanging = Gate::new(Arc::new(Hangs)).deadline(Duration::from_millis(5));
    let timed = hanging.clone().runtime(Arc::new(Due));
    let denied = decide(&timed).unwrap_err();
    assert_eq!(denied.reasons, ["the policy engine failed: no answer within 5ms"]);
    let timers: Arc<dyn Runtime> = Arc::new(Due);
    assert!(block_on(hanging.decide(&call("x"), Some(&timers))).is_err());
    let request = call("x");
    let mut waiting = Box::pin(hanging.decide(&request, None));
    let mut context = TaskContext::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(&mut context).is_pending());
}

#[test]
fn what_nobody_can_do_denies() {
    let sign = decide(&gate(Decision::permit(["a"]).obliging(Obligation::Sign))).unwrap();
    assert!(sign.obligations.contains(&Obligation::Sign));
    let other = Decision::permit(["a"]).obliging("call-my-boss".parse().unwrap());
    let denied = decide(&gate(other)).unwrap_err();
    assert!(denied.reasons[0].contains("`call-my-boss`"), "{denied}");
}

#[test]
fn every_decision_is_noted_with_its_reasons() {
    let notes = Arc::new(MemoryAuditor::default());
    let no = Decision::deny(["no-night-shift"]).because("it is night");
    _ = decide(&gate(no).auditor(notes.clone()));
    _ = decide(&gate(Decision::permit(["a"])).auditor(notes.clone()));
    let entries = notes.entries();
    let told: Vec<_> = entries.iter().map(|entry| entry.event.detail.as_deref()).collect();
    assert_eq!(told, [Some("denied by `no-night-shift`: it is night"), Some("allowed by `a`")]);
    assert_eq!(entries[0].event.kind, EventKind::PolicyDecided);
    assert_eq!(entries[0].event.severity, Severity::High);
    assert_eq!(entries[0].event.tool.as_deref(), Some("search"));
}

#[test]
fn at_strict_a_call_that_cannot_be_noted_is_denied() {
    let yes = gate(Decision::permit(["a"])).auditor(Arc::new(Full));
    assert!(decide(&yes).is_ok());
    assert!(decide(&yes.under(&Level::strict())).unwrap_err().reasons[0].contains("audit trail"));
}

#[test]
fn the_gate_knows_for_whom_it_works_unless_the_exchange_does() {
    let mut rule = LocalRule::new("ada", Effect::Permit);
    rule.users = Some(vec!["ada".into()]);
    let rules = LocalRules { rules: vec![rule], otherwise: Otherwise::Deny };
    let gate = Gate::new(Arc::new(rules));
    assert!(decide(&gate).is_err());
    let gate = gate.acting(Some("ada".to_owned()), None);
    assert!(decide(&gate).is_ok());
    let mut other = call("search");
    other.subject.user = Some("eve");
    assert!(block_on(gate.decide(&other, None)).is_err());
}

/// Anybody can issue the subject `ada`.
#[test]
fn a_user_is_known_with_its_issuer() {
    let applies = |effect: Effect, users: &str, issuer: Option<&str>| {
        let mut rule = LocalRule::new("ada", effect);
        rule.users = Some(vec![users.into()]);
        let mut request = call("search");
        (request.subject.user, request.subject.issuer) = (Some("ada"), issuer);
        rule.applies(&request)
    };
    let (good, evil) = (Some("https://good.example"), Some("https://evil.example"));
    assert!(applies(Effect::Permit, "https://good.example#ada", good));
    assert!(!applies(Effect::Permit, "https://good.example#ada", evil));
    assert!(!applies(Effect::Permit, "ada", good), "whoever issued it");
    assert!(applies(Effect::Permit, "ada", None), "the host's own user");
    assert!(applies(Effect::Permit, "*#ada", evil), "where one says so");
    assert!(applies(Effect::Forbid, "ada", evil));
    assert!(applies(Effect::Forbid, "https://evil.example#ada", evil));
    assert!(!applies(Effect::Forbid, "https://good.example#ada", evil));
    // No issuer's text reaches into the subject.
    assert!(!applies(Effect::Permit, "https://good.example#x#ada", Some("https://good.example#x")));
}

/// What is not listed declares nothing, which is not the same as needing nothing.
#[test]
fn a_tool_that_declares_nothing_is_not_permitted_by_permissions() {
    let rules = rules(r#"{"rules":[{"id":"a","effect":"permit","permissions":["notes:read"]}]}"#);
    assert!(!rules.decide(&call("shell")).allow);
}

fn rules(json: &str) -> LocalRules {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_rule_that_forbids_is_stronger() {
    let rules = rules(
        r#"{"rules":[{"id":"all","effect":"permit"},
            {"id":"no-drop","effect":"forbid","tools":["drop_*"]}]}"#,
    );
    assert_eq!(rules.decide(&call("search")), Decision::permit(["all"]));
    assert_eq!(rules.decide(&call("drop_table")), Decision::deny(["no-drop"]));
}

#[test]
fn a_rule_with_a_member_that_nobody_knows_is_no_rule() {
    let typo = r#"{"rules":[{"id":"a","effect":"forbid","tool":["x"]}],"otherwise":"allow"}"#;
    assert!(serde_json::from_str::<LocalRules>(typo).is_err());
    assert_eq!(rules("{}").otherwise, Otherwise::Deny);
}

#[test]
fn permissions_hints_and_publishers_count_as_far_as_they_are_proven() {
    let tool = RawTool::read(
        r#"{"name":"read","inputSchema":{"type":"object"},"annotations":{"readOnlyHint":true},
            "_meta":{"dev.etdi/etdi":{"v":1,"version":"1.0.0","provider":{"id":"https://acme.example"},
            "permissions":[{"scope":"notes:read"},{"scope":"notes:write"}]}}}"#,
    )
    .unwrap();
    let as_status = |status| {
        Request::call(Resource::of("pkg:cargo/notes", tool.definition(), status), UnixTime(7))
    };
    let applies = |json: &str, status| {
        let rule: LocalRule = serde_json::from_str(json).unwrap();
        rule.applies(&as_status(status))
    };
    for (rule, verified, unverified) in [
        (r#"{"id":"a","effect":"permit","read_only":true}"#, true, false),
        (r#"{"id":"a","effect":"forbid","read_only":false}"#, false, true),
        (r#"{"id":"a","effect":"permit","providers":["https://acme.*"]}"#, true, false),
        (r#"{"id":"a","effect":"forbid","providers":["https://acme.*"]}"#, true, true),
        (r#"{"id":"a","effect":"permit","permissions":["notes:*"]}"#, true, true),
        (r#"{"id":"a","effect":"permit","permissions":["notes:read"]}"#, false, false),
        (r#"{"id":"a","effect":"forbid","permissions":["notes:write"]}"#, true, true),
        (r#"{"id":"a","effect":"forbid","permissions":["files:*"]}"#, false, false),
        (r#"{"id":"a","effect":"permit","status":["verified"]}"#, true, false),
        (r#"{"id":"a","effect":"permit","users":["*"]}"#, false, false),
        (r#"{"id":"a","effect":"permit","called_by":["*"]}"#, false, false),
    ] {
        assert_eq!(applies(rule, Status::Verified), verified, "{rule}");
        assert_eq!(applies(rule, Status::Unverified), unverified, "{rule}");
    }
}
