//! Batches, which only one revision with a handshake has: split when they come, joined when they go.

use std::time::Instant;

use mcp_types::jsonrpc::Message;
use mcp_types::{ByteString, ErrorObject, ProtocolVersion, RawText, json};

use super::{Phase, ServerConn};

/// A batch of which not all requests are answered.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Requests without an answer, and one more while the batch is being split.
    open: usize,
    /// The answers so far, without the closing bracket.
    answers: Vec<u8>,
}

impl ServerConn {
    /// Splits a batch (2025-03-26, "Batching"); every other revision has none.
    pub(super) fn handle_batch(&mut self, now: Instant, text: &ByteString) {
        let parts: Vec<RawText> = match json::decode(text) {
            Ok(parts) => parts,
            Err(error) => {
                let error = ErrorObject::parse_error(error.to_string());
                return self.answer_error(None, &error, None);
            }
        };
        let refused = if !self.has_batches() {
            Some("a list is no message: send each message on a line of its own".to_owned())
        } else if parts.is_empty() {
            Some("an empty batch asks for nothing".to_owned())
        } else if parts.len() > self.limits.in_flight {
            Some(format!("a batch has at most {} messages", self.limits.in_flight))
        } else {
            None
        };
        if let Some(reason) = refused {
            return self.answer_error(None, &ErrorObject::invalid_request(reason), None);
        }
        let batch = self.next_batch();
        self.batches.insert(batch, Batch { open: 1, answers: Vec::new() });
        for part in parts {
            let message = Message::parse(&ByteString::from(part.get()));
            let batch = match &message {
                // Neither is answered, so the batch does not wait for it.
                Ok(Message::Notification(_) | Message::Response(_)) => None,
                _ => Some(batch),
            };
            if let Some(open) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
                open.open += 1;
            }
            self.dispatch(now, message, batch);
        }
        self.leave_batch(Some(batch));
    }

    fn has_batches(&self) -> bool {
        matches!(&self.phase, Phase::Legacy(legacy) if legacy.version() == ProtocolVersion::V2025_03_26)
    }

    fn next_batch(&self) -> u64 {
        self.batches.keys().max().map_or(0, |last| last + 1)
    }

    /// Adds an answer to its batch.
    pub(super) fn add_to_batch(&mut self, batch: u64, write: impl FnOnce(&mut Vec<u8>)) {
        if let Some(open) = self.batches.get_mut(&batch) {
            open.answers.push(if open.answers.is_empty() { b'[' } else { b',' });
            write(&mut open.answers);
        }
        self.leave_batch(Some(batch));
    }

    /// Counts one request of a batch as done, and sends the batch after the last one.
    pub(super) fn leave_batch(&mut self, batch: Option<u64>) {
        let Some(batch) = batch else { return };
        let Some(open) = self.batches.get_mut(&batch) else { return };
        open.open = open.open.saturating_sub(1);
        if open.open > 0 {
            return;
        }
        if let Some(mut done) = self.batches.remove(&batch)
            && !done.answers.is_empty()
        {
            done.answers.push(b']');
            self.outbox.push(None, |out| out.append(&mut done.answers));
        }
    }
}
