//! What is sent to a token endpoint, and which answers are tokens.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi_core::key::{Algorithm, SigningKey};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::*;
use crate::flow::{ClientAuthentication, Exchange, TokenType};
use crate::scripted::Scripted;

const ISSUER: &str = "https://auth.example";
const TOKEN: &str = "https://auth.example/token";
const MCP: &str = "https://mcp.example";
const NOW: u64 = 1_767_323_045;

fn server(methods: &[&str]) -> ServerMetadata {
    ServerMetadata {
        issuer: ISSUER.to_owned(),
        token_endpoint: Some(TOKEN.to_owned()),
        revocation_endpoint: Some("https://auth.example/revoke".to_owned()),
        token_endpoint_auth_methods_supported: Some(
            methods.iter().map(|one| (*one).to_owned()).collect(),
        ),
        ..ServerMetadata::default()
    }
}

struct World {
    fetch: Arc<Scripted>,
    endpoint: TokenEndpoint,
}

fn world(authentication: ClientAuthentication, methods: &[&str]) -> World {
    let fetch = Arc::new(Scripted::default());
    fetch.text(TOKEN, r#"{"access_token":"t","token_type":"bearer","expires_in":60}"#);
    let client = RegisteredClient::new(ISSUER, "us:and us", authentication);
    let endpoint = TokenEndpoint::new(fetch.clone(), server(methods), client).unwrap();
    let endpoint = endpoint.clock(Clock::new(|| UnixTime(NOW)));
    World { fetch, endpoint }
}

fn public() -> World {
    world(ClientAuthentication::None, &["none"])
}

impl World {
    fn sent(&self) -> (BTreeMap<String, String>, Option<String>) {
        let request = self.fetch.last();
        let form: Vec<(String, String)> =
            form_urlencoded::parse(&request.body).into_owned().collect();
        let count = form.len();
        let form: BTreeMap<_, _> = form.into_iter().collect();
        assert_eq!(form.len(), count, "nothing is said twice");
        let header = request.headers.iter().find(|(name, _)| name == "authorization");
        (form, header.map(|(_, value)| value.clone()))
    }
}

#[tokio::test]
async fn a_client_shows_who_it_is_as_the_server_wants_it() {
    let secret = || ClientAuthentication::Secret(SecretText::new("a+b%ü"));
    let basic = world(secret(), &["client_secret_post", "client_secret_basic"]);
    basic.endpoint.client_credentials(MCP, &["a".into(), "b".into()]).await.unwrap();
    let (form, header) = basic.sent();
    let expected = format!("Basic {}", STANDARD.encode("us%3Aand+us:a%2Bb%25%C3%BC"));
    assert_eq!(header, Some(expected));
    assert!(!form.contains_key("client_id") && !form.contains_key("client_secret"));
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!((&*form["resource"], &*form["scope"]), (MCP, "a b"));

    let post = world(secret(), &["client_secret_post"]);
    post.endpoint.client_credentials(MCP, &[]).await.unwrap();
    let (form, header) = post.sent();
    assert_eq!(
        (header, &*form["client_secret"], &*form["client_id"]),
        (None, "a+b%ü", "us:and us")
    );
    assert!(!form.contains_key("scope"));

    let neither = world(secret(), &["private_key_jwt"]);
    let error = neither.endpoint.client_credentials(MCP, &[]).await.unwrap_err();
    assert!(matches!(error, OAuthError::NotOffered { .. }));
    assert!(neither.fetch.asked().is_empty(), "the secret stayed here");
}

#[tokio::test]
async fn an_assertion_is_for_this_issuer_and_for_a_minute() {
    let key = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
    let (key_id, certificate) = (Some("k1".to_owned()), Some("abc".to_owned()));
    let proof = ClientAuthentication::PrivateKey { key: key.clone(), key_id, certificate };
    let world = world(proof, &["private_key_jwt"]);
    let mut seen = Vec::new();
    for _ in 0..2 {
        world.endpoint.client_credentials(MCP, &[]).await.unwrap();
        let (form, header) = world.sent();
        assert!(header.is_none() && !form.contains_key("client_id"));
        let (signed, signature) = form["client_assertion"].rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        assert!(key.verifying_key().verify(signed.as_bytes(), &signature));
        let part = |at: usize| -> Value {
            let part = signed.split('.').nth(at).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        let (header, claims) = (part(0), part(1));
        let expected = json!({"alg": "ES256", "kid": "k1", "typ": "JWT", "x5t#S256": "abc"});
        assert_eq!(header, expected);
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!("us:and us"), &json!("us:and us")));
        assert_eq!((&claims["aud"], &claims["iat"]), (&json!(ISSUER), &json!(NOW)));
        assert_eq!(claims["exp"], NOW + 60);
        seen.push(claims["jti"].clone());
    }
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn credentials_are_for_their_issuer_alone() {
    let fetch = Arc::new(Scripted::default());
    for issuer in ["https://evil.example", "https://auth.example/", "https://AUTH.example"] {
        let client = RegisteredClient::with_secret(issuer, "us", "s");
        let made = TokenEndpoint::new(fetch.clone(), server(&[]), client);
        assert!(matches!(made, Err(OAuthError::RegisteredElsewhere { .. })), "{issuer}");
    }
}

#[tokio::test]
async fn which_answers_are_tokens() {
    for (answer, fine) in [
        (json!({"access_token": "t", "token_type": "Bearer"}), true),
        (json!({"access_token": "t", "token_type": "BEARER", "expires_in": "3600"}), true),
        (json!({"access_token": "t", "token_type": "bearer", "expires_in": null}), true),
        (json!({"access_token": "t", "token_type": "bearer", "expires_in": "soon"}), false),
        (json!({"access_token": "t"}), false),
        (json!({"token_type": "bearer"}), false),
        (json!({"access_token": "", "token_type": "bearer"}), false),
        (json!({"access_token": "a\r\nx-evil: 1", "token_type": "bearer"}), false),
        (json!({"access_token": "a b", "token_type": "bearer"}), false),
        (json!({"access_token": ["t"], "token_type": "bearer"}), false),
        (json!({"access_token": "t", "token_type": "mac"}), false),
        (json!({"access_token": "t", "token_type": "N_A"}), false),
        (json!({"access_token": "t", "token_type": "DPoP"}), false),
        (json!([]), false),
    ] {
        let world = public();
        world.fetch.text(TOKEN, answer.to_string());
        let tokens = world.endpoint.client_credentials(MCP, &[]).await;
        assert_eq!(tokens.is_ok(), fine, "{answer}: {tokens:?}");
    }
    let world = public();
    world.fetch.text(TOKEN, r#"{"access_token":"a","access_token":"b","token_type":"bearer"}"#);
    assert!(world.endpoint.client_credentials(MCP, &[]).await.is_err(), "two readers, two tokens");
}

#[tokio::test]
async fn a_token_holds_until_shortly_before_its_end() {
    let tokens = public().endpoint.client_credentials(MCP, &["a".into()]).await.unwrap();
    assert_eq!(tokens.expires, Some(UnixTime(NOW + 60)));
    assert_eq!(tokens.scopes, ["a"], "those that were asked for");
    assert!(tokens.holds(UnixTime(NOW + 44)) && !tokens.holds(UnixTime(NOW + 45)));
    let world = public();
    let answer = r#"{"access_token":"t","token_type":"bearer","expires_in":1e300,"scope":"b c b"}"#;
    world.fetch.text(TOKEN, answer);
    let tokens = world.endpoint.client_credentials(MCP, &["a".into()]).await.unwrap();
    assert_eq!((tokens.scopes.len(), tokens.expires), (2, Some(UnixTime(NOW + MAX_LIFE))));
}

#[tokio::test]
async fn refusals_say_why_and_nothing_else() {
    let world = public();
    let refusal = json!({"error": "invalid_grant", "error_description": "no \u{1b}[2Jmore"});
    world.fetch.says(TOKEN, FetchResponse::new(400, refusal.to_string().into_bytes()));
    let token = SecretText::new("marked-refresh");
    let error = world.endpoint.refresh(&token, MCP, &[]).await.unwrap_err();
    let text = "`https://auth.example` gives no token: invalid_grant: no \\u{1b}[2Jmore";
    assert_eq!(error.to_string(), text);
    world.fetch.says(TOKEN, FetchResponse::new(502, b"<html>marked".to_vec()));
    let error = world.endpoint.refresh(&token, MCP, &[]).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("marked"), "{error:?}");
}

#[tokio::test]
async fn a_refresh_token_is_kept_where_no_new_one_comes() {
    let world = public();
    let old = SecretText::new("old");
    let kept = world.endpoint.refresh(&old, MCP, &["a".into()]).await.unwrap();
    let (form, _) = world.sent();
    assert_eq!((&*form["grant_type"], &*form["refresh_token"]), ("refresh_token", "old"));
    assert!(form["resource"] == MCP && !form.contains_key("scope"));
    assert_eq!(kept.refresh.unwrap().expose(), "old");
    let answer = r#"{"access_token":"t","token_type":"bearer","refresh_token":"new"}"#;
    world.fetch.text(TOKEN, answer);
    let rotated = world.endpoint.refresh(&old, MCP, &[]).await.unwrap();
    assert_eq!(rotated.refresh.unwrap().expose(), "new");
}

#[tokio::test]
async fn a_nonce_is_answered_once_with_a_fresh_proof() {
    let world = public();
    let key = Arc::new(DpopKey::generate().unwrap());
    let endpoint = world.endpoint.clone().dpop(key);
    let mut refusal = FetchResponse::new(400, br#"{"error":"use_dpop_nonce"}"#.to_vec());
    refusal.headers.push(("dpop-nonce".to_owned(), "n-1".to_owned()));
    world.fetch.says(TOKEN, refusal.clone());
    assert!(endpoint.client_credentials(MCP, &[]).await.is_err());
    assert_eq!(world.fetch.asked().len(), 2, "once more and not for ever");
    let proof = |request: &FetchRequest| -> Value {
        let header = request.headers.iter().find(|(name, _)| name == "dpop").unwrap();
        let claims = header.1.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
    };
    let claims = proof(&world.fetch.last());
    assert_eq!((&claims["nonce"], &claims["htu"]), (&json!("n-1"), &json!(TOKEN)));

    // Without a nonce there is nothing to try again.
    world.fetch.forget();
    refusal.headers.clear();
    world.fetch.says(TOKEN, refusal);
    assert!(endpoint.client_credentials(MCP, &[]).await.is_err());
    assert_eq!(world.fetch.asked().len(), 1);
    world.fetch.text(TOKEN, r#"{"access_token":"t","token_type":"DPoP"}"#);
    let tokens = endpoint.client_credentials(MCP, &[]).await.unwrap();
    assert_eq!(tokens.scheme, TokenScheme::DPoP);
}

#[tokio::test]
async fn one_token_for_another() {
    let world = public();
    let mut exchange = Exchange::new("subject", TokenType::AccessToken, MCP);
    exchange.actor = Some((SecretText::new("actor"), TokenType::Jwt));
    world.endpoint.exchange(&exchange).await.unwrap();
    let (form, _) = world.sent();
    for (name, value) in [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("subject_token", "subject"),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("actor_token", "actor"),
        ("actor_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("resource", MCP),
    ] {
        assert_eq!(form[name], value);
    }
}

/// An identity provider that gives an access token must not have it sent on as an assertion.
#[tokio::test]
async fn an_identity_assertion_is_nothing_else() {
    let jag = "urn:ietf:params:oauth:token-type:id-jag";
    let access = "urn:ietf:params:oauth:token-type:access_token";
    for (kind, token_type, fine) in
        [(jag, "N_A", true), (jag, "Bearer", false), (access, "N_A", false), ("", "N_A", false)]
    {
        let world = public();
        let answer =
            json!({"access_token": "t", "issued_token_type": kind, "token_type": token_type});
        world.fetch.text(TOKEN, answer.to_string());
        let mut exchange = Exchange::new("id token", TokenType::IdToken, MCP);
        exchange.audience = Some("https://other.example".to_owned());
        let assertion = world.endpoint.identity_assertion(&exchange).await;
        assert_eq!(assertion.is_ok(), fine, "{kind} {token_type}");
        assert_eq!(world.sent().0["requested_token_type"], jag);
    }
}

#[tokio::test]
async fn tokens_are_taken_back() {
    let world = public();
    world.fetch.says("https://auth.example/revoke", FetchResponse::new(200, Vec::new()));
    assert_eq!(world.endpoint.revoke("t", "refresh_token").await, Ok(true));
    let (form, _) = world.sent();
    assert_eq!((&*form["token"], &*form["token_type_hint"]), ("t", "refresh_token"));
    let kind = br#"{"error":"unsupported_token_type"}"#.to_vec();
    world.fetch.says("https://auth.example/revoke", FetchResponse::new(400, kind));
    assert_eq!(world.endpoint.revoke("t", "access_token").await, Ok(false));
    world.fetch.says("https://auth.example/revoke", FetchResponse::new(503, Vec::new()));
    assert!(world.endpoint.revoke("t", "refresh_token").await.is_err());
}
