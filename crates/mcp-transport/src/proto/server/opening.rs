//! The first message: which era does this client speak?

use std::time::Instant;

use mcp_types::jsonrpc::Request;
use mcp_types::wire::{MODERN, ServerCodec};
use mcp_types::{ErrorObject, Members, keys};

use super::{Phase, ServerConn};

/// What a request says about the era of its sender, before anything else was said.
#[derive(Debug, PartialEq, Eq)]
enum Opening {
    /// It starts a handshake.
    Legacy,
    /// It carries its envelope, or has to.
    Modern,
    /// A sign of life; it decides nothing.
    Ping,
    /// It needs a handshake or an envelope and has neither.
    TooEarly,
}

fn judge(request: &Request) -> Opening {
    match (&*request.method, has_envelope(request)) {
        (_, true) | ("server/discover", false) => Opening::Modern,
        ("initialize", false) => Opening::Legacy,
        ("ping", false) => Opening::Ping,
        (_, false) => Opening::TooEarly,
    }
}

/// Whether the request starts a handshake.
pub(super) fn is_handshake(request: &Request) -> bool {
    &*request.method == "initialize" && !has_envelope(request)
}

/// Whether `params._meta` names a revision.
pub(crate) fn has_envelope(request: &Request) -> bool {
    let named = || {
        let meta: Members =
            request.params.as_ref()?.parse::<Members>().ok()?.get("_meta")?.parse().ok()?;
        meta.get(keys::PROTOCOL_VERSION).map(drop)
    };
    named().is_some()
}

impl ServerConn {
    pub(super) fn open(&mut self, now: Instant, request: Request, batch: Option<u64>) {
        match judge(&request) {
            Opening::Legacy => self.initialize(request, batch),
            Opening::Ping => self.answer_value(&request.id, batch, &Members::new()),
            Opening::Modern => {
                // A request that is refused says nothing: the client may fall back to a handshake.
                if MODERN.decode_request(&request.method, request.params.as_ref()).is_ok() {
                    self.phase = Phase::Modern;
                    self.ask_identity(&request);
                    self.ready(now);
                }
                self.request_modern(request, batch);
            }
            Opening::TooEarly => {
                let text = format!(
                    "`{}` needs a handshake or an envelope: send `initialize` first, or name the \
                     revision in `params._meta[\"{}\"]`",
                    request.method,
                    keys::PROTOCOL_VERSION
                );
                self.answer_error(Some(&request.id), &ErrorObject::invalid_params(text), batch);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_types::jsonrpc::Message;

    #[test]
    fn the_first_message_chooses_the_era() {
        let table = [
            (r#""method":"initialize""#, Opening::Legacy),
            (r#""method":"initialize","params":{"_meta":{}}"#, Opening::Legacy),
            (r#""method":"server/discover""#, Opening::Modern),
            (r#""method":"ping""#, Opening::Ping),
            (r#""method":"tools/list""#, Opening::TooEarly),
            (r#""method":"tools/list","params":{"_meta":{"progressToken":1}}"#, Opening::TooEarly),
            (r#""method":"tools/list","params":{"_meta":7}"#, Opening::TooEarly),
            (
                r#""method":"tools/list","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"1900-01-01"}}"#,
                Opening::Modern,
            ),
            (
                r#""method":"initialize","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#,
                Opening::Modern,
            ),
        ];
        for (members, expected) in table {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#);
            let Ok(Message::Request(request)) = Message::parse(&text.as_str().into()) else {
                panic!("{text}")
            };
            assert_eq!(judge(&request), expected, "{text}");
        }
    }
}
