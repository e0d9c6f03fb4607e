//! A client from the first challenge to the last token.

mod attacked;
mod world;

use std::sync::Arc;

use mcp_transport::http::Reaction;
use serde_json::json;

use self::world::{ONE, REDIRECT, SERVER, World, header, headers, refuse, refuse_what, serve};
use super::*;
use crate::flow::{ClientAuthentication, RegisteredClient};
use crate::{AuthorizationUrl, SecretText};

const TRY_AGAIN: Result<Reaction, OAuthError> = Ok(Reaction::TryAgain);

#[tokio::test]
async fn a_login_from_end_to_end() {
    let world = World::new();
    let client = world.user().name("Example").build().unwrap();
    assert_eq!(header(&client).await, None, "nothing is done before the server wants it");
    assert!(world.with(|state| state.asked.is_empty()));
    assert_eq!(refuse(&client, 401, r#"Bearer scope="files:read""#).await, TRY_AGAIN);
    let bearer = header(&client).await.unwrap();
    assert!(bearer.starts_with("Bearer MARKED-access"), "{bearer}");
    assert!(headers(&client).await.unwrap()["authorization"].is_sensitive());

    let visited = &world.visited()[0];
    let (form, basic) = world.grants("authorization_code").remove(0);
    assert_eq!((&*visited["resource"], &*form["resource"]), (SERVER, SERVER));
    assert_eq!((&*visited["scope"], form.get("scope")), ("files:read", None));
    assert_eq!((&*visited["redirect_uri"], &*form["redirect_uri"]), (REDIRECT, REDIRECT));
    assert!(basic.is_some_and(|header| header.starts_with("Basic ")));
    assert_eq!(form["code"], "MARKED-code");
}

#[tokio::test]
async fn many_refusals_lead_to_one_login() {
    let world = World::new();
    let client = world.user().build().unwrap();
    let one = || refuse(&client, 401, "Bearer");
    let all = tokio::join!(one(), one(), one(), one(), one());
    assert_eq!(all, (TRY_AGAIN, TRY_AGAIN, TRY_AGAIN, TRY_AGAIN, TRY_AGAIN));
    // A request that was sent before there was a token comes back last.
    assert_eq!(refuse_what(&client, None, 401, "Bearer").await, TRY_AGAIN);
    assert_eq!(world.visited().len(), 1);
}

#[tokio::test]
async fn a_login_that_fails_is_not_repeated_by_those_who_waited() {
    let world = World::new();
    let world_of = world.clone();
    let no = move |url: AuthorizationUrl| {
        world_of.with(|state| state.visited.push(url.as_str().to_owned()));
        async {
            tokio::task::yield_now().await;
            Err(InteractionError::Declined)
        }
    };
    let client = OAuthClient::interactive(SERVER, AskWith::new(REDIRECT, no));
    let client = world.equip(client).build().unwrap();
    let one = || refuse(&client, 401, "Bearer");
    let declined = || Err(OAuthError::Interaction(InteractionError::Declined));
    assert_eq!(tokio::join!(one(), one(), one()), (declined(), declined(), declined()));
    assert_eq!(world.visited().len(), 1);
    assert_eq!(one().await, declined());
    assert_eq!(world.visited().len(), 2, "whoever asks later is asked again");
}

#[tokio::test]
async fn the_second_run_needs_no_user() {
    let world = World::new();
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let run = || world.user().store(store.clone()).build().unwrap();
    let first = run();
    refuse(&first, 401, "Bearer").await.unwrap();
    let second = run();
    assert_eq!(header(&second).await, header(&first).await);
    // And after the token ended, and after the login did.
    world.pass(4_000);
    assert!(header(&run()).await.is_some());
    assert_eq!(world.visited().len(), 1);
    world.pass(4_000);
    world.with(|state| state.refuse.insert("refresh_token".into(), "invalid_grant".into()));
    let third = run();
    let old = header(&third).await;
    assert!(old.is_some(), "the server says what it thinks of an old token");
    assert_eq!(refuse(&third, 401, "Bearer").await, TRY_AGAIN);
    let registrations =
        world.with(|state| state.sent.iter().filter(|(url, _)| url.ends_with("/register")).count());
    assert_eq!((world.visited().len(), registrations), (2, 1), "it is registered still");
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end_by_one_for_all() {
    for rotate in [true, false] {
        let world = World::new();
        world.with(|state| state.rotate = rotate);
        let client = world.user().build().unwrap();
        refuse(&client, 401, "Bearer").await.unwrap();
        let old = header(&client).await;
        for round in 1..4 {
            world.pass(3_600 - 29);
            let one = || header(&client);
            let (a, b, c) = tokio::join!(one(), one(), one());
            assert!(a == b && b == c && a != old);
            assert_eq!(world.grants("refresh_token").len(), round, "rotate: {rotate}");
        }
        assert_eq!(world.visited().len(), 1);
    }
}

#[tokio::test]
async fn what_another_process_renewed_is_taken_over() {
    let world = World::new();
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let run = || world.user().store(store.clone()).build().unwrap();
    let (one, other) = (run(), run());
    refuse(&one, 401, "Bearer").await.unwrap();
    assert_eq!(header(&other).await, header(&one).await);
    world.pass(3_590);
    let renewed = header(&one).await;
    // Its own refresh token was used by the other one, and is worth nothing.
    assert_eq!(header(&other).await, renewed);
    assert_eq!((world.grants("refresh_token").len(), world.visited().len()), (1, 1));
}

#[tokio::test]
async fn an_issuer_that_is_away_costs_nothing_while_the_token_holds() {
    let world = World::new();
    let client = world.user().build().unwrap();
    refuse(&client, 401, "Bearer").await.unwrap();
    let old = header(&client).await;
    world.with(|state| state.metadata = json!({"issuer": "https://elsewhere.example"}));
    world.pass(3_580);
    assert_eq!(header(&client).await, old);
    world.pass(30);
    assert!(matches!(headers(&client).await, Err(OAuthError::OtherIssuer { .. })));
}

#[tokio::test]
async fn an_issuer_that_stumbles_does_not_end_the_login() {
    let world = World::new();
    let client = world.user().build().unwrap();
    refuse(&client, 401, "Bearer").await.unwrap();
    world.with(|state| state.status = Some(503));
    world.pass(3_700);
    let stumbled = headers(&client).await;
    assert!(matches!(stumbled, Err(OAuthError::Unavailable { .. })), "{stumbled:?}");
    world.with(|state| {
        state.status = None;
        state.refuse.insert("refresh_token".into(), "temporarily_unavailable".into());
    });
    assert!(headers(&client).await.is_err());
    world.with(|state| state.refuse.clear());
    assert!(header(&client).await.is_some());
    assert_eq!(world.visited().len(), 1);
}

#[tokio::test]
async fn scopes_are_those_of_the_challenge_else_those_of_the_server() {
    for (challenge, supported, ours, expected) in [
        (r#"Bearer scope="a b""#, json!(["c"]), vec![], Some("a b")),
        ("Bearer", json!(["c", "d"]), vec![], Some("c d")),
        ("Bearer", json!(null), vec![], None),
        ("Bearer", json!([]), vec![], None),
        (r#"Bearer scope="a""#, json!(null), vec!["x", "a"], Some("a x")),
    ] {
        let world = World::new();
        world.with(|state| {
            state.resource = json!({"scopes_supported": supported});
            state.metadata = json!({"scopes_supported": ["offline"]});
        });
        let client = world.user().scopes(ours).build().unwrap();
        refuse(&client, 401, challenge).await.unwrap();
        assert_eq!(world.visited()[0].get("scope").map(String::as_str), expected, "{challenge}");
    }
    for (wanted, expected) in [(true, "a offline_access"), (false, "a")] {
        let world = World::new();
        world.with(|state| state.metadata = json!({"scopes_supported": ["offline_access"]}));
        let client = world.user().offline_access(wanted).build().unwrap();
        refuse(&client, 401, r#"Bearer scope="a""#).await.unwrap();
        let visited = &world.visited()[0];
        assert_eq!(visited["scope"], expected);
        // OpenID Connect Core, section 11.
        assert_eq!(visited.get("prompt").map(String::as_str), wanted.then_some("consent"));
    }
}

#[tokio::test]
async fn a_step_up_keeps_what_was_there_and_ends() {
    let world = World::new();
    let client = world.user().build().unwrap();
    refuse(&client, 401, r#"Bearer scope="a""#).await.unwrap();
    serve(&client);
    let more = r#"Bearer error="insufficient_scope", scope="b""#;
    assert_eq!(refuse(&client, 403, more).await, TRY_AGAIN);
    assert_eq!(world.visited()[1]["scope"], "a b");
    // The server wants it all the same: nobody is asked again.
    let again = refuse(&client, 403, more).await;
    assert!(matches!(again, Err(OAuthError::Scopes { .. })), "{again:?}");
    let other = refuse(&client, 403, r#"Bearer error="insufficient_scope""#).await;
    assert!(matches!(other, Err(OAuthError::Scopes { .. })), "{other:?}");
    assert_eq!(refuse(&client, 403, "Bearer").await, Ok(Reaction::GiveUp), "a plain refusal");
    assert_eq!(world.visited().len(), 2);
}

#[tokio::test]
async fn a_token_that_was_only_just_given_is_not_asked_for_again() {
    let world = World::new();
    let client = world.user().build().unwrap();
    refuse(&client, 401, "Bearer").await.unwrap();
    let again = refuse(&client, 401, r#"Bearer error="invalid_token""#).await;
    assert!(matches!(again, Err(OAuthError::Again { .. })), "{again:?}");
    world.pass(61);
    assert_eq!(refuse(&client, 401, "Bearer").await, TRY_AGAIN);
    assert_eq!((world.grants("refresh_token").len(), world.visited().len()), (1, 1));
}

#[tokio::test]
async fn bound_tokens_and_their_proofs() {
    let offers = |world: &World| {
        world.with(|state| {
            state.metadata = json!({"dpop_signing_alg_values_supported": ["ES256"]});
            state.resource = json!({"dpop_signing_alg_values_supported": ["ES256"]});
        });
    };
    let world = World::new();
    offers(&world);
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let run = || world.user().store(store.clone()).build().unwrap();
    let client = run();
    refuse(&client, 401, "DPoP").await.unwrap();
    let sent = headers(&client).await.unwrap();
    assert!(sent["authorization"].to_str().unwrap().starts_with("DPoP "));
    assert!(sent["dpop"].is_sensitive());
    assert_ne!(sent["dpop"], headers(&client).await.unwrap()["dpop"]);
    // Another run has the key as well.
    let thumbprint =
        |client: &OAuthClient| client.current().unwrap().dpop.as_ref().unwrap().thumbprint();
    let second = run();
    header(&second).await.unwrap();
    assert_eq!(thumbprint(&second), thumbprint(&client));
    world.pass(3_590);
    header(&second).await.unwrap();
    assert_eq!(thumbprint(&second), thumbprint(&client), "it is bound to the key, too");

    // Where nobody offers it a token is a plain one, unless it must not be.
    let world = World::new();
    refuse(&world.user().build().unwrap(), 401, "Bearer").await.unwrap();
    let world = World::new();
    world.with(|state| state.resource = json!({"dpop_bound_access_tokens_required": true}));
    let refused = refuse(&world.user().build().unwrap(), 401, "Bearer").await;
    assert!(matches!(refused, Err(OAuthError::NotOffered { .. })), "{refused:?}");
    assert!(world.visited().is_empty());
    let world = World::new();
    world.with(|state| state.answer = json!({"token_type": "Bearer"}));
    let strict = world.user().dpop(DpopUse::Always).build().unwrap();
    let refused = refuse(&strict, 401, "Bearer").await;
    assert!(matches!(refused, Err(OAuthError::Token { .. })), "{refused:?}");
    assert_eq!(header(&strict).await, None, "it is not used");
}

#[tokio::test]
async fn a_log_out_takes_back_and_forgets() {
    let world = World::new();
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let client = world.user().store(store.clone()).build().unwrap();
    refuse(&client, 401, "Bearer").await.unwrap();
    client.log_out().await.unwrap();
    let taken = world.with(|state| {
        let back = state.sent.iter().filter(|(url, _)| url.ends_with("/revoke"));
        back.map(|(_, (form, _))| form["token_type_hint"].clone()).collect::<Vec<_>>()
    });
    assert_eq!(taken, ["refresh_token", "access_token"]);
    assert_eq!(header(&client).await, None);
    assert_eq!(header(&world.user().store(store).build().unwrap()).await, None);
}

#[tokio::test]
async fn programs_that_act_for_themselves() {
    let world = World::new();
    let client = RegisteredClient::with_secret(ONE, "service", "MARKED-client-secret");
    let service = world.equip(OAuthClient::service(SERVER, client)).build().unwrap();
    assert_eq!(refuse(&service, 401, r#"Bearer scope="a""#).await, TRY_AGAIN);
    let (form, _) = world.grants("client_credentials").remove(0);
    assert_eq!((&*form["resource"], &*form["scope"]), (SERVER, "a"));

    let jwt = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    let token = SecretText::new("MARKED-assertion");
    let client = RegisteredClient::public(ONE, "workload");
    let workload = world.equip(OAuthClient::workload(SERVER, client, token)).build().unwrap();
    assert_eq!(refuse(&workload, 401, "Bearer").await, TRY_AGAIN);
    let (form, _) = world.grants(jwt).remove(0);
    assert_eq!((&*form["assertion"], &*form["client_id"]), ("MARKED-assertion", "workload"));
}

#[tokio::test(start_paused = true)]
async fn a_login_on_another_device() {
    let world = World::new();
    let grant = "urn:ietf:params:oauth:grant-type:device_code";
    world.with(|state| state.refuse.insert(grant.into(), "authorization_pending".into()));
    let shown = Arc::new(std::sync::Mutex::new(String::new()));
    let told = shown.clone();
    let paste = Paste::new(move |text| *told.lock().unwrap() = text.to_owned(), async || None);
    let client = world.equip(OAuthClient::device(SERVER, paste)).build().unwrap();
    let logging_in = refuse(&client, 401, "Bearer");
    let user = async {
        while world.grants(grant).len() < 3 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        world.with(|state| state.refuse.clear());
    };
    let (result, ()) = tokio::join!(logging_in, user);
    assert_eq!(result, TRY_AGAIN);
    assert!(shown.lock().unwrap().contains("ABCD-EFGH"));
    assert_eq!(world.grants(grant).len(), 4);

    let world_2 = World::new();
    world_2.with(|state| state.refuse.insert(grant.into(), "access_denied".into()));
    let paste = Paste::new(|_| {}, async || None);
    let client = world_2.equip(OAuthClient::device(SERVER, paste)).build().unwrap();
    let refused = refuse(&client, 401, "Bearer").await;
    assert!(matches!(refused, Err(OAuthError::Refused { .. })), "{refused:?}");
}

#[test]
fn servers_that_get_no_token() {
    let build = |url: &str| {
        let client = RegisteredClient::public(ONE, "us");
        OAuthClient::service(url, client).build().map(|client| client.server().to_owned())
    };
    assert_eq!(build("https://mcp.example/mcp#part").unwrap(), "https://mcp.example/mcp");
    assert!(build("http://127.0.0.1:8000/mcp").is_ok());
    for url in ["http://mcp.example/mcp", "http://10.0.0.1/", "mcp.example", "ftp://mcp.example"] {
        assert!(build(url).is_err(), "{url}");
    }
    for id in ["http://app.example/client.json", "https://app.example", "https://app.example/"] {
        let ask = AskWith::new(REDIRECT, async |_| Err(InteractionError::Declined));
        let built = OAuthClient::interactive(SERVER, ask).client_metadata_url(id).build();
        assert!(built.is_err(), "{id}");
    }
}

/// What Microsoft documents of Entra ID and Auth0 of itself, played by the issuer of these tests.
#[tokio::test]
async fn issuers_with_a_dialect() {
    let dialect = |of: RegisteredClient| RegisteredClient::public(ONE, "us").dialect(of.dialect);
    let nothing = ClientAuthentication::None;
    let entra = RegisteredClient::entra("tenant", "app", "us", nothing.clone());
    assert_eq!(entra.issuer, "https://login.microsoftonline.com/tenant/v2.0");
    let unsaid = json!({
        "code_challenge_methods_supported": null, "scopes_supported": ["offline_access"],
    });
    for (client, fine) in [(RegisteredClient::public(ONE, "us"), false), (dialect(entra), true)] {
        let world = World::new();
        world.with(|state| state.metadata = unsaid.clone());
        let user = world.user().registered(client.clone()).build().unwrap();
        assert_eq!(refuse(&user, 401, r#"Bearer scope="api://app/read""#).await.is_ok(), fine);
        if fine {
            let visited = &world.visited()[0];
            assert_eq!(visited["code_challenge_method"], "S256");
            assert!(!visited.contains_key("resource") && !visited.contains_key("prompt"));
            assert!(!world.grants("authorization_code")[0].0.contains_key("resource"));
            let service = world.equip(OAuthClient::service(SERVER, client)).build().unwrap();
            refuse(&service, 401, r#"Bearer scope="api://app/read""#).await.unwrap();
            let form = &world.grants("client_credentials")[0].0;
            assert_eq!(form["scope"], "api://app/.default");
        }
    }
    // What an issuer does say counts.
    let world = World::new();
    world.with(|state| state.metadata = json!({"code_challenge_methods_supported": ["plain"]}));
    let entra = RegisteredClient::entra("tenant", "app", "us", nothing.clone());
    let user = world.user().registered(dialect(entra)).build().unwrap();
    assert!(refuse(&user, 401, "Bearer").await.is_err());

    let auth0 = RegisteredClient::auth0("https://acme.eu.auth0.com/", "urn:api", "us", nothing);
    assert_eq!(auth0.issuer, "https://acme.eu.auth0.com/");
    let world = World::new();
    let user = world.user().registered(dialect(auth0)).build().unwrap();
    refuse(&user, 401, "Bearer").await.unwrap();
    let (visited, form) = (&world.visited()[0], &world.grants("authorization_code")[0].0);
    for pairs in [visited, form] {
        assert_eq!((&*pairs["audience"], &*pairs["resource"]), ("urn:api", SERVER));
    }
}

/// At Entra the scopes say for whom a token is, so a server that names those of another API would be
/// shown a token for that one.
#[tokio::test]
async fn no_server_gets_a_token_for_another_api() {
    let entra = RegisteredClient::entra("tenant", "app", "us", ClientAuthentication::None);
    let entra = RegisteredClient::public(ONE, "us").dialect(entra.dialect);
    let mail = "https://graph.example/Mail.Read";
    let foreign =
        |answer| matches!(answer, Err(OAuthError::ForeignScope { scope, .. }) if scope == mail);
    let challenge = r#"Bearer scope="read https://graph.example/Mail.Read""#;

    let world = World::new();
    let user = world.user().registered(entra.clone()).build().unwrap();
    assert!(foreign(refuse(&user, 401, challenge).await));
    let known = world.user().registered(entra.clone()).build().unwrap();
    refuse(&known, 401, r#"Bearer scope="read""#).await.unwrap();
    let more = r#"Bearer error="insufficient_scope", scope="https://graph.example/Mail.Read""#;
    assert!(foreign(refuse(&known, 403, more).await));
    assert_eq!(world.visited().len(), 1);
    assert_eq!(world.visited()[0]["scope"], "api://app/read");

    let world = World::new();
    world.with(|state| state.resource = json!({ "scopes_supported": [mail] }));
    let user = world.user().registered(entra.clone()).build().unwrap();
    assert!(foreign(refuse(&user, 401, "Bearer").await));
    assert!(world.visited().is_empty());

    // Who wrote the program may know better.
    let user = world.user().registered(entra).scopes([mail]).build().unwrap();
    assert_eq!(refuse(&user, 401, "Bearer").await, TRY_AGAIN);
    assert_eq!(world.visited()[0]["scope"], mail);
}

#[tokio::test]
async fn a_registration_that_the_issuer_forgot_is_made_anew() {
    let world = World::new();
    let client = world.user().build().unwrap();
    world.with(|state| state.refuse.insert("authorization_code".into(), "invalid_client".into()));
    assert!(refuse(&client, 401, "Bearer").await.is_err());
    world.with(|state| state.refuse.clear());
    assert_eq!(refuse(&client, 401, "Bearer").await, TRY_AGAIN);
    let visited = world.visited();
    assert_ne!(visited[0]["client_id"], visited[1]["client_id"]);
}

#[tokio::test]
async fn a_server_that_names_nobody() {
    let world = World::new();
    let ask = AskWith::new(REDIRECT, async |_| Err(InteractionError::Declined));
    let client = OAuthClient::interactive("https://keys.example/mcp", ask);
    let client = world.equip(client).build().unwrap();
    let (uri, headers) = ("https://keys.example/mcp".parse().unwrap(), HeaderMap::new());
    let status = StatusCode::UNAUTHORIZED;
    let refusal = Refusal { uri: &uri, status, headers: &headers, authorization: None, attempt: 0 };
    let refused = client.react(refusal).await;
    assert_eq!(refused, Err(OAuthError::NoAuthorizationServer("https://keys.example/mcp".into())));
}
