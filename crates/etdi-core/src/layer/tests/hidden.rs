//! Tools that answer to who is not shown them, on a server below `strict`: they stand in the chain
//! like any other.

use super::calls::{call_of, guarded, send};
use super::*;
use crate::chain::{CallStack, CallStackPolicy, Frame};
use crate::definition::RawTool;
use crate::legacy::call::LegacyCalls;
use crate::level::{AuditMode, SecurityLevel};
use crate::policy::{Decision, PolicyEngine, Request};
use crate::request::SignedCall;

const PLAN: Declaration =
    Declaration::new("1.0.0").permissions(&[PermissionDeclaration::new("notes:read")]);
const FLAT: Declaration = Declaration::new("1.0.0").max_depth(1);
const ALONE: Declaration = Declaration::new("1.0.0").blocked_callees(&["hidden"]);
const ROOT: Declaration =
    Declaration::new("1.0.0").permissions(&[PermissionDeclaration::new("admin:all")]);
const FOR_PLAN: Declaration = Declaration::new("1.0.0").allowed_callers(&["plan"]);

fn world() -> World {
    World::new([
        tool("plan", Some(PLAN)),
        tool("flat", Some(FLAT)),
        tool("alone", Some(ALONE)),
        tool("root", Some(ROOT)),
        tool("read", Some(PLAN)),
        tool("for_plan", Some(FOR_PLAN)),
    ])
}

/// Calls a tool, from outside or from within the tool that `from` runs, and gives what it sees.
fn run<S: ExchangeService>(
    world: &World,
    server: &S,
    name: &str,
    from: Option<&Exchange>,
) -> Result<Exchange, String> {
    let mut exchange = call_of(name);
    if let Some(from) = from {
        exchange.context.extensions = from.context.extensions.clone();
    }
    send(server, exchange).map_err(|error| code(&error))?;
    Ok(world.server.0.lock().unwrap().calls.pop().unwrap())
}

fn denied<T>(result: Result<T, String>) -> bool {
    result.err().as_deref() == Some("CHAIN_DENIED")
}

#[test]
fn what_calls_a_hidden_tool_is_held_to_what_it_declares() {
    let world = world();
    let server = guarded(&world, |guard| guard);
    let from = |name: &str| run(&world, &server, name, None).unwrap();
    for (caller, refused) in [("plan", false), ("flat", true), ("alone", true)] {
        let inner = run(&world, &server, "hidden", Some(&from(caller)));
        assert_eq!(denied(inner), refused, "{caller}");
    }
}

#[test]
fn a_hidden_tool_calls_as_itself() {
    let world = world();
    let stack = CallStack::new(CallStackPolicy::enhanced());
    let server = guarded(&world, |guard| guard.chains(stack.clone()));
    let plan = run(&world, &server, "plan", None).unwrap();
    run(&world, &server, "for_plan", Some(&plan)).unwrap();
    let hidden = run(&world, &server, "hidden", Some(&plan)).unwrap();
    let names: Vec<_> = {
        let frame = hidden.context.extensions.get::<Frame>().unwrap();
        frame.frames().map(|frame| frame.tool().to_owned()).collect()
    };
    assert_eq!(names, ["hidden", "plan"]);
    // It does not pass for the tool that called it, nor does it lead round in a circle.
    assert!(denied(run(&world, &server, "for_plan", Some(&hidden))));
    assert!(denied(run(&world, &server, "plan", Some(&hidden))));
    assert!(denied(run(&world, &server, "hidden", Some(&hidden))));
    // Of its permissions nothing is known: it has no more than what called it.
    run(&world, &server, "read", Some(&hidden)).unwrap();
    assert!(denied(run(&world, &server, "root", Some(&hidden))));
    // Nor is there an end to hidden ones that call each other.
    let mut deepest = hidden;
    let end = (0..20).find_map(|number| {
        match run(&world, &server, &format!("hidden {number}"), Some(&deepest)) {
            Ok(deeper) => {
                deepest = deeper;
                None
            }
            Err(code) => Some((number, code)),
        }
    });
    assert_eq!(end, Some((8, "CHAIN_DENIED".to_owned())), "ten are the most");

    let long = "h".repeat(RawTool::MAX_NAME + 1);
    let mut exchange = call_of(&long);
    exchange.context.extensions = plan.context.extensions.clone();
    assert!(send(&server, exchange).is_err(), "nobody has to remember such a name");
}

#[test]
fn hidden_tools_count_within_a_minute() {
    let world = world();
    let mut policy = CallStackPolicy::enhanced();
    policy.max_calls_per_minute = 1;
    let server = guarded(&world, |guard| guard.chains(CallStack::new(policy)));
    let plan = run(&world, &server, "plan", None).unwrap();
    assert!(!denied(run(&world, &server, "hidden", Some(&plan))));
    assert!(denied(run(&world, &server, "hidden", Some(&plan))));
}

