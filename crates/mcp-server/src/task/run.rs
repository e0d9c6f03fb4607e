//! A task at work: begun by a call, entered again with each answer, ended once.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use mcp_types::{
    CallToolRequestParams, Caller, ClientRequest, ErrorObject, Exchange, InputRequiredResult,
    Notifier, Outcome, RawText, RequestContext, RequestId, Runtime, ServerResult,
};

use tower_service::Service;

use super::TaskSupport;
use super::engine::{Engine, Verdict, complete, milliseconds, no_runtime, random_id, unwritable};
use super::live::{Run, lock};
use super::nameless::Birth;
use super::race::{Either, first_of};
use super::record::{Phase, Record};
use super::store::TaskStoreError;
use super::trouble::{Trouble, broken};
use crate::Server;
use crate::service::{Incoming, ServerFuture};

/// How many times within its lease a worker says that it is alive, to others that share its store.
pub(super) const BEATS: u32 = 3;

/// How long a worker says nothing of its progress after it has said that it is alive.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// How many times in a row a tool may leave without a question, only to be entered again.
const MAX_IDLE_ROUNDS: u32 = 16;

/// How many times the end of a task is written before it is given up.
const MAX_WRITES: u32 = 5;

/// For how long a task, or its end, waits for a store that does not answer.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// How often at least it is tried within the time that a worker has once the store is back.
const TRIES: u32 = 3;

/// Where a call stands between a request and a task; found in the call's extensions.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// The call is answered within its request, and may become a task.
    Request(Arc<Becoming>),
    /// The call is the task of this id.
    Task(String),
}

/// Whether a call is to become a task, and what it has so far.
#[derive(Debug, Default)]
pub(crate) struct Becoming(Mutex<Option<Option<String>>>);

impl Becoming {
    /// Notes that the call is to go on as a task with `state`; `false` when that was tried before,
    /// and the call has to go on as it is.
    pub(crate) fn ask(&self, state: impl FnOnce() -> Option<String>) -> bool {
        let mut asked = lock(&self.0);
        let first = asked.is_none();
        if first {
            *asked = Some(state());
        }
        first
    }

    fn asked(&self) -> Option<Option<String>> {
        lock(&self.0).clone()
    }
}

impl Engine {
    /// Whether a call can become a task, or has to be refused because it cannot.
    pub(crate) fn concern(&self, support: TaskSupport, context: &RequestContext) -> bool {
        // A tool that calls another waits for its result.
        !crate::context::is_inner(context)
            && (support != TaskSupport::Forbidden || super::is_declared(context))
    }

    /// Serves a call of a tool, as a task where tool and client want one.
    pub(crate) async fn call(
        self: Arc<Self>,
        support: TaskSupport,
        call: CallToolRequestParams,
        incoming: Incoming,
    ) -> Result<Outcome, ErrorObject> {
        let Incoming { request: mut context, notifier, server } = incoming;
        if !super::is_declared(&context) {
            if support == TaskSupport::Required {
                return Err(super::engine::undeclared());
            }
            return enter(&server, call, context, notifier).await;
        }
        if support != TaskSupport::Forbidden {
            return match self.begin(&server, &call, &context).await {
                Ok(task) => Ok(task),
                Err(Refusal::NoRoom(_)) if support == TaskSupport::Optional => {
                    enter(&server, call, context, notifier).await
                }
                Err(Refusal::NoRoom(error) | Refusal::Broken(error)) => Err(error),
            };
        }
        let becomes = Arc::new(Becoming::default());
        context.extensions.insert(Place::Request(becomes.clone()));
        let outcome = enter(&server, call.clone(), context.clone(), notifier.clone()).await;
        let Some(state) = becomes.asked() else { return outcome };
        // The answers of this round are part of the state.
        (context.input_responses, context.request_state) = (None, state);
        match self.begin(&server, &call, &context).await {
            Ok(task) => Ok(task),
            Err(Refusal::NoRoom(_)) => {
                // Asked once, it lets the tool pass: the call is answered here after all.
                enter(&server, call, context, notifier).await
            }
            Err(Refusal::Broken(error)) => Err(error),
        }
    }

