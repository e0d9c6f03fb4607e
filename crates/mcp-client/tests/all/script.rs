//! A server that answers by a function, and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use mcp_client::types::{BoxFuture, ErrorObject, Exchange, ExchangeFuture, Outcome, RawText};
use tower_service::Service;

pub(crate) type Answer = Result<Outcome, ErrorObject>;
type Serve = dyn Fn(usize, Exchange) -> BoxFuture<'static, Answer> + Send + Sync;

/// Answers the n-th exchange, counted from 0, by a function.
#[derive(Clone)]
pub(crate) struct Script {
    serve: Arc<Serve>,
    seen: Arc<Mutex<Vec<Exchange>>>,
}

impl Script {
    pub(crate) fn new(answer: impl Fn(usize, &Exchange) -> Answer + Send + Sync + 'static) -> Self {
        Self::with(move |n, exchange| Box::pin(std::future::ready(answer(n, &exchange))))
    }

    pub(crate) fn with(
        serve: impl Fn(usize, Exchange) -> BoxFuture<'static, Answer> + Send + Sync + 'static,
    ) -> Self {
        Self { serve: Arc::new(serve), seen: Arc::default() }
    }

    /// What was asked so far.
    pub(crate) fn seen(&self) -> Vec<Exchange> {
        self.seen.lock().unwrap().clone()
    }
}

impl Service<Exchange> for Script {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let mut seen = self.seen.lock().unwrap();
        seen.push(exchange.clone());
        (self.serve)(seen.len() - 1, exchange)
    }
}

pub(crate) fn raw(text: &str) -> RawText {
    RawText::new(text).unwrap()
}
