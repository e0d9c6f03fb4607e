//! The client's verbs over several servers, each under a name that the host gives it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use etdi_core::approval::{
    Approval, ApprovalKey, Approvals, Approved, Granted, NoApprover, Reason, Withdrawn,
};
use etdi_core::audit::Entry;
use etdi_core::change::{ChangeError, Changes};
use etdi_core::definition::ToolDefinition;
use etdi_core::event::{Event, EventKind, ListenerId, Severity};
use etdi_core::layer::{Review, ReviewOutcome};
use etdi_core::level::{Handling, SecurityLevel};
use etdi_core::verify::Peer;
use mcp_client::CacheLayer;
use mcp_transport::{Connection, LimitsLayer, TokioRuntime};
use mcp_types::{
    BoxFuture, CallToolResult, Caller, ErrorObject, Exchange, ExchangeFuture, ExchangeService,
    Outcome, Runtime, ServerNotification,
};
use serde::Serialize;
use tower_layer::Layer;
use tower_service::Service;

use crate::{Error, EtdiClient, Program, Session, VerificationStatus};

/// Where a server is: a program to start, a URL to dial, or a service that is there already.
///
/// ```
/// use etdi::Target;
///
/// let program = Target::from(["notes-server", "--stdio"]);
/// assert_eq!(format!("{program:?}"), "Target(\"notes-server --stdio\")");
/// ```
pub struct Target(Kind);

enum Kind {
    Program(Program),
    #[cfg(feature = "http")]
    Url(Box<crate::http::HttpTarget>),
    Service(Caller, Box<Peer>),
}

impl Target {
    /// A program that speaks over its standard streams.
    pub fn program(program: Program) -> Self {
        Self(Kind::Program(program))
    }

    /// A server behind HTTP, by its URL.
    #[cfg(feature = "http")]
    pub fn url(url: impl Into<String>) -> Self {
        Self::http(crate::http::HttpTarget::new(url))
    }

    /// A server behind HTTP, with headers or a login.
    #[cfg(feature = "http")]
    pub fn http(target: crate::http::HttpTarget) -> Self {
        Self(Kind::Url(Box::new(target)))
    }

    /// Any service: a server in this process, a WebSocket, a Unix socket. `peer` is what this side
    /// knows of it by itself.
    pub fn service(service: impl ExchangeService, peer: Peer) -> Self {
        Self(Kind::Service(Caller::new(service), Box::new(peer)))
    }
}

impl From<Program> for Target {
    fn from(program: Program) -> Self {
        Self::program(program)
    }
}

impl<const N: usize> From<[&str; N]> for Target {
    /// A program and its arguments.
    fn from(argv: [&str; N]) -> Self {
        Self::program(Program::new(argv))
    }
}

impl From<Vec<String>> for Target {
    /// A program and its arguments.
    fn from(argv: Vec<String>) -> Self {
        Self::program(Program::new(argv))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match &self.0 {
            Kind::Program(program) => program.argv().join(" "),
            #[cfg(feature = "http")]
            Kind::Url(target) => target.url().to_owned(),
            Kind::Service(_, peer) => peer.identity.to_string(),
        };
        f.debug_tuple("Target").field(&shown).finish()
    }
}

/// The servers of a client, by name.
#[derive(Default)]
pub(crate) struct Servers {
    open: Mutex<BTreeMap<String, Open>>,
    calls: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

#[derive(Clone)]
struct Open {
    session: Session<Caller>,
    ending: Ending,
}

/// What is behind a session, to be closed with it.
#[derive(Clone)]
pub(crate) enum Ending {
    Process(Connection),
    #[cfg(feature = "http")]
    Http(mcp_transport::http::HttpConnection),
    None,
}

impl Ending {
    async fn close(&self) {
        match self {
            Self::Process(connection) => connection.close().await,
            #[cfg(feature = "http")]
            Self::Http(connection) => connection.close().await,
            Self::None => {}
        }
    }
}

/// A tool by the name of its server, as the host named it, and its own.
///
/// ```
/// use etdi::ToolId;
///
/// let id: ToolId = "notes/search".parse()?;
/// assert_eq!((id.server(), id.tool()), ("notes", "search"));
/// assert!("search".parse::<ToolId>().is_err());
/// # Ok::<(), etdi::InvalidToolId>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ToolId {
    server: String,
    tool: String,
}

impl ToolId {
    /// A tool of a server.
    pub fn new(server: impl Into<String>, tool: impl Into<String>) -> Self {
        Self { server: server.into(), tool: tool.into() }
    }

