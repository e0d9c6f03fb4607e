//! Two servers that share their sessions, and what clients see whose requests alternate between them.
//! The stores are the caller's: memory here, Redis in `mcp-redis`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::request::Parts;
use mcp_transport::http::server::HttpOptions;
use mcp_transport::http::{Admission, Gate};
use mcp_types::*;
use tokio::sync::{Semaphore, broadcast};
use tokio::time::timeout;
use tower_service::Service;

use crate::common::{INITIALIZED, Tools, legacy, modern, text};
use crate::raw::{POST, Raw, Served, modern_head, served};

/// A server whose two nodes hear of the same changes.
#[derive(Clone)]
struct Shop {
    changes: broadcast::Sender<&'static str>,
    go: Arc<Semaphore>,
}

impl Service<Exchange> for Shop {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        let this = self.clone();
        Box::pin(async move {
            match &exchange.request {
                ClientRequest::Discover(_) => {
                    let mut capabilities = ServerCapabilities::new();
                    let mut tools = ServerCapabilitiesTools::new();
                    tools.list_changed = Some(true);
                    capabilities.tools = Some(tools);
                    let mut resources = ServerCapabilitiesResources::new();
                    resources.subscribe = Some(true);
                    capabilities.resources = Some(resources);
                    Ok(ServerResult::from(DiscoverResult::new(capabilities, Vec::new())).into())
                }
                ClientRequest::SubscriptionsListen(params) => {
                    let wanted = params.notifications.clone();
                    this.listen(&exchange, &wanted).await;
                    Err(ErrorObject::internal("the subscription is over"))
                }
                ClientRequest::CallTool(params) => match &*params.name {
                    "slow" => {
                        for step in 1..=4_u32 {
                            if step == 2 {
                                this.go.acquire().await.unwrap().forget();
                            }
                            let token = exchange.context.progress_token.clone().unwrap();
                            let said = ProgressNotificationParams::new(f64::from(step), token);
                            let said = ServerNotification::Progress(said);
                            exchange.notifier.notify(said).await.unwrap();
                        }
                        text("slow is done")
                    }
                    "level" => text(format!("{:?}", exchange.context.log_level)),
                    "principal" => {
                        let who = exchange.context.extensions.get::<Principal>();
                        text(who.map_or("nobody", |who| &who.subject))
                    }
                    _ => Tools.call(exchange).await,
                },
                _ => Tools.call(exchange).await,
            }
        })
    }
}

impl Shop {
    async fn listen(&self, exchange: &Exchange, wanted: &SubscriptionFilter) {
        let mut changes = self.changes.subscribe();
        let uris = wanted.resource_subscriptions.clone().unwrap_or_default();
        while let Ok(change) = changes.recv().await {
            let told = match change {
                "tools" if wanted.tools_list_changed == Some(true) => {
                    ServerNotification::ToolListChanged(NotificationParams::default())
                }
                uri if uris.iter().any(|known| known == uri) => {
                    ServerNotification::ResourceUpdated(ResourceUpdatedNotificationParams::new(uri))
                }
                _ => continue,
            };
            if exchange.notifier.notify(told).await.is_err() {
                return;
            }
        }
    }
}

/// Knows its callers by a header.
struct ByHeader;

impl Gate for ByHeader {
    fn admit(&self, request: &Parts) -> Admission {
        let mut known = Extensions::new();
        if let Some(user) = request.headers.get("x-user").and_then(|user| user.to_str().ok()) {
            known.insert(Principal::new("https://issuer", user));
        }
        Admission::Now(Ok(known))
    }
}

/// Two nodes of one server.
pub struct Nodes {
    pub nodes: [Served; 2],
    shop: Shop,
    user: &'static str,
}

impl Nodes {
    /// Serves with these options, whose stores are shared.
    pub async fn start(options: [HttpOptions; 2]) -> Self {
        let shop = Shop { changes: broadcast::Sender::new(64), go: Arc::new(Semaphore::new(0)) };
        let [one, other] = options.map(|mut options| {
            options.gate = Some(Arc::new(ByHeader));
            options
        });
        let nodes = [served(shop.clone(), one).await, served(shop.clone(), other).await];
        Self { nodes, shop, user: "ada" }
    }

