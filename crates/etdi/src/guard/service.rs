//! The guard as a service: what is refused becomes a result that says how to go on, or a question.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use etdi_core::approval::{Answer, Granted};
use etdi_core::change::visible;
use etdi_core::digest::Digest;
use etdi_core::layer::{Review, VerifyLayer};
use etdi_core::policy::Subject;
use etdi_core::verify::Peer;
use etdi_core::wire;
use mcp_transport::{ClientPeer, Verbatim};
use mcp_types::{
    CallToolResult, Caller, ClientCapabilities, ClientRequest, ErrorObject, Exchange,
    ExchangeFuture, InputRequiredResult, Notifier, Origin, Outcome, Principal, RawText,
    RequestContext, ServerResult,
};
use tower_service::Service;

use super::first::FirstUse;
use super::{Refused, Settings, listen, question};
use crate::EtdiClient;
use crate::servers::Ending;
use crate::session::Yes;

/// A server behind its guard: a service, cheap to clone; made by [`Guard`](super::Guard).
#[derive(Clone)]
pub struct Guarded {
    inner: Caller,
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) client: EtdiClient,
    pub(super) peer: Peer,
    pub(super) layer: VerifyLayer,
    ending: Ending,
    pub(super) settings: Settings,
    pub(super) downstream: Option<ClientPeer>,
    first: Option<Arc<FirstUse>>,
    /// What the guard can do beside what its client can.
    declared: Option<RawText>,
    /// What the client declared last, and what both can do together.
    together: Mutex<Option<(RawText, RawText)>>,
    state: Mutex<State>,
    /// Whether a question outside of any call is open.
    pub(super) asking: AtomicBool,
    /// Whether somebody waits for approvals to change.
    pub(super) watching: AtomicBool,
}

#[derive(Default)]
pub(super) struct State {
    /// Questions that calls ended with, by the state that comes back with the answer.
    open: HashMap<String, Arc<Review>>,
    last: u64,
    /// What was said to be blocked, and what was asked about, by name and digest.
    pub(super) said: HashSet<String>,
    pub(super) offered: HashSet<String>,
    /// What the client was listed last: of each tool the digest, or nothing where it was held back.
    pub(super) listed: HashMap<String, Option<Digest>>,
    /// Who listens to changes of the tools.
    pub(super) listeners: Vec<Notifier>,
}

/// The code of a call of a tool that the server does not list.
const NOT_LISTED: &str = "NOT_LISTED";

/// How many calls may wait for an answer at once.
const MOST_OPEN: usize = 64;

/// How many tools are remembered as told of; after that one may be told of twice.
pub(super) const MOST_SAID: usize = 4096;

/// The key under which the answer to the guard's question comes.
const KEY: &str = "etdi-guard-approve";

/// What the states of the guard's questions begin with.
const STATE: &str = "etdi-guard-";

impl Guarded {
    pub(super) fn new(inner: Caller, shared: Shared) -> Self {
        Self { inner, shared: Arc::new(shared) }
    }

    /// What became of each tool when it was last listed or called.
    pub fn reviews(&self) -> Vec<Arc<Review>> {
        self.shared.layer.reviews()
    }

    /// Ends the connection to the server, and the server where it was started here.
    pub async fn close(&self) {
        self.shared.ending.close().await;
    }

    /// Waits until a server that was started here is gone; for ever where it was not.
    pub async fn ended(&self) {
        self.shared.ending.ended().await;
    }

    async fn call_tool(mut self, mut exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let shared = self.shared.clone();
        let name = match &exchange.request {
            ClientRequest::CallTool(params) => params.name.clone(),
            _ => String::new(),
        };
        if let Some((review, yes)) = shared.answer(&mut exchange.context, &name) {
            if !yes {
                return Ok(said(format!(
                    "`{}` stays blocked: it was not approved",
                    visible(&name)
                )));
            }
            // What the checks say next is what counts; the call goes on either way.
            shared.approve(&review).await;
        }
        let verbatim = exchange.context.extensions.get_shared::<Verbatim>();
        let declared = exchange.context.declared().cloned();
        let runtime = exchange.context.runtime.clone();
        let principal = exchange.context.extensions.get_shared::<Principal>();
        let called = self.inner.call(exchange).await;
        shared.unlike_listed(&name, runtime);
        match called {
            // What would be taken for the answer to our question must not be asked by the server.
            Ok(Outcome::InputRequired(asked)) if is_ours(&asked) => Err(shared.in_our_name(&name)),
            Ok(outcome) => {
                if let Some(verbatim) = verbatim {
                    verbatim.unchanged();
                }
                Ok(outcome)
            }
            Err(error) if error.origin == Origin::Refused => {
                shared.blocked(&name, &error, declared.as_ref(), principal.as_deref())
            }
            Err(error) => Err(error),
        }
    }

