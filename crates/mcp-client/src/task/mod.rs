//! Calls that outlive their request: the Tasks extension (`io.modelcontextprotocol/tasks`).
//!
//! A server may answer a call with a *task* and go on working; the client asks how it stands. There
//! are two ways to live with that. A [`TaskLayer`] hides it: below a client, calls of tools that
//! become tasks end with their result as all others do. A [`TaskHandle`] shows it: the call comes
//! back at once, its state can be read and watched, and a [`TaskTicket`] finds the task again after
//! the client was restarted. Both wait by a [`Runtime`]:
//! `mcp_transport::TokioRuntime::current()` is one.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_client::types::{ExchangeService, Runtime};
//! use mcp_client::task::Started;
//! use mcp_client::{Client, Error};
//!
//! # async fn example<S: ExchangeService>(client: Client<S>, runtime: Arc<dyn Runtime>, save: fn(&str)) -> Result<(), Error> {
//! match client.call_tool_as_task("render", &serde_json::json!({"frames": 9_000}), runtime).await? {
//!     Started::Done(result) => println!("done at once: {}", mcp_client::text_of(&result)),
//!     Started::Task(mut task) => {
//!         // Enough to find the task again.
//!         save(&serde_json::to_string(task.ticket()).map_err(Error::Arguments)?);
//!         let result = task.result().await?;
//!         println!("{}", mcp_client::text_of(&result));
//!     }
//! }
//! # Ok(()) }
//! ```

mod layer;

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use mcp_types::tasks::{
    CANCEL, CancelTaskRequestParams, CreateTaskResult, DetailedTask, GET, GetTaskRequestParams,
    TaskStatus, UPDATE, UpdateTaskRequestParams,
};
use mcp_types::{
    BoxFuture, CallToolRequestParams, CallToolResult, ClientRequest, ErrorObject, Exchange,
    ExchangeService, InputRequiredResult, Members, RawText, RequestContext, Runtime, ServerResult,
};
use serde::{Deserialize, Serialize};

pub use layer::{TaskLayer, Tracking};

use crate::client::unexpected;
use crate::{Client, Error, InputLayer};

/// What a server made of a call: the result, or a task that works on it. The server decides.
#[derive(Debug)]
pub enum Started<S> {
    /// The result.
    Done(CallToolResult),
    /// A task; boxed, because it is the larger by far.
    Task(Box<TaskHandle<S>>),
}

impl<S: ExchangeService> Started<S> {
    /// The result, which a task is waited for.
    ///
    /// # Errors
    ///
    /// As [`TaskHandle::result`].
    pub async fn result(self) -> Result<CallToolResult, Error> {
        match self {
            Self::Done(result) => Ok(result),
            Self::Task(mut task) => task.result().await,
        }
    }
}

/// What has to be known to find a task again, in another process or a month later.
///
/// Whoever has it may have the task: where the server does not know its callers, the id is all that
/// it asks for. Keep it like a password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskTicket {
    /// The tool that was called.
    pub tool: String,
    /// The name that the server gave the task.
    pub task_id: String,
    /// How often the server wants to be asked, in milliseconds.
    pub poll_interval_ms: Option<i64>,
}

impl std::fmt::Debug for TaskTicket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskTicket").field("tool", &self.tool).finish_non_exhaustive()
    }
}

impl TaskTicket {
    fn of(tool: &str, task: &CreateTaskResult) -> Self {
        let (task_id, poll_interval_ms) = (task.task_id.clone(), task.poll_interval_ms);
        Self { tool: tool.to_owned(), task_id, poll_interval_ms }
    }

    /// How long to wait before the server is asked again: as it says, within reason.
    fn pause(&self) -> Duration {
        let said = self.poll_interval_ms.and_then(|said| u64::try_from(said).ok());
        Duration::from_millis(said.unwrap_or(1_000).clamp(20, 300_000))
    }
}

impl<S: ExchangeService> Client<S> {
    /// Calls a tool, and declares that its answer may be a task. `runtime` waits between questions.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn call_tool_as_task<A: Serialize + ?Sized>(
        &self,
        name: &str,
        arguments: &A,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Started<S>, Error> {
        let mut params = CallToolRequestParams::new(name);
        params.arguments = Some(RawText::of(arguments).map_err(Error::Arguments)?);
        let mut exchange = Exchange::new(ClientRequest::CallTool(params));
        declare(&mut exchange.context);
        match self.exchange(exchange).await? {
            ServerResult::CallTool(result) => Ok(Started::Done(result)),
            ServerResult::Extension(text) => match created(&text) {
                Some(task) => {
                    let handle = self.task(TaskTicket::of(name, &task), runtime);
                    Ok(Started::Task(Box::new(handle)))
                }
                None => Err(unexpected("tools/call", &ServerResult::Extension(text))),
            },
            other => Err(unexpected("tools/call", &other)),
        }
    }

