//! The client's side: only what was verified as the policy wants, and approved, is seen and called.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use mcp_types::{
    BoxFuture, ClientRequest, DiscoverResult, ErrorObject, Exchange, ExchangeFuture,
    ExchangeService, Items, Origin, Outcome, Principal, RawText, RequestContext, ServerResult,
    Tool,
};
use serde_json::json;
use tower_layer::Layer;
use tower_service::Service;

use super::{Clock, Pages, ask};
use crate::approval::{Approvals, Approved, Granted, Pin, Reason, StoreError};
use crate::audit::{self, AuditError, Auditor};
use crate::binding::{Challenge, Possession};
use crate::chain::Frame;
use crate::definition::ToolDefinition;
use crate::event::{Event, EventKind, Events, Severity};
use crate::flow::{FlowTracker, Passage};
use crate::level::{KeyTrust, Rules};
use crate::policy::{Gate, Obligation, Permitted, Request, Resource, Status, Subject};
use crate::proof::{SignError, Signer};
use crate::random;
use crate::request::TokenBinding;
use crate::time::UnixTime;
use crate::verify::{Peer, Verifier, VerifyError};
use crate::wire;

mod call;
mod capability;
mod feature;
mod manifest;
mod page;
mod review;
mod signed;
mod state;
mod tell;

pub use capability::PeerCapability;
pub use feature::{FeatureKind, FeatureReview, FeatureStanding};
pub use review::{Review, ReviewOutcome};
use state::{Entry, MAX_TOOLS, State};

/// Lets a host see and call only what it approved, from the server that it approved.
///
/// One layer stands for one connection to one server. On `server/discover` it puts a challenge
/// before the server. Of each listing it verifies every tool, compares it with what was approved,
/// asks where the layer is told to ask, and passes on the approved ones; [`VerifyLayer::reviews`]
/// tells what became of each. On `tools/call` it lists anew first (a cache below makes that
/// cheap), so that a tool that has changed since is refused, and signs the call where the tool or
/// the policy wants it.
///
/// Prompts, resource templates and the server's instructions are held against the manifest where
/// that covers them: one that differs is taken out, and so is one that is not attested where the
/// policy admits nothing unsigned; [`VerifyLayer::feature_reviews`] tells. What such a prompt
/// answers, and what a resource holds, is signed by nobody.
///
/// Everything else passes. What it refuses is an error with [`Origin::Refused`] and, in its data,
/// the reason's code; no tool's result, so that no model reads it.
#[derive(Clone)]
pub struct VerifyLayer(Arc<Verifying>);

struct Verifying {
    verifier: Verifier,
    approvals: Approvals,
    peer: Peer,
    server: String,
    pin: Option<Pin>,
    clock: Clock,
    caller: Option<CallerKey>,
    token: Option<AccessToken>,
    older: Option<(Arc<dyn Signer>, WriteOlder)>,
    auditor: Option<Arc<dyn Auditor>>,
    gate: Option<Gate>,
    flow: Option<(FlowTracker, Arc<str>)>,
    events: Option<Events>,
    ask: AskWhen,
    show_unapproved: bool,
    recheck_after: u64,
    requires: bool,
    state: Mutex<State>,
}

/// When the person is asked about a tool that has no approval yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AskWhen {
    /// When it is listed, and again when it is called.
    Listed,
    /// When it is called.
    #[default]
    Called,
    /// Never: what has no approval is refused.
    Never,
}

/// When a call is signed also as the Python SDK's README says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteOlder {
    /// When the server's settings list `python-fork-1.0`.
    #[default]
    WhenListed,
    /// Always.
    Always,
}

/// Gives the key that signs calls.
type CallerKey = Arc<dyn Fn() -> Result<Arc<dyn Signer>, SignError> + Send + Sync>;

/// Tells which access token goes along with what is sent now.
type AccessToken = Arc<dyn Fn() -> BoxFuture<'static, Option<TokenBinding>> + Send + Sync>;

/// About which tools a person is asked now.
#[derive(Clone, Copy)]
enum Asking<'a> {
    All,
    Only(&'a str),
    Nobody,
}

