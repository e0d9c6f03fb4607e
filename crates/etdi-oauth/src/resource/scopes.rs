//! Tools that need scopes: listed to and called by those who hold them.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use etdi_core::time::UnixTime;
use etdi_core::wire;
use mcp_transport::http::insufficient_scope;
use mcp_types::{
    CacheScope, Caller, ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService,
    Items, ListToolsResult, Outcome, PaginatedRequestParams, Principal, RequestContext,
    ServerResult, Sought, Tool,
};
use tower_layer::Layer;
use tower_service::Service;

use crate::Clock;

/// How long what a listing said counts for calls, in seconds: a tool may change while the server
/// runs.
const FRESH: u64 = 30;

/// The most pages of a listing that are read at once.
const MOST_PAGES: usize = 1_000;

/// The most tools whose scopes are known.
const MOST_TOOLS: usize = 65_536;

/// The most scopes that challenges may name for the sake of tools.
const MOST_SCOPES: usize = 4_096;

/// The scopes for whose lack a layer has refused a call: those that tools declare, whatever a service
/// behind says when it is called.
#[derive(Clone, Default)]
pub(super) struct Wanted(Arc<RwLock<BTreeSet<String>>>);

impl Wanted {
    pub(super) fn has(&self, scope: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(scope)
    }

    fn note(&self, scopes: &[String]) {
        if scopes.iter().all(|scope| self.has(scope)) {
            return;
        }
        let mut wanted = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if wanted.len().saturating_add(scopes.len()) > MOST_SCOPES {
            wanted.clear();
        }
        wanted.extend(scopes.iter().take(MOST_SCOPES).cloned());
    }
}

/// Holds calls against the scopes that tools declare (`#[tool(scopes = […])]`, which is
/// `_meta["dev.etdi/scopes"]` of a tool): `tools/list` shows a tool to those who hold all of them,
/// and a call of anybody else is refused with all of them in the error, over HTTP with status 403
/// and a challenge.
///
/// Stands outermost, outside of what signs and guards definitions, which are the same for everybody.
/// The caller is the [`Principal`] of the exchange; who has none holds no scope. What a tool needs is
/// learned from the listings of the service behind, and looked up before a call when it is not known.
#[derive(Clone)]
pub struct ScopeLayer {
    clock: Clock,
    wanted: Wanted,
}

impl ScopeLayer {
    /// A layer that reads the time from `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, wanted: Wanted::default() }
    }

    /// Notes what it wants for the gate in front.
    pub(super) fn telling(self, wanted: Wanted) -> Self {
        Self { wanted, ..self }
    }
}

impl fmt::Debug for ScopeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScopeLayer")
    }
}

impl<S> Layer<S> for ScopeLayer {
    type Service = Scoped<S>;

    fn layer(&self, service: S) -> Scoped<S> {
        let (clock, wanted) = (self.clock.clone(), self.wanted.clone());
        Scoped { service, clock, learned: Arc::default(), wanted }
    }
}

/// A service whose tools are held against the scopes of whoever calls; see [`ScopeLayer`].
#[derive(Clone)]
pub struct Scoped<S> {
    service: S,
    clock: Clock,
    learned: Arc<RwLock<Learned>>,
    wanted: Wanted,
}

/// What tools need, by name, and when a listing said so last.
type Learned = HashMap<String, (Needs, UnixTime)>;

/// What one tool needs.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Needs {
    Nothing,
    Scopes(Arc<[String]>),
    /// It says something that cannot be read: nobody can have that.
    Unreadable,
}

impl Needs {
    fn of(tool: &Tool) -> Self {
        let Some(said) = tool.meta.as_ref().and_then(|meta| meta.get(wire::SCOPES)) else {
            return Self::Nothing;
        };
        match said.parse::<Vec<String>>() {
            Ok(scopes) if scopes.is_empty() => Self::Nothing,
            Ok(scopes) => Self::Scopes(scopes.into()),
            Err(_) => Self::Unreadable,
        }
    }

    fn held_by(&self, principal: Option<&Principal>) -> bool {
        match self {
            Self::Nothing => true,
            Self::Scopes(scopes) => principal.is_some_and(|principal| {
                scopes.iter().all(|scope| principal.scopes.contains(scope))
            }),
            Self::Unreadable => false,
        }
    }

