//! A session with a server wherever it is.

use std::task::{Context, Poll};

use mcp_types::{
    Caller, ErrorObject, Exchange, ExchangeFuture, Outcome, ProtocolVersion, ServerNotification,
};
use tower_service::Service;

use super::target::{Ending, Target};
use crate::{Error, EtdiClient, Session};

/// The way to a server that was reached by its [`Target`].
#[derive(Clone, Debug)]
pub struct Reached {
    service: Caller,
    ending: Ending,
}

impl Reached {
    /// The revision that is spoken, to show; `None` where that is not known.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.ending.version()
    }
}

impl Service<Exchange> for Reached {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        self.service.call(exchange)
    }
}

impl EtdiClient {
    /// Opens a session with a server: starts its program, dials its URL, or opens its socket. What a
    /// server behind a URL says of its own accord is not told here
    /// ([`EtdiClient::connect_to_hearing`] tells it).
    ///
    /// # Errors
    ///
    /// As [`EtdiClient::connect`] and [`EtdiClient::over`], and when a URL cannot be one.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect_to(&self, target: impl Into<Target>) -> Result<Session<Reached>, Error> {
        self.connect_to_hearing(target, |_| ()).await
    }

    /// The same, and hands what the server says of its own accord to `told`, outside of any request:
    /// log messages, and from servers with a handshake changes of their lists. It runs in the
    /// connection's own task and should only take note.
    ///
    /// # Errors
    ///
    /// As [`EtdiClient::connect_to`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect_to_hearing(
        &self,
        target: impl Into<Target>,
        told: impl Fn(ServerNotification) + Send + Sync + 'static,
    ) -> Result<Session<Reached>, Error> {
        let (service, peer, ending) = self.reach(target.into(), told).await?;
        let reached = Reached { service, ending };
        let ending = reached.ending.clone();
        let opened = self.over_with(reached.clone(), peer, |layer| ending.naming(layer)).await;
        if opened.is_err() {
            reached.ending.close().await;
        }
        opened
    }
}

impl Session<Reached> {
    /// Ends the session, and the program or connection behind it.
    pub async fn close(self) {
        self.unchecked().ending.close().await;
    }
}