    /// Makes a task of a call, and tells of it once it can be asked for.
    async fn begin(
        self: &Arc<Self>,
        server: &Server,
        call: &CallToolRequestParams,
        context: &RequestContext,
    ) -> Result<Outcome, Refusal> {
        let runtime = self.runtime(context).ok_or_else(|| Refusal::NoRoom(no_runtime()))?;
        let owner = super::engine::owner(context);
        let id = random_id().map_err(|error| {
            tracing::error!(%error, "the system gives no random numbers");
            Refusal::Broken(ErrorObject::internal("the server cannot name the task"))
        })?;
        let now = (self.clock)();
        self.sweep_at_times(now).await;
        let times = (now, milliseconds(self.ttl));
        let (tool, arguments) = (call.name.clone(), call.arguments.clone());
        let end = now.saturating_add(times.1);
        let run = self.live.enter(&id, end, |_| context.extensions.clone());
        let record = Record::begin(tool, arguments, context, times, self.working(&run));
        let kept = record
            .kept(&owner, milliseconds(self.keep))
            .map_err(|error| Refusal::Broken(unwritable(error)))?;
        let mut birth = Birth::new(self, &runtime, (&id, &owner), record.end());
        let inserted = self.store.insert(&id, kept, &self.quota, now).await;
        if !matches!(inserted, Err(TaskStoreError::Unavailable(_))) {
            birth.is_known();
        }
        if let Err(error) = inserted {
            self.live.leave(run);
            return Err(match error {
                TaskStoreError::Full { .. } => Refusal::NoRoom(broken(error)),
                error => Refusal::Broken(self.outage.trouble(error).into()),
            });
        }
        let task = complete(&record.created(&id, milliseconds(self.poll_interval)));
        let task = task.map_err(Refusal::Broken)?;
        self.start(server.clone(), id, owner, run, runtime);
        Ok(task)
    }

    /// Starts the work on a task whose record says that this run works on it, or may say so.
    pub(super) fn start(
        self: &Arc<Self>,
        server: Server,
        id: String,
        owner: String,
        mut run: Run,
        runtime: Arc<dyn Runtime>,
    ) {
        let engine = self.clone();
        let on = runtime.clone();
        runtime.spawn(Box::pin(async move {
            let runner = engine.runner(&run);
            let (id, owner) = (&*id, &*owner);
            let work = Work { engine: &engine, server: &server, id, owner, runner, runtime: on };
            if work.is_begun(&mut run).await && work.run(&run).await {
                engine.live.leave(run);
            }
        }));
    }
}

/// Why no task was made of a call.
enum Refusal {
    /// There is no room or no runtime; the call can still be answered in its request.
    NoRoom(ErrorObject),
    /// The store is out of order.
    Broken(ErrorObject),
}

/// What ended a wait.
enum Event {
    Outcome(Result<Outcome, ErrorObject>),
    Stopped,
    Expired,
}

struct Work<'a> {
    engine: &'a Arc<Engine>,
    server: &'a Server,
    id: &'a str,
    owner: &'a str,
    /// As the record names this run.
    runner: String,
    runtime: Arc<dyn Runtime>,
}

