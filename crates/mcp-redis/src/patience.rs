//! How long an answer of Redis is waited for.
//!
//! What counts is silence, and not how long one operation takes. A node with a thousand operations under
//! way, or on cores that others work on too, has its answers late although Redis gives them at once; to
//! fail those would add to the load, and lose events that could be kept. So whoever waits goes on for as
//! long as any answer comes from the same Redis, and time in which this process was not run is not
//! held against Redis. There is an end to that as well.
//!
//! In a cluster the answers of one shard say nothing of another. Which shard has which slots may change at any
//! time, so an answer counts for its own slot alone.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::cluster_routing::Slot;
use redis::{RedisResult, Value};
use tokio::time::{Instant, timeout};

/// Shared by all operations of one connection.
#[derive(Debug)]
pub(crate) struct Patience {
    silence: Duration,
    answers: Arc<AtomicU64>,
    /// Of each slot of a cluster that was asked.
    of_slots: Mutex<HashMap<Slot, Arc<AtomicU64>>>,
}

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unanswered {
    /// Nothing was answered for too long, also to nobody else.
    Silence,
    /// Others were answered all the time.
    Late,
}

/// In how many looks silence is noticed.
const LOOKS: u32 = 10;

/// How many times longer than silence anything may take.
const MOST: u32 = 10;

impl Patience {
    pub(crate) fn new(silence: Duration) -> Self {
        Self { silence, answers: Arc::default(), of_slots: Mutex::default() }
    }

    /// How long an operation may take at most, when `silence` is how long Redis may be silent.
    pub(crate) fn most(silence: Duration) -> Duration {
        silence.saturating_mul(MOST)
    }

    /// Waits for an answer, in a cluster of a slot, and says why there was none for too long.
    pub(crate) async fn wait(
        &self,
        slot: Option<Slot>,
        asked: impl Future<Output = RedisResult<Value>>,
    ) -> Result<RedisResult<Value>, Unanswered> {
        let (mut asked, answers) = (pin!(asked), self.answers_of(slot));
        let (began, look) = (Instant::now(), self.silence / LOOKS);
        let (mut known, mut silent) = (answers.load(Ordering::Relaxed), 0);
        while silent < LOOKS && began.elapsed() < Self::most(self.silence) {
            let before = Instant::now();
            if let Ok(answer) = timeout(look, &mut asked).await {
                // An error that Redis sent is a value here: what failed is the connection.
                if answer.is_ok() {
                    answers.fetch_add(1, Ordering::Relaxed);
                }
                return Ok(answer);
            }
            let now = answers.load(Ordering::Relaxed);
            if now != known {
                (known, silent) = (now, 0);
            } else if before.elapsed() < look * 2 {
                silent += 1;
            }
        }
        Err(if silent < LOOKS { Unanswered::Late } else { Unanswered::Silence })
    }

    fn answers_of(&self, slot: Option<Slot>) -> Arc<AtomicU64> {
        let Some(slot) = slot else { return self.answers.clone() };
        // A cluster has 16,384 slots, so there are no more of these.
        let mut of_slots = self.of_slots.lock().unwrap_or_else(PoisonError::into_inner);
        of_slots.entry(slot).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    const SILENCE: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_in_time() {
        let (patience, began) = (Patience::new(SILENCE), Instant::now());
        assert_eq!(patience.wait(None, pending()).await.unwrap_err(), Unanswered::Silence);
        assert!(began.elapsed() >= SILENCE && began.elapsed() < SILENCE * 2, "{began:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_waited_for_while_others_come_and_not_for_ever() {
        let patience = Arc::new(Patience::new(SILENCE));
        let others = patience.clone();
        let coming = tokio::spawn(async move {
            loop {
                let answer = async {
                    tokio::time::sleep(SILENCE / 2).await;
                    Ok(Value::Okay)
                };
                assert!(others.wait(None, answer).await.is_ok());
            }
        });
        let late = async {
            tokio::time::sleep(SILENCE * 4).await;
            Ok(Value::Okay)
        };
        assert!(patience.wait(None, late).await.is_ok());
        let began = Instant::now();
        assert_eq!(patience.wait(None, pending()).await.unwrap_err(), Unanswered::Late);
        assert!(began.elapsed() >= Patience::most(SILENCE));
        assert!(began.elapsed() < Patience::most(SILENCE) + SILENCE);
        coming.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_answers_of_another_slot_say_nothing() {
        let patience = Arc::new(Patience::new(SILENCE));
        let others = patience.clone();
        let coming = tokio::spawn(async move {
            loop {
                let answer = async {
                    tokio::time::sleep(SILENCE / 2).await;
                    Ok(Value::Okay)
                };
                assert!(others.wait(Slot::new(1), answer).await.is_ok());
            }
        });
        let began = Instant::now();
        assert!(patience.wait(Slot::new(2), pending()).await.is_err());
        assert!(began.elapsed() >= SILENCE && began.elapsed() < SILENCE * 2, "{began:?}");
        coming.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_no_answer() {
        let patience = Patience::new(SILENCE);
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(patience.wait(None, async { Err(broken.into()) }).await.unwrap().is_err());
        assert_eq!(patience.answers.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_ran_is_not_silence() {
        let (patience, began) = (Arc::new(Patience::new(SILENCE)), Instant::now());
        let waits = patience.clone();
        let waiting = tokio::spawn(async move { waits.wait(None, pending()).await });
        tokio::task::yield_now().await;
        // As where no core is free: all of it is over at once when this goes on.
        tokio::time::advance(SILENCE * 3).await;
        assert!(waiting.await.unwrap().is_err());
        assert!(began.elapsed() >= SILENCE * 4 - SILENCE / LOOKS, "{:?}", began.elapsed());
    }
}
