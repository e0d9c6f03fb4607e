//! Every verb of the client over standard streams. This program is both ends: it starts itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod common;

use std::sync::Arc;

use common::{Version, all_verbs, signed};
use etdi::core::approval::Granted;
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::level::{Revocation, SecurityLevel};
use etdi::core::policy::LocalRules;
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::{Error, EtdiClient, Program, Target};
use mcp_transport::{serve, stdio};
use serde_json::json;

/// By which the server knows that it is one, and its key.
const KEY: &str = "HELLO_KEY";
/// As which server it is signed, where that is another than [`identity`].
const NAME: &str = "HELLO_NAME";
const NEXT: &str = "--next";

fn identity() -> ServerIdentity {
    ServerIdentity::package("pkg:cargo/hello").unwrap()
}

fn main() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    match std::env::var(KEY) {
        Ok(key) => runtime.block_on(be_the_server(&key)),
        Err(_) => runtime.block_on(be_the_client()),
    }
}

async fn be_the_server(key: &str) {
    let identity = std::env::var(NAME).map_or_else(|_| identity(), |name| name.parse().unwrap());
    let key = Arc::new(SigningKey::from_pkcs8_pem(key).unwrap());
    let version = match std::env::args().any(|argument| argument == NEXT) {
        true => Version::Next,
        false => Version::First,
    };
    let server = signed(version, &identity, &key).await;
    serve(server, stdio().unwrap()).await.unwrap();
}

async fn be_the_client() {
    let ourselves = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
    all_verbs(identity(), async |version, identity, key| {
        let mut argv = vec![ourselves.clone()];
        argv.extend((version == Version::Next).then(|| NEXT.to_owned()));
        let key = key.to_pkcs8_pem().to_string();
        let program = Program::new(argv).named(identity.clone()).env(KEY, key);
        // The next version has another command line than the one that was pinned.
        Target::program(program.start_although_changed())
    })
    .await;
    println!("all verbs work over standard streams");
    for level in [SecurityLevel::Basic, SecurityLevel::Enhanced, SecurityLevel::Strict] {
        a_program_takes_the_name_of_a_url(&ourselves, level).await;
    }
    println!("no program passes as a server behind a URL");
}

/// The attack: all that the publisher has signed for a URL is public, so a program lists it, and the
/// user is talked into starting it under the name by which they have approved the server.
async fn a_program_takes_the_name_of_a_url(ourselves: &str, level: SecurityLevel) {
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let url = ServerIdentity::url("https://mcp.acme.example/mcp").unwrap();
    let mut trust = TrustAnchors::new();
    trust.trust("https://acme.example".parse().unwrap(), key.verifying_key().clone());
    let mut policy = level.policy();
    policy.revocation = Revocation::BestEffort;
    let client = EtdiClient::builder()
        .trust(trust)
        .policy(policy)
        .engine(Arc::new(LocalRules::of_approvals()))
        .caller(key.clone())
        .user("ada")
        .build();
    // What was dialled, and its certificate checked.
    let dialled = Peer::new(url.clone());
    let session = client.over(signed(Version::First, &url, &key).await, dialled).await.unwrap();
    for review in session.discover_tools().await.unwrap() {
        session.approve_tool(&review, Granted::All, "ada").await.unwrap();
    }
    let name = json!({"name": "Ada"});
    let greeted = session.invoke_tool("greet", &name).await.unwrap();
    assert_eq!(mcp_client::text_of(&greeted), "Hello, Ada.");

    let evil = Program::new([ourselves]).named(url.clone());
    let pem = key.to_pkcs8_pem().to_string();
    let evil = evil.env(KEY, pem).env(NAME, url.to_string()).start_although_changed();
    match client.connect(evil).await {
        Err(error) => assert!(matches!(error, Error::ProgramIdentity { .. }), "{error}"),
        Ok(session) => {
            let called = session.invoke_tool("greet", &name).await;
            panic!("at {level} the program was started, and called: {called:?}")
        }
    }
}