    /// Passes on what may be answered by a question, but none in our name.
    async fn pass(mut self, exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let verbatim = exchange.context.extensions.get_shared::<Verbatim>();
        let method = exchange.request.method().to_owned();
        let outcome = self.shared.unless_ours(&method, self.inner.call(exchange).await?)?;
        if let Some(verbatim) = verbatim {
            verbatim.unchanged();
        }
        Ok(outcome)
    }

    async fn list(mut self, exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let (runtime, declared) = (exchange.context.runtime.clone(), exchange.context.declared());
        let declared = declared.cloned();
        if let (Some(first), ClientRequest::ListTools(params)) =
            (&self.shared.first, &exchange.request)
            && params.cursor.is_none()
        {
            first.begin();
        }
        let outcome = self.inner.call(exchange).await?;
        let outcome = self.shared.unless_ours("tools/list", outcome)?;
        if let Some(first) = &self.shared.first {
            first.began();
        }
        if let Outcome::Complete(ServerResult::ListTools(page)) = &outcome
            && page.next_cursor.is_none()
        {
            if let Some(first) = &self.shared.first {
                first.close();
            }
            self.shared.listed(runtime, declared.as_ref());
        }
        Ok(outcome)
    }
}

impl Shared {
    pub(super) fn new(
        (client, peer): (EtdiClient, Peer),
        (layer, ending): (VerifyLayer, Ending),
        settings: Settings,
        (downstream, first, declared): (Option<ClientPeer>, Option<Arc<FirstUse>>, Option<RawText>),
    ) -> Self {
        let (asking, watching) = (AtomicBool::new(false), AtomicBool::new(false));
        let (together, state) = (Mutex::default(), Mutex::default());
        Self {
            client,
            peer,
            layer,
            ending,
            settings,
            downstream,
            first,
            declared,
            together,
            state,
            asking,
            watching,
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds what the guard can do to what its client can, which seldom changes.
    fn declare(&self, context: &mut RequestContext) {
        let Some(ours) = &self.declared else { return };
        let Some(theirs) = context.declared() else { return context.declare(ours) };
        let mut together = self.together.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, both)) = &*together
            && known == theirs
        {
            return context.set_declared(both.clone());
        }
        // A copy: the text may be a part of a long message.
        let theirs = RawText::new(theirs.get());
        context.declare(ours);
        *together = theirs.ok().zip(context.declared().cloned());
    }

    /// Whether a client that declared this is asked by forms.
    pub(super) fn may_ask(&self, declared: Option<&RawText>) -> bool {
        let can = |declared: &RawText| {
            let can = declared.parse::<ClientCapabilities>().ok()?.elicitation?;
            // An empty declaration means forms (specification, "Elicitation", "Capabilities").
            Some(can.form.is_some() || can.url.is_none())
        };
        self.settings.elicit && declared.and_then(can).unwrap_or(false)
    }

    /// Takes the answer to a question of ours about `tool` out of what came with a call of it.
    fn answer(&self, context: &mut RequestContext, tool: &str) -> Option<(Arc<Review>, bool)> {
        let answers = context.input_responses.as_mut()?;
        let answer = answers.remove(KEY);
        if answers.is_empty() {
            context.input_responses = None;
        }
        let asked = context.request_state.as_ref().filter(|state| state.starts_with(STATE))?;
        let review = self.state().open.remove(asked).filter(|review| review.name() == tool);
        context.request_state = None;
        Some((review?, answer.is_some_and(|answer| question::is_yes(&answer))))
    }

    /// What the server gives, unless it would be taken for a question of ours.
    fn unless_ours(&self, about: &str, outcome: Outcome) -> Result<Outcome, ErrorObject> {
        match &outcome {
            Outcome::InputRequired(asked) if is_ours(asked) => Err(self.in_our_name(about)),
            _ => Ok(outcome),
        }
    }

    /// What becomes of a question of the server that would be taken for one of ours.
    fn in_our_name(&self, about: &str) -> ErrorObject {
        let text = "the server asks in the guard's name, which is refused";
        self.settings.say(&format!("`{}`: {text}", visible(about)));
        ErrorObject::local(Origin::Refused, text)
    }

    /// Approves a tool as `review` shows it, because whoever uses the client said so.
    pub(super) async fn approve(&self, review: &Review) -> bool {
        let by = format!("{} (asked by the guard)", self.client.user());
        let yes = Arc::new(Yes(Answer::approve(Granted::All, by)));
        match self.client.settle(&self.peer, review, yes).await {
            Ok(_) => true,
            Err(error) => {
                let name = visible(review.name());
                self.settings.say(&format!("`{name}` could not be approved: {error}"));
                false
            }
        }
    }

