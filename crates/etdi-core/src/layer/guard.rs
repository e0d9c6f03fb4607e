//! The server's side of calls: what a tool's own declaration demands of whoever calls it.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    Caller, ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Outcome,
    ServerResult,
};
use serde::{Deserialize, Serialize};
use tower_layer::Layer;
use tower_service::Service;

use super::{Clock, Pages, ask};
use crate::audit::Auditor;
use crate::chain::token::{Minter, Peers};
use crate::chain::{CallStack, CallStackPolicy, Frame};
use crate::client_keys::ClientKeys;
use crate::identity::ServerIdentity;
use crate::key::KeyRing;
use crate::legacy::call::LegacyCalls;
use crate::level::{AuditMode, CallAttestation, Policy, SecurityLevel};
use crate::nonce::{Nonces, SecretNonces};
use crate::policy::Gate;
use crate::proof::Signer;
use crate::request::{self, MemoryReplayStore, ReplayStore};
use crate::time::UnixTime;
use crate::wire;

mod admit;
mod known;

use known::{Declared, Known};

/// Whose signatures count.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum CallKeys {
    /// Anybody's who signs with a key of their own: shows that a call was neither changed nor
    /// repeated and is meant for this definition; who calls is another layer's affair. Nobody's where
    /// the policy wants configured keys, as `strict` does.
    #[default]
    Any,
    /// Those of these keys.
    Known(KeyRing),
    /// Those of clients that are known here.
    Clients(Arc<dyn ClientKeys>),
}

impl fmt::Debug for CallKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Known(ring) => f.debug_tuple("Known").field(ring).finish(),
            Self::Clients(_) => f.write_str("Clients"),
        }
    }
}

/// At which levels a tool's demand for signed calls is enforced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Enforce {
    /// At every level: an unsigned call of such a tool is refused.
    #[default]
    Always,
    /// At `strict` alone, as the Python SDK documents it: at the other levels an unsigned call of
    /// such a tool is carried out, and noted as a grave event. Anybody who can reach the server
    /// can make it.
    StrictOnly,
}

/// Checks calls against what the called tool declares: that it is signed where it must be, meant
/// for this server and the live definition, for these arguments, now and once; and that the chain
/// of tools that led here is allowed.
///
/// Stands directly outside [`SignLayer`](super::SignLayer). It learns the declarations from the
/// listings that pass, and lists by itself, as the caller, when it does not know a tool. What one
/// caller is shown does not count for another. A definition that changes
/// while the server runs is learned with the next listing; [`GuardLayer::forget`] makes that the
/// next call.
///
/// A call that it lets through has a [`Frame`] and, if it was signed, a [`SignedCall`](crate::request::SignedCall) in its
/// extensions.
#[derive(Clone)]
pub struct GuardLayer(Arc<Guarding>);

struct Guarding {
    server: ServerIdentity,
    clock: Clock,
    keys: CallKeys,
    replay: Arc<dyn ReplayStore>,
    strangers: Arc<MemoryReplayStore>,
    nonces: Option<Arc<dyn Nonces>>,
    receipts: Option<Arc<dyn Signer>>,
    audit: Option<(Arc<dyn Auditor>, AuditMode)>,
    gate: Option<Gate>,
    name: String,
    enforce: Enforce,
    policy: Policy,
    chains: CallStack,
    minter: Option<Arc<Minter>>,
    peers: Arc<Peers>,
    legacy: Option<Arc<LegacyCalls>>,
    declared: Declared,
    listings_only: bool,
}

