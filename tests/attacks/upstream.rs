//! T21: a client that rides on what a user agreed to for another one, where users log in elsewhere.
//!
//! The provider knows one client, the authorization server here, and asked about it long ago: whoever
//! comes to it in the user's browser is sent back with a code at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::digest::Digest;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use etdi_oauth::embedded::{
    Allowed, AuthorizationRoutes, Client, Embedded, MemoryStore, Settings, Upstream, Upstreams,
};
use etdi_oauth::{Clock, Fetch, FetchError, FetchRequest, FetchResponse};
use mcp_types::BoxFuture;
use serde_json::{Value, json};

const ISSUER: &str = "https://auth.example";
const NOW: u64 = 1_767_323_045;
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const EVIL: &str = "https://evil.example/callback";

type Form = BTreeMap<String, String>;

fn form(text: &str) -> Form {
    let plain = |text: &str| {
        let bytes = text.replace('+', " ").replace("%3A", ":").replace("%2F", "/");
        bytes.replace("%3a", ":").replace("%2f", "/").replace("%2E", ".")
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), plain(value))).collect()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Google, as it documents itself, with a user who has let the server here know who it is.
struct Google {
    key: SigningKey,
    codes: Mutex<BTreeMap<String, Form>>,
}

impl Google {
    fn new() -> Arc<Self> {
        let key = SigningKey::generate(Algorithm::Es256).unwrap();
        Arc::new(Self { key, codes: Mutex::default() })
    }

    /// The user's browser at Google: nobody is asked again. Gives where it is sent.
    fn visited(&self, url: &str) -> String {
        let query = url.strip_prefix("https://accounts.google.com/o/oauth2/v2/auth?").unwrap();
        let asked = form(query);
        assert_eq!(asked["client_id"], "the-one-client", "Google knows no other");
        let code = format!("code-{}", self.codes.lock().unwrap().len());
        let back = format!("{}?code={code}&state={}", asked["redirect_uri"], asked["state"]);
        self.codes.lock().unwrap().insert(code, asked);
        back
    }

    fn answer(&self, request: &FetchRequest) -> Option<Value> {
        match &*request.url {
            "https://accounts.google.com/.well-known/openid-configuration" => Some(json!({
                "issuer": "https://accounts.google.com",
                "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
                "token_endpoint": "https://oauth2.googleapis.com/token",
                "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
                "code_challenge_methods_supported": ["plain", "S256"],
            })),
            "https://www.googleapis.com/oauth2/v3/certs" => {
                let jwk: Value = serde_json::from_str(&self.key.verifying_key().to_jwk()).unwrap();
                Some(json!({ "keys": [jwk] }))
            }
            "https://oauth2.googleapis.com/token" => {
                let sent = form(std::str::from_utf8(&request.body).unwrap());
                let asked = self.codes.lock().unwrap().remove(&sent["code"])?;
                let digest = Digest::of_bytes(sent["code_verifier"].as_bytes());
                assert_eq!(encoded(digest.as_bytes()), asked["code_challenge"]);
                let header = json!({ "alg": "ES256", "kid": self.key.id().to_string() });
                let claims = json!({
                    "iss": "https://accounts.google.com", "aud": "the-one-client", "sub": "107",
                    "nonce": asked["nonce"], "iat": NOW, "exp": NOW + 3_600,
                });
                let part = |part: &Value| encoded(part.to_string().as_bytes());
                let signed = format!("{}.{}", part(&header), part(&claims));
                let signature = encoded(&self.key.sign(signed.as_bytes()).unwrap());
                Some(json!({
                    "access_token": "of-google", "token_type": "Bearer", "expires_in": 3_599,
                    "id_token": format!("{signed}.{signature}"),
                }))
            }
            _ => None,
        }
    }
}

impl Fetch for Google {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        let answer = match self.answer(&request) {
            Some(value) => FetchResponse::new(200, value.to_string().into_bytes()),
            None => FetchResponse::new(404, Vec::new()),
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A proxy of OAuth that is no more than that: it keeps where its client wants the user back, sends the
/// user on, and gives a code of its own to whoever was kept under the answer's `state`.
struct Proxy {
    kept: BTreeMap<String, String>,
}

impl Proxy {
    fn authorize(&mut self, redirect_uri: &str) -> String {
        let state = format!("state-{}", self.kept.len());
        self.kept.insert(state.clone(), redirect_uri.to_owned());
        format!(
            "https://accounts.google.com/o/oauth2/v2/auth?client_id=the-one-client\
             &redirect_uri=https://proxy.example/callback&state={state}"
        )
    }

    fn callback(&self, url: &str) -> String {
        let answer = form(url.split_once('?').unwrap().1);
        format!("{}?code=of-the-proxy-for-the-victim", self.kept[&answer["state"]])
    }
}

/// The server here, behind the same Google.
struct World {
    google: Arc<Google>,
    routes: AuthorizationRoutes,
}

struct Said {
    status: StatusCode,
    cookie: String,
    location: String,
    text: String,
}

impl World {
    async fn new() -> Self {
        let google = Google::new();
        let mut settings = Settings::new(ISSUER, ["https://mcp.example/mcp"]).unwrap();
        settings.registration = true;
        let users = Upstream::google("the-one-client", "its-secret", Allowed::only().id("107"));
        let upstreams = Upstreams::new(google.clone()).with(users).unwrap();
        let store = Arc::new(MemoryStore::new());
        let server = Embedded::open(store, &settings, UnixTime(NOW)).await.unwrap();
        let honest = Client::public("honest", ["https://app.example/callback"]).unwrap();
        let server = server.client(honest).upstreams(upstreams);
        let routes = AuthorizationRoutes::new(Arc::new(server), settings).unwrap();
        Self { google, routes: routes.clock(Clock::new(|| UnixTime(NOW))) }
    }

