//! What was called and what was refused, in a trail whose lines vouch for each other. Whom the door
//! turned away is noted there by `Protected::auditor`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::UNIX_EPOCH;

use etdi_core::audit::{AuditFile, Auditor as _};
use etdi_core::event::{Event, EventKind, Severity};
use etdi_core::time::UnixTime;
use mcp_server::types::{
    ClientRequest, ErrorObject, Exchange, ExchangeFuture, ExchangeService, Outcome, Principal,
};
use tower_service::Service;

/// Writes the trail. What cannot be written is said, and stops nobody.
#[derive(Clone)]
pub(crate) struct Trail(pub(crate) Arc<AuditFile>);

impl Trail {
    fn note(&self, event: &Event) {
        let at = UNIX_EPOCH.elapsed().map(|elapsed| elapsed.as_secs()).unwrap_or_default();
        if let Err(error) = self.0.record(event, UnixTime(at)) {
            eprintln!("{error}");
        }
    }
}

/// A service that notes what is called and read by whom, and what of it is refused.
#[derive(Clone)]
pub(crate) struct Noted<S> {
    pub(crate) service: S,
    pub(crate) trail: Trail,
}

impl<S: ExchangeService> Service<Exchange> for Noted<S> {
    type Response = Outcome;
    type Error = ErrorObject;
    type Future = ExchangeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ErrorObject>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, exchange: Exchange) -> ExchangeFuture {
        // Names of tools and URIs are the caller's own words; the event cuts and escapes them.
        let what = match &exchange.request {
            ClientRequest::CallTool(call) => call.name.clone(),
            ClientRequest::ReadResource(read) => read.uri.clone(),
            _ => return Box::pin(self.service.call(exchange)),
        };
        let who = exchange.context.extensions.get::<Principal>();
        let who = who.map_or("nobody".to_owned(), |who| format!("{} {}", who.issuer, who.subject));
        let (trail, calling) = (self.trail.clone(), self.service.call(exchange));
        Box::pin(async move {
            let outcome = calling.await;
            let event = match &outcome {
                Ok(_) => Event::new(EventKind::ToolInvoked)
                    .severity(Severity::Low)
                    .detail(&format_args!("{who}: {what}")),
                Err(error) => Event::new(EventKind::ToolRefused)
                    .detail(&format_args!("{who}: {what} refused with {}", error.code)),
            };
            trail.note(&event.from_source("calls"));
            outcome
        })
    }
}
