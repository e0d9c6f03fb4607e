//! Signed calls: a statement that binds arguments, definition and server, and counts once.
//!
//! The statement names the digest of the definition that the caller approved, so a server whose
//! definition is another one must refuse: what was approved is what is called.
//!
//! ```
//! use etdi_core::digest::Digest;
//! use etdi_core::identity::ServerIdentity;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::request::{Call, CallRefusal, MemoryReplayStore, check};
//! use etdi_core::time::UnixTime;
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let server = ServerIdentity::url("https://mcp.acme.example/mcp")?;
//! let definition = Digest::of_bytes(b"the approved definition");
//! let now = UnixTime(1_767_323_045);
//!
//! let call = Call::new(&server, "search", definition).arguments(Some(r#"{"query":"x"}"#));
//! let statement = call.sign(&key, now)?;
//! let replay = MemoryReplayStore::new(1_000);
//! assert!(check(&statement, &call, None, &replay, now).is_ok());
//!
//! // Once only; not for other arguments; not for another definition; not for long.
//! assert_eq!(check(&statement, &call, None, &replay, now), Err(CallRefusal::Replayed));
//! let refused = |call: &Call<'_>, now| {
//!     check(&statement, call, None, &MemoryReplayStore::new(1), now).unwrap_err().code()
//! };
//! assert_eq!(refused(&call.clone().arguments(None), now), "SIGNATURE_INVALID");
//! let live = Digest::of_bytes(b"another definition");
//! let changed = Call::new(&server, "search", live).arguments(Some(r#"{"query":"x"}"#));
//! assert_eq!(refused(&changed, now), "DEFINITION_CHANGED");
//! assert_eq!(refused(&call, now.plus(91)), "STALE");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use mcp_types::{ErrorObject, Members, RawText};
use serde::Serialize;
use serde_json::json;

use crate::attestation::to_json;
use crate::digest::{Digest, Purpose};
use crate::identity::ServerIdentity;
use crate::ijson::IjsonError;
use crate::jws::{self, Jws};
use crate::key::{KeyId, KeyRing, VerifyingKey};
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::wire::{self, CallClaims, KEY_ISSUER, StatementType};

mod refusal;
mod replay;

pub use refusal::CallRefusal;
pub use replay::{MemoryReplayStore, ReplayStore};

/// How long a statement counts, in seconds.
pub const LIFETIME: u64 = 60;

/// How far clocks may be apart, in seconds.
pub const CLOCK_SKEW: u64 = 30;

const METHOD: &str = "tools/call";

/// A call as it is signed, and as it is checked.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    server: &'a ServerIdentity,
    tool: &'a str,
    definition: Digest,
    arguments: Option<&'a str>,
    inputs: Option<String>,
}

impl<'a> Call<'a> {
    /// A call of a tool of `server`, whose definition has a digest, without arguments.
    pub fn new(server: &'a ServerIdentity, tool: &'a str, definition: Digest) -> Self {
        Self { server, tool, definition, arguments: None, inputs: None }
    }

    /// With the text of its arguments; `None` counts as an empty object.
    #[must_use]
    pub fn arguments(mut self, arguments: Option<&'a str>) -> Self {
        self.arguments = arguments;
        self
    }

    /// With the answers and the state that it sends back, where it is a retry.
    #[must_use]
    pub fn inputs(mut self, responses: Option<&Members>, state: Option<&str>) -> Self {
        let both = Inputs { input_responses: responses, request_state: state };
        // Texts of members always have a JSON form; what had none would match no statement.
        self.inputs = (responses.is_some() || state.is_some())
            .then(|| serde_json::to_string(&both).unwrap_or_default());
        self
    }

    /// Signs the call.
    ///
    /// # Errors
    ///
    /// When arguments or inputs are not I-JSON, or the key cannot be used.
    pub fn sign(&self, signer: &dyn Signer, now: UnixTime) -> Result<String, SignError> {
        let key = signer.verifying_key();
        let unfit =
            |error: IjsonError| SignError(format!("the arguments are not strict JSON: {error}"));
        let claims = CallClaims {
            iss: format!("{KEY_ISSUER}{}", key.id()),
            sub: None,
            aud: self.server.to_string(),
            iat: now.0,
            exp: now.plus(LIFETIME).0,
            jti: random::id().map_err(SignError::from)?,
            mth: METHOD.to_owned(),
            tool: self.tool.to_owned(),
            tdg: self.definition,
            adg: self.arguments_digest().map_err(unfit)?,
            mdg: self.inputs_digest().map_err(unfit)?,
            jwk: serde_json::from_str(&key.to_jwk()).ok(),
        };
        jws::sign(StatementType::Call, &to_json(&claims)?, signer)
    }

