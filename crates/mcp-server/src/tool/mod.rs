//! Tools: what one is, how one is called, how one is made of a function.

pub(crate) mod args;
pub(crate) mod mirrored;
pub(crate) mod result;
pub(crate) mod schema;

use std::future::Future;
use std::sync::Arc;

use mcp_types::{
    ErrorObject, ExchangeFuture, Notifier, Outcome, RawText, RequestContext, Tool as Definition,
};

use crate::lifespan::Source;
use crate::service::Incoming;
use crate::task::TaskSupport;
use crate::tool::mirrored::Mirrored;
use crate::{BuildError, Context, IntoToolResult, Prompt, Resource, Server, ToolError};

/// A tool of a server whose state is `S`.
///
/// [`#[tool]`](crate::tool) writes it for a function. By hand it is for tools that know their
/// arguments only at run time, such as those of a gateway:
///
/// ```
/// use mcp_server::types::{self, CallToolResult, ExchangeFuture, JsonSchema, ServerResult};
/// use mcp_server::{BuildError, Call, Server, Tool};
///
/// struct Echo;
///
/// impl Tool for Echo {
///     fn definition(&self) -> Result<types::Tool, BuildError> {
///         Ok(types::Tool::new("echo", JsonSchema::empty_object()))
///     }
///
///     fn call(&self, call: Call) -> ExchangeFuture {
///         Box::pin(async move {
///             let text = call.arguments.map_or(String::new(), |text| text.to_string());
///             Ok(ServerResult::CallTool(CallToolResult::text(text)).into())
///         })
///     }
/// }
///
/// let server = Server::new("example", "1.0.0").add_tool(Echo).build()?;
/// # Ok::<(), BuildError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a tool of a server whose state is `{S}`",
    note = "mark the function with `#[tool]`",
    note = "when the tool takes `Context<T>` or `State<T>`, call `.state(...)` before you add it"
)]
pub trait Tool<S = ()>: Send + Sync + 'static {
    /// What `tools/list` says about it. Asked once, when the server is built.
    ///
    /// # Errors
    ///
    /// When the tool cannot describe itself; the server is not built then.
    fn definition(&self) -> Result<Definition, BuildError>;

    /// Starts a call. Dropping the future cancels it.
    fn call(&self, call: Call<S>) -> ExchangeFuture;

    /// Whether calls may send log messages: the server then declares the capability `logging`.
    fn may_log(&self) -> bool {
        true
    }

    /// Whether a call may end in a question to the client
    /// ([`Outcome::InputRequired`](mcp_types::Outcome::InputRequired)): the server then keeps what the
    /// call's state has to be bound to. Asked once, when the server is built; a tool that says no
    /// and asks all the same fails.
    fn may_ask(&self) -> bool {
        true
    }

    /// Whether calls become tasks, where the server keeps tasks. Asked once, when the server is
    /// built.
    fn task(&self) -> TaskSupport {
        TaskSupport::Forbidden
    }
}

/// One call of a tool, unread.
#[non_exhaustive]
pub struct Call<S = ()> {
    /// The name under which the tool was called.
    pub tool: String,
    /// The arguments as they arrived: an object, or nothing.
    pub arguments: Option<RawText>,
    /// The envelope of the request.
    pub request: RequestContext,
    /// Where notifications go.
    pub notifier: Notifier,
    /// The server's state.
    pub state: Arc<S>,
    pub(crate) server: Server,
}

impl<S> Call<S> {
    /// The handle that tools work with, and the arguments.
    pub fn into_context(self) -> (Context<S>, Option<RawText>) {
        Context::new(self)
    }
}

/// What is added to a server at once and shares one object; `#[tools]` writes it for an `impl`
/// block.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no tools for a server whose state is `{S}`",
    note = "mark an `impl {Self}` block with `#[tools]`, and each of its tools with `#[tool]`"
)]
pub trait ToolSet<S = ()> {
    /// The tools.
    fn tools(self: Arc<Self>) -> Vec<Box<dyn Tool<S>>>;

    /// The prompts.
    fn prompts(self: Arc<Self>) -> Vec<Box<dyn Prompt<S>>> {
        Vec::new()
    }

    /// The resources.
    fn resources(self: Arc<Self>) -> Vec<Box<dyn Resource<S>>> {
        Vec::new()
    }
}

/// A tool together with the state of its server.
pub(crate) trait Handler: Send + Sync {
    fn call(&self, tool: String, arguments: Option<RawText>, incoming: Incoming) -> ExchangeFuture;

    /// Whether calls become tasks.
    fn task(&self) -> TaskSupport;

    /// Whether calls may end in a question.
    fn may_ask(&self) -> bool;

    /// The arguments that HTTP headers repeat.
    fn mirrored(&self) -> &Mirrored;
}

pub(crate) struct Bound<S> {
    pub(crate) tool: Box<dyn Tool<S>>,
    pub(crate) state: Source<S>,
    pub(crate) task: TaskSupport,
    pub(crate) asks: bool,
    pub(crate) mirrored: Mirrored,
}

impl<S: Send + Sync + 'static> Handler for Bound<S> {
    fn call(&self, tool: String, arguments: Option<RawText>, incoming: Incoming) -> ExchangeFuture {
        let Incoming { request, notifier, server } = incoming;
        let state = match self.state.get() {
            Ok(state) => state,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        self.tool.call(Call { tool, arguments, request, notifier, state, server })
    }

    fn task(&self) -> TaskSupport {
        self.task
    }

    fn may_ask(&self) -> bool {
        self.asks
    }

    fn mirrored(&self) -> &Mirrored {
        &self.mirrored
    }
}

/// A tool made of a definition and a closure.
pub(crate) struct ToolFn<F> {
    pub(crate) definition: Definition,
    pub(crate) run: F,
}

impl<S, F, Fut> Tool<S> for ToolFn<F>
where
    S: Send + Sync + 'static,
    F: Fn(Context<S>, RawText) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: IntoToolResult> + Send + 'static,
{
    fn definition(&self) -> Result<Definition, BuildError> {
        Ok(self.definition.clone())
    }

    fn call(&self, call: Call<S>) -> ExchangeFuture {
        let (cx, arguments) = call.into_context();
        let running = (self.run)(cx.clone(), arguments.unwrap_or_else(args::none));
        Box::pin(async move {
            let result = running.await.into_tool_result();
            cx.suspension().unwrap_or_else(|| result::outcome(result))
        })
    }
}

/// Runs `work` where it may block, or in place when the exchange never saw a runtime.
#[doc(hidden)]
pub async fn blocking(
    runtime: Option<Arc<dyn mcp_types::Runtime>>,
    work: impl FnOnce() -> Result<Outcome, ErrorObject> + Send + 'static,
) -> Result<Outcome, ErrorObject> {
    match crate::blocking::blocking(runtime, work).await {
        Ok(outcome) => outcome,
        Err(busy) => result::outcome(Err(ToolError::from(busy))),
    }
}
