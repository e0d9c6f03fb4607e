//! From the first exchange to a connection whose era is known.

use std::time::Instant;

use mcp_types::legacy::InitializeRequestParams;
use mcp_types::version::Era;
use mcp_types::wire::{self, Codec, MODERN};
use mcp_types::{
    ClientRequest, DiscoverResult, ErrorObject, Exchange, ExchangeId, Origin, Outcome,
    ProtocolVersion, RawText, RequestContext, RequestId, RequestParams, ServerResult,
};

use super::legacy::{undressed, with_experimental};
use super::probe::{Verdict, judge};
use super::{ClientConn, Outbox, Phase};

/// What was sent to find out the era, and what has not been answered yet.
#[derive(Debug)]
pub(super) struct Opening {
    /// The envelope of the exchange that opened the connection.
    context: RequestContext,
    /// That exchange; its answer is the probe's, if it is a discovery.
    first: ExchangeId,
    probe: Option<(RequestId, ProtocolVersion)>,
    handshake: Option<RequestId>,
    /// Whether a handshake is offered first, because the exchange came by one.
    follows: bool,
    /// When silence becomes a verdict.
    patience: Instant,
    end: Instant,
}

impl Opening {
    pub(super) fn deadline(&self) -> Instant {
        if self.handshake.is_some() { self.end } else { self.patience }
    }
}

impl ClientConn {
    pub(super) fn start_opening(
        &mut self,
        now: Instant,
        context: RequestContext,
        first: ExchangeId,
    ) {
        let (probe, handshake) = (None, None);
        let came = context.protocol_version().map(ProtocolVersion::era);
        let follows = self.config.follow && self.config.era.is_none() && came == Some(Era::Legacy);
        let patience = now + self.config.probe_timeout;
        let end = now + self.config.opening_timeout;
        let patience = if self.config.era == Some(Era::Modern) { end } else { patience };
        let opening = Opening { context, first, probe, handshake, follows, patience, end };
        self.phase = Phase::Opening(Box::new(opening));
        match self.config.era {
            Some(Era::Legacy) => self.send_handshake(),
            None if follows => self.send_handshake(),
            _ => self.send_probe(ProtocolVersion::NEWEST),
        }
    }

    fn send_probe(&mut self, version: ProtocolVersion) {
        let id = self.next_id();
        let Phase::Opening(opening) = &mut self.phase else { return };
        let mut probe = Exchange::new(ClientRequest::Discover(RequestParams::new()));
        probe.context = opening.context.clone();
        probe.context.progress_token = None;
        opening.probe = Some((id.clone(), version));
        self.outbox.push(Some(id.clone()), |out| {
            // A discovery has no value that could lack a JSON form.
            let _ = MODERN.encode_request(out, &id, &probe);
        });
    }

    fn send_handshake(&mut self) {
        let id = self.next_id();
        let Phase::Opening(opening) = &mut self.phase else { return };
        opening.handshake = Some(id.clone());
        let context = &opening.context;
        let info = context.client_info().unwrap_or_else(|| self.config.client_info.clone());
        let capabilities = with_experimental(context.client_capabilities());
        let came = context.protocol_version().filter(|came| came.era() == Era::Legacy);
        let came = came.filter(|_| self.config.follow);
        let version = came.unwrap_or(ProtocolVersion::NEWEST_LEGACY).as_str();
        let mut params = InitializeRequestParams::new(capabilities, info, version);
        params.meta = Some(context.meta.clone()).filter(|meta| !meta.is_empty());
        self.outbox.push(Some(id.clone()), |out| {
            let _ = wire::encode_edge_request(out, &id, "initialize", &params);
        });
    }

    /// Takes the answer to the probe or to the handshake; says whether it was one.
    pub(super) fn handle_opening(
        &mut self,
        now: Instant,
        id: Option<&RequestId>,
        result: &Result<RawText, ErrorObject>,
    ) -> bool {
        let Phase::Opening(opening) = &mut self.phase else { return false };
        // Some servers answer what they do not understand without its id, and only the probe is out.
        let is_probe = |probe: &RequestId| id.is_none_or(|id| id == probe);
        if let Some((_, sent)) = opening.probe.take_if(|(probe, _)| is_probe(probe)) {
            let verdict = judge(sent, result);
            match verdict {
                Verdict::Modern(version, found) => self.open_modern(now, version, *found),
                Verdict::Retry(version) => self.send_probe(version),
                // The handshake may be on its way already, because the answer took its time.
                Verdict::Legacy if opening.handshake.is_some() => {}
                Verdict::Legacy if self.config.era == Some(Era::Modern) => {
                    self.fail_opening("the server knows no revision without a handshake");
                }
                Verdict::Legacy => self.send_handshake(),
                Verdict::Incompatible(reason) => self.fail_opening(&reason),
            }
            return true;
        }
        if opening.handshake.take_if(|handshake| Some(&*handshake) == id).is_none() {
            return false;
        }
        match result {
            Ok(text) => match undressed(text) {
                Ok((version, found)) => self.open_legacy(now, version, found),
                Err(reason) => self.fail_opening(&reason),
            },
            Err(_) if std::mem::take(&mut opening.follows) => {
                self.send_probe(ProtocolVersion::NEWEST);
            }
            Err(error) => {
                let reason = format!("the server refused the handshake: {}", error.message);
                self.fail_opening(&reason);
            }
        }
        true
    }

    /// Whether the stream was lost while only the probe was said: some servers die of it.
    pub fn died_of_probe(&self) -> bool {
        let Phase::Opening(opening) = &self.phase else { return false };
        self.config.era.is_none() && opening.probe.is_some() && opening.handshake.is_none()
    }

    /// Starts over with a handshake, on a new stream to the same server.
    pub fn start_over(&mut self) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        opening.probe = None;
        self.outbox = Outbox::default();
        self.send_handshake();
    }

    pub(super) fn opening_timeout(&mut self, now: Instant) {
        let Phase::Opening(opening) = &self.phase else { return };
        if now >= opening.end {
            let text = "the server did not answer; is it an MCP server on this stream?";
            return self.fail(ErrorObject::local(Origin::Timeout, text));
        }
        if now >= opening.patience && opening.handshake.is_none() {
            self.send_handshake();
        }
    }

    fn fail_opening(&mut self, reason: &str) {
        self.fail(ErrorObject::local(Origin::Protocol, reason));
    }

    fn open_modern(&mut self, now: Instant, version: ProtocolVersion, found: DiscoverResult) {
        let Phase::Opening(opening) = std::mem::replace(&mut self.phase, Phase::Modern(version))
        else {
            return;
        };
        let waiting = std::mem::take(&mut self.waiting);
        for exchange in waiting {
            let is_probe = exchange.id() == opening.first
                && matches!(exchange.request, ClientRequest::Discover(_));
            if is_probe {
                let result = ServerResult::from(found.clone());
                self.completed(exchange.id(), Ok(Outcome::Complete(result)));
            } else {
                self.request_modern(now, version, exchange);
            }
        }
    }

    fn open_legacy(&mut self, now: Instant, version: ProtocolVersion, found: DiscoverResult) {
        self.phase = Phase::Legacy(version, Box::new(found));
        self.tell_initialized();
        for exchange in std::mem::take(&mut self.waiting) {
            self.request_legacy(now, exchange);
        }
    }
}
