//! The seam at which requests are authorized: who may be served, and what the others are told.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use mcp_types::{BoxFuture, ErrorObject, Extensions};
use serde::{Deserialize, Serialize};

/// The code of an error that means "not with these scopes": outside the ranges that JSON-RPC and the
/// protocol keep for themselves, and the status that it has over HTTP.
pub const INSUFFICIENT_SCOPE: i64 = 403;

/// Says of each HTTP request whether it is served, before a byte of its body is read.
///
/// The counterpart of a client's `Authorize`. One value serves all requests of a server, several at
/// once; see [`HttpOptions::gate`](super::server::HttpOptions::gate). This crate asks it and does no
/// more: what a token is, and which one counts, is its own business. `Host` and `Origin` have been
/// checked before it is asked; what a browser asks beforehand, and [`Gate::documents`], are answered
/// without it.
///
/// ```
/// use http::request::Parts;
/// use http::{HeaderValue, StatusCode, header};
/// use mcp_transport::http::{Admission, Gate, Refused};
/// use mcp_types::{Extensions, Principal};
///
/// /// One password for all, as no server on the internet should have it.
/// struct Password(&'static str);
///
/// impl Gate for Password {
///     fn admit(&self, request: &Parts) -> Admission {
///         let said = request.headers.get(header::AUTHORIZATION);
///         if said.is_none_or(|said| said.as_bytes() != self.0.as_bytes()) {
///             let refused = Refused::new(StatusCode::UNAUTHORIZED, "say the password");
///             let basic = HeaderValue::from_static("Basic");
///             return Admission::Now(Err(refused.header(header::WWW_AUTHENTICATE, basic)));
///         }
///         let mut known = Extensions::new();
///         known.insert(Principal::new("password", "somebody"));
///         Admission::Now(Ok(known))
///     }
/// }
/// ```
pub trait Gate: Send + Sync {
    /// Judges one request by its head.
    ///
    /// What it gives is put into the extensions of each exchange of the request, in place of what
    /// layers in front may have put there; a [`Principal`](mcp_types::Principal) among it owns the
    /// session that the request begins.
    fn admit(&self, request: &Parts) -> Admission;

    /// What is served to everybody by GET, each under its own path: the metadata by which a client
    /// finds out whom to ask for a token. Asked once, when the server is made.
    fn documents(&self) -> Vec<Document> {
        Vec::new()
    }

    /// The challenge that goes along with [`INSUFFICIENT_SCOPE`], for the scopes that are wanted.
    fn step_up(&self, _scopes: &[String]) -> Option<HeaderValue> {
        None
    }
}

/// What a [`Gate`] says of a request.
pub enum Admission {
    /// It is known at once.
    Now(Result<Extensions, Refused>),
    /// Somebody has to be asked first. The request waits, unread.
    Later(BoxFuture<'static, Result<Extensions, Refused>>),
}

#[cfg(any(feature = "rest", feature = "sse", feature = "websocket"))]
impl Admission {
    /// Waits for who has to be asked; for doors that are asynchronous anyway.
    pub(crate) async fn settled(self) -> Result<Extensions, Refused> {
        match self {
            Self::Now(found) => found,
            Self::Later(asking) => asking.await,
        }
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Now(said) => f.debug_tuple("Now").field(said).finish(),
            Self::Later(_) => f.write_str("Later"),
        }
    }
}

/// Why a request is not served, as its sender is told.
///
/// The answer's body is an error as OAuth writes one, `{"error": …, "error_description": …}`, and none
/// of the protocol: a client that asks which revision is spoken must not take it for an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused(Box<Told>);

/// Behind a pointer, because most requests are not refused.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Refused {
    /// A refusal with a status, 401 most often, and a text that says what to do.
    pub fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self(Box::new(Told { status, headers: HeaderMap::new(), text: text.into() }))
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The headers that were added.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: &'static str,
            error_description: &'a str,
        }
        let error = match self.0.status {
            StatusCode::UNAUTHORIZED => "invalid_token",
            StatusCode::FORBIDDEN => "insufficient_scope",
            StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            _ => "invalid_request",
        };
        serde_json::to_vec(&Body { error, error_description: &self.0.text }).unwrap_or_default()
    }
}

/// A JSON text that everybody may read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Document {
    /// The path at the root of the host, such as `/.well-known/oauth-protected-resource/mcp`.
    pub path: Arc<str>,
    /// The text.
    pub body: Bytes,
}

impl Document {
    /// A text under a path that begins with a slash.
    pub fn new(path: impl Into<Arc<str>>, body: impl Into<Bytes>) -> Self {
        Self { path: path.into(), body: body.into() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    required_scopes: Vec<String>,
}

/// The error of a request whose sender lacks scopes; `required` are all that it needs, together.
///
/// Over HTTP it travels with status 403 and the gate's challenge ([`Gate::step_up`]).
pub fn insufficient_scope(text: impl Into<String>, required: &[impl AsRef<str>]) -> ErrorObject {
    let required_scopes = required.iter().map(|scope| scope.as_ref().to_owned()).collect();
    ErrorObject::new(INSUFFICIENT_SCOPE, text.into()).with_data(&Data { required_scopes })
}

/// The scopes that an error of [`insufficient_scope`] wants.
pub fn required_scopes(error: &ErrorObject) -> Option<Vec<String>> {
    let data = error.data.as_ref().filter(|_| error.code == INSUFFICIENT_SCOPE)?;
    data.parse::<Data>().ok().map(|data| data.required_scopes)
}