impl GuardLayer {
    /// A guard of the server that clients know as `server`. It takes anybody's signature and
    /// remembers used statements in this process.
    pub fn new(
        server: ServerIdentity,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Guarding {
            name: server.to_string(),
            gate: None,
            server,
            clock: Arc::new(clock),
            keys: CallKeys::Any,
            replay: Arc::new(MemoryReplayStore::default()),
            strangers: Arc::default(),
            nonces: None,
            receipts: None,
            audit: None,
            enforce: Enforce::default(),
            policy: Policy::default(),
            chains: CallStack::new(CallStackPolicy::basic()),
            minter: None,
            peers: Arc::default(),
            legacy: None,
            declared: Declared::default(),
            listings_only: false,
        }))
    }

    /// Says whose signatures count.
    #[must_use]
    pub fn keys(self, keys: CallKeys) -> Self {
        Self(Arc::new(Guarding { keys, ..self.0.copy() }))
    }

    /// Wants each statement to name a nonce of the server. A client that names none, or an old
    /// one, is given one with the error and signs anew.
    #[must_use]
    pub fn nonces(self, nonces: Arc<dyn Nonces>) -> Self {
        Self(Arc::new(Guarding { nonces: Some(nonces), ..self.0.copy() }))
    }

    /// Gives a receipt for each signed call, with the server's instance key.
    #[must_use]
    pub fn receipts(self, instance: Arc<dyn Signer>) -> Self {
        Self(Arc::new(Guarding { receipts: Some(instance), ..self.0.copy() }))
    }

    /// Notes each call that it lets through or refuses, those of tools that are not listed and what
    /// a gate denies among them; nothing of arguments or results. With
    /// [`AuditMode::ChainedBeforeAct`] a call that cannot be noted is refused.
    #[must_use]
    pub fn auditor(self, auditor: Arc<dyn Auditor>, mode: AuditMode) -> Self {
        Self(Arc::new(Guarding { audit: Some((auditor, mode)), ..self.0.copy() }))
    }

    /// Says at which levels unsigned calls of tools that want signed ones are refused, and which
    /// level this server is at. By default they are refused at every level.
    #[must_use]
    pub fn enforce(self, enforce: Enforce, level: SecurityLevel) -> Self {
        Self(Arc::new(Guarding { enforce, ..self.0.copy() })).policy(level.policy())
    }

    /// Says what this server demands of calls, in every detail.
    ///
    /// With [`CallAttestation::Always`], as at `strict`, each call from outside is signed and names a
    /// nonce of the server, and a tool that is not listed to who calls it is not called; without
    /// [`GuardLayer::nonces`] the nonces are of this process alone. With
    /// [`KeyTrust::ConfiguredRoots`](crate::level::KeyTrust::ConfiguredRoots) only known keys count: [`CallKeys::Any`] is nobody's, and so is a
    /// key that was taken on first use.
    #[must_use]
    pub fn policy(self, policy: Policy) -> Self {
        let mut guarding = self.0.copy();
        if policy.call_attestation == CallAttestation::Always && guarding.nonces.is_none() {
            // Where the system gives no randomness there is none, and signed calls are refused.
            guarding.nonces = SecretNonces::new().ok().map(|nonces| Arc::new(nonces) as _);
        }
        guarding.policy = policy;
        Self(Arc::new(guarding))
    }

    /// Remembers used statements elsewhere, such as for several nodes.
    #[must_use]
    pub fn replay_store(self, replay: Arc<dyn ReplayStore>) -> Self {
        Self(Arc::new(Guarding { replay, ..self.0.copy() }))
    }

    /// Answers listings alone: nothing that runs a handler is dispatched. For a server that is
    /// started so that what it lists can be written down and signed, before anything vouches for it.
    #[must_use]
    pub fn listings_only(self) -> Self {
        Self(Arc::new(Guarding { listings_only: true, ..self.0.copy() }))
    }

    /// Asks this gate before each call is dispatched. What it denies is refused with a code, and
    /// with no reason: that is for the gate's audit trail.
    #[must_use]
    pub fn gate(self, gate: Gate) -> Self {
        Self(Arc::new(Guarding { gate: Some(gate), ..self.0.copy() }))
    }

    /// Judges call chains by this, and remembers in it what was called and refused. By default what
    /// the tools declare holds, the depth is 10 at most, and no tool runs twice in a chain.
    #[must_use]
    pub fn chains(self, chains: CallStack) -> Self {
        Self(Arc::new(Guarding { chains, ..self.0.copy() }))
    }

    /// Makes call tokens with the server's instance key, for calls that its tools make elsewhere.
    #[must_use]
    pub fn tokens(self, instance: Arc<dyn Signer>) -> Self {
        let minter = Arc::new(Minter::new(self.0.server.clone(), instance));
        Self(Arc::new(Guarding { minter: Some(minter), ..self.0.copy() }))
    }

    /// Knows these servers by the call tokens that their tools come with. Tokens of others narrow
    /// what a call may do as well, but prove no name.
    #[must_use]
    pub fn peers(self, peers: Peers) -> Self {
        Self(Arc::new(Guarding { peers: Arc::new(peers), ..self.0.copy() }))
    }

    /// Takes calls that are signed as the Python SDK's README says, for as much as they say, where
    /// a call has no statement. Not at `strict`, where they count as unsigned.
    #[must_use]
    pub fn legacy(self, calls: LegacyCalls) -> Self {
        Self(Arc::new(Guarding { legacy: Some(Arc::new(calls)), ..self.0.copy() }))
    }

    /// Forgets what was learned, so that the next call lists anew: for servers whose tools change
    /// while they run.
    pub fn forget(&self) {
        self.0.declared.forget();
    }
}

impl fmt::Debug for GuardLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardLayer").field("server", &self.0.server).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = GuardService<S>;

    fn layer(&self, inner: S) -> GuardService<S> {
        GuardService { inner, guarding: self.0.clone() }
    }
}

/// What [`GuardLayer`] makes of a service.
#[derive(Clone)]
pub struct GuardService<S> {
    inner: S,
    guarding: Arc<Guarding>,
}

impl<S: fmt::Debug> fmt::Debug for GuardService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GuardService").field(&self.inner).finish()
    }
}

