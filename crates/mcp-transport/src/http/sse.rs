//! Server-sent events: written into a buffer, and read piece by piece within a bound.
//!
//! See the HTML standard, "Server-sent events", whose rules for lines, comments, ids and delays
//! hold here; the protocol adds that `data` is one JSON-RPC message.

// Each end uses its half.
#![cfg_attr(not(all(feature = "http-client", feature = "http-server")), allow(dead_code))]

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// An event that is about to be written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Fields<'a> {
    /// Its name; `None` for the usual `message`.
    pub(crate) event: Option<&'a str>,
    /// Under which a client may ask for what came after it.
    pub(crate) id: Option<&'a str>,
    /// How long a client waits before it asks again.
    pub(crate) retry: Option<Duration>,
    /// The message; written line by line, so that any text comes back as it was.
    pub(crate) data: &'a str,
}

/// Appends one event. A name or an id with a line break or a NUL has no form and is left out.
pub(crate) fn write(out: &mut Vec<u8>, event: &Fields<'_>) {
    out.reserve(event.data.len() + 32);
    field(out, "event: ", event.event);
    field(out, "id: ", event.id);
    if let Some(retry) = event.retry {
        field(out, "retry: ", Some(&retry.as_millis().to_string()));
    }
    let mut rest = event.data;
    loop {
        let end = memchr2(b'\n', b'\r', rest.as_bytes());
        let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
        if end.is_none() {
            break;
        }
        // In JSON line breaks stand between tokens only, and one sort is as good as another.
        rest = after.strip_prefix("\r\n").or_else(|| after.get(1..)).unwrap_or_default();
    }
    out.push(b'\n');
}

/// Appends a comment, which tells proxies and clients that the stream lives.
pub(crate) fn write_keep_alive(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

fn field(out: &mut Vec<u8>, name: &str, value: Option<&str>) {
    let Some(value) = value.filter(|value| !value.contains(['\n', '\r', '\0'])) else { return };
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(value.as_bytes());
    out.push(b'\n');
}

/// An event that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its name; `None` for the usual `message`.
    pub(crate) name: Option<String>,
    /// Its data, the lines joined; UTF-8 has not been checked.
    pub(crate) data: Bytes,
}

/// An event has more bytes than the reader allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLong(pub(crate) usize);

