//! Streamable HTTP: one endpoint, one POST a message.
//!
//! A client is `connect_http`, a server is `server::HttpServer`; each behind its feature. Both speak
//! all revisions, and the one of 2024 with its two endpoints as well. A client finds out which one
//! a server speaks by asking, so a URL is all that it needs.
//!
//! # What a client is safe from
//!
//! Bodies, events and heads have bounds, and so has the time: of a connection, of silence, of a
//! request in all. Redirects are told and not followed, a stream can send messages to no other
//! origin, cookies are not kept, and no text of an error shows the URL's query or lets a server
//! write to a terminal. A server that asks without end is read no faster than it takes the answers.
//!
//! # What it leaves out
//!
//! Obtaining tokens ([`Authorize`] is the seam), proxies that the environment names, HTTP/2 and
//! compression. How many requests a client sends at once is the business of whoever calls;
//! [`LimitsLayer`](crate::LimitsLayer) bounds it.

#![cfg_attr(not(feature = "http-client"), allow(rustdoc::broken_intra_doc_links))]

#[cfg(feature = "http-client")]
mod auth;
#[cfg(feature = "http-client")]
mod client;
#[cfg(feature = "http-server")]
mod gate;
mod headers;
#[cfg(feature = "http-server")]
pub mod server;
mod sse;

#[cfg(feature = "http-client")]
pub use auth::{Authorize, Challenge, Reaction, Target};
#[cfg(feature = "http-client")]
pub use client::{
    HttpConnectOptions, HttpConnection, Mirrored, MirroredLayer, connect_http, connect_http_with,
    http_status,
};
#[cfg(feature = "http-server")]
pub use gate::{
    Admission, Document, Gate, INSUFFICIENT_SCOPE, Refused, insufficient_scope, required_scopes,
};
