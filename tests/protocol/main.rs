//! Servers of `mcp-server` on connections of `mcp-transport`, line by line, in both eras.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by a panic"
)]

mod chain;
mod changes;
mod client;
mod inputs;
mod matrix;
mod tasks;

use std::time::Duration;

use mcp_server::types::ExchangeService;
use mcp_transport::{Error, Io, serve};
use serde_json::{Value, json};
use tokio::io::{
    AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf,
};
use tokio::task::JoinHandle;

/// A client that writes its lines by hand.
struct Wire {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
    served: JoinHandle<Result<(), Error>>,
}

impl Wire {
    /// A connection to `server`, which is its last handle.
    fn to(server: impl ExchangeService) -> Self {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (reader, writer) = tokio::io::split(theirs);
        let served = tokio::spawn(serve(server, Io::new(reader, writer)));
        let (reader, writer) = tokio::io::split(ours);
        Self { lines: BufReader::new(reader).lines(), writer, served }
    }

    /// The same after a handshake of the other era.
    async fn shaken(server: impl ExchangeService, capabilities: Value) -> Self {
        let mut wire = Self::to(server);
        let client = json!({ "name": "by hand", "version": "1" });
        let params = json!({
            "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": client,
        });
        wire.say(json!({ "id": 0, "method": "initialize", "params": params })).await;
        assert_eq!(wire.hear().await["result"]["protocolVersion"], "2025-11-25");
        wire.say(json!({ "method": "notifications/initialized" })).await;
        wire
    }

    async fn say(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        self.writer.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    /// A request of the newest revision.
    async fn ask(&mut self, id: i64, method: &str, mut params: Value, capabilities: Value) {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": capabilities,
        });
        self.say(json!({ "id": id, "method": method, "params": params })).await;
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(10), self.lines.next_line());
        let line = line.await.expect("the server says something").unwrap();
        serde_json::from_str(&line.expect("the connection is open")).unwrap()
    }

    /// Asserts that nothing else is said: a ping is answered next.
    async fn hear_nothing_else(&mut self) {
        self.say(json!({ "id": "ping", "method": "ping" })).await;
        assert_eq!(self.hear().await["id"], "ping");
    }

    /// Closes the input, and gives what is said after it and how long the end took.
    async fn close(mut self) -> (Vec<Value>, Duration) {
        let start = tokio::time::Instant::now();
        self.writer.shutdown().await.unwrap();
        let mut rest = Vec::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            rest.push(serde_json::from_str(&line).unwrap());
        }
        self.served.await.unwrap().unwrap();
        (rest, start.elapsed())
    }
}
