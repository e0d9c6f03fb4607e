//! Tools that outlive their request: the Tasks extension (`io.modelcontextprotocol/tasks`).
//!
//! A tool that takes minutes should not keep a request open for minutes. Marked `#[tool(task)]`, it
//! becomes a *task* when a client calls it that declares the extension: the call is answered at
//! once with a task id, the work goes on, and the client asks how it stands. The type to know is
//! [`Tasks`], which says how long and where tasks are kept:
//!
//! ```
//! use std::time::Duration;
//! use mcp_server::task::{MemoryTaskStore, Tasks};
//! use mcp_server::{Context, server, tool};
//!
//! /// Renders a film.
//! #[tool(task)]
//! async fn render(cx: Context, frames: u32) -> String {
//!     for frame in 1..=frames {
//!         // … one frame …
//!         cx.progress(frame, f64::from(frames)).await;
//!     }
//!     format!("rendered {frames} frames")
//! }
//!
//! let server = server!()
//!     .tool::<render>()
//!     .tasks(Tasks::new(MemoryTaskStore::new()).ttl(Duration::from_secs(7_200)))
//!     .build()?;
//! # Ok::<(), mcp_server::BuildError>(())
//! ```
//!
//! # What a tool sees
//!
//! The same [`Context`]. Progress becomes the task's status message, which other processes that share the store
//! learn once a [`Tasks::poll_interval`], and no more than once a second. What it asks ([`Context::elicit`],
//! [`Context::input`]) makes the task `input_required`; the client answers with `tasks/update`, and
//! the tool runs again from the top, as it would within a request. Log messages have no way to the
//! client from a task, and are dropped. A cancelled task is a dropped future.
//!
//! - `#[tool(task)]` is answered in its request when the client does not declare the extension, or
//!   when no more tasks are kept.
//! - `#[tool(task = "required")]` refuses such a client with `-32021`.
//! - Any other tool becomes a task where it calls [`Context::into_task`]: what it asks before, it asks
//!   within the request.
//!
//! # Whose task it is
//!
//! A task belongs to the [`Principal`](mcp_types::Principal) that a layer put into the exchange;
//! for any other it does not exist. Where nobody proves who they are, whoever knows the id has the
//! task, and an id has 160 random bits.
//!
//! # After a restart
//!
//! With a store that survives (`RedbTaskStore`, behind the feature `task-redb`), a task that waits
//! for the client goes on waiting, because its tool does not run. A task that was running is begun
//! again if its tool is annotated as idempotent or read-only, and is reported as failed if not;
//! both happen when the client asks for it.
//!
//! # Older clients
//!
//! The tasks that an earlier revision had on trial are not offered. A client that declares this
//! extension under `experimental` of its handshake gets it as any other does.

#[cfg(feature = "task-redb")]
mod redb;

mod contract;
mod engine;
mod keeper;
mod live;
mod memory;
mod nameless;
mod nodes;
mod pledge;
mod race;
mod record;
mod run;
mod store;
mod suspects;
mod takeover;
mod trouble;
mod watch;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mcp_types::Runtime;

pub use contract::{TaskStoreContractFailure, task_store_contract};
pub use memory::MemoryTaskStore;
pub use nodes::task_store_of_nodes_contract;
#[cfg(feature = "task-redb")]
pub use redb::RedbTaskStore;
pub use store::{KeptTask, Quota, StoredTask, TaskStore, TaskStoreError};

pub(crate) use keeper::TaskKeeper;
pub(crate) use run::Place;

use crate::{Context, Suspended};

/// Whether calls of a tool become tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TaskSupport {
    /// They do not, unless the tool itself calls [`Context::into_task`].
    #[default]
    Forbidden,
    /// They do, when the client declares the extension.
    Optional,
    /// They do, and a client that does not declare the extension is refused with `-32021`.
    Required,
}

/// How tasks are kept; given to [`ServerBuilder::tasks`](crate::ServerBuilder::tasks).
#[derive(Clone)]
pub struct Tasks {
    store: Arc<dyn TaskStore>,
    ttl: Duration,
    keep: Duration,
    poll_interval: Duration,
    lease: Duration,
    at_once: usize,
    quota: Quota,
    clock: Clock,
    runtime: Option<Arc<dyn Runtime>>,
}

/// Milliseconds since 1970.
type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

impl Tasks {
    /// Tasks in `store`, with an hour for each, results for at least a quarter of an hour, a poll
    /// each second, a lease of half a minute, 256 at work at once, and the [`Quota`] that is usual.
    pub fn new(store: impl TaskStore) -> Self {
        Self::shared(Arc::new(store))
    }

    /// The same with a store that others hold too.
    pub fn shared(store: Arc<dyn TaskStore>) -> Self {
        Self {
            store,
            ttl: Duration::from_secs(3_600),
            keep: Duration::from_secs(900),
            poll_interval: Duration::from_secs(1),
            lease: Duration::from_secs(30),
            at_once: 256,
            quota: Quota::default(),
            clock: Arc::new(system_clock),
            runtime: None,
        }
    }

    /// Sets how long a task may take, from its creation; its work is dropped then, and the task
    /// fails. The time in which it waits for the client counts.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets how long at least the end of a task is kept after it came; then the task is forgotten.
    #[must_use]
    pub fn keep(mut self, keep: Duration) -> Self {
        self.keep = keep;
        self
    }

