//! `etdi auth`: a login is made once, kept, and used by every verb that names the server.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod web;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use web::{Asked, JSON, sound, web};

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");
const TOKEN: &str = "t0ken-of-ada";

/// A protected server that is its own issuer; it registers whoever asks, and gives one token.
fn notes() -> String {
    let port = web(|asked: &Asked| {
        let line = |name: &str| {
            asked.head.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let origin = format!("http://{}", line("host").unwrap());
        let ok = |value: Value| (200, JSON, value.to_string());
        match asked.path.as_str() {
            "/mcp" if line("authorization") == Some(format!("Bearer {TOKEN}")) => ok(sound(asked)),
            "/mcp" => (401, &["www-authenticate: Bearer"][..], String::new()),
            "/.well-known/oauth-protected-resource/mcp" => ok(json!({
                "resource": format!("{origin}/mcp"), "authorization_servers": [origin],
            })),
            "/.well-known/oauth-authorization-server" => ok(json!({
                "issuer": origin, "authorization_endpoint": format!("{origin}/authorize"),
                "token_endpoint": format!("{origin}/token"),
                "registration_endpoint": format!("{origin}/register"),
                "code_challenge_methods_supported": ["S256"], "response_types_supported": ["code"],
                "token_endpoint_auth_methods_supported": ["none"],
            })),
            "/register" => {
                let mut client = asked.body.clone();
                client["client_id"] = "etdi-1".into();
                (201, JSON, client.to_string())
            }
            "/token" => ok(json!({
                "access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600, "scope": "notes",
            })),
            _ => (404, JSON, String::new()),
        }
    });
    format!("http://127.0.0.1:{port}/mcp")
}

struct User(TempDir);

impl User {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(ETDI);
        command.args(words).env("ETDI_HOME", self.0.path().join("etdi")).current_dir(self.0.path());
        // No browser opens in a test.
        command.env("PATH", "");
        command
    }

    fn json(&self, words: &[&str]) -> (i32, Value) {
        let Output { status, stdout, stderr } = self.command(words).output().unwrap();
        let text = String::from_utf8(stdout).unwrap();
        let read = serde_json::from_str(&text);
        let said = String::from_utf8_lossy(&stderr).into_owned();
        (status.code().unwrap(), read.unwrap_or_else(|_| panic!("{text}{said}")))
    }
}

/// A parameter of a URL, as it is written there.
fn parameter(url: &str, name: &str) -> String {
    let found = url.split(['?', '&']).find_map(|pair| pair.strip_prefix(&format!("{name}=")));
    found.unwrap().to_owned()
}

fn plain(text: &str) -> String {
    text.replace("%3A", ":").replace("%2F", "/")
}

#[test]
fn a_login_is_made_once_and_used_everywhere() {
    let (user, url) = (User(tempfile::tempdir().unwrap()), notes());
    let (code, refused) = user.json(&["list", "--json", "--", &url]);
    assert_eq!(
        (code, refused["error"]["next"].as_str()),
        (3, Some(&*format!("etdi auth login {url}")))
    );

    // The user's browser follows the page that is printed, and comes back with a code.
    let mut command = user.command(&["auth", "login", &url]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let page = loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "no page is shown");
        if line.contains("/authorize?") {
            break line.trim().to_owned();
        }
    };
    let back = plain(&parameter(&page, "redirect_uri"));
    let (host, path) = back.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut browser = TcpStream::connect(host).unwrap();
    let state = parameter(&page, "state");
    let request = format!("GET /{path}?code=c1&state={state} HTTP/1.1\r\nhost: {host}\r\n\r\n");
    browser.write_all(request.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let mut rest = String::new();
    let _ = said.read_to_string(&mut rest);
    assert!(output.status.success() && told.contains("logged in at"), "{told}{rest}");
    assert!(!told.contains(TOKEN) && !rest.contains(TOKEN));

    let (code, listed) = user.json(&["list", "--json", "--", &url]);
    assert_eq!((code, &listed["data"]["tools"][0]["name"]), (0, &json!("add")), "{listed}");
    let (code, found) = user.json(&["doctor", "--json", "--", &url]);
    assert_eq!((code, &found["data"]["healthy"]), (0, &json!(true)), "{found}");
    let (_, status) = user.json(&["auth", "status", "--json"]);
    let login = &status["data"]["logins"][0];
    assert_eq!((&login["server"], &login["scopes"]), (&json!(url), &json!(["notes"])), "{status}");
    // Neither shown nor in the clear.
    assert!(!status.to_string().contains(TOKEN) && !in_the_clear(&user.0.path().join("etdi")));
    // Another user of this computer, and another server, have none of it.
    assert_eq!(user.json(&["list", "--json", "--", &notes()]).0, 3);

    assert_eq!(user.json(&["auth", "logout", "--json", &url]).0, 0);
    assert_eq!(user.json(&["list", "--json", "--", &url]).0, 3);
    let (code, refused) = user.json(&["auth", "logout", "--json", &url]);
    assert_eq!((code, refused["error"]["code"].as_str()), (1, Some("NO_LOGIN")));
    assert_eq!(user.json(&["auth", "status", "--json"]).1["data"]["logins"], json!([]));
}

fn in_the_clear(directory: &std::path::Path) -> bool {
    std::fs::read_dir(directory).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => in_the_clear(&path),
            false => String::from_utf8_lossy(&std::fs::read(path).unwrap()).contains(TOKEN),
        }
    })
}

#[test]
fn where_there_is_no_browser_an_address_is_pasted() {
    let (user, url) = (User(tempfile::tempdir().unwrap()), notes());
    let mut command = user.command(&["auth", "login", "--paste", &url]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let page = loop {
        let mut line = String::new();
        assert!(said.read_line(&mut line).unwrap() > 0, "no page is shown");
        if line.contains("/authorize?") {
            break line.trim().to_owned();
        }
    };
    let (back, state) = (plain(&parameter(&page, "redirect_uri")), parameter(&page, "state"));
    let answer = format!("{back}?code=c1&state={state}\n");
    child.stdin.take().unwrap().write_all(answer.as_bytes()).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(user.json(&["list", "--json", "--", &url]).0, 0);
}

#[test]
fn what_wants_no_login_says_so() {
    let user = User(tempfile::tempdir().unwrap());
    let port = web(|asked| (200, JSON, sound(asked).to_string()));
    let url = format!("http://127.0.0.1:{port}/mcp");
    let (code, open) = user.json(&["auth", "login", "--json", &url]);
    assert_eq!((code, &open["data"]["needed"]), (0, &json!(false)), "{open}");
    let (code, away) = user.json(&["auth", "login", "--json", "http://127.0.0.1:1/mcp"]);
    assert_eq!(
        (code, away["error"]["next"].as_str()),
        (4, Some("etdi doctor -- http://127.0.0.1:1/mcp"))
    );
}

#[test]
fn completions_and_manual_pages_are_made_of_the_command_line() {
    let user = User(tempfile::tempdir().unwrap());
    for shell in ["bash", "zsh", "fish"] {
        let output = user.command(&["completions", shell]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            output.status.success() && text.contains("doctor") && text.contains("etdi"),
            "{shell}"
        );
    }
    let page = String::from_utf8(user.command(&["man"]).output().unwrap().stdout).unwrap();
    assert!(page.starts_with(".") && page.contains("inspect"), "{page}");
    assert!(user.command(&["man", "--out", "pages"]).status().unwrap().success());
    assert!(user.0.path().join("pages/etdi-doctor.1").is_file());
    assert_eq!(user.command(&["completions", "nonsense"]).status().unwrap().code(), Some(1));
}
