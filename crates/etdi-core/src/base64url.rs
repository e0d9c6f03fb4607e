//! Base64url as JOSE wants it (RFC 7515, section 2): no padding, no stray bits, one spelling.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// How long the text of 32 bytes is.
pub(crate) const TEXT_OF_32: usize = 43;

/// The same of 32 bytes, put at the end of `room` and without the allocator: digests and keys are
/// written on every call.
pub(crate) fn encode_32<'a>(bytes: &[u8; 32], room: &'a mut [u8]) -> &'a str {
    let start = room.len().saturating_sub(TEXT_OF_32);
    if let Some(end) = room.get_mut(start..) {
        // 32 bytes fit into 43 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes, end);
    }
    core::str::from_utf8(room).unwrap_or_default()
}

/// `None` for padding, other alphabets, white space and bits that no byte has.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_one_spelling() {
        assert_eq!(decode("_-8"), Some(vec![0xff, 0xef]));
        assert_eq!(encode(&[0xff, 0xef]), "_-8");
        let bytes: [u8; 32] = core::array::from_fn(|at| (at * 37) as u8);
        assert_eq!(encode_32(&bytes, &mut [0; TEXT_OF_32]), encode(&bytes));
        let mut room = *b"id:###########################################";
        assert_eq!(encode_32(&bytes, &mut room), format!("id:{}", encode(&bytes)));
        for bad in ["_-8=", "/+8", "_-9", "_", "_-8 ", "_-8\n", "_- 8", "é"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
