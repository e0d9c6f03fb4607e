//! Subscriptions to a server that has none: what it says of its own accord, for whoever listens.
//! And the level of its log, which is the connection's.
//!
//! A server that wants a handshake tells of changes without being asked on a stream of its own, and
//! of resources after `resources/subscribe`. Each `subscriptions/listen` stands here: it is
//! acknowledged once the server has answered for its resources, hears what it asked for, and lasts
//! until it is cancelled or the connection is lost. A resource is subscribed to once, for all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use mcp_types::wire::LEGACY;
use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeId, LoggingLevel, Outcome, RawText,
    ServerNotification, SubscriptionFilter, SubscriptionsAcknowledgedNotificationParams,
};

use super::{ClientConn, ClientEvent, Phase};

/// All subscriptions of one connection.
#[derive(Debug, Default)]
pub(super) struct Listening {
    listeners: BTreeMap<ExchangeId, Listener>,
    /// Resources of which the server was asked to tell.
    subscribed: BTreeSet<String>,
    /// Requests of our own; nobody above waits for them.
    asked: HashMap<ExchangeId, Ours>,
    /// From which level on the server was asked to log.
    log_level: Option<LoggingLevel>,
}

/// A request that nobody above has made.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Ours {
    Subscribe(String),
    Unsubscribe(String),
    SetLevel(LoggingLevel),
}

#[derive(Debug)]
struct Listener {
    /// Of what it will hear; what the server does not tell is taken out.
    filter: SubscriptionFilter,
    acknowledged: bool,
}

impl Listener {
    fn uris(&self) -> impl Iterator<Item = &String> {
        self.filter.resource_subscriptions.iter().flatten()
    }

    fn wants(&self, told: &ServerNotification) -> bool {
        let filter = &self.filter;
        let wanted = match told {
            ServerNotification::ToolListChanged(_) => filter.tools_list_changed,
            ServerNotification::PromptListChanged(_) => filter.prompts_list_changed,
            ServerNotification::ResourceListChanged(_) => filter.resources_list_changed,
            ServerNotification::ResourceUpdated(updated) => {
                return self.uris().any(|uri| lies_in(&updated.uri, uri));
            }
            _ => None,
        };
        wanted == Some(true)
    }
}

impl ClientConn {
    /// Listens for an exchange, as far as the server tells anything.
    pub(super) fn listen(&mut self, now: Instant, id: ExchangeId, wanted: &SubscriptionFilter) {
        let Phase::Legacy(_, found) = &self.phase else { return };
        let can = &found.capabilities;
        let only = |wanted: Option<bool>, can: Option<bool>| {
            wanted.filter(|wanted| *wanted && can == Some(true))
        };
        let mut filter = SubscriptionFilter::new();
        let tools = can.tools.as_ref().and_then(|tools| tools.list_changed);
        filter.tools_list_changed = only(wanted.tools_list_changed, tools);
        let prompts = can.prompts.as_ref().and_then(|prompts| prompts.list_changed);
        filter.prompts_list_changed = only(wanted.prompts_list_changed, prompts);
        let resources = can.resources.as_ref();
        let listed = resources.and_then(|resources| resources.list_changed);
        filter.resources_list_changed = only(wanted.resources_list_changed, listed);
        let tells = resources.is_some_and(|resources| resources.subscribe == Some(true));
        let uris = wanted.resource_subscriptions.clone();
        filter.resource_subscriptions = uris.filter(|uris| tells && !uris.is_empty());
        let listener = Listener { filter, acknowledged: false };
        let uris: BTreeSet<String> = listener.uris().cloned().collect();
        self.listening.listeners.insert(id, listener);
        for uri in uris {
            if self.listening.subscribed.insert(uri.clone()) {
                self.ask(now, Ours::Subscribe(uri));
            }
        }
        self.acknowledge();
    }

