//! Lines in and messages out, over whatever bytes there are.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use mcp_types::ByteString;
use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::framing::{Fault, FrameLimits, LineReader};
use crate::io::{Reader, Writer};

/// Above this much unsent output nothing more is read.
pub(super) const HIGH_WATER: usize = 256 << 10;

/// An output buffer that grew beyond this is given back once it is empty.
const KEPT: usize = 1 << 20;

pub(super) struct Pipe {
    reader: Reader,
    writer: Writer,
    lines: LineReader,
    ended: bool,
    out: Vec<u8>,
    written: usize,
    /// Bytes that were ever written.
    sent: u64,
    flushed: bool,
}

impl Pipe {
    pub(super) fn new(reader: Reader, writer: Writer, limits: FrameLimits) -> Self {
        let lines = LineReader::new(limits);
        let (out, written, sent) = (Vec::new(), 0, 0);
        Self { reader, writer, lines, ended: false, out, written, sent, flushed: true }
    }

    /// The next line; `None` at the end of the input.
    pub(super) fn poll_line(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Option<Result<ByteString, Fault>>>> {
        loop {
            if let Some(line) = self.lines.next_line() {
                return Poll::Ready(Ok(Some(line)));
            }
            if self.ended {
                return Poll::Ready(Ok(self.lines.last_line()));
            }
            let reading = pin!(self.reader.read_buf(self.lines.buffer()));
            match ready!(reading.poll(cx)) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) if is_gone(&error) => self.ended = true,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Adds a message to what is written next.
    pub(super) fn push(&mut self, message: &[u8]) {
        // A peer that always has a call in flight never lets the buffer run empty: what was
        // written is given up as soon as moving the rest costs less than it frees.
        if self.written > HIGH_WATER && self.written > self.unsent() {
            self.out.drain(..self.written);
            self.written = 0;
            self.out.shrink_to(KEPT.max(self.out.len()));
        }
        self.out.reserve(message.len() + 1);
        let start = self.out.len();
        self.out.extend_from_slice(message);
        // A line break can stand between two tokens of a text that was written elsewhere; the peer
        // would read what comes after it as a message of its own.
        if memchr::memchr2(b'\n', b'\r', message).is_some() {
            let added = self.out.iter_mut().skip(start);
            added.filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
        self.out.push(b'\n');
    }

    /// Bytes that wait to be written.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.written
    }

    /// Bytes that were written so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Writes all there is.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            self.flushed = false;
            match ready!(Pin::new(&mut self.writer).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => {
                    self.written += count;
                    self.sent += count as u64;
                }
            }
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.writer).poll_flush(cx))?;
            self.flushed = true;
            self.written = 0;
            self.out.clear();
            self.out.shrink_to(KEPT);
        }
        Poll::Ready(Ok(()))
    }

    /// Says to the peer that nothing more comes.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

/// Whether the peer went away, which is how connections end.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes a little less at a time than is pushed, so that there is always something left.
    struct Behind;

    impl AsyncWrite for Behind {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            match bytes.len() {
                0..=1_000 => Poll::Pending,
                len => Poll::Ready(Ok(len - 1_000)),
            }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_was_written_is_given_up_although_the_output_never_runs_empty() {
        let reader: Reader = Box::new(tokio::io::empty());
        let mut pipe = Pipe::new(reader, Box::new(Behind), FrameLimits::default());
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..1_000 {
            pipe.push(&[b'x'; 100_000]);
            assert!(pipe.poll_write(&mut cx).is_pending());
            assert_eq!(pipe.unsent(), 1_000);
            assert!(pipe.out.capacity() < 4 << 20, "{} bytes are kept", pipe.out.capacity());
        }
    }
}
