//! Tools that outlive their request: the Tasks extension at the server's socket.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as Cx, Poll, Waker};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use mcp_server::task::{
    KeptTask, MemoryTaskStore, Quota, StoredTask, TaskStore, TaskStoreError, TaskSupport, Tasks,
    as_task, task_store_contract,
};
use mcp_server::types::error::codes;
use mcp_server::types::tasks::{CreateTaskResult, DetailedTask};
use mcp_server::types::version::ProtocolVersion;
use mcp_server::types::*;
use mcp_server::{Context, Elicited, Server, State, ToolError, server, tool};
use tower_service::Service;

use crate::request;

mod life;
mod lost;
mod stores;
mod takeover;
mod trust;
mod watch;

const START: u64 = 1_767_323_045_000;

/// A runtime whose tasks run and whose time passes when the test says so.
struct Bench {
    origin: Instant,
    elapsed: Arc<AtomicU64>,
    tasks: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl Bench {
    fn new() -> Arc<Self> {
        let (elapsed, tasks) = (Arc::default(), Mutex::default());
        Arc::new(Self { origin: Instant::now(), elapsed, tasks })
    }

    /// Lets everything run that can.
    fn run(&self) {
        for _ in 0..32 {
            let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
            tasks.retain_mut(|task| {
                task.as_mut().poll(&mut Cx::from_waker(Waker::noop())).is_pending()
            });
            self.tasks.lock().unwrap().append(&mut tasks);
        }
    }

    fn advance(&self, milliseconds: u64) {
        self.elapsed.fetch_add(milliseconds, Ordering::SeqCst);
        self.run();
    }

    fn tasks(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }

    fn clock(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let elapsed = self.elapsed.clone();
        move || START + elapsed.load(Ordering::SeqCst)
    }
}

impl Runtime for Bench {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.lock().unwrap().push(task);
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        work();
        Ok(())
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        let (origin, elapsed) = (self.origin, self.elapsed.clone());
        Box::pin(std::future::poll_fn(move |_| {
            match origin + Duration::from_millis(elapsed.load(Ordering::SeqCst)) >= deadline {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        }))
    }

    fn now(&self) -> Instant {
        self.origin + Duration::from_millis(self.elapsed.load(Ordering::SeqCst))
    }
}

/// What the tools of these tests share with the test.
#[derive(Default, Clone)]
struct Counters {
    entered: Arc<AtomicU32>,
    dropped: Arc<AtomicU32>,
    open: Arc<AtomicU32>,
}

struct Dropped(Arc<AtomicU32>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counters {
    fn get(&self) -> (u32, u32) {
        (self.entered.load(Ordering::SeqCst), self.dropped.load(Ordering::SeqCst))
    }

    /// Lets `slow` end.
    fn open(&self) {
        self.open.store(1, Ordering::SeqCst);
    }
}

async fn work(cx: &Context<Counters>) {
    let counters = cx.state();
    counters.entered.fetch_add(1, Ordering::SeqCst);
    let _dropped = Dropped(counters.dropped.clone());
    std::future::poll_fn(|_| match counters.open.load(Ordering::SeqCst) {
        0 => Poll::Pending,
        _ => Poll::Ready(()),
    })
    .await;
}

/// Ends when the test says so.
#[tool(task)]
async fn slow(cx: Context<Counters>, label: String) -> String {
    cx.progress_with(1, 2.0, "half").await;
    cx.log(LoggingLevel::Error, "no way to the client").await;
    work(&cx).await;
    format!("done {label}")
}

/// The same, and may run twice.
#[tool(task = "optional", annotations(idempotent))]
async fn again(cx: Context<Counters>) -> &'static str {
    work(&cx).await;
    "done"
}

/// Says each number to which the test has counted.
#[tool(task, annotations(idempotent))]
async fn counts(cx: Context<Counters>) -> Result<(), ToolError> {
    let (open, mut said) = (cx.state().open.clone(), 0);
    cx.state().entered.fetch_add(1, Ordering::SeqCst);
    loop {
        said = std::future::poll_fn(|_| match open.load(Ordering::SeqCst) {
            number if number > said => Poll::Ready(number),
            _ => Poll::Pending,
        })
        .await;
        cx.progress_with(said, 1_000.0, "x".repeat(100)).await;
    }
}

/// Fails for the model to read.
#[tool(task = "required")]
async fn fails() -> Result<String, ToolError> {
    Err("no paper".into())
}

/// Panics.
#[tool]
async fn panics() -> String {
    panic!("as asked")
}

/// Asks twice.
#[tool]
async fn asks(cx: Context, State(counters): State<Counters>) -> Result<String, ToolError> {
    counters.entered.fetch_add(1, Ordering::SeqCst);
    let name = cx.elicit_form("name", form("Who?"))?;
    let sure = cx.elicit_form("sure", form("Sure?"))?;
    Ok(format!("{} {}", said(name), said(sure)))
}

/// Asks, and then does what takes a while.
#[tool(task)]
async fn signs(cx: Context<Counters>) -> Result<String, ToolError> {
    let name = cx.elicit_form("name", form("Who?"))?;
    work(&cx).await;
    Ok(format!("signed {}", said(name)))
}

/// Asks in its request, and goes on as a task.
#[tool]
async fn late(cx: Context) -> Result<String, ToolError> {
    let name = cx.elicit_form("name", form("Who?"))?;
    cx.into_task()?;
    let task = cx.task_id().is_some();
    let sure = cx.elicit_form("sure", form("Sure?"))?;
    Ok(format!("{} {} {task}", said(name), said(sure)))
}

fn said<T>(answer: Elicited<T>) -> &'static str {
    match answer {
        Elicited::Accepted(_) => "accept",
        Elicited::Declined => "decline",
        Elicited::Cancelled => "cancel",
    }
}

