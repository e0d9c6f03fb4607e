//! Flow tracking on the way of exchanges.

use core::fmt;
use core::task::{Context, Poll};
use std::sync::Arc;

use mcp_types::{
    ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Origin as ErrorOrigin,
    Outcome, ServerResult,
};
use serde::Serialize;
use tower_layer::Layer;
use tower_service::Service;

use super::text::strings;
use super::{FlowDenied, FlowTracker, Origin};
use crate::audit::Auditor;
use crate::digest::Digest;
use crate::identity::ServerIdentity;
use crate::layer::Clock;
use crate::time::UnixTime;

/// Tracks flows on one connection, for clients that have no `VerifyLayer`, which has this built
/// in. All connections of one conversation share the tracker.
#[derive(Clone)]
pub struct FlowLayer {
    tracker: FlowTracker,
    server: Arc<str>,
    auditor: Option<(Arc<dyn Auditor>, Clock)>,
}

impl FlowLayer {
    /// Tracks what comes from and goes to `server`.
    pub fn new(tracker: FlowTracker, server: &ServerIdentity) -> Self {
        Self { tracker, server: server.to_string().into(), auditor: None }
    }

    /// Notes what is refused.
    #[must_use]
    pub fn auditor(
        self,
        auditor: Arc<dyn Auditor>,
        clock: impl Fn() -> UnixTime + Send + Sync + 'static,
    ) -> Self {
        Self { auditor: Some((auditor, Arc::new(clock))), ..self }
    }
}

impl fmt::Debug for FlowLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FlowLayer").field("server", &self.server).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for FlowLayer {
    type Service = FlowService<S>;

    fn layer(&self, inner: S) -> FlowService<S> {
        FlowService { inner, layer: self.clone() }
    }
}

/// What [`FlowLayer`] makes of a service.
#[derive(Clone, Debug)]
pub struct FlowService<S> {
    inner: S,
    layer: FlowLayer,
}

impl<S: ExchangeService> Service<Exchange> for FlowService<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut exchange: Exchange) -> ExchangeFuture {
        let FlowLayer { tracker, server, auditor } = &self.layer;
        let passage = match Passage::enter(tracker, server, &mut exchange) {
            Ok(passage) => passage,
            Err(denied) => {
                if let Some((auditor, clock)) = auditor {
                    // It is refused, noted or not.
                    _ = auditor.record(&denied.event(), clock());
                }
                return Box::pin(core::future::ready(Err(denied.error())));
            }
        };
        let answer = self.inner.call(exchange);
        Box::pin(async move {
            let outcome = answer.await;
            passage.leave(&outcome, None);
            outcome
        })
    }
}

/// One exchange on its way: what goes out was looked through, what comes back will be labelled.
pub(crate) struct Passage {
    tracker: FlowTracker,
    server: Arc<str>,
    source: String,
    /// What the server is told, so that it is not taken for its own when it says it again.
    told: String,
    labelled: bool,
}

impl Passage {
    /// Looks through what goes out, and puts what was found into the exchange's extensions.
    pub(crate) fn enter(
        tracker: &FlowTracker,
        server: &Arc<str>,
        exchange: &mut Exchange,
    ) -> Result<Self, Box<FlowDenied>> {
        let (source, parts) = outgoing(exchange);
        // What a caller further out has found is about another way.
        exchange.context.extensions.remove::<super::Findings>();
        if !parts.is_empty() {
            let found = tracker.inspect(server, &source, &parts)?;
            exchange.context.extensions.insert(found);
        }
        let labelled = !matches!(
            exchange.request,
            ClientRequest::Discover(_)
                | ClientRequest::ListTools(_)
                | ClientRequest::ListPrompts(_)
        );
        let mut told = String::new();
        // It was read just now; what cannot be read is refused before.
        _ = strings(&parts, &mut |said| {
            told.push_str(said.text);
            told.push(' ');
        });
        Ok(Self { tracker: tracker.clone(), server: server.clone(), source, told, labelled })
    }

    /// Labels what came back.
    pub(crate) fn leave(self, outcome: &Result<Outcome, ErrorObject>, digest: Option<Digest>) {
        if !self.labelled {
            return;
        }
        let text = match outcome {
            Ok(Outcome::Complete(result)) => incoming(result),
            Ok(Outcome::InputRequired(input)) => json(input),
            Ok(_) => None,
            // What this side says itself is nobody's text.
            Err(error) if error.origin != ErrorOrigin::Service => None,
            Err(error) => json(error),
        };
        let Some(text) = text else { return };
        let mut texts = Vec::new();
        let read = strings(&text, &mut |said| texts.push(said.text.to_owned()));
        let mut origin = Origin::new(&*self.server, self.source);
        origin.digest = digest;
        let label = self.tracker.label(origin);
        if read.is_err() {
            // Nobody can tell what is in it, but all of it is kept.
            texts = vec![text];
        }
        let texts = texts.iter().map(String::as_str).filter(|text| !is_media_type(text));
        self.tracker.keep(label, texts, &self.told);
    }
}

/// What a request tells the server that could be text of others, as a JSON array, and by which
/// name it asks.
fn outgoing(exchange: &Exchange) -> (String, String) {
    let (source, said) = match &exchange.request {
        ClientRequest::CallTool(params) => {
            let arguments = params.arguments.as_ref().map(|text| text.get().to_owned());
            (params.name.to_string(), arguments)
        }
        ClientRequest::GetPrompt(params) => (params.name.to_string(), json(&params.arguments)),
        ClientRequest::ReadResource(params) => (params.uri.to_string(), json(params)),
        ClientRequest::Complete(params) => ("completion/complete".to_owned(), json(params)),
        ClientRequest::SubscriptionsListen(params) => {
            ("subscriptions/listen".to_owned(), json(params))
        }
        ClientRequest::Extension { method, params } => {
            (method.clone(), params.as_ref().map(|text| text.get().to_owned()))
        }
        other => (other.method().to_owned(), None),
    };
    let answers = exchange.context.input_responses.as_ref().and_then(json);
    let parts = match (said, answers) {
        (None, None) => String::new(),
        (Some(one), None) | (None, Some(one)) => one,
        // As one object with two members it would say another argument.
        (Some(said), Some(answers)) => format!("[{said},{answers}]"),
    };
    (source, parts)
}

fn incoming(result: &ServerResult) -> Option<String> {
    match result {
        ServerResult::CallTool(result) => json(result),
        ServerResult::ReadResource(result) => json(result),
        ServerResult::GetPrompt(result) => json(result),
        ServerResult::Complete(result) => json(result),
        ServerResult::ListResources(result) => json(result),
        ServerResult::ListResourceTemplates(result) => json(result),
        ServerResult::Extension(text) => Some(text.get().to_owned()),
        _ => None,
    }
}

fn json<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

/// Such as `application/octet-stream`, which is nobody's text.
fn is_media_type(text: &str) -> bool {
    let plain = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || b"+-.".contains(&byte))
    };
    text.len() < 64 && text.split_once('/').is_some_and(|(kind, sub)| plain(kind) && plain(sub))
}