    /// The server, as the host named it.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The tool, as the server names it.
    pub fn tool(&self) -> &str {
        &self.tool
    }
}

impl fmt::Display for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.tool)
    }
}

/// A text that names no tool of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a tool of a server, write the server's name, `/`, and the tool's name")]
pub struct InvalidToolId;

impl std::str::FromStr for ToolId {
    type Err = InvalidToolId;

    fn from_str(text: &str) -> Result<Self, InvalidToolId> {
        let (server, tool) = text.split_once('/').ok_or(InvalidToolId)?;
        match server.is_empty() || tool.is_empty() {
            true => Err(InvalidToolId),
            false => Ok(Self::new(server, tool)),
        }
    }
}

impl From<&ToolId> for ToolId {
    fn from(id: &ToolId) -> Self {
        id.clone()
    }
}

/// A tool that a server lists, and what became of it.
#[derive(Clone, Debug)]
pub struct DiscoveredTool {
    id: ToolId,
    review: Arc<Review>,
}

impl DiscoveredTool {
    /// By what it is called.
    pub fn id(&self) -> &ToolId {
        &self.id
    }

    /// What verification found, as one word. It is data for the host to show: the tool's own name
    /// and texts never say it.
    pub fn verification_status(&self) -> VerificationStatus {
        VerificationStatus::of(self.review.verification())
    }

    /// Whether it may be called.
    pub fn is_approved(&self) -> bool {
        self.review.is_approved()
    }

    /// Everything that is known of it.
    pub fn review(&self) -> &Arc<Review> {
        &self.review
    }
}

/// What is different about a tool since it was approved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VersionChange {
    /// The version that was approved.
    pub approved: Option<String>,
    /// The version that is listed.
    pub listed: Option<String>,
    /// What changed in the definition.
    pub changes: Changes,
    /// Whether a person has to approve it again.
    pub needs_approval: bool,
}

/// What a client has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// How many servers are connected.
    pub servers: usize,
    /// How many tools they listed last.
    pub tools: usize,
    /// How many of these a known publisher vouches for.
    pub verified: usize,
    /// How many of these may be called.
    pub approved: usize,
    /// How many calls were answered by a server.
    pub calls: u64,
    /// How many calls a check refused.
    pub refused: u64,
    /// How many calls failed otherwise.
    pub failed: u64,
    /// How often each kind of event happened, by its name.
    pub events: BTreeMap<String, u64>,
}

impl EtdiClient {
    /// Makes sure that this client can do what its policy wants: the approvals can be read, and the
    /// audit trail can be written where it comes before the act.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Audit`].
    pub async fn initialize(&self) -> Result<(), Error> {
        self.approvals().generation().await?;
        Ok(self.note(&Event::new(EventKind::ClientInitialized).severity(Severity::Low))?)
    }

    /// Closes all servers that were connected by name.
    pub async fn cleanup(&self) {
        let open = std::mem::take(&mut *self.open());
        for (_, server) in open {
            self.end(&server).await;
        }
    }

