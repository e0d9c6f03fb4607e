//! Spans and trace contexts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use futures_executor::block_on;
use mcp_client::types::{CallToolResult, ErrorObject, Outcome, ServerResult};
use mcp_client::{Client, TraceContext, TraceLayer};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::script::{Script, raw};

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

thread_local! {
    /// The fields of the spans that this thread opened.
    static SPANS: RefCell<Vec<BTreeMap<String, String>>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the fields of spans, each thread its own.
///
/// It is the process's subscriber and not that of one test: what a test without a subscriber meets
/// first would count as unwanted for all of them.
struct Recorder;

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        SPANS.with_borrow_mut(|spans| {
            let mut fields = BTreeMap::new();
            attributes.record(&mut Fields(&mut fields));
            spans.push(fields);
            Id::from_u64(spans.len() as u64)
        })
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        SPANS.with_borrow_mut(|spans| {
            let index = usize::try_from(id.into_u64()).unwrap() - 1;
            if let Some(fields) = spans.get_mut(index) {
                values.record(&mut Fields(fields));
            }
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn each_request_has_a_span_under_the_names_of_the_conventions() {
    tracing::subscriber::set_global_default(Recorder).unwrap();
    {
        let script = Script::new(|n, exchange| match n {
            0 => Ok(Outcome::Complete(ServerResult::CallTool(CallToolResult::error("no")))),
            _ => Err(ErrorObject::method_not_found(exchange.request.method())),
        });
        let client = Client::new(script).layer(TraceLayer::new());
        block_on(client.call_tool("add", &serde_json::json!({"secret": "s"}))).unwrap();
        block_on(client.get_prompt("review", [("a", "b")])).unwrap_err();
        block_on(client.read_resource("file:///a")).unwrap_err();
    }
    let spans = SPANS.take();
    let of = |n: usize, name: &str| spans[n].get(name).map_or("", String::as_str);
    assert_eq!(of(0, "otel.name"), "tools/call add");
    assert_eq!(of(0, "otel.kind"), "client");
    assert_eq!(of(0, "mcp.method.name"), "tools/call");
    assert_eq!(of(0, "gen_ai.tool.name"), "add");
    assert_eq!(of(0, "gen_ai.operation.name"), "execute_tool");
    assert_eq!(of(0, "error.type"), "tool_error");
    assert_eq!(of(1, "otel.name"), "prompts/get review");
    assert_eq!(of(1, "gen_ai.prompt.name"), "review");
    assert_eq!((of(1, "error.type"), of(1, "rpc.response.status_code")), ("-32601", "-32601"));
    assert_eq!((of(2, "otel.name"), of(2, "mcp.resource.uri")), ("resources/read", "file:///a"));
    assert!(!format!("{spans:?}").contains("secret"), "arguments are nobody's business");
}

#[test]
fn the_trace_context_is_sent_along() {
    let answer =
        |_: usize, _: &_| Ok(Outcome::Complete(ServerResult::CallTool(CallToolResult::text(""))));
    let script = Script::new(answer);
    let layer = TraceLayer::new().propagate(|_| {
        Some(TraceContext::new(PARENT).ok()?.with_tracestate("a=1").with_baggage("b=2"))
    });
    let client = Client::new(script.clone()).layer(layer);
    block_on(client.tool_call("x").send()).unwrap();
    let theirs = "\"00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00\"";
    block_on(client.tool_call("x").meta("traceparent", raw(theirs)).send()).unwrap();
    let seen = script.seen();
    let meta = |n: usize, key: &str| {
        seen[n].context.meta.get(key).map(|text| text.parse::<String>().unwrap())
    };
    assert_eq!(meta(0, "traceparent").as_deref(), Some(PARENT));
    assert_eq!(meta(0, "tracestate").as_deref(), Some("a=1"));
    assert_eq!(meta(0, "baggage").as_deref(), Some("b=2"));
    assert_eq!(format!("{:?}", meta(1, "traceparent").unwrap()), theirs);
    assert_eq!(meta(1, "tracestate"), None, "two traces are not mixed");
}
