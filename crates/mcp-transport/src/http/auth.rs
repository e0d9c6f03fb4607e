//! The seam at which a client is authorized: headers for a request, and a second try.

use std::fmt;

use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use mcp_types::{BoxFuture, ErrorObject};

/// Gives a client's HTTP requests what the server wants to see before it serves them.
///
/// One value serves all requests of a connection, several at once. This crate asks it and does no
/// more: tokens, proofs and the conversation with an authorization server are its own business. It
/// is asked for every HTTP request, a request that is tried again included, so that what must be
/// fresh (a proof, say) is. Several requests may be challenged at once; who asks a user for each of
/// them is a nuisance. While the connection is opened, and in revisions without a handshake always,
/// the time that this takes is not counted against the server's.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use mcp_transport::http::{Authorize, Challenge, Reaction, Target};
/// use mcp_types::{BoxFuture, ErrorObject};
///
/// /// A token that somebody else looks after.
/// struct Bearer(HeaderValue);
///
/// impl Authorize for Bearer {
///     fn authorize<'a>(
///         &'a self,
///         _: Target<'a>,
///         headers: &'a mut HeaderMap,
///     ) -> BoxFuture<'a, Result<(), ErrorObject>> {
///         headers.insert(http::header::AUTHORIZATION, self.0.clone());
///         Box::pin(async { Ok(()) })
///     }
///
///     fn challenged<'a>(
///         &'a self,
///         _: Challenge<'a>,
///     ) -> BoxFuture<'a, Result<Reaction, ErrorObject>> {
///         // The same token would be refused again.
///         Box::pin(async { Ok(Reaction::GiveUp) })
///     }
/// }
/// ```
pub trait Authorize: Send + Sync {
    /// Adds to the headers of a request that is about to be sent.
    ///
    /// What it sets wins over the headers of the connection's options, and the protocol's own
    /// headers win over both.
    ///
    /// # Errors
    ///
    /// The error becomes that of the exchange, and nothing is sent.
    fn authorize<'a>(
        &'a self,
        target: Target<'a>,
        headers: &'a mut HeaderMap,
    ) -> BoxFuture<'a, Result<(), ErrorObject>>;

    /// Reacts to a refusal: 401, or 403 with a `WWW-Authenticate` header.
    ///
    /// # Errors
    ///
    /// The error becomes that of the exchange.
    fn challenged<'a>(
        &'a self,
        challenge: Challenge<'a>,
    ) -> BoxFuture<'a, Result<Reaction, ErrorObject>>;

    /// Sees the headers of every other answer; for what servers send along, such as nonces.
    fn answered(&self, _target: Target<'_>, _headers: &HeaderMap) {}
}

/// The request for which a header is wanted.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Target<'a> {
    /// Its HTTP method.
    pub method: &'a Method,
    /// Where it goes.
    pub uri: &'a Uri,
}

/// A server's refusal.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Challenge<'a> {
    /// What was refused.
    pub target: Target<'a>,
    /// 401 or 403.
    pub status: StatusCode,
    /// All headers of the answer, `WWW-Authenticate` among them.
    pub headers: &'a HeaderMap,
    /// The `Authorization` header that the request bore: what was refused, which may be what another
    /// request replaced meanwhile.
    pub authorization: Option<&'a HeaderValue>,
    /// How many times this request was tried before, from 0; after the third try nobody is asked.
    pub attempt: u32,
}

impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may hold secrets.
        f.debug_struct("Challenge")
            .field("target", &self.target)
            .field("status", &self.status)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// What to do after a challenge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// Ask for headers anew and send the request again.
    TryAgain,
    /// Let the exchange fail with what the server said.
    GiveUp,
}
