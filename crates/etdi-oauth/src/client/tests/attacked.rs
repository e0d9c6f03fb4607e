//! T21 to T29 at a client: what hostile servers and issuers try, and what stays secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Method, Uri};
use mcp_transport::http::Reaction;
use serde_json::json;

use super::world::{ONE, SERVER, TWO, World, header, headers, refuse, serve};
use crate::client::*;
use crate::flow::{ClientAuthentication, RegisteredClient};
use crate::{OAuthError, SecretText};

/// What was sent to an origin, as one text.
fn sent_to(world: &World, origin: &str) -> String {
    world.with(|state| {
        let sent = state.sent.iter().filter(|(url, _)| url.starts_with(origin));
        let shown = |(url, (form, header)): &(String, (_, Option<String>))| {
            let basic = header.as_deref().and_then(|header| header.strip_prefix("Basic "));
            let basic = basic.map(|basic| STANDARD.decode(basic).unwrap());
            let basic = String::from_utf8(basic.unwrap_or_default()).unwrap();
            let form: &std::collections::BTreeMap<String, String> = form;
            format!("{url} {form:?} {basic}\n")
        };
        sent.map(shown).collect()
    })
}

#[tokio::test]
async fn nothing_of_one_issuer_gets_to_another() {
    let world = World::new();
    let client = world.user().build().unwrap();
    refuse(&client, 401, "Bearer").await.unwrap();
    serve(&client);
    // The server names another issuer from now on, its own choice or not.
    world.with(|state| state.issuers = vec![TWO.to_owned()]);
    world.pass(120);
    assert_eq!(refuse(&client, 401, "Bearer").await, Ok(Reaction::TryAgain));
    let two = sent_to(&world, TWO);
    assert!(two.contains("/register") && two.contains("client-3-of-https%3A%2F%2Ftwo"), "{two}");
    assert!(!two.contains("refresh") && !two.contains(ONE), "{two}");
    assert_eq!(world.grants("refresh_token").len(), 0);
    assert!(header(&client).await.unwrap().contains(TWO));
}

/// What a user may do is not for a program that acts for itself, nor the other way round, although both
/// keep their tokens in one place.
#[tokio::test]
async fn nobody_speaks_with_the_tokens_of_another_client() {
    let world = World::new();
    let store: Arc<dyn TokenStore> = Arc::new(MemoryTokens::new());
    let service = |id: &str| {
        let client = RegisteredClient::with_secret(ONE, id, "MARKED-secret-of-one");
        world.equip(OAuthClient::service(SERVER, client)).store(store.clone()).build().unwrap()
    };
    let user = || world.user().store(store.clone()).build().unwrap();
    let first = user();
    refuse(&first, 401, "Bearer").await.unwrap();
    assert_eq!(header(&service("service")).await, None, "the user's");
    service("service").log_out().await.unwrap();
    assert!(header(&user()).await.is_some(), "which is not taken back by it either");
    refuse(&service("service"), 401, "Bearer").await.unwrap();
    assert!(header(&service("service")).await.is_some());
    assert_eq!(header(&service("another")).await, None);
    assert_eq!(header(&user()).await, None, "the program's");
}

#[tokio::test]
async fn a_server_cannot_fish_for_credentials() {
    let evil = |world: &Arc<World>| world.with(|state| state.issuers = vec![TWO.to_owned()]);
    let ours = || RegisteredClient::with_secret(ONE, "us", "MARKED-client-secret");
    let token = || SecretText::new("MARKED-assertion");
    type Make = fn(&Arc<World>, RegisteredClient, SecretText) -> OAuthClientBuilder;
    let makers: [Make; 4] = [
        |world, client, _| world.user().registered(client),
        |_, client, _| OAuthClient::service(SERVER, client),
        |_, client, token| OAuthClient::workload(SERVER, client, token),
        |_, client, token| {
            OAuthClient::enterprise(SERVER, client, RegisteredClient::public(ONE, "idp"), token)
        },
    ];
    for make in makers {
        let world = World::new();
        evil(&world);
        let client = world.equip(make(&world, ours(), token())).build().unwrap();
        let refused = refuse(&client, 401, "Bearer").await;
        assert!(matches!(refused, Err(OAuthError::RegisteredElsewhere { .. })), "{refused:?}");
        assert_eq!(sent_to(&world, "https://"), "");
        // Beside an issuer of ours the foreign one is not asked.
        world.with(|state| state.issuers = vec![TWO.to_owned(), ONE.to_owned()]);
        let _ = refuse(&client, 401, "Bearer").await;
        assert_eq!(sent_to(&world, TWO), "");
    }
}

