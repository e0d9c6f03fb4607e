//! What a node says of itself to whoever sends it requests.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::RedisStores;
use crate::error::RedisError;
use crate::metrics::StoreName;
use crate::nodes::{self, As};

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Redis is read and written, throws nothing away, and the nodes that start seal what this one opens.
    Ready,
    /// It is not so: what needs Redis fails closed, all else goes on.
    Degraded,
}

/// What was found last, and when.
pub(super) type Last = Mutex<Option<(Instant, Health)>>;

/// For how long that is believed.
const BELIEVED: Duration = Duration::from_secs(1);

/// For how long the key stays by which is seen whether Redis takes anything.
const KEPT: &str = "10";

impl RedisStores {
    /// How this node is, for a balancer or whatever starts nodes. Redis is asked once a second at most, with three commands,
    /// however many ask, and an answer takes no longer than three operations may: each ten times
    /// [`timeout`](super::RedisStoresBuilder::timeout) at the worst, where others are answered meanwhile. It says nothing of
    /// why: that is in the log and in [`metrics`](RedisStores::metrics), under [`StoreName::Nodes`], or
    /// [`StoreName::Replay`] where Redis throws keys away. In a cluster one shard
    /// is asked each. Where Redis was emptied, one command more notes again of which secrets this node is; where it throws
    /// keys away, fifteen more have the other parts of the replay store note that.
    ///
    /// ```no_run
    /// # fn example(stores: mcp_redis::RedisStores)
    /// # -> Result<mcp_transport::http::server::HttpOptions, mcp_redis::RedisError> {
    /// use mcp_redis::Health;
    /// use mcp_transport::http::server::HttpOptions;
    ///
    /// let options = stores.share_http(HttpOptions::default())?;
    /// let options = options.probe("/live", || async { true }).probe("/ready", move || {
    ///     let stores = stores.clone();
    ///     async move { stores.health().await == Health::Ready }
    /// });
    /// # Ok(options) }
    /// ```
    pub async fn health(&self) -> Health {
        // Whoever waits for the lock hears what was found meanwhile.
        let mut last = self.health.lock().await;
        if let Some((at, health)) = *last
            && at.elapsed() < BELIEVED
        {
            return health;
        }
        let health = match self.looks_well().await {
            Ok(true) => Health::Ready,
            Ok(false) => {
                // What is counted is in the log too, where it begins.
                let prefix = self.settings.prefix.clone();
                let behind =
                    RedisError::SecretBehind { prefix, key: self.client.key("n", "nodes") };
                self.client.metrics().failed(StoreName::Nodes, &behind);
                Health::Degraded
            }
            Err(_) => Health::Degraded,
        };
        *last = Some((Instant::now(), health));
        health
    }

    async fn looks_well(&self) -> Result<bool, RedisError> {
        let mut written = redis::cmd("SET");
        written.arg(self.client.key("n", "health")).arg("").arg("EX").arg(KEPT);
        let _: String = self.client.run(StoreName::Nodes, &written).await?;
        if self.settings.who == As::Node {
            self.replay.keeps(super::now()).await?;
        }
        let prefix = &self.settings.prefix;
        match nodes::sealing(&self.client).await? {
            Some(seals) => Ok(self.secret.names(prefix)?.contains(&seals)),
            None if self.settings.who == As::Node => {
                // Redis was emptied: without them a stranger would start, and keep us from starting again.
                nodes::check(&self.client, prefix, &self.secret, As::Again).await?;
                Ok(true)
            }
            None => Ok(true),
        }
    }
}
