//! A server with its issuers, as far as a client gets to see them, and a user who says yes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use etdi_core::time::UnixTime;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use mcp_transport::http::Reaction;
use mcp_types::BoxFuture;
use serde_json::{Value, json};
use url::{Url, form_urlencoded};

use crate::client::*;
use crate::{AuthorizationUrl, Clock, Fetch, FetchError, FetchRequest, FetchResponse};

pub(super) const SERVER: &str = "https://mcp.example/mcp";
pub(super) const ONE: &str = "https://one.example";
pub(super) const TWO: &str = "https://two.example";

/// One form that an issuer got, and the `Authorization` header above it.
pub(super) type Sent = (BTreeMap<String, String>, Option<String>);

/// All that is behind the network.
pub(super) struct World {
    pub(super) now: AtomicU64,
    pub(super) state: Mutex<State>,
}

pub(super) struct State {
    /// The issuers that the server names.
    pub(super) issuers: Vec<String>,
    /// Members put over the metadata of every issuer, and over that of the server.
    pub(super) metadata: Value,
    pub(super) resource: Value,
    /// What is added to each answer with a token.
    pub(super) answer: Value,
    /// Refusals of the token endpoint, by grant.
    pub(super) refuse: BTreeMap<String, String>,
    pub(super) rotate: bool,
    /// What the token endpoint answers with, where it has no answer.
    pub(super) status: Option<u16>,
    /// The `iss` of answers to logins, where it is not the issuer's own.
    pub(super) iss: Option<String>,
    pub(super) asked: Vec<String>,
    pub(super) sent: Vec<(String, Sent)>,
    /// URLs to which the user was sent.
    pub(super) visited: Vec<String>,
    /// Refresh tokens that can be used.
    refresh: Vec<String>,
    counter: u64,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            now: AtomicU64::new(1_767_323_045),
            state: Mutex::new(State {
                issuers: vec![ONE.to_owned()],
                metadata: json!({}),
                resource: json!({}),
                answer: json!({}),
                refuse: BTreeMap::new(),
                rotate: true,
                status: None,
                iss: None,
                asked: Vec::new(),
                sent: Vec::new(),
                visited: Vec::new(),
                refresh: Vec::new(),
                counter: 0,
            }),
        })
    }

    pub(super) fn with<T>(&self, run: impl FnOnce(&mut State) -> T) -> T {
        run(&mut self.state.lock().unwrap())
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    pub(super) fn clock(self: &Arc<Self>) -> Clock {
        let world = self.clone();
        Clock::new(move || UnixTime(world.now.load(Ordering::Relaxed)))
    }

    /// The forms with a grant, in their order.
    pub(super) fn grants(&self, grant: &str) -> Vec<Sent> {
        let of = |sent: &(String, Sent)| {
            let fits = sent.1.0.get("grant_type").is_some_and(|one| one == grant);
            fits.then(|| sent.1.clone())
        };
        self.with(|state| state.sent.iter().filter_map(of).collect())
    }

    pub(super) fn visited(&self) -> Vec<BTreeMap<String, String>> {
        let pairs = |url: &String| Url::parse(url).unwrap().query_pairs().into_owned().collect();
        self.with(|state| state.visited.iter().map(pairs).collect())
    }

    /// A client for a user who says yes at once.
    pub(super) fn user(self: &Arc<Self>) -> OAuthClientBuilder {
        let world = self.clone();
        let yes = move |url: AuthorizationUrl| {
            let world = world.clone();
            async move {
                tokio::task::yield_now().await;
                Ok(world.log_in(url.as_str()))
            }
        };
        self.equip(OAuthClient::interactive(SERVER, AskWith::new(REDIRECT, yes)))
    }

    pub(super) fn equip(self: &Arc<Self>, builder: OAuthClientBuilder) -> OAuthClientBuilder {
        builder.fetch(self.clone()).clock(self.clock())
    }

    fn log_in(&self, url: &str) -> String {
        let pairs: BTreeMap<String, String> =
            Url::parse(url).unwrap().query_pairs().into_owned().collect();
        let origin = &url[..url.find("/authorize").unwrap()];
        self.with(|state| {
            state.visited.push(url.to_owned());
            let iss = state.iss.clone().unwrap_or_else(|| origin.to_owned());
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("code", "MARKED-code").append_pair("state", &pairs["state"]);
            query.append_pair("iss", &iss);
            format!("{}?{}", pairs["redirect_uri"], query.finish())
        })
    }
}

pub(super) const REDIRECT: &str = "http://127.0.0.1:4000/callback";

impl Fetch for World {
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(async move {
            // Others get their turn while an answer is on its way.
            tokio::task::yield_now().await;
            Ok(self.with(|state| state.answer(&request)))
        })
    }
}

fn over(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        base[name] = value.clone();
    }
    base
}

