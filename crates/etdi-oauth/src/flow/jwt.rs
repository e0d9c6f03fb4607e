//! JWTs that a client signs: assertions that say who it is, and proofs that it holds a key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use etdi_core::proof::Signer;
use serde::Serialize;

use super::OAuthError;

/// The members of a header beside `alg`.
#[derive(Serialize, Default)]
pub(crate) struct Header<'a> {
    pub(crate) typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<&'a str>,
    #[serde(rename = "x5t#S256", skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) jwk: Option<&'a serde_json::value::RawValue>,
    pub(crate) alg: &'a str,
}

/// Signs claims in compact form. The algorithm is that of the key.
///
/// # Errors
///
/// When the signer cannot sign.
pub(crate) fn sign(
    header: Header<'_>,
    claims: &impl Serialize,
    signer: &dyn Signer,
) -> Result<String, OAuthError> {
    let header = Header { alg: signer.verifying_key().algorithm().name(), ..header };
    let written = |error: serde_json::Error| OAuthError::Crypto(error.to_string());
    let mut text = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&header).map_err(written)?);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(serde_json::to_vec(claims).map_err(written)?, &mut text);
    let signature = signer.sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(text)
}
