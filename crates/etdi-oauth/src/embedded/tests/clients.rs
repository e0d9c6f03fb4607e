//! Clients: who prove who they are, who register themselves, who are a document.

use std::sync::Arc;

use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use http::StatusCode;
use serde_json::{Value, json};

use super::world::*;
use crate::FetchResponse;
use crate::embedded::seal::{encode, sha256};
use crate::embedded::{Kind, MemoryStore, Store};

#[tokio::test]
async fn secrets_that_are_wrong_missing_or_shown_twice() {
    let world = World::new().await;
    let form = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
    let good = basic("machine", SECRET);
    assert!(world.post("/token", &[("authorization", &good)], &form).await.status.is_success());
    let wrong = basic("machine", "wrong horse battery");
    let said = world.post("/token", &[("authorization", &wrong)], &form).await;
    assert_eq!((said.status, said.error().0), (StatusCode::UNAUTHORIZED, "invalid_client".into()));
    assert!(said.error().1.contains("secret is wrong"));
    assert!(said.header("www-authenticate").starts_with("Basic"));
    let unknown = basic("nobody", SECRET);
    let said = world.post("/token", &[("authorization", &unknown)], &form).await;
    assert!(said.error().1.contains("unknown"));
    let mut both = form.to_vec();
    both.push(("client_secret", SECRET));
    let said = world.post("/token", &[("authorization", &good)], &both).await;
    assert_eq!(said.error().0, "invalid_request");
    let other = [form[0], form[1], ("client_id", "web")];
    let said = world.post("/token", &[("authorization", &good)], &other).await;
    assert_eq!(said.error().0, "invalid_request", "two names");
    let none = [form[0], form[1], ("client_id", "machine")];
    let said = world.token(&none).await;
    assert!(said.error().1.contains("client_secret_basic"));
    for broken in ["Basic !", "Basic bWFjaGluZQ==", "Bearer x", "Basic"] {
        let said = world.post("/token", &[("authorization", broken)], &form).await;
        assert_eq!(said.error().0, "invalid_client", "{broken}");
    }
    // A code that came to a client with a secret is not redeemed without it.
    let code = world.code("web").await;
    assert!(world.redeem("web", &code).await.error().1.contains("client_secret_basic"));
    // And one that has no secret cannot be given one.
    let code = world.code("app").await;
    let mut form = redeeming("app", &code);
    form.push(("client_secret", SECRET));
    assert!(world.token(&form).await.error().1.contains("`none`"));
}

#[tokio::test]
async fn assertions_that_do_not_hold() {
    let world = World::new().await;
    let header = json!({ "alg": "ES256" });
    let good = || world.assertion("signer", "good");
    let said = world.asserted(&sign(&world.signer, &header, &good())).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    let said = world.asserted(&sign(&world.signer, &header, &good())).await;
    assert!(said.error().1.contains("used before"), "the same `jti`");

    let mut number = 0;
    let mut changed = |name: &str, value: Value| {
        number += 1;
        let mut claims = world.assertion("signer", &format!("n{number}"));
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        claims
    };
    let now = world.now();
    for (claims, part) in [
        (changed("exp", json!(now)), "expired"),
        (changed("exp", json!(now - 3_600)), "expired"),
        (changed("exp", json!(now + 3_600)), "lasts longer"),
        (changed("exp", json!((now + 60).to_string())), "no number"),
        (changed("exp", json!(-5)), "no number"),
        (changed("exp", Value::Null), "no `exp`"),
        (changed("nbf", json!(now + 300)), "future"),
        (changed("iat", json!(now + 300)), "future"),
        (changed("nbf", json!("soon")), "no number"),
        (changed("jti", Value::Null), "no `jti`"),
        (changed("jti", json!("")), "no `jti`"),
        (changed("jti", json!(7)), "no `jti`"),
        (changed("iss", json!("web")), "`iss` and `sub`"),
        (changed("iss", Value::Null), "`iss` and `sub`"),
        (changed("aud", json!("https://evil.example")), "not this server"),
        (changed("aud", json!([ISSUER, "https://evil.example"])), "this server alone"),
        (changed("aud", Value::Null), "this server alone"),
        (changed("aud", json!("https://auth.example/")), "not this server"),
    ] {
        let said = world.asserted(&sign(&world.signer, &header, &claims)).await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{claims}");
        assert!(said.error().1.contains(part), "{claims}: {:?}", said.error());
    }
    let said =
        world.asserted(&sign(&world.signer, &header, &changed("aud", json!([ISSUER])))).await;
    assert_eq!(said.status, StatusCode::OK, "a list of one is one");
    let token = changed("aud", json!("https://auth.example/token"));
    assert!(world.asserted(&sign(&world.signer, &header, &token)).await.status.is_success());
}

