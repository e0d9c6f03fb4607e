//! Each claim of a call, changed one at a time.

use futures_executor::block_on;
use mcp_types::Extensions;

use super::*;
use crate::jws::Jws;
use crate::key::{Algorithm, KeyRing, SigningKey};
use crate::nonce::{Nonces, SecretNonces};

const NOW: UnixTime = UnixTime(1_767_323_045);

struct World {
    key: SigningKey,
    server: ServerIdentity,
    definition: Digest,
}

impl World {
    fn new() -> Self {
        Self {
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
            server: ServerIdentity::url("https://mcp.acme.example/mcp").unwrap(),
            definition: Digest::of_bytes(b"definition"),
        }
    }

    fn call(&self) -> Call<'_> {
        Call::new(&self.server, "search", self.definition).arguments(Some(r#"{"q":1}"#))
    }

    fn with(&self, edit: impl Fn(&mut serde_json::Value)) -> String {
        let statement = self.call().sign(&self.key, NOW).unwrap();
        let read = Jws::read(&statement, StatementType::Call).unwrap();
        let mut claims = serde_json::from_str(read.unverified_payload()).unwrap();
        edit(&mut claims);
        jws::sign(StatementType::Call, &claims.to_string(), &self.key).unwrap()
    }

    fn check(&self, statement: &str, known: Option<&KeyRing>) -> Result<SignedCall, &'static str> {
        let replay = MemoryReplayStore::new(8);
        let check = Check::new(&replay, NOW);
        let check = known.map_or(check, |known| check.keys(known));
        let call = self.call();
        block_on(check.call(statement, &call)).map_err(|refusal| refusal.code())
    }
}

#[test]
fn each_claim_counts() {
    let world = World::new();
    let other = Digest::of_bytes(b"other").to_string();
    for (member, value, code) in [
        ("iss", json!("etdi:key:other"), "SIGNATURE_INVALID"),
        ("aud", json!("https://evil.example/mcp"), "WRONG_AUDIENCE"),
        ("iat", json!(NOW.0 + 31), "STALE"),
        ("iat", json!(0), "STALE"),
        ("exp", json!(NOW.0 - 31), "STALE"),
        ("exp", json!(NOW.0 + 61), "STALE"),
        ("exp", json!(u64::MAX >> 12), "STALE"),
        ("jti", json!(""), "SIGNATURE_INVALID"),
        ("jti", json!("x".repeat(129)), "SIGNATURE_INVALID"),
        ("ath", json!("another token"), "SIGNATURE_INVALID"),
        ("mth", json!("tools/list"), "SIGNATURE_INVALID"),
        ("tool", json!("other"), "SIGNATURE_INVALID"),
        ("tdg", json!(other), "DEFINITION_CHANGED"),
        ("adg", json!(other), "SIGNATURE_INVALID"),
        ("mdg", json!(other), "SIGNATURE_INVALID"),
        ("jwk", json!(null), "KEY_UNKNOWN"),
        ("jwk", json!({"kty": "oct", "k": "AA"}), "SIGNATURE_INVALID"),
    ] {
        let statement = world.with(|claims| claims[member] = value.clone());
        assert_eq!(world.check(&statement, None), Err(code), "{member} {value}");
    }
    assert_eq!(world.check("", None), Err("SIGNATURE_INVALID"));
    assert_eq!(world.check(&world.with(|_| ()), None).unwrap().key, world.key.id());
}

#[test]
fn whose_key_counts() {
    let world = World::new();
    let statement = world.with(|_| ());
    let ring = KeyRing::from_iter([world.key.verifying_key().clone()]);
    assert!(world.check(&statement, Some(&ring)).is_ok());
    assert_eq!(world.check(&statement, Some(&KeyRing::new())), Err("KEY_UNKNOWN"));
    // Bringing another key along does not make it the one that signed.
    let mallory = SigningKey::generate(Algorithm::Es256).unwrap();
    let jwk: serde_json::Value = serde_json::from_str(&mallory.verifying_key().to_jwk()).unwrap();
    let statement = world.with(|claims| claims["jwk"] = jwk.clone());
    assert_eq!(world.check(&statement, None), Err("SIGNATURE_INVALID"));
}