    /// Asks the server to log from the level on that an exchange wants, for its whole connection:
    /// older revisions know no other way (2025-11-25, "Logging").
    pub(super) fn set_level(&mut self, now: Instant, wanted: Option<LoggingLevel>) {
        let Phase::Legacy(_, found) = &self.phase else { return };
        let logs = found.capabilities.logging.is_some();
        if let Some(level) = wanted.filter(|_| logs && wanted != self.listening.log_level) {
            self.listening.log_level = wanted;
            self.ask(now, Ours::SetLevel(level));
        }
    }

    /// Sends a request of our own; its answer comes to [`Self::for_listeners`].
    fn ask(&mut self, now: Instant, ours: Ours) {
        let (method, name, value) = match &ours {
            Ours::Subscribe(uri) => ("resources/subscribe", "uri", uri.as_str()),
            Ours::Unsubscribe(uri) => ("resources/unsubscribe", "uri", uri.as_str()),
            Ours::SetLevel(level) => ("logging/setLevel", "level", level.as_str()),
        };
        let params = RawText::of(&BTreeMap::from([(name, value)])).ok();
        let request = ClientRequest::Extension { method: method.to_owned(), params };
        let exchange = Exchange::new(request);
        self.listening.asked.insert(exchange.id(), ours);
        self.send(now, &LEGACY, exchange);
    }

    /// Takes the answer to a request of our own; gives back any other.
    pub(super) fn for_listeners(
        &mut self,
        exchange: ExchangeId,
        result: Result<Outcome, ErrorObject>,
    ) -> Option<Result<Outcome, ErrorObject>> {
        if self.listening.asked.is_empty() {
            return Some(result);
        }
        let Some(ours) = self.listening.asked.remove(&exchange) else { return Some(result) };
        if let (Ours::Subscribe(uri), Err(_)) = (ours, result) {
            self.listening.subscribed.remove(&uri);
            for listener in self.listening.listeners.values_mut() {
                if let Some(uris) = &mut listener.filter.resource_subscriptions {
                    uris.retain(|known| *known != uri);
                }
            }
        }
        self.acknowledge();
        None
    }

    /// Tells listeners what they will hear, once the server has answered for all of it.
    fn acknowledge(&mut self) {
        let Listening { listeners, asked, .. } = &mut self.listening;
        for (id, listener) in listeners.iter_mut().filter(|(_, listener)| !listener.acknowledged) {
            let waits = asked.values().any(|ours| match ours {
                Ours::Subscribe(asked) => listener.uris().any(|uri| uri == asked),
                _ => false,
            });
            if waits {
                continue;
            }
            listener.acknowledged = true;
            let told = SubscriptionsAcknowledgedNotificationParams::new(listener.filter.clone());
            let told = ServerNotification::SubscriptionsAcknowledged(told);
            self.events.push_back(ClientEvent::Notified(Some(*id), told));
        }
    }

    /// Tells a change to whoever listens; gives it back if nobody does.
    pub(super) fn tell_listeners(
        &mut self,
        told: ServerNotification,
    ) -> Option<ServerNotification> {
        let listeners = self.listening.listeners.iter();
        let mut heard = listeners
            .filter(|(_, listener)| listener.acknowledged && listener.wants(&told))
            .map(|(id, _)| *id)
            .peekable();
        if heard.peek().is_none() {
            return Some(told);
        }
        for id in heard {
            self.events.push_back(ClientEvent::Notified(Some(id), told.clone()));
        }
        None
    }

    /// Ends a listener that was cancelled; says whether it was one.
    pub(super) fn unlisten(&mut self, now: Instant, id: ExchangeId) -> bool {
        let Some(gone) = self.listening.listeners.remove(&id) else { return false };
        for uri in gone.uris() {
            let wanted =
                self.listening.listeners.values().any(|other| other.uris().any(|u| u == uri));
            if !wanted && self.listening.subscribed.remove(uri) {
                self.ask(now, Ours::Unsubscribe(uri.clone()));
            }
        }
        true
    }

    /// Ends all listeners, because the server has forgotten what it was asked to tell.
    pub fn end_listeners(&mut self, error: &ErrorObject) {
        self.listening.subscribed.clear();
        self.listening.log_level = None;
        for id in std::mem::take(&mut self.listening.listeners).into_keys() {
            self.completed(id, Err(error.clone()));
        }
    }
}

