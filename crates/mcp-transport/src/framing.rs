//! Newline-delimited JSON over bytes: one message a line, every line bounded before it is parsed.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};
use mcp_types::{ByteString, ErrorObject, RequestId};

/// How large a message may be. What exceeds a limit is answered with an error and passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of one line; the rest of a longer line is skipped without being kept.
    pub line: usize,
    /// Objects and lists inside one another.
    pub depth: usize,
    /// Members and elements of one message, all levels together.
    pub members: usize,
    /// Bytes of one string.
    pub string: usize,
}

impl Default for FrameLimits {
    /// 4 MiB a line and a string, 100 levels, 200,000 members.
    fn default() -> Self {
        Self { line: 4 << 20, depth: 100, members: 200_000, string: 4 << 20 }
    }
}

#[cfg(any(feature = "http-client", feature = "http-server"))]
impl FrameLimits {
    /// Holds a message that came whole to the limits; `None` when there is nothing but white space.
    pub(crate) fn admit(self, text: Bytes) -> Option<Result<ByteString, Fault>> {
        LineReader::new(self).finish_line(text)
    }
}

/// Why a line is no message, with the id to answer under where it could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What is wrong with it.
    pub kind: FaultKind,
    /// The id of the request that was meant.
    pub id: Option<RequestId>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// It is longer than [`FrameLimits::line`].
    TooLong(usize),
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// It nests deeper than [`FrameLimits::depth`].
    TooDeep(usize),
    /// It has more members and elements than [`FrameLimits::members`].
    TooManyMembers(usize),
    /// One of its strings is longer than [`FrameLimits::string`].
    StringTooLong(usize),
}

impl Fault {
    /// The answer to such a line: `-32700` for what is not text, `-32600` for what is too large.
    pub fn to_error(&self) -> ErrorObject {
        match self.kind {
            FaultKind::NotUtf8 => ErrorObject::parse_error(self.to_string()),
            _ => ErrorObject::invalid_request(self.to_string()),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            FaultKind::TooLong(limit) => write!(f, "the message has more than {limit} bytes"),
            FaultKind::NotUtf8 => f.write_str("the message is not UTF-8"),
            FaultKind::TooDeep(limit) => write!(f, "the message nests deeper than {limit} levels"),
            FaultKind::TooManyMembers(limit) => {
                write!(f, "the message has more than {limit} members and elements")
            }
            FaultKind::StringTooLong(limit) => {
                write!(f, "a string in the message has more than {limit} bytes")
            }
        }
    }
}

/// Takes lines out of a stream of bytes.
///
/// The lines of one read are ranges of one buffer; nothing is copied. Empty lines are passed over
/// and a carriage return before the newline is dropped.
///
/// ```
/// use mcp_transport::framing::{FrameLimits, LineReader};
///
/// let mut lines = LineReader::new(FrameLimits { depth: 2, ..FrameLimits::default() });
/// lines.buffer().extend_from_slice(b"{\"a\":1}\r\n\n[[[1]]]\n{\"b\"");
/// assert_eq!(lines.next_line().unwrap().unwrap(), "{\"a\":1}");
/// assert!(lines.next_line().unwrap().is_err(), "too deep");
/// assert!(lines.next_line().is_none(), "the last line has not ended yet");
/// ```
#[derive(Debug)]
pub struct LineReader {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no newline.
    searched: usize,
    /// Inside a line that was too long.
    skipping: bool,
    limits: FrameLimits,
}

/// The least and the most that one read asks for.
const READ: std::ops::RangeInclusive<usize> = 16 << 10..=256 << 10;

impl LineReader {
    /// A reader with nothing in it.
    pub fn new(limits: FrameLimits) -> Self {
        Self { buffer: BytesMut::new(), searched: 0, skipping: false, limits }
    }

    /// Where the next bytes go: to the end of this buffer, which has room for some.
    pub fn buffer(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.buffer.capacity() > *READ.end() {
            // A single long line should not hold its memory for ever.
            self.buffer = BytesMut::new();
        }
        if self.buffer.capacity() - self.buffer.len() < READ.start() / 4 {
            let more = self.buffer.len().clamp(*READ.start(), *READ.end());
            self.buffer.reserve(more);
        }
        &mut self.buffer
    }

