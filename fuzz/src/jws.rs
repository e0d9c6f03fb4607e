//! Signed statements, keys, and what else a peer or a file says about trust.

use std::sync::LazyLock;

use etdi_core::jws::{Jws, sign};
use etdi_core::key::{KeyRing, SigningKey};
use etdi_core::trust::TrustAnchors;
use etdi_core::wire::StatementType;

const TYPES: [StatementType; 5] = [
    StatementType::Tool,
    StatementType::Manifest,
    StatementType::Call,
    StatementType::Result,
    StatementType::Possession,
];

const PAYLOAD: &str = r#"{"iss":"https://acme.example"}"#;

/// The key of RFC 8410, section 10.3, so that a finding is found again.
pub(crate) const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

/// A statement and its key.
static SIGNED: LazyLock<(String, SigningKey)> = LazyLock::new(|| {
    let key = SigningKey::from_pkcs8_pem(KEY).expect("a key");
    let statement = sign(StatementType::Tool, PAYLOAD, &key).expect("a statement");
    (statement, key)
});

/// Text, or after a zero byte changes to a statement that is good: a place and a byte each.
///
/// # Panics
///
/// When a changed statement passes for the one that was signed.
pub fn jws(data: &[u8]) {
    let (signed, key) = &*SIGNED;
    let text = match data.strip_prefix(b"\0") {
        Some(changes) => {
            let mut text = signed.clone().into_bytes();
            for change in changes.chunks_exact(3) {
                let [high, low, byte] = change else { continue };
                let place = usize::from(*high) << 8 | usize::from(*low);
                let place = place % text.len();
                if let Some(at) = text.get_mut(place) {
                    *at = *byte;
                }
            }
            text
        }
        None => data.to_vec(),
    };
    let Ok(text) = std::str::from_utf8(&text) else { return };
    for kind in TYPES {
        let Ok(read) = Jws::read(text, kind) else { continue };
        let verified = read.verify(key.verifying_key());
        let is_that = text == signed && matches!(kind, StatementType::Tool);
        assert_eq!(verified.ok(), is_that.then(|| PAYLOAD.to_owned()), "{text}");
    }
    let _ = KeyRing::from_jwks(text);
    let _ = TrustAnchors::from_json(text);
    let _ = SigningKey::from_pkcs8_pem(text);
}
