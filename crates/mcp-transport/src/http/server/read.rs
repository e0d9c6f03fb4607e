//! The body of a request, taken in within bounds of size and time.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use tokio::time::Sleep;

use super::options::HttpOptions;

/// What has arrived of a body.
#[derive(Default)]
pub(super) struct Gathered {
    /// A body in one piece, which most are, is not copied.
    first: Bytes,
    all: BytesMut,
    timer: Option<Pin<Box<Sleep>>>,
    room: Option<Room>,
}

/// Why a body was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    Broken,
    Crowded,
}

/// Bytes of all bodies together that have not arrived whole.
#[derive(Debug, Default)]
pub(super) struct Unfinished(AtomicUsize);

/// What one body holds of them.
struct Room {
    all: Arc<Unfinished>,
    bytes: usize,
}

impl Room {
    /// Counts `more` bytes; `false` when all together hold more than `most`.
    fn grow(&mut self, more: usize, most: usize) -> bool {
        self.bytes += more;
        self.all.0.fetch_add(more, Ordering::AcqRel) + more <= most
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

impl Gathered {
    /// Takes in what is there; ready at the end of the body.
    pub(super) fn poll<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        (options, unfinished): (&HttpOptions, &Arc<Unfinished>),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Unread>> {
        let (most, time) = (options.frame.line, options.body_time);
        // A length that is announced is refused before anything arrives.
        if body.size_hint().lower() > most as u64 {
            return Poll::Ready(Err(Unread::TooLarge));
        }
        loop {
            match body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(mut data) = frame.into_data() else { continue };
                    let length = data.remaining();
                    if self.first.len().max(self.all.len()) + length > most {
                        return Poll::Ready(Err(Unread::TooLarge));
                    }
                    if !self.add(data.copy_to_bytes(length), options.bodies, unfinished) {
                        return Poll::Ready(Err(Unread::Crowded));
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(Err(Unread::Broken)),
                Poll::Ready(None) => return Poll::Ready(Ok(self.finish())),
                Poll::Pending => {
                    let timer =
                        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
                    ready!(timer.as_mut().poll(cx));
                    return Poll::Ready(Err(Unread::TooSlow));
                }
            }
        }
    }

    /// Keeps a piece; `false` when there is no room for it.
    fn add(&mut self, piece: Bytes, most: usize, all: &Arc<Unfinished>) -> bool {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
            return true;
        }
        let first = std::mem::take(&mut self.first);
        let room = self.room.get_or_insert_with(|| Room { all: all.clone(), bytes: 0 });
        if !room.grow(first.len() + piece.len(), most) {
            return false;
        }
        self.all.extend_from_slice(&first);
        self.all.extend_from_slice(&piece);
        true
    }

    fn finish(&mut self) -> Bytes {
        self.room = None;
        if self.all.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.all).freeze()
        }
    }
}
