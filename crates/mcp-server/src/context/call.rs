//! Calls of other tools, and reads of resources, of the same server.

use std::fmt;

use mcp_types::{
    CallToolRequestParams, CallToolResult, CalledBy, ClientRequest, ContentBlock, ErrorObject,
    Exchange, Members, Meta, MirroredParams, Outcome, RawText, ReadResourceRequestParams,
    ReadResourceResult, RequestContext, ServerResult, TraceContext,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_service::Service;

use super::Context;
use crate::Suspended;
use crate::task::Place;

/// How many calls may be under way within each other, the client's own included.
const MAX_DEPTH: u32 = 16;

/// How many calls lead to this exchange; in its extensions, so that no detour hides them.
struct Depth(u32);

/// Whether the request is one that a handler makes of its own server.
pub(crate) fn is_inner(context: &RequestContext) -> bool {
    context.extensions.get::<Depth>().is_some()
}

impl<S> Context<S> {
    /// Calls another tool of this server, as the same client, and gives its result.
    ///
    /// The call passes every layer that the client's own call passed: what the client may not call,
    /// its tools may not call for it, unless a layer says otherwise. Its log messages reach the
    /// client, its progress does not. It ends when this call is cancelled.
    ///
    /// When the other tool asks the client, this call leaves with `?` as if it had asked itself,
    /// and both are entered anew with the answer. Calls are told apart by the tool's name and their
    /// order, so call in the same order each time. At most 16 calls may be within each other.
    ///
    /// ```
    /// use mcp_server::{CallError, Context, data, server, tool};
    ///
    /// /// Adds.
    /// #[tool]
    /// async fn add(a: i64, b: i64) -> i64 {
    ///     a + b
    /// }
    ///
    /// #[data]
    /// struct Sum {
    ///     a: i64,
    ///     b: i64,
    /// }
    ///
    /// /// Doubles.
    /// #[tool]
    /// async fn double(cx: Context, n: i64) -> Result<i64, CallError> {
    ///     cx.call_tool_as("add", &Sum { a: n, b: n }).await
    /// }
    ///
    /// let server = server!().tool::<add>().tool::<double>().build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallError`]: the call was refused, by the server or a layer, or waits for the client. A
    /// failure of the tool is a result here, with `is_error`.
    pub async fn call_tool<A: Serialize + ?Sized>(
        &self,
        name: &str,
        arguments: &A,
    ) -> Result<CallToolResult, CallError> {
        let arguments = RawText::of(arguments).map_err(unwritable)?;
        if !arguments.is_object() {
            return Err(refused("the arguments of a tool are an object, such as a struct"));
        }
        let mut params = CallToolRequestParams::new(name);
        params.arguments = Some(arguments);
        match self.inner(name, ClientRequest::CallTool(params)).await? {
            ServerResult::CallTool(result) => Ok(result),
            _ => Err(refused("the tool answered with something else than a tool's result")),
        }
    }

    /// [`Context::call_tool`], with the tool's data read as a `T`.
    ///
    /// # Errors
    ///
    /// As [`Context::call_tool`]; also [`CallError::Failed`] when the tool failed, with the text for
    /// the model, and [`CallError::Unreadable`] when it gave no data, or none that is a `T`.
    pub async fn call_tool_as<T: DeserializeOwned>(
        &self,
        name: &str,
        arguments: &(impl Serialize + ?Sized),
    ) -> Result<T, CallError> {
        let result = self.call_tool(name, arguments).await?;
        if result.is_error == Some(true) {
            let texts = result.content.into_iter().filter_map(|block| match block {
                ContentBlock::Text(text) => Some(text.text),
                _ => None,
            });
            return Err(CallError::Failed(texts.collect::<Vec<_>>().join("\n")));
        }
        let unreadable = |why: &dyn fmt::Display| CallError::Unreadable(why.to_string());
        let data = result.structured_content;
        let data = data.ok_or_else(|| unreadable(&"the tool gives text alone, and no data"))?;
        data.parse().or_else(|error| {
            // What is no object stands under `result`.
            let members: Members = data.parse().unwrap_or_default();
            match (members.get("result"), members.len()) {
                (Some(inner), 1) => inner.parse().map_err(|error| unreadable(&error)),
                _ => Err(unreadable(&error)),
            }
        })
    }

    /// Reads a resource of this server, as the same client, on the same terms as
    /// [`Context::call_tool`].
    ///
    /// # Errors
    ///
    /// [`CallError`]: the read was refused, or waits for the client.
    pub async fn read_resource(&self, uri: &str) -> Result<ReadResourceResult, CallError> {
        let params = ReadResourceRequestParams::new(uri);
        match self.inner(uri, ClientRequest::ReadResource(params)).await? {
            ServerResult::ReadResource(result) => Ok(result),
            _ => Err(refused("the resource answered with something else than its contents")),
        }
    }

    /// Serves `request` through all layers, and makes its questions those of this call.
    async fn inner(&self, name: &str, request: ClientRequest) -> Result<ServerResult, CallError> {
        let outer = self.request();
        let depth = outer.extensions.get::<Depth>().map_or(1, |depth| depth.0);
        if depth >= MAX_DEPTH {
            return Err(refused("tools call each other too deep, 16 calls is the most"));
        }
        let key = self.inner_key(name);
        let mut exchange = Exchange::new(request);
        exchange.context = self.inner_context(&key);
        exchange.context.extensions.insert(Depth(depth + 1));
        exchange.context.extensions.insert(CalledBy(self.tool().to_owned()));
        exchange.notifier = self.shared.notifier.logs_only();
        let outcome = match outer.caller() {
            Some(caller) => caller.send(exchange).await,
            None => self.shared.server.clone().call(exchange).await,
        };
        match outcome.map_err(CallError::Refused)? {
            Outcome::Complete(result) => Ok(result),
            Outcome::InputRequired(inner) => {
                let state = RawText::of(&inner.request_state).map_err(unwritable)?;
                self.asked(|asked| {
                    for (question, request) in inner.input_requests.unwrap_or_default() {
                        asked.questions.insert(format!("{key}/{question}"), request);
                    }
                    asked.calls.insert(key, state);
                });
                Err(CallError::Suspended(Suspended))
            }
            _ => Err(refused("the inner call came to something that cannot be waited for")),
        }
    }

    /// Names an inner call in the same way each time that the handler runs.
    fn inner_key(&self, name: &str) -> String {
        let count = self.asked(|asked| {
            let count = asked.called.entry(name.to_owned()).or_insert(0_u32);
            *count += 1;
            *count
        });
        if count == 1 { name.to_owned() } else { format!("{name}#{count}") }
    }

    /// What of this request is also true of an inner one.
    fn inner_context(&self, key: &str) -> RequestContext {
        let outer = self.request();
        let mut context = outer.clone();
        context.progress_token = None;
        // The headers of the request repeat the outer arguments.
        context.extensions.remove::<MirroredParams>();
        context.extensions.remove::<Place>();
        context.meta = Meta::new();
        for (name, value) in outer.meta.iter().filter(|(name, _)| TraceContext::KEYS.contains(name))
        {
            context.meta.insert(name.to_owned(), value.clone());
        }
        let (kept, now) = (self.kept(), outer.input_responses.as_ref());
        let all = kept.answers.iter().chain(now.into_iter().flat_map(Members::iter));
        let mut answers = Members::new();
        for (question, answer) in all {
            let inner = question.strip_prefix(key).and_then(|rest| rest.strip_prefix('/'));
            if let Some(inner) = inner {
                answers.insert(inner.to_owned(), answer.clone());
            }
        }
        context.input_responses = (!answers.is_empty()).then_some(answers);
        context.request_state =
            kept.calls.get(key).and_then(|state| state.parse::<Option<String>>().ok()?);
        context
    }
}

/// Why a call of another tool gave no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The other tool asks the client: leave with `?`, and this one is entered anew with the answer.
    #[error(transparent)]
    Suspended(#[from] Suspended),
    /// The server or a layer refused the call.
    #[error("{}", .0.message)]
    Refused(ErrorObject),
    /// The tool failed, with this text for the model.
    #[error("{0}")]
    Failed(String),
    /// The tool gave other data than was expected.
    #[error("the result of the tool cannot be read: {0}")]
    Unreadable(String),
}

fn refused(why: &str) -> CallError {
    CallError::Refused(ErrorObject::internal(why))
}

fn unwritable(error: serde_json::Error) -> CallError {
    CallError::Refused(ErrorObject::internal(format!("the arguments have no JSON form: {error}")))
}
