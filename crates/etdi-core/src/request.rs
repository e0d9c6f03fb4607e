//! Signed calls: a statement that binds arguments, definition and server, and counts once.
//!
//! The statement names the digest of the definition that the caller approved, so a server whose
//! definition is another one must refuse: what was approved is what is called.
//!
//! ```
//! use etdi_core::digest::Digest;
//! use etdi_core::identity::ServerIdentity;
//! use etdi_core::key::{Algorithm, SigningKey};
//! use etdi_core::request::{Call, CallRefusal, Check, MemoryReplayStore};
//! use etdi_core::time::UnixTime;
//! use futures_executor::block_on;
//!
//! let key = SigningKey::generate(Algorithm::EdDsa)?;
//! let server = ServerIdentity::url("https://mcp.acme.example/mcp")?;
//! let definition = Digest::of_bytes(b"the approved definition");
//! let now = UnixTime(1_767_323_045);
//!
//! let call = Call::new(&server, "search", definition).arguments(Some(r#"{"query":"x"}"#));
//! let statement = call.sign(&key, now)?;
//! let replay = MemoryReplayStore::new(1_000);
//! assert!(block_on(Check::new(&replay, now).call(&statement, &call)).is_ok());
//!
//! // Once only; not for other arguments; not for another definition; not for long.
//! let again = block_on(Check::new(&replay, now).call(&statement, &call));
//! assert_eq!(again, Err(CallRefusal::Replayed));
//! let refused = |call: &Call<'_>, now| {
//!     let replay = MemoryReplayStore::new(1);
//!     block_on(Check::new(&replay, now).call(&statement, call)).unwrap_err().code()
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
use crate::jws;
use crate::proof::{SignError, Signer};
use crate::random;
use crate::time::UnixTime;
use crate::wire::{self, CallClaims, KEY_ISSUER, StatementType};

mod check;
mod contract;
mod refusal;
mod replay;
mod token;

pub use check::{Check, SignedCall};
pub use contract::{ReplayContractFailure, replay_store_contract};
pub use refusal::CallRefusal;
pub(crate) use replay::MAX_ID;
pub use replay::{MemoryReplayStore, ReplayStore, Taken};
pub use token::TokenBinding;

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
    nonce: Option<&'a str>,
    token: Option<&'a TokenBinding>,
}

impl<'a> Call<'a> {
    /// A call of a tool of `server`, whose definition has a digest, without arguments.
    pub fn new(server: &'a ServerIdentity, tool: &'a str, definition: Digest) -> Self {
        Self { server, tool, definition, arguments: None, inputs: None, nonce: None, token: None }
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

    /// With the nonce that the server wants to see, to sign it.
    #[must_use]
    pub fn nonce(mut self, nonce: Option<&'a str>) -> Self {
        self.nonce = nonce;
        self
    }

    /// With the access token that goes along with the call, so that neither counts with another
    /// of the other kind.
    #[must_use]
    pub fn token(mut self, token: Option<&'a TokenBinding>) -> Self {
        self.token = token;
        self
    }

    pub(crate) fn server(&self) -> &ServerIdentity {
        self.server
    }

    pub(crate) fn tool(&self) -> &str {
        self.tool
    }

    pub(crate) fn definition(&self) -> Digest {
        self.definition
    }

    /// Signs the call.
    ///
    /// # Errors
    ///
    /// When arguments or inputs are not I-JSON, or the key cannot be used.
    pub fn sign(&self, signer: &dyn Signer, now: UnixTime) -> Result<String, SignError> {
        Ok(self.sign_with_id(signer, now)?.0)
    }

    /// The statement, and its id.
    pub(crate) fn sign_with_id(
        &self,
        signer: &dyn Signer,
        now: UnixTime,
    ) -> Result<(String, String), SignError> {
        let key = signer.verifying_key();
        let unfit =
            |error: IjsonError| SignError(format!("the arguments are not strict JSON: {error}"));
        let id = random::id().map_err(SignError::from)?;
        let claims = CallClaims {
            iss: format!("{KEY_ISSUER}{}", key.id()),
            sub: None,
            aud: self.server.to_string(),
            iat: now.0,
            exp: now.plus(LIFETIME).0,
            jti: id.clone(),
            mth: METHOD.to_owned(),
            tool: self.tool.to_owned(),
            tdg: self.definition,
            adg: self.arguments_digest().map_err(unfit)?,
            mdg: self.inputs_digest().map_err(unfit)?,
            nonce: self.nonce.map(str::to_owned),
            ath: self.token.map(|token| token.hash.clone()),
            jwk: serde_json::from_str(&key.to_jwk()).ok(),
        };
        Ok((jws::sign(StatementType::Call, &to_json(&claims)?, signer)?, id))
    }

    pub(crate) fn arguments_digest(&self) -> Result<Digest, IjsonError> {
        Digest::of_json(Purpose::Arguments, self.arguments.unwrap_or("{}"))
    }

    pub(crate) fn inputs_digest(&self) -> Result<Option<Digest>, IjsonError> {
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

/// The statement in a call's `_meta`, if there is one.
pub(crate) fn statement(meta: &Members) -> Option<&RawText> {
    meta.get(wire::CALL)
}

/// The error with which a call is refused.
impl From<CallRefusal> for ErrorObject {
    fn from(refusal: CallRefusal) -> Self {
        let mut data =
            json!({ wire::ERROR_DATA: refusal.code(), wire::EVIDENCE: refusal.evidence() });
        if let (CallRefusal::NonceRequired { nonce }, Some(data)) = (&refusal, data.as_object_mut())
        {
            data.insert(wire::NONCE.to_owned(), json!(nonce));
        }
        Self::new(refusal.number(), refusal.to_string()).with_data(&data)
    }
}

#[cfg(test)]
mod tests;