impl State {
    fn answer(&mut self, request: &FetchRequest) -> FetchResponse {
        let url = request.url.as_str();
        self.asked.push(url.to_owned());
        let json =
            |status, value: Value| FetchResponse::new(status, value.to_string().into_bytes());
        if url == "https://mcp.example/.well-known/oauth-protected-resource/mcp" {
            let base = json!({"resource": SERVER, "authorization_servers": self.issuers});
            return json(200, over(base, &self.resource));
        }
        let origin = [ONE, TWO].into_iter().find(|origin| url.starts_with(origin));
        let Some(origin) = origin else { return FetchResponse::new(404, Vec::new()) };
        match &url[origin.len()..] {
            "/.well-known/oauth-authorization-server" => {
                let base = json!({
                    "issuer": origin,
                    "authorization_endpoint": format!("{origin}/authorize"),
                    "token_endpoint": format!("{origin}/token"),
                    "registration_endpoint": format!("{origin}/register"),
                    "revocation_endpoint": format!("{origin}/revoke"),
                    "device_authorization_endpoint": format!("{origin}/device"),
                    "code_challenge_methods_supported": ["S256"],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                    "authorization_response_iss_parameter_supported": true,
                });
                json(200, over(base, &self.metadata))
            }
            "/register" => {
                self.counter += 1;
                let id = format!("client-{}-of-{origin}", self.counter);
                let body: Value = serde_json::from_slice(&request.body).unwrap();
                assert_eq!(body["application_type"], "native");
                self.sent.push((url.to_owned(), (BTreeMap::new(), None)));
                json(201, json!({"client_id": id, "client_secret": "MARKED-client-secret"}))
            }
            "/token" => self.token(origin, request),
            "/device" => json(
                200,
                json!({
                    "device_code": "MARKED-device", "user_code": "ABCD-EFGH", "interval": 1,
                    "verification_uri": format!("{origin}/device"), "expires_in": 60,
                }),
            ),
            "/revoke" => {
                self.form(request);
                FetchResponse::new(200, Vec::new())
            }
            _ => FetchResponse::new(404, Vec::new()),
        }
    }

    fn form(&mut self, request: &FetchRequest) -> BTreeMap<String, String> {
        let form: BTreeMap<String, String> =
            form_urlencoded::parse(&request.body).into_owned().collect();
        let header = request.headers.iter().find(|(name, _)| name == "authorization");
        let sent = (form.clone(), header.map(|(_, value)| value.clone()));
        self.sent.push((request.url.clone(), sent));
        form
    }

    fn token(&mut self, origin: &str, request: &FetchRequest) -> FetchResponse {
        let json =
            |status, value: Value| FetchResponse::new(status, value.to_string().into_bytes());
        let form = self.form(request);
        let grant = &form["grant_type"];
        if let Some(status) = self.status {
            return json(status, json!({"error": "invalid_grant"}));
        }
        if let Some(error) = self.refuse.get(grant) {
            return json(400, json!({"error": error, "error_description": "not now"}));
        }
        if grant == "refresh_token" {
            let token = &form["refresh_token"];
            let Some(at) = self.refresh.iter().position(|one| one == token) else {
                // Used twice: whoever has it is not to be trusted, and nor is whoever had it.
                self.refresh.clear();
                return json(400, json!({"error": "invalid_grant"}));
            };
            if self.rotate {
                self.refresh.remove(at);
            }
        }
        self.counter += 1;
        let count = self.counter;
        let scheme = match request.headers.iter().any(|(name, _)| name == "dpop") {
            true => "DPoP",
            false => "Bearer",
        };
        let mut answer = json!({"access_token": format!("MARKED-access-{count}-{origin}"), "token_type": scheme,
                   "expires_in": 3600});
        if grant != "client_credentials" && (self.rotate || grant != "refresh_token") {
            let refresh = format!("MARKED-refresh-{count}-{origin}");
            answer["refresh_token"] = json!(refresh);
            self.refresh.push(refresh);
        }
        json(200, over(answer, &self.answer))
    }
}

/// What the transport would do with a client.
pub(super) fn uri() -> Uri {
    SERVER.parse().unwrap()
}

pub(super) async fn headers(client: &OAuthClient) -> Result<HeaderMap, OAuthError> {
    let mut headers = HeaderMap::new();
    client.put(&Method::POST, &uri(), &mut headers).await?;
    Ok(headers)
}

/// The header of a request now.
pub(super) async fn header(client: &OAuthClient) -> Option<String> {
    let headers = headers(client).await.unwrap();
    headers.get("authorization").map(|one| one.to_str().unwrap().to_owned())
}

/// What the client does when the server refuses what it sends now.
pub(super) async fn refuse(
    client: &OAuthClient,
    status: u16,
    challenge: &'static str,
) -> Result<Reaction, OAuthError> {
    let sent = headers(client).await?;
    refuse_what(client, sent.get("authorization"), status, challenge).await
}

pub(super) async fn refuse_what(
    client: &OAuthClient,
    authorization: Option<&HeaderValue>,
    status: u16,
    challenge: &'static str,
) -> Result<Reaction, OAuthError> {
    let mut headers = HeaderMap::new();
    headers.insert("www-authenticate", HeaderValue::from_static(challenge));
    let status = StatusCode::from_u16(status).unwrap();
    let uri = uri();
    client.react(Refusal { uri: &uri, status, headers: &headers, authorization, attempt: 0 }).await
}

pub(super) fn serve(client: &OAuthClient) {
    client.served(&uri(), &HeaderMap::new());
}
