//! Google, GitHub and a provider of somebody else's, with the paths and shapes that they document.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use etdi_core::key::{Algorithm, SigningKey};
use mcp_types::BoxFuture;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use super::world::{START, sign};
use crate::embedded::seal::sha256;
use crate::embedded::{Allowed, Upstream, Upstreams};
use crate::{Fetch, FetchError, FetchRequest, FetchResponse, RegisteredClient};

pub(super) const GOOGLE: &str = "https://accounts.google.com";
pub(super) const GITHUB: &str = "https://github.com/login/oauth";
pub(super) const EVIL: &str = "https://login.evil.example";
const SECRET: &str = "the-secret-of-this-server";
const EVIL_TOKENS: &str = "https://login.evil.example/token";
const GITHUB_TOKENS: &str = "https://github.com/login/oauth/access_token";
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";

type Form = BTreeMap<String, String>;

/// A code, what it was asked with, and who logged in.
#[derive(Clone)]
struct Given {
    issuer: &'static str,
    asked: Form,
    user: Value,
}

/// All of them, behind one fetcher.
pub(super) struct Providers {
    key: SigningKey,
    given: Mutex<BTreeMap<String, Given>>,
    /// What was sent to their token endpoints: URL and form.
    sent: Mutex<Vec<(String, Form)>>,
    /// What an attacker, or a provider, does to an ID token's claims.
    tampered: Mutex<Option<fn(&mut Value)>>,
    /// Whether codes count without their verifier.
    careless: Mutex<bool>,
    /// The ID token that is given in place of a new one.
    replayed: Mutex<Option<String>>,
    last: Mutex<Option<String>>,
}

fn form(text: &[u8]) -> Form {
    form_urlencoded::parse(text).into_owned().collect()
}

/// A user of Google, as `name` of an organisation.
pub(super) fn of_google(id: &str) -> Value {
    json!({ "sub": id, "email": "ada@acme.example", "email_verified": true, "hd": "acme.example",
        "name": "Ada" })
}