    /// The next whole line; `None` when more bytes are needed.
    pub fn next_line(&mut self) -> Option<Result<ByteString, Fault>> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', unsearched) else {
                self.searched = self.buffer.len();
                return self.overflow();
            };
            let line = self.buffer.split_to(self.searched + at);
            self.buffer.advance(1);
            self.searched = 0;
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if let Some(line) = self.finish_line(line.freeze()) {
                return Some(line);
            }
        }
    }

    /// The last line, which may lack its newline, once the stream has ended.
    pub fn last_line(&mut self) -> Option<Result<ByteString, Fault>> {
        let rest = self.buffer.split().freeze();
        self.searched = 0;
        if std::mem::take(&mut self.skipping) { None } else { self.finish_line(rest) }
    }

    /// Reports a line that has become too long, once, and forgets it.
    fn overflow(&mut self) -> Option<Result<ByteString, Fault>> {
        if !self.skipping && self.buffer.len() <= self.limits.line {
            return None;
        }
        let fault = (!self.skipping)
            .then(|| self.fault(FaultKind::TooLong(self.limits.line), &self.buffer));
        self.skipping = true;
        self.buffer.clear();
        self.searched = 0;
        fault.map(Err)
    }

    fn finish_line(&self, mut line: Bytes) -> Option<Result<ByteString, Fault>> {
        if line.last() == Some(&b'\r') {
            line.truncate(line.len() - 1);
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return None;
        }
        let kind = match self.check(&line) {
            Err(kind) => kind,
            Ok(()) => match ByteString::try_from(line.clone()) {
                Ok(text) => return Some(Ok(text)),
                Err(_) => FaultKind::NotUtf8,
            },
        };
        Some(Err(self.fault(kind, &line)))
    }

    #[cold]
    fn fault(&self, kind: FaultKind, line: &[u8]) -> Fault {
        Fault { kind, id: glimpse_id(line) }
    }

    /// Holds the line to the limits. It need not be JSON: serde says that afterwards.
    fn check(&self, line: &[u8]) -> Result<(), FaultKind> {
        let limits = &self.limits;
        if line.len() > limits.line {
            return Err(FaultKind::TooLong(limits.line));
        }
        // Every member and every byte of a string takes a byte, every level an opening bracket. So
        // nearly all lines are seen to be harmless without telling strings from the rest.
        let short = line.len() <= limits.string.min(limits.members);
        if short && brackets(line) <= limits.depth { Ok(()) } else { self.count(line) }
    }

    /// Counts what the line holds.
    fn count(&self, line: &[u8]) -> Result<(), FaultKind> {
        let limits = &self.limits;
        let (mut depth, mut members) = (0_usize, 0_usize);
        let mut rest = line;
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match byte {
                b'"' => {
                    let length = string_length(rest);
                    if length > limits.string {
                        return Err(FaultKind::StringTooLong(limits.string));
                    }
                    rest = rest.get(length + 1..).unwrap_or_default();
                }
                b'{' | b'[' => {
                    depth += 1;
                    members += 1;
                    if depth > limits.depth {
                        return Err(FaultKind::TooDeep(limits.depth));
                    }
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => members += 1,
                _ => {}
            }
        }
        if members > limits.members {
            return Err(FaultKind::TooManyMembers(limits.members));
        }
        Ok(())
    }
}

/// How many opening brackets there are, those in strings too.
fn brackets(line: &[u8]) -> usize {
    // In parts whose count fits a byte, which the compiler turns into wide instructions.
    let count = |part: &[u8]| part.iter().fold(0_u8, |n, byte| n + u8::from(byte | 0x20 == b'{'));
    line.chunks(255).map(|part| usize::from(count(part))).sum()
}

/// The bytes of a string up to its closing quote; `text` starts after the opening one.
fn string_length(text: &[u8]) -> usize {
    let mut at = 0;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', rest) {
            None => return text.len(),
            Some(found) if rest.get(found) == Some(&b'"') => return at + found,
            Some(found) => at += found + 2,
        }
    }
}