/// Whether a resource is the one that was subscribed to, or lies below it (2025-11-25,
/// "ResourceUpdatedNotification").
fn lies_in(uri: &str, of: &str) -> bool {
    uri.strip_prefix(of).is_some_and(|rest| {
        rest.is_empty() || of.ends_with('/') || rest.starts_with(['/', '?', '#'])
    })
}

#[cfg(test)]
mod tests {
    use mcp_types::version::Era;
    use mcp_types::{Implementation, Origin, RequestParams, SubscriptionsListenRequestParams};

    use super::*;
    use crate::proto::client::ClientConfig;

    /// A client, and what a server of an older revision would have read and may say.
    struct Peer {
        conn: ClientConn,
        now: Instant,
    }

    impl Peer {
        fn open(capabilities: &str) -> Self {
            let mut config = ClientConfig::new(Implementation::new("client", "1"));
            config.era = Some(Era::Legacy);
            let mut peer = Self { conn: ClientConn::new(config), now: Instant::now() };
            let first = Exchange::new(ClientRequest::Discover(RequestParams::new()));
            peer.conn.request(peer.now, first);
            assert!(peer.sent()[0].contains(r#""method":"initialize""#));
            peer.says(&format!(
                r#"{{"jsonrpc":"2.0","id":1,"result":{{"protocolVersion":"2025-11-25",
                "capabilities":{capabilities},"serverInfo":{{"name":"s","version":"1"}}}}}}"#
            ));
            assert_eq!(peer.sent().len(), 1);
            peer.heard();
            peer
        }

        fn says(&mut self, text: &str) {
            self.conn.handle(self.now, &text.into());
        }

        fn sent(&mut self) -> Vec<String> {
            let mut sent = Vec::new();
            while let Some(transmit) = self.conn.poll_transmit() {
                sent.push(String::from_utf8(transmit.message.to_vec()).unwrap());
            }
            sent
        }

        fn heard(&mut self) -> Vec<ClientEvent> {
            std::iter::from_fn(|| self.conn.poll_event()).collect()
        }

        fn listen(&mut self, filter: SubscriptionFilter) -> ExchangeId {
            let params = SubscriptionsListenRequestParams::new(filter);
            let exchange = Exchange::new(ClientRequest::SubscriptionsListen(params));
            let id = exchange.id();
            self.conn.request(self.now, exchange);
            id
        }
    }

    fn resources(uris: &[&str]) -> SubscriptionFilter {
        let mut filter = SubscriptionFilter::new();
        filter.resource_subscriptions = Some(uris.iter().map(|uri| (*uri).to_owned()).collect());
        filter
    }

    fn acknowledged(events: &[ClientEvent], of: ExchangeId) -> SubscriptionFilter {
        match events {
            [
                ClientEvent::Notified(
                    Some(id),
                    ServerNotification::SubscriptionsAcknowledged(told),
                ),
            ] if *id == of => told.notifications.clone(),
            other => panic!("{other:?}"),
        }
    }

    const ALL: &str = r#"{"tools":{"listChanged":true},"resources":{"subscribe":true}}"#;

    #[test]
    fn changes_reach_whoever_listens_and_nobody_else() {
        let mut peer = Peer::open(ALL);
        let mut wanted = SubscriptionFilter::new();
        wanted.tools_list_changed = Some(true);
        wanted.prompts_list_changed = Some(true);
        let id = peer.listen(wanted);
        let honoured = acknowledged(&peer.heard(), id);
        assert_eq!(honoured.tools_list_changed, Some(true));
        assert_eq!(honoured.prompts_list_changed, None, "the server does not tell of prompts");
        peer.says(r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#);
        peer.says(r#"{"jsonrpc":"2.0","method":"notifications/prompts/list_changed"}"#);
        let heard = peer.heard();
        let [ClientEvent::Notified(Some(one), _), ClientEvent::Notified(None, _)] = &*heard else {
            panic!("{heard:?}")
        };
        assert_eq!(*one, id);
    }

    #[test]
    fn a_resource_is_subscribed_to_once_and_given_back_with_its_last_listener() {
        let mut peer = Peer::open(ALL);
        let first = peer.listen(resources(&["file:///a"]));
        let sent = peer.sent();
        let expected = r#"{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"file:///a"}}"#;
        assert_eq!(sent, [expected]);
        assert!(peer.heard().is_empty(), "the server has not said yet whether it will tell");
        peer.says(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
        assert_eq!(acknowledged(&peer.heard(), first), resources(&["file:///a"]));

        let second = peer.listen(resources(&["file:///a"]));
        assert!(peer.sent().is_empty());
        acknowledged(&peer.heard(), second);
        peer.says(
            r#"{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a/b"}}"#,
        );
        assert_eq!(peer.heard().len(), 2);

        peer.conn.cancel(peer.now, first);
        assert!(peer.sent().is_empty());
        peer.conn.cancel(peer.now, second);
        let sent = peer.sent();
        assert!(sent.len() == 1 && sent[0].contains(r#""method":"resources/unsubscribe""#));
        peer.says(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
        assert!(peer.heard().is_empty(), "nobody waits for that");
    }

    #[test]
    fn what_the_server_will_not_tell_is_not_acknowledged() {
        let mut peer = Peer::open(ALL);
        let id = peer.listen(resources(&["file:///a", "file:///b"]));
        peer.sent();
        peer.says(r#"{"jsonrpc":"2.0","id":3,"result":{}}"#);
        assert!(peer.heard().is_empty());
        peer.says(r#"{"jsonrpc":"2.0","id":2,"error":{"code":-32002,"message":"no such"}}"#);
        assert_eq!(acknowledged(&peer.heard(), id), resources(&["file:///b"]));

        let mut peer = Peer::open(r#"{"resources":{}}"#);
        let id = peer.listen(resources(&["file:///a"]));
        assert!(peer.sent().is_empty());
        assert_eq!(acknowledged(&peer.heard(), id), SubscriptionFilter::new());
    }

    #[test]
    fn the_level_of_the_log_is_set_when_an_exchange_wants_another() {
        let mut peer = Peer::open(r#"{"logging":{}}"#);
        let mut call = |level| {
            let params = mcp_types::CallToolRequestParams::new("x");
            let mut exchange = Exchange::new(ClientRequest::CallTool(params));
            exchange.context.log_level = level;
            peer.conn.request(peer.now, exchange);
            peer.sent()
        };
        let sent = call(Some(LoggingLevel::Debug));
        let expected =
            r#"{"jsonrpc":"2.0","id":2,"method":"logging/setLevel","params":{"level":"debug"}}"#;
        assert_eq!(sent[0], expected);
        assert!(sent[1].contains("tools/call") && sent.len() == 2);
        assert_eq!(call(Some(LoggingLevel::Debug)).len(), 1);
        assert_eq!(call(None).len(), 1);
        assert_eq!(call(Some(LoggingLevel::Error)).len(), 2);
        peer.says(r#"{"jsonrpc":"2.0","id":2,"result":{}}"#);
        assert!(peer.heard().is_empty(), "nobody waits for that");

        let mut peer = Peer::open("{}");
        let params = mcp_types::CallToolRequestParams::new("x");
        let mut exchange = Exchange::new(ClientRequest::CallTool(params));
        exchange.context.log_level = Some(LoggingLevel::Debug);
        peer.conn.request(peer.now, exchange);
        assert_eq!(peer.sent().len(), 1, "a server that does not log is not told how to");
    }

    #[test]
    fn a_lost_connection_ends_every_listener() {
        let mut peer = Peer::open(ALL);
        let id = peer.listen(resources(&["file:///a"]));
        peer.conn.fail(ErrorObject::local(Origin::Connection, "gone"));
        let heard = peer.heard();
        let [ClientEvent::Completed(ended, Err(error))] = &*heard else { panic!("{heard:?}") };
        assert_eq!((*ended, error.origin), (id, Origin::Connection));
    }
}
