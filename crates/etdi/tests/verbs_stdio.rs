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
use etdi::core::identity::ServerIdentity;
use etdi::core::key::SigningKey;
use etdi::{Program, Target};
use mcp_transport::{serve, stdio};

/// By which the server knows that it is one, and its key.
const KEY: &str = "HELLO_KEY";
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
    let key = Arc::new(SigningKey::from_pkcs8_pem(key).unwrap());
    let version = match std::env::args().any(|argument| argument == NEXT) {
        true => Version::Next,
        false => Version::First,
    };
    let server = signed(version, &identity(), &key).await;
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
}
