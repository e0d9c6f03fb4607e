//! How an HTTP server serves.

use std::sync::Arc;
use std::time::Duration;

use mcp_types::Runtime;

use super::event_store::{EventStore, MemoryEventStore};
use super::guard::Guard;
use super::nodes::{Nodes, Together};
use super::probe::Probe;
use super::session_store::SessionStore;
use crate::framing::FrameLimits;
use crate::http::Gate;
use crate::proto::server::ServerLimits;

/// How an [`HttpServer`](super::HttpServer) serves. The defaults are safe for peers that nobody
/// trusts, and for a server that only programs of the same machine are to reach.
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpOptions {
    /// Where the endpoint is, for [`HttpServer::listen`](super::HttpServer::listen) and
    /// [`serve_http`](super::serve_http); `/mcp` by default.
    pub path: String,
    /// How many connections a listener serves at once; more are closed. 4,096 by default.
    pub connections: usize,
    /// How long the head of a request may take to arrive; half a minute by default.
    pub head_time: Duration,
    /// How long a listener waits for a client that does not read what is sent to it; a minute by
    /// default. Then the connection is closed, as if the client had gone.
    pub write_time: Duration,
    /// How long connections may go on after a shutdown has begun; ten seconds by default.
    pub drain: Duration,
    /// How large a message may be; its bound of a line is the bound of a body.
    pub frame: FrameLimits,
    /// How many bytes of bodies that have not arrived whole are kept, of all requests together; a
    /// request beyond is refused. 256 MiB by default.
    pub bodies: usize,
    /// How long the body of a request may take to arrive; half a minute by default.
    pub body_time: Duration,
    /// After how much silence a stream sends a comment, and a call that takes its time becomes a
    /// stream; 15 seconds by default, `None` for never.
    pub keep_alive: Option<Duration>,
    /// Whether each call is answered by one JSON text, and what it says meanwhile is dropped;
    /// `subscriptions/listen` is a stream all the same. `false` by default.
    pub json_only: bool,
    /// Whether clients of the revisions with a handshake are served without sessions: each of their
    /// messages stands for itself, and a server cannot ask them anything. `false` by default.
    pub stateless: bool,
    /// How many sessions there are at once; an idle one makes room for a new one, one that was never
    /// used first, then the one that was idle longest. 16,384 by default.
    pub sessions: usize,
    /// After how much idleness a session ends; half an hour by default. A session with a call in
    /// flight or a stream open is not idle.
    pub session_idle: Duration,
    /// What one session may have going on at once.
    pub limits: ServerLimits,
    /// How many streams that last (`subscriptions/listen`, GET) are open at once; 1,024 by default.
    pub streams: usize,
    /// How many streams of GET one session has open at once; four by default.
    pub streams_per_session: usize,
    /// Keeps events of sessions for clients that come back; in memory by default, `None` for a
    /// server whose broken streams are lost.
    pub event_store: Option<Arc<dyn EventStore>>,
    /// Says who is served, before a body is read; everybody without one, the default.
    pub gate: Option<Arc<dyn Gate>>,
    /// Timers, tasks and threads for the exchanges; tokio's by default.
    pub runtime: Option<Arc<dyn Runtime>>,
    /// Set where other nodes serve the sessions too. Behind a trait, so that a server alone carries
    /// nothing of what that takes.
    pub(super) nodes: Option<Arc<dyn Nodes>>,
    pub(super) probes: Vec<Probe>,
    hosts: Vec<String>,
    origins: Vec<String>,
    any_host: bool,
    any_origin: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            path: "/mcp".to_owned(),
            connections: 4096,
            head_time: Duration::from_secs(30),
            write_time: Duration::from_secs(60),
            drain: Duration::from_secs(10),
            frame: FrameLimits::default(),
            bodies: 256 << 20,
            body_time: Duration::from_secs(30),
            keep_alive: Some(Duration::from_secs(15)),
            json_only: false,
            stateless: false,
            sessions: 16_384,
            session_idle: Duration::from_secs(30 * 60),
            limits: ServerLimits::default(),
            streams: 1024,
            streams_per_session: 4,
            event_store: Some(Arc::new(MemoryEventStore::default())),
            gate: None,
            runtime: None,
            nodes: None,
            probes: Vec::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            any_host: false,
            any_origin: false,
        }
    }
}