/// What is remembered of assertions shares its room with proofs and revocations.
#[tokio::test]
async fn a_stranger_with_a_key_does_not_fill_the_memory_of_what_was_used() {
    let world = World::new().await;
    let jwks = format!(r#"{{"keys":[{}]}}"#, world.signer.verifying_key().to_jwk());
    let jwks: Value = serde_json::from_str(&jwks).unwrap();
    let said = json!({ "redirect_uris": [BACK], "jwks": jwks,
        "token_endpoint_auth_method": "private_key_jwt" });
    let stranger = world.register(said).await.get("client_id");
    let ask = async |client: &str, number: usize| {
        let claims = world.assertion(client, &format!("flood {number}"));
        let jwt = sign(&world.signer, &json!({ "alg": "ES256" }), &claims);
        world.asserted(&jwt).await
    };
    for number in 0..1_200 {
        assert_eq!(ask(&stranger, number).await.error().0, "unauthorized_client", "{number}");
    }
    let said = ask(&stranger, 1_200).await;
    assert_eq!(said.status, StatusCode::TOO_MANY_REQUESTS, "{}", said.text);
    assert_eq!(ask("signer", 0).await.status, StatusCode::OK, "the operator's own are not counted");
    // Eleven minutes of that, the longest that one lasts, leave half of the room.
    assert!(12 * 1_200 < Kind::Used.most() / 2);
}

/// `none`, HMAC with the public key, another key, headers that bring one.
#[tokio::test]
async fn the_algorithm_and_the_key_are_the_clients() {
    let world = World::new().await;
    let mut number = 0;
    let mut claims = || {
        number += 1;
        world.assertion("signer", &format!("a{number}"))
    };
    let stranger = SigningKey::generate(Algorithm::Es256).unwrap();
    let edwards = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let own = world.signer.id().to_string();
    let jwk: Value = serde_json::from_str(&stranger.verifying_key().to_jwk()).unwrap();
    for (header, key, part) in [
        (json!({ "alg": "none" }), &world.signer, "algorithm"),
        (json!({ "alg": "HS256" }), &world.signer, "algorithm"),
        (json!({ "alg": "es256" }), &world.signer, "algorithm"),
        (json!({ "alg": "RS256" }), &world.signer, "signature"),
        (json!({ "alg": "EdDSA" }), &world.signer, "signature"),
        (json!({ "alg": "EdDSA", "kid": own }), &edwards, "signature"),
        (json!({ "alg": "ES256" }), &stranger, "signature"),
        (json!({ "alg": "ES256", "kid": own }), &stranger, "signature"),
        (json!({ "alg": "ES256", "kid": stranger.id().to_string() }), &stranger, "no such key"),
        (json!({ "alg": "ES256", "kid": "../../dev/null" }), &stranger, "no such key"),
        (json!({ "alg": "ES256", "jwk": jwk }), &stranger, "signature"),
        (json!({ "alg": "ES256", "jku": "https://evil.example" }), &stranger, "says where its key"),
        (json!({ "alg": "ES256", "x5u": "https://evil.example" }), &stranger, "says where its key"),
        (json!({ "alg": "ES256", "x5c": [] }), &stranger, "says where its key"),
        (json!({ "alg": "ES256", "crit": ["exp"] }), &world.signer, "crit"),
        (json!({ "alg": "ES256", "typ": "at+jwt" }), &world.signer, "typ"),
        (json!({ "alg": "ES256", "typ": "dpop+jwt" }), &world.signer, "typ"),
        (json!({ "alg": "ES256", "typ": 5 }), &world.signer, "typ"),
    ] {
        let said = world.asserted(&sign(key, &header, &claims())).await;
        assert_eq!(said.status, StatusCode::UNAUTHORIZED, "{header}");
        assert!(said.error().1.contains(part), "{header}: {:?}", said.error());
    }
    let part = |value: &Value| encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&json!({ "alg": "ES256" })), part(&claims()));
    for (signature, told) in [("", "signature"), (&encode(&[0; 64]), "signature"), ("*", "base64")]
    {
        let said = world.asserted(&format!("{signed}.{signature}")).await;
        assert!(said.error().1.contains(told), "{:?}", said.error());
    }
    let typed = json!({ "alg": "ES256", "typ": "JWT", "kid": own });
    assert!(world.asserted(&sign(&world.signer, &typed, &claims())).await.status.is_success());
}

