//! Sealing: AES-256-GCM with a key for each record.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};

use super::{ProtectionError, SealingKey, Secret};

/// The format, and with it all algorithms; authenticated and written in front.
const FORMAT: &[u8; 8] = b"etdi-s1\n";
const SALT_BYTES: usize = 32;
/// What sealing adds to a text.
pub(crate) const OVERHEAD: usize = FORMAT.len() + SALT_BYTES + 16;

/// A sealed record that does not open: another key, another place, or other bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unopened;

impl SealingKey {
    /// Seals a text that is about `about` and of one generation: only who names the same three
    /// (the key as well) opens it.
    pub(crate) fn seal(
        &self,
        about: &str,
        generation: u64,
        text: &[u8],
    ) -> Result<Vec<u8>, ProtectionError> {
        let mut salt = [0; SALT_BYTES];
        SystemRandom::new().fill(&mut salt).map_err(|_| ProtectionError::Random)?;
        let mut body = text.to_vec();
        let key = self.record_key(&salt).map_err(|_| ProtectionError::Random)?;
        // The key has never been used and never is again, so the nonce may be zero.
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        key.seal_in_place_append_tag(nonce, Aad::from(aad(about, generation)), &mut body)
            .map_err(|_| ProtectionError::Random)?;
        let mut sealed = Vec::with_capacity(text.len() + OVERHEAD);
        sealed.extend_from_slice(FORMAT);
        sealed.extend_from_slice(&salt);
        sealed.extend_from_slice(&body);
        Ok(sealed)
    }

    /// Opens what [`SealingKey::seal`] made.
    pub(crate) fn open(
        &self,
        about: &str,
        generation: u64,
        sealed: &[u8],
    ) -> Result<Secret, Unopened> {
        let rest = sealed.strip_prefix(FORMAT).ok_or(Unopened)?;
        let (salt, body) = rest.split_at_checked(SALT_BYTES).ok_or(Unopened)?;
        let key = self.record_key(salt)?;
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let mut body = body.to_vec();
        let aad = Aad::from(aad(about, generation));
        let length = key.open_in_place(nonce, aad, &mut body).map_err(|_| Unopened)?.len();
        body.truncate(length);
        Ok(Secret::new(body))
    }

    /// A MAC of `text` under a key that is made for this purpose alone.
    pub(crate) fn mac(&self, purpose: &'static str, text: &[u8]) -> hmac::Tag {
        hmac::sign(&self.mac_key(purpose), text)
    }

    fn mac_key(&self, purpose: &'static str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.mac_bytes(purpose).as_ref())
    }

    /// HMAC as the one-step key derivation of a purpose; 32 bytes.
    fn mac_bytes(&self, purpose: &'static str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.reveal()), purpose.as_bytes())
    }

    fn record_key(&self, salt: &[u8]) -> Result<LessSafeKey, Unopened> {
        let secret: hkdf::Prk = Salt::new(HKDF_SHA256, salt).extract(self.reveal());
        let expanded = secret.expand(&[FORMAT, b"record"], &AES_256_GCM).map_err(|_| Unopened)?;
        Ok(LessSafeKey::new(UnboundKey::from(expanded)))
    }
}

/// The generation comes first because it has a fixed length.
fn aad(about: &str, generation: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FORMAT.len() + 8 + about.len());
    bytes.extend_from_slice(FORMAT);
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(about.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_what_was_sealed_where_it_was_sealed() {
        let key = SealingKey::generate().unwrap();
        let sealed = key.seal("a", 7, b"text").unwrap();
        assert_eq!(sealed.len(), 4 + OVERHEAD);
        assert_eq!(key.open("a", 7, &sealed).unwrap().reveal(), b"text");
        assert!(key.open("b", 7, &sealed).is_err());
        assert!(key.open("a", 8, &sealed).is_err());
        assert!(SealingKey::generate().unwrap().open("a", 7, &sealed).is_err());
        for cut in 0..sealed.len() {
            assert!(key.open("a", 7, &sealed[..cut]).is_err());
        }
        for byte in 0..sealed.len() {
            for bit in 0..8 {
                let mut flipped = sealed.clone();
                flipped[byte] ^= 1 << bit;
                assert!(key.open("a", 7, &flipped).is_err(), "byte {byte} bit {bit}");
            }
        }
        let empty = key.seal("", 0, b"").unwrap();
        assert!(key.open("", 0, &empty).unwrap().is_empty());
    }

    #[test]
    fn the_same_text_never_looks_the_same() {
        let key = SealingKey::from_bytes([1; 32]);
        let (one, two) = (key.seal("a", 1, b"text").unwrap(), key.seal("a", 1, b"text").unwrap());
        assert_ne!(one[FORMAT.len()..][..SALT_BYTES], two[FORMAT.len()..][..SALT_BYTES]);
        assert_ne!(one[FORMAT.len() + SALT_BYTES..], two[FORMAT.len() + SALT_BYTES..]);
    }

    #[test]
    fn a_mac_is_for_one_purpose() {
        let key = SealingKey::from_bytes([1; 32]);
        let tag = |purpose, text: &[u8]| key.mac(purpose, text).as_ref().to_vec();
        assert_eq!(tag("names", b"x"), tag("names", b"x"));
        assert_ne!(tag("names", b"x"), tag("anchor", b"x"));
        assert_ne!(tag("names", b"x"), tag("names", b"y"));
    }
}
