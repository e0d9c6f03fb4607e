//! The server: tools and an identity, checked once, then never changed.

use std::fmt::Display;
use std::future::Future;
use std::sync::Arc;

use mcp_types::{
    DiscoverResult, ExtensionCapability, Implementation, Listed, ProtocolVersion,
    ServerCapabilities, Tool as Definition,
};

use crate::catalog::{Catalog, Draft};
use crate::lifespan::{Life, Phase, Source, phase};
use crate::listing::Listing;
use crate::registry::{New, Registry};
use crate::request_state::{Seal, StateSealer};
use crate::task::{TaskKeeper, TaskSupport, Tasks};
use crate::tool::mirrored::Mirrored;
use crate::tool::{Bound, Handler, ToolFn};
use crate::{BuildError, Changes, Context, IntoToolResult, Tool, ToolSet};

/// A server, ready to be called: a `Service<Exchange>` that is cheap to clone.
///
/// ```
/// use mcp_server::{Server, server, tool};
///
/// /// Adds two numbers.
/// #[tool]
/// async fn add(a: i64, b: i64) -> i64 {
///     a + b
/// }
///
/// let server: Server = server!().tool::<add>().build()?;
/// assert_eq!(server.tools().len(), 1);
///
/// // What clients could not tell apart is refused when the server is built, not when it is called.
/// assert!(server!().tool::<add>().tool::<add>().build().is_err());
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
#[derive(Clone)]
pub struct Server(pub(crate) Arc<Inner>);

/// All that a server knows; built once and shared.
pub(crate) struct Inner {
    pub(crate) discover: DiscoverResult,
    pub(crate) tools: Registry<Definition, dyn Handler>,
    pub(crate) catalog: Catalog,
    pub(crate) seal: Option<Arc<Seal>>,
    pub(crate) changes: Changes,
    pub(crate) life: Option<Arc<Life>>,
    pub(crate) tasks: Option<Arc<dyn TaskKeeper>>,
}

impl Server {
    /// Starts a server with the name and version that it tells its clients.
    ///
    /// [`server!`](crate::server) takes both from your own crate.
    #[expect(clippy::new_ret_no_self, reason = "a server is checked when it is built")]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> ServerBuilder {
        let parts = Parts {
            info: Implementation::new(name, version),
            instructions: None,
            page_size: 0,
            may_log: false,
            tasks: None,
            sealer: None,
            list_changes: false,
            resource_updates: false,
            lifespans: Vec::new(),
            extensions: Ok(ServerCapabilities::new()),
            tools: Vec::new(),
            draft: Draft::default(),
        };
        ServerBuilder { parts, state: Source::there(()) }
    }

    /// Ends the tasks that run in this process, for a server that stops: those whose tools may run
    /// twice are left to be begun again, all others are reported as failed.
    pub async fn stop_tasks(&self) {
        if let Some(tasks) = &self.0.tasks {
            tasks.stop(self).await;
        }
    }

    /// Ends the server: subscriptions and tasks come to their end, new requests are refused, and once
    /// those under way are answered its lifespans stop.
    ///
    /// A server without a lifespan has nothing to wait for, and refuses nothing. Called twice, both
    /// wait for the same end.
    ///
    /// ```
    /// # futures_executor::block_on(async {
    /// let server = mcp_server::server!().build()?;
    /// // When the program is told to end, while HTTP still serves what is under way:
    /// server.shutdown().await;
    /// # Ok::<(), mcp_server::BuildError>(()) })?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub async fn shutdown(&self) {
        self.0.changes.close();
        self.stop_tasks().await;
        if let Some(life) = &self.0.life {
            life.stop().await;
        }
    }

    /// Where changes are announced to the clients that subscribed to them.
    pub fn changes(&self) -> Changes {
        self.0.changes.clone()
    }

    /// The tools in the order in which they were added, each with its text.
    pub fn tools(&self) -> Vec<Arc<Listed<Definition>>> {
        self.0.tools.all()
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tools = self.tools();
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_str()).collect();
        f.debug_struct("Server").field("tools", &names).finish_non_exhaustive()
    }
}

/// A server in the making; what is added from now on shares the state `S`.
#[must_use = "a server serves once it is built"]
pub struct ServerBuilder<S = ()> {
    pub(crate) parts: Parts,
    pub(crate) state: Source<S>,
}

/// All of a server in the making that does not depend on the type of its state.
pub(crate) struct Parts {
    info: Implementation,
    instructions: Option<String>,
    page_size: usize,
    pub(crate) may_log: bool,
    tasks: Option<Result<Arc<dyn TaskKeeper>, BuildError>>,
    sealer: Option<Arc<dyn StateSealer>>,
    /// Whether the author announces changes of the lists.
    list_changes: bool,
    /// Whether the author announces changes of single resources.
    resource_updates: bool,
    lifespans: Vec<Arc<dyn Phase>>,
    /// Extensions that are declared, on a list of capabilities that has nothing else.
    extensions: Result<ServerCapabilities, BuildError>,
    /// What went wrong is told by `build`, so that a chain stays a chain.
    tools: Vec<Result<NewTool, BuildError>>,
    pub(crate) draft: Draft,
}

