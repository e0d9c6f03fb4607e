//! A service of exchanges behind a pointer: one type whatever the service is.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;

use crate::{
    ErrorObject, Exchange, ExchangeFuture, ExchangeId, ExchangeService, Outcome, RequestContext,
};

/// Any [`ExchangeService`], erased. Cheap to clone; a call costs one box more than the service's own.
///
/// It serves two ends. Where services of different types stand side by side, as in a group of
/// servers, each is a `Caller`. And a tool that calls another tool of its server finds one in its
/// exchange: the outermost layer puts itself there with [`Exchange::offer_caller`], so that the
/// inner call passes all layers as the outer one did (policy, chain, audit).
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

/// The handler of this server that makes an exchange of its own: a tool's or prompt's name, or a
/// resource's URI. In the extensions of such an exchange, for layers that judge who calls whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalledBy(pub String);

/// What an exchange's extensions hold: by whom the handlers of *this* exchange call others.
struct Offered {
    exchange: ExchangeId,
    caller: Caller,
}

impl Exchange {
    /// Says that the handler of this exchange calls others of its server by `caller`, unless a layer
    /// further out has said so already.
    ///
    /// A layer that inner calls must pass offers itself, whole, before it hands the exchange on. An
    /// offer does not outlive its exchange: extensions that were handed on to another exchange, as a
    /// gateway does, hold none for it.
    ///
    /// ```
    /// # use std::task::{Context, Poll};
    /// use mcp_types::{Caller, Exchange, ExchangeService};
    /// # use mcp_types::{ErrorObject, Outcome};
    /// use tower_service::Service;
    ///
    /// #[derive(Clone)]
    /// struct Audited<S>(S);
    ///
    /// impl<S: ExchangeService> Service<Exchange> for Audited<S> {
    /// #   type Response = Outcome;
    /// #   type Error = ErrorObject;
    /// #   type Future = S::Future;
    /// #   fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
    /// #       self.0.poll_ready(cx)
    /// #   }
    ///     fn call(&mut self, mut exchange: Exchange) -> S::Future {
    ///         exchange.offer_caller(|| Caller::new(self.clone()));
    ///         self.0.call(exchange)
    ///     }
    /// }
    /// ```
    pub fn offer_caller(&mut self, caller: impl FnOnce() -> Caller) {
        if self.caller().is_none() {
            let offered = Offered { exchange: self.id(), caller: caller() };
            self.context.extensions.insert(offered);
        }
    }

    /// By whom the handler of this exchange calls others of its server, where a layer said so.
    pub fn caller(&self) -> Option<&Caller> {
        let offered = self.context.extensions.get::<Offered>()?;
        (offered.exchange == self.id()).then_some(&offered.caller)
    }

    /// Takes out an offer that was made for another exchange; for a server, before its handlers.
    pub fn forget_foreign_caller(&mut self) {
        let offered = self.context.extensions.get::<Offered>();
        if offered.is_some_and(|offered| offered.exchange != self.id()) {
            self.context.extensions.remove::<Offered>();
        }
    }
}

impl RequestContext {
    /// [`Exchange::caller`], for who has but the context, after
    /// [`Exchange::forget_foreign_caller`].
    pub fn caller(&self) -> Option<&Caller> {
        self.extensions.get::<Offered>().map(|offered| &offered.caller)
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
