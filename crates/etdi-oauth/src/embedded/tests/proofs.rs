//! Proofs of possession (RFC 9449): tokens for who holds a key.

use std::sync::Arc;

use etdi_core::key::{Algorithm, SigningKey};
use http::StatusCode;
use serde_json::{Value, json};

use super::world::*;
use crate::embedded::MemoryStore;
use crate::embedded::seal::sha256;

/// A client's key, and the nonce that it was last given.
struct Holder {
    key: SigningKey,
    nonce: String,
}

impl Holder {
    /// Asks once in vain, as every client does.
    async fn new(world: &World) -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let mut holder = Self { key, nonce: String::new() };
        let said = world.post("/token", &[("dpop", &holder.proof(world, "0"))], &machine()).await;
        assert_eq!(said.error().0, "use_dpop_nonce");
        holder.nonce = said.header("dpop-nonce").to_owned();
        holder
    }

    fn header(&self) -> Value {
        let jwk: Value = serde_json::from_str(&self.key.verifying_key().to_jwk()).unwrap();
        json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": jwk })
    }

    fn claims(&self, world: &World, jti: &str) -> Value {
        json!({ "jti": jti, "htm": "POST", "htu": "https://auth.example/token",
            "iat": world.now(), "nonce": self.nonce })
    }

    fn proof(&self, world: &World, jti: &str) -> String {
        sign(&self.key, &self.header(), &self.claims(world, jti))
    }
}

fn machine() -> Vec<(&'static str, &'static str)> {
    vec![
        ("grant_type", "client_credentials"),
        ("client_id", "machine"),
        ("client_secret", SECRET),
        ("resource", RESOURCE),
    ]
}

#[tokio::test]
async fn a_token_is_bound_to_the_key_that_asked() {
    let world = World::new().await;
    let holder = Holder::new(&world).await;
    let said = world.post("/token", &[("dpop", &holder.proof(&world, "1"))], &machine()).await;
    assert_eq!(said.get("token_type"), "DPoP");
    assert!(!said.header("dpop-nonce").is_empty(), "the next one");
    let told = world.introspect(&said.get("access_token")).await;
    assert_eq!(told["cnf"]["jkt"], holder.key.id().to_string());
    assert_eq!(told["token_type"], "DPoP");
}

