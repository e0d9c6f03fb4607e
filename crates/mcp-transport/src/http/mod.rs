//! Streamable HTTP: one endpoint, one POST a message.

mod headers;
#[cfg(feature = "http-server")]
pub mod server;
mod sse;
