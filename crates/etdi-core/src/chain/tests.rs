//! The rules of chains against a second reading of them, and tokens between servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_executor::block_on;
use mcp_types::RawText;
use serde_json::{Value, json};

use super::token::{Minter, Peers, TokenCheck};
use super::*;
use crate::event::Severity;
use crate::identity::ServerIdentity;
use crate::jws::{self, Jws};
use crate::key::{Algorithm, SigningKey};
use crate::level::SecurityLevel;
use crate::request::MemoryReplayStore;
use crate::time::UnixTime;
use crate::wire::StatementType;

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

/// Servers that call each other with tokens.
struct Net {
    servers: Vec<(ServerIdentity, Arc<SigningKey>)>,
    peers: Peers,
    replay: MemoryReplayStore,
    strangers: MemoryReplayStore,
}

impl Net {
    fn new() -> Self {
        let (mut servers, mut peers) = (Vec::new(), Peers::new());
        for name in ["a", "b", "c"] {
            let identity = ServerIdentity::package(&format!("pkg:cargo/{name}")).unwrap();
            let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
            peers.trust(&identity, key.verifying_key().clone());
            servers.push((identity, key));
        }
        Self {
            servers,
            peers,
            replay: MemoryReplayStore::new(100),
            strangers: MemoryReplayStore::new(100),
        }
    }

    fn member(&self, server: usize, tool: &str, scopes: &[&str]) -> Member {
        self.declaring(server, tool, scopes, CallConstraints::default())
    }

    fn declaring(
        &self,
        server: usize,
        tool: &str,
        scopes: &[&str],
        call: CallConstraints,
    ) -> Member {
        let scopes = scopes.iter().map(|scope| scope.parse().unwrap()).collect();
        let server = self.servers[server].0.to_string();
        Member::new(&server, tool, Digest::of_bytes(tool.as_bytes()), call, scopes)
    }

    /// A tool that runs on a server.
    fn run(
        &self,
        server: usize,
        caller: Option<&Frame>,
        member: &Member,
    ) -> Result<Frame, ChainError> {
        let (identity, key) = &self.servers[server];
        let frame = CallStack::new(CallStackPolicy::enhanced()).enter(caller, member, "", NOW)?;
        Ok(frame.minting(Some(&Arc::new(Minter::new(identity.clone(), key.clone())))))
    }

    fn token(&self, frame: &Frame, to: usize, tool: &str) -> RawText {
        let digest = Digest::of_bytes(tool.as_bytes());
        frame.token(&self.servers[to].0, tool, digest, NOW).unwrap().unwrap()
    }

    fn arrives(&self, token: &RawText, at: usize, tool: &str) -> Result<Frame, ChainError> {
        self.arrives_at(token, at, tool, NOW)
    }

    fn arrives_at(
        &self,
        token: &RawText,
        at: usize,
        tool: &str,
        now: UnixTime,
    ) -> Result<Frame, ChainError> {
        let check = TokenCheck {
            server: &self.servers[at].0,
            tool,
            definition: Digest::of_bytes(tool.as_bytes()),
            peers: &self.peers,
            replay: &self.replay,
            strangers: &self.strangers,
            now,
            again: false,
        };
        block_on(check.frame(token))
    }

    /// A token whose newest claims were changed, signed by a key.
    fn edited(&self, token: &RawText, key: &SigningKey, edit: impl Fn(&mut Value)) -> RawText {
        let mut texts: Vec<String> = token.parse().unwrap();
        let text = texts.pop().unwrap();
        let read = Jws::read(&text, StatementType::Chain).unwrap();
        let mut claims: Value = serde_json::from_str(read.unverified_payload()).unwrap();
        claims["iss"] = json!(format!("etdi:key:{}", key.id()));
        claims["jwk"] = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
        edit(&mut claims);
        texts.push(jws::sign(StatementType::Chain, &claims.to_string(), key).unwrap());
        RawText::of(&texts).unwrap()
    }
}

fn why(checked: Result<Frame, ChainError>) -> String {
    checked.unwrap_err().to_string()
}

