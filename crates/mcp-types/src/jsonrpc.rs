//! JSON-RPC 2.0: the four kinds of message, ids, and error objects.

use std::fmt;

use bytestring::ByteString;
use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

use crate::error::codes;
use crate::members::Name;
use crate::{DecodeError, RawText, json, outline};

/// The id of a request: a string or an integer, chosen by whoever asks.
///
/// The empty `Debug`-like cases of JSON-RPC (`null`, fractions) are refused, as the protocol does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RequestId {
    /// An integer.
    Number(i64),
    /// A string.
    String(ByteString),
}

/// The token under which a request's progress is reported: a string or an integer.
pub type ProgressToken = RequestId;

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::String(text) => f.write_str(text),
        }
    }
}

impl From<i64> for RequestId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for RequestId {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::String(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for RequestId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;

        impl Visitor<'_> for IdVisitor {
            type Value = RequestId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an integer")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<RequestId, E> {
                Ok(RequestId::Number(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<RequestId, E> {
                i64::try_from(number).map(RequestId::Number).map_err(|_| {
                    E::custom(format!("the integer {number} is too large, send it as a string"))
                })
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<RequestId, E> {
                Name.visit_str(text).map(RequestId::String)
            }
        }

        deserializer.deserialize_any(IdVisitor)
    }
}

/// One JSON-RPC message, sorted by kind, its payload still text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Message {
    /// Asks for an answer under `id`.
    Request(Request),
    /// Tells, and wants no answer.
    Notification(Notification),
    /// Answers the request with its id.
    Response(Response),
}

/// A request: method, parameters as text, and the id under which it is answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Under which the answer goes back.
    pub id: RequestId,
    /// What is asked for.
    pub method: ByteString,
    /// With what; always an object in this protocol.
    pub params: Option<RawText>,
}

/// A notification: method and parameters as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// What is told.
    pub method: ByteString,
    /// With what; always an object in this protocol.
    pub params: Option<RawText>,
}

/// A response: a result as text, or an error object.
#[derive(Debug, Clone, PartialEq)]
pub struct Response {
    /// Which request it answers; `None` where the peer could not read the id.
    pub id: Option<RequestId>,
    /// The answer.
    pub result: Result<RawText, ErrorObject>,
}

/// A text that is no message, with the id to answer under when it could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct BadMessage {
    /// The id of the request that was meant, if there is one.
    pub id: Option<RequestId>,
    /// `-32700` for what is not JSON, `-32600` for JSON that is no message.
    pub error: ErrorObject,
}

impl Message {
    /// Sorts one message. The payload stays a range of `text`; that the parameters of a request are
    /// JSON is seen where they are read.
    ///
    /// # Errors
    ///
    /// [`BadMessage`], ready to be answered (JSON-RPC 2.0, section 5.1). A list is refused here:
    /// batches exist in one revision only, and are split before.
    pub fn parse(text: &ByteString) -> Result<Self, BadMessage> {
        if let Some(request) = outline::request(text) {
            return Ok(Self::Request(request));
        }
        let parts = json::decode::<Parts>(text).map_err(|error| BadMessage::of(text, &error))?;
        let Parts { version, id, method, params, result, error } = parts;
        let refuse = |id: Option<RequestId>, message: &str| {
            Err(BadMessage { id, error: ErrorObject::invalid_request(message) })
        };
        if !version {
            return refuse(id.flatten(), "`jsonrpc` must be \"2.0\"");
        }
        match (method, id, result, error) {
            (Some(_), ..) if params.as_ref().is_some_and(|params| !params.is_object()) => {
                refuse(id_of(text), "`params` must be an object")
            }
            (Some(method), Some(Some(id)), None, None) => {
                Ok(Self::Request(Request { id, method, params }))
            }
            (Some(_), Some(None), ..) => refuse(None, "`id` must be a string or an integer"),
            (Some(method), None, None, None) => {
                Ok(Self::Notification(Notification { method, params }))
            }
            (None, Some(Some(id)), Some(result), None) => {
                Ok(Self::Response(Response { id: Some(id), result: Ok(result) }))
            }
            (None, id, None, Some(error)) => {
                Ok(Self::Response(Response { id: id.flatten(), result: Err(error) }))
            }
            (_, id, ..) => refuse(
                id.flatten(),
                "a message is a request (`method`, `id`), a notification (`method`) or a response \
                 (`id`, `result` or `error`)",
            ),
        }
    }
}

