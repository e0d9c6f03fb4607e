//! Questions of a server: answered, refused, passed on, without end.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};

use futures_executor::block_on;
use mcp_client::types::{
    BoxFuture, CallToolResult, ClientCapabilities, CreateMessageResult, ElicitRequestFormParams,
    ErrorObject, InputHandler, InputRequest, InputRequiredResult, ListRootsRequestParams, Origin,
    Outcome, RawText, Role, Root, SamplingMessageContentBlock, ServerResult, TextContent,
};
use mcp_client::{Client, Error, InputLayer, Inputs};
use mcp_server::{Context, ToolError, server, tool};

use crate::script::{Answer, Script, raw};

const FORM: &str = r#"{"method": "elicitation/create", "params": {"message": "How many?",
    "requestedSchema": {"type": "object", "properties": {
        "count": {"type": "integer", "minimum": 1, "default": 7}}, "required": ["count"]}}}"#;
const PAGE: &str = r#"{"method": "elicitation/create", "params": {"mode": "url",
    "message": "Please pay.", "url": "https://pay.example/7"}}"#;
const MODEL: &str = r#"{"method": "sampling/createMessage", "params": {"maxTokens": 10, "messages":
    [{"role": "user", "content": {"type": "text", "text": "The capital of France?"}}]}}"#;
const ROOTS: &str = r#"{"method": "roots/list"}"#;

fn asks(questions: &[(&str, &str)], state: Option<&str>) -> Answer {
    let questions: BTreeMap<String, InputRequest> = questions
        .iter()
        .map(|(key, text)| ((*key).to_owned(), raw(text).parse().unwrap()))
        .collect();
    let mut asked = InputRequiredResult::new();
    asked.input_requests = Some(questions).filter(|questions| !questions.is_empty());
    asked.request_state = state.map(str::to_owned);
    Ok(Outcome::InputRequired(asked))
}

fn answered(text: &str) -> Answer {
    Ok(Outcome::Complete(ServerResult::CallTool(CallToolResult::text(text))))
}

fn all_inputs() -> Inputs {
    Inputs::new()
        .elicit(|form| async move { form.accept_with_defaults() })
        .elicit_url(|_| async move {
            let text = r#"{"action":"accept","content":{"secret":"7"}}"#;
            Ok(raw(text).parse().unwrap())
        })
        .sample(|_| async move {
            let said = SamplingMessageContentBlock::Text(TextContent::new("Paris"));
            Ok(CreateMessageResult::new(said.into(), "m-1", Role::Assistant))
        })
        .roots(|| async { Ok(vec![Root::new("file:///work")]) })
}

#[test]
fn all_questions_of_a_round_go_back_with_the_state_as_it_came() {
    const STATE: &str = "  \u{1F512} \"opaque\"\\n{} ";
    let script = Script::new(|n, _| match n {
        0 => asks(&[("a", FORM), ("b", PAGE), ("c", MODEL), ("d", ROOTS)], Some(STATE)),
        1 => asks(&[], Some("second")),
        2 => asks(&[("e", FORM)], None),
        _ => answered("done"),
    });
    let client = Client::new(script.clone()).layer(InputLayer::new(all_inputs()));
    let call = client.tool_call("pay").meta("mine", raw("1"));
    assert_eq!(mcp_client::text_of(&block_on(call.send()).unwrap()), "done");

    let seen = script.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!((&seen[0].context.input_responses, &seen[0].context.request_state), (&None, &None));
    let answers = RawText::of(seen[1].context.input_responses.as_ref().unwrap()).unwrap();
    let expected = concat!(
        r#"{"a":{"action":"accept","content":{"count":7}},"b":{"action":"accept"},"#,
        r#""c":{"content":{"text":"Paris","type":"text"},"model":"m-1","role":"assistant"},"#,
        r#""d":{"roots":[{"uri":"file:///work"}]}}"#
    );
    assert_eq!(sorted(&answers), sorted(&raw(expected)));
    assert_eq!(seen[1].context.request_state.as_deref(), Some(STATE));
    assert_eq!(seen[2].context.input_responses, None, "answers are for the round that asked");
    assert_eq!(seen[2].context.request_state.as_deref(), Some("second"));
    assert_eq!(seen[3].context.request_state, None);
    for exchange in &seen {
        assert_eq!(exchange.request, seen[0].request);
        assert!(exchange.context.meta.get("mine").is_some());
        let declared = exchange.context.client_capabilities();
        assert!(declared.elicitation.is_some() && declared.sampling.is_some());
    }
    assert_ne!(seen[0].id(), seen[1].id(), "a retry is a request of its own");
}

