//! Allowances that several nodes share.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mcp_types::BoxFuture;

/// How much is allowed: `rate` a second in the long run, `burst` at once.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Allowance {
    /// How many a second, above zero.
    pub rate: f64,
    /// How many at once, at least one.
    pub burst: u32,
}

impl Allowance {
    /// `rate` a second, at most `burst` of them at once; both at least a little above zero.
    pub fn new(rate: f64, burst: u32) -> Self {
        let rate = if rate.is_finite() { rate.max(1e-6) } else { f64::MAX };
        Self { rate, burst: burst.max(1) }
    }

    /// A part of it, for a node that cannot ask the others.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of an u32")]
    pub(super) fn part(self, share: f64) -> Self {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 1.0 };
        Self::new(self.rate * share, (f64::from(self.burst) * share) as u32)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Took {
    /// It is within the allowance, and was taken out of it.
    Admitted,
    /// It is above; there is room for one after this time.
    Wait(Duration),
}

/// Keeps allowances by name, for all nodes that share it. Object safe.
///
/// Of all who take at once, no more are admitted than the allowance has. An answer that is lost may
/// have been taken out all the same: to count once too often is no harm. [`rate_store_contract`]
/// holds an implementation to this.
///
/// [`rate_store_contract`]: super::rate_store_contract
pub trait RateStore: Send + Sync {
    /// Takes one out of what is left under `name`, by the store's own clock. An allowance that is
    /// full again is forgotten.
    ///
    /// # Errors
    ///
    /// [`RateStoreError`] when the store cannot say; whoever asks goes by an allowance of its own.
    fn take<'a>(
        &'a self,
        name: &'a str,
        allowance: Allowance,
    ) -> BoxFuture<'a, Result<Took, RateStoreError>>;
}

/// The store cannot say how much is left.
#[derive(Debug)]
pub struct RateStoreError(pub Box<dyn std::error::Error + Send + Sync>);

impl fmt::Display for RateStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the store of rates does not work: {}", self.0)
    }
}

impl std::error::Error for RateStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.0)
    }
}

/// Keeps allowances in this process, for several servers in it: at most 100,000 that are not full.
#[derive(Debug, Default)]
pub struct MemoryRateStore(Mutex<HashMap<String, Instant>>);

const MOST_NAMES: usize = 100_000;

impl MemoryRateStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn take_at(
        &self,
        name: &str,
        allowance: Allowance,
        now: Instant,
    ) -> Result<Took, RateStoreError> {
        let step = Duration::try_from_secs_f64(1.0 / allowance.rate).unwrap_or(Duration::ZERO);
        let mut full_at = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if full_at.len() >= MOST_NAMES && !full_at.contains_key(name) {
            full_at.retain(|_, at| *at > now);
            if full_at.len() >= MOST_NAMES {
                return Err(RateStoreError("there are as many allowances as may be".into()));
            }
        }
        // An allowance is known by when it is full again: one more puts that off by a step.
        let from = full_at.get(name).copied().unwrap_or(now).max(now);
        let all = step.saturating_mul(allowance.burst);
        let wait = (from - now + step).saturating_sub(all);
        if !wait.is_zero() {
            return Ok(Took::Wait(wait));
        }
        full_at.insert(name.to_owned(), from + step);
        Ok(Took::Admitted)
    }
}

impl RateStore for MemoryRateStore {
    fn take<'a>(
        &'a self,
        name: &'a str,
        allowance: Allowance,
    ) -> BoxFuture<'a, Result<Took, RateStoreError>> {
        let now = tokio::time::Instant::now().into_std();
        Box::pin(std::future::ready(self.take_at(name, allowance, now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_gives_a_burst_then_the_rate() {
        let (store, start) = (MemoryRateStore::new(), Instant::now());
        let take = |ms| {
            let now = start + Duration::from_millis(ms);
            store.take_at("a", Allowance::new(2.0, 3), now).unwrap()
        };
        assert_eq!([take(0), take(0), take(0)], [Took::Admitted; 3]);
        assert_eq!(take(0), Took::Wait(Duration::from_millis(500)));
        assert_eq!(take(400), Took::Wait(Duration::from_millis(100)));
        assert_eq!(take(500), Took::Admitted);
        assert_eq!([take(60_000), take(60_000), take(60_000)], [Took::Admitted; 3]);
        assert_eq!(take(60_000), Took::Wait(Duration::from_millis(500)));
    }

    #[test]
    fn a_part_is_never_more_than_all() {
        let all = Allowance::new(10.0, 9);
        assert_eq!(all.part(0.5), Allowance::new(5.0, 4));
        assert_eq!(all.part(0.0).burst, 1);
        assert_eq!(all.part(7.0), all);
        assert_eq!(all.part(f64::NAN), all);
    }
}
