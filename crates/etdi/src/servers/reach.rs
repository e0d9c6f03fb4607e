//! The way to a server: its time, its cache, and trying again.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use etdi_core::verify::Peer;
use mcp_client::CacheLayer;
use mcp_transport::proto::client::ClientConfig;
use mcp_transport::{ClientPeer, LimitsLayer, PeerRequests, TokioRuntime};
use mcp_types::{
    BoxFuture, Caller, ErrorObject, Exchange, ExchangeFuture, Outcome, Runtime, ServerNotification,
};
use tower_layer::Layer;
use tower_service::Service;

use super::target::{Ending, Kind, Target};
use crate::{Error, EtdiClient};

impl EtdiClient {
    pub(super) async fn reach(
        &self,
        target: Target,
        told: impl Fn(ServerNotification) + Send + Sync + 'static,
    ) -> Result<(Caller, Peer, Ending), Error> {
        self.reach_for(target, told, None).await
    }

    /// The same for a gateway, whose client is asked what the server asks.
    pub(crate) async fn reach_for(
        &self,
        target: Target,
        told: impl Fn(ServerNotification) + Send + Sync + 'static,
        client: Option<&ClientPeer>,
    ) -> Result<(Caller, Peer, Ending), Error> {
        match target.0 {
            Kind::Service(service, peer) => Ok((service, *peer, Ending::None)),
            Kind::Program(program) => {
                let mut options = self.options();
                options.on_notification = Some(Arc::new(told));
                stand_between(&mut options.config, client);
                let (connection, peer) = self.start(program, options).await?;
                Ok((Caller::new(connection.clone()), peer, Ending::Stream(connection)))
            }
            #[cfg(feature = "http")]
            Kind::Url(target) => {
                let identity = etdi_core::identity::ServerIdentity::url(target.url())?;
                let token = target.token.clone();
                let connection =
                    target.connect(self, told, |config| stand_between(config, client))?;
                let ending = Ending::Http(connection.clone(), token);
                Ok((Caller::new(connection), Peer::new(identity), ending))
            }
            #[cfg(feature = "websocket")]
            Kind::WebSocket(target) => {
                let (io, identity) = target.open().await?;
                Ok(self.stream(io, identity, told, client))
            }
            #[cfg(feature = "unix")]
            Kind::Unix(path, identity) => {
                if !identity.is_stdio() {
                    return Err(Error::SocketIdentity { identity });
                }
                let io = mcp_transport::unix::open(&path).await;
                let io = io.map_err(mcp_transport::Error::from)?;
                Ok(self.stream(io, *identity, told, client))
            }
        }
    }

    /// A connection over bytes that go both ways.
    #[cfg(any(feature = "unix", feature = "websocket"))]
    fn stream(
        &self,
        io: mcp_transport::Io,
        identity: etdi_core::identity::ServerIdentity,
        told: impl Fn(ServerNotification) + Send + Sync + 'static,
        client: Option<&ClientPeer>,
    ) -> (Caller, Peer, Ending) {
        let mut options = self.options();
        stand_between(&mut options.config, client);
        options.on_notification = Some(Arc::new(told));
        let connection = mcp_transport::connect_with(io, options);
        (Caller::new(connection.clone()), Peer::new(identity), Ending::Stream(connection))
    }

    /// A service with the time that a server may take, and with a cache before it.
    pub(super) fn bounded(&self, service: Caller, cache: Option<CacheLayer>) -> Caller {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let limits = LimitsLayer::new().time_per_call(self.0.options.timeout());
        let timed = Timed { inner: limits.layer(service), runtime };
        match cache {
            Some(cache) => Caller::new(cache.layer(timed)),
            None => Caller::new(timed),
        }
    }

    /// Tries again what may be tried again, with a pause that grows.
    pub(super) async fn again<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut left = self.0.options.retry_attempts;
        let mut pause = Duration::from_millis(50);
        loop {
            match attempt().await {
                Err(Error::Client(
                    mcp_client::Error::Connection(_) | mcp_client::Error::Timeout(_),
                )) if left > 0 => {
                    left -= 1;
                    let runtime = TokioRuntime::current();
                    runtime.sleep_until(runtime.now() + pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                result => return result,
            }
        }
    }
}

/// Whoever stands between a client and a server asks that client, speaks as it does, and leaves it
/// to the client how long it waits.
fn stand_between(config: &mut ClientConfig, client: Option<&ClientPeer>) {
    let Some(client) = client else { return };
    config.follow = true;
    config.peer_requests = Some(PeerRequests(Arc::new(client.clone())));
    (config.request_timeout, config.longest_request) = (None, None);
}

/// Gives each exchange that has none the means to measure time.
#[derive(Clone)]
struct Timed<S> {
    inner: S,
    runtime: Arc<dyn Runtime>,
}

impl<S: Service<Exchange, Response = Outcome, Error = ErrorObject>> Service<Exchange> for Timed<S>
where
    S::Future: Send + 'static,
{
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        if exchange.context.runtime.is_none() {
            exchange.context.runtime = Some(self.runtime.clone());
        }
        let answer: BoxFuture<'static, _> = Box::pin(self.inner.call(exchange));
        answer
    }
}