#[tokio::test]
async fn proofs_that_do_not_hold() {
    let world = World::new().await;
    let holder = Holder::new(&world).await;
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let mut number = 0;
    let mut claims = |name: &str, value: Value| {
        number += 1;
        let mut claims = holder.claims(&world, &format!("n{number}"));
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    };
    let now = world.now();
    for (name, value, code, part) in [
        ("htm", json!("GET"), "invalid_dpop_proof", "htm"),
        ("htm", Value::Null, "invalid_dpop_proof", "htm"),
        ("htu", json!("https://auth.example/authorize"), "invalid_dpop_proof", "htu"),
        ("htu", json!("https://evil.example/token"), "invalid_dpop_proof", "htu"),
        ("htu", json!("http://auth.example/token"), "invalid_dpop_proof", "htu"),
        ("htu", Value::Null, "invalid_dpop_proof", "htu"),
        ("iat", json!(now - 61), "invalid_dpop_proof", "too old"),
        ("iat", json!(now + 61), "invalid_dpop_proof", "future"),
        ("iat", json!("now"), "invalid_dpop_proof", "no number"),
        ("iat", Value::Null, "invalid_dpop_proof", "no `iat`"),
        ("exp", json!(now), "invalid_dpop_proof", "count now"),
        ("jti", Value::Null, "invalid_dpop_proof", "no `jti`"),
        ("nonce", Value::Null, "use_dpop_nonce", "DPoP-Nonce"),
        ("nonce", json!("x"), "use_dpop_nonce", "DPoP-Nonce"),
        ("nonce", json!(format!("{now}.{}", sha256("x"))), "use_dpop_nonce", "DPoP-Nonce"),
    ] {
        let proof = sign(&holder.key, &holder.header(), &claims(name, value.clone()));
        let error = world.post("/token", &[("dpop", &proof)], &machine()).await.error();
        assert_eq!(error.0, code, "{name} {value}");
        assert!(error.1.contains(part), "{name} {value}: {error:?}");
    }
    let with = |name: &str, value: Value| {
        let mut header = holder.header();
        header[name] = value;
        header
    };
    let private = json!({ "kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "d" });
    for (header, key, part) in [
        (with("typ", json!("JWT")), &holder.key, "typ"),
        (with("alg", json!("none")), &holder.key, "algorithm"),
        (with("alg", json!("HS256")), &holder.key, "algorithm"),
        (with("alg", json!("EdDSA")), &holder.key, "signature"),
        (with("jwk", private), &holder.key, "no public key"),
        (with("jwk", json!({ "kty": "oct", "k": "AA" })), &holder.key, "no public key"),
        (json!({ "typ": "dpop+jwt", "alg": "ES256" }), &holder.key, "no `jwk`"),
        (holder.header(), &stranger, "signature"),
    ] {
        let proof = sign(key, &header, &claims("x", json!(1)));
        let error = world.post("/token", &[("dpop", &proof)], &machine()).await.error();
        assert_eq!(error.0, "invalid_dpop_proof", "{header}");
        assert!(error.1.contains(part), "{header}: {error:?}");
    }
    let (one, two) = (holder.proof(&world, "a"), holder.proof(&world, "b"));
    let said = world.post("/token", &[("dpop", &one), ("dpop", &two)], &machine()).await;
    assert!(said.error().1.contains("two"));
    assert!(world.post("/token", &[("dpop", &one)], &machine()).await.status.is_success());
}

#[tokio::test]
async fn a_proof_counts_once() {
    let world = World::new().await;
    let holder = Holder::new(&world).await;
    let proof = holder.proof(&world, "1");
    assert!(world.post("/token", &[("dpop", &proof)], &machine()).await.status.is_success());
    let error = world.post("/token", &[("dpop", &proof)], &machine()).await.error();
    assert!(error.0 == "invalid_dpop_proof" && error.1.contains("used before"), "{error:?}");
    // As long as it would count.
    world.wait(60);
    let error = world.post("/token", &[("dpop", &proof)], &machine()).await.error();
    assert!(error.1.contains("used before"), "{error:?}");
}

#[tokio::test]
async fn a_nonce_grows_stale() {
    let world = World::new().await;
    let holder = Holder::new(&world).await;
    world.wait(300);
    let proof = holder.proof(&world, "1");
    assert!(world.post("/token", &[("dpop", &proof)], &machine()).await.status.is_success());
    world.wait(1);
    let said = world.post("/token", &[("dpop", &holder.proof(&world, "2"))], &machine()).await;
    assert_eq!(said.error().0, "use_dpop_nonce");
    assert!(said.header("dpop-nonce") != holder.nonce);
}

#[tokio::test]
async fn a_refresh_token_is_bound_too() {
    let world = World::new().await;
    let (holder, thief) = (Holder::new(&world).await, Holder::new(&world).await);
    let code = world.code("app").await;
    let form = redeeming("app", &code);
    let said = world.post("/token", &[("dpop", &holder.proof(&world, "1"))], &form).await;
    let refresh = said.get("refresh_token");
    let form =
        [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*refresh)];
    let said = world.token(&form).await;
    assert!(said.error().1.contains("required"));
    let said = world.post("/token", &[("dpop", &thief.proof(&world, "1"))], &form).await;
    assert!(said.error().1.contains("another key"));
    let said = world.post("/token", &[("dpop", &holder.proof(&world, "2"))], &form).await;
    assert_eq!(said.get("token_type"), "DPoP");
}

#[tokio::test]
async fn a_code_is_bound_to_the_key_that_asked_for_it() {
    let world = World::new().await;
    let (holder, thief) = (Holder::new(&world).await, Holder::new(&world).await);
    let (challenge, key) = (sha256(VERIFIER), holder.key.id().to_string());
    let asking = world.asking("app", &challenge);
    let asking = but(&asking, "dpop_jkt", &key);
    let code = world.answer(&asking, "allow").await.sent_with("code");
    let form = redeeming("app", &code);
    assert!(world.token(&form).await.error().1.contains("required"));
    let said = world.post("/token", &[("dpop", &thief.proof(&world, "1"))], &form).await;
    assert!(said.error().1.contains("another key"));
    let said = world.post("/token", &[("dpop", &holder.proof(&world, "1"))], &form).await;
    assert_eq!(said.status, StatusCode::OK);
}

#[tokio::test]
async fn a_server_may_want_a_proof_of_all() {
    let world = World::with(Arc::new(MemoryStore::new()), |settings| {
        settings.dpop_required = true;
    })
    .await;
    let error = world.token(&machine()).await.error();
    assert!(error.0 == "invalid_dpop_proof" && error.1.contains("required"), "{error:?}");
}
