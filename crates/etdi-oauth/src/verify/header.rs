//! A signed token taken apart, before anything of it is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::ijson::{Document, Limits, Value};
use etdi_core::key::Algorithm;

use super::TokenRefusal;

/// The most bytes of a token: more than a header field of most servers takes.
pub(crate) const MAX_TOKEN: usize = 16 << 10;

/// The longest name of a key.
const MAX_KID: usize = 256;

/// The longest type that is repeated in an error.
const MAX_SHOWN: usize = 64;

/// Header members that bring a key or say where to fetch one (RFC 8725, section 3.10).
pub(crate) const KEY_HEADERS: [&str; 4] = ["jwk", "jku", "x5u", "x5c"];

/// A token whose signature nobody has checked.
#[derive(Debug)]
pub(super) struct Unverified<'t> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: String,
    /// The type, in lower case and without `application/`; empty when there is none.
    pub(super) kind: String,
    /// What is signed.
    pub(super) signed: &'t str,
    /// The signature in base64url.
    pub(super) signature: &'t str,
    /// The claims as JSON text.
    pub(super) claims: String,
}

impl<'t> Unverified<'t> {
    pub(super) fn read(token: &'t str) -> Result<Self, TokenRefusal> {
        if token.len() > MAX_TOKEN {
            return Err(TokenRefusal::TooLong { most: MAX_TOKEN });
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = match parts.as_slice() {
            [header, claims, signature] => [*header, *claims, *signature],
            // RFC 7516, section 9: five parts are an encrypted token.
            [_, _, _, _, _] => return Err(TokenRefusal::Encrypted),
            _ => return Err(TokenRefusal::Malformed("it has not three parts")),
        };
        let signed = token.strip_suffix(signature).and_then(|rest| rest.strip_suffix('.'));
        let signed = signed.unwrap_or_default();
        let header = decode(header)?;
        let header = Document::parse(&header, Limits::STATEMENT).map_err(TokenRefusal::Header)?;
        let header = header.root();
        let algorithm = algorithm(header)?;
        if let Some(name) = KEY_HEADERS.into_iter().find(|name| header.get(name).is_some()) {
            return Err(TokenRefusal::KeyHeader(name));
        }
        if header.get("crit").is_some() {
            return Err(TokenRefusal::Critical);
        }
        let kind = kind(header)?;
        let kid = header.get("kid").and_then(Value::as_str);
        let kid = kid.filter(|kid| !kid.is_empty() && kid.len() <= MAX_KID);
        let kid = kid.ok_or(TokenRefusal::NoKeyName)?.to_owned();
        let claims = decode(claims)?;
        Ok(Self { algorithm, kid, kind, signed, signature, claims })
    }
}

/// The algorithm, which is one of public keys.
fn algorithm(header: Value<'_>) -> Result<Algorithm, TokenRefusal> {
    let named = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    Algorithm::named(named).ok_or_else(|| TokenRefusal::Algorithm(shown(named)))
}

/// The type as RFC 7515, section 4.1.9, lets one write it.
fn kind(header: Value<'_>) -> Result<String, TokenRefusal> {
    let Some(named) = header.get("typ") else { return Ok(String::new()) };
    let named =
        named.as_str().ok_or(TokenRefusal::Mistyped { claim: "typ", expected: "a text" })?;
    let named = shown(named).to_ascii_lowercase();
    Ok(named.strip_prefix("application/").unwrap_or(&named).to_owned())
}

fn decode(part: &str) -> Result<String, TokenRefusal> {
    const BASE64: TokenRefusal = TokenRefusal::Malformed("a part is not base64url without padding");
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| BASE64)?;
    String::from_utf8(bytes).map_err(|_| TokenRefusal::Malformed("its text is not UTF-8"))
}

/// So much of a text that an error may repeat it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}
