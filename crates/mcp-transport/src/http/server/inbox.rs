//! What was posted to a session and waits to be read.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use mcp_types::Principal;
use tokio::io::{AsyncRead, ReadBuf};

/// Messages that may wait, beside the bound of their bytes.
const MOST: usize = 1024;

/// Messages of one session, in the order in which they were posted, as lines.
pub(super) struct Inbox {
    owner: Option<Principal>,
    most_bytes: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
    reader: Option<Waker>,
}

impl Inbox {
    /// An inbox that holds `most_bytes`, and one message more.
    pub(super) fn new(owner: Option<Principal>, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self { owner, most_bytes, waiting: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was opened by `who`, and with no more than `who` may do now: what is posted is served
    /// as whoever opened the stream, so that scopes that were taken back would last as long as that.
    pub(super) fn belongs_to(&self, who: Option<&Principal>) -> bool {
        let same = |one: &Principal, two: &Principal| {
            one.issuer == two.issuer
                && one.subject == two.subject
                && one.client == two.client
                && one.scopes.is_subset(&two.scopes)
        };
        match (&self.owner, who) {
            (Some(owner), Some(who)) => same(owner, who),
            (owner, who) => owner.is_none() && who.is_none(),
        }
    }

    /// Adds a message; `false` if there is no room or nobody reads any more.
    pub(super) fn push(&self, text: Bytes) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.lines.len() >= MOST || waiting.bytes >= self.most_bytes {
            return false;
        }
        waiting.bytes += text.len();
        // A line break in a message stands between two tokens, where a blank says the same.
        let line: Vec<u8> = text
            .iter()
            .map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte })
            .chain([b'\n'])
            .collect();
        waiting.lines.push_back(line.into());
        if let Some(reader) = waiting.reader.take() {
            reader.wake();
        }
        true
    }

    /// Nothing more comes.
    pub(super) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        if let Some(reader) = waiting.reader.take() {
            reader.wake();
        }
    }

    /// The messages as a stream of bytes.
    pub(super) fn reader(self: &Arc<Self>) -> Reader {
        Reader(self.clone())
    }
}

pub(super) struct Reader(Arc<Inbox>);

impl AsyncRead for Reader {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut waiting = self.0.lock();
        let Some(line) = waiting.lines.front_mut() else {
            if waiting.closed {
                return Poll::Ready(Ok(()));
            }
            waiting.reader = Some(cx.waker().clone());
            return Poll::Pending;
        };
        let count = buffer.remaining().min(line.len());
        buffer.put_slice(&line.split_to(count));
        if line.is_empty() {
            waiting.lines.pop_front();
        }
        waiting.bytes = waiting.bytes.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}
