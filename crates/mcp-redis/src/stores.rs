//! One builder that gives a server all of its stores.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use etdi_core::nonce::Nonces;
use etdi_core::time::UnixTime;
use mcp_server::{AeadSealer, Changes};
use mcp_transport::http::server::HttpOptions;
use tokio::sync::Mutex;
#[cfg(feature = "oauth")]
use tokio::sync::OnceCell;

use crate::address::Address;
use crate::approvals::RedisApprovalStore;
use crate::changes::{self, ChangeLink};
use crate::client::Client;
use crate::error::RedisError;
use crate::events::{EventBounds, RedisEventStore};
use crate::metrics::{Metrics, StoreMetrics};
use crate::nodes::{self, As};
#[cfg(feature = "oauth")]
use crate::oauth::RedisAuthorizationStore;
use crate::patience::Patience;
use crate::rates::RedisRateStore;
use crate::reach;
use crate::replay::{CALL, RedisReplayStore};
use crate::revocations::RedisRevocationStore;
use crate::secret::{ClusterSecret, Seal};
use crate::sessions::RedisSessionStore;
use crate::tasks::RedisTaskStore;

mod health;
#[cfg(feature = "oauth")]
mod oauth;
mod wait;

pub use health::Health;

/// The stores of a server of many nodes, all on one connection.
///
/// A clone is another handle to the same ones.
#[derive(Clone)]
pub struct RedisStores {
    client: Client,
    secret: ClusterSecret,
    settings: Arc<RedisStoresBuilder>,
    replay: RedisReplayStore,
    /// Those of other spans, by their seconds: each believes an empty Redis once.
    replays: Arc<Mutex<BTreeMap<u64, RedisReplayStore>>>,
    health: Arc<health::Last>,
    #[cfg(feature = "oauth")]
    authorization: Arc<OnceCell<RedisAuthorizationStore>>,
}

/// Says how stores are to be; [`RedisStoresBuilder::connect`] makes them.
#[derive(Debug, Clone)]
pub struct RedisStoresBuilder {
    address: Address,
    secret: ClusterSecret,
    prefix: String,
    timeout: Duration,
    tolerance: Duration,
    per_key: u64,
    believes_empty: bool,
    who: As,
    events: EventBounds,
    wait: Duration,
}

impl RedisStores {
    /// Stores at `address`, for all who share `secret`.
    pub fn builder(address: Address, secret: ClusterSecret) -> RedisStoresBuilder {
        RedisStoresBuilder {
            address,
            secret,
            prefix: "mcp".to_owned(),
            timeout: Duration::from_millis(500),
            tolerance: Duration::from_secs(10),
            per_key: 10_000,
            believes_empty: false,
            who: As::Node,
            events: EventBounds::default(),
            wait: Duration::ZERO,
        }
    }

    /// Statements of signed calls that were used, for `Secure::replay_store` and `GuardLayer`.
    pub fn replay(&self) -> RedisReplayStore {
        self.replay.clone()
    }

    /// The same for statements that count for so long from when they say that they were made: of
    /// DPoP (120 seconds), of the Python fork's calls (300 seconds). After a restart of Redis it
    /// takes longer until such a store admits anything. Whoever asks for the same again gets the same store;
    /// ask at the start, because from then on it is known whether Redis was empty.
    ///
    /// # Errors
    ///
    /// [`RedisError`] when Redis cannot be asked since when it can be believed.
    pub async fn replay_for(&self, span: Duration) -> Result<RedisReplayStore, RedisError> {
        let RedisStoresBuilder { tolerance, per_key, believes_empty, .. } = *self.settings;
        let span = span.as_secs().max(1);
        let mut known = self.replays.lock().await;
        if let Some(store) = known.get(&span) {
            return Ok(store.clone());
        }
        let store =
            RedisReplayStore::new(self.client.clone(), span, tolerance, per_key, believes_empty);
        store.mark(now()).await?;
        known.insert(span, store.clone());
        Ok(store)
    }

