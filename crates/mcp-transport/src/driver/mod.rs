//! The async loops: the only place where the protocol meets a runtime.
//!
//! A connection is one future. It reads everything there is, polls each exchange in place, and
//! writes once for all that was answered meanwhile. A call that is ready at its first poll costs
//! neither a task nor a channel; the others wait in a small set and are polled when they wake.

mod calls;
mod client;
mod held;
mod last;
mod notify;
mod peer;
mod pipe;
mod server;
mod wakes;

pub(crate) use calls::guarded;
pub use client::{ConnectOptions, Connection, connect, connect_with};
#[cfg(feature = "http-client")]
pub(crate) use client::{Shared, carried, closed};
pub use peer::ClientPeer;
#[cfg(feature = "websocket")]
pub(crate) use pipe::is_gone;
pub use server::{ServeOptions, serve, serve_with};
