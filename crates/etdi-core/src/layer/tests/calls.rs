//! Signed calls through guard and verify: nonces, receipts, unsigned callers, retries, and callers
//! who are shown different tools.

use mcp_types::{CacheScope, ClientCapabilities, Principal, ProtocolVersion};

use super::*;
use crate::definition::RawTool;
use crate::level::{AuditMode, CallAttestation, KeyTrust, SecurityLevel};
use crate::nonce::SecretNonces;
use crate::request::{SignedCall, TokenBinding};

pub(super) fn guarded(world: &World, configure: impl FnOnce(GuardLayer) -> GuardLayer) -> Guarded {
    configure(GuardLayer::new(notes(), || NOW)).layer(world.signer().layer(world.server.clone()))
}

pub(super) type Guarded = GuardService<SignService<Server>>;

/// A service that keeps the exchanges of calls that pass, each as it was.
pub(super) fn recording<S: ExchangeService>(inner: S) -> (Recorder<S>, Arc<Mutex<Vec<Exchange>>>) {
    let seen = Arc::<Mutex<Vec<Exchange>>>::default();
    (Recorder { inner, seen: seen.clone() }, seen)
}

#[derive(Clone)]
pub(super) struct Recorder<S> {
    inner: S,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

impl<S: ExchangeService> Service<Exchange> for Recorder<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> S::Future {
        if let ClientRequest::CallTool(_) = exchange.request {
            self.seen.lock().unwrap().push(exchange.clone());
        }
        self.inner.call(exchange)
    }
}

pub(super) fn send<S: ExchangeService>(
    service: &S,
    exchange: Exchange,
) -> Result<Outcome, ErrorObject> {
    block_on(ask(&mut service.clone(), exchange))
}

pub(super) fn call_of(tool: &str) -> Exchange {
    let mut params = CallToolRequestParams::new(tool);
    params.arguments = RawText::new(r#"{"query":"x"}"#).ok();
    Exchange::new(ClientRequest::CallTool(params))
}

#[test]
fn a_server_that_wants_nonces_is_given_them() {
    let world = World::new([tool("pay", Some(PAY))]);
    let nonces = Arc::new(SecretNonces::new().unwrap());
    let (server, seen) = recording(guarded(&world, |guard| guard.nonces(nonces)));
    let mut client = world.connect(Policy::enhanced(), server);
    assert_eq!(client.call("pay").unwrap(), "pay");
    assert_eq!(seen.lock().unwrap().len(), 2, "refused with a nonce, and signed anew");
    assert_eq!(client.call("pay").unwrap(), "pay");
    assert_eq!(seen.lock().unwrap().len(), 3, "the nonce is kept");
    assert_eq!(world.server.calls(), 2);

    // A statement that was made before the server spoke counts nowhere.
    let first = seen.lock().unwrap()[0].clone();
    let mut replayed = call_of("pay");
    replayed.context.meta = first.context.meta;
    let error =
        send(&guarded(&world, |g| g.nonces(Arc::new(SecretNonces::new().unwrap()))), replayed);
    assert_eq!(code(&error.unwrap_err()), "NONCE_REQUIRED");
}

/// A server that is never content must not keep a client busy.
#[test]
fn a_nonce_is_asked_for_once() {
    let world = World::new([tool("pay", Some(PAY))]);
    struct Never;
    impl crate::nonce::Nonces for Never {
        fn issue(&self, _: UnixTime) -> String {
            "more".to_owned()
        }
        fn holds(&self, _: &str, _: UnixTime) -> bool {
            false
        }
    }
    let (server, seen) = recording(guarded(&world, |guard| guard.nonces(Arc::new(Never))));
    let mut client = world.connect(Policy::enhanced(), server);
    assert_eq!(code(&client.call("pay").unwrap_err()), "NONCE_REQUIRED");
    assert_eq!(seen.lock().unwrap().len(), 2);
}

/// Shows the access token of the moment, as a transport does, and has it verified.
#[derive(Clone)]
struct Shows<S> {
    inner: S,
    tokens: Arc<Mutex<Vec<&'static str>>>,
}

impl<S: ExchangeService> Service<Exchange> for Shows<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> S::Future {
        let mut tokens = self.tokens.lock().unwrap();
        // A login, or a new token, in the middle of a call.
        if tokens.len() > 1 && matches!(exchange.request, ClientRequest::CallTool(_)) {
            tokens.remove(0);
        }
        exchange.context.extensions.insert(TokenBinding::new(tokens[0], None));
        drop(tokens);
        self.inner.call(exchange)
    }
}

