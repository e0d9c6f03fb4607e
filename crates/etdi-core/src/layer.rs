//! The three layers on `Service<Exchange>`: sign and guard on the server, verify on the client.
//!
//! Not added, they are not compiled in; there is no branch anywhere else. Each is given its clock
//! when it is built.

use std::future::poll_fn;
use std::sync::Arc;

use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeService, ListToolsResult, Outcome,
    PaginatedRequestParams, RequestContext, ServerResult,
};

use crate::time::UnixTime;

mod guard;
mod sign;
mod verify;
mod within;

pub use guard::{CallKeys, Enforce, GuardLayer, GuardService};
pub use sign::{Difference, SignLayer, SignService, StartError};
pub use verify::{
    AskWhen, FeatureKind, FeatureReview, FeatureStanding, PeerCapability, Review, ReviewOutcome,
    VerifyLayer, VerifyService, WriteOlder,
};
pub use within::{WithinLayer, WithinService};

/// Tells the time to a layer.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// The most pages that a layer asks for by itself.
const MAX_PAGES: usize = 1_024;

/// Asks a service as soon as it is ready.
async fn ask<S: ExchangeService>(
    service: &mut S,
    exchange: Exchange,
) -> Result<Outcome, ErrorObject> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(exchange).await
}

/// An exchange of a layer's own, on behalf of whoever caused `context`.
fn on_behalf(context: &RequestContext, request: ClientRequest) -> Exchange {
    let mut exchange = Exchange::new(request);
    exchange.context = context.clone();
    exchange.context.progress_token = None;
    exchange.context.log_level = None;
    exchange.context.input_responses = None;
    exchange.context.request_state = None;
    exchange.context.meta = mcp_types::Meta::new();
    exchange
}

/// One page of the tools of a service.
async fn page<S: ExchangeService>(
    service: &mut S,
    context: &RequestContext,
    cursor: Option<String>,
) -> Result<ListToolsResult, ErrorObject> {
    let mut params = PaginatedRequestParams::new();
    params.cursor = cursor;
    match ask(service, on_behalf(context, ClientRequest::ListTools(params))).await? {
        Outcome::Complete(ServerResult::ListTools(page)) => Ok(page),
        _ => Err(ErrorObject::internal("the server answered `tools/list` with something else")),
    }
}

/// The pages of a listing in order, no more than [`MAX_PAGES`].
struct Pages {
    cursor: Option<String>,
    left: usize,
    done: bool,
}

impl Pages {
    fn new() -> Self {
        Self { cursor: None, left: MAX_PAGES, done: false }
    }

    /// The next page, `None` after the last.
    async fn next<S: ExchangeService>(
        &mut self,
        service: &mut S,
        context: &RequestContext,
    ) -> Result<Option<ListToolsResult>, ErrorObject> {
        if self.done {
            return Ok(None);
        }
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            ErrorObject::internal("the server lists its tools on more than 1024 pages")
        })?;
        let result = page(service, context, self.cursor.take()).await?;
        self.cursor.clone_from(&result.next_cursor);
        self.done = self.cursor.is_none();
        Ok(Some(result))
    }
}

#[cfg(test)]
mod tests;
