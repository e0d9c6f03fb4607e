//! A server of HTTP that says exactly what a test wants, and remembers what it heard.

#![allow(missing_docs, unreachable_pub)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// HTTP method and path.
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The HTTP method, and the method of the message if there is one.
    pub fn what(&self) -> String {
        let http = self.line.split(' ').next().unwrap();
        match &self.json() {
            json if json["method"].is_string() => {
                format!("{http} {}", json["method"].as_str().unwrap())
            }
            json if json["id"].is_null() => http.to_owned(),
            _ => format!("{http} answer"),
        }
    }
}

/// What the server says to one request.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub pieces: Vec<Piece>,
}

#[derive(Debug, Clone)]
pub enum Piece {
    Text(String),
    Wait(Duration),
    /// Until somebody says go.
    Until(Arc<tokio::sync::Notify>),
    /// The connection breaks here.
    Break,
    /// Nothing more comes; the client's end is noted.
    Hang,
}

impl Reply {
    pub fn new(status: u16, kind: &str, text: impl Into<String>) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self { status, headers, pieces: vec![Piece::Text(text.into())] }
    }

    pub fn json(text: impl Into<String>) -> Self {
        Self::new(200, "application/json", text)
    }

    /// The answer to `heard` with this result.
    pub fn result(heard: &Heard, result: &str) -> Self {
        Self::json(format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, heard.json()["id"]))
    }

    /// The answer to `heard` with this error.
    pub fn error(heard: &Heard, status: u16, code: i64, data: &str) -> Self {
        let id = &heard.json()["id"];
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"no","data":{data}}}}}"#
        );
        Self::new(status, "application/json", text)
    }

    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), pieces: Vec::new() }
    }

    pub fn events(pieces: impl IntoIterator<Item = Piece>) -> Self {
        let mut reply = Self::new(200, "text/event-stream", "");
        reply.pieces = pieces.into_iter().collect();
        reply
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

/// One event with a message.
pub fn event(data: impl std::fmt::Display) -> Piece {
    Piece::Text(format!("data: {data}\n\n"))
}

/// The discovery of a modern server.
pub const DISCOVERED: &str = r#"{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}"#;
/// The handshake of a server of the last revision that has one.
pub const SHAKEN: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"old","version":"1"}}"#;
/// What a tool says.
pub const DONE: &str = r#"{"content":[{"type":"text","text":"done"}]}"#;

type Script = dyn Fn(&Heard) -> Reply + Send + Sync;

pub struct Server {
    pub url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
    /// How many replies were cut off by the client.
    gone: Arc<Mutex<usize>>,
}

impl Server {
    pub async fn start(script: impl Fn(&Heard) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, script).await
    }

    /// The same behind TLS.
    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Heard) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}/mcp", listener.local_addr().unwrap());
        let server = Self { url, heard: Arc::default(), gone: Arc::default() };
        let (heard, gone) = (server.heard.clone(), server.gone.clone());
        let script: Arc<Script> = Arc::new(script);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let talking = (script.clone(), heard.clone(), gone.clone());
                match tls.clone() {
                    None => _ = tokio::spawn(talk(stream, talking)),
                    Some(tls) => {
                        tokio::spawn(async move {
                            // A client that does not trust the certificate goes away.
                            let Ok(stream) = tls.accept(stream).await else { return };
                            talk(stream, talking).await;
                        });
                    }
                }
            }
        });
        server
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// What came, in order.
    pub fn what(&self) -> Vec<String> {
        self.heard().iter().map(Heard::what).collect()
    }

    /// Waits until `seen` holds of what was heard.
    pub async fn until(&self, seen: impl Fn(&[Heard]) -> bool) {
        for _ in 0..500 {
            if seen(&self.heard()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("this was heard: {:#?}", self.what());
    }

    /// Waits until the client has cut off this many replies.
    pub async fn until_gone(&self, count: usize) {
        for _ in 0..500 {
            if *self.gone.lock().unwrap() == count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} replies were cut off", self.gone.lock().unwrap());
    }
}

type Talking = (Arc<Script>, Arc<Mutex<Vec<Heard>>>, Arc<Mutex<usize>>);

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    (script, heard, gone): Talking,
) {
    let mut buffer = Vec::new();
    loop {
        let Some(request) = read(&mut stream, &mut buffer).await else { return };
        heard.lock().unwrap().push(request.clone());
        let reply = script(&request);
        let mut head = format!("HTTP/1.1 {} X\r\ntransfer-encoding: chunked\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if reply.status == 202 || reply.status == 204 {
            head = head.replace("transfer-encoding: chunked", "content-length: 0");
        }
        if stream.write_all(format!("{head}\r\n").as_bytes()).await.is_err() {
            return;
        }
        for piece in reply.pieces {
            match piece {
                Piece::Text(text) if text.is_empty() => {}
                Piece::Text(text) => {
                    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                    if stream.write_all(chunk.as_bytes()).await.is_err() {
                        *gone.lock().unwrap() += 1;
                        return;
                    }
                }
                Piece::Wait(time) => tokio::time::sleep(time).await,
                Piece::Until(go) => go.notified().await,
                Piece::Break => return,
                Piece::Hang => {
                    // A client that cuts off closes, because HTTP/1.1 has no other way.
                    while !matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
                    *gone.lock().unwrap() += 1;
                    return;
                }
            }
        }
        if reply.status != 202 && reply.status != 204 {
            let _ = stream.write_all(b"0\r\n\r\n").await;
        }
    }
}

pub async fn read(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<Heard> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        // What starts a handshake of TLS is no request.
        if stream.read_buf(buffer).await.ok()? == 0 || buffer.first() == Some(&0x16) {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end + 4).collect()).ok()?;
    let mut lines = head.lines();
    let line = lines.next()?.trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(buffer.drain(..length).collect()).ok()?;
    Some(Heard { line, headers, body })
}
