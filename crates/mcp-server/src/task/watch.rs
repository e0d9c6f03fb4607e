//! Changes of tasks, for whoever subscribed to them.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mcp_types::tasks::{DetailedTask, FailedTask, STATUS};
use mcp_types::{
    ErrorObject, Members, RawText, RequestContext, Runtime, ServerNotification, SubscriptionFilter,
};
use tokio::sync::Notify;

use super::engine::Engine;
use super::live::lock;
use super::race::{Either, first_of};
use super::record::date;
use super::trouble::Trouble;
use crate::Server;

/// The tasks that one subscription watches, and which of them changed.
#[derive(Default)]
pub(super) struct Watching {
    changed: Mutex<BTreeSet<String>>,
    notify: Notify,
}

impl Watching {
    pub(super) fn changed(&self, id: &str) {
        lock(&self.changed).insert(id.to_owned());
        self.notify.notify_one();
    }

    /// The one that changed and follows `last`, so that none waits for one that changes all the time.
    fn next(&self, last: &str) -> Option<String> {
        let mut changed = lock(&self.changed);
        let id = changed.range::<str, _>((Bound::Excluded(last), Bound::Unbounded)).next().cloned();
        match id {
            Some(id) => changed.take(&id),
            None => changed.pop_first(),
        }
    }
}

/// How long passes at least between two looks at what another node may have changed.
const MIN_PAUSE: Duration = Duration::from_millis(100);
/// And at most, however rarely a server lets itself be asked.
const MAX_PAUSE: Duration = Duration::from_secs(3600);

/// A subscription to tasks: `notifications/tasks`, one for each change that is still news when it
/// is read, so that a slow reader hears of the last word and not of all.
pub(crate) struct TaskWatch {
    engine: Arc<Engine>,
    watching: Arc<Watching>,
    owner: String,
    ids: Vec<String>,
    /// The task at which we were looking.
    looking: Option<String>,
    /// The one before, or none.
    last: String,
    /// What was told last of each.
    told: HashMap<String, RawText>,
    /// Whether the store was away when we looked at one.
    missed: bool,
    /// When all are looked at again, however much is told before.
    next_look: Option<Instant>,
    server: Server,
    request: RequestContext,
}

impl TaskWatch {
    pub(super) fn new(
        engine: Arc<Engine>,
        server: Server,
        request: RequestContext,
        owner: String,
        ids: Vec<String>,
    ) -> Self {
        let watching = Arc::new(Watching::default());
        engine.live.watch(&watching, &ids);
        // What happened before the subscription is told at once: a task that is over by now would
        // never change again.
        for id in &ids {
            watching.changed(id);
        }
        let (looking, last, told) = (None, String::new(), HashMap::new());
        let (missed, next_look) = (false, None);
        Self {
            engine,
            watching,
            owner,
            ids,
            looking,
            last,
            told,
            missed,
            next_look,
            server,
            request,
        }
    }

    /// Says in the acknowledgement which tasks are watched: those of the caller among the ones that
    /// were asked for.
    pub(crate) fn grant(&self, granted: &mut SubscriptionFilter) {
        if let Ok(ids) = RawText::of(&self.ids) {
            granted.extra.insert(TASK_IDS, ids);
        }
    }

    /// The next change, or what comes of `other` if that is ready before.
    pub(crate) async fn next_or(
        &mut self,
        other: impl Future<Output = Option<ServerNotification>>,
    ) -> Option<ServerNotification> {
        match first_of(other, self.next()).await {
            Either::First(other) => other,
            Either::Second(change) => Some(change),
        }
    }

