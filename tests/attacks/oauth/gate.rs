//! What a thief or a greedy client tries at a protected server.

use std::sync::Arc;

use etdi_oauth::resource::Protected;
use etdi_oauth::{ApiKeys, Clock};
use http::{Request, header};
use http_body_util::BodyExt as _;
use mcp_server::{Claims, server, tool};
use mcp_transport::http::server::{HttpOptions, HttpServer};
use mcp_types::ClientCertificate;
use serde_json::{Value, json};

use super::forge::{AUDIENCE, Forged, KEYS, NOW, verifier};

#[derive(serde::Deserialize)]
struct Who {
    sub: String,
}

/// Says who calls.
#[tool]
async fn who(claims: Claims<Who>) -> String {
    claims.sub.clone()
}

/// Reads notes.
#[tool(scopes = ["notes:read"])]
async fn read() -> String {
    "notes".into()
}

/// Deletes everything.
#[tool(scopes = ["notes:admin", "notes:read"])]
async fn wipe() -> String {
    "gone".into()
}

pub(super) fn tools() -> mcp_server::Server {
    server!().tool::<who>().tool::<read>().tool::<wipe>().build().unwrap()
}

fn protected() -> Protected {
    Protected::new(AUDIENCE, verifier()).unwrap().clock(Clock::new(|| NOW))
}

pub(super) fn options() -> HttpOptions {
    HttpOptions::default().allow_host("mcp.example.com")
}

pub(super) fn token(change: impl FnOnce(&mut Forged)) -> String {
    let mut forged = Forged::new();
    change(&mut forged);
    format!("Bearer {}", forged.text())
}

pub(super) fn request(method: &str, name: &str, headers: &[(&str, &str)]) -> Request<String> {
    let mut params = json!({ "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" },
        "io.modelcontextprotocol/clientCapabilities": {},
    } });
    if !name.is_empty() {
        params["name"] = json!(name);
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = Request::post("/mcp")
        .header("host", "mcp.example.com")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", method);
    if !name.is_empty() {
        request = request.header("mcp-name", name);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body.to_string()).unwrap()
}