    /// Events of broken streams, for `HttpOptions::event_store`.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn events(&self) -> Result<RedisEventStore, RedisError> {
        let seal = self.secret.seal("events")?;
        Ok(RedisEventStore::new(self.client.clone(), seal, self.settings.events))
    }

    /// Sessions of the revisions with a handshake, for `HttpOptions::share_sessions`.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn sessions(&self) -> Result<RedisSessionStore, RedisError> {
        Ok(RedisSessionStore::new(self.client.clone(), self.secret.seal("sessions")?))
    }

    /// Has an HTTP server share its sessions, and the events of their streams, with all nodes.
    ///
    /// ```no_run
    /// # async fn example(stores: mcp_redis::RedisStores, server: mcp_server::Server)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use mcp_transport::http::server::{HttpOptions, HttpServer};
    ///
    /// let options = stores.share_http(HttpOptions::default())?;
    /// HttpServer::with(server, options).listen("127.0.0.1:8000").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn share_http(&self, options: HttpOptions) -> Result<HttpOptions, RedisError> {
        let mut options = options.share_sessions(Arc::new(self.sessions()?));
        options.event_store = Some(Arc::new(self.events()?));
        Ok(options)
    }

    /// Tasks, for `Tasks::new`.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn tasks(&self) -> Result<RedisTaskStore, RedisError> {
        Ok(RedisTaskStore::new(self.client.clone(), self.secret.seal("tasks")?))
    }

    /// Approvals of a gateway whose nodes ask one user or one company.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn approvals(&self) -> Result<RedisApprovalStore, RedisError> {
        Ok(RedisApprovalStore::new(self.client.clone(), self.secret.seal("approvals")?))
    }

    /// What was revoked, for `Revocations::shared`.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn revocations(&self) -> Result<RedisRevocationStore, RedisError> {
        Ok(RedisRevocationStore::new(self.client.clone(), self.secret.seal("revocations")?))
    }

    /// Rates, for [`RateLayer::shared`](mcp_transport::RateLayer::shared).
    pub fn rates(&self) -> RedisRateStore {
        RedisRateStore::new(self.client.clone())
    }

    /// Tells the clients of this node what other nodes announce, and theirs what this one does, as long
    /// as the link is held. Needs the runtime in which it is called.
    ///
    /// # Errors
    ///
    /// [`RedisError`] when Redis cannot be asked from where on there is news.
    pub async fn link(&self, changes: &Changes) -> Result<ChangeLink, RedisError> {
        changes::link(self.client.clone(), self.secret.seal("changes")?, changes).await
    }

    /// Nonces that all nodes know. They follow from the secret, and ask no Redis.
    pub fn nonces(&self) -> Arc<dyn Nonces> {
        self.secret.nonces()
    }

    /// A sealer of request states that all nodes open. It follows from the secret, and asks no Redis.
    ///
    /// # Errors
    ///
    /// [`RedisError::Config`] when no key follows from the secret.
    pub fn state_sealer(&self) -> Result<AeadSealer, RedisError> {
        self.secret.state_sealer()
    }

    /// Whether what these seal anew is under the secret with which the nodes seal.
    pub(crate) async fn seal_as_nodes(&self) -> Result<(), RedisError> {
        nodes::seal_as(&self.client, &self.settings.prefix, &self.secret).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// What tells under which secret something lies.
    pub(crate) fn any_seal(&self) -> Result<Seal, RedisError> {
        self.secret.seal("payload")
    }

    /// What each store has counted since the start.
    pub fn metrics(&self) -> Vec<StoreMetrics> {
        self.client.metrics().snapshot()
    }
}

impl RedisStoresBuilder {
    /// What the name of each key begins with; `mcp` by default. Servers that share a Redis have one
    /// each, of at most 64 letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// How long Redis may be silent until an operation counts as failed; half a second by default. One
    /// that waits while others are answered, on a busy node, may take ten times as long.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// How far the clock of a node may be from that of Redis for replay protection to work; ten
    /// seconds by default, and the same at all nodes: what was used is kept for as long as the node counts with that saw
    /// it, and a node that allows for more could admit it once more after that. After a restart of Redis, signed calls are refused for so long and 30
    /// seconds more.
    #[must_use]
    pub fn clock_tolerance(self, tolerance: Duration) -> Self {
        Self { tolerance, ..self }
    }

    /// How many statements of one key are remembered at a time, about; 10,000 by default.
    #[must_use]
    pub fn statements_per_key(self, per_key: u64) -> Self {
        Self { per_key, ..self }
    }