#[test]
fn a_signed_call_names_the_token_that_goes_along() {
    let world = World::new([tool("pay", Some(PAY))]);
    let tokens = Arc::new(Mutex::new(vec!["first"]));
    let (server, seen) = recording(guarded(&world, |guard| guard));
    let server = Shows { inner: server, tokens: tokens.clone() };
    let known = tokens.clone();
    let names = move |layer: VerifyLayer| {
        let known = known.clone();
        layer.access_token(move || {
            let token = known.lock().unwrap()[0];
            let binding = (!token.is_empty()).then(|| TokenBinding::new(token, None));
            Box::pin(std::future::ready(binding))
        })
    };
    let mut client = world.connect_with(Policy::enhanced(), server.clone(), &names);
    let mut called = |expected: usize, sequence: &[&'static str]| {
        *tokens.lock().unwrap() = sequence.to_vec();
        seen.lock().unwrap().clear();
        let answer = client.call("pay").map_err(|error| code(&error));
        assert_eq!(seen.lock().unwrap().len(), expected, "{sequence:?}");
        answer.map(drop)
    };
    assert_eq!(called(1, &["first"]), Ok(()));
    // Another token, or the first one, came into use after the call was signed.
    assert_eq!(called(2, &["first", "second"]), Ok(()));
    assert_eq!(called(2, &["", "first"]), Ok(()));
    // Not for ever.
    let refused = Err("SIGNATURE_INVALID".to_owned());
    assert_eq!(called(2, &["first", "second", "third", "fourth"]), refused);
    assert_eq!(world.server.calls(), 3);

    // Without it whoever signs goes along with any token, and a server that binds refuses it.
    let mut silent = world.connect(Policy::enhanced(), server);
    assert_eq!(code(&silent.call("pay").unwrap_err()), "SIGNATURE_INVALID");
}

#[test]
fn receipts_are_given_and_held_against_the_result() {
    let world = World::new([tool("pay", Some(PAY))]);
    let capable = || {
        let mut capability = wire::Capability::default();
        capability.profiles.push(wire::RESULT_PROFILE.to_owned());
        world.signer().capability(capability).layer(world.server.clone())
    };
    let gives =
        || GuardLayer::new(notes(), || NOW).receipts(world.instance.clone()).layer(capable());
    let result = |change: fn(&mut CallToolResult)| {
        move |result: ServerResult| match result {
            ServerResult::CallTool(mut result) => {
                change(&mut result);
                ServerResult::CallTool(result)
            }
            other => other,
        }
    };
    let drop_it = |result: &mut CallToolResult| result.meta = None;
    let change_it =
        |result: &mut CallToolResult| result.structured_content = RawText::new("\"paid\"").ok();
    let call = |policy: Policy, change: fn(&mut CallToolResult)| {
        let mut client = world.connect(policy, tamper(gives(), result(change)));
        client.send(ClientRequest::Discover(RequestParams::new())).unwrap();
        client.call("pay").map_err(|error| (error.origin, code(&error)))
    };
    let refused = |code: &str| Err((Origin::Refused, code.to_owned()));
    assert_eq!(call(Policy::enhanced(), |_| ()), Ok("pay".to_owned()));
    // The attack: without receipts a changed result passes.
    assert_eq!(call(Policy::basic(), change_it), Ok("paid".to_owned()));
    assert_eq!(call(Policy::enhanced(), change_it), refused("RECEIPT_INVALID"));
    assert_eq!(call(Policy::enhanced(), drop_it), Ok("pay".to_owned()), "only if offered");
    assert_eq!(call(Policy::strict(), drop_it), refused("RECEIPT_MISSING"));
    assert_eq!(call(Policy::strict(), |_| ()), Ok("pay".to_owned()));
    let noted = world.audit.entries();
    assert!(noted.iter().any(|one| one.event.kind == EventKind::SignatureFailed));

    // Another key than the one that the server proves to hold.
    let other = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let forger = GuardLayer::new(notes(), || NOW).receipts(other).layer(capable());
    let mut client = world.connect(Policy::enhanced(), forger);
    client.send(ClientRequest::Discover(RequestParams::new())).unwrap();
    assert_eq!(code(&client.call("pay").unwrap_err()), "RECEIPT_INVALID");
}

