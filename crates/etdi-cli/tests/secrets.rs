//! What the command tells, at its most talkative: of no password, passphrase, secret, token or key.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

const SECRET: &str = "MARKED-secret-of-report";
const PASSWORD: &str = "MARKED-password-of-ada";
const PASSPHRASE: &str = "MARKED-passphrase-of-keys";
const RESOURCE: &str = "http://127.0.0.1:1/mcp";

fn etdi(home: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(ETDI);
    command.args(words).current_dir(home).env("ETDI_HOME", home.join("etdi"));
    command.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1");
    command
}

/// All that a command prints.
fn all(command: &mut Command) -> String {
    let output = command.output().unwrap();
    [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat()
}

/// Ends with the test.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// The status line and the body of an answer.
fn post(issuer: &str, path: &str, secret: &str, form: &str) -> (String, String) {
    let form = match secret {
        "" => form.to_owned(),
        secret => format!("{form}&client_id=report&client_secret={secret}"),
    };
    let host = issuer.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

#[test]
fn an_authorization_server_tells_of_no_secret() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let user = all(etdi(home, &["auth", "user", "ada"]).env("ETDI_NEW_PASSPHRASE", PASSWORD));
    assert!(user.starts_with("ada:pbkdf2") && !user.contains(PASSWORD), "{user}");
    fs::write(home.join("users"), user.lines().next().unwrap()).unwrap();
    fs::write(home.join("secret"), SECRET).unwrap();
    let mut command = etdi(
        home,
        &[
            "auth",
            "serve",
            "--json",
            "--port",
            "0",
            "--resource",
            RESOURCE,
            "--default-scope",
            "read",
            "--client",
            "report",
            "--secret",
            "report=secret",
            "--users",
            "users",
            "--state",
            "state.redb",
            "--registration",
        ],
    );
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut serving = Serving(child);
    let mut told = String::new();
    let mut out = BufReader::new(serving.0.stdout.take().unwrap());
    out.read_line(&mut told).unwrap();
    let started: Value = serde_json::from_str(&told).unwrap();
    let issuer = started["data"]["issuer"].as_str().unwrap();

    let form = format!("grant_type=client_credentials&resource={RESOURCE}");
    let (status, given) = post(issuer, "/token", SECRET, &form);
    assert!(status.contains("200"), "{status} {given}");
    let given: Value = serde_json::from_str(&given).unwrap();
    let token = given["access_token"].as_str().unwrap();
    let wrong = "MARKED-wrong-secret-of-report";
    let (status, refused) = post(issuer, "/token", wrong, &form);
    assert!(status.contains("401"), "{status} {refused}");
    let about = format!("token={token}");
    assert!(post(issuer, "/introspect", SECRET, &about).1.contains("\"active\":true"));
    post(issuer, "/revoke", SECRET, &about);
    let code = "grant_type=authorization_code&code=MARKED-code&code_verifier=MARKED-verifier&\
                redirect_uri=http://127.0.0.1/";
    assert!(post(issuer, "/token", SECRET, code).0.contains("400"));
    let refresh = "grant_type=refresh_token&refresh_token=MARKED-refresh";
    assert!(post(issuer, "/token", SECRET, refresh).0.contains("400"));
    post(issuer, "/authorize", "", &format!("ticket=MARKED-ticket&name=ada&password={PASSWORD}"));
    // A request that is none.
    post(issuer, "/token", SECRET, &format!("client_secret={SECRET}&client_secret=x"));

    _ = serving.0.kill();
    out.read_to_string(&mut told).unwrap();
    serving.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    told += &refused;
    for secret in ["MARKED", SECRET, wrong, token] {
        assert!(!told.contains(secret), "{secret} is told:\n{told}");
    }
}

#[test]
fn keys_and_passphrases_are_told_nowhere() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let mut told = String::new();
    let words: [&[&str]; 4] = [
        &["keys", "generate", "open", "--json"],
        &["keys", "generate", "shut", "--encrypt", "--json"],
        &["keys", "export", "open", "--json"],
        &["keys", "list", "--json"],
    ];
    for words in words {
        let mut command = etdi(home, words);
        if words.contains(&"--encrypt") {
            command.env("ETDI_PASSPHRASE", PASSPHRASE);
        }
        told += &all(&mut command);
    }
    told +=
        &all(etdi(home, &["keys", "encrypt", "shut", "--json"]).env("ETDI_PASSPHRASE", "MARKED"));
    assert!(told.matches("\"ok\":true").count() >= 4, "{told}");
    assert!(!told.contains("MARKED") && !told.contains("PRIVATE"), "{told}");
    let mut private = 0;
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            if text.contains("PRIVATE KEY") {
                private += 1;
                let lines = text.lines().filter(|line| !line.starts_with('-') && line.len() >= 12);
                for line in lines {
                    assert!(!told.contains(line), "{} is told:\n{told}", path.display());
                }
            }
        }
    }
    assert!(private >= 1, "there is a key to be told");
}
