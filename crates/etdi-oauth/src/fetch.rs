//! One request to an issuer, one bounded answer.

use mcp_types::BoxFuture;

mod address;
mod guarded;
mod target;

pub use guarded::{GuardedFetch, Resolve, Rules, SystemResolver};

/// Fetches documents of issuers.
///
/// Whoever implements it keeps these rules, because nobody above can: only `https` (or a loopback
/// address), no redirect leaves its origin, the addresses that a name resolves to are checked before
/// they are connected to and are the ones connected to, and time and size have a bound.
/// [`GuardedFetch`] does.
pub trait Fetch: Send + Sync {
    /// Sends one request and gives the whole answer, whatever its status.
    ///
    /// # Errors
    ///
    /// When the request was not allowed, or no answer came.
    fn fetch(&self, request: FetchRequest) -> BoxFuture<'_, Result<FetchResponse, FetchError>>;
}

/// How a document is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Reads.
    Get,
    /// Sends a form or JSON.
    Post,
}

/// One request. Its headers may hold credentials, so it shows neither them nor its body.
#[derive(Clone)]
#[non_exhaustive]
pub struct FetchRequest {
    /// How.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// Names and values of headers.
    pub headers: Vec<(String, String)>,
    /// What is sent.
    pub body: Vec<u8>,
    /// The most bytes of an answer's body that are taken.
    pub most_bytes: usize,
}

impl FetchRequest {
    /// Reads a URL, at most 1 MiB.
    pub fn get(url: impl Into<String>) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { method: Method::Get, url: url.into(), headers, body, most_bytes: 1 << 20 }
    }
}

impl std::fmt::Debug for FetchRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FetchRequest({:?} {})", self.method, self.url)
    }
}

/// The answer to one request. Its body may hold a token, so it is not shown.
#[derive(Clone)]
#[non_exhaustive]
pub struct FetchResponse {
    /// The HTTP status.
    pub status: u16,
    /// Names, in lower case, and values of headers.
    pub headers: Vec<(String, String)>,
    /// What came.
    pub body: Vec<u8>,
}

impl FetchResponse {
    /// An answer without headers.
    pub fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body }
    }

    /// The first header of a name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }
}

impl std::fmt::Debug for FetchResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FetchResponse({}, {} bytes)", self.status, self.body.len())
    }
}

/// Why a document could not be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The rules forbid the request.
    #[error("`{url}` is not fetched: {why}")]
    Forbidden {
        /// What was asked for.
        url: String,
        /// Which rule forbids it.
        why: String,
    },
    /// The other side cannot be reached, or did not answer in time.
    #[error("`{url}` cannot be reached: {why}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What happened.
        why: String,
    },
    /// The answer is longer than was asked for.
    #[error("the answer of `{url}` is longer than {most} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// The bound.
        most: usize,
    },
}

impl FetchError {
    /// A status that is no answer to a document's reader, in words.
    pub(crate) fn status(status: u16) -> String {
        format!("it answered with status {status}, expected 200")
    }
}
