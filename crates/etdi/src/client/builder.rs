//! A client in the making.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use etdi_core::approval::{ApprovalStore, Approver, MemoryStore, NoApprover};
use etdi_core::audit::{Auditor, MemoryAuditor};
use etdi_core::event::Events;
use etdi_core::flow::FlowTracker;
use etdi_core::identity::ProviderId;
use etdi_core::key::Algorithm;
use etdi_core::key_source::{IssuerKeys, KeySource, WatchedKeys};
use etdi_core::layer::{AskWhen, Clock, WriteOlder};
use etdi_core::level::{Policy, SecurityLevel};
use etdi_core::permission::RiskLexicon;
use etdi_core::policy::{Gate, PolicyEngine};
use etdi_core::proof::{ProofVerifier, SignError, Signer};
use etdi_core::revocation::{AllOf, RevocationSource, Revocations};
use etdi_core::time::UnixTime;
use etdi_core::trust::TrustAnchors;
use etdi_core::verify::Verifier;
#[cfg(feature = "discovery")]
use etdi_oauth::Discovery;
use mcp_client::Inputs;
use mcp_types::Implementation;

use super::{CallerKey, EtdiClient, Inner, system_time};
use crate::config::ClientOptions;
use crate::policing::Policing;
use crate::servers::Servers;

impl EtdiClient {
    /// Starts with the level `enhanced`, nobody trusted, approvals in memory and nobody to ask.
    pub fn builder() -> EtdiClientBuilder {
        EtdiClientBuilder {
            policy: Policy::default(),
            proofs: Vec::new(),
            keys: Vec::new(),
            store: None,
            approver: None,
            auditor: None,
            clock: None,
            caller: None,
            policing: Policing::default(),
            older: None,
            ask: AskWhen::default(),
            lexicon: RiskLexicon::default(),
            require_etdi: false,
            info: Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            revocations: None,
            kept_revocations: None,
            revocation_sources: Vec::new(),
            #[cfg(feature = "discovery")]
            discovery: None,
            events: None,
            options: ClientOptions::default(),
            names: BTreeMap::new(),
            show_unverified: false,
            user: "user".to_owned(),
            accepted: None,
            remember_for: None,
            answers: None,
        }
    }
}

/// An [`EtdiClient`] in the making.
#[must_use = "a client connects once it is built"]
pub struct EtdiClientBuilder {
    policy: Policy,
    proofs: Vec<Arc<dyn ProofVerifier>>,
    keys: Vec<Arc<dyn KeySource>>,
    store: Option<Arc<dyn ApprovalStore>>,
    approver: Option<Arc<dyn Approver>>,
    auditor: Option<Arc<dyn Auditor>>,
    clock: Option<Clock>,
    caller: Option<CallerKey>,
    policing: Policing,
    older: Option<(Arc<dyn Signer>, WriteOlder)>,
    ask: AskWhen,
    lexicon: RiskLexicon,
    require_etdi: bool,
    info: Implementation,
    revocations: Option<Arc<Revocations>>,
    pub(crate) kept_revocations: Option<Revocations>,
    revocation_sources: Vec<Arc<dyn RevocationSource>>,
    #[cfg(feature = "discovery")]
    discovery: Option<Discovery>,
    events: Option<Events>,
    options: ClientOptions,
    show_unverified: bool,
    user: String,
    accepted: Option<(Vec<ProviderId>, Vec<Algorithm>)>,
    remember_for: Option<u64>,
    names: BTreeMap<ProviderId, String>,
    answers: Option<Inputs>,
}

impl EtdiClientBuilder {
    /// Sets how much is demanded, by level.
    pub fn level(self, level: SecurityLevel) -> Self {
        self.policy(level.policy())
    }

    /// Sets how much is demanded, in every detail.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Trusts publishers and their keys.
    pub fn trust(self, anchors: TrustAnchors) -> Self {
        self.proofs(Arc::new(anchors))
    }

    /// Believes another verifier of proofs, after those that were given before.
    pub fn proofs(mut self, proofs: Arc<dyn ProofVerifier>) -> Self {
        self.proofs.push(proofs);
        self
    }

    /// Asks a source for the keys of issuers, after the verifiers of proofs that are given. What it
    /// finds out about providers is told to whoever listens to the client's events.
    pub fn keys(mut self, source: Arc<dyn KeySource>) -> Self {
        self.keys.push(source);
        self
    }

    /// Sets where approvals are kept; in memory by default.
    pub fn approvals(mut self, store: Arc<dyn ApprovalStore>) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets who is asked; by default nobody, and nothing new is approved.
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// Sets when a person is asked about a tool; by default when it is called.
    pub fn ask(mut self, when: AskWhen) -> Self {
        self.ask = when;
        self
    }

    /// Warns whoever is asked of these scopes, where a tool asks for them beyond what was approved.
    pub fn risk_lexicon(mut self, lexicon: RiskLexicon) -> Self {
        self.lexicon = lexicon;
        self
    }