    /// Sets how often clients are told to ask, how often a subscription looks at what other processes work on, and
    /// how often at most a worker writes down how far it is, for those who ask other processes: a second, which is
    /// the least for that.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Sets for how long a worker is believed to be alive that was not heard of, where other processes share
    /// the store: 30 seconds; at least three. A worker says three times as often that it
    /// lives, or oftener where its tool says how far it is. One that was
    /// silent for so long has lost its task when a client asked one other process for it three times: at first,
    /// two thirds of the lease later, and a third after that, 60 seconds in all. The task is begun anew there
    /// if its tool may run twice, and fails if not. These times are
    /// measured by the process that was asked, so clocks that differ take no task from a worker that lives;
    /// nor does an outage of the store that only the worker saw. A sign of life is two operations of the
    /// store, which together may take no longer than a third of the lease: half a second each of a lease of three
    /// seconds, five of thirty. Processes of one server have the same lease.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_secs(3));
        self
    }

    /// Sets how many tasks this process works on at once; others wait for their turn. A task that
    /// waits for the client counts as none.
    #[must_use]
    pub fn at_once(mut self, most: usize) -> Self {
        self.at_once = most;
        self
    }

    /// Sets how many tasks are kept at most.
    #[must_use]
    pub fn quota(mut self, change: impl FnOnce(&mut Quota)) -> Self {
        change(&mut self.quota);
        self
    }

    /// Sets on what tasks run. Without it they run on the runtime that their request came with,
    /// which every transport of `mcp-transport` gives.
    #[must_use]
    pub fn runtime(mut self, runtime: Arc<dyn Runtime>) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets the clock that tells milliseconds since 1970; for tests.
    #[must_use]
    pub fn clock(mut self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tasks")
            .field("ttl", &self.ttl)
            .field("keep", &self.keep)
            .field("poll_interval", &self.poll_interval)
            .field("lease", &self.lease)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

fn system_clock() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    engine::milliseconds(since)
}

impl<S> Context<S> {
    /// Goes on as a task from here, where the client declares the extension and the server keeps
    /// tasks; else, and within a task, it is nothing.
    ///
    /// The tool leaves with `?` and runs again *from the top* within the task, with the answers that
    /// it has so far. So what a tool must know before the work is worth a task, it asks before:
    ///
    /// ```
    /// use mcp_server::{Context, Elicited, ToolError, data, tool};
    ///
    /// #[data]
    /// struct Sure {
    ///     /// Really throw it all away?
    ///     sure: bool,
    /// }
    ///
    /// /// Empties the bin.
    /// #[tool]
    /// async fn empty_bin(cx: Context) -> Result<&'static str, ToolError> {
    ///     // Asked within the request.
    ///     let Elicited::Accepted(Sure { sure: true }) = cx.elicit("sure", "Empty the bin?")? else {
    ///         return Ok("nothing was thrown away");
    ///     };
    ///     cx.into_task()?;
    ///     // … an hour of work …
    ///     Ok("the bin is empty")
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Suspended`], which the caller never sees as an error: it is given the task instead.
    #[allow(clippy::wrong_self_convention, reason = "it is the call that turns into a task")]
    pub fn into_task(&self) -> Result<(), Suspended> {
        match self.extension::<Place>() {
            Some(Place::Request(becomes)) if becomes.ask(|| self.left_for_task()) => Err(Suspended),
            _ => Ok(()),
        }
    }

    /// The id of the task that this call is; `None` within a request.
    pub fn task_id(&self) -> Option<&str> {
        match self.extension::<Place>()? {
            Place::Task(id) => Some(id),
            Place::Request(_) => None,
        }
    }
}

/// Whether the client declares the extension on this request.
fn is_declared(request: &mcp_types::RequestContext) -> bool {
    // Most clients do not, and are told apart without reading what they declare.
    let text = request.declared().map_or("", |text| text.get());
    (text.contains("tasks") || text.contains('\\'))
        && request
            .client_capabilities()
            .extensions
            .is_some_and(|extensions| extensions.contains_key(mcp_types::tasks::EXTENSION))
}

/// A tool whose calls become tasks as `support` says, whatever the tool itself says; for tools that
/// are values. Functions say it with `#[tool(task)]`.
///
/// ```
/// use mcp_server::task::{MemoryTaskStore, TaskSupport, Tasks, as_task};
/// use mcp_server::{server, tool};
///
/// #[tool]
/// async fn render(frames: u32) -> String {
///     format!("rendered {frames} frames")
/// }
///
/// let always = as_task(render::default(), TaskSupport::Required);
/// assert!(server!().add_tool(always).build().is_err(), "nobody keeps its tasks");
/// let always = as_task(render::default(), TaskSupport::Required);
/// server!().tasks(Tasks::new(MemoryTaskStore::new())).add_tool(always).build()?;
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
pub fn as_task<T>(tool: T, support: TaskSupport) -> AsTask<T> {
    AsTask { tool, support }
}

/// What [`as_task`] makes of a tool.
#[derive(Debug, Clone)]
pub struct AsTask<T> {
    tool: T,
    support: TaskSupport,
}

impl<S, T: crate::Tool<S>> crate::Tool<S> for AsTask<T> {
    fn definition(&self) -> Result<mcp_types::Tool, crate::BuildError> {
        self.tool.definition()
    }

    fn call(&self, call: crate::Call<S>) -> mcp_types::ExchangeFuture {
        self.tool.call(call)
    }

    fn may_log(&self) -> bool {
        self.tool.may_log()
    }

    fn may_ask(&self) -> bool {
        self.tool.may_ask()
    }

    fn task(&self) -> TaskSupport {
        self.support
    }
}