/// Takes events out of a stream that arrives in pieces.
///
/// What is kept between two pieces is at most one event of the size that [`Reader::new`] is given.
#[derive(Debug)]
pub(crate) struct Reader {
    /// A line of which the end has not arrived.
    line: BytesMut,
    /// The lines of data so far, each with a newline.
    data: BytesMut,
    has_data: bool,
    name: Option<String>,
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<Duration>,
    /// The last piece ended with a carriage return; a newline that follows belongs to it.
    after_return: bool,
    /// Nothing but perhaps a part of the byte order mark has been read.
    at_start: bool,
    most: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Ids longer than this are no ids: they would not fit a header.
const LONGEST_ID: usize = 4096;

impl Reader {
    /// A reader of events of at most `most` bytes each.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            line: BytesMut::new(),
            data: BytesMut::new(),
            has_data: false,
            name: None,
            id: None,
            last_id: None,
            retry: None,
            after_return: false,
            at_start: true,
            most,
        }
    }

    /// Takes from the front of `piece` up to the end of the next event; `None` once all is taken.
    pub(crate) fn next(&mut self, piece: &mut Bytes) -> Result<Option<Event>, TooLong> {
        while !piece.is_empty() {
            if std::mem::take(&mut self.after_return) && piece.first() == Some(&b'\n') {
                let _ = piece.split_to(1);
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', piece) else {
                self.hold(piece.len())?;
                self.line.extend_from_slice(piece);
                piece.clear();
                return Ok(None);
            };
            let mut line = piece.split_to(end);
            self.after_return = piece.split_to(1).first() == Some(&b'\r');
            self.hold(line.len())?;
            if !self.line.is_empty() {
                self.line.extend_from_slice(&line);
                line = self.line.split().freeze();
            }
            if std::mem::take(&mut self.at_start) && line.starts_with(BYTE_ORDER_MARK) {
                let _ = line.split_to(BYTE_ORDER_MARK.len());
            }
            if line.is_empty() {
                if let Some(event) = self.dispatch() {
                    return Ok(Some(event));
                }
            } else {
                self.take_line(&line);
            }
        }
        Ok(None)
    }

    /// The id of the last whole event that had one; an empty id takes an earlier one back.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref().filter(|id| !id.is_empty())
    }

    /// How long the server wants to be left alone after the stream has broken.
    pub(crate) fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Whether there is room for `more` bytes of the current event.
    fn hold(&self, more: usize) -> Result<(), TooLong> {
        let held = self.line.len() + self.data.len();
        if held + more > self.most { Err(TooLong(self.most)) } else { Ok(()) }
    }

    fn take_line(&mut self, line: &Bytes) {
        let (name, value) = match memchr::memchr(b':', line) {
            Some(0) => return,
            Some(colon) => {
                let value = line.slice(colon + 1..);
                let space = value.first() == Some(&b' ');
                (line.slice(..colon), if space { value.slice(1..) } else { value })
            }
            None => (line.clone(), Bytes::new()),
        };
        match &*name {
            b"data" => {
                self.data.extend_from_slice(&value);
                self.data.extend_from_slice(b"\n");
                self.has_data = true;
            }
            b"event" => {
                self.name = Some(String::from_utf8_lossy(&value).into_owned());
            }
            b"id" if value.contains(&0) || value.len() > LONGEST_ID => {}
            b"id" => self.id = Some(String::from_utf8_lossy(&value).into_owned()),
            b"retry" => {
                let digits = str::from_utf8(&value).ok();
                let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                let millis = digits.and_then(|text| text.parse().ok());
                self.retry = millis.map(Duration::from_millis).or(self.retry);
            }
            _ => {}
        }
    }

    /// Ends the event; one without data is none, but its id counts.
    fn dispatch(&mut self) -> Option<Event> {
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
        }
        let name = self.name.take().filter(|name| !name.is_empty());
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let mut data = self.data.split().freeze();
        data.truncate(data.len().saturating_sub(1));
        Some(Event { name, data })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The name and the data of an event.
    type Read = (Option<String>, String);

    /// A text, its events, the last id and the delay.
    type Row<'a> = (&'a str, &'a [(Option<&'a str>, &'a str)], Option<&'a str>, u128);

    /// Reads `text` in pieces of `size` bytes; gives the events, the last id and the delay.
    fn read(text: &[u8], size: usize) -> (Vec<Read>, Option<String>, u128) {
        let mut reader = Reader::new(1 << 20);
        let mut events = Vec::new();
        for piece in text.chunks(size.max(1)) {
            let mut piece = Bytes::copy_from_slice(piece);
            while let Some(event) = reader.next(&mut piece).unwrap() {
                events.push((event.name, String::from_utf8_lossy(&event.data).into_owned()));
            }
            assert!(piece.is_empty());
        }
        let retry = reader.retry().map_or(0, |retry| retry.as_millis());
        (events, reader.last_id().map(str::to_owned), retry)
    }

    #[test]
    fn the_forms_of_the_standard() {
        let table: &[Row<'_>] = &[
            ("data: a\n\n", &[(None, "a")], None, 0),
            ("data:a\r\n\r\n", &[(None, "a")], None, 0),
            ("data: a\rdata:  b\r\r", &[(None, "a\n b")], None, 0),
            ("\u{feff}data: a\n\n", &[(None, "a")], None, 0),
            (": hi\n:\ndata\n\n", &[(None, "")], None, 0),
            (
                "event: endpoint\ndata: /x\n\ndata: y\n\n",
                &[(Some("endpoint"), "/x"), (None, "y")],
                None,
                0,
            ),
            ("id: 7\n\n", &[], Some("7"), 0),
            ("id: 7\ndata:\n\nid\ndata: b\n\n", &[(None, ""), (None, "b")], None, 0),
            ("id: 1\n\nid: a\0b\ndata: x\n\n", &[(None, "x")], Some("1"), 0),
            ("retry: 500\nretry: 5x\nretry:\n\n", &[], None, 500),
            ("id: 9\nretry: 20\ndata: never ended\n", &[], None, 20),
            ("unknown: x\ndata: {\"a\":\"b: c\"}\n\n\n\n", &[(None, "{\"a\":\"b: c\"}")], None, 0),
        ];
        for (text, events, id, retry) in table {
            for size in 1..=text.len() {
                let (seen, last, delay) = read(text.as_bytes(), size);
                let seen: Vec<_> = seen.iter().map(|(n, d)| (n.as_deref(), d.as_str())).collect();
                assert_eq!(seen, *events, "{text:?} in pieces of {size}");
                assert_eq!((last.as_deref(), delay), (*id, *retry), "{text:?}");
            }
        }
    }

    #[test]
    fn an_event_without_end_is_refused_before_it_is_kept() {
        for line in
            ["data: aaaaaaaaaaaaaa\n", "aaaaaaaaaaaa", "event: aaaaaaaaaaaaaaaaaaaaaaaaaa\n"]
        {
            let mut reader = Reader::new(64);
            let refused = (0..64).any(|_| reader.next(&mut Bytes::from(line)).is_err());
            // A name alone replaces the one before, so nothing grows.
            assert_eq!(refused, !line.starts_with("event"), "{line:?}");
            assert!(reader.line.len() + reader.data.len() <= 64 + 16);
        }
        assert_eq!(Reader::new(8).next(&mut Bytes::from("data: 123")), Err(TooLong(8)));
    }

    #[test]
    fn an_event_is_written_as_it_is_read() {
        let mut out = Vec::new();
        let event = Fields {
            event: Some("message"),
            id: Some("a/1"),
            retry: Some(Duration::from_millis(1500)),
            data: "{\"a\":\r\n1,\r\"b\":\n2}",
        };
        write(&mut out, &event);
        write_keep_alive(&mut out);
        write(&mut out, &Fields { id: Some("no\nid"), ..Fields::default() });
        let expected = "event: message\nid: a/1\nretry: 1500\ndata: {\"a\":\ndata: 1,\ndata: \"b\":\n\
                        data: 2}\n\n:\n\ndata: \n\n";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
        let (events, id, retry) = read(&out, 3);
        assert_eq!(events[0], (Some("message".into()), "{\"a\":\n1,\n\"b\":\n2}".into()));
        assert_eq!(events[1], (None, String::new()));
        assert_eq!((id.as_deref(), retry), (Some("a/1"), 1500));
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_are_one_and_the_same(
            bytes in prop::collection::vec(prop_oneof![
                Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), any::<u8>(),
                prop::sample::select(b"dataideventry0".to_vec()),
            ], 0..200),
            size in 1_usize..20,
        ) {
            prop_assert_eq!(read(&bytes, size), read(&bytes, bytes.len()));
        }

        #[test]
        fn what_is_written_is_read(lines in prop::collection::vec("[^\r\n]*", 1..5), size in 1_usize..40) {
            let data = lines.join("\n");
            let mut out = Vec::new();
            write(&mut out, &Fields { id: Some("x"), data: &data, ..Fields::default() });
            let (events, id, _) = read(&out, size);
            prop_assert_eq!(events, vec![(None, data)]);
            prop_assert_eq!(id.as_deref(), Some("x"));
        }
    }
}
