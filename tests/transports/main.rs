//! Signed calls, the four members of the Python SDK and receipts over standard streams and
//! Streamable HTTP, in both eras: what is tried in one process elsewhere, as it really travels.
//!
//! A program of its own and no `#[test]`, because it starts itself as the server: what the test
//! harness prints would stand in the server's output.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod between;

use std::sync::Arc;

use axum::Router;
use between::{Between, What};
use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey, VerifyingKey};
use etdi::core::layer::WriteOlder;
use etdi::core::legacy::call::LegacyCalls;
use etdi::core::level::{Policy, Receipt};
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::core::wire::{CALL, FORK_MEMBERS, RECEIPT};
use etdi::{EtdiClient, EtdiClientBuilder, EtdiServerConfig, Secured, secure};
use mcp_client::text_of;
use mcp_server::{Server, server, tool};
use mcp_transport::http::server::HttpServer;
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use mcp_transport::process::Command;
use mcp_transport::{ConnectOptions, Era, connect_with, serve, stdio};
use mcp_types::{BoxFuture, CallToolResult, ExchangeService, Implementation};
use serde_json::json;
use tokio::net::TcpListener;

/// Pays.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
fn pay(to: String, cents: u64) -> String {
    format!("{cents} to {to}")
}

/// Which signatures of the Python SDK the server takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// As its README states them.
    Readme,
    /// Also as its code makes them.
    Fork,
}

/// The keys of both ends.
struct Keys {
    instance: Arc<SigningKey>,
    caller: Arc<SigningKey>,
    rsa: SigningKey,
}

/// What the server process is told, which has to have the same key each time.
const INSTANCE: &str = "TEST_INSTANCE_KEY";
const RSA: &str = "TEST_RSA_JWK";

fn identity() -> ServerIdentity {
    ServerIdentity::package("pkg:cargo/bank").unwrap()
}

async fn bank(instance: Arc<SigningKey>, rsa: VerifyingKey, form: Form) -> Secured<Server> {
    let calls = LegacyCalls::new().key("laptop", rsa);
    let calls = match form {
        Form::Readme => calls,
        Form::Fork => calls.as_the_fork_does(),
    };
    let config = EtdiServerConfig::new(identity()).operator(instance).receipts().legacy(calls);
    secure(server!().tool::<pay>().build().unwrap(), config).await.unwrap()
}

struct Agrees;

impl Approver for Agrees {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "the user")))
    }
}

impl Keys {
    fn client(&self, receipt: Receipt) -> EtdiClientBuilder {
        let mut anchors = TrustAnchors::new();
        anchors.trust_key(self.instance.verifying_key().clone());
        let mut policy = Policy::enhanced();
        policy.receipt = receipt;
        EtdiClient::builder()
            .policy(policy)
            .trust(anchors)
            .approver(Arc::new(Agrees))
            .caller(self.caller.clone())
    }

    fn older(&self, algorithm: Algorithm) -> Arc<SigningKey> {
        let pem = self.rsa.to_pkcs8_pem();
        Arc::new(SigningKey::from_pkcs8_pem(&pem).unwrap().with_algorithm(algorithm).unwrap())
    }
}

async fn call<S: ExchangeService>(
    client: EtdiClientBuilder,
    service: S,
) -> Result<CallToolResult, etdi::Error> {
    let session = client.build().over(service, Peer::new(identity())).await?;
    session.invoke_tool("pay", &json!({ "to": "Bob", "cents": 5 })).await
}

