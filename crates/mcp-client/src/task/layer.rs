//! The layer that waits for tasks, so that nobody above sees them.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::tasks::{
    CANCEL, CancelTaskRequestParams, DetailedTask, GET, GetTaskRequestParams, UPDATE,
    UpdateTaskRequestParams,
};
use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, InputRequiredResult,
    Members, Origin, Outcome, ProgressNotificationParams, RawText, Runtime, ServerNotification,
    ServerResult,
};
use serde::Serialize;
use tower_layer::Layer;
use tower_service::Service;

use super::{TaskTicket, created, declare, exchange_of, is_over, poll_interval};

/// Waits for calls that became tasks, and gives their results as if they had not.
///
/// The layer declares the Tasks extension on each call. What the task asks comes out as the call's
/// own question, so an [`InputLayer`](crate::InputLayer) *above* this one answers it. The task's
/// status messages come out as progress, where the caller wants progress. Who drops the call, also
/// ends the task.
///
/// `runtime` waits between questions; on tokio that is `mcp_transport::TokioRuntime::current()` in an
/// `Arc`. A task that is done before the server is asked again tells no progress.
///
/// ```
/// use std::sync::Arc;
/// use mcp_client::types::{ExchangeService, Runtime};
/// use mcp_client::task::TaskLayer;
/// use mcp_client::{Client, InputLayer, Inputs};
///
/// # fn example(connection: impl ExchangeService, runtime: Arc<dyn Runtime>) {
/// let client = Client::new(connection)
///     .layer(TaskLayer::new(runtime))
///     .layer(InputLayer::new(Inputs::new().elicit(|form| async move { Ok(form.decline()) })));
/// # }
/// ```
#[derive(Clone)]
pub struct TaskLayer {
    runtime: Arc<dyn Runtime>,
}

impl TaskLayer {
    /// A layer that waits on `runtime`.
    pub fn new(runtime: Arc<dyn Runtime>) -> Self {
        Self { runtime }
    }
}

impl std::fmt::Debug for TaskLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskLayer")
    }
}

impl<S> Layer<S> for TaskLayer {
    type Service = Tracking<S>;

    fn layer(&self, inner: S) -> Tracking<S> {
        Tracking { inner, layer: self.clone() }
    }
}

/// A service whose tasks are waited for; made by [`TaskLayer`].
#[derive(Debug, Clone)]
pub struct Tracking<S> {
    inner: S,
    layer: TaskLayer,
}

impl<S: ExchangeService> Service<Exchange> for Tracking<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        let ClientRequest::CallTool(call) = &exchange.request else {
            return Box::pin(self.inner.call(exchange));
        };
        declare(&mut exchange.context);
        let tool = call.name.clone();
        let template = exchange.clone();
        // The call may be the answer to what its task asked.
        let ours = exchange.context.request_state.as_deref().and_then(ticket_of);
        let first = ours.is_none().then(|| self.inner.call(exchange));
        let (service, runtime) = (self.inner.clone(), self.layer.runtime.clone());
        Box::pin(async move {
            let (ticket, answers) = match (first, ours) {
                (Some(first), _) => match first.await? {
                    Outcome::Complete(ServerResult::Extension(result)) => match created(&result) {
                        Some(task) => (TaskTicket::of(&tool, &task), None),
                        None => return Ok(ServerResult::Extension(result).into()),
                    },
                    done => return Ok(done),
                },
                (None, Some(ticket)) => {
                    let answers = template.context.input_responses.clone();
                    (ticket, Some(answers.unwrap_or_default()))
                }
                (None, None) => return Err(ErrorObject::internal("the call was not sent")),
            };
            let mut following = Following { service, runtime, template, ticket, over: false };
            let outcome = following.follow(answers).await;
            following.over = true;
            outcome
        })
    }
}

/// A task that is waited for. Dropped before its end, it cancels the task.
struct Following<S: ExchangeService> {
    service: S,
    runtime: Arc<dyn Runtime>,
    template: Exchange,
    ticket: TaskTicket,
    over: bool,
}