impl VerifyLayer {
    /// Checks the tools of `peer` with `verifier` and lets through what `approvals` hold. Whether a
    /// key counts on first use, and how fresh revocations have to be known, their policy says.
    pub fn new(
        verifier: Verifier,
        approvals: Approvals,
        peer: Peer,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Self {
        let policy = approvals.policy();
        let first_use = policy.key_trust != KeyTrust::ConfiguredRoots;
        Self(Arc::new(Verifying {
            verifier: verifier.first_use(first_use).freshness(policy.revocation),
            approvals,
            server: peer.identity.to_string(),
            pin: peer.measurement.as_ref().map(|measured| measured.pin()),
            peer,
            clock: Arc::new(clock),
            caller: None,
            token: None,
            older: None,
            auditor: None,
            gate: None,
            flow: None,
            events: None,
            ask: AskWhen::default(),
            show_unapproved: false,
            recheck_after: 0,
            requires: false,
            state: Mutex::default(),
        }))
    }

    /// Signs calls with this key where the tool, the server or the policy wants it.
    #[must_use]
    pub fn caller(self, signer: Arc<dyn Signer>) -> Self {
        self.caller_on_need(move || Ok(signer.clone()))
    }

    /// The same with a key that is asked for when a call has to be signed: one that is made or
    /// unlocked then. It is asked for each call, so `key` remembers what it gave.
    #[must_use]
    pub fn caller_on_need(
        self,
        key: impl Fn() -> Result<Arc<dyn Signer>, SignError> + Send + Sync + 'static,
    ) -> Self {
        self.with(|verifying| verifying.caller = Some(Arc::new(key)))
    }

    /// Names the access token in calls that are signed, so that nobody sends one with a token of
    /// theirs. `token` is asked which one goes along whenever a call is signed. Where another one went
    /// along, such as after a login in the middle of the call, the server refuses, and the call is
    /// signed once more.
    #[must_use]
    pub fn access_token(
        self,
        token: impl Fn() -> BoxFuture<'static, Option<TokenBinding>> + Send + Sync + 'static,
    ) -> Self {
        self.with(|verifying| verifying.token = Some(Arc::new(token)))
    }

    /// Signs calls that are to be signed also as the Python SDK's README says, with this RSA key.
    #[must_use]
    pub fn older_signatures(self, signer: Arc<dyn Signer>, when: WriteOlder) -> Self {
        self.with(|verifying| verifying.older = Some((signer, when)))
    }

    /// Notes calls and broken proofs of possession elsewhere than where [`Approvals`] notes what is
    /// approved and refused.
    #[must_use]
    pub fn auditor(self, auditor: Arc<dyn Auditor>) -> Self {
        self.with(|verifying| verifying.auditor = Some(auditor))
    }

    /// Asks this gate before each call of an approved tool is sent. Where the policy wants every call
    /// permitted, as `strict` does, nothing is called without one.
    #[must_use]
    pub fn gate(self, gate: Gate) -> Self {
        self.with(|verifying| verifying.gate = Some(gate))
    }

    /// Labels what this server gives, and refuses what the tracker's rules let it not be told. All
    /// layers of one conversation share the tracker.
    #[must_use]
    pub fn flow(self, tracker: FlowTracker) -> Self {
        self.with(|verifying| {
            verifying.flow = Some((tracker, verifying.server.as_str().into()));
        })
    }

    /// Tells these listeners what becomes of each listed tool, once for each thing that is new.
    /// What is approved, refused and called is noted by the auditor, who may tell them as well.
    #[must_use]
    pub fn events(self, listeners: Events) -> Self {
        self.with(|verifying| verifying.events = Some(listeners))
    }

    /// Says when the person is asked.
    #[must_use]
    pub fn ask(self, when: AskWhen) -> Self {
        self.with(|verifying| verifying.ask = when)
    }

    /// Also lists tools that could be approved and are not, for hosts that show them to a person.
    /// They cannot be called, and must not reach a model: their texts are unread.
    #[must_use]
    pub fn show_unapproved(self) -> Self {
        self.with(|verifying| verifying.show_unapproved = true)
    }

    /// Does not list anew before a call when the tool was checked at most this many seconds ago.
    /// The server can change its tools in that time; a call that is signed names the definition
    /// all the same.
    #[must_use]
    pub fn recheck_after(self, seconds: u64) -> Self {
        self.with(|verifying| verifying.recheck_after = seconds)
    }

    /// Has each tool looked at anew before it is called next, whatever
    /// [`recheck_after`](Self::recheck_after) allows: the server says that its tools have changed.
    pub fn recheck(&self) {
        let now = (self.0.clock)();
        self.0.state().stale = Some(now);
    }

    /// What became of each tool that was listed last, by name.
    pub fn reviews(&self) -> Vec<Arc<Review>> {
        let state = self.0.state();
        let listed = state.tools.values().filter(|entry| entry.listing >= state.listed);
        let mut reviews: Vec<_> = listed.map(|entry| entry.review.clone()).collect();
        reviews.sort_by(|left, right| left.name().cmp(right.name()));
        reviews
    }

    /// What became of each prompt and resource template that was listed, and of the instructions.
    pub fn feature_reviews(&self) -> Vec<Arc<FeatureReview>> {
        let mut reviews: Vec<_> = self.0.state().features.values().cloned().collect();
        reviews.sort_by(|left, right| (left.kind, &left.name).cmp(&(right.kind, &right.name)));
        reviews
    }

    /// What became of one tool; `None` also of one that the server listed before, and no more.
    pub fn review(&self, tool: &str) -> Option<Arc<Review>> {
        self.0.state().listed(tool).map(|entry| entry.review.clone())
    }

    /// The tools that are remembered, listed or not.
    #[cfg(test)]
    pub(super) fn kept(&self) -> Vec<String> {
        self.0.state().tools.iter().map(|(name, _)| name.clone()).collect()
    }

    fn with(self, change: impl FnOnce(&mut Verifying)) -> Self {
        let mut verifying = match Arc::try_unwrap(self.0) {
            Ok(verifying) => verifying,
            Err(shared) => shared.fresh(),
        };
        change(&mut verifying);
        Self(Arc::new(verifying))
    }
}

impl fmt::Debug for VerifyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyLayer").field("server", &self.0.server).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for VerifyLayer {
    type Service = VerifyService<S>;

