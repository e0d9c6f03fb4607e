//! Programs that serve HTTP on a port of their own choice, and the clients that call them.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};

use mcp_client::Client;
use mcp_client::types::Implementation;
use mcp_transport::Era;
use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};

/// Issuers of tokens that nobody plays.
const NOBODY: [(&str, &str); 4] = [
    ("AUTH0_DOMAIN", "http://127.0.0.1:9"),
    ("API_AUDIENCE", "https://notes.example"),
    ("AZURE_TENANT_ID", "aaaabbbb-0000-cccc-1111-dddd2222eeee"),
    ("AZURE_CLIENT_ID", "00001111-aaaa-2222-bbbb-3333cccc4444"),
];

/// A program that serves HTTP until this is dropped; its first line on standard error is its URL.
pub(crate) struct Served {
    pub(crate) url: String,
    child: Child,
    // What the program writes later needs a reader that is still there.
    stderr: BufReader<ChildStderr>,
}

impl Served {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_with(name, arguments, &[])
    }

    /// The same, with variables of the environment.
    pub(crate) fn start_with(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(super::example(name))
            .args(arguments)
            .envs(NOBODY)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut url = String::new();
        stderr.read_line(&mut url).unwrap();
        let url = url.trim().to_owned();
        let is_here = url.starts_with("http://127.0.0.1:") || url.starts_with("https://127.0.0.1:");
        assert!(is_here, "{name}: {url}");
        Self { url, child, stderr }
    }

    /// The URL of another path of the same program.
    pub(crate) fn at(&self, path: &str) -> String {
        let authority = self.url.split('/').nth(2).unwrap();
        format!("http://{authority}{path}")
    }

    /// What the program says next.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// The whole answer to a request that is written out.
    pub(crate) fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.url.split('/').nth(2).unwrap()).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks the program to end, and gives its exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of what is at `url`, of one era.
pub(crate) fn client(url: &str, era: Era) -> Client<HttpConnection> {
    client_with(url, |options| options.config.era = Some(era))
}

pub(crate) fn client_with(
    url: &str,
    change: impl FnOnce(&mut HttpConnectOptions),
) -> Client<HttpConnection> {
    let mut options = HttpConnectOptions::new(Implementation::new("test", "1.0.0"));
    change(&mut options);
    Client::new(connect_http_with(url, options).unwrap())
}
