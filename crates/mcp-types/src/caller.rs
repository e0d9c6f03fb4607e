//! A service of exchanges behind a pointer: one type whatever the service is.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::{ErrorObject, Exchange, ExchangeFuture, ExchangeService, Outcome};

/// Any [`ExchangeService`], erased. Cheap to clone; a call costs one box more than the service's own.
///
/// It serves two ends. Where services of different types stand side by side, as in a group of
/// servers, each is a `Caller`. And a tool that calls another tool of its server finds one in its
/// exchange's [`Extensions`](crate::Extensions): the outermost layer puts itself there, so that the
/// inner call passes all layers as the outer one did (policy, chain, limits, audit).
#[derive(Clone)]
pub struct Caller(Arc<dyn Fn(Exchange) -> ExchangeFuture + Send + Sync>);

impl Caller {
    /// Erases `service`. It must be ready at any time, as the services of this workspace are.
    pub fn new(service: impl ExchangeService) -> Self {
        Self(Arc::new(move |exchange| {
            let future = service.clone().call(exchange);
            Box::pin(future)
        }))
    }

    /// Calls the service.
    pub fn send(&self, exchange: Exchange) -> ExchangeFuture {
        (self.0)(exchange)
    }
}

impl Service<Exchange> for Caller {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        self.send(exchange)
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}
