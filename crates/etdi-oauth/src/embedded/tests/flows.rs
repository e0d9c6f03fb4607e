//! What works: codes, refresh tokens, clients in their own name, keys that change, a restart.

use std::sync::Arc;

use etdi_core::ijson::{Document, Limits};
use etdi_core::key::{AllowList, JwkSet};
use etdi_core::time::UnixTime;
use http::StatusCode;
use serde_json::{Value, json};

use super::world::*;
use crate::embedded::seal::{decode, sha256};
use crate::embedded::{
    AuthorizationRoutes, Client, Embedded, MemoryStore, Passwords, RedbStore, Settings,
    check_server,
};

fn claims(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| decode(part).unwrap());
    let mut part = || serde_json::from_slice(&parts.next().unwrap()).unwrap();
    (part(), part())
}

#[tokio::test]
async fn metadata_stands_at_every_form_of_its_path() {
    let world = World::new().await;
    for path in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        let said = world.get(path).await;
        assert_eq!(
            (said.status, said.header("content-type")),
            (StatusCode::OK, "application/json")
        );
        let document = said.json();
        assert_eq!(document["issuer"], ISSUER);
        assert_eq!(document["token_endpoint"], "https://auth.example/token");
        assert_eq!(document["code_challenge_methods_supported"], json!(["S256"]));
        assert_eq!(document["client_id_metadata_document_supported"], true);
    }
    let tenant = "http://127.0.0.1:9000/a/b";
    let settings = crate::embedded::Settings::new(tenant, [RESOURCE]).unwrap();
    let routes = crate::embedded::AuthorizationRoutes::new(world.server.clone(), settings).unwrap();
    let world = World { routes, ..world };
    for (path, there) in [
        ("/.well-known/oauth-authorization-server/a/b", true),
        ("/.well-known/openid-configuration/a/b", true),
        ("/a/b/.well-known/openid-configuration", true),
        ("/a/b/jwks", true),
        ("/.well-known/oauth-authorization-server", false),
        ("/.well-known/oauth-authorization-server/a", false),
        ("/jwks", false),
        ("/a/b/register", false),
    ] {
        let said = world.ask("GET", path, &[("host", "127.0.0.1:9000")], "").await;
        assert_eq!(said.status.is_success(), there, "{path}");
        assert!(!path.contains("well-known") || !there || said.json()["issuer"] == tenant);
    }
}

#[tokio::test]
async fn a_code_becomes_a_token_for_one_resource() {
    let world = World::new().await;
    let challenge = sha256(VERIFIER);
    let asking = world.asking("app", &challenge);
    let said = world.answer(&asking, "allow").await;
    assert_eq!(said.sent().0, BACK);
    assert_eq!((said.sent_with("state"), said.sent_with("iss")), ("st+ate".into(), ISSUER.into()));
    let said = world.redeem("app", &said.sent_with("code")).await;
    assert_eq!(said.status, StatusCode::OK, "{}", said.text);
    assert_eq!((said.header("cache-control"), said.header("pragma")), ("no-store", "no-cache"));
    assert_eq!((said.get("token_type"), said.get("scope")), ("Bearer".into(), "read write".into()));

    let token = said.get("access_token");
    let (header, claims) = claims(&token);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("at+jwt"), &json!("ES256")));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!(RESOURCE)));
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("alice"), &json!("app")));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);

    // By the keys that are published.
    let jwks = world.get("/jwks").await.text;
    let set = JwkSet::read(&jwks, AllowList::IDENTITY_PROVIDER).unwrap();
    let key = set.get(header["kid"].as_str().unwrap()).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    assert!(key.verify(signed.as_bytes(), &decode(signature).unwrap()));

    let told = world.introspect(&token).await;
    assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!("alice")));
    world.wait(600);
    assert!(!world.is_active(&token).await, "it has expired");
}

#[tokio::test]
async fn the_user_may_say_no() {
    let world = World::new().await;
    let challenge = sha256(VERIFIER);
    let said = world.answer(&world.asking("app", &challenge), "deny").await;
    assert_eq!(said.sent().0, BACK);
    assert_eq!(said.sent_with("error"), "access_denied");
    assert_eq!((said.sent_with("state"), said.sent_with("iss")), ("st+ate".into(), ISSUER.into()));
}

