//! The protocol without I/O: messages in, messages and events out.
//!
//! [`ServerConn`](server::ServerConn) and [`ClientConn`](client::ClientConn) are state machines for
//! one connection each. Whoever owns one calls, in any order:
//!
//! - `handle` with each message that arrives,
//! - `complete` and `notify` (server) or `request` and `cancel` (client) with what its side wants,
//! - `handle_timeout` once the instant of `poll_timeout` has passed,
//!
//! and after each of these `poll_transmit` and `poll_event` until they are empty. No clock is read
//! here: `now` is an argument. [`serve`](crate::serve) and [`connect`](crate::connect) do all this
//! over a stream of bytes; a test may do it over two queues and a clock of its own.

use std::collections::VecDeque;
use std::ops::Range;

use mcp_types::RequestId;

pub mod client;
mod pending;
pub mod server;
mod verbatim;

pub use verbatim::Verbatim;

/// A message that wants to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// Its text, without a newline.
    pub message: &'a [u8],
    /// The peer's request to which it belongs, for transports that have a stream for each.
    pub relates_to: Option<&'a RequestId>,
}

/// Messages that wait to leave, one after the other in one buffer.
#[derive(Debug, Default)]
struct Outbox {
    text: Vec<u8>,
    messages: VecDeque<(Range<usize>, Option<RequestId>)>,
    /// What `poll` lends out.
    lent: Option<RequestId>,
}

/// How much a message has room for before its buffer grows.
const USUAL: usize = 256;

/// A buffer that grew beyond this is given back once it is empty.
const KEPT: usize = 1 << 20;

impl Outbox {
    /// Adds the message that `write` appends; nothing, if it appends nothing.
    fn push(&mut self, relates_to: Option<RequestId>, write: impl FnOnce(&mut Vec<u8>)) {
        if self.messages.is_empty() {
            self.text.clear();
            self.text.shrink_to(KEPT);
            self.text.reserve(USUAL);
        }
        let start = self.text.len();
        write(&mut self.text);
        if self.text.len() > start {
            self.messages.push_back((start..self.text.len(), relates_to));
        }
    }

    fn poll(&mut self) -> Option<Transmit<'_>> {
        let (range, relates_to) = self.messages.pop_front()?;
        self.lent = relates_to;
        let message = self.text.get(range).unwrap_or_default();
        Some(Transmit { message, relates_to: self.lent.as_ref() })
    }

    /// Bytes that wait; a measure for back-pressure.
    fn len(&self) -> usize {
        if self.messages.is_empty() { 0 } else { self.text.len() }
    }
}