    pub fn head(&self, session: &str) -> String {
        let user = self.user;
        format!(
            "{POST}MCP-Protocol-Version: 2025-11-25\nMcp-Session-Id: {session}\nX-User: {user}\n"
        )
    }

    fn get(&self, session: &str, last: Option<&str>) -> String {
        let last = last.map(|last| format!("Last-Event-ID: {last}\n")).unwrap_or_default();
        let user = self.user;
        format!(
            "GET /mcp HTTP/1.1\nAccept: text/event-stream\nMcp-Session-Id: {session}\nX-User: {user}\n{last}"
        )
    }

    /// Begins a session on the first node; the client says on the other that it is initialized.
    pub async fn begin(&self) -> String {
        let [one, other] = &self.nodes;
        let head = format!("{POST}X-User: {}\n", self.user);
        let reply = one.ask(&head, NEW).await;
        let id = reply.header("mcp-session-id").expect("a session").to_owned();
        reply.with_status(200);
        assert_eq!(other.ask(&self.head(&id), INITIALIZED).await.with_status(202), "");
        id
    }

    /// The text of what a tool gives on a node.
    pub async fn call(&self, node: usize, session: &str, tool: &str) -> String {
        self.nodes[node].ask(&self.head(session), &call(1, tool)).await.with_status(200)
    }

    /// A call without a session.
    pub async fn modern(&self, node: usize) -> u16 {
        let head = modern_head("tools/call", "echo");
        let body = modern(1, "tools/call", r#""name":"echo","arguments":{"message":"hi"}"#);
        self.nodes[node].ask(&head, &body).await.status
    }

    /// The status of each way to use a session on a node.
    pub async fn statuses(&self, node: usize, session: &str) -> [u16; 3] {
        let delete = self.get(session, None).replace("GET", "DELETE");
        let node = &self.nodes[node];
        [
            node.ask(&self.head(session), &call(1, "echo")).await.status,
            node.ask(&self.get(session, Some("0-1")), "").await.status,
            node.ask(&delete, "").await.status,
        ]
    }

    pub async fn open(&self, node: usize, session: &str, last: Option<&str>) -> Raw {
        let mut raw = self.nodes[node].connect().await;
        raw.request(&self.get(session, last), "").await;
        let head = raw.head().await;
        assert_eq!(head.header("content-type"), Some("text/event-stream"), "{head:?}");
        raw
    }

    async fn post(&self, node: usize, session: &str, body: &str) -> Raw {
        let mut raw = self.nodes[node].connect().await;
        raw.request(&self.head(session), body).await;
        raw
    }
}

const NEW: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}},"clientInfo":{"name":"lines","version":"1"}}}"#;

