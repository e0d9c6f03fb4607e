//! Codes, tokens and pages in the wrong hands: each is refused with an error of its own.

use std::sync::Arc;

use etdi_core::time::UnixTime;
use http::StatusCode;
use mcp_types::BoxFuture;
use serde_json::json;

use super::world::*;
use crate::embedded::seal::sha256;
use crate::embedded::{Kind, MemoryStore, Records, ServerError, Store};

/// What a good request becomes with one parameter otherwise, and its refusal.
async fn redeemed_with(name: &'static str, value: &'static str) -> (String, String) {
    let world = World::new().await;
    let code = world.code("app").await;
    let form = redeeming("app", &code);
    assert_eq!(world.token(&but(&form, "state", "x")).await.status, StatusCode::OK);
    let code = world.code("app").await;
    let form = redeeming("app", &code);
    world.token(&but(&form, name, value)).await.error()
}

macro_rules! told {
    ($error:expr, $code:literal, $part:literal) => {{
        let error = $error;
        assert_eq!(error.0, $code, "{error:?}");
        assert!(error.1.contains($part), "{error:?}");
    }};
}

#[tokio::test]
async fn the_verifier_of_another_challenge() {
    let other = "wrongwrongwrongwrongwrongwrongwrongwrongwrong";
    told!(redeemed_with("code_verifier", other).await, "invalid_grant", "challenge");
}

#[tokio::test]
async fn no_verifier_or_the_challenge_in_its_place() {
    told!(
        redeemed_with("code_verifier", "").await,
        "invalid_request",
        "`code_verifier` is missing"
    );
    told!(redeemed_with("code_verifier", "short").await, "invalid_request", "misspelt");
    let world = World::new().await;
    let (code, challenge) = (world.code("app").await, sha256(VERIFIER));
    let form = redeeming("app", &code);
    told!(world.token(&but(&form, "code_verifier", &challenge)).await.error(), "invalid_grant", "");
}

#[tokio::test]
async fn a_code_that_was_sent_elsewhere() {
    told!(
        redeemed_with("redirect_uri", "https://app.example/other").await,
        "invalid_grant",
        "`redirect_uri` is another"
    );
}

#[tokio::test]
async fn a_code_for_another_resource() {
    let other = "https://other.example/mcp";
    told!(redeemed_with("resource", other).await, "invalid_target", "granted");
    told!(redeemed_with("resource", "https://evil.example").await, "invalid_target", "granted");
}

