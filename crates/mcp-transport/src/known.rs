//! A service for one connection, which knows who connected.

use std::task::{Context, Poll};

use mcp_types::{Exchange, ExchangeService, Extensions};
use tower_service::Service;

/// Puts what is known of a connection, who opened it first of all, on each of its exchanges.
#[derive(Clone)]
pub(crate) struct Known<S> {
    pub(crate) service: S,
    pub(crate) known: Extensions,
}

impl<S: ExchangeService> Service<Exchange> for Known<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> S::Future {
        exchange.context.extensions.merge(&self.known);
        self.service.call(exchange)
    }
}
