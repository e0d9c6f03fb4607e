//! The client: what decisions about servers need, and the way to a session with one.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use etdi_core::approval::{
    Approval, ApprovalStore, Approvals, Approved, Approver, Facts, Pin, Standing,
};
use etdi_core::audit::{self, AuditError, Auditor};
use etdi_core::definition::ToolDefinition;
use etdi_core::event::{Event, Events};
use etdi_core::identity::ProviderId;
use etdi_core::key::Algorithm;
use etdi_core::layer::{AskWhen, Clock, Review, VerifyLayer, WriteOlder};
use etdi_core::level::Policy;
use etdi_core::permission::RiskLexicon;
use etdi_core::proof::{SignError, Signer};
use etdi_core::time::UnixTime;
use etdi_core::verify::{Peer, Verifier};
use etdi_core::wire::{Capability, EXTENSION};
#[cfg(feature = "discovery")]
use etdi_oauth::Discovery;
use mcp_client::Inputs;
use mcp_transport::{ConnectOptions, Connection, PeerRequests, TokioRuntime, connect_with};
use mcp_types::{ClientCapabilities, ExchangeService, Implementation, RawText};

use crate::config::ClientOptions;
use crate::policing::Policing;
use crate::servers::Servers;
use crate::session::Trusting;
use crate::{ApproveError, Error, Program, Session};

mod builder;

pub use builder::EtdiClientBuilder;

/// Calls tools of servers that it has verified, and that somebody approved. Cheap to clone.
///
/// Every session of one client shares its policy, trusted publishers, approvals and audit trail.
#[derive(Clone)]
pub struct EtdiClient(pub(crate) Arc<Inner>);

/// Gives the key that signs calls.
type CallerKey = Arc<dyn Fn() -> Result<Arc<dyn Signer>, SignError> + Send + Sync>;

pub(crate) struct Inner {
    policy: Policy,
    pub(crate) verifier: Verifier,
    store: Arc<dyn ApprovalStore>,
    approver: Arc<dyn Approver>,
    auditor: Arc<dyn Auditor>,
    clock: Clock,
    caller: Option<CallerKey>,
    policing: Policing,
    older: Option<(Arc<dyn Signer>, WriteOlder)>,
    ask: AskWhen,
    lexicon: RiskLexicon,
    algorithms: Vec<Algorithm>,
    require_etdi: bool,
    info: Implementation,
    #[cfg(feature = "discovery")]
    discovery: Option<Discovery>,
    pub(crate) events: Events,
    pub(crate) options: ClientOptions,
    pub(crate) show_unverified: bool,
    pub(crate) user: String,
    names: BTreeMap<ProviderId, String>,
    answers: Option<Inputs>,
    pub(crate) servers: Servers,
}

impl EtdiClient {
    /// The approvals.
    pub fn approvals(&self) -> &dyn ApprovalStore {
        &*self.0.store
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.0.policy
    }

    /// What the host calls a publisher, for people; a publisher's own name for itself proves nothing.
    pub fn publisher_name(&self, publisher: &ProviderId) -> Option<&str> {
        self.0.names.get(publisher).map(String::as_str)
    }

