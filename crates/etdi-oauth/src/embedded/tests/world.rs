//! A server with a clock that stands still, and who asks it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use etdi_core::endorsement::EndorsementBounds;
use etdi_core::identity::ServerIdentity;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::Clock;
use crate::embedded::seal::{encode, sha256};
use crate::embedded::{
    AuthorizationRoutes, AuthorizationServer, Client, Embedded, MemoryStore, Settings, Store,
};
use crate::scripted::Scripted;

pub(super) const ISSUER: &str = "https://auth.example";
pub(super) const RESOURCE: &str = "https://mcp.example/mcp";
pub(super) const BACK: &str = "https://app.example/callback";
pub(super) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(super) const SECRET: &str = "correct horse battery";
pub(super) const START: u64 = 1_767_323_045;

/// An answer, read.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Said {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect(&self.text)
    }

    pub(super) fn get(&self, name: &str) -> String {
        self.json()[name].as_str().unwrap_or_else(|| panic!("{name}: {}", self.text)).to_owned()
    }

    /// The code of an error and what it says.
    pub(super) fn error(&self) -> (String, String) {
        assert!(!self.status.is_success(), "{}", self.text);
        (self.get("error"), self.get("error_description"))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Where the user is sent, as a place and parameters.
    pub(super) fn sent(&self) -> (String, Vec<(String, String)>) {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{}", self.text);
        let url = Url::parse(self.header("location")).unwrap();
        let pairs = url.query_pairs().into_owned().collect();
        (url.as_str().split('?').next().unwrap().to_owned(), pairs)
    }

    pub(super) fn sent_with(&self, name: &str) -> String {
        let (_, pairs) = self.sent();
        let found: Vec<_> = pairs.iter().filter(|(known, _)| known == name).collect();
        assert_eq!(found.len(), 1, "{name} in {pairs:?}");
        found[0].1.clone()
    }
}

pub(super) struct World {
    pub(super) routes: AuthorizationRoutes,
    pub(super) server: Arc<Embedded>,
    pub(super) clock: Arc<AtomicU64>,
    pub(super) fetch: Arc<Scripted>,
    pub(super) signer: SigningKey,
}

