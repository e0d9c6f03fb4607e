//! One block of PEM (RFC 7468) that holds a private key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// A key of a supported type takes less than 200 bytes.
const MAX_LENGTH: usize = 16 << 10;

/// The bytes of the one block; `None` for anything before, behind or beside it.
pub(super) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let body = text.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let mut packed = Zeroizing::new(String::with_capacity(body.len()));
    packed.extend(body.split_ascii_whitespace());
    STANDARD.decode(packed.as_bytes()).ok().map(Zeroizing::new)
}

pub(super) fn encode(der: &[u8]) -> Zeroizing<String> {
    let body = Zeroizing::new(STANDARD.encode(der));
    let mut text = Zeroizing::new(String::with_capacity(body.len() + 80));
    text.push_str(BEGIN);
    for (index, character) in body.chars().enumerate() {
        if index % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push('\n');
    text.push_str(END);
    text.push('\n');
    text
}
