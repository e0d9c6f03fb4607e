//! `secure_notes`: each item of the security chapter's checklist, attacked.

use std::path::Path;
use std::sync::Arc;

use examples::stand_in::pem;
use mcp_client::types::{Implementation, SubscriptionFilter};
use mcp_client::{Change, Client, Error, text_of};
use mcp_transport::Era;
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with, http_status};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::example;
use super::secure::Issuer;
use super::served::Served;

/// A folder with notes, keys for three callers, and a server over it.
struct World {
    folder: TempDir,
    reader: String,
    writer: String,
    admin: String,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut world =
            Self { folder, reader: String::new(), writer: String::new(), admin: String::new() };
        let make = |name: &str, scopes: &[&str]| world.run(&[&["key", name], scopes].concat()).0;
        let (reader, writer, admin) = (
            make("reader", &["notes:read"]),
            make("writer", &["notes:read", "notes:write"]),
            make("admin", &["notes:read", "notes:write", "notes:admin"]),
        );
        (world.reader, world.writer, world.admin) = (reader, writer, admin);
        let notes = world.path().join("notes");
        std::fs::create_dir(notes.join("private")).unwrap();
        std::fs::write(notes.join("public/menu.txt"), "soup").unwrap();
        std::fs::write(notes.join("private/diary.txt"), "dear diary").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", notes.join("public/link")).unwrap();
        world
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs another verb of the program; gives what it printed, and whether it worked.
    fn run(&self, words: &[&str]) -> (String, bool) {
        let mut command = std::process::Command::new(example("secure_notes"));
        let output = command.args(words).env("NOTES", self.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (text.trim().to_owned(), output.status.success())
    }

    fn serve(&self, more: &[(&str, &str)]) -> Served {
        let folder = self.path().to_string_lossy();
        let variables = [&[("NOTES", &*folder), ("AUTH0_DOMAIN", "")], more].concat();
        Served::start_with("secure_notes", &["127.0.0.1:0"], &variables)
    }
}

fn with(served: &Served, key: &str) -> Client<HttpConnection> {
    let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
    options.headers.insert("x-api-key", key.parse().unwrap());
    Client::new(connect_http_with(&served.url, options).unwrap())
}

/// What the model reads, with a sign in front of a failure.
async fn said(client: &Client<HttpConnection>, tool: &str, arguments: Value) -> String {
    match client.call_tool(tool, &arguments).await {
        Ok(result) if result.is_error == Some(true) => format!("! {}", text_of(&result)),
        Ok(result) => text_of(&result),
        Err(error) => format!("!! {}", code(error)),
    }
}

fn code(error: Error) -> i64 {
    match error {
        Error::Service(error) => error.code,
        Error::Connection(error) => http_status(&error).map_or(0, i64::from),
        error => panic!("{error}"),
    }
}

#[tokio::test]
async fn inputs_are_validated_and_sanitized() {
    let world = World::new();
    let served = world.serve(&[]);
    let writer = with(&served, &world.writer);
    let write = async |path: &str, text: &str| {
        said(&writer, "write_note", json!({ "path": path, "text": text })).await
    };
    assert_eq!(write("public/a.txt", "milk").await, "wrote public/a.txt");
    for (path, text) in [
        ("../out.txt", "x"),
        ("/tmp/out.txt", "x"),
        ("public/../../out.txt", "x"),
        ("public\\..\\..\\out.txt", "x"),
        ("public/a\0.txt", "x"),
        ("public/b.txt", ""),
        ("public/b.txt", &"x".repeat(10_001)),
        ("public/link", "x"),
        ("", "x"),
    ] {
        let said = write(path, text).await;
        assert!(said.starts_with('!'), "{path:?}: {said}");
        // What the server knows of its own place stays there.
        let place = world.path().to_string_lossy();
        assert!(!said.contains(&*place) && !said.contains("os error"), "{said}");
    }
    assert!(!world.path().join("out.txt").exists());
    let odd = said(&writer, "write_note", json!({ "path": "public/c", "txet": "x" })).await;
    assert!(odd.starts_with('!'), "{odd}");

    let comment = async |author: &str, text: &str| {
        said(&writer, "comment", json!({ "author": author, "text": text })).await
    };
    let html = "<p>&lt;b&gt;: &lt;script&gt;alert(1)&lt;/script&gt;</p>";
    assert_eq!(comment("<b>", "<script>alert(1)</script>").await, html);
    assert!(comment("Ada'; DROP TABLE notes", "hi").await.starts_with('!'));
}

#[tokio::test]
async fn nobody_comes_in_without_a_key() {
    let world = World::new();
    let served = world.serve(&[]);
    assert_eq!(
        said(&with(&served, &world.reader), "comment", json!({"author": "a", "text": "b"})).await,
        "<p>a: b</p>"
    );
    let guess = "mcpk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let cut = &world.reader[..world.reader.len() - 1];
    for key in [guess, cut, "null"] {
        let refused = with(&served, key).all_tools().await.unwrap_err();
        assert_eq!(code(refused), 401, "{key}");
    }
    // A key in a URL would be in logs, and counts for nothing.
    let answer = served.raw(&format!(
        "POST /mcp?X-API-Key={} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        world.reader
    ));
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");

    // What is kept of a key does not open anything, and a revoked one ends for a server that runs.
    let kept = std::fs::read_to_string(world.path().join("api_keys.json")).unwrap();
    assert!(!kept.contains(&world.reader) && kept.contains("sha256"), "{kept}");
    assert!(world.run(&["revoke", "reader"]).1);
    let reader = with(&served, &world.reader);
    let mut tries = 0;
    while reader.all_tools().await.is_ok() {
        tries += 1;
        assert!(tries < 50, "it still counts");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(code(reader.all_tools().await.unwrap_err()), 401);
    assert!(!world.run(&["key", "x", "notes:everything"]).1, "there is no such scope");
}

#[tokio::test]
async fn tokens_count_beside_keys() {
    let world = World::new();
    let issuer = Issuer::start("/.well-known/jwks.json").await;
    let served = world.serve(&[("AUTH0_DOMAIN", &issuer.origin)]);
    let by = |token: &str| {
        super::secure::with(&served.url, Era::Modern, "authorization", &format!("Bearer {token}"))
    };
    let menu = "note:///public/menu.txt";
    assert!(by(&issuer.of_auth0("notes:read")).read_resource(menu).await.is_ok());
    assert!(by(&issuer.of_auth0("other")).read_resource(menu).await.is_err());
    assert!(with(&served, &world.reader).read_resource(menu).await.is_ok());
    let stranger = Issuer::start("/.well-known/jwks.json").await;
    let refused = by(&stranger.of_auth0("notes:read")).all_tools().await.unwrap_err();
    assert_eq!(code(refused), 401);
}

#[tokio::test]
async fn each_caller_has_what_it_needs_and_no_more() {
    let world = World::new();
    let served = world.serve(&[]);
    let (reader, admin) = (with(&served, &world.reader), with(&served, &world.admin));
    let tools = reader.all_tools().await.unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["wait_for_change", "comment"]);
    let note = json!({ "path": "public/a.txt", "text": "x" });
    assert_eq!(said(&reader, "write_note", note).await, "!! 403");

    let reads = async |client: &Client<HttpConnection>, uri: &str| {
        client.read_resource(uri).await.map(|read| format!("{:?}", read.contents))
    };
    assert!(reads(&reader, "note:///public/menu.txt").await.unwrap().contains("soup"));
    assert!(reads(&admin, "note:///private/diary.txt").await.unwrap().contains("dear diary"));
    for uri in [
        "note:///private/diary.txt",
        "note:///public/../private/diary.txt",
        "note:///public/%2e%2e/private/diary.txt",
        "note:///public/..%2fprivate/diary.txt",
        "note:///public/%252e%252e/private/diary.txt",
        "note:///public/link",
        "note:////etc/passwd",
        "note:///../audit.jsonl",
    ] {
        let refused = reads(&reader, uri).await.unwrap_err().to_string();
        assert!(refused.contains("there is no resource"), "{uri}: {refused}");
    }
    // Nor is it written by whoever may not read it.
    let writer = with(&served, &world.writer);
    let mine = json!({ "path": "private/diary.txt", "text": "mine" });
    assert_eq!(said(&writer, "write_note", mine).await, "! there is no such note");
    // Nor by the tool that reads for its caller.
    let wait = json!({ "path": "private/diary.txt" });
    assert_eq!(said(&reader, "wait_for_change", wait).await, "! there is no such note");
    // What lies beside the notes is nobody's.
    assert!(reads(&admin, "note:///../audit.jsonl").await.is_err());
    assert!(reads(&admin, "note:///public/link").await.is_err());
}

/// In both eras: who may read a note hears that it changed, and nobody else does.
#[tokio::test]
async fn changes_are_heard_by_those_who_may_read() {
    let world = World::new();
    let served = world.serve(&[]);
    let admin = with(&served, &world.admin);
    for era in [Era::Modern, Era::Legacy] {
        let reader = super::secure::with(&served.url, era, "x-api-key", &world.reader);
        let (menu, diary) = ("note:///public/menu.txt", "note:///private/diary.txt");
        let mut filter = SubscriptionFilter::new();
        filter.resource_subscriptions = Some(vec![menu.to_owned(), diary.to_owned()]);
        let mut changes = reader.subscribe(filter);
        let opened = changes.next_change().await.unwrap();
        assert!(matches!(opened, Some(Change::Opened { .. })), "{opened:?}");
        for path in ["private/diary.txt", "public/menu.txt"] {
            let note = json!({ "path": path, "text": format!("{era:?}") });
            assert!(said(&admin, "write_note", note).await.starts_with("wrote"));
        }
        let patience = std::time::Duration::from_secs(5);
        let heard = tokio::time::timeout(patience, changes.next_change()).await;
        assert_eq!(heard.expect("nothing is heard").unwrap(), Some(Change::Resource(menu.into())));
    }
}

#[tokio::test]
async fn secrets_are_on_no_disk_and_in_no_answer() {
    let world = World::new();
    let served = world.serve(&[]);
    let writer = with(&served, &world.writer);
    let secret = |text: &str| json!({ "name": "door", "secret": text });
    let marked = "open-sesame-4711-marked";
    assert_eq!(said(&writer, "store_secret", secret(marked)).await, "stored door");
    assert_eq!(said(&writer, "check_secret", secret(marked)).await, r#"{"result":true}"#);
    assert_eq!(said(&writer, "check_secret", secret("open-sesame")).await, r#"{"result":false}"#);
    // Another caller's of the same name is another one: to guess at it or to write over it is no use.
    let other = with(&served, &world.admin);
    assert_eq!(said(&other, "check_secret", secret(marked)).await, r#"{"result":false}"#);
    assert_eq!(said(&other, "store_secret", secret("mine")).await, "stored door");
    assert_eq!(said(&writer, "check_secret", secret(marked)).await, r#"{"result":true}"#);
    let mut found = 0;
    let mut folders = vec![world.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match std::fs::metadata(&path) {
                Ok(about) if about.is_dir() => folders.push(path),
                _ => {
                    let bytes = std::fs::read(&path).unwrap();
                    let holds =
                        |text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
                    for text in [marked, &world.writer] {
                        assert!(!holds(text), "{} holds it", path.display());
                    }
                    found += 1;
                }
            }
        }
    }
    assert!(found > 4, "{found} files");
}

#[tokio::test]
async fn what_happens_is_written_down_and_cannot_be_rewritten() {
    let world = World::new();
    let served = world.serve(&[]);
    assert!(with(&served, "mcpk_guess").all_tools().await.is_err());
    let reader = with(&served, &world.reader);
    said(&reader, "comment", json!({ "author": "a", "text": "b" })).await;
    said(&reader, "write_note", json!({ "path": "public/x", "text": "y" })).await;
    let _ = reader.read_resource("note:///private/diary.txt").await;
    let (trail, holds) = world.run(&["audit"]);
    assert!(holds, "{trail}");
    for line in [
        "token_refused the API key is not known",
        "tool_invoked api-key reader: comment",
        "tool_refused api-key reader: write_note refused with 403",
        "tool_refused api-key reader: note:///private/diary.txt refused with",
    ] {
        assert!(trail.contains(line), "{line} in {trail}");
    }
    assert!(!trail.contains("mcpk_"), "{trail}");
    let path = world.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("write_note", "read_note")).unwrap();
    assert!(!world.run(&["audit"]).1, "a changed line goes unnoticed");
}

#[tokio::test]
async fn too_many_requests_are_put_off() {
    let world = World::new();
    let quick = [("REQUESTS_PER_SECOND", "1"), ("REQUESTS_AT_ONCE", "5")];
    let served = world.serve(&quick);
    let (reader, writer) = (with(&served, &world.reader), with(&served, &world.writer));
    let ask = json!({ "author": "a", "text": "b" });
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(said(&reader, "comment", ask.clone()).await);
    }
    assert!(answers.iter().any(|said| said == "!! 429"), "{answers:?}");
    // One caller's greed is no other's.
    assert_eq!(said(&writer, "comment", ask).await, "<p>a: b</p>");
}

#[tokio::test]
async fn calls_that_take_too_long_end() {
    let world = World::new();
    let served = world.serve(&[("SECONDS_PER_CALL", "2")]);
    let writer = with(&served, &world.writer);
    let wait = said(&writer, "wait_for_change", json!({ "path": "public/menu.txt" }));
    let patience = std::time::Duration::from_secs(8);
    let ended = tokio::time::timeout(patience, wait).await.expect("nobody ended it");
    assert!(ended.starts_with("!!"), "{ended}");
}

#[tokio::test]
async fn https_or_this_machine_alone() {
    let world = World::new();
    let output = std::process::Command::new(example("secure_notes"))
        .arg("0.0.0.0:0")
        .env("NOTES", world.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("without TLS only this machine"), "{told}");

    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let file = |name: &str, text: String| {
        let path = world.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let certificate = file("certificate.pem", pem("CERTIFICATE", made.cert.der()));
    let key = file("certificate.key", pem("PRIVATE KEY", &made.signing_key.serialize_der()));
    let served = world.serve(&[("TLS_CERTIFICATE", &certificate), ("TLS_KEY", &key)]);
    assert!(served.url.starts_with("https://127.0.0.1:"), "{}", served.url);

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = |roots| {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider);
        let tls = tls.with_safe_default_protocol_versions().unwrap();
        let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
        options.tls = Some(Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
        options.headers.insert("x-api-key", world.reader.parse().unwrap());
        Client::new(connect_http_with(&served.url, options).unwrap())
    };
    let known = client(Arc::new(roots));
    assert_eq!(said(&known, "comment", json!({"author": "a", "text": "b"})).await, "<p>a: b</p>");
    // Whoever does not know the certificate says nothing to it, and nothing is said in the clear.
    let stranger = client(Arc::new(rustls::RootCertStore::empty()));
    assert!(stranger.all_tools().await.is_err());
    let mut stream = std::net::TcpStream::connect(served.url.split('/').nth(2).unwrap()).unwrap();
    std::io::Write::write_all(&mut stream, b"POST /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "it speaks in the clear");
}
