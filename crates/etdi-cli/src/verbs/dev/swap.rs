//! A server that is replaced while its clients stay connected.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use etdi::core::change::visible;
use mcp_types::{
    Caller, ClientRequest, Closed, DiscoverResult, ErrorObject, Exchange, ExchangeFuture,
    ExchangeId, Implementation, NotificationParams, NotificationSink, Notifier, Origin, Outcome,
    RawText, RequestContext, ResourceUpdatedNotificationParams, ServerCapabilitiesPrompts,
    ServerCapabilitiesResources, ServerCapabilitiesTools, ServerNotification, ServerResult,
    SubscriptionFilter, SubscriptionsAcknowledgedNotificationParams,
    SubscriptionsListenRequestParams,
};
use tokio::sync::watch;
use tower_service::Service;

/// A place where one server after the other stands. Cheap to clone.
///
/// A request that comes before the first server does waits for it. One that is under way when a server
/// is replaced ends where it began. Whoever listens to changes hears that everything has changed, and
/// goes on listening to the next server.
#[derive(Clone)]
pub struct Swapping(Arc<Shared>);

struct Shared {
    current: watch::Sender<Option<Running>>,
    /// Who asked last, as the next server is to see its client from the first request on.
    client: Mutex<Option<RequestContext>>,
    note: Note,
}

type Note = Box<dyn Fn(&Asked) + Send + Sync>;

/// A request and what came of it.
pub struct Asked {
    what: String,
    came: String,
    took: u128,
    given: Option<RawText>,
    gave: Option<RawText>,
}

/// The most of a value that is shown.
const MOST: usize = 1_000;

impl Asked {
    /// A line for people; with `values`, which may be secrets, one or two more.
    pub fn line(&self, values: bool) -> String {
        let Self { what, came, took, .. } = self;
        let mut line = format!("{what}  {came}, {took} ms");
        let shown = [("→", &self.given), ("←", &self.gave)];
        let shown = shown.iter().filter_map(|(sign, value)| Some((sign, value.as_ref()?)));
        for (sign, value) in shown.filter(|_| values) {
            let start: String = value.get().chars().take(MOST).collect();
            let more = if start.len() < value.get().len() { "…" } else { "" };
            line.push_str(&format!("\n  {sign} {}{more}", visible(&start)));
        }
        line
    }
}

#[derive(Clone)]
struct Running {
    caller: Caller,
    generation: u64,
}

impl Swapping {
    /// A place with no server yet; `note` is told of each call.
    pub fn new(note: impl Fn(&Asked) + Send + Sync + 'static) -> Self {
        let (current, client) = (watch::Sender::new(None), Mutex::default());
        Self(Arc::new(Shared { current, client, note: Box::new(note) }))
    }

    /// Puts a server in the place of the one that is there.
    pub fn put(&self, caller: Caller) {
        self.0.current.send_modify(|current| {
            let generation = current.as_ref().map_or(0, |current| current.generation) + 1;
            *current = Some(Running { caller, generation });
        });
    }

    /// The envelope of the last client, for a first request to the next server; an empty one while
    /// none has asked anything.
    pub fn client(&self) -> RequestContext {
        self.0.client().clone().unwrap_or_default()
    }
}

impl Service<Exchange> for Swapping {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let shared = self.0.clone();
        shared.remember(&exchange.context);
        Box::pin(async move {
            match exchange.request {
                ClientRequest::SubscriptionsListen(_) => shared.listen(exchange).await,
                _ => shared.forward(exchange).await,
            }
        })
    }
}

