//! The two ends of a stream of bytes, with whatever has to be looked after while it is open.

use mcp_types::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) type Reader = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A stream of bytes in both directions: what [`serve`](crate::serve) and
/// [`connect`](crate::connect) talk over.
///
/// Made by [`duplex`](crate::duplex), `stdio`, `process::Command::spawn`, or of any pair of tokio
/// streams that keep order and lose nothing.
pub struct Io {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    pub(crate) attached: Option<Box<dyn Attached>>,
}

/// What lives as long as a stream: a child process, borrowed standard streams.
pub(crate) trait Attached: Send {
    /// Ends it in good order once both directions are closed; says what it ended with, if that
    /// explains anything. Dropping it instead ends it at once.
    fn end(self: Box<Self>) -> BoxFuture<'static, Option<String>>;

    /// Opens the same stream anew, once, for a server that a first message has killed.
    fn again(&mut self) -> Option<Io> {
        None
    }
}

impl Io {
    /// A stream of two halves.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        Self { reader: Box::new(reader), writer: Box::new(writer), attached: None }
    }
}

impl std::fmt::Debug for Io {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Io")
    }
}