fn form(message: &str) -> ElicitRequestFormParams {
    let schema = ElicitRequestFormParamsRequestedSchema::new(Default::default());
    ElicitRequestFormParams::new(message, schema)
}

/// A server with all tools, whose tasks run on a bench.
struct World {
    bench: Arc<Bench>,
    server: Server,
    counters: Counters,
}

impl World {
    fn new() -> Self {
        Self::with(Arc::new(MemoryTaskStore::new()), |tasks| tasks)
    }

    fn with(store: Arc<dyn TaskStore>, change: impl FnOnce(Tasks) -> Tasks) -> Self {
        Self::on(Bench::new(), store, change)
    }

    fn on(
        bench: Arc<Bench>,
        store: Arc<dyn TaskStore>,
        change: impl FnOnce(Tasks) -> Tasks,
    ) -> Self {
        let tasks = change(Tasks::shared(store).clock(bench.clock()));
        let counters = Counters::default();
        let server = server!().tasks(tasks).tool::<late>().tool::<calls>().state(counters.clone());
        #[cfg(feature = "sealed-state")]
        let server = server.tool::<charges>();
        let server = server
            .tool::<slow>()
            .tool::<again>()
            .tool::<counts>()
            .tool::<signs>()
            .tool::<fails>()
            .add_tool(as_task(panics::default(), TaskSupport::Optional))
            .add_tool(as_task(asks::default(), TaskSupport::Optional))
            .build()
            .unwrap();
        Self { bench, server, counters }
    }

    fn send(&self, request: ClientRequest, caller: &Caller) -> Result<Outcome, ErrorObject> {
        block_on(self.serve(request, caller))
    }

    /// A request that is served as far as it is polled.
    fn serve(&self, request: ClientRequest, caller: &Caller) -> ExchangeFuture {
        let mut exchange = Exchange::new(request);
        let context = &mut exchange.context;
        let capabilities = RawText::new(caller.capabilities).unwrap();
        context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
        context.runtime = Some(self.bench.clone());
        if let Some(name) = caller.name {
            context.extensions.insert(Principal::new("https://issuer.example", name));
        }
        context.input_responses =
            Some(caller.answers.clone()).filter(|answers| !answers.is_empty());
        context.request_state = caller.state.clone();
        Box::pin(self.server.clone().call(exchange))
    }

    /// Calls a tool and takes the task that comes of it.
    fn begin(&self, name: &str, arguments: &str) -> CreateTaskResult {
        self.begin_as(&caller(), name, arguments)
    }

