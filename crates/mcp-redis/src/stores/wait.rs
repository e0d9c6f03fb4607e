//! A start that waits for Redis.

use std::time::Duration;

use tokio::time::Instant;

use super::{RedisStores, RedisStoresBuilder};
use crate::error::RedisError;
use crate::reach;

/// How long the first pause is, and the longest.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(5);

/// Tries until all that a start looks at was looked at, for as long as the builder says.
pub(super) async fn connect(mut builder: RedisStoresBuilder) -> Result<RedisStores, RedisError> {
    let began = Instant::now();
    let mut pause = FIRST;
    loop {
        let error = match builder.tried().await {
            Ok(stores) => return Ok(stores),
            Err(error) => error,
        };
        let left = builder.wait.saturating_sub(began.elapsed());
        if !may_come(&error) || left.is_zero() {
            return Err(error);
        }
        // What may have been emptied since then is nothing that was never used.
        builder.believes_empty = false;
        tracing::warn!(%error, seconds_left = left.as_secs(), "this node waits for Redis");
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// Whether time alone may mend it: where all start at once the replicas of a master come after it, and in a failover the
/// one that is asked is a replica yet.
fn may_come(error: &RedisError) -> bool {
    match error {
        RedisError::Unreachable(cause) => !reach::is_of_certificate(cause),
        RedisError::TooSlow(_) => true,
        RedisError::Refused(cause) => cause.is("NOREPLICAS") || cause.is("READONLY"),
        _ => false,
    }
}
