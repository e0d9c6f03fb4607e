//! Server-sent events that come in pieces.

use bytes::Bytes;

/// The reader itself, which its crate keeps to itself.
#[path = "../../crates/mcp-transport/src/http/sse.rs"]
#[allow(dead_code, missing_docs)]
mod reader;

use reader::{Fields, Reader};

const MOST: usize = 512;

/// The first byte says how long the pieces are.
///
/// # Panics
///
/// When events depend on how the stream was cut, or one is not written as it was read.
pub fn sse(data: &[u8]) {
    let Some((&length, stream)) = data.split_first() else { return };
    let whole = read(std::iter::once(stream));
    assert_eq!(whole, read(super::pieces(stream, length)));
    for (name, data) in &whole.0 {
        let Ok(data) = std::str::from_utf8(data) else { continue };
        let mut out = Vec::new();
        reader::write(&mut out, &Fields { event: name.as_deref(), data, ..Fields::default() });
        let (again, _, failed) = read_within(std::iter::once(&*out), out.len());
        let usual = name.clone().filter(|name| !name.contains('\0'));
        // In JSON line breaks stand between tokens only, so they need not come back as they were.
        let lines = data.replace("\r\n", "\n").replace('\r', "\n");
        assert_eq!((again, failed), (vec![(usual, lines.into_bytes())], false));
    }
}

type Events = (Vec<(Option<String>, Vec<u8>)>, Option<String>, bool);

fn read<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> Events {
    read_within(pieces, MOST)
}

fn read_within<'d>(pieces: impl Iterator<Item = &'d [u8]>, most: usize) -> Events {
    let mut reader = Reader::new(most);
    let mut events = Vec::new();
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        loop {
            match reader.next(&mut piece) {
                Ok(Some(event)) => {
                    assert!(event.data.len() <= most);
                    events.push((event.name, event.data.to_vec()));
                }
                Ok(None) => break,
                Err(_) => return (events, None, true),
            }
        }
    }
    (events, reader.last_id().map(str::to_owned), false)
}