#[test]
fn who_cannot_sign_is_told_how() {
    let world = World::new([tool("pay", Some(PAY)), tool("search", Some(SEARCH))]);
    let server = guarded(&world, |guard| guard);
    assert!(send(&server, call_of("search")).is_ok(), "other tools work for everybody");
    let error = send(&server, call_of("pay")).unwrap_err();
    assert_eq!(error.code, -32021);
    assert!(error.message.contains("dev.etdi/call") && error.message.contains("dev.etdi/etdi"));
    let data: Value = error.data.unwrap().parse().unwrap();
    assert_eq!(data["requiredCapabilities"]["extensions"][wire::EXTENSION], json!({}));
    assert_eq!(data[wire::ERROR_DATA], "SIGNATURE_REQUIRED");

    // Who declares the extension has forgotten to sign.
    let mut exchange = call_of("pay");
    let mut declared = ClientCapabilities::new();
    let none = RawText::new("{}").unwrap();
    declared.extensions.get_or_insert_default().insert(wire::EXTENSION.to_owned(), none);
    let declared = RawText::of(&declared).unwrap();
    exchange.context.set_client(ProtocolVersion::V2026_07_28, None, Some(declared));
    let error = send(&server, exchange).unwrap_err();
    assert_eq!((error.code, code(&error).as_str()), (-33001, "SIGNATURE_REQUIRED"));
    assert_eq!(world.server.calls(), 1);
}

#[test]
fn at_every_level_unless_it_is_said_otherwise() {
    let world = World::new([tool("pay", Some(PAY))]);
    let audit = Arc::new(MemoryAuditor::default());
    for (enforce, level, passes) in [
        (Enforce::Always, SecurityLevel::Basic, false),
        (Enforce::Always, SecurityLevel::Enhanced, false),
        (Enforce::Always, SecurityLevel::Strict, false),
        (Enforce::StrictOnly, SecurityLevel::Basic, true),
        (Enforce::StrictOnly, SecurityLevel::Enhanced, true),
        (Enforce::StrictOnly, SecurityLevel::Strict, false),
    ] {
        let guard =
            |guard: GuardLayer| guard.enforce(enforce, level).auditor(audit.clone(), AuditMode::On);
        let server = guarded(&world, guard);
        assert_eq!(send(&server, call_of("pay")).is_ok(), passes, "{enforce:?} {level}");
        // A statement that is there and wrong is refused in any case.
        let mut forged = call_of("pay");
        forged.context.meta.insert(wire::CALL, RawText::new("\"a.b.c\"").unwrap());
        assert!(send(&server, forged).is_err());
    }
    let noted = audit.entries();
    let grave = |one: &&crate::audit::Entry| {
        one.event.kind == EventKind::ToolInvoked && one.event.detail.is_some()
    };
    assert_eq!(noted.iter().filter(grave).count(), 2, "each unsigned call is noted as grave");
}