#[tokio::test]
async fn a_mix_up_ends_before_the_code_is_sent() {
    for iss in [TWO, "https://one.example/", "https://ONE.example", ""] {
        let world = World::new();
        world.with(|state| state.iss = Some(iss.to_owned()));
        let refused = refuse(&world.user().build().unwrap(), 401, "Bearer").await;
        assert!(matches!(refused, Err(OAuthError::ResponseIssuer { .. })), "{iss}: {refused:?}");
        assert_eq!(world.visited().len(), 1);
        assert!(world.grants("authorization_code").is_empty(), "{iss}");
    }
}

#[tokio::test]
async fn a_code_of_somebody_else_is_not_sent() {
    let world = World::new();
    let inject = async |_| {
        Ok("http://127.0.0.1:4000/callback?code=injected&state=guess&iss=https%3A%2F%2Fone.example"
            .to_owned())
    };
    let ask = AskWith::new("http://127.0.0.1:4000/callback", inject);
    let client = world.equip(OAuthClient::interactive(SERVER, ask)).build().unwrap();
    let refused = refuse(&client, 401, "Bearer").await;
    assert!(matches!(refused, Err(OAuthError::Response(_))), "{refused:?}");
    assert!(world.grants("authorization_code").is_empty());
}

#[tokio::test]
async fn metadata_that_leads_astray() {
    for (metadata, resource) in [
        (json!({"issuer": TWO}), json!({})),
        (json!({"issuer": "https://one.example/"}), json!({})),
        (json!({"token_endpoint": "http://one.example/token"}), json!({})),
        (json!({"token_endpoint": "http://127.0.0.1/token"}), json!({})),
        (json!({"registration_endpoint": "http://one.example/register"}), json!({})),
        (json!({"authorization_endpoint": "javascript:alert(1)"}), json!({})),
        (json!({"authorization_endpoint": "http://127.0.0.1/authorize"}), json!({})),
        (json!({"code_challenge_methods_supported": ["plain"]}), json!({})),
        (json!({"code_challenge_methods_supported": null}), json!({})),
        (json!({"token_endpoint": null}), json!({})),
        (json!({"token_endpoint_auth_methods_supported": []}), json!({})),
        (json!({}), json!({"resource": "https://evil.example/mcp"})),
        (json!({}), json!({"resource": "https://mcp.example/mcp/other"})),
        (json!({}), json!({"resource": "https://mcp.example/m"})),
        (json!({}), json!({"authorization_servers": []})),
        (json!({}), json!({"authorization_servers": null})),
        (json!({}), json!({"authorization_servers": ["http://one.example"]})),
        (
            json!({}),
            json!({"authorization_servers": ["file:///etc/passwd", "https://one.example#x"]}),
        ),
    ] {
        let world = World::new();
        world.with(|state| (state.metadata, state.resource) = (metadata.clone(), resource.clone()));
        let refused = refuse(&world.user().build().unwrap(), 401, "Bearer").await;
        assert!(refused.is_err(), "{metadata} {resource}");
        let codes = world.grants("authorization_code").len();
        assert_eq!(codes, 0, "{metadata} {resource}");
    }
}

#[tokio::test]
async fn a_challenge_cannot_name_any_place() {
    for challenge in [
        r#"Bearer resource_metadata="http://mcp.example/metadata""#,
        r#"Bearer resource_metadata="http://127.0.0.1:8080/metadata""#,
        r#"Bearer resource_metadata="file:///etc/passwd""#,
        r#"Bearer resource_metadata="https://user@mcp.example/metadata""#,
    ] {
        let world = World::new();
        let refused = refuse(&world.user().build().unwrap(), 401, challenge).await;
        assert!(matches!(refused, Err(OAuthError::Metadata { .. })), "{challenge}");
        assert!(world.with(|state| state.asked.is_empty()), "{challenge}");
    }
}