type NewTool = New<Definition, dyn Handler>;

impl<S: Send + Sync + 'static> ServerBuilder<S> {
    /// Sets the state that what is added *after* this sees, as `Context<S>` or `State<S>`.
    ///
    /// What was added before keeps the state that it was added with.
    pub fn state<T: Send + Sync + 'static>(self, state: T) -> ServerBuilder<T> {
        ServerBuilder { parts: self.parts, state: Source::there(state) }
    }

    /// Sets a state that starts before the first request and stops after the last: connections to a
    /// database, a loaded model.
    ///
    /// As with [`ServerBuilder::state`], what is added *after* this sees it. `start` runs when
    /// the first request comes, whatever it asks for, and requests that come meanwhile wait. If it
    /// fails, that request fails, and the next one tries again; the log says why. A request that is
    /// cancelled while it starts leaves the start to the next. `stop` runs once, after the requests
    /// under way: at [`Server::shutdown`], or when the last handle to the server goes, as it does at
    /// the end of `mcp_transport::serve`. Several lifespans start in order, and stop in reverse.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mcp_server::{State, server, tool};
    ///
    /// struct Pool;
    /// impl Pool {
    ///     async fn open() -> std::io::Result<Self> { Ok(Self) }
    ///     async fn close(&self) {}
    ///     async fn count(&self) -> u64 { 7 }
    /// }
    ///
    /// /// Counts the rows.
    /// #[tool]
    /// async fn count(pool: State<Pool>) -> u64 {
    ///     pool.count().await
    /// }
    ///
    /// let server = server!()
    ///     .lifespan(Pool::open, async |pool: Arc<Pool>| pool.close().await)
    ///     .tool::<count>()
    ///     .build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn lifespan<T, Start, Started, Error, Stop, Stopped>(
        mut self,
        start: Start,
        stop: Stop,
    ) -> ServerBuilder<T>
    where
        T: Send + Sync + 'static,
        Start: Fn() -> Started + Send + Sync + 'static,
        Started: Future<Output = Result<T, Error>> + Send + 'static,
        Error: Display + 'static,
        Stop: Fn(Arc<T>) -> Stopped + Send + Sync + 'static,
        Stopped: Future<Output = ()> + Send + 'static,
    {
        let (state, lifespan) = phase(start, stop);
        self.parts.lifespans.push(lifespan);
        ServerBuilder { parts: self.parts, state }
    }

    /// Sets what the client may tell the model about using this server.
    pub fn instructions(mut self, instructions: impl Into<String>) -> Self {
        self.parts.instructions = Some(instructions.into());
        self
    }

    /// Declares an extension of the protocol, with its settings.
    ///
    /// What clients declare of it is in [`Context::client_extension`](crate::Context::client_extension);
    /// its requests reach a layer around the server as `ClientRequest::Extension`.
    ///
    /// ```
    /// use mcp_server::{data, server, types::ExtensionCapability};
    ///
    /// #[data]
    /// struct Translation {
    ///     languages: Vec<String>,
    /// }
    ///
    /// impl ExtensionCapability for Translation {
    ///     const ID: &'static str = "com.example/translation";
    /// }
    ///
    /// let settings = Translation { languages: vec!["de".into()] };
    /// let server = server!().extension(&settings).build()?;
    /// # Ok::<(), mcp_server::BuildError>(())
    /// ```
    pub fn extension<E: ExtensionCapability>(mut self, settings: &E) -> Self {
        self.parts.extensions = self.parts.extensions.and_then(|mut declared| {
            let done = match E::ID.split_once('/') {
                Some((domain, name)) if !domain.is_empty() && !name.is_empty() => {
                    declared.declare_extension(settings).map_err(Into::into)
                }
                _ => Err("an extension's id is a reversed domain name, a slash, a name".into()),
            };
            match done {
                Ok(()) => Ok(declared),
                Err(source) => Err(BuildError::Definition { name: E::ID.into(), source }),
            }
        });
        self
    }

    /// Changes the server's identity: title, website, icons.
    pub fn describe(mut self, change: impl FnOnce(&mut Implementation)) -> Self {
        change(&mut self.parts.info);
        self
    }

    /// Cuts listings into pages of `size` entries; 0, the default, lists all at once.
    pub fn page_size(mut self, size: usize) -> Self {
        self.parts.page_size = size;
        self
    }

    /// Keeps tasks: calls that outlive their request (see [`task`](crate::task)). The server then
    /// declares the Tasks extension.
    pub fn tasks(mut self, tasks: Tasks) -> Self {
        self.parts.tasks = Some(tasks.keeper());
        self
    }

    /// Declares that the server tells its clients when a list of it changes, so that they may
    /// subscribe to that: each list that is not empty when the server is built. An
    /// [`Editor`](crate::Editor) makes such changes and announces them; others you announce by
    /// [`Server::changes`] or [`Context::changes`].
    pub fn list_changes(mut self) -> Self {
        self.parts.list_changes = true;
        self
    }

    /// Declares that the server tells its clients when a single resource changes, so that they may
    /// subscribe to it. You announce it by [`Changes::resource_updated`].
    pub fn resource_updates(mut self) -> Self {
        self.parts.resource_updates = true;
        self
    }

    /// Seals what the server hands to its clients between two rounds of one request, its
    /// `requestState`, so that it can also keep what [`Context::once`] did.
    ///
    /// With the feature `sealed-state` every server does, with a key that ends with the process; set
    /// a sealer with a key of your own when several nodes serve the same clients.
    pub fn seal_state(mut self, sealer: impl StateSealer) -> Self {
        self.parts.sealer = Some(Arc::new(sealer));
        self
    }

    /// Adds the tool that `#[tool]` made of the function `T`.
    pub fn tool<T: Tool<S> + Default>(self) -> Self {
        self.add_tool(T::default())
    }

    /// Adds all that an object offers: the methods that `#[tools]` found in its `impl` block, be they
    /// tools, prompts or resources.
    pub fn tools(self, object: impl ToolSet<S>) -> Self {
        let object = Arc::new(object);
        let this = object.clone().tools().into_iter().fold(self, Self::add_boxed);
        let this = object.clone().prompts().into_iter().fold(this, Self::add_boxed_prompt);
        object.resources().into_iter().fold(this, Self::add_boxed_resource)
    }

    /// Adds a tool that is a value.
    pub fn add_tool(self, tool: impl Tool<S>) -> Self {
        self.add_boxed(Box::new(tool))
    }

    /// Adds a tool that is known only at run time: a definition, and what to do with the arguments.
    ///
    /// The arguments are handed over unread, and nothing holds them against the input schema: read
    /// them into a type that refuses what does not fit. Nor is what the tool returns held against
    /// its `output_schema`: return [`Json`](crate::Json), whose schema is that of its type, or run a
    /// validator of your choice over the structured content; a general one is larger than the rest
    /// of a server.
    ///
    /// ```
    /// use mcp_server::{Server, types::{JsonSchema, RawText, Tool}};
    ///
    /// let schema = RawText::new(r#"{"type":"object","properties":{"text":{"type":"string"}}}"#)?;
    /// let shout = Tool::new("shout", JsonSchema::new(schema)?);
    /// let server = Server::new("example", "1.0.0")
    ///     .tool_fn(shout, async |_cx, arguments: RawText| {
    ///         let arguments: std::collections::BTreeMap<String, String> = arguments.parse()?;
    ///         let text = arguments.get("text").ok_or("the argument `text` is missing")?;
    ///         Ok::<_, mcp_server::ToolError>(text.to_uppercase())
    ///     })
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tool_fn<F, Fut>(self, definition: Definition, run: F) -> Self
    where
        F: Fn(Context<S>, mcp_types::RawText) -> Fut + Send + Sync + 'static,
        Fut: Future<Output: IntoToolResult> + Send + 'static,
    {
        self.add_tool(ToolFn { definition, run })
    }

    fn add_boxed(mut self, tool: Box<dyn Tool<S>>) -> Self {
        self.parts.may_log |= tool.may_log();
        self.parts.tools.push(tooled(tool, &self.state));
        self
    }

    /// Checks names and definitions, and makes the server.
    ///
    /// # Errors
    ///
    /// [`BuildError`]: the server has no identity, a name breaks the protocol's rules (specification,
    /// "Tool names"), two tools have the same name, or a tool cannot describe itself.
    pub fn build(self) -> Result<Server, BuildError> {
        self.parts.build()
    }
}

