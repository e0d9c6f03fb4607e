//! A protected server over HTTP, in this process.

mod bound_to_a_key;

use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use http::{Request, Response, header};
use http_body_util::BodyExt as _;
use mcp_transport::http::server::{ResponseBody, RestServer};
use mcp_types::{
    BoxFuture, CallToolResult, ClientRequest, DiscoverResult, ErrorObject, Exchange,
    ExchangeFuture, JsonSchema, ListToolsResult, Listed, Outcome, Principal, RawText,
    ServerCapabilities, ServerResult, Sought, Tool,
};
use serde_json::{Value, json};
use tower_service::Service;

use etdi_core::request::TokenBinding;
use mcp_types::{ClientCertificate, TokenClaims};

use super::*;
use crate::scripted::Scripted;
use crate::{Confirmation, Issuer, JwtVerifier, TokenRefusal, VerifiedToken};

const NOW: UnixTime = UnixTime(1_800_000_000);
const RESOURCE: &str = "http://localhost:8000/mcp";
const ISSUER: &str = "https://id.example";
const METADATA: &str = "http://localhost:8000/.well-known/oauth-protected-resource/mcp";

/// `open` is for everybody, `write` needs a scope; each says who calls.
#[derive(Clone)]
struct Tools;

impl Service<Exchange> for Tools {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        Box::pin(async move {
            Ok(Outcome::from(match &exchange.request {
                ClientRequest::ListTools(_) => {
                    let tools = [("open", None), ("write", Some(r#"["notes:write"]"#))];
                    let mut listed = Vec::new();
                    for (name, scopes) in tools {
                        let mut tool = Tool::new(name, JsonSchema::empty_object());
                        if let Some(scopes) = scopes {
                            let mut meta = mcp_types::Meta::default();
                            meta.insert(etdi_core::wire::SCOPES, RawText::new(scopes).unwrap());
                            tool.meta = Some(meta);
                        }
                        listed.push(Arc::new(Listed::new(tool).unwrap()));
                    }
                    let mut page = ListToolsResult::new(listed.into());
                    page.cache_scope = Some(mcp_types::CacheScope::Public);
                    ServerResult::ListTools(page)
                }
                ClientRequest::CallTool(_) => {
                    let extensions = &exchange.context.extensions;
                    let who = extensions.get::<Principal>().unwrap();
                    let bound = extensions.get::<TokenBinding>().is_some();
                    let claims: Option<Value> =
                        extensions.get::<TokenClaims>().map(|claims| claims.read().unwrap());
                    let own = claims.map(|claims| claims["department"].clone());
                    let said = format!("{} of {} {bound} {own:?}", who.subject, who.issuer);
                    ServerResult::CallTool(CallToolResult::text(said))
                }
                _ => DiscoverResult::new(ServerCapabilities::new(), Vec::new()).into(),
            }))
        })
    }
}

struct World {
    key: SigningKey,
    fetch: Arc<Scripted>,
}

impl World {
    fn new() -> Self {
        let (key, fetch) =
            (SigningKey::generate(Algorithm::Es256).unwrap(), Arc::new(Scripted::default()));
        let keys = format!(r#"{{"keys":[{}]}}"#, key.verifying_key().to_jwk());
        fetch.text("https://id.example/jwks", keys);
        Self { key, fetch }
    }

    fn protected(&self) -> Protected {
        let issuer = Issuer::new(ISSUER, RESOURCE).jwks_uri("https://id.example/jwks");
        let verifier = JwtVerifier::new(issuer, self.fetch.clone()).unwrap();
        Protected::new(RESOURCE, verifier).unwrap().clock(Clock::new(|| NOW)).bind_signed_calls()
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let kid = self.key.id().to_string();
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": kid });
        let mut claims = json!({
            "iss": ISSUER, "aud": RESOURCE, "sub": "ada", "client_id": "console",
            "exp": NOW.0 + 600, "scope": "notes:read", "department": "sales",
        });
        change(&mut claims);
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn request(method: &str, name: &str, headers: &[(&str, &str)]) -> Request<String> {
    let envelope = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;
    let params = if name.is_empty() { String::new() } else { format!(r#""name":"{name}","#) };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{{{params}{envelope}}}}}"#
    );
    let mut request = Request::post("/mcp")
        .header("host", "localhost:8000")
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
    request.body(body).unwrap()
}

async fn read(answer: Response<ResponseBody>) -> (u16, String, String) {
    let (head, mut body) = answer.into_parts();
    let mut text = Vec::new();
    while let Some(frame) = body.frame().await {
        text.extend(frame.unwrap().into_data().unwrap());
    }
    let challenge = head.headers.get(header::WWW_AUTHENTICATE);
    let challenge = challenge.map_or_else(String::new, |value| value.to_str().unwrap().to_owned());
    (head.status.as_u16(), challenge, String::from_utf8(text).unwrap())
}

async fn call(server: &HttpServer, name: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
    read(server.serve(request("tools/call", name, headers)).await.unwrap()).await
}

#[tokio::test]
async fn a_token_opens_the_door_and_says_who_calls() {
    let world = World::new();
    let server = world.protected().http(Tools, HttpOptions::default());
    let bearer = format!("Bearer {}", world.token(|_| {}));
    for scheme in [&*bearer, &bearer.replacen("Bearer", "bearer", 1)] {
        let (status, _, body) = call(&server, "open", &[("authorization", scheme)]).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("ada of https://id.example true"), "{body}");
        assert!(body.contains("sales"), "{body}");
    }
    assert_eq!(world.fetch.asked().len(), 1, "the keys, once");
}

#[tokio::test]
async fn a_stranger_is_told_where_to_get_a_token() {
    let world = World::new();
    let protected = world.protected().require(["notes:read"]).unwrap();
    let server = protected.http(Tools, HttpOptions::default());
    let expected = format!(r#"Bearer resource_metadata="{METADATA}", scope="notes:read""#);
    for headers in [&[][..], &[("authorization", "Basic YTpi")]] {
        let (status, challenge, _) = call(&server, "open", headers).await;
        assert_eq!((status, &*challenge), (401, &*expected));
    }
    let in_query = {
        let mut asked = request("tools/call", "open", &[]);
        let token = world.token(|_| {});
        *asked.uri_mut() = format!("/mcp?access_token={token}").parse().unwrap();
        read(server.serve(asked).await.unwrap()).await
    };
    assert_eq!(in_query.0, 401, "a token in a URL is none");

    let get = Request::get("/.well-known/oauth-protected-resource/mcp");
    let get = get.header("host", "localhost:8000").body(String::new()).unwrap();
    let (status, _, body) = read(server.serve(get).await.unwrap()).await;
    let found: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    assert_eq!(
        found,
        json!({
            "resource": RESOURCE, "authorization_servers": [ISSUER],
            "scopes_supported": ["notes:read"], "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": ["ES256", "EdDSA", "RS256", "PS256"],
        })
    );
    for (headers, expected) in [
        (vec![("authorization", "Bearer ")], 400),
        (vec![("authorization", "Bearer a b")], 400),
        (vec![("authorization", "Bearer a"), ("authorization", "Bearer b")], 400),
        (vec![("authorization", "Bearer not-a-token")], 401),
    ] {
        assert_eq!(call(&server, "open", &headers).await.0, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn a_token_that_does_not_count_is_refused_each_time() {
    let world = World::new();
    let server = world.protected().http(Tools, HttpOptions::default());
    let tokens: [(String, &str); 4] = [
        (world.token(|claims| claims["aud"] = json!("https://other.example")), "another server"),
        (world.token(|claims| claims["exp"] = json!(NOW.0 - 600)), "expired"),
        (world.token(|claims| claims["iss"] = json!("https://evil.example")), "another issuer"),
        (
            world.token(|claims| claims["cnf"] = json!({ "jkt": world.key.id().to_string() })),
            "bound to a key",
        ),
    ];
    for (token, why) in tokens {
        let bearer = format!("Bearer {token}");
        for _ in 0..2 {
            let (status, challenge, body) =
                call(&server, "open", &[("authorization", &bearer)]).await;
            assert_eq!(status, 401, "{why}: {body}");
            let named = challenge.contains("error=\"invalid_token\"") && challenge.contains(why);
            assert!(named && challenge.contains(METADATA), "{challenge}");
            assert!(!challenge.contains(&token), "{challenge}");
        }
    }
}

#[tokio::test]
async fn a_tool_with_scopes_is_for_those_who_hold_them() {
    let world = World::new();
    let protected = world.protected().implies("notes:admin", ["notes:write"]);
    let server = protected.http(Tools, HttpOptions::default());
    let bearer =
        |scope: &str| format!("Bearer {}", world.token(|claims| claims["scope"] = json!(scope)));
    let list = async |bearer: &str| {
        let asked = request("tools/list", "", &[("authorization", bearer)]);
        read(server.serve(asked).await.unwrap()).await.2
    };
    let (reader, writer, admin) =
        (bearer("notes:read"), bearer("notes:write"), bearer("notes:admin"));
    // Before anybody has listed.
    let (status, challenge, body) = call(&server, "write", &[("authorization", &reader)]).await;
    assert_eq!(status, 403, "{body}");
    let error = r#"scope="notes:write", error="insufficient_scope""#;
    assert!(challenge.contains(error) && challenge.contains(METADATA), "{challenge}");
    assert!(body.contains(r#""requiredScopes":["notes:write"]"#), "{body}");
    assert_eq!(call(&server, "open", &[("authorization", &reader)]).await.0, 200);
    for more in [&writer, &admin] {
        assert_eq!(call(&server, "write", &[("authorization", more)]).await.0, 200);
        assert!(list(more).await.contains(r#""name":"write""#));
    }
    let seen = list(&reader).await;
    assert!(seen.contains(r#""name":"open""#) && !seen.contains(r#""name":"write""#), "{seen}");
    assert!(seen.contains(r#""cacheScope":"private""#), "nobody else's listing: {seen}");

    let strict = protected.require(["notes:read"]).unwrap().http(Tools, HttpOptions::default());
    let (status, challenge, _) = call(&strict, "open", &[("authorization", &writer)]).await;
    assert_eq!(status, 403);
    assert!(challenge.contains(r#"scope="notes:read", error="insufficient_scope""#), "{challenge}");
    let (_, challenge, _) = call(&strict, "write", &[("authorization", &reader)]).await;
    assert!(challenge.contains(r#"scope="notes:read notes:write""#), "all at once: {challenge}");
}

#[tokio::test]
async fn another_door_has_the_same_lock() {
    let world = World::new();
    let (service, options) = world.protected().door(Tools, HttpOptions::default());
    let mut door = RestServer::with(service, options);
    let asked = |tool: &str, scope: Option<&str>| {
        let request = Request::post(format!("/tools/{tool}"))
            .header(header::HOST, "localhost:8000")
            .header(header::CONTENT_TYPE, "application/json");
        let token = scope.map(|scope| world.token(|claims| claims["scope"] = json!(scope)));
        let request = token.into_iter().fold(request, |request, token| {
            request.header(header::AUTHORIZATION, format!("Bearer {token}"))
        });
        request.body("{}".to_owned()).unwrap()
    };
    for (tool, scope, status) in [
        ("open", None, 401),
        ("open", Some("notes:read"), 200),
        ("write", Some("notes:read"), 403),
        ("write", Some("notes:write"), 200),
    ] {
        let answer = door.call(asked(tool, scope)).await.unwrap();
        let (got, _, body) = read(answer).await;
        assert_eq!(got, status, "{tool} {scope:?}: {body}");
    }
}

/// The attack: a server behind a gateway answers as the gateway would, and names scopes for which the
/// gateway's clients are to log in.
#[tokio::test]
async fn a_service_behind_does_not_choose_what_clients_log_in_for() {
    #[derive(Clone)]
    struct Hostile(&'static [&'static str]);

    impl Service<Exchange> for Hostile {
        type Response = Outcome;
        type Error = ErrorObject;
        type Future = ExchangeFuture;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
            match &exchange.request {
                ClientRequest::CallTool(call) if call.name == "open" => {
                    let error = mcp_transport::http::insufficient_scope("more", self.0);
                    Box::pin(std::future::ready(Err(error)))
                }
                _ => Tools.call(exchange),
            }
        }
    }

    let world = World::new();
    let protected = world.protected().supports(["notes:share"]).unwrap();
    let bearer = format!("Bearer {}", world.token(|claims| claims["scope"] = json!("notes:read")));
    for (said, challenged) in [
        (&["admin"] as &'static [&'static str], ""),
        (&["admin", "notes:share"], r#"scope="notes:share""#),
        (&["notes:write"], ""),
    ] {
        let server = protected.http(Hostile(said), HttpOptions::default());
        let (status, challenge, _) = call(&server, "open", &[("authorization", &bearer)]).await;
        assert_eq!(status, 403);
        assert!(!challenge.contains("admin") && challenge.contains(challenged), "{challenge}");
        assert_eq!(challenge.is_empty(), challenged.is_empty(), "{challenge}");
    }
    // What a tool declares is named once a call of it was refused.
    let server = protected.http(Hostile(&["admin", "notes:write"]), HttpOptions::default());
    for tool in ["write", "open"] {
        let (_, challenge, _) = call(&server, tool, &[("authorization", &bearer)]).await;
        assert!(challenge.contains(r#"scope="notes:write""#), "{challenge}");
    }
}

#[tokio::test]
async fn without_a_principal_no_scope_is_held() {
    let mut service = ScopeLayer::new(Clock::new(|| NOW)).layer(Tools);
    let call = |name: &str| {
        let params = mcp_types::CallToolRequestParams::new(name);
        Exchange::new(ClientRequest::CallTool(params))
    };
    let refused = service.call(call("write")).await.unwrap_err();
    assert_eq!(refused.code, mcp_transport::http::INSUFFICIENT_SCOPE);
    let listing = Exchange::new(ClientRequest::ListTools(Default::default()));
    let Outcome::Complete(ServerResult::ListTools(page)) = service.call(listing).await.unwrap()
    else {
        panic!("no listing")
    };
    assert_eq!(page.tools.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["open"]);
}

/// The attack: what a tool needs is not to be had just now, and it is called all the same.
#[tokio::test]
async fn what_a_tool_needs_is_known_before_it_is_called() {
    /// Lists one empty page after another, without end, and answers every call.
    #[derive(Clone)]
    struct Endless(Arc<std::sync::atomic::AtomicUsize>);

    impl Service<Exchange> for Endless {
        type Response = Outcome;
        type Error = ErrorObject;
        type Future = ExchangeFuture;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
            let result = match &exchange.request {
                ClientRequest::ListTools(_) => {
                    let sought = exchange.context.extensions.get::<Sought>();
                    assert_eq!(sought, Some(&Sought("write".to_owned())));
                    self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let mut page = ListToolsResult::new(Vec::new().into());
                    page.next_cursor = Some("more".to_owned());
                    ServerResult::ListTools(page)
                }
                _ => ServerResult::CallTool(CallToolResult::text("done")),
            };
            Box::pin(async move { Ok(Outcome::from(result)) })
        }
    }

    let pages = Arc::default();
    let mut service = ScopeLayer::new(Clock::new(|| NOW)).layer(Endless(Arc::clone(&pages)));
    let call = ClientRequest::CallTool(mcp_types::CallToolRequestParams::new("write"));
    let error = service.call(Exchange::new(call)).await.unwrap_err();
    assert!(error.message.contains("without end"), "{error:?}");
    assert!(pages.load(std::sync::atomic::Ordering::Relaxed) <= 1_000);
}

#[tokio::test]
async fn keys_of_programs_open_the_door_too() {
    let world = World::new();
    let keys = ApiKeys::new();
    let key = keys.create("build", ["notes:write"], Some(NOW.plus(60)), NOW).unwrap();
    let key = key.expose();
    let alone = Protected::by_api_keys(RESOURCE, keys.clone()).unwrap().clock(Clock::new(|| NOW));
    let server = alone.http(Tools, HttpOptions::default());
    let (status, challenge, _) = call(&server, "open", &[]).await;
    assert_eq!((status, &*challenge), (401, r#"ApiKey header="x-api-key""#));
    let (status, _, body) = call(&server, "write", &[("X-API-Key", key)]).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("build of api-key false None"), "{body}");
    let wrong = key.replace("mcpk_", "mcpk-");
    assert_eq!(call(&server, "open", &[("x-api-key", &wrong)]).await.0, 401);
    let twice = [("x-api-key", key), ("x-api-key", key)];
    assert_eq!(call(&server, "open", &twice).await.0, 400);

    let both = world.protected().api_keys("X-Build-Key", keys.clone()).unwrap();
    let server = both.http(Tools, HttpOptions::default());
    let bearer = format!("Bearer {}", world.token(|_| {}));
    assert_eq!(call(&server, "open", &[("x-build-key", key)]).await.0, 200);
    assert_eq!(call(&server, "open", &[("authorization", &bearer)]).await.0, 200);
    let shown = [("x-build-key", key), ("authorization", &*bearer)];
    assert_eq!(call(&server, "open", &shown).await.0, 400, "one of them");
    keys.revoke("build", NOW).unwrap();
    assert_eq!(call(&server, "open", &[("x-build-key", key)]).await.0, 401);
    for header in ["authorization", "host", "mcp-name", "a b", ""] {
        assert!(world.protected().api_keys(header, keys.clone()).is_err(), "{header}");
    }
}

/// Tokens that are what they are, bound to a certificate.
struct Bound;

impl VerifyToken for Bound {
    fn verify<'a>(
        &'a self,
        _: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        let mut token = VerifiedToken::new(ISSUER, "ada", RESOURCE, now.plus(60));
        let certificate = Some("thumbprint".to_owned());
        let bound = Confirmation { certificate, ..Confirmation::default() };
        token.confirmation = Some(bound);
        Box::pin(async move { Ok(token) })
    }
}

#[tokio::test]
async fn a_token_that_is_bound_to_a_certificate_needs_it_each_time() {
    let server = Protected::new(RESOURCE, Bound).unwrap().clock(Clock::new(|| NOW));
    let server = server.http(Tools, HttpOptions::default());
    for (certificate, expected) in
        [(Some("thumbprint"), 200), (None, 401), (Some("another"), 401), (Some("thumbprint"), 200)]
    {
        let mut asked = request("tools/call", "open", &[("authorization", "Bearer t")]);
        if let Some(certificate) = certificate {
            asked.extensions_mut().insert(Arc::new(ClientCertificate::new(certificate)));
        }
        let (status, _, body) = read(server.serve(asked).await.unwrap()).await;
        assert_eq!(status, expected, "{certificate:?}: {body}");
    }
}

#[test]
fn a_server_is_named_by_a_url_of_its_own() {
    for (url, metadata) in [
        ("https://mcp.example", "https://mcp.example/.well-known/oauth-protected-resource"),
        ("https://mcp.example/", "https://mcp.example/.well-known/oauth-protected-resource"),
        (RESOURCE, METADATA),
    ] {
        assert_eq!(Protected::new(url, Bound).unwrap().metadata_url(), metadata);
    }
    for url in [
        "mcp.example",
        "http://mcp.example/mcp",
        "https://mcp.example/mcp#part",
        "https://mcp.example/mcp?x",
        "https://user@mcp.example/mcp",
    ] {
        assert!(Protected::new(url, Bound).is_err(), "{url}");
    }
    let protected = || Protected::new(RESOURCE, Bound).unwrap();
    assert!(protected().require(["a b"]).is_err() && protected().require(["a\""]).is_err());
}
