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
            .tool::<fails>()
            .add_tool(as_task(panics::default(), TaskSupport::Optional))
            .add_tool(as_task(asks::default(), TaskSupport::Optional))
            .build()
            .unwrap();
        Self { bench, server, counters }
    }

    fn send(&self, request: ClientRequest, caller: &Caller) -> Result<Outcome, ErrorObject> {
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
        block_on(self.server.clone().call(exchange))
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

#[test]
fn a_call_becomes_a_task_and_ends() {
    let world = World::new();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(
        (task.status.as_str(), task.ttl_ms, task.poll_interval_ms),
        ("working", Some(3_600_000), Some(1_000))
    );
    assert_eq!(task.created_at, "2026-01-02T03:04:05.000Z");
    assert_eq!(task.task_id.len(), 40);
    assert_eq!(line(&world.get(&task.task_id)), r#"working Some("1 of 2: half")"#);
    world.bench.advance(2_500);
    world.counters.open();
    world.bench.run();
    let DetailedTask::Completed(done) = world.get(&task.task_id) else { panic!() };
    assert_eq!(done.created_at, "2026-01-02T03:04:05.000Z");
    assert_eq!(done.last_updated_at, "2026-01-02T03:04:07.500Z");
    assert!(done.result.get().contains(r#""text":"done it""#), "{}", done.result);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
}

#[test]
fn a_created_task_says_what_the_extension_wants_and_no_more() {
    let world = World::new();
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &caller()).unwrap();
    let members: BTreeMap<String, serde_json::Value> = extension(outcome).parse().unwrap();
    let names: Vec<_> = members.keys().map(String::as_str).collect();
    let expected =
        ["createdAt", "lastUpdatedAt", "pollIntervalMs", "resultType", "status", "taskId", "ttlMs"];
    assert_eq!(names, expected);
}

#[test]
fn failures_of_the_tool_and_of_the_protocol_are_told_apart() {
    let world = World::new();
    let failed = world.begin("fails", "{}");
    assert!(line(&world.get(&failed.task_id)).contains(r#""isError":true"#));
    let wrong = world.begin("slow", r#"{"lable":"it"}"#);
    assert!(line(&world.get(&wrong.task_id)).contains(r#""isError":true"#));
    let broken = world.begin("panics", "{}");
    assert_eq!(
        line(&world.get(&broken.task_id)),
        "failed -32603 the call failed by a fault of the server"
    );
}

#[test]
fn a_client_that_does_not_declare_the_extension_never_sees_a_task() {
    let world = World::new();
    world.counters.open();
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &undeclared()).unwrap();
    assert!(matches!(outcome, Outcome::Complete(ServerResult::CallTool(_))), "{outcome:?}");
    let task = world.begin("slow", r#"{"label":"it"}"#);
    let id = format!(r#"{{"taskId":"{}","inputResponses":{{}}}}"#, task.task_id);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let error = world.ask(method, &id, &undeclared()).unwrap_err();
        assert_eq!(error.code, codes::MISSING_CLIENT_CAPABILITY, "{method}");
    }
    let error = world.send(request("fails", "{}"), &undeclared()).unwrap_err();
    assert_eq!(error.code, codes::MISSING_CLIENT_CAPABILITY);
    let data = r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;
    assert_eq!(error.data.unwrap().get(), data);
}

#[test]
fn only_the_methods_of_the_extension_are_served() {
    let world = World::new();
    for method in ["tasks/list", "tasks/result", "tasks/"] {
        let error = world.ask(method, "{}", &caller()).unwrap_err();
        assert_eq!(error.code, codes::METHOD_NOT_FOUND, "{method}");
    }
    assert!(server!().tool::<fails>().build().is_err(), "nobody keeps its tasks");
    let mut none = server!().tool::<late>().build().unwrap();
    let params = Some(RawText::new(r#"{"taskId":"x"}"#).unwrap());
    let get = ClientRequest::Extension { method: "tasks/get".into(), params };
    let error = block_on(none.call(Exchange::new(get))).unwrap_err();
    assert_eq!(error.code, codes::METHOD_NOT_FOUND);
}

#[test]
fn the_server_declares_the_extension_where_it_keeps_tasks() {
    let world = World::new();
    let discover = ClientRequest::Discover(RequestParams::new());
    let outcome = world.send(discover, &caller()).unwrap();
    let Outcome::Complete(ServerResult::Discover(found)) = outcome else { panic!() };
    assert_eq!(found.capabilities.extensions.unwrap()["io.modelcontextprotocol/tasks"].get(), "{}");
}

#[test]
fn a_task_asks_and_is_answered() {
    let world = World::new();
    let task = world.begin("asks", "{}");
    let id = &task.task_id;
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    // Keys that nobody asked for are passed over.
    world.update(id, r#"{"other":{"action":"accept"},"sure":{"action":"accept"}}"#).unwrap();
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    // An answer that is none is refused, and the question stays.
    let error = world.update(id, r#"{"name":12345}"#).unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
    assert!(error.message.contains("params.inputResponses.name"), "{error}");
    assert_eq!(line(&world.get(id)), r#"input_required ["name"]"#);
    let done = world.update(id, r#"{"name":{"action":"accept"}}"#).unwrap();
    assert_eq!(done.get(), r#"{"resultType":"complete"}"#);
    assert_eq!(line(&world.get(id)), r#"input_required ["sure"]"#);
    // The same answer once more, too late.
    world.update(id, r#"{"name":{"action":"cancel"}}"#).unwrap();
    world.update(id, r#"{"sure":{"action":"decline"}}"#).unwrap();
    assert!(line(&world.get(id)).contains("accept decline"));
    world.update(id, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&world.get(id)).contains("accept decline"));
    assert_eq!(world.counters.get().0, 3);
}

#[test]
fn what_a_tool_asks_before_it_is_a_task_it_asks_in_the_request() {
    let world = World::new();
    let outcome = world.send(request("late", "{}"), &caller()).unwrap();
    let Outcome::InputRequired(asked) = outcome else { panic!("{outcome:?}") };
    assert!(asked.input_requests.unwrap().contains_key("name"));
    let accept = RawText::new(r#"{"action":"accept"}"#).unwrap();
    let answers = Members::from_iter([("name", accept)]);
    let answered = Caller { answers, state: asked.request_state, ..caller() };
    let task = world.begin_as(&answered, "late", "{}");
    assert_eq!(line(&world.get(&task.task_id)), r#"input_required ["sure"]"#);
    world.update(&task.task_id, r#"{"sure":{"action":"decline"}}"#).unwrap();
    assert!(line(&world.get(&task.task_id)).contains("accept decline true"));
    // Who does not declare the extension is asked on, and answered, in the request.
    let plain = Caller { capabilities: r#"{"elicitation":{}}"#, ..answered };
    let outcome = world.send(request("late", "{}"), &plain).unwrap();
    let Outcome::InputRequired(asked) = outcome else { panic!("{outcome:?}") };
    assert!(asked.input_requests.unwrap().contains_key("sure"));
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

#[cfg(feature = "sealed-state")]
#[test]
fn what_was_done_before_the_task_is_not_done_again_in_it() {
    let world = World::new();
    let task = world.begin("charges", "{}");
    world.update(&task.task_id, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&world.get(&task.task_id)).contains("charged 1 time, accept"));
    assert_eq!(world.counters.get().0, 1);
}

#[test]
fn a_task_that_is_cancelled_is_dropped_and_stays_so() {
    let world = World::new();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(world.counters.get(), (1, 0));
    assert_eq!(world.cancel(&task.task_id).get(), r#"{"resultType":"complete"}"#);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
    world.counters.open();
    world.bench.run();
    assert_eq!(line(&world.get(&task.task_id)), "cancelled");
    assert_eq!(world.cancel(&task.task_id).get(), r#"{"resultType":"complete"}"#);
}

#[test]
fn a_cancellation_that_comes_early_or_late() {
    let world = World::new();
    // Before its tool was entered: it never is.
    let outcome = world.send(request("slow", r#"{"label":"it"}"#), &caller()).unwrap();
    let task: CreateTaskResult = extension(outcome).parse().unwrap();
    world.cancel(&task.task_id);
    world.bench.run();
    assert_eq!(
        (world.counters.get(), line(&world.get(&task.task_id))),
        ((0, 0), "cancelled".into())
    );
    // After the tool ended, before anybody was told: the result stands.
    world.counters.open();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    world.cancel(&task.task_id);
    assert!(line(&world.get(&task.task_id)).starts_with("completed"));
    // While it waits for the client: later answers change nothing.
    let task = world.begin("asks", "{}");
    world.cancel(&task.task_id);
    world.update(&task.task_id, r#"{"name":{"action":"accept"}}"#).unwrap();
    assert_eq!(line(&world.get(&task.task_id)), "cancelled");
    assert_eq!(world.bench.tasks(), 0);
}

#[test]
fn answer_and_cancellation_at_once_end_in_one_of_both() {
    let world = World::new();
    let task = world.begin("asks", "{}");
    let id = &task.task_id;
    // The answer is taken, the tool not entered yet, the cancellation comes.
    let params =
        format!(r#"{{"taskId":"{id}","inputResponses":{{"name":{{"action":"accept"}}}}}}"#);
    let params = Some(RawText::new(params).unwrap());
    let update = ClientRequest::Extension { method: "tasks/update".into(), params };
    world.send(update, &caller()).unwrap();
    world.cancel(id);
    world.bench.run();
    assert_eq!((line(&world.get(id)), world.counters.get().0), ("cancelled".into(), 1));
}

/// Keeps what a subscription is told.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut Cx<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        self.0.lock().unwrap().push(match notification.take().unwrap() {
            ServerNotification::SubscriptionsAcknowledged(params) => {
                format!("acknowledged {}", RawText::of(&params.notifications).unwrap())
            }
            ServerNotification::Extension { method, params } => {
                let task = params.unwrap();
                assert!(!task.get().contains("resultType"), "{task}");
                format!("{method} {}", line(&task.parse().unwrap()))
            }
            other => format!("{other:?}"),
        });
        Poll::Ready(Ok(()))
    }
}

/// A subscription to tasks, and what it was told.
fn listen(world: &World, ids: &[&str], caller: &Caller) -> (ExchangeFuture, Arc<Heard>) {
    let mut filter = SubscriptionFilter::new();
    filter.extra.insert("taskIds", RawText::of(ids).unwrap());
    let listen = ClientRequest::SubscriptionsListen(SubscriptionsListenRequestParams::new(filter));
    let mut exchange = Exchange::new(listen);
    let heard = Arc::new(Heard::default());
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    let capabilities = RawText::new(caller.capabilities).unwrap();
    exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
    exchange.context.runtime = Some(world.bench.clone());
    if let Some(name) = caller.name {
        exchange.context.extensions.insert(Principal::new("https://issuer.example", name));
    }
    (Box::pin(world.server.clone().call(exchange)), heard)
}

#[test]
fn a_subscription_tells_of_the_tasks_that_it_names() {
    let world = World::new();
    let slow = world.begin("slow", r#"{"label":"it"}"#).task_id;
    let asks = world.begin("asks", "{}").task_id;
    let foreign = world.begin_as(&named("Eve"), "asks", "{}").task_id;
    let (mut subscription, heard) =
        listen(&world, &[&slow, &asks, &foreign, "nonsense"], &caller());
    let mut told = || {
        let mut cx = Cx::from_waker(Waker::noop());
        assert!(subscription.as_mut().poll(&mut cx).is_pending());
        let mut told = std::mem::take(&mut *heard.0.lock().unwrap());
        told.sort();
        told
    };
    // How they stand comes at once: a task that is over would never change again.
    let first = format!(r#"acknowledged {{"taskIds":["{slow}","{asks}"]}}"#);
    let asked = r#"notifications/tasks input_required ["name"]"#.to_owned();
    let working = r#"notifications/tasks working Some("1 of 2: half")"#.to_owned();
    assert_eq!(told(), [first, asked, working]);
    assert!(told().is_empty());
    world.update(&asks, r#"{"name":{"action":"accept"}}"#).unwrap();
    assert_eq!(told(), [r#"notifications/tasks input_required ["sure"]"#]);
    world.cancel(&asks);
    world.counters.open();
    world.bench.run();
    let end = told();
    assert_eq!(end.len(), 2);
    assert_eq!(end[0], "notifications/tasks cancelled");
    assert!(end[1].starts_with("notifications/tasks completed"), "{end:?}");
    assert!(told().is_empty());

    let (subscription, _) = listen(&world, &[&slow], &undeclared());
    assert_eq!(block_on(subscription).unwrap_err().code, codes::MISSING_CLIENT_CAPABILITY);
}

#[test]
fn a_subscription_hears_of_what_other_nodes_do() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks);
    let asks = one.begin("asks", "{}").task_id;
    let (mut subscription, heard) = listen(&two, &[&asks], &caller());
    let mut cx = Cx::from_waker(Waker::noop());
    assert!(subscription.as_mut().poll(&mut cx).is_pending());
    one.cancel(&asks);
    bench.advance(1_000);
    assert!(subscription.as_mut().poll(&mut cx).is_pending());
    let told = heard.0.lock().unwrap();
    assert_eq!(
        told[1..],
        [r#"notifications/tasks input_required ["name"]"#, "notifications/tasks cancelled"]
    );
}

#[test]
fn for_another_principal_the_task_does_not_exist() {
    let world = World::new();
    let task = world.begin_as(&named("Ada"), "asks", "{}");
    let id = format!(
        r#"{{"taskId":"{}","inputResponses":{{"name":{{"action":"accept"}}}}}}"#,
        task.task_id
    );
    let guess = "0".repeat(40);
    let guess = format!(r#"{{"taskId":"{guess}","inputResponses":{{}}}}"#);
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        let unknown = world.ask(method, &guess, &named("Ada")).unwrap_err();
        assert_eq!(unknown.code, codes::INVALID_PARAMS);
        for other in [named("Eve"), caller()] {
            let error = world.ask(method, &id, &other).unwrap_err();
            assert_eq!(error, unknown, "{method}");
        }
    }
    let text = world.ask("tasks/get", &id, &named("Ada")).unwrap();
    assert_eq!(line(&text.parse().unwrap()), r#"input_required ["name"]"#);
    // Nor can a name be spelled so that it becomes another's.
    let tricky = world.begin_as(&named(r#"Ada","#), "asks", "{}");
    let id = format!(r#"{{"taskId":"{}"}}"#, tricky.task_id);
    assert!(world.ask("tasks/get", &id, &named("Ada")).is_err());
}

#[test]
fn ids_are_ours_or_unknown() {
    let world = World::new();
    let task = world.begin("slow", r#"{"label":"it"}"#);
    let upper = task.task_id.to_uppercase();
    let long = "a".repeat(100_000);
    for id in ["", "x", &upper, &long, &format!("{} ", task.task_id), "../../etc/passwd", "\\u0000"]
    {
        let params = format!(r#"{{"taskId":"{id}"}}"#);
        let error = world.ask("tasks/get", &params, &caller()).unwrap_err();
        assert_eq!(error.code, codes::INVALID_PARAMS, "{id}");
        assert!(error.message.len() < 200);
    }
    for params in ["{}", r#"{"taskId":7}"#, r#"{"taskId":null}"#] {
        let error = world.ask("tasks/get", params, &caller()).unwrap_err();
        assert_eq!(error.code, codes::INVALID_PARAMS, "{params}");
    }
    let other = world.begin("slow", r#"{"label":"it"}"#);
    assert_ne!(task.task_id, other.task_id);
}

#[test]
fn a_task_has_its_time() {
    let store = Arc::new(MemoryTaskStore::new());
    let hour = |tasks: Tasks| tasks.ttl(Duration::from_secs(60)).keep(Duration::from_secs(30));
    let world = World::with(store.clone(), hour);
    let task = world.begin("slow", r#"{"label":"it"}"#);
    world.bench.advance(59_999);
    assert!(line(&world.get(&task.task_id)).starts_with("working"));
    world.bench.advance(1);
    // The work is dropped.
    assert_eq!((world.counters.get(), world.bench.tasks()), ((1, 1), 0));
    let late = "failed -32603 the task did not end within the 60 s that it had";
    assert_eq!(line(&world.get(&task.task_id)), late);
    world.bench.advance(29_999);
    assert_eq!(line(&world.get(&task.task_id)), late);
    world.bench.advance(1);
    let params = format!(r#"{{"taskId":"{}"}}"#, task.task_id);
    let error = world.ask("tasks/get", &params, &caller()).unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
    assert!(store.is_empty(), "what is over is forgotten");
    // A result that comes late is kept for a while all the same, and says so.
    let task = world.begin("slow", r#"{"label":"it"}"#);
    world.bench.advance(50_000);
    world.counters.open();
    world.bench.run();
    let DetailedTask::Completed(done) = world.get(&task.task_id) else { panic!() };
    assert_eq!(done.ttl_ms, Some(80_000));
    world.bench.advance(29_999);
    assert!(line(&world.get(&task.task_id)).starts_with("completed"));
    // While it waits for the client, the time runs too.
    let task = world.begin("asks", "{}");
    world.bench.advance(60_000);
    let params = format!(
        r#"{{"taskId":"{}","inputResponses":{{"name":{{"action":"accept"}}}}}}"#,
        task.task_id
    );
    world.ask("tasks/update", &params, &caller()).unwrap();
    assert_eq!(line(&world.get(&task.task_id)), late);
    assert_eq!(world.counters.get().0, 3, "the tool is not entered again");
}

#[test]
fn what_is_over_is_forgotten_though_nobody_asks() {
    let store = Arc::new(MemoryTaskStore::new());
    let world = World::with(store.clone(), |tasks| tasks.ttl(Duration::from_secs(60)));
    world.counters.open();
    for _ in 0..3 {
        world.begin("slow", r#"{"label":"it"}"#);
    }
    world.begin("asks", "{}");
    world.bench.advance(959_999);
    assert_eq!(store.len(), 4);
    world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(store.len(), 2, "what ended is over, and the question has a moment left");
    world.bench.advance(60_000);
    world.begin("slow", r#"{"label":"it"}"#);
    assert_eq!(store.len(), 2);
}

#[test]
fn no_caller_takes_the_room_of_all() {
    let world = World::with(Arc::new(MemoryTaskStore::new()), |tasks| {
        tasks.quota(|quota| quota.tasks_of_owner = 2)
    });
    let (ada, eve) = (named("Ada"), named("Eve"));
    world.begin_as(&eve, "slow", r#"{"label":"1"}"#);
    world.begin_as(&eve, "slow", r#"{"label":"2"}"#);
    let error = world.send(request("fails", "{}"), &eve).unwrap_err();
    assert_eq!(error.code, codes::INTERNAL_ERROR);
    assert!(error.message.contains("for this caller"), "{error}");
    world.begin_as(&ada, "slow", r#"{"label":"3"}"#);
    // A tool that can do without is answered in its request.
    world.counters.open();
    let outcome = world.send(request("slow", r#"{"label":"4"}"#), &eve).unwrap();
    assert!(matches!(outcome, Outcome::Complete(ServerResult::CallTool(_))), "{outcome:?}");
    let accept = RawText::new(r#"{"action":"accept"}"#).unwrap();
    let both = [("name", accept.clone()), ("sure", accept)];
    let outcome =
        world.send(request("late", "{}"), &Caller { answers: both.into_iter().collect(), ..eve });
    assert!(format!("{outcome:?}").contains("accept accept false"), "{outcome:?}");
}

#[test]
fn tasks_wait_for_their_turn() {
    let world = World::with(Arc::new(MemoryTaskStore::new()), |tasks| tasks.at_once(2));
    let ids: Vec<_> = (0..4).map(|_| world.begin("slow", r#"{"label":"it"}"#).task_id).collect();
    assert_eq!(world.counters.get(), (2, 0));
    // One that waits for the client takes no turn, and one that is cancelled gives its own back.
    world.cancel(&ids[0]);
    assert_eq!(world.counters.get(), (3, 1));
    world.cancel(&ids[3]);
    assert_eq!((world.counters.get(), world.bench.tasks()), ((3, 1), 2));
    world.counters.open();
    world.bench.run();
    assert_eq!((world.counters.get(), world.bench.tasks()), ((3, 3), 0));
    let asks = world.begin("asks", "{}").task_id;
    let other = world.begin("asks", "{}").task_id;
    let third = world.begin("asks", "{}").task_id;
    for id in [asks, other, third] {
        assert_eq!(line(&world.get(&id)), r#"input_required ["name"]"#);
    }
}

#[test]
fn a_result_that_is_too_large_to_keep_ends_its_task() {
    let world = World::with(Arc::new(MemoryTaskStore::new()), |tasks| {
        tasks.quota(|quota| quota.bytes = 2_000)
    });
    world.counters.open();
    let label = "x".repeat(1_000);
    let task = world.begin("slow", &format!(r#"{{"label":"{label}"}}"#));
    assert_eq!(
        line(&world.get(&task.task_id)),
        "failed -32603 the task's result could not be kept"
    );
}

#[test]
fn what_ran_when_its_process_ended_is_reported_or_begun_again() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let before = World::with(store.clone(), |tasks| tasks);
    let slow = before.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = before.begin("again", "{}").task_id;
    let asks = before.begin("asks", "{}").task_id;
    before.bench.tasks.lock().unwrap().clear();
    drop(before);

    let after = World::with(store, |tasks| tasks);
    let failed = line(&after.get(&slow));
    assert!(failed.starts_with("failed -32603 the server stopped while the task ran"), "{failed}");
    assert!(line(&after.get(&again)).starts_with("working"));
    after.counters.open();
    after.bench.run();
    assert!(line(&after.get(&again)).starts_with("completed"));
    assert_eq!(after.counters.get(), (1, 1));
    // What waited for the client has lost nothing.
    assert_eq!(line(&after.get(&asks)), r#"input_required ["name"]"#);
    after.update(&asks, r#"{"name":{"action":"accept"}}"#).unwrap();
    after.update(&asks, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&after.get(&asks)).contains("accept accept"));
}

/// Calls another tool once it has its answer.
#[tool(task)]
async fn calls(cx: Context) -> Result<String, ToolError> {
    cx.elicit_form("sure", form("Sure?"))?;
    let arguments = BTreeMap::from([("label", "inner")]);
    Ok(cx.call_tool("slow", &arguments).await.map(|_| "called".to_owned())?)
}

/// A layer outside of the server that counts the calls of tools.
#[derive(Clone)]
struct Gate(Server, Arc<AtomicU32>);

impl Service<Exchange> for Gate {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut Cx<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        if matches!(exchange.request, ClientRequest::CallTool(_)) {
            exchange.offer_caller(|| mcp_server::types::Caller::new(self.clone()));
            self.1.fetch_add(1, Ordering::SeqCst);
        }
        Box::pin(self.0.call(exchange))
    }
}

#[test]
fn no_task_gets_around_the_layers_of_its_call() {
    for restarts in [false, true] {
        let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
        let before = World::with(store.clone(), |tasks| tasks);
        before.counters.open();
        let passed = Arc::new(AtomicU32::new(0));
        let mut gate = Gate(before.server.clone(), passed.clone());
        let mut exchange = Exchange::new(request("calls", "{}"));
        let capabilities = RawText::new(DECLARED).unwrap();
        exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
        exchange.context.runtime = Some(before.bench.clone());
        let task = extension(block_on(gate.call(exchange)).unwrap());
        let id = task.parse::<CreateTaskResult>().unwrap().task_id;
        before.bench.run();
        let world = match restarts {
            false => before,
            true => World::with(store, |tasks| tasks),
        };
        world.counters.open();
        world.update(&id, r#"{"sure":{"action":"accept"}}"#).unwrap();
        let end = line(&world.get(&id));
        match restarts {
            false => assert!(end.contains(r#""text":"called""#), "{end}"),
            true => assert!(end.contains("the server was restarted"), "{end}"),
        }
        // The inner call too, unless there is none.
        assert_eq!(passed.load(Ordering::SeqCst), if restarts { 1 } else { 2 });
        assert_eq!(world.counters.get().0, if restarts { 0 } else { 1 });
    }
}

#[test]
fn a_task_that_ends_its_process_does_not_do_so_for_ever() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let first = World::with(store.clone(), |tasks| tasks);
    let id = first.begin("again", "{}").task_id;
    for _ in 0..3 {
        let next = World::with(store.clone(), |tasks| tasks);
        assert!(line(&next.get(&id)).starts_with("working"));
        assert_eq!(next.counters.get(), (1, 0));
    }
    let last = World::with(store, |tasks| tasks);
    assert!(line(&last.get(&id)).starts_with("failed"));
    assert_eq!(last.counters.get(), (0, 0));
}

#[test]
fn a_server_that_stops_puts_its_tasks_down() {
    let store: Arc<dyn TaskStore> = Arc::new(MemoryTaskStore::new());
    let before = World::with(store.clone(), |tasks| tasks);
    let slow = before.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = before.begin("again", "{}").task_id;
    block_on(before.server.stop_tasks());
    before.bench.run();
    assert_eq!((before.counters.get(), before.bench.tasks()), ((2, 2), 0));
    assert!(line(&before.get(&slow)).starts_with("failed"));
    let after = World::with(store, |tasks| tasks);
    assert!(line(&after.get(&again)).starts_with("working"));
    assert_eq!(after.counters.get(), (1, 0));
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

#[test]
fn nodes_that_share_a_store_leave_each_others_tasks_alone() {
    let store: Arc<dyn TaskStore> = Arc::new(Shared(Arc::default()));
    let bench = Bench::new();
    let one = World::on(bench.clone(), store.clone(), |tasks| tasks);
    let two = World::on(bench.clone(), store, |tasks| tasks);
    let slow = one.begin("slow", r#"{"label":"it"}"#).task_id;
    let again = one.begin("again", "{}").task_id;
    for _ in 0..9 {
        bench.advance(10_000);
        assert!(line(&two.get(&slow)).starts_with("working"));
        assert!(line(&two.get(&again)).starts_with("working"));
    }
    assert_eq!((one.counters.get(), two.counters.get()), ((2, 0), (0, 0)));
    // Cancelled on the other node, it is dropped with the next sign of life.
    two.cancel(&slow);
    bench.advance(10_000);
    assert_eq!(one.counters.get(), (2, 1));
    assert_eq!(line(&one.get(&slow)), "cancelled");
    // A node that is gone is believed alive for a while, then its task is taken over.
    bench.tasks.lock().unwrap().clear();
    bench.advance(20_000);
    two.get(&again);
    assert_eq!(two.counters.get(), (0, 0));
    bench.advance(20_000);
    two.get(&again);
    assert_eq!(two.counters.get(), (1, 0));
}

#[test]
fn the_memory_store_keeps_the_contract() {
    let store = MemoryTaskStore::new();
    block_on(task_store_contract(&store)).unwrap();
    assert!(store.is_empty());
}

/// A store that writes what it was told, whatever was written in between.
struct LastWriteWins(MemoryTaskStore);

impl TaskStore for LastWriteWins {
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
        _: u64,
        task: KeptTask,
        quota: &'a Quota,
    ) -> BoxFuture<'a, Result<(), TaskStoreError>> {
        Box::pin(async move {
            let version = self.0.load(id).await?.ok_or(TaskStoreError::Lost)?.version;
            self.0.replace(id, version, task, quota).await
        })
    }
    fn sweep(&self, now: u64) -> BoxFuture<'_, Result<usize, TaskStoreError>> {
        self.0.sweep(now)
    }
}

#[test]
fn the_contract_finds_a_store_that_loses_writes() {
    let failure =
        block_on(task_store_contract(&LastWriteWins(MemoryTaskStore::new()))).unwrap_err();
    assert!(failure.to_string().contains("refuse a change of a version that is past"), "{failure}");
}

#[cfg(feature = "task-redb")]
#[test]
fn the_file_store_keeps_the_contract_and_survives() {
    use mcp_server::task::RedbTaskStore;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tasks.redb");
    let store = RedbTaskStore::open(&path).unwrap();
    block_on(task_store_contract(&store)).unwrap();
    block_on(task_store_contract(&store.runtime(Bench::new()))).unwrap();
    let id = {
        let before = World::with(Arc::new(RedbTaskStore::open(&path).unwrap()), |tasks| tasks);
        assert!(RedbTaskStore::open(&path).is_err(), "one process at a time");
        let id = before.begin("asks", "{}").task_id;
        before.update(&id, r#"{"name":{"action":"accept"}}"#).unwrap();
        id
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "arguments and results are nobody else's");
    }
    let after = World::with(Arc::new(RedbTaskStore::open(&path).unwrap()), |tasks| tasks);
    assert_eq!(line(&after.get(&id)), r#"input_required ["sure"]"#);
    after.update(&id, r#"{"sure":{"action":"accept"}}"#).unwrap();
    assert!(line(&after.get(&id)).contains("accept accept"));
    std::fs::write(folder.path().join("other"), "no store of tasks").unwrap();
    assert!(RedbTaskStore::open(folder.path().join("other")).is_err());
}
