//! The hub of change notifications: who announces on one side, who listens on the other
//! (specification, "Subscriptions").
//!
//! A subscription is one long exchange. It first tells what it will tell of, then sleeps until
//! something changes. Changes that come faster than a client reads are told once: what waits for a
//! client is a set, never longer than what the client asked for, so nothing is queued without
//! bound, and no task is needed.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use mcp_types::{
    ErrorObject, NotificationParams, Outcome, ResourceUpdatedNotificationParams,
    ServerCapabilities, ServerNotification, ServerResult, SubscriptionFilter,
    SubscriptionsAcknowledgedNotificationParams, SubscriptionsListenResult,
};

use crate::service::Incoming;

mod relay;

pub use relay::{Change, ChangeRelay};

/// How many resources one subscription may name.
const MAX_RESOURCES: usize = 1_024;

/// How many bytes their URIs may have together.
const MAX_URI_BYTES: usize = 128 << 10;

/// How many subscriptions a server keeps at once.
const MAX_SUBSCRIPTIONS: usize = 65_536;

/// Announces changes to all clients that subscribed to them.
///
/// [`Server::changes`](crate::Server::changes) gives one to the program around the server, and
/// [`Context::changes`](crate::Context::changes) to a handler. A clone is another handle to the
/// same hub. Announcing never waits: clients that read slowly hear once of several changes.
///
/// ```
/// use mcp_server::{Context, server, tool};
///
/// /// Stores a note.
/// #[tool]
/// async fn store(cx: Context, name: String) -> String {
///     cx.changes().resource_updated(&format!("note:///{name}"));
///     format!("stored {name}")
/// }
///
/// let server = server!().resource_updates().tool::<store>().build()?;
/// // From anywhere else, such as whoever watches the files:
/// server.changes().resource_updated("note:///milk");
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct Changes(Arc<Mutex<Hub>>);

#[derive(Default)]
struct Hub {
    listeners: BTreeMap<u64, Listener>,
    next: u64,
    closed: bool,
    relay: Option<Arc<dyn ChangeRelay>>,
}

/// One subscription: what it wants to hear of, and what it was not told yet.
struct Listener {
    wants: Lists,
    news: Lists,
    /// The resources, with whether there is news of each.
    resources: BTreeMap<String, bool>,
    waker: Option<Waker>,
}

/// A change that is about to be told.
enum ChangeRef<'a> {
    Everything,
    Tools,
    Prompts,
    Resources,
    Resource(&'a str),
}

impl<'a> From<&'a Change> for ChangeRef<'a> {
    fn from(change: &'a Change) -> Self {
        match change {
            Change::Everything => Self::Everything,
            Change::Tools => Self::Tools,
            Change::Prompts => Self::Prompts,
            Change::Resources => Self::Resources,
            Change::Resource(uri) => Self::Resource(uri),
        }
    }
}

impl Listener {
    /// Notes a change that is news to it; says whether it is.
    fn note(&mut self, change: &ChangeRef<'_>) -> bool {
        let Self { wants, news, resources, .. } = self;
        let list = |wanted: bool, news: &mut bool| {
            *news |= wanted;
            wanted
        };
        match change {
            ChangeRef::Tools => list(wants.tools, &mut news.tools),
            ChangeRef::Prompts => list(wants.prompts, &mut news.prompts),
            ChangeRef::Resources => list(wants.resources, &mut news.resources),
            ChangeRef::Resource(uri) => resources.get_mut(*uri).map(|news| *news = true).is_some(),
            ChangeRef::Everything => {
                *news = *wants;
                resources.values_mut().for_each(|news| *news = true);
                *wants != Lists::default() || !resources.is_empty()
            }
        }
    }
}

/// The three lists of a server, as flags.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Lists {
    tools: bool,
    prompts: bool,
    resources: bool,
}

impl Changes {
    /// The list of tools is another one. As with the other lists, it is told only where the server
    /// was built with [`list_changes`](crate::ServerBuilder::list_changes).
    pub fn tool_list_changed(&self) {
        self.announce(Change::Tools);
    }

