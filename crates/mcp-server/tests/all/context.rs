//! What a tool can do while it runs: report, log, ask.

use std::sync::{Arc, LazyLock, Mutex};
use std::task::Poll;
use std::time::Instant;

use futures_executor::block_on;
use mcp_server::types::error::codes;
use mcp_server::types::version::ProtocolVersion;
use mcp_server::types::*;
use mcp_server::{Context, Server, ToolError, server, tool};
use tower_service::Service;

use crate::request;

/// Keeps what is sent.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl NotificationSink for Heard {
    fn poll_notify(
        &self,
        _: &mut std::task::Context<'_>,
        _: ExchangeId,
        notification: &mut Option<ServerNotification>,
    ) -> Poll<Result<(), Closed>> {
        let line = match notification.take().unwrap() {
            ServerNotification::Progress(params) => {
                format!("{} of {:?} {:?}", params.progress, params.total, params.message)
            }
            ServerNotification::Message(params) => {
                format!("{:?} {:?} {}", params.level, params.logger, params.data)
            }
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(line);
        Poll::Ready(Ok(()))
    }
}

#[tool]
async fn count(cx: Context) -> &'static str {
    cx.progress(1, 3.0).await;
    cx.progress(1, 3.0).await;
    cx.progress_with(2.5, None, "nearly").await;
    cx.progress(f64::INFINITY, None).await;
    cx.log(LoggingLevel::Info, "quiet").await;
    cx.log(LoggingLevel::Error, &["loud"]).await;
    "done"
}

fn heard(context: impl FnOnce(&mut RequestContext)) -> Vec<String> {
    let mut server = server!().tool::<count>().build().unwrap();
    let mut exchange = Exchange::new(request("count", "{}"));
    let sink = Arc::new(Heard::default());
    exchange.notifier = Notifier::new(sink.clone(), exchange.id());
    context(&mut exchange.context);
    block_on(server.call(exchange)).unwrap();
    let lines = sink.0.lock().unwrap();
    lines.clone()
}

#[test]
fn progress_and_log_are_sent_to_who_asked() {
    assert!(heard(|_| {}).is_empty());
    let lines = heard(|context| context.progress_token = Some(7.into()));
    assert_eq!(lines, ["1 of Some(3.0) None", "2.5 of None Some(\"nearly\")"]);
    let lines = heard(|context| context.log_level = Some(LoggingLevel::Warning));
    assert_eq!(lines, [r#"Error Some("count") ["loud"]"#]);
}

/// Removes what the user confirms.
#[tool]
async fn remove(cx: Context, id: u32) -> Result<String, ToolError> {
    let confirm = cx.elicit_form("confirm", form("Really?"))?;
    let reason = cx.elicit_form("reason", form("Why?"))?;
    Ok(format!("{id} {confirm:?} {reason:?}"))
}

fn form(message: &str) -> ElicitRequestFormParams {
    let schema = ElicitRequestFormParamsRequestedSchema::new(Default::default());
    ElicitRequestFormParams::new(message, schema)
}

fn removal(
    state: Option<String>,
    answers: &[(&'static str, &str)],
) -> Result<Outcome, ErrorObject> {
    static SERVER: LazyLock<Server> = LazyLock::new(|| server!().tool::<remove>().build().unwrap());
    let mut server = SERVER.clone();
    let mut exchange = Exchange::new(request("remove", r#"{"id":5}"#));
    let capabilities = RawText::new(r#"{"elicitation":{}}"#).unwrap();
    exchange.context.set_client(ProtocolVersion::NEWEST, None, Some(capabilities));
    exchange.context.request_state = state;
    let answers = answers.iter().map(|(key, text)| (*key, RawText::new(*text).unwrap()));
    exchange.context.input_responses = Some(answers.collect());
    block_on(server.call(exchange))
}

#[test]
fn a_tool_that_asks_runs_again_with_the_answers() {
    let asked = |outcome: Result<Outcome, ErrorObject>| match outcome.unwrap() {
        Outcome::InputRequired(result) => {
            let questions = result.input_requests.unwrap();
            (questions.keys().cloned().collect::<Vec<_>>(), result.request_state)
        }
        other => panic!("{other:?}"),
    };
    let (questions, state) = asked(removal(None, &[]));
    assert_eq!((questions, &state), (vec!["confirm".into()], &None));
    let (questions, state) = asked(removal(state, &[("confirm", r#"{"action":"accept"}"#)]));
    assert_eq!(questions, ["reason"]);
    let outcome = removal(state, &[("reason", r#"{"action":"decline"}"#)]).unwrap();
    assert!(format!("{outcome:?}").contains("5 Accepted({}) Declined"), "{outcome:?}");
}

#[test]
fn answers_and_clients_that_do_not_fit_are_errors_of_the_protocol() {
    let error = removal(None, &[("confirm", r#"{"action":"maybe"}"#)]).unwrap_err();
    assert_eq!(error.code, codes::INVALID_PARAMS);
    assert!(error.message.starts_with("`inputResponses.confirm.action`"), "{error}");

    let mut server = server!().tool::<remove>().build().unwrap();
    let outcome = block_on(server.call(Exchange::new(request("remove", r#"{"id":5}"#))));
    let error = outcome.unwrap_err();
    assert_eq!(error.code, codes::MISSING_CLIENT_CAPABILITY);
    assert_eq!(error.data.unwrap().get(), r#"{"requiredCapabilities":{"elicitation":{}}}"#);
}

/// A runtime with one thread at a time, or with none free.
struct Threads(bool);

impl Runtime for Threads {
    fn spawn(&self, _: BoxFuture<'static, ()>) {}

    fn blocking(&self, work: Box<dyn FnOnce() + Send>) -> Result<(), Busy> {
        if self.0 {
            return Err(Busy);
        }
        std::thread::spawn(work);
        Ok(())
    }

    fn sleep_until(&self, _: Instant) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn now(&self) -> Instant {
        Instant::now()
    }
}

#[tool]
fn thread(panics: bool) -> String {
    assert!(!panics, "as asked");
    format!("{:?}", std::thread::current().id())
}

#[tool(inline)]
fn same_thread() -> String {
    format!("{:?}", std::thread::current().id())
}

#[test]
fn sync_tools_run_where_they_may_block() {
    let server = server!().tool::<thread>().tool::<same_thread>().build().unwrap();
    let run = |name: &str, arguments: &str, busy| {
        let mut exchange = Exchange::new(request(name, arguments));
        exchange.context.runtime = Some(Arc::new(Threads(busy)));
        block_on(server.clone().call(exchange)).map(|outcome| format!("{outcome:?}"))
    };
    let here = format!("{:?}", std::thread::current().id());
    assert!(!run("thread", r#"{"panics":false}"#, false).unwrap().contains(&here));
    assert!(run("same_thread", "{}", false).unwrap().contains(&here));
    assert!(run("thread", r#"{"panics":false}"#, true).unwrap().contains("try again later"));
    let error = run("thread", r#"{"panics":true}"#, false).unwrap_err();
    assert_eq!(error.code, codes::INTERNAL_ERROR);
}
