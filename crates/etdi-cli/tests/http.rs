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

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;

use etdi::core::attestation::Attestation;
use etdi::core::identity::{ProviderId, ServerIdentity};
use etdi::core::key::{Algorithm, KeyRing, SigningKey};
use etdi::{EtdiServerConfig, secure};
use etdi_cli::demo::listing::{Listing, Publisher};
use etdi_cli::demo::raw::Script;
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

/// Gives money back.
#[tool(etdi, version = "1.0.0", permissions = ["bank:transfer"])]
fn refund(cents: u64) -> String {
    format!("refunded {cents}")
}

/// A bank behind a URL, which its operator signs as the server of that URL, or of another.
fn bank(key: Arc<SigningKey>, named: Option<&str>) -> String {
    bank_with(key, named, false)
}

/// The same, which may take back as well.
fn bank_with(key: Arc<SigningKey>, named: Option<&str>, refunds: bool) -> String {
    let (tell, told) = std::sync::mpsc::channel();
    let named = named.map(str::to_owned);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}/mcp", listener.local_addr().unwrap());
            let identity = ServerIdentity::url(named.as_ref().unwrap_or(&url)).unwrap();
            let config = EtdiServerConfig::new(identity).operator(key);
            let server = server!().tool::<transfer>();
            let server = if refunds { server.tool::<refund>() } else { server };
            let server = server.build().unwrap();
            let server = HttpServer::new(secure(server, config).await.unwrap());
            tell.send(url).unwrap();
            let _ = serve_http(server, listener, std::future::pending()).await;
        });
    });
    told.recv().unwrap()
}

struct User(TempDir);

impl User {
    fn command(&self, verb: &str, rest: &[&str]) -> Command {
        let mut command = Command::new(ETDI);
        for name in ["ETDI_PASSPHRASE_FD", "ETDI_KEY_FILE", "ETDI_STATE", "ETDI_PASSPHRASE"] {
            command.env_remove(name);
        }
        command.arg(verb).args(rest).env("ETDI_HOME", self.0.path().join("etdi"));
        command.current_dir(self.0.path());
        command
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (verb, rest) = words.split_first().unwrap();
        let output = self.command(verb, &[&["--json"], rest].concat()).output().unwrap();
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

/// The attack: what was signed for a URL is public, so a program that is started lists the same.
#[test]
fn a_program_does_not_pass_as_the_server_of_a_url() {
    let user = User(tempfile::tempdir().unwrap());
    let url = "https://mcp.acme.example/mcp";
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let ring: KeyRing = [key.verifying_key().clone()].into_iter().collect();
    std::fs::write(user.0.path().join("acme.json"), ring.to_jwks()).unwrap();
    let issuer = ProviderId::of_key(key.verifying_key().id());
    let now = etdi::system_time();
    let statement = Attestation::new(issuer, url.parse().unwrap(), now).expires(now.plus(3600));
    let tool = r#"{"name":"transfer","description":"Transfers.","inputSchema":{"type":"object"},"_meta":{"dev.etdi/etdi":{"v":1,"version":"1.0.0","permissions":[]}}}"#;
    let listing = Listing::new(vec![tool.to_owned()], serde_json::Map::new());
    let copied = listing.signed_by(&Publisher { statement: &statement, key: &key }).unwrap();
    let script = serde_json::to_string(&Script::new(copied.text(), "stolen", url)).unwrap();
    let path = user.0.path().join("evil.json").to_str().unwrap().to_owned();
    std::fs::write(&path, script).unwrap();

    let evil =
        ["--trust", "acme.json", "--server", url, "--", ETDI, "__demo-server", "script", &path];
    for verb in [
        &["verify"][..],
        &["verify", "--level", "basic"],
        &["verify", "--level", "strict"],
        &["list"],
        &["approve", "--yes"],
        &["call", "transfer"],
    ] {
        let (exit, refused) = user.json(&[verb, &evil].concat());
        let code = refused["error"]["code"].as_str();
        assert_eq!((exit, code), (1, Some("NOT_A_SERVER")), "{verb:?}: {refused}");
        let next = refused["error"]["next"].as_str().unwrap();
        assert_eq!(next, "etdi list -- https://mcp.acme.example/mcp");
    }
    let policy = [&["policy", "schema"], &evil[2..]].concat();
    let command = Command::new(ETDI).args(policy).output().unwrap();
    let said = String::from_utf8(command.stderr).unwrap();
    assert!(!command.status.success() && said.contains("the server behind that URL"), "{said}");
}

/// What an author signs as the server of a URL counts behind that URL.
#[test]
fn a_list_is_signed_for_a_url() {
    let user = User(tempfile::tempdir().unwrap());
    let key = Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
    let url = bank(key.clone(), None);
    assert_eq!(user.json(&["keys", "new"]).0, 0);
    let server = "https://bank.example/mcp";
    let (exit, signed) = user.json(&["sign", "--server", server, "--", &url]);
    assert_eq!((exit, &signed["data"]["tools"][0]["name"]), (0, &"transfer".into()), "{signed}");
    assert_eq!(signed["data"]["executable"], Value::Null);
    let text = std::fs::read_to_string(user.0.path().join("etdi.manifest.jws")).unwrap();
    assert!(etdi::core::manifest::read(&text).unwrap().contents.tools.contains_key("transfer"));

    // Signed again, what differs is said; nobody has to guess what slipped in.
    assert_eq!(signed["data"]["changes"], Value::Null);
    let grown = bank_with(key, None, true);
    let (_, again) = user.json(&["sign", "--server", server, "--", &grown]);
    let added = serde_json::json!([{ "how": "added", "what": "tool", "name": "refund" }]);
    assert_eq!(again["data"]["changes"], added, "{again}");
    let people = user.command("sign", &["--server", server, "--", &url]).output().unwrap();
    let said = String::from_utf8(people.stdout).unwrap();
    assert!(said.contains("  removed tool `refund`\n"), "{said}");
}

/// The attack: somebody on the way to the server puts texts of theirs into what its author signs.
#[test]
fn nothing_is_signed_that_came_in_the_clear() {
    let user = User(tempfile::tempdir().unwrap());
    assert_eq!(user.json(&["keys", "new"]).0, 0);
    let server = "https://bank.example/mcp";
    for verb in [
        &["sign", "--server", server][..],
        &["manifest"],
        &["lock"],
        &["migrate"],
        &["policy", "schema"],
    ] {
        // Nobody answers there, so a refusal before it is dialled comes at once and has its own code.
        let rest = [&verb[1..], &["--json", "--", "http://192.0.2.1/mcp"]].concat();
        let output = user.command(verb[0], &rest).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.contains(r#""code":"NOT_PROTECTED""#), "{verb:?}: {said}");
        assert_eq!(output.status.code(), Some(6), "{verb:?}");
    }
    assert!(!user.0.path().join("etdi.manifest.jws").exists());
    assert!(!user.0.path().join("etdi.lock").exists());
}

#[test]
fn who_looks_over_plain_http_is_told_so() {
    let user = User(tempfile::tempdir().unwrap());
    let said = |url: &str| {
        let output = user.command("list", &["--", url]).output().unwrap();
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("http://bank.invalid/mcp").contains("reads and changes calls and answers"));
    assert!(!said("http://127.0.0.1:1/mcp").contains("plain http"));
}

#[test]
fn a_server_that_wants_a_login_is_not_out_of_reach() {
    let user = User(tempfile::tempdir().unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let answer =
                "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let (exit, refused) = user.json(&["list", "--", &url]);
    assert_eq!(exit, 3, "{refused}");
}