/// Whoever is outside chooses the name: what it calls counts as its own, and nothing is kept of it.
#[test]
fn a_hidden_tool_that_is_called_from_outside() {
    let world = world();
    let stack = CallStack::new(CallStackPolicy::enhanced());
    let server =
        guarded(&world, |guard| guard.chains(stack.clone()).tokens(world.instance.clone()));
    let hidden = run(&world, &server, &"h".repeat(1 << 16), None).unwrap();
    assert_eq!(stack.call_history(), []);
    assert!(denied(run(&world, &server, "for_plan", Some(&hidden))));
    let frame = hidden.context.extensions.get::<Frame>().unwrap();
    let elsewhere = ServerIdentity::package("pkg:cargo/elsewhere").unwrap();
    let call = Call::new(&elsewhere, "read", crate::digest::Digest::of_bytes(b"read"));
    assert!(frame.token(&call, None, NOW).unwrap().is_some(), "elsewhere it is in a chain as well");
}

/// What says whose call it is, and for which definition, is not passed over because nothing is known
/// of the tool.
#[test]
fn what_a_call_of_a_hidden_tool_brings_is_not_passed_over() {
    let world = world();
    let taken = |guard: GuardLayer| guard.legacy(LegacyCalls::new()).tokens(world.instance.clone());
    let audit = Arc::new(MemoryAuditor::default());
    let server = guarded(&world, |guard| taken(guard).auditor(audit.clone(), AuditMode::On));
    run(&world, &server, "hidden", None).unwrap();

    let (identity, digest) = (notes(), crate::digest::Digest::of_bytes(b"what was approved"));
    let signed = Call::new(&identity, "hidden", digest).arguments(Some(r#"{"query":"x"}"#));
    let statement = signed.sign(&*world.publisher, NOW).unwrap();
    let plan = run(&world, &server, "plan", None).unwrap();
    let frame = plan.context.extensions.get::<Frame>().unwrap();
    let token = frame.token(&signed, None, NOW).unwrap().unwrap();
    for (member, value) in [(wire::CALL, RawText::of(&statement).unwrap()), (wire::CHAIN, token)] {
        let mut exchange = call_of("hidden");
        exchange.context.meta.insert(member, value);
        let error = send(&server, exchange).unwrap_err();
        assert!(error.message.contains("there is no tool `hidden`"), "{error}");
    }
    let mut exchange = call_of("hidden");
    let ClientRequest::CallTool(params) = &mut exchange.request else { panic!("a call") };
    let values = ["AAAA", "2026-01-02T03:04:05Z", "a key that nobody knows", "RS256"];
    for (name, value) in wire::FORK_MEMBERS.into_iter().zip(values) {
        params.extra.insert(name, RawText::of(value).unwrap());
    }
    assert_eq!(code(&send(&server, exchange).unwrap_err()), "KEY_UNKNOWN");
    assert_eq!(world.server.calls(), 0);
    let refused = audit.entries().into_iter().map(|one| one.event.kind);
    let refused = refused.filter(|kind| *kind != EventKind::ToolInvoked).count();
    assert_eq!(refused, 3, "and each is noted");
}

/// What the user signed was the call of the tool that calls the hidden one.
#[test]
fn the_signature_of_a_caller_is_not_that_of_a_hidden_tool() {
    struct Seen(Mutex<Vec<(bool, Vec<String>)>>);
    impl PolicyEngine for Seen {
        fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
            let chain = request.context.chain.iter().map(|name| (*name).to_owned()).collect();
            self.0.lock().unwrap().push((request.subject.key.is_some(), chain));
            Box::pin(std::future::ready(Decision::permit(["all"])))
        }
    }
    let (world, seen) = (world(), Arc::new(Seen(Mutex::default())));
    let guard = GuardLayer::new(notes(), || NOW).policy(SecurityLevel::Enhanced.policy());
    let server = guard.gate(Gate::new(seen.clone())).layer(world.server.clone());
    let plan = world.server.0.lock().unwrap().tools[0].clone();
    let (identity, digest) = (notes(), RawTool::from_listed(&plan).unwrap().digest());
    let mut exchange = call_of("plan");
    let call = Call::new(&identity, "plan", digest).arguments(Some(r#"{"query":"x"}"#));
    let statement = RawText::of(&call.sign(&*world.publisher, NOW).unwrap()).unwrap();
    exchange.context.meta.insert(wire::CALL, statement);
    send(&server, exchange).unwrap();
    let plan = world.server.0.lock().unwrap().calls.pop().unwrap();
    assert!(plan.context.extensions.get::<SignedCall>().is_some());
    let hidden = run(&world, &server, "hidden", Some(&plan)).unwrap();
    assert!(hidden.context.extensions.get::<SignedCall>().is_none());
    let seen = std::mem::take(&mut *seen.0.lock().unwrap());
    assert_eq!(seen, [(true, vec![]), (false, vec!["plan".to_owned()])]);
}
