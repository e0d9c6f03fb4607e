//! What the guard's auditor hears: every call that comes, and why one goes no further.

use mcp_types::Principal;

use super::calls::{call_of, guarded, send};
use super::*;
use crate::audit::{AuditError, Auditor, Entry};
use crate::chain::{CallStack, CallStackPolicy, ViolationKind};
use crate::event::{Event, Severity};
use crate::level::AuditMode;
use crate::policy::{Gate, LocalRules};

fn of_kind(audit: &MemoryAuditor, kind: EventKind) -> Vec<Entry> {
    audit.entries().into_iter().filter(|one| one.event.kind == kind).collect()
}

/// Keeps a chain and has no room.
struct Full;

impl Auditor for Full {
    fn record(&self, _: &Event, _: UnixTime) -> Result<(), AuditError> {
        Err(AuditError::Other { message: "it is full".to_owned() })
    }

    fn is_chained(&self) -> bool {
        true
    }
}

#[test]
fn a_call_of_a_tool_that_is_not_listed_is_noted() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let audit = Arc::new(MemoryAuditor::default());
    let server = guarded(&world, |guard| guard.auditor(audit.clone(), AuditMode::On));
    send(&server, call_of("hidden")).unwrap();
    let noted = of_kind(&audit, EventKind::ToolInvoked);
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0].event.tool.as_deref(), Some("hidden"));
    assert_eq!(noted[0].event.severity, Severity::Medium);

    // At strict it is not even passed on where it cannot be noted.
    let full = Arc::new(Full);
    let strict = guarded(&world, |guard| guard.auditor(full.clone(), AuditMode::ChainedBeforeAct));
    let error = send(&strict, call_of("hidden")).unwrap_err();
    assert!(error.message.contains("nothing is called"), "{error}");
    assert!(
        send(&guarded(&world, |guard| guard.auditor(full, AuditMode::On)), call_of("hidden"))
            .is_ok()
    );
    assert_eq!(world.server.calls(), 2);
}

#[test]
fn what_a_gate_denies_is_noted() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let gate = |rules: &str| {
        let rules: LocalRules = serde_json::from_str(rules).unwrap();
        Gate::new(Arc::new(rules))
    };
    let sign = r#"{"rules":[{"id":"a","effect":"permit","obligations":["sign"]}]}"#;
    for (rules, code) in [(r#"{"rules":[]}"#, "PERMISSION_DENIED"), (sign, "SIGNATURE_REQUIRED")] {
        for name in ["search", "hidden"] {
            let audit = Arc::new(MemoryAuditor::default());
            let server = guarded(&world, |guard| {
                guard.gate(gate(rules)).auditor(audit.clone(), AuditMode::On)
            });
            assert!(send(&server, call_of(name)).is_err());
            let noted = of_kind(&audit, EventKind::ToolRefused);
            assert_eq!(noted.len(), 1, "{code} {name}");
            assert_eq!(noted[0].event.tool.as_deref(), Some(name));
            assert_eq!(noted[0].event.severity, Severity::High);
            assert!(noted[0].event.detail.as_ref().unwrap().starts_with(code));
            assert_eq!(of_kind(&audit, EventKind::ToolInvoked), []);
        }
    }
    assert_eq!(world.server.calls(), 0);
}