impl HttpOptions {
    /// Serves requests whose `Host` is `host`, besides those to `localhost`, `127.0.0.1` and
    /// `[::1]`. A host without a port stands for every port.
    #[must_use]
    pub fn allow_host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// Serves requests of web pages of `origin`, such as `https://app.example.com`, besides those
    /// of the server's own host, and tells the browser that they may have the answers (CORS).
    /// Programs that are no browsers send no origin and need none.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Shares sessions with all nodes that have the same store: each of them serves, resumes and ends
    /// what any other began. Without one, the default, a session is known where it began.
    ///
    /// Each message of a session costs one lookup; what has no session costs nothing. While the store
    /// does not answer, messages of sessions are refused with 503 and everything else goes on. The
    /// [`HttpOptions::event_store`] has to be shared as well, or streams are resumed on their own node
    /// alone. [`HttpOptions::session_idle`] is the life that a session has in the store after its last
    /// message, [`HttpOptions::sessions`] how many this node serves at once. HTTP+SSE of 2024-11-05 has
    /// sessions of its own, which stay with their node.
    ///
    /// A call, and a question that it asks the client, belong to the node that began the call: an
    /// answer or a cancellation that the client sends to another one is passed on, within about a
    /// quarter of a second. Clients that open streams of GET on two nodes hear of changes on both.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use mcp_transport::http::server::{HttpOptions, MemorySessionStore};
    ///
    /// // Two servers in one process; servers in several take a store of `mcp-redis`.
    /// let sessions = Arc::new(MemorySessionStore::default());
    /// let one = HttpOptions::default().share_sessions(sessions.clone());
    /// let other = HttpOptions::default().share_sessions(sessions);
    /// ```
    #[must_use]
    pub fn share_sessions(mut self, store: Arc<dyn SessionStore>) -> Self {
        self.nodes = Some(Arc::new(Together(store)));
        self
    }

    /// Serves requests for any host.
    ///
    /// A page in a browser can then reach the server under a name of its own (DNS rebinding), which
    /// is dangerous wherever a browser can reach the server at all.
    #[must_use]
    pub fn dangerously_allow_any_host(mut self) -> Self {
        self.any_host = true;
        self
    }

    /// Serves requests of any web page, which is dangerous unless each request is authorized.
    #[must_use]
    pub fn dangerously_allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    pub(super) fn guard(&self) -> Guard {
        Guard {
            hosts: self.hosts.clone(),
            origins: self.origins.clone(),
            any_host: self.any_host,
            any_origin: self.any_origin,
        }
    }
}

impl std::fmt::Debug for HttpOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpOptions")
            .field("path", &self.path)
            .field("connections", &self.connections)
            .field("head_time", &self.head_time)
            .field("write_time", &self.write_time)
            .field("drain", &self.drain)
            .field("frame", &self.frame)
            .field("bodies", &self.bodies)
            .field("body_time", &self.body_time)
            .field("keep_alive", &self.keep_alive)
            .field("json_only", &self.json_only)
            .field("stateless", &self.stateless)
            .field("sessions", &self.sessions)
            .field("session_idle", &self.session_idle)
            .field("limits", &self.limits)
            .field("streams", &self.streams)
            .field("streams_per_session", &self.streams_per_session)
            .field("shares_sessions", &self.nodes.is_some())
            .field("gate", &self.gate.is_some())
            .field("probes", &self.probes)
            .field("hosts", &self.hosts)
            .field("origins", &self.origins)
            .field("any_host", &self.any_host)
            .field("any_origin", &self.any_origin)
            .finish_non_exhaustive()
    }
}