    /// The list of prompts is another one.
    pub fn prompt_list_changed(&self) {
        self.announce(Change::Prompts);
    }

    /// The list of resources, or of templates, is another one.
    pub fn resource_list_changed(&self) {
        self.announce(Change::Resources);
    }

    /// The content of this resource is another one. It is told only where the server was built with
    /// [`resource_updates`](crate::ServerBuilder::resource_updates).
    pub fn resource_updated(&self, uri: &str) {
        if let Some(relay) = self.tell(&ChangeRef::Resource(uri)) {
            relay.announced(Change::Resource(uri.to_owned()));
        }
    }

    /// Tells other nodes, from here on, of what is announced on this one. A relay takes the place of
    /// the one before.
    pub fn relay(&self, relay: Arc<dyn ChangeRelay>) {
        self.lock().relay = Some(relay);
    }

    /// Tells the clients of this node what was announced on another; it is not relayed.
    pub fn hear(&self, change: &Change) {
        self.tell(&change.into());
    }

    fn announce(&self, change: Change) {
        if let Some(relay) = self.tell(&(&change).into()) {
            relay.announced(change);
        }
    }

    /// Tells the clients of this node; gives who tells the others.
    fn tell(&self, change: &ChangeRef<'_>) -> Option<Arc<dyn ChangeRelay>> {
        let mut woken = Vec::new();
        let mut hub = self.lock();
        for listener in hub.listeners.values_mut() {
            if listener.note(change) {
                woken.extend(listener.waker.take());
            }
        }
        let relay = hub.relay.clone();
        drop(hub);
        // Outside the lock, because waking may run foreign code.
        woken.into_iter().for_each(Waker::wake);
        relay
    }

    /// How many subscriptions are open.
    pub fn listeners(&self) -> usize {
        self.lock().listeners.len()
    }

    /// Ends all subscriptions, and those to come.
    pub(crate) fn close(&self) {
        let mut hub = self.lock();
        hub.closed = true;
        let woken: Vec<_> =
            hub.listeners.values_mut().filter_map(|listener| listener.waker.take()).collect();
        drop(hub);
        woken.into_iter().for_each(Waker::wake);
    }

    fn subscribe(
        self,
        wanted: SubscriptionFilter,
        can: &ServerCapabilities,
    ) -> Result<(SubscriptionFilter, Subscription), ErrorObject> {
        let resources = wanted.resource_subscriptions.unwrap_or_default();
        if resources.len() > MAX_RESOURCES {
            return Err(ErrorObject::invalid_params(format!(
                "a subscription names at most {MAX_RESOURCES} resources, open several"
            )));
        }
        if resources.iter().map(String::len).sum::<usize>() > MAX_URI_BYTES {
            return Err(ErrorObject::invalid_params(format!(
                "the URIs of a subscription have at most {MAX_URI_BYTES} bytes together, open several"
            )));
        }
        let tools = can.tools.as_ref().and_then(|tools| tools.list_changed);
        let prompts = can.prompts.as_ref().and_then(|prompts| prompts.list_changed);
        let listed = can.resources.as_ref().and_then(|resources| resources.list_changed);
        let updated = can.resources.as_ref().and_then(|resources| resources.subscribe);
        let both =
            |wanted: Option<bool>, can: Option<bool>| wanted == Some(true) && can == Some(true);
        let wants = Lists {
            tools: both(wanted.tools_list_changed, tools),
            prompts: both(wanted.prompts_list_changed, prompts),
            resources: both(wanted.resources_list_changed, listed),
        };
        let resources: BTreeMap<_, _> = match updated {
            Some(true) => resources.into_iter().map(|uri| (uri, false)).collect(),
            _ => BTreeMap::new(),
        };
        let mut granted = SubscriptionFilter::new();
        granted.tools_list_changed = wants.tools.then_some(true);
        granted.prompts_list_changed = wants.prompts.then_some(true);
        granted.resources_list_changed = wants.resources.then_some(true);
        granted.resource_subscriptions =
            (!resources.is_empty()).then(|| resources.keys().cloned().collect());
        let mut hub = self.lock();
        if hub.listeners.len() >= MAX_SUBSCRIPTIONS {
            return Err(ErrorObject::internal(
                "the server has as many subscriptions as it keeps, try again later",
            ));
        }
        let id = hub.next;
        hub.next += 1;
        let listener = Listener { wants, news: Lists::default(), resources, waker: None };
        hub.listeners.insert(id, listener);
        drop(hub);
        Ok((granted, Subscription { changes: self, id }))
    }

