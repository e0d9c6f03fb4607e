//! Typed calls over a service of exchanges.
//!
//! A [`Client`] stands on anything that answers exchanges: a connection to a child process, a
//! server in the same program, a stack of layers. It adds one method for each request of the
//! specification, and knows neither transport nor revision.
//!
//! ```
//! use mcp_client::Client;
//! use mcp_types::*;
//! # use std::task::{Context, Poll};
//! # #[derive(Clone)]
//! # struct Greeter;
//! # impl tower_service::Service<Exchange> for Greeter {
//! #     type Response = Outcome;
//! #     type Error = ErrorObject;
//! #     type Future = ExchangeFuture;
//! #     fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
//! #         Poll::Ready(Ok(()))
//! #     }
//! #     fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
//! #         let ClientRequest::CallTool(call) = exchange.request else { panic!() };
//! #         let text = format!("hello {}", call.arguments.unwrap().parse::<serde_json::Value>().unwrap()["name"].as_str().unwrap());
//! #         Box::pin(async move {
//! #             Ok(ServerResult::CallTool(CallToolResult::new(vec![ContentBlock::text(text)])).into())
//! #         })
//! #     }
//! # }
//! # futures_executor::block_on(async {
//! let client = Client::new(Greeter);
//! let result = client.call_tool("greet", &serde_json::json!({"name": "Ada"})).await?;
//! assert_eq!(mcp_client::text_of(&result), "hello Ada");
//! # Ok::<(), mcp_client::Error>(()) }).unwrap();
//! ```
//!
//! # What stands around a client
//!
//! Everything else is a layer under it, a service of its own, or a stream beside it; take what you
//! need.
//!
//! - [`InputLayer`] answers what a server asks in the middle of a request: a form, a page to open,
//!   a question to the host's model. [`Inputs`] puts the answers together from functions.
//! - [`CacheLayer`] keeps what the server says may be kept.
//! - [`TaskLayer`](task::TaskLayer) waits for calls that a server turned into tasks; a
//!   [`TaskHandle`](task::TaskHandle) shows them, and finds them again after a restart.
//! - [`Group`] is several servers as one: a client of all of them, or a gateway.
//! - [`TraceLayer`] opens a span for each request, and sends the trace context along.
//!
//! From the outside in they stand as input, tasks, verification (`etdi-core`), cache, trace,
//! connection: what a task asks is answered as a call's question is, and what the cache gives is
//! verified each time, so that a withdrawn approval bites at once. Nothing here starts a task or
//! reads a clock: whoever polls drives, and what has to wait is given the waiting.
//!
//! What it leaves out: connecting (`mcp-transport`), trust (`etdi-core`).

mod cache;
mod call;
mod client;
mod display;
mod error;
mod group;
mod inbox;
mod input;
mod pages;
mod stack;
mod subscription;
pub mod task;
mod together;
mod trace;

pub use mcp_types as types;
pub use mcp_types::TraceContext;

pub use cache::{CacheLayer, Cached};
pub use call::{RunningCall, ToolCall, structured, text_of};
pub use client::Client;
pub use display::{DisplayName, display_name};
pub use error::Error;
pub use group::{Group, GroupBuilder, GroupError};
pub use input::{Answering, Form, InputLayer, Inputs};
pub use pages::{Budget, Page, Pages};
pub use stack::Stacked;
pub use subscription::{Change, Reopen, Subscription};
pub use trace::{TraceLayer, Traced};