    /// A task that was begun before, perhaps by an earlier process.
    pub fn task(&self, ticket: TaskTicket, runtime: Arc<dyn Runtime>) -> TaskHandle<S> {
        TaskHandle {
            client: self.clone(),
            runtime,
            ticket,
            inputs: None,
            answered: BTreeSet::new(),
            last: None,
        }
    }
}

/// A task at the server: a state that can be asked for, and a result in the end.
///
/// Dropping it leaves the task alone; [`TaskHandle::cancel`] ends it.
pub struct TaskHandle<S> {
    client: Client<S>,
    runtime: Arc<dyn Runtime>,
    ticket: TaskTicket,
    inputs: Option<InputLayer>,
    answered: BTreeSet<String>,
    last: Option<DetailedTask>,
}

impl<S: ExchangeService> TaskHandle<S> {
    /// What finds the task again.
    pub fn ticket(&self) -> &TaskTicket {
        &self.ticket
    }

    /// Answers what the task asks, as `inputs` does for requests; each question once.
    ///
    /// What the layer declares counts for calls that are made through it, so put the same layer
    /// under the client that makes the call.
    #[must_use]
    pub fn answering(mut self, inputs: InputLayer) -> Self {
        self.inputs = Some(inputs);
        self
    }

    /// Asks once how the task stands (`tasks/get`).
    ///
    /// # Errors
    ///
    /// See [`Error`]; [`Error::Service`] with `-32602` when the server does not know the task, or
    /// no longer.
    pub async fn state(&mut self) -> Result<DetailedTask, Error> {
        let params = GetTaskRequestParams::new(&self.ticket.task_id);
        let result = self.ask(GET, &params).await?;
        let task: DetailedTask = result.parse().map_err(bad_task)?;
        if let Some(interval) = poll_interval(&task) {
            self.ticket.poll_interval_ms = Some(interval);
        }
        Ok(task)
    }

    /// Waits until the task stands otherwise than it was last seen here, and says how. The first
    /// time that is at once. The server is asked as often as it wants to be.
    ///
    /// # Errors
    ///
    /// See [`Error`]. The task is not lost: ask again, or later with its ticket.
    pub async fn changed(&mut self) -> Result<DetailedTask, Error> {
        loop {
            if self.last.is_some() {
                self.runtime.sleep_until(self.runtime.now() + self.ticket.pause()).await;
            }
            let task = self.state().await?;
            let news = self.last.as_ref() != Some(&task);
            self.last = Some(task.clone());
            self.answer(&task).await?;
            if news {
                return Ok(task);
            }
        }
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// [`Error::Service`] with the error with which the task ended, [`Error::TaskCancelled`] when
    /// it was stopped, [`Error::InputRequired`] when it asks what nobody here answers: give the
    /// answer with [`TaskHandle::update`] and wait again. Else as [`TaskHandle::changed`].
    pub async fn result(&mut self) -> Result<CallToolResult, Error> {
        loop {
            let task = match self.last.take().filter(is_over) {
                Some(task) => task,
                None => self.changed().await?,
            };
            match task {
                DetailedTask::Completed(task) => return task.result.parse().map_err(bad_task),
                DetailedTask::Failed(task) => return Err(Error::of(task.error)),
                DetailedTask::Cancelled(_) => return Err(Error::TaskCancelled),
                DetailedTask::InputRequired(task) if self.inputs.is_none() => {
                    let mut asked = InputRequiredResult::new();
                    asked.input_requests = Some(task.input_requests);
                    return Err(Error::InputRequired(Box::new(asked)));
                }
                DetailedTask::Working(_) | DetailedTask::InputRequired(_) => {}
                _ => return Err(Error::Protocol("the task is in a state that is unknown".into())),
            }
        }
    }

    /// The states of the task as they come, until it is over.
    pub fn states(self) -> TaskStates<S> {
        TaskStates(Following::Idle(Box::new(self)))
    }

    /// Gives the task what it asked for (`tasks/update`), by the keys of the questions.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn update(&self, answers: Members) -> Result<(), Error> {
        let params = UpdateTaskRequestParams::new(answers, &self.ticket.task_id);
        self.ask(UPDATE, &params).await.map(drop)
    }