#[tokio::test]
async fn a_token_goes_to_its_server_alone() {
    let world = World::new();
    let client = world.user().build().unwrap();
    refuse(&client, 401, "Bearer").await.unwrap();
    for (url, fine) in [
        ("https://mcp.example/mcp", true),
        ("https://MCP.example/messages?session=1", true),
        ("https://mcp.example:443/mcp", true),
        ("http://mcp.example/mcp", false),
        ("https://mcp.example:8443/mcp", false),
        ("https://mcp.example.evil.example/mcp", false),
        ("https://evil.example/mcp", false),
    ] {
        let (uri, mut headers): (Uri, _) = (url.parse().unwrap(), HeaderMap::new());
        client.put(&Method::POST, &uri, &mut headers).await.unwrap();
        assert_eq!(headers.contains_key("authorization"), fine, "{url}");
    }
}

#[tokio::test]
async fn no_secret_is_in_what_is_shown() {
    let mut shown = String::new();
    let mut note = |text: String| shown += &format!("{text}\n");
    // Every refusal at every grant, with the secrets of all kinds on their way.
    let grants = ["authorization_code", "refresh_token", "client_credentials"];
    for error in ["invalid_grant", "invalid_client", "use_dpop_nonce", "MARKED"] {
        let world = World::new();
        let store = Arc::new(MemoryTokens::new());
        let client = world.user().store(store.clone()).build().unwrap();
        note(format!("{:?} {:?}", client, world.user()));
        refuse(&client, 401, "Bearer").await.unwrap();
        note(format!("{client:?} {store:?} {:?}", headers(&client).await));
        let tokens = client.current().unwrap().kept.clone();
        note(format!("{tokens:?}"));
        for grant in grants {
            world.with(|state| state.refuse.insert(grant.to_owned(), error.replace("MARKED", "x")));
        }
        world.pass(4_000);
        note(format!("{:?}", headers(&client).await));
        note(format!("{:?}", refuse(&client, 401, "Bearer").await));
        let secret = RegisteredClient::with_secret(ONE, "us", "MARKED-client-secret");
        note(format!("{secret:?}"));
        let service = world.equip(OAuthClient::service(SERVER, secret)).build().unwrap();
        note(format!("{service:?} {:?}", refuse(&service, 401, "Bearer").await));
    }
    // Answers that hold secrets and break the form.
    for answer in [
        json!({"token_type": "MAC"}),
        json!({"access_token": "MARKED token with blanks"}),
        json!({"expires_in": "MARKED"}),
        json!({"scope": ["MARKED"]}),
    ] {
        let world = World::new();
        world.with(|state| state.answer = answer.clone());
        let refused = refuse(&world.user().build().unwrap(), 401, "Bearer").await;
        let error = refused.expect_err(&answer.to_string());
        note(format!("{error} {error:?} {:?}", super::super::refused(error.clone())));
    }
    // What a store holds that cannot be read.
    let world = World::new();
    let store = Arc::new(MemoryTokens::new());
    store.put(&format!("tokens {SERVER}"), SecretText::new("{\"MARKED\":1")).await.unwrap();
    let client = world.user().store(store.clone()).build().unwrap();
    note(format!("{:?}", headers(&client).await));
    store.put(&format!("client {ONE}"), SecretText::new("MARKED")).await.unwrap();
    let other = world.user().store(store.clone()).build().unwrap();
    note(format!("{:?}", refuse(&other, 401, "Bearer").await));
    for authentication in [
        ClientAuthentication::Secret("MARKED".into()),
        ClientAuthentication::SecretBasic("MARKED".into()),
        ClientAuthentication::SecretPost("MARKED".into()),
    ] {
        note(format!("{:?}", RegisteredClient::new(ONE, "us", authentication)));
    }
    assert!(shown.len() > 2_000, "there was something to look at");
    assert!(!shown.contains("MARKED"), "{shown}");
}
