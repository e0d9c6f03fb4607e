//! One span for each request.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;

use mcp_server::types::*;
use mcp_server::{Context, ToolError, server, tool};
use tower_service::Service;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::request;

thread_local! {
    /// The fields of the spans that this thread opened.
    static SPANS: RefCell<Vec<BTreeMap<String, String>>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the fields of spans, each thread its own.
///
/// It is the process's subscriber and not that of one test: what a test without a subscriber meets
/// first would count as unwanted for all of them.
struct Spans;

struct Fields<'a>(&'a mut BTreeMap<String, String>);

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().into(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().into(), format!("{value:?}"));
    }
}

impl Subscriber for Spans {
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

/// Says whose trace it is part of, or fails.
#[tool]
async fn traced(cx: Context, word: String) -> Result<String, ToolError> {
    match cx.trace_context() {
        Some(trace) => Ok(trace.trace_id().to_owned()),
        None => Err(format!("no trace for {word}").into()),
    }
}

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01";

#[test]
fn a_span_says_what_was_asked_and_how_it_ended() {
    tracing::subscriber::set_global_default(Spans).unwrap();
    let mut server = server!().tool::<traced>().build().unwrap();
    {
        let mut call = |name: &str, parent: Option<&str>| {
            let mut exchange = Exchange::new(request(name, r#"{"word":"secret"}"#));
            if let Some(parent) = parent {
                exchange.context.meta.insert("traceparent", RawText::of(parent).unwrap());
            }
            futures_executor::block_on(server.call(exchange))
        };
        let outcome = call("traced", Some(PARENT)).unwrap();
        assert!(format!("{outcome:?}").contains("0af7651916cd43dd8448eb211c80319c"));
        call("traced", Some("00-evil\r\n")).unwrap();
        call("nothing", None).unwrap_err();
    }
    let spans = SPANS.take();
    let of = |n: usize, name: &str| spans[n].get(name).map_or("", String::as_str);
    assert_eq!(of(0, "otel.name"), "tools/call traced");
    assert_eq!((of(0, "otel.kind"), of(0, "mcp.method.name")), ("server", "tools/call"));
    assert_eq!(of(0, "gen_ai.tool.name"), "traced");
    assert_eq!(of(0, "gen_ai.operation.name"), "execute_tool");
    assert_eq!((of(0, "traceparent"), of(0, "error.type")), (PARENT, ""));
    assert_eq!((of(1, "traceparent"), of(1, "error.type")), ("", "tool_error"));
    assert_eq!((of(2, "error.type"), of(2, "rpc.response.status_code")), ("-32602", "-32602"));
    assert_eq!(spans.len(), 3, "one for each request");
    assert!(!format!("{spans:?}").contains("secret"), "arguments are nobody's business");
}
