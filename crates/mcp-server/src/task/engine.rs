//! Answers the methods of the extension, and changes records one at a time.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mcp_types::error::codes;
use mcp_types::tasks::{
    CANCEL, CancelTaskRequestParams, CancelTaskResult, DetailedTask, EXTENSION, GET,
    GetTaskRequestParams, UPDATE, UpdateTaskRequestParams, UpdateTaskResult,
};
use mcp_types::{
    ErrorObject, Members, Outcome, Principal, RawText, RequestContext, Runtime, ServerResult,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::live::{LiveTable, Run};
use super::nameless::Nameless;
use super::pledge::Pledge;
use super::record::{Phase, Record};
use super::store::{Quota, StoredTask, TaskStore, TaskStoreError};
use super::suspects::Suspects;
use super::takeover::may_run_twice;
use super::trouble::{Outage, Trouble, interrupted, unknown};
use super::watch::TaskWatch;
use super::{Clock, Tasks};
use crate::Server;
use crate::context::answer;
use crate::service::Incoming;

/// The tasks of one server.
pub(crate) struct Engine {
    pub(super) store: Arc<dyn TaskStore>,
    pub(super) ttl: Duration,
    pub(super) keep: Duration,
    pub(super) poll_interval: Duration,
    /// How long a worker is believed to be alive after it was last heard of.
    pub(super) lease: Duration,
    pub(super) quota: Quota,
    pub(super) clock: Clock,
    pub(super) runtime: Option<Arc<dyn Runtime>>,
    pub(super) live: Arc<LiveTable>,
    /// The tasks whose workers may be gone.
    pub(super) suspects: Suspects,
    /// The tasks that the store may have kept without saying so.
    pub(super) nameless: Nameless,
    /// Whether the store fails, as the log was told.
    pub(super) outage: Outage,
    /// The tasks that may work at once.
    pub(super) turns: Semaphore,
    /// When what is over was last swept out.
    pub(super) swept: AtomicU64,
    /// Names this process to others that share the store.
    pub(super) instance: String,
}

/// How often what is over is swept out, where tasks come in.
const SWEEP: Duration = Duration::from_secs(60);

/// How many tasks one subscription watches at most.
const MAX_WATCHED: usize = 256;

/// How many writes may be lost one after the other before we give up.
const MAX_LOST: usize = 64;

/// What to do with a record after it was looked at.
pub(super) enum Verdict<T> {
    /// It stays as it is.
    Leave(T),
    /// It is written.
    Write(T),
}

impl Engine {
    pub(crate) fn new(tasks: Tasks) -> Result<Arc<Self>, getrandom::Error> {
        let Tasks { store, ttl, keep, poll_interval, lease, at_once, quota, clock, runtime } =
            tasks;
        let (live, instance) = (Arc::default(), random_id()?);
        let turns = Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Arc::new(Self {
            store,
            ttl,
            keep,
            poll_interval,
            lease,
            quota,
            clock,
            runtime,
            live,
            suspects: Suspects::default(),
            nameless: Nameless::default(),
            outage: Outage::default(),
            turns,
            swept: AtomicU64::new(0),
            instance,
        }))
    }

    /// Answers a method of the extension; `None` when it is none of ours.
    pub(crate) async fn answer(
        self: Arc<Self>,
        method: String,
        params: Option<RawText>,
        incoming: Incoming,
    ) -> Result<Outcome, ErrorObject> {
        let Incoming { request, server, .. } = incoming;
        if ![GET, UPDATE, CANCEL].contains(&method.as_str()) {
            return Err(ErrorObject::method_not_found(&method));
        }
        if !super::is_declared(&request) {
            return Err(undeclared());
        }
        let params = params.as_ref();
        match method.as_str() {
            GET => {
                let params: GetTaskRequestParams = read(params)?;
                self.get(&server, &params.task_id, &request).await
            }
            UPDATE => {
                let params: UpdateTaskRequestParams = read(params)?;
                self.update(&server, &params.task_id, params.input_responses, request).await?;
                complete(&UpdateTaskResult::new())
            }
            _ => {
                let params: CancelTaskRequestParams = read(params)?;
                self.cancel(&params.task_id, &owner(&request)).await?;
                complete(&CancelTaskResult::new())
            }
        }
    }

    async fn get(
        self: &Arc<Self>,
        server: &Server,
        id: &str,
        request: &RequestContext,
    ) -> Result<Outcome, ErrorObject> {
        let owner = owner(request);
        let record = self.look(server, (id, &owner), request).await?;
        // The envelope of a result stands among the members of the task.
        let kind = RawText::of("complete").map_err(unwritable)?;
        complete(&self.shown(id, &record, Members::from_iter([("resultType", kind)])))
    }

    /// Ends a task whose time is over.
    pub(super) async fn end_overdue(&self, id: &str, owner: &str) -> Result<Record, ErrorObject> {
        let ended = self.change(id, owner, |record| {
            if !record.is_overdue((self.clock)()) {
                return Verdict::Leave(());
            }
            let error = record.overdue();
            self.fail(record, error);
            Verdict::Write(())
        });
        let (record, ()) = ended.await?;
        self.drop_run(id);
        Ok(record)
    }

    /// The record with what this process knows beyond it.
    pub(super) fn shown(&self, id: &str, record: &Record, extra: Members) -> DetailedTask {
        let works = matches!(record.phase, Phase::Working { .. });
        let live = self.live.find(id).filter(|_| works);
        let message = live.and_then(|live| live.message());
        record.shown(id, milliseconds(self.poll_interval), message, extra)
    }

    async fn update(
        self: &Arc<Self>,
        server: &Server,
        id: &str,
        responses: Members,
        request: RequestContext,
    ) -> Result<(), ErrorObject> {
        let owner = owner(&request);
        let (_, record) = self.load(id, &owner).await?;
        if record.is_overdue((self.clock)()) {
            self.end_overdue(id, &owner).await?;
            return Ok(());
        }
        let Phase::InputRequired { open } = &record.phase else { return Ok(()) };
        for (key, response) in responses.iter() {
            if let Some(question) = open.get(key) {
                answer::check(&question.request, response).map_err(|error| {
                    let error = error.within(key).within("inputResponses").within("params");
                    ErrorObject::invalid_params(error.to_string())
                })?;
            }
        }
        // An earlier answer may count or not, which the store has to say first.
        if self.live.find(id).is_some_and(|live| live.is_in_doubt()) {
            return Err(Trouble::Away.into());
        }
        let runtime = self.runtime(&request).ok_or_else(no_runtime)?;
        // The caller may have been granted more or less since; all else is as it was at the start.
        let run = self.live.enter(id, record.end(), |known| match known {
            None => request.extensions.clone(),
            Some(mut known) => {
                if let Some(principal) = request.extensions.get::<Principal>() {
                    known.insert(principal.clone());
                }
                known
            }
        });
        let pledge = Pledge::new(self, server, (id, &owner), run, Some(runtime));
        let changed = self
            .change(id, &owner, |record| {
                let Phase::InputRequired { open } = &mut record.phase else {
                    return Verdict::Leave(false);
                };
                let before = open.len();
                for (key, response) in responses.iter() {
                    if let Some(question) = open.remove(key) {
                        record.answers.insert(question.key, response.clone());
                    }
                }
                match open.len() {
                    0 => {
                        pledge.name(record);
                        Verdict::Write(true)
                    }
                    after if after < before => Verdict::Write(false),
                    _ => Verdict::Leave(false),
                }
            })
            .await;
        match &changed {
            Ok((_, true)) => pledge.begin(),
            // What was given to the store may have been written.
            Err(Trouble::Away) => drop(pledge),
            Ok((_, false)) | Err(Trouble::Refused(_)) => drop(pledge.give_back()),
        }
        changed?;
        Ok(())
    }

    async fn cancel(&self, id: &str, owner: &str) -> Result<(), ErrorObject> {
        self.change(id, owner, |record| {
            if record.is_over() {
                return Verdict::Leave(());
            }
            record.phase = Phase::Cancelled;
            record.message = None;
            self.keep_on(record);
            Verdict::Write(())
        })
        .await?;
        // It may have been over before: cancelled by a request whose answer was lost, or on another node.
        self.drop_run(id);
        Ok(())
    }

    /// Drops the work on a task that is over.
    pub(super) fn drop_run(&self, id: &str) {
        if let Some(live) = self.live.remove(id) {
            live.stop.notify_one();
        }
    }

    /// A subscription to those of `ids` that are tasks of the caller.
    ///
    /// # Errors
    ///
    /// `-32021` when the client did not declare the extension, `-32603` while the store is away.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        server: &Server,
        ids: &[String],
        request: &RequestContext,
    ) -> Result<TaskWatch, ErrorObject> {
        if !super::is_declared(request) {
            return Err(undeclared());
        }
        let (owner, mut known) = (owner(request), Vec::new());
        for id in ids.iter().take(MAX_WATCHED) {
            if known.contains(id) {
                continue;
            }
            match self.load(id, &owner).await {
                Ok(_) => known.push(id.clone()),
                // Whether it is the caller's is not known, and not granted it would never be told of.
                Err(Trouble::Away) => return Err(Trouble::Away.into()),
                Err(Trouble::Refused(_)) => {}
            }
        }
        Ok(TaskWatch::new(self.clone(), server.clone(), request.clone(), owner, known))
    }

    /// Ends what runs here: for a server that stops. What may run twice is left to whoever takes it
    /// over, all else is reported as failed.
    pub(crate) async fn stop(&self, server: &Server) {
        for id in self.live.running() {
            let Ok(Some(stored)) = self.store.load(&id).await else { continue };
            let changed = self.change(&id, &stored.task.owner, |record| {
                let Phase::Working { runner, lease } = &mut record.phase else {
                    return Verdict::Leave(());
                };
                if !self.is_ours(runner) {
                    return Verdict::Leave(());
                }
                if may_run_twice(server, &record.tool) {
                    *lease = 0;
                } else {
                    self.fail(record, interrupted());
                }
                Verdict::Write(())
            });
            if let Err(error) = changed.await {
                tracing::warn!(%error, "a task could not be put down before the server stopped");
            }
            self.drop_run(&id);
        }
    }

    /// The task of that id, if it is a task of `owner` and its time is not over.
    pub(super) async fn load(
        &self,
        id: &str,
        owner: &str,
    ) -> Result<(StoredTask, Record), Trouble> {
        // What we never made need not be looked for.
        if id.len() != ID_LENGTH || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown().into());
        }
        let stored = self.store.load(id).await;
        let stored = stored.map_err(|error| self.outage.trouble(error))?.ok_or_else(unknown)?;
        // Whoever asks for another's task learns no more than whoever guesses.
        if stored.task.owner != owner {
            return Err(unknown().into());
        }
        if stored.task.is_expired((self.clock)()) {
            self.forget(id).await;
            let text = "the task's time is over, call the tool again";
            return Err(ErrorObject::invalid_params(text).into());
        }
        let record = Record::read(&stored.task).map_err(unwritable)?;
        Ok((stored, record))
    }

    /// Changes a record as `decide` says, which is asked again with each write that is lost.
    pub(super) async fn change<T>(
        &self,
        id: &str,
        owner: &str,
        mut decide: impl FnMut(&mut Record) -> Verdict<T>,
    ) -> Result<(Record, T), Trouble> {
        for _ in 0..MAX_LOST {
            let (stored, mut record) = self.load(id, owner).await?;
            let verdict = match decide(&mut record) {
                Verdict::Leave(verdict) => return Ok((record, verdict)),
                Verdict::Write(verdict) => verdict,
            };
            record.updated = (self.clock)().max(record.updated);
            let kept = record.kept(owner, milliseconds(self.keep)).map_err(unwritable)?;
            match self.store.replace(id, stored.version, kept, &self.quota).await {
                Ok(()) => {
                    if let Some(live) = self.live.find(id) {
                        live.end.store(record.end(), Ordering::Relaxed);
                    }
                    self.live.changed(id);
                    return Ok((record, verdict));
                }
                Err(TaskStoreError::Lost) => {}
                Err(error) => return Err(self.outage.trouble(error)),
            }
        }
        let text = "the task changes faster than it can be read, try again";
        Err(ErrorObject::internal(text).into())
    }

    async fn forget(&self, id: &str) {
        self.drop_run(id);
        self.sweep((self.clock)()).await;
    }

    /// Sweeps out what is over, if that was not done a moment ago.
    pub(super) async fn sweep_at_times(&self, now: u64) {
        let last = self.swept.load(Ordering::Relaxed);
        let due = now.saturating_sub(last) >= milliseconds(SWEEP);
        let ours =
            |last| self.swept.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed);
        if due && ours(last).is_ok() {
            self.sweep(now).await;
        }
    }

    async fn sweep(&self, now: u64) {
        self.live.sweep(now);
        if let Err(error) = self.store.sweep(now).await {
            tracing::warn!(%error, "tasks that are over could not be forgotten");
        }
    }

    /// The state of a task on which a run of this process works.
    pub(super) fn working(&self, run: &Run) -> Phase {
        let lease = (self.clock)().saturating_add(milliseconds(self.lease));
        Phase::Working { runner: self.runner(run), lease }
    }

    /// How records name a run of this process.
    pub(super) fn runner(&self, run: &Run) -> String {
        format!("{}.{}", self.instance, run.number())
    }

    /// Whether a record names a run of this process.
    pub(super) fn is_ours(&self, runner: &str) -> bool {
        runner.strip_prefix(&*self.instance).is_some_and(|run| run.starts_with('.'))
    }

    /// Ends a record with an error of the protocol.
    pub(super) fn fail(&self, record: &mut Record, error: ErrorObject) {
        record.message = Some(error.message.clone());
        record.phase = Phase::Failed(error);
        self.keep_on(record);
    }

    /// What is over is kept for a while, however late it came.
    pub(super) fn keep_on(&self, record: &mut Record) {
        let elapsed = (self.clock)().saturating_sub(record.created);
        record.ttl = record.ttl.max(elapsed.saturating_add(milliseconds(self.keep)));
    }

    pub(super) fn runtime(&self, request: &RequestContext) -> Option<Arc<dyn Runtime>> {
        self.runtime.clone().or_else(|| request.runtime.clone())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

/// Who is meant by "the caller": whoever was proved to be, through the program that acts for them.
pub(super) fn owner(request: &RequestContext) -> String {
    let Some(principal) = request.extensions.get::<Principal>() else { return String::new() };
    let Principal { issuer, subject, client, .. } = principal;
    // A list, so that no two different callers are written alike.
    let written = serde_json::to_string(&(issuer, subject, client));
    written.unwrap_or_else(|_| subject.clone())
}

/// An id that nobody can guess: 160 random bits.
pub(super) fn random_id() -> Result<String, getrandom::Error> {
    use std::fmt::Write;
    let mut bytes = [0_u8; ID_LENGTH / 2];
    getrandom::fill(&mut bytes)?;
    let mut id = String::with_capacity(ID_LENGTH);
    for byte in bytes {
        let _ = write!(id, "{byte:02x}");
    }
    Ok(id)
}

const ID_LENGTH: usize = 40;

pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn read<T: DeserializeOwned>(params: Option<&RawText>) -> Result<T, ErrorObject> {
    let params = params.ok_or_else(|| ErrorObject::invalid_params("`params.taskId` is missing"))?;
    params.parse().map_err(|error| ErrorObject::invalid_params(error.within("params").to_string()))
}

pub(super) fn complete<T: Serialize>(result: &T) -> Result<Outcome, ErrorObject> {
    let text = RawText::of(result).map_err(unwritable)?;
    Ok(Outcome::Complete(ServerResult::Extension(text)))
}

/// `-32021`: the client has to declare the extension (Tasks extension, "Capability Negotiation").
pub(super) fn undeclared() -> ErrorObject {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        required_capabilities: Extensions,
    }
    #[derive(Serialize)]
    struct Extensions {
        extensions: Members,
    }
    let settings = RawText::of(&Members::new()).ok();
    let extensions = settings.map(|settings| (EXTENSION, settings)).into_iter().collect();
    let message = format!("this needs a client that declares the extension `{EXTENSION}`");
    ErrorObject::new(codes::MISSING_CLIENT_CAPABILITY, message)
        .with_data(&Data { required_capabilities: Extensions { extensions } })
}

pub(super) fn no_runtime() -> ErrorObject {
    ErrorObject::internal("the server has no runtime on which a task could run")
}

pub(super) fn unwritable(error: serde_json::Error) -> ErrorObject {
    tracing::error!(%error, "a task could not be read or written");
    ErrorObject::internal("the server cannot read the task")
}