    fn layer(&self, inner: S) -> VerifyService<S> {
        VerifyService { inner, verifying: self.0.clone() }
    }
}

/// What [`VerifyLayer`] makes of a service.
#[derive(Clone)]
pub struct VerifyService<S> {
    inner: S,
    verifying: Arc<Verifying>,
}

impl<S: fmt::Debug> fmt::Debug for VerifyService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VerifyService").field(&self.inner).finish()
    }
}

impl<S: ExchangeService> Service<Exchange> for VerifyService<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        let Some((tracker, server)) = &self.verifying.flow else { return self.pass(exchange) };
        let passage = match Passage::enter(tracker, server, &mut exchange) {
            Ok(passage) => passage,
            Err(denied) => {
                // It is refused, noted or not.
                _ = self.verifying.note(&denied.event(), (self.verifying.clock)());
                return Box::pin(std::future::ready(Err(denied.error())));
            }
        };
        let tool = match &exchange.request {
            ClientRequest::CallTool(params) => Some(params.name.clone()),
            _ => None,
        };
        let answer = self.pass(exchange);
        let verifying = self.verifying.clone();
        Box::pin(async move {
            let outcome = answer.await;
            let review = tool.and_then(|tool| verifying.review_of(&tool));
            passage.leave(&outcome, review.and_then(|review| Some(review.definition()?.digest())));
            outcome
        })
    }
}

impl<S: ExchangeService> VerifyService<S> {
    fn pass(&mut self, exchange: Exchange) -> ExchangeFuture {
        let verifying = self.verifying.clone();
        let mut take = || {
            let clone = self.inner.clone();
            std::mem::replace(&mut self.inner, clone)
        };
        match &exchange.request {
            ClientRequest::Discover(_) => {
                let mut inner = take();
                Box::pin(async move { verifying.discover(&mut inner, exchange).await })
            }
            ClientRequest::ListTools(_) => {
                let inner = take();
                Box::pin(verifying.list(inner, exchange))
            }
            ClientRequest::CallTool(_) => {
                let inner = take();
                Box::pin(verifying.call(inner, exchange))
            }
            ClientRequest::ListPrompts(_) | ClientRequest::ListResourceTemplates(_) => {
                let inner = take();
                Box::pin(verifying.list_features(inner, exchange))
            }
            ClientRequest::GetPrompt(_) => {
                let inner = take();
                Box::pin(verifying.get_prompt(inner, exchange))
            }
            _ => Box::pin(self.inner.call(exchange)),
        }
    }
}