    /// Starts a server and opens a session with it.
    ///
    /// The executable, and each file that an argument names, is read before it is started. If its
    /// tools were approved with a pinned program and this is another one, it is not started.
    ///
    /// # Errors
    ///
    /// [`Error::ProgramIdentity`], [`Error::Measure`], [`Error::Start`],
    /// [`Error::ExecutableChanged`], [`Error::Store`], and those of [`EtdiClient::over`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn connect(&self, program: Program) -> Result<Session<Connection>, Error> {
        let (connection, peer) = self.start(program, self.options()).await?;
        self.over(connection, peer).await
    }

    /// Starts a program, if it is the one that is pinned, and connects to it.
    pub(crate) async fn start(
        &self,
        program: Program,
        options: ConnectOptions,
    ) -> Result<(Connection, Peer), Error> {
        let identity = program.identity();
        if !identity.is_stdio() {
            return Err(Error::ProgramIdentity { identity: Box::new(identity) });
        }
        let measured = program.measure()?;
        let found = measured.pin();
        if !program.although_changed
            && let Some(approved) = self.pinned_otherwise(&identity.to_string(), &found).await?
        {
            return Err(Error::ExecutableChanged {
                approved: Box::new(approved),
                found: Box::new(found),
            });
        }
        let io = program.command(&measured).spawn()?;
        Ok((connect_with(io, options), Peer::new(identity).measured(measured)))
    }

    /// A pin of an approved tool of the server that says something else than `found`.
    async fn pinned_otherwise(&self, server: &str, found: &Pin) -> Result<Option<Pin>, Error> {
        // What cannot be read approves nothing; the tools behind it are refused when listed.
        let approvals = self.0.store.list().await?.approvals;
        let counts = |one: &Approval| one.key.server == server && one.withdrawn.is_none();
        let pins = approvals.into_iter().filter(counts);
        Ok(pins.filter_map(|one| one.pin).find(|pin| pin != found))
    }

    /// Opens a session over any service: a connection, or a server in the same program. `peer` is
    /// what this side knows of it by itself.
    ///
    /// # Errors
    ///
    /// When the server does not answer `server/discover`, see [`mcp_client::Error`].
    pub async fn over<S: ExchangeService>(
        &self,
        service: S,
        peer: Peer,
    ) -> Result<Session<S>, Error> {
        self.over_with(service, peer, |layer| layer).await
    }

    /// The same with a layer that is changed by whoever knows more of the way there.
    pub(crate) async fn over_with<S: ExchangeService>(
        &self,
        service: S,
        peer: Peer,
        change: impl FnOnce(VerifyLayer) -> VerifyLayer,
    ) -> Result<Session<S>, Error> {
        let layer = self.layer(&peer, self.0.approver.clone(), self.0.ask);
        Session::open(change(layer), service, Trusting { client: self.clone(), peer }).await
    }

    /// The checks before a server, with somebody to ask.
    pub(crate) fn layer(
        &self,
        peer: &Peer,
        approver: Arc<dyn Approver>,
        ask: AskWhen,
    ) -> VerifyLayer {
        let inner = &*self.0;
        #[cfg(feature = "discovery")]
        if let Some(discovery) = &inner.discovery {
            discovery.resource(&peer.identity);
        }
        let approvals = self.approvals_asking(approver);
        let clock = inner.clock.clone();
        let verifier = inner.verifier.clone();
        // Where there is no runtime there is no timer: a listing then waits for its issuers.
        let verifier = match TokioRuntime::try_current() {
            Some(runtime) => verifier.runtime(Arc::new(runtime)),
            None => verifier,
        };
        let layer = VerifyLayer::new(verifier, approvals, peer.clone(), move || clock())
            .events(inner.events.clone())
            .ask(ask)
            .require_extension(inner.require_etdi);
        let layer = match &inner.caller {
            Some(caller) => {
                let key = caller.clone();
                layer.caller_on_need(move || key())
            }
            None => layer,
        };
        let (policy, agent) = (&inner.policy, inner.info.name.as_ref());
        let layer = inner.policing.around(layer, policy, &inner.auditor, (&inner.user, agent));
        match &inner.older {
            Some((signer, when)) => layer.older_signatures(signer.clone(), *when),
            None => layer,
        }
    }

    /// Puts a tool before somebody, as `review` shows it.
    pub(crate) async fn settle(
        &self,
        peer: &Peer,
        review: &Review,
        approver: Arc<dyn Approver>,
    ) -> Result<Approved<ToolDefinition>, ApproveError> {
        let definition = review.definition().ok_or(ApproveError::Unreadable)?;
        let found = review.verification().cloned().map_err(Clone::clone);
        let standing = Standing::of(&found);
        let server = peer.identity.to_string();
        let pin = peer.measurement.as_ref().map(|measured| measured.pin());
        let facts = Facts::new(&server, definition, &standing).behind(pin.as_ref());
        let approved = self.approvals_asking(approver).review(&facts, self.now()).await;
        approved.map_err(ApproveError::Refused)
    }

    pub(crate) fn approvals_asking(&self, approver: Arc<dyn Approver>) -> Approvals {
        let inner = &*self.0;
        let (store, auditor) = (inner.store.clone(), inner.auditor.clone());
        Approvals::new(inner.policy.clone(), store, approver, auditor)
            .lexicon(inner.lexicon.clone())
    }

    pub(crate) fn approver(&self) -> Arc<dyn Approver> {
        self.0.approver.clone()
    }

    /// Who uses the client, for records.
    pub(crate) fn user(&self) -> &str {
        &self.0.user
    }

    pub(crate) fn now(&self) -> UnixTime {
        (self.0.clock)()
    }

    /// The events of this client, for whoever wants to listen otherwise than by
    /// [`EtdiClient::on`].
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    #[cfg(feature = "http")]
    pub(crate) fn info(&self) -> Implementation {
        self.0.info.clone()
    }

    pub(crate) fn note(&self, event: &Event) -> Result<(), AuditError> {
        let now = self.now();
        let event = event.clone().under(self.0.policy.level);
        audit::record(&*self.0.auditor, &event, now, self.0.policy.audit).map(|_| ())
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.0.info.clone());
        options.config.client_capabilities = self.capabilities();
        options.config.peer_requests = self.peer_requests();
        options
    }

    /// Who answers what servers ask outside of any call.
    pub(crate) fn peer_requests(&self) -> Option<PeerRequests> {
        self.0.answers.clone().map(|answers| PeerRequests(Arc::new(answers)))
    }

    /// What servers are told that this client can do.
    pub(crate) fn capabilities(&self) -> ClientCapabilities {
        let answers = self.0.answers.as_ref();
        let mut capabilities = answers.map_or_else(ClientCapabilities::new, Inputs::capabilities);
        // A capability always has a JSON form; without it servers only know less of us.
        let mut capability = Capability::of_client(&self.0.algorithms);
        capability.required = self.0.require_etdi;
        if let Ok(capability) = RawText::of(&capability) {
            let extensions = capabilities.extensions.get_or_insert_default();
            extensions.insert(EXTENSION.to_owned(), capability);
        }
        capabilities
    }
}

impl fmt::Debug for EtdiClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtdiClient").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}

/// The system's time. A clock before 1970 counts as 1970, where nothing is valid yet.
pub fn system_time() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
