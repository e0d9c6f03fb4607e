//! The connection to a cluster, which is made anew when one of its shards falls silent.
//!
//! The client of a cluster learns of a new master where a command fails; of one that nobody waits for any more
//! it learns nothing, so a master that hangs, with a system that goes on taking packets, would be asked for ever.
//! So after such a silence another connection is made beside the one in use, and takes its place once it has an answer
//! for what was silent. Until then the other shards are asked as before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::ConnectionLike;
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Cmd, RedisResult, Value};
use tokio::task::JoinHandle;

use crate::patience::Patience;

/// All shards of a cluster.
pub(crate) struct Shards {
    client: ClusterClient,
    silence: Duration,
    current: Mutex<ClusterConnection>,
    search: Mutex<Option<JoinHandle<()>>>,
}

impl Shards {
    pub(crate) async fn connect(
        client: ClusterClient,
        silence: Duration,
    ) -> RedisResult<Arc<Self>> {
        let current = Mutex::new(client.get_async_connection().await?);
        Ok(Arc::new(Self { client, silence, current, search: Mutex::default() }))
    }

    fn current(&self) -> MutexGuard<'_, ClusterConnection> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) async fn query(&self, cmd: &Cmd) -> RedisResult<Value> {
        let mut current = self.current().clone();
        current.req_packed_command(cmd).await
    }

    /// Looks for whoever has this key now, unless somebody is looked for already.
    pub(crate) fn search(self: &Arc<Self>, key: Vec<u8>) {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        if search.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let shards = self.clone();
        *search = Some(tokio::spawn(async move {
            let most = Patience::most(shards.silence);
            match tokio::time::timeout(most, shards.another(&key)).await {
                Ok(Ok(another)) => *shards.current() = another,
                // The next who hears nothing looks again.
                _ => tokio::time::sleep(shards.silence).await,
            }
        }));
    }

    async fn another(&self, key: &[u8]) -> RedisResult<ClusterConnection> {
        let mut another = self.client.get_async_connection().await?;
        let mut cmd = redis::cmd("EXISTS");
        another.req_packed_command(cmd.arg(key)).await?.extract_error()?;
        Ok(another)
    }
}
