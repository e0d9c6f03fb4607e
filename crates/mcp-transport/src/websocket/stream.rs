//! Messages as lines: a WebSocket in the dress of a stream of bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::Io;
use crate::framing::FrameLimits;

/// Bounds of a connection: a message may be as long as a line.
pub(super) fn config(limits: FrameLimits) -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(limits.line))
        .max_frame_size(Some(limits.line))
        .accept_unmasked_frames(false)
}

/// The stream of lines that a WebSocket carries.
pub(super) fn io<T>(socket: WebSocketStream<T>) -> Io
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (writer, reader) = socket.split();
    Io::new(
        Reader { socket: reader, rest: Bytes::new() },
        Writer { socket: writer, line: BytesMut::new() },
    )
}

struct Reader<T> {
    socket: SplitStream<WebSocketStream<T>>,
    /// What is left of the last message.
    rest: Bytes,
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Reader<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => self.rest = line(&text),
                Some(Ok(Message::Binary(_))) => {
                    let text = "a binary message came, and the protocol has none";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
                }
                // Pings are answered below this.
                Some(Ok(_)) => {}
                Some(Err(error)) if is_end(&error) => return Poll::Ready(Ok(())),
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let count = buffer.remaining().min(self.rest.len());
        buffer.put_slice(&self.rest.split_to(count));
        Poll::Ready(Ok(()))
    }
}

/// A message as one line. A line break in it can only stand between two tokens, because strings
/// have none, so a blank says the same.
fn line(text: &str) -> Bytes {
    let mut line = BytesMut::with_capacity(text.len() + 1);
    line.extend_from_slice(text.as_bytes());
    for byte in line.iter_mut().filter(|byte| matches!(**byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    line.extend_from_slice(b"\n");
    line.freeze()
}

/// Whether the peer is gone, which is how connections end.
fn is_end(error: &Error) -> bool {
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => true,
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        Error::Io(error) => crate::driver::is_gone(error),
        _ => false,
    }
}

struct Writer<T> {
    socket: SplitSink<WebSocketStream<T>, Message>,
    /// The beginning of a line that is not complete yet.
    line: BytesMut,
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Writer<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        };
        ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(failed)?;
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(bytes.get(..end).unwrap_or_default());
        let text = Utf8Bytes::try_from(line.freeze())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Pin::new(&mut self.socket).start_send(Message::Text(text)).map_err(failed)?;
        Poll::Ready(Ok(end + 1))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx).map_err(failed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Err(error) if !is_end(&error) => Poll::Ready(Err(failed(error))),
            _ => Poll::Ready(Ok(())),
        }
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error if is_end(&error) => io::ErrorKind::BrokenPipe.into(),
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(&line("{\r\n\"a\":\n1}")[..], b"{  \"a\": 1}\n");
        assert_eq!(&line("")[..], b"\n");
    }
}