/// Each kind of the design's event list has the fields that it names: session, caller, callee and
/// depth.
#[test]
fn violations_of_chains_are_told_by_their_kinds() {
    const FLAT: Declaration = Declaration::new("1.0.0").max_depth(1);
    const ROOT: Declaration =
        Declaration::new("1.0.0").permissions(&[PermissionDeclaration::new("admin:all")]);
    const ALONE: Declaration = Declaration::new("1.0.0").allowed_callers(&[]);
    const ASKS: Declaration = Declaration::new("1.0.0").require_approval_for_chains();
    let world = World::new([
        tool("plan", Some(SEARCH)),
        tool("flat", Some(FLAT)),
        tool("root", Some(ROOT)),
        tool("alone", Some(ALONE)),
        tool("asks", Some(ASKS)),
    ]);
    let user = Principal::new("https://issuer.example", "ada");
    let audit = Arc::new(MemoryAuditor::default());
    let with = |policy: CallStackPolicy| {
        let audit = audit.clone();
        guarded(&world, |guard| guard.chains(CallStack::new(policy)).auditor(audit, AuditMode::On))
    };
    let server = with(CallStackPolicy::enhanced());
    let run = |server: &_, name: &str, from: Option<&Exchange>| {
        let mut exchange = call_of(name);
        if let Some(from) = from {
            exchange.context.extensions = from.context.extensions.clone();
        }
        exchange.context.extensions.insert(user.clone());
        send::<super::calls::Guarded>(server, exchange)?;
        Ok::<_, ErrorObject>(world.server.0.lock().unwrap().calls.pop().unwrap())
    };
    let plan = run(&server, "plan", None).unwrap();
    let flat = run(&server, "flat", None).unwrap();
    for (name, from, kind, severity) in [
        ("plan", &plan, EventKind::CircularCallDetected, Severity::High),
        ("plan", &flat, EventKind::CallDepthExceeded, Severity::High),
        ("root", &plan, EventKind::PrivilegeEscalationDetected, Severity::Critical),
        ("alone", &plan, EventKind::CallStackViolation, Severity::High),
        ("asks", &plan, EventKind::CallStackViolation, Severity::High),
    ] {
        let before = audit.entries().len();
        assert_eq!(code(&run(&server, name, Some(from)).unwrap_err()), "CHAIN_DENIED");
        let noted = audit.entries().split_off(before);
        assert_eq!(noted.len(), 1, "{name}");
        let event = &noted[0].event;
        assert_eq!((event.kind, event.severity), (kind, severity), "{name}");
        let caller = from.context.extensions.get::<crate::chain::Frame>().unwrap().tool();
        assert_eq!(event.caller.as_deref(), Some(caller));
        assert_eq!(event.callee.as_deref(), Some(name));
        assert_eq!(event.session.as_deref(), Some("https://issuer.example#ada"));
        assert_eq!(event.depth, Some(2));
    }

    // What is only noted is told as well, before the call that goes on.
    let mut policy = CallStackPolicy::enhanced();
    policy.note_only.insert(ViolationKind::PrivilegeEscalation);
    let before = audit.entries().len();
    run(&with(policy), "root", Some(&plan)).unwrap();
    let kinds: Vec<_> =
        audit.entries().split_off(before).into_iter().map(|one| one.event.kind).collect();
    assert_eq!(kinds, [EventKind::PrivilegeEscalationDetected, EventKind::ToolInvoked]);
}

/// A subject is unique with its issuer alone: one who calls too often takes nothing from the
/// other of the same name.
#[test]
fn a_rate_is_that_of_a_user_with_its_issuer() {
    let world = World::new([tool("plan", Some(SEARCH)), tool("leaf", None)]);
    let mut policy = CallStackPolicy::enhanced();
    policy.max_calls_per_minute = 1;
    let server = guarded(&world, |guard| guard.chains(CallStack::new(policy)));
    let call = |issuer: &str| {
        let mut exchange = call_of("plan");
        exchange.context.extensions.insert(Principal::new(issuer, "ada"));
        send(&server, exchange).unwrap();
        let plan = world.server.0.lock().unwrap().calls.pop().unwrap();
        let mut exchange = call_of("leaf");
        exchange.context.extensions = plan.context.extensions.clone();
        send(&server, exchange).map(|_| ())
    };
    call("https://a.example").unwrap();
    assert_eq!(code(&call("https://a.example").unwrap_err()), "CHAIN_DENIED");
    call("https://b.example").unwrap();
}
