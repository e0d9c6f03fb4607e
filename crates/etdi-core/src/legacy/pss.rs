//! RSASSA-PSS with the longest salt, as the fork signs: read, never written.

use ring::digest::{SHA256, digest};
use rsa::pss::{Signature, VerifyingKey as PssKey};
use rsa::sha2::Sha256;
use rsa::signature::Verifier;
use rsa::{BigUint, RsaPublicKey};

use crate::base64url;
use crate::ijson::{Document, Limits, Value};
use crate::key::VerifyingKey;

/// Whether `signature` is one of the SHA-256 of `payload`, which PSS hashes once more, with the
/// longest salt that there is room for, or with one of 32 bytes.
pub(super) fn verify(key: &VerifyingKey, payload: &[u8], signature: &[u8]) -> bool {
    let Some(public) = public(key) else { return false };
    let Ok(signature) = Signature::try_from(signature) else { return false };
    let message = digest(&SHA256, payload);
    // The encoded message holds a hash, two bytes and the salt.
    let longest = rsa::traits::PublicKeyParts::size(&public).saturating_sub(34);
    [longest, 32].into_iter().any(|salt| {
        let key = PssKey::<Sha256>::new_with_salt_len(public.clone(), salt);
        key.verify(message.as_ref(), &signature).is_ok()
    })
}

fn public(key: &VerifyingKey) -> Option<RsaPublicKey> {
    let jwk = key.to_jwk();
    let jwk = Document::parse(&jwk, Limits::STATEMENT).ok()?;
    let number = |name| {
        let text = jwk.root().get(name).and_then(Value::as_str)?;
        Some(BigUint::from_bytes_be(&base64url::decode(text)?))
    };
    RsaPublicKey::new(number("n")?, number("e")?).ok()
}
