//! A server in the same program, seen as if through a connection.

use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use mcp_types::{
    ErrorObject, Exchange, ExchangeService, Implementation, Outcome, ProtocolVersion, RawText,
};
use tower_service::Service;

/// A server without a transport before it; made by [`Client::stack`](crate::Client::stack).
///
/// It fills in the envelope of each exchange as a connection does: who the client is, and what it
/// declares.
#[derive(Debug, Clone)]
pub struct Stacked<S> {
    server: S,
    client: Option<Arc<RawText>>,
}

/// What stands in for a name that nobody gave.
static NOBODY: LazyLock<Option<RawText>> = LazyLock::new(|| {
    RawText::of(&Implementation::new("in-process client", env!("CARGO_PKG_VERSION"))).ok()
});

static NOTHING: LazyLock<Option<RawText>> = LazyLock::new(|| RawText::new("{}").ok());

impl<S> Stacked<S> {
    pub(crate) fn new(server: S) -> Self {
        Self { server, client: None }
    }

    /// The same under another client's name.
    #[must_use]
    pub fn named(mut self, client: &Implementation) -> Self {
        self.client = RawText::of(client).ok().map(Arc::new);
        self
    }
}

impl<S: ExchangeService> Service<Exchange> for Stacked<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.server.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> S::Future {
        let context = &mut exchange.context;
        if context.protocol_version().is_none() {
            let info = self.client.as_deref().cloned().or_else(|| NOBODY.clone());
            let declared = context.declared().cloned().or_else(|| NOTHING.clone());
            context.set_client(ProtocolVersion::NEWEST, info, declared);
        }
        self.server.call(exchange)
    }
}
