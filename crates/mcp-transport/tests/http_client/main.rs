//! The client of Streamable HTTP against servers that are scripts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod authorization;
#[cfg(feature = "http-server")]
#[path = "../common/mod.rs"]
mod common;
mod legacy;
mod modern;
mod opening;
#[cfg(feature = "http-server")]
mod pair;
mod server;
#[cfg(feature = "tls")]
mod tls;

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use mcp_transport::http::{HttpConnectOptions, HttpConnection, connect_http_with};
use mcp_types::*;
use tower_service::Service;

type Answer = Result<Outcome, ErrorObject>;

fn options() -> HttpConnectOptions {
    HttpConnectOptions::new(Implementation::new("tester", "1.0.0"))
}

fn connect(url: &str) -> HttpConnection {
    connect_http_with(url, options()).unwrap()
}

async fn send(connection: &HttpConnection, request: ClientRequest) -> Answer {
    connection.clone().call(Exchange::new(request)).await
}

fn discover() -> ClientRequest {
    ClientRequest::Discover(RequestParams::new())
}

fn list() -> ClientRequest {
    ClientRequest::ListTools(PaginatedRequestParams::new())
}

fn tool(name: &str) -> ClientRequest {
    ClientRequest::CallTool(CallToolRequestParams::new(name))
}

fn tool_with(name: &str, arguments: &str) -> ClientRequest {
    let mut call = CallToolRequestParams::new(name);
    call.arguments = RawText::new(arguments).ok();
    ClientRequest::CallTool(call)
}

/// The text of a tool's only content.
fn said(answer: &Answer) -> &str {
    match answer {
        Ok(Outcome::Complete(ServerResult::CallTool(result))) => match &result.content[..] {
            [ContentBlock::Text(text)] => &text.text,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn failed(answer: &Answer) -> (Origin, &str) {
    match answer {
        Err(error) => (error.origin, &error.message),
        Ok(other) => panic!("{other:?}"),
    }
}

/// Takes everything that an exchange is told.
#[derive(Debug, Clone, Default)]
struct Notes(Arc<Mutex<Vec<ServerNotification>>>);

impl Notes {
    fn exchange(&self, request: ClientRequest) -> Exchange {
        let mut exchange = Exchange::new(request);
        exchange.notifier = Notifier::new(Arc::new(self.clone()), exchange.id());
        exchange
    }

    fn taken(&self) -> Vec<ServerNotification> {
        self.0.lock().unwrap().clone()
    }
}

impl NotificationSink for Notes {
    fn poll_notify(
        &self,
        _: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        self.0.lock().unwrap().extend(notification.take());
        Poll::Ready(Ok(()))
    }
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("it takes too long")
}