pub(super) type Pairs<'a> = [(&'a str, &'a str)];

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Arc::new(MemoryStore::new()), |_| ()).await
    }

    pub(super) async fn with(store: Arc<dyn Store>, change: impl FnOnce(&mut Settings)) -> Self {
        Self::of(store, change, |server| server).await
    }

    pub(super) async fn of(
        store: Arc<dyn Store>,
        change: impl FnOnce(&mut Settings),
        more: impl FnOnce(Embedded) -> Embedded,
    ) -> Self {
        let mut settings = Settings::new(ISSUER, [RESOURCE, "https://other.example/mcp"]).unwrap();
        settings.scopes = ["read", "write", "admin"].map(str::to_owned).to_vec();
        settings.default_scopes = vec!["read".to_owned()];
        settings.registration = true;
        change(&mut settings);
        let clock = Arc::new(AtomicU64::new(START));
        let fetch = Arc::new(Scripted::default());
        let signer = SigningKey::generate(Algorithm::Es256).unwrap();
        let jwks = format!(r#"{{"keys":[{}]}}"#, signer.verifying_key().to_jwk());
        let mut limited = Client::public("limited", [BACK]).unwrap();
        limited.scopes = Some(vec!["read".to_owned()]);
        let server = Embedded::open(store, &settings, UnixTime(START)).await.unwrap();
        let server = server
            .client(Client::public("app", [BACK]).unwrap())
            .client(Client::public("other", [BACK]).unwrap())
            .client(Client::with_secret("web", SECRET, [BACK]).unwrap())
            .client(Client::with_secret("machine", SECRET, [""; 0]).unwrap())
            .client(Client::with_keys("signer", &jwks, [BACK]).unwrap())
            .client(limited)
            .client(publisher())
            .documents(fetch.clone());
        let server = Arc::new(more(server));
        let ticking = clock.clone();
        let routes = AuthorizationRoutes::new(server.clone(), settings)
            .unwrap()
            .clock(Clock::new(move || UnixTime(ticking.load(Ordering::SeqCst))))
            .client_keys(fetch.clone());
        Self { routes, server, clock, fetch, signer }
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::SeqCst)
    }

    pub(super) fn wait(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    pub(super) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &Pairs<'_>,
        body: impl Into<Vec<u8>>,
    ) -> Said {
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "auth.example");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(bytes::Bytes::from(body.into()));
        let (head, body) = self.routes.serve(request.body(body).unwrap()).await.into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        Said { status: head.status, headers: head.headers, text }
    }

    pub(super) async fn get(&self, path: &str) -> Said {
        self.ask("GET", path, &[], "").await
    }

    pub(super) async fn post(&self, path: &str, headers: &Pairs<'_>, form: &Pairs<'_>) -> Said {
        let mut all = vec![("content-type", "application/x-www-form-urlencoded")];
        all.extend_from_slice(headers);
        self.ask("POST", path, &all, encoded(form)).await
    }

    pub(super) async fn token(&self, form: &Pairs<'_>) -> Said {
        self.post("/token", &[], form).await
    }

    /// What a program asks for that does it right.
    pub(super) fn asking<'a>(
        &self,
        client: &'a str,
        challenge: &'a str,
    ) -> Vec<(&'a str, &'a str)> {
        vec![
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", BACK),
            ("state", "st+ate"),
            ("code_challenge", challenge),
            ("code_challenge_method", "S256"),
            ("resource", RESOURCE),
            ("scope", "read write"),
        ]
    }

    pub(super) async fn page(&self, asking: &Pairs<'_>) -> Said {
        self.get(&format!("/authorize?{}", encoded(asking))).await
    }

    /// The user answers the page of a request.
    pub(super) async fn answer(&self, asking: &Pairs<'_>, decision: &str) -> Said {
        self.decide(&format!("/authorize?{}", encoded(asking)), decision).await
    }

    #[cfg(feature = "client")]
    pub(super) async fn agree(&self, path: &str) -> Said {
        self.decide(path, "allow").await
    }

    async fn decide(&self, path: &str, decision: &str) -> Said {
        let page = self.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.text);
        let (cookie, ticket) = (cookie(&page), hidden(&page, "ticket"));
        let form = [("ticket", &*ticket), ("decision", decision), ("name", "alice")];
        let headers = [("cookie", &*cookie), ("origin", ISSUER)];
        self.post(path, &headers, &form).await
    }

    pub(super) async fn code(&self, client: &str) -> String {
        let challenge = sha256(VERIFIER);
        self.answer(&self.asking(client, &challenge), "allow").await.sent_with("code")
    }

    pub(super) async fn redeem(&self, client: &str, code: &str) -> Said {
        self.token(&redeeming(client, code)).await
    }

    /// Access and refresh token.
    pub(super) async fn tokens(&self, client: &str) -> (String, String) {
        let said = self.redeem(client, &self.code(client).await).await;
        (said.get("access_token"), said.get("refresh_token"))
    }

    pub(super) async fn refresh(&self, client: &str, token: &str) -> Said {
        let form =
            [("grant_type", "refresh_token"), ("client_id", client), ("refresh_token", token)];
        self.token(&form).await
    }

    /// What the operator's own resource server is told of a token.
    pub(super) async fn introspect(&self, token: &str) -> Value {
        let basic = basic("machine", SECRET);
        let said =
            self.post("/introspect", &[("authorization", &basic)], &[("token", token)]).await;
        assert_eq!(said.status, StatusCode::OK, "{}", said.text);
        said.json()
    }

    pub(super) async fn is_active(&self, token: &str) -> bool {
        self.introspect(token).await["active"].as_bool().unwrap()
    }

    /// Whether the server itself takes a token for one that holds, whoever would be told.
    pub(super) async fn holds(&self, token: &str) -> bool {
        self.server.token(token, UnixTime(self.now())).await.unwrap().is_some()
    }

    pub(super) async fn register(&self, metadata: Value) -> Said {
        let json = [("content-type", "application/json")];
        self.ask("POST", "/register", &json, metadata.to_string()).await
    }

    /// The claims of a good assertion.
    pub(super) fn assertion(&self, client: &str, jti: &str) -> Value {
        json!({ "iss": client, "sub": client, "aud": ISSUER, "iat": self.now(),
            "exp": self.now() + 60, "jti": jti })
    }

    pub(super) async fn asserted(&self, jwt: &str) -> Said {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", jwt),
            ("resource", RESOURCE),
        ];
        self.token(&form).await
    }
}

/// Who may have statements signed.
fn publisher() -> Client {
    let server = ServerIdentity::url(RESOURCE).unwrap();
    let permissions = ["notes:*".parse().unwrap()];
    let bounds = EndorsementBounds::new([server], ["search", "note_*"], permissions);
    Client::with_secret("publisher", SECRET, [""; 0]).unwrap().endorsed(bounds).unwrap()
}

pub(super) fn redeeming<'a>(client: &'a str, code: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("client_id", client),
        ("code", code),
        ("redirect_uri", BACK),
        ("code_verifier", VERIFIER),
        ("resource", RESOURCE),
    ]
}

/// The same with one parameter otherwise; without it, where the value is empty.
pub(super) fn but<'a>(pairs: &Pairs<'a>, name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let kept = pairs.iter().copied().filter(|(known, _)| *known != name);
    kept.chain((!value.is_empty()).then_some((name, value))).collect()
}

pub(super) fn encoded(pairs: &Pairs<'_>) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

pub(super) fn cookie(page: &Said) -> String {
    page.header("set-cookie").split(';').next().unwrap().to_owned()
}

pub(super) fn hidden(page: &Said, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.text.split(&start).nth(1).unwrap_or_else(|| panic!("{}", page.text));
    rest.split('"').next().unwrap().to_owned()
}

pub(super) fn basic(client: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{client}:{}", secret.replace(' ', "+"))))
}

/// Signs whatever header and claims are given.
pub(super) fn sign(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    format!("{signed}.{}", encode(&key.sign(signed.as_bytes()).unwrap()))
}
