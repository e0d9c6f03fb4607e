//! Exchanges in, outcomes out: the dispatch on method and name.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    CallToolRequestParams, ClientRequest, ErrorObject, Exchange, ExchangeFuture, Notifier, Outcome,
    RequestContext, Tool,
};
use tower_service::Service;
use tracing::Span;

use crate::lifespan::Running;
use crate::nearest::hint;
use crate::registry::Entry;
use crate::request_state::Sealing;
use crate::subscription::listen;
use crate::tool::Handler;
use crate::{Server, span};

impl Service<Exchange> for Server {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ServerFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut exchange: Exchange) -> ServerFuture {
        exchange.forget_foreign_caller();
        let Exchange { request, context, notifier, .. } = exchange;
        let span = span::of(&request, &context);
        let Some(life) = &self.0.life else {
            return self.dispatch(span, request, context, notifier);
        };
        let running = match life.enter() {
            Ok(running) => running,
            Err(error) => return ServerFuture::ready(&span, Err(error)),
        };
        let mut started = if life.has_started() {
            self.dispatch(span, request, context, notifier)
        } else {
            let (life, server, inner) = (life.clone(), self.clone(), span.clone());
            let runtime = context.runtime.clone();
            ServerFuture::start(span, || {
                Box::pin(async move {
                    life.start(runtime.as_ref()).await?;
                    server.dispatch(inner, request, context, notifier).await
                })
            })
        };
        started.running = Some(running);
        started
    }
}

type ToolEntry = Entry<Tool, dyn Handler>;

impl Server {
    /// Starts what answers a request.
    fn dispatch(
        &self,
        span: Span,
        request: ClientRequest,
        context: RequestContext,
        notifier: Notifier,
    ) -> ServerFuture {
        let mut incoming = Incoming { request: context, notifier, server: self.clone() };
        let tool = match &request {
            ClientRequest::CallTool(call) => match self.tool(call, &incoming.request) {
                Ok(tool) => Some(tool),
                Err(error) => return ServerFuture::ready(&span, Err(error)),
            },
            _ => None,
        };
        let may_ask = tool.as_ref().is_none_or(|tool| tool.handler.may_ask());
        let seal = self.0.seal.as_ref();
        let sealing = match Sealing::open(seal, may_ask, &request, &mut incoming.request) {
            Ok(sealing) => sealing,
            Err(error) => return ServerFuture::ready(&span, Err(error)),
        };
        let mut started = match (request, tool) {
            (ClientRequest::CallTool(call), Some(tool)) => {
                self.call_tool(span, &tool, call, incoming)
            }
            (ClientRequest::SubscriptionsListen(params), _) => {
                ServerFuture::start(span, || Box::pin(listen(params.notifications, incoming)))
            }
            (ClientRequest::Extension { method, params }, _) if method.starts_with("tasks/") => {
                match &self.0.tasks {
                    Some(tasks) => {
                        let tasks = tasks.clone();
                        ServerFuture::start(span, || tasks.answer(method, params, incoming))
                    }
                    None => ServerFuture::ready(&span, Err(ErrorObject::method_not_found(&method))),
                }
            }
            (other, _) => self.serve(span, other, incoming),
        };
        started.sealing = sealing;
        started
    }

    fn call_tool(
        &self,
        span: Span,
        tool: &ToolEntry,
        call: CallToolRequestParams,
        incoming: Incoming,
    ) -> ServerFuture {
        let support = tool.handler.task();
        if let Some(tasks) = &self.0.tasks
            && tasks.concern(support, &incoming.request)
        {
            let tasks = tasks.clone();
            return ServerFuture::start(span, || tasks.call(support, call, incoming));
        }
        ServerFuture::start(span, || tool.handler.call(call.name, call.arguments, incoming))
    }

