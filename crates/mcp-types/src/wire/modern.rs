//! The stateless era: each request carries its envelope, each result says what it is.

use serde::Deserialize;

use super::splice;
use super::{Codec, EncodeError, Incoming, ServerCodec, Stamp};
use crate::envelope::Revision;
use crate::error::codes;
use crate::members::keys;
use crate::object::{Stamp as MemberStamp, StampValue, Stamped};
use crate::version::Era;
use crate::{
    ClientRequest, DecodeError, ErrorObject, Exchange, Lifted, Outcome, ProtocolVersion, RawText,
    RequestContext, RequestId, ServerResult,
};

/// The codec of the stateless era.
pub static MODERN: Modern = Modern;

/// See [`MODERN`].
#[derive(Debug, Clone, Copy)]
pub struct Modern;

impl ServerCodec for Modern {
    fn decode_request(
        &self,
        method: &str,
        params: Option<&RawText>,
    ) -> Result<Incoming, ErrorObject> {
        let mut lifted = Lifted::default();
        let request =
            ClientRequest::decode_lifting(method, params, &mut lifted).map_err(bad_params)?;
        if request.method_info().is_some_and(|info| !info.modern) {
            return Err(ErrorObject::method_not_found(method));
        }
        let Some(envelope) = lifted.meta else {
            return Err(missing("_meta"));
        };
        let version = served_version(envelope.version.as_ref())?;
        let Some(capabilities) = envelope.client_capabilities else {
            return Err(missing(keys::CLIENT_CAPABILITIES));
        };
        if !capabilities.is_object() {
            let text = format!("`_meta[\"{}\"]` must be an object", keys::CLIENT_CAPABILITIES);
            return Err(ErrorObject::invalid_params(text));
        }
        let context = RequestContext {
            log_level: envelope.log_level,
            progress_token: envelope.progress_token,
            input_responses: parse_member("inputResponses", lifted.input_responses.as_ref())?,
            request_state: parse_member("requestState", lifted.request_state.as_ref())?,
            meta: envelope.rest,
            version: Some(version),
            client_info: envelope.client_info,
            client_capabilities: Some(capabilities),
            ..RequestContext::default()
        };
        Ok(Incoming { request, context, has_envelope: true })
    }

    fn encode_response(
        &self,
        out: &mut Vec<u8>,
        id: &RequestId,
        result: Result<&Outcome, &ErrorObject>,
        stamp: &Stamp,
    ) -> Result<(), serde_json::Error> {
        let outcome = match result {
            Ok(outcome) => outcome,
            Err(error) => return splice::error(out, Some(id), error),
        };
        let server_info = stamp.server_info.as_ref();
        let meta = server_info.map(|info| (keys::SERVER_INFO, StampValue::Raw(info)));
        let (meta, meta_text) = (meta.as_slice(), stamp.meta.as_ref());
        splice::result(out, id, |out| match outcome {
            // A result of an extension says itself what it is.
            Outcome::Complete(ServerResult::Extension(text)) => serde_json::to_writer(out, text),
            Outcome::Complete(result) => {
                let stamp = MemberStamp {
                    first: COMPLETE,
                    defaults: NO_CACHING,
                    meta,
                    meta_text,
                    ..MemberStamp::NONE
                };
                serde_json::to_writer(out, &Stamped { value: result, stamp })
            }
            Outcome::InputRequired(asked) => {
                let stamp =
                    MemberStamp { first: INPUT_REQUIRED, meta, meta_text, ..MemberStamp::NONE };
                serde_json::to_writer(out, &Stamped { value: asked, stamp })
            }
        })
    }
}

impl Codec for Modern {
    fn encode_request(
        &self,
        out: &mut Vec<u8>,
        id: &RequestId,
        exchange: &Exchange,
    ) -> Result<(), EncodeError> {
        let request = &exchange.request;
        if request.method_info().is_some_and(|info| !info.modern) {
            return Err(EncodeError::NotInThisEra(request.method().to_owned()));
        }
        let context = &exchange.context;
        // A gateway may hand on a context that came in by a handshake.
        let ours = context.version.filter(|version| version.era() == Era::Modern);
        let version = ours.unwrap_or(ProtocolVersion::NEWEST);
        let declared = context.client_capabilities.as_ref();
        let level =
            context.log_level.map(|level| (keys::LOG_LEVEL, StampValue::Text(level.as_str())));
        let info =
            context.client_info.as_ref().map(|info| (keys::CLIENT_INFO, StampValue::Raw(info)));
        let token = context.progress_token.as_ref();
        let token = token.map(|token| (keys::PROGRESS_TOKEN, StampValue::Id(token)));
        let envelope = [
            Some((keys::PROTOCOL_VERSION, StampValue::Text(version.as_str()))),
            info,
            Some((keys::CLIENT_CAPABILITIES, StampValue::Raw(declared.unwrap_or(&NOTHING)))),
            level,
            token,
        ];
        let inputs = context.input_responses.as_ref();
        let retry = [
            inputs.map(|inputs| ("inputResponses", StampValue::Members(inputs))),
            context.request_state.as_deref().map(|state| ("requestState", StampValue::Text(state))),
        ];
        let stamp = MemberStamp {
            first: &retry.into_iter().flatten().collect::<Vec<_>>(),
            base_meta: Some(&context.meta),
            meta: &envelope.into_iter().flatten().collect::<Vec<_>>(),
            ..MemberStamp::NONE
        };
        splice::request(out, id, request.method(), |out| {
            serde_json::to_writer(out, &Stamped { value: request, stamp })
        })?;
        Ok(())
    }

