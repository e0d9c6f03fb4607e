//! A chain that is fine, and one for each reason of refusal.

use super::*;
use crate::permission::Scope;

const NOW: UnixTime = UnixTime(1_767_323_045);

fn member(tool: &str, call: CallConstraints, scopes: &[&str]) -> Member {
    let scopes: Vec<Scope> = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    Member::new("notes", tool, Digest::of_bytes(tool.as_bytes()), call, scopes)
}

fn free() -> CallConstraints {
    CallConstraints::default()
}

fn names(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|name| (*name).to_owned()).collect())
}

/// `plan`, and what it calls; the policy and the declarations are what differs.
fn verifier(policy: CallStackPolicy, members: Vec<Member>) -> CallStackVerifier {
    let mut verifier = CallStackVerifier::new("notes", policy);
    members.into_iter().for_each(|member| verifier.declare(member));
    assert_eq!(verifier.verify(&TracedCall::new("plan")).refusal, None);
    verifier
}

fn refused(verifier: &mut CallStackVerifier, call: &TracedCall) -> ViolationKind {
    verifier.verify(call).refusal.expect("refused").kind()
}

#[test]
fn a_chain_that_both_ends_declare_is_fine() {
    let plan = CallConstraints { allowed_callees: names(&["search"]), ..free() };
    let search = CallConstraints { allowed_callers: names(&["plan"]), ..free() };
    let members =
        vec![member("plan", plan, &["notes:*"]), member("search", search, &["notes:read"])];
    let mut verifier = verifier(CallStackPolicy::strict(), members);
    let judged = verifier.verify(&TracedCall::new("search").by("plan"));
    assert_eq!((judged.refusal, judged.declared), (None, true));
    assert_eq!(judged.chain, ["plan", "search"]);
    assert!(verifier.chains().iter().all(|chain| chain.would_be_refused == 0));
}

#[test]
fn each_reason_of_refusal_is_told() {
    use ViolationKind::{
        CircularDependency, ExcessiveDepth, PermissionViolation, PrivilegeEscalation,
        RateLimitExceeded, UnauthorizedChain,
    };
    let basic = CallStackPolicy::basic;
    let search = || TracedCall::new("search").by("plan");

    // The caller's list, the callee's list, the server's rules, no rule at all.
    let callees = CallConstraints { allowed_callees: names(&["other"]), ..free() };
    let mut one = verifier(basic(), vec![member("plan", callees, &[])]);
    let judged = one.verify(&search());
    assert!(matches!(judged.refusal, Some(ChainError::CalleeDenied { .. })));
    let callers = CallConstraints { allowed_callers: names(&["other"]), ..free() };
    let mut one = verifier(basic(), vec![member("search", callers, &[])]);
    assert!(matches!(one.verify(&search()).refusal, Some(ChainError::CallerDenied { .. })));
    let mut policy = basic();
    policy.blocked_call_chains.insert("plan".into(), vec!["search".into()]);
    assert_eq!(refused(&mut verifier(policy, vec![]), &search()), UnauthorizedChain);
    let mut one = verifier(CallStackPolicy::strict(), vec![]);
    assert!(matches!(one.verify(&search()).refusal, Some(ChainError::NotPermitted { .. })));

    let mut one = verifier(basic(), vec![]);
    assert_eq!(refused(&mut one, &TracedCall::new("plan").by("plan")), CircularDependency);
    let leaf = CallConstraints { max_depth: Some(1), ..free() };
    let mut one = verifier(basic(), vec![member("plan", leaf, &[])]);
    assert_eq!(refused(&mut one, &search()), ExcessiveDepth);
    let members =
        vec![member("plan", free(), &["notes:read"]), member("search", free(), &["money:send"])];
    let mut one = verifier(CallStackPolicy::enhanced(), members);
    assert_eq!(refused(&mut one, &search()), PrivilegeEscalation);

    let asks = CallConstraints { require_approval_for_chains: true, ..free() };
    let mut one = verifier(basic(), vec![member("search", asks, &[])]);
    assert_eq!(refused(&mut one, &search()), PermissionViolation);
    assert_eq!(one.verify(&TracedCall { approved: true, ..search() }).refusal, None);

    let policy = CallStackPolicy { max_calls_per_minute: 2, ..basic() };
    let mut one = verifier(policy, vec![]);
    let at = |seconds| TracedCall { at: Some(NOW.plus(seconds)), ..search() };
    assert_eq!(one.verify(&at(0)).refusal, None);
    assert_eq!(one.verify(&at(1)).refusal, None);
    assert_eq!(refused(&mut one, &at(2)), RateLimitExceeded);
    assert_eq!(one.verify(&search()).refusal, None, "no time is told, so no rate is judged");
}