    /// Refuses to connect to a server that does not speak ETDI, and tells it so beforehand.
    pub fn require_etdi(mut self, required: bool) -> Self {
        self.require_etdi = required;
        self
    }

    /// Sets where events are noted; the newest thousand in memory by default.
    pub fn auditor(mut self, auditor: Arc<dyn Auditor>) -> Self {
        self.auditor = Some(auditor);
        self
    }

    /// Signs calls with this key where a tool, its server or the policy wants it.
    pub fn caller(self, signer: Arc<dyn Signer>) -> Self {
        self.caller_on_need(move || Ok(signer.clone()))
    }

    /// The same with a key that is asked for when a call has to be signed, such as one that is made
    /// then; see [`VerifyLayer::caller_on_need`](etdi_core::layer::VerifyLayer::caller_on_need).
    pub fn caller_on_need(
        mut self,
        key: impl Fn() -> Result<Arc<dyn Signer>, SignError> + Send + Sync + 'static,
    ) -> Self {
        self.caller = Some(Arc::new(key));
        self
    }

    /// Has this engine decide about each call before it is sent; with several, all must allow.
    ///
    /// At `strict` some policy must permit a call, so that without an engine nothing is called; where
    /// approvals are to suffice, that is `LocalRules::of_approvals`. At `basic` the local rules decide
    /// without an engine, at `enhanced` the approvals alone.
    pub fn engine(mut self, engine: Arc<dyn PolicyEngine>) -> Self {
        self.policing.engines.push(engine);
        self
    }

    /// Waits at most this long for an engine; two seconds by default. No answer is a denial.
    pub fn engine_deadline(mut self, deadline: Duration) -> Self {
        self.policing.deadline = Some(deadline);
        self
    }

    /// Labels what servers give, and refuses what this tracker's rules let others not be told.
    /// All sessions of the client are one conversation for it.
    pub fn flows(mut self, flows: FlowTracker) -> Self {
        self.policing.flows = Some(flows);
        self
    }

    /// Signs those calls also as the Python SDK's README says, with this RSA key: for servers that
    /// know nothing else.
    pub fn older_signatures(mut self, signer: Arc<dyn Signer>, when: WriteOlder) -> Self {
        self.older = Some((signer, when));
        self
    }

