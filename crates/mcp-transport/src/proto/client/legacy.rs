//! A server that wants a handshake, dressed as one that does not.

use std::time::Instant;

use mcp_types::legacy::InitializeResult;
use mcp_types::version::Era;
use mcp_types::wire::{Codec, LEGACY};
use mcp_types::{
    ClientCapabilities, ClientNotification, ClientRequest, DiscoverResult, Exchange, Outcome,
    ProtocolVersion, RawText, ServerResult,
};

use super::{ClientConn, Phase};

impl ClientConn {
    pub(super) fn request_legacy(&mut self, now: Instant, exchange: Exchange) {
        let Phase::Legacy(_, found) = &self.phase else { return };
        if matches!(exchange.request, ClientRequest::Discover(_)) {
            let result = ServerResult::from((**found).clone());
            return self.completed(exchange.id(), Ok(Outcome::Complete(result)));
        }
        if let ClientRequest::SubscriptionsListen(params) = &exchange.request {
            return self.listen(now, exchange.id(), &params.notifications);
        }
        let Some(exchange) = self.unpark(now, exchange) else { return };
        self.set_level(now, exchange.context.log_level);
        self.send(now, &LEGACY, exchange);
    }

    pub(super) fn tell_initialized(&mut self) {
        self.told = self.told.saturating_add(1);
        let method = "notifications/initialized".to_owned();
        let notification = ClientNotification::Extension { method, params: None };
        self.outbox.push(None, |out| {
            let _ = LEGACY.encode_client_notification(out, &notification);
        });
    }
}

/// A handshake's result as a discovery, with the revision that it settled; or why it settled none.
pub(super) fn undressed(text: &RawText) -> Result<(ProtocolVersion, DiscoverResult), String> {
    let result: InitializeResult = text.parse().map_err(|error| {
        format!("the server's handshake does not fit: {}", error.within("result"))
    })?;
    let offered = result.protocol_version.clone();
    let version = ProtocolVersion::parse(&offered).filter(|version| version.era() == Era::Legacy);
    let Some(version) = version else {
        return Err(format!("the server offers the revision `{offered}`, which is not known here"));
    };
    let mut capabilities = result.capabilities;
    for (id, settings) in capabilities.experimental.iter().flatten() {
        if id.contains('/') {
            let extensions = capabilities.extensions.get_or_insert_default();
            extensions.entry(id.clone()).or_insert_with(|| settings.clone());
        }
    }
    let mut found = DiscoverResult::new(capabilities, vec![offered]);
    found.instructions = result.instructions;
    found.meta = result.meta;
    found.extra = result.extra;
    // An identity without a JSON form cannot have come out of one.
    let _ = found.set_server_info(&result.server_info);
    Ok((version, found))
}

/// Extensions stand under `experimental` too, where servers of this era look for them.
pub(super) fn with_experimental(mut capabilities: ClientCapabilities) -> ClientCapabilities {
    for (id, settings) in capabilities.extensions.iter().flatten() {
        let experimental = capabilities.experimental.get_or_insert_default();
        experimental.entry(id.clone()).or_insert_with(|| settings.clone());
    }
    capabilities
}