impl Parts {
    fn build(self) -> Result<Server, BuildError> {
        if self.info.name.is_empty() || self.info.version.is_empty() {
            return Err(BuildError::Anonymous);
        }
        let tools = self.tools.into_iter().map(|tool| servable(tool?, self.tasks.is_some()));
        let tools = Registry::new(tools.collect::<Result<_, _>>()?, self.page_size)
            .map_err(|name| BuildError::DuplicateName { name })?;
        let catalog = self.draft.build(self.page_size, self.list_changes, !tools.is_empty())?;
        let mut capabilities = ServerCapabilities::new();
        catalog.declare(!tools.is_empty(), &mut capabilities)?;
        if self.resource_updates {
            capabilities.resources.get_or_insert_default().subscribe = Some(true);
        }
        if self.may_log {
            capabilities.logging =
                Some(mcp_types::RawText::of(&mcp_types::Members::new()).map_err(unwritable)?);
        }
        let tasks = self.tasks.transpose()?;
        if tasks.is_some() {
            let settings =
                mcp_types::RawText::of(&mcp_types::Members::new()).map_err(unwritable)?;
            let extensions = capabilities.extensions.get_or_insert_default();
            extensions.insert(mcp_types::tasks::EXTENSION.to_owned(), settings);
        }
        #[cfg(feature = "sealed-state")]
        let sealer = match self.sealer {
            Some(sealer) => Some(sealer),
            None => {
                let sealer = crate::AeadSealer::ephemeral().map_err(BuildError::Seal)?;
                Some(Arc::new(sealer) as Arc<dyn StateSealer>)
            }
        };
        #[cfg(not(feature = "sealed-state"))]
        let sealer = self.sealer;
        let server = self.info.name.clone();
        let seal = sealer.map(|sealer| Arc::new(Seal { server, sealer }));
        let revision = ProtocolVersion::NEWEST.to_string();
        let mut discover = DiscoverResult::new(capabilities, vec![revision]);
        discover.instructions = self.instructions;
        discover.set_server_info(&self.info).map_err(unwritable)?;
        if let Some(hint) = catalog.general_hint() {
            (discover.ttl_ms, discover.cache_scope) = (Some(hint.ttl_ms()), Some(hint.scope()));
        }
        let declared = self.extensions?.extensions.unwrap_or_default();
        if !declared.is_empty() {
            discover.capabilities.extensions.get_or_insert_default().extend(declared);
        }
        let (changes, life) = (Changes::default(), Life::of(self.lifespans));
        Ok(Server(Arc::new(Inner { discover, tools, catalog, seal, changes, life, tasks })))
    }
}