/// A revision with a handshake asks the client in the middle of the call and enters the handler
/// anew: the same message, admitted and noted once. A second message is another affair.
#[test]
fn a_call_that_asks_twice_is_admitted_once() {
    let world = World::new([tool("pay", Some(PAY))]);
    let audit = Arc::new(MemoryAuditor::default());
    let server = guarded(&world, |guard| {
        guard.auditor(audit.clone(), AuditMode::ChainedBeforeAct).receipts(world.instance.clone())
    });
    let (recorder, seen) = recording(server.clone());
    world.connect(Policy::enhanced(), recorder).call("pay").unwrap();
    let first = seen.lock().unwrap().remove(0);
    let meta = first.context.meta.clone();
    let before = audit.entries().len();
    for attempt in [1, 2] {
        let mut again = Exchange::reenter(first.id(), attempt, first.request.clone());
        again.context.meta = meta.clone();
        again.context.request_state = Some(format!("state {attempt}"));
        let Outcome::Complete(ServerResult::CallTool(result)) = send(&server, again).unwrap()
        else {
            panic!("no result")
        };
        assert!(result.meta.unwrap().get(wire::RECEIPT).is_some(), "it knows who signed");
        let inside = world.server.0.lock().unwrap();
        let signed = inside.calls.last().unwrap().context.extensions.get::<SignedCall>();
        assert!(signed.is_some(), "and so does the handler");
    }
    assert_eq!(audit.entries().len(), before, "noted once");

    let mut second = Exchange::new(first.request.clone());
    second.context.meta = meta.clone();
    assert_eq!(code(&send(&server, second).unwrap_err()), "REPLAYED");
    // Nor does entering anew help with other arguments.
    let mut params = CallToolRequestParams::new("pay");
    params.arguments = RawText::new(r#"{"query":"y"}"#).ok();
    let mut other = Exchange::reenter(first.id(), 1, ClientRequest::CallTool(params));
    other.context.meta = meta;
    assert_eq!(code(&send(&server, other).unwrap_err()), "SIGNATURE_INVALID");
}

/// A server that shows each caller another form of a tool, and says so or not.
#[derive(Clone)]
struct Varies {
    says: Option<CacheScope>,
}

impl Service<Exchange> for Varies {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let is_ada = exchange
            .context
            .extensions
            .get::<Principal>()
            .is_some_and(|principal| principal.subject == "ada");
        let result = match exchange.request {
            ClientRequest::ListTools(_) => {
                let declaration = if is_ada { SEARCH } else { PAY };
                let listed = Arc::new(Listed::new(tool("t", Some(declaration))).unwrap());
                let mut page = ListToolsResult::new(Items::from(vec![listed]));
                page.cache_scope = self.says.clone();
                ServerResult::ListTools(page)
            }
            _ => ServerResult::CallTool(CallToolResult::new(Vec::new())),
        };
        Box::pin(std::future::ready(Ok(result.into())))
    }
}

#[test]
fn what_one_caller_is_shown_does_not_count_for_another() {
    for says in [None, Some(CacheScope::Private)] {
        let server = GuardLayer::new(notes(), || NOW).layer(Varies { says });
        let by = |name: Option<&str>, mut exchange: Exchange| {
            if let Some(name) = name {
                exchange.context.extensions.insert(Principal::new("https://issuer.example", name));
            }
            send(&server, exchange)
        };
        let list = || Exchange::new(ClientRequest::ListTools(PaginatedRequestParams::new()));
        for _ in 0..2 {
            by(Some("bob"), list()).unwrap();
            by(Some("ada"), list()).unwrap();
            assert!(by(Some("ada"), call_of("t")).is_ok(), "for ada it needs no signature");
            assert!(by(Some("bob"), call_of("t")).is_err(), "for bob it does");
            assert!(by(Some("eve"), call_of("t")).is_err(), "who never listed");
            assert!(by(None, call_of("t")).is_err());
        }
    }
}