    /// The tool of a call, if whoever asks may see it and its headers say what the arguments say.
    fn tool(
        &self,
        call: &CallToolRequestParams,
        request: &RequestContext,
    ) -> Result<Arc<ToolEntry>, ErrorObject> {
        let visibility = &self.0.catalog.visibility;
        let tool = self.0.tools.find(&call.name);
        let Some(tool) = tool.filter(|tool| visibility.shows(request, &**tool.listed)) else {
            let near = self.0.tools.near(&call.name, |tool| visibility.shows(request, tool));
            return Err(no_tool(&call.name, near.as_deref()));
        };
        let headers = request.extensions.get();
        tool.handler.mirrored().check(headers, call.arguments.as_ref())?;
        Ok(tool)
    }
}

/// A request less what it asks for: what every handler gets.
pub(crate) struct Incoming {
    pub(crate) request: RequestContext,
    pub(crate) notifier: Notifier,
    /// The server that was asked.
    pub(crate) server: Server,
}

#[cold]
fn no_tool(name: &str, near: Option<&str>) -> ErrorObject {
    let hint = hint(near, "see `tools/list`");
    ErrorObject::invalid_params(format!("there is no tool `{}`, {hint}", shown(name)))
}

/// A name from outside, as an error may repeat it.
pub(crate) fn shown(name: &str) -> String {
    let start: String = name.chars().take(128).collect();
    start.escape_debug().to_string()
}

/// An error that is there at once.
#[cold]
pub(crate) fn refused(error: ErrorObject) -> ExchangeFuture {
    Box::pin(std::future::ready(Err(error)))
}

/// The answer to one exchange, under way. Dropping it cancels the call.
///
/// A panic of a handler ends this call with an internal error, and nothing else.
#[must_use = "a call does nothing unless it is polled"]
pub struct ServerFuture {
    state: State,
    /// Whether what it asks may leave, and under which seal.
    sealing: Sealing,
    /// Where the server has a lifespan: that it must not stop yet.
    running: Option<Running>,
}

enum State {
    Ready(Box<Result<Outcome, ErrorObject>>),
    Running { future: ExchangeFuture, span: Span },
    Done,
}

impl ServerFuture {
    /// Starts a handler; its panic is an error of this call.
    pub(crate) fn start(span: Span, start: impl FnOnce() -> ExchangeFuture) -> Self {
        match span.in_scope(|| catch_unwind(AssertUnwindSafe(start))) {
            Ok(future) => {
                let state = State::Running { future, span };
                Self { state, sealing: Sealing::None, running: None }
            }
            Err(panic) => Self::ready(&span, Err(panicked(&*panic, &span))),
        }
    }

    pub(crate) fn ready(span: &Span, result: Result<Outcome, ErrorObject>) -> Self {
        span::note(span, &result);
        Self { state: State::Ready(Box::new(result)), sealing: Sealing::None, running: None }
    }
}

impl Future for ServerFuture {
    type Output = Result<Outcome, ErrorObject>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let State::Running { future, span } = &mut this.state {
            let poll = || span.in_scope(|| future.as_mut().poll(cx));
            // A future that panicked is never polled again, so nobody sees its broken state.
            return match catch_unwind(AssertUnwindSafe(poll)) {
                Ok(Poll::Pending) => Poll::Pending,
                Ok(Poll::Ready(outcome)) => {
                    span::note(span, &outcome);
                    this.state = State::Done;
                    this.running = None;
                    Poll::Ready(match &this.sealing {
                        Sealing::None => outcome,
                        sealing => sealing.close(outcome),
                    })
                }
                Err(panic) => {
                    let error = panicked(&*panic, span);
                    let broken = std::mem::replace(&mut this.state, State::Done);
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(broken)));
                    this.running = None;
                    Poll::Ready(Err(error))
                }
            };
        }
        match std::mem::replace(&mut this.state, State::Done) {
            State::Ready(result) => Poll::Ready(*result),
            _ => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for ServerFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.state {
            State::Ready(_) => "ServerFuture(ready)",
            State::Running { .. } => "ServerFuture(running)",
            State::Done => "ServerFuture(done)",
        })
    }
}

#[cold]
fn panicked(panic: &(dyn Any + Send), span: &Span) -> ErrorObject {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    span.in_scope(|| tracing::error!(panic = text, "the call panicked"));
    ErrorObject::internal("the call failed by a fault of the server")
}
