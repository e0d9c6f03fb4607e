//! Lines of the client that wait before they are handled, in order.

use std::collections::VecDeque;

use mcp_types::jsonrpc::Message;
use mcp_types::{ByteString, ClientNotification, RawText, RequestId, json};

use crate::framing::Fault;

/// Lines that were read and not handled yet. What the client gives up meanwhile leaves them.
#[derive(Debug, Default)]
pub(super) struct Held {
    lines: VecDeque<HeldLine>,
    bytes: usize,
}

#[derive(Debug)]
struct HeldLine {
    line: Result<ByteString, Fault>,
    requests: Requests,
}

/// The requests in a line.
#[derive(Debug)]
enum Requests {
    None,
    One(RequestId),
    /// Those of a batch, and those that were given up.
    Batch(Vec<RequestId>, Vec<RequestId>),
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How much they take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a line that reads as `message`; `most` is how many requests a batch may have.
    pub(super) fn push(&mut self, line: ByteString, message: Option<&Message>, most: usize) {
        let requests = match message {
            Some(Message::Request(request)) => Requests::One(request.id.clone()),
            Some(_) => Requests::None,
            None => Requests::Batch(requests_of(&line, most), Vec::new()),
        };
        self.add(HeldLine { line: Ok(line), requests });
    }

    /// Adds a line that is no message and will be answered with an error.
    pub(super) fn push_fault(&mut self, fault: Fault) {
        self.add(HeldLine { line: Err(fault), requests: Requests::None });
    }

    fn add(&mut self, held: HeldLine) {
        self.bytes += held.size();
        self.lines.push_back(held);
    }

    /// The first line, without what was given up.
    pub(super) fn pop(&mut self) -> Option<Result<ByteString, Fault>> {
        loop {
            let held = self.lines.pop_front()?;
            self.bytes -= held.size();
            match (held.line, held.requests) {
                (Ok(line), Requests::Batch(_, gone)) if !gone.is_empty() => {
                    if let Some(rest) = without(&line, &gone) {
                        return Some(Ok(rest));
                    }
                }
                (line, _) => return Some(line),
            }
        }
    }

    /// Drops the request with this id, if it is here; says whether it was.
    pub(super) fn cancel(&mut self, id: &RequestId) -> bool {
        let found =
            self.lines.iter_mut().enumerate().find_map(|(at, held)| match &mut held.requests {
                Requests::One(request) => (request == id).then_some(Some(at)),
                Requests::Batch(requests, gone) => {
                    let place = requests.iter().position(|request| request == id)?;
                    gone.push(requests.swap_remove(place));
                    Some(None)
                }
                Requests::None => None,
            });
        if let Some(Some(at)) = found
            && let Some(held) = self.lines.remove(at)
        {
            self.bytes -= held.size();
        }
        found.is_some()
    }
}

impl HeldLine {
    /// What it counts for: an empty line of the same kind is not free either.
    fn size(&self) -> usize {
        size_of::<Self>() + self.line.as_ref().map_or(0, |line| line.len())
    }
}

/// The id of the request that a message gives up.
pub(super) fn cancelled(message: &Message) -> Option<RequestId> {
    let Message::Notification(told) = message else { return None };
    if told.method != "notifications/cancelled" {
        return None;
    }
    match ClientNotification::decode(&told.method, told.params.as_ref()) {
        Ok(ClientNotification::Cancelled(cancelled)) => Some(cancelled.request_id),
        _ => None,
    }
}

/// The ids of a batch's requests; none of one that is too long, because it will be refused.
fn requests_of(line: &ByteString, most: usize) -> Vec<RequestId> {
    let parts: Vec<RawText> = json::decode(line).unwrap_or_default();
    if parts.len() > most {
        return Vec::new();
    }
    parts.iter().filter_map(request_id).collect()
}

fn request_id(part: &RawText) -> Option<RequestId> {
    match Message::parse(&ByteString::from(part.get())) {
        Ok(Message::Request(request)) => Some(request.id),
        _ => None,
    }
}

/// A batch without some of its requests; `None` if nothing is left.
fn without(line: &ByteString, gone: &[RequestId]) -> Option<ByteString> {
    let parts: Vec<RawText> = json::decode(line).ok()?;
    let stays = |part: &&RawText| request_id(part).is_none_or(|id| !gone.contains(&id));
    let kept: Vec<&str> = parts.iter().filter(stays).map(RawText::get).collect();
    (!kept.is_empty()).then(|| format!("[{}]", kept.join(",")).into())
}
