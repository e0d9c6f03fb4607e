//! Changes for the era with a handshake: its clients hear of lists without asking, and subscribe to
//! one resource at a time (2025-11-25, "Resources", "Subscriptions").
//!
//! To the server behind these are subscriptions of ours: one to the lists, which lasts as long as
//! the connection, and one to all resources of which the client wants to hear. When these change, a
//! new one takes its place, and the old one is heard for a little longer: what it had not told yet
//! would be lost, and to hear of a change twice does no harm.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use mcp_types::jsonrpc::Request;
use mcp_types::legacy::SubscribeRequestParams;
use mcp_types::wire::LEGACY;
use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeId, Members, RawText, ServerCapabilities,
    ServerNotification, SubscriptionFilter, SubscriptionsListenRequestParams,
};

use super::opening::has_envelope;
#[cfg(feature = "http-server")]
use super::remembered::{Told, filter};
use super::{Entry, Kind, Phase, ServerConn, ServerEvent};

/// How many resources a client may subscribe to.
const MAX_RESOURCES: usize = 1_024;

/// How many bytes their URIs may have together: each is kept several times over.
const MAX_URI_BYTES: usize = 128 << 10;

/// For how long a subscription is heard after another took its place.
const FADING: Duration = Duration::from_secs(1);

/// How many such there are at most.
const MAX_FADING: usize = 4;

/// Of what a client hears, and by which exchanges.
#[derive(Debug, Default)]
pub(super) struct Listening {
    /// What the server tells of.
    server: SubscriptionFilter,
    /// Whether it tells of single resources.
    updates: bool,
    /// The resources of which the client wants to hear.
    pub(super) uris: BTreeSet<String>,
    lists: Option<ExchangeId>,
    resources: Option<ExchangeId>,
    /// Earlier ones, with the time at which they end.
    fading: VecDeque<(Instant, ExchangeId)>,
}

impl Listening {
    /// What another connection has learned, and the resources of which its client wants to hear.
    #[cfg(feature = "http-server")]
    pub(super) fn of(told: Told, uris: BTreeSet<String>) -> Self {
        Self { server: filter(told), updates: told.updates, uris, ..Self::default() }
    }

    /// What the server tells of.
    #[cfg(feature = "http-server")]
    pub(super) fn told(&self) -> Told {
        Told {
            tools: self.server.tools_list_changed.is_some(),
            prompts: self.server.prompts_list_changed.is_some(),
            resources: self.server.resources_list_changed.is_some(),
            updates: self.updates,
        }
    }

    /// Learns what the server tells of.
    pub(super) fn learn(&mut self, server: &ServerCapabilities) {
        let (tools, prompts) = (server.tools.as_ref(), server.prompts.as_ref());
        let resources = server.resources.as_ref();
        let told = |told: Option<bool>| told.filter(|told| *told);
        self.server.tools_list_changed = told(tools.and_then(|tools| tools.list_changed));
        self.server.prompts_list_changed = told(prompts.and_then(|prompts| prompts.list_changed));
        self.server.resources_list_changed = told(resources.and_then(|can| can.list_changed));
        self.updates = resources.and_then(|can| can.subscribe) == Some(true);
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.fading.front().map(|(end, _)| *end)
    }

    /// How many exchanges of ours there are.
    pub(super) fn count(&self) -> usize {
        let now = usize::from(self.lists.is_some()) + usize::from(self.resources.is_some());
        now + self.fading.len()
    }

    fn forget(&mut self, exchange: ExchangeId) {
        self.lists.take_if(|known| *known == exchange);
        self.resources.take_if(|known| *known == exchange);
        self.fading.retain(|(_, known)| *known != exchange);
    }
}

impl ServerConn {
    /// Subscribes to the lists of which the server tells, for a client that has shaken hands.
    pub(crate) fn listen_to_lists(&mut self) {
        let Phase::Legacy(legacy) = &self.phase else { return };
        let filter = legacy.changes.server.clone();
        if legacy.changes.lists.is_some() || filter == SubscriptionFilter::new() {
            return;
        }
        let lists = self.listen(filter);
        if let Phase::Legacy(legacy) = &mut self.phase {
            legacy.changes.lists = lists;
        }
    }

