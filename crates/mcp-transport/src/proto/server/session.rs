//! What a transport needs that keeps many connections, most of them idle.

use std::time::Instant;

use mcp_types::jsonrpc::Message;
use mcp_types::{ExchangeId, ProtocolVersion};

use super::legacy::Legacy;
use super::{Phase, ServerConn, ServerLimits};

impl ServerConn {
    /// A connection that behaves as if a handshake had agreed on `version`, with a client that
    /// declared nothing.
    pub(crate) fn assumed(limits: ServerLimits, version: ProtocolVersion) -> Self {
        let phase = Phase::Legacy(Box::new(Legacy::assumed(version)));
        Self { phase, ..Self::new(limits) }
    }

    /// Takes one message of the client that is no batch and was parsed already.
    pub(crate) fn handle_parsed(&mut self, now: Instant, message: Message) {
        self.dispatch(now, Ok(message), None);
    }

    /// The revision of the handshake, once there was one.
    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        match &self.phase {
            Phase::Legacy(legacy) => Some(legacy.version()),
            Phase::Opening | Phase::Modern => None,
        }
    }

    /// Whether an exchange is still to be answered.
    pub(crate) fn is_pending(&self, exchange: ExchangeId) -> bool {
        self.pending.get(exchange).is_some()
    }

    /// Gives back the memory that only a busy connection needs.
    pub(crate) fn rest(&mut self) {
        if self.pending.len() == 0 {
            self.pending = Default::default();
        }
        if self.outbox.messages.is_empty() && self.events.is_empty() {
            (self.outbox, self.events) = Default::default();
        }
    }
}
