//! Signed calls that name the access token they go along with, and what a stolen one is worth.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::trust::TrustAnchors;
use etdi::core::wire::CALL;
use etdi::http::HttpTarget;
use etdi::{EtdiClient, EtdiServerConfig, Target, secure};
use etdi_oauth::embedded::{
    AuthorizationRoutes, Client as KnownClient, Embedded, MemoryStore, Settings, listen,
};
use etdi_oauth::resource::Protected;
use etdi_oauth::{
    GuardedFetch, Issuer, JwtVerifier, OAuthClient, RegisteredClient, Rules, ServerMetadata,
    TokenEndpoint,
};
use http_body_util::BodyExt as _;
use mcp_client::text_of;
use mcp_server::{server, tool};
use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use mcp_types::{
    BoxFuture, ClientRequest, ErrorObject, Exchange, ExchangeService, Outcome, RawText,
};
use serde_json::json;
use tokio::net::TcpListener;
use tower_service::Service;

use super::{SECRET, now};

/// Pays somebody.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
fn pay() -> &'static str {
    "paid"
}

/// Says yes to every tool.
struct Agrees;

impl Approver for Agrees {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "ada")))
    }
}

/// A thief on the way, behind the door: keeps the statement of a call and loses the call, while armed.
#[derive(Clone)]
struct Thief<S> {
    inner: S,
    stolen: Arc<Mutex<Option<Option<RawText>>>>,
}

impl<S: ExchangeService> Service<Exchange> for Thief<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = BoxFuture<'static, Result<Outcome, ErrorObject>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> Self::Future {
        if let ClientRequest::CallTool(_) = exchange.request
            && let Some(stolen @ None) = &mut *self.stolen.lock().unwrap()
        {
            *stolen = exchange.context.meta.get(CALL).cloned();
            return Box::pin(std::future::ready(Err(ErrorObject::internal("lost"))));
        }
        Box::pin(self.inner.call(exchange))
    }
}

struct Bank {
    url: String,
    issuer: String,
    http: HttpServer,
    operator: Arc<SigningKey>,
    stolen: Arc<Mutex<Option<Option<RawText>>>>,
}

fn known(id: &str) -> KnownClient {
    KnownClient::with_secret(id, SECRET, [""; 0]).unwrap()
}

impl Bank {
    async fn open(demands: bool) -> Self {
        let own = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", own.local_addr().unwrap());
        let issuer = format!("http://{}", issuers.local_addr().unwrap());
        let settings = Settings::new(&issuer, [url.as_str()]).unwrap();
        let embedded = Embedded::open(Arc::new(MemoryStore::new()), &settings, now()).await;
        let embedded = embedded.unwrap().client(known("ada")).client(known("eve"));
        let routes = AuthorizationRoutes::new(Arc::new(embedded), settings).unwrap();
        tokio::spawn(listen(routes, issuers, pending()));

        let operator = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
        let config = EtdiServerConfig::new(ServerIdentity::url(&url).unwrap());
        let tools = server!().tool::<pay>().build().unwrap();
        let inner = secure(tools, config.operator(operator.clone())).await.unwrap();
        let stolen: Arc<Mutex<Option<Option<RawText>>>> = Arc::default();
        let server = Thief { inner, stolen: stolen.clone() };
        let verifier = JwtVerifier::new(
            Issuer::new(&issuer, &url).jwks_uri(format!("{issuer}/jwks")),
            Arc::new(fetch()),
        );
        let protected = Protected::new(&url, verifier.unwrap()).unwrap();
        let protected = if demands { protected.bind_signed_calls() } else { protected };
        let http = protected.http(server, HttpOptions::default());
        tokio::spawn(serve_http(http.clone(), own, pending()));
        Self { url, issuer, http, operator, stolen }
    }

    /// What Ada's client says to a call; `names` is whether it names its token.
    async fn ada(&self, names: bool) -> Result<String, String> {
        let registered = RegisteredClient::with_secret(&self.issuer, "ada", SECRET);
        let target =
            HttpTarget::oauth(OAuthClient::service(&self.url, registered).build().unwrap());
        let target = if names { target } else { target.without_token_binding() };
        let mut anchors = TrustAnchors::new();
        anchors.trust_key(self.operator.verifying_key().clone());
        let client = EtdiClient::builder()
            .trust(anchors)
            .approver(Arc::new(Agrees))
            .caller(Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()))
            .build();
        let session = client.connect_to(Target::http(target)).await.unwrap();
        let called = session.invoke_tool("pay", &json!({})).await;
        session.close().await;
        called.map(|answer| text_of(&answer)).map_err(|error| format!("{error:?}"))
    }

    /// A call of Ada's client that never arrived, as the thief has it.
    async fn steal(&self, names: bool) -> RawText {
        *self.stolen.lock().unwrap() = Some(None);
        self.ada(names).await.unwrap_err();
        self.stolen.lock().unwrap().take().unwrap().unwrap()
    }

    /// What the server says to a statement that comes with the token of whomever.
    async fn sent(&self, statement: &RawText, who: &str) -> String {
        let metadata = ServerMetadata::find(&fetch(), &self.issuer, true).await.unwrap();
        let client = RegisteredClient::with_secret(&self.issuer, who, SECRET);
        let endpoint = TokenEndpoint::new(Arc::new(fetch()), metadata, client).unwrap();
        let token = endpoint.client_credentials(&self.url, &[]).await.unwrap();
        let statement: serde_json::Value = serde_json::from_str(statement.get()).unwrap();
        let params = json!({ "name": "pay", "arguments": {}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "t", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
            CALL: statement,
        } });
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
        let host = self.url.split('/').nth(2).unwrap();
        let request = http::Request::post("/mcp")
            .header("host", host)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/call")
            .header("mcp-name", "pay")
            .header("authorization", format!("Bearer {}", token.access.expose()));
        let answer = self.http.serve(request.body(body.to_string()).unwrap()).await.unwrap();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }
}

fn fetch() -> GuardedFetch {
    let mut rules = Rules::default();
    rules.loopback = true;
    GuardedFetch::new(rules)
}

/// The first call is made before there is a token: it is signed once more after the login.
#[tokio::test]
async fn a_client_names_the_token_that_it_shows() {
    let demanding = Bank::open(true).await;
    assert_eq!(demanding.ada(true).await.as_deref(), Ok("paid"));
    assert!(demanding.ada(false).await.unwrap_err().contains("SIGNATURE_INVALID"));
    let other = Bank::open(false).await;
    assert_eq!(other.ada(true).await.as_deref(), Ok("paid"));
    assert_eq!(other.ada(false).await.as_deref(), Ok("paid"));
}

#[tokio::test]
async fn a_stolen_call_is_no_use_with_another_token() {
    // Without it, whoever has a token of their own sends it.
    let bank = Bank::open(false).await;
    let stolen = bank.steal(false).await;
    assert!(bank.sent(&stolen, "eve").await.contains("paid"));

    for demands in [false, true] {
        let bank = Bank::open(demands).await;
        let stolen = bank.steal(true).await;
        let refused = bank.sent(&stolen, "eve").await;
        assert!(refused.contains("SIGNATURE_INVALID") && !refused.contains("paid"), "{refused}");
    }
}
