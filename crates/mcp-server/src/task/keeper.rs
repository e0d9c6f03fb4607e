//! What the rest of a server knows of tasks: nothing that a server without them would carry along.

use std::sync::Arc;

use mcp_types::{
    BoxFuture, CallToolRequestParams, ErrorObject, ExchangeFuture, RawText, RequestContext,
    ServerNotification, SubscriptionFilter,
};

use super::engine::Engine;
use super::watch::{TaskWatch, watch_tasks};
use super::{TaskSupport, Tasks};
use crate::service::Incoming;
use crate::{BuildError, Server};

/// Keeps a server's tasks. Behind a pointer that only [`Tasks`] can make, so that the linker leaves
/// all of it out of a server that keeps none.
pub(crate) trait TaskKeeper: Send + Sync {
    /// Whether a call can become a task, or has to be refused because it cannot.
    fn concern(&self, support: TaskSupport, context: &RequestContext) -> bool;

    /// Serves a call of a tool, as a task where tool and client want one.
    fn call(
        self: Arc<Self>,
        support: TaskSupport,
        call: CallToolRequestParams,
        incoming: Incoming,
    ) -> ExchangeFuture;

    /// Answers a method of the extension.
    fn answer(
        self: Arc<Self>,
        method: String,
        params: Option<RawText>,
        incoming: Incoming,
    ) -> ExchangeFuture;

    /// The tasks that a subscription asks for, if it asks for any.
    fn watch<'w>(
        self: Arc<Self>,
        server: &'w Server,
        wanted: &'w SubscriptionFilter,
        request: &'w RequestContext,
    ) -> BoxFuture<'w, Result<Option<Box<dyn TaskNews>>, ErrorObject>>;

    /// Ends what runs here, for a server that stops.
    fn stop<'s>(&'s self, server: &'s Server) -> BoxFuture<'s, ()>;
}

/// A subscription to tasks.
pub(crate) trait TaskNews: Send {
    /// Says in the acknowledgement which tasks are watched.
    fn grant(&self, granted: &mut SubscriptionFilter);

    /// The next change, or what comes of `other` if that is ready before.
    fn next_or<'n>(
        &'n mut self,
        other: BoxFuture<'n, Option<ServerNotification>>,
    ) -> BoxFuture<'n, Option<ServerNotification>>;
}

impl Tasks {
    /// What keeps them.
    pub(crate) fn keeper(self) -> Result<Arc<dyn TaskKeeper>, BuildError> {
        match Engine::new(self) {
            Ok(engine) => Ok(engine),
            Err(source) => Err(BuildError::Definition {
                name: mcp_types::tasks::EXTENSION.into(),
                source: source.into(),
            }),
        }
    }
}

impl TaskKeeper for Engine {
    fn concern(&self, support: TaskSupport, context: &RequestContext) -> bool {
        Self::concern(self, support, context)
    }

    fn call(
        self: Arc<Self>,
        support: TaskSupport,
        call: CallToolRequestParams,
        incoming: Incoming,
    ) -> ExchangeFuture {
        Box::pin(Self::call(self, support, call, incoming))
    }

    fn answer(
        self: Arc<Self>,
        method: String,
        params: Option<RawText>,
        incoming: Incoming,
    ) -> ExchangeFuture {
        Box::pin(Self::answer(self, method, params, incoming))
    }

    fn watch<'w>(
        self: Arc<Self>,
        server: &'w Server,
        wanted: &'w SubscriptionFilter,
        request: &'w RequestContext,
    ) -> BoxFuture<'w, Result<Option<Box<dyn TaskNews>>, ErrorObject>> {
        Box::pin(async move {
            let watch = watch_tasks(&self, server, wanted, request).await?;
            Ok(watch.map(|watch| Box::new(watch) as Box<dyn TaskNews>))
        })
    }

    fn stop<'s>(&'s self, server: &'s Server) -> BoxFuture<'s, ()> {
        Box::pin(Self::stop(self, server))
    }
}

impl TaskNews for TaskWatch {
    fn grant(&self, granted: &mut SubscriptionFilter) {
        Self::grant(self, granted);
    }

    fn next_or<'n>(
        &'n mut self,
        other: BoxFuture<'n, Option<ServerNotification>>,
    ) -> BoxFuture<'n, Option<ServerNotification>> {
        Box::pin(Self::next_or(self, other))
    }
}
