//! T31, T32: signed calls between clients and servers that run, over streams and HTTP, in both eras:
//! replay to the same and to another node, clocks apart, plain clients, stolen signatures, servers at
//! strict, and calls that go on with answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use etdi::core::audit::MemoryAuditor;
use etdi::core::definition::RawTool;
use etdi::core::event::EventKind;
use etdi::core::key::{Algorithm, SigningKey};
use etdi::core::layer::CallKeys;
use etdi::core::level::SecurityLevel;
use etdi::core::nonce::SecretNonces;
use etdi::core::policy::LocalRules;
use etdi::core::request::{Call, MemoryReplayStore, ReplayStore};
use etdi::core::time::UnixTime;
use etdi::core::trust::TrustAnchors;
use etdi::core::verify::Peer;
use etdi::core::wire::{CALL, ERROR_DATA, RECEIPT};
use etdi::{EtdiClient, EtdiServerConfig, Secured, secure};
use etdi_core::approval::{Answer, Approver, Granted, Question};
use mcp_client::{Client, Error, InputLayer, Inputs, text_of};
use mcp_server::{Context, Server, Suspended, data, server, tool};
use mcp_transport::http::connect_http;
use mcp_transport::http::server::{HttpServer, serve_http};
use mcp_transport::{ConnectOptions, Connection, Era, connect_with, duplex, serve};
use mcp_types::{BoxFuture, ExchangeService, Implementation, Members, RawText};
use serde_json::{Value, json};

use crate::world::{NOW, identity};

/// Pays somebody.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
fn pay(to: String) -> String {
    format!("paid {to}")
}

#[data]
#[derive(Debug)]
struct Yes {
    sure: bool,
}

/// Asks twice before it pays.
#[tool(etdi, version = "1.0.0", permissions = ["money:send"], require_request_signing)]
async fn pay_twice(cx: Context, to: String) -> Result<String, Suspended> {
    let first = cx.elicit::<Yes>("first", "Really?")?;
    let second = cx.elicit::<Yes>("second", "Really really?")?;
    Ok(format!("paid {to}: {first:?} {second:?}"))
}

fn bank() -> Server {
    server!().tool::<pay>().build().unwrap()
}

/// Says yes to every tool.
struct Agrees;

impl Approver for Agrees {
    fn ask<'a>(&'a self, _: Question<'a>) -> BoxFuture<'a, Answer> {
        Box::pin(std::future::ready(Answer::approve(Granted::All, "the user")))
    }
}

/// What two ends share.
struct Ends {
    operator: Arc<SigningKey>,
    caller: Arc<SigningKey>,
}

impl Ends {
    fn new() -> Self {
        let key = || Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap());
        Self { operator: key(), caller: key() }
    }

    fn config(&self) -> EtdiServerConfig {
        EtdiServerConfig::new(identity()).operator(self.operator.clone()).clock(|| NOW)
    }

    fn client(&self, level: SecurityLevel) -> EtdiClient {
        let mut anchors = TrustAnchors::new();
        anchors.trust_key(self.operator.verifying_key().clone());
        let builder = EtdiClient::builder()
            .level(level)
            .trust(anchors)
            .approver(Arc::new(Agrees))
            .caller(self.caller.clone())
            .auditor(Arc::new(Chained(MemoryAuditor::default())))
            .clock(|| NOW);
        match level {
            SecurityLevel::Strict => builder.engine(Arc::new(LocalRules::of_approvals())).build(),
            _ => builder.build(),
        }
    }

    /// A request with a statement of its own.
    async fn statement(
        &self,
        server: &Client<impl ExchangeService>,
        to: &str,
        at: UnixTime,
    ) -> String {
        let tools = server.all_tools().await.unwrap();
        let digest = RawTool::from_listed(&tools[0]).unwrap().digest();
        let arguments = json!({ "to": to }).to_string();
        let server = identity();
        let call = Call::new(&server, "pay", digest).arguments(Some(&arguments));
        call.sign(&*self.caller, at).unwrap()
    }
}