/// The status, all headers and the text of the answer.
pub(super) async fn sent(server: &HttpServer, request: Request<String>) -> (u16, String, String) {
    let (head, body) = server.serve(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    (head.status.as_u16(), format!("{:?}", head.headers), text)
}

pub(super) async fn call(server: &HttpServer, name: &str, bearer: &str) -> (u16, String, String) {
    sent(server, request("tools/call", name, &[("authorization", bearer)])).await
}

#[tokio::test]
async fn without_a_gate_everybody_calls_everything_and_with_one_nobody_without_a_token() {
    let open = HttpServer::with(tools(), options());
    assert_eq!(sent(&open, request("tools/call", "wipe", &[])).await.0, 200, "the attack works");
    let server = protected().http(tools(), options());
    for method in ["server/discover", "tools/list", "tools/call"] {
        let name = if method == "tools/call" { "wipe" } else { "" };
        let (status, headers, _) = sent(&server, request(method, name, &[])).await;
        assert!(status == 401 && headers.contains("resource_metadata"), "{method}: {status}");
    }
}

#[tokio::test]
async fn a_scope_that_a_token_lacks_is_not_had_by_asking_again() {
    let server = protected().http(tools(), options());
    let reader = token(|_| {});
    let admin = token(|it| it.claim("scope", json!("notes:read notes:admin")));
    assert_eq!(call(&server, "wipe", &admin).await.0, 200);
    // What another one may is no precedent, whatever was kept of it.
    for _ in 0..3 {
        let (status, headers, body) = call(&server, "wipe", &reader).await;
        assert_eq!(status, 403, "{body}");
        assert!(headers.contains("notes:admin notes:read"), "{headers}");
    }
    for scope in ["", "notes:adm", "notes:admin2", "NOTES:ADMIN", "notes:admin,notes:read"] {
        let near = token(|it| it.claim("scope", json!(scope)));
        assert_eq!(call(&server, "wipe", &near).await.0, 403, "{scope}");
    }
    let listed = |bearer: String| {
        let (server, asked) =
            (server.clone(), request("tools/list", "", &[("authorization", &bearer)]));
        async move { sent(&server, asked).await.2 }
    };
    assert!(!listed(reader).await.contains("wipe"));
    assert!(listed(admin).await.contains("wipe"));
}

#[tokio::test]
async fn who_calls_is_said_by_the_token_and_by_nothing_else() {
    let server = protected().http(tools(), options());
    let (ada, eve) = (token(|_| {}), token(|it| it.claim("sub", json!("eve"))));
    for _ in 0..2 {
        assert!(call(&server, "who", &ada).await.2.contains(r#""text":"ada""#));
        assert!(call(&server, "who", &eve).await.2.contains(r#""text":"eve""#));
    }
    // A layer in front that was made for another server does not vouch for anybody here.
    let mut asked = request("tools/call", "who", &[("authorization", &eve)]);
    asked.extensions_mut().insert(mcp_types::Principal::new("https://id.example.com", "ada"));
    assert!(sent(&server, asked).await.2.contains(r#""text":"eve""#));
}

#[tokio::test]
async fn a_session_is_no_use_to_another_token() {
    let server = protected().http(tools(), options());
    let old = |session: Option<&str>, bearer: &str, body: Value| {
        let mut asked = Request::post("/mcp")
            .header("host", "mcp.example.com")
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("authorization", bearer);
        if let Some(session) = session {
            asked = asked.header("mcp-session-id", session);
        }
        asked.body(body.to_string()).unwrap()
    };
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": { "name": "t", "version": "1" },
    } });
    let ada = token(|_| {});
    let begun = server.serve(old(None, &ada, hello)).await.unwrap();
    let id = begun.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let asked =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "wipe" } });
    let eve = token(|it| it.claim("sub", json!("eve")));
    assert_eq!(sent(&server, old(Some(&id), &eve, asked.clone())).await.0, 404);
    let refreshed = token(|it| it.claim("jti", json!("2")));
    let (status, headers, _) = sent(&server, old(Some(&id), &refreshed, asked)).await;
    assert!(status == 403 && headers.contains("insufficient_scope"), "{status} {headers}");
    let bare = json!({ "jsonrpc": "2.0", "id": 2, "method": "ping" });
    let mut stolen = old(Some(&id), &ada, bare);
    stolen.headers_mut().remove(header::AUTHORIZATION);
    assert_eq!(sent(&server, stolen).await.0, 401, "a session is no credential");
}

#[tokio::test]
async fn a_stolen_token_that_is_bound_is_no_use() {
    let server = protected().http(tools(), options());
    let bound = token(|it| it.claim("cnf", json!({ "x5t#S256": "thumbprint" })));
    for (shown, expected) in [(Some("thumbprint"), 200), (None, 401), (Some("thief's"), 401)] {
        let mut asked = request("tools/call", "read", &[("authorization", &bound)]);
        if let Some(shown) = shown {
            asked.extensions_mut().insert(Arc::new(ClientCertificate::new(shown)));
        }
        assert_eq!(sent(&server, asked).await.0, expected, "{shown:?}");
    }
    // As a bearer token, which it is not.
    let key = KEYS.other.id().to_string();
    let bound = token(|it| it.claim("cnf", json!({ "jkt": key })));
    assert_eq!(call(&server, "read", &bound).await.0, 401);
}

#[tokio::test]
async fn a_token_counts_in_the_header_alone_and_is_never_shown() {
    let server = protected().http(tools(), options());
    let bearer = token(|_| {});
    let secret = bearer.strip_prefix("Bearer ").unwrap().to_owned();
    let mut in_query = request("tools/call", "read", &[]);
    *in_query.uri_mut() = format!("/mcp?access_token={secret}").parse().unwrap();
    let mut in_body = request("tools/call", "read", &[]);
    let form = format!("access_token={secret}");
    in_body
        .headers_mut()
        .insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    *in_body.body_mut() = form;
    let cookie = format!("access_token={secret}");
    let cookie = request("tools/call", "read", &[("cookie", &cookie)]);
    let basic = format!("Basic {secret}");
    let basic = request("tools/call", "read", &[("authorization", &basic)]);
    for asked in [in_query, in_body, cookie, basic] {
        assert_eq!(sent(&server, asked).await.0, 401);
    }
    let expired = token(|it| it.claim("exp", json!(1)));
    let (signature, other) =
        (expired.rsplit('.').next().unwrap(), secret.rsplit('.').next().unwrap());
    for asked in [
        request("tools/call", "read", &[("authorization", &expired)]),
        request("tools/call", "wipe", &[("authorization", &bearer)]),
    ] {
        let (_, headers, body) = sent(&server, asked).await;
        let all = format!("{headers}{body}");
        assert!(!all.contains(signature) && !all.contains(other), "{all}");
    }
    let why = etdi_oauth::VerifyToken::verify(&verifier(), &expired[7..], NOW).await.unwrap_err();
    assert!(!format!("{why} {why:?}").contains(signature));
}

#[tokio::test]
async fn a_key_that_is_nearly_right_is_wrong() {
    let keys = ApiKeys::new();
    let key = keys.create("build", ["notes:read"], None, NOW).unwrap();
    let server = Protected::by_api_keys(AUDIENCE, keys).unwrap().clock(Clock::new(|| NOW));
    let server = server.http(tools(), options());
    let ask = async |name: &str, value: &str| {
        sent(&server, request("tools/call", "read", &[(name, value)])).await.0
    };
    let text = key.expose();
    assert_eq!(ask("x-api-key", text).await, 200);
    assert_eq!(ask("X-API-KEY", text).await, 200);
    let bearer = format!("Bearer {text}");
    for (name, value) in [
        ("x-api-key", ""),
        ("x-api-key", &text[..text.len() - 1]),
        ("x-api-key", &text.to_lowercase()),
        ("x-api-key", &*format!("{text}, {text}")),
        ("x-api-key", "mcpk_"),
        ("x-apikey", text),
        ("authorization", text),
        ("authorization", &*bearer),
    ] {
        assert_eq!(ask(name, value).await, 401, "{name}");
    }
    assert_eq!(sent(&server, request("tools/call", "wipe", &[("x-api-key", text)])).await.0, 403);
}
