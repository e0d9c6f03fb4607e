//! Each claim of a call, changed one at a time.

use super::*;
use crate::key::{Algorithm, SigningKey};

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
        check(statement, &self.call(), known, &replay, NOW).map_err(|refusal| refusal.code())
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
        ("jti", json!(""), "REPLAYED"),
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
        check(&statement, &call, None, &MemoryReplayStore::new(1), NOW).is_ok()
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
        let checked = check(&statement, &call, None, &MemoryReplayStore::new(1), NOW);
        assert_eq!(checked.is_ok(), holds, "{responses:?} {state:?}");
    }
}