#[tokio::test]
async fn a_client_registers_itself_and_a_user_lets_it() {
    let world = World::new().await;
    let said = world
        .register(json!({ "redirect_uris": [BACK], "client_name": "Notes", "scope": "read write",
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "application_type": "web" }))
        .await;
    assert_eq!(said.status, StatusCode::CREATED, "{}", said.text);
    assert_eq!(said.header("cache-control"), "no-store");
    let (id, secret) = (said.get("client_id"), said.get("client_secret"));
    assert_eq!(said.json()["client_secret_expires_at"], 0);
    assert_eq!(said.json()["grant_types"], json!(["authorization_code", "refresh_token"]));
    let code = world.code(&id).await;
    let basic = basic(&id, &secret);
    let said = world.post("/token", &[("authorization", &basic)], &redeeming(&id, &code)).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    // It acts for users alone, and is told of its own tokens alone.
    let form = [("grant_type", "client_credentials"), ("resource", RESOURCE)];
    let own = world.post("/token", &[("authorization", &basic)], &form).await;
    assert_eq!(own.error().0, "unauthorized_client");
    let (foreign, _) = world.tokens("app").await;
    for (token, active) in [(said.get("access_token"), true), (foreign, false)] {
        let form = [("token", &*token)];
        let told = world.post("/introspect", &[("authorization", &basic)], &form).await.json();
        assert_eq!(told["active"], active);
    }
    let public = [("client_id", "app"), ("token", "x")];
    assert_eq!(world.post("/introspect", &[], &public).await.status, StatusCode::FORBIDDEN);
    // And takes back nobody else's.
    let (foreign, _) = world.tokens("app").await;
    let form = [("token", &*foreign)];
    let said = world.post("/revoke", &[("authorization", &basic)], &form).await;
    assert!(said.error().1.contains("another client"));
    assert!(world.is_active(&foreign).await);
}

