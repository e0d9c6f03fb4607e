//! `etdi` and a server behind a URL: listed, approved, called with signatures, and not mistaken for
//! another one.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::process::Command;
use std::sync::Arc;

use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, KeyRing, SigningKey};
use etdi::{EtdiServerConfig, secure};
use mcp_server::{server, tool};
use mcp_transport::http::server::{HttpServer, serve_http};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// Transfers money.
#[tool(etdi, version = "1.0.0", permissions = ["bank:transfer"], require_request_signing)]
fn transfer(cents: u64) -> String {
    format!("transferred {cents}")
}

/// A bank behind a URL, which its operator signs as the server of that URL, or of another.
fn bank(key: Arc<SigningKey>, named: Option<&str>) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let named = named.map(str::to_owned);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/mcp", listener.local_addr().unwrap());
            let identity = ServerIdentity::url(named.as_ref().unwrap_or(&url)).unwrap();
            let config = EtdiServerConfig::new(identity).operator(key);
            let server = server!().tool::<transfer>().build().unwrap();
            let server = HttpServer::new(secure(server, config).await.unwrap());
            tell.send(url).unwrap();
            let _ = serve_http(server, listener, std::future::pending()).await;
        });
    });
    told.recv().unwrap()
}

struct User(TempDir);

impl User {
    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (verb, rest) = words.split_first().unwrap();
        let mut command = Command::new(ETDI);
        for name in ["ETDI_PASSPHRASE_FD", "ETDI_KEY_FILE", "ETDI_STATE", "ETDI_PASSPHRASE"] {
            command.env_remove(name);
        }
        let home = self.0.path().join("etdi");
        let command = command.arg(verb).arg("--json").args(rest).env("ETDI_HOME", home);
        let output = command.current_dir(self.0.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
    }
}

#[test]
fn a_server_behind_a_url_is_verified_approved_and_called() {
    let user = User(tempfile::tempdir().unwrap());
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let ring: KeyRing = [key.verifying_key().clone()].into_iter().collect();
    std::fs::write(user.0.path().join("bank.json"), ring.to_jwks()).unwrap();
    let url = bank(key.clone(), None);
    let at = |words: &[&str], url: &str| {
        user.json(&[words, &["--trust", "bank.json", "--", url]].concat())
    };
    let (exit, verified) = at(&["verify"], &url);
    assert_eq!((exit, &verified["data"]["verified"]), (0, &1.into()), "{verified}");
    assert_eq!(verified["data"]["server"], url);
    let call = ["call", "transfer", "cents=5"];
    let (exit, refused) = at(&call, &url);
    assert_eq!((exit, refused["error"]["code"].as_str()), (6, Some("NOT_APPROVED")), "{refused}");
    assert_eq!(at(&["approve", "--yes"], &url).0, 0);
    // The tool takes signed calls alone.
    let (exit, called) = at(&call, &url);
    assert_eq!(exit, 0, "{called}");
    assert_eq!(called["data"]["result"]["content"][0]["text"], "transferred 5");

    // The attack: all that the bank says, from another URL.
    let twin = bank(key, Some(&url));
    let (exit, refused) = at(&["verify"], &twin);
    assert_eq!((exit, refused["error"]["code"].as_str()), (6, Some("WRONG_SERVER")), "{refused}");
    assert_eq!(at(&call, &twin).0, 6);

    let (exit, refused) = user.json(&["list", "--server", "pkg:cargo/bank", "--", &url]);
    assert!(exit == 1 && refused["error"]["message"].as_str().unwrap().contains("`--server`"));
    let (exit, refused) = user.json(&["list", "--", &url, "--verbose"]);
    assert!(exit == 1 && refused["error"]["message"].as_str().unwrap().contains("is a URL"));
}

/// What an author signs as the server of a URL counts behind that URL.
#[test]
fn a_list_is_signed_for_a_url() {
    let user = User(tempfile::tempdir().unwrap());
    let url = bank(Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()), None);
    assert_eq!(user.json(&["keys", "new"]).0, 0);
    let server = "https://bank.example/mcp";
    let (exit, signed) = user.json(&["sign", "--server", server, "--", &url]);
    assert_eq!((exit, &signed["data"]["tools"][0]["name"]), (0, &"transfer".into()), "{signed}");
    assert_eq!(signed["data"]["executable"], Value::Null);
    let text = std::fs::read_to_string(user.0.path().join("etdi.manifest.jws")).unwrap();
    assert!(etdi::core::manifest::read(&text).unwrap().contents.tools.contains_key("transfer"));
}
