//! WebSocket: one text message a frame of the protocol, under the subprotocol `mcp`.
//!
//! The specification names no WebSocket transport; this is the custom transport that it allows
//! (2026-07-28, "Transports", "Custom Transports"), and what other implementations speak: each text
//! message is one JSON-RPC message, and the connection is what a stream of lines is elsewhere.
//!
//! [`WebSocketServer`] is a tower service for upgrade requests, so it stands beside other routes;
//! [`open`] is the other end.

mod client;
mod server;
mod stream;

pub use client::{open, over};
pub use server::WebSocketServer;

/// What both ends say that they speak.
const SUBPROTOCOL: &str = "mcp";
