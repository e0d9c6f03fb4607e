//! What the headers of a message say once more, found in one pass over them.

use std::sync::Arc;

use http::HeaderValue;
use http::request::Parts;
use mcp_types::error::codes;
use mcp_types::{ByteString, ErrorObject, MirroredParams};

use super::classify::Named;
use crate::http::headers;

/// The protocol's own headers of one request.
#[derive(Default)]
pub(super) struct Repeated<'a> {
    version: Header<'a>,
    method: Header<'a>,
    name: Header<'a>,
    /// Whether a session is named.
    pub(super) session: bool,
    params: Option<MirroredParams>,
}

#[derive(Clone, Copy, Default)]
enum Header<'a> {
    #[default]
    Missing,
    Once(&'a HeaderValue),
    Repeated(&'a HeaderValue),
}

impl<'a> Header<'a> {
    fn see(&mut self, value: &'a HeaderValue) {
        *self = match *self {
            Self::Missing => Self::Once(value),
            Self::Once(first) | Self::Repeated(first) => Self::Repeated(first),
        };
    }
}

impl<'a> Repeated<'a> {
    pub(super) fn of(parts: &'a Parts) -> Self {
        let mut repeated = Self::default();
        for (name, value) in &parts.headers {
            let Some(name) = name.as_str().strip_prefix("mcp-") else { continue };
            match name {
                "protocol-version" => repeated.version.see(value),
                "method" => repeated.method.see(value),
                "name" => repeated.name.see(value),
                "session-id" => repeated.session = true,
                _ => {
                    if let Some(param) = name.strip_prefix("param-") {
                        let said = headers::decode(value.as_bytes());
                        let params = repeated.params.get_or_insert_default();
                        params.push(param.into(), said.map(|text| ByteString::from(&*text)));
                    }
                }
            }
        }
        repeated
    }

    /// The revision that the first such header names.
    pub(super) fn named(&self) -> Named {
        Named::of(match self.version {
            Header::Missing => None,
            Header::Once(value) | Header::Repeated(value) => Some(value.as_bytes()),
        })
    }

    /// The headers that repeat arguments of a tool; `nothing` where there are none.
    pub(super) fn params(&mut self, nothing: &Arc<MirroredParams>) -> Arc<MirroredParams> {
        self.params.take().map_or_else(|| nothing.clone(), Arc::new)
    }

    /// Refuses a revision other than the body's.
    pub(super) fn check_version(&self, expected: &str) -> Result<(), ErrorObject> {
        let says = |value: &HeaderValue| value.as_bytes() == expected.as_bytes();
        only(self.version, &headers::PROTOCOL_VERSION, expected, says)
    }

    /// Refuses a method other than the body's.
    pub(super) fn check_method(&self, expected: &str) -> Result<(), ErrorObject> {
        let says = |value: &HeaderValue| value.as_bytes() == expected.as_bytes();
        only(self.method, &headers::METHOD, expected, says)
    }

    /// Refuses a name other than the body's; this header may be encoded.
    pub(super) fn check_name(&self, expected: &str) -> Result<(), ErrorObject> {
        let says = |value: &HeaderValue| headers::says(value, expected);
        only(self.name, &headers::NAME, expected, says)
    }
}

/// Refuses a header that is missing, that stands twice, or that does not say `expected`.
fn only(
    header: Header<'_>,
    name: &http::HeaderName,
    expected: &str,
    says: impl Fn(&HeaderValue) -> bool,
) -> Result<(), ErrorObject> {
    match header {
        Header::Once(value) if says(value) => Ok(()),
        _ => Err(mismatch(header, name, expected)),
    }
}

#[cold]
fn mismatch(header: Header<'_>, name: &http::HeaderName, expected: &str) -> ErrorObject {
    let problem = match header {
        Header::Missing => "is missing, each request must carry it".to_owned(),
        Header::Repeated(_) => "stands twice".to_owned(),
        Header::Once(value) => {
            let said: String =
                String::from_utf8_lossy(value.as_bytes()).chars().take(128).collect();
            let expected: String = expected.chars().take(128).collect();
            let (said, expected) = (said.escape_debug(), expected.escape_debug());
            format!("says `{said}` and the body says `{expected}`")
        }
    };
    ErrorObject::new(codes::HEADER_MISMATCH, format!("the header `{name}` {problem}"))
}