impl Work<'_> {
    /// Whether the record names this run. Where no answer came to the write that was to name it, the record is
    /// written once more: what was not made by then never will be, because it was made from an earlier version.
    async fn is_begun(&self, run: &mut Run) -> bool {
        if !run.is_doubted() {
            return true;
        }
        let begun = match first_of(run.stop.notified(), self.names(run)).await {
            Either::First(()) => false,
            Either::Second(begun) => begun,
        };
        run.end_doubt();
        begun
    }

    async fn names(&self, run: &Run) -> bool {
        let mut wait = self.wait();
        loop {
            let asked = self.engine.change(self.id, self.owner, |record| {
                if record.is_over() {
                    return Verdict::Leave(false);
                }
                let named = self.is_mine(record);
                if named {
                    record.phase = self.engine.working(run);
                }
                Verdict::Write(named)
            });
            match asked.await {
                Ok((_, named)) => return named,
                Err(Trouble::Away) if wait.goes_on(self).await => {}
                Err(_) => return false,
            }
        }
    }

    /// Works until the task is over or waits for the client; says whether it is over.
    async fn run(&self, run: &Run) -> bool {
        for _ in 0..MAX_IDLE_ROUNDS {
            // Whoever ends a task removes or changes it first, so what we load is what to do.
            let Some(record) = self.loaded().await else { return true };
            if !self.is_mine(&record) {
                return record.is_over();
            }
            let outcome = match self.enter(run, &record).await {
                Event::Outcome(outcome) => outcome,
                Event::Stopped => return true,
                Event::Expired => Err(record.overdue()),
            };
            let again = matches!(&outcome, Ok(Outcome::InputRequired(asked)) if is_idle(asked));
            match self.settle(run, outcome).await {
                Some(record) if again && self.is_mine(&record) => {}
                Some(record) => return record.is_over(),
                None => return true,
            }
        }
        let error = ErrorObject::internal("the tool asks to be run again and asks for nothing");
        self.settle(run, Err(error)).await;
        true
    }

    /// The record, once the store gives it; `None` when there is none, or the store is away for too long.
    async fn loaded(&self) -> Option<Record> {
        let mut wait = self.wait();
        loop {
            match self.engine.load(self.id, self.owner).await {
                Ok((_, record)) => return Some(record),
                Err(Trouble::Away) if wait.goes_on(self).await => {}
                Err(_) => return None,
            }
        }
    }

    fn is_mine(&self, record: &Record) -> bool {
        matches!(&record.phase, Phase::Working { runner, .. } if *runner == self.runner)
    }

    /// Enters the tool, and waits for the first of its end, a stop, and the end of the task's time.
    async fn enter(&self, run: &Run, record: &Record) -> Event {
        let mut context = record.context();
        context.extensions = run.extensions();
        context.extensions.insert(Place::Task(self.id.to_owned()));
        context.runtime = Some(self.runtime.clone());
        // Progress is wanted: it becomes the status message. Log messages have no way to the client.
        context.progress_token = Some(RequestId::from(self.id));
        let mut call = CallToolRequestParams::new(record.tool.clone());
        call.arguments = record.arguments.clone();
        let mut exchange = Exchange::new(ClientRequest::CallTool(call.clone()));
        let notifier = Notifier::new((**run).clone(), exchange.id());
        if record.layered && context.caller().is_none() {
            // The layers of the call ended with their process, and nothing may pass them by.
            exchange.context = context;
            exchange.offer_caller(|| Caller::new(Unlayered));
            context = exchange.context;
        }
        let work = async {
            // Never closed, so there is always a turn in the end.
            let _turn = self.engine.turns.acquire().await;
            enter(self.server, call, context, notifier).await
        };
        let left = record.end().saturating_sub((self.engine.clock)());
        let deadline = self.runtime.now().checked_add(Duration::from_millis(left));
        let time = async {
            match deadline {
                Some(deadline) => self.runtime.sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        // The stop comes first: a task that is stopped before it begins is never entered.
        let stop = first_of(run.stop.notified(), self.beat(run));
        match first_of(stop, first_of(work, time)).await {
            Either::First(_) => Event::Stopped,
            Either::Second(Either::First(outcome)) => Event::Outcome(outcome),
            Either::Second(Either::Second(())) => Event::Expired,
        }
    }

    /// Says from time to time that the worker is alive, where others share the store. Ready when
    /// the task was taken away: stopped on another node, taken over by one, or gone from the store,
    /// so that nobody could ask what became of it.
    async fn beat(&self, run: &Run) {
        if !self.engine.store.is_shared() {
            return std::future::pending().await;
        }
        let (mut away, mut wait, mut told) = (false, self.wait(), false);
        loop {
            // A store that cannot be reached for a moment is no reason to stop the work. It is asked as often as
            // for the end of a task: whoever finds the lease over when the store is back waits, but not for long.
            if away {
                wait.goes_on(self).await;
            } else {
                wait = self.wait();
                self.sign_is_due(run).await;
            }
            let mut beat = self.sign(run, true).await;
            // Words for which the quota has no room do not cost the task its lease.
            if matches!(beat, Err(Trouble::Refused(_))) {
                beat = self.sign(run, false).await;
            }
            away = matches!(beat, Err(Trouble::Away));
            match beat {
                Ok(true) => told = false,
                Err(Trouble::Away) => {}
                Ok(false) => return,
                Err(error) if error.is_unknown() => {
                    tracing::warn!("a task that ran is gone from its store, its tool is stopped");
                    return;
                }
                // Once, however often it is tried again.
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(%error, "a task could not say that it is alive");
                    }
                }
            }
        }
    }

    /// Waits until the next sign of life: a part of the lease, or until the tool has said how far it is, which
    /// those who ask other nodes learn from the record. That may be often, and is written once a poll, and no
    /// more than once a second.
    async fn sign_is_due(&self, run: &Run) {
        let (now, part) = (self.runtime.now(), self.engine.lease / BEATS);
        let soon = self.engine.poll_interval.max(MIN_PAUSE).min(part);
        let said = async {
            self.runtime.sleep_until(now + soon).await;
            run.said.notified().await;
        };
        first_of(said, self.runtime.sleep_until(now + part)).await;
    }

    /// Writes a sign of life, and what the tool said last where there is room for `words`; `false` when the task is
    /// not ours any more.
    async fn sign(&self, run: &Run, words: bool) -> Result<bool, Trouble> {
        let signed = self.engine.change(self.id, self.owner, |record| {
            if !self.is_mine(record) {
                return Verdict::Leave(false);
            }
            record.phase = self.engine.working(run);
            if let Some(message) = run.message().filter(|_| words) {
                record.message = Some(message);
            }
            Verdict::Write(true)
        });
        Ok(signed.await?.1)
    }

    /// Writes down what the run came to. `None` when the task is not ours any more, or could not
    /// be written.
    async fn settle(&self, run: &Run, outcome: Result<Outcome, ErrorObject>) -> Option<Record> {
        let mut outcome = outcome.and_then(|outcome| match outcome {
            Outcome::Complete(result) => match result {
                ServerResult::Extension(text) => Ok(Settled::Completed(text)),
                result => RawText::of(&result).map(Settled::Completed).map_err(unwritable),
            },
            Outcome::InputRequired(asked) => Ok(Settled::Asked(asked)),
            _ => Err(ErrorObject::internal("the tool ended in a form that no task can keep")),
        });
        let (mut attempt, mut wait) = (0, self.wait());
        while attempt < MAX_WRITES {
            let message = run.message();
            let settled = self.engine.change(self.id, self.owner, |record| {
                if !self.is_mine(record) {
                    return Verdict::Leave(());
                }
                match &outcome {
                    Ok(Settled::Completed(result)) => {
                        record.message = message.clone();
                        record.phase = Phase::Completed(result.clone());
                        self.engine.keep_on(record);
                    }
                    Ok(Settled::Asked(asked)) if is_idle(asked) => {
                        record.answers = Default::default();
                        record.state = asked.request_state.clone();
                    }
                    Ok(Settled::Asked(asked)) => {
                        record.message = None;
                        let questions = asked.input_requests.clone().unwrap_or_default();
                        record.ask(questions, asked.request_state.clone());
                    }
                    Err(error) => self.engine.fail(record, error.clone()),
                }
                Verdict::Write(())
            });
            match settled.await {
                Ok((record, ())) => {
                    // The next run, where there is one by now, has words of its own.
                    if run.is_alone() {
                        run.take_message();
                    }
                    return Some(record);
                }
                // The result waits here for the store. Whoever takes the task over meanwhile has written a
                // newer record, which stays.
                Err(Trouble::Away) => {
                    if !wait.goes_on(self).await {
                        // The whole id is the key to the task where nobody proves who they are.
                        let task = self.id.get(..8).unwrap_or_default();
                        tracing::error!(
                            task,
                            "the end of a task was given up, because its store was away for ten minutes; whoever \
                             asks for it has it begun anew if its tool may run twice, and sees it failed if not",
                        );
                        return None;
                    }
                }
                // The first error may be that the result is too large; the second error is small.
                Err(error) if attempt == 0 && outcome.is_ok() => {
                    tracing::warn!(%error, "a task's end could not be written");
                    outcome = Err(ErrorObject::internal("the task's result could not be kept"));
                    attempt += 1;
                }
                Err(error) => {
                    tracing::warn!(%error, attempt, "a task's end could not be written");
                    let pause = Duration::from_millis(100 << attempt);
                    attempt += 1;
                    self.runtime.sleep_until(self.runtime.now() + pause).await;
                }
            }
        }
        None
    }
}