impl BadMessage {
    #[cold]
    fn of(text: &ByteString, error: &DecodeError) -> Self {
        if error.syntax {
            let text = format!("the message is no JSON: {error}");
            return Self { id: None, error: ErrorObject::parse_error(text) };
        }
        Self { id: id_of(text), error: ErrorObject::invalid_request(error.to_string()) }
    }
}

/// The id of a message that is otherwise wrong.
#[cold]
fn id_of(text: &ByteString) -> Option<RequestId> {
    json::decode::<crate::Members>(text).ok()?.get("id")?.parse().ok()
}

/// The members of any message; `id` tells absent from `null`.
#[derive(Default)]
struct Parts {
    version: bool,
    id: Option<Option<RequestId>>,
    method: Option<ByteString>,
    params: Option<RawText>,
    result: Option<RawText>,
    error: Option<ErrorObject>,
}

impl<'de> Deserialize<'de> for Parts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartsVisitor;

        impl<'de> Visitor<'de> for PartsVisitor {
            type Value = Parts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message, which is an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts, A::Error> {
                let mut parts = Parts::default();
                let twice =
                    |name: &str| Err(A::Error::custom(format!("duplicate member `{name}`")));
                while let Some(field) = map.next_key::<Field>()? {
                    match field {
                        Field::Version if parts.version => return twice("jsonrpc"),
                        Field::Version => parts.version = map.next_value::<TwoPointZero>()?.0,
                        Field::Id if parts.id.is_some() => return twice("id"),
                        Field::Id => parts.id = Some(map.next_value()?),
                        Field::Method if parts.method.is_some() => return twice("method"),
                        Field::Method => parts.method = Some(map.next_value_seed(Name)?),
                        Field::Params if parts.params.is_some() => return twice("params"),
                        Field::Params => parts.params = Some(map.next_value()?),
                        Field::Result if parts.result.is_some() => return twice("result"),
                        Field::Result => parts.result = Some(map.next_value()?),
                        Field::Error if parts.error.is_some() => return twice("error"),
                        Field::Error => parts.error = Some(map.next_value()?),
                        Field::Unknown => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(parts)
            }
        }

        deserializer.deserialize_map(PartsVisitor)
    }
}

enum Field {
    Version,
    Id,
    Method,
    Params,
    Result,
    Error,
    Unknown,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;

        impl Visitor<'_> for FieldVisitor {
            type Value = Field;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Field, E> {
                Ok(match name {
                    "jsonrpc" => Field::Version,
                    "id" => Field::Id,
                    "method" => Field::Method,
                    "params" => Field::Params,
                    "result" => Field::Result,
                    "error" => Field::Error,
                    _ => Field::Unknown,
                })
            }
        }

        deserializer.deserialize_identifier(FieldVisitor)
    }
}

/// Whether a member is the string `2.0`.
struct TwoPointZero(bool);

impl<'de> Deserialize<'de> for TwoPointZero {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct VersionVisitor;

        impl Visitor<'_> for VersionVisitor {
            type Value = TwoPointZero;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the string \"2.0\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<TwoPointZero, E> {
                Ok(TwoPointZero(text == "2.0"))
            }
        }

        deserializer.deserialize_str(VersionVisitor)
    }
}

/// An error of the protocol: a code, a sentence, and data.
///
/// It is what the *peer* sees. What the model should read goes into a tool's result instead; what
/// only the operator should read goes into a log.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ErrorObject {
    /// What kind of error; [`codes`] lists those of the protocol.
    pub code: i64,
    /// One sentence, lower case, that says what was expected.
    pub message: String,
    /// More about it, for programs.
    pub data: Option<RawText>,
    /// Who found it; never on the wire.
    pub origin: Origin,
}