impl Providers {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            key: SigningKey::generate(Algorithm::Es256).unwrap(),
            given: Mutex::default(),
            sent: Mutex::default(),
            tampered: Mutex::default(),
            careless: Mutex::default(),
            replayed: Mutex::default(),
            last: Mutex::default(),
        })
    }

    /// What a server offers that trusts all three.
    pub(super) fn upstreams(self: &Arc<Self>, google: Allowed) -> Upstreams {
        let evil = RegisteredClient::with_secret(EVIL, "ours-at-evil", SECRET);
        let github = Allowed::only().id("583231").domain("acme.example");
        Upstreams::new(self.clone())
            .with(Upstream::google("ours-at-google", SECRET, google))
            .and_then(|all| all.with(Upstream::github("ours-at-github", SECRET, github)))
            .and_then(|all| all.with(Upstream::openid("evil", "Evil", evil, Allowed::anybody())))
            .unwrap()
    }

    pub(super) fn tamper(&self, change: fn(&mut Value)) {
        *self.tampered.lock().unwrap() = Some(change);
    }

    pub(super) fn is_careless(&self) {
        *self.careless.lock().unwrap() = true;
    }

    /// From now on every login gives the last ID token once more.
    pub(super) fn replay(&self) {
        *self.replayed.lock().unwrap() = self.last.lock().unwrap().clone();
    }

    /// The forms that came to a token endpoint.
    pub(super) fn sent_to(&self, upstream: &str) -> Vec<Form> {
        let url = match upstream {
            "evil" => EVIL_TOKENS,
            "github" => GITHUB_TOKENS,
            _ => GOOGLE_TOKENS,
        };
        let sent = self.sent.lock().unwrap();
        sent.iter().filter(|(to, _)| to == url).map(|(_, form)| form.clone()).collect()
    }

    /// A user logs in on the page of a provider, who knows the user and this server and asks nothing.
    /// Gives where the browser is sent.
    pub(super) fn log_in(&self, page: &str, user: &Value) -> String {
        let url = Url::parse(page).unwrap();
        let asked = form(url.query().unwrap().as_bytes());
        let (issuer, client, at) = match url.as_str().split('?').next().unwrap() {
            "https://accounts.google.com/o/oauth2/v2/auth" => (GOOGLE, "ours-at-google", "google"),
            "https://github.com/login/oauth/authorize" => (GITHUB, "ours-at-github", "github"),
            "https://login.evil.example/auth" => (EVIL, "ours-at-evil", "evil"),
            other => panic!("nobody is at {other}"),
        };
        let back = format!("https://auth.example/callback/{at}");
        let known = [("client_id", client), ("redirect_uri", &back), ("response_type", "code")];
        for (name, value) in known.into_iter().chain([("code_challenge_method", "S256")]) {
            assert_eq!(asked[name], value, "{name}");
        }
        assert!(!asked.contains_key("resource"), "it is about the user, and for no server");
        let code = format!("code-{}", self.given.lock().unwrap().len());
        let mut to = Url::parse(&back).unwrap();
        to.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked["state"]);
        match issuer {
            GOOGLE => to
                .query_pairs_mut()
                .append_pair("scope", "email openid")
                .append_pair("authuser", "0"),
            // GitHub names itself since 2026.
            issuer => to.query_pairs_mut().append_pair("iss", issuer),
        };
        let given = Given { issuer, asked, user: user.clone() };
        self.given.lock().unwrap().insert(code, given);
        to.into()
    }

    fn answer(&self, request: &FetchRequest) -> (u16, String) {
        let header = |name: &str| {
            let found = request.headers.iter().find(|(one, _)| one == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let metadata = |issuer: &str, auth: &str, token: &str, keys: &str| {
            json!({
                "issuer": issuer, "authorization_endpoint": auth, "token_endpoint": token,
                "jwks_uri": keys, "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["plain", "S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
                "authorization_response_iss_parameter_supported": issuer == EVIL,
            })
        };
        let found = match &*request.url {
            "https://accounts.google.com/.well-known/openid-configuration" => metadata(
                GOOGLE,
                "https://accounts.google.com/o/oauth2/v2/auth",
                GOOGLE_TOKENS,
                "https://www.googleapis.com/oauth2/v3/certs",
            ),
            "https://login.evil.example/.well-known/openid-configuration" => metadata(
                EVIL,
                "https://login.evil.example/auth",
                EVIL_TOKENS,
                "https://login.evil.example/keys",
            ),
            "https://www.googleapis.com/oauth2/v3/certs" | "https://login.evil.example/keys" => {
                let jwk = self.key.verifying_key().to_jwk();
                return (200, format!(r#"{{"keys":[{jwk}]}}"#));
            }
            GOOGLE_TOKENS => return self.token(GOOGLE, request),
            EVIL_TOKENS => return self.token(EVIL, request),
            GITHUB_TOKENS => {
                let (status, text) = self.token(GITHUB, request);
                // Its errors have the status of success, and its answers are forms.
                return match header("accept") {
                    "application/json" => (if status == 400 { 200 } else { status }, text),
                    _ => (200, "access_token=gho_1&token_type=bearer".to_owned()),
                };
            }
            "https://api.github.com/user" => match self.account(header("authorization")) {
                Some(user) => user["account"].clone(),
                None => return (401, r#"{"message":"Bad credentials"}"#.to_owned()),
            },
            "https://api.github.com/user/emails" => match self.account(header("authorization")) {
                Some(user) => user["emails"].clone(),
                None => return (401, String::new()),
            },
            _ => return (404, String::new()),
        };
        (200, found.to_string())
    }

    fn account(&self, bearer: &str) -> Option<Value> {
        let code = bearer.strip_prefix("Bearer upstream-token-of-")?;
        self.given.lock().unwrap().get(code).map(|given| given.user.clone())
    }

    fn token(&self, issuer: &'static str, request: &FetchRequest) -> (u16, String) {
        let sent = form(&request.body);
        self.sent.lock().unwrap().push((request.url.clone(), sent.clone()));
        let refused = |error: &str| (400, json!({ "error": error }).to_string());
        let found = self.given.lock().unwrap().get(&sent["code"]).cloned();
        let Some(given) = found.filter(|given| given.issuer == issuer) else {
            return refused("invalid_grant");
        };
        let basic = STANDARD.encode(format!("{}:{SECRET}", given.asked["client_id"]));
        let basic = ("authorization".to_owned(), format!("Basic {basic}"));
        let posted = sent.get("client_secret").is_some_and(|secret| secret == SECRET);
        if !(posted || request.headers.contains(&basic)) {
            return refused("invalid_client");
        }
        let verified = sha256(&sent["code_verifier"]) == given.asked["code_challenge"];
        if !(verified || *self.careless.lock().unwrap())
            || sent["redirect_uri"] != given.asked["redirect_uri"]
        {
            return refused("invalid_grant");
        }
        let access = format!("upstream-token-of-{}", sent["code"]);
        let mut answer = json!({ "access_token": access, "token_type": "bearer", "scope": "" });
        if issuer != GITHUB {
            let mut claims = given.user.clone();
            (claims["iss"], claims["aud"]) =
                (json!(issuer), given.asked["client_id"].clone().into());
            (claims["iat"], claims["exp"]) = (json!(START), json!(START + 3_600));
            claims["nonce"] = given.asked["nonce"].clone().into();
            if let Some(change) = *self.tampered.lock().unwrap() {
                change(&mut claims);
            }
            let header = json!({ "alg": "ES256", "typ": "JWT", "kid": self.key.id().to_string() });
            let token = sign(&self.key, &header, &claims);
            let token = self.replayed.lock().unwrap().clone().unwrap_or(token);
            *self.last.lock().unwrap() = Some(token.clone());
            answer["id_token"] = token.into();
        }
        (200, answer.to_string())
    }
}

impl Fetch for Providers {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        let (status, text) = self.answer(&request);
        Box::pin(std::future::ready(Ok(FetchResponse::new(status, text.into_bytes()))))
    }
}
