//! What it costs to let a caller in, in microseconds on top of the bare call:
//! `cargo run --release -p etdi-oauth --features server --example token_cost -- RSA.pem`, where the file is
//! one of `openssl genpkey -algorithm RSA`; without one RSA is left out.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::key::{Algorithm, SigningKey};
use etdi_core::time::UnixTime;
use etdi_oauth::resource::Protected;
use etdi_oauth::{
    Clock, Fetch, FetchError, FetchRequest, FetchResponse, Issuer, JwtVerifier, TokenRefusal,
    VerifiedToken, VerifyToken,
};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use mcp_transport::http::server::{HttpOptions, HttpServer};
use mcp_types::{
    BoxFuture, CallToolResult, ErrorObject, Exchange, ExchangeFuture, Outcome, ProtocolVersion,
    ServerResult,
};
use tower_service::Service;

const NOW: UnixTime = UnixTime(1_800_000_000);
const RESOURCE: &str = "http://localhost:8000/mcp";
const TURNS: u32 = 20_000;

/// Says yes, to everything.
#[derive(Clone)]
struct Yes;

impl Service<Exchange> for Yes {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        Box::pin(std::future::ready(Ok(match exchange.request {
            mcp_types::ClientRequest::CallTool(_) => {
                ServerResult::CallTool(CallToolResult::text("yes")).into()
            }
            mcp_types::ClientRequest::ListTools(_) => {
                ServerResult::ListTools(mcp_types::ListToolsResult::new(Vec::new().into())).into()
            }
            _ => {
                let nothing = mcp_types::ServerCapabilities::new();
                let found = mcp_types::DiscoverResult::new(nothing, Vec::new());
                ServerResult::Discover(Box::new(found)).into()
            }
        })))
    }
}

/// One key set, wherever it is asked for.
struct Keys(String);

impl Fetch for Keys {
    fn fetch(&self, _: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(async { Ok(FetchResponse::new(200, self.0.clone().into_bytes())) })
    }
}

/// A verifier whose tokens are verified each time.
struct Anew(JwtVerifier);

impl VerifyToken for Anew {
    fn verify<'a>(
        &'a self,
        token: &'a str,
        now: UnixTime,
    ) -> BoxFuture<'a, Result<VerifiedToken, TokenRefusal>> {
        self.0.verify(token, now)
    }

    fn keep(&self) -> u64 {
        0
    }
}

fn token(key: &SigningKey) -> String {
    let header = format!(
        r#"{{"alg":"{}","typ":"at+jwt","kid":"{}"}}"#,
        key.verifying_key().algorithm().name(),
        key.id()
    );
    let claims = format!(
        r#"{{"iss":"https://id.example","aud":"{RESOURCE}","sub":"auth0|507f1f77bcf86cd799439011","client_id":"console","iat":{},"exp":{},"jti":"hFlxZnnlWVeVQXRbd6oTqR","scope":"notes:read notes:write"}}"#,
        NOW.0,
        NOW.0 + 3_600
    );
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(signed.as_bytes()).unwrap_or_default();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn request(token: Option<&str>) -> Request<Full<bytes::Bytes>> {
    let version = ProtocolVersion::NEWEST.as_str();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"yes","arguments":{{}},"_meta":{{"io.modelcontextprotocol/protocolVersion":"{version}","io.modelcontextprotocol/clientInfo":{{"name":"cost","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}}}}}"#
    );
    let mut request = Request::post("/mcp")
        .header("host", "localhost:8000")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", version)
        .header("mcp-method", "tools/call")
        .header("mcp-name", "yes");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Full::new(body.into())).unwrap_or_default()
}

/// Microseconds of one call.
async fn time(server: &HttpServer, token: Option<&str>) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..TURNS {
            let asked: Pin<Box<_>> = Box::pin(server.serve(request(token)));
            let Ok(answer) = asked.await;
            assert!(answer.status().is_success(), "{:?}", answer.headers());
            let _ = answer.into_body().collect().await;
        }
        best = best.min(begun.elapsed().as_secs_f64() * 1e6 / f64::from(TURNS));
    }
    best
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut keys = vec![
        ("ES256", SigningKey::generate(Algorithm::Es256)?),
        ("EdDSA", SigningKey::generate(Algorithm::EdDsa)?),
    ];
    if let Some(path) = std::env::args().nth(1) {
        let pem = std::fs::read_to_string(path)?;
        keys.push(("RS256", SigningKey::from_pkcs8_pem(&pem)?));
        let pss = SigningKey::from_pkcs8_pem(&pem)?.with_algorithm(Algorithm::Ps256)?;
        keys.push(("PS256", pss));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let bare = time(&HttpServer::new(Yes), None).await;
        println!("bare call                {bare:8.2} µs");
        for (name, key) in &keys {
            let set = format!(r#"{{"keys":[{}]}}"#, key.verifying_key().to_jwk());
            let issuer =
                Issuer::new("https://id.example", RESOURCE).jwks_uri("https://id.example/jwks");
            let verifier = JwtVerifier::new(issuer, Arc::new(Keys(set)))?;
            let (token, clock) = (token(key), Clock::new(|| NOW));
            let anew = Protected::new(RESOURCE, Anew(verifier.clone()))?.clock(clock.clone());
            let anew = time(&anew.http(Yes, HttpOptions::default()), Some(&token)).await;
            let kept = Protected::new(RESOURCE, verifier)?.clock(clock);
            let kept = time(&kept.http(Yes, HttpOptions::default()), Some(&token)).await;
            println!("{name}, verified each time {:8.2} µs more", anew - bare);
            println!("{name}, known already      {:8.2} µs more", kept - bare);
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    })
}
