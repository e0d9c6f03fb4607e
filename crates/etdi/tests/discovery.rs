//! A client that knows no key finds a publisher's at the server that it dials, and what was revoked
//! at the publisher's own origin; over HTTPS on this computer.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::attestation::Attestation;
use etdi::core::identity::ServerIdentity;
use etdi::core::jws;
use etdi::core::key::{Algorithm, KeyRing, SigningKey};
use etdi::core::level::SecurityLevel;
use etdi::core::wire::{KEYS_AUDIENCE, StatementType};
use etdi::http::HttpTarget;
use etdi::oauth::{Discovery, GuardedFetch, Rules};
use etdi::{
    EtdiClient, EtdiClientBuilder, EtdiServerConfig, Target, ToolId, VerificationStatus, secure,
    system_time,
};
use http_body_util::{Either, Full};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use mcp_server::{server, tool};
use mcp_transport::http::server::HttpServer;
use mcp_types::BoxFuture;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Says hello.
#[tool(etdi, version = "1.0.0", permissions = ["greetings:say"])]
fn greet(name: String) -> String {
    format!("Hello, {name}.")
}

/// An HTTPS origin on this computer: documents by path, a server at `/mcp`, and what was asked.
struct Origin {
    url: String,
    documents: Arc<Mutex<HashMap<String, String>>>,
    asked: Arc<Mutex<Vec<String>>>,
    roots: Arc<ClientConfig>,
}

fn ring() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn trusting(certificate: CertificateDer<'static>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder_with_provider(ring());
    let config = config.with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_root_certificates(roots).with_no_client_auth())
}

impl Origin {
    async fn start(key: &Arc<SigningKey>) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let secret = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let certificate = made.cert.der().clone();
        let tls = ServerConfig::builder_with_provider(ring());
        let tls = tls.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let chain = vec![certificate.clone()];
        let tls = tls.with_single_cert(chain, PrivateKeyDer::Pkcs8(secret)).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());

        let identity = ServerIdentity::url(&format!("{url}/mcp")).unwrap();
        let statement = Attestation::new(url.parse().unwrap(), identity.clone(), system_time());
        let config = EtdiServerConfig::new(identity).signing(statement, key.clone());
        let tools = secure(server!().tool::<greet>().build().unwrap(), config).await.unwrap();
        let server = HttpServer::new(tools);

        let documents: Arc<Mutex<HashMap<String, String>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (shown, noted) = (documents.clone(), asked.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, server) = (acceptor.clone(), server.clone());
                let (shown, noted) = (shown.clone(), noted.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let answer =
                        service_fn(move |request: http::Request<hyper::body::Incoming>| {
                            let path = request.uri().path().to_owned();
                            let (server, shown) = (server.clone(), shown.clone());
                            if path != "/mcp" {
                                noted.lock().unwrap().push(path.clone());
                            }
                            async move {
                                if path == "/mcp" {
                                    return server
                                        .serve(request)
                                        .await
                                        .map(|one| one.map(Either::Left));
                                }
                                let document = shown.lock().unwrap().get(&path).cloned();
                                let status = if document.is_some() { 200 } else { 404 };
                                let body = Full::new(Bytes::from(document.unwrap_or_default()));
                                let answer = http::Response::builder().status(status).body(body);
                                Ok::<_, Infallible>(answer.unwrap().map(Either::Right))
                            }
                        });
                    let connection = hyper::server::conn::http1::Builder::new();
                    let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
                });
            }
        });
        Self { url, documents, asked, roots: trusting(certificate) }
    }

    fn says(&self, path: &str, document: impl Into<String>) {
        self.documents.lock().unwrap().insert(path.to_owned(), document.into());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn target(&self) -> Target {
        Target::http(HttpTarget::new(format!("{}/mcp", self.url)).tls(self.roots.clone()))
    }

    /// A fetcher that may ask this computer.
    fn discovery(&self) -> Discovery {
        let mut rules = Rules::default();
        rules.loopback = true;
        Discovery::new(Arc::new(GuardedFetch::new(rules).tls(self.roots.clone())))
    }
}

struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "ada")))
    }
}

fn client() -> EtdiClientBuilder {
    EtdiClient::builder().approver(Arc::new(Yes)).show_unverified(true)
}

fn keys(key: &SigningKey) -> String {
    [key.verifying_key().clone()].into_iter().collect::<KeyRing>().to_jwks()
}

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
const ETDI: &str = "/.well-known/etdi-configuration";

/// What a client makes of the one tool, and what a call of it says.
async fn status(client: &EtdiClient, origin: &Origin) -> (VerificationStatus, Result<(), String>) {
    client.connect_to_server(origin.target(), "hello").await.unwrap();
    let tools = client.discover_tools(None).await.unwrap();
    let called = client.invoke_tool(ToolId::new("hello", "greet"), &json!({"name": "Ada"})).await;
    let status = tools.first().map_or(VerificationStatus::Unverified, |t| t.verification_status());
    client.cleanup().await;
    (status, called.map(drop).map_err(|error| error.code()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_that_is_dialled_says_where_its_keys_are() {
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let origin = Origin::start(&key).await;
    let resource = json!({
        "resource": format!("{}/mcp", origin.url), "jwks_uri": format!("{}/keys", origin.url),
    });
    origin.says(RESOURCE, resource.to_string());
    origin.says("/keys", keys(&key));

    // Whoever looks nowhere knows nobody.
    let (without, _) = status(&client().build(), &origin).await;
    assert_ne!(without, VerificationStatus::Verified);
    assert!(origin.asked().is_empty());

    let found = status(&client().discovery(origin.discovery()).build(), &origin).await;
    assert_eq!(found, (VerificationStatus::Verified, Ok(())));
    let asked = origin.asked();
    assert_eq!(asked[..2], [RESOURCE, "/keys"], "the resource's own metadata comes first");

    // A fetcher with its default rules asks nothing of this computer, whatever a server says.
    let guarded =
        Discovery::new(Arc::new(GuardedFetch::new(Rules::default()).tls(origin.roots.clone())));
    let (refused, _) = status(&client().discovery(guarded).build(), &origin).await;
    assert_ne!(refused, VerificationStatus::Verified);
    assert_eq!(origin.asked().len(), asked.len());

    // At strict nobody is trusted for saying so himself.
    let strict = client().level(SecurityLevel::Strict).discovery(origin.discovery()).build();
    assert_eq!(status(&strict, &origin).await.1.unwrap_err(), "KEY_UNTRUSTED");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_its_issuer_took_back_counts_no_more() {
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let lists = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let origin = Origin::start(&key).await;
    let both: KeyRing =
        [key.verifying_key().clone(), lists.verifying_key().clone()].into_iter().collect();
    origin.says("/keys", both.to_jwks());
    let mut about = json!({
        "issuer": origin.url, "jwks_uri": format!("{}/keys", origin.url), "servers": [],
    });
    origin.says(ETDI, about.to_string());
    let fresh = || client().discovery(origin.discovery()).build();
    assert_eq!(status(&fresh(), &origin).await, (VerificationStatus::Verified, Ok(())));

    about["revocations_uri"] = json!(format!("{}/revocations", origin.url));
    origin.says(ETDI, about.to_string());
    let now = system_time().0;
    let claims = json!({
        "iss": origin.url, "aud": KEYS_AUDIENCE, "iat": now, "seq": now, "next_update": now + 3_600,
        "revoked": [{"kid": key.id().to_string()}],
    });
    let list = jws::sign(StatementType::Revocations, &claims.to_string(), &lists).unwrap();
    origin.says("/revocations", list);
    let (revoked, called) = status(&fresh(), &origin).await;
    assert_ne!(revoked, VerificationStatus::Verified);
    assert_eq!(called.unwrap_err(), "REVOKED");
    assert!(origin.asked().contains(&"/revocations".to_owned()));
}