    fn arguments_digest(&self) -> Result<Digest, IjsonError> {
        Digest::of_json(Purpose::Arguments, self.arguments.unwrap_or("{}"))
    }

    fn inputs_digest(&self) -> Result<Option<Digest>, IjsonError> {
        let inputs = self.inputs.as_deref();
        inputs.map(|inputs| Digest::of_json(Purpose::Inputs, inputs)).transpose()
    }
}

/// What a retry sends back, as it is signed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Inputs<'a> {
    input_responses: Option<&'a Members>,
    request_state: Option<&'a str>,
}

/// A call that was checked: who signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCall {
    /// The key of the caller.
    pub key: KeyId,
    /// The user or agent, as the caller says.
    pub subject: Option<String>,
    /// The id of the statement.
    pub id: String,
}

/// Checks the statement of a call against the call as it arrived.
///
/// `known` are the callers that count; with `None` any key counts that signs for itself, which
/// shows that the call was not changed and not repeated, not who made it.
///
/// # Errors
///
/// One [`CallRefusal`] a cause. The replay store is asked last, so that only a statement that
/// would count uses up its place.
pub fn check(
    statement: &str,
    call: &Call<'_>,
    known: Option<&KeyRing>,
    replay: &dyn ReplayStore,
    now: UnixTime,
) -> Result<SignedCall, CallRefusal> {
    let invalid = |why: String| CallRefusal::SignatureInvalid { why };
    let jws =
        Jws::read(statement, StatementType::Call).map_err(|error| invalid(error.to_string()))?;
    let claims: CallClaims = serde_json::from_str(jws.unverified_payload())
        .map_err(|_| invalid("a claim is missing or of another form".to_owned()))?;
    let id = jws.key_id();
    let key = match known {
        Some(ring) => ring.get(id).cloned().ok_or(CallRefusal::KeyUnknown { key: id })?,
        None => {
            let jwk = claims.jwk.as_ref().ok_or(CallRefusal::KeyUnknown { key: id })?;
            VerifyingKey::from_jwk(&jwk.to_string()).map_err(|error| invalid(error.to_string()))?
        }
    };
    jws.verify(&key).map_err(|error| invalid(error.to_string()))?;
    if claims.iss != format!("{KEY_ISSUER}{id}") {
        return Err(invalid("it is issued by another than its key".to_owned()));
    }
    if claims.aud != call.server.to_string() {
        return Err(CallRefusal::WrongAudience { named: claims.aud, server: call.server.clone() });
    }
    let (issued, until) = (UnixTime(claims.iat), UnixTime(claims.exp));
    let too_long = claims.exp.saturating_sub(claims.iat) > LIFETIME;
    if too_long || issued > now.plus(CLOCK_SKEW) || now > until.plus(CLOCK_SKEW) {
        return Err(CallRefusal::Stale { issued, until, now });
    }
    if claims.mth != METHOD || claims.tool != call.tool {
        return Err(invalid("it is for another tool or method".to_owned()));
    }
    if claims.tdg != call.definition {
        let (approved, live) = (claims.tdg, call.definition);
        return Err(CallRefusal::DefinitionChanged { approved, live });
    }
    let unfit = |error: IjsonError| invalid(format!("the arguments are not strict JSON: {error}"));
    if claims.adg != call.arguments_digest().map_err(unfit)? {
        return Err(invalid("it is for other arguments".to_owned()));
    }
    if claims.mdg != call.inputs_digest().map_err(unfit)? {
        return Err(invalid("it is for other input responses".to_owned()));
    }
    if !replay.take(id, &claims.jti, until.plus(CLOCK_SKEW), now) {
        return Err(CallRefusal::Replayed);
    }
    Ok(SignedCall { key: id, subject: claims.sub, id: claims.jti })
}

/// The statement in a call's `_meta`, if there is one.
pub(crate) fn statement(meta: &Members) -> Option<&RawText> {
    meta.get(wire::CALL)
}

/// The error with which a call is refused.
impl From<CallRefusal> for ErrorObject {
    fn from(refusal: CallRefusal) -> Self {
        let data = json!({ wire::ERROR_DATA: refusal.code(), wire::EVIDENCE: refusal.evidence() });
        Self::new(refusal.number(), refusal.to_string()).with_data(&data)
    }
}

#[cfg(test)]
mod tests;