#[test]
fn a_token_carries_the_chain_to_the_next_server_once() {
    let net = Net::new();
    let plan = net.run(0, None, &net.member(0, "plan", &["n:*"])).unwrap();
    let token = net.token(&plan, 1, "search");
    assert!(why(net.arrives(&token, 2, "search")).contains("another server"));
    assert!(why(net.arrives(&token, 1, "other")).contains("another tool"));
    assert!(why(net.arrives_at(&token, 1, "search", NOW.plus(91))).contains("too old"));
    assert!(why(net.arrives_at(&token, 1, "search", NOW.minus(31))).contains("from the future"));
    let from = net.arrives(&token, 1, "search").unwrap();
    assert!(why(net.arrives(&token, 1, "search")).contains("used before"));
    assert_eq!((from.tool(), from.depth(), from.budget()), ("plan", 1, 9));

    // There it is called by `plan`, with what that may do at most.
    let search = net.run(1, Some(&from), &net.member(1, "search", &["n:read"])).unwrap();
    assert_eq!((search.depth(), search.budget()), (2, 8));
    let pays = net.run(1, Some(&from), &net.member(1, "pay", &["money:send"]));
    assert_eq!(pays.unwrap_err().kind(), ViolationKind::PrivilegeEscalation);

    // And from there on, both tokens together.
    let next = net.token(&search, 2, "log");
    let at_c = net.arrives(&next, 2, "log").unwrap();
    let chain: Vec<_> =
        at_c.frames().map(|frame| (frame.tool(), frame.member().server())).collect();
    assert_eq!(chain, [("search", "stdio:pkg:cargo/b"), ("plan", "stdio:pkg:cargo/a")]);
    assert_eq!((at_c.depth(), at_c.budget()), (2, 8));
    // A tool does not come back to itself over other servers.
    let back = net.token(&search, 0, "plan");
    assert_eq!(
        net.arrives(&back, 0, "plan").unwrap_err().kind(),
        ViolationKind::CircularDependency
    );
}

#[test]
fn a_name_is_proven_by_a_peer_alone() {
    let net = Net::new();
    let only = CallConstraints {
        allowed_callers: names(&["stdio:pkg:cargo/a#plan"]),
        ..Default::default()
    };
    let callee = net.declaring(1, "search", &[], only);
    let plan = net.run(0, None, &net.member(0, "plan", &[])).unwrap();
    let honest = net.arrives(&net.token(&plan, 1, "search"), 1, "search").unwrap();
    assert!(net.run(1, Some(&honest), &callee).is_ok());
    // Whoever says to be that server with another key is known by that key.
    let mallory = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let forged = net.edited(&net.token(&plan, 1, "search"), &mallory, |_| ());
    let stranger = net.arrives(&forged, 1, "search").unwrap();
    assert_eq!(
        net.run(1, Some(&stranger), &callee).unwrap_err().kind(),
        ViolationKind::UnauthorizedChain
    );
    assert!(stranger.member().server().starts_with("etdi:key:"));
    // Nor do policies take it for a tool of this server, whose name anybody can write.
    let rule = r#"{"id":"a","effect":"permit","called_by":["plan"]}"#;
    let rule: crate::policy::LocalRule = serde_json::from_str(rule).unwrap();
    let applies = |caller: &Frame, own: usize| {
        let resource = crate::policy::Resource::new("stdio:pkg:cargo/b", "search");
        let own = net.servers[own].0.to_string();
        let request = crate::policy::Request::call(resource, NOW).called_by(Some(caller), &own);
        rule.applies(&request)
    };
    assert!(applies(&plan, 0));
    assert!(!applies(&honest, 1) && !applies(&stranger, 1));
    // Nor does one peer speak for another.
    let b = &net.servers[1].1;
    let forged = net.edited(&net.token(&plan, 1, "search"), b, |_| ());
    assert!(why(net.arrives(&forged, 1, "search")).contains("that of another server"));
}