impl<S: ExchangeService> Following<S> {
    async fn follow(&mut self, answers: Option<Members>) -> Result<Outcome, ErrorObject> {
        if let Some(answers) = answers {
            let params = UpdateTaskRequestParams::new(answers, &self.ticket.task_id);
            self.ask(UPDATE, &params).await?;
        }
        let (mut told, mut reports) = (None, 0_u32);
        loop {
            let params = GetTaskRequestParams::new(&self.ticket.task_id);
            let text = self.ask(GET, &params).await?;
            let task: DetailedTask = text.parse().map_err(|error| {
                ErrorObject::local(Origin::Protocol, format!("a task cannot be read: {error}"))
            })?;
            if let Some(interval) = poll_interval(&task) {
                self.ticket.poll_interval_ms = Some(interval);
            }
            match task {
                DetailedTask::Working(task) if task.status_message != told => {
                    told = task.status_message;
                    reports += 1;
                    self.report(reports, told.clone()).await;
                }
                DetailedTask::InputRequired(task) => {
                    let mut asked = InputRequiredResult::new();
                    asked.input_requests = Some(task.input_requests);
                    asked.request_state = Some(state_of(&self.ticket)?);
                    return Ok(Outcome::InputRequired(asked));
                }
                DetailedTask::Completed(task) => {
                    let result = task.result.parse().map_err(|error: mcp_types::DecodeError| {
                        let text = format!("a task's result cannot be read: {error}");
                        ErrorObject::local(Origin::Protocol, text)
                    })?;
                    return Ok(ServerResult::CallTool(result).into());
                }
                DetailedTask::Failed(task) => return Err(task.error),
                task if is_over(&task) => {
                    let text = "the task was ended before it had a result";
                    return Err(ErrorObject::local(Origin::Refused, text));
                }
                _ => {}
            }
            self.runtime.sleep_until(self.runtime.now() + self.ticket.pause()).await;
        }
    }

    /// Tells the caller what the task says of itself, as progress.
    async fn report(&self, reports: u32, message: Option<String>) {
        let Some(token) = &self.template.context.progress_token else { return };
        let mut progress = ProgressNotificationParams::new(f64::from(reports), token.clone());
        progress.message = message;
        let _ = self.template.notifier.notify(ServerNotification::Progress(progress)).await;
    }

    async fn ask<P: Serialize>(
        &mut self,
        method: &str,
        params: &P,
    ) -> Result<RawText, ErrorObject> {
        let exchange = self.exchange(method, params)?;
        poll_fn(|cx| self.service.poll_ready(cx)).await?;
        match self.service.call(exchange).await? {
            Outcome::Complete(ServerResult::Extension(text)) => Ok(text),
            _ => {
                let text =
                    format!("the server answered `{method}` with the result of another request");
                Err(ErrorObject::local(Origin::Protocol, text))
            }
        }
    }

    /// A request about the task in the name of whoever made the call.
    fn exchange<P: Serialize>(&self, method: &str, params: &P) -> Result<Exchange, ErrorObject> {
        let mut exchange = exchange_of(method, params)?;
        exchange.context = self.template.context.clone();
        let context = &mut exchange.context;
        // These belong to the call alone.
        context.meta = Default::default();
        (context.progress_token, context.log_level) = (None, None);
        (context.input_responses, context.request_state) = (None, None);
        Ok(exchange)
    }
}

impl<S: ExchangeService> Drop for Following<S> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let params = CancelTaskRequestParams::new(&self.ticket.task_id);
        let Ok(exchange) = self.exchange(CANCEL, &params) else { return };
        let mut service = self.service.clone();
        self.runtime.spawn(Box::pin(async move {
            if poll_fn(|cx| service.poll_ready(cx)).await.is_ok() {
                let _ = service.call(exchange).await;
            }
        }));
    }
}

/// The ticket as the state that comes back with the answers.
fn state_of(ticket: &TaskTicket) -> Result<String, ErrorObject> {
    let text = serde_json::to_string(ticket);
    let text = text.map_err(|error| ErrorObject::internal(error.to_string()))?;
    Ok(format!("{MARK}{text}"))
}

/// A server whose own state looks like this leads its caller to a task of its own, which it could
/// have answered with at once.
fn ticket_of(state: &str) -> Option<TaskTicket> {
    serde_json::from_str(state.strip_prefix(MARK)?).ok()
}

const MARK: &str = "task:";
