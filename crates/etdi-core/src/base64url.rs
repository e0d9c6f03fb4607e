//! Base64url as JOSE wants it (RFC 7515, section 2): no padding, no stray bits, one spelling.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
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
        for bad in ["_-8=", "/+8", "_-9", "_", "_-8 ", "_-8\n", "_- 8", "é"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
