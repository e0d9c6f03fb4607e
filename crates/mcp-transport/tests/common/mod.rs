//! A hand-written server, and a client of raw lines.

#![allow(dead_code, missing_docs, unreachable_pub)]

pub mod pair;

use std::task::{Context, Poll};
use std::time::Duration;

use mcp_transport::Io;
use mcp_types::*;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, ReadHalf, WriteHalf};
use tower_service::Service;

/// Tools for every way in which a call can go.
#[derive(Clone, Default)]
pub struct Tools;

pub type Answer = Result<Outcome, ErrorObject>;

impl Service<Exchange> for Tools {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        Box::pin(serve(exchange))
    }
}

async fn serve(exchange: Exchange) -> Answer {
    match &exchange.request {
        ClientRequest::Discover(_) => {
            let mut capabilities = ServerCapabilities::new();
            capabilities.tools = Some(ServerCapabilitiesTools::new());
            let mut found = DiscoverResult::new(capabilities, Vec::new());
            found.set_server_info(&Implementation::new("tools", "1.0.0")).unwrap();
            found.instructions = Some("call a tool".into());
            let meta = found.meta.as_mut().unwrap();
            // What the client sent along comes back, so that a test can see it arrive.
            if let Some(sent) = exchange.context.meta.get("dev.example/sent") {
                meta.insert("dev.example/back", sent.clone());
            }
            Ok(ServerResult::from(found).into())
        }
        ClientRequest::ListTools(_) => {
            let schema = RawText::new(r#"{"type":"object"}"#).unwrap();
            let schema = JsonSchema::new(schema).unwrap();
            let echo = Listed::new(Tool::new("echo", schema)).unwrap();
            let items = Items::from(vec![std::sync::Arc::new(echo)]);
            Ok(ServerResult::ListTools(ListToolsResult::new(items)).into())
        }
        ClientRequest::CallTool(params) => call(&params.name.clone(), exchange).await,
        other => Err(ErrorObject::method_not_found(other.method())),
    }
}

async fn call(name: &str, exchange: Exchange) -> Answer {
    let ClientRequest::CallTool(params) = &exchange.request else { unreachable!() };
    let context = &exchange.context;
    let arguments: Members =
        params.arguments.as_ref().map_or(Members::new(), |a| a.parse().unwrap());
    match name {
        "echo" => {
            let message: String =
                arguments.get("message").map_or(String::new(), |m| m.parse().unwrap());
            text(message)
        }
        "breaks" => {
            let data = "{\"a\":\n{\"jsonrpc\":\"2.0\",\"id\":2,\"result\":{}}\r\n}";
            let mut result = CallToolResult::text("see the data");
            result.structured_content = Some(RawText::new(data).unwrap());
            Ok(ServerResult::CallTool(result).into())
        }
        "who" => text(context.client_info().map_or("nobody".into(), |info| info.name)),
        "never" => std::future::pending().await,
        "sleep" => {
            let runtime = context.runtime.clone().unwrap();
            runtime.sleep_until(runtime.now() + Duration::from_millis(50)).await;
            text("slept")
        }
        "panic" => panic!("on purpose"),
        "panic later" => {
            tokio::task::yield_now().await;
            panic!("on purpose, later")
        }
        "blocking" => {
            let (done, waits) = tokio::sync::oneshot::channel();
            let work = Box::new(move || _ = done.send("from a thread"));
            context.runtime.clone().unwrap().blocking(work).unwrap();
            text(waits.await.unwrap())
        }
        "progress" => {
            for step in 1..=200 {
                if let Some(token) = &context.progress_token {
                    let progress = ProgressNotificationParams::new(f64::from(step), token.clone());
                    exchange.notifier.notify(ServerNotification::Progress(progress)).await.unwrap();
                }
            }
            text("done")
        }
        "log" => {
            for level in [LoggingLevel::Debug, LoggingLevel::Info, LoggingLevel::Error] {
                let said =
                    LoggingMessageNotificationParams::new(RawText::of("said").unwrap(), level);
                exchange.notifier.notify(ServerNotification::Message(said)).await.unwrap();
            }
            text("logged")
        }
        "ask" => match context.input_responses.as_ref().and_then(|all| all.get("name")) {
            Some(answer) => {
                let state = context.request_state.as_deref().unwrap_or("no state");
                text(format!("{answer} {state} attempt {}", exchange.attempt()))
            }
            None => {
                let mut asked = InputRequiredResult::new();
                let question: InputRequest = RawText::new(
                    r#"{"method":"elicitation/create","params":{"mode":"form","message":"Name?","requestedSchema":{"type":"object","properties":{"name":{"type":"string"}}}}}"#,
                )
                .unwrap()
                .parse()
                .unwrap();
                asked.input_requests = Some([("name".to_owned(), question)].into());
                asked.request_state = Some("kept".into());
                Ok(Outcome::InputRequired(asked))
            }
        },
        other => Err(ErrorObject::invalid_params(format!("there is no tool `{other}`"))),
    }
}

pub fn text(text: impl Into<String>) -> Answer {
    Ok(ServerResult::CallTool(CallToolResult::text(text)).into())
}

/// The other end of a served stream, as lines of text.
pub struct Lines {
    reader: Option<BufReader<ReadHalf<DuplexStream>>>,
    writer: Option<WriteHalf<DuplexStream>>,
}

impl Lines {
    /// A stream for `serve` or `connect`, and its other end.
    pub fn pair() -> (Io, Self) {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (read, write) = tokio::io::split(theirs);
        let (reader, writer) = tokio::io::split(ours);
        (Io::new(read, write), Self { reader: Some(BufReader::new(reader)), writer: Some(writer) })
    }

    /// Tools served on a stream, and its other end.
    pub fn to_tools() -> Self {
        let (io, lines) = Self::pair();
        tokio::spawn(async move { mcp_transport::serve(Tools, io).await.unwrap() });
        lines
    }

    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        self.writer.as_mut().unwrap().write_all(bytes).await.unwrap();
    }

    pub async fn send(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).await;
    }

    /// Sends a line; says whether the other end still takes it.
    pub async fn try_send(&mut self, line: &str) -> bool {
        let writer = self.writer.as_mut().unwrap();
        writer.write_all(format!("{line}\n").as_bytes()).await.is_ok()
    }

    /// The two directions, for two tasks.
    pub fn split(self) -> (Self, Self) {
        let Self { reader, writer } = self;
        (Self { reader, writer: None }, Self { reader: None, writer })
    }

    pub async fn end(&mut self) {
        let mut writer = self.writer.take().unwrap();
        writer.shutdown().await.unwrap();
    }

    /// The next line; `None` at the end. A test that waits longer than ten seconds has failed.
    pub async fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.reader.as_mut().unwrap().read_line(&mut line);
        let count =
            tokio::time::timeout(Duration::from_secs(10), read).await.expect("a line").unwrap();
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// Sends a line and takes the next one.
    pub async fn ask(&mut self, line: &str) -> String {
        self.send(line).await;
        self.next().await.expect("an answer")
    }
}

pub const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"elicitation":{}},"clientInfo":{"name":"lines","version":"1"}}}"#;
pub const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// A modern request.
pub fn modern(id: impl std::fmt::Display, method: &str, params: &str) -> String {
    let comma = if params.is_empty() { "" } else { "," };
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{{"name":"lines","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{"elicitation":{{}}}}}}}}}}"#
    )
}

/// A legacy request.
pub fn legacy(id: impl std::fmt::Display, method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}}}}}"#)
}

/// Compares texts as JSON values: the order of members is the model's business.
#[track_caller]
pub fn same(found: &str, expected: &str) {
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect(text);
    assert_eq!(read(found), read(expected));
}
