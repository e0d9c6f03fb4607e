//! `requestState` under seal: what a server hands to a client between two rounds of one request,
//! and gets back unchanged or not at all (specification, "Multi Round-Trip Requests", "Server
//! requirements").
//!
//! Without a sealer a state holds nothing but the client's own earlier answers, which it could
//! change anyway, so a change can do no more than another answer could. With one it also keeps the
//! results of [`Context::once`](crate::Context::once), and everything that a handler wrote itself
//! into an `InputRequiredResult`: the server seals what leaves and opens what comes back, bound to
//! who asks and what for. A state of somebody else, of another tool, of other arguments, or one that
//! is too old is refused before any handler runs.
//!
//! A seal does not make a state good for one use only: within its time the same client may send it
//! again. What must not happen twice at all needs a record of its own.

use std::sync::Arc;

use mcp_types::{ClientRequest, ErrorObject, Outcome, Principal, RawText, RequestContext};
use serde_json::Value;

#[cfg(feature = "sealed-state")]
mod aead;
mod contract;

#[cfg(feature = "sealed-state")]
pub use aead::AeadSealer;
pub use contract::{StateSealerContractFailure, state_sealer_contract};

/// Seals request states, so that nobody else can read, make or change one.
///
/// [`AeadSealer`], behind the feature `sealed-state`, is one; implement it to keep the key in
/// another place, such as a service that encrypts. [`state_sealer_contract`] holds an implementation
/// to this.
///
/// ```
/// use mcp_server::{SealError, Server, StateSealer};
///
/// /// Keeps states at home and hands out tickets for them. (A real one forgets them in time, and
/// /// its tickets cannot be guessed.)
/// #[derive(Default)]
/// struct Cloakroom(std::sync::Mutex<Vec<(Vec<u8>, String)>>);
///
/// impl StateSealer for Cloakroom {
///     fn seal(&self, state: &str, bound_to: &[u8]) -> Result<String, SealError> {
///         let mut kept = self.0.lock().map_err(|_| SealError::Failed)?;
///         kept.push((bound_to.to_owned(), state.to_owned()));
///         Ok((kept.len() - 1).to_string())
///     }
///
///     fn open(&self, sealed: &str, bound_to: &[u8]) -> Result<String, SealError> {
///         let ticket: usize = sealed.parse().map_err(|_| SealError::Refused)?;
///         let kept = self.0.lock().map_err(|_| SealError::Failed)?;
///         let (owner, state) = kept.get(ticket).ok_or(SealError::Refused)?;
///         if owner == bound_to { Ok(state.clone()) } else { Err(SealError::Refused) }
///     }
/// }
///
/// let server = Server::new("example", "1.0.0").seal_state(Cloakroom::default()).build()?;
/// # Ok::<(), mcp_server::BuildError>(())
/// ```
pub trait StateSealer: Send + Sync + 'static {
    /// Seals `state` so that it opens for the same `bound_to` alone, and for a short time.
    ///
    /// # Errors
    ///
    /// [`SealError::Failed`] when it cannot.
    fn seal(&self, state: &str, bound_to: &[u8]) -> Result<String, SealError>;

    /// Gives what was sealed for the same `bound_to`.
    ///
    /// # Errors
    ///
    /// [`SealError::Refused`] for whatever this sealer did not make for `bound_to`, or made too
    /// long ago; the peer hears the same in each case. [`SealError::Failed`] when it cannot say.
    fn open(&self, sealed: &str, bound_to: &[u8]) -> Result<String, SealError>;
}

/// Why a state was not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// The state is not one that this server made for this request, or its time is over.
    #[error("the request state does not belong to this request, or its time is over")]
    Refused,
    /// The sealer itself failed.
    #[error("the sealer of request states failed")]
    Failed,
}

/// What a state belongs to.
struct Origin {
    method: &'static str,
    name: String,
    arguments: Option<RawText>,
    principal: Option<Arc<Principal>>,
}

impl Origin {
    /// What a state of this request belongs to; `None` where a server never asks.
    fn of(request: &ClientRequest, context: &RequestContext) -> Option<Self> {
        let (method, name, arguments) = match request {
            ClientRequest::CallTool(call) => ("tools/call", &call.name, call.arguments.clone()),
            ClientRequest::GetPrompt(prompt) => {
                let arguments = prompt.arguments.as_ref().map(RawText::of);
                ("prompts/get", &prompt.name, arguments.and_then(Result::ok))
            }
            ClientRequest::ReadResource(resource) => ("resources/read", &resource.uri, None),
            _ => return None,
        };
        let principal = context.extensions.get_shared();
        Some(Self { method, name: name.clone(), arguments, principal })
    }

    /// All of it, each part with its length in front, so that no two origins look the same.
    fn bytes(&self, server: &str) -> Vec<u8> {
        let mut out = b"mcp request state 1".to_vec();
        let mut part = |bytes: &[u8]| {
            out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            out.extend_from_slice(bytes);
        };
        part(server.as_bytes());
        part(self.method.as_bytes());
        part(self.name.as_bytes());
        part(self.arguments.as_ref().map(ordered).unwrap_or_default().as_bytes());
        match self.principal.as_deref() {
            Some(principal) => {
                part(b"principal");
                part(principal.issuer.as_bytes());
                part(principal.subject.as_bytes());
                part(principal.client.as_deref().unwrap_or_default().as_bytes());
            }
            None => part(b"anybody"),
        }
        out
    }
}