    fn lock(&self) -> MutexGuard<'_, Hub> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one subscription until the server stops; dropping the future ends it as well.
pub(crate) async fn listen(
    wanted: SubscriptionFilter,
    incoming: Incoming,
) -> Result<Outcome, ErrorObject> {
    let Incoming { notifier, server, request } = incoming;
    let can = &server.0.discover.capabilities;
    let mut tasks = match &server.0.tasks {
        Some(tasks) => tasks.clone().watch(&server, &wanted, &request).await?,
        None => None,
    };
    let (mut granted, subscription) = server.changes().subscribe(wanted, can)?;
    if let Some(tasks) = &tasks {
        tasks.grant(&mut granted);
    }
    // Granted like one that nobody knows, and as silent.
    let hidden = granted.resource_subscriptions.iter().flatten();
    for uri in hidden.filter(|uri| server.0.catalog.hides(&request, uri)) {
        subscription.never_tells_of(uri);
    }
    // It counts from here, so nothing that changes after the acknowledgement is missed.
    let acknowledged = SubscriptionsAcknowledgedNotificationParams::new(granted);
    let mut next = ServerNotification::SubscriptionsAcknowledged(acknowledged);
    while notifier.notify(next).await.is_ok() {
        let news = match &mut tasks {
            None => subscription.next().await,
            Some(tasks) => tasks.next_or(Box::pin(subscription.next())).await,
        };
        match news {
            Some(notification) => next = notification,
            None => break,
        }
    }
    Ok(ServerResult::SubscriptionsListen(SubscriptionsListenResult::new()).into())
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}

/// A place among the listeners, given up when it is dropped.
struct Subscription {
    changes: Changes,
    id: u64,
}

impl Subscription {
    fn never_tells_of(&self, uri: &str) {
        if let Some(listener) = self.changes.lock().listeners.get_mut(&self.id) {
            listener.resources.remove(uri);
        }
    }

