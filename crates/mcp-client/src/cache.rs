//! The layer that keeps what servers say may be kept.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_types::error::codes;
use mcp_types::{
    CacheScope, ClientRequest, Closed, ErrorObject, Exchange, ExchangeFuture, ExchangeId,
    ExchangeService, NotificationSink, Notifier, Outcome, Principal, ServerNotification,
    ServerResult,
};
use tower_layer::Layer;
use tower_service::Service;

mod store;

use store::{Family, Key, Store, Ticket};

/// Keeps discoveries, listings and resources for as long as the server says, and gives them again
/// without asking it (specification, "Caching").
///
/// - What the server calls private, or does not sort, is kept for the caller alone: for the
///   [`Principal`] of the exchange where a gateway has put one there, else for whoever uses this
///   layer. A layer must not be shared by connections with different credentials.
/// - A change of which a subscription tells through this layer makes what is kept stale at once.
///   What comes outside of subscriptions is for [`CacheLayer::told`].
/// - An answer that was under way when the change came, or that an answer to a later request has
///   overtaken, is given to its caller and not kept.
/// - Answers to requests that carry input are never kept.
/// - What is kept is bounded by entries and bytes; what was used longest ago goes first.
///
/// A clone shares what is kept. The layer reads no clock but the one it is given.
///
/// ```
/// # use mcp_client::types::ExchangeService;
/// use mcp_client::{CacheLayer, Client};
///
/// # fn example(connection: impl ExchangeService) {
/// let cache = CacheLayer::new(std::time::Instant::now);
/// let client = Client::new(connection).layer(cache.clone());
/// cache.clear();
/// # }
/// ```
#[derive(Clone)]
pub struct CacheLayer {
    shared: Arc<Shared>,
}

struct Shared {
    now: Box<dyn Fn() -> Instant + Send + Sync>,
    most_ms: u64,
    store: Mutex<Store>,
}

impl Shared {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CacheLayer {
    /// A cache of at most 1,024 entries and 16 MiB, by the clock `now`.
    pub fn new(now: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self::bounded(now, 1_024, 16 << 20)
    }

    /// A cache of at most so many entries, and so many bytes of them together.
    pub fn bounded(
        now: impl Fn() -> Instant + Send + Sync + 'static,
        entries: usize,
        bytes: usize,
    ) -> Self {
        let store = Mutex::new(Store::new(entries, bytes));
        Self { shared: Arc::new(Shared { now: Box::new(now), most_ms: u64::MAX, store }) }
    }

    /// A cache as [`CacheLayer::new`] makes it that keeps nothing for longer than `most`, whatever
    /// the server says.
    pub fn at_most(now: impl Fn() -> Instant + Send + Sync + 'static, most: Duration) -> Self {
        let store = Mutex::new(Store::new(1_024, 16 << 20));
        let most_ms = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Self { shared: Arc::new(Shared { now: Box::new(now), most_ms, store }) }
    }

    /// Makes stale what `notification` says has changed, and what is under way of it.
    ///
    /// Notifications that pass through this layer on a subscription need no word here.
    pub fn told(&self, notification: &ServerNotification) {
        let mut store = self.shared.store();
        match notification {
            ServerNotification::ToolListChanged(_) => store.forget(Family::Tools),
            ServerNotification::PromptListChanged(_) => store.forget(Family::Prompts),
            ServerNotification::ResourceListChanged(_) => {
                store.forget(Family::Resources);
                store.forget(Family::Templates);
            }
            ServerNotification::ResourceUpdated(updated) => store.forget_resource(&updated.uri),
            _ => {}
        }
    }

    /// Forgets everything, and keeps nothing that is under way.
    pub fn clear(&self) {
        let mut store = self.shared.store();
        Family::ALL.into_iter().for_each(|family| store.forget(family));
    }