/// A server that proves to hold a key, and says under its own name that it is somebody else: what a
/// client signs for it must not be good for that somebody.
#[test]
fn what_is_signed_for_one_server_counts_at_no_other() {
    let world = World::new([tool("pay", Some(PAY))]);
    let bank = ServerIdentity::url("https://bank.example/mcp").unwrap();
    let evil = ServerIdentity::url("https://evil.example/mcp").unwrap();
    for reached in [evil, ServerIdentity::command(&["evil"])] {
        // The same tool, without a signature, behind a key of its own.
        let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
        let relay = SignLayer::new(bank.clone(), || NOW).instance_key(key);
        let (relay, seen) = recording(relay.layer(world.server.clone()));
        let mut policy = Policy::basic();
        policy.unsigned = crate::level::Handling::Label;
        let approvals =
            Approvals::new(policy, world.store.clone(), world.yes.clone(), world.audit.clone());
        let verifier = Verifier::new(TrustAnchors::new());
        let layer = VerifyLayer::new(verifier, approvals, Peer::new(reached), || NOW)
            .caller(Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
        let mut client = Client { service: layer.layer(relay), layer };
        client.send(ClientRequest::Discover(RequestParams::new())).unwrap();
        client.call("pay").unwrap();

        // The relay hands the call on to the bank, whose tool is the same to the byte.
        let mut relayed = call_of("pay");
        relayed.context.meta = seen.lock().unwrap()[0].context.meta.clone();
        let bank = GuardLayer::new(bank.clone(), || NOW).layer(world.server.clone());
        assert_eq!(code(&send(&bank, relayed).unwrap_err()), "WRONG_AUDIENCE");
    }
}

/// What the policy of either side forbids is neither sent nor carried out.
#[test]
fn a_gate_stands_on_both_sides() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let gate = |rules: &str| {
        let rules: crate::policy::LocalRules = serde_json::from_str(rules).unwrap();
        crate::policy::Gate::new(Arc::new(rules))
    };
    let none = || gate(r#"{"rules":[]}"#);
    let mut client =
        world.connect_with(Policy::enhanced(), world.stack(), |layer| layer.gate(none()));
    assert_eq!(client.refused("search").0, "POLICY_DENIED");
    let mut client = world.connect(Policy::enhanced(), guarded(&world, |guard| guard.gate(none())));
    assert_eq!(code(&client.call("search").unwrap_err()), "PERMISSION_DENIED");
    let sign = || gate(r#"{"rules":[{"id":"a","effect":"permit","obligations":["sign"]}]}"#);
    let server = guarded(&world, |guard| guard.gate(sign()));
    assert_eq!(code(&send(&server, call_of("search")).unwrap_err()), "SIGNATURE_REQUIRED");
    assert_eq!(world.server.calls(), 0);
    let mut client = world.connect_with(Policy::enhanced(), server, |layer| layer.gate(sign()));
    assert_eq!(client.call("search").unwrap(), "search");
}

/// The tokens that a call brings are looked at by the guard, and what an outer call was signed with
/// is not taken for the inner one's.
#[test]
fn an_inner_call_is_what_its_caller_makes_it() {
    const LEAF: Declaration = Declaration::new("1.0.0").allowed_callers(&["plan"]);
    let world = World::new([tool("plan", Some(PAY)), tool("leaf", Some(LEAF))]);
    let elsewhere = ServerIdentity::package("pkg:cargo/elsewhere").unwrap();
    let signer = world.instance.clone();
    let other = GuardLayer::new(elsewhere, || NOW).tokens(signer).layer(world.server.clone());
    let listed = world.server.0.lock().unwrap().tools.clone();
    let digest = |at: usize| RawTool::from_listed(&listed[at]).unwrap().digest();
    let outer = |server: &GuardService<Server>, identity: &ServerIdentity| {
        let mut exchange = call_of("plan");
        let ClientRequest::CallTool(params) = &exchange.request else { panic!("a call") };
        let call = Call::new(identity, "plan", digest(0));
        let call = call.arguments(params.arguments.as_ref().map(RawText::get));
        let statement = call.sign(&*world.publisher, NOW).unwrap();
        exchange.context.meta.insert(wire::CALL, RawText::of(&statement).unwrap());
        send(server, exchange).unwrap();
        world.server.0.lock().unwrap().calls.pop().unwrap()
    };
    let away = outer(&other, &ServerIdentity::package("pkg:cargo/elsewhere").unwrap());
    let frame = away.context.extensions.get::<crate::chain::Frame>().unwrap();
    let identity = notes();
    let to = Call::new(&identity, "leaf", digest(1)).arguments(Some(r#"{"query":"x"}"#));
    let token = frame.token(&to, None, NOW).unwrap().unwrap();
    let here = GuardLayer::new(notes(), || NOW).layer(world.server.clone());
    let mut call = call_of("leaf");
    call.context.meta.insert(wire::CHAIN, token);
    assert_eq!(code(&send(&here, call).unwrap_err()), "CHAIN_DENIED", "its own `plan` alone may");

    let plan = outer(&here, &notes());
    assert!(plan.context.extensions.get::<SignedCall>().is_some());
    let mut call = call_of("leaf");
    call.context.extensions = plan.context.extensions.clone();
    send(&here, call).unwrap();
    let leaf = world.server.0.lock().unwrap().calls.pop().unwrap();
    assert!(leaf.context.extensions.get::<SignedCall>().is_none());
}

/// The guard holds a token to the call that it comes with, and a statement to the access token.
#[test]
fn the_guard_binds_tokens_to_calls() {
    let world = World::new([tool("plan", None), tool("leaf", None)]);
    let elsewhere = ServerIdentity::package("pkg:cargo/elsewhere").unwrap();
    let other = GuardLayer::new(elsewhere, || NOW).tokens(world.instance.clone());
    send(&other.layer(world.server.clone()), call_of("plan")).unwrap();
    let plan = world.server.0.lock().unwrap().calls.pop().unwrap();
    let frame = plan.context.extensions.get::<crate::chain::Frame>().unwrap();
    let leaf = world.server.0.lock().unwrap().tools[1].clone();
    let (identity, digest) = (notes(), RawTool::from_listed(&leaf).unwrap().digest());
    let to = Call::new(&identity, "leaf", digest).arguments(Some(r#"{"query":"x"}"#));
    let here = GuardLayer::new(notes(), || NOW).layer(world.server.clone());
    let arrives = |signer: Option<&SigningKey>, arguments: &str, signed: bool| {
        let mut call = call_of("leaf");
        let ClientRequest::CallTool(params) = &mut call.request else { panic!("a call") };
        params.arguments = RawText::new(arguments).ok();
        let token = frame.token(&to, signer.map(SigningKey::id), NOW).unwrap().unwrap();
        call.context.meta.insert(wire::CHAIN, token);
        if let Some(key) = signer.filter(|_| signed) {
            let statement = to.clone().arguments(Some(arguments)).sign(key, NOW).unwrap();
            call.context.meta.insert(wire::CALL, RawText::of(&statement).unwrap());
        }
        send(&here, call).map(|_| ()).map_err(|error| code(&error))
    };
    let (own, denied) = (r#"{"query":"x"}"#, Err("CHAIN_DENIED".to_owned()));
    assert_eq!(arrives(None, own, false), Ok(()));
    assert_eq!(arrives(None, r#"{"query":"y"}"#, false), denied);
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    assert_eq!(arrives(Some(&key), own, true), Ok(()));
    assert_eq!(arrives(Some(&key), own, false), denied, "the statement was taken out");
    assert_eq!(arrives(Some(&key), r#"{"query":"y"}"#, true), denied);

    for (level, counts) in [
        (SecurityLevel::Basic, true),
        (SecurityLevel::Enhanced, false),
        (SecurityLevel::Strict, false),
    ] {
        // Of the level only what it says about tokens.
        let mut policy = level.policy();
        policy.call_attestation = CallAttestation::WhenAsked;
        policy.key_trust = KeyTrust::FirstUse;
        let guard = GuardLayer::new(notes(), || NOW).policy(policy);
        let server = guard.layer(world.server.clone());
        let with = |binding: Option<&TokenBinding>| {
            let mut call = call_of("leaf");
            call.context.extensions.insert(TokenBinding::new("a token", None));
            let statement = to.clone().token(binding).sign(&key, NOW).unwrap();
            call.context.meta.insert(wire::CALL, RawText::of(&statement).unwrap());
            send(&server, call).is_ok()
        };
        assert!(with(Some(&TokenBinding::new("a token", None))), "{level}");
        assert_eq!(with(None), counts, "{level}");
    }
}
