//! What goes to one server of a gateway, and what comes back: nothing that its name or its signatures
//! would make untrue.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use etdi_core::change::visible;
use etdi_core::wire;
use mcp_transport::Verbatim;
use mcp_types::{
    CallToolResult, ClientRequest, DiscoverResult, ErrorObject, Exchange, ExchangeFuture, Items,
    ListPromptsResult, ListToolsResult, Listed, Origin, Outcome, ProtocolVersion, RawText,
    ServerCapabilities, ServerCapabilitiesPrompts, ServerCapabilitiesResources,
    ServerCapabilitiesTools, ServerResult, Tool,
};
use tower_service::Service;

use super::naming::{name_questions, name_task, naming};
use super::upstream::Upstream;
use crate::guard::is_ours;

/// How long listings and discoveries wait for one server before they go on without it.
const PATIENCE: Duration = Duration::from_secs(15);

/// How many characters the name of a tool or prompt may have (specification, "Tool Names"), those between
/// it and the alias included.
const LONGEST: usize = 128 - "__".len();

/// How many pages of one listing of one server are passed on.
const MOST_PAGES: u32 = 128;

/// What stands between the number of a page and the server's own cursor to it.
const AFTER: char = '.';

/// The way to one server, as the group has it.
#[derive(Clone)]
pub(super) struct Door(Option<Arc<Upstream>>);

impl Door {
    pub(super) fn of(upstream: Arc<Upstream>) -> Self {
        Self(Some(upstream))
    }

    /// A way to nobody.
    pub(super) fn closed() -> Self {
        Self(None)
    }
}

impl Service<Exchange> for Door {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let upstream = self.0.clone();
        Box::pin(async move {
            let gone = || ErrorObject::local(Origin::Connection, "there is no such server");
            upstream.ok_or_else(gone)?.serve(exchange).await
        })
    }
}

impl Upstream {
    async fn serve(self: Arc<Self>, mut exchange: Exchange) -> Result<Outcome, ErrorObject> {
        match &exchange.request {
            ClientRequest::SubscriptionsListen(_) => self.listen(exchange).await,
            ClientRequest::Discover(_) => {
                let found = self.patiently(exchange).await;
                Ok(Outcome::Complete(ServerResult::Discover(self.found(found))))
            }
            ClientRequest::ListTools(_)
            | ClientRequest::ListPrompts(_)
            | ClientRequest::ListResources(_)
            | ClientRequest::ListResourceTemplates(_) => {
                let number = turn_to(&mut exchange.request)?;
                let mut outcome = self.patiently(exchange).await?;
                self.turned(number, &mut outcome);
                Ok(match outcome {
                    Outcome::Complete(ServerResult::ListTools(page)) => self.tools(page).into(),
                    Outcome::Complete(ServerResult::ListPrompts(page)) => self.prompts(page).into(),
                    outcome => outcome,
                })
            }
            _ => {
                // It would be about a tool of another name.
                exchange.context.meta.remove(wire::CALL);
                self.must_fit(&exchange.request)?;
                exchange.notifier = naming(&self.alias, exchange.notifier.clone(), exchange.id());
                let verbatim = exchange.context.extensions.get_shared::<Verbatim>();
                let mut guarded = self.up().await?;
                let mut outcome = guarded.call(exchange).await?;
                if self.adopt(&mut outcome)?
                    && let Some(verbatim) = verbatim
                {
                    verbatim.changed();
                }
                Ok(outcome)
            }
        }
    }

    /// Makes an outcome one of the gateway; whether that changed it, or will.
    fn adopt(&self, outcome: &mut Outcome) -> Result<bool, ErrorObject> {
        Ok(match outcome {
            // The guard says itself who asks, and lets no server ask as if it were the guard.
            Outcome::InputRequired(asked) if is_ours(asked) => false,
            Outcome::InputRequired(asked) => name_questions(&self.alias, asked),
            // A task, whose id is yet to be named.
            Outcome::Complete(ServerResult::Extension(task)) => {
                name_task(&self.alias, task)?;
                true
            }
            Outcome::Complete(ServerResult::CallTool(result)) => without_receipt(result),
            _ => false,
        })
    }

