//! A pair of connected streams in memory, for tests and for servers inside the same process.

use crate::Io;

/// How much one side may write before the other reads.
const ROOM: usize = 64 << 10;

/// Two ends of one stream: serve one, connect to the other.
///
/// Each direction holds 64 KiB; whoever writes more waits until the other side reads.
pub fn duplex() -> (Io, Io) {
    let (left, right) = tokio::io::duplex(ROOM);
    let ((left_read, left_write), (right_read, right_write)) =
        (tokio::io::split(left), tokio::io::split(right));
    (Io::new(left_read, left_write), Io::new(right_read, right_write))
}
