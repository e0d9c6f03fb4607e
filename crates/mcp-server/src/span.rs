//! One span for each request, under OpenTelemetry's names for MCP.
//!
//! It says what was asked for and how it ended, never with which arguments or what result.

use std::fmt;

use mcp_types::{ClientRequest, ErrorObject, Outcome, RequestContext, ServerResult, TraceContext};
use tracing::Span;
use tracing::field::Empty;

/// The span of a request. Where nobody listens, nothing of it is made.
pub(crate) fn of(request: &ClientRequest, context: &RequestContext) -> Span {
    let method = request.method();
    let (tool, prompt, uri) = match request {
        ClientRequest::CallTool(params) => (Some(params.name.as_str()), None, None),
        ClientRequest::GetPrompt(params) => (None, Some(params.name.as_str()), None),
        ClientRequest::ReadResource(params) => (None, None, Some(params.uri.as_str())),
        _ => (None, None, None),
    };
    let span = tracing::info_span!(
        "mcp.server",
        "otel.name" = %Named(method, tool.or(prompt)),
        "otel.kind" = "server",
        "otel.status_code" = Empty,
        "mcp.method.name" = method,
        "mcp.protocol.version" = Empty,
        "mcp.resource.uri" = uri,
        "gen_ai.operation.name" = tool.map(|_| "execute_tool"),
        "gen_ai.tool.name" = tool,
        "gen_ai.prompt.name" = prompt,
        "rpc.response.status_code" = Empty,
        "error.type" = Empty,
        traceparent = Empty,
        tracestate = Empty,
    );
    if !span.is_disabled() {
        if let Some(version) = context.protocol_version() {
            span.record("mcp.protocol.version", version.as_str());
        }
        // For a subscriber that makes the caller's span the parent of this one.
        if let Some(trace) = TraceContext::read(&context.meta) {
            span.record("traceparent", trace.traceparent());
            if let Some(tracestate) = trace.tracestate() {
                span.record("tracestate", tracestate);
            }
        }
    }
    span
}

/// Writes down how the request ended.
pub(crate) fn note(span: &Span, answer: &Result<Outcome, ErrorObject>) {
    if span.is_disabled() {
        return;
    }
    match answer {
        Ok(Outcome::Complete(ServerResult::CallTool(result))) if result.is_error == Some(true) => {
            span.record("error.type", "tool_error");
        }
        Ok(_) => return,
        Err(error) => {
            let code = error.code.to_string();
            span.record("error.type", code.as_str());
            span.record("rpc.response.status_code", code.as_str());
        }
    }
    span.record("otel.status_code", "ERROR");
}

/// The name of a span: the method, and on what where there are few of these.
struct Named<'a>(&'a str, Option<&'a str>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        self.1.map_or(Ok(()), |target| write!(f, " {target}"))
    }
}
