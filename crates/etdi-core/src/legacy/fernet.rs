//! Fernet tokens: AES-128-CBC with HMAC-SHA-256. Read, never written.

use aes::Aes128;
use aes::cipher::{BlockModeDecrypt, KeyIvInit, block_padding::Pkcs7};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use ring::hmac;
use zeroize::Zeroizing;

/// Version, timestamp, initialisation vector; the ciphertext; the MAC.
const VERSION: u8 = 0x80;
const HEAD: usize = 1 + 8 + 16;
const MAC: usize = 32;

/// A Fernet key: 16 bytes to authenticate, 16 to decrypt.
pub(super) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// Reads the 44 characters of a `.key` file.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = URL_SAFE.decode(text.trim()).ok().map(Zeroizing::new)?;
        (bytes.len() == 32).then_some(Self(bytes))
    }

    /// The text of a token, `None` when it is none, or not of this key.
    pub(super) fn open(&self, token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let token = URL_SAFE.decode(token.trim_ascii()).ok()?;
        let (signed, mac) = token.split_at_checked(token.len().checked_sub(MAC)?)?;
        let (signing, encryption) = self.0.split_at_checked(16)?;
        let signing = hmac::Key::new(hmac::HMAC_SHA256, signing);
        hmac::verify(&signing, signed, mac).ok()?;
        let (head, ciphertext) = signed.split_at_checked(HEAD)?;
        if *head.first()? != VERSION {
            return None;
        }
        let iv = head.get(9..)?;
        let cipher = cbc::Decryptor::<Aes128>::new_from_slices(encryption, iv).ok()?;
        cipher.decrypt_padded_vec::<Pkcs7>(ciphertext).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the Fernet specification (`verify.json`).
    #[test]
    fn opens_the_vector_of_the_specification() {
        let key = Key::read("cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=").unwrap();
        let token = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA==";
        assert_eq!(**key.open(token.as_bytes()).unwrap(), *b"hello");
        for at in 0..token.len() - 2 {
            let mut other = token.as_bytes().to_vec();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            assert!(key.open(&other).is_none(), "{at}");
        }
        let other = Key::read("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        assert!(other.open(token.as_bytes()).is_none());
        assert!(Key::read("short").is_none());
        assert!(key.open(b"").is_none());
    }
}
