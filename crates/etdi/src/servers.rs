//! The client's verbs over several servers, each under a name that the host gives it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use etdi_core::approval::{
    Approval, ApprovalKey, Approvals, Approved, Granted, NoApprover, Reason, Withdrawn,
};
use etdi_core::audit::Entry;
use etdi_core::change::{ChangeError, Changes};
use etdi_core::definition::ToolDefinition;
use etdi_core::event::{Event, EventKind, ListenerId, Severity};
use etdi_core::layer::{Review, ReviewOutcome};
use etdi_core::level::{Handling, SecurityLevel};
use mcp_client::CacheLayer;
use mcp_types::{CallToolResult, Caller, ServerNotification};
use serde::Serialize;

use crate::{Error, EtdiClient, Session, VerificationStatus};

mod listed;
mod observed;
mod reach;
mod reached;
mod target;

pub use listed::{DiscoveredTool, InvalidToolId, Stats, ToolId, VersionChange};
use observed::Observations;
pub use observed::Observed;
pub use reached::Reached;
pub(crate) use target::Ending;
pub use target::Target;

/// The servers of a client, by name.
#[derive(Default)]
pub(crate) struct Servers {
    open: Mutex<BTreeMap<String, Open>>,
    calls: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    observed: Observations,
}

#[derive(Clone)]
struct Open {
    session: Session<Caller>,
    ending: Ending,
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
        let opened = self
            .again(|| self.over_with(service.clone(), peer.clone(), |layer| ending.naming(layer)))
            .await;
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
        if self.0.options.enable_metrics && tracing::enabled!(tracing::Level::DEBUG) {
            let stats = self.0.verifier.statistics(self.now());
            tracing::debug!(
                cached = stats.cached,
                expired = stats.expired,
                hits = stats.hits,
                misses = stats.misses,
                ttl = stats.ttl,
                verifiers = stats.verifiers,
                "signatures remembered"
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
            servers.observed.note(&id, &result, self.now());
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
            return Ok(Some(change(&carried.from, definition, &tool.review, false)?));
        }
        let same = approval.digest == definition.digest()
            && approval.key.issuer.is_some() == tool.review.verification().is_ok();
        let found = change(&approval, definition, &tool.review, !tool.is_approved())?;
        Ok((!same || !found.changes.is_empty()).then_some(found))
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
        stats.verification = self.0.verifier.statistics(self.now());
        let counts = self.events().counts();
        stats.events = counts.map(|(kind, count)| (kind.name().to_owned(), count)).collect();
        stats
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<String, Open>> {
        self.0.servers.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody claims to vouch for a tool.
fn is_attested(review: &Review) -> bool {
    !matches!(review.verification(), Err(etdi_core::verify::VerifyError::Unsigned))
}

fn change(
    approval: &Approval,
    listed: &ToolDefinition,
    review: &Review,
    needs_approval: bool,
) -> Result<VersionChange, Error> {
    let changes = Changes::between(&approval.definition, listed.canonical());
    let changes = changes.map_err(|error: ChangeError| Error::Compare(error.to_string()))?;
    let changes = match (&approval.signed_by, review.verification()) {
        (Some(before), Ok(now)) => changes.and_claims(&before.claimed, now.claimed()),
        _ => changes,
    };
    Ok(VersionChange {
        approved: approval.version.clone(),
        listed: listed.block().map(|block| block.version.to_string()),
        changes,
        needs_approval,
    })
}
