//! Lines of a stream that comes in pieces, and messages on them.

use mcp_transport::framing::{FrameLimits, LineReader};
use mcp_types::jsonrpc::Message;

const LIMITS: FrameLimits = FrameLimits { line: 256, depth: 8, members: 32, string: 64 };

/// The first byte says how long the pieces are.
///
/// # Panics
///
/// When lines depend on how the stream was cut, or one is longer than allowed.
pub fn frames(data: &[u8]) {
    let Some((&length, stream)) = data.split_first() else { return };
    let whole = read(std::iter::once(stream));
    let cut = read(super::pieces(stream, length));
    // A line that is too long is noticed sooner or later, and is then told of once.
    assert_eq!(whole, cut);
    for line in whole.iter().flatten() {
        let text = line.as_str().into();
        let _ = Message::parse(&text);
    }
}

fn read<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Vec<Result<String, String>> {
    let mut reader = LineReader::new(LIMITS);
    let mut lines = Vec::new();
    let mut keep = |line: Result<mcp_types::ByteString, mcp_transport::framing::Fault>| {
        if let Ok(line) = &line {
            assert!(!line.contains('\n') && line.len() <= LIMITS.line, "{line:?}");
        }
        lines.push(line.map(|line| line.to_string()).map_err(|fault| fault.to_string()));
    };
    for piece in pieces {
        reader.buffer().extend_from_slice(piece);
        while let Some(line) = reader.next_line() {
            keep(line);
        }
    }
    if let Some(line) = reader.last_line() {
        keep(line);
    }
    lines
}
