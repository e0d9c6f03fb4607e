//! Who meets whom: every client on every server over every transport, as the specification's table
//! says (2026-07-28, "Versioning and Compatibility").

use std::task::{Context as TaskContext, Poll};

use axum::Router;
use mcp_client::types::{
    Caller, ClientCapabilitiesElicitation, ErrorObject, Exchange, ExchangeFuture, ExchangeService,
    Implementation, Outcome, ProtocolVersion,
};
use mcp_client::{Client, InputLayer, Inputs};
use mcp_server::{Context, Elicited, Server, ToolError, data, server, tool};
use mcp_transport::http::server::HttpServer;
use mcp_transport::http::{HttpConnectOptions, connect_http_with};
use mcp_transport::websocket::{self, WebSocketServer};
use mcp_transport::{ConnectOptions, Era, Io, connect_with, duplex, serve, unix};
use serde_json::json;
use tokio::net::TcpListener;
use tower_service::Service;

#[data]
struct Name {
    name: Option<String>,
}

/// Asks, and reports how far it is.
#[tool]
async fn greet(cx: Context, greeting: String) -> Result<String, ToolError> {
    let name = match cx.elicit::<Name>("name", "Who are you?")? {
        Elicited::Accepted(answer) => answer.name.unwrap_or_else(|| "somebody".into()),
        Elicited::Declined | Elicited::Cancelled => "nobody".into(),
    };
    cx.progress(1, 1.0).await;
    Ok(format!("{greeting} {name}"))
}

fn both() -> Server {
    server!().tool::<greet>().build().unwrap()
}

/// A server that does not know the requests of the other era.
#[derive(Clone)]
struct Only(Option<Era>, Server);

impl Service<Exchange> for Only {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let era = exchange.context.protocol_version().map(|version| version.era());
        if self.0.is_some() && era.is_some() && self.0 != era {
            let error = ErrorObject::method_not_found(exchange.request.method());
            return Box::pin(std::future::ready(Err(error)));
        }
        Caller::new(self.1.clone()).send(exchange)
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Over {
    Memory,
    Unix,
    WebSocket,
    Http,
}

/// What a client of `era` reaches on a server that speaks `only` one era, or both.
fn agreed(era: Option<Era>, only: Option<Era>) -> Option<ProtocolVersion> {
    match (era, only) {
        (Some(era), Some(only)) if era != only => None,
        (Some(Era::Legacy), _) | (None, Some(Era::Legacy)) => Some(ProtocolVersion::NEWEST_LEGACY),
        _ => Some(ProtocolVersion::NEWEST),
    }
}

async fn works<S: ExchangeService>(connection: S) -> Result<(), String> {
    let inputs = Inputs::new().elicit(async |form| form.accept(&json!({ "name": "Ada" })));
    let client = Client::new(connection).layer(InputLayer::new(inputs));
    let tools = client.all_tools().await.map_err(|error| error.to_string())?;
    assert_eq!(tools[0].name, "greet");
    let mut call = client.tool_call("greet").arguments(&json!({ "greeting": "hello" })).unwrap();
    let (told, progress) = std::sync::mpsc::channel();
    call = call.on_progress(move |step| told.send(step.progress).unwrap());
    let result = call.send().await.map_err(|error| error.to_string())?;
    assert_eq!(mcp_client::text_of(&result), "hello Ada");
    assert_eq!(progress.try_iter().collect::<Vec<_>>(), [1.0]);
    Ok(())
}

fn us() -> Implementation {
    Implementation::new("matrix", "1.0.0")
}

/// Connects over a stream, tries everything, and gives what was agreed on.
async fn over_stream(io: Io, era: Option<Era>) -> Result<Option<ProtocolVersion>, String> {
    let mut options = ConnectOptions::new(us());
    options.config.era = era;
    options.config.client_capabilities.elicitation = Some(ClientCapabilitiesElicitation::new());
    let connection = connect_with(io, options);
    let done = works(connection.clone()).await;
    let version = connection.version();
    connection.close().await;
    done.map(|()| version)
}

async fn meet(
    era: Option<Era>,
    only: Option<Era>,
    over: Over,
) -> Result<Option<ProtocolVersion>, String> {
    let service = Only(only, both());
    match over {
        Over::Memory => {
            let (ours, theirs) = duplex();
            tokio::spawn(serve(service, theirs));
            over_stream(ours, era).await
        }
        Over::Unix => {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("door");
            let door = unix::listen(&path).unwrap();
            tokio::spawn(door.serve(service, std::future::pending()));
            over_stream(unix::open(&path).await.unwrap(), era).await
        }
        Over::WebSocket | Over::Http => {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new()
                .route_service("/ws", WebSocketServer::new(service.clone()))
                .route_service("/mcp", HttpServer::new(service));
            tokio::spawn(async move { axum::serve(listener, router).await });
            if over == Over::WebSocket {
                let io = websocket::open(&format!("ws://{address}/ws"), Default::default()).await;
                return over_stream(io.unwrap(), era).await;
            }
            let mut options = HttpConnectOptions::new(us());
            options.config.era = era;
            options.config.client_capabilities.elicitation =
                Some(ClientCapabilitiesElicitation::new());
            let connection = connect_http_with(&format!("http://{address}/mcp"), options).unwrap();
            let done = works(connection.clone()).await;
            let version = connection.version();
            connection.close().await;
            done.map(|()| version)
        }
    }
}

#[tokio::test]
async fn every_client_meets_every_server_as_the_table_says() {
    let eras = [None, Some(Era::Legacy), Some(Era::Modern)];
    for over in [Over::Memory, Over::Unix, Over::WebSocket, Over::Http] {
        for era in eras {
            for only in eras {
                let met = meet(era, only, over).await;
                let name = format!("{era:?} client, {only:?} server, {over:?}");
                match agreed(era, only) {
                    Some(version) => assert_eq!(met, Ok(Some(version)), "{name}"),
                    None => assert!(met.is_err(), "{name}: {met:?}"),
                }
            }
        }
    }
}