#[test]
fn nothing_is_widened_on_the_way() {
    let net = Net::new();
    let deep = CallConstraints { max_depth: Some(3), ..CallConstraints::default() };
    let plan = net.run(0, None, &net.declaring(0, "plan", &["n:read"], deep)).unwrap();
    let from = net.arrives(&net.token(&plan, 1, "search"), 1, "search").unwrap();
    let search = net.run(1, Some(&from), &net.member(1, "search", &["n:read"])).unwrap();
    let honest = net.token(&search, 2, "log");
    assert_eq!(net.arrives(&honest, 2, "log").unwrap().budget(), 1);
    let b = &*net.servers[1].1;
    let ancestor = |server: &str, tool: &str| {
        let dig = Digest::of_bytes(tool.as_bytes());
        json!({"srv": server, "tool": tool, "dig": dig})
    };
    type Edit = Box<dyn Fn(&mut Value)>;
    let edits: [(&str, Edit); 9] = [
        ("more calls", Box::new(|claims| claims["bud"] = json!(2))),
        ("more permissions", Box::new(|claims| claims["per"] = json!(["n:*"]))),
        ("less deep", Box::new(|claims| claims["dep"] = json!(1))),
        ("deeper than all", Box::new(|claims| claims["bud"] = json!(u32::MAX))),
        (
            "without the first",
            Box::new(move |claims| {
                (claims["anc"], claims["dep"]) =
                    (json!([ancestor("stdio:pkg:cargo/b", "search")]), json!(1));
            }),
        ),
        (
            "another first",
            Box::new(move |claims| {
                claims["anc"][0] = ancestor("stdio:pkg:cargo/a", "harmless");
            }),
        ),
        (
            "another tool than was called",
            Box::new(move |claims| {
                claims["anc"][1] = ancestor("stdio:pkg:cargo/b", "other");
            }),
        ),
        (
            "signed for another",
            Box::new(move |claims| {
                claims["anc"][1] = ancestor("stdio:pkg:cargo/a", "search");
            }),
        ),
        ("not going on", Box::new(|claims| claims["prt"] = Value::Null)),
    ];
    for (what, edit) in edits {
        let wide = net.edited(&net.token(&search, 2, "log"), b, edit);
        assert!(net.arrives(&wide, 2, "log").is_err(), "{what}");
    }
    // The same claims again are fine, so it was the change that was refused.
    let same = net.edited(&net.token(&search, 2, "log"), b, |_| ());
    assert!(net.arrives(&same, 2, "log").is_ok());

    let cut = |from: usize, to: usize| {
        let texts: Vec<String> = net.token(&search, 2, "log").parse().unwrap();
        RawText::of(&texts[from..to]).unwrap()
    };
    assert!(net.arrives(&cut(1, 2), 2, "log").is_err(), "without the older");
    assert!(net.arrives(&cut(0, 1), 2, "log").is_err(), "without the newest");
    assert!(net.arrives(&cut(0, 0), 2, "log").is_err());
    let many = RawText::of(&vec!["a.b.c"; 11]).unwrap();
    assert!(net.arrives(&many, 2, "log").is_err());
    let text = honest.get();
    let bent = RawText::new(format!("{}A\"]", &text[..text.len() - 3])).unwrap();
    assert!(net.arrives(&bent, 2, "log").is_err(), "a signature that was changed");
}

/// Anybody can make a key, and tokens with it: that must refuse nobody else's calls.
#[test]
fn tokens_of_strangers_take_no_room_of_calls() {
    let net = Net { replay: MemoryReplayStore::new(1), ..Net::new() };
    let plan = net.run(0, None, &net.member(0, "plan", &[])).unwrap();
    for _ in 0..5 {
        let mallory = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let own = net.edited(&net.token(&plan, 1, "search"), &mallory, |_| ());
        assert!(net.arrives(&own, 1, "search").is_ok());
        assert!(why(net.arrives(&own, 1, "search")).contains("used before"));
    }
    assert!(net.arrives(&net.token(&plan, 1, "search"), 1, "search").is_ok());
}

#[test]
fn a_server_without_a_key_makes_no_tokens() {
    let frame = enter(&basic(), None, &plain("a")).unwrap();
    let server = ServerIdentity::package("pkg:cargo/b").unwrap();
    assert!(frame.token(&server, "t", Digest::of_bytes(b""), NOW).unwrap().is_none());
}
