//! Programs that a reader can run.

#![doc = include_str!("../README.md")]

pub mod node;
pub mod settings;
pub mod stand_in;

use anyhow::Context as _;
use tokio::net::TcpListener;

/// Listens at an address, such as `127.0.0.1:8000`.
///
/// # Errors
///
/// When it is no address, or somebody else listens there.
pub async fn listen_at(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("nothing can listen at `{address}`, name an address that is free: `127.0.0.1:8001`")
    })
}

/// The snippets of the page about OAuth are compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/oauth.md")]
mod oauth_page {}
