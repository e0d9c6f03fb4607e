//! What the server makes and knows again: random names, and texts with a seal that it alone can make.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hmac};

use super::server::ServerError;

/// 256 random bits.
pub(super) fn random_bytes() -> Result<[u8; 32], ServerError> {
    let mut bytes = [0; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| ServerError::Random)?;
    Ok(bytes)
}

/// 256 random bits as 43 characters of base64url.
pub(super) fn random() -> Result<String, ServerError> {
    Ok(encode(&random_bytes()?))
}

/// The SHA-256 digest of a text, in base64url.
pub(super) fn sha256(text: &str) -> String {
    encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `None` for anything but the one spelling without padding.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Seals texts, each for a purpose, so that nothing has to be kept to know them again.
pub(super) struct Seal(hmac::Key);

impl Seal {
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A seal that nobody knows again after the end of the process.
    pub(super) fn of_this_process() -> Result<Self, ServerError> {
        Ok(Self::new(&random_bytes()?))
    }

    pub(super) fn over(&self, purpose: &str, parts: &[&str]) -> String {
        encode(hmac::sign(&self.0, &message(purpose, parts)).as_ref())
    }

    /// Compares in constant time.
    pub(super) fn is(&self, purpose: &str, parts: &[&str], seal: &str) -> bool {
        let Some(seal) = decode(seal) else { return false };
        hmac::verify(&self.0, &message(purpose, parts), &seal).is_ok()
    }

    /// Whether two texts are one, in a time that does not tell where they differ.
    pub(super) fn same(&self, left: &str, right: &str) -> bool {
        self.is("same", &[left], &self.over("same", &[right]))
    }
}

/// Each part with its length, so that no two lists have one message.
fn message(purpose: &str, parts: &[&str]) -> Vec<u8> {
    let mut message = Vec::new();
    for part in std::iter::once(&purpose).chain(parts) {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part.as_bytes());
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_for_one_purpose_and_one_list() {
        let seal = Seal::new(&[7; 32]);
        let text = seal.over("code", &["a", "bc"]);
        assert!(seal.is("code", &["a", "bc"], &text));
        for (purpose, parts) in
            [("refresh", &["a", "bc"][..]), ("code", &["ab", "c"]), ("code", &["a", "bc", ""])]
        {
            assert!(!seal.is(purpose, parts, &text), "{purpose} {parts:?}");
        }
        assert!(!seal.is("code", &["a", "bc"], "") && !seal.is("code", &["a", "bc"], "*"));
        assert!(!Seal::new(&[8; 32]).is("code", &["a", "bc"], &text));
        assert!(seal.same("x", "x") && !seal.same("x", "y"));
    }
}