#[tokio::test]
async fn registrations_that_cannot_be() {
    let world = World::new().await;
    for (metadata, code) in [
        (json!({}), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["http://app.example/"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": ["javascript:alert(1)"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [BACK, "https://a.example/#x"] }), "invalid_redirect_uri"),
        (json!({ "redirect_uris": [5] }), "invalid_client_metadata"),
        (json!({ "redirect_uris": vec![BACK; 17] }), "invalid_client_metadata"),
        (json!({ "grant_types": ["client_credentials"] }), "invalid_client_metadata"),
        (json!({ "grant_types": ["implicit"] }), "invalid_client_metadata"),
        (json!({ "response_types": ["token"] }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "tls_client_auth" }), "invalid_client_metadata"),
        (json!({ "token_endpoint_auth_method": "private_key_jwt" }), "invalid_client_metadata"),
        (json!({ "client_name": "x".repeat(201) }), "invalid_client_metadata"),
        (json!({ "client_name": "a\nb" }), "invalid_client_metadata"),
        (json!({ "scope": "root" }), "invalid_client_metadata"),
        (json!({ "application_type": "other" }), "invalid_client_metadata"),
        (json!({ "dpop_bound_access_tokens": "yes" }), "invalid_client_metadata"),
    ] {
        let mut metadata = metadata;
        let object = metadata.as_object_mut().unwrap();
        if !object.contains_key("redirect_uris") && code != "invalid_redirect_uri" {
            object.insert("redirect_uris".to_owned(), json!([BACK]));
        }
        let said = world.register(metadata.clone()).await;
        assert_eq!(
            (said.status, said.error().0),
            (StatusCode::BAD_REQUEST, code.into()),
            "{metadata}"
        );
    }
    for body in ["", "[]", "{", r#"{"redirect_uris":["https://a.example/"],"redirect_uris":[]}"#] {
        let json = [("content-type", "application/json")];
        let said = world.ask("POST", "/register", &json, body).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{body}");
    }
    let form = world.post("/register", &[], &[("redirect_uris", BACK)]).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn a_flood_of_registrations_is_slowed_and_goes_away() {
    let store = Arc::new(MemoryStore::new());
    let world = World::with(store.clone(), |_| ()).await;
    let registration = json!({ "redirect_uris": [BACK] });
    let mut refused = None;
    for _ in 0..11 {
        let said = world.register(registration.clone()).await;
        if said.status != StatusCode::CREATED {
            refused = Some(said);
        }
    }
    let refused = refused.expect("the eleventh of a minute");
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(
        (refused.error().0, refused.header("retry-after")),
        ("temporarily_unavailable".into(), "60")
    );
    world.wait(60);
    assert_eq!(world.register(registration).await.status, StatusCode::CREATED);
    let kept = |now| store.list(Kind::Client, UnixTime(now));
    assert_eq!(kept(world.now()).await.unwrap().len(), 11);
    assert_eq!(
        kept(world.now() + 3_600).await.unwrap().len(),
        0,
        "none of them was let do a thing"
    );
    // At this pace there is always room.
    let hour = 60 * 10 + 10;
    assert!(hour < Kind::Client.most());
}

#[tokio::test]
async fn a_registration_that_is_used_stays() {
    let world = World::new().await;
    let metadata = json!({ "redirect_uris": [BACK], "token_endpoint_auth_method": "none" });
    let (used, unused) = (world.register(metadata.clone()).await, world.register(metadata).await);
    let (used, unused) = (used.get("client_id"), unused.get("client_id"));
    let code = world.code(&used).await;
    assert_eq!(world.redeem(&used, &code).await.status, StatusCode::OK);
    world.wait(86_400);
    let challenge = sha256(VERIFIER);
    for (id, status) in [(&used, StatusCode::OK), (&unused, StatusCode::BAD_REQUEST)] {
        assert_eq!(world.page(&world.asking(id, &challenge)).await.status, status);
    }
}

const DOCUMENT: &str = "https://notes.example/client.json";

fn document() -> Value {
    json!({ "client_id": DOCUMENT, "client_name": "Notes", "redirect_uris": [BACK],
        "grant_types": ["authorization_code", "refresh_token"] })
}

#[tokio::test]
async fn a_client_is_known_by_its_document() {
    let world = World::new().await;
    world.fetch.text(DOCUMENT, document().to_string());
    let code = world.code(DOCUMENT).await;
    assert_eq!(world.redeem(DOCUMENT, &code).await.status, StatusCode::OK);
    assert_eq!(world.fetch.asked(), [DOCUMENT], "fetched once");
    assert_eq!(world.fetch.last().most_bytes, 5 << 10);
    let challenge = sha256(VERIFIER);
    let page = world.page(&world.asking(DOCUMENT, &challenge)).await;
    assert!(page.text.contains(DOCUMENT) && page.text.contains("app.example"));
    world.wait(3_600);
    _ = world.page(&world.asking(DOCUMENT, &challenge)).await;
    assert_eq!(world.fetch.asked().len(), 2);
}

#[tokio::test]
async fn documents_that_say_something_else() {
    let challenge = sha256(VERIFIER);
    for (name, value, part) in [
        ("client_id", json!("https://other.example/client.json"), "is not its URL"),
        ("client_id", Value::Null, "is not its URL"),
        ("client_name", Value::Null, "client_name"),
        ("redirect_uris", Value::Null, "redirect_uris"),
        ("redirect_uris", json!(["http://notes.example/"]), "redirect_uris"),
        ("client_secret", json!("x"), "holds a secret"),
        ("token_endpoint_auth_method", json!("client_secret_post"), "token_endpoint_auth_method"),
        ("jwks_uri", json!("x"), ""),
    ] {
        let world = World::new().await;
        let mut document = document();
        match value {
            Value::Null => drop(document.as_object_mut().unwrap().remove(name)),
            value => document[name] = value,
        }
        world.fetch.text(DOCUMENT, document.to_string());
        let said = world.page(&world.asking(DOCUMENT, &challenge)).await;
        if part.is_empty() {
            assert_eq!(said.status, StatusCode::OK, "what is not used is not looked at");
            continue;
        }
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{document}");
        assert!(said.text.contains(part), "{}", said.text);
        assert!(said.headers.get("location").is_none());
    }
    let world = World::new().await;
    let mut html = FetchResponse::new(200, document().to_string().into_bytes());
    html.headers.push(("content-type".to_owned(), "text/html".to_owned()));
    world.fetch.says(DOCUMENT, html);
    assert!(
        world.page(&world.asking(DOCUMENT, &challenge)).await.text.contains("status 200 and JSON")
    );
    for id in [
        "https://notes.example",
        "https://notes.example/",
        "https://notes.example/a/../client.json",
        "https://notes.example/client.json#x",
        "https://a@notes.example/client.json",
        "https://NOTES.example/client.json",
    ] {
        let said = world.page(&world.asking(id, &challenge)).await;
        assert!(said.text.contains("plain spelling"), "{id}: {}", said.text);
    }
    world.fetch.forget();
    let said = world.page(&world.asking("http://notes.example/client.json", &challenge)).await;
    assert!(said.text.contains("unknown") && world.fetch.asked().is_empty());
}

/// Anybody can name a URL: what is asked of others by that is bounded.
#[tokio::test]
async fn a_flood_of_documents_is_not_passed_on() {
    let world = World::new().await;
    let challenge = sha256(VERIFIER);
    for number in 0..80 {
        let id = format!("https://victim.example/{number}");
        _ = world.page(&world.asking(&id, &challenge)).await;
    }
    assert_eq!(world.fetch.asked().len(), 60);
    let id = "https://victim.example/0";
    _ = world.page(&world.asking(id, &challenge)).await;
    assert_eq!(world.fetch.asked().len(), 60, "that it is none is kept for a while");
    let said = world.page(&world.asking("https://victim.example/new", &challenge)).await;
    assert_eq!(said.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.page(&world.asking("app", &challenge)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_document_names_where_its_keys_are() {
    let world = World::new().await;
    let mut told = document();
    told["token_endpoint_auth_method"] = json!("private_key_jwt");
    told["jwks_uri"] = json!("https://notes.example/jwks.json");
    world.fetch.text(DOCUMENT, told.to_string());
    let key = world.signer.verifying_key().to_jwk();
    world.fetch.text("https://notes.example/jwks.json", format!(r#"{{"keys":[{key}]}}"#));
    let code = world.code(DOCUMENT).await;
    assert!(world.redeem(DOCUMENT, &code).await.error().1.contains("private_key_jwt"));
    let header = json!({ "alg": "ES256", "kid": world.signer.id().to_string() });
    let jwt = sign(&world.signer, &header, &world.assertion(DOCUMENT, "1"));
    let mut form = redeeming(DOCUMENT, &code);
    form.push(("client_assertion", &jwt));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    form.push(("client_assertion_type", kind));
    let said = world.token(&form).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
}