impl Inner {
    /// Tells whoever subscribed that a listing is another one.
    pub(crate) fn list_changed(&self, listing: Listing) {
        match listing {
            Listing::Tools => self.changes.tool_list_changed(),
            Listing::Prompts => self.changes.prompt_list_changed(),
            Listing::Resources | Listing::ResourceTemplates => {
                self.changes.resource_list_changed();
            }
        }
    }
}

/// A tool with the state of its server, checked by itself.
pub(crate) fn tooled<S: Send + Sync + 'static>(
    tool: Box<dyn Tool<S>>,
    state: &Source<S>,
) -> Result<NewTool, BuildError> {
    let definition = tool.definition()?;
    let name = definition.name.clone();
    check_name(&name)?;
    let (state, task, asks) = (state.clone(), tool.task(), tool.may_ask());
    let mirrored = Mirrored::of(definition.input_schema.text()).map_err(|source| {
        BuildError::Definition { name: name.clone().into(), source: source.into() }
    })?;
    let listed = listed(&name, definition)?;
    Ok(New { name, listed, handler: Box::new(Bound { tool, state, task, asks, mirrored }) })
}

/// The tool, unless it needs tasks and there are none.
pub(crate) fn servable(tool: NewTool, keeps_tasks: bool) -> Result<NewTool, BuildError> {
    match !keeps_tasks && tool.handler.task() == TaskSupport::Required {
        true => Err(BuildError::NoTasks { name: tool.name }),
        false => Ok(tool),
    }
}

/// A definition beside its text.
pub(crate) fn listed<T: serde::Serialize>(
    name: &str,
    definition: T,
) -> Result<Listed<T>, BuildError> {
    let unwritable = |source: serde_json::Error| BuildError::Definition {
        name: name.to_owned().into(),
        source: source.into(),
    };
    Listed::new(definition).map_err(unwritable)
}

pub(crate) fn unwritable(error: serde_json::Error) -> BuildError {
    BuildError::Definition { name: "server/discover".into(), source: error.into() }
}

/// The specification's rule for names: 1 to 128 of `A-Za-z0-9_.-`.
fn check_name(name: &str) -> Result<(), BuildError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    let reason = match name {
        "" => "give it at least one character",
        name if !name.bytes().all(allowed) => "use only A-Z, a-z, 0-9, `_`, `.` and `-`",
        name if name.len() > 128 => "use at most 128 characters",
        _ => return Ok(()),
    };
    Err(BuildError::InvalidName { name: name.to_owned(), reason })
}

/// Starts a [`Server`] that tells its clients the name and version of *your* crate.
///
/// ```
/// let server = mcp_server::server!().instructions("ask for one note at a time").build()?;
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
#[macro_export]
macro_rules! server {
    () => {
        $crate::Server::new(::core::env!("CARGO_PKG_NAME"), ::core::env!("CARGO_PKG_VERSION"))
    };
}
