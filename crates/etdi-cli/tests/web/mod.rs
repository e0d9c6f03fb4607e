//! Servers of a few lines, which answer as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

/// A port at which each connection is given to `serve`.
pub(crate) fn port(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream.unwrap()));
        }
    });
    port
}

/// A request, as far as the servers here read it.
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) head: String,
    pub(crate) body: Value,
}

/// Status, headers, body.
pub(crate) type Answer = (u16, &'static [&'static str], String);

pub(crate) fn read(stream: impl Read) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some(Asked { path, body: serde_json::from_slice(&body).unwrap_or_default(), head })
}

pub(crate) fn answer(mut stream: impl Write, (status, headers, body): Answer) {
    let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    text += "connection: close\r\n";
    for header in headers {
        text += &format!("{header}\r\n");
    }
    let _ = stream.write_all(format!("{text}\r\n{body}").as_bytes());
    let _ = stream.flush();
}

/// A web server.
pub(crate) fn web(respond: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> u16 {
    port(move |stream| {
        if let Some(asked) = read(&stream) {
            answer(&stream, respond(&asked));
        }
    })
}

pub(crate) const JSON: &[&str] = &["content-type: application/json"];

/// What a sound server says to a message.
pub(crate) fn sound(asked: &Asked) -> Value {
    let id = &asked.body["id"];
    match asked.body["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({"jsonrpc": "2.0", "id": id, "result": {
            "resultType": "complete", "supportedVersions": ["2026-07-28"],
            "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "private"}}),
        "tools/list" => json!({"jsonrpc": "2.0", "id": id, "result": {
            "resultType": "complete", "tools": [{"name": "add", "inputSchema": {"type": "object"}}],
            "ttlMs": 0, "cacheScope": "private"}}),
        _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "no"}}),
    }
}