#[test]
fn the_policy_may_only_note() {
    let mut policy = CallStackPolicy::strict();
    policy.note_only.insert(ViolationKind::UnauthorizedChain);
    let judged = verifier(policy, vec![]).verify(&TracedCall::new("search").by("plan"));
    assert_eq!((judged.refusal, judged.noted.len()), (None, 1));
}

#[test]
fn callers_are_found_by_parent_depth_and_session() {
    let mut verifier = CallStackVerifier::new("notes", CallStackPolicy::basic());
    let call = |text: &str| serde_json::from_str::<TracedCall>(text).unwrap();
    let mut chain = |text: &str| verifier.verify(&call(text)).chain.join(">");
    assert_eq!(chain(r#"{"id":"1","tool":"a"}"#), "a");
    assert_eq!(chain(r#"{"id":"2","parent":"1","callee":"b"}"#), "a>b");
    assert_eq!(chain(r#"{"id":"3","callee":"x"}"#), "x");
    assert_eq!(chain(r#"{"parent":"2","callee":"c"}"#), "a>b>c");
    assert_eq!(chain(r#"{"callee":"b","caller":"x"}"#), "x>b");
    // Two sessions call the same.
    assert_eq!(chain(r#"{"session":"s","callee":"x","depth":1}"#), "x");
    assert_eq!(chain(r#"{"session":"s","callee":"y","caller":"x","depth":2}"#), "x>y");
    assert_eq!(chain(r#"{"session":"t","callee":"z","caller":"y","depth":3}"#), "(unknown)>y>z");
    assert_eq!(chain(r#"{"session":"s","callee":"z","caller":"y","depth":3}"#), "x>y>z");
    // A tool of another server is never taken for one of this.
    assert_eq!(chain(r#"{"server":"mail","callee":"send","caller":"notes#x"}"#), "notes#x>send");
    assert_eq!(chain(r#"{"server":"mail","callee":"send","caller":"x"}"#), "x>send");
    assert_eq!(chain(r#"{"callee":"q","parent":"gone"}"#), "(unknown)>q");
}

#[test]
fn what_was_refused_calls_nothing_and_what_ran_goes_on() {
    let leaf = CallConstraints { max_depth: Some(1), ..free() };
    let mut one = verifier(CallStackPolicy::basic(), vec![member("plan", leaf, &[])]);
    let search = TracedCall::new("search").by("plan");
    assert_eq!(refused(&mut one, &search), ViolationKind::ExcessiveDepth);
    // It would be refused now, but it ran, and so did what it called.
    assert_eq!(one.verify(&TracedCall::new("read").by("search")).chain, ["plan", "search", "read"]);
    let then = TracedCall { refused: true, ..TracedCall::new("pay").by("plan") };
    assert!(one.verify(&then).was_refused);
    assert_eq!(one.verify(&TracedCall::new("read").by("pay")).chain, ["pay", "read"]);
    let sums: Vec<_> =
        one.chains().iter().map(|chain| (chain.chain.join(">"), chain.would_be_refused)).collect();
    assert_eq!(sums.last(), Some(&("plan".to_owned(), 0)), "{sums:?}");
}

#[test]
fn entries_of_the_audit_trail_are_calls() {
    let invoked = Event::new(EventKind::ToolInvoked).on("notes", "search");
    let call = TracedCall::of_event(&invoked, NOW).unwrap();
    assert_eq!((call.callee.as_str(), call.caller, call.refused), ("search", None, false));
    let event = Event::new(EventKind::CircularCallDetected).on("notes", "search");
    let event = event.call("ada", Some("plan"), "search", 2);
    let call = TracedCall::of_event(&event, NOW).unwrap();
    assert_eq!((call.caller.as_deref(), call.depth, call.refused), (Some("plan"), Some(2), true));
    let noted = event.detail(&"noted, not refused: …");
    assert_eq!(TracedCall::of_event(&noted, NOW), None, "the call itself follows");
    assert_eq!(TracedCall::of_event(&Event::new(EventKind::ToolApproved), NOW), None);
}