impl<S: ExchangeService> Service<Exchange> for GuardService<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        if runs_a_handler(&exchange.request) {
            if self.guarding.listings_only {
                let message = "this server was started to be signed and answers listings alone, \
                               start it without `ETDI_AUTHORING` in its environment";
                let refusal = ErrorObject::local(mcp_types::Origin::Refused, message);
                return Box::pin(std::future::ready(Err(refusal)));
            }
            // A handler that calls a tool passes this guard again, with its own frame.
            exchange.offer_caller(|| Caller::new(self.clone()));
        }
        match &exchange.request {
            ClientRequest::ListTools(_) => {
                let context = exchange.context.clone();
                let answer = self.inner.call(exchange);
                let guarding = self.guarding.clone();
                Box::pin(async move {
                    let outcome = answer.await?;
                    if let Outcome::Complete(ServerResult::ListTools(page)) = &outcome {
                        guarding.declared.learn(&context, page, None);
                    }
                    Ok(outcome)
                })
            }
            ClientRequest::CallTool(params) => {
                let known = self.guarding.declared.get(&exchange.context, &params.name);
                let statement = request::statement(&exchange.context.meta).cloned();
                // A tool of this server that calls has its frame, whatever it was called with.
                let is_inner = exchange.context.extensions.get::<Frame>().is_some();
                let tokens = exchange.context.meta.get(wire::CHAIN).filter(|_| !is_inner).cloned();
                // The common case: the tool is known, and the check is done in place.
                let guarding = &self.guarding;
                let in_place = statement.is_none()
                    && tokens.is_none()
                    && guarding.gate.is_none()
                    && guarding.older(params, statement.as_ref()).is_none();
                if let Some(known) = known.as_ref().filter(|_| in_place) {
                    return match self.guarding.admit(&mut exchange, known) {
                        Ok(_) => Box::pin(self.inner.call(exchange)),
                        Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
                    };
                }
                let (name, guarding) = (params.name.clone(), self.guarding.clone());
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Box::pin(async move {
                    let known = match known {
                        Some(known) => Some(known),
                        None => match guarding.find(&mut inner, &exchange, &name).await {
                            Ok(found) => found,
                            Err(error) => {
                                let why = "its listing failed, so nothing is known of the tool";
                                guarding.note_refused(&name, &why);
                                return Err(error);
                            }
                        },
                    };
                    if known.is_none() && (statement.is_some() || tokens.is_some()) {
                        return Err(guarding.nothing_to_hold_to(&name));
                    }
                    let signed = match (&known, &statement) {
                        (Some(known), Some(statement)) => {
                            Some(guarding.check(statement, &exchange, known).await?)
                        }
                        _ => None,
                    };
                    guarding.check_older(&mut exchange, known.as_deref(), statement).await?;
                    let from = match (&known, &tokens) {
                        (Some(known), Some(tokens)) => {
                            let signer = signed.as_ref().map(|signed| signed.key);
                            Some(guarding.came_from(tokens, &exchange, known, signer).await?)
                        }
                        _ => None,
                    };
                    let known = known.as_deref();
                    let admitted = guarding.enter(&mut exchange, known, signed, from)?;
                    guarding.pass_gate(&exchange, &name, known).await?;
                    guarding.note_call(&exchange, &name, admitted.as_ref())?;
                    let outcome = ask(&mut inner, exchange).await?;
                    guarding.acknowledge(outcome, admitted)
                })
            }
            _ => Box::pin(self.inner.call(exchange)),
        }
    }
}

impl Guarding {
    fn copy(&self) -> Self {
        Self {
            server: self.server.clone(),
            clock: self.clock.clone(),
            keys: self.keys.clone(),
            replay: self.replay.clone(),
            strangers: self.strangers.clone(),
            nonces: self.nonces.clone(),
            receipts: self.receipts.clone(),
            audit: self.audit.clone(),
            gate: self.gate.clone(),
            name: self.name.clone(),
            enforce: self.enforce,
            policy: self.policy.clone(),
            chains: self.chains.clone(),
            minter: self.minter.clone(),
            peers: self.peers.clone(),
            listings_only: self.listings_only,
            legacy: self.legacy.clone(),
            declared: Declared::default(),
        }
    }

    /// Lists on behalf of the caller until the tool turns up. `None` when it is not listed.
    async fn find<S: ExchangeService>(
        &self,
        service: &mut S,
        exchange: &Exchange,
        name: &str,
    ) -> Result<Option<Arc<Known>>, ErrorObject> {
        let mut pages = Pages::new();
        while let Some(page) = pages.next(service, &exchange.context).await? {
            let found = self.declared.learn(&exchange.context, &page, Some(name));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn refuses_unsigned(&self) -> bool {
        self.enforce == Enforce::Always || self.policy.level == SecurityLevel::Strict
    }

    /// Whether every call from outside has to be signed, whatever the tool says.
    fn always_signed(&self) -> bool {
        self.policy.call_attestation == CallAttestation::Always
    }
}

/// Whether a handler of the server's author may run for it.
fn runs_a_handler(request: &ClientRequest) -> bool {
    matches!(
        request,
        ClientRequest::CallTool(_)
            | ClientRequest::GetPrompt(_)
            | ClientRequest::ReadResource(_)
            | ClientRequest::Complete(_)
            | ClientRequest::Extension { .. }
    )
}
