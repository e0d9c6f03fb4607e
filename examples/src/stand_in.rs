//! Login servers of vendors, played on this machine: for trying programs out, and for their tests.
//!
//! They have the paths, documents and claims that the vendors publish, with a link to the page at
//! each, and refuse what the vendors refuse. Whoever is sent to their login page is signed in at
//! once. Nothing of this belongs into a program that serves anybody.

use std::collections::HashMap;
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use etdi_core::digest::Digest;
use etdi_core::key::{Algorithm, SigningKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::form_urlencoded;

pub mod auth0;
pub mod entra;

/// What a vendor does with one request.
trait Vendor: Send + Sync + 'static {
    fn answer(&self, asked: &Asked) -> Response;
}

/// Serves `vendor` on a port of its own as long as the runtime runs.
async fn serve<V: Vendor>(make: impl FnOnce(String) -> V) -> anyhow::Result<Arc<V>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let vendor = Arc::new(make(format!("http://{}", listener.local_addr()?)));
    let answers = vendor.clone();
    let router =
        Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            ready(answers.answer(&Asked { method, uri, headers, body }))
        });
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(vendor)
}

/// One request.
struct Asked {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
}

impl Asked {
    fn query(&self) -> Form {
        Form::read(self.uri.query().unwrap_or_default().as_bytes())
    }

    /// The body, with the credentials of the header where it has them (`client_secret_basic`).
    fn form(&self) -> Form {
        let mut form = Form::read(&self.body);
        let basic = self.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let basic = basic.and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok());
        let pair = basic.and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((id, secret)) = pair.as_deref().and_then(|pair| pair.split_once(':')) {
            for (name, value) in [("client_id", id), ("client_secret", secret)] {
                let plain: String = form_urlencoded::parse(format!("v={value}").as_bytes())
                    .map(|(_, value)| value.into_owned())
                    .collect();
                form.0.insert(name.to_owned(), plain);
            }
        }
        form
    }
}

/// Names and values; what is not there is empty.
struct Form(HashMap<String, String>);

impl Form {
    fn read(text: &[u8]) -> Self {
        Self(form_urlencoded::parse(text).into_owned().collect())
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// A login that is on its way to tokens.
#[derive(Clone)]
struct Login {
    client: String,
    redirect_uri: String,
    challenge: String,
    scope: String,
    audience: String,
}

impl Login {
    fn of(asked: &Form) -> Self {
        let text = |name| asked.get(name).to_owned();
        Self {
            client: text("client_id"),
            redirect_uri: text("redirect_uri"),
            challenge: text("code_challenge"),
            scope: text("scope"),
            audience: text("audience"),
        }
    }

    fn wants(&self, scope: &str) -> bool {
        self.scope.split(' ').any(|one| one == scope)
    }
}

/// What all vendors keep: a key that signs, codes and refresh tokens that count once.
struct Desk {
    key: SigningKey,
    waiting: Mutex<HashMap<String, Login>>,
    logins: AtomicUsize,
}

impl Desk {
    fn new() -> anyhow::Result<Self> {
        let key = SigningKey::generate_rsa(Algorithm::Rs256, 2048)?;
        Ok(Self { key, waiting: Mutex::default(), logins: AtomicUsize::new(0) })
    }

    /// Gives something that is taken back in exchange for `login`, once.
    fn hand_out(&self, login: Login) -> String {
        let handle = random();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.insert(handle.clone(), login);
        handle
    }

    fn take(&self, handle: &str) -> Option<Login> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(handle)
    }

    /// Signs the user in, whoever that is, and sends them back.
    fn sign_in(&self, asked: &Form) -> Response {
        self.logins.fetch_add(1, Ordering::Relaxed);
        let login = Login::of(asked);
        let Ok(mut back) = url::Url::parse(&login.redirect_uri) else {
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": "invalid_request" }));
        };
        let code = self.hand_out(login);
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", asked.get("state"));
        (StatusCode::FOUND, [(header::LOCATION, back.to_string())]).into_response()
    }

    /// The keys as the vendors publish them: without `alg`.
    fn jwks(&self) -> Response {
        let mut key: Value =
            serde_json::from_str(&self.key.verifying_key().to_jwk()).unwrap_or_default();
        if let Some(members) = key.as_object_mut() {
            members.remove("alg");
            members.insert("use".to_owned(), json!("sig"));
            members.insert("kid".to_owned(), json!(self.key.id().to_string()));
        }
        document(&json!({ "keys": [key] }))
    }

    fn token(&self, mut claims: Value, seconds: u64) -> String {
        if let Some(members) = claims.as_object_mut() {
            for (name, time) in [("iat", now()), ("nbf", now()), ("exp", now() + seconds)] {
                members.insert(name.to_owned(), json!(time));
            }
        }
        let header = json!({ "typ": "JWT", "alg": "RS256", "kid": self.key.id().to_string() });
        let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(signed.as_bytes()).unwrap_or_default();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Whether a verifier belongs to a challenge (RFC 7636, section 4.6); never without a challenge.
fn proves(verifier: &str, challenge: &str) -> bool {
    let digest = Digest::of_bytes(verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_bytes()) == challenge
}

fn document(value: &Value) -> Response {
    answer(StatusCode::OK, value)
}

fn answer(status: StatusCode, value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, value.to_string()).into_response()
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().map(|elapsed| elapsed.as_secs()).unwrap_or_default()
}

fn random() -> String {
    let mut bytes = [0; 32];
    // Without randomness it is guessable, and plays a vendor for nobody but this machine.
    let _ = SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A block of PEM, such as a `CERTIFICATE`, around what is in it.
pub fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned());
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n")
}

/// Follows a login page as a browser would whose user is signed in.
///
/// # Errors
///
/// When a page does not answer.
pub async fn browse(url: &str) -> anyhow::Result<()> {
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .build_http::<http_body_util::Empty<Bytes>>();
    let mut next = url.to_owned();
    for _ in 0..5 {
        let answer = client.get(next.parse()?).await?;
        if !answer.status().is_redirection() {
            let status = answer.status();
            let body = http_body_util::BodyExt::collect(answer.into_body()).await?.to_bytes();
            let said = String::from_utf8_lossy(&body);
            anyhow::ensure!(status.is_success(), "the login page says: {said}");
            return Ok(());
        }
        let location = answer.headers().get(header::LOCATION);
        next = location.context("a redirect leads nowhere")?.to_str()?.to_owned();
    }
    anyhow::bail!("the login page leads in circles")
}
