//! Each fault of a provider, at the step that names it.

use super::*;
use crate::FetchResponse;
use crate::scripted::Scripted;

const METADATA: &str = "https://auth.example/.well-known/oauth-authorization-server";

const KEY: &str = r#"{"kty":"EC","crv":"P-256","kid":"a",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;

fn metadata() -> String {
    r#"{"issuer":"https://auth.example","authorization_endpoint":"https://auth.example/authorize",
        "token_endpoint":"https://auth.example/token","jwks_uri":"https://auth.example/jwks",
        "token_endpoint_auth_methods_supported":["client_secret_basic","none"],
        "code_challenge_methods_supported":["S256"],"scopes_supported":["notes:read"],
        "authorization_response_iss_parameter_supported":true}"#
        .to_owned()
}

/// A provider in which all is well.
fn provider() -> Scripted {
    let fetch = Scripted::default();
    fetch.text(METADATA, metadata());
    fetch.text("https://auth.example/jwks", format!(r#"{{"keys":[{KEY}]}}"#));
    fetch.says("https://auth.example/token", FetchResponse::new(401, Vec::new()));
    fetch
}

fn client() -> RegisteredClient {
    RegisteredClient::with_secret("https://auth.example", "client", "correct horse battery")
}

async fn asked(fetch: Scripted, client: &RegisteredClient, scopes: &[&str]) -> ProviderReport {
    let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    OAuthValidator::new(Arc::new(fetch)).validate_provider(client, &scopes).await
}

#[tokio::test]
async fn all_is_well() {
    let report = asked(provider(), &client(), &["notes:read"]).await;
    assert!(report.configuration_valid && report.is_reachable, "{report:?}");
    assert_eq!(report.score, 100, "{report:?}");
    assert!(report.steps.iter().any(|step| step.what == "it publishes 1 usable key: ES256"));
}

#[tokio::test]
async fn nothing_secret_is_sent_and_nothing_is_shown() {
    let fetch = Arc::new(provider());
    let report = OAuthValidator::new(fetch.clone()).validate_provider(&client(), &[]).await;
    let last = fetch.last();
    assert_eq!(
        (last.url.as_str(), &last.body[..]),
        ("https://auth.example/token", &b"grant_type=client_credentials"[..])
    );
    assert!(!last.headers.iter().any(|(name, _)| name == "authorization"));
    assert!(!serde_json::to_string(&report).unwrap().contains("correct horse"));
}

/// What is wrong, by the step that says so and by whose fault it is.
#[tokio::test]
async fn each_fault_is_put_where_it_belongs() {
    type Break = fn(&Scripted, &mut RegisteredClient);
    let cases: [(&str, Whose, bool, Break); 10] = [
        ("CLIENT_ID", Whose::Settings, true, |_, client| client.id.clear()),
        ("ISSUER", Whose::Settings, false, |_, client| {
            client.issuer = "http://auth.example".into()
        }),
        ("METADATA", Whose::Network, false, |fetch, _| fetch.fails(METADATA)),
        ("METADATA", Whose::Settings, false, |_, client| client.issuer.push_str("/tenant")),
        ("METADATA", Whose::Settings, false, |_, client| client.issuer.push('/')),
        ("METADATA", Whose::Provider, false, |fetch, _| {
            fetch.text(
                METADATA,
                metadata().replace("https://auth.example/token", "http://auth.example/token"),
            );
        }),
        ("KEYS", Whose::Provider, true, |fetch, _| {
            fetch.text("https://auth.example/jwks", r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#);
        }),
        ("KEYS", Whose::Provider, true, |fetch, _| {
            let private = KEY.replace(r#""kid":"a""#, r#""kid":"a","d":"AA""#);
            fetch.text("https://auth.example/jwks", format!(r#"{{"keys":[{private}]}}"#));
        }),
        ("AUTHENTICATION", Whose::Settings, true, |fetch, _| {
            fetch.text(METADATA, metadata().replace("client_secret_basic", "private_key_jwt"));
        }),
        ("TOKEN_ENDPOINT", Whose::Provider, true, |fetch, _| {
            fetch.text("https://auth.example/token", r#"{"access_token":"for nothing"}"#);
        }),
    ];
    for (code, whose, reached, make) in cases {
        let (fetch, mut client) = (provider(), client());
        make(&fetch, &mut client);
        let report = asked(fetch, &client, &[]).await;
        let failed: Vec<_> =
            report.steps.iter().filter(|step| step.outcome == Outcome::Failed).collect();
        assert_eq!(failed.len(), 1, "{code}: {report:?}");
        assert_eq!((failed[0].code, failed[0].whose), (code, Some(whose)), "{report:?}");
        assert!(failed[0].advice.is_some());
        assert_eq!(report.is_reachable, reached, "{code}");
        assert_eq!(report.configuration_valid, whose != Whose::Settings, "{code}");
        assert!(report.score < 100);
    }
}

#[tokio::test]
async fn what_could_be_better_is_a_warning() {
    let fetch = provider();
    let text = metadata()
        .replace(r#"["S256"]"#, r#"["plain"]"#)
        .replace("supported\":true", "supported\":false");
    fetch.text(METADATA, text);
    let report = asked(fetch, &client(), &["notes:write"]).await;
    let warned = report.steps.iter().filter(|step| step.outcome == Outcome::Warned);
    let warned: Vec<_> = warned.map(|step| step.code).collect();
    assert_eq!(warned, ["PKCE", "ISSUER_IN_ANSWERS", "SCOPES"]);
    assert!(report.configuration_valid && report.is_reachable);

    let mut entra = client();
    entra.dialect.s256_unsaid = true;
    let fetch = provider();
    fetch.text(METADATA, metadata().replace(r#"["S256"]"#, "[]"));
    let report = asked(fetch, &entra, &[]).await;
    assert!(report.steps.iter().any(|step| step.code == "PKCE" && step.outcome == Outcome::Passed));
}
