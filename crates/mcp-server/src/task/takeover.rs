//! Tasks whose worker is gone: how that is found out, and what becomes of them.

use std::sync::Arc;
use std::time::Instant;

use mcp_types::RequestContext;

use super::engine::{Engine, Verdict};
use super::pledge::Pledge;
use super::record::{Phase, Record};
use super::run::BEATS;
use super::suspects::{Grace, Known};
use super::trouble::{Trouble, interrupted, worn_out};
use crate::Server;

/// How many times a task whose worker fell silent is begun anew, at most: a task that ends its process
/// would end it for ever. One that was put down by a server that stopped in good order does not count.
const MAX_RESTARTS: u32 = 3;

impl Engine {
    /// The task as it stands, for `owner`. One whose time is over is ended, and one whose worker is gone is taken
    /// over.
    pub(super) async fn look(
        self: &Arc<Self>,
        server: &Server,
        (id, owner): (&str, &str),
        request: &RequestContext,
    ) -> Result<Record, Trouble> {
        let found = self.load(id, owner).await;
        if matches!(found, Err(Trouble::Away)) {
            self.suspects.forget(id);
        }
        let (_, record) = found?;
        if record.is_overdue((self.clock)()) {
            return Ok(self.end_overdue(id, owner).await?);
        }
        if record.is_over() {
            self.drop_run(id);
        }
        let now = self.runtime(request).map_or_else(Instant::now, |runtime| runtime.now());
        if self.is_orphan(id, &record) && self.is_silent(id, owner, &record, now).await {
            return match self.adopt(server, (id, owner), &record, request).await {
                // It stands as it was found.
                Err(Trouble::Away) => Ok(record),
                adopted => adopted,
            };
        }
        Ok(record)
    }

    /// Whether nobody works on a task that is to be worked on.
    fn is_orphan(&self, id: &str, record: &Record) -> bool {
        self.has_no_worker(record) && !self.live.find(id).is_some_and(|live| live.is_running())
    }

    /// Whether nobody but a run of this process can be working on it.
    fn has_no_worker(&self, record: &Record) -> bool {
        let Phase::Working { runner, lease } = &record.phase else { return false };
        !self.store.is_shared() || self.is_ours(runner) || *lease < (self.clock)()
    }

    /// Whether the worker of an orphan was given the time to say that it lives. One whose lease ran out while
    /// the store was away for both of us says so, or writes what it came to, as soon as the store is back; one
    /// whose clock is another than ours says so with its next beat. So whoever finds a lease over waits for
    /// that, by a clock of its own, sees then whether the store takes writes, and waits for as long as a worker
    /// needs that was kept from it until then.
    async fn is_silent(&self, id: &str, owner: &str, record: &Record, now: Instant) -> bool {
        let Phase::Working { runner, lease } = &record.phase else { return false };
        // Nobody else works here, we know that it is ours, or it was put down.
        if !self.store.is_shared() || self.is_ours(runner) || *lease == 0 {
            return true;
        }
        match self.suspects.look(id, *lease, now, self.grace()) {
            Known::Silent => return true,
            Known::Waits => return false,
            Known::Nothing | Known::Late => {}
        }
        // A store that takes no writes is no proof of silence, so ours is the first.
        let written = self
            .change(id, owner, |found| match &found.phase {
                Phase::Working { lease: still, .. } if still == lease => Verdict::Write(true),
                _ => Verdict::Leave(false),
            })
            .await;
        if matches!(written, Ok((_, true))) {
            let most = self.quota.tasks.max(1);
            self.suspects.note(id, *lease, now, self.grace(), most);
        }
        false
    }

    /// How long a worker has to say that it lives once its lease was found to be over: longer than from one
    /// beat to the next, which the store takes two operations for, and than it waits to try a beat again.
    pub(super) fn grace(&self) -> Grace {
        let third = self.lease / BEATS;
        Grace { beat: third * 2, retry: third }
    }

    /// Takes a task over whose worker is gone, if its tool may run twice; ends it if not.
    async fn adopt(
        self: &Arc<Self>,
        server: &Server,
        (id, owner): (&str, &str),
        found: &Record,
        request: &RequestContext,
    ) -> Result<Record, Trouble> {
        let end = found.end();
        let run = self.live.enter(id, end, |known| known.unwrap_or(request.extensions.clone()));
        let pledge = Pledge::new(self, server, (id, owner), run, self.runtime(request));
        let was_put_down = matches!(found.phase, Phase::Working { lease: 0, .. });
        let mut ended = None;
        let adopted = self
            .change(id, owner, |record| {
                ended = None;
                // Whoever looked at the same time has entered too, and the next look will do. A worker that gave a
                // sign of life since has its task.
                if !pledge.is_alone() || !record.has_worker_of(found) {
                    return Verdict::Leave(false);
                }
                let why = match may_run_twice(server, &record.tool) && pledge.has_runtime() {
                    false => Some(interrupted()),
                    true => (!was_put_down && record.restarts >= MAX_RESTARTS).then(worn_out),
                };
                match &why {
                    None => {
                        record.restarts += u32::from(!was_put_down);
                        pledge.name(record);
                    }
                    Some(why) => self.fail(record, why.clone()),
                }
                ended = why;
                Verdict::Write(ended.is_none())
            })
            .await;
        match &adopted {
            Ok((_, true)) => {
                match was_put_down {
                    true => {
                        tracing::info!(tool = %found.tool, "a task goes on here, put down by a server that stopped");
                    }
                    false => {
                        tracing::info!(tool = %found.tool, "a task is taken over, whose worker fell silent");
                    }
                }
                pledge.begin();
            }
            // What was given to the store may have been written.
            Err(Trouble::Away) => drop(pledge),
            Ok((_, false)) | Err(Trouble::Refused(_)) => {
                if let (Some(why), Ok(_)) = (&ended, &adopted) {
                    let why = &*why.message;
                    tracing::warn!(tool = %found.tool, why, "a task has failed, whose worker is gone");
                }
                pledge.give_back().into_iter().for_each(|run| self.live.leave(run));
            }
        }
        Ok(adopted?.0)
    }
}

/// Whether the tool's author said that a second run does no harm.
pub(super) fn may_run_twice(server: &Server, tool: &str) -> bool {
    let hints = server.0.tools.find(tool).and_then(|entry| entry.listed.annotations.clone());
    hints.is_some_and(|hints| {
        hints.idempotent_hint == Some(true) || hints.read_only_hint == Some(true)
    })
}