    /// The next change; never ready again once all tasks are over and told of. Dropped before it is
    /// ready, it has lost nothing.
    async fn next(&mut self) -> ServerNotification {
        loop {
            let next_look = self.look_again();
            let id = self.looking.take().or_else(|| self.watching.next(&self.last));
            let Some(id) = id else {
                self.wait(next_look).await;
                continue;
            };
            if !self.ids.contains(&id) {
                continue;
            }
            self.looking = Some(id.clone());
            let of = (&*id, &*self.owner);
            let found = self.engine.look(&self.server, of, &self.request).await;
            self.looking = None;
            self.last.clone_from(&id);
            let task = match found {
                Ok(record) => self.engine.shown(&id, &record, Members::new()),
                Err(Trouble::Away) => {
                    self.missed = true;
                    continue;
                }
                Err(trouble) if trouble.is_unknown() => self.gone(&id, trouble.into()),
                Err(Trouble::Refused(_)) => continue,
            };
            let over = !matches!(task, DetailedTask::Working(_) | DetailedTask::InputRequired(_));
            if over {
                self.ids.retain(|known| *known != id);
            }
            let (Ok(params), Ok(news)) = (RawText::of(&task), RawText::of(&undated(task))) else {
                continue;
            };
            if self.told.get(&id) != Some(&news) {
                self.told.insert(id, news);
                let method = STATUS.to_owned();
                return ServerNotification::Extension { method, params: Some(params) };
            }
        }
    }

    /// A task that the store has lost, or forgotten, since it was subscribed to: for whoever waits for its end, it
    /// has failed.
    fn gone(&self, id: &str, error: ErrorObject) -> DetailedTask {
        let now = date((self.engine.clock)());
        DetailedTask::Failed(FailedTask::new(now.clone(), error, now, id, None))
    }

    /// Has all tasks looked at where it is time, and says when that is next: what another node changes in a shared
    /// store is seen by looking alone, and so is what changed while the store was away. What is told meanwhile puts
    /// nothing off.
    fn look_again(&mut self) -> Option<(Arc<dyn Runtime>, Instant)> {
        let looks = self.missed || self.engine.store.is_shared();
        let runtime = self.engine.runtime(&self.request).filter(|_| looks);
        let Some(runtime) = runtime.filter(|_| !self.ids.is_empty()) else {
            self.next_look = None;
            return None;
        };
        let (now, pause) = (runtime.now(), self.engine.poll_interval.clamp(MIN_PAUSE, MAX_PAUSE));
        let mut next = *self.next_look.get_or_insert(now + pause);
        if next <= now {
            self.missed = false;
            for id in &self.ids {
                self.watching.changed(id);
            }
            next = now + pause;
            self.next_look = Some(next);
        }
        Some((runtime, next))
    }

    /// Waits for a change, until the next look at the latest.
    async fn wait(&self, next_look: Option<(Arc<dyn Runtime>, Instant)>) {
        let changed = self.watching.notify.notified();
        match next_look {
            Some((runtime, next)) => _ = first_of(changed, runtime.sleep_until(next)).await,
            None => changed.await,
        }
    }
}

/// What of a task is news: that its worker lives, which alone moves the time of its last change, is none.
fn undated(mut task: DetailedTask) -> DetailedTask {
    let date = match &mut task {
        DetailedTask::Working(task) => &mut task.last_updated_at,
        DetailedTask::InputRequired(task) => &mut task.last_updated_at,
        DetailedTask::Completed(task) => &mut task.last_updated_at,
        DetailedTask::Failed(task) => &mut task.last_updated_at,
        DetailedTask::Cancelled(task) => &mut task.last_updated_at,
        _ => return task,
    };
    date.clear();
    task
}

/// The tasks that a subscription asks for, if it asks for any.
///
/// # Errors
///
/// `-32021` when the client did not declare the extension, `-32602` when the ids are no ids, `-32603` while the
/// store is away.
pub(super) async fn watch_tasks(
    engine: &Arc<Engine>,
    server: &Server,
    wanted: &SubscriptionFilter,
    request: &RequestContext,
) -> Result<Option<TaskWatch>, ErrorObject> {
    let Some(ids) = wanted.extra.get(TASK_IDS).filter(|ids| !ids.is_null()) else {
        return Ok(None);
    };
    let ids: Vec<String> = ids.parse().map_err(|error| {
        let error = error.within(TASK_IDS).within("notifications").within("params");
        ErrorObject::invalid_params(error.to_string())
    })?;
    engine.watch(server, &ids, request).await.map(Some)
}

/// The member of a subscription's filter that the extension adds.
const TASK_IDS: &str = "taskIds";