    /// Subscribes to the resources of which the client wants to hear now.
    pub(super) fn listen_to_resources(&mut self, now: Instant) {
        let Phase::Legacy(legacy) = &mut self.phase else { return };
        let changes = &mut legacy.changes;
        let before = changes.resources.take();
        changes.fading.extend(before.map(|before| (now + FADING, before)));
        let oldest = changes.fading.front().map(|(_, oldest)| *oldest);
        let too_many = oldest.filter(|_| changes.fading.len() > MAX_FADING);
        let uris: Vec<_> = changes.uris.iter().cloned().collect();
        if let Some(exchange) = too_many {
            self.end_listening(exchange);
        }
        if uris.is_empty() {
            return;
        }
        let mut filter = SubscriptionFilter::new();
        filter.resource_subscriptions = Some(uris);
        let resources = self.listen(filter);
        if let Phase::Legacy(legacy) = &mut self.phase {
            legacy.changes.resources = resources;
        }
    }

    fn listen(&mut self, filter: SubscriptionFilter) -> Option<ExchangeId> {
        let Phase::Legacy(legacy) = &self.phase else { return None };
        let params = SubscriptionsListenRequestParams::new(filter);
        let mut exchange = Exchange::new(ClientRequest::SubscriptionsListen(params));
        legacy.paste(&mut exchange.context);
        let (id, kind) = (exchange.id(), Kind::Listening);
        let (request, log_level, batch, inputs) = (None, None, None, None);
        let entry =
            Entry { request, codec: &LEGACY, kind, log_level, batch, inputs, verbatim: None };
        self.start(exchange, entry);
        Some(id)
    }

    /// Ends those that are heard no longer.
    pub(super) fn expire_listening(&mut self, now: Instant) {
        while let Phase::Legacy(legacy) = &self.phase
            && let Some((end, exchange)) = legacy.changes.fading.front().copied()
            && end <= now
        {
            self.end_listening(exchange);
        }
    }

    pub(super) fn end_listening(&mut self, exchange: ExchangeId) {
        self.stop_listening(exchange);
        self.events.push_back(ServerEvent::Cancelled(exchange));
    }

    /// A subscription of ours is over.
    pub(super) fn stop_listening(&mut self, exchange: ExchangeId) {
        self.remove(exchange);
        if let Phase::Legacy(legacy) = &mut self.phase {
            legacy.changes.forget(exchange);
        }
    }

    /// Whether the client hears of this; what it did not ask for it does not.
    pub(super) fn is_wanted(&self, notification: &ServerNotification) -> bool {
        let Phase::Legacy(legacy) = &self.phase else { return false };
        match notification {
            ServerNotification::ResourceUpdated(told) => legacy.changes.uris.contains(&told.uri),
            ServerNotification::SubscriptionsAcknowledged(_) => false,
            _ => true,
        }
    }

    /// Whether a request begins or ends to hear of one resource, on a server that tells of such.
    pub(super) fn is_about_updates(&self, request: &Request) -> bool {
        let Phase::Legacy(legacy) = &self.phase else { return false };
        legacy.changes.updates
            && matches!(&*request.method, "resources/subscribe" | "resources/unsubscribe")
            && !has_envelope(request)
    }

    pub(super) fn subscribe(&mut self, now: Instant, request: &Request, batch: Option<u64>) {
        match self.try_subscribe(now, request) {
            Ok(()) => self.answer_value(&request.id, batch, &Members::new()),
            Err(error) => self.answer_error(Some(&request.id), &error, batch),
        }
    }

    fn try_subscribe(&mut self, now: Instant, request: &Request) -> Result<(), ErrorObject> {
        let Phase::Legacy(legacy) = &mut self.phase else { return Ok(()) };
        let params = request.params.as_ref().map(RawText::parse::<SubscribeRequestParams>);
        let uri = match params {
            Some(Ok(params)) => params.uri,
            Some(Err(error)) => {
                return Err(ErrorObject::invalid_params(error.within("params").to_string()));
            }
            None => {
                let text = format!("`{}` needs `params.uri`", request.method);
                return Err(ErrorObject::invalid_params(text));
            }
        };
        let uris = &mut legacy.changes.uris;
        let changed = if &*request.method == "resources/unsubscribe" {
            uris.remove(&uri)
        } else if uris.len() >= MAX_RESOURCES && !uris.contains(&uri) {
            return Err(ErrorObject::invalid_params(format!(
                "a client subscribes to at most {MAX_RESOURCES} resources, unsubscribe from others"
            )));
        } else if uris.iter().map(String::len).sum::<usize>() + uri.len() > MAX_URI_BYTES
            && !uris.contains(&uri)
        {
            return Err(ErrorObject::invalid_params(format!(
                "the URIs to which a client subscribes have at most {MAX_URI_BYTES} bytes \
                 together, unsubscribe from others"
            )));
        } else {
            uris.insert(uri)
        };
        if changed {
            self.listen_to_resources(now);
        }
        Ok(())
    }
}
