//! The era with a handshake: what `initialize` said holds for every request after it.

use std::borrow::Cow;

use super::modern::{ResultKind, bad_params};
use super::splice;
use super::{Codec, EncodeError, Incoming, ServerCodec, Stamp};
use crate::error::codes;
use crate::members::keys;
use crate::object::{Stamp as MemberStamp, StampValue, Stamped};
use crate::{
    ClientRequest, DecodeError, ErrorObject, Exchange, Lifted, Members, Outcome, RawText,
    RequestContext, RequestId, ServerResult,
};

/// The codec of the era with a handshake.
pub static LEGACY: Legacy = Legacy;

/// See [`LEGACY`].
#[derive(Debug, Clone, Copy)]
pub struct Legacy;

impl ServerCodec for Legacy {
    fn decode_request(
        &self,
        method: &str,
        params: Option<&RawText>,
    ) -> Result<Incoming, ErrorObject> {
        let mut lifted = Lifted::default();
        let request =
            ClientRequest::decode_lifting(method, params, &mut lifted).map_err(bad_params)?;
        if request.method_info().is_some_and(|info| !info.legacy) {
            return Err(ErrorObject::method_not_found(method));
        }
        let envelope = lifted.meta.unwrap_or_default();
        let has_envelope = envelope.version.is_some();
        let context = RequestContext {
            progress_token: envelope.progress_token,
            meta: envelope.rest,
            ..RequestContext::default()
        };
        Ok(Incoming { request, context, has_envelope })
    }

    fn encode_response(
        &self,
        out: &mut Vec<u8>,
        id: &RequestId,
        result: Result<&Outcome, &ErrorObject>,
        _stamp: &Stamp,
    ) -> Result<(), serde_json::Error> {
        match result {
            // What an extension calls its members is its own affair.
            Ok(Outcome::Complete(ServerResult::Extension(text))) => {
                splice::result(out, id, |out| serde_json::to_writer(out, text))
            }
            Ok(Outcome::Complete(result)) => {
                let result = projected(result);
                let stamp = MemberStamp { omit: CACHE_HINTS, ..MemberStamp::NONE };
                splice::result(out, id, |out| {
                    serde_json::to_writer(out, &Stamped { value: &*result, stamp })
                })
            }
            Ok(Outcome::InputRequired(_)) => {
                let error =
                    ErrorObject::internal("the edge has to ask for inputs before it answers");
                splice::error(out, Some(id), &error)
            }
            Err(error) => splice::error(out, Some(id), &retired(error)),
        }
    }
}

impl Codec for Legacy {
    fn encode_request(
        &self,
        out: &mut Vec<u8>,
        id: &RequestId,
        exchange: &Exchange,
    ) -> Result<(), EncodeError> {
        let request = &exchange.request;
        if request.method_info().is_some_and(|info| !info.legacy) {
            return Err(EncodeError::NotInThisEra(request.method().to_owned()));
        }
        let context = &exchange.context;
        let token = context.progress_token.as_ref();
        let token = token.map(|token| (keys::PROGRESS_TOKEN, StampValue::Id(token)));
        let base_meta = Some(&context.meta).filter(|meta| !meta.is_empty());
        let stamp = MemberStamp { base_meta, meta: token.as_slice(), ..MemberStamp::NONE };
        splice::request(out, id, request.method(), |out| {
            serde_json::to_writer(out, &Stamped { value: request, stamp })
        })?;
        Ok(())
    }

    fn decode_result(&self, method: &str, result: &RawText) -> Result<Outcome, DecodeError> {
        ServerResult::decode(method, result).map(Outcome::Complete).or_else(|error| {
            // This era knows no types of results, but what was declared as experimental may.
            let Ok(ResultKind { kind, has_task }) = result.parse() else { return Err(error) };
            match kind.as_deref() {
                // A call that became a task (2025-11-25, "Tasks", "Creating Tasks"), for whoever knows these.
                None if has_task => {}
                None | Some("complete" | "input_required") => return Err(error),
                Some(_) => {}
            }
            Ok(Outcome::Complete(ServerResult::Extension(result.clone())))
        })
    }
}

/// What only the stateless era has.
const CACHE_HINTS: &[&str] = &["ttlMs", "cacheScope"];

/// The result as this era knows it; borrowed where nothing differs.
fn projected(result: &ServerResult) -> Cow<'_, ServerResult> {
    match result {
        ServerResult::CallTool(call) => match &call.structured_content {
            // This era's structured content is an object; another value travels wrapped.
            Some(value) if !value.is_object() => {
                let mut call = call.clone();
                let wrapped = Members::from_iter([("result", value.clone())]);
                call.structured_content = RawText::of(&wrapped).ok();
                Cow::Owned(ServerResult::CallTool(call))
            }
            _ => Cow::Borrowed(result),
        },
        _ => Cow::Borrowed(result),
    }
}

/// Codes that this era does not have, as the nearest that it has.
fn retired(error: &ErrorObject) -> Cow<'_, ErrorObject> {
    let code = match error.code {
        codes::MISSING_CLIENT_CAPABILITY | codes::UNSUPPORTED_PROTOCOL_VERSION => {
            codes::INVALID_REQUEST
        }
        _ => return Cow::Borrowed(error),
    };
    Cow::Owned(ErrorObject { code, ..error.clone() })
}