/// Where an error arose, so that a caller knows what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Origin {
    /// Whoever served the request answered so.
    #[default]
    Service,
    /// The peer cannot be reached, or went away before it answered.
    Connection,
    /// The peer did not answer in time.
    Timeout,
    /// The peer answered with something that the protocol does not allow.
    Protocol,
    /// A layer of this process refused, before or after the peer was asked.
    Refused,
}

impl ErrorObject {
    /// An error with a code of your own; keep it outside `-32768..=-32000`.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None, origin: Origin::Service }
    }

    /// The same error with `data` for programs; data without a JSON form is left out.
    #[must_use]
    pub fn with_data<T: Serialize + ?Sized>(mut self, data: &T) -> Self {
        self.data = RawText::of(data).ok();
        self
    }

    /// `-32700`: the text is not JSON.
    pub fn parse_error(message: impl Into<String>) -> Self {
        Self::new(codes::PARSE_ERROR, message)
    }

    /// `-32600`: the JSON is no request.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(codes::INVALID_REQUEST, message)
    }

    /// `-32601`: nobody here serves the method.
    pub fn method_not_found(method: &str) -> Self {
        Self::new(codes::METHOD_NOT_FOUND, format!("the method `{method}` is not served here"))
    }

    /// `-32602`: the parameters do not fit.
    pub fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(codes::INVALID_PARAMS, message)
    }

    /// An error that was found on this side of the wire; a gateway passes it on as `-32603`.
    pub fn local(origin: Origin, message: impl Into<String>) -> Self {
        Self { origin, ..Self::internal(message) }
    }

    /// `-32603`: our fault; the details belong into a log.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(codes::INTERNAL_ERROR, message)
    }
}

impl fmt::Display for ErrorObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for ErrorObject {}

impl Serialize for ErrorObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", &self.code)?;
        map.serialize_entry("message", &self.message)?;
        if let Some(data) = &self.data {
            map.serialize_entry("data", data)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ErrorObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let members = crate::Members::deserialize(deserializer)?;
        let read = |name: &str| {
            members.get(name).ok_or_else(|| D::Error::custom(format!("missing field `{name}`")))
        };
        Ok(Self {
            code: read("code")?.parse().map_err(|e| D::Error::custom(e.within("code")))?,
            message: read("message")?.parse().map_err(|e| D::Error::custom(e.within("message")))?,
            data: members.get("data").cloned(),
            origin: Origin::Service,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> (Option<RequestId>, i64) {
        let bad = Message::parse(&text.into()).unwrap_err();
        (bad.id, bad.error.code)
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_code() {
        assert_eq!(refused("garbage"), (None, -32700));
        assert_eq!(refused("{\"jsonrpc\":\"2.0\""), (None, -32700));
        assert_eq!(refused("[]"), (None, -32600));
        assert_eq!(refused("{}"), (None, -32600));
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#), (None, -32600));
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#), (None, -32600));
        assert_eq!(refused(r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#), (None, -32600));
        assert_eq!(
            refused(r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#),
            (Some(7.into()), -32600)
        );
        assert_eq!(refused(r#"{"id":7,"method":"ping"}"#), (Some(7.into()), -32600));
        let params = r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#;
        assert_eq!(refused(params), (Some("a".into()), -32600));
        let twice = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#;
        assert_eq!(refused(twice).1, -32600);
    }

    #[test]
    fn each_kind_is_told_from_the_others() {
        let parse = |text: &str| Message::parse(&text.into()).unwrap();
        assert!(matches!(
            parse(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#),
            Message::Request(_)
        ));
        assert!(matches!(parse(r#"{"jsonrpc":"2.0","method":"x"}"#), Message::Notification(_)));
        assert!(matches!(parse(r#"{"jsonrpc":"2.0","id":"1","result":{}}"#), Message::Response(_)));
        let error = parse(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"x"}}"#);
        let Message::Response(Response { id: None, result: Err(error) }) = error else {
            panic!("{error:?}")
        };
        assert_eq!(error.code, -32700);
    }
}
