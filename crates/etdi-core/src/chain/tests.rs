//! The rules of chains against a second reading of them, and tokens between servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::event::Severity;
use crate::level::SecurityLevel;
use crate::time::UnixTime;

mod tokens;

const NOW: UnixTime = UnixTime(1_767_323_045);

fn member(tool: &str, call: CallConstraints, scopes: &[&str]) -> Member {
    let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
    Member::new("server", tool, Digest::of_bytes(tool.as_bytes()), call, scopes)
}

fn plain(tool: &str) -> Member {
    member(tool, CallConstraints::default(), &[])
}

fn names(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|name| (*name).to_owned()).collect())
}

fn basic() -> CallStack {
    CallStack::new(CallStackPolicy::basic())
}

fn enter(stack: &CallStack, caller: Option<&Frame>, callee: &Member) -> Result<Frame, ChainError> {
    stack.enter(caller, callee, "", NOW)
}

#[test]
fn depth_is_the_least_that_anyone_allows() {
    let stack = basic();
    let deep = |depth| CallConstraints { max_depth: Some(depth), ..CallConstraints::default() };
    let mut frame = enter(&stack, None, &plain("0")).unwrap();
    for tool in 1..10 {
        frame = enter(&stack, Some(&frame), &plain(&tool.to_string())).unwrap();
    }
    let eleventh = enter(&stack, Some(&frame), &plain("10"));
    assert!(matches!(eleventh, Err(ChainError::TooDeep { limit: 10, .. })));

    let leaf = enter(&stack, None, &member("leaf", deep(1), &[])).unwrap();
    assert!(enter(&stack, Some(&leaf), &plain("x")).is_err(), "1 is no nested call");
    // Being called does not use up what a tool allows below itself.
    let outer = enter(&stack, None, &plain("outer")).unwrap();
    let leaf = enter(&stack, Some(&outer), &member("leaf", deep(1), &[])).unwrap();
    assert!(enter(&stack, Some(&leaf), &plain("x")).is_err());
    // A wider limit inside does not widen the one outside.
    let two = enter(&stack, None, &member("two", deep(2), &[])).unwrap();
    let wide = enter(&stack, Some(&two), &member("wide", deep(9), &[])).unwrap();
    assert!(enter(&stack, Some(&wide), &plain("x")).is_err());
    assert_eq!((wide.depth(), wide.budget()), (2, 0));
}

#[test]
fn both_ends_must_agree() {
    for (allowed, blocked, admitted) in [
        (None, None, true),
        (names(&[]), None, false),
        (names(&["b"]), None, true),
        (names(&["c"]), None, false),
        (names(&["*"]), None, true),
        (None, names(&["b"]), false),
        (None, names(&["c"]), true),
        (None, names(&["*"]), false),
        (names(&["b"]), names(&["b"]), false),
        (names(&["b"]), names(&["*"]), false),
        (names(&["server#b"]), None, true),
        (names(&["other#b"]), None, false),
        (None, names(&["server#b"]), false),
    ] {
        let stack = basic();
        let (mut out, mut back) = (CallConstraints::default(), CallConstraints::default());
        (out.allowed_callees, out.blocked_callees) = (allowed.clone(), blocked.clone());
        let outer = enter(&stack, None, &member("a", out, &[])).unwrap();
        assert_eq!(enter(&stack, Some(&outer), &plain("b")).is_ok(), admitted, "{allowed:?}");
        (back.allowed_callers, back.blocked_callers) = (allowed, blocked);
        let outer = enter(&stack, None, &plain("b")).unwrap();
        assert_eq!(enter(&stack, Some(&outer), &member("a", back, &[])).is_ok(), admitted);
    }
}

/// A tool of another server is not the one of the same name here.
#[test]
fn a_name_counts_on_its_own_server() {
    let stack = basic();
    let from = |server: &str| {
        Member::new(server, "plan", Digest::of_bytes(b""), CallConstraints::default(), vec![])
    };
    let only = |name: &str| CallConstraints {
        allowed_callers: names(&[name]),
        ..CallConstraints::default()
    };
    let here = enter(&stack, None, &from("server")).unwrap();
    let there = enter(&stack, None, &from("elsewhere")).unwrap();
    for (name, by_here, by_there) in
        [("plan", true, false), ("elsewhere#plan", false, true), ("*", true, true)]
    {
        let callee = member("x", only(name), &[]);
        assert_eq!(enter(&stack, Some(&here), &callee).is_ok(), by_here, "{name}");
        assert_eq!(enter(&stack, Some(&there), &callee).is_ok(), by_there, "{name}");
    }
    let blocks = CallConstraints { blocked_callers: names(&["plan"]), ..Default::default() };
    let callee = member("x", blocks, &[]);
    assert!(enter(&stack, Some(&there), &callee).is_err(), "a block holds for both");
}

