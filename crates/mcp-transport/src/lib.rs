//! Bytes to exchanges and back: both protocol eras, stdio and in-memory.

#[cfg(feature = "duplex")]
mod driver;
#[cfg(feature = "duplex")]
mod duplex;
#[cfg(feature = "duplex")]
mod error;
pub mod framing;
#[cfg(feature = "duplex")]
mod io;
#[cfg(feature = "duplex")]
mod limits;
#[cfg(all(feature = "stdio", unix))]
pub mod process;
pub mod proto;
#[cfg(feature = "duplex")]
mod runtime;
#[cfg(all(feature = "stdio", unix))]
mod stdio;
#[cfg(feature = "duplex")]
mod workers;

#[cfg(feature = "duplex")]
pub use driver::{
    ConnectOptions, Connection, ServeOptions, connect, connect_with, serve, serve_with,
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
#[cfg(feature = "duplex")]
pub use runtime::TokioRuntime;
#[cfg(all(feature = "stdio", unix))]
pub use stdio::stdio;
