//! Streamable HTTP: one endpoint, one POST a message.

#[cfg(feature = "http-client")]
mod auth;
#[cfg(feature = "http-client")]
mod client;
mod headers;
#[cfg(feature = "http-server")]
pub mod server;
mod sse;

#[cfg(feature = "http-client")]
pub use auth::{Authorize, Challenge, Reaction, Target};
#[cfg(feature = "http-client")]
pub use client::{HttpConnectOptions, HttpConnection, connect_http, connect_http_with};
