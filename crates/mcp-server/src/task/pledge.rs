//! A run that a write is about to make the worker of a task, until it is known what became of the write.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mcp_types::Runtime;

use super::engine::Engine;
use super::live::Run;
use super::record::Record;
use crate::Server;

/// Holds a run while a record is written that names it. The store may make the write and its answer may be
/// lost, or whoever waits for the answer may be dropped with the request that it serves; then the record says
/// that the run works, so the run is begun all the same, and finds out by itself.
pub(super) struct Pledge {
    engine: Arc<Engine>,
    server: Server,
    id: String,
    owner: String,
    runtime: Option<Arc<dyn Runtime>>,
    /// Until it is begun or given back.
    run: Option<Run>,
    /// Whether a record that names the run was given to the store.
    given: AtomicBool,
}

impl Pledge {
    pub(super) fn new(
        engine: &Arc<Engine>,
        server: &Server,
        (id, owner): (&str, &str),
        run: Run,
        runtime: Option<Arc<dyn Runtime>>,
    ) -> Self {
        Self {
            engine: engine.clone(),
            server: server.clone(),
            id: id.to_owned(),
            owner: owner.to_owned(),
            runtime,
            run: Some(run),
            given: AtomicBool::new(false),
        }
    }

    /// Names the run as the worker, in a record that is written next.
    pub(super) fn name(&self, record: &mut Record) {
        if let Some(run) = &self.run {
            record.phase = self.engine.working(run);
            self.given.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there is anything on which the run could be begun.
    pub(super) fn has_runtime(&self) -> bool {
        self.runtime.is_some()
    }

    /// Whether no other run of the task is here.
    pub(super) fn is_alone(&self) -> bool {
        self.run.as_ref().is_some_and(Run::is_alone)
    }

    /// Begins the run: the store has said that the write was made.
    pub(super) fn begin(mut self) {
        if let Some(run) = self.run.take() {
            self.start(run);
        }
    }

    /// Gives the run back: no write names it, and none will.
    pub(super) fn give_back(mut self) -> Option<Run> {
        self.run.take()
    }

    fn start(&self, run: Run) {
        let Some(runtime) = self.runtime.clone() else { return };
        self.engine.start(self.server.clone(), self.id.clone(), self.owner.clone(), run, runtime);
    }
}

impl Drop for Pledge {
    fn drop(&mut self) {
        if let Some(mut run) = self.run.take()
            && *self.given.get_mut()
        {
            run.doubt();
            self.start(run);
        }
    }
}