#[tokio::test]
async fn the_code_of_another_client() {
    told!(redeemed_with("client_id", "other").await, "invalid_grant", "another client");
    let world = World::new().await;
    let code = world.code("app").await;
    let basic = basic("web", SECRET);
    let form = redeeming("web", &code);
    let said = world.post("/token", &[("authorization", &basic)], &form).await;
    told!(said.error(), "invalid_grant", "another client");
    // The honest client loses nothing by that.
    assert_eq!(world.redeem("app", &code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_code_that_is_used_twice_ends_what_came_of_it() {
    let world = World::new().await;
    let code = world.code("app").await;
    let said = world.redeem("app", &code).await;
    let (access, refresh) = (said.get("access_token"), said.get("refresh_token"));
    assert!(world.is_active(&access).await);
    told!(world.redeem("app", &code).await.error(), "invalid_grant", "used before");
    assert!(!world.is_active(&access).await && !world.holds(&refresh).await);
    told!(world.refresh("app", &refresh).await.error(), "invalid_grant", "taken back");
}

/// Whoever has a code and not its verifier shows that it was stolen, too.
#[tokio::test]
async fn a_used_code_ends_its_grant_whatever_comes_with_it() {
    let world = World::new().await;
    for (name, value) in [("code_verifier", ""), ("client_id", "other"), ("resource", "x")] {
        let code = world.code("app").await;
        let access = world.redeem("app", &code).await.get("access_token");
        let form = redeeming("app", &code);
        told!(world.token(&but(&form, name, value)).await.error(), "invalid_grant", "used before");
        assert!(!world.is_active(&access).await, "{name}");
    }
}

#[tokio::test]
async fn what_is_shown_twice_at_once() {
    let world = World::with(Arc::new(Slow::default()), |_| ()).await;
    let code = world.code("app").await;
    let both = tokio::join!(world.redeem("app", &code), world.redeem("app", &code));
    let one_of = |both: (Said, Said)| {
        let (good, bad) = if both.0.status.is_success() { both } else { (both.1, both.0) };
        told!(bad.error(), "invalid_grant", "used before");
        good
    };
    let access = one_of(both).get("access_token");
    assert!(!world.is_active(&access).await, "nobody knows which of the two was the thief");

    let (_, refresh) = world.tokens("app").await;
    let both = tokio::join!(world.refresh("app", &refresh), world.refresh("app", &refresh));
    let access = one_of(both).get("access_token");
    assert!(!world.is_active(&access).await);
}

/// A store that lets others go first, so that who asks at once is answered at once.
#[derive(Default)]
struct Slow(MemoryStore);

impl Store for Slow {
    fn get<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<Option<Vec<u8>>, ServerError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.get(kind, name, now).await
        })
    }

    fn insert<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        self.0.insert(kind, name, record, until, now)
    }

    fn swap<'a>(
        &'a self,
        kind: Kind,
        name: &'a str,
        before: &'a [u8],
        record: Vec<u8>,
        until: UnixTime,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<bool, ServerError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            self.0.swap(kind, name, before, record, until, now).await
        })
    }

    fn remove<'a>(&'a self, kind: Kind, name: &'a str) -> BoxFuture<'a, Result<(), ServerError>> {
        self.0.remove(kind, name)
    }

    fn list(&self, kind: Kind, now: UnixTime) -> BoxFuture<'_, Result<Records, ServerError>> {
        self.0.list(kind, now)
    }
}

#[tokio::test]
async fn a_code_that_is_old_or_made_up() {
    let world = World::new().await;
    let code = world.code("app").await;
    world.wait(60);
    told!(world.redeem("app", &code).await.error(), "invalid_grant", "expired");
    let code = world.code("app").await;
    let (id, seal) = code.split_once('.').unwrap();
    for forged in [
        String::new() + "x",
        id.to_owned(),
        format!("{id}."),
        format!("{id}.{}", sha256("x")),
        format!("{}.{seal}", sha256("x")),
        format!("{code}x"),
        format!("{code}="),
    ] {
        told!(world.redeem("app", &forged).await.error(), "invalid_grant", "unknown");
    }
    assert_eq!(world.redeem("app", &code).await.status, StatusCode::OK, "guesses end nothing");
}

#[tokio::test]
async fn a_refresh_token_that_is_used_twice_ends_its_family() {
    let world = World::new().await;
    let (_, first) = world.tokens("app").await;
    let said = world.refresh("app", &first).await;
    let (access, second) = (said.get("access_token"), said.get("refresh_token"));
    let (untouched, _) = world.tokens("app").await;
    told!(world.refresh("app", &first).await.error(), "invalid_grant", "used before");
    told!(world.refresh("app", &second).await.error(), "invalid_grant", "taken back");
    assert!(!world.is_active(&access).await);
    assert!(world.is_active(&untouched).await, "another grant is another family");
}

#[tokio::test]
async fn a_refresh_token_in_other_hands() {
    let world = World::new().await;
    let (_, refresh) = world.tokens("app").await;
    told!(world.refresh("other", &refresh).await.error(), "invalid_grant", "another client");
    let form = |name, value| {
        let form =
            [("grant_type", "refresh_token"), ("client_id", "app"), ("refresh_token", &*refresh)];
        but(&form, name, value).into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
    };
    for (name, value, code) in [
        ("scope", "read write admin", "invalid_scope"),
        ("scope", "admin", "invalid_scope"),
        ("resource", "https://other.example/mcp", "invalid_target"),
    ] {
        let form: Vec<(String, String)> = form(name, value);
        let form: Vec<_> = form.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(world.token(&form).await.error().0, code, "{name}={value}");
    }
    // A code is no refresh token, nor the other way round.
    let code = world.code("app").await;
    told!(world.refresh("app", &code).await.error(), "invalid_grant", "unknown");
    told!(world.redeem("app", &refresh).await.error(), "invalid_grant", "unknown");
    assert_eq!(world.refresh("app", &refresh).await.status, StatusCode::OK);
}