/// An audit trail that `strict` takes.
struct Chained(MemoryAuditor);

impl etdi_core::audit::Auditor for Chained {
    fn record(
        &self,
        event: &etdi_core::event::Event,
        at: UnixTime,
    ) -> Result<(), etdi_core::audit::AuditError> {
        self.0.record(event, at)
    }

    fn is_chained(&self) -> bool {
        true
    }
}

fn connect_in(era: Era, server: impl ExchangeService) -> Connection {
    let (ours, theirs) = duplex();
    tokio::spawn(async move { serve(server, theirs).await });
    let mut options = ConnectOptions::new(Implementation::new("test", "1.0.0"));
    options.config.era = Some(era);
    options.config.client_capabilities.elicitation =
        Some(RawText::new(r#"{"form":{}}"#).unwrap().parse().unwrap());
    connect_with(ours, options)
}

fn code(error: Error) -> String {
    match error {
        Error::Service(error) => {
            let data: Members = error.data.unwrap().parse().unwrap();
            data.get(ERROR_DATA).unwrap().parse().unwrap()
        }
        other => other.to_string(),
    }
}

async fn send(
    client: &Client<impl ExchangeService>,
    to: &str,
    statement: &str,
) -> Result<String, String> {
    let call = client.tool_call("pay").arguments(&json!({ "to": to })).unwrap();
    let sent = call.meta(CALL, RawText::of(statement).unwrap()).send().await;
    sent.map(|result| text_of(&result)).map_err(code)
}

#[tokio::test]
async fn signed_calls_with_nonces_and_receipts_work_in_both_eras() {
    for era in [Era::Modern, Era::Legacy] {
        for level in [SecurityLevel::Basic, SecurityLevel::Enhanced, SecurityLevel::Strict] {
            let ends = Ends::new();
            let nonces = Arc::new(SecretNonces::new().unwrap());
            let config = ends.config().nonces(nonces).receipts();
            let server = secure(bank(), config).await.unwrap();
            let connection = connect_in(era, server);
            let session = ends.client(level).over(connection, Peer::new(identity())).await.unwrap();
            for _ in 0..2 {
                let paid = session.invoke_tool("pay", &json!({"to": "Ada"})).await.unwrap();
                assert_eq!(text_of(&paid), "paid Ada");
                assert!(paid.meta.unwrap().get(RECEIPT).is_some());
            }
        }
    }
}

#[tokio::test]
async fn signed_calls_work_over_http() {
    let ends = Ends::new();
    let nonces = Arc::new(SecretNonces::new().unwrap());
    let server = secure(bank(), ends.config().nonces(nonces).receipts()).await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served =
        tokio::spawn(serve_http(HttpServer::new(server), listener, std::future::pending()));
    let url = format!("http://{address}/mcp");
    let connection = connect_http(&url, Implementation::new("test", "1")).unwrap();
    let client = ends.client(SecurityLevel::Strict);
    let session = client.over(connection, Peer::new(identity())).await.unwrap();
    let paid = session.invoke_tool("pay", &json!({"to": "Ada"})).await.unwrap();
    assert_eq!(text_of(&paid), "paid Ada");
    served.abort();
}

/// The same request to another node of the same server.
#[tokio::test]
async fn a_second_node_does_not_take_what_the_first_has_taken() {
    let ends = Ends::new();
    let node =
        |config: EtdiServerConfig| async { Client::new(secure(bank(), config).await.unwrap()) };
    // The attack: nodes that share nothing each take the statement once.
    let (one, two) = (node(ends.config()).await, node(ends.config()).await);
    let statement = ends.statement(&one, "Mallory", NOW).await;
    assert!(send(&one, "Mallory", &statement).await.is_ok());
    assert!(send(&two, "Mallory", &statement).await.is_ok());

    let shared: Arc<dyn ReplayStore> = Arc::new(MemoryReplayStore::new(100));
    let config = || ends.config().replay_store(shared.clone());
    let (one, two) = (node(config()).await, node(config()).await);
    let statement = ends.statement(&one, "Mallory", NOW).await;
    assert!(send(&one, "Mallory", &statement).await.is_ok());
    assert_eq!(send(&one, "Mallory", &statement).await.unwrap_err(), "REPLAYED");
    assert_eq!(send(&two, "Mallory", &statement).await.unwrap_err(), "REPLAYED");

    // Nodes that cannot share a store each want a nonce of their own.
    let config = || ends.config().nonces(Arc::new(SecretNonces::new().unwrap()));
    let (one, two) = (node(config()).await, node(config()).await);
    let nonce = nonce_of(&one).await;
    let tools = one.all_tools().await.unwrap();
    let digest = RawTool::from_listed(&tools[0]).unwrap().digest();
    let (server, arguments) = (identity(), r#"{"to":"Mallory"}"#);
    let call = Call::new(&server, "pay", digest).arguments(Some(arguments)).nonce(Some(&nonce));
    let statement = call.sign(&*ends.caller, NOW).unwrap();
    assert!(send(&one, "Mallory", &statement).await.is_ok());
    assert_eq!(send(&two, "Mallory", &statement).await.unwrap_err(), "NONCE_REQUIRED");
}

async fn nonce_of(node: &Client<Secured<Server>>) -> String {
    let ends = Ends::new();
    let statement = ends.statement(node, "Ada", NOW).await;
    let call = node.tool_call("pay").arguments(&json!({ "to": "Ada" })).unwrap();
    match call.meta(CALL, RawText::of(&statement).unwrap()).send().await.unwrap_err() {
        Error::Service(error) => {
            let data: Value = error.data.unwrap().parse().unwrap();
            data["dev.etdi/nonce"].as_str().unwrap().to_owned()
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn clocks_may_be_half_a_minute_apart_and_no_more() {
    let ends = Ends::new();
    let clock = Arc::new(AtomicU64::new(NOW.0));
    let read = clock.clone();
    let config = ends.config().clock(move || UnixTime(read.load(Ordering::SeqCst)));
    let server = Client::new(secure(bank(), config).await.unwrap());
    for (servers, passes) in [(0, true), (90, true), (91, false), (-30, true), (-31, false)] {
        let statement = ends.statement(&server, "Ada", NOW).await;
        clock.store(NOW.0.saturating_add_signed(servers), Ordering::SeqCst);
        let sent = send(&server, "Ada", &statement).await;
        assert_eq!(sent.clone().is_ok(), passes, "{servers}");
        assert!(passes || sent.unwrap_err() == "STALE");
        clock.store(NOW.0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_stolen_signature_pays_nobody_else() {
    let ends = Ends::new();
    // Without ETDI whoever holds the connection pays whom he likes.
    assert!(Client::new(bank()).call_tool("pay", &json!({"to": "Mallory"})).await.is_ok());
    let server = Client::new(secure(bank(), ends.config()).await.unwrap());
    let statement = ends.statement(&server, "Ada", NOW).await;
    assert_eq!(send(&server, "Mallory", &statement).await.unwrap_err(), "SIGNATURE_INVALID");
    assert_eq!(send(&server, "Ada", &statement).await.unwrap(), "paid Ada");
}

#[tokio::test]
async fn a_plain_client_is_told_how_to_comply_in_both_eras() {
    for (era, expected) in [(Era::Modern, -32021), (Era::Legacy, -32600)] {
        let ends = Ends::new();
        let server = secure(bank(), ends.config()).await.unwrap();
        let plain = Client::new(connect_in(era, server));
        match plain.call_tool("pay", &json!({"to": "Ada"})).await.unwrap_err() {
            Error::Service(error) => {
                assert_eq!(error.code, expected);
                assert!(error.message.contains("wants signed calls"), "{}", error.message);
                assert!(error.message.contains("dev.etdi/etdi"), "{}", error.message);
            }
            other => panic!("{other}"),
        }
    }
}

/// Tells the weather.
#[tool(etdi, version = "1.0.0", permissions = ["weather:read"])]
fn weather() -> String {
    "sunny".to_owned()
}

/// A tool that wants nothing of its callers, on a server at `strict`: neither whoever reaches it nor
/// whoever has a key of their own calls it, while a client that is known does so by itself, whatever
/// its own level.
#[tokio::test]
async fn at_strict_only_known_clients_call_and_they_sign() {
    for era in [Era::Modern, Era::Legacy] {
        let (ends, mallory) = (Ends::new(), Ends::new());
        let tools = || server!().tool::<weather>().tool::<pay>().build().unwrap();
        let known = || [ends.caller.verifying_key().clone()].into_iter().collect();
        let strict = || {
            let config = ends.config().level(SecurityLevel::Strict);
            let config = config.engine(Arc::new(LocalRules::of_approvals()));
            config.auditor(Arc::new(Chained(MemoryAuditor::default())))
        };
        // The attack, on a server below strict and on one that would take anybody's key.
        let open = secure(tools(), ends.config()).await.unwrap();
        let plain = Client::new(connect_in(era, open));
        assert!(plain.call_tool("weather", &json!({})).await.is_ok());
        let refused = secure(tools(), strict()).await.unwrap_err().to_string();
        assert!(refused.contains("etdi keys trust"), "{refused}");

        let serve = async || secure(tools(), strict().call_keys(CallKeys::Known(known()))).await;
        let plain = Client::new(connect_in(era, serve().await.unwrap()));
        for tool in ["weather", "pay", "no_such_tool"] {
            let refused = plain.call_tool(tool, &json!({"to": "Mallory"})).await;
            assert!(matches!(refused, Err(Error::Service(_))), "{tool} {refused:?}");
        }
        let stranger = EtdiClient::builder()
            .approver(Arc::new(Agrees))
            .caller(mallory.caller.clone())
            .clock(|| NOW)
            .build();
        let connection = connect_in(era, serve().await.unwrap());
        let session = stranger.over(connection, Peer::new(identity())).await.unwrap();
        let refused = session.invoke_tool("weather", &json!({})).await.unwrap_err().to_string();
        assert!(refused.contains("is not known here"), "{refused}");

        for level in [SecurityLevel::Basic, SecurityLevel::Enhanced, SecurityLevel::Strict] {
            let connection = connect_in(era, serve().await.unwrap());
            let session = ends.client(level).over(connection, Peer::new(identity())).await.unwrap();
            for _ in 0..2 {
                let told = session.invoke_tool("weather", &json!({})).await.unwrap();
                assert_eq!(text_of(&told), "sunny", "{level}");
            }
        }
    }
}

/// In the era with a handshake the questions are asked while the call is open: one message, admitted
/// once and noted once. In the other each answer is a call of its own, signed anew.
#[tokio::test]
async fn a_signed_call_that_asks_twice_is_admitted_once() {
    for (era, noted) in [(Era::Legacy, 1), (Era::Modern, 3)] {
        let ends = Ends::new();
        let audit = Arc::new(MemoryAuditor::default());
        let config = ends.config().auditor(audit.clone()).receipts();
        let tools = server!().tool::<pay_twice>().build().unwrap();
        let server = secure(tools, config).await.unwrap();
        let session = ends
            .client(SecurityLevel::Enhanced)
            .over(connect_in(era, server), Peer::new(identity()))
            .await
            .unwrap();
        let answers =
            Inputs::new().elicit(|form| async move { form.accept(&json!({"sure": true})) });
        let client = session.client().clone().layer(InputLayer::new(answers));
        let paid = client.call_tool("pay_twice", &json!({"to": "Ada"})).await.unwrap();
        assert!(text_of(&paid).starts_with("paid Ada"), "{}", text_of(&paid));
        assert!(paid.meta.unwrap().get(RECEIPT).is_some());
        let calls = audit.entries();
        let calls = calls.iter().filter(|one| one.event.kind == EventKind::ToolInvoked);
        assert_eq!(calls.count(), noted, "{era:?}");
    }
}
