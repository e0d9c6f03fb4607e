//! Calls that a tool makes on other servers: in its chain.

use std::fmt;
use std::task::{Context, Poll};

use mcp_types::{ErrorObject, Exchange, ExchangeFuture, ExchangeService, Outcome};
use tower_layer::Layer;
use tower_service::Service;

use crate::chain::Frame;

/// Makes each call that passes one of the tool whose frame this is, so that a
/// [`VerifyLayer`](super::VerifyLayer) below holds it to what that tool declares and sends its
/// call token along.
#[derive(Clone, Debug)]
pub struct WithinLayer(Frame);

impl WithinLayer {
    /// In the chain that `frame` ends. A tool finds its frame in the extensions of its exchange.
    pub fn new(frame: Frame) -> Self {
        Self(frame)
    }
}

impl<S> Layer<S> for WithinLayer {
    type Service = WithinService<S>;

    fn layer(&self, inner: S) -> WithinService<S> {
        WithinService { inner, frame: self.0.clone() }
    }
}

/// What [`WithinLayer`] makes of a service.
#[derive(Clone)]
pub struct WithinService<S> {
    inner: S,
    frame: Frame,
}

impl<S: fmt::Debug> fmt::Debug for WithinService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WithinService").field(&self.inner).finish()
    }
}

impl<S: ExchangeService> Service<Exchange> for WithinService<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        exchange.context.extensions.insert(self.frame.clone());
        Box::pin(self.inner.call(exchange))
    }
}
