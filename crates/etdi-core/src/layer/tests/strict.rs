//! A server at `strict`: each call signed, by a client that is known, with a nonce of the server; and
//! each of these demands alone, as data.

use super::calls::{call_of, send};
use super::*;
use crate::client_keys::KnownClients;
use crate::level::{CallAttestation, KeyTrust, SecurityLevel};
use crate::nonce::{Nonces, SecretNonces};
use crate::policy::{Decision, PolicyEngine, Request};

/// A guard under a policy, in front of the signed tools of a world.
fn guarded(
    world: &World,
    policy: Policy,
    keys: CallKeys,
    nonces: &Arc<SecretNonces>,
) -> GuardService<SignService<Server>> {
    let guard = GuardLayer::new(notes(), || NOW).keys(keys).nonces(nonces.clone()).policy(policy);
    guard.layer(world.signer().layer(world.server.clone()))
}

fn signed(world: &World, name: &str, key: &SigningKey, nonce: Option<&str>) -> Exchange {
    let tools = block_on(world.signer().start(world.server.clone())).unwrap();
    let tool = tools.iter().find(|tool| tool.definition().name() == name).unwrap();
    let server = notes();
    let call = Call::new(&server, name, tool.digest()).arguments(Some(r#"{"query":"x"}"#));
    let statement = call.nonce(nonce).sign(key, NOW).unwrap();
    let mut exchange = call_of(name);
    exchange.context.meta.insert(wire::CALL, RawText::of(&statement).unwrap());
    exchange
}

fn end(sent: Result<Outcome, ErrorObject>) -> String {
    sent.map_or_else(|error| code(&error), |_| "called".to_owned())
}

#[test]
fn every_call_is_signed_by_a_client_that_is_known_with_a_nonce() {
    let key = || SigningKey::generate(Algorithm::EdDsa).unwrap();
    let (alice, mallory) = (key(), key());
    let nonces = Arc::new(SecretNonces::new().unwrap());
    let nonce = nonces.issue(NOW);
    let known = || CallKeys::Known([alice.verifying_key().clone()].into_iter().collect());
    let at = |policy: &Policy, keys: CallKeys, name: &str, key: Option<&SigningKey>, nonce| {
        let world = World::new([tool("search", Some(SEARCH)), tool("pay", Some(PAY))]);
        let call = match key {
            Some(key) => signed(&world, name, key, nonce),
            None => call_of(name),
        };
        let end = end(send(&guarded(&world, policy.clone(), keys, &nonces), call));
        assert_eq!(end == "called", world.server.calls() == 1);
        end
    };
    let (enhanced, strict) = (Policy::enhanced(), Policy::strict());
    // A tool that wants nothing of its callers: whoever reaches the server calls it.
    assert_eq!(at(&enhanced, known(), "search", None, None), "called");
    assert_eq!(at(&strict, known(), "search", None, None), "SIGNATURE_REQUIRED");
    // A stranger with a key of its own.
    let nonce = Some(nonce.as_str());
    assert_eq!(at(&enhanced, CallKeys::Any, "pay", Some(&mallory), nonce), "called");
    assert_eq!(at(&strict, CallKeys::Any, "pay", Some(&mallory), nonce), "KEY_UNKNOWN");
    assert_eq!(at(&strict, known(), "pay", Some(&mallory), nonce), "KEY_UNKNOWN");
    // One that came first, at a time when that was enough.
    let clients = Arc::new(KnownClients::new().taking_first_use());
    let first = || CallKeys::Clients(clients.clone());
    assert_eq!(at(&strict, first(), "pay", Some(&mallory), nonce), "KEY_UNKNOWN");
    assert_eq!(at(&enhanced, first(), "pay", Some(&mallory), nonce), "called");
    assert_eq!(at(&strict, first(), "pay", Some(&mallory), nonce), "KEY_UNKNOWN");
    clients.trust("mallory", mallory.verifying_key().clone(), NOW).unwrap();
    assert_eq!(at(&strict, first(), "pay", Some(&mallory), nonce), "called");
    // A statement that was made before the server spoke.
    assert_eq!(at(&strict, known(), "search", Some(&alice), None), "NONCE_REQUIRED");
    assert_eq!(at(&strict, known(), "search", Some(&alice), nonce), "called");
    // Each demand alone, where a host writes its policy itself.
    let mut signed = Policy::enhanced();
    signed.call_attestation = CallAttestation::Always;
    assert_eq!(at(&signed, CallKeys::Any, "search", None, None), "SIGNATURE_REQUIRED");
    assert_eq!(at(&signed, CallKeys::Any, "search", Some(&mallory), nonce), "called");
    let mut configured = Policy::enhanced();
    configured.key_trust = KeyTrust::ConfiguredRoots;
    assert_eq!(at(&configured, CallKeys::Any, "search", None, None), "called");
    assert_eq!(at(&configured, CallKeys::Any, "pay", Some(&mallory), nonce), "KEY_UNKNOWN");
}

/// A guard that nobody gave nonces has some of its own.
#[test]
fn nonces_are_wanted_without_a_word() {
    let world = World::new([tool("search", Some(SEARCH))]);
    let alice = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let keys = CallKeys::Known([alice.verifying_key().clone()].into_iter().collect());
    let guard = GuardLayer::new(notes(), || NOW).keys(keys).policy(Policy::strict());
    let server = guard.layer(world.signer().layer(world.server.clone()));
    let error = send(&server, signed(&world, "search", &alice, None)).unwrap_err();
    assert_eq!(code(&error), "NONCE_REQUIRED");
    let data: Value = error.data.unwrap().parse().unwrap();
    let nonce = data[wire::NONCE].as_str().unwrap();
    assert_eq!(end(send(&server, signed(&world, "search", &alice, Some(nonce)))), "called");
}

/// What a call is signed with as the Python SDK does it names no server, definition or answers: it
/// counts below `strict`, and nowhere where every call has to be signed.
#[cfg(feature = "rsa-keys")]
#[test]
fn an_older_signature_is_none_at_strict() {
    use crate::legacy::call::{self, LegacyCalls};
    let rsa = SigningKey::generate_rsa(Algorithm::Rs256, 2048).unwrap();
    let at = |policy: Policy| {
        let world = World::new([tool("pay", Some(PAY))]);
        let calls = LegacyCalls::new().key("laptop", rsa.verifying_key().clone());
        let known = [rsa.verifying_key().clone()].into_iter().collect();
        let guard = GuardLayer::new(notes(), || NOW).keys(CallKeys::Known(known));
        let server = guard.policy(policy).legacy(calls).layer(world.server.clone());
        let mut exchange = call_of("pay");
        let ClientRequest::CallTool(params) = &mut exchange.request else { panic!("a call") };
        call::sign(params, &rsa, NOW).unwrap();
        let end = end(send(&server, exchange));
        assert_eq!(end == "called", world.server.calls() == 1);
        end
    };
    let required = "SIGNATURE_REQUIRED";
    assert_eq!([Policy::basic(), Policy::enhanced()].map(at), ["called"; 2]);
    assert_eq!(at(Policy::strict()), required);
    // Each of the two demands alone, where a host writes its policy itself.
    let mut by_level = Policy::strict();
    by_level.call_attestation = CallAttestation::WhenAsked;
    assert_eq!(at(by_level), required);
    let mut always = Policy::enhanced();
    always.call_attestation = CallAttestation::Always;
    assert_eq!(at(always), required);
}

/// A tool that is hidden from whoever calls it can be called by nobody, since nobody can sign it.
#[test]
fn what_is_not_listed_is_not_called() {
    let nonces = Arc::new(SecretNonces::new().unwrap());
    for (policy, calls) in [(Policy::enhanced(), 1), (Policy::strict(), 0)] {
        let world = World::new([]);
        let server = guarded(&world, policy, CallKeys::Known(KeyRing::new()), &nonces);
        assert_eq!(send(&server, call_of("hidden")).is_ok(), calls == 1);
        assert_eq!(world.server.calls(), calls);
    }
}

/// What a tool of the server calls within it is part of the call that was signed; a tool of another
/// server in the same program is not.
#[test]
fn a_tool_that_was_called_signed_calls_others() {
    let world = World::new([tool("plan", None), tool("leaf", None)]);
    let alice = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let nonces = Arc::new(SecretNonces::new().unwrap());
    let nonce = nonces.issue(NOW);
    let keys = || CallKeys::Known([alice.verifying_key().clone()].into_iter().collect());
    let server = guarded(&world, Policy::strict(), keys(), &nonces);
    let from = |exchange: Exchange| {
        let mut call = call_of("leaf");
        call.context.extensions = exchange.context.extensions;
        call
    };
    let last = || world.server.0.lock().unwrap().calls.pop().unwrap();
    send(&server, signed(&world, "plan", &alice, Some(&nonce))).unwrap();
    assert_eq!(end(send(&server, from(last()))), "called");
    let elsewhere = ServerIdentity::package("pkg:cargo/elsewhere").unwrap();
    let other = GuardLayer::new(elsewhere, || NOW).layer(world.server.clone());
    send(&other, call_of("plan")).unwrap();
    let plan = world.server.0.lock().unwrap().calls.remove(1);
    assert_eq!(end(send(&server, from(plan))), "SIGNATURE_REQUIRED");
}

/// A client of ours complies at every level: the server says that it wants signed calls, and gives
/// a nonce with the first refusal.
#[test]
fn a_client_signs_because_the_server_says_so() {
    for policy in [Policy::basic(), Policy::enhanced(), Policy::strict()] {
        let world = World::new([tool("search", Some(SEARCH))]);
        let caller = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
        let keys = CallKeys::Known([caller.verifying_key().clone()].into_iter().collect());
        let guard = GuardLayer::new(notes(), || NOW).keys(keys).policy(Policy::strict());
        let serve = |call: &str| {
            let capability = wire::Capability { call: Some(call.to_owned()), ..Default::default() };
            guard.layer(world.signer().capability(capability).layer(world.server.clone()))
        };
        let connect = |call: &str| {
            let with = |layer: VerifyLayer| layer.caller(caller.clone());
            let mut client = world.connect_with(policy.clone(), serve(call), with);
            client.send(ClientRequest::Discover(RequestParams::new())).unwrap();
            client
        };
        assert_eq!(connect(wire::ALL_CALLS).call("search").unwrap(), "search");
        // Where somebody took that out, nothing is called that is not signed.
        let asked = connect(wire::PER_TOOL).call("search");
        match policy.level {
            SecurityLevel::Strict => assert_eq!(asked.unwrap(), "search"),
            _ => assert_eq!(code(&asked.unwrap_err()), "SIGNATURE_REQUIRED"),
        }
    }
}

/// An engine is told the level of the server, as that of a client.
#[test]
fn an_engine_knows_the_level_of_the_server() {
    struct Told(Mutex<Option<SecurityLevel>>);
    impl PolicyEngine for Told {
        fn authorize<'a>(&'a self, request: &'a Request<'a>) -> BoxFuture<'a, Decision> {
            *self.0.lock().unwrap() = request.context.level;
            Box::pin(std::future::ready(Decision::permit(["all"])))
        }
    }
    for level in [SecurityLevel::Basic, SecurityLevel::Enhanced] {
        let world = World::new([tool("search", Some(SEARCH))]);
        let told = Arc::new(Told(Mutex::default()));
        let guard = GuardLayer::new(notes(), || NOW).gate(Gate::new(told.clone()));
        let server = guard.policy(level.policy()).layer(world.server.clone());
        send(&server, call_of("search")).unwrap();
        assert_eq!(*told.0.lock().unwrap(), Some(level));
    }
}