fn sorted(text: &RawText) -> serde_json::Value {
    text.parse().unwrap()
}

#[test]
fn all_questions_of_a_round_are_asked_at_once() {
    /// Answers none before it was asked all three.
    struct Together(AtomicUsize);

    impl InputHandler for Together {
        fn handle(&self, _: InputRequest) -> BoxFuture<'_, Result<RawText, ErrorObject>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            let roots = raw(r#"{"roots":[]}"#);
            Box::pin(std::future::poll_fn(move |cx| {
                cx.waker().wake_by_ref();
                match self.0.load(Ordering::Relaxed) {
                    3 => Poll::Ready(Ok(roots.clone())),
                    _ => Poll::Pending,
                }
            }))
        }
    }

    let script = Script::new(|n, _| match n {
        0 => asks(&[("a", ROOTS), ("b", ROOTS), ("c", ROOTS)], None),
        _ => answered("done"),
    });
    let mut capabilities = ClientCapabilities::new();
    capabilities.roots = Some(raw("{}"));
    let layer = InputLayer::with(Arc::new(Together(AtomicUsize::new(0))), capabilities);
    let client = Client::new(script).layer(layer);
    let arguments = serde_json::json!({});
    let mut call = Box::pin(client.call_tool("x", &arguments));
    let mut cx = TaskContext::from_waker(std::task::Waker::noop());
    let polled = (0..3).any(|_| Pin::new(&mut call).poll(&mut cx).is_ready());
    assert!(polled, "one question waited for another's answer");
}