/// Everything that a connection has to carry. Each session has a connection of its own, because a
/// handshake answers one challenge.
async fn works<S: ExchangeService>(
    keys: &Keys,
    connect: impl AsyncFn() -> S,
    form: Form,
    what: &str,
) {
    let between = async |what: What| Between::new(connect().await, what);
    // A statement, and a receipt for what came of it.
    let honest = between(What::Nothing).await;
    let result = call(keys.client(Receipt::RequiredIfAdvertised), honest.clone()).await.unwrap();
    assert_eq!(text_of(&result), "5 to Bob", "{what}");
    assert!(result.meta.unwrap().get(RECEIPT).is_some(), "{what}");
    let (params, meta) = honest.last();
    assert!(meta.get(CALL).is_some() && params.extra.get(FORK_MEMBERS[0]).is_none(), "{what}");

    let refused = async |client: EtdiClientBuilder, change: What, code: &str| {
        let error = call(client, between(change).await).await.unwrap_err();
        let said = format!("{error:?}");
        assert!(said.contains(code), "{what}: {change:?}: {said}");
    };
    let receipts = || keys.client(Receipt::RequiredIfAdvertised);
    refused(receipts(), What::Arguments, "SIGNATURE_INVALID").await;
    refused(receipts(), What::Unsigned, "SIGNATURE_REQUIRED").await;
    refused(receipts(), What::Result, "RECEIPT_INVALID").await;
    refused(receipts(), What::NoReceipt, "RECEIPT_MISSING").await;

    // The four members alone, as a client of the Python SDK sends them.
    let older = |algorithm| {
        let client = keys.client(Receipt::Ignored);
        client.older_signatures(keys.older(algorithm), WriteOlder::WhenListed)
    };
    let readme = between(What::OlderAlone).await;
    let result = call(older(Algorithm::Rs256), readme.clone()).await.unwrap();
    assert_eq!(text_of(&result), "5 to Bob", "{what}");
    let (params, meta) = readme.last();
    assert!(meta.get(CALL).is_none(), "{what}");
    assert!(FORK_MEMBERS.iter().all(|name| params.extra.get(name).is_some()), "{what}");
    refused(older(Algorithm::Rs256), What::OlderAndArguments, "SIGNATURE_INVALID").await;
    match form {
        Form::Readme => {
            refused(older(Algorithm::Ps256), What::OlderAlone, "SIGNATURE_INVALID").await;
        }
        Form::Fork => {
            let fork = between(What::OlderAlone).await;
            let result = call(older(Algorithm::Ps256), fork).await.unwrap();
            assert_eq!(text_of(&result), "5 to Bob", "{what}");
            refused(older(Algorithm::Ps256), What::OlderAndArguments, "SIGNATURE_INVALID").await;
        }
    }
    println!("{what}: signed, receipted, and the four members");
}

fn us() -> Implementation {
    Implementation::new("transports", "1.0.0")
}

async fn over_stdio(keys: &Keys, era: Era, form: Form) {
    let connect = async || {
        let pem = keys.instance.to_pkcs8_pem();
        let io = Command::new(std::env::current_exe().unwrap())
            .arg(format!("serve-{form:?}"))
            .env(INSTANCE, pem.as_str())
            .env(RSA, keys.rsa.verifying_key().to_jwk())
            .spawn()
            .unwrap();
        let mut options = ConnectOptions::new(us());
        options.config.era = Some(era);
        connect_with(io, options)
    };
    works(keys, connect, form, &format!("stdio, {era:?}, {form:?}")).await;
}

async fn over_http(keys: &Keys, era: Era, form: Form) {
    let server = bank(keys.instance.clone(), keys.rsa.verifying_key().clone(), form).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route_service("/mcp", HttpServer::new(server));
    let serving = tokio::spawn(async move { axum::serve(listener, router).await });
    let connect = async || {
        let mut options = HttpConnectOptions::new(us());
        options.config.era = Some(era);
        connect_http_with(&format!("http://{address}/mcp"), options).unwrap()
    };
    works(keys, connect, form, &format!("Streamable HTTP, {era:?}, {form:?}")).await;
    serving.abort();
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let form = match std::env::args().nth(1).as_deref() {
        Some("serve-Readme") => Some(Form::Readme),
        Some("serve-Fork") => Some(Form::Fork),
        // Whatever the harness of other tests is told.
        _ => None,
    };
    if let Some(form) = form {
        let instance = SigningKey::from_pkcs8_pem(&std::env::var(INSTANCE).unwrap()).unwrap();
        let rsa = VerifyingKey::from_jwk(&std::env::var(RSA).unwrap()).unwrap();
        let server = bank(Arc::new(instance), rsa, form).await;
        return serve(server, stdio().unwrap()).await.unwrap();
    }
    let keys = Keys {
        instance: Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()),
        caller: Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()),
        rsa: SigningKey::generate_rsa(Algorithm::Rs256, 2048).unwrap(),
    };
    // A revision of each era: 2025-11-25, and 2026-07-28.
    for era in [Era::Legacy, Era::Modern] {
        for form in [Form::Readme, Form::Fork] {
            over_stdio(&keys, era, form).await;
            over_http(&keys, era, form).await;
        }
    }
}
