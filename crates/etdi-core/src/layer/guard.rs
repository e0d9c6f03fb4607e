//! The server's side of calls: what a tool's own declaration demands of whoever calls it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use mcp_types::{
    CallToolRequestParams, CalledBy, Caller, ClientRequest, ErrorObject, Exchange, ExchangeFuture,
    ExchangeService, Listed, Outcome, ServerResult, Tool,
};
use serde_json::json;
use tower_layer::Layer;
use tower_service::Service;

use super::{Clock, Pages, ask};
use crate::chain::Frame;
use crate::definition::{RawTool, ToolDefinition};
use crate::digest::Digest;
use crate::identity::ServerIdentity;
use crate::key::KeyRing;
use crate::policy::{Gate, Obligation, Request, Resource, Side, Status};
use crate::request::{self, Call, CallRefusal, MemoryReplayStore, ReplayStore, SignedCall};
use crate::time::UnixTime;
use crate::wire::{self, CallConstraints, RequestSigning};

/// Whose signatures count.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum CallKeys {
    /// Anybody's who signs with a key of their own: shows that a call was neither changed nor
    /// repeated and is meant for this definition; who calls is another layer's affair.
    #[default]
    Any,
    /// Those of these keys.
    Known(KeyRing),
}

/// Checks calls against what the called tool declares: that it is signed where it must be, meant
/// for this server and the live definition, for these arguments, now and once; and that the chain
/// of tools that led here is allowed.
///
/// Stands directly outside [`SignLayer`](super::SignLayer). It learns the declarations from the
/// listings that pass, and lists by itself when it does not know a tool. A definition that changes
/// while the server runs is learned with the next listing; [`GuardLayer::forget`] makes that the
/// next call.
///
/// A call that it lets through has a [`Frame`] and, if it was signed, a [`SignedCall`] in its
/// extensions.
#[derive(Clone)]
pub struct GuardLayer(Arc<Guarding>);

struct Guarding {
    server: ServerIdentity,
    clock: Clock,
    keys: CallKeys,
    replay: Arc<dyn ReplayStore>,
    gate: Option<Gate>,
    name: String,
    tools: RwLock<HashMap<String, Known>>,
}

/// A tool as it was last listed.
#[derive(Clone)]
struct Known {
    listed: Arc<Listed<Tool>>,
    definition: Result<ToolDefinition, ()>,
}