    /// How many results are kept, stale ones included.
    pub fn len(&self) -> usize {
        self.shared.store().len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for CacheLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CacheLayer").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for CacheLayer {
    type Service = Cached<S>;

    fn layer(&self, inner: S) -> Cached<S> {
        Cached { inner, layer: self.clone() }
    }
}

/// A service with a cache before it; made by [`CacheLayer`].
#[derive(Debug, Clone)]
pub struct Cached<S> {
    inner: S,
    layer: CacheLayer,
}

impl<S: ExchangeService> Service<Exchange> for Cached<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        if let ClientRequest::SubscriptionsListen(_) = exchange.request {
            let (layer, notifier) = (self.layer.clone(), std::mem::take(&mut exchange.notifier));
            let sink = Arc::new(Watching { layer, notifier });
            exchange.notifier = Notifier::new(sink, exchange.id());
            return Box::pin(self.inner.call(exchange));
        }
        let Some((public, private)) = keys(&exchange) else {
            return Box::pin(self.inner.call(exchange));
        };
        let shared = self.layer.shared.clone();
        let ticket = {
            let mut store = shared.store();
            let now = (shared.now)();
            let kept = store.get(&private, now).or_else(|| store.get(&public, now));
            if let Some(kept) = kept {
                return Box::pin(std::future::ready(Ok(Outcome::Complete(kept))));
            }
            store.ticket()
        };
        let answer = self.inner.call(exchange);
        Box::pin(async move {
            let answer = answer.await;
            shared.take(public, private, ticket, &answer);
            answer
        })
    }
}

impl Shared {
    /// Keeps an answer, if it may be kept.
    fn take(
        &self,
        public: Key,
        private: Key,
        ticket: Ticket,
        answer: &Result<Outcome, ErrorObject>,
    ) {
        match answer {
            Ok(Outcome::Complete(result)) => {
                let hints = hints(result).map(|(ttl, scope)| (ttl.min(self.most_ms), scope));
                let Some((ttl_ms, scope)) = hints.filter(|(ttl, _)| *ttl > 0) else {
                    return;
                };
                let key = if scope == Some(&CacheScope::Public) { public } else { private };
                self.store().insert(key, ticket, result, ttl_ms, (self.now)());
            }
            // A cursor that was good once and is not any more: the list is another one.
            Err(error) if error.code == codes::INVALID_PARAMS && private.has_cursor() => {
                self.store().forget(private.family());
            }
            _ => {}
        }
    }
}

/// Under which keys a request's result may be kept: for everybody, and for its caller.
fn keys(exchange: &Exchange) -> Option<(Key, Key)> {
    use ClientRequest as Request;
    let context = &exchange.context;
    if context.input_responses.is_some()
        || context.request_state.is_some()
        || exchange.attempt() > 0
    {
        return None;
    }
    let (family, subject) = match &exchange.request {
        Request::Discover(params) if params.extra.is_empty() => (Family::Discover, None),
        Request::ListTools(params) if params.extra.is_empty() => {
            (Family::Tools, params.cursor.clone())
        }
        Request::ListPrompts(params) if params.extra.is_empty() => {
            (Family::Prompts, params.cursor.clone())
        }
        Request::ListResources(params) if params.extra.is_empty() => {
            (Family::Resources, params.cursor.clone())
        }
        Request::ListResourceTemplates(params) if params.extra.is_empty() => {
            (Family::Templates, params.cursor.clone())
        }
        Request::ReadResource(params) if params.extra.is_empty() => {
            (Family::Reads, Some(params.uri.clone()))
        }
        _ => return None,
    };
    // What a client can do may decide what a server lists.
    let declared = context.declared().map(|text| text.get().to_owned());
    let public = Key::new(family, subject, declared);
    // The whole of it: a token with fewer scopes, or for another client, may see less.
    let principal = context.extensions.get::<Principal>().map(|who| format!("{who:?}"));
    let private = public.of(principal.unwrap_or_default());
    Some((public, private))
}

/// The cache hints of a result.
fn hints(result: &ServerResult) -> Option<(u64, Option<&CacheScope>)> {
    let (ttl, scope) = match result {
        ServerResult::Discover(result) => (result.ttl_ms, &result.cache_scope),
        ServerResult::ListTools(result) => (result.ttl_ms, &result.cache_scope),
        ServerResult::ListPrompts(result) => (result.ttl_ms, &result.cache_scope),
        ServerResult::ListResources(result) => (result.ttl_ms, &result.cache_scope),
        ServerResult::ListResourceTemplates(result) => (result.ttl_ms, &result.cache_scope),
        ServerResult::ReadResource(result) => (result.ttl_ms, &result.cache_scope),
        _ => return None,
    };
    Some((ttl?, scope.as_ref()))
}

/// Hears the changes that pass on a subscription before whoever subscribed.
struct Watching {
    layer: CacheLayer,
    notifier: Notifier,
}

impl NotificationSink for Watching {
    fn poll_notify(
        &self,
        cx: &mut Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(told) = &notification {
            self.layer.told(told);
        }
        self.notifier.poll_notify(cx, notification)
    }
}
