//! Tokens of a login, and those that are something else: each is refused with an error of its own.

use std::sync::Arc;

use etdi_core::key::SigningKey;
use serde_json::{Value, json};

use super::*;
use crate::scripted::Scripted;
use crate::{Issuer, JwtVerifier, VerifyToken};

const NOW: UnixTime = UnixTime(1_800_000_000);
const ISSUER: &str = "https://accounts.google.com";
const CLIENT: &str = "1234987819200.apps.googleusercontent.com";
const NONCE: &str = "0394852-3190485-2490358";

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

struct World {
    key: SigningKey,
    fetch: Arc<Scripted>,
}

impl World {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let fetch = Arc::new(Scripted::default());
        let place = "https://www.googleapis.com/oauth2/v3/certs";
        let metadata = json!({ "issuer": ISSUER, "jwks_uri": place });
        fetch.text(&format!("{ISSUER}/.well-known/openid-configuration"), metadata.to_string());
        let mut jwk: Value = serde_json::from_str(&key.verifying_key().to_jwk()).unwrap();
        jwk["kid"] = json!("k1");
        fetch.text(place, json!({ "keys": [jwk] }).to_string());
        Self { key, fetch }
    }

    fn verifier(&self) -> IdTokenVerifier {
        IdTokenVerifier::new(ISSUER, CLIENT, self.fetch.clone()).unwrap()
    }

    fn sign(&self, kind: Option<&str>, claims: &Value) -> String {
        let mut header = json!({ "alg": "ES256", "kid": "k1" });
        if let Some(kind) = kind {
            header["typ"] = json!(kind);
        }
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// As Google documents them: <https://developers.google.com/identity/openid-connect/openid-connect>.
fn claims() -> Value {
    json!({
        "iss": ISSUER, "azp": CLIENT, "aud": CLIENT, "sub": "10769150350006150715113082367",
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "hd": "example.com", "email": "jsmith@example.com",
        "email_verified": true, "iat": NOW.0 - 10, "exp": NOW.0 + 3_590, "nonce": NONCE,
    })
}

async fn refused(change: impl FnOnce(&mut Value)) -> TokenRefusal {
    let world = World::new();
    let mut claims = claims();
    change(&mut claims);
    let token = world.sign(Some("JWT"), &claims);
    world.verifier().verify(&token, Some(NONCE), None, NOW).await.unwrap_err()
}

#[tokio::test]
async fn the_token_of_a_login_says_who_it_was() {
    let world = World::new();
    let token = world.sign(Some("JWT"), &claims());
    let found = world.verifier().verify(&token, Some(NONCE), None, NOW).await.unwrap();
    assert_eq!((&*found.issuer, &*found.subject), (ISSUER, "10769150350006150715113082367"));
    assert_eq!(found.email.as_deref(), Some("jsmith@example.com"));
    assert_eq!(found.claims::<Value>().unwrap()["hd"], "example.com");
    assert!(!format!("{found:?}").contains("jsmith"));

    let mut other = claims();
    (other["iss"], other["email_verified"]) = (json!("accounts.google.com"), json!(false));
    let token = world.sign(None, &other);
    let verifier = world.verifier();
    let refused = verifier.verify(&token, Some(NONCE), None, NOW).await.unwrap_err();
    assert_eq!(refused, TokenRefusal::Issuer("accounts.google.com".to_owned()));
    let verifier = verifier.also_named("accounts.google.com");
    let found = verifier.verify(&token, Some(NONCE), None, NOW).await.unwrap();
    assert_eq!((&*found.issuer, found.email), (ISSUER, None), "an address that nobody checked");
}

#[tokio::test]
async fn what_is_changed_is_refused_for_that() {
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 19] = [
        ("ISSUER", |claims| claims["iss"] = json!("https://accounts.google.com.evil.example")),
        ("ISSUER", |claims| claims["iss"] = json!("https://accounts.google.com/")),
        ("MISSING", |claims| claims["iss"] = Value::Null),
        ("OTHER_CLIENT", |claims| claims["aud"] = json!("another-client")),
        ("OTHER_CLIENT", |claims| claims["aud"] = json!(["another-client"])),
        ("OTHER_CLIENT", |claims| claims["aud"] = json!([CLIENT, "another-client"])),
        ("MISTYPED", |claims| claims["aud"] = json!(7)),
        ("OTHER_CLIENT", |claims| claims["azp"] = json!("another-client")),
        ("EXPIRED", |claims| claims["exp"] = json!(NOW.0 - 61)),
        ("MISTYPED", |claims| claims["exp"] = json!((NOW.0 + 60).to_string())),
        ("NOT_YET", |claims| claims["nbf"] = json!(NOW.0 + 61)),
        ("ISSUED_LATER", |claims| claims["iat"] = json!(NOW.0 + 61)),
        ("NONCE", |claims| claims["nonce"] = json!("of-another-login")),
        ("MISTYPED", |claims| claims["nonce"] = json!(["0394852-3190485-2490358"])),
        ("MISTYPED", |claims| claims["sub"] = json!("")),
        ("MISTYPED", |claims| claims["sub"] = json!("x".repeat(256))),
        ("ACCESS_TOKEN", |claims| claims["scope"] = json!("openid")),
        ("ACCESS_TOKEN", |claims| claims["scp"] = json!(["openid"])),
        ("ACCESS_TOKEN", |claims| claims["client_id"] = json!(CLIENT)),
    ];
    for (code, change) in cases {
        let refusal = refused(|claims| {
            change(claims);
            if claims["iss"].is_null() {
                claims.as_object_mut().unwrap().remove("iss");
            }
        });
        let refusal = refusal.await;
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(!refusal.summary().is_empty());
    }
    for missing in ["aud", "exp", "iat", "nonce", "sub"] {
        let refusal = refused(|claims| _ = claims.as_object_mut().unwrap().remove(missing)).await;
        assert_eq!(refusal, TokenRefusal::Missing(missing));
    }
}