/// How long a store that is away is waited for.
struct Wait {
    until: Option<Instant>,
    pause: Duration,
    longest: Duration,
}

impl Work<'_> {
    /// Tries more often than whoever finds our lease over looks, so that what waits here is there first.
    fn wait(&self) -> Wait {
        let longest = (self.engine.grace().retry / TRIES).min(Duration::from_secs(1));
        Wait { until: None, pause: longest / 8, longest }
    }
}

impl Wait {
    /// Waits; `false` when it was long enough since the first time.
    async fn goes_on(&mut self, work: &Work<'_>) -> bool {
        let now = work.runtime.now();
        let until = *self.until.get_or_insert(now + MAX_WAIT);
        work.runtime.sleep_until(now + self.pause).await;
        self.pause = (self.pause * 2).min(self.longest);
        work.runtime.now() < until
    }
}

/// What a run came to, ready to be written.
enum Settled {
    Completed(RawText),
    Asked(InputRequiredResult),
}

/// Whether nobody is asked: the tool only wants to be entered again.
fn is_idle(asked: &InputRequiredResult) -> bool {
    asked.input_requests.as_ref().is_none_or(|questions| questions.is_empty())
}

/// Calls the tool itself.
fn enter(
    server: &Server,
    call: CallToolRequestParams,
    request: RequestContext,
    notifier: Notifier,
) -> ServerFuture {
    let Some(tool) = server.0.tools.find(&call.name) else {
        let text = format!("the tool `{}` is not served any more", call.name.escape_debug());
        return ServerFuture::ready(&tracing::Span::none(), Err(ErrorObject::invalid_params(text)));
    };
    let span = tracing::debug_span!("tools/call", tool = call.name);
    let incoming = Incoming { request, notifier, server: server.clone() };
    ServerFuture::start(span, || tool.handler.call(call.name, call.arguments, incoming))
}

/// Whom a tool calls for other tools when the layers around its call are gone.
#[derive(Clone)]
struct Unlayered;

impl Service<Exchange> for Unlayered {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = std::future::Ready<Result<Outcome, ErrorObject>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Exchange) -> Self::Future {
        std::future::ready(Err(ErrorObject::internal(
            "the server was restarted, so this task can call no other tools; call the tool anew",
        )))
    }
}