/// The most tools that are known at a time.
const MAX_TOOLS: usize = 65_536;

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
            tools: RwLock::default(),
        }))
    }

    /// Says whose signatures count.
    #[must_use]
    pub fn keys(self, keys: CallKeys) -> Self {
        let old = self.0;
        Self(Arc::new(Guarding { keys, ..old.copy() }))
    }

    /// Remembers used statements elsewhere, such as for several nodes.
    #[must_use]
    pub fn replay_store(self, replay: Arc<dyn ReplayStore>) -> Self {
        let old = self.0;
        Self(Arc::new(Guarding { replay, ..old.copy() }))
    }

    /// Asks this gate before each call is dispatched. What it denies is refused with a code, and
    /// with no reason: that is for the gate's audit trail.
    #[must_use]
    pub fn gate(self, gate: Gate) -> Self {
        let old = self.0;
        Self(Arc::new(Guarding { gate: Some(gate), ..old.copy() }))
    }

    /// Forgets what was learned, so that the next call lists anew: for servers whose tools change
    /// while they run.
    pub fn forget(&self) {
        self.0.tools.write().unwrap_or_else(PoisonError::into_inner).clear();
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
            // A handler that calls a tool passes this guard again, with its own frame.
            exchange.offer_caller(|| Caller::new(self.clone()));
        }
        match &exchange.request {
            ClientRequest::ListTools(_) => {
                let answer = self.inner.call(exchange);
                let guarding = self.guarding.clone();
                Box::pin(async move {
                    let outcome = answer.await?;
                    if let Outcome::Complete(ServerResult::ListTools(page)) = &outcome {
                        guarding.learn(&page.tools);
                    }
                    Ok(outcome)
                })
            }
            ClientRequest::CallTool(params) => {
                // The common case: the tool is known, and the check is done in place.
                if let Some(known) = self.guarding.known(&params.name)
                    && self.guarding.gate.is_none()
                {
                    return match self.guarding.admit(&mut exchange, Some(&known)) {
                        Ok(()) => Box::pin(self.inner.call(exchange)),
                        Err(refusal) => Box::pin(std::future::ready(Err(refusal))),
                    };
                }
                let (name, guarding) = (params.name.clone(), self.guarding.clone());
                let clone = self.inner.clone();
                let mut inner = std::mem::replace(&mut self.inner, clone);
                Box::pin(async move {
                    let known = match guarding.known(&name) {
                        Some(known) => Some(known),
                        None => guarding.find(&mut inner, &exchange, &name).await?,
                    };
                    guarding.admit(&mut exchange, known.as_ref())?;
                    guarding.pass_gate(&exchange, &name, known.as_ref()).await?;
                    ask(&mut inner, exchange).await
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
            gate: self.gate.clone(),
            name: self.name.clone(),
            tools: RwLock::default(),
        }
    }

    fn known(&self, name: &str) -> Option<Known> {
        self.tools.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Lists until the tool turns up. `None` when the server does not list it.
    async fn find<S: ExchangeService>(
        &self,
        service: &mut S,
        exchange: &Exchange,
        name: &str,
    ) -> Result<Option<Known>, ErrorObject> {
        let mut pages = Pages::new();
        while let Some(page) = pages.next(service, &exchange.context).await? {
            self.learn(&page.tools);
            if page.tools.iter().any(|tool| tool.name == name) {
                return Ok(self.known(name));
            }
        }
        Ok(None)
    }

    fn learn(&self, page: &[Arc<Listed<Tool>>]) {
        let unchanged = |tools: &HashMap<String, Known>, tool: &Arc<Listed<Tool>>| {
            tools.get(&tool.name).is_some_and(|known| {
                Arc::ptr_eq(&known.listed, tool) || known.listed.text() == tool.text()
            })
        };
        let tools = self.tools.read().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = page.iter().filter(|tool| !unchanged(&tools, tool)).collect();
        drop(tools);
        if new.is_empty() {
            return;
        }
        // Reading a definition takes a while; calls go on meanwhile.
        let read = new.into_iter().map(|listed| {
            let definition = RawTool::from_listed(listed).map(|raw| raw.definition().clone());
            let known = Known { listed: listed.clone(), definition: definition.map_err(|_| ()) };
            (listed.name.clone(), known)
        });
        let read: Vec<_> = read.collect();
        let mut tools = self.tools.write().unwrap_or_else(PoisonError::into_inner);
        if tools.len() + read.len() > MAX_TOOLS {
            tools.clear();
        }
        tools.extend(read);
    }

    /// Lets a call through, or not. A tool that is not listed declares nothing.
    fn admit(&self, exchange: &mut Exchange, known: Option<&Known>) -> Result<(), ErrorObject> {
        let ClientRequest::CallTool(params) = &exchange.request else { return Ok(()) };
        let definition = match known {
            None => return Ok(()),
            Some(known) => known.definition.as_ref().map_err(|()| {
                ErrorObject::internal("the tool's definition cannot be read, so it is not served")
            })?,
        };
        let signed = match request::statement(&exchange.context.meta) {
            // A handler that is entered anew was let through before, and its statement is used.
            _ if exchange.attempt() > 0 => None,
            Some(text) => {
                let statement: String = text.parse().map_err(|_| {
                    let why = "it is no text".to_owned();
                    ErrorObject::from(CallRefusal::SignatureInvalid { why })
                })?;
                Some(self.check(&statement, params, exchange, definition)?)
            }
            None if demands_signature(definition) => return Err(unsigned(exchange, params)),
            None => None,
        };
        let free = CallConstraints::default();
        let constraints = definition.block().map_or(&free, |block| &block.call);
        let caller = self.caller_of(exchange)?;
        let frame =
            Frame::enter(caller.as_ref(), definition.name(), definition.digest(), constraints)
                .map_err(CallRefusal::ChainDenied)?;
        let caller_is_a_tool = frame.caller().is_some();
        exchange.context.extensions.insert(frame);
        match signed {
            Some(signed) => exchange.context.extensions.insert(signed),
            // What the client signed was the call of the tool that calls this one.
            None if caller_is_a_tool => {
                exchange.context.extensions.remove::<SignedCall>();
            }
            None => {}
        }
        Ok(())
    }

    /// Has the gate decide about a call that was let in otherwise.
    async fn pass_gate(
        &self,
        exchange: &Exchange,
        name: &str,
        known: Option<&Known>,
    ) -> Result<(), ErrorObject> {
        let Some(gate) = &self.gate else { return Ok(()) };
        let resource = match known.map(|known| &known.definition) {
            Some(Ok(definition)) => Resource::of(&self.name, definition, Status::Served),
            _ => Resource::new(&self.name, name),
        };
        let extensions = &exchange.context.extensions;
        let caller = extensions.get::<Frame>().filter(|_| known.is_some()).and_then(Frame::caller);
        let mut request = Request::of(exchange, resource, (self.clock)()).called_by(caller);
        request.context.side = Side::Server;
        let signed = extensions.get::<SignedCall>();
        request.subject.key = signed.map(|signed| signed.key);
        let denied = || ErrorObject::from(CallRefusal::PermissionDenied { tool: name.to_owned() });
        match gate.decide(&request, exchange.context.runtime.as_ref()).await {
            Ok(permitted) => match permitted.obligations.contains(&Obligation::Sign) {
                true if signed.is_none() => {
                    Err(CallRefusal::SignatureRequired { tool: name.to_owned() }.into())
                }
                _ => Ok(()),
            },
            Err(_) => Err(denied()),
        }
    }

    /// The frame of the tool that calls, if one does. A handler that this guard did not let in, such
    /// as a prompt's or that of a task that goes on in another process, has none: it gets one here.
    fn caller_of(&self, exchange: &Exchange) -> Result<Option<Frame>, ErrorObject> {
        let extensions = &exchange.context.extensions;
        if let Some(frame) = extensions.get::<Frame>() {
            return Ok(Some(frame.clone()));
        }
        let Some(CalledBy(name)) = extensions.get() else { return Ok(None) };
        let known = self.known(name).and_then(|known| known.definition.ok());
        let free = CallConstraints::default();
        let block = known.as_ref().and_then(|definition| definition.block());
        let constraints = block.map_or(&free, |block| &block.call);
        let digest = known.as_ref().map_or_else(|| Digest::of_bytes(b""), |known| known.digest());
        let frame = Frame::enter(None, name, digest, constraints);
        Ok(Some(frame.map_err(CallRefusal::ChainDenied)?))
    }

    fn check(
        &self,
        statement: &str,
        params: &CallToolRequestParams,
        exchange: &Exchange,
        definition: &ToolDefinition,
    ) -> Result<SignedCall, CallRefusal> {
        let context = &exchange.context;
        let call = Call::new(&self.server, definition.name(), definition.digest())
            .arguments(params.arguments.as_ref().map(|text| text.get()))
            .inputs(context.input_responses.as_ref(), context.request_state.as_deref());
        let known = match &self.keys {
            CallKeys::Any => None,
            CallKeys::Known(ring) => Some(ring),
        };
        request::check(statement, &call, known, &*self.replay, (self.clock)())
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

fn demands_signature(definition: &ToolDefinition) -> bool {
    let signing = definition.block().map(|block| block.request_signing);
    signing == Some(RequestSigning::Required)
}

/// A client that does not know the extension is told so in the protocol's own way.
fn unsigned(exchange: &Exchange, params: &CallToolRequestParams) -> ErrorObject {
    let refusal = CallRefusal::SignatureRequired { tool: params.name.clone() };
    let declared = exchange.context.client_capabilities().extensions.unwrap_or_default();
    if declared.contains_key(wire::EXTENSION) {
        return refusal.into();
    }
    let data = json!({
        wire::ERROR_DATA: refusal.code(),
        "requiredCapabilities": { "extensions": { wire::EXTENSION: {} } },
    });
    let code = mcp_types::error::codes::MISSING_CLIENT_CAPABILITY;
    ErrorObject::new(code, refusal.to_string()).with_data(&data)
}
