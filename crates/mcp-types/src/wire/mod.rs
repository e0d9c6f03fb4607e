//! The two forms of the protocol on the wire: one model, a codec for each era.
//!
//! A codec is a value. [`for_version`] is the one place that maps a revision to its codec; from
//! there on nobody compares dates. A method that an era does not have is absent from its codec,
//! so that asking for it is "method not found" by construction.

mod legacy;
mod modern;
mod splice;

use crate::members::keys;
use crate::version::Era;
use crate::{
    ClientNotification, ClientRequest, DecodeError, ErrorObject, Exchange, Members, Outcome,
    ProtocolVersion, RawText, RequestContext, RequestId, ServerNotification,
};

pub use legacy::LEGACY;
pub use modern::MODERN;

/// The codec of the era to which `version` belongs.
pub fn for_version(version: ProtocolVersion) -> &'static dyn Codec {
    match version.era() {
        Era::Legacy => &LEGACY,
        Era::Modern => &MODERN,
    }
}

/// A request as an edge read it: what is asked for, and the envelope.
#[derive(Debug)]
pub struct Incoming {
    /// What is asked for.
    pub request: ClientRequest,
    /// Who asks, as far as the message itself says.
    pub context: RequestContext,
    /// Whether the message names its own revision in `_meta`, whichever codec read it.
    pub has_envelope: bool,
}

/// What a server's edge writes on every result of the modern era.
#[derive(Debug, Clone, Default)]
pub struct Stamp {
    server_info: Option<RawText>,
    /// The `_meta` of a result that has none of its own, written once for all of them.
    meta: Option<RawText>,
}

impl Stamp {
    /// Nothing is said of the server.
    pub const NONE: Self = Self { server_info: None, meta: None };

    /// The text of the server's `Implementation` stands in the `_meta` of each result.
    pub fn new(server_info: RawText) -> Self {
        let meta = Members::from_iter([(keys::SERVER_INFO, server_info.clone())]);
        Self { server_info: Some(server_info), meta: RawText::of(&meta).ok() }
    }
}

/// Reads and writes one era's messages at the server's end. All writing appends whole messages to a
/// buffer.
///
/// It is a trait of its own because what stands behind a pointer is linked as a whole: a server need
/// not carry what reads its own answers.
pub trait ServerCodec: Sync {
    /// Reads a request's parameters.
    ///
    /// # Errors
    ///
    /// The answer to send: `-32601` for a method that the era does not have, `-32602` for
    /// parameters that do not fit, `-32022` for a revision that we do not serve.
    fn decode_request(
        &self,
        method: &str,
        params: Option<&RawText>,
    ) -> Result<Incoming, ErrorObject>;

    /// Writes the response to the request `id`.
    ///
    /// # Errors
    ///
    /// When a value in the result has no JSON form; nothing is written then.
    fn encode_response(
        &self,
        out: &mut Vec<u8>,
        id: &RequestId,
        result: Result<&Outcome, &ErrorObject>,
        stamp: &Stamp,
    ) -> Result<(), serde_json::Error>;

    /// Writes a notification from server to client.
    ///
    /// # Errors
    ///
    /// When a value in it has no JSON form.
    fn encode_server_notification(
        &self,
        out: &mut Vec<u8>,
        notification: &ServerNotification,
    ) -> Result<(), serde_json::Error> {
        splice::notification(out, notification.method(), notification)
    }
}

/// Reads and writes one era's messages at both ends. All writing appends whole messages to a buffer.
pub trait Codec: ServerCodec {
    /// Writes a request that carries the exchange's envelope as the era wants it.
    ///
    /// # Errors
    ///
    /// [`EncodeError::NotInThisEra`] for a method that the era does not have.
    fn encode_request(
        &self,
        out: &mut Vec<u8>,
        id: &RequestId,
        exchange: &Exchange,
    ) -> Result<(), EncodeError>;

    /// Reads the result of a request of `method`.
    ///
    /// # Errors
    ///
    /// When the result does not fit the method; the error names the path.
    fn decode_result(&self, method: &str, result: &RawText) -> Result<Outcome, DecodeError>;

    /// Reads a notification from server to client.
    ///
    /// # Errors
    ///
    /// When its parameters do not fit.
    fn decode_server_notification(
        &self,
        method: &str,
        params: Option<&RawText>,
    ) -> Result<ServerNotification, DecodeError> {
        ServerNotification::decode(method, params)
    }

    /// Writes a notification from client to server.
    ///
    /// # Errors
    ///
    /// When a value in it has no JSON form.
    fn encode_client_notification(
        &self,
        out: &mut Vec<u8>,
        notification: &ClientNotification,
    ) -> Result<(), serde_json::Error> {
        splice::notification(out, notification.method(), notification)
    }
}

/// Why a request cannot be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum EncodeError {
    /// The era has no such method.
    NotInThisEra(String),
    /// A value has no JSON form.
    Json(serde_json::Error),
}

impl std::fmt::Display for EncodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotInThisEra(method) => {
                write!(f, "the server speaks a revision without the method `{method}`")
            }
            Self::Json(error) => write!(f, "the request has no JSON form: {error}"),
        }
    }
}

impl std::error::Error for EncodeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Json(error) => Some(error),
            Self::NotInThisEra(_) => None,
        }
    }
}

impl From<serde_json::Error> for EncodeError {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// Writes an error response, which is the same in both eras; `None` where no id could be read.
pub fn encode_error(out: &mut Vec<u8>, id: Option<&RequestId>, error: &ErrorObject) {
    let start = out.len();
    if splice::error(out, id, error).is_err() {
        // Only the error's data can lack a JSON form, and that is text already: the plain error.
        out.truncate(start);
        out.extend_from_slice(
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"internal error"}}"#,
        );
    }
}

/// Writes the response to a request that belongs to an edge alone, such as `ping`.
///
/// # Errors
///
/// When `result` has no JSON form; nothing is written then.
pub fn encode_result<T: serde::Serialize>(
    out: &mut Vec<u8>,
    id: &RequestId,
    result: &T,
) -> Result<(), serde_json::Error> {
    splice::result(out, id, |out| serde_json::to_writer(out, result))
}

/// Writes a request that belongs to an edge alone, such as `initialize`.
///
/// # Errors
///
/// When `params` has no JSON form; nothing is written then.
pub fn encode_edge_request<T: serde::Serialize>(
    out: &mut Vec<u8>,
    id: &RequestId,
    method: &str,
    params: &T,
) -> Result<(), serde_json::Error> {
    splice::request(out, id, method, |out| serde_json::to_writer(out, params))
}