#[tokio::test]
async fn several_audiences_count_where_each_is_trusted() {
    let world = World::new();
    let mut both = claims();
    both["aud"] = json!([CLIENT, "our-api"]);
    let token = world.sign(None, &both);
    let verifier = world.verifier().trust_audience("our-api");
    assert!(verifier.verify(&token, Some(NONCE), None, NOW).await.is_ok());
    both.as_object_mut().unwrap().remove("azp");
    let refused = verifier.verify(&world.sign(None, &both), Some(NONCE), None, NOW).await;
    assert_eq!(refused.unwrap_err(), TokenRefusal::Missing("azp"));
}

#[tokio::test]
async fn the_access_token_that_came_with_it_is_the_one_it_names() {
    let world = World::new();
    // OpenID Connect Core, appendix A.3, has this pair.
    let access = AccessToken::new("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y".to_owned());
    let mut named = claims();
    named["at_hash"] = json!("77QmUPtjPfzWtF2AnpK9RQ");
    let (verifier, token) = (world.verifier(), world.sign(None, &named));
    assert!(verifier.verify(&token, Some(NONCE), Some(&access), NOW).await.is_ok());
    let other = AccessToken::new("an-injected-token".to_owned());
    let refused = verifier.verify(&token, Some(NONCE), Some(&other), NOW).await.unwrap_err();
    assert_eq!(refused, TokenRefusal::AccessTokenHash);
}

/// One key signs both kinds, and one registration may be client and API (Microsoft Entra ID).
#[tokio::test]
async fn a_token_is_of_one_kind() {
    let world = World::new();
    let api = JwtVerifier::new(Issuer::new(ISSUER, CLIENT), world.fetch.clone()).unwrap();
    let mut access = json!({
        "iss": ISSUER, "aud": CLIENT, "sub": "107", "azp": CLIENT, "jti": "1", "scp": "notes:read",
        "iat": NOW.0, "exp": NOW.0 + 60, "client_id": CLIENT,
    });
    let token = world.sign(Some("at+jwt"), &access);
    assert!(api.verify(&token, NOW).await.is_ok());
    let verifier = world.verifier();
    let refused = verifier.verify(&token, None, None, NOW).await.unwrap_err();
    assert_eq!(refused.code(), "TYPE");
    let refused = verifier.verify(&world.sign(None, &access), None, None, NOW).await.unwrap_err();
    assert_eq!(refused.code(), "ACCESS_TOKEN");
    for claim in ["scp", "client_id"] {
        access.as_object_mut().unwrap().remove(claim);
    }
    let refused = verifier.verify(&world.sign(None, &access), Some(NONCE), None, NOW).await;
    assert_eq!(refused.unwrap_err(), TokenRefusal::Missing("nonce"));

    let login = world.sign(Some("at+jwt"), &claims());
    assert_eq!(api.verify(&login, NOW).await.unwrap_err(), TokenRefusal::IdToken);
    assert_eq!(api.verify(&world.sign(None, &claims()), NOW).await.unwrap_err().code(), "TYPE");
}

#[tokio::test]
async fn signatures_are_the_issuers() {
    let (world, stranger) = (World::new(), World::new());
    let verifier = world.verifier();
    let verify = async |token: &str| verifier.verify(token, Some(NONCE), None, NOW).await;
    let forged = verify(&stranger.sign(None, &claims())).await.unwrap_err();
    assert_eq!(forged, TokenRefusal::Signature);
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&claims()));
    assert_eq!(verify(&unsigned).await.unwrap_err().code(), "ALGORITHM");
    let only = verifier.clone().only_algorithms([Algorithm::Rs256]);
    let token = world.sign(None, &claims());
    let refused = only.verify(&token, Some(NONCE), None, NOW).await.unwrap_err();
    assert_eq!(refused.code(), "ALGORITHM");
    assert!(IdTokenVerifier::new("http://accounts.google.com", CLIENT, world.fetch).is_err());
}
