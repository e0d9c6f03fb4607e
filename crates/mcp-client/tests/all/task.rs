//! Calls that a server turns into tasks: hidden by a layer, or shown by a handle.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::StreamExt;
use mcp_client::task::{Started, TaskHandle, TaskLayer, TaskTicket};
use mcp_client::types::tasks::DetailedTask;
use mcp_client::types::*;
use mcp_client::{Client, Error, InputLayer, Inputs, Stacked, text_of};
use mcp_server::task::{MemoryTaskStore, Tasks};
use mcp_server::{Context, Elicited, Server, State, ToolError, data, server, tool};
use serde_json::json;

/// Threads for tasks, and sleeps that block: each test has few of both.
struct Threads;

impl Runtime for Threads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        std::thread::spawn(move || block_on(task));
    }

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        std::thread::spawn(work);
        Ok(())
    }

    fn sleep_until(&self, deadline: Instant) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Only the sleeps of the client come here to their end.
            if deadline.saturating_duration_since(Instant::now()) > Duration::from_secs(10) {
                return std::future::pending().await;
            }
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            let mut yielded = false;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                match std::mem::replace(&mut yielded, true) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        })
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

/// What tools and tests tell each other.
#[derive(Clone, Default)]
struct Gate(Arc<Shared>);

#[derive(Default)]
struct Shared {
    waker: Mutex<(bool, Option<std::task::Waker>)>,
    dropped: AtomicU32,
}

impl Gate {
    fn open(&self) {
        let mut state = self.0.waker.lock().unwrap();
        state.0 = true;
        if let Some(waker) = state.1.take() {
            waker.wake();
        }
    }

