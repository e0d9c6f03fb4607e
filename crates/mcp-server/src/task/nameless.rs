//! Tasks whose ids nobody was told: the store kept them, or keeps them yet, and its answer never came.

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
        if waiting.tasks.len() >= self.engine.quota.tasks {
            return;
        }
        waiting.tasks.push(lost);
        if !std::mem::replace(&mut waiting.attended, true) {
            drop(waiting);
            let (engine, runtime) = (self.engine.clone(), self.runtime.clone());
            self.runtime.spawn(Box::pin(async move { engine.end_nameless(runtime).await }));
        }
    }
}

impl Engine {
    /// Looks for tasks whose ids nobody was told until there are none left.
    async fn end_nameless(&self, runtime: Arc<dyn Runtime>) {
        loop {
            let mut tasks = std::mem::take(&mut lock(&self.nameless.0).tasks).into_iter();
            let mut left = Vec::new();
            while let Some(mut lost) = tasks.next() {
                match self.end_lost(&lost).await {
                    _ if lost.end <= (self.clock)() => {}
                    Ok(()) => {}
                    Err(Trouble::Refused(_)) => {
                        lost.looks += 1;
                        if lost.looks < LOOKS {
                            left.push(lost);
                        }
                    }
                    Err(Trouble::Away) => {
                        // Behind the others: it may be this one alone that cannot be read.
                        left.extend(tasks.by_ref());
                        left.push(lost);
                    }
                }
            }
            {
                let mut waiting = lock(&self.nameless.0);
                waiting.tasks.append(&mut left);
                if waiting.tasks.is_empty() {
                    waiting.attended = false;
                    return;
                }
            }
            runtime.sleep_until(runtime.now() + PAUSE).await;
        }
    }

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