    /// Asks for what the gateway merges, and goes on without the answer if it takes too long. When it
    /// comes after all, clients are told that there is more now.
    async fn patiently(self: &Arc<Self>, mut exchange: Exchange) -> Result<Outcome, ErrorObject> {
        // The text of one server's part is not that of the whole.
        exchange.context.extensions.remove::<Verbatim>();
        let late = || ErrorObject::local(Origin::Timeout, "the server did not answer in time");
        if self.waiting.load(Ordering::Relaxed) {
            return Err(late());
        }
        self.is_asked(&exchange.context);
        let upstream = self.clone();
        let mut asking: ExchangeFuture = Box::pin(async move {
            let mut guarded = upstream.up().await?;
            guarded.call(exchange).await
        });
        let mut end = self.runtime.sleep_until(self.runtime.now() + PATIENCE);
        let answer = poll_fn(|cx| match asking.as_mut().poll(cx) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => end.as_mut().poll(cx).map(|()| None),
        });
        let Some(answer) = answer.await else {
            self.say(&format!("did not answer in {} seconds", PATIENCE.as_secs()));
            if !self.waiting.swap(true, Ordering::Relaxed) {
                let upstream = self.clone();
                self.runtime.spawn(Box::pin(async move {
                    let answered = asking.await.is_ok();
                    upstream.waiting.store(false, Ordering::Relaxed);
                    if answered {
                        upstream.well();
                        upstream.changed();
                    }
                }));
            }
            return Err(late());
        };
        match &answer {
            Ok(_) => self.well(),
            Err(error) if error.origin == Origin::Service => self.spoke(),
            Err(error) => self.say(&format!("does not answer: {}", visible(&error.message))),
        }
        answer
    }

    /// What the server is, or stands in for one that does not say so.
    fn found(&self, answer: Result<Outcome, ErrorObject>) -> Box<DiscoverResult> {
        let mut found = match answer {
            Ok(Outcome::Complete(ServerResult::Discover(found))) => found,
            _ => {
                let mut all = ServerCapabilities::new();
                let empty = || RawText::new("{}").ok();
                (all.completions, all.logging) = (empty(), empty());
                all.tools = Some(ServerCapabilitiesTools::new());
                all.prompts = Some(ServerCapabilitiesPrompts::new());
                let mut resources = ServerCapabilitiesResources::new();
                resources.subscribe = Some(true);
                all.resources = Some(resources);
                let revision = ProtocolVersion::NEWEST.to_string();
                let mut found = DiscoverResult::new(all, vec![revision]);
                let text =
                    "This server does not answer now. What it offers is absent until it does.";
                (found.instructions, found.ttl_ms) = (Some(text.to_owned()), Some(0));
                Box::new(found)
            }
        };
        // The gateway tells when the server goes and when it is back.
        let can = &mut found.capabilities;
        if let Some(tools) = &mut can.tools {
            tools.list_changed = Some(true);
        }
        if let Some(prompts) = &mut can.prompts {
            prompts.list_changed = Some(true);
        }
        if let Some(resources) = &mut can.resources {
            resources.list_changed = Some(true);
        }
        found
    }

    /// Tools as they can be renamed.
    fn tools(&self, mut page: ListToolsResult) -> ServerResult {
        let tools = std::mem::take(&mut page.tools).into_vec();
        let fitting = tools.into_iter().filter(|tool| self.fits(&tool.name));
        page.tools = fitting.filter_map(unsigned).collect();
        page.into()
    }

    fn prompts(&self, mut page: ListPromptsResult) -> ServerResult {
        let prompts = std::mem::take(&mut page.prompts).into_vec();
        let fitting: Items<_> =
            prompts.into_iter().filter(|prompt| self.fits(&prompt.name)).collect();
        page.prompts = fitting;
        page.into()
    }

    /// Counts a page, whose number is this: the cursor to the next says so, and the last that may be has
    /// none. So a server that lists without end keeps no client from the end of the others' listings.
    fn turned(&self, number: u32, outcome: &mut Outcome) {
        let Outcome::Complete(result) = outcome else { return };
        let cursor = match result {
            ServerResult::ListTools(page) => &mut page.next_cursor,
            ServerResult::ListPrompts(page) => &mut page.next_cursor,
            ServerResult::ListResources(page) => &mut page.next_cursor,
            ServerResult::ListResourceTemplates(page) => &mut page.next_cursor,
            _ => return,
        };
        let Some(theirs) = cursor.take() else { return };
        if number < MOST_PAGES {
            *cursor = Some(format!("{}{AFTER}{theirs}", number + 1));
        } else if let [_, told] = &self.told
            && !told.swap(true, Ordering::Relaxed)
        {
            let what = format!("has a list of more than {MOST_PAGES} pages: the rest is left out");
            self.say_anew(&what);
        }
    }

    /// What was left out of listings for its name has none here.
    fn must_fit(&self, request: &ClientRequest) -> Result<(), ErrorObject> {
        let name = match request {
            ClientRequest::CallTool(params) => &params.name,
            ClientRequest::GetPrompt(params) => &params.name,
            _ => return Ok(()),
        };
        match self.is_short(name) {
            true => Ok(()),
            false => Err(ErrorObject::invalid_params("the name is too long to be one here")),
        }
    }

    fn is_short(&self, name: &str) -> bool {
        name.chars().count() + self.alias.len() <= LONGEST
    }

    /// Whether a name is short enough to be one here; says once that there is one that is not.
    fn fits(&self, name: &str) -> bool {
        let fits = self.is_short(name);
        if !fits
            && let [told, _] = &self.told
            && !told.swap(true, Ordering::Relaxed)
        {
            let shown: String = name.chars().take(64).collect();
            self.say_anew(&format!(
                "lists `{}…`, whose name is too long behind `{}__`: that, and what else is so long, is left \
                 out, give the server a shorter prefix",
                visible(&shown),
                self.alias
            ));
        }
        fits
    }
}