/// What a request becomes with one parameter otherwise: where the user is sent, or what the page says.
async fn asked_with(name: &'static str, value: &'static str) -> Said {
    let world = World::new().await;
    let challenge = sha256(VERIFIER);
    let asking = world.asking("app", &challenge);
    assert_eq!(world.page(&asking).await.status, StatusCode::OK);
    world.page(&but(&asking, name, value)).await
}

#[tokio::test]
async fn what_is_asked_for_wrongly_is_told_to_the_client() {
    for (name, value, code, part) in [
        ("code_challenge", "", "invalid_request", "`code_challenge` is missing"),
        ("code_challenge", VERIFIER, "", ""),
        ("code_challenge", "short", "invalid_request", "no SHA-256 digest"),
        ("code_challenge_method", "plain", "invalid_request", "S256"),
        ("code_challenge_method", "", "invalid_request", "S256"),
        ("code_challenge_method", "s256", "invalid_request", "S256"),
        ("response_type", "token", "unsupported_response_type", "code"),
        ("response_type", "code id_token", "unsupported_response_type", "code"),
        ("response_type", "", "invalid_request", "missing"),
        ("response_mode", "fragment", "invalid_request", "query"),
        ("scope", "root", "invalid_scope", "scope"),
        ("resource", "", "invalid_target", "resource"),
        ("resource", "https://evil.example/mcp", "invalid_target", "resource"),
        ("resource", "https://mcp.example/mcp#x", "invalid_target", "resource"),
        ("dpop_jkt", "x", "invalid_dpop_proof", "dpop_jkt"),
    ] {
        let said = asked_with(name, value).await;
        if code.is_empty() {
            assert_eq!(said.status, StatusCode::OK, "32 bytes are 32 bytes");
            continue;
        }
        assert_eq!(said.sent().0, BACK);
        assert_eq!(said.sent_with("error"), code, "{name}={value}");
        assert!(said.sent_with("error_description").contains(part), "{name}={value}");
        assert_eq!(said.sent_with("iss"), ISSUER);
    }
}

#[tokio::test]
async fn nobody_is_sent_where_the_client_did_not_register() {
    for (name, value) in [
        ("redirect_uri", "https://evil.example/callback"),
        ("redirect_uri", "https://app.example/callback/"),
        ("redirect_uri", "https://app.example/callback?x"),
        ("redirect_uri", "https://app.example.evil.example/callback"),
        ("redirect_uri", "https://app.example@evil.example/callback"),
        ("redirect_uri", "//evil.example"),
        ("redirect_uri", "javascript:alert(1)"),
        ("client_id", "nobody"),
        ("client_id", ""),
    ] {
        let said = asked_with(name, value).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{value}");
        assert!(said.headers.get("location").is_none(), "{value}");
        assert!(!said.text.contains("evil.example"), "{}", said.text);
    }
    let world = World::new().await;
    let challenge = sha256(VERIFIER);
    let mut twice = world.asking("app", &challenge);
    twice.push(("redirect_uri", "https://evil.example/"));
    assert_eq!(world.page(&twice).await.status, StatusCode::BAD_REQUEST);
}

/// A stranger registers a place and has users sent there by an error (RFC 9700, section 4.11.2).
#[tokio::test]
async fn a_stranger_makes_no_redirector_of_the_server() {
    let world = World::new().await;
    let uris = json!({ "redirect_uris": ["https://evil.example/"] });
    let id = world.register(uris).await.get("client_id");
    let challenge = sha256(VERIFIER);
    let asking = world.asking(&id, &challenge);
    let asking = but(&asking, "redirect_uri", "https://evil.example/");
    let said = world.page(&but(&asking, "scope", "root")).await;
    assert_eq!(said.status, StatusCode::BAD_REQUEST);
    assert!(said.headers.get("location").is_none());
    let said = world.answer(&asking, "deny").await;
    assert_eq!(said.sent().0, "https://evil.example/", "who was asked may be sent back");
}

