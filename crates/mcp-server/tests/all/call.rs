//! Tools that call other tools of their server.

use std::collections::BTreeMap;
use std::future::Future as _;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use futures_executor::block_on;
use mcp_server::types::*;
use mcp_server::{CallError, Context, Elicited, Server, ToolError, data, server, tool};
use tower_service::Service;

use crate::input;
use crate::request;

#[data]
struct Name {
    name: String,
}

#[data]
struct Nothing {}

#[tool]
async fn greet(cx: Context, name: String) -> Result<Name, ToolError> {
    if name.is_empty() {
        return Err("give a name".into());
    }
    cx.progress(1, None).await;
    cx.log(LoggingLevel::Info, "greeting").await;
    Ok(Name { name: format!("hello {name}") })
}

#[tool]
async fn count(n: u32) -> u32 {
    n + 1
}

#[tool]
async fn outer(cx: Context, name: String) -> Result<String, CallError> {
    let arguments = RawText::new(format!(r#"{{"name":"{name}"}}"#)).unwrap();
    let raw = cx.call_tool("greet", &arguments).await?;
    let typed: Name = cx.call_tool_as("greet", &Name { name }).await?;
    let number: u32 = cx.call_tool_as("count", &BTreeMap::from([("n", 1)])).await?;
    Ok(format!("{:?} {} {number}", raw.is_error, typed.name))
}

#[tool]
async fn again(cx: Context) -> Result<String, CallError> {
    cx.call_tool_as("again", &Nothing {}).await
}

#[tool]
async fn wrong(cx: Context, name: String) -> String {
    let unknown = cx.call_tool(&name, &Nothing {}).await.map(drop);
    let list = cx.call_tool("count", &[1]).await.map(drop);
    let other: Result<Name, _> = cx.call_tool_as("text", &Nothing {}).await;
    let shown = [unknown, list, other.map(drop)].map(|error| error.unwrap_err().to_string());
    shown.join("; ")
}

#[tool]
async fn text() -> &'static str {
    "text"
}

fn server() -> Server {
    let server = server!().tool::<greet>().tool::<count>().tool::<outer>().tool::<again>();
    server.tool::<wrong>().tool::<text>().tool::<both>().tool::<confirm>().build().unwrap()
}

#[test]
fn a_tool_calls_another_and_reads_its_data() {
    let server = server();
    assert_eq!(crate::shown(&server, "outer", r#"{"name":"Ada"}"#), "None hello Ada 2");
    assert_eq!(crate::shown(&server, "outer", r#"{"name":""}"#), "error: give a name");
    assert_eq!(
        crate::shown(&server, "wrong", r#"{"name":"nothing"}"#),
        "there is no tool `nothing`, see `tools/list`; the arguments of a tool are an object, such \
         as a struct; the result of the tool cannot be read: the tool gives text alone, and no data"
    );
}

#[test]
fn calls_within_calls_come_to_an_end() {
    assert_eq!(
        crate::shown(&server(), "again", "{}"),
        "error: tools call each other too deep, 16 calls is the most"
    );
}

#[tool]
async fn confirm(cx: Context, name: String) -> Result<Name, ToolError> {
    match cx.elicit::<Name>("name", format!("Instead of {name}?"))? {
        Elicited::Accepted(answer) => Ok(answer),
        Elicited::Declined | Elicited::Cancelled => Ok(Name { name }),
    }
}

/// Two calls of one tool, of which each asks.
#[tool]
async fn both(cx: Context) -> Result<String, CallError> {
    let first: Name = cx.call_tool_as("confirm", &Name { name: "a".into() }).await?;
    let second: Name = cx.call_tool_as("confirm", &Name { name: "b".into() }).await?;
    Ok(format!("{} {}", first.name, second.name))
}

#[test]
fn questions_of_an_inner_call_are_asked_by_the_outer_one() {
    let mut caller = input::Caller::new(server(), r#"{"elicitation":{}}"#);
    let asked = caller.shown("both", "{}", &[]);
    assert!(asked.starts_with("confirm/name? ") && asked.contains("Instead of a?"), "{asked}");
    let yes = r#"{"action":"accept","content":{"name":"A"}}"#;
    let asked = caller.shown("both", "{}", &[("confirm/name", yes)]);
    assert!(asked.starts_with("confirm#2/name? ") && asked.contains("Instead of b?"), "{asked}");
    let no = r#"{"action":"decline"}"#;
    assert_eq!(caller.shown("both", "{}", &[("confirm#2/name", no)]), "A b");
}

/// A layer outside of the server that writes down what passes.
#[derive(Clone)]
struct Gate {
    server: Server,
    seen: Arc<Mutex<Vec<String>>>,
    closed: &'static str,
}

impl Service<Exchange> for Gate {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), ErrorObject>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        exchange.offer_caller(|| Caller::new(self.clone()));
        if let ClientRequest::CallTool(call) = &exchange.request {
            self.seen.lock().unwrap().push(call.name.clone());
            if call.name == self.closed {
                return Box::pin(async { Err(ErrorObject::invalid_request("not for you")) });
            }
        }
        Box::pin(self.server.call(exchange))
    }
}

#[test]
fn an_inner_call_passes_every_layer() {
    let seen = Arc::new(Mutex::default());
    let mut gate = Gate { server: server(), seen: seen.clone(), closed: "count" };
    let exchange = Exchange::new(request("outer", r#"{"name":"Ada"}"#));
    let outcome = block_on(gate.call(exchange)).unwrap();
    assert!(format!("{outcome:?}").contains("not for you"), "{outcome:?}");
    assert_eq!(*seen.lock().unwrap(), ["outer", "greet", "greet", "count"]);
}

/// Extensions that a gateway hands on from another server's exchange.
#[test]
fn an_offer_of_another_exchange_does_not_count() {
    let seen = Arc::new(Mutex::default());
    let gate = Gate { server: server(), seen: seen.clone(), closed: "" };
    let mut foreign = Exchange::new(request("outer", "{}"));
    foreign.offer_caller(|| Caller::new(gate));
    let mut exchange = Exchange::new(request("outer", r#"{"name":"Ada"}"#));
    exchange.context.extensions = foreign.context.extensions;
    let outcome = block_on(server().call(exchange)).unwrap();
    assert!(format!("{outcome:?}").contains("hello Ada 2"), "{outcome:?}");
    assert!(seen.lock().unwrap().is_empty());
}

#[derive(Default)]
struct Heard(Mutex<Vec<&'static str>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut TaskContext<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        self.0.lock().unwrap().push(match notification.take().unwrap() {
            ServerNotification::Message(_) => "log",
            _ => "progress",
        });
        Poll::Ready(Ok(()))
    }
}

#[test]
fn an_inner_call_logs_and_has_no_progress() {
    let heard = Arc::new(Heard::default());
    let mut exchange = Exchange::new(request("outer", r#"{"name":"Ada"}"#));
    exchange.notifier = Notifier::new(heard.clone(), exchange.id());
    exchange.context.progress_token = Some(7.into());
    exchange.context.log_level = Some(LoggingLevel::Debug);
    block_on(server().call(exchange)).unwrap();
    assert_eq!(*heard.0.lock().unwrap(), ["log", "log"]);
}

/// Is a task whenever a client calls it.
#[tool(task = "required")]
async fn long() -> Name {
    Name { name: "done".into() }
}

#[tool]
async fn waits(cx: Context) -> Result<String, CallError> {
    Ok(cx.call_tool_as::<Name>("long", &Nothing {}).await?.name)
}

#[test]
fn an_inner_call_is_no_task() {
    let tasks = mcp_server::task::Tasks::new(mcp_server::task::MemoryTaskStore::new());
    let server = server!().tasks(tasks).tool::<long>().tool::<waits>().build().unwrap();
    let capabilities = r#"{"extensions":{"io.modelcontextprotocol/tasks":{}}}"#;
    assert_eq!(input::Caller::new(server, capabilities).shown("waits", "{}", &[]), "done");
}

/// Never ends, and says when it is given up.
#[tool]
async fn endless() -> Name {
    let _end = OnDrop;
    std::future::pending().await
}

struct OnDrop;

static DROPPED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

impl Drop for OnDrop {
    fn drop(&mut self) {
        DROPPED.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[tool]
async fn calls_endless(cx: Context) -> Result<String, CallError> {
    Ok(cx.call_tool_as::<Name>("endless", &Nothing {}).await?.name)
}

#[test]
fn an_inner_call_ends_with_the_outer_one() {
    let mut server = server!().tool::<endless>().tool::<calls_endless>().build().unwrap();
    let mut outer = Box::pin(server.call(Exchange::new(request("calls_endless", "{}"))));
    let mut cx = TaskContext::from_waker(std::task::Waker::noop());
    assert!(outer.as_mut().poll(&mut cx).is_pending());
    assert!(!DROPPED.load(std::sync::atomic::Ordering::SeqCst));
    drop(outer);
    assert!(DROPPED.load(std::sync::atomic::Ordering::SeqCst));
}
