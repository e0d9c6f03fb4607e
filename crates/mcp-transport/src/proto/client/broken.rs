//! Answers that break the protocol: whoever waits for one hears of it, instead of waiting on.

use std::fmt;
use std::time::Instant;

use mcp_types::error::codes;
use mcp_types::jsonrpc::{BadMessage, Message, Response};
use mcp_types::{ByteString, ErrorObject, Origin, ProtocolVersion, RawText, json};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::{ClientConn, Phase};

impl ClientConn {
    /// Takes a text that is no message. One that is an answer fails its call: the one that it
    /// names, or else the only one in flight; where that cannot be told, the connection.
    #[cold]
    pub(super) fn handle_broken(&mut self, now: Instant, text: &ByteString, bad: BadMessage) {
        if text.trim_start().starts_with('[') {
            return self.handle_batch(now, text);
        }
        // A stray line of a server that prints to its standard output is nobody's answer.
        let shape: Shape = match json::decode(text) {
            Ok(shape) if bad.error.code != codes::PARSE_ERROR => shape,
            _ => return,
        };
        if !shape.is_answer() {
            return;
        }
        let reason = format!("the server's answer breaks the protocol: {}", bad.error.message);
        let error = ErrorObject::local(Origin::Protocol, reason);
        let id = match bad.id {
            None if !matches!(self.phase, Phase::Opening(_)) => {
                if !shape.named && self.answers_what_was_told() {
                    return;
                }
                let all = self.pending.exchanges();
                match *all {
                    [] => return,
                    [only] => self.pending.get(only).map(|entry| entry.request.clone()),
                    _ => return self.fail(error),
                }
            }
            id => id,
        };
        self.handle_response(now, Response { id, result: Err(error) });
    }

    /// Takes an error that names no request, as one does that a server could not read (JSON-RPC
    /// 2.0, section 5): it is about the only one in flight, if there is only one.
    #[cold]
    pub(super) fn handle_nameless(&mut self, result: Result<RawText, ErrorObject>) {
        if self.answers_what_was_told() {
            return;
        }
        let all = self.pending.exchanges();
        if let ([only], Err(error)) = (&*all, result)
            && matches!(error.code, codes::PARSE_ERROR | codes::INVALID_REQUEST)
            && let Some(entry) = self.remove(*only)
        {
            self.settle(*only, &entry, Err(error));
        }
    }

    /// Some servers answer notifications too, without an id for lack of one. There cannot be more
    /// such answers than notifications.
    fn answers_what_was_told(&mut self) -> bool {
        let answers = self.told > 0;
        self.told = self.told.saturating_sub(1);
        answers
    }

    /// Splits a batch in the one revision that has them (2025-03-26, "Batching"); in all others a
    /// server that sends one cannot be understood, and its answers would be missed.
    fn handle_batch(&mut self, now: Instant, text: &ByteString) {
        let Ok(parts) = json::decode::<Vec<RawText>>(text) else { return };
        let parts = parts.iter().filter(|part| part.is_object());
        let parts = parts.map(|part| ByteString::from(part.get()));
        if matches!(self.phase, Phase::Legacy(ProtocolVersion::V2025_03_26, _)) {
            parts.for_each(|part| self.handle(now, &part));
        } else if parts.map(|part| Message::parse(&part)).any(|message| message.is_ok()) {
            let text = "the server sent a list of messages, which its revision does not have";
            self.fail(ErrorObject::local(Origin::Protocol, text));
        }
    }
}

/// Which members an object has that make it an answer.
#[derive(Default)]
struct Shape {
    version: bool,
    method: bool,
    answer: bool,
    /// It has an id, of whatever kind.
    named: bool,
}

impl Shape {
    fn is_answer(&self) -> bool {
        self.version && self.answer && !self.method
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShapeVisitor;

        impl<'de> Visitor<'de> for ShapeVisitor {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Shape, A::Error> {
                let mut shape = Shape::default();
                while let Some(name) = map.next_key::<String>()? {
                    match &*name {
                        "jsonrpc" => shape.version = true,
                        "method" => shape.method = true,
                        "id" | "result" | "error" => shape.answer = true,
                        _ => {}
                    }
                    let is_null = map.next_value::<Option<IgnoredAny>>()?.is_none();
                    shape.named |= name == "id" && !is_null;
                }
                Ok(shape)
            }
        }

        deserializer.deserialize_map(ShapeVisitor)
    }
}
