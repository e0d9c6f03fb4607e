//! Calls as they are on the wire, so that what is measured is the nodes and not a client.

use std::fmt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use etdi_core::definition::RawTool;
use etdi_core::digest::Digest;
use etdi_core::identity::ServerIdentity;
use etdi_core::key::SigningKey;
use etdi_core::request::Call;
use etdi_core::time::UnixTime;
use etdi_core::wire::CALL;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mcp_client::types::Implementation;
use mcp_transport::http::connect_http;
use serde_json::{Value, json};

use crate::node::CALLER;

/// What is called, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A call of 2026-07-28, for which no store is asked.
    Plain,
    /// A call in a session of 2025-11-25.
    Session,
    /// A signed call of 2026-07-28.
    Signed,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Session, Self::Signed];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Plain => "plain",
            Self::Session => "session",
            Self::Signed => "signed",
        })
    }
}

/// Whoever calls, by one connection.
pub(crate) struct Caller {
    http: Client<HttpConnector, Full<Bytes>>,
    url: String,
    kind: Kind,
    session: Option<String>,
    signer: Option<Signer>,
    number: u64,
}

struct Signer {
    key: SigningKey,
    server: ServerIdentity,
    definition: Digest,
    nonce: String,
}

impl Caller {
    /// Is ready to call: has begun its session, or knows what it signs.
    pub(crate) async fn new(kind: Kind, url: &str, keys: &str) -> anyhow::Result<Self> {
        let http = Client::builder(TokioExecutor::new()).build_http();
        let url = url.to_owned();
        let mut caller = Self { http, url, kind, session: None, signer: None, number: 0 };
        match kind {
            Kind::Plain => {}
            Kind::Session => caller.begin().await?,
            Kind::Signed => caller.learn(Path::new(keys)).await?,
        }
        caller.call().await?;
        Ok(caller)
    }

    /// Makes one call, and waits until it is answered.
    pub(crate) async fn call(&mut self) -> anyhow::Result<()> {
        self.number += 1;
        let (answer, wanted) = match &self.signer {
            None => {
                let params = json!({ "name": "echo", "arguments": { "message": "hi" },
                    "_meta": meta(self.kind, None) });
                (self.ask("tools/call", "echo", &params).await?, "Echo: hi")
            }
            Some(signer) => {
                let arguments = json!({ "cents": self.number, "to": "ada" });
                let statement = signer.sign(&arguments, Some(&signer.nonce))?;
                let params = json!({ "name": "pay", "arguments": arguments,
                    "_meta": meta(self.kind, Some(statement)) });
                (self.ask("tools/call", "pay", &params).await?, "paid ")
            }
        };
        if !answer.contains(wanted) {
            bail!("a call was answered with {answer}");
        }
        Ok(())
    }

    async fn begin(&mut self) -> anyhow::Result<()> {
        let hello = json!({ "protocolVersion": "2025-11-25", "capabilities": {},
            "clientInfo": { "name": "measure", "version": "1" } });
        self.ask("initialize", "", &hello).await?;
        let done = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
        self.send("", "", &done).await?;
        Ok(())
    }

    async fn learn(&mut self, keys: &Path) -> anyhow::Result<()> {
        let about = Implementation::new("measure", env!("CARGO_PKG_VERSION"));
        let client = mcp_client::Client::new(connect_http(&self.url, about)?);
        let tools = client.all_tools().await?;
        let pay = tools.iter().find(|tool| tool.name == "pay").context("`pay` is listed")?;
        let definition = RawTool::from_listed(pay)?.digest();
        client.service().close().await;
        let key = SigningKey::from_pkcs8_pem(&std::fs::read_to_string(keys.join(CALLER))?)?;
        let server = ServerIdentity::package("pkg:cargo/cluster")?;
        let mut signer = Signer { key, server, definition, nonce: String::new() };
        // A call without a nonce is told one.
        let arguments = json!({ "cents": 0, "to": "nobody" });
        let statement = signer.sign(&arguments, None)?;
        let params = json!({ "name": "pay", "arguments": arguments,
            "_meta": meta(self.kind, Some(statement)) });
        let refused: Value = serde_json::from_str(&self.ask("tools/call", "pay", &params).await?)?;
        let nonce = refused.pointer("/error/data/dev.etdi~1nonce").and_then(Value::as_str);
        signer.nonce = nonce.with_context(|| refused.to_string())?.to_owned();
        self.signer = Some(signer);
        Ok(())
    }

    async fn ask(&mut self, method: &str, name: &str, params: &Value) -> anyhow::Result<String> {
        let message = json!({ "jsonrpc": "2.0", "id": self.number, "method": method,
            "params": params });
        self.send(method, name, &message).await
    }

    async fn send(&mut self, method: &str, name: &str, message: &Value) -> anyhow::Result<String> {
        let mut request = axum::http::Request::post(&self.url)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
            request = request.header("mcp-protocol-version", "2025-11-25");
        } else if self.kind != Kind::Session {
            request = request.header("mcp-protocol-version", "2026-07-28");
            request = request.header("mcp-method", method);
            request = request.header("mcp-name", name);
        }
        let request = request.body(Full::from(message.to_string()))?;
        let answer = self.http.request(request).await?;
        if let Some(session) = answer.headers().get("mcp-session-id") {
            self.session = Some(session.to_str()?.to_owned());
        }
        let text = answer.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8(text.into())?)
    }
}

/// What a request of 2026-07-28 says of its client, and the statement of a signed call.
fn meta(kind: Kind, statement: Option<String>) -> Value {
    let mut meta = serde_json::Map::new();
    if kind != Kind::Session {
        meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), "2026-07-28".into());
        meta.insert("io.modelcontextprotocol/clientCapabilities".to_owned(), json!({}));
    }
    if let Some(statement) = statement {
        meta.insert(CALL.to_owned(), statement.into());
    }
    meta.into()
}

impl Signer {
    fn sign(&self, arguments: &Value, nonce: Option<&str>) -> anyhow::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let text = arguments.to_string();
        let call = Call::new(&self.server, "pay", self.definition);
        Ok(call.arguments(Some(&text)).nonce(nonce).sign(&self.key, UnixTime(now))?)
    }
}
