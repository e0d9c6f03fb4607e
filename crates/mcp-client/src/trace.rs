//! One span for each request, under OpenTelemetry's names, and the trace that it belongs to sent
//! along.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Origin, Outcome,
    ServerResult, TraceContext,
};
use tower_layer::Layer;
use tower_service::Service;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

/// Opens a `tracing` span for each request, named as OpenTelemetry's conventions for MCP say, and
/// sends the trace context along (specification, "`_meta`", "OpenTelemetry trace context").
///
/// The span has the method, the name of the tool or prompt, the URI of a resource, and at its end
/// the kind of error; neither arguments nor results. Around an
/// [`InputLayer`](crate::InputLayer) it spans all rounds of a request, below it each for itself.
///
/// Which trace a span belongs to knows who exports it, so the layer asks:
///
/// ```
/// # use mcp_client::types::ExchangeService;
/// use mcp_client::{Client, TraceContext, TraceLayer};
///
/// # fn traceparent_of(_: &tracing::Span) -> Option<String> { None }
/// # fn example(connection: impl ExchangeService) {
/// let layer = TraceLayer::new().propagate(|span| {
///     TraceContext::new(traceparent_of(span)?).ok()
/// });
/// let client = Client::new(connection).layer(layer);
/// # }
/// ```
#[derive(Clone, Default)]
pub struct TraceLayer {
    propagate: Option<Arc<Propagate>>,
}

type Propagate = dyn Fn(&Span) -> Option<TraceContext> + Send + Sync;

impl TraceLayer {
    /// A layer that opens spans, and sends nothing along.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sends along what `context` says of a request's span. A request that brings a trace context
    /// of its own, as through a gateway, keeps it.
    #[must_use]
    pub fn propagate(
        mut self,
        context: impl Fn(&Span) -> Option<TraceContext> + Send + Sync + 'static,
    ) -> Self {
        self.propagate = Some(Arc::new(context));
        self
    }
}

impl fmt::Debug for TraceLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceLayer(propagates: {})", self.propagate.is_some())
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced { inner, layer: self.clone() }
    }
}

/// A service whose requests are traced; made by [`TraceLayer`].
#[derive(Debug, Clone)]
pub struct Traced<S> {
    inner: S,
    layer: TraceLayer,
}

impl<S: ExchangeService> Service<Exchange> for Traced<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        let span = span_of(&exchange.request);
        let meta = &mut exchange.context.meta;
        if let Some(propagate) =
            self.layer.propagate.as_ref().filter(|_| meta.get("traceparent").is_none())
        {
            propagate(&span).into_iter().for_each(|context| context.write(meta));
        }
        if span.is_disabled() {
            return Box::pin(self.inner.call(exchange));
        }
        let answer = span.in_scope(|| self.inner.call(exchange));
        let noted = span.clone();
        let answer = async move {
            let answer = answer.await;
            note(&noted, &answer);
            answer
        };
        Box::pin(answer.instrument(span))
    }
}

fn span_of(request: &ClientRequest) -> Span {
    let method = request.method();
    let (tool, prompt, uri) = match request {
        ClientRequest::CallTool(params) => (Some(params.name.as_str()), None, None),
        ClientRequest::GetPrompt(params) => (None, Some(params.name.as_str()), None),
        ClientRequest::ReadResource(params) => (None, None, Some(params.uri.as_str())),
        _ => (None, None, None),
    };
    let target = tool.or(prompt);
    info_span!(
        "mcp.client",
        "otel.name" = %Named(method, target),
        "otel.kind" = "client",
        "otel.status_code" = Empty,
        "mcp.method.name" = method,
        "gen_ai.operation.name" = tool.map(|_| "execute_tool"),
        "gen_ai.tool.name" = tool,
        "gen_ai.prompt.name" = prompt,
        "mcp.resource.uri" = uri,
        "error.type" = Empty,
        "rpc.response.status_code" = Empty,
    )
}

/// The name of a span: the method, and on what where there are few of these.
struct Named<'a>(&'a str, Option<&'a str>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)?;
        self.1.map_or(Ok(()), |target| write!(f, " {target}"))
    }
}

fn note(span: &Span, answer: &Result<Outcome, ErrorObject>) {
    match answer {
        Ok(Outcome::Complete(ServerResult::CallTool(result))) if result.is_error == Some(true) => {
            span.record("error.type", "tool_error");
            span.record("otel.status_code", "ERROR");
        }
        Ok(_) => {}
        Err(error) => {
            match error.origin {
                Origin::Connection => span.record("error.type", "connection"),
                Origin::Timeout => span.record("error.type", "timeout"),
                Origin::Protocol => span.record("error.type", "protocol"),
                Origin::Refused => span.record("error.type", "refused"),
                _ => {
                    let code = error.code.to_string();
                    span.record("rpc.response.status_code", code.as_str());
                    span.record("error.type", code.as_str())
                }
            };
            span.record("otel.status_code", "ERROR");
        }
    }
}