    fn begin_as(&self, caller: &Caller, name: &str, arguments: &str) -> CreateTaskResult {
        let outcome = self.send(request(name, arguments), caller).unwrap();
        let task = extension(outcome);
        assert!(task.get().contains(r#""resultType":"task""#), "{task}");
        let task = task.parse().unwrap();
        self.bench.run();
        task
    }

    fn ask(&self, method: &str, params: &str, caller: &Caller) -> Result<RawText, ErrorObject> {
        let params = Some(RawText::new(params).unwrap());
        let request = ClientRequest::Extension { method: method.into(), params };
        let result = self.send(request, caller).map(extension);
        self.bench.run();
        result
    }

    fn get(&self, id: &str) -> DetailedTask {
        let text = self.ask("tasks/get", &format!(r#"{{"taskId":"{id}"}}"#), &caller()).unwrap();
        assert!(text.get().contains(r#""resultType":"complete""#), "{text}");
        text.parse().unwrap()
    }

    fn cancel(&self, id: &str) -> RawText {
        self.ask("tasks/cancel", &format!(r#"{{"taskId":"{id}"}}"#), &caller()).unwrap()
    }

    fn update(&self, id: &str, answers: &str) -> Result<RawText, ErrorObject> {
        let params = format!(r#"{{"taskId":"{id}","inputResponses":{answers}}}"#);
        self.ask("tasks/update", &params, &caller())
    }
}

/// Who asks, and what they can do.
#[derive(Clone, Default)]
struct Caller {
    name: Option<&'static str>,
    capabilities: &'static str,
    answers: Members,
    state: Option<String>,
}

const DECLARED: &str =
    r#"{"elicitation":{"form":{}},"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;

fn caller() -> Caller {
    Caller { capabilities: DECLARED, ..Caller::default() }
}

fn named(name: &'static str) -> Caller {
    Caller { name: Some(name), ..caller() }
}

fn undeclared() -> Caller {
    Caller { capabilities: r#"{"elicitation":{}}"#, ..Caller::default() }
}

fn extension(outcome: Outcome) -> RawText {
    match outcome {
        Outcome::Complete(ServerResult::Extension(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// How a task stands, on one line.
fn line(task: &DetailedTask) -> String {
    match task {
        DetailedTask::Working(task) => format!("working {:?}", task.status_message),
        DetailedTask::InputRequired(task) => {
            format!("input_required {:?}", task.input_requests.keys().collect::<Vec<_>>())
        }
        DetailedTask::Completed(task) => format!("completed {}", task.result),
        DetailedTask::Failed(task) => format!("failed {} {}", task.error.code, task.error.message),
        DetailedTask::Cancelled(_) => "cancelled".into(),
        other => format!("{other:?}"),
    }
}

/// Does something that must not be done twice, before it goes on as a task.
#[cfg(feature = "sealed-state")]
#[tool]
async fn charges(cx: Context<Counters>) -> Result<String, ToolError> {
    let counters = cx.state().clone();
    let charged = cx.once_sync("charge", || {
        Ok::<_, ToolError>(counters.entered.fetch_add(1, Ordering::SeqCst) + 1)
    })?;
    cx.into_task()?;
    let sure = cx.elicit_form("sure", form("Sure?"))?;
    Ok(format!("charged {charged} time, {}", said(sure)))
}

/// Calls another tool once it has its answer.
#[tool(task)]
async fn calls(cx: Context) -> Result<String, ToolError> {
    cx.elicit_form("sure", form("Sure?"))?;
    let arguments = BTreeMap::from([("label", "inner")]);
    Ok(cx.call_tool("slow", &arguments).await.map(|_| "called".to_owned())?)
}

/// A store that other processes use too.
#[derive(Clone)]
struct Shared(Arc<MemoryTaskStore>);

impl TaskStore for Shared {
    fn insert<'a>(
        &'a self,
        id: &'a str,
        task: KeptTask,
        quota: &'a Quota,
        now: u64,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.0.insert(id, task, quota, now)
    }
    fn load<'a>(
        &'a self,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<StoredTask>, TaskStoreError>> {
        self.0.load(id)
    }
    fn replace<'a>(
        &'a self,
        id: &'a str,
        expected: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        self.0.replace(id, expected, task, quota)
    }
    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.0.sweep(now)
    }
}
