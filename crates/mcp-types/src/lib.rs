//! The Model Context Protocol as data.
//!
//! # One idea
//!
//! > An MCP server is an asynchronous function from an [`Exchange`] to an [`Outcome`].
//! > An MCP client is the same function, reached over a wire.
//!
//! An `Exchange` is one request with its context (who asks, what they can do, what they sent along)
//! and a way to send notifications while it runs. An `Outcome` is a complete result, or the news
//! that the server needs something from the client first. The function's type is tower's
//! [`Service<Exchange>`](tower_service::Service); [`ExchangeService`] names the bounds.
//!
//! Three things follow, and the other crates of this workspace are those three things:
//!
//! - **Servers and clients stack.** A client's connection *is* such a service, so a client can
//!   stand directly on a server (a test without transport), and a server can be made of a client
//!   (a gateway).
//! - **Everything else is a layer.** Limits, tracing, signing a definition, verifying it: each
//!   takes a service and gives a service.
//! - **Revisions of the protocol live below.** The model here is the one of the newest revision.
//!   What older revisions do differently is the business of [`wire`] and of the transport's edge;
//!   above it, nobody can ask.
//!
//! # A server, a layer and a client on one page
//!
//! ```
//! use std::task::{Context, Poll};
//! use mcp_types::*;
//! use tower_service::Service;
//!
//! /// A server with nothing but an answer to `tools/list`.
//! #[derive(Clone)]
//! struct Empty;
//!
//! impl Service<Exchange> for Empty {
//!     type Response = Outcome;
//!     type Error = ErrorObject;
//!     type Future = ExchangeFuture;
//!
//!     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
//!         Poll::Ready(Ok(()))
//!     }
//!
//!     fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
//!         Box::pin(async move {
//!             match exchange.request {
//!                 ClientRequest::ListTools(_) => {
//!                     Ok(ServerResult::ListTools(ListToolsResult::new(Items::default())).into())
//!                 }
//!                 other => Err(ErrorObject::method_not_found(other.method())),
//!             }
//!         })
//!     }
//! }
//!
//! /// A layer: a service around a service.
//! #[derive(Clone)]
//! struct Quiet<S>(S);
//!
//! impl<S: ExchangeService> Service<Exchange> for Quiet<S> {
//!     type Response = Outcome;
//!     type Error = ErrorObject;
//!     type Future = S::Future;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, mut exchange: Exchange) -> S::Future {
//!         exchange.notifier = Notifier::none();
//!         self.0.call(exchange)
//!     }
//! }
//!
//! // A client is whoever calls the service; between the two there may be a wire, or nothing.
//! # futures_executor::block_on(async {
//! let request = ClientRequest::ListTools(PaginatedRequestParams::new());
//! let outcome = Quiet(Empty).call(Exchange::new(request)).await?;
//! assert!(matches!(outcome, Outcome::Complete(ServerResult::ListTools(_))));
//! # Ok::<(), ErrorObject>(()) }).unwrap();
//! ```
//!
//! # What it leaves out
//!
//! Sockets, timers and any runtime (`mcp-transport`), the registry of tools (`mcp-server`), typed
//! calls (`mcp-client`), signatures (`etdi-core`). Nothing here reads a clock.

mod caller;
mod capability;
mod content;
mod envelope;
pub mod error;
mod exchange;
mod extensions;
mod form;
mod generated;
pub mod json;
pub mod jsonrpc;
mod lease;
mod listed;
mod members;
mod mirrored;
mod notifier;
mod object;
mod outline;
mod place;
mod principal;
mod runtime;
mod schema;
mod text;
mod trace;
pub mod version;
pub mod wire;

pub use bytestring::ByteString;
pub use generated::methods::*;
pub use generated::model::*;
pub use generated::{legacy, model, tasks};
pub use object::{Lifted, OneOrMany};

pub use caller::{CalledBy, Caller};
pub use capability::ExtensionCapability;
pub use exchange::{
    Exchange, ExchangeFuture, ExchangeId, ExchangeService, InputHandler, Outcome, RequestContext,
    Sought,
};
pub use extensions::Extensions;
pub use json::DecodeError;
pub use jsonrpc::{ErrorObject, Origin, ProgressToken, RequestId};
pub use lease::Lease;
pub use listed::{BadItem, Items, Listed};
pub use members::{Members, Meta, keys};
pub use mirrored::{MirroredParams, Unreadable};
pub use notifier::{Closed, NotificationSink, Notifier};
pub use principal::{ClientCertificate, Principal, TokenClaims};
pub use runtime::{BoxFuture, Busy, Runtime};
pub use schema::JsonSchema;
pub use text::RawText;
pub use trace::TraceContext;
pub use version::ProtocolVersion;
