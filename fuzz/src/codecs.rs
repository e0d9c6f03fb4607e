//! Messages through the codecs of both eras.

use mcp_types::jsonrpc::Message;
use mcp_types::wire::{Codec, LEGACY, MODERN, Stamp};
use mcp_types::{ByteString, Exchange, RawText, RequestId};

/// A message, or a line with a method and below it the result of a request of that method.
///
/// # Panics
///
/// When something that was read and written is read and written otherwise the next time.
pub fn codecs(data: &[u8]) {
    let Some((line, rest)) = super::line_and_rest(data) else { return };
    for codec in [&MODERN as &dyn Codec, &LEGACY] {
        if !line.starts_with('{') {
            fixed(rest, |text| result(codec, line, text));
            continue;
        }
        match Message::parse(&ByteString::from(line)) {
            Ok(Message::Request(read)) => {
                let params = read.params.as_ref().map_or("{}", |params| params.get());
                fixed(params, |text| request(codec, &read.method, text));
            }
            Ok(Message::Notification(read)) => {
                let params = read.params.as_ref().map_or("{}", |params| params.get());
                fixed(params, |text| notification(codec, &read.method, text));
            }
            _ => {}
        }
    }
}

/// Writing may change the text, but never again what was written.
fn fixed(text: &str, pass: impl Fn(&str) -> Option<String>) {
    let Some(once) = pass(text) else { return };
    let twice = pass(&once);
    assert_eq!(twice.as_deref(), Some(once.as_str()), "from {text}");
}

fn request(codec: &dyn Codec, method: &str, params: &str) -> Option<String> {
    let read = codec.decode_request(method, Some(&RawText::new(params).ok()?)).ok()?;
    let mut exchange = Exchange::new(read.request);
    exchange.context = read.context;
    let mut out = Vec::new();
    codec.encode_request(&mut out, &RequestId::from(7), &exchange).ok()?;
    member(&out, "params")
}

fn result(codec: &dyn Codec, method: &str, result: &str) -> Option<String> {
    let outcome = codec.decode_result(method, &RawText::new(result).ok()?).ok()?;
    let mut out = Vec::new();
    let stamp = Stamp::default();
    codec.encode_response(&mut out, &RequestId::from(7), Ok(&outcome), &stamp).ok()?;
    member(&out, "result")
}

fn notification(codec: &dyn Codec, method: &str, params: &str) -> Option<String> {
    let read = codec.decode_server_notification(method, Some(&RawText::new(params).ok()?)).ok()?;
    let mut out = Vec::new();
    codec.encode_server_notification(&mut out, &read).ok()?;
    member(&out, "params")
}

/// What we write is a message with this member.
fn member(written: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(written).expect("what is written is UTF-8");
    let members: std::collections::BTreeMap<&str, &serde_json::value::RawValue> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    members.get(name).map(|value| value.get().to_owned())
}