/// Gives a server its own cursor back; says which page of its listing that is, counted from 1.
fn turn_to(request: &mut ClientRequest) -> Result<u32, ErrorObject> {
    let cursor = match request {
        ClientRequest::ListTools(params)
        | ClientRequest::ListPrompts(params)
        | ClientRequest::ListResources(params)
        | ClientRequest::ListResourceTemplates(params) => &mut params.cursor,
        _ => return Ok(1),
    };
    let Some(ours) = cursor else { return Ok(1) };
    let parts = ours.split_once(AFTER);
    let read = parts.and_then(|(number, theirs)| Some((number.parse().ok()?, theirs.to_owned())));
    match read.filter(|(number, _)| (2..=MOST_PAGES).contains(number)) {
        Some((number, theirs)) => {
            *cursor = Some(theirs);
            Ok(number)
        }
        None => {
            let text = "the cursor is not one of this gateway, list again from the start";
            Err(ErrorObject::invalid_params(text))
        }
    }
}

/// A tool without what holds for its own name alone: a signature would not fit the new one, and whoever
/// checked it would have to take the tool for a forgery. Scopes stay, because they are of no name.
fn unsigned(tool: Arc<Listed<Tool>>) -> Option<Arc<Listed<Tool>>> {
    let signed: Vec<String> = tool
        .meta
        .iter()
        .flat_map(|meta| meta.iter())
        .filter(|(key, _)| key.starts_with(wire::PREFIX) && *key != wire::SCOPES)
        .map(|(key, _)| key.to_owned())
        .collect();
    if signed.is_empty() {
        return Some(tool);
    }
    let mut bare = Arc::unwrap_or_clone(tool).into_inner();
    if let Some(meta) = &mut bare.meta {
        signed.iter().for_each(|key| drop(meta.remove(key)));
    }
    bare.meta = bare.meta.filter(|meta| !meta.is_empty());
    // What has no form is no tool; the group writes it anew under its other name.
    Listed::new(bare).ok().map(Arc::new)
}

/// Takes the receipt for another name out of a result; whether there was one.
fn without_receipt(result: &mut CallToolResult) -> bool {
    result.meta.as_mut().is_some_and(|meta| meta.remove(wire::RECEIPT).is_some())
}