/// A page elsewhere answers in the user's place, or the user's own page answers for another request.
#[tokio::test]
async fn consent_counts_for_the_browser_and_the_request_that_it_was_shown_for() {
    let world = World::new().await;
    let challenge = sha256(VERIFIER);
    let asking = world.asking("app", &challenge);
    let path = format!("/authorize?{}", encoded(&asking));
    let page = world.page(&asking).await;
    let (own, ticket) = (cookie(&page), hidden(&page, "ticket"));
    let form = |ticket: &str| {
        [("ticket", ticket), ("decision", "allow"), ("name", "alice")]
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let post = |path: String, headers: Vec<(&'static str, String)>, ticket: String| {
        let (world, form) = (&world, form(&ticket));
        async move {
            let headers: Vec<_> = headers.iter().map(|(a, b)| (*a, &**b)).collect();
            let form: Vec<_> = form.iter().map(|(a, b)| (&**a, &**b)).collect();
            world.post(&path, &headers, &form).await
        }
    };
    let origin = ("origin", ISSUER.to_owned());
    let other = cookie(&world.page(&asking).await);
    assert_ne!(own, other);
    for (what, path, headers, ticket) in [
        ("no cookie", path.clone(), vec![origin.clone()], ticket.clone()),
        (
            "the attacker's cookie",
            path.clone(),
            vec![origin.clone(), ("cookie", other)],
            ticket.clone(),
        ),
        (
            "another request",
            path.replace("read+write", "read+write+admin"),
            vec![origin.clone(), ("cookie", own.clone())],
            ticket.clone(),
        ),
        (
            "another client",
            path.replace("client_id=app", "client_id=other"),
            vec![origin.clone(), ("cookie", own.clone())],
            ticket.clone(),
        ),
        (
            "a made-up ticket",
            path.clone(),
            vec![origin.clone(), ("cookie", own.clone())],
            format!("{}.{}", START + 600, sha256("x")),
        ),
        (
            "another time",
            path.clone(),
            vec![origin.clone(), ("cookie", own.clone())],
            ticket.replacen(&(START + 600).to_string(), &(START + 9_999).to_string(), 1),
        ),
        ("no ticket", path.clone(), vec![origin.clone(), ("cookie", own.clone())], String::new()),
    ] {
        let said = post(path, headers, ticket).await;
        assert_eq!(said.status, StatusCode::BAD_REQUEST, "{what}");
        assert!(said.text.contains("no longer good"), "{what}: {}", said.text);
        assert!(said.headers.get("location").is_none(), "{what}");
    }
    for page in ["https://evil.example", "null", "http://auth.example"] {
        let headers = vec![("origin", page.to_owned()), ("cookie", own.clone())];
        let said = post(path.clone(), headers, ticket.clone()).await;
        assert_eq!(said.status, StatusCode::FORBIDDEN, "{page}");
    }
    let headers = vec![origin, ("cookie", own)];
    assert_eq!(post(path.clone(), headers.clone(), ticket.clone()).await.sent().0, BACK);
    world.wait(600);
    assert_eq!(post(path, headers, ticket).await.status, StatusCode::BAD_REQUEST, "too old");
}

#[tokio::test]
async fn a_page_that_resolves_its_name_to_this_server() {
    let world = World::new().await;
    let path = "/.well-known/oauth-authorization-server";
    for host in ["evil.example", "auth.example.evil.example", "auth.example:8443", "", "localhost"]
    {
        let said = world.ask("GET", path, &[("host", host)], "").await;
        assert_eq!(said.status, StatusCode::FORBIDDEN, "{host}");
    }
    let twice = [("host", "auth.example"), ("host", "evil.example")];
    assert_eq!(world.ask("GET", path, &twice, "").await.status, StatusCode::FORBIDDEN);
    let said = world.ask("GET", path, &[("origin", "https://evil.example")], "").await;
    assert_eq!(said.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn pages_that_are_let_in_may_ask_for_tokens_and_not_for_the_user() {
    let world = World::with(Arc::new(MemoryStore::new()), |settings| {
        settings.origins = vec!["https://spa.example".to_owned()];
    })
    .await;
    let page = [("origin", "https://spa.example")];
    let said = world.ask("OPTIONS", "/token", &page, "").await;
    assert_eq!(said.status, StatusCode::NO_CONTENT);
    assert_eq!(said.header("access-control-allow-origin"), "https://spa.example");
    let said = world.ask("GET", "/authorize?client_id=app", &page, "").await;
    assert_eq!(said.status, StatusCode::FORBIDDEN);
    assert!(said.headers.get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn forms_that_are_too_large_or_say_a_thing_twice() {
    let world = World::new().await;
    let code = world.code("app").await;
    let mut form = redeeming("app", &code);
    form.push(("code_verifier", "x"));
    told!(world.token(&form).await.error(), "invalid_request", "twice");
    let long = "x".repeat(70_000);
    let form = redeeming("app", &code);
    let said = world.token(&but(&form, "code", &long)).await;
    assert_eq!(said.status, StatusCode::PAYLOAD_TOO_LARGE);
    let many: Vec<_> = (0..65).map(|number| format!("p{number}")).collect();
    let many: Vec<_> = many.iter().map(|name| (&**name, "x")).collect();
    told!(world.token(&many).await.error(), "invalid_request", "too large");
    let kind = [("content-type", "text/plain")];
    let said = world.ask("POST", "/token", &kind, encoded(&form)).await;
    assert_eq!(said.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let said = world.get("/token").await;
    assert_eq!((said.status, said.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    let uri = format!("/authorize?state={}", "x".repeat(20_000));
    assert_eq!(world.get(&uri).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(world.redeem("app", &code).await.status, StatusCode::OK);
}

#[tokio::test]
async fn grant_types_that_are_not_offered() {
    let world = World::new().await;
    for (kind, code) in [
        ("password", "unsupported_grant_type"),
        ("implicit", "unsupported_grant_type"),
        ("client_credentials", "unauthorized_client"),
    ] {
        let form = [("grant_type", kind), ("client_id", "app")];
        assert_eq!(world.token(&form).await.error().0, code);
    }
    let challenge = sha256(VERIFIER);
    let asking = world.asking("limited", &challenge);
    let said = world.page(&asking).await;
    assert_eq!(said.sent_with("error"), "invalid_scope", "it may not have `write`");
}

#[tokio::test]
async fn what_every_grant_must_have() {
    let world = World::with(Arc::new(MemoryStore::new()), |settings| {
        settings.required_scopes = vec!["admin".to_owned()];
    })
    .await;
    let challenge = sha256(VERIFIER);
    let asking = world.asking("app", &challenge);
    let said = world.page(&asking).await;
    assert_eq!(said.sent_with("error"), "invalid_scope");
    assert!(said.sent_with("error_description").contains("admin"));
    let asking = but(&asking, "scope", "read admin");
    assert_eq!(world.page(&asking).await.status, StatusCode::OK);
}

/// Asking fills nothing: pages are kept by who sees them.
#[tokio::test]
async fn a_flood_of_requests_leaves_nothing_behind() {
    let store = Arc::new(MemoryStore::new());
    let world = World::with(store.clone(), |_| ()).await;
    let challenge = sha256(VERIFIER);
    let asking = world.asking("app", &challenge);
    for _ in 0..200 {
        assert_eq!(world.page(&asking).await.status, StatusCode::OK);
        _ = world.redeem("app", "x.y").await;
        _ = world.refresh("app", "x.1.y").await;
    }
    for kind in [Kind::Client, Kind::Grant, Kind::Used] {
        let now = UnixTime(START);
        assert_eq!(store.list(kind, now).await.unwrap().len(), 0, "{kind:?}");
    }
}