    /// What comes of a call that was refused: a question, or a result that says how to go on.
    fn blocked(
        &self,
        name: &str,
        error: &ErrorObject,
        declared: Option<&RawText>,
        principal: Option<&Principal>,
    ) -> Result<Outcome, ErrorObject> {
        if self.may_ask(declared)
            && let Some(asked) = self.ask_about(name)
        {
            return Ok(Outcome::InputRequired(asked));
        }
        let code = error.data.as_ref().and_then(|data| {
            let members = data.parse::<BTreeMap<String, RawText>>().ok()?;
            members.get(wire::ERROR_DATA)?.parse::<String>().ok()
        });
        let code = code.unwrap_or_default();
        if code == NOT_LISTED {
            // As from any server (specification, "Tools", "Error Handling").
            let text = format!("unknown tool `{}`: the server does not list it", visible(name));
            return Err(ErrorObject::invalid_params(text));
        }
        match self.layer.review(name) {
            // It is not the approval that is wanting.
            Some(review) if review.is_approved() => self.settings.say(&format!(
                "REFUSED a call of `{}` ({code}): {}",
                visible(name),
                visible(&error.message)
            )),
            Some(review) => self.say_blocked(&review),
            None => {}
        }
        let review = self.layer.review(name);
        let mut refused = Refused::new(&code, name);
        refused.user = Some(self.caller(principal));
        refused.definition = review.as_ref().and_then(|review| review.definition());
        let advice = (self.settings.advice)(&refused);
        Ok(said(format!("etdi guard ({code}): {}. {advice}", error.message)))
    }

    /// Who calls, as policies name them: whom the server's door knows, else the user of this guard.
    fn caller(&self, principal: Option<&Principal>) -> String {
        let mut subject = Subject::default();
        subject.user = Some(self.client.user());
        if let Some(principal) = principal {
            subject.user = Some(&principal.subject);
            subject.issuer = Some(&principal.issuer);
        }
        subject.name().map(Cow::into_owned).unwrap_or_default()
    }

    fn ask_about(&self, name: &str) -> Option<InputRequiredResult> {
        let review = self.layer.review(name)?;
        let text = question::text(&review, &self.settings)?;
        let form = question::form(self.settings.name(), &[text]);
        let mut state = self.state();
        if state.open.len() >= MOST_OPEN {
            // Clients that never answered; theirs can only be asked anew.
            state.open.clear();
        }
        state.last += 1;
        let key = format!("{STATE}{}", state.last);
        state.open.insert(key.clone(), review);
        drop(state);
        let mut asked = InputRequiredResult::new();
        asked.input_requests = Some(BTreeMap::from([(KEY.to_owned(), form)]));
        asked.request_state = Some(key);
        Some(asked)
    }
}

impl Service<Exchange> for Guarded {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        self.shared.declare(&mut exchange.context);
        let is_changed = match &mut exchange.request {
            ClientRequest::CallTool(_) => return Box::pin(self.clone().call_tool(exchange)),
            ClientRequest::ListTools(_) => return Box::pin(self.clone().list(exchange)),
            ClientRequest::GetPrompt(_) | ClientRequest::ReadResource(_) => {
                return Box::pin(self.clone().pass(exchange));
            }
            ClientRequest::Discover(_)
            | ClientRequest::ListPrompts(_)
            | ClientRequest::ListResourceTemplates(_) => true,
            ClientRequest::SubscriptionsListen(params) => {
                let tools = params.notifications.tools_list_changed == Some(true);
                exchange.notifier = listen::watched(&self.shared, &exchange, tools);
                true
            }
            _ => false,
        };
        if !is_changed && let Some(verbatim) = exchange.context.extensions.get::<Verbatim>() {
            verbatim.unchanged();
        }
        let (shared, method) = (self.shared.clone(), exchange.request.method().to_owned());
        let answer = self.inner.call(exchange);
        // No other request is answered by a question, but not every client knows that.
        Box::pin(async move {
            let mut outcome = shared.unless_ours(&method, answer.await?)?;
            if let Outcome::Complete(ServerResult::Discover(server)) = &mut outcome
                && let Some(tools) = &mut server.capabilities.tools
            {
                // What is approved or held back changes the list, whatever the server does; clients
                // pass over what nobody announced.
                tools.list_changed = Some(true);
            }
            Ok(outcome)
        })
    }
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("server", &self.shared.settings.name())
            .finish_non_exhaustive()
    }
}

/// Whether a question of the server is made to look like one of ours.
pub(crate) fn is_ours(asked: &InputRequiredResult) -> bool {
    asked.request_state.as_ref().is_some_and(|state| state.starts_with(STATE))
        || asked.input_requests.as_ref().is_some_and(|requests| requests.contains_key(KEY))
}

/// A result that is an error in the guard's words.
fn said(text: String) -> Outcome {
    Outcome::Complete(ServerResult::CallTool(CallToolResult::error(text)))
}
