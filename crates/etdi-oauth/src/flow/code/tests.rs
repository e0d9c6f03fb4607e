//! What a request says, and which answers are believed.

use super::*;

const ISSUER: &str = "https://auth.example";

fn server() -> ServerMetadata {
    ServerMetadata {
        issuer: ISSUER.to_owned(),
        authorization_endpoint: Some("https://auth.example/authorize?tenant=1".to_owned()),
        code_challenge_methods_supported: Some(vec!["plain".to_owned(), "S256".to_owned()]),
        ..ServerMetadata::default()
    }
}

fn request_to(server: &ServerMetadata) -> Result<AuthorizationRequest, OAuthError> {
    let scopes = ["files:read".to_owned(), "files:write".to_owned()];
    let redirect = "http://127.0.0.1:4000/callback";
    let client = RegisteredClient::public(ISSUER, "s6BhdRkqt3");
    AuthorizationRequest::new(server, &client, redirect, "https://mcp.example", &scopes)
}

fn pairs(request: &AuthorizationRequest) -> std::collections::BTreeMap<String, String> {
    let url = Url::parse(request.url().as_str()).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

#[test]
fn a_request_says_all_that_it_has_to() {
    let request = request_to(&server()).unwrap();
    let pairs = pairs(&request);
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "s6BhdRkqt3"),
        ("redirect_uri", "http://127.0.0.1:4000/callback"),
        ("code_challenge_method", "S256"),
        ("resource", "https://mcp.example"),
        ("scope", "files:read files:write"),
    ] {
        assert_eq!(pairs[name], value);
    }
    let digest = Digest::of_bytes(request.verifier.expose().as_bytes());
    assert_eq!(pairs["code_challenge"], URL_SAFE_NO_PAD.encode(digest.as_bytes()));
    assert_eq!((pairs["state"].len(), request.verifier.expose().len()), (43, 43));
    let other = request_to(&server()).unwrap();
    assert!(!other.url().is_answered_by(&format!("state={}", pairs["state"])));
    let shown = format!("{request:?}");
    assert!(!shown.contains(&pairs["state"]) && !shown.contains(request.verifier.expose()));
}

#[test]
fn without_s256_nothing_is_asked() {
    for methods in [None, Some(vec![]), Some(vec!["plain".to_owned()])] {
        let server = ServerMetadata { code_challenge_methods_supported: methods, ..server() };
        assert!(matches!(request_to(&server), Err(OAuthError::NotOffered { .. })));
    }
}

#[test]
fn an_endpoint_cannot_choose_what_is_asked() {
    for url in [
        "https://auth.example/authorize?redirect_uri=https://evil.example/",
        "https://auth.example/authorize?scope=admin",
        "https://auth.example/authorize?code_challenge_method=plain",
        "javascript:alert(document.domain)",
        "http://auth.example/authorize",
    ] {
        let server = ServerMetadata { authorization_endpoint: Some(url.to_owned()), ..server() };
        assert!(matches!(request_to(&server), Err(OAuthError::Endpoint { .. })), "{url}");
    }
}

/// The table of 2026-07-28, "Authorization Response Validation", with look-alikes.
#[test]
fn who_answers_is_who_was_asked() {
    for (advertised, iss, fine) in [
        (Some(true), Some(ISSUER), true),
        (Some(true), None, false),
        (None, Some(ISSUER), true),
        (None, None, true),
        (Some(false), None, true),
        (Some(false), Some("https://evil.example"), false),
        (None, Some("https://evil.example"), false),
        (Some(true), Some("https://auth.example/"), false),
        (Some(true), Some("https://AUTH.example"), false),
        (Some(true), Some("https://auth.example:443"), false),
        (Some(true), Some("https://auth.exampl%65"), false),
        (Some(true), Some(""), false),
    ] {
        let metadata = ServerMetadata {
            authorization_response_iss_parameter_supported: advertised,
            ..server()
        };
        let request = request_to(&metadata).unwrap();
        let state = &pairs(&request)["state"];
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("code", "SplxlOBeZQQYbYS6WxSbIA").append_pair("state", state);
        if let Some(iss) = iss {
            query.append_pair("iss", iss);
        }
        let answer = format!("http://127.0.0.1:4000/callback?{}", query.finish());
        let code = request.code(&answer);
        assert_eq!(code.is_ok(), fine, "{advertised:?} {iss:?}");
        if !fine {
            assert!(matches!(code, Err(OAuthError::ResponseIssuer { .. })), "{code:?}");
        }
    }
}

#[test]
fn answers_that_are_none() {
    let request = request_to(&server()).unwrap();
    let state = pairs(&request)["state"].clone();
    let other = pairs(&request_to(&server()).unwrap())["state"].clone();
    assert_eq!(request.code(&format!("code=a&state={state}")).unwrap().expose(), "a");
    for answer in [
        String::new(),
        "code=a".to_owned(),
        "code=a&state=".to_owned(),
        format!("code=a&state={other}"),
        format!("code=a&state={state}x"),
        format!("state={state}"),
        format!("code=&state={state}"),
        format!("code=a&state={state}&code=b"),
        format!("code=a&state={state}&state={other}"),
        format!("code=a&state={state}&iss={ISSUER}&iss={ISSUER}"),
        format!("http://127.0.0.1:4000/callback#code=a&state={state}"),
        format!("code={}&state={state}", "a".repeat(20_000)),
    ] {
        let code = request.code(&answer);
        assert!(matches!(code, Err(OAuthError::Response(_))), "{answer}: {code:?}");
    }
}

#[test]
fn nothing_of_a_foreign_refusal_is_shown() {
    let request = request_to(&server()).unwrap();
    let state = pairs(&request)["state"].clone();
    let refusal = "error=access_denied&error_description=call+555+now";
    let error = request.code(&format!("{refusal}&state={state}")).unwrap_err();
    let ours = "`https://auth.example` ended the login: access_denied: call 555 now";
    assert_eq!(error.to_string(), ours);
    for more in ["&iss=https%3A%2F%2Fevil.example", "&state=x"] {
        let text = request.code(&format!("{refusal}&state={state}{more}")).unwrap_err().to_string();
        assert!(!text.contains("555") && !text.contains("access_denied"), "{text}");
    }
    let escaped = request.code(&format!("error=%1b%5b2J&state={state}")).unwrap_err().to_string();
    assert!(!escaped.contains('\u{1b}'), "{escaped}");
}
