//! A client of 2025-11-25 that sends each message to the node that it is told, and reads its streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

/// A session, which belongs to no node.
#[derive(Clone)]
pub(crate) struct Session {
    http: Client<HttpConnector, Full<Bytes>>,
    id: String,
}

/// Why nothing came of a message.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Nobody answered, or not to the end.
    Broken,
    /// The status and the text of the answer.
    Refused(StatusCode, String),
}

/// What comes by a stream.
pub(crate) struct Events {
    body: Body,
    read: Vec<u8>,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    /// Nothing, where the event only gives its id.
    pub(crate) message: Option<Value>,
}

impl Session {
    /// Begins one at a node.
    pub(crate) async fn begin(url: &str) -> Result<Self, Failed> {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let mut session = Self { http, id: String::new() };
        let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": { "name": "wire", "version": "1" },
        }});
        let answer = session.send(url, Method::POST, None, &hello.to_string()).await?;
        session.id = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let done = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        session.send(url, Method::POST, None, &done.to_string()).await?;
        Ok(session)
    }

    /// Calls a tool at a node, and reads what comes of it.
    pub(crate) async fn call(
        &self,
        url: &str,
        id: usize,
        name: &str,
        arguments: &Value,
    ) -> Result<Events, Failed> {
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
            "name": name, "arguments": arguments, "_meta": { "progressToken": id },
        }});
        let answer = self.send(url, Method::POST, None, &call.to_string()).await?;
        Ok(Events { body: answer.into_body(), read: Vec::new() })
    }

    /// Reads at a node what came after an event.
    pub(crate) async fn resume(&self, url: &str, after: &str) -> Result<Events, Failed> {
        let answer = self.send(url, Method::GET, Some(after), "").await?;
        Ok(Events { body: answer.into_body(), read: Vec::new() })
    }

    /// What is answered at another path of a node than that of its endpoint.
    pub(crate) async fn probe(&self, url: &str, path: &str) -> Option<StatusCode> {
        let url = url.replace("/mcp", path);
        match self.send(&url, Method::GET, None, "").await {
            Ok(answer) => Some(answer.status()),
            Err(Failed::Refused(status, _)) => Some(status),
            Err(Failed::Broken) => None,
        }
    }

    async fn send(
        &self,
        url: &str,
        method: Method,
        after: Option<&str>,
        body: &str,
    ) -> Result<Response<Body>, Failed> {
        let accepted = match method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        let mut request = Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json")
            .header("accept", accepted);
        if !self.id.is_empty() {
            request = request.header("mcp-session-id", &self.id);
            request = request.header("mcp-protocol-version", "2025-11-25");
        }
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let answer = self.http.request(request).await.map_err(|_| Failed::Broken)?;
        let answer = answer.map(Body::new);
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.into_body().collect().await.map_err(|_| Failed::Broken)?.to_bytes();
        Err(Failed::Refused(status, String::from_utf8_lossy(&text).into_owned()))
    }
}

impl Events {
    /// The next event; `None` when the stream has ended, or is silent for so long.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<Event> {
        loop {
            if let Some(at) = self.read.windows(2).position(|two| two == b"\n\n") {
                let text: Vec<u8> = self.read.drain(..at + 2).collect();
                if let Some(event) = read(&String::from_utf8(text).unwrap()) {
                    return Some(event);
                }
                continue;
            }
            let frame = tokio::time::timeout(patience, self.body.frame()).await.ok()??.ok()?;
            if let Some(data) = frame.data_ref() {
                self.read.extend_from_slice(data);
            }
        }
    }
}

/// An event, or nothing where it is a comment.
fn read(text: &str) -> Option<Event> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim_start().to_owned())
    };
    let id = field("id:")?;
    let data = field("data:").filter(|data| !data.is_empty());
    Some(Event { id, message: data.map(|data| serde_json::from_str(&data).unwrap()) })
}