impl Verifying {
    fn fresh(&self) -> Self {
        Self {
            verifier: self.verifier.clone(),
            approvals: self.approvals.clone(),
            peer: self.peer.clone(),
            server: self.server.clone(),
            pin: self.pin.clone(),
            clock: self.clock.clone(),
            caller: self.caller.clone(),
            token: self.token.clone(),
            older: self.older.clone(),
            auditor: self.auditor.clone(),
            gate: self.gate.clone(),
            flow: self.flow.clone(),
            events: self.events.clone(),
            ask: self.ask,
            show_unapproved: self.show_unapproved,
            recheck_after: self.recheck_after,
            requires: self.requires,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a challenge before the server, and keeps its answer.
    async fn discover<S: ExchangeService>(
        &self,
        service: &mut S,
        mut exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        // One challenge a connection: below there may be a cache, or an edge that remembers its
        // handshake, and both answer a second time what they answered the first time.
        let known = self.state().challenge.clone();
        let challenge = match known {
            Some(challenge) => challenge,
            None => {
                let fresh = Challenge::new().map_err(|error| internal(&error))?;
                self.state().challenge.get_or_insert(fresh).clone()
            }
        };
        let nonce = RawText::of(challenge.nonce()).map_err(|error| internal(&error))?;
        exchange.context.meta.insert(wire::CHALLENGE, nonce);
        let mut outcome = ask(service, exchange).await;
        self.state().greeted = true;
        if let Ok(Outcome::Complete(ServerResult::Discover(result))) = &mut outcome {
            self.keep_answer(result, &challenge);
            self.check_instructions(result).await;
            self.required()?;
        }
        outcome
    }

    fn keep_answer(&self, result: &DiscoverResult, challenge: &Challenge) {
        if !self.keep_capability(result) {
            return;
        }
        let answer = result.meta.as_ref().and_then(|meta| meta.get(wire::POSSESSION));
        let Some(answer) = answer else { return };
        let now = (self.clock)();
        let mut state = self.state();
        // What was proven once on this connection stays proven; its time was checked then.
        if state.answer.as_ref() == Some(answer) {
            return;
        }
        let checked = match answer.parse::<String>() {
            Ok(text) => Possession::check(&text, challenge, now),
            Err(_) => Err(VerifyError::PossessionInvalid { why: "it is no text".to_owned() }),
        };
        state.answer = Some(answer.clone());
        (state.possession, state.possession_error) = match checked {
            Ok(possession) => (Some(possession), None),
            Err(error) => (None, Some(error)),
        };
        // What was bound by another answer has to be looked at again.
        state.forget_all();
        let broken = state.possession_error.clone();
        drop(state);
        if let Some(error) = broken {
            let event = Event::new(EventKind::SecurityViolation).at(&self.server);
            // Nothing is called because of it, so nothing has to wait for the note.
            _ = self.note(&event.severity(Severity::Critical).detail(&error), now);
        }
    }

    async fn list<S: ExchangeService>(
        self: Arc<Self>,
        mut service: S,
        exchange: Exchange,
    ) -> Result<Outcome, ErrorObject> {
        let cursor = match &exchange.request {
            ClientRequest::ListTools(params) => params.cursor.clone(),
            _ => None,
        };
        let mut context = exchange.context.clone();
        correlate(&mut context);
        match ask(&mut service, exchange).await? {
            Outcome::Complete(ServerResult::ListTools(mut page)) => {
                let asking = match self.ask {
                    AskWhen::Listed => Asking::All,
                    _ => Asking::Nobody,
                };
                let reviews = self.page(&mut service, &context, cursor, &page, asking).await?;
                let shown = |review: &Review| {
                    review.is_approved() || self.show_unapproved && review.can_be_approved()
                };
                let tools = page.tools.iter().zip(&reviews).filter(|(_, review)| shown(review));
                page.tools = tools.map(|(tool, _)| tool.clone()).collect::<Items<Tool>>();
                Ok(Outcome::Complete(ServerResult::ListTools(page)))
            }
            other => Ok(other),
        }
    }

    fn note(&self, event: &Event, now: UnixTime) -> Result<(), AuditError> {
        match &self.auditor {
            Some(auditor) => {
                let mode = self.approvals.policy().audit;
                audit::record(&**auditor, event, now, mode).map(|_| ())
            }
            None => self.approvals.note(event, now),
        }
    }
}

/// What joins the events of one exchange, in the extensions of its context.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Correlation(Arc<str>);

/// The correlation of an exchange: that of its trace where it belongs to one, else a fresh one.
fn correlate(context: &mut RequestContext) -> Arc<str> {
    if let Some(Correlation(known)) = context.extensions.get() {
        return known.clone();
    }
    let traced = context.meta.get(TRACE).and_then(|text| text.parse::<String>().ok());
    let traced = traced.as_deref().and_then(|text| text.split('-').nth(1));
    let fits = |id: &&str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let correlation: Arc<str> = match traced.filter(fits) {
        Some(trace) => trace.into(),
        // Without randomness nothing can be signed or challenged either; events stay apart.
        None => random::id().unwrap_or_default().into(),
    };
    context.extensions.insert(Correlation(correlation.clone()));
    correlation
}

/// Who tells listeners.
const SOURCE: &str = "etdi verify layer";

/// The member of `_meta` that says to which trace an exchange belongs (W3C Trace Context).
const TRACE: &str = "traceparent";

fn internal(error: &dyn fmt::Display) -> ErrorObject {
    ErrorObject::internal(error.to_string())
}

fn refused(code: &str, message: &str) -> ErrorObject {
    ErrorObject::local(Origin::Refused, message).with_data(&json!({ wire::ERROR_DATA: code }))
}

fn store_failed(error: &StoreError) -> ErrorObject {
    ErrorObject::local(Origin::Refused, format!("nothing can be called: {error}"))
        .with_data(&json!({ wire::ERROR_DATA: "STORE_FAILED" }))
}
