//! Where documents are looked for, and whose they must be.

use super::*;
use crate::FetchResponse;
use crate::scripted::Scripted;

const SERVER: &str = "https://mcp.example/public/mcp";

fn resource(name: &str) -> String {
    format!(r#"{{"resource":"{name}","authorization_servers":["https://auth.example"]}}"#)
}

#[tokio::test]
async fn the_path_form_comes_before_the_root() {
    let fetch = Scripted::default();
    assert_eq!(ResourceMetadata::find(&fetch, SERVER, None).await, Ok(None));
    let path = "https://mcp.example/.well-known/oauth-protected-resource/public/mcp";
    let root = "https://mcp.example/.well-known/oauth-protected-resource";
    assert_eq!(fetch.asked(), [path, root]);

    fetch.text(root, resource("https://mcp.example"));
    let found = ResourceMetadata::find(&fetch, SERVER, None).await.unwrap().unwrap();
    assert_eq!(found.resource, "https://mcp.example", "no slash is added");

    fetch.text(path, resource(SERVER));
    fetch.forget();
    ResourceMetadata::find(&fetch, SERVER, None).await.unwrap().unwrap();
    assert_eq!(fetch.asked(), [path]);
}

#[tokio::test]
async fn what_is_announced_counts_alone() {
    let fetch = Scripted::default();
    let announced = "https://mcp.example/custom.json";
    fetch.text(
        "https://mcp.example/.well-known/oauth-protected-resource/public/mcp",
        resource(SERVER),
    );
    let found = ResourceMetadata::find(&fetch, SERVER, Some(announced)).await;
    assert!(matches!(found, Err(OAuthError::Metadata { .. })), "{found:?}");
    assert_eq!(fetch.asked(), [announced]);

    // A server that does not answer says nothing about what it publishes.
    fetch.says(announced, FetchResponse::new(503, Vec::new()));
    assert!(ResourceMetadata::find(&fetch, SERVER, Some(announced)).await.is_err());
    fetch.forget();
    fetch.fails("https://mcp.example/.well-known/oauth-protected-resource/public/mcp");
    assert!(ResourceMetadata::find(&fetch, SERVER, None).await.is_err());
    assert_eq!(fetch.asked().len(), 1);
}

/// One who has a part of a host must not get a token for the whole by saying that it is the whole.
#[tokio::test]
async fn a_resource_that_is_wider_says_so_itself() {
    let fetch = Scripted::default();
    let root = "https://mcp.example/.well-known/oauth-protected-resource";
    let tenant = "https://mcp.example/.well-known/oauth-protected-resource/public/mcp";
    let elsewhere = "https://evil.example/resource.json";
    let find = async |announced| ResourceMetadata::find(&fetch, SERVER, announced).await;
    for place in [elsewhere, tenant] {
        fetch.text(place, resource("https://mcp.example/"));
        let found = find(Some(place)).await;
        assert!(matches!(found, Err(OAuthError::OtherResource { .. })), "{place}: {found:?}");
    }
    fetch.text(root, resource("https://mcp.example/other"));
    assert!(matches!(find(Some(tenant)).await, Err(OAuthError::OtherResource { .. })));

    // What the whole says of itself counts, and nothing else of what was announced.
    let honest =
        r#"{"resource":"https://mcp.example/","authorization_servers":["https://honest.example"]}"#;
    fetch.text(root, honest);
    for place in [elsewhere, tenant] {
        let found = find(Some(place)).await.unwrap().unwrap();
        assert_eq!(found.issuers().collect::<Vec<_>>(), ["https://honest.example"], "{place}");
    }
    // About the server alone it may stand anywhere.
    fetch.text(elsewhere, resource(SERVER));
    fetch.forget();
    find(Some(elsewhere)).await.unwrap().unwrap();
    assert_eq!(fetch.asked(), [elsewhere]);
}

#[test]
fn a_resource_stands_for_what_lies_in_it() {
    for (published, fine) in [
        (SERVER, true),
        ("https://mcp.example", true),
        ("https://mcp.example/", true),
        ("https://mcp.example/public", true),
        ("https://mcp.example/public/", true),
        ("https://mcp.example/pub", false),
        ("https://mcp.example/public/mcp/more", false),
        ("https://mcp.example/public?x", false),
        ("https://mcp.example/public#x", false),
        ("https://mcp.example:8443/public", false),
        ("http://mcp.example/public", false),
        ("https://mcp.example.evil.example/public/mcp", false),
        ("https://evil.example/public/mcp", false),
        ("https://user@mcp.example/public/mcp", false),
        ("mcp.example", false),
        ("", false),
    ] {
        assert_eq!(covers(published, SERVER), fine, "{published}");
    }
}

#[tokio::test]
async fn the_documents_of_an_issuer_in_their_order() {
    let fetch = Scripted::default();
    assert!(ServerMetadata::find(&fetch, "https://auth.example", false).await.is_err());
    assert!(ServerMetadata::find(&fetch, "https://auth.example/tenant1", false).await.is_err());
    assert_eq!(
        fetch.asked(),
        [
            "https://auth.example/.well-known/oauth-authorization-server",
            "https://auth.example/.well-known/openid-configuration",
            "https://auth.example/.well-known/oauth-authorization-server/tenant1",
            "https://auth.example/.well-known/openid-configuration/tenant1",
            "https://auth.example/tenant1/.well-known/openid-configuration",
        ]
    );
}

#[tokio::test]
async fn an_issuer_is_itself_to_the_byte() {
    let asked = "https://auth.example";
    for (found, fine) in [
        (asked, true),
        ("https://auth.example/", false),
        ("https://AUTH.example", false),
        ("https://auth.example:443", false),
        ("https://honest.example", false),
        ("https://auth.example/tenant1", false),
        ("", false),
    ] {
        let fetch = Scripted::default();
        fetch.text(
            "https://auth.example/.well-known/oauth-authorization-server",
            format!(r#"{{"issuer":"{found}"}}"#),
        );
        let result = ServerMetadata::find(&fetch, asked, false).await;
        assert_eq!(result.is_ok(), fine, "{found}");
        if !fine {
            assert!(matches!(result, Err(OAuthError::OtherIssuer { .. })), "{result:?}");
        }
    }
}

#[tokio::test]
async fn endpoints_are_https_or_of_this_computer() {
    for (name, url, loopback, fine) in [
        ("token_endpoint", "https://auth.example/token", false, true),
        ("token_endpoint", "http://auth.example/token", false, false),
        ("token_endpoint", "http://auth.example/token", true, false),
        ("token_endpoint", "http://127.0.0.1/token", false, false),
        ("token_endpoint", "http://127.0.0.1/token", true, true),
        ("authorization_endpoint", "javascript:alert(1)", true, false),
        ("authorization_endpoint", "file:///etc/passwd", true, false),
        ("authorization_endpoint", "https://a@evil.example/", true, false),
        ("registration_endpoint", "http://auth.example/register", true, false),
        ("revocation_endpoint", "ftp://auth.example/", true, false),
        ("device_authorization_endpoint", "http://auth.example/", true, false),
    ] {
        let fetch = Scripted::default();
        fetch.text(
            "https://auth.example/.well-known/oauth-authorization-server",
            format!(r#"{{"issuer":"https://auth.example","{name}":"{url}"}}"#),
        );
        let result = ServerMetadata::find(&fetch, "https://auth.example", loopback).await;
        assert_eq!(result.is_ok(), fine, "{name} {url}");
    }
}

#[tokio::test]
async fn documents_that_no_client_can_use() {
    for text in [
        "[]",
        "{",
        r#"{"issuer":"https://auth.example","issuer":"https://auth.example"}"#,
        r#"{"issuer":["https://auth.example"]}"#,
        r#"{"issuer":"https://auth.example","code_challenge_methods_supported":"S256"}"#,
    ] {
        let fetch = Scripted::default();
        fetch.text("https://auth.example/.well-known/oauth-authorization-server", text);
        let result = ServerMetadata::find(&fetch, "https://auth.example", false).await;
        assert!(matches!(result, Err(OAuthError::Metadata { .. })), "{text}: {result:?}");
    }
    let fetch = Scripted::default();
    for issuer in ["https://auth.example?x", "https://auth.example/#x", "http://auth.example", ""] {
        assert!(ServerMetadata::find(&fetch, issuer, true).await.is_err(), "{issuer}");
    }
    assert!(fetch.asked().is_empty());
}
