//! Rates that all nodes keep together.

use std::sync::Arc;
use std::time::Duration;

use mcp_transport::{Allowance, RateStore, RateStoreError, Took};
use mcp_types::BoxFuture;

use crate::client::{Client, Lua, hidden};
use crate::error::RedisError;
use crate::metrics::StoreName;

/// A [`RateStore`] on Redis: one round trip and one key of about 100 bytes for each allowance that is
/// not full. It goes by the clock of Redis alone.
#[derive(Clone)]
pub struct RedisRateStore(Arc<Inner>);

struct Inner {
    client: Client,
    script: Lua,
}

/// The longest time that an allowance takes to fill, in microseconds: thirty days.
const LONGEST: f64 = 2.592e12;

impl RedisRateStore {
    pub(crate) fn new(client: Client) -> Self {
        Self(Arc::new(Inner { client, script: Lua::new(include_str!("scripts/rate.lua")) }))
    }

    /// Takes one out of what is left under `name`.
    ///
    /// # Errors
    ///
    /// [`RedisError`] when nobody can say how much is left.
    pub async fn try_take(&self, name: &str, allowance: Allowance) -> Result<Took, RedisError> {
        let Inner { client, script } = &*self.0;
        let name = hidden(&[name.as_bytes()]);
        let key = client.key(&format!("l{name}"), "full");
        let step = (1e6 / allowance.rate).clamp(1e-3, LONGEST);
        let all = (step * f64::from(allowance.burst)).clamp(step, LONGEST);
        let (step, all) = (step.to_string(), all.to_string());
        let args = [step.as_bytes(), all.as_bytes()];
        let wait: String = client.script(StoreName::Rates, script, &[&key], &args).await?;
        let wait = wait.parse::<u64>().map_err(|_| RedisError::Damaged("a rate is no number"));
        Ok(match client.count(StoreName::Rates, wait)? {
            0 => Took::Admitted,
            wait => Took::Wait(Duration::from_micros(wait)),
        })
    }
}

impl RateStore for RedisRateStore {
    fn take<'a>(
        &'a self,
        name: &'a str,
        allowance: Allowance,
    ) -> BoxFuture<'a, Result<Took, RateStoreError>> {
        Box::pin(async move {
            let took = self.try_take(name, allowance).await;
            took.map_err(|error| RateStoreError(error.into()))
        })
    }
}

impl std::fmt::Debug for RedisRateStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RedisRateStore")
    }
}
