//! The body of a request, taken in within bounds of size and time.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body;
use tokio::time::Sleep;

/// What has arrived of a body.
#[derive(Default)]
pub(super) struct Gathered {
    /// A body in one piece, which most are, is not copied.
    first: Bytes,
    all: BytesMut,
    timer: Option<Pin<Box<Sleep>>>,
}

/// Why a body was not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    TooLarge,
    TooSlow,
    Broken,
}

impl Gathered {
    /// Takes in what is there; ready at the end of the body.
    pub(super) fn poll<B: Body>(
        &mut self,
        mut body: Pin<&mut B>,
        most: usize,
        time: Duration,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Unread>> {
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
                    self.add(data.copy_to_bytes(length));
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

    fn add(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
        } else {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
            self.all.extend_from_slice(&piece);
        }
    }

    fn finish(&mut self) -> Bytes {
        if self.all.is_empty() {
            std::mem::take(&mut self.first)
        } else {
            std::mem::take(&mut self.all).freeze()
        }
    }
}