#[tokio::test]
async fn the_page_says_who_and_where_and_nothing_runs_on_it() {
    let world = World::new().await;
    let name = "<script>alert(1)</script>\u{202e}";
    let registered = world
        .register(json!({ "redirect_uris": [BACK], "client_name": name,
            "token_endpoint_auth_method": "none" }))
        .await;
    let id = registered.get("client_id");
    let challenge = sha256(VERIFIER);
    let page = world.page(&world.asking(&id, &challenge)).await;
    assert!(page.text.contains(&id) && page.text.contains("app.example"), "{}", page.text);
    assert!(page.text.contains("registered itself"));
    assert!(!page.text.contains("<script") && !page.text.contains('\u{202e}'));
    let policy = page.header("content-security-policy");
    for part in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self' https://app.example;",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.header("x-frame-options"), "DENY");
    assert_eq!(page.header("referrer-policy"), "same-origin");
    let cookie = page.header("set-cookie");
    assert!(cookie.starts_with("__Host-etdi-consent="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{cookie}");
}

#[tokio::test]
async fn a_refresh_token_is_good_for_one_turn() {
    let world = World::new().await;
    let (mut access, mut refresh) = world.tokens("app").await;
    for _ in 0..3 {
        world.wait(300);
        let said = world.refresh("app", &refresh).await;
        assert_eq!(said.status, StatusCode::OK, "{}", said.text);
        let (next, renewed) = (said.get("access_token"), said.get("refresh_token"));
        assert!(next != access && renewed != refresh);
        assert!(world.is_active(&next).await && world.holds(&renewed).await);
        assert!(!world.holds(&refresh).await, "its turn is over");
        (access, refresh) = (next, renewed);
    }
    let narrow = [
        ("grant_type", "refresh_token"),
        ("client_id", "app"),
        ("refresh_token", &*refresh),
        ("scope", "read"),
    ];
    let said = world.token(&narrow).await;
    assert_eq!(said.get("scope"), "read");
    let refresh = said.get("refresh_token");
    assert_eq!(world.refresh("app", &refresh).await.get("scope"), "read write", "as was granted");
}

#[tokio::test]
async fn a_refresh_token_that_is_not_used_ends() {
    let world = World::new().await;
    let (_, refresh) = world.tokens("app").await;
    world.wait(30 * 86_400);
    let error = world.refresh("app", &refresh).await.error();
    assert_eq!(error.0, "invalid_grant");
}

#[tokio::test]
async fn a_machine_acts_in_its_own_name() {
    let world = World::new().await;
    let basic = basic("machine", SECRET);
    let form = [("grant_type", "client_credentials"), ("resource", RESOURCE), ("scope", "admin")];
    let said = world.post("/token", &[("authorization", &basic)], &form).await;
    let (_, claims) = claims(&said.get("access_token"));
    assert_eq!((&claims["sub"], &claims["scope"]), (&json!("machine"), &json!("admin")));
    assert!(said.json().get("refresh_token").is_none());
    let mut posted = form.to_vec();
    posted.extend([("client_id", "machine"), ("client_secret", SECRET)]);
    assert_eq!(world.token(&posted).await.status, StatusCode::OK, "in the form as well");
    let header = json!({ "alg": "ES256", "kid": world.signer.id().to_string() });
    let jwt = sign(&world.signer, &header, &world.assertion("signer", "1"));
    let said = world.asserted(&jwt).await;
    assert_eq!(said.get("scope"), "read", "the default");
}

#[tokio::test]
async fn a_token_is_taken_back_by_whose_it_is() {
    let world = World::new().await;
    let (access, refresh) = world.tokens("app").await;
    let revoke = |token| {
        let form = vec![("client_id", "app"), ("token", token)];
        let world = &world;
        async move { world.post("/revoke", &[], &form).await.status }
    };
    assert_eq!(revoke(&access).await, StatusCode::OK);
    assert!(!world.is_active(&access).await && world.holds(&refresh).await);
    assert_eq!(revoke(&access).await, StatusCode::OK, "again");
    assert_eq!(revoke("nonsense").await, StatusCode::OK, "RFC 7009, section 2.2");
    let said = world.refresh("app", &refresh).await;
    let (access, refresh) = (said.get("access_token"), said.get("refresh_token"));
    assert_eq!(revoke(&refresh).await, StatusCode::OK);
    assert!(!world.is_active(&access).await && !world.holds(&refresh).await, "all of them");
    assert_eq!(world.refresh("app", &refresh).await.error().0, "invalid_grant");
}

#[tokio::test]
async fn keys_change_and_overlap() {
    let world = World::new().await;
    let published = || async {
        let jwks = world.get("/jwks").await.text;
        let set = JwkSet::read(&jwks, AllowList::IDENTITY_PROVIDER).unwrap();
        set.keys().iter().map(|key| key.id().to_string()).collect::<Vec<_>>()
    };
    let kid = |token: &str| claims(token).0["kid"].as_str().unwrap().to_owned();
    let first = kid(&world.tokens("app").await.0);
    assert_eq!(published().await, std::slice::from_ref(&first));
    let next = world.server.rotate_keys(UnixTime(world.now())).await.unwrap().to_string();
    assert_eq!(published().await.len(), 2, "the next one is shown before it signs");
    assert_eq!(kid(&world.tokens("app").await.0), first);
    world.wait(3_599);
    let last = world.tokens("app").await.0;
    assert_eq!(kid(&last), first);
    world.wait(1);
    assert_eq!(kid(&world.tokens("app").await.0), next);
    assert!(world.is_active(&last).await && published().await.contains(&first), "still counts");
    world.wait(660);
    assert_eq!(published().await, std::slice::from_ref(&next), "no token of it is left");
    // And by itself, after a month.
    world.wait(30 * 86_400);
    assert_eq!(kid(&world.tokens("app").await.0), next);
    world.wait(3_600);
    assert_ne!(kid(&world.tokens("app").await.0), next);
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let world = World::with(Arc::new(RedbStore::open(&path).unwrap()), |_| ()).await;
    let (access, refresh) = world.tokens("app").await;
    let used = world.code("app").await;
    assert_eq!(world.redeem("app", &used).await.status, StatusCode::OK);
    let code = world.code("app").await;
    let registered = world.register(json!({ "redirect_uris": [BACK] })).await.get("client_id");
    let header = json!({ "alg": "ES256" });
    let jwt = sign(&world.signer, &header, &world.assertion("signer", "1"));
    assert_eq!(world.asserted(&jwt).await.status, StatusCode::OK);
    let (jwks, signer) = (world.get("/jwks").await.text, world.signer);
    drop((world.routes, world.server));

    let store = Arc::new(RedbStore::open(&path).unwrap());
    let world = World { signer, ..World::with(store, |_| ()).await };
    assert_eq!(world.get("/jwks").await.text, jwks);
    assert!(world.is_active(&access).await);
    assert_eq!(world.refresh("app", &refresh).await.status, StatusCode::OK);
    assert_eq!(world.redeem("app", &code).await.status, StatusCode::OK);
    let error = world.redeem("app", &used).await.error();
    assert!(error.1.contains("used before"), "{error:?}");
    let challenge = sha256(VERIFIER);
    assert_eq!(world.page(&world.asking(&registered, &challenge)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_program_on_the_computer_takes_whatever_port_it_gets() {
    let world = World::new().await;
    let uris = json!(["http://127.0.0.1:3000/callback"]);
    let registered = world
        .register(json!({ "redirect_uris": uris, "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"] }))
        .await;
    let id = registered.get("client_id");
    let challenge = sha256(VERIFIER);
    let back = "http://127.0.0.1:49152/callback";
    let asking = world.asking(&id, &challenge);
    let asking = but(&asking, "redirect_uri", back);
    let page = world.page(&asking).await;
    assert!(page.text.contains("Whatever program listens"), "{}", page.text);
    let said = world.answer(&asking, "allow").await;
    assert_eq!(said.sent().0, back);
    let code = said.sent_with("code");
    // The port is part of what the code is bound to.
    let form = redeeming(&id, &code);
    let other = but(&form, "redirect_uri", "http://127.0.0.1:3000/callback");
    assert_eq!(world.token(&other).await.error().0, "invalid_grant");
    assert_eq!(world.token(&but(&form, "redirect_uri", back)).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_server_keeps_what_one_promises() {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(RedbStore::open(folder.path().join("state")).unwrap());
    for world in [World::new().await, World::with(file, |_| ()).await] {
        let code = world.code("app").await;
        let checked = check_server(&*world.server, &code, UnixTime(world.now())).await;
        assert_eq!(checked, Ok(()));
    }
}

#[tokio::test]
async fn a_user_with_a_password_is_asked_for_it() {
    let world = World::new().await;
    let settings = Settings::new(ISSUER, [RESOURCE]).unwrap();
    let record =
        "pbkdf2-sha256$1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let users = Passwords::new().user("alice", record).unwrap();
    let store = Arc::new(MemoryStore::new());
    let server = Embedded::open(store, &settings, UnixTime(START)).await.unwrap();
    let server = server.client(Client::public("app", [BACK]).unwrap()).login(Arc::new(users));
    let routes = AuthorizationRoutes::new(Arc::new(server), settings).unwrap();
    let world = World { routes: routes.clock(crate::Clock::new(|| UnixTime(START))), ..world };
    let challenge = sha256(VERIFIER);
    let asking = world.asking("app", &challenge);
    let asking = but(&asking, "scope", "");
    assert!(world.page(&asking).await.text.contains("type=\"password\""));
    let said = world.answer(&asking, "allow").await;
    assert_eq!(said.status, StatusCode::OK, "nobody is sent back");
    assert!(said.text.contains("try again"), "{}", said.text);
}

#[tokio::test]
async fn answers_are_strict_json() {
    let world = World::with(Arc::new(MemoryStore::new()), |_| ()).await;
    for path in ["/.well-known/oauth-authorization-server", "/jwks"] {
        let text = world.get(path).await.text;
        assert!(Document::parse(&text, Limits::STATEMENT).is_ok(), "{text}");
    }
}