    /// Connects to a server and gives it a name for the other verbs: tools are found as `name/tool`.
    ///
    /// The server has [`ClientOptions::timeout_seconds`](crate::config::ClientOptions) to answer,
    /// and is tried again as often as the options say. Listings are kept as they say.
    ///
    /// # Errors
    ///
    /// [`Error::ServerName`] for a name that is taken, empty or holds `/`; and those of
    /// [`EtdiClient::connect`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect_to_server(
        &self,
        target: impl Into<Target>,
        name: &str,
    ) -> Result<(), Error> {
        let fits = !name.is_empty() && !name.contains('/') && !self.open().contains_key(name);
        if !fits {
            return Err(Error::ServerName { name: name.to_owned() });
        }
        let cache = self.0.options.cache_ttl().map(|most| CacheLayer::at_most(Instant::now, most));
        let told = cache.clone();
        let told = move |notification: ServerNotification| {
            if let Some(cache) = &told {
                cache.told(&notification);
            }
        };
        let (service, peer, ending) = self.reach(target.into(), told).await?;
        let service = self.bounded(service, cache);
        let opened = self.again(|| self.over(service.clone(), peer.clone())).await;
        let session = match opened {
            Ok(session) => session,
            Err(error) => {
                ending.close().await;
                let event = Event::new(EventKind::Error).at(&peer.identity.to_string());
                // The error itself says more to whoever called.
                _ = self.note(&event.detail(&error));
                return Err(error);
            }
        };
        let connected = Event::new(EventKind::ClientConnected).at(&peer.identity.to_string());
        let open = Open { session, ending };
        if let Err(error) = self.note(&connected.severity(Severity::Low)) {
            open.ending.close().await;
            return Err(error.into());
        }
        self.open().insert(name.to_owned(), open);
        Ok(())
    }

    /// Ends the connection to a server. Says whether there was one of that name.
    pub async fn disconnect(&self, name: &str) -> bool {
        let removed = self.open().remove(name);
        match removed {
            Some(server) => {
                self.end(&server).await;
                true
            }
            None => false,
        }
    }

    async fn end(&self, server: &Open) {
        server.ending.close().await;
        let event = Event::new(EventKind::ClientDisconnected);
        let event = event.at(&server.session.peer().identity.to_string()).severity(Severity::Low);
        // What has ended has ended.
        _ = self.note(&event);
    }

    /// The names of the connected servers.
    pub fn servers(&self) -> Vec<String> {
        self.open().keys().cloned().collect()
    }

    /// The session with a server: its whole protocol, with every check in its path.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchServer`].
    pub fn session(&self, server: &str) -> Result<Session<Caller>, Error> {
        let open = self.open();
        let found = open.get(server).map(|open| open.session.clone());
        found.ok_or_else(|| Error::NoSuchServer { name: server.to_owned() })
    }

    /// Lists the tools of all servers, or of those that are named, and what became of each.
    ///
    /// Those that were not verified are left out, unless the setting `show_unverified_tools` shows
    /// them; tools of servers without ETDI count as such only where the policy takes none.
    ///
    /// # Errors
    ///
    /// When a server does not list, or is not connected.
    pub async fn discover_tools(
        &self,
        server_ids: Option<&[&str]>,
    ) -> Result<Vec<DiscoveredTool>, Error> {
        let names: Vec<String> = match server_ids {
            Some(names) => names.iter().map(|name| (*name).to_owned()).collect(),
            None => self.servers(),
        };
        let mut tools = Vec::new();
        for name in names {
            let session = self.session(&name)?;
            let reviews = self.again(|| session.discover_tools()).await?;
            tools.extend(
                reviews.into_iter().filter(|review| self.shows(review)).map(|review| {
                    DiscoveredTool { id: ToolId::new(&*name, review.name()), review }
                }),
            );
        }
        Ok(tools)
    }

    /// Whether a host is shown a tool.
    fn shows(&self, review: &Review) -> bool {
        if review.is_approved() || review.verification().is_ok() {
            return true;
        }
        let policy = self.policy();
        match VerificationStatus::of(review.verification()) {
            _ if policy.level == SecurityLevel::Strict => false,
            _ if self.0.show_unverified => true,
            VerificationStatus::Unverified if !is_attested(review) => {
                policy.unsigned == Handling::Label
            }
            _ => false,
        }
    }

    /// Lists anew and tells what became of one tool.
    ///
    /// # Errors
    ///
    /// As [`EtdiClient::discover_tools`], and [`Error::NoSuchTool`].
    pub async fn verify_tool(&self, id: impl Into<ToolId>) -> Result<DiscoveredTool, Error> {
        let id = id.into();
        let session = self.session(&id.server)?;
        let review = self.again(|| session.verify_tool(&id.tool)).await?;
        Ok(DiscoveredTool { id, review })
    }

    /// Approves a tool as it was shown, with all permissions that it declares or with these alone.
    ///
    /// # Errors
    ///
    /// [`Error::Approve`] when no approval makes the tool callable.
    pub async fn approve_tool(
        &self,
        tool: &DiscoveredTool,
        permissions: Option<&[&str]>,
    ) -> Result<Approved<ToolDefinition>, Error> {
        let granted = match permissions {
            None => Granted::All,
            Some(scopes) => Granted::Only(scopes.iter().map(|scope| (*scope).to_owned()).collect()),
        };
        let session = self.session(&tool.id.server)?;
        Ok(session.approve_tool(&tool.review, granted, &self.0.user).await?)
    }

    /// Whether a tool, as it is listed now, may be called.
    ///
    /// # Errors
    ///
    /// As [`EtdiClient::verify_tool`].
    pub async fn is_tool_approved(&self, id: impl Into<ToolId>) -> Result<bool, Error> {
        Ok(self.verify_tool(id).await?.is_approved())
    }

    /// Calls a tool: it is listed anew and checked first, and whoever approves is asked where
    /// nothing is approved yet. Never made twice, whatever happens.
    ///
    /// # Errors
    ///
    /// [`Error::Client`] with a refusal when a check says no; see [`Error::code`].
    pub async fn invoke_tool<A: Serialize + ?Sized>(
        &self,
        id: impl Into<ToolId>,
        arguments: &A,
    ) -> Result<CallToolResult, Error> {
        let id = id.into();
        let result = match self.session(&id.server) {
            Ok(session) => session.invoke_tool(&id.tool, arguments).await,
            Err(error) => Err(error),
        };
        if self.0.options.enable_metrics {
            let servers = &self.0.servers;
            let count = match &result {
                Ok(_) => &servers.calls,
                Err(error) if error.is_refusal() => &servers.refused,
                Err(_) => &servers.failed,
            };
            count.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    /// What is different about a tool since it was approved; `None` when nothing is, or it never
    /// was approved.
    ///
    /// # Errors
    ///
    /// As [`EtdiClient::verify_tool`], and when the approvals cannot be read.
    pub async fn check_version_change(
        &self,
        id: impl Into<ToolId>,
    ) -> Result<Option<VersionChange>, Error> {
        let id = id.into();
        let tool = self.verify_tool(id.clone()).await?;
        let Some(definition) = tool.review.definition() else { return Ok(None) };
        let identity = self.session(&id.server)?.peer().identity.to_string();
        let Some(approval) = self.last_approval(&identity, &id.tool).await? else {
            return Ok(None);
        };
        if approval.digest == definition.digest() && tool.is_approved() {
            let Some(carried) = approval.carried else { return Ok(None) };
            return Ok(Some(change(&carried.from, definition, false)?));
        }
        let same = approval.digest == definition.digest();
        if same && approval.key.issuer.is_some() == tool.review.verification().is_ok() {
            return Ok(None);
        }
        Ok(Some(change(&approval, definition, !tool.is_approved())?))
    }

    /// The newest approval of a tool, whoever signed it then.
    async fn last_approval(&self, server: &str, tool: &str) -> Result<Option<Approval>, Error> {
        let approvals = self.approvals().list().await?.approvals;
        let of_tool = |one: &Approval| one.key.server == server && one.key.tool == tool;
        Ok(approvals.into_iter().filter(of_tool).max_by_key(|one| one.generation))
    }

    /// Takes the approval of a tool away and has the client's approver asked about it as it is
    /// listed now.
    ///
    /// # Errors
    ///
    /// [`Error::Approve`] when the answer is no; the tool is not approved then.
    pub async fn request_reapproval(
        &self,
        id: impl Into<ToolId>,
    ) -> Result<Approved<ToolDefinition>, Error> {
        let id = id.into();
        let session = self.session(&id.server)?;
        let tool = self.verify_tool(id.clone()).await?;
        let identity = session.peer().identity.to_string();
        let issuer = tool.review.verification().ok().map(|one| one.issuer().to_string());
        let key = ApprovalKey::new(&identity, issuer, &id.tool);
        let requested = Event::new(EventKind::ToolReapprovalRequested).on(&identity, &id.tool);
        self.note(&requested)?;
        let approvals: Approvals = self.approvals_asking(Arc::new(NoApprover));
        approvals.withdraw(&key, Withdrawn::new(self.now(), &*self.0.user)).await?;
        let mut tool = self.verify_tool(id.clone()).await?;
        if tool.review.code() == Reason::PermissionDenied.code() {
            // What was denied stays denied as long as it is on record.
            approvals.remove(&key, self.now()).await?;
            tool = self.verify_tool(id).await?;
        }
        Ok(session.ask_about(&tool.review).await?)
    }

    /// Whether a tool may be called and was granted a permission.
    ///
    /// # Errors
    ///
    /// As [`EtdiClient::verify_tool`].
    pub async fn check_permission(
        &self,
        id: impl Into<ToolId>,
        permission: &str,
    ) -> Result<bool, Error> {
        let tool = self.verify_tool(id).await?;
        Ok(match tool.review.outcome() {
            // All that was granted is all that is declared, and nothing else.
            ReviewOutcome::Approved(approved) => {
                approved.granted_scopes().any(|scope| scope == permission)
            }
            _ => false,
        })
    }

    /// Calls `listener` for each event of a kind; see [`etdi_core::event::Events`]. Names of the
    /// Python fork are read by [`EventKind`]'s `FromStr`.
    pub fn on(
        &self,
        kind: EventKind,
        listener: impl Fn(&Entry) + Send + Sync + 'static,
    ) -> ListenerId {
        self.events().on([kind], listener)
    }

    /// Calls a listener no more. Says whether there was one.
    pub fn off(&self, id: ListenerId) -> bool {
        self.events().off(id)
    }

    /// What this client has done so far; with the option `enable_metrics` off, how many servers
    /// there are and nothing else.
    pub fn get_stats(&self) -> Stats {
        let sessions: Vec<_> = self.open().values().map(|open| open.session.clone()).collect();
        let mut stats = Stats { servers: sessions.len(), ..Stats::default() };
        if !self.0.options.enable_metrics {
            return stats;
        }
        for review in sessions.iter().flat_map(Session::reviews) {
            stats.tools += 1;
            stats.verified += usize::from(review.verification().is_ok());
            stats.approved += usize::from(review.is_approved());
        }
        let servers = &self.0.servers;
        stats.calls = servers.calls.load(Ordering::Relaxed);
        stats.refused = servers.refused.load(Ordering::Relaxed);
        stats.failed = servers.failed.load(Ordering::Relaxed);
        let counts = self.events().counts();
        stats.events = counts.map(|(kind, count)| (kind.name().to_owned(), count)).collect();
        stats
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.0.servers.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn reach(
        &self,
        target: Target,
        told: impl Fn(ServerNotification) + Send + Sync + 'static,
    ) -> Result<(Caller, Peer, Ending), Error> {
        match target.0 {
            Kind::Service(service, peer) => Ok((service, *peer, Ending::None)),
            Kind::Program(program) => {
                let mut options = self.options();
                options.on_notification = Some(Arc::new(told));
                let (connection, peer) = self.start(program, options).await?;
                Ok((Caller::new(connection.clone()), peer, Ending::Process(connection)))
            }
            #[cfg(feature = "http")]
            Kind::Url(target) => {
                let identity = etdi_core::identity::ServerIdentity::url(target.url())?;
                let connection = target.connect(self, told)?;
                let ending = Ending::Http(connection.clone());
                Ok((Caller::new(connection), Peer::new(identity), ending))
            }
        }
    }

    /// A service with the time that a server may take, and with a cache before it.
    fn bounded(&self, service: Caller, cache: Option<CacheLayer>) -> Caller {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let limits = LimitsLayer::new().time_per_call(self.0.options.timeout());
        let timed = Timed { inner: limits.layer(service), runtime };
        match cache {
            Some(cache) => Caller::new(cache.layer(timed)),
            None => Caller::new(timed),
        }
    }

    /// Tries again what may be tried again, with a pause that grows.
    async fn again<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut left = self.0.options.retry_attempts;
        let mut pause = Duration::from_millis(50);
        loop {
            match attempt().await {
                Err(Error::Client(
                    mcp_client::Error::Connection(_) | mcp_client::Error::Timeout(_),
                )) if left > 0 => {
                    left -= 1;
                    let runtime = TokioRuntime::current();
                    runtime.sleep_until(runtime.now() + pause).await;
                    pause = (pause * 2).min(Duration::from_secs(2));
                }
                result => return result,
            }
        }
    }
}

/// Whether somebody claims to vouch for a tool.
fn is_attested(review: &Review) -> bool {
    !matches!(review.verification(), Err(etdi_core::verify::VerifyError::Unsigned))
}

fn change(
    approval: &Approval,
    listed: &ToolDefinition,
    needs_approval: bool,
) -> Result<VersionChange, Error> {
    let changes = Changes::between(&approval.definition, listed.canonical());
    let changes = changes.map_err(|error: ChangeError| Error::Compare(error.to_string()))?;
    Ok(VersionChange {
        approved: approval.version.clone(),
        listed: listed.block().map(|block| block.version.to_string()),
        changes,
        needs_approval,
    })
}

/// Gives each exchange that has none the means to measure time.
#[derive(Clone)]
struct Timed<S> {
    inner: S,
    runtime: Arc<dyn Runtime>,
}

impl<S: Service<Exchange, Response = Outcome, Error = ErrorObject>> Service<Exchange> for Timed<S>
where
    S::Future: Send + 'static,
{
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        if exchange.context.runtime.is_none() {
            exchange.context.runtime = Some(self.runtime.clone());
        }
        let answer: BoxFuture<'static, _> = Box::pin(self.inner.call(exchange));
        answer
    }
}