    fn decode_result(&self, method: &str, result: &RawText) -> Result<Outcome, DecodeError> {
        let kind: ResultKind = result.parse()?;
        match kind.kind.as_deref() {
            // A result without a type is complete: the specification says so for older peers.
            None | Some("complete") => ServerResult::decode(method, result).map(Outcome::Complete),
            Some("input_required") => result.parse().map(Outcome::InputRequired),
            Some(_) => Ok(Outcome::Complete(ServerResult::Extension(result.clone()))),
        }
    }
}

static NOTHING: RawText = RawText::literal("{}");
const COMPLETE: &[(&str, StampValue<'_>)] = &[("resultType", StampValue::Text("complete"))];
const INPUT_REQUIRED: &[(&str, StampValue<'_>)] =
    &[("resultType", StampValue::Text("input_required"))];
/// What a result that may be kept says when its author said nothing: keep it not, show it nobody.
const NO_CACHING: &[(&str, StampValue<'_>)] =
    &[("ttlMs", StampValue::Number(0)), ("cacheScope", StampValue::Text("private"))];

fn served_version(named: Option<&Revision>) -> Result<ProtocolVersion, ErrorObject> {
    match named {
        Some(Revision::Known(version)) if version.era() == Era::Modern => Ok(*version),
        Some(Revision::Known(version)) => Err(unsupported(version.as_str())),
        Some(Revision::Other(text)) => {
            let requested = text.parse::<String>().map_err(|error| {
                bad_params(error.within(keys::PROTOCOL_VERSION).within("_meta"))
            })?;
            Err(unsupported(&requested))
        }
        None => Err(missing(keys::PROTOCOL_VERSION)),
    }
}

/// `-32022` with what was asked for and what is served.
pub(super) fn unsupported(requested: &str) -> ErrorObject {
    #[derive(serde::Serialize)]
    struct Data<'a> {
        requested: &'a str,
        supported: Vec<&'static str>,
    }
    let supported = ProtocolVersion::of_era(Era::Modern).map(ProtocolVersion::as_str).collect();
    let message = format!("the protocol version `{requested}` is not served with an envelope");
    ErrorObject::new(codes::UNSUPPORTED_PROTOCOL_VERSION, message)
        .with_data(&Data { requested, supported })
}

/// What was read first as an outline may turn out to be no JSON.
#[cold]
pub(super) fn bad_params(error: DecodeError) -> ErrorObject {
    let text = error.clone().within("params").to_string();
    if error.syntax { ErrorObject::parse_error(text) } else { ErrorObject::invalid_params(text) }
}

#[cold]
fn missing(member: &str) -> ErrorObject {
    let place = if member == "_meta" {
        "`params._meta`".to_owned()
    } else {
        format!("`params._meta[\"{member}\"]`")
    };
    ErrorObject::invalid_params(format!("{place} is missing, each request must carry it"))
}

/// A lifted member as its type.
pub(super) fn parse_member<T: serde::de::DeserializeOwned>(
    name: &str,
    text: Option<&RawText>,
) -> Result<Option<T>, ErrorObject> {
    text.map(|text| text.parse().map_err(|e| bad_params(e.within(name)))).transpose()
}

/// The `resultType` of a result, all else passed over.
pub(super) struct ResultKind {
    pub(super) kind: Option<String>,
    /// Whether it has a member `task`.
    pub(super) has_task: bool,
}

impl<'de> Deserialize<'de> for ResultKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindVisitor;

        impl<'de> serde::de::Visitor<'de> for KindVisitor {
            type Value = ResultKind;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a result, which is an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<ResultKind, A::Error> {
                let mut found = ResultKind { kind: None, has_task: false };
                while let Some(key) = map.next_key_seed(crate::members::Name)? {
                    match &*key {
                        "resultType" => found.kind = Some(map.next_value()?),
                        other => {
                            found.has_task |= other == "task";
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_map(KindVisitor)
    }
}