#[test]
fn a_form_that_cannot_be_shown_is_cancelled_and_a_no_is_told() {
    let script = Script::new(|n, _| match n {
        0 => asks(&[("a", FORM), ("b", PAGE)], None),
        _ => answered("done"),
    });
    let inputs = Inputs::new()
        .elicit(|_| async { Err(ErrorObject::internal("no screen")) })
        .elicit_url(|_| async { Ok(raw(r#"{"action":"decline"}"#).parse().unwrap()) });
    let client = Client::new(script.clone()).layer(InputLayer::new(inputs));
    block_on(client.call_tool("x", &serde_json::json!({}))).unwrap();
    let answers = RawText::of(&script.seen()[1].context.input_responses).unwrap();
    assert_eq!(answers.get(), r#"{"a":{"action":"cancel"},"b":{"action":"decline"}}"#);
}

#[test]
fn an_answer_that_does_not_fit_is_not_sent() {
    let script = Script::new(|_, _| asks(&[("a", FORM)], None));
    let inputs = Inputs::new().elicit(|_| async {
        Ok(raw(r#"{"action":"accept","content":{"count":0}}"#).parse().unwrap())
    });
    let client = Client::new(script.clone()).layer(InputLayer::new(inputs));
    let error = block_on(client.call_tool("x", &serde_json::json!({}))).unwrap_err();
    let Error::Refused(error) = error else { panic!("{error}") };
    assert!(error.message.contains("`content.count`: expected at least 1"), "{error}");
    assert_eq!(script.seen().len(), 1);
}

#[test]
fn what_was_not_declared_stays_without_an_answer_and_the_server_decides() {
    let lenient = Script::new(|n, _| match n {
        0 => asks(&[("a", MODEL)], Some("s")),
        _ => answered("without"),
    });
    let inputs = || Inputs::new().roots(|| async { Ok(vec![]) });
    let client = Client::new(lenient.clone()).layer(InputLayer::new(inputs()));
    let result = block_on(client.call_tool("x", &serde_json::json!({}))).unwrap();
    assert_eq!(mcp_client::text_of(&result), "without");
    let retry = &lenient.seen()[1].context;
    assert!(retry.input_responses.as_ref().unwrap().is_empty());
    assert_eq!(retry.request_state.as_deref(), Some("s"));

    let insistent = Script::new(|_, _| asks(&[("a", MODEL)], None));
    let client = Client::new(insistent.clone()).layer(InputLayer::new(inputs()));
    let error = block_on(client.call_tool("x", &serde_json::json!({}))).unwrap_err();
    assert!(error.to_string().contains("`sampling/createMessage`"), "{error}");
    assert_eq!(insistent.seen().len(), 2, "asked twice, then given up");
}

#[test]
fn questions_without_end_end() {
    let script = Script::new(|_, _| asks(&[("a", ROOTS)], None));
    let layer = InputLayer::new(all_inputs()).rounds(4);
    let error =
        block_on(Client::new(script.clone()).layer(layer).call_tool("x", &serde_json::json!({})));
    let error = error.unwrap_err();
    assert!(matches!(&error, Error::Refused(_)) && error.to_string().contains("4 times"));
    assert_eq!(script.seen().len(), 5);
}

#[test]
fn questions_go_to_whoever_declared_that_they_answer() {
    let script = Script::new(|n, exchange| match n {
        0 => asks(&[("a", MODEL)], None),
        _ => {
            let answer = exchange.context.input_responses.as_ref().unwrap().get("a").unwrap();
            answered(answer.get())
        }
    });
    // The inner layer knows the roots, the outer one asks the model.
    let client = Client::new(script.clone())
        .layer(InputLayer::new(Inputs::new().roots(|| async { Ok(vec![]) })))
        .layer(InputLayer::new(all_inputs()));
    let result = block_on(client.call_tool("x", &serde_json::json!({}))).unwrap();
    assert!(mcp_client::text_of(&result).contains("Paris"));
    assert!(script.seen()[0].context.client_capabilities().roots.is_some());

    let alone = Client::new(Script::new(|_, _| asks(&[("a", MODEL)], None)));
    let error = block_on(alone.call_tool("x", &serde_json::json!({}))).unwrap_err();
    assert!(matches!(error, Error::InputRequired(_)), "{error}");
}

/// Asks before it acts.
#[tool]
async fn delete(cx: Context, path: String) -> Result<String, ToolError> {
    let form = ElicitRequestFormParams::new(
        format!("Delete {path}?"),
        raw(r#"{"type":"object","properties":{"sure":{"type":"boolean","default":true}}}"#)
            .parse()
            .unwrap(),
    );
    let roots: RawText =
        cx.input("roots", InputRequest::ListRoots(ListRootsRequestParams::new()))?;
    let answer: RawText =
        cx.input("sure", InputRequest::Elicit(mcp_client::types::ElicitRequestParams::Form(form)))?;
    Ok(format!("{answer} {roots}"))
}

#[test]
fn a_tool_of_our_own_server_is_answered() {
    let client = Client::stack(server!().tool::<delete>().build().unwrap())
        .layer(InputLayer::new(all_inputs()));
    let text: String = block_on(client.call("delete", &serde_json::json!({"path": "a"}))).unwrap();
    let expected =
        r#"{"action":"accept","content":{"sure":true}} {"roots":[{"uri":"file:///work"}]}"#;
    assert_eq!(text, expected);
}

#[test]
fn the_handler_tells_what_it_cannot_do() {
    let inputs = Inputs::new();
    let question = raw(ROOTS).parse().unwrap();
    let error = block_on(inputs.handle(question)).unwrap_err();
    assert_eq!((error.code, error.origin), (-32601, Origin::Service));
}

#[test]
fn a_server_cannot_ask_a_thousand_questions_at_once() {
    let questions: Vec<(String, &str)> = (0..1000).map(|n| (n.to_string(), FORM)).collect();
    let script = Script::new(move |_, _| {
        let all: Vec<(&str, &str)> = questions.iter().map(|(key, q)| (key.as_str(), *q)).collect();
        asks(&all, None)
    });
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let inputs = Inputs::new().elicit(move |form| {
        count.fetch_add(1, Ordering::Relaxed);
        async move { form.accept_with_defaults() }
    });
    let client = Client::new(script).layer(InputLayer::new(inputs));
    let error = block_on(client.call_tool("x", &serde_json::json!({}))).unwrap_err();
    assert!(matches!(&error, Error::Refused(_)) && error.to_string().contains("1000 questions"));
    assert_eq!(asked.load(Ordering::Relaxed), 0);
}
