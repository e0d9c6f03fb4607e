//! The access token that a signed call goes along with.

use std::fmt;

use crate::base64url;
use crate::digest::Digest;
use crate::key::KeyId;

/// What the verified access token of a request says about signed calls.
///
/// The layer that verifies tokens puts it into the exchange's extensions; a client's layer that
/// sends them does the same on its side.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenBinding {
    /// The SHA-256 of the token's text, base64url (`ath` of RFC 9449, section 4.2).
    pub hash: String,
    /// The key that the token is bound to (`cnf.jkt`), where it is bound to one.
    pub key: Option<KeyId>,
    /// Whether a signed call has to name the token. One that names a token has to name this one in
    /// any case.
    pub demanded: bool,
}

impl TokenBinding {
    /// The binding of a token, given as it travels, to the key that its `cnf` names. Signed calls have
    /// to name it.
    pub fn new(token: &str, key: Option<KeyId>) -> Self {
        let digest = Digest::of_bytes(token.as_bytes());
        Self { hash: base64url::encode(digest.as_bytes()), key, demanded: true }
    }

    /// The same, where signed calls of clients that name no token count as well.
    #[must_use]
    pub fn optional(self) -> Self {
        Self { demanded: false, ..self }
    }
}

impl fmt::Debug for TokenBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenBinding").field("key", &self.key).finish_non_exhaustive()
    }
}
