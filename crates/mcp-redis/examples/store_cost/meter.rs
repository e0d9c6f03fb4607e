//! Does something so many times, and asks Redis what that took.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use mcp_redis::{RedisStores, StoreName};

use crate::Done;

#[derive(Clone)]
pub(crate) struct Meter {
    pub(crate) stores: RedisStores,
    pub(crate) redis: redis::aio::MultiplexedConnection,
    pub(crate) count: usize,
    pub(crate) at_once: usize,
    /// The one store that is to be measured.
    pub(crate) only: Option<String>,
}

impl Meter {
    /// The same for at most so many, of which so many are under way at once.
    pub(crate) fn of(&self, most: usize, at_once: usize) -> Self {
        Self { count: self.count.min(most), at_once, ..self.clone() }
    }

    async fn used(&self) -> Result<u64, Box<dyn Error + Send + Sync>> {
        let mut redis = self.redis.clone();
        let info: String = redis::cmd("INFO").arg("memory").query_async(&mut redis).await?;
        let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.ok_or("Redis does not say how much it uses")?.parse()?)
    }

    fn round_trips(&self, store: StoreName) -> u64 {
        let all = self.stores.metrics();
        all.iter().find(|known| known.store == store).map_or(0, |known| known.round_trips)
    }

    pub(crate) async fn measure<F: Future<Output = Done> + Send>(
        &self,
        name: &str,
        one: &str,
        store: StoreName,
        act: impl Fn(usize) -> F + Send + Sync + 'static,
    ) -> Done {
        if self.only.as_ref().is_some_and(|only| only != name) {
            return Ok(());
        }
        let (act, next) = (Arc::new(act), Arc::new(AtomicUsize::new(0)));
        let (used, trips, began) = (self.used().await?, self.round_trips(store), Instant::now());
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..self.at_once {
            let (act, next, count) = (act.clone(), next.clone(), self.count);
            workers.spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return Done::Ok(());
                    }
                    act(number).await?;
                }
            });
        }
        while let Some(done) = workers.join_next().await {
            done??;
        }
        let (took, count) = (began.elapsed().as_secs_f64(), self.count as f64);
        let bytes = self.used().await?.saturating_sub(used) as f64 / count;
        let trips = (self.round_trips(store) - trips) as f64 / count;
        println!("| {name} | {one} | {bytes:.0} | {trips:.2} | {:.0} |", count / took);
        Ok(())
    }
}