    /// Asks the server to end the task (`tasks/cancel`). It may end with a result all the same.
    ///
    /// # Errors
    ///
    /// See [`Error`].
    pub async fn cancel(&self) -> Result<(), Error> {
        let params = CancelTaskRequestParams::new(&self.ticket.task_id);
        self.ask(CANCEL, &params).await.map(drop)
    }

    async fn answer(&mut self, task: &DetailedTask) -> Result<(), Error> {
        let (DetailedTask::InputRequired(task), Some(inputs)) = (task, &self.inputs) else {
            return Ok(());
        };
        let open = task.input_requests.iter().filter(|(key, _)| !self.answered.contains(*key));
        let open: std::collections::BTreeMap<_, _> =
            open.map(|(key, question)| (key.clone(), question.clone())).collect();
        if open.is_empty() {
            return Ok(());
        }
        let (answers, refusal) = inputs.answer(open).await.map_err(Error::of)?;
        if let Some(refusal) = refusal {
            return Err(Error::of(refusal));
        }
        let keys: Vec<_> = answers.iter().map(|(key, _)| key.to_owned()).collect();
        self.update(answers).await?;
        self.answered.extend(keys);
        Ok(())
    }

    async fn ask<P: Serialize>(&self, method: &str, params: &P) -> Result<RawText, Error> {
        let mut exchange = exchange_of(method, params).map_err(Error::of)?;
        declare(&mut exchange.context);
        match self.client.exchange(exchange).await? {
            ServerResult::Extension(text) => Ok(text),
            other => Err(unexpected(method, &other)),
        }
    }
}

impl<S> std::fmt::Debug for TaskHandle<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskHandle").field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

/// The states of a task, one after the other; made by [`TaskHandle::states`].
///
/// It ends with the state in which the task is over, or with the first error.
#[must_use = "a stream does nothing unless it is polled"]
pub struct TaskStates<S>(Following<S>);

enum Following<S> {
    Idle(Box<TaskHandle<S>>),
    Asking(BoxFuture<'static, Answered<S>>),
    Over,
}

/// The handle back, and what came of asking.
type Answered<S> = (Box<TaskHandle<S>>, Result<DetailedTask, Error>);

impl<S: ExchangeService> Stream for TaskStates<S> {
    type Item = Result<DetailedTask, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut asking = match std::mem::replace(&mut self.0, Following::Over) {
            Following::Over => return Poll::Ready(None),
            Following::Asking(asking) => asking,
            Following::Idle(mut task) => Box::pin(async move {
                let changed = task.changed().await;
                (task, changed)
            }),
        };
        let Poll::Ready((task, state)) = asking.as_mut().poll(cx) else {
            self.0 = Following::Asking(asking);
            return Poll::Pending;
        };
        if state.as_ref().is_ok_and(|state| !is_over(state)) {
            self.0 = Following::Idle(task);
        }
        Poll::Ready(Some(state))
    }
}

impl<S> std::fmt::Debug for TaskStates<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskStates").finish_non_exhaustive()
    }
}

/// Whether the task will not change any more.
fn is_over(task: &DetailedTask) -> bool {
    !matches!(task, DetailedTask::Working(_) | DetailedTask::InputRequired(_))
}

fn poll_interval(task: &DetailedTask) -> Option<i64> {
    match task {
        DetailedTask::Working(task) => task.poll_interval_ms,
        DetailedTask::InputRequired(task) => task.poll_interval_ms,
        _ => None,
    }
}

/// Declares the extension on one request.
fn declare(context: &mut RequestContext) {
    static TASKS: LazyLock<Option<RawText>> = LazyLock::new(|| {
        RawText::new(r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#).ok()
    });
    if let Some(tasks) = &*TASKS {
        context.declare(tasks);
    }
}

fn exchange_of<P: Serialize>(method: &str, params: &P) -> Result<Exchange, ErrorObject> {
    let params = RawText::of(params).map_err(|error| ErrorObject::internal(error.to_string()))?;
    let method = method.to_owned();
    Ok(Exchange::new(ClientRequest::Extension { method, params: Some(params) }))
}

fn bad_task(error: mcp_types::DecodeError) -> Error {
    Error::Protocol(format!("the server described a task in a form that cannot be read: {error}"))
}

/// The task that a result of `tools/call` tells of, if it does.
fn created(result: &RawText) -> Option<CreateTaskResult> {
    let kind: Kind = result.parse().ok()?;
    let task: CreateTaskResult = (kind.result_type == "task").then(|| result.parse().ok())??;
    (!matches!(task.status, TaskStatus::Other(_))).then_some(task)
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "resultType")]
    result_type: String,
}
