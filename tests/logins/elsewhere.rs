//! The same, where the user logs in with a provider: one of OpenID, and GitHub, each at its documented
//! paths on this computer.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use axum::Router;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_oauth::embedded::{Allowed, Upstream, Upstreams};
use serde_json::{Value, json};

use super::*;

/// Both providers at one port, and what their codes were asked with.
struct Providers {
    base: String,
    key: SigningKey,
    codes: Mutex<BTreeMap<String, BTreeMap<String, String>>>,
}

fn form(text: &str) -> BTreeMap<String, String> {
    let plain = |text: &str| text.replace("%3A", ":").replace("%2F", "/").replace('+', " ");
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), plain(value))).collect()
}

impl Providers {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        let providers = Arc::new(Self { base, key, codes: Mutex::default() });
        let seen = providers.clone();
        let answer = move |uri: Uri, headers: HeaderMap, body: String| async move {
            seen.answer(&uri, &headers, &body)
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        providers
    }

    fn answer(&self, uri: &Uri, headers: &HeaderMap, body: &str) -> Response {
        let base = &self.base;
        let header = |name: &str| headers.get(name).map_or("", |value| value.to_str().unwrap());
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Value = match uri.path() {
            "/.well-known/openid-configuration" => json!({
                "issuer": base, "authorization_endpoint": format!("{base}/authorize"),
                "token_endpoint": format!("{base}/token"), "jwks_uri": format!("{base}/keys"),
                "authorization_response_iss_parameter_supported": true,
            }),
            "/keys" => {
                let jwk: Value = serde_json::from_str(&self.key.verifying_key().to_jwk()).unwrap();
                json!({ "keys": [jwk] })
            }
            path @ ("/authorize" | "/login/oauth/authorize") => {
                let asked = form(uri.query().unwrap());
                let (code, state) = (format!("code-{}", codes.len()), asked["state"].clone());
                let issuer = format!("{base}{}", path.strip_suffix("/authorize").unwrap());
                let iss = issuer.replace(':', "%3A").replace('/', "%2F");
                let back = format!("{}?code={code}&state={state}&iss={iss}", asked["redirect_uri"]);
                codes.insert(code, asked);
                return (StatusCode::FOUND, [("location", back)]).into_response();
            }
            path @ ("/token" | "/login/oauth/access_token") => {
                let sent = form(body);
                let asked = codes.remove(&sent["code"]).unwrap();
                let digest = Digest::of_bytes(sent["code_verifier"].as_bytes());
                let challenge = URL_SAFE_NO_PAD.encode(digest.as_bytes());
                assert_eq!(asked["code_challenge"], challenge);
                assert_eq!(asked["redirect_uri"], sent["redirect_uri"]);
                assert_eq!(
                    header("accept"),
                    "application/json",
                    "a form is what GitHub gives else"
                );
                let mut answer =
                    json!({ "access_token": "of-the-provider", "token_type": "bearer" });
                if path == "/token" {
                    assert!(header("authorization").starts_with("Basic "));
                    answer["id_token"] = self.id_token(&asked).into();
                } else {
                    assert_eq!(sent["client_secret"], SECRET);
                }
                answer
            }
            path @ ("/api/v3/user" | "/api/v3/user/emails") => {
                assert_eq!(header("authorization"), "Bearer of-the-provider");
                assert!(!header("user-agent").is_empty(), "GitHub answers nobody without a name");
                match path {
                    "/api/v3/user" => json!({ "login": "octocat", "id": 583_231, "email": null }),
                    _ => json!([]),
                }
            }
            _ => return StatusCode::NOT_FOUND.into_response(),
        };
        found.to_string().into_response()
    }

    fn id_token(&self, asked: &BTreeMap<String, String>) -> String {
        let header = json!({ "alg": "ES256", "kid": self.key.id().to_string(), "typ": "JWT" });
        let claims = json!({
            "iss": self.base, "aud": asked["client_id"], "sub": "ada", "nonce": asked["nonce"],
            "email": "ada@acme.example", "email_verified": true,
            "iat": now().seconds(), "exp": now().seconds() + 300,
        });
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// A user who says yes, and is known where the login is.
async fn browse_elsewhere(url: String, upstream: &'static str) {
    let (_, _, cookie, page) = visit(&url, "", None).await;
    let ticket = page.split("name=\"ticket\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = format!("ticket={ticket}&upstream={upstream}");
    let (status, _, _, page) = visit(&url, &cookie, Some(&form)).await;
    assert_eq!(status, "200", "{page}");
    let on = page.split("content=\"0;url=").nth(1).unwrap().split('"').next().unwrap();
    let (_, back, _, page) = visit(&on.replace("&amp;", "&"), "", None).await;
    assert!(back.contains(&format!("/callback/{upstream}?")), "{page}");
    let (_, back, _, page) = visit(&back, &cookie, None).await;
    assert!(back.starts_with("http://127.0.0.1:"), "{page}");
    visit(&back, "", None).await;
}

#[tokio::test]
async fn a_user_logs_in_with_a_provider() {
    let providers = Providers::start().await;
    let base = &providers.base;
    let mut rules = Rules::default();
    rules.loopback = true;
    let client = RegisteredClient::with_secret(base, "ours", SECRET);
    let company = Allowed::only().domain("acme.example");
    let github = Allowed::only().id("583231");
    let upstreams = Upstreams::new(Arc::new(GuardedFetch::new(rules)))
        .with(Upstream::openid("company", "Acme", client, company))
        .and_then(|all| all.with(Upstream::github_at(base, "ours", SECRET, github)))
        .unwrap();
    let world = World::start_with(|_| {}, |embedded| embedded.upstreams(upstreams)).await;
    for upstream in ["company", "github"] {
        let login = Loopback::new(move |url: &AuthorizationUrl| {
            tokio::spawn(browse_elsewhere(url.as_str().to_owned(), upstream));
            Ok(())
        });
        let (client, connection) = world.connect(OAuthClient::interactive(&world.server, login));
        assert_eq!(names(&client).await.unwrap(), ["read_note"], "{upstream}");
        connection.close().await;
    }
}
