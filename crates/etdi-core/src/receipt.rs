//! Receipts: what a server says that it answered to a signed call.
//!
//! A receipt names the call by the id of its statement, the definition that was called, and the
//! digest of the result: content, data and whether it failed, without `_meta`, to which whoever
//! stands between may add. It shows what this server said, not that it is true.
//!
//! ```
//! use etdi_core::digest::Digest;
//! use etdi_core::identity::ServerIdentity;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::receipt::{Receipt, ReceiptError};
//! use etdi_core::time::UnixTime;
//! use mcp_types::{CallToolResult, RawText};
//!
//! let (caller, instance) =
//!     (SigningKey::generate(Algorithm::EdDsa)?, SigningKey::generate(Algorithm::EdDsa)?);
//! let server = ServerIdentity::url("https://mcp.acme.example/mcp")?;
//! let now = UnixTime(1_767_323_045);
//! let call = Receipt::new(&server, "search", Digest::of_bytes(b"definition"), caller.id(), "jti");
//!
//! let mut result = CallToolResult::new(vec![]);
//! let text = call.sign(&result, &instance, now)?;
//! assert!(call.check(&text, &result, |key| key == instance.id()).is_ok());
//!
//! // Neither for another result nor by a key that is not the server's.
//! assert_eq!(call.check(&text, &result, |_| false), Err(ReceiptError::Key { key: instance.id() }));
//! result.is_error = Some(true);
//! let other = call.check(&text, &result, |key| key == instance.id());
//! assert_eq!(other, Err(ReceiptError::Other("result")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use mcp_types::{CallToolResult, Members, RawText};
use serde::Serialize;

use crate::attestation::to_json;
use crate::digest::{Digest, Purpose};
use crate::identity::ServerIdentity;
use crate::jws::{self, Jws, JwsError};
use crate::key::{KeyId, VerifyingKey};
use crate::proof::{SignError, Signer};
use crate::time::UnixTime;
use crate::wire::{KEY_ISSUER, ReceiptClaims, StatementType};

/// The call that a receipt is for.
#[derive(Clone, Copy, Debug)]
pub struct Receipt<'a> {
    server: &'a ServerIdentity,
    tool: &'a str,
    definition: Digest,
    caller: KeyId,
    call: &'a str,
}

impl<'a> Receipt<'a> {
    /// For the call with the statement `call` (its `jti`), which `caller` signed.
    pub fn new(
        server: &'a ServerIdentity,
        tool: &'a str,
        definition: Digest,
        caller: KeyId,
        call: &'a str,
    ) -> Self {
        Self { server, tool, definition, caller, call }
    }

    /// Signs that `result` is what the call came to.
    ///
    /// # Errors
    ///
    /// When the result is not I-JSON, or the key cannot be used.
    pub fn sign(
        &self,
        result: &CallToolResult,
        signer: &dyn Signer,
        now: UnixTime,
    ) -> Result<String, SignError> {
        let key = signer.verifying_key();
        let unfit = |error: &dyn std::fmt::Display| {
            SignError(format!("the result is not strict JSON: {error}"))
        };
        let claims = ReceiptClaims {
            iss: format!("{KEY_ISSUER}{}", key.id()),
            sub: self.server.to_string(),
            aud: format!("{KEY_ISSUER}{}", self.caller),
            iat: now.0,
            jti: self.call.to_owned(),
            tool: self.tool.to_owned(),
            tdg: self.definition,
            rdg: digest(result).map_err(|error| unfit(&error))?,
            err: result.is_error == Some(true),
            jwk: serde_json::from_str(&key.to_jwk()).map_err(|error| unfit(&error))?,
        };
        jws::sign(StatementType::Result, &to_json(&claims)?, signer)
    }

    /// Checks that `text` is a receipt for this call and `result`, by a key of which
    /// `is_servers` says that the server holds it. Gives that key.
    ///
    /// # Errors
    ///
    /// One [`ReceiptError`] a cause.
    pub fn check(
        &self,
        text: &str,
        result: &CallToolResult,
        is_servers: impl Fn(KeyId) -> bool,
    ) -> Result<KeyId, ReceiptError> {
        let jws = Jws::read(text, StatementType::Result).map_err(ReceiptError::Jws)?;
        let claims: ReceiptClaims = serde_json::from_str(jws.unverified_payload())
            .map_err(|_| ReceiptError::Other("form of receipt"))?;
        let id = jws.key_id();
        if !is_servers(id) {
            return Err(ReceiptError::Key { key: id });
        }
        // Its thumbprint is that of the key that was proven, which `verify` compares.
        let key = VerifyingKey::from_jwk(&claims.jwk.to_string());
        jws.verify(&key.map_err(|_| ReceiptError::Other("key"))?).map_err(ReceiptError::Jws)?;
        let digest = digest(result).map_err(|_| ReceiptError::Other("result"))?;
        let is_error = result.is_error == Some(true);
        for (fits, what) in [
            (claims.iss == format!("{KEY_ISSUER}{id}"), "issuer"),
            (claims.sub == self.server.to_string(), "server"),
            (claims.aud == format!("{KEY_ISSUER}{}", self.caller), "caller"),
            (claims.jti == self.call, "call"),
            (claims.tool == self.tool, "tool"),
            (claims.tdg == self.definition, "definition"),
            (claims.rdg == digest && claims.err == is_error, "result"),
        ] {
            if !fits {
                return Err(ReceiptError::Other(what));
            }
        }
        Ok(id)
    }
}