    async fn wait(&self) {
        let _dropped = Dropped(self.clone());
        std::future::poll_fn(|cx| {
            let mut state = self.0.waker.lock().unwrap();
            state.1 = Some(cx.waker().clone());
            if state.0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    fn dropped(&self) -> u32 {
        self.0.dropped.load(Ordering::SeqCst)
    }
}

struct Dropped(Gate);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits for the test.
#[tool(task)]
async fn render(cx: Context<Gate>) -> &'static str {
    cx.progress_with(1, 2.0, "half").await;
    cx.state().wait().await;
    "rendered"
}

#[data]
struct Sure {
    sure: bool,
}

/// Asks twice, in one round.
#[tool(task = "required")]
async fn delete(cx: Context, State(_gate): State<Gate>) -> Result<String, ToolError> {
    let first: Elicited<Sure> = cx.elicit("first", "Sure?")?;
    let second: Elicited<Sure> = cx.elicit("second", "Really?")?;
    let said = |answer: Elicited<Sure>| answer.accepted().is_some_and(|answer| answer.sure);
    Ok(format!("{} {}", said(first), said(second)))
}

/// Never a task.
#[tool]
async fn greet(name: String) -> String {
    format!("hello {name}")
}

fn serve(gate: &Gate) -> Server {
    let tasks = Tasks::new(MemoryTaskStore::new());
    let tasks = tasks.poll_interval(Duration::from_millis(20)).runtime(Arc::new(Threads));
    let server = server!().state(gate.clone()).tasks(tasks);
    server.tool::<render>().tool::<delete>().tool::<greet>().build().unwrap()
}

fn started(client: &Client<impl ExchangeService>, tool: &str) -> TaskTicket {
    let nothing = json!({});
    let started = client.call_tool_as_task(tool, &nothing, Arc::new(Threads));
    match block_on(started).unwrap() {
        Started::Task(task) => task.ticket().clone(),
        Started::Done(result) => panic!("{result:?}"),
    }
}

fn task<S: ExchangeService>(client: &Client<S>, ticket: TaskTicket) -> TaskHandle<S> {
    client.task(ticket, Arc::new(Threads))
}

fn yes() -> InputLayer {
    InputLayer::new(Inputs::new().elicit(|form| async move { form.accept(&json!({"sure": true})) }))
}

#[test]
fn a_task_is_seen_and_waited_for() {
    let gate = Gate::default();
    let client = Client::stack(serve(&gate));
    let ada = json!({"name": "Ada"});
    let started = client.call_tool_as_task("greet", &ada, Arc::new(Threads));
    let Started::Done(result) = block_on(started).unwrap() else { panic!() };
    assert_eq!(text_of(&result), "hello Ada");

    let mut handle = task(&client, started_of(&client));
    // The work may not have begun yet.
    let half = loop {
        let DetailedTask::Working(working) = block_on(handle.changed()).unwrap() else { panic!() };
        if let Some(message) = working.status_message {
            break message;
        }
    };
    assert_eq!(half, "1 of 2: half");
    gate.open();
    assert_eq!(text_of(&block_on(handle.result()).unwrap()), "rendered");
    assert_eq!(text_of(&block_on(handle.result()).unwrap()), "rendered", "and once more");
}

fn started_of(client: &Client<Stacked<Server>>) -> TaskTicket {
    started(client, "render")
}

#[test]
fn a_task_is_found_again_by_its_ticket() {
    let gate = Gate::default();
    let server = serve(&gate);
    let written =
        serde_json::to_string(&started(&Client::stack(server.clone()), "render")).unwrap();
    gate.open();
    // Another client, which knows nothing but what was written.
    let client = Client::stack(server);
    let ticket: TaskTicket = serde_json::from_str(&written).unwrap();
    assert!(!format!("{ticket:?}").contains(&ticket.task_id), "the id is as good as a password");
    let states: Vec<_> = block_on(task(&client, ticket.clone()).states().collect());
    assert!(matches!(states.last(), Some(Ok(DetailedTask::Completed(_)))), "{states:?}");
    let mut other = ticket;
    other.task_id.replace_range(0..1, "x");
    let error = block_on(task(&client, other).result()).unwrap_err();
    assert!(matches!(&error, Error::Service(error) if error.code == -32602), "{error}");
}

#[test]
fn what_a_task_asks_is_answered_once() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = asked.clone();
    let inputs = InputLayer::new(Inputs::new().elicit(move |form| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move { form.accept(&json!({"sure": number == 0})) }
    }));
    let client = Client::stack(serve(&Gate::default())).layer(inputs.clone());
    let mut handle = task(&client, started(&client, "delete")).answering(inputs);
    assert_eq!(text_of(&block_on(handle.result()).unwrap()), "true false");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn who_answers_by_hand_is_asked() {
    let client = Client::stack(serve(&Gate::default())).layer(yes());
    let mut handle = task(&client, started(&client, "delete"));
    for key in ["first", "second"] {
        let error = block_on(handle.result()).unwrap_err();
        let Error::InputRequired(asked) = error else { panic!("{error}") };
        assert!(asked.input_requests.unwrap().contains_key(key));
        let answer = RawText::new(r#"{"action":"accept","content":{"sure":false}}"#).unwrap();
        block_on(handle.update(Members::from_iter([(key, answer)]))).unwrap();
    }
    assert_eq!(text_of(&block_on(handle.result()).unwrap()), "false false");
}

#[test]
fn a_task_is_cancelled() {
    let gate = Gate::default();
    let client = Client::stack(serve(&gate));
    let mut handle = task(&client, started(&client, "render"));
    block_on(handle.cancel()).unwrap();
    assert!(matches!(block_on(handle.result()), Err(Error::TaskCancelled)));
    block_on(handle.cancel()).unwrap();
}

#[test]
fn under_a_layer_nobody_sees_a_task() {
    let gate = Gate::default();
    let tasks = TaskLayer::new(Arc::new(Threads));
    let client = Client::stack(serve(&gate)).layer(tasks).layer(yes());
    assert_eq!(text_of(&block_on(client.call_tool("delete", &json!({}))).unwrap()), "true true");
    let greeted = block_on(client.call_tool("greet", &json!({"name": "Ada"}))).unwrap();
    assert_eq!(text_of(&greeted), "hello Ada");
    // Progress comes as progress.
    let told = Arc::new(Mutex::new(Vec::new()));
    let (heard, opened) = (told.clone(), gate.clone());
    let call = client.tool_call("render").on_progress(move |progress| {
        heard.lock().unwrap().push((progress.progress, progress.message));
        opened.open();
    });
    assert_eq!(text_of(&block_on(call.send()).unwrap()), "rendered");
    assert_eq!(told.lock().unwrap()[..], [(1.0, Some("1 of 2: half".to_owned()))]);
}

#[test]
fn who_drops_a_call_ends_its_task() {
    let gate = Gate::default();
    let client = Client::stack(serve(&gate)).layer(TaskLayer::new(Arc::new(Threads)));
    let (sender, entered) = std::sync::mpsc::channel();
    let call = client.tool_call("render").on_progress(move |_| sender.send(()).unwrap());
    let mut call = Box::pin(call.send());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    while entered.try_recv().is_err() {
        assert!(call.as_mut().poll(&mut cx).is_pending());
    }
    drop(call);
    while gate.dropped() == 0 {
        std::thread::yield_now();
    }
}