#[test]
fn the_policy_has_the_names_and_defaults_of_the_python_sdk() {
    let defaults: Value = serde_json::to_value(CallStackPolicy::default()).unwrap();
    assert_eq!(
        defaults,
        json!({
            "max_call_depth": 10, "max_calls_per_minute": 100, "allow_circular_calls": false,
            "require_explicit_chain_permission": true, "allowed_call_chains": {},
            "blocked_call_chains": {}, "privilege_escalation_detection": true, "note_only": [],
        })
    );
    assert!(serde_json::from_str::<CallStackPolicy>(r#"{"max_depth":3}"#).is_err());
    let strict = CallStackPolicy::from(SecurityLevel::Strict);
    assert_eq!(strict, CallStackPolicy::default());
    let kinds: Vec<_> =
        ViolationKind::ALL.iter().map(|kind| (kind.name(), kind.severity())).collect();
    assert_eq!(
        kinds,
        [
            ("unauthorized_chain", Severity::High),
            ("circular_dependency", Severity::High),
            ("excessive_depth", Severity::High),
            ("privilege_escalation", Severity::Critical),
            ("permission_violation", Severity::High),
            ("rate_limit_exceeded", Severity::Medium),
        ]
    );
    for kind in ViolationKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
}

#[test]
fn explicit_permission_and_the_servers_own_lists() {
    let call = |edit: &dyn Fn(&mut CallStackPolicy), callees: Option<Vec<String>>| {
        let mut policy = CallStackPolicy::strict();
        edit(&mut policy);
        let stack = CallStack::new(policy);
        let call = CallConstraints { allowed_callees: callees, ..CallConstraints::default() };
        let outer = enter(&stack, None, &member("a", call, &[])).unwrap();
        enter(&stack, Some(&outer), &plain("b")).map(|_| ()).map_err(|error| error.kind())
    };
    let denied = Err(ViolationKind::UnauthorizedChain);
    let chains = |list: &[&str]| [("a".to_owned(), names(list).unwrap())].into();
    assert_eq!(call(&|_| (), None), denied, "nobody permits it");
    assert_eq!(call(&|_| (), names(&["b"])), Ok(()), "the caller declares it");
    assert_eq!(call(&|policy| policy.allowed_call_chains = chains(&["b"]), None), Ok(()));
    assert_eq!(call(&|policy| policy.allowed_call_chains = chains(&["c"]), names(&["b"])), denied);
    let both = |policy: &mut CallStackPolicy| {
        policy.allowed_call_chains = chains(&["b"]);
        policy.blocked_call_chains = chains(&["b"]);
    };
    assert_eq!(call(&both, names(&["b"])), denied, "a block is stronger");
    // Blocked is blocked, also where nothing has to be permitted.
    let lax = |policy: &mut CallStackPolicy| {
        policy.require_explicit_chain_permission = false;
        policy.blocked_call_chains = chains(&["*"]);
    };
    assert_eq!(call(&lax, None), denied);
}

#[test]
fn nobody_lends_permissions() {
    for (caller, callee, passes) in [
        (&["a:*"][..], &["a:read"][..], true),
        (&["a:read"], &["a:read"], true),
        (&["a:read"], &["a:*"], false),
        (&["a:read"], &["a:read", "b:read"], false),
        (&[], &["a:read"], false),
        (&["a:read"], &[], true),
    ] {
        let stack = CallStack::new(CallStackPolicy::enhanced());
        let outer = enter(&stack, None, &member("a", CallConstraints::default(), caller)).unwrap();
        let callee = member("b", CallConstraints::default(), callee);
        let entered = enter(&stack, Some(&outer), &callee);
        assert_eq!(entered.is_ok(), passes, "{caller:?}");
        assert!(entered.is_ok() || stack.violations()[0].severity() == Severity::Critical);
        // From outside a tool may do what it declares.
        assert!(enter(&stack, None, &callee).is_ok());
    }
}

/// In the Python SDK a call that is also too frequent is let through, because severities are
/// compared as texts.
#[test]
fn every_violation_blocks_unless_it_is_said_otherwise() {
    let mut policy = CallStackPolicy::enhanced();
    policy.max_calls_per_minute = 1;
    let stack = CallStack::new(policy.clone());
    let outer = enter(&stack, None, &plain("a")).unwrap();
    assert!(enter(&stack, Some(&outer), &plain("b")).is_ok());
    let refused = enter(&stack, Some(&outer), &plain("b")).unwrap_err();
    assert_eq!(refused.kind(), ViolationKind::RateLimitExceeded);
    let power = member("b", CallConstraints::default(), &["admin:all"]);
    let refused = enter(&stack, Some(&outer), &power).unwrap_err();
    assert_eq!(refused.kind(), ViolationKind::PrivilegeEscalation);
    assert!(stack.enter(Some(&outer), &plain("b"), "", NOW.plus(60)).is_ok());
    assert!(stack.enter(Some(&outer), &plain("b"), "somebody else", NOW.plus(60)).is_ok());

    policy.note_only = BTreeSet::from([ViolationKind::RateLimitExceeded]);
    let stack = CallStack::new(policy);
    for _ in 0..3 {
        assert!(enter(&stack, Some(&outer), &plain("b")).is_ok());
    }
    assert!(enter(&stack, Some(&outer), &power).is_err(), "of other kinds nothing is said");
    let (noted, sums) = (stack.violations(), stack.statistics());
    assert_eq!(noted.iter().filter(|one| one.blocked).count(), 1);
    assert_eq!(sums.violations[&ViolationKind::RateLimitExceeded], 2);
    assert_eq!((sums.calls, sums.nested_calls, sums.deepest), (3, 3, 2));
}

#[test]
fn a_user_can_approve_a_chain() {
    let stack = basic();
    let outer = enter(&stack, None, &plain("a")).unwrap();
    let asks = CallConstraints { require_approval_for_chains: true, ..Default::default() };
    let callee = member("b", asks, &[]);
    let refused = enter(&stack, Some(&outer), &callee).unwrap_err();
    assert_eq!(refused.kind(), ViolationKind::PermissionViolation);
    assert!(stack.enter_approved(Some(&outer), &callee, "", NOW, true).is_ok());
    assert!(enter(&stack, None, &callee).is_ok(), "a call from outside is no chain");
}

#[test]
fn what_is_remembered_is_bounded() {
    let stack = basic();
    let outer = enter(&stack, None, &plain("a")).unwrap();
    for _ in 0..3_000 {
        enter(&stack, None, &plain("a")).unwrap();
        enter(&stack, Some(&outer), &plain("a")).unwrap_err();
    }
    assert_eq!((stack.call_history().len(), stack.violations().len()), (1_000, 1_000));
    assert_eq!(stack.statistics().violations[&ViolationKind::CircularDependency], 3_000);
}

/// A tool that ended is no longer under way: it can be called again, by the same or another.
#[test]
fn frames_end_with_their_calls() {
    let stack = basic();
    let outer = enter(&stack, None, &plain("a")).unwrap();
    for _ in 0..20 {
        let inner = enter(&stack, Some(&outer), &plain("b")).unwrap();
        assert!(enter(&stack, Some(&inner), &plain("b")).is_err());
    }
    assert_eq!(Arc::strong_count(&outer.0), 1, "nothing holds on to it");
}

/// Seven tools, and who of them may call whom.
#[test]
fn the_matrix_of_callers_and_callees() {
    let lists = |callees: &[&str], callers: &[&str]| CallConstraints {
        allowed_callees: names(callees),
        allowed_callers: names(callers),
        ..CallConstraints::default()
    };
    let mut open = lists(&["*"], &["*"]);
    open.blocked_callers = names(&["admin_tool"]);
    let tools = [
        member("data_source", lists(&["data_processor", "audit_logger"], &[]), &[]),
        member("data_processor", lists(&["data_validator", "admin_tool"], &["data_source"]), &[]),
        member("data_validator", lists(&["audit_logger"], &["data_processor", "report"]), &[]),
        member("report", lists(&["data_validator", "mailer"], &["admin_tool"]), &[]),
        member("mailer", lists(&[], &["report", "data_source"]), &[]),
        member("admin_tool", lists(&["*"], &["report"]), &[]),
        member("audit_logger", open, &[]),
    ];
    // A row is a caller; the columns are in the same order.
    let expected = [
        "-#----#", // data_source: its processor and the log
        "--#----", // data_processor: the admin tool does not let it
        "------#", // data_validator
        "--#-#--", // report
        "-------", // mailer: an empty list calls nothing
        "---#---", // admin_tool: all of which only the report agrees; the log blocks it
        "-------", // audit_logger: who lets it call? nobody
    ];
    for (caller, row) in tools.iter().zip(expected) {
        let stack = basic();
        let frame = enter(&stack, None, caller).unwrap();
        let found: String = tools
            .iter()
            .map(|callee| if enter(&stack, Some(&frame), callee).is_ok() { '#' } else { '-' })
            .collect();
        assert_eq!(found, row, "{}", caller.tool());
    }
}

/// What a chain is by the words of the design, in the simplest way that can be.
fn is_allowed(path: &[&Tool], most: u32) -> bool {
    let (callee, callers) = path.split_last().unwrap();
    let deepest = path.iter().enumerate().map(|(above, tool)| {
        // A tool counts itself and what is below it.
        tool.max_depth.map_or(most, |own| (own + u32::try_from(above).unwrap()).min(most))
    });
    if u32::try_from(path.len()).unwrap() > deepest.min().unwrap() {
        return false;
    }
    let Some(caller) = callers.last() else { return true };
    let has = |list: &Option<Vec<&str>>, name: &str| {
        list.as_ref().is_some_and(|list| list.contains(&"*") || list.contains(&name))
    };
    let free = |list: &Option<Vec<&str>>| list.is_none();
    !callers.iter().any(|one| one.name == callee.name)
        && !has(&caller.blocked_callees, callee.name)
        && !has(&callee.blocked_callers, caller.name)
        && (free(&caller.allowed_callees) || has(&caller.allowed_callees, callee.name))
        && (free(&callee.allowed_callers) || has(&callee.allowed_callers, caller.name))
        && callee.scopes.iter().all(|wanted| {
            let has_all = caller.scopes.contains(&"n:*");
            has_all || caller.scopes.contains(wanted)
        })
}

#[derive(Debug)]
struct Tool {
    name: &'static str,
    max_depth: Option<u32>,
    allowed_callers: Option<Vec<&'static str>>,
    allowed_callees: Option<Vec<&'static str>>,
    blocked_callers: Option<Vec<&'static str>>,
    blocked_callees: Option<Vec<&'static str>>,
    scopes: Vec<&'static str>,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// SplitMix64. Shrinking would tell little here, and costs most of the time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed >> 32) % u64::from(bound)).unwrap()
    }

    fn some(&mut self, of: &[&'static str]) -> Vec<&'static str> {
        of.iter().copied().filter(|_| self.below(2) == 0).collect()
    }

    fn list(&mut self) -> Option<Vec<&'static str>> {
        (self.below(4) == 0).then(|| match self.below(8) {
            0 => vec!["*"],
            _ => self.some(&NAMES),
        })
    }

    fn tool(&mut self) -> Tool {
        Tool {
            name: NAMES[self.below(4) as usize],
            max_depth: (self.below(4) == 0).then(|| 1 + self.below(4)),
            allowed_callers: self.list(),
            allowed_callees: self.list(),
            blocked_callers: self.list(),
            blocked_callees: self.list(),
            scopes: self.some(&["n:*", "n:read", "n:write"]),
        }
    }
}

#[test]
fn chains_are_what_the_design_says() {
    let (mut random, mut allowed, mut refused) = (Random(2026), 0, 0);
    for case in 0..100_000 {
        let most = 1 + random.below(4);
        let mut policy = CallStackPolicy::enhanced();
        (policy.max_call_depth, policy.max_calls_per_minute) = (most, 0);
        let stack = CallStack::new(policy);
        let mut frame: Option<Frame> = None;
        let path: Vec<Tool> = (0..=random.below(5)).map(|_| random.tool()).collect();
        let mut under_way: Vec<&Tool> = Vec::new();
        for tool in &path {
            let list = |list: &Option<Vec<&str>>| list.as_deref().and_then(names);
            let call = CallConstraints {
                max_depth: tool.max_depth,
                allowed_callers: list(&tool.allowed_callers),
                allowed_callees: list(&tool.allowed_callees),
                blocked_callers: list(&tool.blocked_callers),
                blocked_callees: list(&tool.blocked_callees),
                require_approval_for_chains: false,
            };
            under_way.push(tool);
            let entered = enter(&stack, frame.as_ref(), &member(tool.name, call, &tool.scopes));
            let expected = is_allowed(&under_way, most);
            assert_eq!(entered.is_ok(), expected, "case {case}: {under_way:#?} {entered:?}");
            match entered {
                Ok(inner) => {
                    allowed += usize::from(inner.depth() > 1);
                    frame = Some(inner);
                }
                Err(_) => {
                    refused += 1;
                    under_way.pop();
                }
            }
        }
    }
    assert!(allowed > 10_000 && refused > 10_000, "{allowed} {refused}");
}