    async fn ask(&self, path: &str, cookie: &str, sent: Option<(&str, String)>) -> Said {
        let method = if sent.is_some() { "POST" } else { "GET" };
        let mut request =
            Request::builder().method(method).uri(path).header("host", "auth.example");
        request = request.header("cookie", cookie);
        let mut body = String::new();
        if let Some((kind, text)) = sent {
            request = request.header("content-type", kind);
            if kind != "application/json" {
                request = request.header("origin", ISSUER);
            }
            body = text;
        }
        let answer = self.routes.serve(request.body(Body::from(body)).unwrap()).await;
        let (head, body) = answer.into_parts();
        let text = to_bytes(Body::new(body), 1 << 20).await.unwrap();
        let header = |name: &str| {
            let value = head.headers.get(name).map(|value| value.to_str().unwrap());
            value.unwrap_or_default().split(';').next().unwrap_or_default().to_owned()
        };
        let (cookie, location) = (header("set-cookie"), header("location"));
        Said {
            status: head.status,
            cookie,
            location,
            text: String::from_utf8(text.to_vec()).unwrap(),
        }
    }

    /// A client that a stranger registers.
    async fn register(&self) -> String {
        let metadata = json!({ "client_name": "Honest", "redirect_uris": [EVIL],
            "token_endpoint_auth_method": "none" });
        let said =
            self.ask("/register", "", Some(("application/json", metadata.to_string()))).await;
        let registered: Value = serde_json::from_str(&said.text).unwrap();
        registered["client_id"].as_str().unwrap().to_owned()
    }

    fn path(client: &str) -> String {
        let challenge = encoded(Digest::of_bytes(VERIFIER.as_bytes()).as_bytes());
        format!(
            "/authorize?response_type=code&client_id={client}&code_challenge={challenge}\
             &code_challenge_method=S256"
        )
    }

    /// A browser says yes to a client; gives its cookie, the page's ticket and where it is sent on.
    async fn agree(&self, client: &str) -> (String, String, String) {
        let path = Self::path(client);
        let page = self.ask(&path, "", None).await;
        let ticket = page.text.split("name=\"ticket\" value=\"").nth(1).unwrap();
        let ticket = ticket.split('"').next().unwrap().to_owned();
        let said = self.post(&path, &page.cookie, &ticket).await;
        let on = said.text.split("content=\"0;url=").nth(1).unwrap().split('"').next().unwrap();
        (page.cookie, ticket, on.replace("&amp;", "&"))
    }

    async fn post(&self, path: &str, cookie: &str, ticket: &str) -> Said {
        let form = format!("ticket={ticket}&upstream=google");
        self.ask(path, cookie, Some(("application/x-www-form-urlencoded", form))).await
    }

    async fn come_back(&self, url: &str, cookie: &str) -> Said {
        self.ask(url.strip_prefix(ISSUER).unwrap(), cookie, None).await
    }
}

/// A user who has logged in before follows a link of an attacker.
#[tokio::test]
async fn a_link_to_a_client_of_an_attacker() {
    let google = Google::new();
    let mut proxy = Proxy { kept: BTreeMap::new() };
    let victim_goes_to = proxy.authorize(EVIL);
    let code = proxy.callback(&google.visited(&victim_goes_to));
    assert!(code.starts_with(EVIL), "no attack: the user saw no page at all");

    let world = World::new().await;
    let (cookie, ticket, on) = world.agree("honest").await;
    let back = world.google.visited(&on);
    let honest = world.come_back(&back, &cookie).await;
    assert!(honest.location.starts_with("https://app.example/callback?code="), "{}", honest.text);
    // The same browser, and a client that has the same name.
    let evil = world.register().await;
    let said = world.ask(&World::path(&evil), &cookie, None).await;
    assert_eq!((said.status, &*said.location), (StatusCode::OK, ""));
    assert!(
        said.text.contains("This application registered itself")
            && !said.text.contains("http-equiv")
    );
    assert!(said.text.contains("evil.example"), "and it says where the user would be sent");
    // What was said to the one is no answer for the other.
    let said = world.post(&World::path(&evil), &cookie, &ticket).await;
    assert_eq!((said.status, &*said.location), (StatusCode::BAD_REQUEST, ""));
    assert!(!said.text.contains("http-equiv"), "nobody is sent on");
}

/// An attacker says yes in a browser of its own, and has the user end what it began there.
#[tokio::test]
async fn a_login_that_an_attacker_began() {
    let google = Google::new();
    let mut proxy = Proxy { kept: BTreeMap::new() };
    let attackers = proxy.authorize(EVIL);
    assert!(proxy.callback(&google.visited(&attackers)).starts_with(EVIL), "no attack");

    let world = World::new().await;
    let evil = world.register().await;
    let (attacker, _, on) = world.agree(&evil).await;
    let (victim, ..) = world.agree("honest").await;
    let back = world.google.visited(&on);
    for cookie in [&*victim, ""] {
        let said = world.come_back(&back, cookie).await;
        assert_eq!((said.status, &*said.location), (StatusCode::BAD_REQUEST, ""));
    }
    let own = world.come_back(&back, &attacker).await;
    assert!(own.location.starts_with(EVIL), "in its own browser it gets what it may: {}", own.text);
}