#[test]
fn arguments_are_those_that_were_signed() {
    let world = World::new();
    let check_with = |signed: Option<&str>, sent: Option<&str>| {
        let statement = world.call().arguments(signed).sign(&world.key, NOW).unwrap();
        let call = world.call().arguments(sent);
        let replay = MemoryReplayStore::new(1);
        block_on(Check::new(&replay, NOW).call(&statement, &call)).is_ok()
    };
    assert!(check_with(Some(r#"{"a":1,"b":2}"#), Some(r#"{ "b": 2.0, "a": 1 }"#)));
    assert!(check_with(None, Some("{}")), "no arguments are an empty object");
    assert!(!check_with(Some(r#"{"a":1}"#), Some(r#"{"a":2}"#)));
    assert!(!check_with(Some(r#"{"a":1}"#), None));
    assert!(!check_with(Some(r#"{"a":1}"#), Some(r#"{"a":1,"a":1}"#)));
    let large = world.call().arguments(Some(r#"{"a":9007199254740993}"#));
    assert!(large.sign(&world.key, NOW).unwrap_err().to_string().contains("send a string"));
}

#[test]
fn a_retry_is_signed_with_its_answers() {
    let world = World::new();
    let answers: Members =
        [("confirm", RawText::new(r#"{"action":"accept"}"#).unwrap())].into_iter().collect();
    let other: Members =
        [("confirm", RawText::new(r#"{"action":"decline"}"#).unwrap())].into_iter().collect();
    let statement =
        world.call().inputs(Some(&answers), Some("state")).sign(&world.key, NOW).unwrap();
    for (responses, state, holds) in [
        (Some(&answers), Some("state"), true),
        (Some(&other), Some("state"), false),
        (Some(&answers), Some("other"), false),
        (Some(&answers), None, false),
        (None, None, false),
    ] {
        let call = world.call().inputs(responses, state);
        let replay = MemoryReplayStore::new(1);
        let checked = block_on(Check::new(&replay, NOW).call(&statement, &call));
        assert_eq!(checked.is_ok(), holds, "{responses:?} {state:?}");
    }
}

#[test]
fn a_server_can_want_its_own_nonce() {
    let world = World::new();
    let nonces = SecretNonces::new().unwrap();
    let replay = MemoryReplayStore::new(8);
    let check = |nonce: Option<&str>| {
        let statement = world.call().nonce(nonce).sign(&world.key, NOW).unwrap();
        let check = Check::new(&replay, NOW).nonces(Some(&nonces));
        block_on(check.call(&statement, &world.call()))
    };
    let Err(CallRefusal::NonceRequired { nonce }) = check(None) else { panic!("no nonce wanted") };
    assert!(check(Some(&nonce)).is_ok());
    assert!(check(Some(&nonce)).is_ok(), "another call, the same nonce while it is fresh");
    for other in [nonces.issue(NOW.minus(200)), SecretNonces::new().unwrap().issue(NOW)] {
        assert_eq!(check(Some(&other)).unwrap_err().code(), "NONCE_REQUIRED");
    }
    let error = ErrorObject::from(check(None).unwrap_err());
    let data: serde_json::Value = error.data.unwrap().parse().unwrap();
    assert_eq!(data[wire::ERROR_DATA], "NONCE_REQUIRED");
    assert!(nonces.holds(data[wire::NONCE].as_str().unwrap(), NOW));
}

#[test]
fn a_handler_that_is_entered_anew_finds_who_signed() {
    let world = World::new();
    let statement = world.with(|_| ());
    let replay = MemoryReplayStore::new(8);
    let at = |now| Check::new(&replay, now);
    block_on(at(NOW).call(&statement, &world.call())).unwrap();
    let later = NOW.plus(600);
    let answered = world.call().inputs(None, Some("state"));
    assert!(block_on(at(later).call(&statement, &answered)).is_err());
    let again = block_on(at(later).again(&statement, &answered)).unwrap();
    assert_eq!(again.key, world.key.id());
    let other = world.call().arguments(Some("{}"));
    assert!(block_on(at(later).again(&statement, &other)).is_err(), "never with other arguments");
}

#[test]
fn a_statement_for_a_token_counts_with_that_token() {
    let world = World::new();
    let token = TokenBinding::new("secret", None);
    let statement = world.call().token(Some(&token)).sign(&world.key, NOW).unwrap();
    let with = |token: Option<&str>| {
        let mut extensions = Extensions::new();
        if let Some(token) = token {
            extensions.insert(TokenBinding::new(token, None));
        }
        let replay = MemoryReplayStore::new(8);
        let check = Check::new(&replay, NOW).extensions(&extensions);
        block_on(check.call(&statement, &world.call())).is_ok()
    };
    assert!(with(Some("secret")));
    assert!(!with(Some("stolen")) && !with(None));
    assert!(!format!("{token:?}").contains(&token.hash));
}

/// Otherwise a statement goes along with whichever token its thief has.
#[test]
fn beside_a_verified_token_a_statement_names_it() {
    let world = World::new();
    let statement = world.call().sign(&world.key, NOW).unwrap();
    let with = |token: Option<&str>, unbound: bool| {
        let mut extensions = Extensions::new();
        if let Some(token) = token {
            extensions.insert(TokenBinding::new(token, None));
        }
        let replay = MemoryReplayStore::new(8);
        let check = Check::new(&replay, NOW).extensions(&extensions).unbound(unbound);
        block_on(check.call(&statement, &world.call())).map_err(|refusal| refusal.code())
    };
    assert!(with(None, false).is_ok(), "no token goes along");
    assert_eq!(with(Some("a token"), false), Err("SIGNATURE_INVALID"));
    assert!(with(Some("a token"), true).is_ok());

    // A server that does not demand it takes no statement for another token either.
    let named = |named: Option<&str>| {
        let mut extensions = Extensions::new();
        extensions.insert(TokenBinding::new("a token", None).optional());
        let named = named.map(|token| TokenBinding::new(token, None));
        let statement = world.call().token(named.as_ref()).sign(&world.key, NOW).unwrap();
        let replay = MemoryReplayStore::new(8);
        let check = Check::new(&replay, NOW).extensions(&extensions);
        block_on(check.call(&statement, &world.call())).is_ok()
    };
    assert!(named(None) && named(Some("a token")) && !named(Some("a thief's")));
}
