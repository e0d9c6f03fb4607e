//! The codes of JSON-RPC and of the protocol, in one table.

/// Error codes, with the places of the specification that define them.
pub mod codes {
    /// Not JSON (JSON-RPC 2.0, section 5.1).
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON, but no request (JSON-RPC 2.0, section 5.1).
    pub const INVALID_REQUEST: i64 = -32600;
    /// Nobody serves the method (JSON-RPC 2.0, section 5.1).
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// The parameters do not fit (JSON-RPC 2.0, section 5.1).
    pub const INVALID_PARAMS: i64 = -32602;
    /// A fault of whoever answers (JSON-RPC 2.0, section 5.1).
    pub const INTERNAL_ERROR: i64 = -32603;
    /// A mirrored HTTP header differs from the body (Streamable HTTP, modern revisions).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability that the request needs (modern revisions).
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    /// The request's revision is not served (modern revisions).
    pub const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
    /// Retired: resource not found, of the revisions with a handshake.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
}

/// One row of the table of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CodeInfo {
    /// The code.
    pub code: i64,
    /// Its name in the specification.
    pub name: &'static str,
    /// The HTTP status with which it travels when it is a request's whole answer.
    pub http_status: u16,
    /// Whether revisions without a handshake send it.
    pub modern: bool,
    /// Whether revisions with a handshake send it.
    pub legacy: bool,
}

const fn row(
    code: i64,
    name: &'static str,
    http_status: u16,
    modern: bool,
    legacy: bool,
) -> CodeInfo {
    CodeInfo { code, name, http_status, modern, legacy }
}

/// All codes that the protocol defines.
pub static CODES: &[CodeInfo] = &[
    row(codes::PARSE_ERROR, "ParseError", 400, true, true),
    row(codes::INVALID_REQUEST, "InvalidRequest", 400, true, true),
    row(codes::METHOD_NOT_FOUND, "MethodNotFound", 404, true, true),
    row(codes::INVALID_PARAMS, "InvalidParams", 400, true, true),
    row(codes::INTERNAL_ERROR, "InternalError", 500, true, true),
    row(codes::HEADER_MISMATCH, "HeaderMismatch", 400, true, false),
    row(codes::MISSING_CLIENT_CAPABILITY, "MissingRequiredClientCapability", 400, true, false),
    row(codes::UNSUPPORTED_PROTOCOL_VERSION, "UnsupportedProtocolVersion", 400, true, false),
    row(codes::RESOURCE_NOT_FOUND, "ResourceNotFound", 404, false, true),
];
