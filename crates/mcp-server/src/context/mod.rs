//! What a running tool can see and do: state, progress, log, questions to the client.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use mcp_types::{
    ErrorObject, ExtensionCapability, InputRequest, Members, Notifier, RawText, RequestContext,
    TraceContext,
};

use crate::service::Incoming;
use crate::tool::Call;
use crate::{Changes, Server};

pub(crate) mod answer;
mod call;
mod elicit;
mod form;
mod input;
mod kept;
mod once;
mod report;

pub use call::CallError;
pub(crate) use call::is_inner;
pub use elicit::Elicited;
pub use form::{FormError, requested_schema};
pub use input::Questions;
use kept::Kept;

/// One call, as its tool sees it. `S` is the server's state.
///
/// A clone is another handle to the same call. Cancellation needs no word here: a cancelled call
/// is a dropped future, so an `async` tool stops at its next `.await`.
///
/// ```
/// use mcp_server::{Context, ToolError, tool, types::LoggingLevel};
///
/// /// Counts to `n`.
/// #[tool]
/// async fn count(cx: Context, n: u32) -> Result<String, ToolError> {
///     for step in 1..=n {
///         cx.progress(step, f64::from(n)).await;
///     }
///     cx.log(LoggingLevel::Info, "counted").await;
///     Ok(format!("counted to {n}"))
/// }
/// ```
pub struct Context<S = ()> {
    state: Arc<S>,
    shared: Arc<Shared>,
}

/// What all handles to one call have in common.
struct Shared {
    name: String,
    request: RequestContext,
    notifier: Notifier,
    /// The server that was asked.
    server: Server,
    /// The last progress as bits of an `f64`: it may only grow.
    progress: AtomicU64,
    asked: Mutex<Asked>,
    /// What earlier rounds left, read when it is first needed.
    kept: OnceLock<Kept>,
}

/// What the tool asked of the client, and what went wrong while it asked.
#[derive(Default)]
struct Asked {
    questions: BTreeMap<String, InputRequest>,
    failure: Option<ErrorObject>,
    /// Results of this round that the next one must not make again.
    done: Members,
    /// The states of inner calls that wait for answers.
    calls: Members,
    /// How many times each name was called in this round.
    called: BTreeMap<String, u32>,
}

impl<S> Context<S> {
    pub(crate) fn new(call: Call<S>) -> (Self, Option<RawText>) {
        let Call { tool, arguments, request, notifier, state, server } = call;
        let incoming = Incoming { request, notifier, server };
        (Self::enter(tool, incoming, state), arguments)
    }

    /// The handle for whatever answers a request: a tool or a prompt by its name, a resource by its
    /// URI, a completion by its argument.
    pub(crate) fn enter(name: String, incoming: Incoming, state: Arc<S>) -> Self {
        let Incoming { request, notifier, server } = incoming;
        let progress = AtomicU64::new(f64::NEG_INFINITY.to_bits());
        let asked = Mutex::default();
        let kept = OnceLock::new();
        let shared = Shared { name, request, notifier, server, progress, asked, kept };
        Self { state, shared: Arc::new(shared) }
    }

    /// The server's state.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The server that was asked.
    pub(crate) fn server(&self) -> &Server {
        &self.shared.server
    }

    /// The server's state, shared.
    pub fn shared_state(&self) -> &Arc<S> {
        &self.state
    }

    /// The name under which the tool was called; a prompt's name, or a resource's URI.
    pub fn tool(&self) -> &str {
        &self.shared.name
    }

    /// The envelope of the request: who asks, what the client can do, what it sent along.
    pub fn request(&self) -> &RequestContext {
        &self.shared.request
    }

    /// What an outer layer put into the exchange, such as the proven identity of the caller.
    pub fn extension<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.shared.request.extensions.get()
    }

    /// What the client declared for an extension of the protocol; `None` when it declared nothing,
    /// or something in another form.
    pub fn client_extension<E: ExtensionCapability>(&self) -> Option<E> {
        self.request().client_capabilities().extension().ok().flatten()
    }

    /// The trace to which the request belongs, where the client sent one that is well-formed.
    ///
    /// ```
    /// use mcp_server::{Context, tool};
    ///
    /// /// Says which trace it is part of.
    /// #[tool]
    /// async fn traced(cx: Context) -> String {
    ///     cx.trace_context().map_or("none".into(), |trace| trace.trace_id().to_owned())
    /// }
    /// ```
    pub fn trace_context(&self) -> Option<TraceContext> {
        TraceContext::read(&self.request().meta)
    }

    /// Where changes are announced to the clients that subscribed to them.
    pub fn changes(&self) -> Changes {
        self.shared.server.changes()
    }

    /// The same call without the state, for tools that serve under any state.
    pub(crate) fn stateless(&self) -> Context {
        static NO_STATE: LazyLock<Arc<()>> = LazyLock::new(Arc::default);
        Context { state: NO_STATE.clone(), shared: self.shared.clone() }
    }
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), shared: self.shared.clone() }
    }
}

impl<S> std::fmt::Debug for Context<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("tool", &self.shared.name).finish_non_exhaustive()
    }
}
