//! From the bytes of a `tools/call` to a finished exchange.

use mcp_types::jsonrpc::Message;
use mcp_types::wire::{MODERN, ServerCodec};
use mcp_types::{ByteString, Exchange};

/// A `tools/call` of the newest revision, with metadata, capabilities, progress token and two
/// arguments; one line.
pub const CALL: &str = include_str!("../data/call.json");

/// Decodes one message into an exchange, as an edge does.
///
/// # Errors
///
/// When the message is not the request that it should be.
pub fn decode(text: &ByteString) -> anyhow::Result<Exchange> {
    let Ok(Message::Request(request)) = Message::parse(text) else {
        anyhow::bail!("the sample is no request")
    };
    let incoming = MODERN.decode_request(&request.method, request.params.as_ref())?;
    let mut exchange = Exchange::new(incoming.request);
    exchange.context = incoming.context;
    Ok(exchange)
}
