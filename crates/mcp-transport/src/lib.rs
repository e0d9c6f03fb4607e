//! Bytes to exchanges and back: both protocol eras, stdio and in-memory.
//!
//! Two verbs. [`serve`] drives a server, any `Service<Exchange>`, over a stream of bytes;
//! [`connect`] makes such a service of the server at the other end of one. Which revision of the
//! protocol is spoken is found out here, and nobody above can ask: a service sees the same
//! exchanges from a client of 2024 and from one of 2026.
//!
//! # The smallest program
//!
//! A server and its client in one process; replace [`duplex`] by [`stdio`] and
//! [`process::Command`] and they are two:
//!
//! ```
//! # #[cfg(feature = "duplex")]
//! # mod example {
//! use mcp_transport::{connect, duplex, serve};
//! use mcp_types::{ClientRequest, Exchange, Implementation, PaginatedRequestParams};
//! use tower_service::Service;
//!
//! # async fn example(server: impl mcp_types::ExchangeService) -> Result<(), mcp_types::ErrorObject> {
//! let (ours, theirs) = duplex();
//! tokio::spawn(serve(server, theirs));
//!
//! let mut connection = connect(ours, Implementation::new("example", "1.0.0"));
//! let request = ClientRequest::ListTools(PaginatedRequestParams::new());
//! let outcome = connection.call(Exchange::new(request)).await?;
//! connection.close().await;
//! # Ok(()) } }
//! ```
//!
//! # The pipe
//!
//! ```text
//! bytes ─ framing ─ lines ─ proto ─ exchanges ─ driver ─ your service
//!         bounds            eras                polls, writes once a batch
//! ```
//!
//! [`framing`] bounds every line before it is parsed. [`proto`] is the protocol without I/O and
//! without a clock. The driver is the one async loop: it reads everything there is, polls each
//! exchange in place, and writes once for all that was answered. A call costs no task and no
//! channel; dropping its future is its cancellation, on both sides.
//!
//! # What a server is safe from
//!
//! Whatever a peer sends is answered and the next line is served: garbage, bytes that are no text,
//! lines without end, nesting without end, ids that are taken. A handler that panics answers an
//! error. Nothing is served while 256 requests are in flight or 256 KiB are unsent, and reading
//! stops 256 KiB later, so a peer that only writes, or only does not read, holds up nobody but
//! itself. The end of the input ends [`serve`] within half a second, whatever still runs, unless
//! the peer still reads. [`LimitsLayer`] bounds the time of a call.
//!
//! # What it leaves out
//!
//! Standard streams and children need a Unix system. What a server of an older revision asks
//! outside of any call is refused, unless [`PeerRequests`] answer it; a gateway's [`ClientPeer`] does.
//!
//! Without features this crate is `proto` and `framing`, and knows no runtime. `duplex` adds the
//! driver on tokio, `stdio` standard streams and child processes, `http-client` and `http-server`
//! the two ends of [`http`], `tls` a client of `https` URLs, `tls-server` a
//! server of them, `axum` a router, `sse` HTTP+SSE of
//! 2024-11-05, `rest` tools as plain HTTP resources, `unix` and `websocket` both ends of those.

// What the essay speaks of is there with all features only.
#![cfg_attr(
    not(all(feature = "stdio", feature = "http-client")),
    allow(rustdoc::broken_intra_doc_links)
)]

#[cfg(feature = "duplex")]
mod driver;
#[cfg(feature = "duplex")]
mod duplex;
#[cfg(feature = "duplex")]
mod error;
pub mod framing;
#[cfg(any(feature = "http-client", feature = "http-server"))]
pub mod http;
#[cfg(feature = "duplex")]
mod io;
#[cfg(any(feature = "sse", feature = "websocket"))]
mod known;
#[cfg(feature = "duplex")]
mod limits;
#[cfg(all(feature = "stdio", unix))]
pub mod process;
pub mod proto;
#[cfg(feature = "duplex")]
mod rate;
#[cfg(feature = "duplex")]
mod runtime;
#[cfg(all(feature = "stdio", unix))]
mod stdio;
#[cfg(all(feature = "unix", unix))]
pub mod unix;
#[cfg(feature = "websocket")]
pub mod websocket;
#[cfg(feature = "duplex")]
mod workers;

#[cfg(feature = "duplex")]
pub use driver::{
    ClientPeer, ConnectOptions, Connection, ServeOptions, connect, connect_with, serve, serve_with,
};
#[cfg(feature = "duplex")]
pub use duplex::duplex;
#[cfg(feature = "duplex")]
pub use error::Error;
#[cfg(feature = "duplex")]
pub use io::Io;
#[cfg(feature = "duplex")]
pub use limits::{Limited, LimitedFuture, LimitsLayer};
pub use mcp_types::version::Era;
pub use proto::Verbatim;
pub use proto::client::PeerRequests;
#[cfg(feature = "duplex")]
pub use rate::{
    Allowance, MemoryRateStore, RateLayer, RateStore, RateStoreContractFailure, RateStoreError,
    Rated, RatedFuture, TOO_MANY_REQUESTS, Took, rate_store_contract,
};
#[cfg(feature = "duplex")]
pub use runtime::TokioRuntime;
#[cfg(all(feature = "stdio", unix))]
pub use stdio::stdio;
