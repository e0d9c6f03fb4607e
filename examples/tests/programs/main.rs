//! Each example is started and does what its first lines say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod auth;
mod notes;
mod secure;
mod secure_notes;
mod served;
mod servers;
mod sqlite;
mod suspected;
mod table;
mod topics;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use etdi::core::approval::{Answer, Approver, Granted, Question};
use etdi::core::identity::ServerIdentity;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::level::SecurityLevel;
use etdi::core::trust::TrustAnchors;
use etdi::{EtdiClient, Program};
use mcp_client::types::{BoxFuture, Implementation};
use mcp_client::{Client, structured, text_of};
use mcp_transport::Connection;
use serde_json::{Value, json};

/// The executable of an example, which `cargo test` built beside this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap().join("examples");
    let program = folder.join(name);
    assert!(program.exists(), "build it first: cargo build -p examples --example {name}");
    program
}

fn connect(name: &str, arguments: &[&str]) -> Client<Connection> {
    let command = mcp_transport::process::Command::new(example(name)).args(arguments);
    Client::new(mcp_transport::connect(
        command.spawn().unwrap(),
        Implementation::new("test", "1.0.0"),
    ))
}

fn run(name: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(example(name));
    let Output { status, stdout, stderr } =
        command.args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

#[tokio::test]
async fn calculator() {
    let client = connect("calculator", &[]);
    let sum = client.call_tool("add", &json!({ "a": 2, "b": 3.5 })).await.unwrap();
    assert_eq!(structured::<Value>(&sum).unwrap(), json!({ "result": 5.5 }));
    let failed = client.call_tool("divide", &json!({ "dividend": 1, "divisor": 0 })).await.unwrap();
    assert_eq!((failed.is_error, text_of(&failed).as_str()), (Some(true), "the divisor is zero"));
    client.service().close().await;
}

#[tokio::test]
async fn bench_server() {
    let client = connect("bench_server", &["--stdio", "--tools", "10"]);
    let page = client.list_tools(None).await.unwrap();
    assert_eq!((page.tools.len(), page.next_cursor), (10, None));
    let echo = client.call_tool("echo", &json!({ "message": "as it is" })).await.unwrap();
    assert_eq!(text_of(&echo), "as it is");
    let sum = client.call_tool("add", &json!({ "a": 2, "b": 0.5 })).await.unwrap();
    assert_eq!(structured::<Value>(&sum).unwrap(), json!({ "sum": 2.5 }));
    client.service().close().await;
    let (code, _, stderr) = run("bench_server", &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("`--stdio`"), "{stderr}");
}

#[test]
fn interop_client_on_interop_server() {
    let server = example("interop_server");
    let (code, stdout, stderr) = run("interop_client", &["--", &server.to_string_lossy()]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(stdout.lines().last(), Some("40 passed, 0 failed"));
}

#[test]
fn interop_client_fails_on_a_server_that_offers_something_else() {
    let server = example("calculator");
    let (code, stdout, _) = run("interop_client", &["--", &server.to_string_lossy()]);
    assert_eq!(code, Some(1), "{stdout}");
}

/// A fresh key, and the file in which it is.
fn publisher() -> (SigningKey, tempfile::NamedTempFile) {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key.to_pkcs8_pem().as_bytes()).unwrap();
    (key, file)
}

/// Says yes to everything.
struct Yes;

impl Approver for Yes {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "the test")))
    }
}

#[tokio::test]
async fn signed_notes() {
    let (key, file) = publisher();
    let program = || {
        let words = [example("signed_notes"), "--key".into(), file.path().to_owned()];
        Program::new(words.iter().map(|word| word.to_string_lossy().into_owned()))
            .named(ServerIdentity::package("pkg:cargo/signed-notes").unwrap())
    };
    let mut trust = TrustAnchors::new();
    trust.trust_key(key.verifying_key().clone());
    let client = EtdiClient::builder().trust(trust).approver(Arc::new(Yes)).build();
    let session = client.connect(program()).await.unwrap();
    let verified = session.verify_tool("search_notes").await.unwrap();
    assert!(verified.verification().is_ok(), "{:?}", verified.verification());
    let found = session.invoke_tool("search_notes", &json!({ "query": "MILK" })).await.unwrap();
    let texts: Value = structured(&found).unwrap();
    assert_eq!(texts["result"][0]["text"], "buy milk");
    let empty = session.invoke_tool("add_note", &json!({ "text": " " })).await.unwrap();
    assert_eq!(empty.is_error, Some(true));
    session.close().await;

    // Whoever does not trust the key gets nothing from the same server at strict.
    let strict = SecurityLevel::Strict;
    let stranger = EtdiClient::builder().level(strict).approver(Arc::new(Yes)).build();
    let session = stranger.connect(program()).await.unwrap();
    let refused = session.invoke_tool("search_notes", &json!({ "query": "milk" })).await;
    assert_eq!(refused.unwrap_err().code(), "UNVERIFIED");
    session.close().await;
}

#[test]
fn careful_client_asks_first() {
    let folder = tempfile::tempdir().unwrap();
    let approvals = folder.path().join("approvals").to_string_lossy().into_owned();
    let server = example("calculator").to_string_lossy().into_owned();
    let arguments = ["--approvals", &approvals, "add", r#"{"a":1,"b":2}"#, "--", &server];
    let (code, _, stderr) = run("careful_client", &arguments);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains("approve? [y/N]") && stderr.contains("NOT_APPROVED"), "{stderr}");

    let program = example("careful_client");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"y\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("3.0"));

    // The answer was kept: nobody is asked any more.
    let (code, stdout, _) = run("careful_client", &arguments);
    assert_eq!(code, Some(0), "{stdout}");
    assert!(stdout.contains("APPROVED"), "{stdout}");
}

/// A server behind HTTP, ended with the value.
struct Serving(std::process::Child);

impl Serving {
    fn start(name: &str, arguments: &[&str], port: u16) -> Self {
        let mut command = Command::new(example(name));
        let child = command.args(arguments).stdin(Stdio::null()).spawn().unwrap();
        let serving = Self(child);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn long_job_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (port, file) = (free_port(), folder.path().join("tasks.redb"));
    let (address, url) = (format!("127.0.0.1:{port}"), format!("http://127.0.0.1:{port}/mcp"));
    let serve = ["serve", "--http", &address, "--keep", file.to_str().unwrap()];
    let server = Serving::start("long_job", &serve, port);
    let (code, ticket, stderr) = run("long_job", &["start", &url, "3"]);
    assert_eq!(code, Some(0), "{stderr}");
    let follow = || {
        let mut command = Command::new(example("long_job"));
        command.args(["follow", &url, ticket.trim()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"thick paper\n").unwrap();
        child
    };
    // The job waits for an answer, which another process gives. Then its server ends.
    let mut first = follow();
    let mut told = std::io::BufReader::new(first.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("on thick paper") {
        line.clear();
        assert_ne!(std::io::BufRead::read_line(&mut told, &mut line).unwrap(), 0);
    }
    drop(server);
    assert!(!first.wait().unwrap().success(), "its server is gone");

    let _server = Serving::start("long_job", &serve, port);
    let Output { status, stdout, .. } = follow().wait_with_output().unwrap();
    let stdout = String::from_utf8(stdout).unwrap();
    assert!(status.success(), "{stdout}");
    assert_eq!(stdout.lines().last(), Some("printed 3 pages on thick paper"), "{stdout}");
    let (code, _, _) = run("long_job", &["cancel", &url, ticket.trim()]);
    assert_eq!(code, Some(0), "what is over is cancelled likewise");
}
