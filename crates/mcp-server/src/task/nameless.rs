//! Tasks whose ids nobody was told: the store kept them, or keeps them yet, and its answer never came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mcp_types::Runtime;

use super::engine::{Engine, Verdict, milliseconds};
use super::live::lock;
use super::record::Phase;
use super::trouble::Trouble;

/// What is to be ended once the store answers, so that it takes no caller's room until its time is over.
#[derive(Debug, Default)]
pub(super) struct Nameless(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    tasks: Vec<Lost>,
    /// How many more whoever sees to it has taken out.
    taken: usize,
    /// Whether somebody sees to it.
    attended: bool,
}

#[derive(Debug)]
struct Lost {
    id: String,
    owner: String,
    /// When the store forgets it by itself.
    end: u64,
    /// How many times the store did not know it.
    looks: u32,
}

/// How many times a task that the store does not know is looked for: what was sent before may be read after.
const LOOKS: u32 = 3;

/// How long is waited between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Holds what is known of a task while it is inserted. Dropped before the store has answered, or because it is
/// away, the task is ended as soon as the store says that it is there.
pub(super) struct Birth {
    engine: Arc<Engine>,
    runtime: Arc<dyn Runtime>,
    task: Option<Lost>,
}

impl Birth {
    pub(super) fn new(
        engine: &Arc<Engine>,
        runtime: &Arc<dyn Runtime>,
        (id, owner): (&str, &str),
        end: u64,
    ) -> Self {
        let end = end.saturating_add(milliseconds(engine.keep));
        let lost = Lost { id: id.to_owned(), owner: owner.to_owned(), end, looks: 0 };
        Self { engine: engine.clone(), runtime: runtime.clone(), task: Some(lost) }
    }

    /// The store has said whether it keeps the task.
    pub(super) fn is_known(&mut self) {
        self.task = None;
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        let Some(lost) = self.task.take() else { return };
        let mut waiting = lock(&self.engine.nameless.0);
        // The store takes no more than so many either.
        if waiting.tasks.len() + waiting.taken >= self.engine.quota.tasks {
            return;
        }
        waiting.tasks.push(lost);
        if !std::mem::replace(&mut waiting.attended, true) {
            drop(waiting);
            let attendant = Attendant::new(self.engine.clone());
            self.runtime.spawn(Box::pin(attendant.attend(self.runtime.clone())));
        }
    }
}

/// Whoever sees to what waits. Where that ends before all is done, as with the runtime of the call that began it,
/// the next call whose task is lost begins it again.
struct Attendant {
    engine: Arc<Engine>,
    /// What is looked at in this round, and what was looked at.
    tasks: VecDeque<Lost>,
    is_done: bool,
}

impl Attendant {
    fn new(engine: Arc<Engine>) -> Self {
        Self { engine, tasks: VecDeque::new(), is_done: false }
    }

    /// Takes out what waits; how many there are to look at.
    fn take(&mut self) -> usize {
        let mut waiting = lock(&self.engine.nameless.0);
        self.tasks.extend(waiting.tasks.drain(..));
        waiting.taken = self.tasks.len();
        waiting.taken
    }

    /// Puts back what is left. Whether all is done, after which somebody else may begin.
    fn ends(&mut self) -> bool {
        let mut waiting = lock(&self.engine.nameless.0);
        waiting.tasks.extend(self.tasks.drain(..));
        waiting.taken = 0;
        self.is_done = waiting.tasks.is_empty();
        waiting.attended = !self.is_done;
        self.is_done
    }

    /// Looks for tasks whose ids nobody was told until there are none left.
    async fn attend(mut self, runtime: Arc<dyn Runtime>) {
        loop {
            for _ in 0..self.take() {
                let Some(lost) = self.tasks.front() else { break };
                let ended = self.engine.end_lost(lost).await;
                let Some(mut lost) = self.tasks.pop_front() else { break };
                let is_over = lost.end <= (self.engine.clock)();
                match ended {
                    Ok(()) => {}
                    Err(Trouble::Refused(_)) => {
                        lost.looks += 1;
                        if lost.looks < LOOKS && !is_over {
                            self.tasks.push_back(lost);
                        }
                    }
                    Err(Trouble::Away) => {
                        // Behind the others: it may be this one alone that cannot be read.
                        if !is_over {
                            self.tasks.push_back(lost);
                        }
                        break;
                    }
                }
            }
            if self.ends() {
                return;
            }
            runtime.sleep_until(runtime.now() + PAUSE).await;
        }
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        if !self.is_done {
            let mut waiting = lock(&self.engine.nameless.0);
            waiting.tasks.extend(self.tasks.drain(..));
            (waiting.taken, waiting.attended) = (0, false);
        }
    }
}

impl Engine {
    /// Ends a task as one whose time is over, which is forgotten with the next sweep.
    async fn end_lost(&self, lost: &Lost) -> Result<(), Trouble> {
        let ended = self.change(&lost.id, &lost.owner, |record| {
            record.phase = Phase::Cancelled;
            record.ttl = (self.clock)().saturating_sub(record.created);
            Verdict::Write(())
        });
        ended.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use mcp_types::{BoxFuture, Busy};

    use super::*;
    use crate::task::{MemoryTaskStore, Tasks};

    /// Keeps what it is given, and runs none of it.
    #[derive(Default)]
    struct Idle(Mutex<Vec<BoxFuture<'static, ()>>>);

    impl Runtime for Idle {
        fn spawn(&self, task: BoxFuture<'static, ()>) {
            self.0.lock().unwrap().push(task);
        }

        fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
            work();
            Ok(())
        }

        fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }

        fn now(&self) -> Instant {
            Instant::now()
        }
    }

    #[test]
    fn no_more_wait_than_a_store_may_keep_however_long_it_is_away() {
        let tasks = Tasks::new(MemoryTaskStore::new()).quota(|quota| quota.tasks = 4);
        let engine = Engine::new(tasks).unwrap();
        let runtime: Arc<dyn Runtime> = Arc::new(Idle::default());
        let lose = |count| {
            for _ in 0..count {
                drop(Birth::new(&engine, &runtime, ("id", "ada"), u64::MAX));
            }
        };
        let mut attendant = Attendant::new(engine.clone());
        for _ in 0..3 {
            lose(3);
            attendant.take();
            // While the store does not answer for those that were taken out.
            lose(3);
            let waiting = lock(&engine.nameless.0).tasks.len();
            assert_eq!(waiting + attendant.tasks.len(), 4);
            assert!(!attendant.ends());
        }
    }
}