    /// The next change; `None` once the server stops.
    async fn next(&self) -> Option<ServerNotification> {
        poll_fn(|cx| {
            let mut hub = self.changes.lock();
            if hub.closed {
                return Poll::Ready(None);
            }
            let Some(listener) = hub.listeners.get_mut(&self.id) else { return Poll::Ready(None) };
            match listener.take() {
                Some(notification) => Poll::Ready(Some(notification)),
                None => {
                    listener.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl Listener {
    fn take(&mut self) -> Option<ServerNotification> {
        let params = NotificationParams::new;
        if std::mem::take(&mut self.news.tools) {
            return Some(ServerNotification::ToolListChanged(params()));
        }
        if std::mem::take(&mut self.news.prompts) {
            return Some(ServerNotification::PromptListChanged(params()));
        }
        if std::mem::take(&mut self.news.resources) {
            return Some(ServerNotification::ResourceListChanged(params()));
        }
        let (uri, news) = self.resources.iter_mut().find(|(_, news)| **news)?;
        *news = false;
        let params = ResourceUpdatedNotificationParams::new(uri.clone());
        Some(ServerNotification::ResourceUpdated(params))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.changes.lock().listeners.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use mcp_types::{ServerCapabilitiesResources, ServerCapabilitiesTools};

    use super::*;

    fn capable() -> ServerCapabilities {
        let mut can = ServerCapabilities::new();
        let mut tools = ServerCapabilitiesTools::new();
        tools.list_changed = Some(true);
        can.tools = Some(tools);
        let mut resources = ServerCapabilitiesResources::new();
        resources.subscribe = Some(true);
        can.resources = Some(resources);
        can
    }

    fn wanted(uris: &[&str]) -> SubscriptionFilter {
        let mut filter = SubscriptionFilter::new();
        filter.tools_list_changed = Some(true);
        filter.prompts_list_changed = Some(true);
        filter.resource_subscriptions = Some(uris.iter().map(|uri| (*uri).to_owned()).collect());
        filter
    }

    #[test]
    fn what_waits_is_a_set_of_what_was_asked_for() {
        let changes = Changes::default();
        let (granted, subscription) =
            changes.clone().subscribe(wanted(&["note:///b", "note:///a"]), &capable()).unwrap();
        // The server has no prompts, so it does not agree to tell of them.
        assert_eq!(granted.prompts_list_changed, None);
        for _ in 0..1_000 {
            changes.tool_list_changed();
            changes.prompt_list_changed();
            changes.resource_updated("note:///b");
            changes.resource_updated("note:///elsewhere");
        }
        let mut hub = changes.lock();
        let listener = hub.listeners.get_mut(&subscription.id).unwrap();
        assert!(matches!(listener.take(), Some(ServerNotification::ToolListChanged(_))));
        match listener.take() {
            Some(ServerNotification::ResourceUpdated(params)) => {
                assert_eq!(params.uri, "note:///b");
            }
            other => panic!("{other:?}"),
        }
        assert!(listener.take().is_none());
        drop(hub);
        drop(subscription);
        assert_eq!(changes.listeners(), 0);
    }

    /// What one hub announces, another hears; nothing goes in a circle.
    #[test]
    fn a_relay_carries_what_is_announced_and_not_what_is_heard() {
        struct Wire(Mutex<Vec<Change>>);

        impl ChangeRelay for Wire {
            fn announced(&self, change: Change) {
                self.0.lock().unwrap().push(change);
            }
        }

        let (here, there) = (Changes::default(), Changes::default());
        let wires = [Arc::new(Wire(Mutex::default())), Arc::new(Wire(Mutex::default()))];
        here.relay(wires[0].clone());
        there.relay(wires[1].clone());
        let filter = wanted(&["note:///a", "note:///b"]);
        let (_, subscription) = there.clone().subscribe(filter, &capable()).unwrap();
        let told = || {
            let mut hub = there.lock();
            let listener = hub.listeners.get_mut(&subscription.id).unwrap();
            std::iter::from_fn(|| listener.take()).count()
        };
        here.tool_list_changed();
        here.resource_updated("note:///b");
        here.resource_updated("note:///elsewhere");
        let sent: Vec<_> = wires[0].0.lock().unwrap().drain(..).collect();
        assert_eq!(sent.len(), 3);
        sent.iter().for_each(|change| there.hear(change));
        assert_eq!(told(), 2, "the list of tools and one resource");
        there.hear(&Change::Everything);
        assert!(told() >= 3, "all that it subscribed to");
        assert!(wires[1].0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_subscription_names_a_bounded_number_of_resources() {
        let many: Vec<_> = (0..=MAX_RESOURCES).map(|n| format!("note:///{n}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        let changes = Changes::default();
        assert!(changes.clone().subscribe(wanted(&many[1..]), &capable()).is_ok());
        let long = "a".repeat(MAX_URI_BYTES / 2);
        let (one, two) = (format!("x:{long}"), format!("y:{long}"));
        assert!(changes.clone().subscribe(wanted(&[&one]), &capable()).is_ok());
        for too_much in [wanted(&many), wanted(&[&one, &two])] {
            let error = changes.clone().subscribe(too_much, &capable()).err().unwrap();
            assert_eq!(error.code, mcp_types::error::codes::INVALID_PARAMS);
        }
    }
}