/// The sealer of a server, and the name under which it seals: the same key may serve two servers.
pub(crate) struct Seal {
    pub(crate) server: String,
    pub(crate) sealer: Arc<dyn StateSealer>,
}

/// What becomes of a state that a handler wants back.
pub(crate) enum Sealing {
    /// It leaves as it is: the server has no seal, or the request is none that ends in a question.
    None,
    /// The handler said that it never asks, so nothing was kept that a state could be bound to.
    Never,
    /// It leaves under seal.
    Bound(Box<Bound>),
}

/// What a state is bound to.
pub(crate) struct Bound {
    seal: Arc<Seal>,
    origin: Origin,
}

impl Sealing {
    /// Opens what a client sent back, before a handler sees it.
    pub(crate) fn open(
        seal: Option<&Arc<Seal>>,
        may_ask: bool,
        request: &ClientRequest,
        context: &mut RequestContext,
    ) -> Result<Self, ErrorObject> {
        let Some(seal) = seal else { return Ok(Self::None) };
        if !may_ask && context.request_state.is_none() {
            return Ok(Self::Never);
        }
        let Some(origin) = Origin::of(request, context) else { return Ok(Self::None) };
        if let Some(state) = &mut context.request_state {
            let opened = seal.sealer.open(state, &origin.bytes(&seal.server));
            *state = opened.map_err(|error| match error {
                SealError::Refused => ErrorObject::invalid_params(
                    "`requestState` was not made for this request or is too old, send the request \
                     without it to start anew",
                ),
                SealError::Failed => failed(),
            })?;
        }
        Ok(Self::Bound(Box::new(Bound { seal: seal.clone(), origin })))
    }

    /// Seals what a handler wants back.
    pub(crate) fn close(
        &self,
        outcome: Result<Outcome, ErrorObject>,
    ) -> Result<Outcome, ErrorObject> {
        let mut outcome = outcome?;
        if let Outcome::InputRequired(asked) = &mut outcome
            && let Some(state) = &mut asked.request_state
        {
            let sealed = match self {
                Self::None => return Ok(outcome),
                Self::Never => return Err(unexpected()),
                Self::Bound(bound) => {
                    let Bound { seal, origin } = &**bound;
                    seal.sealer.seal(state, &origin.bytes(&seal.server))
                }
            };
            *state = sealed.map_err(|_| failed())?;
        }
        Ok(outcome)
    }
}

#[cold]
fn unexpected() -> ErrorObject {
    tracing::error!("a tool asked though its `may_ask` says that it never does");
    ErrorObject::internal("the call failed by a fault of the server")
}

#[cold]
fn failed() -> ErrorObject {
    tracing::error!("the sealer of request states failed");
    ErrorObject::internal("the server cannot keep what was answered so far, try again later")
}

/// Arguments with their members in order: a client may write them anew for each round.
fn ordered(arguments: &RawText) -> String {
    let Ok(value) = arguments.parse::<Value>() else { return arguments.get().to_owned() };
    let mut out = String::new();
    write(&mut out, &value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| name.as_str());
            out.push('{');
            for (name, value) in members {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(out, value);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(out, item);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(method: &str, name: &str, arguments: &str, subject: &str) -> Vec<u8> {
        let mut context = RequestContext::default();
        if !subject.is_empty() {
            context.extensions.insert(Principal::new("https://issuer.example", subject));
        }
        let params = format!(r#"{{"name":"{name}","uri":"{name}","arguments":{arguments}}}"#);
        let params = RawText::new(params).unwrap();
        let (request, _) = ClientRequest::decode(method, Some(&params)).unwrap();
        Origin::of(&request, &context).unwrap().bytes("example")
    }

    #[test]
    fn the_same_request_has_the_same_origin_and_no_other_has() {
        let first = origin("tools/call", "pay", r#"{"a":1,"b":{"c":[1,2],"d":"x"}}"#, "ada");
        let spaced = r#"{ "b": {"d":"\u0078","c":[1,2]}, "a":1 }"#;
        assert_eq!(origin("tools/call", "pay", spaced, "ada"), first);
        for (method, name, arguments, subject) in [
            ("prompts/get", "pay", r#"{"a":"1"}"#, "ada"),
            ("resources/read", "pay", spaced, "ada"),
            ("tools/call", "pays", spaced, "ada"),
            ("tools/call", "pay", r#"{"a":1}"#, "ada"),
            ("tools/call", "pay", r#"{"a":1,"b":{"c":[2,1],"d":"x"}}"#, "ada"),
            ("tools/call", "pay", r#"{"a":"1","b":{"c":[1,2],"d":"x"}}"#, "ada"),
            ("tools/call", "pay", spaced, "eve"),
            ("tools/call", "pay", spaced, ""),
        ] {
            assert_ne!(origin(method, name, arguments, subject), first, "{method} {name}");
        }
    }
}
