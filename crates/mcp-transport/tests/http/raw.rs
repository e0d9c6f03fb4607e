//! A server on a port of its own, and a client of raw bytes.

use std::time::Duration;

use mcp_transport::http::server::{HttpOptions, HttpServer, serve_http};
use mcp_types::ExchangeService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::common::Tools;

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Served {
    pub address: std::net::SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

/// Serves `Tools`.
pub async fn tools(options: HttpOptions) -> Served {
    served(Tools, options).await
}

pub async fn served(service: impl ExchangeService, options: HttpOptions) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = HttpServer::with(service, options);
    let task = tokio::spawn(async move {
        serve_http(server, listener, async move { _ = stopped.await }).await.unwrap();
    });
    Served { address, stop: Some(stop), task }
}

impl Served {
    pub async fn connect(&self) -> Raw {
        Raw::connect(self.address).await
    }

    /// One request on a connection of its own.
    pub async fn ask(&self, head: &str, body: &str) -> Reply {
        let mut raw = self.connect().await;
        raw.request(head, body).await;
        raw.reply().await
    }

    /// Begins the shutdown.
    pub fn stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Ends the listener without a word to anybody.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }

    /// Waits for the end of the server.
    pub async fn ended(self) {
        timeout(PATIENCE, self.task).await.expect("an end").unwrap();
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body of an answer that has to have this status.
    #[track_caller]
    pub fn with_status(self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }

    /// The code of the error that the body is.
    #[track_caller]
    pub fn code(&self) -> i64 {
        let body: serde_json::Value = serde_json::from_str(&self.body).expect(&self.body);
        body["error"]["code"].as_i64().expect(&self.body)
    }

    /// The data of all events.
    pub fn events(&self) -> Vec<String> {
        self.body
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .map(str::to_owned)
            .collect()
    }
}

pub struct Raw {
    pub stream: TcpStream,
    read: Vec<u8>,
    events: String,
}

impl Raw {
    pub async fn connect(address: std::net::SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, read: Vec::new(), events: String::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a request; `head` is its first line and its headers, each line with `\n`.
    pub async fn request(&mut self, head: &str, body: &str) {
        let head = head.trim_end().replace('\n', "\r\n");
        let host = if head.to_ascii_lowercase().contains("\r\nhost:") {
            ""
        } else {
            "\r\nHost: localhost"
        };
        let length = body.len();
        let text = format!("{head}{host}\r\nContent-Length: {length}\r\n\r\n{body}");
        self.send(text.as_bytes()).await;
    }

    /// The status and the headers of the next answer.
    pub async fn head(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n").await;
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned())).collect();
        Reply { status, headers, body: String::new() }
    }

    /// The next answer, whole.
    pub async fn reply(&mut self) -> Reply {
        let mut reply = self.head().await;
        if let Some(length) = reply.header("content-length") {
            let length = length.parse().unwrap();
            while self.read.len() < length {
                assert!(self.more().await, "the body ended early");
            }
            reply.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        } else if reply.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                reply.body += &chunk;
            }
        }
        reply
    }

    /// The next chunk of a stream; `None` at its end.
    pub async fn chunk(&mut self) -> Option<String> {
        let length = usize::from_str_radix(self.until(b"\r\n").await.trim(), 16).unwrap();
        while self.read.len() < length + 2 {
            assert!(self.more().await, "a chunk ended early");
        }
        let chunk = self.read.drain(..length + 2).take(length).collect();
        (length > 0).then(|| String::from_utf8(chunk).unwrap())
    }

    /// The data of the next event that has some, with its id; comments are passed over.
    pub async fn event(&mut self) -> Option<(Option<String>, String)> {
        loop {
            while let Some((event, after)) = self.events.split_once("\n\n") {
                let line = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found =
                    line("data: ").map(|data| (line("id: ").map(str::to_owned), data.to_owned()));
                self.events = after.to_owned();
                if let Some(found) = found.filter(|(_, data)| !data.is_empty()) {
                    return Some(found);
                }
            }
            let chunk = self.chunk().await?;
            let whole = chunk.ends_with("\n\n");
            assert!(whole || chunk.len() >= 64 << 10, "an event is written at once: {chunk:.200}");
            self.events += &chunk;
        }
    }

    /// Whether the other end closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    async fn until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|part| part == end) {
                let text = self.read.drain(..at + end.len()).take(at).collect();
                return String::from_utf8(text).unwrap();
            }
            assert!(self.more().await, "the answer ended early");
        }
    }

    /// Reads what there is; `false` at the end.
    async fn more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
        read.expect("an answer").is_ok_and(|count| count > 0)
    }
}

pub const POST: &str = "POST /mcp HTTP/1.1
Accept: application/json, text/event-stream
Content-Type: application/json
";

/// The head of a modern POST.
pub fn modern_head(method: &str, name: &str) -> String {
    let name = if name.is_empty() { String::new() } else { format!("Mcp-Name: {name}\n") };
    format!("{POST}MCP-Protocol-Version: 2026-07-28\nMcp-Method: {method}\n{name}")
}
