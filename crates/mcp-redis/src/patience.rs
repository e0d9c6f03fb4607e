//! How long an answer of Redis is waited for.
//!
//! What counts is silence, and not how long one operation takes. A node with a thousand operations under
//! way, or on cores that others work on too, has its answers late although Redis gives them at once; to
//! fail those would add to the load, and lose events that could be kept. So whoever waits goes on for as
//! long as any answer comes by the same connection, and time in which this process was not run is not
//! held against Redis. There is an end to that as well.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::{RedisResult, Value};
use tokio::time::{Instant, timeout};

/// Shared by all operations of one connection.
#[derive(Debug)]
pub(crate) struct Patience {
    silence: Duration,
    answers: AtomicU64,
}

/// In how many looks silence is noticed.
const LOOKS: u32 = 10;

/// How many times longer than silence anything may take.
const MOST: u32 = 10;

impl Patience {
    pub(crate) fn new(silence: Duration) -> Self {
        Self { silence, answers: AtomicU64::new(0) }
    }

    /// How long Redis may be silent.
    pub(crate) fn silence(&self) -> Duration {
        self.silence
    }

    /// How long an operation may take at most, when `silence` is how long Redis may be silent.
    pub(crate) fn most(silence: Duration) -> Duration {
        silence.saturating_mul(MOST)
    }

    /// Waits for an answer; `None` when there was none for too long.
    pub(crate) async fn wait(
        &self,
        asked: impl Future<Output = RedisResult<Value>>,
    ) -> Option<RedisResult<Value>> {
        let mut asked = pin!(asked);
        let (began, look) = (Instant::now(), self.silence / LOOKS);
        let (mut known, mut silent) = (self.answers.load(Ordering::Relaxed), 0);
        while silent < LOOKS && began.elapsed() < Self::most(self.silence) {
            let before = Instant::now();
            if let Ok(answer) = timeout(look, &mut asked).await {
                // An error that Redis sent is a value here: what failed is the connection.
                if answer.is_ok() {
                    self.answers.fetch_add(1, Ordering::Relaxed);
                }
                return Some(answer);
            }
            let answers = self.answers.load(Ordering::Relaxed);
            if answers != known {
                (known, silent) = (answers, 0);
            } else if before.elapsed() < look * 2 {
                silent += 1;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(500);

    #[tokio::test(start_paused = true)]
    async fn silence_is_noticed_in_time() {
        let (patience, began) = (Patience::new(SILENCE), Instant::now());
        assert!(patience.wait(pending()).await.is_none());
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
                assert!(others.wait(answer).await.is_some());
            }
        });
        let late = async {
            tokio::time::sleep(SILENCE * 4).await;
            Ok(Value::Okay)
        };
        assert!(patience.wait(late).await.is_some());
        let began = Instant::now();
        assert!(patience.wait(pending()).await.is_none());
        assert!(began.elapsed() >= Patience::most(SILENCE));
        assert!(began.elapsed() < Patience::most(SILENCE) + SILENCE);
        coming.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_connection_is_no_answer() {
        let patience = Patience::new(SILENCE);
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(patience.wait(async { Err(broken.into()) }).await.unwrap().is_err());
        assert_eq!(patience.answers.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nothing_ran_is_not_silence() {
        let (patience, began) = (Arc::new(Patience::new(SILENCE)), Instant::now());
        let waits = patience.clone();
        let waiting = tokio::spawn(async move { waits.wait(pending()).await });
        tokio::task::yield_now().await;
        // As where no core is free: all of it is over at once when this goes on.
        tokio::time::advance(SILENCE * 3).await;
        assert!(waiting.await.unwrap().is_none());
        assert!(began.elapsed() >= SILENCE * 4 - SILENCE / LOOKS, "{:?}", began.elapsed());
    }
}