fn call(id: u32, name: &str) -> String {
    let rest = r#""arguments":{"message":"hi"},"_meta":{"progressToken":"p"}"#;
    legacy(id, "tools/call", &format!(r#""name":"{name}",{rest}"#))
}

/// Longer than a node takes to hear of another one, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The next event that has data, with its id.
async fn event(raw: &mut Raw) -> Option<(String, String)> {
    let event = timeout(PATIENCE, raw.event()).await.expect("an event")?;
    Some((event.0.unwrap_or_default(), event.1))
}

/// Reads until an event says this; gives its id.
async fn says(raw: &mut Raw, wanted: &str) -> String {
    loop {
        let (id, data) = event(raw).await.unwrap_or_else(|| panic!("it never says {wanted}"));
        if data.contains(wanted) {
            return id;
        }
    }
}

/// Changes something until a stream says so: a node hears a little later what was set on another.
async fn hears(nodes: &Nodes, raw: &mut Raw, change: &'static str, wanted: &str) -> String {
    let changes = nodes.shop.changes.clone();
    let teller = tokio::spawn(async move {
        loop {
            let _ = changes.send(change);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let id = says(raw, wanted).await;
    teller.abort();
    id
}

/// One session, served by both nodes in turn.
pub async fn calls_alternate(nodes: &Nodes) {
    let id = nodes.begin().await;
    for number in 0..6 {
        let who = nodes.call(number % 2, &id, "who").await;
        assert!(who.contains(r#""text":"lines""#), "node {}: {who}", number % 2);
        let principal = nodes.call(number % 2, &id, "principal").await;
        assert!(principal.contains(r#""text":"ada""#), "{principal}");
    }
    // What is set on one node counts on the other, whichever it is.
    for (number, level) in [(0, "warning"), (1, "error"), (0, "debug")] {
        let body = legacy(2, "logging/setLevel", &format!(r#""level":"{level}""#));
        nodes.nodes[number].ask(&nodes.head(&id), &body).await.with_status(200);
        for node in [1 - number, number] {
            let said = nodes.call(node, &id, "level").await.to_lowercase();
            assert!(said.contains(&format!("some({level})")), "{level} on {node}: {said}");
        }
    }
    // A batch of the revision that has them is one lookup, and sets as well.
    let unknown = nodes.nodes[1].ask(&nodes.head("no-such-session"), &call(1, "echo")).await;
    assert_eq!((unknown.status, unknown.code()), (404, -32600));
}

/// A call that began on one node is read to its end on the other.
pub async fn a_stream_goes_on_elsewhere(nodes: &Nodes) {
    let id = nodes.begin().await;
    let mut raw = nodes.post(0, &id, &call(7, "slow")).await;
    raw.head().await;
    let (first, said) = event(&mut raw).await.unwrap();
    assert!(said.contains(r#""progress":1"#), "{said}");
    drop(raw);
    let mut back = nodes.open(1, &id, Some(&first)).await;
    nodes.shop.go.add_permits(1);
    let mut all = Vec::new();
    while let Some(event) = event(&mut back).await {
        all.push(event);
    }
    let data: Vec<_> = all.iter().map(|(_, data)| data.as_str()).collect();
    assert_eq!(data.len(), 4, "{data:?}");
    for (data, progress) in data.iter().zip(2..) {
        assert!(progress == 5 || data.contains(&format!(r#""progress":{progress}"#)), "{data}");
    }
    assert!(data[3].contains("slow is done") && data[3].contains(r#""id":7"#), "{data:?}");
    // After any event, on any node, the rest is there and nothing twice.
    for node in [0, 1] {
        for from in 0..3 {
            let mut back = nodes.open(node, &id, Some(&all[from].0)).await;
            let mut rest = Vec::new();
            while let Some(event) = event(&mut back).await {
                rest.push(event);
            }
            assert_eq!(rest, all[from + 1..], "node {node} after {from}");
        }
    }
    // Nobody else gets it, on either node.
    let other = nodes.begin().await;
    for node in [0, 1] {
        let reply = nodes.nodes[node].ask(&nodes.get(&other, Some(&first)), "").await;
        assert_eq!(reply.status, 400);
    }
}

/// What belongs to no request reaches the client on whichever node it reads.
pub async fn changes_reach_every_node(nodes: &Nodes) {
    let id = nodes.begin().await;
    let mut one = nodes.open(0, &id, None).await;
    hears(nodes, &mut one, "tools", "tools/list_changed").await;
    // A subscription on the other node reaches the stream here.
    let subscribe = legacy(3, "resources/subscribe", r#""uri":"shop:a""#);
    nodes.nodes[1].ask(&nodes.head(&id), &subscribe).await.with_status(200);
    let last = hears(nodes, &mut one, "shop:a", r#""uri":"shop:a""#).await;
    drop(one);
    // Who goes on elsewhere hears that it may have missed something, and then of what comes.
    let mut other = nodes.open(1, &id, Some(&last)).await;
    says(&mut other, "tools/list_changed").await;
    says(&mut other, r#""uri":"shop:a""#).await;
    let last = hears(nodes, &mut other, "tools", "tools/list_changed").await;
    drop(other);
    // And back.
    let mut one = nodes.open(0, &id, Some(&last)).await;
    let last = hears(nodes, &mut one, "shop:a", r#""uri":"shop:a""#).await;
    let first = |id: &str| id.split_once('-').map(|(stream, _)| stream.to_owned());
    assert!(first(&last).is_some());
    drop(one);
    // What is no longer wanted is not told, wherever that was said.
    let unsubscribe = subscribe.replace("subscribe", "unsubscribe");
    nodes.nodes[0].ask(&nodes.head(&id), &unsubscribe).await.with_status(200);
    nodes.call(1, &id, "echo").await;
    let mut other = nodes.open(1, &id, None).await;
    hears(nodes, &mut other, "tools", "tools/list_changed").await;
    let _ = nodes.shop.changes.send("shop:a");
    let _ = nodes.shop.changes.send("tools");
    loop {
        let (_, data) = event(&mut other).await.unwrap();
        assert!(!data.contains("shop:a"), "{data}");
        if data.contains("list_changed") {
            break;
        }
    }
}

/// A session outlives the node that began it, and every node that served it.
pub async fn a_session_outlives_its_nodes(nodes: Nodes, anew: [HttpOptions; 2]) {
    let id = nodes.begin().await;
    let level = legacy(2, "logging/setLevel", r#""level":"error""#);
    nodes.nodes[0].ask(&nodes.head(&id), &level).await.with_status(200);
    let subscribe = legacy(3, "resources/subscribe", r#""uri":"shop:a""#);
    nodes.nodes[0].ask(&nodes.head(&id), &subscribe).await.with_status(200);
    let mut stream = nodes.open(0, &id, None).await;
    let mut last = hears(&nodes, &mut stream, "shop:a", r#""uri":"shop:a""#).await;
    let Nodes { nodes: old, shop, user } = nodes;
    let [first, second] = old;
    let [third, fourth] = anew.map(|mut options| {
        options.gate = Some(Arc::new(ByHeader));
        options
    });
    first.kill().await;
    drop(stream);
    let third = served(shop.clone(), third).await;
    let mut nodes = Nodes { nodes: [second, third], shop, user };
    for round in 0..2 {
        for node in [0, 1] {
            assert!(nodes.call(node, &id, "who").await.contains(r#""text":"lines""#));
            let level = nodes.call(node, &id, "level").await.to_lowercase();
            assert!(level.contains("some(error)"), "{level}");
            let mut stream = nodes.open(node, &id, Some(&last)).await;
            // Whoever reads on where it read before has missed nothing.
            if (round, node) != (1, 0) {
                says(&mut stream, "tools/list_changed").await;
            }
            last = hears(&nodes, &mut stream, "shop:a", r#""uri":"shop:a""#).await;
        }
        if round == 0 {
            // The last one that was there when the session began goes too.
            let Nodes { nodes: [second, third], shop, user } = nodes;
            second.kill().await;
            let fourth = served(shop.clone(), fourth.clone()).await;
            nodes = Nodes { nodes: [third, fourth], shop, user };
        }
    }
}

/// Whatever comes at once: a session is made anew once on each node, and what is set on both counts.
pub async fn many_come_at_once(nodes: &Nodes) {
    for round in 0..5 {
        let id = nodes.begin().await;
        let head = nodes.head(&id);
        let ask = async |number: u32| {
            let node = &nodes.nodes[number as usize % 2];
            let body = match number {
                0 | 1 => {
                    let uri = ["shop:a", "shop:b"][number as usize];
                    legacy(number, "resources/subscribe", &format!(r#""uri":"{uri}""#))
                }
                2 => legacy(number, "logging/setLevel", r#""level":"error""#),
                _ => call(number, "who"),
            };
            (number, node.ask(&head, &body).await)
        };
        let mut asked: Vec<_> = (0..16).map(|number| Box::pin(ask(number))).collect();
        let mut answers = Vec::new();
        std::future::poll_fn(|cx| {
            asked.retain_mut(|one| match one.as_mut().poll(cx) {
                Poll::Ready(answer) => {
                    answers.push(answer);
                    false
                }
                Poll::Pending => true,
            });
            if asked.is_empty() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        drop(asked);
        for (number, reply) in answers {
            assert_eq!(reply.status, 200, "{number} of round {round}: {reply:?}");
        }
        for node in [0, 1] {
            let level = nodes.call(node, &id, "level").await.to_lowercase();
            assert!(level.contains("some(error)"), "{level}");
            let mut stream = nodes.open(node, &id, None).await;
            hears(nodes, &mut stream, "shop:a", r#""uri":"shop:a""#).await;
            hears(nodes, &mut stream, "shop:b", r#""uri":"shop:b""#).await;
        }
    }
}

/// What a client says about a call reaches the node that runs it.
pub async fn answers_find_their_node(nodes: &Nodes) {
    let id = nodes.begin().await;
    let mut raw = nodes.post(0, &id, &call(5, "ask")).await;
    raw.head().await;
    let (_, question) = event(&mut raw).await.unwrap();
    assert!(question.contains("elicitation/create"), "{question}");
    let number = question.split(r#""id":"#).nth(1).unwrap();
    let number: String = number.chars().take_while(char::is_ascii_digit).collect();
    let answer = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"action":"accept","content":{{"name":"ada"}}}}}}"#
    );
    assert_eq!(nodes.nodes[1].ask(&nodes.head(&id), &answer).await.with_status(202), "");
    let end = says(&mut raw, r#""id":5"#).await;
    assert!(!end.is_empty());
    // A call on one node is cancelled on the other.
    let mut raw = nodes.post(0, &id, &call(6, "never")).await;
    let cancel = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":6}}"#;
    let ended = async {
        loop {
            nodes.nodes[1].ask(&nodes.head(&id), cancel).await.with_status(202);
            if let Ok(reply) = timeout(Duration::from_secs(1), raw.reply()).await {
                return reply;
            }
        }
    };
    let reply = timeout(PATIENCE, ended).await.expect("an end");
    assert!(!reply.body.contains("result"), "{reply:?}");
}

/// A session that ends on one node has ended on all, with its streams.
pub async fn a_session_ends_everywhere(nodes: &Nodes) {
    for ending in [0, 1] {
        let id = nodes.begin().await;
        let mut streams = Vec::new();
        for node in [0, 1] {
            nodes.call(node, &id, "echo").await;
            streams.push(nodes.open(node, &id, None).await);
        }
        let delete = nodes.get(&id, None).replace("GET", "DELETE");
        assert_eq!(nodes.nodes[ending].ask(&delete, "").await.with_status(204), "");
        for node in [0, 1] {
            assert_eq!(nodes.statuses(node, &id).await, [404; 3], "node {node}");
        }
        for mut stream in streams {
            let ended = async { while event(&mut stream).await.is_some() {} };
            timeout(PATIENCE, ended).await.expect("the stream ends");
        }
    }
}

/// Whoever did not begin a session has none, on every node.
pub async fn a_session_is_its_owners(nodes: &mut Nodes) {
    let id = nodes.begin().await;
    // One node has served it and one has only begun it.
    for user in ["eve", "ada", "eve"] {
        nodes.user = user;
        let refused = user == "eve";
        for node in [1, 0] {
            let reply = nodes.nodes[node].ask(&nodes.head(&id), &call(1, "echo")).await;
            assert_eq!(reply.status, if refused { 404 } else { 200 }, "{user} on {node}");
            if refused {
                assert_eq!(nodes.statuses(node, &id).await, [404; 3], "{user} on {node}");
                let level = legacy(2, "logging/setLevel", r#""level":"error""#);
                nodes.nodes[node].ask(&nodes.head(&id), &level).await.with_status(404);
            }
        }
    }
    // Nor has somebody who is not known.
    let unknown = nodes.head(&id).replace("X-User: eve\n", "");
    for node in [0, 1] {
        nodes.nodes[node].ask(&unknown, &call(1, "echo")).await.with_status(404);
    }
    nodes.user = "ada";
    nodes.call(1, &id, "echo").await;
}
