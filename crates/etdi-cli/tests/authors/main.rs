//! The commands for those who write servers, as they type them.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod dev;
mod diff;
mod fresh;
mod init;
mod new;
mod run;
#[path = "../terminal/mod.rs"]
mod terminal;
mod test;
mod with;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

const ETDI: &str = env!("CARGO_BIN_EXE_etdi");

/// A server that this binary brings along.
const WEATHER: [&str; 3] = [ETDI, "__demo-server", "weather"];

/// An author with an empty home.
struct Author(TempDir);

impl Author {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn folder(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder().join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(name)).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(ETDI);
        for name in ["ETDI_CONFIG_PATH", "ETDI_SECURITY_LEVEL", "GITHUB_ACTIONS"] {
            command.env_remove(name);
        }
        command.args(words).env("ETDI_HOME", self.folder().join("home"));
        command.current_dir(self.folder());
        command
    }

    fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// Runs with `--json`; gives the exit code and the envelope, which is the last line.
    fn json(&self, words: &[&str]) -> (i32, Value) {
        let (verb, rest) = words.split_first().unwrap();
        let output = self.run(&[&[*verb, "--json"], rest].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().last().unwrap_or_else(|| panic!("nothing printed: {said}"));
        let envelope: Value = serde_json::from_str(line).unwrap();
        let exit = output.status.code().unwrap();
        assert_eq!(envelope["exit"], exit);
        if !matches!(exit, 0 | 2) && envelope["error"] != Value::Null {
            assert!(!envelope["error"]["next"].as_str().unwrap().is_empty());
        }
        (exit, envelope)
    }

    /// Starts a command that serves over HTTP, and waits until it says where.
    fn serving(&self, words: &[&str]) -> Serving {
        let (verb, rest) = words.split_first().unwrap();
        let mut command = self.command(&[&[*verb, "--json"], rest].concat());
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).stdin(Stdio::null());
        let mut child = child.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let url = serde_json::from_str::<Value>(&line).ok();
        let url = url.and_then(|said| said["data"]["url"].as_str().map(str::to_owned));
        let Some(url) = url else {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it does not serve: {line}{said}");
        };
        Serving { child, output, url }
    }
}

/// A command that serves; it is ended with the test.
struct Serving {
    child: Child,
    output: BufReader<ChildStdout>,
    url: String,
}

impl Serving {
    /// Sends a SIGTERM, and gives the exit code.
    fn end(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        status.code()
    }

    /// Waits until it ends by itself; gives the exit code and the last envelope.
    fn ended(mut self) -> (Option<i32>, Value) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        let last = rest.lines().last().map(|line| serde_json::from_str(line).unwrap());
        (self.child.wait().unwrap().code(), last.unwrap_or_default())
    }

    /// Asks by a POST with these headers; gives the status.
    fn post(&self, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let place = self.url.strip_prefix("http://").unwrap();
        let (address, path) = place.split_once('/').unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let mut head = format!(
            "POST /{path} HTTP/1.1\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Accept: application/json, text/event-stream\r\nContent-Length: {}\r\n",
            body.len()
        );
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str(&format!("Host: {address}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        write!(stream, "{head}\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