impl Shared {
    fn client(&self) -> MutexGuard<'_, Option<RequestContext>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, context: &RequestContext) {
        let Some(version) = context.protocol_version() else { return };
        let info = context.client_info().and_then(|info: Implementation| RawText::of(&info).ok());
        let mut kept = RequestContext::default();
        kept.set_client(version, info, context.declared().cloned());
        *self.client() = Some(kept);
    }

    /// The server that is there, once there is one of at least this generation.
    async fn running(&self, least: u64) -> Result<Running, ErrorObject> {
        let mut current = self.current.subscribe();
        let there = |current: &Option<Running>| {
            current.as_ref().is_some_and(|running| running.generation >= least)
        };
        let found = current.wait_for(there).await.ok().and_then(|found| found.clone());
        found.ok_or_else(|| ErrorObject::local(Origin::Connection, "there is no server any more"))
    }

    async fn forward(&self, exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let asked = described(&exchange.request);
        let given = match &exchange.request {
            ClientRequest::CallTool(params) => params.arguments.clone(),
            _ => None,
        };
        let running = self.running(0).await?;
        let begun = Instant::now();
        let mut outcome = running.caller.send(exchange).await;
        let took = begun.elapsed().as_millis();
        let came = match &outcome {
            Ok(Outcome::Complete(ServerResult::CallTool(result)))
                if result.is_error == Some(true) =>
            {
                "the tool reported an error".to_owned()
            }
            Ok(Outcome::Complete(_)) => "answered".to_owned(),
            Ok(_) => "asks its client".to_owned(),
            Err(error) => format!("refused: {}", visible(&error.message)),
        };
        let gave = match &outcome {
            Ok(Outcome::Complete(ServerResult::CallTool(result))) => RawText::of(result).ok(),
            _ => None,
        };
        (self.note)(&Asked { what: asked, came, took, given, gave });
        if let Ok(Outcome::Complete(ServerResult::Discover(found))) = &mut outcome {
            tells_of_lists(found);
        }
        outcome
    }

    /// Listens to one server after the other, for as long as the client does.
    async fn listen(&self, exchange: Exchange) -> Result<Outcome, ErrorObject> {
        let Exchange { request, context, notifier, .. } = exchange;
        let ClientRequest::SubscriptionsListen(params) = request else {
            return Err(ErrorObject::internal("no subscription"));
        };
        let filter = params.notifications;
        let granted = SubscriptionsAcknowledgedNotificationParams::new(filter.clone());
        tell(&notifier, ServerNotification::SubscriptionsAcknowledged(granted)).await?;
        let mut least = 0;
        loop {
            let running = self.running(least).await?;
            if least > 0 {
                everything_changed(&notifier, &filter).await?;
            }
            least = running.generation + 1;
            let params = SubscriptionsListenRequestParams::new(filter.clone());
            let request = ClientRequest::SubscriptionsListen(params);
            let mut inner = Exchange::of(request, context.clone());
            let sink = Arc::new(Unacknowledged(notifier.clone()));
            inner.notifier = Notifier::new(sink, inner.id());
            let mut listening = running.caller.send(inner);
            let mut replaced = pin!(self.running(least));
            // A server that has no subscriptions, or ends them, is listened to no more; the next is.
            let mut over = false;
            poll_fn(|cx| {
                if replaced.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                over = over || listening.as_mut().poll(cx).is_ready();
                Poll::Pending
            })
            .await;
        }
    }
}

/// Tells of the lists, and of the resources, that somebody listens to.
async fn everything_changed(
    notifier: &Notifier,
    filter: &SubscriptionFilter,
) -> Result<(), ErrorObject> {
    let params = NotificationParams::new;
    if filter.tools_list_changed == Some(true) {
        tell(notifier, ServerNotification::ToolListChanged(params())).await?;
    }
    if filter.prompts_list_changed == Some(true) {
        tell(notifier, ServerNotification::PromptListChanged(params())).await?;
    }
    if filter.resources_list_changed == Some(true) {
        tell(notifier, ServerNotification::ResourceListChanged(params())).await?;
    }
    for uri in filter.resource_subscriptions.iter().flatten() {
        let params = ResourceUpdatedNotificationParams::new(uri.clone());
        tell(notifier, ServerNotification::ResourceUpdated(params)).await?;
    }
    Ok(())
}

async fn tell(notifier: &Notifier, told: ServerNotification) -> Result<(), ErrorObject> {
    let gone = |_: Closed| ErrorObject::local(Origin::Connection, "the client is gone");
    notifier.notify(told).await.map_err(gone)
}

/// Says that lists change: they do with every server that takes the place.
fn tells_of_lists(found: &mut DiscoverResult) {
    let can = &mut found.capabilities;
    can.tools.get_or_insert_with(ServerCapabilitiesTools::new).list_changed = Some(true);
    if let Some(prompts) = &mut can.prompts {
        let prompts: &mut ServerCapabilitiesPrompts = prompts;
        prompts.list_changed = Some(true);
    }
    if let Some(resources) = &mut can.resources {
        let resources: &mut ServerCapabilitiesResources = resources;
        resources.list_changed = Some(true);
    }
}

/// Passes on what a server tells, but for its word that it will: that was given already.
struct Unacknowledged(Notifier);

impl NotificationSink for Unacknowledged {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(ServerNotification::SubscriptionsAcknowledged(_)) = notification {
            *notification = None;
            return Poll::Ready(Ok(()));
        }
        self.0.poll_notify(cx, notification)
    }
}

/// A request in a line: its method, what it is about, and the names of what goes along, whose values
/// may be secrets.
fn described(request: &ClientRequest) -> String {
    let method = visible(request.method()).into_owned();
    let about = match request {
        ClientRequest::CallTool(params) => {
            let given = params.arguments.as_ref().and_then(|text| text.parse().ok());
            let given: serde_json::Map<String, serde_json::Value> = given.unwrap_or_default();
            let names: Vec<&str> = given.keys().map(String::as_str).collect();
            format!("{}({})", params.name, names.join(", "))
        }
        ClientRequest::GetPrompt(params) => params.name.clone(),
        ClientRequest::ReadResource(params) => params.uri.clone(),
        _ => return method,
    };
    format!("{method} {}", visible(&about))
}