/// The `id` of a message that is not parsed, if it can be seen on the outermost level.
///
/// Best effort: the line may be cut off, too deep or not JSON at all.
fn glimpse_id(line: &[u8]) -> Option<RequestId> {
    let (mut at, mut depth) = (0_usize, 0_usize);
    loop {
        match line.get(at)? {
            b'"' => {
                let start = at + 1;
                let end = start + string_length(line.get(start..)?);
                at = end + 1;
                let after = line.get(at..)?.trim_ascii_start();
                // Without a colon it is a value that happens to read `id`.
                if depth == 1
                    && line.get(start..end)? == b"id"
                    && let Some(value) = after.strip_prefix(b":")
                {
                    let value = value.trim_ascii_start();
                    let end = match value.first()? {
                        b'"' => 2 + string_length(value.get(1..)?),
                        _ => value.iter().position(|b| !b.is_ascii_digit() && *b != b'-')?,
                    };
                    let closes = matches!(value.get(end)?, b',' | b'}' | b' ' | b'\t');
                    return serde_json::from_slice(value.get(..end).filter(|_| closes)?).ok();
                }
            }
            b'{' | b'[' => (at, depth) = (at + 1, depth + 1),
            b'}' | b']' => (at, depth) = (at + 1, depth.saturating_sub(1)),
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(limits: FrameLimits, bytes: &[u8]) -> LineReader {
        let mut reader = LineReader::new(limits);
        reader.buffer().extend_from_slice(bytes);
        reader
    }

    fn fault(limits: FrameLimits, bytes: &[u8]) -> Fault {
        reader(limits, bytes).next_line().unwrap().unwrap_err()
    }

    #[test]
    fn lines_of_one_read_share_one_buffer() {
        let mut lines =
            reader(FrameLimits::default(), b"{\"a\":1}\n{\"b\":2}\r\n  \n\r\n{\"c\":3}");
        let first = lines.next_line().unwrap().unwrap();
        let second = lines.next_line().unwrap().unwrap();
        assert_eq!((&*first, &*second), ("{\"a\":1}", "{\"b\":2}"));
        assert_eq!(second.as_ptr() as usize - first.as_ptr() as usize, 8, "no copy was made");
        assert_eq!(lines.next_line(), None);
        assert_eq!(lines.last_line().unwrap().unwrap(), "{\"c\":3}");
        assert_eq!(lines.last_line(), None);
    }

    #[test]
    fn a_line_may_come_in_pieces() {
        let mut lines = LineReader::new(FrameLimits::default());
        for byte in b"{\"text\":\"a\\\"b\"}" {
            lines.buffer().extend_from_slice(&[*byte]);
            assert_eq!(lines.next_line(), None);
        }
        lines.buffer().extend_from_slice(b"\n");
        assert_eq!(lines.next_line().unwrap().unwrap(), "{\"text\":\"a\\\"b\"}");
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_not_kept() {
        let limits = FrameLimits { line: 100, ..FrameLimits::default() };
        let mut lines = reader(limits, b"{\"id\":\"x\",\"text\":\"");
        for _ in 0..10 {
            lines.buffer().extend_from_slice(&[b'a'; 50]);
            match lines.next_line() {
                None => {}
                Some(line) => {
                    let fault = line.unwrap_err();
                    assert_eq!(fault.kind, FaultKind::TooLong(100));
                    assert_eq!(fault.id, Some("x".into()));
                    break;
                }
            }
        }
        lines.buffer().extend_from_slice(&[b'a'; 500]);
        assert_eq!(lines.next_line(), None, "reported only once");
        assert!(lines.buffer.is_empty(), "nothing is kept");
        lines.buffer().extend_from_slice(b"tail\"}\n{}\n");
        assert_eq!(lines.next_line().unwrap().unwrap(), "{}");
    }

    #[test]
    fn a_long_line_that_came_at_once_is_too_long_too() {
        let limits = FrameLimits { line: 10, ..FrameLimits::default() };
        let mut lines = reader(limits, b"{\"id\":7,\"text\":\"a long one\"}\n{}\n");
        let fault = lines.next_line().unwrap().unwrap_err();
        assert_eq!((fault.kind, fault.id), (FaultKind::TooLong(10), Some(7.into())));
        assert_eq!(lines.next_line().unwrap().unwrap(), "{}");
    }

    #[test]
    fn each_limit_is_kept() {
        let limits = FrameLimits { line: 1000, depth: 3, members: 6, string: 8 };
        let deep = b"{\"method\":\"x\",\"id\":\"five\",\"params\":[[[[]]]]}\n";
        let found = fault(limits, deep);
        assert_eq!((found.kind, found.id), (FaultKind::TooDeep(3), Some("five".into())));
        assert_eq!(fault(limits, b"[1,2,3,4,5,6,7]\n").kind, FaultKind::TooManyMembers(6));
        assert_eq!(fault(limits, b"[\"123456789\"]\n").kind, FaultKind::StringTooLong(8));
        assert_eq!(fault(limits, b"[\"123\xff\"]\n").kind, FaultKind::NotUtf8);
        let brackets_in_a_string = b"[\"[[[[[,,,\"]\n";
        let limits = FrameLimits { string: 20, ..limits };
        assert_eq!(brackets(b"[{]}\"[{\"x"), 4);
        assert_eq!(brackets(&[b'['; 1000]), 1000);
        assert!(reader(limits, brackets_in_a_string).next_line().unwrap().is_ok());
    }

    #[test]
    fn a_glimpse_of_the_id_takes_the_outermost_only() {
        assert_eq!(glimpse_id(br#"{"params":{"id":1},"id":2}"#), Some(2.into()));
        assert_eq!(glimpse_id(br#"{"x":"id","id" : -3 }"#), Some((-3).into()));
        assert_eq!(glimpse_id(br#"{"id":1.5}"#), None);
        assert_eq!(glimpse_id(br#"{"id":{}}"#), None);
        assert_eq!(glimpse_id(br#"{"id":12"#), None, "cut off: there may be more digits");
        assert_eq!(glimpse_id(b"garbage"), None);
    }
}