    /// How many events of a session are kept.
    #[must_use]
    pub fn events(self, events: EventBounds) -> Self {
        Self { events, ..self }
    }

    /// Believes a Redis that knows nothing of us: signed calls count at once, where they are otherwise
    /// refused until what may have been used before has run out. For the first start, and for tests: it
    /// holds for the first look of each of these stores alone, which [`connect`](Self::connect) takes, or whoever
    /// asks for a store first, so that one that is emptied later is not believed; but a node that starts again
    /// with it then lets each signed call of the last minutes count once more.
    #[must_use]
    pub fn dangerously_believe_empty(self) -> Self {
        Self { believes_empty: true, ..self }
    }

    /// For how long [`connect`](Self::connect) tries again while Redis cannot be reached; not at all unless this is
    /// called. Each wait is a line of the log; what is counted
    /// ([`RedisStores::metrics`]) begins with the try that succeeds. What tries cannot mend, such as another secret, ends it at once.
    /// A Redis that comes later than its node is not believed to have been empty always, whatever
    /// [`dangerously_believe_empty`](Self::dangerously_believe_empty) says.
    #[must_use]
    pub fn wait(self, most: Duration) -> Self {
        Self { wait: most, ..self }
    }

    /// Connects as what is no node, such as a tool that calls [`RedisStores::reseal`]: the secret is held against that of
    /// the nodes, and nothing is written to Redis until a store writes. [`connect`](Self::connect) then refuses a prefix
    /// under which no node ever started ([`RedisError::Config`]), and does not look whether keys are thrown away and
    /// whether the clocks agree. A Redis that is empty is not believed then.
    #[must_use]
    pub fn beside_nodes(self) -> Self {
        Self { who: As::Visitor, ..self }
    }

    /// Connects, and looks whether this Redis will do.
    ///
    /// # Errors
    ///
    /// [`RedisError`]: it cannot be reached, refuses commands, throws keys away when it is full,
    /// its clock is another one, or the other nodes under the prefix have another secret. Which secrets a node has
    /// is noted only when all else will do.
    pub async fn connect(self) -> Result<RedisStores, RedisError> {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        if !(1..=64).contains(&self.prefix.len()) || !self.prefix.chars().all(fits) {
            let text = "a prefix has 1 to 64 letters, digits, `-`, `_` and `.`";
            return Err(RedisError::Config(text.to_owned()));
        }
        reach::check(&self.address)?;
        wait::connect(self).await
    }

    /// One try, with all that is looked at before anything is believed.
    async fn tried(&self) -> Result<RedisStores, RedisError> {
        match self.connected().await {
            Ok(stores) => Ok(stores),
            Err(error) => Err(reach::explained(&self.address, error).await),
        }
    }

    async fn connected(&self) -> Result<RedisStores, RedisError> {
        let most = Patience::most(self.timeout);
        let connection = tokio::time::timeout(most, self.address.connect(self.timeout));
        let connection = connection.await.map_err(|_| RedisError::TooSlow(most))??;
        let metrics = Arc::new(Metrics::default());
        let client = Client::new(connection, self.prefix.clone(), self.timeout, metrics);
        let Self { tolerance, per_key, .. } = *self;
        let believes_empty = self.believes_empty && self.who == As::Node;
        let replay =
            RedisReplayStore::new(client.clone(), CALL, tolerance, per_key, believes_empty);
        let check = |who| nodes::check(&client, &self.prefix, &self.secret, who);
        if self.who == As::Node {
            check(As::Candidate).await?;
            replay.mark(now()).await?;
        }
        // Last, because others are held against what is noted here.
        check(self.who).await?;
        let secret = self.secret.clone();
        Ok(RedisStores {
            client,
            secret,
            settings: Arc::new(Self { believes_empty, ..self.clone() }),
            replay,
            replays: Arc::default(),
            health: Arc::default(),
            #[cfg(feature = "oauth")]
            authorization: Arc::default(),
        })
    }
}

pub(crate) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs())
}

impl std::fmt::Debug for RedisStores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStores").field("settings", &self.settings).finish_non_exhaustive()
    }
}
