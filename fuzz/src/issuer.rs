//! Requests to the embedded authorization server, and documents about clients.

use std::sync::Arc;

use etdi_core::time::UnixTime;
use etdi_oauth::embedded::{AuthorizationRoutes, Client, Embedded, MemoryStore, Settings};
use etdi_oauth::{Clock, Fetch, FetchError, FetchRequest, FetchResponse};
use http::Request;
use http_body_util::{BodyExt as _, Full};
use mcp_types::BoxFuture;

const NOW: UnixTime = UnixTime(1_800_000_000);
const SECRET: &str = "a-secret-of-at-least-16";

/// A login by the client that a document is about.
const LOGIN: &str = "/authorize?response_type=code&client_id=https%3A%2F%2Fapp.example%2Fclient.json&\
    redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Fcallback&code_challenge_method=S256&\
    code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&\
    resource=https%3A%2F%2Fmcp.example%2Fmcp&state=s";

/// Gives one document, wherever it is asked for.
struct Document(Vec<u8>);

impl Fetch for Document {
    fn fetch(&self, _: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>> {
        Box::pin(std::future::ready(Ok(FetchResponse::new(200, self.0.clone()))))
    }
}

/// A method and a path on the first line, headers on the next, and after an empty line a form; or
/// behind the line `document` what a client id leads to.
///
/// # Panics
///
/// When an answer is the server's fault, sends somebody on with a code although nobody logged in, or
/// gives a token to somebody who does not say the secret.
pub fn issuer(data: &[u8]) {
    let (document, request) = match data.strip_prefix(b"document\n") {
        Some(document) => (document, login().ok()),
        None => (b"{}".as_slice(), request(data)),
    };
    let Some(request) = request else { return };
    let knows = memchr::memmem::find(data, SECRET.as_bytes()).is_some()
        || request.headers().contains_key("authorization");
    let path = request.uri().path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("an event loop").block_on(async {
        let routes = routes(document).await;
        let (head, body) = routes.serve(request).await.into_parts();
        let body = body.collect().await.expect("a body is there").to_bytes();
        assert!(!head.status.is_server_error(), "{} {body:?}", head.status);
        let to = head.headers.get("location").and_then(|to| to.to_str().ok()).unwrap_or_default();
        assert!(!to.contains("?code=") && !to.contains("&code="), "nobody logged in: {to}");
        if path == "/token" && head.status.is_success() {
            assert!(knows, "a token for nothing: {body:?}");
        }
    });
}

fn login() -> http::Result<Request<Full<bytes::Bytes>>> {
    Request::get(LOGIN).header("host", "id.example").body(Full::default())
}

async fn routes(document: &[u8]) -> AuthorizationRoutes {
    let resource = "https://mcp.example/mcp";
    let mut settings = Settings::new("https://id.example", [resource]).expect("settings");
    settings.scopes = vec!["read".to_owned(), "offline_access".to_owned()];
    settings.registration = true;
    settings.hosts = vec!["id.example".to_owned()];
    let service = Client::with_secret("report", SECRET, [""; 0]).expect("a client");
    let desk = Client::public("desk", ["http://127.0.0.1/callback"]).expect("a client");
    let embedded = Embedded::open(Arc::new(MemoryStore::new()), &settings, NOW).await;
    let embedded = embedded.expect("a state").client(service).client(desk);
    let embedded = embedded.documents(Arc::new(Document(document.to_vec())));
    let routes = AuthorizationRoutes::new(Arc::new(embedded), settings).expect("routes");
    routes.clock(Clock::new(|| NOW))
}

fn request(data: &[u8]) -> Option<Request<Full<bytes::Bytes>>> {
    let end = memchr::memmem::find(data, b"\n\n").unwrap_or(data.len());
    let (head, body) = data.split_at(end);
    let mut lines = head.split(|&byte| byte == b'\n');
    let (method, path) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(path);
    for line in lines {
        let (name, value) = line.split_at(memchr::memchr(b':', line)?);
        request = request.header(name, value.get(1..)?.trim_ascii());
    }
    let body = bytes::Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
    request.body(Full::new(body)).ok()
}