    /// Tells the time; the system's by default.
    pub fn clock(mut self, clock: impl Fn() -> UnixTime + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Sets the name and version that servers are told.
    pub fn client_info(mut self, info: Implementation) -> Self {
        self.info = info;
        self
    }

    /// Asks this gate before each call of an approved tool is sent. It stays as it was made; what
    /// [`engine`](Self::engine) names is asked by a gate that takes level, audit trail, user and
    /// timers from the client, or by this one if there is one.
    pub fn gate(mut self, gate: Gate) -> Self {
        self.policing.gate = Some(gate);
        self
    }

    /// Asks here as well, beside the sources that were given before, what issuers have revoked, such as
    /// `Discovery` of `etdi-oauth`. How fresh that knowledge has to be, the policy says: at `strict` an
    /// issuer of which nobody can tell is refused. Keys that speak for themselves have no lists.
    /// Where [`revocations`](Self::revocations) are given, their own source is the one that is asked.
    pub fn revocation_source(mut self, source: Arc<dyn RevocationSource>) -> Self {
        self.revocation_sources.push(source);
        self
    }

    /// Refuses what was revoked; how fresh that knowledge has to be, the policy says.
    pub fn revocations(mut self, revocations: Arc<Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// Finds the keys of publishers at their own origins, after the trusted ones and all other
    /// proofs: at the `jwks_uri` of the protected resource metadata of a server that is dialled, of
    /// the metadata of an authorization server, of `/.well-known/etdi-configuration`. Nothing else
    /// says where they are. Revocation lists are found by the `revocations_uri` of that last
    /// document, unless [`revocations`](Self::revocations) names a source of its own.
    ///
    /// At `strict` the keys of configured publishers alone count, and a publisher whose list cannot
    /// be fetched now vouches for nothing.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use etdi::EtdiClient;
    /// use etdi::oauth::{Discovery, GuardedFetch, Rules};
    ///
    /// // HTTPS only, no private networks, no redirect to another origin, bounds of size and time.
    /// let fetch = GuardedFetch::new(Rules::default());
    /// let client = EtdiClient::builder().discovery(Discovery::new(Arc::new(fetch))).build();
    /// ```
    #[cfg(feature = "discovery")]
    pub fn discovery(mut self, discovery: Discovery) -> Self {
        self.discovery = Some(discovery);
        self
    }

    /// Tells these listeners; a client has a broadcast of its own by default.
    pub fn events(mut self, events: Events) -> Self {
        self.events = Some(events);
        self
    }

    /// Sets how servers are talked to: for [`EtdiClient::connect_to_server`] and what it names.
    pub fn options(mut self, options: ClientOptions) -> Self {
        self.options = options;
        self
    }

    /// Has [`EtdiClient::discover_tools`] also give tools that were not verified.
    pub fn show_unverified(mut self, show: bool) -> Self {
        self.show_unverified = show;
        self
    }

    /// Names whoever approves by [`EtdiClient::approve_tool`] and for whom calls are made, as
    /// policies name the user; `user` by default.
    pub fn user(mut self, name: impl Into<String>) -> Self {
        self.user = name.into();
        self
    }

    /// Lets only these issuers' statements count, and only those signed with one of these
    /// algorithms; see [`Verifier::accept_only`].
    pub fn accept_only(mut self, issuers: Vec<ProviderId>, algorithms: Vec<Algorithm>) -> Self {
        self.accepted = Some((issuers, algorithms));
        self
    }

    /// Gives publishers the names by which people know them; see [`EtdiClient::publisher_name`].
    pub fn publisher_names(mut self, names: BTreeMap<ProviderId, String>) -> Self {
        self.names = names;
        self
    }

    /// Checks a signature anew once it was checked so many seconds ago; see
    /// [`Verifier::remember_for`].
    pub fn remember_signatures_for(mut self, seconds: u64) -> Self {
        self.remember_for = Some(seconds);
        self
    }

    /// Answers what servers ask outside of any call, and tells those with a handshake, which are told
    /// once, what this client can answer at all. What is asked in the middle of a call is answered by a
    /// [`InputLayer`](mcp_client::InputLayer) of the same answers around [`Session::client`].
    ///
    /// ```
    /// use etdi::EtdiClient;
    /// use mcp_client::{InputLayer, Inputs};
    ///
    /// let answers = Inputs::new().elicit(|form| async move { Ok(form.decline()) });
    /// let client = EtdiClient::builder().answers(answers.clone()).build();
    /// // session.client().clone().layer(InputLayer::new(answers))
    /// # drop((client, InputLayer::new(answers)));
    /// ```
    ///
    /// [`Session::client`]: crate::Session::client
    pub fn answers(mut self, answers: Inputs) -> Self {
        self.answers = Some(answers);
        self
    }

    /// Makes the client.
    pub fn build(self) -> EtdiClient {
        let events = self.events.unwrap_or_default();
        let watched = |source: Arc<dyn KeySource>| {
            IssuerKeys::new(Arc::new(WatchedKeys::new(source, events.clone())))
        };
        let keys =
            self.keys.into_iter().map(|one| Arc::new(watched(one)) as Arc<dyn ProofVerifier>);
        let (proofs, sources) = (self.proofs.into_iter().chain(keys), self.revocation_sources);
        // What publishers say of themselves, after whatever the host says of them.
        #[cfg(feature = "discovery")]
        let (proofs, sources) = {
            let (mut proofs, mut sources) = (proofs.collect::<Vec<_>>(), sources);
            if let Some(discovery) = self.discovery.clone().map(Arc::new) {
                let named = discovery.identity_providers().cloned();
                let keys = named.fold(watched(discovery.clone()), IssuerKeys::identity_provider);
                proofs.push(Arc::new(keys));
                if let Some(known) = &self.revocations {
                    known.source_if_none(discovery.clone());
                }
                sources.push(discovery);
            }
            (proofs, sources)
        };
        let mut verifier = Verifier::with_all(proofs);
        let known = match self.revocations {
            Some(known) => Some(known),
            None => match self.kept_revocations {
                None if sources.is_empty() => None,
                kept if sources.is_empty() => kept.map(Arc::new),
                kept => {
                    let source = Arc::new(AllOf::new(sources));
                    Some(Arc::new(kept.unwrap_or_default().source(source)))
                }
            },
        };
        if let Some(known) = known {
            verifier = verifier.revocations(known, self.policy.revocation);
        }
        let mut algorithms = Vec::new();
        if let Some((issuers, accepted)) = self.accepted {
            algorithms.clone_from(&accepted);
            verifier = verifier.accept_only(issuers, accepted);
        }
        if let Some(seconds) = self.remember_for {
            verifier = verifier.remember_for(seconds);
        }
        let auditor = self.auditor.unwrap_or_else(|| Arc::new(MemoryAuditor::default()));
        EtdiClient(Arc::new(Inner {
            policy: self.policy,
            verifier,
            store: self.store.unwrap_or_else(|| Arc::new(MemoryStore::new())),
            approver: self.approver.unwrap_or_else(|| Arc::new(NoApprover)),
            auditor: Arc::new(events.after(auditor, SOURCE)),
            clock: self.clock.unwrap_or_else(|| Arc::new(system_time)),
            caller: self.caller,
            policing: self.policing,
            older: self.older,
            ask: self.ask,
            lexicon: self.lexicon,
            algorithms,
            require_etdi: self.require_etdi,
            info: self.info,
            #[cfg(feature = "discovery")]
            discovery: self.discovery,
            events,
            options: self.options,
            show_unverified: self.show_unverified,
            user: self.user,
            servers: Servers::default(),
            names: self.names,
            answers: self.answers,
        }))
    }
}

impl fmt::Debug for EtdiClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtdiClientBuilder").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Who tells of events.
const SOURCE: &str = "etdi client";
