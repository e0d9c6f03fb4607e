//! The stateless era: each request carries its envelope, each result says what it is.

use serde::Deserialize;

use super::envelope::Envelope;
use super::splice::{self, OpenObject};
use super::{Codec, EncodeError, Incoming, Stamp};
use crate::error::codes;
use crate::members::keys;
use crate::version::Era;
use crate::{
    ClientRequest, DecodeError, ErrorObject, Exchange, Meta, Outcome, ProtocolVersion, RawText,
    RequestContext, RequestId, ServerResult,
};

/// The codec of the stateless era.
pub static MODERN: Modern = Modern;

/// See [`MODERN`].
#[derive(Debug, Clone, Copy)]
pub struct Modern;

impl Codec for Modern {
    fn decode_request(&self, method: &str, params: Option<&RawText>) -> Result<Incoming, ErrorObject> {
        let (request, lifted) = ClientRequest::decode(method, params).map_err(bad_params)?;
        if request.method_info().is_some_and(|info| !info.modern) {
            return Err(ErrorObject::method_not_found(method));
        }
        let Some(meta) = &lifted.meta else {
            return Err(missing("_meta"));
        };
        let envelope: Envelope = meta.parse().map_err(|e| bad_params(e.within("_meta")))?;
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
        Ok(Incoming { request, context })
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
        splice::result(out, id, |out| {
            let kind = match outcome {
                Outcome::Complete(result) => {
                    serde_json::to_writer(&mut *out, result)?;
                    "complete"
                }
                Outcome::InputRequired(asked) => {
                    serde_json::to_writer(&mut *out, asked)?;
                    "input_required"
                }
            };
            // A result of an extension says itself what it is.
            if matches!(outcome, Outcome::Complete(ServerResult::Extension(_))) {
                return Ok(());
            }
            let mut object = OpenObject::reopen(out);
            object.member("resultType", kind)?;
            if let Outcome::Complete(result) = outcome
                && let Some((ttl, scope)) = result.cache_hints()
            {
                if ttl.is_none() {
                    object.member("ttlMs", &0)?;
                }
                if scope.is_none() {
                    object.member("cacheScope", "private")?;
                }
            }
            let has_meta = match outcome {
                Outcome::Complete(result) => result.meta().is_some(),
                Outcome::InputRequired(asked) => asked.meta.is_some(),
            };
            if let Some(server_info) = stamp.server_info.as_ref().filter(|_| !has_meta) {
                object.object("_meta", |meta| meta.text(keys::SERVER_INFO, server_info))?;
            }
            object.close();
            Ok(())
        })
    }

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
        splice::request(out, id, request.method(), |out| {
            request.write_params(out)?;
            let mut params = OpenObject::reopen(out);
            if let Some(inputs) = &context.input_responses {
                params.member("inputResponses", inputs)?;
            }
            if let Some(state) = &context.request_state {
                params.member("requestState", state)?;
            }
            params.object("_meta", |meta| {
                let version = context.version.unwrap_or(ProtocolVersion::NEWEST);
                meta.member(keys::PROTOCOL_VERSION, version.as_str())?;
                if let Some(info) = &context.client_info {
                    meta.text(keys::CLIENT_INFO, info)?;
                }
                const NOTHING: RawText = RawText::literal("{}");
                let declared = context.client_capabilities.as_ref();
                meta.text(keys::CLIENT_CAPABILITIES, declared.unwrap_or(&NOTHING))?;
                if let Some(level) = &context.log_level {
                    meta.member(keys::LOG_LEVEL, level)?;
                }
                if let Some(token) = &context.progress_token {
                    meta.member(keys::PROGRESS_TOKEN, token)?;
                }
                context.meta.iter().try_for_each(|(key, value)| meta.text(key, value))
            })?;
            params.close();
            Ok(())
        })?;
        Ok(())
    }

    fn decode_result(&self, method: &str, result: &RawText) -> Result<Outcome, DecodeError> {
        let kind: ResultKind = result.parse()?;
        match kind.0.as_deref() {
            // A result without a type is complete: the specification says so for older peers.
            None | Some("complete") => ServerResult::decode(method, result).map(Outcome::Complete),
            Some("input_required") => result.parse().map(Outcome::InputRequired),
            Some(_) => Ok(Outcome::Complete(ServerResult::Extension(result.clone()))),
        }
    }
}

fn served_version(text: Option<&RawText>) -> Result<ProtocolVersion, ErrorObject> {
    let Some(text) = text else { return Err(missing(keys::PROTOCOL_VERSION)) };
    let requested: String = text
        .parse()
        .map_err(|e| bad_params(e.within(keys::PROTOCOL_VERSION).within("_meta")))?;
    let version = ProtocolVersion::parse(&requested);
    version.filter(|version| version.era() == Era::Modern).ok_or_else(|| unsupported(&requested))
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

pub(super) fn bad_params(error: DecodeError) -> ErrorObject {
    ErrorObject::invalid_params(error.within("params").to_string())
}

#[cold]
fn missing(member: &str) -> ErrorObject {
    let place = if member == "_meta" { "`params._meta`".to_owned() } else { format!("`params._meta[\"{member}\"]`") };
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
struct ResultKind(Option<String>);

impl<'de> Deserialize<'de> for ResultKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KindVisitor;

        impl<'de> serde::de::Visitor<'de> for KindVisitor {
            type Value = ResultKind;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a result, which is an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<ResultKind, A::Error> {
                let mut kind = None;
                while let Some(key) = map.next_key_seed(crate::members::Name)? {
                    match &*key {
                        "resultType" => kind = Some(map.next_value()?),
                        _ => {
                            map.next_value::<serde::de::IgnoredAny>()?;
                        }
                    }
                }
                Ok(ResultKind(kind))
            }
        }

        deserializer.deserialize_map(KindVisitor)
    }
}

/// A result's `_meta` with the server's identity, for results that have other metadata.
#[allow(dead_code)]
fn with_server_info(meta: &Meta, stamp: &Stamp) -> Meta {
    let mut meta = meta.clone();
    if let Some(info) = &stamp.server_info {
        meta.insert(keys::SERVER_INFO, info.clone());
    }
    meta
}
