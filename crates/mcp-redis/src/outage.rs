//! When an outage of a store begins and when it is over, so that a log has a line for each and none in between.
//!
//! In an outage some operations are answered and others are not, and many are answered with what the store then calls
//! a failure. So an outage is over when nothing failed for a while, from an answer on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long nothing may have failed.
pub(crate) const QUIET: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// Whether an answer has to be looked at. Set under the lock.
    goes_on: AtomicBool,
    state: Mutex<State>,
}

/// An outage that begins.
#[derive(Debug, PartialEq)]
pub(crate) struct Begins {
    /// How long the one before was, where no log says yet that it is over.
    pub(crate) before: Option<Duration>,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Well,
    Failing {
        since: Instant,
        /// Since when there are answers and no failures.
        quiet: Option<Instant>,
    },
}

impl Outage {
    /// Says of a failure whether an outage begins with it, and how long the one before was that was over without an
    /// answer that said so: nothing was asked since.
    pub(crate) fn failed(&self) -> Option<Begins> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let (since, begins) = match *state {
            State::Well => (now, Some(Begins { before: None })),
            State::Failing { since, quiet: Some(quiet) } if now - quiet >= QUIET => {
                (now, Some(Begins { before: Some(quiet - since) }))
            }
            State::Failing { since, .. } => (since, None),
        };
        *state = State::Failing { since, quiet: None };
        self.goes_on.store(true, Ordering::Relaxed);
        begins
    }

    /// How long the outage was that is over with this answer.
    pub(crate) fn answered(&self) -> Option<Duration> {
        if !self.goes_on.load(Ordering::Relaxed) {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Failing { since, quiet } = &mut *state else { return None };
        let now = Instant::now();
        let quiet = *quiet.get_or_insert(now);
        if now - quiet < QUIET {
            return None;
        }
        let took = quiet - *since;
        *state = State::Well;
        self.goes_on.store(false, Ordering::Relaxed);
        Some(took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_outage_begins_and_ends_once() {
        let outage = Outage::default();
        assert_eq!(outage.answered(), None);
        assert_eq!(outage.failed(), Some(Begins { before: None }));
        // Others are answered all the time, and each answer is followed by a failure.
        for pause in [1, 100, 3_000, 9_999] {
            for _ in 0..10 {
                tokio::time::advance(Duration::from_millis(pause)).await;
                assert_eq!(outage.answered(), None);
                tokio::time::advance(Duration::from_millis(pause)).await;
                assert_eq!(outage.failed(), None, "it goes on");
            }
        }
        assert_eq!(outage.answered(), None);
        tokio::time::advance(QUIET - Duration::from_millis(1)).await;
        assert_eq!(outage.answered(), None);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(outage.answered().map(|took| took.as_secs()), Some(262));
        assert_eq!(outage.answered(), None);
        assert_eq!(outage.failed(), Some(Begins { before: None }), "the next one");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_after_a_while_without_questions_is_another() {
        let outage = Outage::default();
        outage.failed();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(outage.answered(), None);
        tokio::time::advance(Duration::from_secs(7 * 3600)).await;
        let before = Some(Duration::from_secs(5));
        assert_eq!(outage.failed(), Some(Begins { before }));
        // Where nothing was answered in between nobody knows that the first was over.
        tokio::time::advance(Duration::from_secs(7 * 3600)).await;
        assert_eq!(outage.failed(), None);
    }
}