/// The result as it is signed. Revisions before 2026-07-28 send data that is no object under
/// `result` of one, so it is signed like that in all of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Signed<'a> {
    content: &'a [mcp_types::ContentBlock],
    structured_content: Option<Data<'a>>,
    is_error: bool,
    extra: &'a Members,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Object(&'a RawText),
    Other { result: &'a RawText },
}

fn digest(result: &CallToolResult) -> Result<Digest, String> {
    let data = result.structured_content.as_ref();
    let signed = Signed {
        content: &result.content,
        structured_content: data.map(|data| match data.is_object() {
            true => Data::Object(data),
            false => Data::Other { result: data },
        }),
        is_error: result.is_error == Some(true),
        extra: &result.extra,
    };
    let text = serde_json::to_string(&signed).map_err(|error| error.to_string())?;
    Digest::of_json(Purpose::Result, &text).map_err(|error| error.to_string())
}

/// Why a receipt does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// The server says that it gives receipts, and gave none.
    #[error("the server gave no receipt, though it says that it does")]
    Missing,
    /// It is no JWS of that kind, or its signature is wrong.
    #[error("the receipt does not hold: {0}")]
    Jws(JwsError),
    /// It is signed with a key that is not the server's.
    #[error("the receipt is signed with {key}, a key that the server has not proven to hold")]
    Key {
        /// The key.
        key: KeyId,
    },
    /// It is for something else.
    #[error("the receipt is for another {0}")]
    Other(&'static str),
}

impl ReceiptError {
    /// A stable word.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "RECEIPT_MISSING",
            _ => "RECEIPT_INVALID",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Algorithm, SigningKey};

    const NOW: UnixTime = UnixTime(1_767_323_045);

    fn result(data: &str) -> CallToolResult {
        let mut result = CallToolResult::new(vec![]);
        result.structured_content = RawText::new(data.to_owned()).ok();
        result
    }

    #[test]
    fn a_receipt_is_for_one_call_and_one_result() {
        let key = |_| SigningKey::generate(Algorithm::Es256).unwrap();
        let [caller, other, instance] = [0, 1, 2].map(key);
        let servers =
            ["a", "b"].map(|name| ServerIdentity::package(&format!("pkg:cargo/{name}")).unwrap());
        let digests = [Digest::of_bytes(b"a"), Digest::of_bytes(b"b")];
        let call = Receipt::new(&servers[0], "t", digests[0], caller.id(), "1");
        let answer = result(r#"{"a":1}"#);
        let text = call.sign(&answer, &instance, NOW).unwrap();
        let ours = |key| key == instance.id();
        assert_eq!(call.check(&text, &answer, ours), Ok(instance.id()));
        for (what, call) in [
            ("server", Receipt::new(&servers[1], "t", digests[0], caller.id(), "1")),
            ("tool", Receipt::new(&servers[0], "u", digests[0], caller.id(), "1")),
            ("definition", Receipt::new(&servers[0], "t", digests[1], caller.id(), "1")),
            ("caller", Receipt::new(&servers[0], "t", digests[0], other.id(), "1")),
            ("call", Receipt::new(&servers[0], "t", digests[0], caller.id(), "2")),
        ] {
            assert_eq!(call.check(&text, &answer, ours), Err(ReceiptError::Other(what)));
        }
        let forged = call.sign(&answer, &other, NOW).unwrap();
        let key = ReceiptError::Key { key: other.id() };
        assert_eq!(call.check(&forged, &answer, ours), Err(key));
        // The right key signs for another: what it says of itself has to be true as well.
        let read = Jws::read(&text, StatementType::Result).unwrap();
        let named = read.unverified_payload().replacen(
            &instance.id().to_string(),
            &other.id().to_string(),
            1,
        );
        assert_ne!(named, read.unverified_payload());
        let named = jws::sign(StatementType::Result, &named, &instance).unwrap();
        assert_eq!(call.check(&named, &answer, ours), Err(ReceiptError::Other("issuer")));
        for changed in [r#"{"a":2}"#, r#"{"a":1,"b":1}"#, "1"] {
            let checked = call.check(&text, &result(changed), ours);
            assert_eq!(checked, Err(ReceiptError::Other("result")), "{changed}");
        }
        assert!(call.check("a.b.c", &answer, ours).is_err());
    }

    #[test]
    fn gateways_and_revisions_do_not_break_it() {
        let instance = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let server = ServerIdentity::package("pkg:cargo/a").unwrap();
        let call = Receipt::new(&server, "t", Digest::of_bytes(b""), instance.id(), "1");
        let text = call.sign(&result("5"), &instance, NOW).unwrap();
        let mut wrapped = result(r#"{"result":5}"#);
        wrapped.is_error = Some(false);
        let trace = RawText::new("\"1\"").unwrap();
        wrapped.meta.get_or_insert_with(mcp_types::Meta::new).insert("com.example/trace", trace);
        assert!(call.check(&text, &wrapped, |_| true).is_ok());
        wrapped.extra.insert("more", RawText::new("1").unwrap());
        assert!(call.check(&text, &wrapped, |_| true).is_err(), "what a model could read");
    }
}
