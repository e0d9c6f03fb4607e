//! The tasks of this process: who works on them, and who watches.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Poll;

use mcp_types::{
    Closed, ExchangeId, Extensions, NotificationSink, ProgressNotificationParams,
    ServerNotification,
};
use tokio::sync::Notify;

use super::watch::Watching;

/// What this process knows of a task beyond its record.
pub(super) struct Live {
    id: String,
    /// How many runs there are here: one that only has to put its end down may still be there when
    /// the next begins.
    running: AtomicUsize,
    /// How many of them do not know yet whether the record names them.
    in_doubt: AtomicUsize,
    /// Ends the run; whoever calls it has changed the record before.
    pub(super) stop: Notify,
    /// When the record may be forgotten.
    pub(super) end: AtomicU64,
    /// What the layers knew of the caller.
    pub(super) extensions: Mutex<Extensions>,
    /// The last word of progress.
    message: Mutex<Option<String>>,
    /// Whether there was one since the record was last written with it.
    pub(super) said: Notify,
    table: Weak<LiveTable>,
}

impl Live {
    pub(super) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    /// Whether a run waits for the store to say whether the record names it.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Acquire) > 0
    }

    pub(super) fn message(&self) -> Option<String> {
        lock(&self.message).clone()
    }

    /// Takes the word of progress away, for the record.
    pub(super) fn take_message(&self) -> Option<String> {
        lock(&self.message).take()
    }

    pub(super) fn extensions(&self) -> Extensions {
        lock(&self.extensions).clone()
    }
}

/// Progress becomes the task's status message: notifications of their own are not for tasks
/// (Tasks extension, "Task Status Notifications").
impl NotificationSink for Live {
    fn poll_notify(
        &self,
        _: &mut std::task::Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        if let Some(ServerNotification::Progress(progress)) = notification.take() {
            let words = Some(in_words(&progress));
            if std::mem::replace(&mut *lock(&self.message), words.clone()) != words {
                self.said.notify_one();
                if let Some(table) = self.table.upgrade() {
                    table.changed(&self.id);
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn in_words(progress: &ProgressNotificationParams) -> String {
    let done = progress.progress;
    match (progress.total, &progress.message) {
        (Some(total), Some(message)) => format!("{done} of {total}: {message}"),
        (Some(total), None) => format!("{done} of {total}"),
        (None, Some(message)) => message.clone(),
        (None, None) => format!("{done} done"),
    }
}

/// A run of a task, which ends when this is dropped.
pub(super) struct Run {
    live: Arc<Live>,
    /// No other run of this process has it.
    number: u64,
    in_doubt: bool,
}

impl std::ops::Deref for Run {
    type Target = Arc<Live>;

    fn deref(&self) -> &Arc<Live> {
        &self.live
    }
}

impl Run {
    /// Tells it from all others of this process.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes that nobody knows whether the record names this run.
    pub(super) fn doubt(&mut self) {
        if !std::mem::replace(&mut self.in_doubt, true) {
            self.live.in_doubt.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(super) fn is_doubted(&self) -> bool {
        self.in_doubt
    }

    /// Notes that it is known.
    pub(super) fn end_doubt(&mut self) {
        if std::mem::take(&mut self.in_doubt) {
            self.live.in_doubt.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Whether no other run of the task is here.
    pub(super) fn is_alone(&self) -> bool {
        self.running.load(Ordering::Acquire) == 1
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.end_doubt();
        self.live.running.fetch_sub(1, Ordering::AcqRel);
    }
}

/// All tasks of this process, and all who watch some.
#[derive(Default)]
pub(super) struct LiveTable {
    tasks: Mutex<HashMap<String, Arc<Live>>>,
    watchers: Mutex<HashMap<String, Vec<Weak<Watching>>>>,
    /// How many runs there were.
    runs: AtomicU64,
}

impl LiveTable {
    /// Enters a run of the task `id`. It is entered before the record says so: a record that says
    /// that we work on it while no run is here is a task whose worker is gone.
    pub(super) fn enter(
        self: &Arc<Self>,
        id: &str,
        end: u64,
        extensions: impl FnOnce(Option<Extensions>) -> Extensions,
    ) -> Run {
        let mut tasks = lock(&self.tasks);
        let earlier = tasks.get(id).map(|live| live.extensions());
        let extensions = extensions(earlier);
        let live = tasks.entry(id.to_owned()).or_insert_with(|| {
            Arc::new(Live {
                id: id.to_owned(),
                running: AtomicUsize::new(0),
                in_doubt: AtomicUsize::new(0),
                stop: Notify::new(),
                end: AtomicU64::new(end),
                extensions: Mutex::default(),
                message: Mutex::default(),
                said: Notify::new(),
                table: Arc::downgrade(self),
            })
        });
        *lock(&live.extensions) = extensions;
        live.running.fetch_add(1, Ordering::AcqRel);
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        Run { live: live.clone(), number, in_doubt: false }
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Live>> {
        lock(&self.tasks).get(id).cloned()
    }

    pub(super) fn remove(&self, id: &str) -> Option<Arc<Live>> {
        lock(&self.tasks).remove(id)
    }

    /// Ends a run of a task that needs no entry any more, unless another runs.
    pub(super) fn leave(&self, run: Run) {
        let mut tasks = lock(&self.tasks);
        if run.is_alone() {
            tasks.remove(&run.id);
        }
    }

    pub(super) fn running(&self) -> Vec<String> {
        let tasks = lock(&self.tasks);
        let running = tasks.iter().filter(|(_, live)| live.is_running());
        running.map(|(id, _)| id.clone()).collect()
    }

    /// Forgets tasks that wait for an answer that may never come.
    pub(super) fn sweep(&self, now: u64) {
        lock(&self.tasks)
            .retain(|_, live| live.is_running() || live.end.load(Ordering::Relaxed) > now);
        lock(&self.watchers).retain(|_, watchers| {
            watchers.retain(|watcher| watcher.strong_count() > 0);
            !watchers.is_empty()
        });
    }

    pub(super) fn watch(&self, watching: &Arc<Watching>, ids: &[String]) {
        let mut watchers = lock(&self.watchers);
        for id in ids {
            watchers.entry(id.clone()).or_default().push(Arc::downgrade(watching));
        }
    }

    /// Tells all who watch `id`.
    pub(super) fn changed(&self, id: &str) {
        let mut all = lock(&self.watchers);
        let Some(watchers) = all.get_mut(id) else { return };
        watchers.retain(|watcher| match watcher.upgrade() {
            Some(watching) => {
                watching.changed(id);
                true
            }
            None => false,
        });
        if watchers.is_empty() {
            all.remove(id);
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