    #[cold]
    fn refusal(&self, wanted: &Wanted) -> ErrorObject {
        match self {
            Self::Scopes(scopes) => {
                wanted.note(scopes);
                let text = format!("the tool needs the scopes `{}`", scopes.join("`, `"));
                insufficient_scope(text, scopes)
            }
            _ => ErrorObject::internal("the scopes that the tool needs cannot be read"),
        }
    }
}

impl<S: ExchangeService> Scoped<S> {
    /// What a tool needs, if that was learned not too long ago.
    fn known(&self, name: &str) -> Option<Needs> {
        let now = self.clock.now();
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let (needs, at) = learned.get(name)?;
        (*at <= now && now < at.plus(FRESH)).then(|| needs.clone())
    }

    fn learn(&self, page: &ListToolsResult) {
        let now = self.clock.now();
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        for tool in page.tools.iter() {
            let said = (Needs::of(tool), now);
            if let Some(known) = learned.get_mut(&tool.name) {
                *known = said;
                continue;
            }
            if learned.len() >= MOST_TOOLS {
                learned.clear();
            }
            learned.insert(tool.name.clone(), said);
        }
    }

    /// Lists tools as the caller sees them, of a gateway those of the one server that can have `name`, and
    /// gives what it needs. A tool that a whole listing lacks needs nothing: it is for the service to
    /// say that there is none.
    async fn look_up(
        &mut self,
        name: &str,
        context: &RequestContext,
    ) -> Result<Needs, ErrorObject> {
        let (mut params, mut found) = (PaginatedRequestParams::new(), Needs::Nothing);
        for _ in 0..MOST_PAGES {
            let mut exchange = Exchange::new(ClientRequest::ListTools(params));
            exchange.context.extensions = context.extensions.clone();
            exchange.context.extensions.insert(Sought(name.to_owned()));
            exchange.context.runtime = context.runtime.clone();
            let page = match self.service.call(exchange).await? {
                Outcome::Complete(ServerResult::ListTools(page)) => page,
                _ => return Err(ErrorObject::internal("the server did not list its tools")),
            };
            self.learn(&page);
            if let Some(tool) = page.tools.iter().find(|tool| tool.name == name) {
                found = Needs::of(tool);
            }
            params = PaginatedRequestParams::new();
            params.cursor = page.next_cursor;
            if params.cursor.is_none() {
                return Ok(found);
            }
        }
        Err(ErrorObject::internal("the server lists its tools without end"))
    }

    /// Leaves out what the caller may not call.
    fn show(&self, page: &mut ListToolsResult, principal: Option<&Principal>) {
        self.learn(page);
        if page.tools.iter().all(|tool| Needs::of(tool) == Needs::Nothing) {
            return;
        }
        // It depends on who asks.
        page.cache_scope = page.cache_scope.as_ref().map(|_| CacheScope::Private);
        let shown = page.tools.iter().filter(|tool| Needs::of(tool).held_by(principal));
        page.tools = Items::from(shown.cloned().collect::<Vec<_>>());
    }
}

impl<S: ExchangeService> Service<Exchange> for Scoped<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        exchange.offer_caller(|| Caller::new(self.clone()));
        let principal = exchange.context.extensions.get::<Principal>();
        match &exchange.request {
            ClientRequest::CallTool(call) if exchange.attempt() == 0 => {
                match self.known(&call.name) {
                    Some(needs) if needs.held_by(principal) => {
                        Box::pin(self.service.call(exchange))
                    }
                    Some(needs) => Box::pin(std::future::ready(Err(needs.refusal(&self.wanted)))),
                    None => {
                        let (name, mut this) = (call.name.clone(), self.clone());
                        Box::pin(async move {
                            let needs = this.look_up(&name, &exchange.context).await?;
                            let principal = exchange.context.extensions.get::<Principal>();
                            match needs.held_by(principal) {
                                true => this.service.call(exchange).await,
                                false => Err(needs.refusal(&this.wanted)),
                            }
                        })
                    }
                }
            }
            ClientRequest::ListTools(_) => {
                let (principal, this) = (principal.cloned(), self.clone());
                let listing = self.service.call(exchange);
                Box::pin(async move {
                    let mut outcome = listing.await?;
                    if let Outcome::Complete(ServerResult::ListTools(page)) = &mut outcome {
                        this.show(page, principal.as_ref());
                    }
                    Ok(outcome)
                })
            }
            _ => Box::pin(self.service.call(exchange)),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Scoped<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("service", &self.service).finish_non_exhaustive()
    }
}
